// SPDX-License-Identifier: EUPL-1.2
/* With the real clock, since never-early is a promise about it. Nothing here waits for longer than
 * some ticks. */
#include <criterion/criterion.h>

#include "base/loop.h"

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct loop l;

static void make_loop(void)
{
    loop_init(&l);
}

static void end_loop(void)
{
    loop_fini(&l);
}

TestSuite(loop, .init = make_loop, .fini = end_loop, .timeout = 10);

/* A deadline that notes when it passed, and how many before it. */
struct noted {
    struct deadline deadline;
    int64_t armed_us;
    int64_t passed_us;
    int place;
};

static int passed_count, stop_after;

static void note(struct deadline *d)
{
    struct noted *n = container_of(d, struct noted, deadline);
    cr_assert_not(link_is_in(&d->link));
    n->passed_us = now_us();
    n->place = ++passed_count;
    if (passed_count == stop_after)
        loop_stop(&l);
}

static void arm(struct deadlines *q, struct noted *n)
{
    n->deadline.passed = note;
    n->armed_us = now_us();
    deadline_arm(q, &n->deadline);
    // What is rounded must be rounded up, however little it is.
    cr_assert_geq(n->deadline.at_ms * 1000, n->armed_us + q->length_ms * 1000);
}

Test(loop, deadlines_pass_in_order_never_early_and_at_most_a_tick_late)
{
    static const int64_t lengths_ms[] = {1, 7, 60, 121};
    struct deadlines queues[4];
    static struct noted noted[4][5];
    stop_after = 20;
    for (int i = 0; i < 4; i++) {
        deadlines_init(&queues[i], &l, lengths_ms[i]);
        for (int j = 0; j < 5; j++)
            arm(&queues[i], &noted[i][j]);
    }
    loop_run(&l);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 5; j++) {
            int64_t took_us = noted[i][j].passed_us - noted[i][j].armed_us;
            cr_assert_geq(took_us, lengths_ms[i] * 1000, "queue %d", i);
            // Generous: a busy machine is late, a wrong tick is later.
            cr_assert_lt(took_us, (lengths_ms[i] + LOOP_TICK_MS + 500) * 1000, "queue %d", i);
            cr_assert(!j || noted[i][j].place > noted[i][j - 1].place);
        }
        deadlines_fini(&queues[i]);
    }
}

static void stop_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)timer;
    (void)events;
    loop_stop(&l);
}

/* Runs the loop for so long. */
static void run_for(double seconds)
{
    ev_timer timer;
    ev_timer_init(&timer, stop_tick, seconds, 0);
    ev_timer_start(l.ev, &timer);
    loop_run(&l);
    ev_timer_stop(l.ev, &timer);
}

Test(loop, a_cancelled_deadline_does_not_pass_and_a_moved_one_passes_once)
{
    struct deadlines q;
    static struct noted cancelled, moved, ended;
    deadlines_init(&q, &l, 30);
    arm(&q, &cancelled);
    arm(&q, &moved);
    arm(&q, &moved);
    deadline_cancel(&cancelled.deadline);
    deadline_cancel(&cancelled.deadline);
    run_for(0.2);
    cr_assert_eq(passed_count, 1);
    cr_assert_eq(moved.place, 1);
    arm(&q, &ended);
    deadlines_fini(&q);
    cr_assert_not(link_is_in(&ended.deadline.link));
    run_for(0.2);
    cr_assert_eq(passed_count, 1);
}

Test(loop, it_is_idle_when_no_deadline_waits)
{
    struct deadlines q;
    static struct noted n;
    deadlines_init(&q, &l, 1);
    cr_assert_not(ev_is_active(&l.tick));
    arm(&q, &n);
    cr_assert(ev_is_active(&l.tick));
    run_for(0.2);
    cr_assert_eq(passed_count, 1);
    cr_assert_not(ev_is_active(&l.tick));
    unsigned turns = ev_iteration(l.ev);
    run_for(0.3); // six ticks, if it still ticked
    cr_assert_lt(ev_iteration(l.ev) - turns, 4);
    arm(&q, &n); // and wakes again
    run_for(0.2);
    cr_assert_eq(passed_count, 2);
    deadlines_fini(&q);
}

static struct deadlines own_queue;
static int rearmed;

static void pass_again(struct deadline *d)
{
    if (++rearmed < 3)
        deadline_arm(&own_queue, d);
    else
        loop_stop(&l);
}

Test(loop, a_deadline_may_arm_itself_while_passing_and_waits_its_time_again)
{
    struct deadline d = {.passed = pass_again};
    deadlines_init(&own_queue, &l, 20);
    int64_t began_us = now_us();
    deadline_arm(&own_queue, &d);
    loop_run(&l);
    cr_assert_eq(rearmed, 3);
    cr_assert_geq(now_us() - began_us, 3 * 20 * 1000);
    deadlines_fini(&own_queue);
}

