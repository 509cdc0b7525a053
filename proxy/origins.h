// SPDX-License-Identifier: EUPL-1.2
/* Where an application's requests go: its endpoints (an upstream at an address) as this worker
 * knows them, which of them is well, who waits for one, and how much may be tried again. On the
 * worker's thread; nothing is shared between workers, nor between applications. */
#pragma once

#include "proxy/exchange.h"

struct origin;

struct endpoint {
    struct origin *origin; /* NULL: it is no longer one; goes with its last connection */
    struct worker *worker;
    struct slice text; /* the upstream's, as the bundle writes it; owned */
    struct slice name; /* what its certificate must be for, with TLS; owned */
    enum upstream_scheme scheme;
    struct sockaddr_storage address;
    socklen_t address_len;
    struct upstream_context *tls; /* NULL: plain */
    struct link idle;             /* of struct link_h1, the one used last at the end */
    struct link sessions;         /* of struct session_h2 that take new streams */
    uint32_t streams_allowed;     /* of each session, as one of them said last; 0: unknown */
    uint32_t connections;         /* open or opening */
    uint32_t outstanding;         /* exchanges under way */
    uint32_t failures;            /* one after the other */
    uint32_t ejections;           /* and how often that was too many */
    int64_t ejected_until_ms;
};

enum origins_answer {
    ORIGINS_NONE,   /* `why` says why */
    ORIGINS_QUEUED, /* the exchange is told by exchange_upstream_turn */
    ORIGINS_BEGUN,  /* x->link is there */
};

/* Begins x upstream: on the less busy of two endpoints taken at random that are well. */
MUST_USE enum origins_answer origins_begin(struct exchange *x, enum reason *why);
void origins_leave_queue(struct exchange *x); /* fine when in none */
bool origins_has_choice(struct exchange *x);  /* there is another endpoint */
/* May it be sent once more? Takes from the application's budget where it may. */
MUST_USE bool origins_may_retry(struct exchange *x);

/* From links. An exchange begins and ends there; what became of it, for the endpoint's health. */
void endpoint_begins(struct endpoint *e);
void endpoint_ends(struct endpoint *e);
enum endpoint_result { ENDPOINT_ANSWERED, ENDPOINT_FAILED };
void endpoint_result(struct endpoint *e, enum endpoint_result result);
/* A connection was opened; one is closed (which may free the endpoint), or has room again. */
void endpoint_connection_opened(struct endpoint *e);
void endpoint_connection_closed(struct endpoint *e);
void endpoint_has_room(struct endpoint *e);

/* A newer edition is held, or newer addresses are there: what leads nowhere any more is closed when
 * it is idle, and who waits may go elsewhere. */
void origins_look_again(struct worker *w);
void origins_close(struct worker *w); /* what is idle */
void origins_free(struct worker *w);  /* the loop has ended, and all links with it */
