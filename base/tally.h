// SPDX-License-Identifier: EUPL-1.2
/* How many of something each key has now, exactly: connections of an address, of a device. A fixed
 * table, since all of them together are limited; one thread. Keys are hashes that an outsider can't
 * choose (table_hash). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tally_place {
    uint64_t key;
    uint64_t count; /* 0: the place is free */
};

struct tally {
    struct tally_place *places;
    size_t room; /* a power of two */
    size_t used;
};

void tally_init(struct tally *t, size_t most); /* keys at once */
void tally_fini(struct tally *t);
/* One more of that key; false where it has `most` already. */
bool tally_add(struct tally *t, uint64_t key, uint64_t most);
void tally_drop(struct tally *t, uint64_t key); /* one of those that were added */
