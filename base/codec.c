// SPDX-License-Identifier: EUPL-1.2
/* The three encodings. The two of base 64 differ by two letters and the padding, so both are one
 * pair of functions here. Not constant in time: keys are read by OpenSSL, not by these. */
#include "base/codec.h"

#include <endian.h>

static const char url_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value plus one by letter, so that every byte that is not named is refused. */
// clang-format off
#define LETTERS_OF_BOTH                                                                            \
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8,        \
    ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, \
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23,            \
    ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,            \
    ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37,            \
    ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44,            \
    ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51,            \
    ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58,            \
    ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62
// clang-format on
static const uint8_t url_values[256] = {LETTERS_OF_BOTH, ['-'] = 63, ['_'] = 64};
static const uint8_t values[256] = {LETTERS_OF_BOTH, ['+'] = 63, ['/'] = 64};

static size_t encode(char *out, const uint8_t *in, size_t len, const char *alphabet)
{
    char *at = out;
    for (; len >= 3; len -= 3, in += 3) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *at++ = alphabet[bits >> 18];
        *at++ = alphabet[bits >> 12 & 63];
        *at++ = alphabet[bits >> 6 & 63];
        *at++ = alphabet[bits & 63];
    }
    if (len) {
        uint32_t bits = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
        *at++ = alphabet[bits >> 18];
        *at++ = alphabet[bits >> 12 & 63];
        if (len == 2)
            *at++ = alphabet[bits >> 6 & 63];
    }
    return (size_t)(at - out);
}

/* Without padding. RFC 4648 §3.5: bits that stand for no byte must be zero, else one value would
 * have several texts, and a signed text could be changed without breaking what it says. */
static bool decode(uint8_t *out, size_t *out_len, struct slice in, const uint8_t table[256])
{
    const uint8_t *from = (const uint8_t *)in.ptr;
    uint8_t *at = out;
    uint32_t bits = 0;
    size_t held = 0; // bits of `bits` that wait for a byte to be full
    size_t i = 0;
    if (in.len % 4 == 1)
        return false;
    for (; i + 4 <= in.len; i += 4, at += 3) {
        const uint32_t a = table[from[i]], b = table[from[i + 1]], c = table[from[i + 2]],
                       d = table[from[i + 3]];
        if (!a || !b || !c || !d)
            return false;
        const uint32_t three = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        at[0] = (uint8_t)(three >> 16);
        at[1] = (uint8_t)(three >> 8);
        at[2] = (uint8_t)three;
    }
    for (; i < in.len; i++) {
        uint32_t value = table[from[i]];
        if (!value)
            return false;
        bits = bits << 6 | (value - 1);
        held += 6;
        if (held >= 8) {
            held -= 8;
            *at++ = (uint8_t)(bits >> held);
        }
    }
    if (bits & ((1u << held) - 1))
        return false;
    *out_len = (size_t)(at - out);
    return true;
}

size_t base64url_encode(char *out, const void *bytes, size_t len)
{
    return encode(out, bytes, len, url_letters);
}

bool base64url_decode(uint8_t *out, size_t *out_len, struct slice in)
{
    return decode(out, out_len, in, url_values);
}

size_t base64_encode(char *out, const void *bytes, size_t len)
{
    size_t n = encode(out, bytes, len, letters);
    while (n % 4)
        out[n++] = '=';
    return n;
}

bool base64_decode(uint8_t *out, size_t *out_len, struct slice in)
{
    if (in.len % 4)
        return false;
    for (int i = 0; i < 2 && in.len && in.ptr[in.len - 1] == '='; i++)
        in.len--;
    return decode(out, out_len, in, values);
}

/* Eight letters at once: four bytes are spread to a nibble in each of eight, and those above nine
 * are moved from behind "9" to "a". */
static void hex_encode_four(char *out, const uint8_t in[4])
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t n = (uint64_t)in[3] << 48 | (uint64_t)in[2] << 32 | (uint64_t)in[1] << 16 | in[0];
    n = (n >> 4 | n << 8) & ones * 0x0f;
    n += ones * '0' + (((n + ones * 6) >> 4) & ones) * ('a' - '9' - 1);
    n = htole64(n);
    memcpy(out, &n, sizeof n);
}

void hex_encode(char *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;
    for (; len >= 4; len -= 4, in += 4, out += 8)
        hex_encode_four(out, in);
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(uint8_t *out, struct slice in)
{
    if (in.len % 2)
        return false;
    for (size_t i = 0; i < in.len; i += 2) {
        int high = hex_value(in.ptr[i]), low = hex_value(in.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    return true;
}

size_t form_encode(char *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t *in = bytes;
    char *at = out;
    for (size_t i = 0; i < len; i++) {
        const char lower = ascii_lower((char)in[i]);
        if ((lower >= 'a' && lower <= 'z') || (in[i] >= '0' && in[i] <= '9') ||
            (in[i] && strchr("-._*", in[i]))) {
            *at++ = (char)in[i];
        } else if (in[i] == ' ') {
            *at++ = '+';
        } else {
            *at++ = '%';
            *at++ = digits[in[i] >> 4];
            *at++ = digits[in[i] & 15];
        }
    }
    return (size_t)(at - out);
}
