// SPDX-License-Identifier: EUPL-1.2
/* One walk over the text for both forms: plain bytes are copied as they are, the rest is decoded
 * once, strictly (RFC 3629: no overlong form, no surrogate, nothing over U+10FFFF), and written
 * escaped. */
#include "base/escape.h"

#define REPLACEMENT 0xFFFDu

/* One character off `s`, which is not empty: its code point and length. What is not UTF-8 is one
 * byte of U+FFFD, so that the walk always goes on. */
static uint32_t utf8_take(struct slice s, size_t *len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t first = (uint8_t)s.ptr[0];
    const size_t n = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;

    *len = 1;
    if (n == 1)
        return first;
    if (n == 0 || first > 0xF4 || s.len < n)
        return REPLACEMENT;
    uint32_t point = first & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        const uint8_t next = (uint8_t)s.ptr[i];
        if ((next & 0xC0) != 0x80)
            return REPLACEMENT;
        point = point << 6 | (next & 0x3Fu);
    }
    if (point < least[n] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
        return REPLACEMENT;
    *len = n;
    return point;
}

static char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

/* Characters that a terminal or an editor obeys instead of showing. */
static bool is_invisible(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) ||
           (point >= 0x200E && point <= 0x200F) || (point >= 0x2028 && point <= 0x202E) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF;
}

char *escape_json(char *at, struct slice text)
{
    static const char digits[] = "0123456789abcdef";

    while (text.len) {
        const uint8_t c = (uint8_t)text.ptr[0];
        if (c >= 0x20 && c < 0x7F) {
            if (c == '"' || c == '\\')
                *at++ = '\\';
            *at++ = (char)c;
            text.ptr++;
            text.len--;
            continue;
        }
        size_t len = 1;
        const uint32_t point = utf8_take(text, &len);
        if (is_invisible(point)) {
            const char hex[6] = {'\\',
                                 'u',
                                 digits[point >> 12 & 15],
                                 digits[point >> 8 & 15],
                                 digits[point >> 4 & 15],
                                 digits[point & 15]};
            at = put(at, hex, sizeof hex);
        } else if (point == REPLACEMENT) {
            at = put(at, "\xEF\xBF\xBD", 3);
        } else {
            at = put(at, text.ptr, len);
        }
        text = slice_skip(text, len);
    }
    return at;
}

char *escape_html(char *at, struct slice text)
{
    while (text.len) {
        size_t len = 1;
        const uint32_t point = utf8_take(text, &len);
        if (point == '&')
            at = put(at, "&amp;", 5);
        else if (point == '<')
            at = put(at, "&lt;", 4);
        else if (point == '>')
            at = put(at, "&gt;", 4);
        else if (point == '"')
            at = put(at, "&quot;", 6);
        else if (point == '\'')
            at = put(at, "&#39;", 5);
        else if (point == REPLACEMENT || is_invisible(point))
            at = put(at, "\xEF\xBF\xBD", 3);
        else
            at = put(at, text.ptr, len);
        text = slice_skip(text, len);
    }
    return at;
}
