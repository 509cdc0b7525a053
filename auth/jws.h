// SPDX-License-Identifier: EUPL-1.2
/* A signed JWT (RFC 7515, RFC 7519) of any kind, from its bytes to claims that may be believed. The
 * one way in for all of them: access tokens, ID tokens, logout tokens, userinfo, JWT-SVIDs and DPoP
 * proofs differ in what they must and must not say, and none is ever taken for another (RFC 8725
 * §3.12). The caller chooses kind, keys and algorithms; nothing of that is read from the JWT. Any
 * thread. */
#pragma once

#include "auth/jwks.h"
#include "base/metric.h"
#include "belfry/facts.h"
#include "belfry/reason.h"

#define JWS_MAX_BYTES 16384 /* an ID token with 200 groups has 8 KiB */

enum jws_kind {
    JWS_ACCESS_TOKEN, /* RFC 9068 where its type is at+jwt, else as the provider's token_types say
                       */
    JWS_ID_TOKEN,     /* OpenID Connect Core §2 */
    JWS_LOGOUT_TOKEN, /* OpenID Connect Back-Channel Logout §2.4 */
    JWS_USERINFO,     /* OpenID Connect Core §5.3.2 */
    JWS_SVID,         /* SPIFFE JWT-SVID */
    JWS_DPOP_PROOF,   /* RFC 9449 §4.2 */
    JWS_KIND_COUNT
};

/* When its claims can be used, with the leeway. */
struct jws_times {
    int64_t exp_s; /* 0: it does not say */
    int64_t iat_s; /* 0: it does not say */
    int64_t usable_from_s;
    int64_t usable_until_s; /* INT64_MAX where it has no end */
};

/* Slices point into the text; the trees are owned. */
struct jws {
    struct slice payload;      /* as base64url */
    struct slice signed_bytes; /* header "." payload */
    uint8_t signature[SIGNATURE_MAX_BYTES];
    size_t signature_len;
    json_t *header;
    json_t *claims;
    enum algorithm algorithm;
    struct slice kid;
    bool has_kid;
    struct slice type;            /* `typ` without "application/"; empty: it has none */
    const struct public_key *key; /* after jws_judge: what verified it, borrowed from the demand */
    struct jws_times times;       /* after jws_judge */
};

/* Takes it apart: strict base64url in three parts (so no JWE and no JSON serialization), no name
 * twice, nothing critical, nested, unencoded or compressed. Nothing in it is believed yet; only
 * `iss` may be looked at, to choose whose keys have to prove it. TOKEN_MALFORMED, TOKEN_CRITICAL or
 * TOKEN_ALGORITHM otherwise. jws_fini is called in each case. */
enum reason jws_parse(struct jws *out, struct slice text);
void jws_fini(struct jws *j);

struct jws_demand {
    enum jws_kind kind;
    struct slices
        types; /* of access tokens: which `typ` count, in lower case. Others have theirs */
    uint32_t algorithms;          /* bits 1 << enum algorithm */
    const struct key_set *keys;   /* NULL, and no key: KEYS_UNAVAILABLE */
    const struct public_key *key; /* in place of a set */
    struct slice issuer;          /* `iss` is exactly this; empty: not looked at */
    struct slices audiences;      /* `aud` holds one of these. None: no audience is right, but of
                                     userinfo and proofs, where `aud` is not looked at then */
    int64_t leeway_s;             /* between clocks */
    int64_t max_age_s;            /* exp - iat and now - iat are at most this; 0: not looked at */
    struct wall now;
};
/* PERMITTED: the signature holds, and it is in every respect what the demand says: algorithm, type,
 * what its kind must and must not say, issuer, audience (of an ID token also `azp`), time. Else the
 * reason; TOKEN_KEY_UNKNOWN where the set has no key of its name. Only then j->claims may be read.
 * `m` counts signatures that are looked at; may be NULL. */
enum reason jws_judge(struct jws *j, const struct jws_demand *d, struct metrics *m);

/* The parts of the judgement that also claims without a signature of their own go through (an
 * introspection's answer). */
enum reason jws_judge_audience(const json_t *claims, struct slices audiences);
enum reason jws_judge_times(struct jws_times *out, const json_t *claims,
                            const struct jws_demand *d);
/* The reason for which they can't be used at `now`; PERMITTED where they can. */
enum reason jws_timely(const struct jws_times *t, struct wall now);
