// SPDX-License-Identifier: EUPL-1.2
/* One turn of the loop, as libev goes about it:
 *
 *     after (our check)   the time of the turn is taken; first of all callbacks
 *     all other events    timers and so the deadlines, sockets, mailboxes
 *     before (our prepare)  the laters run, last of all callbacks; the turn is over
 *     epoll_wait
 *
 * `turn_began_us` is 0 between the turns, and before the first: who asks for the time then reads
 * the clock. One timer serves all deadlines. It runs only while one is waiting, so that an idle
 * loop sleeps; which it is, is looked at when it ticks, so that arming and cancelling stay list
 * operations. */
#include "base/loop.h"

#include <assert.h>
#include <stdatomic.h>

static int64_t read_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); // can't fail on Linux
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Threads may race here: the time then goes back by the second that one of them was late. */
static _Atomic int64_t latest_s;

struct wall wall_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const int64_t latest = atomic_load_explicit(&latest_s, memory_order_relaxed);
    if (now.tv_sec <= latest && latest - now.tv_sec <= WALL_HELD_S)
        return (struct wall){latest};
    atomic_store_explicit(&latest_s, now.tv_sec, memory_order_relaxed);
    return (struct wall){now.tv_sec};
}

static void turn_begins(struct ev_loop *ev, ev_check *after, int events)
{
    (void)ev;
    (void)events;
    struct loop *l = after->data;
    l->turn_began_us = read_us();
    l->turn_wall = wall_now();
    while (!list_is_empty(&l->nexts)) {
        struct link *first = l->nexts.next;
        link_remove(first);
        list_push(&l->laters, first);
    }
    ev_idle_stop(ev, &l->awake);
}

static void is_awake(struct ev_loop *ev, ev_idle *awake, int events)
{
    (void)ev, (void)awake, (void)events;
}

static void run_laters(struct loop *l)
{
    while (!list_is_empty(&l->laters)) {
        struct later *what = container_of(l->laters.next, struct later, link);
        link_remove(&what->link);
        what->run(what); // may free it, and may add more
    }
}

static void turn_ends(struct ev_loop *ev, ev_prepare *before, int events)
{
    (void)ev;
    (void)events;
    struct loop *l = before->data;
    run_laters(l);
    if (!l->turn_began_us)
        return;
    int64_t length_us = read_us() - l->turn_began_us;
    if (length_us > l->longest_turn_us)
        l->longest_turn_us = length_us;
    l->turn_began_us = 0;
}

/* The first of a queue whose time has come. Asked anew after each call of `passed`, which may end
 * queues and cancel or arm deadlines as it likes. */
static struct deadline *first_due(struct loop *l, int64_t now_ms)
{
    list_each (it, &l->queues) {
        struct deadlines *q = container_of(it, struct deadlines, in_loop);
        if (list_is_empty(&q->waiting))
            continue;
        struct deadline *d = container_of(q->waiting.next, struct deadline, link);
        if (d->at_ms <= now_ms)
            return d;
    }
    return NULL;
}

static bool is_waiting(const struct loop *l)
{
    list_each (it, &l->queues)
        if (!list_is_empty(&container_of(it, struct deadlines, in_loop)->waiting))
            return true;
    return false;
}

static void tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)events;
    struct loop *l = timer->data;
    int64_t now_ms = loop_now(l).ms;
    for (struct deadline *d; (d = first_due(l, now_ms));) {
        link_remove(&d->link);
        d->passed(d);
    }
    if (!is_waiting(l))
        ev_timer_stop(ev, timer);
}

void loop_init(struct loop *l)
{
    *l = (struct loop){0};
    list_init(&l->laters);
    list_init(&l->nexts);
    list_init(&l->queues);
    l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV); // no environment chooses how we wait
    if (!l->ev)
        abort(); // no descriptors are left at start
    ev_check_init(&l->after, turn_begins);
    ev_set_priority(&l->after, EV_MAXPRI);
    l->after.data = l;
    ev_check_start(l->ev, &l->after);
    ev_prepare_init(&l->before, turn_ends);
    ev_set_priority(&l->before, EV_MINPRI);
    l->before.data = l;
    ev_prepare_start(l->ev, &l->before);
    ev_timer_init(&l->tick, tick, 0, LOOP_TICK_MS / 1000.0);
    l->tick.data = l;
    ev_idle_init(&l->awake, is_awake);
}

void loop_fini(struct loop *l)
{
    run_laters(l); // mostly frees
    ev_idle_stop(l->ev, &l->awake);
    ev_timer_stop(l->ev, &l->tick);
    ev_prepare_stop(l->ev, &l->before);
    ev_check_stop(l->ev, &l->after);
    ev_loop_destroy(l->ev);
    *l = (struct loop){0};
}

void loop_run(struct loop *l)
{
    (void)ev_run(l->ev, 0); // our two watchers keep it going until it is stopped
    l->turn_began_us = 0;   // stopped in the middle of a turn
}

void loop_stop(struct loop *l)
{
    ev_break(l->ev, EVBREAK_ALL);
}

struct mono loop_now(const struct loop *l)
{
    return (struct mono){(l->turn_began_us ? l->turn_began_us : read_us()) / 1000};
}

struct wall loop_wall(const struct loop *l)
{
    return l->turn_began_us ? l->turn_wall : wall_now();
}

void loop_later(struct loop *l, struct later *what)
{
    if (!link_is_in(&what->link))
        list_push(&l->laters, &what->link);
}

void loop_next(struct loop *l, struct later *what)
{
    if (link_is_in(&what->link))
        return;
    list_push(&l->nexts, &what->link);
    ev_idle_start(l->ev, &l->awake);
}

void later_cancel(struct later *what)
{
    link_remove(&what->link);
}

double loop_busy(struct loop *l)
{
    double seconds = (double)l->longest_turn_us / 1e6;
    l->longest_turn_us = 0;
    return seconds;
}

void deadlines_init(struct deadlines *q, struct loop *l, int64_t length_ms)
{
    assert(length_ms > 0); // at 0, one that arms itself again would pass for ever in one tick
    *q = (struct deadlines){.loop = l, .length_ms = length_ms};
    list_init(&q->waiting);
    list_push(&l->queues, &q->in_loop);
}

void deadlines_fini(struct deadlines *q)
{
    while (!list_is_empty(&q->waiting))
        link_remove(q->waiting.next);
    link_remove(&q->in_loop);
}

void deadline_arm(struct deadlines *q, struct deadline *d)
{
    link_remove(&d->link);
    // One more, since the time was rounded down: never early.
    d->at_ms = loop_now(q->loop).ms + q->length_ms + 1;
    list_push(&q->waiting, &d->link);
    if (!ev_is_active(&q->loop->tick))
        ev_timer_again(q->loop->ev, &q->loop->tick);
}

void deadline_cancel(struct deadline *d)
{
    link_remove(&d->link);
}
