// SPDX-License-Identifier: EUPL-1.2
/* The claims of a payload whose signature holds, as facts. For token.c
 * and id_token.c. */
#pragma once

#include "auth/jws.h"
#include "base/arena.h"
#include "policy/bundle.h"

struct claims {
    struct facts_user user; /* all but `hash` */
    bool is_service; /* a JWT-SVID: it speaks of a service; of `user`, only who and until when */
    struct facts_service service;
    struct jws_times times; /* when they can be used */
    bool is_bound;          /* to the certificate of this digest: cnf.x5t#S256 (RFC 8705 §3.1) */
    uint8_t certificate[32];
    bool is_proof_bound; /* to the key of this thumbprint: cnf.jkt (RFC 9449 §6.1) */
    uint8_t proof_key[32];
};

/* PERMITTED, or what is wrong with their shape. Texts are copied into `a`. `times`: as jws_judge or
 * jws_judge_times found them; issuer and audience are theirs, too. */
enum reason claims_read(struct claims *out, struct arena *a, const json_t *payload,
                        const struct provider *provider, const struct jws_times *times);
/* Not empty, not long, and without C0 controls and DEL: it goes into the audit and into conditions.
 */
bool claim_is_plain(struct slice text, size_t max);
