// SPDX-License-Identifier: EUPL-1.2
#include "proxy/proxy_protocol.h"

#include <criterion/criterion.h>
#include <netinet/in.h>

#include "base/network.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(text) slice_from((text), sizeof(text) - 1)
#define V4                                                                                         \
    "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdd\xd5\x01\xbb" /* 192.0.2.1:56789 > 198.51.100.1:443 */
#define V6                                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x08\xdd\xd5" \
    "\x01\xbb"

static enum proxy_step step_of(struct slice bytes, struct proxy_announced *out, const char **why)
{
    size_t wanted;
    *why = NULL;
    return proxy_header_read(out, bytes, &wanted, why);
}

static const struct {
    const char *what;
    struct slice bytes;
    const char *client; /* NULL: the balancer itself */
} good[] = {
    {"TCP over IPv4", SLICE_INIT(SIGNATURE "\x21\x11\0\x0c" V4), "192.0.2.1"},
    {"TCP over IPv6", SLICE_INIT(SIGNATURE "\x21\x21\0\x24" V6), "2001:db8::7"},
    {"with fields", SLICE_INIT(SIGNATURE "\x21\x11\0\x17" V4 "\x04\0\x01x\xea\0\x04vpce"),
     "192.0.2.1"},
    {"an empty field", SLICE_INIT(SIGNATURE "\x21\x11\0\x0f" V4 "\x04\0\0"), "192.0.2.1"},
    {"with its sum", SLICE_INIT(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\xe5\xfc\x6d\xd7"),
     "192.0.2.1"},
    {"LOCAL", SLICE_INIT(SIGNATURE "\x20\0\0\0"), NULL},
    {"LOCAL with more",
     SLICE_INIT(SIGNATURE "\x20\x11\0\x03"
                          "abc"),
     NULL},
};

Test(proxy_protocol, says_whose_connection_it_is)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct proxy_announced a;
        const char *why;
        char text[INET6_ADDRSTRLEN];
        cr_assert_eq(step_of(good[i].bytes, &a, &why), PROXY_DONE, "%s: %s", good[i].what, why);
        cr_expect_eq(a.is_local, !good[i].client, "%s", good[i].what);
        if (a.is_local)
            continue;
        (void)address_text(text, (const struct sockaddr *)&a.client);
        cr_expect_str_eq(text, good[i].client, "%s", good[i].what);
        cr_expect_eq(a.port, 443, "%s", good[i].what);
    }
}

Test(proxy_protocol, in_pieces_asks_for_no_byte_behind_its_end)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct proxy_announced a;
        const char *why = NULL;
        size_t wanted;
        for (size_t len = 0; len < good[i].bytes.len; len++) {
            cr_assert_eq(proxy_header_read(&a, slice_from(good[i].bytes.ptr, len), &wanted, &why),
                         PROXY_MORE, "%s at %zu", good[i].what, len);
            cr_assert(len < wanted && wanted <= good[i].bytes.len, "%s at %zu: %zu", good[i].what,
                      len, wanted);
        }
    }
}

static const struct {
    const char *what;
    struct slice bytes;
} bad[] = {
    {"TLS", SLICE_INIT("\x16\x03\x01")},
    {"version 1", SLICE_INIT("PROXY TCP4 192.0.2.1 198.51.100.1 56789 443\r\n")},
    {"another byte in the signature", SLICE_INIT("\r\n\r\n\0\r\nQUIZ")},
    {"version 1 in binary", SLICE_INIT(SIGNATURE "\x11\x11\0\x0c" V4)},
    {"version 3", SLICE_INIT(SIGNATURE "\x31\x11\0\x0c" V4)},
    {"another command", SLICE_INIT(SIGNATURE "\x22\x11\0\x0c" V4)},
    {"PROXY of nobody", SLICE_INIT(SIGNATURE "\x21\0\0\0")},
    {"UDP", SLICE_INIT(SIGNATURE "\x21\x12\0\x0c" V4)},
    {"UDP over IPv6", SLICE_INIT(SIGNATURE "\x21\x22\0\x24" V6)},
    {"unix", SLICE_INIT(SIGNATURE "\x21\x31\0\xd8")},
    {"no room for its addresses",
     SLICE_INIT(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\1\1\1")},
    {"IPv6 with IPv4's length", SLICE_INIT(SIGNATURE "\x21\x21\0\x0c" V4)},
    {"longer than it may be", SLICE_INIT(SIGNATURE "\x21\x11\x0f\xf1")},
    {"a byte behind its end", SLICE_INIT(SIGNATURE "\x21\x11\0\x0c" V4 "\x16")},
    {"half the head of a field", SLICE_INIT(SIGNATURE "\x21\x11\0\x0e" V4 "\x04\0")},
    {"a field that is too long", SLICE_INIT(SIGNATURE "\x21\x11\0\x10" V4 "\x04\0\2x")},
    {"a wrong sum", SLICE_INIT(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\xe5\xfc\x6d\xd6")},
    {"a sum of zero", SLICE_INIT(SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\0\0\0\0")},
    {"a short sum", SLICE_INIT(SIGNATURE "\x21\x11\0\x11" V4 "\x03\0\x02\xe5\xfc")},
};

Test(proxy_protocol, whatever_else_it_is_it_is_refused_with_its_reason)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct proxy_announced a;
        const char *why;
        cr_expect_eq(step_of(bad[i].bytes, &a, &why), PROXY_REFUSED, "%s", bad[i].what);
        cr_expect(why, "%s", bad[i].what);
    }
}

Test(proxy_protocol, the_sum_is_castagnolis_and_of_every_byte)
{
    char bytes[] = SIGNATURE "\x21\x11\0\x13" V4 "\x03\0\x04\xe5\xfc\x6d\xd7";
    struct proxy_announced a;
    const char *why;
    for (size_t i = PROXY_HEADER_MIN_BYTES; i < PROXY_HEADER_MIN_BYTES + 12; i++) {
        bytes[i] ^= 1;
        cr_expect_eq(step_of(slice_from(bytes, sizeof bytes - 1), &a, &why), PROXY_REFUSED, "%zu",
                     i);
        bytes[i] ^= 1;
    }
}
