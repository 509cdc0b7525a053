// SPDX-License-Identifier: EUPL-1.2
/* The grammar of SPIFFE-ID §2, at its edges. */
#include "auth/spiffe.h"

#include <criterion/criterion.h>
#include <string.h>

Test(spiffe, an_id_is_a_trust_domain_and_a_path_by_the_letter)
{
    static const struct {
        struct slice id;
        struct slice domain; /* empty: it is none */
    } cases[] = {
        {SLICE_INIT("spiffe://a/b"), SLICE_INIT("a")},
        {SLICE_INIT("spiffe://finance.example/ns/prod/sa/Billing_2.x-y"),
         SLICE_INIT("finance.example")},
        {SLICE_INIT("spiffe://10.0.0.1/b"), SLICE_INIT("10.0.0.1")},
        {SLICE_INIT("spiffe://a_b-c.d/e"), SLICE_INIT("a_b-c.d")},
        {SLICE_INIT("spiffe://a/..."), SLICE_INIT("a")},
        {SLICE_INIT("spiffe://a/.b/c."), SLICE_INIT("a")},
        {SLICE_INIT(""), SLICE_INIT("")},
        {SLICE_INIT("spiffe:"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://"), SLICE_INIT("")},
        {SLICE_INIT("spiffe:///b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe:/a/b"), SLICE_INIT("")},
        {SLICE_INIT("Spiffe://a/b"), SLICE_INIT("")},
        {SLICE_INIT(" spiffe://a/b"), SLICE_INIT("")},
        {SLICE_INIT("https://a/b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b/"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a//b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b//c"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/."), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/./b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b/.."), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b%2fc"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b c"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b?c"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b#c"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b~c"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b\0c"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a\0/b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/b\n"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a/\xc3\xa9"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://\xc3\xa9/b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://A/b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a:443/b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://u@a/b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://[::1]/b"), SLICE_INIT("")},
        {SLICE_INIT("spiffe://a?x/b"), SLICE_INIT("")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice domain = {"", 0};
        const bool is_id = spiffe_id_read(cases[i].id, &domain);
        cr_expect_eq(is_id, cases[i].domain.len != 0, "%s", cases[i].id.ptr);
        cr_expect(slice_eq(domain, cases[i].domain), "%s", cases[i].id.ptr);
    }
}

Test(spiffe, an_id_has_2048_bytes_at_most_and_its_trust_domain_255)
{
    char text[2049];
    struct slice domain;
    memset(text, 'a', sizeof text);
    memcpy(text, "spiffe://", 9);
    text[9 + 255] = '/';
    cr_expect(spiffe_id_read(slice_from(text, 2048), &domain));
    cr_expect_eq(domain.len, 255);
    cr_expect_not(spiffe_id_read(slice_from(text, 2049), &domain));
    text[9 + 255] = 'a';
    text[9 + 256] = '/';
    cr_expect_not(spiffe_id_read(slice_from(text, 2048), &domain));
}
