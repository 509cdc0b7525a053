// SPDX-License-Identifier: EUPL-1.2
/* The table that workers look keys up in: sorted by the providers' digests, which are over entity,
 * id and all settings. Never changed once made; the desk makes another. */
#include "auth/issuers_in.h"

#include "base/mem.h"

struct issuers {
    _Atomic uint32_t references;
    uint32_t count;
    struct issuers_entry *entries;
};

static int by_digest(const void *a, const void *b)
{
    const struct issuers_entry *x = a;
    const struct issuers_entry *y = b;
    return memcmp(x->provider_digest, y->provider_digest, sizeof x->provider_digest);
}

struct issuers *issuers_new(const struct issuers_entry *entries, uint32_t count)
{
    struct issuers *t = mem_new(struct issuers);
    atomic_init(&t->references, 1);
    t->count = count;
    t->entries = mem_array(struct issuers_entry, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        t->entries[i] = entries[i];
        key_set_ref(t->entries[i].set);
    }
    qsort(t->entries, count, sizeof *t->entries, by_digest);
    return t;
}

const struct key_set *issuers_keys(const struct issuers *t, const struct provider *p,
                                   struct wall now)
{
    uint32_t from = 0;
    uint32_t to = t ? t->count : 0;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        const struct issuers_entry *entry = &t->entries[middle];
        const int order = memcmp(p->digest, entry->provider_digest, sizeof p->digest);
        if (!order) {
            // Keys that the bundle itself holds are as old as the bundle: its own dates end them.
            const bool is_stale =
                !p->jwks.len && now.s - entry->set->fetched_at.s > p->keys_max_stale_s;
            return is_stale ? NULL : entry->set;
        }
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

struct issuers *issuers_ref(struct issuers *t)
{
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

void issuers_unref(struct issuers *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < t->count; i++)
        key_set_unref(t->entries[i].set);
    mem_free(t->entries);
    mem_free(t);
}
