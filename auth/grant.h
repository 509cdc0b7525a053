// SPDX-License-Identifier: EUPL-1.2
/* A token endpoint's answer (RFC 6749 §5, OpenID Connect Core §3.1.3.3), and what a provider's
 * error codes mean to a person. Pure. */
#pragma once

#include "base/arena.h"
#include "belfry/fault.h"
#include "belfry/reason.h"

struct grant {
    struct slice access_token;
    struct slice id_token;      /* empty: none */
    struct slice refresh_token; /* empty: none */
    struct slice scope;         /* empty: as asked */
};

/* PERMITTED, with everything copied into `a`. SIGN_IN_EXPIRED: the code or refresh token is worth
 * nothing (any more). PROVIDER_UNAVAILABLE, PROVIDER_MISTAKEN otherwise; `why` says the error's
 * code and never a token. */
enum reason grant_read(struct grant *out, struct arena *a, int status, struct slice body,
                       struct fault *why);

/* `error` with which a browser came back (RFC 6749 §4.1.2.1, Core §3.1.2.6): SIGN_IN_DENIED,
 * ASSURANCE_TOO_LOW, PROVIDER_UNAVAILABLE or PROVIDER_MISTAKEN. */
enum reason grant_refusal(struct slice error, struct slice description, struct fault *why);
