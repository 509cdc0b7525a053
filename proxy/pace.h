// SPDX-License-Identifier: EUPL-1.2
/* How fast a request's body comes while nobody but its client is being waited for: a body in drops
 * would hold a connection to the application for as long as it likes. What the application does not
 * take is not the client's fault, so only the time in which all was taken counts. One thread. */
#pragma once

#include "base/loop.h"

struct exchange;

struct pace {
    struct deadline deadline; /* when it is looked at next */
    int64_t since_ms;         /* when the client's turn began */
    int64_t turn_ms;          /* how long it has been the client's turn since it was looked at */
    uint64_t bytes;           /* received when it was looked at */
};

/* The body begins; a stream of messages has no pace (gRPC). Its end is deadline_cancel. */
void pace_begin(struct exchange *x);
void pace_turn(struct exchange *x);    /* all is taken: now it is the client's turn */
void pace_arrived(struct exchange *x); /* before what has come is put with the rest */
