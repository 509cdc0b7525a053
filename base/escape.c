// SPDX-License-Identifier: EUPL-1.2
/* One walk over the text for both forms: plain bytes are copied as they are, the rest is decoded
 * once and written escaped. */
#include "base/escape.h"

#include "base/utf8.h"

#define REPLACEMENT 0xFFFDu

/* One character off `s`, which is not empty: its code point and length. What is not UTF-8 is one
 * byte of U+FFFD, so that the walk always goes on. */
static uint32_t point_take(struct slice s, size_t *len)
{
    uint32_t point = REPLACEMENT;
    *len = utf8_next(s, &point);
    if (!*len)
        *len = 1;
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

/* Eight bytes that stand as they are: and neither '"' nor '\\'. */
static bool is_plain(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t quote = word ^ ones * '"';
    const uint64_t backslash = word ^ ones * '\\';

    return utf8_is_plain_eight(word) && !(((quote - ones) | (backslash - ones)) & ones * 0x80);
}

/* Four to seven plain bytes, by two fours that overlap: most names are as short. */
static char *put_short(char *at, struct slice *text)
{
    uint32_t first;
    uint32_t last;

    memcpy(&first, text->ptr, sizeof first);
    memcpy(&last, text->ptr + text->len - sizeof last, sizeof last);
    if (!is_plain((uint64_t)last << 32 | first))
        return at;
    memcpy(at, &first, sizeof first);
    memcpy(at + text->len - sizeof last, &last, sizeof last);
    at += text->len;
    text->len = 0;
    return at;
}

/* Copies plain bytes off the front of `text`, as many as come in eights; and where some of them
 * did, a rest that is plain too, by an eight that ends with it. */
static char *put_plain(char *at, struct slice *text)
{
    const char *from = text->ptr;
    uint64_t word;

    if (text->len >= 4 && text->len < sizeof word)
        return put_short(at, text);

    while (text->len >= sizeof word) {
        memcpy(&word, text->ptr, sizeof word);
        if (!is_plain(word))
            return at;
        at = put(at, (const char *)&word, sizeof word);
        *text = slice_skip(*text, sizeof word);
    }
    if (text->ptr == from || !text->len)
        return at;
    memcpy(&word, text->ptr + text->len - sizeof word, sizeof word);
    if (!is_plain(word))
        return at;
    at += text->len;
    memcpy(at - sizeof word, &word, sizeof word);
    text->len = 0;
    return at;
}

char *escape_json(char *at, struct slice text)
{
    static const char digits[] = "0123456789abcdef";

    for (;;) {
        at = put_plain(at, &text);
        if (!text.len)
            return at;
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
        const uint32_t point = point_take(text, &len);
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
}

char *escape_html(char *at, struct slice text)
{
    while (text.len) {
        size_t len = 1;
        const uint32_t point = point_take(text, &len);
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

void escape_controls(char *text, size_t len)
{
    uint32_t point = 0;
    size_t taken;
    for (size_t i = 0; i < len; i += taken) {
        taken = utf8_next(slice_from(text + i, len - i), &point);
        if (taken && !is_invisible(point))
            continue;
        taken = taken ? taken : 1;
        memset(text + i, '?', taken);
    }
}
