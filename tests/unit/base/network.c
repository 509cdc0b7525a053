// SPDX-License-Identifier: EUPL-1.2
#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "base/network.h"

/* A socket address from text without port. */
static const struct sockaddr *address(const char *text)
{
    static struct sockaddr_storage out;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(&out, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(&out, &v6, sizeof v6);
    else
        cr_assert_fail("%s", text);
    return (const struct sockaddr *)&out;
}

static const struct slice not_networks[] = {
    SLICE_INIT(""),
    SLICE_INIT("/"),
    SLICE_INIT("10.0.0.0"),
    SLICE_INIT("10.0.0.0/"),
    SLICE_INIT("/8"),
    SLICE_INIT("10.0.0.1/8"), // host bits
    SLICE_INIT("10.0.0.0/33"),
    SLICE_INIT("10.0.0.0/08"),
    SLICE_INIT("10.0.0.0/+8"),
    SLICE_INIT("10.0.0.0/8 "),
    SLICE_INIT(" 10.0.0.0/8"),
    SLICE_INIT("10.0.0.0/8/8"),
    SLICE_INIT("10.0.0.0/255.0.0.0"),
    SLICE_INIT("10/8"),
    SLICE_INIT("10.0.0/24"),
    SLICE_INIT("010.0.0.0/8"), // octal to some
    SLICE_INIT("0x0a.0.0.0/8"),
    SLICE_INIT("10.0.0.256/32"),
    SLICE_INIT("10.0.0.0\0/8"),
    SLICE_INIT("::/129"),
    SLICE_INIT("::1/127"),
    SLICE_INIT("fe80::1%lo/128"),
    SLICE_INIT("[::1]/128"),
    SLICE_INIT(":::/128"),
    SLICE_INIT("::ffff:10.0.0.0/90"),
    SLICE_INIT("localhost/8"),
    SLICE_INIT("10.0.0.0/99999999999999999999999"),
    SLICE_INIT("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/128"),
};

Test(network, what_is_no_network_is_refused)
{
    for (size_t i = 0; i < sizeof not_networks / sizeof *not_networks; i++) {
        struct network n;
        cr_assert_not(network_parse(&n, not_networks[i]), "row %zu", i);
    }
}

static const struct {
    const char *network;
    const char *address;
    bool is_in;
} memberships[] = {
    {"10.0.0.0/8", "10.255.0.1", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"10.0.0.0/8", "::ffff:10.1.2.3", true}, // the same address
    {"::ffff:10.0.0.0/104", "10.1.2.3", true},
    {"10.0.0.0/8", "::10.1.2.3", false},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"192.0.2.1/32", "192.0.2.1", true},
    {"192.0.2.1/32", "192.0.2.0", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "203.0.113.9", false}, // all of IPv6 is not all
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"::1/128", "::1", true},
    {"::1/128", "127.0.0.1", false},
    // A large network does not let in what means "here": that is named, or it is not meant.
    {"0.0.0.0/0", "127.0.0.1", false},
    {"0.0.0.0/0", "::ffff:127.0.0.1", false},
    {"64.0.0.0/2", "127.0.0.1", false},
    {"0.0.0.0/0", "169.254.169.254", false},
    {"0.0.0.0/0", "0.0.0.0", false},
    {"::/0", "::1", false},
    {"::/0", "::", false},
    {"::/0", "fe80::1", false},
    {"127.0.0.0/8", "127.0.0.1", true},
    {"169.254.169.254/32", "169.254.169.254", true},
    {"0.0.0.0/8", "0.0.0.0", true},
    {"fe80::/10", "fe80::1", true},
};

Test(network, has_what_lies_in_it)
{
    for (size_t i = 0; i < sizeof memberships / sizeof *memberships; i++) {
        struct network n;
        cr_assert(network_parse(&n, slice_of(memberships[i].network)), "row %zu", i);
        cr_assert_eq(network_has(&n, address(memberships[i].address)), memberships[i].is_in,
                     "row %zu", i);
    }
    struct network all;
    struct sockaddr local = {.sa_family = AF_UNIX};
    cr_assert(network_parse(&all, SLICE("0.0.0.0/0")));
    cr_assert_not(network_has(&all, &local));
}

