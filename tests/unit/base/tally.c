// SPDX-License-Identifier: EUPL-1.2
/* Compared with plain counting, over keys that crowd each other in the table. */
#include <criterion/criterion.h>

#include "base/entropy.h"
#include "base/tally.h"

#define KEYS 64

Test(tally, counts_each_key_up_to_its_limit)
{
    struct tally t;
    tally_init(&t, 10);
    cr_expect(tally_add(&t, 5, 2));
    cr_expect(tally_add(&t, 5, 2));
    cr_expect_not(tally_add(&t, 5, 2));
    cr_expect(tally_add(&t, 6, 2));
    tally_drop(&t, 5);
    cr_expect(tally_add(&t, 5, 2));
    tally_fini(&t);
}

Test(tally, counts_as_plain_counting_does)
{
    struct tally t;
    struct dice dice = {{1, 2, 3, 4}};
    uint64_t counts[KEYS] = {0};
    tally_init(&t, KEYS);
    for (int turn = 0; turn < 200000; turn++) {
        uint64_t n = dice_next(&dice) % KEYS;
        uint64_t key = n % 3 ? n * 1024 : n * 1024 + 127; /* few homes, also at the table's end */
        if (dice_next(&dice) % 2) {
            bool has_room = counts[n] < 3;
            cr_assert_eq(tally_add(&t, key, 3), has_room);
            counts[n] += has_room;
        } else if (counts[n]) {
            tally_drop(&t, key);
            counts[n]--;
        }
    }
    for (uint64_t n = 0; n < KEYS; n++)
        while (counts[n]--)
            tally_drop(&t, n % 3 ? n * 1024 : n * 1024 + 127);
    cr_expect_eq(t.used, 0);
    tally_fini(&t);
}
