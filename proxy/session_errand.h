// SPDX-License-Identifier: EUPL-1.2
/* A worker's questions about sessions, as errands to the control thread. What comes back goes into
 * the worker's cache (w->sessions) before the exchange's phase runs again. */
#pragma once

#include "auth/session_desk.h"
#include "proxy/errand.h"

#define SESSION_WAIT_MS 900 /* no answer takes a second because the store is away */

/* ERRAND_SESSION: by the cookie's id. When the phase runs again and errand_is_over,
 * session_cache_find says whether it is here; where it is not, x->session_answer says whether there
 * is none (SESSION_NONE), or the store does not answer (SESSION_AWAY, which is its zero). */
struct errand *errand_for_session(struct slice entity, struct slice id);
/* ERRAND_SESSION_CHANGE: SESSION_MOVED, ASKED, SPOKEN; `id` is the cookie's. Answered as above. */
struct errand *errand_for_session_change(struct slice id, struct session *s,
                                         const struct session_changed *changed);
/* Somebody is there: nobody waits for it; at most once a minute a session. */
void session_touch(struct worker *w, struct slice id, struct session *s);
