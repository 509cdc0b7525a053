// SPDX-License-Identifier: EUPL-1.2
#include "base/csv.h"

#include "base/fault.h"
#include "base/utf8.h"

#include <string.h>

static bool is_plain(struct slice text)
{
    while (text.len) {
        uint32_t code = 0;
        const size_t len = utf8_next(text, &code);
        if (!len || code < 0x20 || (code >= 0x7f && code < 0xa0))
            return false;
        text = slice_skip(text, len);
    }
    return true;
}

/* The row's own text, without its end. */
static bool cut_line(struct csv *c, struct slice *line, struct fault *f)
{
    const char *end = memchr(c->rest.ptr, '\n', c->rest.len);
    *line = (struct slice){c->rest.ptr, end ? (size_t)(end - c->rest.ptr) : c->rest.len};
    c->rest = slice_skip(c->rest, line->len + (end != NULL));
    if (line->len && line->ptr[line->len - 1] == '\r')
        line->len--;
    return is_plain(*line) ||
           fault_set(f, FAULT_SYNTAX, "there is a control character, or text that is no UTF-8");
}

/* Behind the opening quote. Where none is doubled, the value is where it stands. */
static bool cut_quoted(struct slice *line, struct arena *a, struct slice *out, struct fault *f)
{
    char *copy = arena_bytes(a, line->len + 1);
    size_t len = 0;
    for (size_t i = 0; i < line->len; i++) {
        if (line->ptr[i] != '"') {
            copy[len++] = line->ptr[i];
        } else if (i + 1 < line->len && line->ptr[i + 1] == '"') {
            copy[len++] = '"';
            i++;
        } else {
            *out = slice_from(copy, len);
            *line = slice_skip(*line, i + 1);
            return true;
        }
    }
    return fault_set(f, FAULT_SYNTAX,
                     "a quote is not closed; a value has no line breaks, and a quote in it is "
                     "written twice");
}

static bool cut_value(struct slice *line, struct arena *a, struct slice *out, struct fault *f)
{
    if (slice_starts(*line, SLICE("\""))) {
        *line = slice_skip(*line, 1);
        if (!cut_quoted(line, a, out, f))
            return false;
        return !line->len || line->ptr[0] == ',' ||
               fault_set(f, FAULT_SYNTAX, "behind a closing quote there must be a comma");
    }
    const char *comma = line->len ? memchr(line->ptr, ',', line->len) : NULL;
    *out = (struct slice){line->ptr, comma ? (size_t)(comma - line->ptr) : line->len};
    *line = slice_skip(*line, out->len);
    return !out->len || !memchr(out->ptr, '"', out->len) ||
           fault_set(f, FAULT_SYNTAX,
                     "a quote stands inside of a value; put the whole value in quotes, and write "
                     "the quote twice");
}

enum csv_step csv_next(struct csv *c, struct arena *a, struct slice *fields, uint32_t room,
                       uint32_t *count, struct fault *f)
{
    struct slice line;
    if (!c->line && slice_starts(c->rest, SLICE("\xEF\xBB\xBF")))
        c->rest = slice_skip(c->rest, 3);
    if (!c->rest.len)
        return CSV_END;
    c->line++;
    *count = 0;
    if (!cut_line(c, &line, f))
        return CSV_BAD;
    if (!line.len) {
        fault_set(f, FAULT_SYNTAX, "the line is empty");
        return CSV_BAD;
    }
    for (;;) {
        if (*count == room) {
            fault_set(f, FAULT_LIMIT, "there are more than %u values", room);
            return CSV_BAD;
        }
        if (!cut_value(&line, a, &fields[(*count)++], f))
            return CSV_BAD;
        if (!line.len)
            return CSV_ROW;
        line = slice_skip(line, 1);
    }
}
