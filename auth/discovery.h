// SPDX-License-Identifier: EUPL-1.2
/* What a provider says of itself (OpenID Connect Discovery §3, RFC 8414 §2): where its endpoints
 * are and what it can. Pure: fetching is issuer.c's and oidc_discovery.c's. */
#pragma once

#include "base/arena.h"
#include "policy/bundle.h"
#include "policy/charter.h"

#define DISCOVERY_URL_MAX_BYTES 2048

struct discovery {
    struct slice jwks_uri;
    struct slice authorization_endpoint; /* from here on: empty where it has none */
    struct slice token_endpoint;
    struct slice userinfo_endpoint;
    struct slice end_session_endpoint;
    bool says_iss; /* authorization_response_iss_parameter_supported (RFC 9207 §3) */
};

/* issuer + /.well-known/openid-configuration, in `a`. */
struct slice discovery_url(struct arena *a, struct slice issuer);
/* Copied into `a`. False: no such document, or one about another issuer. */
MUST_USE bool discovery_read(struct discovery *out, struct arena *a, struct slice body,
                             struct slice issuer, struct fault *f);
/* False where an address in it is one that the charter does not let this entity's gateway go to: it
 * is the provider's word, not the entity's. */
MUST_USE bool discovery_is_inside(const struct discovery *d, const struct charter_entity *entity,
                                  struct fault *f);
