// SPDX-License-Identifier: EUPL-1.2
/* Line by line. The tree says where a block's keys and items begin, and so how far in each of these
 * lines belongs; every other line (the rest of a flow, a text of several lines, a comment) moves as
 * far as the line that it belongs to. What lies inside of a text of several lines is never touched
 * but for that. In the end both texts are read and compared: an error here can't change a rule. */
#include "policy/fmt.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/yaml.h"

#define STEP 2
#define UNKNOWN (-1)

struct line {
    struct slice text; /* without its end */
    int32_t from;      /* blanks in front, as it is */
    int32_t to;        /* as it will be; UNKNOWN: as far from another as before */
    bool is_inside;    /* of a text of several lines: not ours to trim */
    bool is_tight;     /* "-   x" becomes "- x" */
};

struct sheet {
    struct line *at;
    uint32_t count;
};

static int32_t blanks(struct slice text)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] == ' ')
        n++;
    return (int32_t)n;
}

static bool is_empty(struct slice text)
{
    return slice_trim(text).len == 0;
}

/* False where a line ends with a carriage return alone: to YAML that is an end, to most programs
 * that show it none. */
static bool sheet_read(struct sheet *s, struct arena *a, struct slice text)
{
    uint32_t count = 1;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '\n';
    s->at = arena_array(a, struct line, count);
    while (text.len) {
        struct slice one = slice_cut(&text, '\n');
        if (slice_ends(one, SLICE("\r")))
            one.len--;
        if (one.len && memchr(one.ptr, '\r', one.len))
            return false;
        s->at[s->count++] = (struct line){.text = one, .from = blanks(one), .to = UNKNOWN};
    }
    return true;
}

/* The line of a node, and the character at which it begins; NULL where it has none of its own. */
static struct line *line_of(struct sheet *s, const struct yaml *n, struct slice *rest)
{
    const struct place at = yaml_place(n);
    if (!at.line || at.line > s->count || !at.column)
        return NULL;
    struct line *line = &s->at[at.line - 1];
    struct slice text = line->text;
    for (uint32_t i = 1; i < at.column && text.len; i++) { /* a column is a character */
        text = slice_skip(text, 1);
        while (text.len && ((uint8_t)text.ptr[0] & 0xc0) == 0x80)
            text = slice_skip(text, 1);
    }
    *rest = text;
    return line;
}

/* ---- texts of several lines ---- */

/* The lines behind the first one of a quoted text. */
static void mark_quoted(struct sheet *s, struct line *line, struct slice rest)
{
    const char quote = rest.ptr[0];
    rest = slice_skip(rest, 1);
    for (;;) {
        for (size_t i = 0; i < rest.len; i++) {
            if (quote == '"' && rest.ptr[i] == '\\')
                i++;
            else if (rest.ptr[i] == quote && quote == '\'' && i + 1 < rest.len &&
                     rest.ptr[i + 1] == quote)
                i++;
            else if (rest.ptr[i] == quote)
                return;
        }
        if (++line == s->at + s->count)
            return;
        line->is_inside = true;
        rest = line->text;
    }
}

/* A block's lines are those that are further in than the key; `line` is the first of its text. */
static void mark_block(struct sheet *s, struct line *line, int32_t key_from)
{
    for (; line < s->at + s->count && (is_empty(line->text) || line->from > key_from); line++)
        line->is_inside = true;
}

static void mark_text(struct sheet *s, const struct yaml *n, int32_t key_from)
{
    struct slice rest;
    struct line *line = line_of(s, n, &rest);
    if (!line || yaml_kind(n) != YAML_SCALAR || yaml_is_plain(n))
        return;
    if (rest.len && (rest.ptr[0] == '"' || rest.ptr[0] == '\''))
        mark_quoted(s, line, rest);
    else
        mark_block(s, line, key_from);
}

/* ---- how far in ---- */

static bool is_flow(struct sheet *s, const struct yaml *n)
{
    struct slice rest;
    return !line_of(s, n, &rest) || !rest.len || rest.ptr[0] == '{' || rest.ptr[0] == '[';
}

static void set_node(struct sheet *s, const struct yaml *n, int32_t to, int32_t key_from);

static void mark_flow(struct sheet *s, const struct yaml *n, int32_t key_from)
{
    for (size_t i = 0; i < yaml_count(n); i++) {
        const struct yaml *inner = yaml_kind(n) == YAML_MAP ? yaml_value(n, i) : yaml_item(n, i);
        if (yaml_kind(inner) == YAML_SCALAR)
            mark_text(s, inner, key_from);
        else
            mark_flow(s, inner, key_from);
    }
}

static void set_map(struct sheet *s, const struct yaml *map, int32_t to)
{
    for (size_t i = 0; i < yaml_count(map); i++) {
        struct slice rest;
        struct line *line = line_of(s, yaml_key(map, i), &rest);
        if (!line)
            continue;
        const int32_t column = (int32_t)yaml_place(yaml_key(map, i)).column - 1;
        if (line->from == column)
            line->to = to;
        set_node(s, yaml_value(map, i), to + STEP, column);
    }
}

/* The dash stands in front of the item, on its line. */
static void set_list(struct sheet *s, const struct yaml *list, int32_t to, int32_t key_from)
{
    for (size_t i = 0; i < yaml_count(list); i++) {
        struct slice rest;
        const struct yaml *item = yaml_item(list, i);
        struct line *line = line_of(s, item, &rest);
        const bool has_dash = line && line->to == UNKNOWN && !line->is_inside &&
                              (size_t)line->from < line->text.len &&
                              line->text.ptr[line->from] == '-' &&
                              yaml_place(item).column > (uint32_t)line->from + 1;
        if (has_dash) {
            line->to = to;
            line->is_tight = yaml_kind(item) == YAML_MAP;
        }
        set_node(s, item, to + STEP, has_dash ? line->from : key_from);
    }
}

