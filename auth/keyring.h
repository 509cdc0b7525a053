// SPDX-License-Identifier: EUPL-1.2
/* The key files: of each entity those that sign assertions and those that the audit hashes names
 * with, and the gateways' own, under which records lie in the store (auth/vault.h). Read once,
 * immutable after, shared by threads, reference-counted atomically. A file's name is the moment
 * from which it counts (UTC): of an entity's ring, the newest whose time has come is used and all
 * assertion keys are published, so that a key is known to upstreams before the first assertion that
 * it signs. */
#pragma once

#include <stdatomic.h>

#include "base/sign.h"
#include "belfry/fault.h"
#include "belfry/wall.h"

struct keyring;
/* Reads keys_dir/assertion/ENTITY/YYYYmmddHHMMSS.pem (P-256) and
 * keys_dir/audit/ENTITY/YYYYmmddHHMMSS.key (at least 32 bytes in hex) of every entity folder there,
 * and keys_dir/seal/YYYYmmddHHMMSS.key and keys_dir/store/YYYYmmddHHMMSS.key (32 bytes in hex).
 * NULL with a fault: a file that is no such key, may be read by others, or has a name that is no
 * time. Names with other endings are passed over. */
struct keyring *keyring_read(const char *keys_dir, struct wall now, struct fault *f);
struct keyring *keyring_ref(struct keyring *k);
void keyring_unref(struct keyring *k);
/* Both an assertion key and an audit key whose time had come when the ring was read. */
bool keyring_has(const struct keyring *k, struct slice entity);
struct slice keyring_audit_key(const struct keyring *k, struct slice entity); /* empty where none */
/* Walks the audit keys that count: start with *at = 0. False at the end. */
bool keyring_next_audit_key(const struct keyring *k, size_t *at, struct slice *entity,
                            struct slice *key);
/* The key in one file of a ring audit/ENTITY. */
MUST_USE bool keyring_read_audit_key(struct secret *out, const char *path, struct fault *f);
/* The JSON of its public keys (RFC 7517), newest first; empty where none. */
struct slice keyring_jwks(const struct keyring *k, struct slice entity);

/* A key that signs assertions. */
struct keyring_signer {
    struct slice kid; /* RFC 7638 thumbprint */
    struct private_key key;
};
/* The entity's newest whose time has come; NULL where none. Borrowed from the ring. */
const struct keyring_signer *keyring_signer(const struct keyring *k, struct slice entity,
                                            struct wall now);

#define KEYRING_OWN_BYTES 32
/* A key of the gateways' own. */
struct keyring_key {
    int64_t from_s;
    uint8_t id[8]; /* the first bytes of its digest: what was sealed says by which key */
    struct secret key;
};
/* Newest first; *count may be 0. */
const struct keyring_key *keyring_seal_keys(const struct keyring *k, uint32_t *count);
/* The newest whose time had come when the ring was read; NULL where none. */
const struct keyring_key *keyring_store_key(const struct keyring *k);