static struct deadlines ended_queue;
static struct noted never;

static void end_both(struct deadline *d)
{
    (void)d;
    passed_count++;
    deadline_cancel(&never.deadline);
    deadlines_fini(&own_queue);
    deadlines_fini(&ended_queue);
}

Test(loop, a_deadline_may_end_queues_while_passing_its_own_too)
{
    struct deadline d = {.passed = end_both};
    static struct noted other;
    deadlines_init(&own_queue, &l, 1);
    deadlines_init(&ended_queue, &l, 1);
    deadline_arm(&own_queue, &d);
    arm(&own_queue, &never);
    arm(&ended_queue, &other);
    run_for(0.2);
    cr_assert_eq(passed_count, 1);
}

struct counted {
    struct later later;
    int runs;
    struct counted *adds;
};

static void run_counted(struct later *self)
{
    struct counted *c = container_of(self, struct counted, later);
    c->runs++;
    if (c->adds)
        loop_later(&l, &c->adds->later);
}

Test(loop, laters_run_once_at_the_end_of_the_turn_with_those_they_add)
{
    struct counted second = {.later.run = run_counted};
    struct counted first = {.later.run = run_counted, .adds = &second};
    struct counted cancelled = {.later.run = run_counted};
    loop_later(&l, &first.later);
    loop_later(&l, &first.later);
    loop_later(&l, &cancelled.later);
    later_cancel(&cancelled.later);
    cr_assert_eq(first.runs, 0);
    (void)ev_run(l.ev, EVRUN_NOWAIT);
    cr_assert_eq(first.runs, 1);
    cr_assert_eq(second.runs, 1);
    cr_assert_eq(cancelled.runs, 0);
    loop_later(&l, &first.later); // a later can be used again
    (void)ev_run(l.ev, EVRUN_NOWAIT);
    cr_assert_eq(first.runs, 2);
}

struct endless {
    struct later later;
    int runs;
};

static void run_endless(struct later *self)
{
    struct endless *e = container_of(self, struct endless, later);
    if (++e->runs < 100)
        loop_next(&l, &e->later);
}

static void count_up(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)events;
    ++*(int *)timer->data;
}

Test(loop, what_is_put_off_runs_once_a_turn_so_that_others_have_theirs_between)
{
    struct endless greedy = {.later.run = run_endless};
    struct endless cancelled = {.later.run = run_endless};
    int others = 0;
    ev_timer timer;
    ev_timer_init(&timer, count_up, 0, 0.000001);
    timer.data = &others;
    ev_timer_start(l.ev, &timer);
    loop_next(&l, &greedy.later);
    loop_next(&l, &greedy.later);
    loop_next(&l, &cancelled.later);
    later_cancel(&cancelled.later);
    for (int turn = 1; turn <= 5; turn++) {
        (void)ev_run(l.ev, EVRUN_ONCE); // does not sleep: something is put off
        cr_assert_leq(greedy.runs, turn);
    }
    cr_assert_geq(greedy.runs, 4);
    cr_assert_geq(others, 4);
    cr_assert_eq(cancelled.runs, 0);
    ev_timer_stop(l.ev, &timer);
    for (int turn = 0; turn < 200; turn++)
        (void)ev_run(l.ev, EVRUN_NOWAIT);
    cr_assert_eq(greedy.runs, 100);
}

static struct mono first_seen, last_seen;

static void be_busy(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)timer;
    (void)events;
    first_seen = loop_now(&l);
    for (int64_t until = now_us() + 30000; now_us() < until;)
        continue;
    last_seen = loop_now(&l);
    loop_stop(&l);
}

Test(loop, a_turn_has_one_time_and_its_length_is_measured)
{
    ev_timer timer;
    ev_timer_init(&timer, be_busy, 0, 0);
    ev_timer_start(l.ev, &timer);
    loop_run(&l);
    cr_assert_eq(first_seen.ms, last_seen.ms);
    cr_assert_geq(loop_now(&l).ms, last_seen.ms + 30); // outside, time goes on
    // The turn that stopped the loop ended with it; one that goes on is measured.
    ev_timer_init(&timer, be_busy, 0, 0);
    ev_timer_start(l.ev, &timer);
    (void)ev_run(l.ev, EVRUN_ONCE);
    (void)ev_run(l.ev, EVRUN_NOWAIT);
    double busy = loop_busy(&l);
    cr_assert(busy >= 0.030 && busy < 2, "%f", busy);
    cr_assert_lt(loop_busy(&l), 0.030);
}
