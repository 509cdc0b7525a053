// SPDX-License-Identifier: EUPL-1.2
/* Spellings of hosts: two that mean one host must become one text, and what resolvers, proxies and
 * frameworks read differently must not pass. */
#include <criterion/criterion.h>

#include "policy/host.h"

#define LABEL_63 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-012345678"
#define LABEL_61 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-0123456"

static const struct {
    const char *text;
    const char *host; /* NULL: refused */
    uint16_t port;
} hosts[] = {
    {"tax.finance.localhost", "tax.finance.localhost", 0},
    {"Tax.FINANCE.localhost", "tax.finance.localhost", 0},
    {"tax.finance.localhost.", "tax.finance.localhost", 0},
    {"tax.finance.localhost.:8443", "tax.finance.localhost", 8443},
    {"localhost:1", "localhost", 1},
    {"localhost:65535", "localhost", 65535},
    {"xn--bcher-kva.example", "xn--bcher-kva.example", 0},
    {"a--b.example", "a--b.example", 0},
    {"1.example", "1.example", 0},
    {"127.example.1a", "127.example.1a", 0},
    {LABEL_63 ".example", LABEL_63 ".example", 0},
    {LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_61,
     LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_61, 0},
    {LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_61 ".",
     LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_61, 0},
    {LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_61 "a", NULL, 0},
    {LABEL_63 "a.example", NULL, 0},
    {"", NULL, 0},
    {".", NULL, 0},
    {"..", NULL, 0},
    {":443", NULL, 0},
    {".example", NULL, 0},
    {"a..example", NULL, 0},
    {"a.example..", NULL, 0},
    {"-a.example", NULL, 0},
    {"a-.example", NULL, 0},
    {"a_b.example", NULL, 0},
    {"a b.example", NULL, 0},
    {" a.example", NULL, 0},
    {"a.example\t", NULL, 0},
    {"a.example\n", NULL, 0},
    {"b\303\274cher.example", NULL, 0},
    {"*.example", NULL, 0},
    {"user@a.example", NULL, 0},
    {"a.example/", NULL, 0},
    {"a.example,b.example", NULL, 0},
    {"a%2eexample", NULL, 0},
    {"[::1]", NULL, 0},
    {"[::1]:443", NULL, 0},
    {"::1", NULL, 0},
    {"127.0.0.1", NULL, 0},
    {"127.0.0.1:80", NULL, 0},
    {"2130706433", NULL, 0},
    {"a.example.1", NULL, 0},
    {"a.example:", NULL, 0},
    {"a.example:0", NULL, 0},
    {"a.example:0443", NULL, 0},
    {"a.example:65536", NULL, 0},
    {"a.example:99999999999999999999", NULL, 0},
    {"a.example:+443", NULL, 0},
    {"a.example: 443", NULL, 0},
    {"a.example:443:443", NULL, 0},
    {"a.example:443.", NULL, 0},
};

Test(host, one_spelling_for_each_host_and_none_for_what_is_no_host)
{
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char room[HOST_MAX];
        struct slice host = SLICE("untouched");
        uint16_t port = 7;
        bool is_good = host_parse(slice_of(hosts[i].text), room, &host, &port);
        cr_expect_eq(is_good, hosts[i].host != NULL, "'%s'", hosts[i].text);
        if (!is_good) {
            cr_expect(slice_eq(host, SLICE("untouched")) && port == 7, "'%s'", hosts[i].text);
            continue;
        }
        cr_expect(slice_eq(host, slice_of(hosts[i].host)), "'%s' became '%.*s'", hosts[i].text,
                  SLICE_ARG(host));
        cr_expect_eq(port, hosts[i].port, "'%s'", hosts[i].text);
    }
}

Test(host, a_nul_byte_does_not_end_a_name)
{
    char room[HOST_MAX];
    struct slice host;
    uint16_t port;
    cr_expect_not(host_parse(SLICE("a.example\0.evil.example"), room, &host, &port));
}

Test(host, a_wildcard_covers_one_label_and_no_more)
{
    static const struct {
        const char *pattern, *host;
        bool matches;
    } cases[] = {
        {"*.finance.example", "tax.finance.example", true},
        {"*.finance.example", "finance.example", false},
        {"*.finance.example", "a.tax.finance.example", false},
        {"*.finance.example", "taxfinance.example", false},
        {"*.finance.example", "x.notfinance.example", false},
        {"*.finance.example", ".finance.example", false},
        {"*.finance.example", "*.finance.example", true},
        {"tax.finance.example", "tax.finance.example", true},
        {"tax.finance.example", "tax.finance.exampl", false},
        {"finance.example", "tax.finance.example", false},
        {"*.localhost", "localhost", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(host_matches(slice_of(cases[i].pattern), slice_of(cases[i].host)),
                     cases[i].matches, "%s %s", cases[i].pattern, cases[i].host);
}

Test(host, patterns_overlap_where_some_host_matches_both)
{
    static const struct {
        const char *a, *b;
        bool overlaps;
    } cases[] = {
        {"a.example", "a.example", true},
        {"a.example", "b.example", false},
        {"*.example", "a.example", true},
        {"*.example", "*.example", true},
        {"*.example", "a.b.example", false},
        {"*.b.example", "*.example", false}, /* "b.example" is the one, "a.b.example" the other */
        {"*.b.example", "b.example", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice a = slice_of(cases[i].a), b = slice_of(cases[i].b);
        cr_expect_eq(host_overlaps(a, b), cases[i].overlaps, "%s %s", cases[i].a, cases[i].b);
        cr_expect_eq(host_overlaps(b, a), cases[i].overlaps, "%s %s", cases[i].b, cases[i].a);
    }
}

Test(host, patterns_have_a_star_only_as_the_whole_first_label)
{
    static const struct {
        const char *text, *pattern;
    } cases[] = {
        {"*.Finance.Example.", "*.finance.example"},
        {"Tax.Finance.Example", "tax.finance.example"},
        {"*.localhost", "*.localhost"},
        {"*", NULL},
        {"*.", NULL},
        {"**.example", NULL},
        {"*.*.example", NULL},
        {"a.*.example", NULL},
        {"a*.example", NULL},
        {"*a.example", NULL},
        {"*.1", NULL},
        {"*.example:443", NULL},
        {"a.example:443", NULL},
        {"", NULL},
        {"*." LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_61, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char room[HOST_MAX];
        struct slice pattern = {0};
        bool is_good = host_pattern_parse(slice_of(cases[i].text), room, &pattern);
        cr_expect_eq(is_good, cases[i].pattern != NULL, "'%s'", cases[i].text);
        if (is_good && cases[i].pattern)
            cr_expect(slice_eq(pattern, slice_of(cases[i].pattern)), "'%s'", cases[i].text);
    }
}
