// SPDX-License-Identifier: EUPL-1.2
/* An access token becomes a user's facts, a JWT-SVID a service's, or a reason why not. Each is
 * judged by jws.h; one cache a worker remembers those that passed: keyed by the full bytes,
 * bounded, with expiry, key generation and binding looked at on each use. One thread. */
#pragma once

#include "auth/issuer.h"
#include "auth/revocation.h"
#include "belfry/facts.h"
#include "belfry/reason.h"

#define TOKEN_MAX_BYTES 8192
#define TOKEN_CACHE_ENTRIES 4096

struct token_cache;
struct token; /* one verified token: reference-counted within its worker */

struct token_cache *token_cache_new(uint32_t entries, struct metrics *m);
void token_cache_free(
    struct token_cache *c); /* tokens still held by exchanges live on until released */

struct token_question {
    const struct application *app; /* its providers */
    const struct issuers *issuers;
    struct slice bytes; /* what stands behind the scheme */
    bool is_with_proof; /* the scheme is DPoP: the caller asks for a proof of token_proof_key() */
    const struct facts_device *device; /* NULL: none; for cnf.x5t#S256 (RFC 8705 §3) */
    const struct token *held; /* that this request has already; an opaque one is asked about once */
    struct slice hash_key; /* the entity's audit key: facts_user.hash; may be empty (hash zero) */
    struct wall now;
};
struct token_answer {
    const struct token *token; /* with PERMITTED: held for the caller until token_release */
    const struct provider
        *wanted; /* with TOKEN_KEY_UNKNOWN or KEYS_UNAVAILABLE: whose keys to ask for */
    const struct provider *asked; /* with TOKEN_MALFORMED: who may know it (token_told) */
};
/* PERMITTED, or the reason. KEYS_UNAVAILABLE where the provider has no usable key set: 503, not
 * 401. */
enum reason token_judge(struct token_cache *c, const struct token_question *q,
                        struct token_answer *out);
/* The token is opaque: `body` is what that provider says about it (RFC 7662 §2.2). Judged by what
 * the provider's settings demand, as if it stood in the token, and remembered. TOKEN_INACTIVE where
 * the provider does not vouch for it. */
enum reason token_told(struct token_cache *c, const struct token_question *q,
                       const struct provider *provider, struct slice body,
                       struct token_answer *out);
const struct facts_user *token_user(const struct token *t);
/* Of a JWT-SVID: it speaks of a service and of no user (token_user() then has only its name and its
 * end). NULL of all others. */
const struct facts_service *token_service(const struct token *t);
/* All that an assertion states of the user, in an order of its own and with each part's length, so
 * that two are equal only where every part is. Lives as long as the token. */
struct slice token_statement(const struct token *t);
uint64_t token_statement_hash(const struct token *t); /* table_hash() of it */
/* From this moment on the cache refuses it: its expiry with the provider's leeway, or its greatest
 * age. */
struct wall token_good_until(const struct token *t);
/* Its entity has taken it back, or all that its user had until then. */
bool token_is_revoked(const struct token *t, const struct revocations *revoked, struct wall now);
/* The thumbprint (RFC 7638) of the key to which it is bound; NULL where it is bound to none. */
const uint8_t *token_proof_key(const struct token *t);
void token_release(const struct token *t);
