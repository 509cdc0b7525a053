// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/trace.h"

#define ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static const struct {
    struct slice header;
    bool is_kept;
    const char *flags; /* of the one that is kept */
} rows[] = {
    {SLICE_INIT("00-" ID "-" PARENT "-01"), true, "01"},
    {SLICE_INIT("00-" ID "-" PARENT "-00"), true, "00"},
    {SLICE_INIT("00-" ID "-" PARENT "-ff"), true, "01"}, // unknown flags become zero
    {SLICE_INIT("00-" ID "-" PARENT "-0a"), true, "00"},
    {SLICE_INIT("01-" ID "-" PARENT "-01"), true, "01"}, // a later version
    {SLICE_INIT("cc-" ID "-" PARENT "-01-more"), true, "01"},
    {SLICE_INIT("cc-" ID "-" PARENT "-01more"), false, NULL},
    {SLICE_INIT("00-" ID "-" PARENT "-01-more"), false, NULL},
    {SLICE_INIT("00-" ID "-" PARENT "-01 "), false, NULL},
    {SLICE_INIT("ff-" ID "-" PARENT "-01"), false, NULL},
    {SLICE_INIT("00-00000000000000000000000000000000-" PARENT "-01"), false, NULL},
    {SLICE_INIT("00-" ID "-0000000000000000-01"), false, NULL},
    {SLICE_INIT("00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01"), false, NULL},
    {SLICE_INIT("00-" ID "-" PARENT "-0A"), false, NULL},
    {SLICE_INIT("0A-" ID "-" PARENT "-01"), false, NULL},
    {SLICE_INIT("00_" ID "-" PARENT "-01"), false, NULL},
    {SLICE_INIT("00-" ID "_" PARENT "-01"), false, NULL},
    {SLICE_INIT("00-" ID "-" PARENT "_01"), false, NULL},
    {SLICE_INIT("00-" ID "-" PARENT "-0"), false, NULL},
    {SLICE_INIT("00-" ID "-" PARENT), false, NULL},
    {SLICE_INIT("00-0af7651916cd43dd8448eb211c80319g-" PARENT "-01"), false, NULL},
    {SLICE_INIT("00-0af7651916cd43dd8448eb211c80319\0-" PARENT "-01"), false, NULL},
    {SLICE_INIT(""), false, NULL},
};

Test(trace, goes_on_where_the_header_is_valid_and_begins_anew_elsewhere)
{
    struct dice dice;
    dice_init(&dice);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trace t;
        cr_assert_eq(trace_make(&t, rows[i].header, &dice), rows[i].is_kept, "row %zu", i);
        cr_assert_eq(strlen(t.text), TRACEPARENT_CHARS);
        cr_assert_eq(slice_eq(trace_id(&t), SLICE(ID)), rows[i].is_kept, "row %zu", i);
        cr_assert(slice_starts(slice_of(t.text), SLICE("00-")));
        cr_assert_null(strstr(t.text, PARENT), "row %zu: the span is not ours", i);
        if (rows[i].is_kept)
            cr_assert_str_eq(t.text + TRACEPARENT_CHARS - 2, rows[i].flags, "row %zu", i);
        // What is made can be gone on with.
        struct trace again;
        cr_assert(trace_make(&again, slice_of(t.text), &dice), "row %zu", i);
        cr_assert(slice_eq(trace_id(&again), trace_id(&t)));
    }
}
