// SPDX-License-Identifier: EUPL-1.2
/* The ends of sessions that nobody is there to tell of: idle too long, over their time, taken back
 * with a person, a sign-in or a device, replaced by a newer one. The store has an index of all
 * sessions by the moment at which each is over unless somebody is seen; a gateway looks every few
 * seconds at those that are due, and at all of them once something was taken back. Of the gateways
 * that see an end, the one that takes the session out of the index tells of it.
 *
 * Nobody is told to have ended who goes on. Time and revocations end for good. Who seems to be idle
 * may have been seen where the store was not there to hear of it: by this gateway, which knows; or,
 * where the connection was lost since, by any, whom it gives as long again from its return. And it
 * is the telling that ends the idle: their record goes, if it still is the one that was read.
 *
 * A store that hides its index hides ends from the audit. One that shows old records again has each
 * told once by each gateway, until their time is over; one that hides from a gateway what
 * others have written can have it tell that a session of theirs was idle. On the control thread. */
#pragma once

#include "auth/records.h"
#include "auth/revocation_desk.h"
#include "auth/session_desk.h"

#define SESSION_INDEX "belfry:sessions" /* handles, by session_due() */

struct session_ends;
/* `why` is one line; both are borrowed for the call. */
typedef void session_ended(void *owner, const struct session *s, const char *why);

/* All that is given to it outlives it, but for redis_free, which comes first at the end. */
struct session_ends *session_ends_new(struct loop *l, struct redis *redis, struct records *records,
                                      struct revocation_desk *revocations,
                                      const struct session_desk *sessions, session_ended *ended,
                                      void *owner);
void session_ends_free(struct session_ends *e);
