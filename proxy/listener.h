// SPDX-License-Identifier: EUPL-1.2
/* How listening sockets come to be: bound here, or made by the service manager and passed on
 * (sd_listen_fds(3)). Passed ones outlive the gateway: who connects while it is restarted waits in
 * their backlog and is not refused. Control thread, at the start. */
#pragma once

#include "proxy/config.h"

/* One socket a worker and `listen`: fds[worker * listen_count + i] is the one of listen[i]. All or
 * none. */
MUST_USE bool listeners_open(const struct config *c, int *fds, struct fault *f);
