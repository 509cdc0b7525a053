// SPDX-License-Identifier: EUPL-1.2
/* The control thread: all that waits. Store, key sets, signals, admin listener, reload and drain.
 * It hands workers immutable editions and tables, never shared mutable state; compiling is done on
 * the compiler's thread. */
#pragma once

#include "base/mailbox.h"
#include "proxy/config.h"

struct control;
struct desks;

/* Runs the gateway until it has drained. The exit code. Takes the config. */
int gateway_run(struct config *take);

/* For errands: where they are posted to, on any thread, and what answers them, on ours. */
struct mailbox *control_mailbox(struct control *c);
struct desks *control_desks(struct control *c);

/* The last that a worker's thread does: it has drained. */
void control_worker_gone(struct control *c);
