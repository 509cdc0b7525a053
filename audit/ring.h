// SPDX-License-Identifier: EUPL-1.2
/* A ring of bytes between two threads, without a lock: one producer, one consumer. Records are
 * contiguous, of any size up to half of the ring, aligned to 8, and come out in the order in which
 * they went in, whole or not at all. Neither side ever waits for the other. */
#pragma once

#include <stdatomic.h>

#include "belfry/slice.h"

struct ring {
    char *bytes;
    size_t room;         /* a power of two */
    char apart_1[48];    /* the two sides write to different cache lines */
    _Atomic size_t head; /* the producer's: bytes ever put in */
    size_t next;         /* what head becomes at ring_commit */
    size_t known_tail;   /* the tail as the producer last saw it: reading it costs a cache miss */
    char apart_2[40];
    _Atomic size_t tail; /* the consumer's: bytes ever taken out */
    char apart_3[56];
};

void ring_init(struct ring *r, size_t bytes);
void ring_fini(struct ring *r);

/* The producer's side. Room for a record of `len` bytes that leaves `spare` free behind it; NULL
 * where there is none. Fill it, then ring_commit. A reservation that is not committed is simply
 * given up. */
char *ring_reserve(struct ring *r, size_t len, size_t spare);
void ring_commit(struct ring *r);

/* The consumer's side. The mark up to which records are there now. */
size_t ring_mark(struct ring *r);
/* The oldest record before the mark; false where there is none. It lies in the ring until
 * ring_release. */
MUST_USE bool ring_peek(struct ring *r, size_t mark, struct slice *record);
void ring_release(struct ring *r, struct slice record);
