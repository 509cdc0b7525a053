// SPDX-License-Identifier: EUPL-1.2
/* Changing a document's text without printing it anew: comments, order and every other byte stay as
 * their writer left them. Where the source is not what the tree says, nothing is guessed. */
#pragma once

#include "base/buf.h"
#include "policy/load_in.h"

/* From `from` to `to` the source is replaced by `text`. */
struct edit {
    size_t from;
    size_t to;
    struct slice text;
};

struct edits {
    struct edit *at; /* the caller's room; in the order of the text, not overlapping */
    size_t count;
};

/* How long the scalar is in the source that begins with it, quotes included; 0 where it is none
 * that can be edited. */
size_t edit_scalar_len(struct slice source, const struct yaml *n);
void edits_add(struct edits *edits, struct edit edit);
MUST_USE bool edits_apply(struct slice text, const struct edits *edits, struct buf *out);
