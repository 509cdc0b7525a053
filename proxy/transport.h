// SPDX-License-Identifier: EUPL-1.2
/* A connection to an upstream: a TCP socket, plain or under TLS. It reads and writes without
 * waiting and tells the link in which it lies what has happened; it knows nothing of HTTP. On the
 * worker's thread. */
#pragma once

#include "proxy/origins.h"

struct transport;

/* What a transport tells its link. None is called from within a call of the link's. */
struct transport_ops {
    void (*opened)(struct transport *t); /* TCP and TLS stand, and the name is the upstream's */
    /* Instead of `opened`. `detail` is static text. */
    void (*failed)(struct transport *t, enum reason why, const char *detail);
    void (*readable)(struct transport *t);
    void (*writable)(struct transport *t);
};

enum transport_state { TRANSPORT_CONNECTING, TRANSPORT_SHAKING, TRANSPORT_OPEN, TRANSPORT_CLOSED };

struct transport {
    const struct transport_ops *ops;
    struct worker *worker;
    enum transport_state state;
    int fd;
    SSL *ssl; /* NULL: plain */
    ev_io in;
    ev_io out;
    struct later held;    /* OpenSSL holds bytes of which the socket will not tell */
    bool needs_alpn;      /* it must have chosen: an upstream that did not speaks HTTP/1.1 */
    bool is_read_blocked; /* a write waits for the socket to be readable, TLS being what it is */
};

#define TRANSPORT_NOT_NOW (-1)
#define TRANSPORT_BROKEN (-2)

/* Begins to connect to the endpoint's address. False: it can't even begin. `alpn`: "h2" or
 * "http/1.1"; an h2 upstream that does not choose it has failed. */
MUST_USE bool transport_open(struct transport *t, const struct endpoint *to, struct slice alpn);
/* Bytes, 0 at the upstream's end, TRANSPORT_NOT_NOW, or TRANSPORT_BROKEN. */
ssize_t transport_read(struct transport *t, char *bytes, size_t room);
/* Bytes taken (at least one), TRANSPORT_NOT_NOW (`writable` will be called), or TRANSPORT_BROKEN.
 */
ssize_t transport_write(struct transport *t, struct slice bytes);
void transport_read_on(struct transport *t); /* `readable` is called while there is something */
void transport_read_off(struct transport *t);
/* Nothing has come that is not yet read, nor has it ended: what had come before a question would be
 * no answer to it (RFC 9112 §9.2). */
bool transport_is_silent(struct transport *t);
/* The same without a system call, as of the loop's last poll: true where it has polled since the
 * turn that began at `rested_us`, in which the last byte was read, and nothing had come. False:
 * nobody has looked yet, or something is there. `in` was being watched all that time. */
bool transport_was_silent(struct transport *t, int64_t rested_us);
void transport_end(struct transport *t);   /* our side: nothing more is sent */
void transport_close(struct transport *t); /* at once; calls nothing; may be called twice */
