// SPDX-License-Identifier: EUPL-1.2
/* What a provider says of a person after a sign-in, judged (OpenID Connect Core §3.1.3.7, §5.3.2,
 * §12.2) and made into an identity. Pure: the bytes were fetched by oidc_redeem.c. A provider's
 * mistake is a fault for its log; it never holds a token. */
#pragma once

#include "auth/identity.h"
#include "auth/jws.h"
#include "policy/bundle.h"

struct id_token_demand {
    const struct provider *provider;
    const struct key_set *keys;    /* NULL: KEYS_UNAVAILABLE */
    struct slice nonce;            /* of the attempt */
    struct slice code;             /* for c_hash; may be empty */
    struct slice access_token;     /* for at_hash; may be empty */
    int64_t max_age_s;             /* as asked; -1: not asked */
    struct wall begun_at;          /* when it was asked for: it can't be older */
    const struct identity *before; /* of a refresh: the same person; then nonce is that of before */
    struct wall now;
};
/* PERMITTED: `j` (parsed) may be believed. TOKEN_KEY_UNKNOWN or KEYS_UNAVAILABLE: look for keys and
 * judge again. Else PROVIDER_MISTAKEN with `why`. */
enum reason id_token_judge(struct jws *j, const struct id_token_demand *d, struct metrics *m,
                           struct fault *why);

/* The claims of an answer of the userinfo endpoint, the caller's to json_decref; NULL with the
 * reason: as above. Its `sub` is `subject`, its media type is one of JSON and JWT; a JWT is the
 * provider's and for us. */
json_t *userinfo_read(struct slice body, struct slice content_type, struct slice subject,
                      const struct id_token_demand *d, struct metrics *m, enum reason *reason,
                      struct fault *why);

/* What is known now, in `a`. `claims`: of the ID token, NULL where a refresh brought none;
 * `userinfo` may be NULL; `scope`: what was granted. What neither says is taken from `before`, but
 * for groups: IDENTITY_REQUIRED where nobody says them any more. PROVIDER_MISTAKEN with `why` where
 * something is not of its type or out of bounds. Tokens are left empty. */
enum reason identity_make(struct identity *out, struct arena *a, const struct provider *provider,
                          const json_t *claims, const json_t *userinfo, struct slice scope,
                          const struct identity *before, struct wall now, struct fault *why);
