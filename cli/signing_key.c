// SPDX-License-Identifier: EUPL-1.2
/* Reading the key of a federation or an entity, for `belfry key show` and `belfry policy publish`.
 */
#include "cli/signing_key.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/secret.h"

#define PEM_MAX_BYTES 16384 /* an Ed25519 key has 119 */

bool signing_key_read(struct signing_key *out, const char *path, struct fault *f)
{
    struct secret pem = {NULL, 0};
    struct private_key key = {ALGORITHM_NONE, NULL};
    uint8_t raw[64];
    size_t len = 0;
    if (!file_read_secret(&pem, path, PEM_MAX_BYTES, f))
        return false;
    const bool is_read = private_key_read(&key, slice_from(pem.bytes, pem.len), f);
    secret_fini(&pem);
    if (!is_read)
        return fault_within(f, "cannot read '%s'", path);
    if (key.algorithm != ALGORITHM_ED25519 || !private_key_public_raw(&key, raw, &len, f)) {
        private_key_fini(&key);
        return fault_set(f, FAULT_CONFIG, "'%s' is no Ed25519 key: it signs no documents", path);
    }
    out->key = key;
    memcpy(out->public_key, raw, ED25519_KEY_BYTES);
    key_id_make(out->id, out->public_key);
    return true;
}

void signing_key_fini(struct signing_key *k)
{
    private_key_fini(&k->key);
}
