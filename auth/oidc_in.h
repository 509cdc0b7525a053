// SPDX-License-Identifier: EUPL-1.2
/* What the files of the desk share: oidc.c has the questions and the desk, oidc_discovery.c what is
 * known of each provider, oidc_address.c where a browser is sent, oidc_redeem.c what a code or a
 * refresh token is worth, oidc_logout.c what a provider says of the end of sessions. */
#pragma once

#include "auth/discovery.h"
#include "auth/grant.h"
#include "auth/oidc.h"
#include "base/fault.h"
#include "base/fetch.h"
#include "base/jtree.h"
#include "base/list.h"

struct oidc_desk {
    struct loop *loop;
    struct fetcher *fetcher;
    struct metrics *metrics;
    struct issuer_desk *issuers;
    char *ca_file;
    char *secrets_dir;
    struct snapshot *snapshot; /* NULL before the first */
    struct link providers;     /* of struct known */
    struct link calls;
};

/* What is known of one provider that people sign in at. */
struct known {
    struct link link;
    struct oidc_desk *desk;
    char *entity;
    char *issuer;
    uint8_t digest[32]; /* the provider's */
    bool is_gone;       /* of no snapshot any more; freed when nobody uses it */
    uint32_t users;     /* questions that hold it */
    struct fetch *fetch;
    bool has_document;
    struct discovery document;
    struct arena arena; /* of the document */
    struct mono fetched_at;
    struct mono asked_at;
    struct fault why; /* it could not be had, */
    struct mono away_until;
    int64_t life_s;
    struct link waiting; /* calls, by `wait` */
};

enum step { WAIT, NEXT, OVER };

struct oidc_call {
    struct link link;
    struct link wait; /* in a known's list */
    struct oidc_desk *desk;
    enum step (*const *at)(struct oidc_call *); /* the step to run, in a list that ends with NULL */
    struct oidc_question question;
    struct arena arena;
    struct snapshot *snapshot; /* in which `provider` lies */
    const struct provider *provider;
    struct known *known;
    struct fetch *fetch;
    struct issuer_wish *wish;
    struct later start;
    ev_timer deadline;
    struct mono ends_at;

    struct oidc_attempt attempt;
    struct oidc_response response;
    struct identity before;
    bool is_refresh;
    bool is_lost;                /* it was asked for tokens, and what it did is not known */
    struct slice back_uri, hint; /* of a sign-out */
    struct slice logout_token;

    bool has_asked_keys;
    bool is_asking_keys;
    struct grant grant;
    json_t *claims;    /* of the ID token that was proven */
    bool has_body;     /* of userinfo: */
    struct slice body; /* as it came, */
    struct slice type; /* of this media type, */
    json_t *userinfo;  /* and read */
    struct fault fault;
    struct identity identity;
    struct oidc_logout logout;
    struct oidc_answer answer;
};

/* ---- oidc.c ---- */

void oidc_call_go(struct oidc_call *c); /* on with its story; it may be gone afterwards */
void oidc_call_end(struct oidc_call *c, enum reason reason);
/* Of a step: its story ends there. */
enum step oidc_over(struct oidc_call *c, enum reason reason);
enum step oidc_over_because(struct oidc_call *c, enum reason reason, enum fault_code code,
                            const char *what);
/* What the charter in force gives the entity. */
bool oidc_may_connect(const struct oidc_desk *d, struct slice entity,
                      const struct sockaddr *address);

/* ---- oidc_discovery.c ---- */

struct known *oidc_known_find(const struct oidc_desk *d, const uint8_t digest[32]);
/* Known from now on, and asked about itself at once, so that nobody waits for that. */
void oidc_known_new(struct oidc_desk *d, const struct provider *p);
void oidc_known_release(struct known *k); /* one user less; NULL is fine */
void oidc_known_free(struct known *k);
enum reason oidc_reason_of(const struct fault *why); /* of a fetch that came to nothing */
enum step oidc_discover(struct oidc_call *c);
enum step oidc_look_up(struct oidc_call *c); /* for a sign-out, which does not wait */

/* ---- oidc_address.c ---- */

enum step oidc_address(struct oidc_call *c);
enum step oidc_farewell(struct oidc_call *c);

/* ---- oidc_redeem.c ---- */

enum step oidc_hear(struct oidc_call *c);
enum step oidc_spend(struct oidc_call *c);
enum step oidc_prove(struct oidc_call *c);
enum step oidc_inquire(struct oidc_call *c);
enum step oidc_conclude(struct oidc_call *c);
struct slice oidc_next_refresh_token(const struct oidc_call *c);
/* KEYS_UNAVAILABLE in place of TOKEN_KEY_UNKNOWN while the provider can't say which it has. */
enum reason oidc_key_reason(const struct oidc_call *c, enum reason reason);
bool oidc_are_keys_missing(enum reason reason);
enum step oidc_want_keys(struct oidc_call *c); /* WAIT, or NEXT: look at once */

/* ---- oidc_logout.c ---- */

enum step oidc_recognise(struct oidc_call *c);
