// SPDX-License-Identifier: EUPL-1.2
#include "base/escape.h"

#include <criterion/criterion.h>

#define FFFD "\xEF\xBF\xBD"

static const struct {
    struct slice in;
    const char *json;
    const char *html;
} table[] = {
    {SLICE_INIT("plain"), "plain", "plain"},
    {SLICE_INIT("\"\\/'&<>"), "\\\"\\\\/'&<>", "&quot;\\/&#39;&amp;&lt;&gt;"},
    {SLICE_INIT("\0\n\x1f\x7f"), "\\u0000\\u000a\\u001f\\u007f", FFFD FFFD FFFD FFFD},
    {SLICE_INIT("\xC2\x9B"), "\\u009b", FFFD},     /* a terminal's CSI */
    {SLICE_INIT("\xE2\x80\xA8"), "\\u2028", FFFD}, /* line separator */
    {SLICE_INIT("\xE2\x80\xAE"), "\\u202e", FFFD}, /* right-to-left override */
    {SLICE_INIT("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x94\x94"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x94\x94",
     "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x94\x94"},
    {SLICE_INIT("\xC1\xBF"), FFFD FFFD, FFFD FFFD}, /* overlong */
    {SLICE_INIT("\xE0\x80\xAF"), FFFD FFFD FFFD, FFFD FFFD FFFD},
    {SLICE_INIT("\xED\xA0\x80"), FFFD FFFD FFFD, FFFD FFFD FFFD}, /* surrogate */
    {SLICE_INIT("\xF4\x90\x80\x80"), FFFD FFFD FFFD FFFD, FFFD FFFD FFFD FFFD},
    {SLICE_INIT("\xF0\x9F\x94"), FFFD FFFD FFFD, FFFD FFFD FFFD},
    {SLICE_INIT("\xE2<"), FFFD "<", FFFD "&lt;"}, /* a cut character takes nothing with it */
    {SLICE_INIT("\x80z"), FFFD "z", FFFD "z"},
};

Test(escape, lets_no_byte_be_read_as_syntax)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char out[128];
        *escape_json(out, table[i].in) = '\0';
        cr_expect_str_eq(out, table[i].json, "json %zu", i);
        *escape_html(out, table[i].in) = '\0';
        cr_expect_str_eq(out, table[i].html, "html %zu", i);
    }
}

/* Runs are copied in fours and eights: each byte must fare there as it does alone. */
Test(escape, treats_each_byte_alike_wherever_it_stands)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        char alone[ESCAPE_ROOM(1) + 1];
        *escape_json(alone, slice_from(&c, 1)) = '\0';
        for (size_t i = 0; i < 17 * 17; i++) {
            const size_t len = 1 + i / 17;
            const size_t at = i % 17;
            char in[18] = "~ ~ ~ ~ ~ ~ ~ ~ ~";
            char out[ESCAPE_ROOM(sizeof in)];
            char expected[ESCAPE_ROOM(sizeof in)];
            if (at >= len)
                continue;
            in[at] = c;
            in[len] = '\0';
            *escape_json(out, slice_from(in, len)) = '\0';
            (void)snprintf(expected, sizeof expected, "%.*s%s%s", (int)at, in, alone, in + at + 1);
            cr_assert_str_eq(out, expected, "byte %u at %zu of %zu", byte, at, len);
        }
    }
}

Test(escape, needs_no_more_room_than_it_says)
{
    for (unsigned first = 0; first < 256; first++) {
        const char in[4] = {(char)first, '\x80', '\x80', '"'};
        char out[ESCAPE_ROOM(sizeof in)];
        cr_expect_leq(escape_json(out, slice_from(in, sizeof in)) - out, (long)sizeof out);
        cr_expect_leq(escape_html(out, slice_from(in, sizeof in)) - out, (long)sizeof out);
    }
}

Test(escape, leaves_no_control_for_a_terminal_to_obey)
{
    static const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {SLICE_INIT("a\033[2J\n\x7f\0z"), "a?[2J???z"},
        {SLICE_INIT("\xC2\x9B"
                    "2J"),
         "??2J"},                                                  // C1: to xterm the same as ESC [
        {SLICE_INIT("\xC2\xA0\xC3\xA9\xC2"), "\xC2\xA0\xC3\xA9?"}, // cut short
        {SLICE_INIT("a\xE2\x80\xAE"
                    "b\xED\xA0\x80"),
         "a???b???"}, // right to left, half a surrogate pair
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];
        memcpy(text, rows[i].in.ptr, rows[i].in.len);
        escape_controls(text, rows[i].in.len);
        cr_expect(slice_eq(slice_from(text, rows[i].in.len), slice_of(rows[i].out)), "row %zu", i);
    }
}
