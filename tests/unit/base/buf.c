// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/buf.h"

Test(buf, takes_all_up_to_the_ceiling_and_nothing_of_what_passes_it)
{
    struct buf b;
    buf_init(&b, 10);
    cr_assert(buf_add(&b, SLICE("12345678")));
    cr_assert_not(buf_add(&b, SLICE("abc")));
    cr_assert(slice_eq(buf_slice(&b), SLICE("12345678")));
    cr_assert(buf_add(&b, SLICE("90")));
    cr_assert_not(buf_add(&b, SLICE("x")));
    cr_assert(buf_add(&b, SLICE("")));
    buf_fini(&b);
}

Test(buf, what_is_taken_off_makes_room_under_the_ceiling)
{
    struct buf b;
    char *at;
    buf_init(&b, 10);
    cr_assert(buf_add(&b, SLICE("1234567890")));
    buf_skip(&b, 4);
    cr_assert_not(buf_reserve(&b, 5, &at));
    cr_assert(buf_reserve(&b, 4, &at));
    memcpy(at, "abcd", 4);
    buf_grew(&b, 4);
    cr_assert(slice_eq(buf_slice(&b), SLICE("567890abcd")));
    buf_fini(&b);
}

/* Pieces of many sizes in and out of a small buffer that is mostly full, compared with counters. */
Test(buf, stays_in_order_and_small_when_filled_and_emptied_in_pieces)
{
    struct buf b;
    unsigned char next_in = 0, next_out = 0;
    buf_init(&b, 1000);
    for (size_t turn = 0; turn < 20000; turn++) {
        unsigned char piece[97];
        size_t in = turn * 31 % 97, out = turn * 17 % 97;
        for (size_t i = 0; i < in; i++)
            piece[i] = (unsigned char)(next_in + i);
        if (buf_add(&b, slice_from(piece, in)))
            next_in = (unsigned char)(next_in + in);
        if (out > buf_len(&b))
            out = buf_len(&b);
        for (size_t i = 0; i < out; i++)
            cr_assert_eq((unsigned char)buf_slice(&b).ptr[i], next_out++);
        buf_skip(&b, out);
        cr_assert_leq(buf_len(&b), 1000);
        cr_assert_leq(b.room, 1501);
    }
    buf_fini(&b);
}

Test(buf, printf_says_no_at_the_ceiling_and_leaves_the_text)
{
    struct buf b;
    buf_init(&b, 12);
    cr_assert(buf_printf(&b, "%s", "abc"));
    cr_assert_not(buf_printf(&b, "%d", 1234567890));
    cr_assert(slice_eq(buf_slice(&b), SLICE("abc")));
    cr_assert(buf_printf(&b, "%d", 123456789));
    cr_assert(slice_eq(buf_slice(&b), SLICE("abc123456789")));
    buf_fini(&b);
}

Test(buf, a_quiet_buffer_keeps_no_memory_and_a_full_one_keeps_its_own)
{
    struct buf b;
    buf_init(&b, 100);
    cr_assert(buf_add(&b, SLICE("abc")));
    buf_release(&b);
    cr_assert(slice_eq(buf_slice(&b), SLICE("abc")));
    buf_skip(&b, 3);
    buf_release(&b);
    cr_assert_null(b.ptr);
    cr_assert_eq(b.ceiling, 100);
    cr_assert_eq(buf_slice(&b).len, 0);
}
