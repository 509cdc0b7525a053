// SPDX-License-Identifier: EUPL-1.2
/* Heads between an upstream over HTTP/2 and the story: a request as nghttp2 wants it, an answer as
 * nghttp2 gives it, field by field. Both lie in a connection and hold one head at a time. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "proxy/exchange.h"
#include "proxy/h1_head.h"

#define H2_HEAD_IN_MAX 65536   /* like H1_HEAD_MAX_BYTES, counted as RFC 9113 §6.5.2 says */
#define H2_HEAD_OUT_MAX 131072 /* a client's head of 64 KiB, and what is added */
/* What is added: pseudo-headers and our own. */
#define H2_HEAD_OUT_FIELDS (H1_MAX_FIELDS + 24)

struct h2_head_out {
    nghttp2_nv at[H2_HEAD_OUT_FIELDS];
    uint32_t count;
    size_t bytes;
};

/* The exchange's request; its slices are borrowed. False: it is too large. */
MUST_USE bool h2_head_put(struct h2_head_out *out, struct exchange *x, bool is_tls);
nghttp2_nv h2_head_pair(struct slice name, struct slice value);

/* Of what comes nothing is copied: nghttp2 counts who holds it. */
struct h2_head_in {
    nghttp2_rcbuf *names[H1_MAX_FIELDS];
    nghttp2_rcbuf *values[H1_MAX_FIELDS];
    uint32_t count;
    size_t bytes;
    bool is_too_large;
};

void h2_head_clear(struct h2_head_in *in);
void h2_head_add(struct h2_head_in *in, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* Into `fields`, of which there are H1_MAX_FIELDS; they point into `in` until it is cleared.
 * `status` is 0 where none is said. False: it says something that can't be. */
MUST_USE bool h2_head_read(const struct h2_head_in *in, struct field *fields,
                           struct upstream_head *out);
