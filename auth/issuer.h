// SPDX-License-Identifier: EUPL-1.2
/* The keys of all providers of all entities. Two halves:
 * - struct issuers: an immutable table, reference-counted; each worker holds one and looks keys up
 * in it.
 * - struct issuer_desk: on the control thread; fetches key sets (discovery, JWKS), refreshes them
 * ahead of expiry, refetches on an unknown kid (bounded), and hands out a new table whenever one
 * changed. Keys live under (entity, provider id, digest of its settings), never under `iss`: two
 * entities may name the same issuer. */
#pragma once

#include "auth/jwks.h"
#include "base/fetch.h"
#include "base/loop.h"
#include "base/metric.h"
#include "policy/snapshot.h"

struct issuers;
/* The set, borrowed from the table; NULL: not known (never fetched, or older than the provider's
 * keys_max_stale at `now`). */
const struct key_set *issuers_keys(const struct issuers *t, const struct provider *p,
                                   struct wall now);
struct issuers *issuers_ref(struct issuers *t);
void issuers_unref(struct issuers *t);

struct issuer_desk;
struct issuer_settings {
    const char *ca_file; /* for fetching; NULL: the system's */
};
struct issuer_hooks {
    /* A new table; the hook takes over its reference. On the control thread. It may not free the
     * desk, nor follow another snapshot; the same holds for `answered` below. */
    void (*changed)(void *owner, struct issuers *take);
    void *owner;
};
struct issuer_desk *issuer_desk_new(struct loop *l, const struct issuer_settings *settings,
                                    struct metrics *m, struct issuer_hooks hooks);
void issuer_desk_free(struct issuer_desk *d);
/* Providers of this snapshot are followed from now on, those gone are forgotten; sets of unchanged
 * providers stay, and where only settings changed that say nothing of the keys' place, the set goes
 * on under the new digest while it is fetched again. */
void issuer_desk_follow(struct issuer_desk *d, struct snapshot *s);
/* A worker met a kid that the set lacks, or has no set. `answered` runs once, maybe at once: look
 * again. Where there is a set it runs after a fetch that began later than the wish, so that a key
 * that was published before its token came is found; all who wish meanwhile share that fetch, and
 * between the beginnings of two lie ISSUER_REFETCH_MS, however many kids are unknown: so long a
 * flood keeps a new key from being known, and no longer. While the provider is away it is asked for
 * a wish every ISSUER_AWAY_MS, and between that wishes are answered at once. */
#define ISSUER_REFETCH_MS 500 /* less than a request waits for keys: it needs no second try */
#define ISSUER_AWAY_MS 2000
struct issuer_wish; /* NULL: answered already. Gone when it is answered */
struct issuer_wish *issuer_desk_want(struct issuer_desk *d, const uint8_t provider_digest[32],
                                     void (*answered)(void *owner), void *owner);
/* Whether its set is as the provider told it last: false while it is away, or does not answer. */
bool issuer_desk_is_current(const struct issuer_desk *d, const uint8_t provider_digest[32]);
void issuer_desk_unwant(struct issuer_wish *take); /* not answered; NULL is fine */
/* As issuers_keys, of the table handed out last; good until the loop's next event. */
const struct key_set *issuer_desk_keys(const struct issuer_desk *d, const struct provider *p);
/* How many providers have no usable set now; for readiness and metrics. */
uint32_t issuer_desk_without_keys(const struct issuer_desk *d);
