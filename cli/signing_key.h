// SPDX-License-Identifier: EUPL-1.2
/* A key that signs documents, from its file. The caller finis it. */
#pragma once

#include "policy/envelope.h"

struct signing_key {
    struct private_key key;
    uint8_t public_key[ED25519_KEY_BYTES];
    char id[KEY_ID_CHARS];
};

/* Into a zeroed one. False where the file can't be read, may be read by others, or holds no Ed25519
 * key. */
MUST_USE bool signing_key_read(struct signing_key *out, const char *path, struct fault *f);
void signing_key_fini(struct signing_key *k);
