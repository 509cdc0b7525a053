// SPDX-License-Identifier: EUPL-1.2
/* A sign-in under way: what was agreed when it began on an application's host, and must be the same
 * when it comes back there. Kept sealed in the store under its id (VAULT_ATTEMPT), which is all
 * that the login host and the provider get to see; what came of it goes back to the application's
 * host the same way, under another id (VAULT_HANDOVER). Plain; slices lie where the caller says. */
#pragma once

#include "auth/identity.h"

#define ATTEMPT_ID_CHARS 43 /* 256 bits in base64url */
#define ATTEMPT_TAG_CHARS 10
#define ATTEMPT_LIFE_S 300
#define HANDOVER_LIFE_S 60
#define ATTEMPT_MAX_FORM_BYTES 16384
#define ATTEMPT_MAX_BYTES 32768
#define HANDOVER_MAX_BYTES (ATTEMPT_MAX_BYTES + IDENTITY_MAX_BYTES)

struct attempt {
    struct slice application; /* its id */
    struct slice authority;   /* of the application's host, as the browser has it */
    struct slice to;          /* the path on it that the person wanted */
    struct slice provider;    /* id */
    struct slice tag;         /* ATTEMPT_TAG_CHARS of its id's digest: in the names of cookies */
    struct slice nonce;
    struct slice verifier; /* RFC 7636 §4.1 */
    struct slice language; /* "nl" */
    struct slice form;     /* what was posted to `to` and waits to be sent again; may be empty */
    uint8_t cookie[32];    /* SHA-256 of the cookie by which the browser is known again */
    uint8_t device[32];    /* SHA-256 of its certificate; zero: none */
    int64_t acr_level;     /* a step-up to this; 0: none */
    int64_t max_age_s;     /* of the person's proof at the provider; -1: any */
    struct wall begun_at;
    uint64_t revoked_until; /* of a hand-over: the entity's last revocation that was known when the
                               code was sent to the provider; what is newer ends what comes of it */
};

/* An id, a nonce, a verifier or a cookie: 256 bits nobody can guess. With a NUL. */
void attempt_make_id(char out[ATTEMPT_ID_CHARS + 1]);
bool attempt_id_is_valid(struct slice id);
void attempt_tag(struct slice id, char out[ATTEMPT_TAG_CHARS + 1]);

/* As one JSON object. False past the buffer's ceiling. */
MUST_USE bool attempt_print(const struct attempt *t, struct buf *out);
/* What attempt_print wrote; copied into `a`. False where it is something else. */
MUST_USE bool attempt_parse(struct attempt *out, struct arena *a, struct slice json);
/* Both, one behind the other. */
MUST_USE bool handover_print(const struct attempt *t, const struct identity *i, struct buf *out);
MUST_USE bool handover_parse(struct attempt *t, struct identity *i, struct arena *a,
                             struct slice text);
