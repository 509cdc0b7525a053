// SPDX-License-Identifier: EUPL-1.2
/* A provider's key set (RFC 7517), parsed once into prepared keys. Immutable and reference-counted
 * atomically: made on the control thread, read on all. */
#pragma once

#include <stdatomic.h>

#include "base/jtree.h"
#include "base/sign.h"
#include "belfry/wall.h"

#define KEY_SET_MAX_KEYS 64

struct provider_key {
    struct slice kid; /* empty where it has none */
    struct public_key key;
};

struct key_set {
    _Atomic uint32_t references;
    uint64_t generation; /* different for every set that this process made */
    struct wall fetched_at;
    struct provider_key *keys;
    uint32_t count;
    uint32_t skipped; /* keys of other kinds or uses, ignored (RFC 7517 §5) */
};

/* NULL with a fault: not a key set, no usable key, two keys with one kid and algorithm, a private
 * or symmetric key in it (refused as a whole: somebody's secret is public). `use`, `key_ops` and
 * `alg` are honoured; only `algorithms` (bits 1 << enum algorithm). */
struct key_set *key_set_parse(struct slice json, uint32_t algorithms, struct wall now,
                              struct fault *f);
/* The same, of keys for another purpose. */
enum key_use {
    KEY_USE_SIGNATURES, /* `use` is "sig", or is not said */
    KEY_USE_JWT_SVID    /* `use` is "jwt-svid", and there is a `kid`: a trust domain's bundle */
};
struct key_set *key_set_parse_for(enum key_use use, struct slice json, uint32_t algorithms,
                                  struct wall now, struct fault *f);
struct key_set *key_set_ref(struct key_set *s);
void key_set_unref(struct key_set *s);

/* One public key, for one of `algorithms`: the one that it names, or the first of its kind. False
 * where it is no such key, or holds a secret. `use` and `key_ops` are not looked at. */
MUST_USE bool jwk_read(struct public_key *out, const json_t *jwk, uint32_t algorithms);
bool jwk_has_secret(const json_t *jwk); /* a private or symmetric key */
/* RFC 7638, with SHA-256. False where a member that it takes is missing. */
MUST_USE bool jwk_thumbprint(uint8_t out[32], const json_t *jwk);
