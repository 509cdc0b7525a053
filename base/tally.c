// SPDX-License-Identifier: EUPL-1.2
/* Open addressing, at most half full; what is removed is closed up, so that there are no graves. */
#include "base/tally.h"

#include <assert.h>

#include "base/mem.h"

void tally_init(struct tally *t, size_t most)
{
    *t = (struct tally){.room = 16};
    while (t->room < 2 * most)
        t->room *= 2;
    t->places = mem_array(struct tally_place, t->room);
}

void tally_fini(struct tally *t)
{
    mem_free(t->places);
    *t = (struct tally){0};
}

/* Where the key is, or where it would be put. */
static size_t find(const struct tally *t, uint64_t key)
{
    size_t i = key & (t->room - 1);
    while (t->places[i].count && t->places[i].key != key)
        i = (i + 1) & (t->room - 1);
    return i;
}

bool tally_add(struct tally *t, uint64_t key, uint64_t most)
{
    struct tally_place *at = t->places + find(t, key);
    if (at->count >= most)
        return false;
    if (!at->count) {
        assert(t->used < t->room / 2); /* who adds has a limit of his own, given to tally_init */
        t->used++;
        at->key = key;
    }
    at->count++;
    return true;
}

void tally_drop(struct tally *t, uint64_t key)
{
    const size_t mask = t->room - 1;
    size_t hole = find(t, key);
    assert(t->places[hole].count);
    if (--t->places[hole].count)
        return;
    t->used--;
    for (size_t i = (hole + 1) & mask; t->places[i].count; i = (i + 1) & mask) {
        size_t home = t->places[i].key & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it stands behind its home and the hole lies before that */
        t->places[hole] = t->places[i];
        t->places[i].count = 0;
        hole = i;
    }
}