static const struct {
    const char *text;
    int family; /* 0: refused */
    const char *address;
    uint16_t port;
} endpoints[] = {
    {"127.0.0.1:8443", AF_INET, "127.0.0.1", 8443},
    {"[::1]:8443", AF_INET6, "::1", 8443},
    {"[::ffff:192.0.2.1]:80", AF_INET, "192.0.2.1", 80},
    {"0.0.0.0:65535", AF_INET, "0.0.0.0", 65535},
    {"127.0.0.1:65536", 0, NULL, 0},
    {"127.0.0.1:", 0, NULL, 0},
    {"127.0.0.1", 0, NULL, 0},
    {"127.0.0.1:080", 0, NULL, 0},
    {"127.0.0.1:-1", 0, NULL, 0},
    {"127.0.0.1:80:80", 0, NULL, 0},
    {"::1:8443", 0, NULL, 0},
    {"[127.0.0.1]:80", 0, NULL, 0},
    {"[::1]", 0, NULL, 0},
    {"[::1", 0, NULL, 0},
    {"[::1]x:80", 0, NULL, 0},
    {"[::1]80", 0, NULL, 0},
    {"[fe80::1%lo]:80", 0, NULL, 0},
    {"localhost:80", 0, NULL, 0},
    {":80", 0, NULL, 0},
    {"", 0, NULL, 0},
};

Test(network, an_endpoint_is_an_address_and_a_port_and_no_name)
{
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        struct sockaddr_storage out;
        socklen_t len = 0;
        char text[INET6_ADDRSTRLEN];
        bool is_parsed = address_parse(&out, &len, slice_of(endpoints[i].text));
        cr_assert_eq(is_parsed, endpoints[i].family != 0, "%s", endpoints[i].text);
        if (!is_parsed)
            continue;
        cr_assert_eq(out.ss_family, endpoints[i].family);
        cr_assert_eq(len, out.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                   : sizeof(struct sockaddr_in6));
        // The port is at the same place in both.
        cr_assert_eq(ntohs(((struct sockaddr_in *)&out)->sin_port), endpoints[i].port);
        cr_assert_eq(address_text(text, (struct sockaddr *)&out), strlen(endpoints[i].address));
        cr_assert_str_eq(text, endpoints[i].address);
    }
}

Test(network, loopback_has_one_face)
{
    char text[INET6_ADDRSTRLEN];
    cr_assert(address_is_loopback(address("127.0.0.1")));
    cr_assert(address_is_loopback(address("127.9.9.9")));
    cr_assert(address_is_loopback(address("::1")));
    cr_assert(address_is_loopback(address("::ffff:127.0.0.1")));
    cr_assert_not(address_is_loopback(address("128.0.0.1")));
    cr_assert_not(address_is_loopback(address("::127.0.0.1")));
    cr_assert_not(address_is_loopback(address("::")));
    (void)address_text(text, address("::ffff:192.0.2.7"));
    cr_assert_str_eq(text, "192.0.2.7");
}

Test(network, a_clouds_metadata_is_in_no_network_that_holds_more)
{
    static const struct {
        const char *wide, *exact, *address;
    } cases[] = {
        {"169.254.0.0/15", "169.254.0.0/16", "169.254.169.254"},
        {"100.64.0.0/10", "100.100.100.200/32", "100.100.100.200"},
        {"168.0.0.0/8", "168.63.129.16/32", "168.63.129.16"},
        {"fd00::/8", "fd00:ec2::254/128", "fd00:ec2::254"},
        {"fd00::/8", "fd20:ce::254/128", "fd20:ce::254"},
        {"fd00::/8", "fd00:c1::a9fe:a9fe/128", "fd00:c1::a9fe:a9fe"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct network wide, exact;
        cr_assert(network_parse(&exact, slice_of(cases[i].exact)));
        cr_expect(network_has(&exact, address(cases[i].address)), "%s", cases[i].address);
        if (network_parse(&wide, slice_of(cases[i].wide)))
            cr_expect_not(network_has(&wide, address(cases[i].address)), "%s", cases[i].address);
    }
    struct network unique_local;
    cr_assert(network_parse(&unique_local, SLICE("fd00::/8")));
    cr_expect(network_has(&unique_local, address("fd00:ec2::255")));
}

Test(network, a_list_has_what_one_of_its_networks_has)
{
    struct network two[2];
    cr_assert(network_parse(&two[0], SLICE("10.0.0.0/8")));
    cr_assert(network_parse(&two[1], SLICE("127.0.0.0/8")));
    cr_expect(network_list_has(two, 2, address("127.0.0.1")));
    cr_expect(network_list_has(two, 2, address("::ffff:127.0.0.1")));
    cr_expect_not(network_list_has(two, 1, address("127.0.0.1")));
    cr_expect_not(network_list_has(two, 0, address("10.0.0.1")));
    cr_expect_not(network_list_has(two, 2, address("0.0.0.0")));
    cr_expect_not(network_list_has(two, 2, address("::1")));
}
