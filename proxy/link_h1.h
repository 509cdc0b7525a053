// SPDX-License-Identifier: EUPL-1.2
/* One upstream connection that speaks HTTP/1.1, plain or under TLS. It is idle at its endpoint, or
 * carries one exchange. On the worker's thread. */
#pragma once

#include "proxy/h1_chunked.h"
#include "proxy/origins.h"
#include "proxy/transport.h"
#include "proxy/websocket.h"

enum link_state { LINK_CONNECTING, LINK_BUSY, LINK_IDLE, LINK_CLOSED };

struct link_h1 {
    struct uplink up; /* .x with CONNECTING and BUSY */
    struct link in_idle;
    enum link_state state;
    struct transport transport;
    struct later flush;
    struct later bury;
    struct later again; /* tells of what was found broken while the client was pulling */
    struct deadline idle_limit;
    int64_t rested_us; /* the beginning of the turn in which it came to rest */
    /* out */
    struct buf out;
    bool body_is_chunked;
    uint64_t body_left;
    bool body_ended;   /* the last byte of the request is in `out` */
    bool write_failed; /* what it has to say is read, nothing more is sent */
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
    /* WebSocket (RFC 6455 §4.1) */
    enum { TUNNEL_NONE, TUNNEL_ASKED, TUNNEL_OPEN } tunnel;
    char key[WEBSOCKET_KEY_CHARS];
};

/* Sends the exchange's request to that endpoint: over an idle link, or a new one. False with a
 * reason where it can't. */
MUST_USE bool link_h1_begin(struct endpoint *e, struct exchange *x, enum reason *why);
/* The oldest idle one of the endpoint, of which there is one. */
void link_h1_close_idle(struct endpoint *e);
