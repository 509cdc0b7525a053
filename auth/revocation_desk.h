// SPDX-License-Identifier: EUPL-1.2
/* The revocations of all entities, on the control thread (and in the commands `belfry revoke` and
 * `belfry revocations`): read whole when the store is there, followed by its events, compared every
 * few seconds whatever events say, added to, and handed out as one immutable table whenever
 * something changed. What was read once stays in force, whatever the store says later, and is
 * remembered in state_dir.
 *
 * An alarm (belfry_revocation_alarms, and the log) is: a head or entry that is not ours, a number
 * that is missing, a list that is shorter or older than what was seen, another list under the same
 * numbers. A list of which the store has lost the end, or all, is written back. When an entity's
 * list could not be read whole, with a head that a gateway has vouched for, in store.max_stale,
 * what was revoked lately is `unknown`. */
#pragma once

#include "auth/records.h"
#include "auth/revocation.h"
#include "base/metric.h"

struct revocation_desk;

struct revocation_settings {
    const char *state_dir; /* NULL: nothing is remembered (commands) */
    int64_t max_stale_ms;
    int64_t vouch_ms; /* 0: 10 s */
    bool refuses;     /* where it is unknown; else all go on by what is known */
};
struct revocation_hooks {
    /* A new table; the hook takes over its reference. Also after the first reading of each entity.
     * May not free the desk. */
    void (*changed)(void *owner, struct revocations *take);
    void *owner;
};
/* `redis` and `records` outlive it, but for redis_free, which comes first at the end. */
struct revocation_desk *revocation_desk_new(struct loop *l, struct redis *redis,
                                            struct records *records,
                                            const struct revocation_settings *settings,
                                            struct metrics *m, struct revocation_hooks hooks);
void revocation_desk_free(struct revocation_desk *d);
/* Entities of the charter in force: their lists are read, and read again. Others rest. After
 * records_follow, since nothing can be verified before. */
void revocation_desk_follow(struct revocation_desk *d, const struct slice *entities, size_t count);
/* The connection is up (again): all is compared at once. */
void revocation_desk_up(struct revocation_desk *d);
/* The store's stream says that there is more. */
void revocation_desk_news(struct revocation_desk *d, struct slice entity);
/* Adds one (n is given here); when `done` says DONE, the table has it and all gateways are told.
 * AWAY: the store does not answer, or takes nothing. NONE: the entity is not followed, the entry is
 * not fit, or the list is full. */
void revocation_desk_add(struct revocation_desk *d, struct slice entity,
                         const struct revoked_entry *e, record_done *done, void *owner);
/* Borrowed until the next change; never NULL. */
const struct revocations *revocation_desk_table(const struct revocation_desk *d);

/* Was it read whole since the connection came up, and is nothing wrong with it? */
bool revocation_desk_is_whole(const struct revocation_desk *d, struct slice entity);
/* The number of the last entry that is known here; 0: none. */
uint64_t revocation_desk_last(const struct revocation_desk *d, struct slice entity);
/* What is wrong with it: static text; NULL: nothing. */
const char *revocation_desk_alarm(const struct revocation_desk *d, struct slice entity);
/* How many entities have one. */
uint32_t revocation_desk_alarms(const struct revocation_desk *d);
/* The entries that are kept, the oldest first, also such as are over; NULL behind the last. */
const struct revoked_entry *revocation_desk_entry(const struct revocation_desk *d,
                                                  struct slice entity, uint32_t at);
