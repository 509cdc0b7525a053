// SPDX-License-Identifier: EUPL-1.2
/* Tables from people's spreadsheets: what is read, and what is sent back. */
#include "base/csv.h"

#include <criterion/criterion.h>

static struct arena arena;
static struct slice values[4];
static uint32_t count;
static struct fault fault;

static void begin(void)
{
    arena_init(&arena, NULL);
    fault = (struct fault){0};
}

static void end(void)
{
    arena_fini(&arena);
}

TestSuite(csv, .init = begin, .fini = end);

static enum csv_step next(struct csv *c)
{
    return csv_next(c, &arena, values, 4, &count, &fault);
}

Test(csv, rows_are_read_as_rfc_4180_writes_them)
{
    struct csv c = {.rest = SLICE("\xEF\xBB\xBFid,\"a \"\"b\"\"\",\r\nx,,\"1,2\"\n,\ny")};
    cr_assert_eq(next(&c), CSV_ROW);
    cr_assert_eq(count, 3);
    cr_expect(slice_eq(values[0], SLICE("id")), "without the mark in front");
    cr_expect(slice_eq(values[1], SLICE("a \"b\"")));
    cr_expect_eq(values[2].len, 0);
    cr_assert_eq(next(&c), CSV_ROW);
    cr_expect(count == 3 && !values[1].len && slice_eq(values[2], SLICE("1,2")));
    cr_assert_eq(next(&c), CSV_ROW);
    cr_expect(count == 2 && !values[0].len && !values[1].len);
    cr_assert_eq(next(&c), CSV_ROW);
    cr_expect(count == 1 && slice_eq(values[0], SLICE("y")) && c.line == 4);
    cr_expect_eq(next(&c), CSV_END);
}

Test(csv, what_could_be_read_in_two_ways_is_refused)
{
    static const struct slice bad[] = {
        SLICE_INIT("a\"b"),       SLICE_INIT("\"a\" ,b"), SLICE_INIT("\"a"),
        SLICE_INIT("\"a\nb\",c"), SLICE_INIT("a\rb"),     SLICE_INIT("\n"),
        SLICE_INIT("\r\n"),       SLICE_INIT("a\tb"),     SLICE_INIT("a\0b"),
        SLICE_INIT("\xff"),       SLICE_INIT("\xc2\x85"), SLICE_INIT("1,2,3,4,5"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct csv c = {.rest = bad[i]};
        cr_expect_eq(next(&c), CSV_BAD, "row %zu", i);
        cr_expect(fault.text[0] && c.line == 1);
    }
}
