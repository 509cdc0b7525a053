// SPDX-License-Identifier: EUPL-1.2
/* Who somebody is after a sign-in at a provider: what the ID token and userinfo said, checked, in
 * bounds, and as few of it as the gateway needs. Made by auth/oidc, kept sealed in hand-overs and
 * sessions, and turned into facts for the rules. Plain; all slices lie in one arena. It holds the
 * provider's tokens: bytes that were printed or parsed are wiped by whoever holds them. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "belfry/facts.h"

/* Printed, with both tokens and 256 groups of the greatest length. */
#define IDENTITY_MAX_BYTES (96u << 10)
#define IDENTITY_TOKEN_MAX_BYTES 16384 /* of each of the two */

struct identity {
    struct slice provider; /* id of the bundle's identity provider */
    struct slice subject;  /* its `sub` */
    struct slice session;  /* its `sid`, for back-channel logout; empty where it has none */
    struct slice client_id;
    struct slice acr;
    struct slices amr;
    struct slices groups;
    struct slices scopes;
    int64_t acr_level;            /* 0 when unknown */
    struct wall authenticated_at; /* auth_time; s == 0: the provider does not say */
    struct wall known_at;         /* when the provider last said all this: groups are that old */
    struct slice name;            /* for display; empty where unknown */
    struct slice locale;   /* "nl-BE": the language that the person chose there; empty: unknown */
    struct slice id_token; /* as it came, for id_token_hint (RP-Initiated Logout §2) */
    struct slice refresh_token; /* empty: the provider gives none */
};

/* As one JSON object. False past the buffer's ceiling. */
MUST_USE bool identity_print(const struct identity *i, struct buf *out);
/* What identity_print wrote; copied into `a`. False where it is something else. */
MUST_USE bool identity_parse(struct identity *out, struct arena *a, struct slice json);
/* What a user's requests are counted under, and what the audit calls them: the same for every
 * credential of theirs. From id, provider and subject; without a key the hash stays zero. */
void user_mark(struct facts_user *u, struct slice entity, struct slice hash_key);
/* As facts, whose slices point into the identity's, but for `id`, which is made in `a`. `expires`
 * is left to the session; `hash_key` is the entity's audit key and may be empty (hash zero). */
void identity_user(struct facts_user *out, struct arena *a, const struct identity *i,
                   struct slice entity, struct slice hash_key);
