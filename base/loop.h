// SPDX-License-Identifier: EUPL-1.2
/* The glue to libev: one turn's time, work for the end of the turn, deadlines that cost nothing to
 * move. One `struct loop` a thread; nothing here crosses threads. */
#pragma once

#include <ev.h>

#include "base/list.h"
#include "belfry/wall.h"

/* Something to do when the events of this turn are through: frees, coalesced writes. `run` may add
 * more, which run in the same end of turn. */
struct later {
    struct link link;
    void (*run)(struct later *self);
};

/* A queue of deadlines of one length: since all have the same length, the first in is the first
 * out, and arming is a list operation. Precision: the loop's tick (LOOP_TICK_MS) late, never early.
 */
struct deadlines {
    struct link waiting;
    struct link in_loop;
    struct loop *loop;
    int64_t length_ms;
};
struct deadline {
    struct link link;
    int64_t at_ms;
    void (*passed)(struct deadline *self); /* it is no longer armed when this runs; may arm again */
};

/* Fine enough for the shortest limit (1 s), rare enough to cost nothing. */
#define LOOP_TICK_MS 50

struct loop {
    struct ev_loop *ev;
    struct link laters;
    struct link nexts;  /* of struct later, for the next turn */
    struct link queues; /* of struct deadlines */
    ev_prepare before;
    ev_timer tick;
    ev_idle awake;           /* while `nexts` has one: no sleep before the next turn */
    int64_t longest_turn_us; /* since the last reading: loop_busy */
    int64_t turn_began_us;   /* 0 between turns */
    struct wall turn_wall;
    ev_check after;
};

/* The time of day, as all of this process decide by it. A clock that is set back by up to this
 * makes it stand still until the clock has come there again: what has ended does not begin anew,
 * and what others date by the right time is not of tomorrow. Further back it follows at once. */
#define WALL_HELD_S 120
struct wall wall_now(void);

void loop_init(struct loop *l);
void loop_fini(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);
/* Of this turn; between turns (before loop_run, on no loop's callback) the clock's. */
struct mono loop_now(const struct loop *l);
struct wall loop_wall(const struct loop *l);         /* of this turn */
void loop_later(struct loop *l, struct later *what); /* fine when it is queued already */
/* In the next turn, after its events: for what would go on for ever while others wait. */
void loop_next(struct loop *l, struct later *what);
void later_cancel(struct later *what);
double loop_busy(struct loop *l); /* seconds of the longest turn since the last call */

void deadlines_init(struct deadlines *q, struct loop *l, int64_t length_ms); /* > 0 */
void deadlines_fini(struct deadlines *q); /* disarms what is left, calls nothing */
void deadline_arm(struct deadlines *q, struct deadline *d); /* from now; moves it when armed */
void deadline_cancel(struct deadline *d);                   /* fine when not armed */
