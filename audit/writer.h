// SPDX-License-Identifier: EUPL-1.2
/* The thread that turns records into ECS JSON lines and writes them: to a file (rotated by size,
 * reopened on request) or to stdout. It reports how far behind it is; at disk full, or more than
 * max_behind_ms behind, audit_publish refuses permits (no evidence, no access) until it has caught
 * up. */
#pragma once

#include "audit/record.h"
#include "belfry/fault.h"

struct audit_settings {
    const char *path;      /* "-" is stdout */
    int64_t rotate_bytes;  /* 0: never; the old file becomes PATH.YYYYmmddTHHMMSSZ */
    int64_t max_behind_ms; /* default 1000 */
    bool is_synced;        /* audit.durability: synced: fdatasync a batch */
    const char *gateway;   /* observer.name */
};
struct audit_writer;
struct audit_writer *audit_writer_start(const struct audit_settings *s,
                                        struct audit_ring *const *rings, uint32_t count,
                                        struct metrics *m, struct fault *f);
void audit_writer_reopen(struct audit_writer *w); /* after logrotate */
/* From now on facts are sealed by these; without any they are not written. */
struct seals;
void audit_writer_seal(struct audit_writer *w, struct seals *take);
void audit_writer_stop(struct audit_writer *w); /* writes what is left, joins */
/* One event as its ECS line (with the newline), for tests and for the writer. */
struct buf;
struct ecs_context {
    const char *gateway;
    uint64_t sequence;
    struct seals *seals; /* NULL: facts are left out */
};
bool ecs_print(struct buf *out, const struct event *e, const struct ecs_context *c);
