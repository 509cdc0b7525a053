// SPDX-License-Identifier: EUPL-1.2
/* Key sets from anywhere. Properties: what is kept is within the stated bounds and of an algorithm
 * that was asked for, a name stands for one key of an algorithm, and a key verifies nothing that
 * nobody signed. */
#include <assert.h>

#include "auth/jwks.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char noise[1024];
    struct fault fault;
    base_init();
    if (!size)
        return 0;
    const uint32_t algorithms = (uint32_t)data[0] << ALGORITHM_RS256;
    struct key_set *set =
        key_set_parse(slice_from(data + 1, size - 1), algorithms, (struct wall){0}, &fault);
    if (!set)
        return 0;
    assert(set->count && set->count + set->skipped <= KEY_SET_MAX_KEYS);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct provider_key *key = &set->keys[i];
        assert(key->key.pkey && algorithms & 1u << key->key.algorithm);
        const size_t len = (size_t)EVP_PKEY_get_size(key->key.pkey);
        assert(!signature_holds(&key->key, SLICE("x"), slice_from(noise, len)));
        assert(!signature_holds(&key->key, SLICE("x"), slice_from(noise, 64)));
        for (uint32_t k = 0; k < i; k++)
            assert(!key->kid.len || key->key.algorithm != set->keys[k].key.algorithm ||
                   !slice_eq(key->kid, set->keys[k].kid));
    }
    key_set_unref(set);
    return 0;
}
