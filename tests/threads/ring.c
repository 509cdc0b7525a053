// SPDX-License-Identifier: EUPL-1.2
/* The audit's way between two threads, as a plain program so that it can run under the thread
 * sanitizer: the ring with records of varying size against a model, then a worker that publishes
 * and floods while a reader takes records and counts out. Exits 0 when every byte and every count
 * came through. */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>

#include "audit/record_in.h"
#include "base/mem.h"

#define RECORDS 200000
#define REFUSALS 200000
#define RING_BYTES 4096

/* The model: both threads draw the same numbers, so each knows what record i holds. */
static uint32_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static size_t make(uint64_t *state, char *out)
{
    const size_t len = draw(state) % (draw(state) % 8 == 0 ? 2000 : 200);
    const char first = (char)draw(state);

    for (size_t i = 0; i < len; i++)
        out[i] = (char)(first + (char)i);
    return len;
}

static void *produce(void *own)
{
    struct ring *r = own;
    uint64_t state = 1;
    char bytes[2048];

    for (int i = 0; i < RECORDS; i++) {
        const size_t len = make(&state, bytes);
        char *at;
        while (!(at = ring_reserve(r, len, 0)))
            sched_yield();
        memcpy(at, bytes, len);
        ring_commit(r);
    }
    return NULL;
}

static int ring_agrees(void)
{
    struct ring r;
    pthread_t thread;
    uint64_t state = 1;
    char bytes[2048];
    int wrong = 0;

    ring_init(&r, RING_BYTES);
    pthread_create(&thread, NULL, produce, &r);
    for (int i = 0; i < RECORDS; i++) {
        const size_t len = make(&state, bytes);
        struct slice record;
        while (!ring_peek(&r, ring_mark(&r), &record))
            sched_yield();
        wrong += !slice_eq(record, slice_from(bytes, len));
        ring_release(&r, record);
    }
    pthread_join(thread, NULL);
    wrong += ring_mark(&r) != atomic_load(&r.tail);
    ring_fini(&r);
    printf("ring: %d records, %d wrong\n", RECORDS, wrong);
    return wrong;
}

static void *flood(void *own)
{
    struct audit_ring *r = own;
    static const char *const addresses[] = {"192.0.2.1", "198.51.100.7", "2001:db8::1"};

    for (int i = 0; i < REFUSALS; i++) {
        const struct event e = {.kind = EVENT_REFUSAL,
                                .reason = REASON_HOST_UNKNOWN,
                                .time_us = (int64_t)i * 1000,
                                .client_address = slice_of(addresses[i % 3])};
        audit_refusal(r, &e);
    }
    return NULL;
}

static uint64_t taken(struct audit_ring *r)
{
    const size_t mark = ring_mark(&r->refusals);
    uint64_t count = 0;
    struct slice record;

    for (; ring_peek(&r->refusals, mark, &record); count++)
        ring_release(&r->refusals, record);
    struct folds *t = audit_folds_take(r);
    if (t) {
        char room[FOLD_NETWORK_ROOM];
        uint32_t at = 0;
        struct event e;
        while (folds_next(t, &at, &e, room))
            count += e.count;
        audit_folds_done(r, t);
    }
    return count;
}

static int counts_agree(void)
{
    struct metrics *m = mem_new(struct metrics);
    struct audit_ring *r = audit_ring_new(65536, m);
    pthread_t thread;
    uint64_t count = 0;

    pthread_create(&thread, NULL, flood, r);
    while (count < REFUSALS / 2)
        count += taken(r);
    pthread_join(thread, NULL);
    count += taken(r);
    count += taken(r); /* the table that was given back in between */
    printf("refusals: %d made, %ju came out\n", REFUSALS, (uintmax_t)count);
    audit_ring_free(r);
    mem_free(m);
    return count != REFUSALS;
}

int main(void)
{
    return ring_agrees() || counts_agree();
}
