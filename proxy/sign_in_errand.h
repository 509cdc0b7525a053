// SPDX-License-Identifier: EUPL-1.2
/* What the gateway's own addresses ask of the control thread: sign-ins, step by step, and what is
 * done about sessions. One letter goes there with all that it needs, and comes back with the
 * answer in it; the exchange then keeps it (x->work) until its end. Texts lie in its own arena. */
#pragma once

#include "auth/attempt.h"
#include "auth/oidc.h"
#include "auth/session_desk.h"
#include "proxy/errand.h"

struct work {
    struct errand errand;
    struct arena arena;
    struct desks *desks;
    bool is_kept;  /* by an exchange */
    bool is_spent; /* its code is at the provider: what comes of it is for its browser */
    ev_timer look; /* for what has come of another's */
    struct mono look_until;
    void (*story)(struct work *w);

    /* The question. */
    struct slice entity;
    struct slice host; /* of the application, or the login host */
    struct slice id;   /* of the attempt or hand-over; of the session's cookie */
    struct attempt attempt;
    struct slice redirect_uri;
    struct slice cookies;       /* ours that came, as "NAME=VALUE;"s */
    struct facts_device device; /* id and digest alone */
    bool has_device;
    struct oidc_response response; /* of the provider, through the browser */
    struct slice handle;           /* of the session that is to end; of a logout its mark */
    struct slice back_uri;         /* where the provider leads when it has signed out */
    struct slice token;            /* a provider's logout token */
    struct session *session;       /* whose, or which; a reference */

    /* The answer. */
    enum reason reason; /* PERMITTED: done */
    bool is_pending;    /* nothing has come of it yet */
    const char *detail; /* our own words; with PERMITTED NULL, but of a sign-out what was not
                           done */
    struct slice url;   /* where the browser goes on */
    struct identity identity;
    char new_id[SESSION_ID_CHARS + 1]; /* of a hand-over, or of a session: empty where it has one */
    struct session *list[SESSION_LIST_MAX];
    uint32_t count;
};

/* On the worker's thread. Everything is copied into w->arena by the caller. */
struct work *work_new(const struct exchange *x);
void work_free(struct work *w); /* NULL is fine; wipes */

/* Sends it; the phase runs again with x->work. */
enum work_kind {
    WORK_KEEP,      /* an attempt */
    WORK_LEAD,      /* attempt → url at the provider */
    WORK_REDEEM,    /* what the provider said → hand-over → url */
    WORK_AWAIT,     /* the same for one whose WORK_REDEEM was not waited for */
    WORK_COME_BACK, /* hand-over → session */
    WORK_REFRESH,   /* session → session */
    WORK_SIGN_OUT,  /* session → url at the provider, or none */
    WORK_LIST,      /* the person's sessions */
    WORK_END,       /* one of them, by its handle; empty: all */
    WORK_LOGOUT     /* a provider ends sessions */
};
void work_send(struct exchange *x, struct work *take, enum work_kind kind, int64_t limit_ms);
