// SPDX-License-Identifier: EUPL-1.2
/* What an upstream is told: `Belfry-Assertion`, an ES256 JWT (iss, aud = application, sub,
 * provider, groups, acr, acr_level, amr, auth_time, device, service, entity, iat, exp). Holds
 * nothing of the single request. Cached per worker under every input that it states, so that
 * another token that says the same of the same person needs no new signature; 60 s of life, made
 * again at half of it, never beyond the earliest expiry of token and certificate. One thread.
 */
#pragma once

#include "auth/keyring.h"
#include "auth/session.h"
#include "auth/token.h"
#include "base/metric.h"

#define ASSERTION_LIFE_S 60
#define ASSERTION_CACHE_ENTRIES 4096

struct assertion_cache;
struct assertion_cache *assertion_cache_new(struct metrics *m);
void assertion_cache_free(struct assertion_cache *c);
/* On whose word the user, or a service without a certificate, is known: a token's or a session's.
 */
struct assertion_user {
    struct slice statement;  /* all that is said of the user (auth/statement.h) */
    uint64_t statement_hash; /* table_hash() of it */
    struct wall expires;     /* what it says of its end itself */
    struct wall good_until;  /* the same with the leeway: no assertion outlives it */
};

/* False: nobody vouches for a user. */
bool assertion_user_of(struct assertion_user *out, const struct token *token,
                       const struct session *session);

/* The compact JWT; borrowed until the next call on this cache. Empty where it can't be made (no
 * key, or a credential that has ended): the exchange then refuses. `who` is of facts->user, or of a
 * facts->service that a token names; NULL where neither is (a certificate alone, or nothing). */
struct slice assertion_for(struct assertion_cache *c, const struct keyring *k,
                           const struct facts *facts, const struct assertion_user *who);
