// SPDX-License-Identifier: EUPL-1.2
/* The control thread: all that waits. Store, key sets, signals, admin listener, reload and drain.
 * It hands workers immutable editions and tables, never shared mutable state; compiling is done on
 * the compiler's thread. */
#pragma once

#include "base/mailbox.h"
#include "proxy/config.h"

struct control;
struct key_wait;
struct exchange;

/* Runs the gateway until it has drained. The exit code. Takes the config. */
int gateway_run(struct config *take);

/* On a worker's thread: an exchange waits for keys of a provider. The answer comes back through the
 * worker's mailbox and resumes the exchange, unless key_wait_cancel ran before. */
struct key_wait *control_want_keys(struct control *c, struct exchange *x,
                                   const uint8_t provider_digest[32]);
void key_wait_cancel(struct key_wait *w);

/* The last that a worker's thread does: it has drained. */
void control_worker_gone(struct control *c);
