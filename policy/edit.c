// SPDX-License-Identifier: EUPL-1.2
/* See the header. */
#include "base/buf.h"
#include "policy/edit_in.h"

size_t edit_scalar_len(struct slice source, const struct yaml *n)
{
    const struct slice text = yaml_text(n);
    if (yaml_is_plain(n))
        return slice_starts(source, text) ? text.len : 0;
    const char quote = source.len ? source.ptr[0] : '\0';
    if (quote != '"' && quote != '\'')
        return 0;
    /* A name with escapes in it would be shorter or longer than its source. */
    const struct slice inner = slice_skip(source, 1);
    const bool is_same =
        slice_starts(inner, text) && inner.len > text.len && inner.ptr[text.len] == quote;
    return is_same ? text.len + 2 : 0;
}

void edits_add(struct edits *edits, struct edit edit)
{
    size_t i = edits->count++;
    for (; i && edits->at[i - 1].from > edit.from; i--) /* mostly in order already */
        edits->at[i] = edits->at[i - 1];
    edits->at[i] = edit;
}

bool edits_apply(struct slice text, const struct edits *edits, struct buf *out)
{
    size_t at = 0;
    for (size_t i = 0; i < edits->count; i++) {
        const struct edit *edit = &edits->at[i];
        if (!buf_add(out, (struct slice){text.ptr + at, edit->from - at}) ||
            !buf_add(out, edit->text))
            return false;
        at = edit->to;
    }
    return buf_add(out, slice_skip(text, at));
}
