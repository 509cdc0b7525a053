// SPDX-License-Identifier: EUPL-1.2
/* Queues under a lock, as the compiler has a slot: neither side is on the way of a request.
 *
 * A group has a lane while something of it waits or runs. `due_ns` is the time that its jobs have
 * taken, on a scale that all lanes share: who comes anew begins where the lane stands that was
 * served last, so that nobody saves up time by having asked for nothing. */
#include "base/aside.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/fault.h"
#include "base/list.h"
#include "base/mem.h"

struct lane {
    struct link link;
    struct slice group; /* owned */
    struct letter *first;
    struct letter **end;
    uint64_t due_ns;
};

struct aside {
    pthread_t thread;
    char name[16]; /* as long as the system takes */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct link lanes;   /* in the order in which they came; this and the rest under the lock */
    struct lane *served; /* whose job runs */
    uint64_t due_ns;     /* of the lane that was served last */
    bool is_stopping;
    struct mailbox home;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct aside_job *job_of(struct letter *letter)
{
    return container_of(letter, struct aside_job, letter);
}

/* ---- lanes; under the lock ---- */

static struct lane *lane_of(struct aside *a, struct slice group)
{
    list_each (at, &a->lanes) {
        struct lane *lane = container_of(at, struct lane, link);
        if (slice_eq(lane->group, group))
            return lane;
    }
    struct lane *lane = mem_new(struct lane);
    lane->group = mem_slice(group);
    lane->end = &lane->first;
    lane->due_ns = a->due_ns;
    list_push(&a->lanes, &lane->link);
    return lane;
}

static void lane_free(struct lane *lane)
{
    link_remove(&lane->link);
    mem_slice_free(&lane->group);
    mem_free(lane);
}

static struct lane *next_lane(const struct aside *a)
{
    struct lane *least = NULL;
    list_each (at, &a->lanes) {
        struct lane *lane = container_of(at, struct lane, link);
        if (lane->first && (!least || lane->due_ns < least->due_ns))
            least = lane;
    }
    return least;
}

static void leave(struct aside *a, uint64_t took_ns)
{
    if (!a->served)
        return;
    a->served->due_ns += took_ns;
    if (!a->served->first)
        lane_free(a->served);
    a->served = NULL;
}

static struct aside_job *take_from(struct aside *a, struct lane *lane)
{
    struct letter *first = lane->first;
    lane->first = first->next;
    if (!lane->first)
        lane->end = &lane->first;
    a->served = lane;
    a->due_ns = lane->due_ns;
    return job_of(first);
}

/* ---- the thread ---- */

/* NULL: it is to end. `took_ns`: the job before. */
static struct aside_job *take_next(struct aside *a, uint64_t took_ns)
{
    struct lane *lane;
    (void)pthread_mutex_lock(&a->lock);
    leave(a, took_ns);
    while (!(lane = next_lane(a)) && !a->is_stopping)
        (void)pthread_cond_wait(&a->wake, &a->lock);
    struct aside_job *job = lane && !a->is_stopping ? take_from(a, lane) : NULL;
    (void)pthread_mutex_unlock(&a->lock);
    return job;
}

static void *aside_main(void *arg)
{
    struct aside *a = arg;
    uint64_t took_ns = 0;
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    (void)pthread_setname_np(pthread_self(), a->name);
    for (struct aside_job *job; (job = take_next(a, took_ns));) {
        const uint64_t began_ns = now_ns();
        job->run(job);
        took_ns = now_ns() - began_ns;
        mailbox_post(&a->home, &job->letter);
    }
    return NULL;
}

struct aside *aside_start(struct loop *l, const char *name, struct fault *f)
{
    struct aside *a = mem_new(struct aside);
    const struct slice text = slice_of(name);
    memcpy(a->name, text.ptr, text.len < sizeof a->name ? text.len : sizeof a->name - 1);
    list_init(&a->lanes);
    mailbox_init(&a->home, l, a);
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->wake, NULL);
    const int error = pthread_create(&a->thread, NULL, aside_main, a);
    if (!error)
        return a;
    (void)fault_errno(f, error, "cannot start the thread '%s'", name);
    mailbox_fini(&a->home);
    (void)pthread_mutex_destroy(&a->lock);
    (void)pthread_cond_destroy(&a->wake);
    mem_free(a);
    return NULL;
}

static void drop_lane(struct lane *lane)
{
    for (struct letter *one = lane->first, *next; one; one = next) {
        next = one->next;
        one->drop(one);
    }
    lane_free(lane);
}

void aside_stop(struct aside *a)
{
    if (!a)
        return;
    (void)pthread_mutex_lock(&a->lock);
    a->is_stopping = true;
    (void)pthread_cond_signal(&a->wake);
    (void)pthread_mutex_unlock(&a->lock);
    (void)pthread_join(a->thread, NULL);
    mailbox_fini(&a->home);
    while (!list_is_empty(&a->lanes))
        drop_lane(container_of(a->lanes.next, struct lane, link));
    (void)pthread_mutex_destroy(&a->lock);
    (void)pthread_cond_destroy(&a->wake);
    mem_free(a);
}

void aside_do(struct aside *a, struct aside_job *take)
{
    take->letter.next = NULL;
    (void)pthread_mutex_lock(&a->lock);
    struct lane *lane = lane_of(a, take->group);
    *lane->end = &take->letter;
    lane->end = &take->letter.next;
    (void)pthread_cond_signal(&a->wake);
    (void)pthread_mutex_unlock(&a->lock);
}
