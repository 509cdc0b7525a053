// SPDX-License-Identifier: EUPL-1.2
/* One client connection of the load generator: TCP, TLS 1.3 with a client certificate, and on it
 * HTTP/1.1, HTTP/2 or a WebSocket. HTTP/2 is framed by hand, since what is compared is the servers:
 * the generator shall cost little, and a token go into the HPACK table or not as it is told to
 * (nghttp2's client never indexes `authorization`; browsers do). One thread. */
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>

#include "base/buf.h"

#define WIRE_STREAMS_MAX 256

enum wire_kind { WIRE_H2, WIRE_H1, WIRE_WEBSOCKET };

struct wire;

/* What all requests of a run have in common. */
struct wire_plan {
    enum wire_kind kind;
    struct sockaddr_in address;
    const char *host; /* SNI and authority */
    const char *path;
    size_t body; /* bytes to upload; 0: a GET */
    struct slice *tokens;
    size_t token_count;
    size_t token_next; /* of the next request; stays where it is unless is_each */
    bool is_each;      /* another token in each request */
    bool is_indexed;   /* the token goes into the HPACK table, once a connection */
    uint32_t streams;  /* requests under way on one connection */
    SSL_CTX *ctx;
    SSL_SESSION *session; /* the newest ticket; offered where is_resumed */
    bool is_resumed;

    /* Made by wire_plan_make: what a request is written from. */
    struct buf head_first;
    struct buf head_later;
    struct buf *token_fields; /* one for each token */
    /* A whole answer: its status; due_ns as it was given to wire_ask. May ask again on `w`. */
    void (*answered)(struct wire *w, uint16_t status, int64_t due_ns);
    void *owner;
};
void wire_plan_make(struct wire_plan *plan);
void wire_plan_fini(struct wire_plan *plan);

struct wire_ask {
    uint32_t stream;
    bool has_head;
    uint16_t status;
    int64_t due_ns;
    size_t body_left;
    int64_t window;
};

struct wire {
    struct wire_plan *plan;
    SSL *ssl;
    int fd;
    bool is_ready;   /* the handshake is done */
    bool is_leaving; /* the server takes no more requests here */
    bool wants_out;  /* wait for EPOLLOUT too */
    const char *why; /* static text, once it has failed */
    struct buf in;
    struct buf out;
    struct wire_ask asks[WIRE_STREAMS_MAX];
    uint32_t under_way;
    /* HTTP/2 */
    struct nghttp2_hd_inflater *inflater;
    uint32_t next_stream;
    bool has_asked;    /* the table holds what the first request put in */
    bool has_no_table; /* the server's decoder has less than the default room: nothing is indexed */
    int64_t window;    /* what may be sent on all streams together */
    int64_t start_window; /* of a new stream */
    uint32_t unsaid;      /* received since the last WINDOW_UPDATE */
    /* HTTP/1.1 */
    size_t scanned;
    uint64_t body_in;
    bool is_open; /* the WebSocket's handshake is done */
};

/* Begins to connect. NULL where the system has no socket left. */
struct wire *wire_new(struct wire_plan *plan);
/* Says goodbye where it still can, and closes. */
void wire_free(struct wire *w);
/* How many requests may be asked now. */
uint32_t wire_room(const struct wire *w);
/* Puts one request in the queue: wire_room was not 0. */
void wire_ask(struct wire *w, int64_t due_ns);
/* Goes on: handshake, reading, writing what is queued. False: it is over, and w->why says why. */
MUST_USE bool wire_go_on(struct wire *w);
