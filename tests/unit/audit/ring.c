// SPDX-License-Identifier: EUPL-1.2
#include "audit/ring.h"

#include <criterion/criterion.h>

static bool put(struct ring *r, struct slice text)
{
    char *at = ring_reserve(r, text.len, 0);
    if (!at)
        return false;
    memcpy(at, text.ptr, text.len);
    ring_commit(r);
    return true;
}

static bool takes(struct ring *r, struct slice want)
{
    struct slice got;
    if (!ring_peek(r, ring_mark(r), &got) || !slice_eq(got, want))
        return false;
    ring_release(r, got);
    return true;
}

Test(ring, gives_records_of_every_size_in_order_over_many_turns)
{
    struct ring r;
    char bytes[256];
    size_t in = 0;
    size_t out = 0;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    ring_init(&r, 256);
    while (out < 2000) {
        while (put(&r, slice_from(bytes + in % 97, in * 7 % 113)))
            in++;
        cr_assert_gt(in, out, "a ring that was emptied takes nothing");
        for (size_t half = (in - out + 1) / 2; half; half--, out++)
            cr_assert(takes(&r, slice_from(bytes + out % 97, out * 7 % 113)), "record %zu", out);
    }
    ring_fini(&r);
}

Test(ring, refuses_what_could_only_sometimes_fit)
{
    struct ring r;
    ring_init(&r, 256);
    cr_assert_null(ring_reserve(&r, 121, 0));
    cr_assert_null(ring_reserve(&r, SIZE_MAX, 0));
    cr_assert_not_null(ring_reserve(&r, 120, 0));
    ring_fini(&r);
}

Test(ring, shows_nothing_before_the_commit_and_forgets_what_was_not_committed)
{
    struct ring r;
    struct slice got;
    ring_init(&r, 256);
    memset(ring_reserve(&r, 100, 0), 'x', 100);
    cr_assert_not(ring_peek(&r, ring_mark(&r), &got));
    cr_assert(put(&r, SLICE("kept")));
    cr_assert(takes(&r, SLICE("kept")));
    cr_assert_not(ring_peek(&r, ring_mark(&r), &got));
    ring_fini(&r);
}

Test(ring, when_full_says_no_until_something_was_taken)
{
    struct ring r;
    char bytes[56] = {0};
    ring_init(&r, 256);
    for (int i = 0; i < 4; i++)
        cr_assert(put(&r, slice_from(bytes, sizeof bytes)));
    cr_assert_not(put(&r, SLICE("")));
    cr_assert(takes(&r, slice_from(bytes, sizeof bytes)));
    cr_assert(put(&r, slice_from(bytes, sizeof bytes)));
    cr_assert_not(put(&r, SLICE("")));
    ring_fini(&r);
}

Test(ring, leaves_the_spare_room_to_others)
{
    struct ring r;
    ring_init(&r, 256);
    cr_assert_not_null(ring_reserve(&r, 56, 192));
    cr_assert_null(ring_reserve(&r, 57, 192));
    ring_fini(&r);
}
