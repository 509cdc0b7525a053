// SPDX-License-Identifier: EUPL-1.2
/* Charters from anywhere. Properties: whatever loads gives no host to two entities (by comparing
 * all pairs), needs no more approvals than there are keys, and has a key wherever it says so. */
#include <assert.h>

#include "base/hash.h"
#include "policy/charter.h"
#include "policy/host.h"
#include "tests/fuzz/yaml_leak.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pair(const struct charter_entity *a, const struct charter_entity *b)
{
    assert(!slice_eq(a->id, b->id));
    for (uint32_t i = 0; i < a->hosts.count; i++)
        for (uint32_t k = 0; k < b->hosts.count; k++)
            assert(!host_overlaps(a->hosts.at[i], b->hosts.at[k]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct findings f;
    base_init();
    findings_init(&f);
    struct charter *c = charter_load(slice_from(data, size), "fuzz.yaml", &f);
    assert((c != NULL) == (f.errors == 0));
    for (uint32_t i = 0; c && i < c->entity_count; i++) {
        const struct charter_entity *e = &c->entities[i];
        assert(e->approvals >= 1 && e->approvals <= e->key_count);
        for (uint32_t k = 0; k < e->key_count; k++)
            assert(e->keys[k].key.key.pkey && e->keys[k].not_before_s < e->keys[k].not_after_s);
        for (uint32_t k = 0; k < i; k++)
            check_pair(e, &c->entities[k]);
    }
    charter_free(c);
    findings_fini(&f);
    return 0;
}
