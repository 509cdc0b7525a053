// SPDX-License-Identifier: EUPL-1.2
/* One upstream connection that speaks HTTP/1.1, and the pool of them that a worker keeps for each
 * upstream address. A link is idle in its pool, or carries one exchange. On the worker's thread. */
#pragma once

#include "proxy/exchange.h"
#include "proxy/h1_chunked.h"

struct pool {
    struct worker *worker;
    struct upstream address; /* text is owned */
    struct link idle;        /* newest last */
    uint32_t open_count;
};

enum link_state { LINK_CONNECTING, LINK_BUSY, LINK_IDLE, LINK_CLOSED };

struct link_h1 {
    struct link in_pool;
    struct pool *pool;
    enum link_state state;
    int fd;
    ev_io readable;
    ev_io writable;
    struct later flush;
    struct later bury;
    struct later again; /* tells of what was found broken while the client was pulling */
    struct deadline idle_limit;
    struct exchange *x; /* with CONNECTING and BUSY */
    bool is_reused;
    bool has_answered; /* a byte of this response has come */
    /* out */
    struct buf out;
    bool body_is_chunked;
    uint64_t body_left;
    bool body_ended; /* the last byte of the request is in `out` */
    /* in: bytes[from, to) have arrived and not been taken */
    char *bytes;
    size_t from;
    size_t to;
    struct h1_scan scan;
    bool has_head;
    enum h1_framing framing;
    uint64_t left; /* H1_LENGTH */
    struct chunked chunked;
    size_t ready; /* body bytes at `from` that can be taken */
    bool has_ended;
    bool wants_close;
    bool is_eof;
    bool is_broken;
    bool write_failed; /* what it has to say is read, nothing more is sent */
};

/* Sends the exchange's request upstream: over an idle link, or a new one. False with a reason where
 * there is no room. */
MUST_USE bool link_begin(struct exchange *x, const struct upstream *to, enum reason *why);
/* More of x->up, or its end. */
void link_kick(struct link_h1 *l);
struct slice link_peek(struct link_h1 *l);
void link_take(struct link_h1 *l, size_t n);
bool link_is_ended(const struct link_h1 *l);
bool link_ends_after(const struct link_h1 *l, size_t n); /* with n bytes more taken */
bool link_is_connected(const struct link_h1 *l);         /* NULL is not */
/* All that came of the request's body is sent, and more is to come. */
bool link_wants_body(const struct link_h1 *l);
/* The exchange is through with it: back to the pool where both bodies ended cleanly, else closed.
 */
void link_release(struct link_h1 *take);
void pools_close(struct worker *w); /* all idle links */
void pools_free(struct worker *w);  /* the loop has ended, and all links with it */
