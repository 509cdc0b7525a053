// SPDX-License-Identifier: EUPL-1.2
/* The one door to signed documents: Redis, which all gateways share, and state_dir, which is this
 * one's own memory. Nothing here is verified; that is the compiler's work, and whoever controls
 * Redis is expected to try. Redis holds
 *
 *     belfry:charter, belfry:bundle:ENTITY, belfry:bundle:ENTITY.shadow   envelopes
 *     belfry:serials   hash: "charter", "bundle:ENTITY" → serial
 *     belfry:epoch     random, set once: another one means another, or a restored, store
 *     belfry:count     the number n of the last event
 *     belfry:events    stream of { epoch, n, kind, entity, serial }, n without gaps; the last
 * 1,000. Kinds are charter, bundle, revocation and device; of others only n counts
 *
 * and one script changes all of them together. `struct store` lives on the control thread's loop;
 * the functions at the end touch files or a connection of their own, block, and are for any
 * thread. */
#pragma once

#include "base/loop.h"
#include "base/redis.h"
#include "policy/documents.h"
#include "policy/envelope.h"

struct store;

struct store_settings {
    struct redis_address address;
    int64_t reconcile_ms;    /* 0: 5 s */
    struct documents *start; /* what state_dir remembers, or NULL; the store refs it */
};

/* Both are called from the loop and may not call store_free. */
struct store_hooks {
    /* The complete set, after a change: all that the store has, and what it once had (a store that
     * loses or hides a document takes nothing away). Also after the first reading, changed or not.
     * Borrowed: ref it. */
    void (*documents)(void *owner, struct documents *documents);
    /* True when the store has been read whole and is being followed; false when that ends. Only
     * changes: it begins as false. */
    void (*connected)(void *owner, bool is_connected);
    /* Something was revoked in that entity (auth/revocation_desk.h). May be NULL. */
    void (*revoked)(void *owner, struct slice entity);
    /* That entity's inventory was changed (auth/inventory_desk.h). May be NULL. */
    void (*devices)(void *owner, struct slice entity);
    void *owner;
};

struct store *store_new(struct loop *l, const struct store_settings *settings,
                        struct store_hooks hooks);
void store_free(struct store *s);
uint64_t store_resyncs(const struct store *s); /* times that the whole store was read */

/* ---- blocking, any thread ---- */

/* What was verified and is to be remembered before it is activated. */
struct store_memory {
    struct slice entity;   /* the document's name */
    struct slice envelope; /* the exact bytes */
    int64_t serial;
    const uint8_t *payload_digest; /* SHA256_BYTES of what is signed */
};

/* Writes each document and then the serials, all or a fault; `known` is raised only where all is on
 * disk. One caller at a time. */
MUST_USE bool store_remember(const char *state_dir, struct serials *known,
                             const struct store_memory *memories, size_t count, struct wall now,
                             struct fault *f);
/* What state_dir holds; an empty or missing one is an empty set and no serials. `known` is a zeroed
 * one. The set is to be verified like any other. A clock that shows less than when the serials were
 * written is logged. */
MUST_USE bool store_recall(const char *state_dir, struct documents **out, struct serials *known,
                           struct fault *f);
