// SPDX-License-Identifier: EUPL-1.2
/* By section 2.2 of the specification (proxy-protocol.txt of HAProxy):
 *
 *   0        12         13       14       16
 *   signature│ 2 │ cmd  │ family │ length │ addresses │ TLVs ...
 */
#include "proxy/proxy_protocol.h"

#include <netinet/in.h>
#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_BYTES 12
#define V2_LOCAL 0x20
#define V2_PROXY 0x21
#define TCP_V4 0x11
#define TCP_V6 0x21
#define V4_BYTES 12 /* two addresses, two ports */
#define V6_BYTES 36
#define TLV_HEAD_BYTES 3
#define TLV_CRC32C 0x03
#define CRC_BYTES 4

static enum proxy_step refuse(const char **why, const char *text)
{
    *why = text;
    return PROXY_REFUSED;
}

static uint16_t load_be16(const char *at)
{
    return (uint16_t)((uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

static uint32_t load_be32(const char *at)
{
    return (uint32_t)load_be16(at) << 16 | load_be16(at + 2);
}

/* Castagnoli's polynomial, bit by bit (RFC 9260, appendix A): once a connection, some hundred
 * bytes. */
static uint32_t crc32c_more(uint32_t crc, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint8_t)bytes.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

/* The sum is of the whole header, with zeros in the place of the sum (§2.2.3). */
static bool sum_is_right(struct slice header, size_t at)
{
    static const char zeros[CRC_BYTES];
    uint32_t crc = UINT32_MAX;
    crc = crc32c_more(crc, slice_from(header.ptr, at));
    crc = crc32c_more(crc, slice_from(zeros, sizeof zeros));
    crc = crc32c_more(crc, slice_skip(header, at + CRC_BYTES));
    return ~crc == load_be32(header.ptr + at);
}

/* What stands behind the addresses. None of it is used, but it must be what it says: lengths that
 * fill the rest exactly, and a sum, where there is one, that is right. */
static bool tlvs_are_good(struct slice header, size_t at, const char **why)
{
    bool has_sum = false;
    while (at < header.len) {
        const size_t left = header.len - at;
        if (left < TLV_HEAD_BYTES || load_be16(header.ptr + at + 1) > left - TLV_HEAD_BYTES)
            return refuse(why, "a field of the PROXY header is longer than the header");
        const uint8_t type = (uint8_t)header.ptr[at];
        const size_t len = load_be16(header.ptr + at + 1);
        if (type == TLV_CRC32C) {
            if (has_sum || len != CRC_BYTES)
                return refuse(why, "the PROXY header's checksum is not one");
            if (!sum_is_right(header, at + TLV_HEAD_BYTES))
                return refuse(why, "the PROXY header's checksum is wrong");
            has_sum = true;
        }
        at += TLV_HEAD_BYTES + len;
    }
    return true;
}

static void take_v4(struct proxy_announced *out, const char *at)
{
    struct sockaddr_in *client = (struct sockaddr_in *)&out->client;
    client->sin_family = AF_INET;
    memcpy(&client->sin_addr, at, 4);
    memcpy(&client->sin_port, at + 8, 2);
    out->port = load_be16(at + 10);
}

static void take_v6(struct proxy_announced *out, const char *at)
{
    struct sockaddr_in6 *client = (struct sockaddr_in6 *)&out->client;
    client->sin6_family = AF_INET6;
    memcpy(&client->sin6_addr, at, 16);
    memcpy(&client->sin6_port, at + 32, 2);
    out->port = load_be16(at + 34);
}

/* The first bytes alone say whether it can be one at all. */
static enum proxy_step read_fixed(struct slice bytes, size_t *wanted, const char **why)
{
    const size_t known = bytes.len < SIGNATURE_BYTES ? bytes.len : SIGNATURE_BYTES;
    if (memcmp(bytes.ptr, SIGNATURE, known) != 0)
        return refuse(why, "no PROXY header of version 2 came first");
    *wanted = PROXY_HEADER_MIN_BYTES;
    if (bytes.len < PROXY_HEADER_MIN_BYTES)
        return PROXY_MORE;
    const uint8_t command = (uint8_t)bytes.ptr[12];
    const uint8_t family = (uint8_t)bytes.ptr[13];
    if (command != V2_LOCAL && command != V2_PROXY)
        return refuse(why, "the PROXY header has another version or command");
    if (command == V2_PROXY && family != TCP_V4 && family != TCP_V6)
        return refuse(why, "the PROXY header is not of TCP over IPv4 or IPv6");
    *wanted += load_be16(bytes.ptr + 14);
    if (*wanted > PROXY_HEADER_MAX_BYTES)
        return refuse(why, "the PROXY header is too long");
    return bytes.len < *wanted ? PROXY_MORE : PROXY_DONE;
}

enum proxy_step proxy_header_read(struct proxy_announced *out, struct slice bytes, size_t *wanted,
                                  const char **why)
{
    *wanted = PROXY_HEADER_MIN_BYTES;
    if (!bytes.len)
        return PROXY_MORE;
    const enum proxy_step step = read_fixed(bytes, wanted, why);
    if (step != PROXY_DONE)
        return step;
    if (bytes.len > *wanted)
        return refuse(why, "more than the PROXY header was read");
    *out = (struct proxy_announced){.is_local = (uint8_t)bytes.ptr[12] == V2_LOCAL};
    if (out->is_local) /* §2.2: whatever else it says is to be ignored */
        return PROXY_DONE;
    const bool is_v4 = (uint8_t)bytes.ptr[13] == TCP_V4;
    const size_t tlvs = PROXY_HEADER_MIN_BYTES + (is_v4 ? V4_BYTES : V6_BYTES);
    if (bytes.len < tlvs)
        return refuse(why, "the PROXY header is too short for its addresses");
    if (!tlvs_are_good(bytes, tlvs, why))
        return PROXY_REFUSED;
    if (is_v4)
        take_v4(out, bytes.ptr + PROXY_HEADER_MIN_BYTES);
    else
        take_v6(out, bytes.ptr + PROXY_HEADER_MIN_BYTES);
    return PROXY_DONE;
}
