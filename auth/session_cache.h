// SPDX-License-Identifier: EUPL-1.2
/* The sessions that a worker knows, by the cookie's id: a table of fixed size, keyed under a key of
 * the process, compared by all bytes. What is found is judged again on each use: its own limits,
 * revocations, and how long the store has been away. Only ids that the store knew are kept: a flood
 * of invented ones pushes nobody out. One thread. */
#pragma once

#include "auth/revocation.h"
#include "auth/session.h"

#define SESSION_CACHE_ENTRIES 4096 /* some 2 KiB each, which workers share */

struct session_cache;

struct session_cache *session_cache_new(uint32_t entries);
void session_cache_free(struct session_cache *c);

/* Borrowed until the next call of any of these; NULL: not known here, or no longer good: ask the
 * store (ERRAND_SESSION). Past its idle limit it is asked too, since somebody may have been seen at
 * another gateway. An entity's session is never found for another one, nor for another application.
 */
struct session *session_cache_find(struct session_cache *c, struct slice entity,
                                   struct slice application, struct slice id,
                                   const struct revocations *revoked, struct wall now);
/* Nobody of whom is known here has said in the last minute that somebody is there: who asks says it
 * now. Until that is written down, and where it can't be, it counts here. */
bool session_cache_may_touch(struct session_cache *c, struct slice entity, struct slice id,
                             struct wall now);
/* That could not be written down: other gateways do not know it yet. */
void session_cache_touch_failed(struct session_cache *c, struct slice entity, struct slice id);
/* Its provider could not be asked: it goes on by what is known, and `until` then nobody asks. */
void session_cache_defer(struct session_cache *c, struct slice entity, struct slice id,
                         struct wall until);
bool session_cache_is_deferred(struct session_cache *c, struct slice entity, struct slice id,
                               struct wall now);
/* What came from the store; a version that is older than the one here is dropped. */
void session_cache_add(struct session_cache *c, struct slice id, struct session *take);
/* The store says that there is none. */
void session_cache_drop(struct session_cache *c, struct slice entity, struct slice id);
/* The store has been away longer than store.max_stale: nothing is known any more. */
void session_cache_forget(struct session_cache *c);
