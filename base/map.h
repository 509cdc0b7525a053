// SPDX-License-Identifier: EUPL-1.2
/* Open-addressing map from bytes to a pointer, keyed by SipHash with a key of the process, so that
 * an outsider can't choose collisions. Keys are borrowed: they live as long as their entry. One
 * thread. */
#pragma once

#include "belfry/slice.h"

struct map_entry {
    struct slice key;
    void *value;
    uint64_t hash;
};

struct map {
    struct map_entry *entries;
    size_t room; /* a power of two, or 0 */
    size_t count;
};

void map_init(struct map *m);
void map_fini(struct map *m);                         /* frees no keys and no values */
void *map_get(const struct map *m, struct slice key); /* NULL where there is none */
/* Sets, and gives back the value that was there before, or NULL. `value` is not NULL. A key that is
 * there already keeps its old key bytes. */
void *map_set(struct map *m, struct slice key, void *value);
/* Where the value of `key` lies, until the next new key. NULL stands there where the key is new:
 * the caller sets it at once. */
void **map_at(struct map *m, struct slice key);
/* Walks all entries in no order: start with *at = 0; NULL at the end. */
const struct map_entry *map_next(const struct map *m, size_t *at);
