// SPDX-License-Identifier: EUPL-1.2
/* The exchanges of a worker that were permitted and are under way. Each is owned by the policy to
 * its last byte: it is judged again when a new edition comes, when something was revoked, and when
 * what it rests on has ended. On the worker's thread. */
#pragma once

#include "proxy/exchange.h"

void live_init(struct worker *w);
void live_fini(struct worker *w);
void live_add(struct exchange *x);    /* once it is permitted */
void live_remove(struct exchange *x); /* fine when it is in none */
/* All of them, now. */
void live_judge_again(struct worker *w);
/* Those whose device, token or session was taken back end; of the others nothing else is asked. */
void live_judge_revoked(struct worker *w);
/* That session has ended, and no entry of a revocation says so. */
void live_end_session(struct worker *w, struct slice entity, struct slice handle);
/* The worker drains: WebSockets are told, all else comes to its end. */
void live_go_away(struct worker *w);
