// SPDX-License-Identifier: EUPL-1.2
/* The admin listener: /healthz (the process turns), /readyz (it may be sent requests; a line a
 * condition), /metrics (Prometheus). On the control thread's loop; loopback unless configured;
 * HTTP/1.1, GET and HEAD only, a small head, one request at a time a connection, at most
 * ADMIN_MAX_CONNECTIONS. */
#pragma once

#include "base/buf.h"
#include "base/loop.h"
#include "belfry/fault.h"

#define ADMIN_MAX_CONNECTIONS 64

struct admin_hooks {
    /* Writes lines "ok name" / "degraded name: why" / "failed name: why"; returns whether it is
     * ready (no "failed"). */
    bool (*ready)(void *owner, struct buf *out);
    void (*metrics)(void *owner, struct buf *out);
    void *owner;
};
struct admin;
struct admin *admin_new(struct loop *l, struct slice listen, struct admin_hooks hooks,
                        struct fault *f);
void admin_free(struct admin *a);
