// SPDX-License-Identifier: EUPL-1.2
/* The inside of a worker's way to the audit, for audit/record.c (the worker's side), audit/writer.c
 * (the writer's side) and their tests. */
#pragma once

#include "audit/fold.h"
#include "audit/record.h"
#include "audit/ring.h"

#define AUDIT_REFUSALS_PER_SECOND                                                                  \
    100 /* a worker's: enough to see what goes on; above it they are folded */

struct audit_ring {
    struct ring decisions;
    struct ring refusals;
    /* Evidence for events up to this monotonic time is in time. The writer moves it on after each
     * batch, and takes it back where it can't write. So it also passes by itself when the writer
     * hangs in a write. Born in the past: where no writer is, nobody is let in. */
    _Atomic int64_t in_time_until_ms;
    /* The table that the worker folds into. Whoever works on it takes it out: the worker puts it
     * back, the writer puts the spare one in its place. The worker always finds one, and neither
     * ever waits. */
    _Atomic(struct folds *) folds;
    struct folds tables[2];
    /* The worker's own. */
    struct metrics *metrics;
    int64_t rate_second;
    uint32_t rate_used;
    /* The writer's own. */
    struct folds *spare;
};

/* The event in a record of ours. Its slices point into the record. */
void record_read(struct slice record, struct event *out);
/* What was folded since the last call: a table to read, then to give back by audit_folds_done. NULL
 * where there is nothing, or the worker is at it now. The writer's side. */
struct folds *audit_folds_take(struct audit_ring *r);
void audit_folds_done(struct audit_ring *r, struct folds *t);
