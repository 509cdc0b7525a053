// SPDX-License-Identifier: EUPL-1.2
/* What the tests of h1_head share: feeding a head in pieces, each in a block of exactly its length
 * so that the sanitizer sees a byte read beyond it, and saying whether two heads are the same. */
#pragma once

#include "base/mem.h"
#include "proxy/h1_head.h"

enum h1_kind { H1_KIND_REQUEST, H1_KIND_RESPONSE, H1_KIND_RESPONSE_TO_HEAD };

static inline enum h1_progress heads_parse(enum h1_kind kind, struct h1_head *out,
                                           struct h1_scan *scan, char *bytes, size_t len)
{
    return kind == H1_KIND_REQUEST
               ? h1_request_parse(out, scan, bytes, len)
               : h1_response_parse(out, scan, bytes, len, kind == H1_KIND_RESPONSE_TO_HEAD);
}

/* One head and the bytes that it points into. */
struct heads_read {
    enum h1_progress progress;
    struct h1_head head;
    char *bytes;
};

/* All at once. */
static inline void heads_read(struct heads_read *r, enum h1_kind kind, struct slice in)
{
    struct h1_scan scan = {0};
    r->bytes = mem_array(char, in.len ? in.len : 1);
    if (in.len)
        memcpy(r->bytes, in.ptr, in.len);
    r->progress = heads_parse(kind, &r->head, &scan, r->bytes, in.len);
}

/* The same in steps of `step` bytes. False: it changed bytes of a head that was not yet whole. */
static inline bool heads_read_in_steps(struct heads_read *r, enum h1_kind kind, struct slice in,
                                       size_t step)
{
    struct h1_scan scan = {0};
    r->bytes = NULL;
    r->progress = H1_MORE;
    for (size_t len = 0; len < in.len && r->progress == H1_MORE;) {
        if (r->bytes && memcmp(r->bytes, in.ptr, len) != 0)
            return false;
        mem_free(r->bytes);
        len = in.len - len < step ? in.len : len + step;
        r->bytes = mem_array(char, len);
        memcpy(r->bytes, in.ptr, len);
        r->progress = heads_parse(kind, &r->head, &scan, r->bytes, len);
    }
    return true;
}

static inline void heads_done(struct heads_read *r)
{
    mem_free(r->bytes);
}

/* What every user of a head sees. With `detail` and `bytes`, which a head that is printed again may
 * change, left to the caller. */
static inline bool heads_are_same(const struct heads_read *a, const struct heads_read *b)
{
    const struct h1_head *x = &a->head;
    const struct h1_head *y = &b->head;
    if (a->progress != b->progress)
        return false;
    if (a->progress == H1_MORE)
        return true;
    if (a->progress == H1_BAD)
        return x->why == y->why;
    if (!slice_eq(x->method, y->method) || !slice_eq(x->target, y->target) ||
        !slice_eq(x->host, y->host) || x->expects_continue != y->expects_continue ||
        x->status != y->status || x->is_http10 != y->is_http10 || x->framing != y->framing ||
        x->length != y->length || x->wants_close != y->wants_close ||
        x->field_count != y->field_count)
        return false;
    for (uint32_t i = 0; i < x->field_count; i++)
        if (!slice_eq(x->fields[i].name, y->fields[i].name) ||
            !slice_eq(x->fields[i].value, y->fields[i].value))
            return false;
    return true;
}
