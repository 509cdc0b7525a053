// SPDX-License-Identifier: EUPL-1.2
/* A head that was read, printed in its one canonical form. For the fuzzers' round trip. */
#pragma once

#include <assert.h>

#include "base/buf.h"
#include "tests/fuzz/h1_heads.h"

static inline void heads_put(struct buf *b, struct slice bytes)
{
    bool fits = buf_add(b, bytes); /* no more bytes than the head had */
    assert(fits);
}

/* Into `b`, which the caller ends. No space behind the colon: the print is never longer than what
 * was read. */
static inline struct slice heads_print(struct buf *b, enum h1_kind kind, const struct h1_head *head)
{
    char code[8];
    buf_init(b, H1_HEAD_MAX_BYTES);
    if (kind == H1_KIND_REQUEST) {
        heads_put(b, head->method);
        heads_put(b, SLICE(" "));
        heads_put(b, head->target);
        heads_put(b, SLICE(" HTTP/1.1\r\n"));
    } else {
        (void)snprintf(code, sizeof code, "%u\r\n", (unsigned)head->status);
        heads_put(b, head->is_http10 ? SLICE("HTTP/1.0 ") : SLICE("HTTP/1.1 "));
        heads_put(b, slice_of(code));
    }
    for (uint32_t i = 0; i < head->field_count; i++) {
        heads_put(b, head->fields[i].name);
        heads_put(b, SLICE(":"));
        heads_put(b, head->fields[i].value);
        heads_put(b, SLICE("\r\n"));
    }
    heads_put(b, SLICE("\r\n"));
    return buf_slice(b);
}
