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

static struct bucket *set_of(const struct buckets *b, uint64_t key)
{
    return b->places + (key & (b->sets - 1)) * WAYS;
}

static struct bucket *place_of(const struct buckets *b, uint64_t key)
{
    struct bucket *set = set_of(b, key);
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

/* When it would be full again after one more; 0: there is none to take. */
static int64_t full_after_ns(int64_t full_at_ns, int64_t per_s, int64_t now_ns)
{
    const int64_t full_ns = (full_at_ns > now_ns ? full_at_ns : now_ns) + SECOND_NS / per_s;
    return full_ns - now_ns > (int64_t)BUCKET_SAVES_S * SECOND_NS ? 0 : full_ns;
}

bool buckets_take(struct buckets *b, uint64_t key, int64_t per_s, int64_t now_ns)
{
    if (!per_s)
        return true;
    struct bucket *at = place_of(b, key);
    const int64_t full_at_ns = full_after_ns(at->full_at_ns, per_s, now_ns);
    if (full_at_ns)
        at->full_at_ns = full_at_ns;
    return full_at_ns != 0;
}

bool buckets_has(const struct buckets *b, uint64_t key, int64_t per_s, int64_t now_ns)
{
    const struct bucket *set = set_of(b, key);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].key == key)
            return full_after_ns(set[i].full_at_ns, per_s, now_ns) != 0;
    return true;
}
