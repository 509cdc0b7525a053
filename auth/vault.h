// SPDX-License-Identifier: EUPL-1.2
/* What gateways keep in the store, which is not trusted: records that it can't read, make, change
 * or give another name, under names that say nothing. A record is AES-256-GCM under a key of its
 * own (HKDF, RFC 5869, from the newest seal key and a random salt), bound to its purpose and name;
 * a name is an HMAC under the store key. What the store can still do is give back an older record
 * of the same name, or none: see SECURITY.md. Pure functions of the key ring; any thread. */
#pragma once

#include "auth/keyring.h"
#include "base/buf.h"

enum vault_purpose {
    VAULT_SESSION,
    VAULT_ATTEMPT,  /* a sign-in under way */
    VAULT_HANDOVER, /* from the login host to an application's */
    VAULT_DEVICE,   /* of the inventory */
    VAULT_REVOKED,
    VAULT_MARK, /* used once: a jti, a code */
    VAULT_PAGE, /* what a page of the gateway says; not in the store */
    VAULT_PURPOSE_COUNT
};

/* "belfry:PURPOSE:" and 43 characters, with its NUL. */
#define VAULT_NAME_ROOM 64
#define VAULT_OVERHEAD 57 /* of a sealed record over its plain text */

/* Both kinds of key are there; without, nothing can be kept. */
bool vault_is_open(const struct keyring *k);
/* The same id of two entities, or for two purposes, has two names. False without a store key. */
MUST_USE bool vault_name(const struct keyring *k, enum vault_purpose purpose, struct slice entity,
                         struct slice id, char out[VAULT_NAME_ROOM]);
/* Appends the sealed record to `out`. False where no seal key's time has come, or past the
 * ceiling. */
MUST_USE bool vault_seal(const struct keyring *k, enum vault_purpose purpose, struct slice name,
                         struct slice plain, struct wall now, struct buf *out);
/* Appends the plain text to `out`, whichever key of the ring it was sealed by. False: it is not
 * ours, not of this purpose and name, or not whole. The caller wipes what it held. */
MUST_USE bool vault_open(const struct keyring *k, enum vault_purpose purpose, struct slice name,
                         struct slice sealed, struct buf *out);
/* An HMAC under a key derived from the store key for this purpose alone. False without one. */
MUST_USE bool vault_mac(const struct keyring *k, enum vault_purpose purpose, struct slice bytes,
                        uint8_t out[32]);
