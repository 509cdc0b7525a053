// SPDX-License-Identifier: EUPL-1.2
/* The generic cell rate algorithm (ITU-T I.371), eight keys to a set of two cache lines. Debts of
 * different rates are all times, so that one table serves them all. */
#include "base/bucket.h"

#include <assert.h>

#include "base/mem.h"

#define WAYS 8
#define SECOND_NS 1000000000

void buckets_init(struct buckets *b, size_t sets)
{
    assert(sets && !(sets & (sets - 1)));
    b->places = mem_array(struct bucket, sets * WAYS);
    b->sets = sets;
}

void buckets_fini(struct buckets *b)
{
    mem_free(b->places);
    *b = (struct buckets){0};
}

static struct bucket *place_of(const struct buckets *b, uint64_t key)
{
    struct bucket *set = b->places + (key & (b->sets - 1)) * WAYS;
    struct bucket *least = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return set + i;
        if (set[i].full_at_ns < least->full_at_ns)
            least = set + i;
    }
    least->key = key; /* with its debt: see the header */
    return least;
}

bool buckets_take(struct buckets *b, uint64_t key, int64_t per_s, int64_t now_ns)
{
    if (!per_s)
        return true;
    struct bucket *at = place_of(b, key);
    int64_t full_at_ns = at->full_at_ns > now_ns ? at->full_at_ns : now_ns;
    full_at_ns += SECOND_NS / per_s;
    if (full_at_ns - now_ns > (int64_t)BUCKET_SAVES_S * SECOND_NS)
        return false;
    at->full_at_ns = full_at_ns;
    return true;
}
