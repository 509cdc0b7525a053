// SPDX-License-Identifier: EUPL-1.2
/* Linear probing; an entry without a value is free. Nothing is ever taken out: a map of ours is
 * made, asked and freed. */
#include "base/map.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

#define FIRST_ROOM 16

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_fini(struct map *m)
{
    mem_free(m->entries);
    map_init(m);
}

/* Where `key` is, or the free place where it would go. There is always a free place. */
static size_t find(const struct map *m, struct slice key, uint64_t hash)
{
    size_t at = hash & (m->room - 1);
    while (m->entries[at].value &&
           (m->entries[at].hash != hash || !slice_eq(m->entries[at].key, key)))
        at = (at + 1) & (m->room - 1);
    return at;
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->room = old.room ? old.room * 2 : FIRST_ROOM;
    m->entries = mem_array(struct map_entry, m->room);
    for (size_t i = 0; i < old.room; i++)
        if (old.entries[i].value)
            m->entries[find(m, old.entries[i].key, old.entries[i].hash)] = old.entries[i];
    mem_free(old.entries);
}

void *map_get(const struct map *m, struct slice key)
{
    return m->count ? m->entries[find(m, key, table_hash(key))].value : NULL;
}

void **map_at(struct map *m, struct slice key)
{
    if (m->count >= m->room / 4 * 3) // beyond three quarters, probes grow long
        grow(m);
    const uint64_t hash = table_hash(key);
    struct map_entry *entry = &m->entries[find(m, key, hash)];
    if (!entry->value) {
        *entry = (struct map_entry){.key = key, .hash = hash};
        m->count++;
    }
    return &entry->value;
}

void *map_set(struct map *m, struct slice key, void *value)
{
    assert(value);
    void **at = map_at(m, key);
    void *before = *at;
    *at = value;
    return before;
}

const struct map_entry *map_next(const struct map *m, size_t *at)
{
    while (*at < m->room) {
        const struct map_entry *entry = &m->entries[(*at)++];
        if (entry->value)
            return entry;
    }
    return NULL;
}
