// SPDX-License-Identifier: EUPL-1.2
/* Sets of four. Names are kept as a hash under the process's key: two that share one of 64 bits are
 * taken for one thing, which nobody can bring about on purpose. */
#include "auth/recency.h"

#include "base/hash.h"
#include "base/mem.h"

#define SETS 16384 /* 1 MiB, of which only what is used is memory */
#define WAYS 4

struct met {
    uint64_t hash;
    int64_t at_s; /* 0: free */
};

struct recency {
    struct met *places;
};

struct recency *recency_new(void)
{
    struct recency *r = mem_new(struct recency);
    r->places = mem_array(struct met, (size_t)SETS * WAYS);
    return r;
}

void recency_free(struct recency *r)
{
    if (!r)
        return;
    mem_free(r->places);
    mem_free(r);
}

static struct met *set_of(const struct recency *r, uint64_t hash)
{
    return r->places + (hash & (SETS - 1)) * WAYS;
}

void recency_note(struct recency *r, struct slice name, int64_t at_s)
{
    const uint64_t hash = table_hash(name);
    struct met *set = set_of(r, hash);
    struct met *place = set;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].hash == hash && set[i].at_s) {
            place = set + i;
            break;
        }
        if (set[i].at_s < place->at_s)
            place = set + i;
    }
    if (place->hash == hash && place->at_s >= at_s)
        return;
    *place = (struct met){.hash = hash, .at_s = at_s};
}

int64_t recency_of(const struct recency *r, struct slice name)
{
    const uint64_t hash = table_hash(name);
    const struct met *set = set_of(r, hash);
    for (int i = 0; i < WAYS; i++)
        if (set[i].hash == hash)
            return set[i].at_s;
    return 0;
}
