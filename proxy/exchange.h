// SPDX-License-Identifier: EUPL-1.2
/* One request and its response, from first byte to audit event. Lies in its own arena. Its client
 * (a stream of h2, or an h1 connection) makes it and tells it what arrives; its link (upstream) the
 * same from the other side. It is freed when the story is over and the client has let go. */
#pragma once

#include "base/trace.h"
#include "belfry/decision.h"
#include "belfry/facts.h"
#include "belfry/id.h"
#include "proxy/connection.h"

enum phase { ROUTE, DEVICE, IDENTITY, DECISION, UPSTREAM, RESPONSE, AUDIT, DONE };

struct response {
    uint16_t status; /* 0: no head yet */
    struct field *fields;
    uint32_t field_count;
    bool has_body;
    uint64_t length; /* BODY_LENGTH_UNKNOWN: not announced */
};

struct exchange;
/* What an exchange asks of its client. None calls back into the exchange. */
struct client_ops {
    void (*say_continue)(struct exchange *x);
    void (*send_head)(struct exchange *x);  /* x->response; its body is pulled by flow_down_* */
    void (*body_ready)(struct exchange *x); /* there is more to pull, or the end */
    void (*body_taken)(struct exchange *x,
                       size_t n);    /* the upstream took n bytes of the request's body */
    void (*cut)(struct exchange *x); /* the response can't be completed */
};

#define UPLOAD_CEILING 131072 /* h2: a stream's window at most; h1: a pause before */

struct exchange {
    struct arena arena;
    struct worker *worker;
    struct connection *connection;
    const struct client_ops *client;
    int32_t stream_id;   /* h2 */
    void *client_stream; /* the client's own; in the arena */

    enum phase phase;
    bool running;
    bool is_cut;
    bool client_let_go;
    bool is_end_sent; /* the last byte is on its way to the client */
    bool is_sent;     /* the client has taken all of the response */
    bool is_head_out;
    bool is_event_out; /* the decision's event is published */
    enum reason reason;
    const char *detail; /* our own words for the audit */

    struct held *held;
    const struct door *door;
    struct request request;
    struct facts facts;
    struct decision decision;
    const struct token *token;
    struct device *device;
    bool is_own; /* /.belfry/ */
    bool had_token;
    bool asked_for_keys;
    bool keys_answered;
    struct key_wait *key_wait; /* under way; told when the exchange ends */
    struct reference reference;
    struct trace trace;
    struct slice tracestate;
    int64_t began_us;

    struct link_h1 *link;
    uint32_t first; /* of the upstreams, the one that is tried first; the next ones follow it */
    uint32_t tries; /* upstreams tried */
    struct response response;
    struct slice answer; /* what is left of our own body */

    struct buf up; /* request body, received and not yet taken by the link */
    bool up_ended;
    bool up_was_taken; /* some of it is upstream: the request can't be sent again */
    bool up_stopped;   /* nothing more is wanted of the request's body */
    bool continue_said;
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct deadline deadline;
};

struct exchange *exchange_new(struct connection *c, const struct client_ops *client);
/* The request is complete (but for its body). `early` other than PERMITTED refuses it for that. */
void exchange_begin(struct exchange *x, enum reason early, const char *detail);
/* Instead of exchange_begin, of a head that never became a request: it is counted and told to the
 * audit, and nothing is answered. */
void exchange_refused_by_protocol(struct exchange *x, enum reason why, const char *detail);
/* A piece of the request's body. Past the application's limit the exchange is refused or cut. */
void exchange_receive(struct exchange *x, struct slice bytes);
void exchange_receive_end(struct exchange *x);
/* The body's framing is broken: nothing that follows can be believed. */
void exchange_body_broken(struct exchange *x, const char *detail);
/* The client has taken all of the response, its end included. */
void exchange_sent(struct exchange *x);
/* The client has gone, or reset the stream. */
void exchange_client_gone(struct exchange *x, enum reason why);
/* The client will not call again, nor be called; frees when the story is over. */
void exchange_let_go(struct exchange *x);
bool exchange_wants_body(const struct exchange *x);

/* From the control thread: look again. */
void exchange_keys_answered(struct exchange *x);
/* The first field of that (lower-case) name; ptr NULL where there is none. */
struct slice exchange_field(const struct exchange *x, struct slice name);

/* From the link. */
void exchange_upstream_connected(struct exchange *x);
void exchange_upstream_head(struct exchange *x, const struct h1_head *head);
void exchange_upstream_progress(struct exchange *x);
void exchange_upstream_ready(struct exchange *x); /* more body, or its end */
void exchange_upstream_failed(struct exchange *x, enum reason why, const char *detail);

/* The bodies: proxy/flow.c. */
struct slice flow_down_peek(struct exchange *x); /* what can be sent to the client now */
void flow_down_take(struct exchange *x, size_t n);
bool flow_down_ends_after(struct exchange *x,
                          size_t n);         /* once n bytes more are taken, the end is there */
bool flow_down_is_ended(struct exchange *x); /* nothing is left and nothing will come */
void flow_up_taken(struct exchange *x, size_t n); /* the link took n bytes of x->up */
