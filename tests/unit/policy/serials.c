// SPDX-License-Identifier: EUPL-1.2
/* What was seen is not gone back on. */
#include "policy/serials.h"

#include <criterion/criterion.h>

static const uint8_t one[SHA256_BYTES] = {1};
static const uint8_t two[SHA256_BYTES] = {2};

Test(serials, judge_by_the_highest_seen)
{
    struct serials s = {.at = NULL};
    struct fault f;
    cr_assert(serials_note(&s, SLICE("finance"), 5, one, &f));
    cr_assert(serials_note(&s, SLICE("finance"), 4, two, &f)); // lowers nothing
    cr_expect_eq(serials_judge(&s, SLICE("finance"), 4, one), SERIAL_OLDER);
    cr_expect_eq(serials_judge(&s, SLICE("finance"), 5, one), SERIAL_SAME);
    cr_expect_eq(serials_judge(&s, SLICE("finance"), 5, two), SERIAL_CONFLICT);
    cr_expect_eq(serials_judge(&s, SLICE("finance"), 6, two), SERIAL_NEWER);
    cr_expect_eq(serials_judge(&s, SLICE("finance"), SERIAL_MAX + 1, two), SERIAL_OLDER);
    cr_expect_eq(serials_judge(&s, SLICE("health"), 1, two), SERIAL_NEWER);
    cr_expect_eq(serials_judge(&s, SLICE("health"), 0, two), SERIAL_OLDER);
    cr_expect_eq(serials_judge(&s, SLICE(""), 1, two), SERIAL_NEWER);
    serials_fini(&s);
}

Test(serials, are_read_as_they_were_printed)
{
    struct serials s = {.at = NULL};
    struct serials back = {.at = NULL};
    struct fault f;
    struct buf text;
    buf_init(&text, 4096);
    serials_note_wall(&s, (struct wall){1795499329});
    serials_note_wall(&s, (struct wall){1795499328});
    cr_assert(serials_note(&s, SLICE(""), 42, one, &f));
    cr_assert(serials_note(&s, SLICE("finance"), SERIAL_MAX, two, &f));
    cr_assert(serials_print(&s, &text));
    cr_assert(serials_parse(&back, buf_slice(&text), &f), "%s", f.text);
    cr_expect_eq(back.wall.s, 1795499329);
    cr_expect_eq(back.count, 2);
    cr_expect_eq(serials_judge(&back, SLICE(""), 42, one), SERIAL_SAME);
    cr_expect_eq(serials_judge(&back, SLICE("finance"), SERIAL_MAX, two), SERIAL_SAME);
    serials_fini(&back);
    for (size_t cut = 1; cut < buf_len(&text); cut++) {
        const struct slice part = slice_from(text.ptr + text.from, buf_len(&text) - cut);
        if (part.ptr[part.len - 1] == '\n')
            continue; // whole lines: as many as were noted then
        cr_expect_not(serials_parse(&back, part, &f), "%.*s", SLICE_ARG(part));
        cr_expect_null(back.at);
    }
    buf_fini(&text);
    serials_fini(&s);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(serials, a_damaged_list_is_refused)
{
    static const char *const table[] = {
        "",
        "belfry-serials/v2\nwall 1\n",
        "belfry-serials/v1\n",
        "belfry-serials/v1\nwall x\n",
        "belfry-serials/v1\nwall 1\ncharter 1\n",
        "belfry-serials/v1\nwall 1\ncharter 0 " HEX "\n",
        "belfry-serials/v1\nwall 1\ncharter 1 " HEX "\ncharter 2 " HEX "\n",
        "belfry-serials/v1\nwall 1\nbundle ../x 1 " HEX "\n",
        "belfry-serials/v1\nwall 1\nbundle  1 " HEX "\n",
        "belfry-serials/v1\nwall 1\nrules x 1 " HEX "\n",
        "belfry-serials/v1\nwall 1\nbundle x 1 " HEX " \n",
        "belfry-serials/v1\nwall 1\n\n",
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct serials s = {.at = NULL};
        struct fault f;
        cr_expect_not(serials_parse(&s, slice_of(table[i]), &f), "%s", table[i]);
        cr_expect_null(s.at);
    }
}

Test(serials, an_id_is_checked_before_it_is_a_name)
{
    static const char *const bad[] = {
        "",          ".",   "..",
        "../x",      "a/b", "A",
        "a b",       "a_b", "a\n",
        "a\xc3\xa9", "a:b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(entity_id_is_valid(slice_of(bad[i])), "%s", bad[i]);
    cr_expect_not(entity_id_is_valid(slice_from("a\0b", 3)));
    cr_expect(entity_id_is_valid(SLICE("fod-financien-2")));
}
