// SPDX-License-Identifier: EUPL-1.2
/* The revocations of all entities, on the control thread: read whole when the store is there,
 * followed by its events, added to, and handed out as one immutable table whenever something
 * changed. The head of each list is remembered in state_dir: what is shorter than what was seen, or
 * has a hole, is an alarm, and so is a head that nobody vouched for within store.max_stale. */
#pragma once

#include "auth/records.h"
#include "auth/revocation.h"
#include "base/metric.h"

struct revocation_desk;

struct revocation_settings {
    struct slice state_dir;
    int64_t max_stale_ms;
    int64_t vouch_ms; /* 0: 10 s */
};
struct revocation_hooks {
    /* A new table; the hook takes over its reference. May not free the desk. */
    void (*changed)(void *owner, struct revocations *take);
    void *owner;
};
struct revocation_desk *revocation_desk_new(struct loop *l, struct redis *redis,
                                            struct records *records,
                                            const struct revocation_settings *settings,
                                            struct metrics *m, struct revocation_hooks hooks);
void revocation_desk_free(struct revocation_desk *d);
/* Entities of the charter in force: their lists are read; all others are forgotten. */
void revocation_desk_follow(struct revocation_desk *d, const struct slice *entities, size_t count);
/* The store's stream says so. */
void revocation_desk_news(struct revocation_desk *d, struct slice entity);
/* Adds one; all gateways have it within milliseconds, this one before `done`. AWAY: the store does
 * not answer. NONE: the list is full, or can't be relied on. */
void revocation_desk_add(struct revocation_desk *d, struct slice entity,
                         const struct revoked_entry *e, record_done *done, void *owner);
/* Borrowed until the next change. */
const struct revocations *revocation_desk_table(const struct revocation_desk *d);
