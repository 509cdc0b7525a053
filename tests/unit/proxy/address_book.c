// SPDX-License-Identifier: EUPL-1.2
#include "proxy/address_book.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/network.h"

static void init(void)
{
    base_init();
}
TestSuite(address_book, .init = init);

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage out;
    socklen_t len;
    cr_assert(address_parse(&out, &len, slice_of(text)), "%s", text);
    return out;
}

static bool is_down(const struct address_book *b, const char *text, const char *at)
{
    const struct sockaddr_storage a = address(at);
    return address_book_is_down(b, slice_of(text), (const struct sockaddr *)&a);
}

Test(address_book, an_empty_one_and_none_know_nothing)
{
    struct address_book *b = address_book_new(1);
    const struct address_book *books[] = {b, NULL};
    for (size_t i = 0; i < 2; i++) {
        cr_expect_null(address_book_host(books[i], SLICE("a.example")));
        cr_expect_not(is_down(books[i], "http://a.example", "127.0.0.1:80"));
    }
    address_book_unref(b);
    address_book_unref(NULL);
    cr_expect_null(address_book_ref(NULL));
}

Test(address_book, keeps_its_own_copy_of_what_it_is_told)
{
    struct address_book *b = address_book_new(7);
    struct sockaddr_storage two[2] = {address("10.0.0.1:0"), address("[fd00::1]:0")};
    char host[] = "a.example";
    address_book_add_host(b, slice_of(host), two, 2);
    address_book_add_host(b, SLICE("none.example"), two, 0);
    memset(two, 0, sizeof two);
    memset(host, 'x', sizeof host - 1);
    const struct host_addresses *h = address_book_host(b, SLICE("a.example"));
    cr_assert(h && h->count == 2 && b->number == 7);
    cr_expect(h->at[0].ss_family == AF_INET && h->at[1].ss_family == AF_INET6);
    cr_expect_null(address_book_host(b, SLICE("none.example")), "a count is never 0");
    cr_expect_null(address_book_host(b, SLICE("b.example")));
    address_book_unref(b);
}

Test(address_book, an_upstream_is_down_at_an_address_whatever_its_port)
{
    struct address_book *b = address_book_new(1);
    const struct sockaddr_storage one = address("10.0.0.1:80"), two = address("[::1]:80");
    address_book_add_down(b, SLICE("http://a.example"), (const struct sockaddr *)&one);
    address_book_add_down(b, SLICE("http://a.example"), (const struct sockaddr *)&two);
    cr_expect(is_down(b, "http://a.example", "10.0.0.1:9999"));
    cr_expect(is_down(b, "http://a.example", "[::ffff:10.0.0.1]:80"));
    cr_expect(is_down(b, "http://a.example", "[::1]:1"));
    cr_expect_not(is_down(b, "http://a.example", "10.0.0.2:80"));
    cr_expect_not(is_down(b, "http://b.example", "10.0.0.1:80"));
    address_book_unref(b);
}

Test(address_book, lives_as_long_as_somebody_holds_it)
{
    struct address_book *b = address_book_new(1);
    const struct sockaddr_storage one = address("10.0.0.1:0");
    address_book_add_host(b, SLICE("a.example"), &one, 1);
    cr_assert_eq(address_book_ref(b), b);
    address_book_unref(b);
    cr_expect_not_null(address_book_host(b, SLICE("a.example")));
    address_book_unref(b);
}
