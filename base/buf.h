// SPDX-License-Identifier: EUPL-1.2
/* Bytes that grow up to the ceiling given at birth, and then say no. Bytes are appended at the end
 * and taken off the front; what is taken off costs no move until room is needed. One thread at a
 * time. */
#pragma once

#include "belfry/slice.h"

struct buf {
    char *ptr;      /* the allocation; NULL while nothing was added */
    size_t from;    /* first byte held */
    size_t to;      /* one past the last */
    size_t room;    /* size of the allocation, at most half more than the ceiling */
    size_t ceiling; /* to - from never exceeds it */
};

void buf_init(struct buf *b, size_t ceiling);
void buf_fini(struct buf *b);
static inline size_t buf_len(const struct buf *b)
{
    return b->to - b->from;
}
static inline struct slice buf_slice(const struct buf *b)
{
    return b->ptr ? (struct slice){b->ptr + b->from, b->to - b->from} : SLICE("");
}
/* Appends; false, and nothing appended, where the ceiling would be passed. */
MUST_USE bool buf_add(struct buf *b, struct slice bytes);
MUST_USE bool buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for at least `want` more bytes at *at; false past the ceiling. Fill it, then buf_grew(n). */
MUST_USE bool buf_reserve(struct buf *b, size_t want, char **at);
void buf_grew(struct buf *b, size_t n);
void buf_skip(struct buf *b, size_t n); /* n bytes off the front; n <= buf_len */
void buf_clear(struct buf *b);          /* keeps the allocation */
/* Gives the allocation back when it is empty: a quiet connection keeps no memory. */
void buf_release(struct buf *b);
