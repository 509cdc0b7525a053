// SPDX-License-Identifier: EUPL-1.2
/* The claims of a payload whose signature holds, as facts. For token.c alone. */
#pragma once

#include "base/arena.h"
#include "base/jtree.h"
#include "belfry/facts.h"
#include "belfry/reason.h"
#include "policy/bundle.h"

struct claims {
    struct facts_user user; /* all but `hash` */
    int64_t usable_from_s;  /* with leeway: the later of nbf and iat */
    int64_t usable_until_s; /* with leeway: the earlier of exp and the greatest age */
    bool is_bound;          /* to the certificate of this digest: cnf.x5t#S256 (RFC 8705 §3.1) */
    uint8_t certificate[32];
};

/* PERMITTED, or what is wrong: of the shape, of the audience, or of the time at `now`. Texts are
 * copied into `a`. `is_access_token`: by RFC 9068, where iat is required. Does not look at `iss`.
 */
enum reason claims_read(struct claims *out, struct arena *a, const json_t *payload,
                        const struct provider *provider, bool is_access_token, struct wall now);
/* The reason for which these claims can't be used at `now`; PERMITTED where they can. */
enum reason claims_timely(const struct claims *c, struct wall now);
