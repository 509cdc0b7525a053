// SPDX-License-Identifier: EUPL-1.2
/* Proof of possession (RFC 9449): that who brings an access token has the key to which it is bound.
 * A proof is a JWT over one request, good for a minute and once. This is the proof alone; that it
 * comes only once to all workers and gateways is the store's to say (proxy/proof.h), and a worker
 * refuses at once what it has seen itself. One thread. */
#pragma once

#include "base/arena.h"
#include "belfry/reason.h"
#include "belfry/request.h"
#include "belfry/wall.h"
#include "policy/path.h"

#define DPOP_MAX_BYTES 8192 /* with an RSA key of 4096 bits it has 2 KiB */
/* An `iat` so far behind us is taken (RFC 9449 §11.1): a minute, and what clocks differ. Where ours
 * is set forward by a minute, nobody is refused who has just made one. */
#define DPOP_WINDOW_S 90
#define DPOP_AHEAD_S 30 /* and so far before us: clocks differ */
#define DPOP_CACHE_ENTRIES 8192
/* RFC 9449 §5.1, for challenges. All that are here are asymmetric (§4.2). */
#define DPOP_ALGORITHMS "ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512"

struct dpop_question {
    struct slice proof;            /* what stands in the field DPoP */
    const struct request *request; /* with its path made; its method, authority and path count */
    struct path_options paths;     /* by which that path was made */
    struct slice token;            /* the access token that it comes with */
    struct wall now;
};
struct dpop_answer {
    uint8_t thumbprint[32]; /* of its key: what `cnf.jkt` must say */
    uint8_t mark[32];       /* of key and jti: what may come once */
    int64_t until_s;        /* so long it would be taken */
};
/* PERMITTED, or DPOP_PROOF; `detail` then says why (static). */
enum reason dpop_judge(const struct dpop_question *q, struct arena *a, struct dpop_answer *out,
                       const char **detail);

/* What one worker has seen. */
struct dpop_cache;
struct dpop_cache *dpop_cache_new(void);
void dpop_cache_free(struct dpop_cache *c);
/* Notes it; false where it was noted before and still counts. */
bool dpop_cache_note(struct dpop_cache *c, const struct dpop_answer *proof, struct wall now);
