// SPDX-License-Identifier: EUPL-1.2
/* What carries one exchange to its upstream: an HTTP/1.1 connection (link_h1), or a stream of an
 * HTTP/2 one (link_h2). The exchange and its bodies know only this. On the worker's thread. */
#pragma once

#include "base/list.h"
#include "belfry/reason.h"
#include "belfry/request.h"

struct exchange;
struct endpoint;
struct uplink;

struct uplink_ops {
    /* More of x->up, or its end. */
    void (*kick)(struct uplink *u);
    /* The answer's body: what can be taken now; take; is all taken; will it be with n bytes more.
     */
    struct slice (*peek)(struct uplink *u);
    void (*take)(struct uplink *u, size_t n);
    bool (*is_ended)(const struct uplink *u);
    bool (*ends_after)(const struct uplink *u, size_t n);
    /* All that came of the request's body is sent, and more is to come. */
    bool (*wants_body)(const struct uplink *u);
    /* The exchange is through with it. What can be used again is kept, else it is closed. */
    void (*release)(struct uplink *u);
};

struct uplink {
    const struct uplink_ops *ops;
    struct exchange *x;
    struct endpoint *endpoint;
    bool is_connected;
    bool is_reused;       /* a connection that had carried others */
    bool has_answered;    /* a byte of this answer has come */
    bool was_not_handled; /* the upstream has said so (RFC 9113 §8.7): it may be sent again */
    bool is_for_nobody;   /* whatever it has begun on this connection, nobody else may see */
};

/* The head of an upstream's answer, whichever protocol brought it. Points into what is gone when
 * the call returns. */
struct upstream_head {
    uint16_t status;
    const struct field *fields;
    uint32_t field_count;
    bool has_body;
    bool keeps_length; /* its Content-Length is true of what follows */
    bool is_h2;        /* what it came by (RFC 9110 §7.6.3) */
    bool is_tunnel;    /* the protocol is changed as asked: the body is a stream both ways */
    uint64_t length;   /* BODY_LENGTH_UNKNOWN: not announced */
};
