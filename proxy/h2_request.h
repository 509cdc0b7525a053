// SPDX-License-Identifier: EUPL-1.2
/* A request's head as HTTP/2 brings it, field by field, and the request that it makes; or why it
 * makes none. nghttp2 has judged the single field (RFC 9113 §8.2, §8.3). */
#pragma once

#include "base/arena.h"
#include "belfry/reason.h"
#include "belfry/request.h"

struct h2_request {
    struct field *fields; /* in the arena that they were added with */
    uint32_t field_room;
    uint32_t field_count;
    struct slice method;
    struct slice scheme;
    struct slice protocol; /* of an extended CONNECT (RFC 8441 §4) */
    struct slice authority;
    struct slice path;
    struct slice host;
    uint32_t hosts;
    uint64_t announced;
    bool has_length;
    bool expects_continue;
    bool has_unknown_expectation;
    bool is_too_large;
};

/* One more; both are copied into `a`. Past max_fields, or H1_MAX_FIELDS, it is too large. */
void h2_request_add(struct h2_request *h, struct arena *a, int64_t max_fields, struct slice name,
                    struct slice value);
/* The request, which borrows what the head has. */
void h2_request_take(const struct h2_request *h, bool has_body, struct request *out);
/* PERMITTED, or why the head is no request. `r` is h2_request_take's, `has_body` what it was. */
enum reason h2_request_judge(const struct h2_request *h, const struct request *r, bool has_body,
                             const char **detail);
