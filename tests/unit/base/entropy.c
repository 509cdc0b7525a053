// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/entropy.h"
#include "belfry/slice.h"

Test(entropy, a_reference_is_four_groups_that_can_be_read_out)
{
    struct dice d;
    struct reference before = {""};
    dice_init(&d);
    for (int turn = 0; turn < 1000; turn++) {
        struct reference r;
        reference_make(&d, &r);
        cr_assert_eq(strlen(r.text), REFERENCE_CHARS);
        for (int i = 0; i < REFERENCE_CHARS; i++) {
            if (i % 5 == 4)
                cr_assert_eq(r.text[i], '-');
            else
                cr_assert(strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", r.text[i]));
        }
        cr_assert_str_neq(r.text, before.text);
        before = r;
    }
}

Test(entropy, two_dice_fall_differently)
{
    struct dice a, b;
    dice_init(&a);
    dice_init(&b);
    cr_assert_neq(dice_next(&a), dice_next(&b));
    cr_assert_neq(dice_next(&a), dice_next(&a));
}
