// SPDX-License-Identifier: EUPL-1.2
/* Whoever asks too much is refused, and nobody gets a fresh bucket by a detour. */
#include <criterion/criterion.h>

#include "base/bucket.h"
#include "base/hash.h"

#define SECOND ((int64_t)1000000000)

static struct buckets b;

static void begin(void)
{
    base_init();
    buckets_init(&b, 4);
}

static void end(void)
{
    buckets_fini(&b);
}

TestSuite(bucket, .init = begin, .fini = end);

static int taken(uint64_t key, int64_t per_s, int64_t now, int tries)
{
    int n = 0;
    for (int i = 0; i < tries; i++)
        n += buckets_take(&b, key, per_s, now);
    return n;
}

Test(bucket, holds_what_was_saved_up_and_then_fills_at_its_rate)
{
    const int64_t now = 1000 * SECOND;
    cr_expect_eq(taken(7, 100, now, 2000), 100 * BUCKET_SAVES_S);
    cr_expect_eq(taken(7, 100, now, 10), 0);
    cr_expect_eq(taken(7, 100, now + SECOND / 10, 100), 10);
    cr_expect_eq(taken(7, 100, now + SECOND, 1000), 90);
    cr_expect_eq(taken(7, 100, now + 100 * SECOND, 2000), 100 * BUCKET_SAVES_S, "no more is saved");
}

Test(bucket, of_one_key_says_nothing_of_another)
{
    const int64_t now = 1000 * SECOND;
    cr_expect_eq(taken(1, 1, now, 100), BUCKET_SAVES_S);
    cr_expect_eq(taken(2, 1, now, 100), BUCKET_SAVES_S);
}

Test(bucket, with_a_rate_of_0_is_no_limit)
{
    cr_expect_eq(taken(1, 0, SECOND, 1000), 1000);
}

Test(bucket, that_is_in_debt_is_not_forgiven_by_a_crowd_of_others)
{
    const int64_t now = 1000 * SECOND;
    cr_assert_eq(taken(4, 10, now, 1000), 50);
    for (uint64_t other = 0; other < 1000; other++)
        (void)buckets_take(&b, 8 + 4 * other, 10, now); /* all of its set */
    cr_expect_eq(taken(4, 10, now, 1000), 0);
}

Test(bucket, gives_in_all_no_more_than_one_for_each_place_however_many_names_are_used)
{
    const int64_t now = 1000 * SECOND;
    int n = 0;
    for (uint64_t name = 1; name <= 100000; name++)
        n += taken(table_hash(slice_from((const char *)&name, sizeof name)), 1, now, 2);
    cr_expect_leq(n, 4 * 8 * BUCKET_SAVES_S, "%d", n);
}

Test(bucket, is_asked_without_taking_anything)
{
    for (int i = 0; i < 100; i++)
        cr_assert(buckets_has(&b, 7, 1, 0), "who owes nothing has some");
    for (int i = 0; i < BUCKET_SAVES_S; i++) {
        cr_expect(buckets_has(&b, 7, 1, 0), "%d", i);
        cr_expect(buckets_take(&b, 7, 1, 0), "%d", i);
    }
    cr_expect_not(buckets_has(&b, 7, 1, 0));
    cr_expect(buckets_has(&b, 8, 1, 0), "another has his own");
    cr_expect(buckets_has(&b, 7, 1, SECOND));
}
