// SPDX-License-Identifier: EUPL-1.2
/* Token buckets of many keys in a fixed table, one thread. A bucket is one number: the moment at
 * which it will be full again. So a bucket that is full needs no memory, and the table only holds
 * those who took something a moment ago.
 *
 * Where a set of the table is taken, a newcomer takes over the place *and the debt* of the one that
 * owes least: nobody is forgiven by having himself pushed out, and the price is that a stranger may
 * be counted for another while more keys are in debt than the table has room for. Keys are hashes
 * that an outsider can't choose (table_hash). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUCKET_SAVES_S 5 /* what was not used is saved up for so long: a page is a burst */

struct bucket {
    uint64_t key;
    int64_t full_at_ns;
};

struct buckets {
    struct bucket *places;
    size_t sets; /* a power of two */
};

void buckets_init(struct buckets *b, size_t sets);
void buckets_fini(struct buckets *b);
/* One token at `per_s` a second; false where there is none, and then nothing is taken. A rate of 0
 * is no limit. */
bool buckets_take(struct buckets *b, uint64_t key, int64_t per_s, int64_t now_ns);
/* Would there be one? Nothing is taken, and a key that is not in debt has no place. */
bool buckets_has(const struct buckets *b, uint64_t key, int64_t per_s, int64_t now_ns);