static void set_node(struct sheet *s, const struct yaml *n, int32_t to, int32_t key_from)
{
    switch (yaml_kind(n)) {
    case YAML_MISSING:
        return;
    case YAML_SCALAR:
        mark_text(s, n, key_from);
        return;
    case YAML_LIST:
    case YAML_MAP:
        if (is_flow(s, n))
            mark_flow(s, n, key_from);
        else if (yaml_kind(n) == YAML_MAP)
            set_map(s, n, to);
        else
            set_list(s, n, to, key_from);
        return;
    }
}

/* A comment belongs to what stands below it; all else to the line above. */
static void set_others(struct sheet *s)
{
    const struct line *above = NULL, *below = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        struct line *line = &s->at[i];
        const bool is_comment =
            !line->is_inside &&
            slice_starts(slice_skip(line->text, (size_t)line->from), SLICE("#"));
        if (line->to != UNKNOWN)
            above = line;
        else if (!is_comment && !is_empty(line->text))
            line->to = line->from + (above ? above->to - above->from : 0);
    }
    for (uint32_t i = s->count; i-- > 0;) {
        struct line *line = &s->at[i];
        if (line->to != UNKNOWN) {
            below = line;
        } else if (!is_empty(line->text)) {
            line->to = !below                      ? line->from
                       : line->from == below->from ? below->to
                                                   : line->from + below->to - below->from;
        }
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (s->at[i].to < 0)
            s->at[i].to = 0;
}

/* ---- writing ---- */

static struct slice without_end_blanks(struct slice text)
{
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static bool print_line(struct buf *out, const struct line *line)
{
    struct slice text = slice_skip(line->text, (size_t)line->from);
    bool is_fine = buf_printf(out, "%*s", (int)line->to, "");
    if (line->is_tight) {
        text = slice_skip(text, 1);
        text = slice_skip(text, (size_t)blanks(text));
        is_fine = is_fine && buf_add(out, SLICE("- "));
    }
    return is_fine && buf_add(out, line->is_inside ? text : without_end_blanks(text)) &&
           buf_add(out, SLICE("\n"));
}

static bool print_sheet(struct buf *out, const struct sheet *s)
{
    bool was_empty = true; /* none at the beginning */
    uint32_t last = s->count;
    while (last && is_empty(s->at[last - 1].text) && !s->at[last - 1].is_inside)
        last--;
    for (uint32_t i = 0; i < last; i++) {
        const struct line *line = &s->at[i];
        if (is_empty(line->text)) {
            /* An empty line of a text keeps the blanks that are further in than the text. */
            const bool is_kept = line->is_inside || !was_empty;
            if (is_kept && !(line->is_inside && line->from > line->to ? print_line(out, line)
                                                                      : buf_add(out, SLICE("\n"))))
                return false;
            was_empty = !line->is_inside;
            continue;
        }
        was_empty = false;
        if (!print_line(out, line))
            return false;
    }
    return true;
}

/* ---- the same? ---- */

static bool says_the_same(const struct yaml *a, const struct yaml *b)
{
    if (yaml_kind(a) != yaml_kind(b) || yaml_count(a) != yaml_count(b) ||
        yaml_is_plain(a) != yaml_is_plain(b) || !slice_eq(yaml_text(a), yaml_text(b)))
        return false;
    for (size_t i = 0; i < yaml_count(a); i++) {
        const bool is_same = yaml_kind(a) == YAML_MAP
                                 ? says_the_same(yaml_key(a, i), yaml_key(b, i)) &&
                                       says_the_same(yaml_value(a, i), yaml_value(b, i))
                                 : says_the_same(yaml_item(a, i), yaml_item(b, i));
        if (!is_same)
            return false;
    }
    return true;
}

static bool refuse(const struct yaml_doc *doc, struct findings *f)
{
    findings_error(f, yaml_place(yaml_root(doc)), "unformatted",
                   "this can't be set in lines without another meaning: left as it is");
    return false;
}

static bool check(struct buf *made, const char *file, const struct yaml_doc *doc,
                  struct findings *f)
{
    struct findings unread;
    findings_init(&unread);
    struct yaml_doc *again = yaml_parse(buf_slice(made), file, &unread);
    const bool is_same = again && says_the_same(yaml_root(doc), yaml_root(again));
    yaml_free(again);
    findings_fini(&unread);
    return is_same || refuse(doc, f);
}

bool policy_fmt(struct slice text, const char *file, struct slice *out, struct findings *f)
{
    struct yaml_doc *doc = yaml_parse(text, file, f);
    struct arena a;
    struct buf made;
    struct sheet sheet = {.count = 0};
    if (!doc)
        return false;
    arena_init(&a, NULL);
    buf_init(&made, YAML_MAX_BYTES);
    bool is_made = sheet_read(&sheet, &a, text) || refuse(doc, f);
    if (is_made) {
        set_node(&sheet, yaml_root(doc), 0, -1);
        set_others(&sheet);
        is_made = print_sheet(&made, &sheet);
        if (!is_made)
            findings_error(f, yaml_place(yaml_root(doc)), "too-large", "larger than %u bytes",
                           YAML_MAX_BYTES);
    }
    is_made = is_made && check(&made, file, doc, f);
    if (is_made)
        *out = mem_slice(buf_slice(&made));
    buf_fini(&made);
    arena_fini(&a);
    yaml_free(doc);
    return is_made;
}
