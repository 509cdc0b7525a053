// SPDX-License-Identifier: EUPL-1.2
/* What a provider says about a token that only it can read (RFC 7662). A desk on the control
 * thread: asks where the charter lets the entity go, once for all who ask about one token, and
 * keeps the answer for a while under entity, provider's settings and token. It believes nothing:
 * what the answer means is judged where it is used (auth/token.h). */
#pragma once

#include "base/loop.h"
#include "base/metric.h"
#include "belfry/reason.h"
#include "policy/snapshot.h"

#define INTROSPECTION_ENTRIES 4096
#define INTROSPECTION_AT_ONCE 32 /* questions under way at one provider: the others get 503 */
#define INTROSPECTION_LIMIT_MS 3000
#define INTROSPECTION_NO_S 5 /* so long an answer other than "active" is kept */

struct introspection_desk;
struct introspection_desk *introspection_desk_new(struct loop *l, const char *ca_file,
                                                  struct metrics *m);
void introspection_desk_free(struct introspection_desk *d); /* nobody is answered any more */
/* Providers of this snapshot from now on; what is under way ends by the settings that it began
 * with. */
void introspection_desk_follow(struct introspection_desk *d, struct snapshot *s);

struct introspection_question {
    const uint8_t *provider_digest; /* 32 bytes */
    struct slice token;
    const char *secrets_dir;
    /* Once, maybe at once. PERMITTED with the provider's answer, a JSON object as it came, borrowed
     * for the call; PROVIDER_UNAVAILABLE where there is none. */
    void (*answered)(void *owner, enum reason reason, struct slice body);
    void *owner;
};
void introspection_desk_ask(struct introspection_desk *d, const struct introspection_question *q);
