// SPDX-License-Identifier: EUPL-1.2
/* Addresses and networks. Everything is kept as IPv6, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2),
 * so that one comparison does for both and no address has two faces. */
#include "base/network.h"

#include <arpa/inet.h>

#define MAPPED_BITS 96

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* The text of one address, v4 or v6, as 16 bytes. */
static bool parse_bytes(uint8_t out[16], bool *out_is_v4, struct slice text)
{
    char copy[INET6_ADDRSTRLEN];
    if (!text.len || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *out_is_v4 = !memchr(copy, ':', text.len);
    if (!*out_is_v4)
        return inet_pton(AF_INET6, copy, out) == 1;
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, out + sizeof mapped) == 1; // four numbers, no octal, no hex
}

bool ip_parse(uint8_t out[16], struct slice text)
{
    bool is_v4;
    return parse_bytes(out, &is_v4, text);
}

size_t ip_text(char out[INET6_ADDRSTRLEN], const uint8_t ip[16])
{
    const bool is_v4 = memcmp(ip, mapped, sizeof mapped) == 0;
    const void *at = is_v4 ? ip + sizeof mapped : ip;
    return inet_ntop(is_v4 ? AF_INET : AF_INET6, at, out, INET6_ADDRSTRLEN) ? strlen(out) : 0;
}

static bool is_mapped(const uint8_t address[16])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

/* One way to write a number: digits without a zero in front. */
static bool parse_number(struct slice text, uint64_t max, uint64_t *out)
{
    return (text.len == 1 || !slice_starts(text, SLICE("0"))) && slice_u64(text, max, out);
}

static bool equal_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned rest = bits % 8;
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return !rest || !((a[bits / 8] ^ b[bits / 8]) >> (8 - rest));
}

bool network_parse(struct network *out, struct slice text)
{
    struct network n = {0};
    bool is_v4;
    uint64_t prefix;
    struct slice address = slice_cut(&text, '/');
    if (!parse_bytes(n.address, &is_v4, address) || !parse_number(text, is_v4 ? 32 : 128, &prefix))
        return false;
    n.prefix = (uint8_t)(is_v4 ? prefix + MAPPED_BITS : prefix);
    for (unsigned bit = n.prefix; bit < 128; bit++)
        if (n.address[bit / 8] >> (7 - bit % 8) & 1)
            return false;
    *out = n;
    return true;
}

bool address_bytes(uint8_t out[16], const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + sizeof mapped, &v4.sin_addr, 4);
        return true;
    }
    if (address->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof v6);
    memcpy(out, &v6.sin6_addr, 16);
    return true;
}

/* Whether the network says by itself that it means this address. What means "this machine" or
 * "this wire" (RFC 1122 §3.2.1.3, RFC 3927, RFC 4291 §2.5) is also inside of "all of the
 * Internet", and there nobody meant it; nor did who wrote fd00::/8 mean a cloud's own machines. */
static bool is_meant(const struct network *n, const uint8_t address[16])
{
    static const struct network local[] = {
        {{[10] = 0xff, [11] = 0xff}, MAPPED_BITS + 8}, // 0.0.0.0/8
        {{[10] = 0xff, [11] = 0xff, [12] = 127}, MAPPED_BITS + 8},
        {{[10] = 0xff, [11] = 0xff, [12] = 169, [13] = 254}, MAPPED_BITS + 16},
        {{0}, 127}, // :: and ::1
        {{0xfe, 0x80}, 10},
        /* Where clouds tell a machine its secrets, outside of the link-local range. */
        {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128},      // fd00:ec2::254
        {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128},      // fd20:ce::254
        {{0xfd, 0x00, 0x00, 0xc1, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, 128}, // fd00:c1::a9fe:a9fe
        {{[10] = 0xff, [11] = 0xff, [12] = 100, 100, 100, 200}, 128},
        {{[10] = 0xff, [11] = 0xff, [12] = 168, 63, 129, 16}, 128},
    };
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (equal_bits(local[i].address, address, local[i].prefix))
            return n->prefix >= local[i].prefix;
    return true;
}

bool network_has(const struct network *n, const struct sockaddr *address)
{
    uint8_t bytes[16];
    if (!address_bytes(bytes, address))
        return false;
    // "::/0" says all of IPv6; that IPv4 is kept inside it here must not let it in.
    if (n->prefix < MAPPED_BITS && is_mapped(bytes))
        return false;
    return equal_bits(n->address, bytes, n->prefix) && is_meant(n, bytes);
}

bool network_list_has(const struct network *networks, uint32_t count,
                      const struct sockaddr *address)
{
    for (uint32_t i = 0; i < count; i++)
        if (network_has(&networks[i], address))
            return true;
    return false;
}

bool address_parse(struct sockaddr_storage *out, socklen_t *out_len, struct slice text)
{
    uint8_t bytes[16];
    uint64_t port;
    bool is_v4;
    bool has_brackets = slice_starts(text, SLICE("["));
    if (has_brackets)
        text = slice_skip(text, 1);
    struct slice address = slice_cut(&text, has_brackets ? ']' : ':');
    if (has_brackets && (!text.len || slice_cut(&text, ':').len))
        return false;
    if (!parse_bytes(bytes, &is_v4, address) || is_v4 == has_brackets ||
        !parse_number(text, UINT16_MAX, &port))
        return false;
    *out = (struct sockaddr_storage){0};
    if (is_mapped(bytes)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        memcpy(&v4.sin_addr, bytes + sizeof mapped, 4);
        memcpy(out, &v4, sizeof v4);
        *out_len = sizeof v4;
    } else {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        memcpy(&v6.sin6_addr, bytes, 16);
        memcpy(out, &v6, sizeof v6);
        *out_len = sizeof v6;
    }
    return true;
}

uint16_t address_port(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        return ntohs(v4.sin_port);
    }
    if (address->sa_family != AF_INET6)
        return 0;
    memcpy(&v6, address, sizeof v6);
    return ntohs(v6.sin6_port);
}

void address_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
    else if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

bool address_is_same(const struct sockaddr *a, const struct sockaddr *b)
{
    uint8_t x[16];
    uint8_t y[16];
    return address_bytes(x, a) && address_bytes(y, b) && memcmp(x, y, sizeof x) == 0 &&
           address_port(a) == address_port(b);
}

size_t address_text(char out[INET6_ADDRSTRLEN], const struct sockaddr *address)
{
    uint8_t bytes[16];
    out[0] = '\0';
    if (!address_bytes(bytes, address))
        return 0;
    if (is_mapped(bytes))
        (void)inet_ntop(AF_INET, bytes + sizeof mapped, out, INET6_ADDRSTRLEN);
    else
        (void)inet_ntop(AF_INET6, bytes, out, INET6_ADDRSTRLEN); // the room is enough for each
    return strlen(out);
}

struct slice address_site(uint8_t room[16], const struct sockaddr *address)
{
    if (!address_bytes(room, address))
        return (struct slice){0};
    return slice_from((const char *)room, is_mapped(room) ? 16 : 8);
}

bool address_is_loopback(const struct sockaddr *address)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};
    uint8_t bytes[16];
    if (!address_bytes(bytes, address))
        return false;
    return is_mapped(bytes) ? bytes[12] == 127 : memcmp(bytes, v6_loopback, 16) == 0;
}
