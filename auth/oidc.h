// SPDX-License-Identifier: EUPL-1.2
/* The client's side of OpenID Connect: where a person is sent, what their code is worth, how groups
 * are read again, and what a provider's logout means. A desk on the control thread: it finds each
 * provider by discovery (kept, refreshed ahead), asks it over base/fetch where the charter lets the
 * entity go, and believes an answer only after all checks of OpenID Connect Core. It keeps nothing
 * of a single sign-in; that is auth/session's.
 *
 * A provider is named by entity and id, so that a sign-in or a session goes on when a new bundle
 * changes the provider's other settings. Each question ends within OIDC_LIMIT_MS. */
#pragma once

#include "auth/identity.h"
#include "base/loop.h"
#include "base/metric.h"
#include "belfry/reason.h"
#include "policy/snapshot.h"

#define OIDC_LIMIT_MS 5000
#define OIDC_URL_MAX_BYTES 8192 /* of an address that a browser is sent to */

struct issuer_desk;
struct oidc_desk;
struct oidc_call; /* one question under way */

struct oidc_settings {
    const char *ca_file;     /* for fetching; NULL: the system's */
    const char *secrets_dir; /* clients' secrets and keys: secrets_dir/ENTITY/NAME; NULL: none */
    struct issuer_desk *issuers; /* the providers' keys; outlives the desk */
};
struct oidc_desk *oidc_desk_new(struct loop *l, const struct oidc_settings *settings,
                                struct metrics *m);
void oidc_desk_secrets(struct oidc_desk *d, const char *secrets_dir); /* after a reload */
void oidc_desk_free(struct oidc_desk *d);                             /* cancels all questions */
/* Providers of this snapshot from now on. What is under way ends by the settings that it began
 * with. */
void oidc_desk_follow(struct oidc_desk *d, struct snapshot *s);

/* What a provider says about the end of sessions. */
struct oidc_logout {
    struct slice provider; /* id */
    struct slice subject;  /* empty, or all sessions of this person, or (with `session`) whose */
    struct slice session;  /* `sid`; empty: all of the subject */
    struct slice jti;      /* seen once before: a replay; unique within the provider */
    struct wall until;     /* so long it would be accepted: a mark of its jti is kept until then */
};

/* Borrowed for the call of `done`. */
struct oidc_answer {
    /* PERMITTED: as asked. Else what to tell the person:
     * SIGN_IN_DENIED       the provider refused them, or they broke it off there
     * SIGN_IN_EXPIRED      the code is too old or was used: begin again
     * ASSURANCE_TOO_LOW    the sign-in is not as strong as was asked for
     * IDENTITY_REQUIRED    (refresh alone) the provider knows them no more: sign in again
     * PROVIDER_UNAVAILABLE no answer in time, or one that says so
     * PROVIDER_MISTAKEN    an answer that does not hold, or settings that the provider refuses;
     *                      of a logout token: it is refused */
    enum reason reason;
    /* Why, for the log (where the desk has written it already) and the audit: never holds a token,
     * a code or a secret. Empty text with PERMITTED. */
    const struct fault *why;
    const struct identity *identity; /* of oidc_redeem and oidc_refresh */
    /* Of a refresh that came to nothing. The provider has given this for the next one, before it
     * failed; empty: it gave nothing. */
    struct slice refresh_token;
    /* The same: it was asked, and its answer is lost. It may have put another refresh token in the
     * old one's place (RFC 9700 §4.14.2), which then is worth nothing any more. */
    bool is_lost;
    const struct oidc_logout *logout; /* of oidc_logout */
    struct slice url;                 /* of oidc_begin and oidc_sign_out */
};

struct oidc_question {
    struct slice entity;
    struct slice provider; /* id; of oidc_logout: not used */
    /* Exactly once, never from inside the call that asks, not after oidc_cancel. */
    void (*done)(void *owner, const struct oidc_answer *answer);
    void *owner;
};

/* What was agreed at the beginning of a sign-in and must be the same at its end. Everything is
 * copied. */
struct oidc_attempt {
    struct slice state;        /* its name: unguessable, base64url */
    struct slice nonce;        /* unguessable, another than state */
    struct slice verifier;     /* RFC 7636 §4.1: 43 to 128 characters of base64url */
    struct slice redirect_uri; /* exactly the one that is registered: https://LOGIN/.belfry/callback
                                */
    struct slice language;     /* ui_locales: "nl"; empty: not said */
    int64_t acr_level;         /* at least this is asked for; 0: nothing */
    int64_t max_age_s;         /* the person's last proof at the provider; -1: nothing asked */
    struct wall begun_at;
};
/* answer.url: where the browser goes (Core §3.1.2.1). */
struct oidc_call *oidc_begin(struct oidc_desk *d, const struct oidc_question *q,
                             const struct oidc_attempt *attempt);

/* The parameters with which the browser came back, decoded; empty: not there. `state` was used to
 * find the attempt. A parameter that came twice is refused before this. */
struct oidc_response {
    struct slice code;
    struct slice iss;
    struct slice error;
    struct slice error_description;
};
/* answer.identity. Checks `iss` first (RFC 9207 §2.4), then what error says, then spends the code.
 */
struct oidc_call *oidc_redeem(struct oidc_desk *d, const struct oidc_question *q,
                              const struct oidc_attempt *attempt,
                              const struct oidc_response *response);

/* answer.identity: the same person, as the provider sees them now; its refresh_token takes the old
 * one's place (rotation). Where `before` has no refresh_token, or the provider says nothing new of
 * the groups, IDENTITY_REQUIRED. Single flight is the caller's. */
struct oidc_call *oidc_refresh(struct oidc_desk *d, const struct oidc_question *q,
                               const struct identity *before);

/* answer.url: the provider's end_session_endpoint with all it needs; empty where the provider has
 * none, or the bundle says `logout: local`. `id_token` may be empty. Nothing is waited for: a
 * provider that was never found is PROVIDER_UNAVAILABLE. */
struct oidc_call *oidc_sign_out(struct oidc_desk *d, const struct oidc_question *q,
                                struct slice id_token, struct slice back_uri, struct slice state,
                                struct slice language);

/* answer.logout: a back-channel logout token of one of the entity's providers, checked in full but
 * for the replay of its jti. PROVIDER_UNAVAILABLE: the keys that could prove it can't be had now.
 */
struct oidc_call *oidc_logout(struct oidc_desk *d, const struct oidc_question *q,
                              struct slice logout_token);

void oidc_cancel(struct oidc_call *take); /* NULL is fine */
