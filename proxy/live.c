// SPDX-License-Identifier: EUPL-1.2
/* Most exchanges come and go within a tick and are never looked at: to be in the list costs them
 * two pointers. */
#include "proxy/live.h"

#include "proxy/cookie.h"
#include "proxy/session_errand.h"

#define TICK_S 0.1 /* how late an end may be noticed */

void live_add(struct exchange *x)
{
    struct worker *w = x->worker;
    int64_t total_ms = x->facts.app->total_ms;
    x->good_until_s = exchange_good_until(x);
    x->touch_at_s = x->session ? x->facts.now.s + SESSION_SEEN_EVERY_S : INT64_MAX;
    int64_t ends_at_ms = loop_now(&w->loop).ms + total_ms;
    if (total_ms && (!x->ends_at_ms || ends_at_ms < x->ends_at_ms))
        x->ends_at_ms = ends_at_ms;
    list_push(&w->live, &x->in_live);
}

void live_remove(struct exchange *x)
{
    link_remove(&x->in_live);
}

/* Judging may end an exchange, and with it others of its connection: what has been looked at moves
 * to a list of its own, and the first of the rest is always there. */
static void each(struct worker *w, void (*look)(struct exchange *x))
{
    struct link done;
    list_init(&done);
    while (!list_is_empty(&w->live)) {
        struct exchange *x = container_of(w->live.next, struct exchange, in_live);
        link_remove(&x->in_live);
        list_push(&done, &x->in_live);
        look(x);
    }
    while (!list_is_empty(&done)) {
        struct link *l = done.next;
        link_remove(l);
        list_push(&w->live, l);
    }
}

void live_judge_again(struct worker *w)
{
    each(w, exchange_judge_again);
}

void live_judge_revoked(struct worker *w)
{
    each(w, exchange_judge_revoked_again);
}

void live_go_away(struct worker *w)
{
    each(w, exchange_go_away);
}

/* Whoever has a stream open is there. */
static void touch(struct exchange *x, struct wall now)
{
    x->touch_at_s = now.s + SESSION_SEEN_EVERY_S;
    session_touch(x->worker, cookie_get(&x->request, SLICE(COOKIE_SESSION)), x->session);
}

void live_end_session(struct worker *w, struct slice entity, struct slice handle)
{
    list_each (at, &w->live) {
        struct exchange *x = container_of(at, struct exchange, in_live);
        if (x->session && slice_eq(x->session->handle, handle) &&
            slice_eq(x->session->entity, entity))
            x->is_session_over = x->is_to_be_judged = true;
    }
}

static void look_at_time(struct exchange *x)
{
    struct loop *l = &x->worker->loop;
    if (loop_wall(l).s >= x->touch_at_s)
        touch(x, loop_wall(l));
    if (x->ends_at_ms && loop_now(l).ms >= x->ends_at_ms)
        exchange_time_is_up(x);
    else if (x->is_to_be_judged || loop_wall(l).s > x->good_until_s)
        exchange_judge_again(x);
}

static void on_tick(EV_P_ ev_timer *timer, int events)
{
    (void)loop, (void)events;
    each(timer->data, look_at_time);
}

void live_init(struct worker *w)
{
    list_init(&w->live);
    ev_timer_init(&w->live_tick, on_tick, TICK_S, TICK_S);
    w->live_tick.data = w;
    ev_timer_start(w->loop.ev, &w->live_tick);
}

void live_fini(struct worker *w)
{
    ev_timer_stop(w->loop.ev, &w->live_tick);
}
