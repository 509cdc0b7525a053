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
#include "proxy/errand.h"
#include "proxy/pace.h"
#include "proxy/session_errand.h"
#include "proxy/trial.h"
#include "proxy/uplink.h"
#include "proxy/websocket.h"

enum phase { ROUTE, DEVICE, IDENTITY, OWN, DECISION, UPSTREAM, RESPONSE, AUDIT, DONE };

struct response {
    uint16_t status; /* 0: no head yet; 101: the tunnel that was asked for is open */
    struct field *fields;
    uint32_t field_count;
    bool has_body;
    uint64_t length;        /* BODY_LENGTH_UNKNOWN: not announced */
    struct field *trailers; /* there at the latest when the body is at its end */
    uint32_t trailer_count;
};

struct exchange;
/* What an exchange asks of its client. None calls back into the exchange. */
struct client_ops {
    /* 1xx, before the answer; the fields lie in the arena. */
    void (*say)(struct exchange *x, uint16_t status, const struct field *fields, uint32_t count);
    void (*send_head)(struct exchange *x);  /* x->response; its body is pulled by flow_down_* */
    void (*body_ready)(struct exchange *x); /* there is more to pull, or the end */
    void (*body_taken)(struct exchange *x,
                       size_t n);    /* the upstream took n bytes of the request's body */
    void (*cut)(struct exchange *x); /* the response can't be completed */
    /* The client reads, but others of its connection come first: it has not stalled. */
    bool (*is_in_line)(struct exchange *x);
};

#define UPLOAD_CEILING 1048576 /* a window of h2 at most; over h1 there is a pause before */

struct exchange {
    struct arena arena;
    struct worker *worker;
    struct connection *connection;
    const struct client_ops *client;
    void *client_stream; /* the client's own; in the arena */
    int32_t stream_id;   /* h2 */

    enum phase phase;
    enum reason reason;
    bool running;
    bool is_cut;
    bool client_let_go;
    bool is_end_sent; /* the last byte is on its way to the client */
    bool is_sent;     /* the client has taken all of the response */
    bool is_head_out;
    bool is_event_out; /* the decision's event is published */
    bool is_grpc;      /* what the request's Content-Type says */
    bool is_tunnel;    /* the protocol was changed: bytes both ways, framed by nobody here */
    bool had_token;
    bool is_with_proof;   /* its scheme was DPoP */
    bool is_to_be_judged; /* again, when keys are there */
    bool has_waited;      /* in `in_queue`, and had its turn */
    bool met_stale;       /* one of the tries was on a connection that had ended */
    bool up_ended;
    bool up_was_taken; /* some of it is upstream: the request can't be sent again */
    bool up_stopped;   /* nothing more is wanted of the request's body */
    bool continue_said;

    const char *detail; /* our own words for the audit */
    struct held *held;
    const struct door *door;
    struct request request;
    struct facts facts;
    struct decision decision;
    struct trial trial;
    const struct token *token;
    struct {
        bool is_asked;      /* of the store */
        enum reason answer; /* of it; until then that it gave none */
    } proof;                /* DPoP's: proof.c */
    struct {
        enum reason reason;
        struct slice body; /* in the arena */
    } asked;               /* what a provider says of an opaque token: introspect.c */
    struct device *device;
    struct inventory_record *listed; /* what facts.device has from the inventory lies in it */
    struct session *session;         /* by its cookie; a reference */
    struct session *past;            /* the one that it was, which has ended; a reference */
    const struct own_endpoint *own;  /* one of the gateway's own addresses */
    struct slice deed;               /* what it did to a session, for the audit; static text */
    struct slice deed_session;       /* that session's handle */
    struct work *work;               /* what an errand for one of those has brought */
    struct slice try_cookie;         /* of the attempt that begins */
    struct slice again;              /* where a refused person can sign in again */
    struct slice language;           /* the tag that this request has chosen; else empty */
    struct slice memo;               /* of the page that answers (proxy/memo.h); else empty */
    enum session_answer session_answer;
    struct errand *errand; /* under way */
    uint32_t errands_over; /* bits 1 << enum errand_kind */
    bool is_out_of_time;   /* for errands: what else is asked is answered at once */
    bool keys_are_current; /* the provider has told its keys since they were missed */
    struct reference reference;
    struct trace trace;
    struct slice tracestate;
    int64_t began_us;

    struct link in_live;  /* permitted and under way: judged again when what it rests on changes */
    struct link in_queue; /* of `queued_at`, for a connection */
    struct origin *queued_at;
    int64_t good_until_s;   /* the nearest end of what it rests on */
    int64_t touch_at_s;     /* a stream: that somebody is there is told again then */
    bool is_session_over;   /* as was learnt by that */
    int64_t ends_at_ms;     /* its whole time, or what a gRPC client gives it; 0: none */
    struct slice assertion; /* borrowed from the worker's cache while a head is made */
    struct uplink *link;
    const struct endpoint *failed_at; /* the last one; only compared */
    uint32_t tries;                   /* connections and streams begun */
    uint32_t early_count;             /* 1xx that have passed */
    size_t early_bytes;               /* of their fields */
    struct response response;
    struct slice answer;           /* what is left of our own body */
    struct websocket_track frames; /* of a tunnel, towards the client */

    struct buf up;             /* request body, received and not yet taken by the link */
    struct buf form;           /* the body, where it is for us */
    struct pace pace;          /* of its coming */
    struct field *up_trailers; /* with up_ended */
    uint32_t up_trailer_count;
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
/* Behind the body's last piece; copied. Those that may not pass are dropped. */
void exchange_receive_trailers(struct exchange *x, const struct field *fields, uint32_t count);
/* With a tunnel: the client has ended its side. */
void exchange_receive_end(struct exchange *x);
/* The body's framing is broken: nothing that follows can be believed. */
void exchange_body_broken(struct exchange *x, const char *detail);
void exchange_body_slow(struct exchange *x);
/* The client has taken all of the response, its end included. */
void exchange_sent(struct exchange *x);
/* The client has gone, or reset the stream. */
void exchange_client_gone(struct exchange *x, enum reason why);
/* The client will not call again, nor be called; frees when the story is over. */
void exchange_let_go(struct exchange *x);
bool exchange_wants_body(const struct exchange *x);

/* From the control thread: look again. */
void exchange_errand_over(struct exchange *x);
/* Its cookie's session has ended; NULL is fine. */
void exchange_take_past(struct exchange *x, struct session *take);
/* The first field of that (lower-case) name; ptr NULL where there is none. */
struct slice exchange_field(const struct exchange *x, struct slice name);

/* What it rests on may have changed: the edition, a revocation, time. It goes on, or ends. Only
 * while it is live. */
void exchange_judge_again(struct exchange *x);
/* Was what it rests on taken back? Then it ends. Only while it is live. */
void exchange_judge_revoked_again(struct exchange *x);
int64_t exchange_good_until(const struct exchange *x); /* once it is permitted */
void exchange_go_away(struct exchange *x);    /* a WebSocket ends, since the gateway does */
void exchange_time_is_up(struct exchange *x); /* past ends_at_ms */

/* From origins and the link. */
void exchange_upstream_turn(struct exchange *x); /* it has waited, and may try now */
void exchange_upstream_connected(struct exchange *x);
/* A 1xx that is not the end of the question. */
void exchange_upstream_early(struct exchange *x, const struct upstream_head *head);
void exchange_upstream_head(struct exchange *x, const struct upstream_head *head);
/* Before the link says that the body has ended; copied. */
void exchange_upstream_trailers(struct exchange *x, const struct field *fields, uint32_t count);
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
