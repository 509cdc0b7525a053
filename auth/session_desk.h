// SPDX-License-Identifier: EUPL-1.2
/* Sessions in the store, on the control thread. Each call is asynchronous: `done` runs exactly
 * once, maybe before the call returns, never after session_desk_free. Records are changed by
 * compare-and-set on the whole sealed record, so of two writers one reads again; what an end takes
 * away no late writer brings back. An end is also an entry of the entity's revocations
 * (auth/revocation_desk.h): a store that puts an old record back brings nobody in. */
#pragma once

#include "auth/records.h"
#include "auth/revocation_desk.h"
#include "auth/session.h"
#include "base/metric.h"

struct session_desk;

enum session_answer {
    SESSION_AWAY = 0, /* the store does not answer: 503, and nobody is signed out by that */
    SESSION_NONE,     /* no such session: never was, ended, over its limits, revoked, not ours */
    SESSION_HERE,     /* here it is, or so it is done */
    SESSION_OURS      /* of session_desk_refresh: here it is, and we ask the provider */
};
/* With HERE and OURS a session that the callback takes over (session_unref), but where it says
 * NULL. */
typedef void session_done(void *owner, enum session_answer answer, struct session *take);

/* All that is given to it outlives it, but for redis_free, which comes first at the end. */
struct session_desk *session_desk_new(struct loop *l, struct redis *redis, struct records *records,
                                      struct revocation_desk *revocations, struct metrics *m);
void session_desk_free(struct session_desk *d);

/* A new session under a new id, which is in id_out (with a NUL) when this returns and is for the
 * cookie alone: the caller wipes it. It counts once `done` says HERE. */
void session_desk_create(struct session_desk *d, const struct session_start *start,
                         char id_out[SESSION_ID_CHARS + 1], session_done *done, void *owner);
/* By the cookie's id; by the handle (lists). Neither over nor revoked. With NONE session_desk_load
 * may bring the session that has ended, as long as the store has it: who signs in again does so at
 * the same provider. */
void session_desk_load(struct session_desk *d, struct slice entity, struct slice id,
                       session_done *done, void *owner);
void session_desk_find(struct session_desk *d, struct slice entity, struct slice handle,
                       session_done *done, void *owner);

/* One change of the record (session_with); HERE brings the session as it is now. NONE: it has ended
 * meanwhile, or can't be changed so. */
void session_desk_change(struct session_desk *d, const struct session *s,
                         const struct session_changed *changed, session_done *done, void *owner);

/* When somebody was there last as far as this gateway knows, maybe later than the store: nobody is
 * idle because the store was away, or has lost what it was told. {0}: nothing is known. */
struct wall session_desk_seen(const struct session_desk *d, const struct session *s);

/* Who refreshes the identity at the provider? One at a time among all gateways (SET NX PX). OURS:
 * we do, and the record says that it is asked for (SESSION_REFRESHING); the caller asks the
 * provider and ends with session_desk_change(REFRESHED or NOT_REFRESHED), or, where it does not
 * know what the provider did, with session_desk_refresh_lost, after which the record still says
 * so. HERE: another gateway did meanwhile, here it is. NONE: it has ended. AWAY: another is at it
 * and has not come to an end in SESSION_REFRESH_MS, or the store does not answer. */
#define SESSION_REFRESH_MS 10000
void session_desk_refresh(struct session_desk *d, struct session *s, session_done *done,
                          void *owner);
void session_desk_refresh_lost(struct session_desk *d, const struct session *s);

/* Ends it: everywhere, at once. HERE with NULL: done. AWAY: the store could not be told. */
void session_desk_end(struct session_desk *d, const struct session *s, session_done *done,
                      void *owner);
/* The same for a reason that nobody has told yet: the audit has it from its entry
 * (auth/session_ends.h). */
void session_desk_take_back(struct session_desk *d, const struct session *s, struct slice why,
                            session_done *done, void *owner);
/* All sessions begun until now of one sign-in at the provider (`sid`), or of one person (`user`:
 * facts_user.id, "PROVIDER:SUB"); the other is empty. For back-channel logout. */
void session_desk_end_all(struct session_desk *d, struct slice entity, struct slice provider,
                          struct slice sid, struct slice user, session_done *done, void *owner);

/* The sessions of one person at one entity, the newest first, at most SESSION_LIST_MAX. `at` is
 * borrowed for the call; who keeps one takes a reference. */
#define SESSION_LIST_MAX 64
typedef void session_list_done(void *owner, enum session_answer answer, struct session *const *at,
                               uint32_t count);
void session_desk_list(struct session_desk *d, struct slice entity, struct slice user,
                       session_list_done *done, void *owner);
