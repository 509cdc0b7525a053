// SPDX-License-Identifier: EUPL-1.2
/* YAML to a tree of our own, built from libfyaml's events in one arena: the library's own documents
 * would resolve aliases and merge keys, which we want to see and refuse. What makes one text mean
 * two things to two readers is a finding. Going on after a finding is deliberate: a person gets all
 * of them at once; but past depth, encoding or a second document nothing is worth reading. Owns:
 * the tree, its texts. Does not own: what the keys mean (config, charter, bundle). */
#include "base/yaml.h"

#include <assert.h>
#include <libfyaml.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"

#define FEW_KEYS 16 /* of a map: those are compared with each other */

/* A large document has 200,000 of them. */
struct yaml {
    const struct yaml_doc *doc;
    union {
        const char *text;         // of a scalar
        const struct yaml **kids; // items; or key, value, key, value...
    };
    uint32_t count; // bytes of the text, items of a list, pairs of a map
    uint32_t line;
    uint32_t column;
    uint8_t kind; // enum yaml_kind
    bool is_plain;
    bool is_quoted;
};
_Static_assert(sizeof(struct yaml) <= 32, "two of them in what the cache fetches at once");

struct yaml_doc {
    struct arena arena;
    struct slice source; // most texts are pieces of it
    const struct yaml *root;
    struct place place; // the file, line and column 0
};

struct open_node {
    struct yaml *node;
    size_t from; // where its kids begin among the pending
};

struct builder {
    struct yaml_doc *doc;
    struct findings *findings;
    struct open_node open[YAML_MAX_DEPTH];
    uint32_t depth;
    const struct yaml **pending; // finished kids of nodes that are still open
    size_t pending_count;
    size_t pending_room;
    uint32_t documents;
    struct fy_mark last; // the last place that libfyaml told; an empty value has none of its own
};

static struct place place_at(const struct yaml_doc *doc, size_t line, size_t column)
{
    struct place place = doc->place;
    place.line = (uint32_t)line;
    place.column = (uint32_t)column;
    return place;
}

static struct place place_of_mark(const struct yaml_doc *doc, const struct fy_mark *mark)
{
    return mark ? place_at(doc, (size_t)mark->line + 1, (size_t)mark->column + 1) : doc->place;
}

/* ---- characters ---- */

/* YAML 1.2.2 §5.1, c-printable. */
static bool is_printable(uint32_t c)
{
    return (c >= 0x20 && c <= 0x7e) || c == '\t' || c == '\n' || c == '\r' || c == 0x85 ||
           (c >= 0xa0 && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xfffd) || c >= 0x10000;
}

/* How many characters of printable ASCII stand at the front: nearly all of a document is that. */
static size_t ascii_run(struct slice text)
{
    size_t len = 0;
    for (uint64_t word; len + sizeof word <= text.len; len += sizeof word) {
        memcpy(&word, text.ptr + len, sizeof word);
        if (!utf8_is_plain_eight(word))
            break;
    }
    while (len < text.len && text.ptr[len] >= 0x20 && text.ptr[len] <= 0x7e)
        len++;
    return len;
}

/* libfyaml takes some byte sequences that are no UTF-8, and guesses UTF-16: so we look first. */
static bool check_characters(const struct yaml_doc *doc, struct slice text, struct findings *f)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < text.len; column++) {
        const size_t run = ascii_run(slice_skip(text, i));
        column += run;
        i += run;
        if (i == text.len)
            break;
        uint32_t c = 0;
        const size_t len = utf8_next(slice_skip(text, i), &c);
        if (!len || !is_printable(c)) {
            findings_error(f, place_at(doc, line, column), "encoding",
                           len ? "control character U+%04X; write it as an escape in double quotes"
                               : "not UTF-8",
                           (unsigned)c);
            return false;
        }
        if (c == '\n') {
            line++;
            column = 0;
        }
        i += len;
    }
    return true;
}

/* What escapes can make: "\0" and "\ud800". */
static bool text_is_clean(struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t c = 0;
        const size_t len = utf8_next(slice_skip(text, i), &c);
        if (!len || c == 0)
            return false;
        i += len;
    }
    return true;
}

/* ---- building ---- */

static struct yaml *node_new(struct builder *b, enum yaml_kind kind, const struct fy_mark *mark)
{
    if (mark)
        b->last = *mark;
    struct yaml *node = arena_new(&b->doc->arena, struct yaml);
    *node = (struct yaml){
        .doc = b->doc,
        .kind = (uint8_t)kind,
        .line = (uint32_t)b->last.line + 1,
        .column = (uint32_t)b->last.column + 1,
    };
    return node;
}

static void node_add(struct builder *b, const struct yaml *node)
{
    if (b->depth == 0) {
        b->doc->root = node;
        return;
    }
    if (b->pending_count == b->pending_room) {
        b->pending_room = b->pending_room ? b->pending_room * 2 : 256;
        b->pending = mem_grow(b->pending, b->pending_room, sizeof(const struct yaml *));
    }
    b->pending[b->pending_count++] = node;
}

static bool node_open(struct builder *b, struct yaml *node)
{
    if (b->depth == YAML_MAX_DEPTH) {
        findings_error(b->findings, yaml_place(node), "too-deep", "nested deeper than %d levels",
                       YAML_MAX_DEPTH);
        return false;
    }
    node_add(b, node);
    b->open[b->depth++] = (struct open_node){node, b->pending_count};
    return true;
}

/* The first of the pairs before the i-th that has its key. Most maps have a few keys, which are
 * sooner looked through than put into a map of ours (NULL then). */
static const struct yaml *key_before(const struct map *seen, const struct yaml *map, uint32_t i)
{
    const struct yaml *key = map->kids[(size_t)i * 2];
    if (seen)
        return map_get(seen, yaml_text(key));
    for (uint32_t k = 0; k < i; k++) {
        const struct yaml *other = map->kids[(size_t)k * 2];
        if (other->kind == YAML_SCALAR && slice_eq(yaml_text(other), yaml_text(key)))
            return other;
    }
    return NULL;
}

static void check_key(struct builder *b, struct map *seen, const struct yaml *map, uint32_t i)
{
    const struct yaml *key = map->kids[(size_t)i * 2];
    if (key->kind != YAML_SCALAR) {
        findings_error(b->findings, yaml_place(key), "wrong-key", "a key must be a text");
        return;
    }
    const struct slice text = yaml_text(key);
    if (slice_eq(text, SLICE("<<"))) {
        findings_error(b->findings, yaml_place(key), "merge-key",
                       "merge keys are not allowed; write the values out");
        return;
    }
    const struct yaml *first = key_before(seen, map, i);
    if (first)
        findings_error(b->findings, yaml_place(key), "duplicate-key",
                       "key '%.*s' stands here a second time; the first is at line %u",
                       SLICE_ARG(text), first->line);
    else if (seen)
        (void)map_set(seen, text, (void *)(uintptr_t)key); // new, as was just seen
}

static void check_keys(struct builder *b, const struct yaml *map)
{
    struct map seen;
    map_init(&seen);
    for (uint32_t i = 0; i < map->count; i++)
        check_key(b, map->count > FEW_KEYS ? &seen : NULL, map, i);
    map_fini(&seen);
}

static void node_close(struct builder *b)
{
    assert(b->depth > 0);
    const struct open_node top = b->open[--b->depth];
    const size_t kids = b->pending_count - top.from;
    struct yaml *node = top.node;
    node->count = (uint32_t)(node->kind == YAML_MAP ? kids / 2 : kids);
    if (kids) {
        node->kids = arena_array(&b->doc->arena, const struct yaml *, kids);
        memcpy(node->kids, b->pending + top.from, kids * sizeof(*node->kids));
        b->pending_count = top.from;
    }
    if (node->kind == YAML_MAP)
        check_keys(b, node);
}

/* YAML 1.2.2 §10.3.2: what a plain scalar without meaning looks like. */
static bool is_null(struct slice text)
{
    return text.len == 0 || slice_eq(text, SLICE("~")) || slice_eq(text, SLICE("null")) ||
           slice_eq(text, SLICE("Null")) || slice_eq(text, SLICE("NULL"));
}

/* The text as it is, where it stands so in the source: that was looked at already. What libfyaml
 * made of it (escapes, lines that are joined) is copied, for it goes with the event. */
static bool take_text(const struct builder *b, struct yaml *node, struct slice text)
{
    const struct slice source = b->doc->source;
    const uintptr_t offset = (uintptr_t)text.ptr - (uintptr_t)source.ptr;
    node->count = (uint32_t)text.len;
    node->text = text.ptr;
    if (offset <= source.len && text.len <= source.len - offset)
        return true;
    node->text = arena_copy(&b->doc->arena, text).ptr;
    return text_is_clean(text);
}

static void add_scalar(struct builder *b, struct fy_token *token)
{
    const enum fy_scalar_style style = fy_token_scalar_style(token);
    struct slice text = {NULL, 0};
    if (token)
        text.ptr = fy_token_get_text(token, &text.len);
    if (!text.ptr)
        text.len = 0;
    struct yaml *node = node_new(b, YAML_SCALAR, token ? fy_token_start_mark(token) : NULL);
    node->is_plain = style == FYSS_PLAIN;
    node->is_quoted = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    // libfyaml's mark stands behind the quote.
    if (node->is_quoted && node->column > 1)
        node->column--;
    if (node->is_plain && is_null(text)) {
        node->kind = YAML_MISSING;
    } else if (text.len && !take_text(b, node, text)) {
        findings_error(b->findings, yaml_place(node), "encoding",
                       "an escape makes a NUL or half a character");
    }
    node_add(b, node);
}

/* The reader's mark may be behind the sign. */
static struct place place_of_sign(const struct builder *b, const struct fy_mark *mark,
                                  uint32_t behind)
{
    struct place place = place_of_mark(b->doc, mark);
    place.column -= place.column > behind ? behind : 0;
    return place;
}

static void refuse_token(struct builder *b, struct fy_token *token, uint32_t behind,
                         const char *code, const char *text)
{
    if (token)
        findings_error(b->findings, place_of_sign(b, fy_token_start_mark(token), behind), code,
                       "%s", text);
}

/* What may stand before a node, and may not here. */
static void refuse_properties(struct builder *b, struct fy_token *anchor, struct fy_token *tag)
{
    refuse_token(b, anchor, 1, "anchor",
                 "anchors are not allowed; a text that begins with '&' stands in quotes");
    refuse_token(b, tag, 0, "tag",
                 "tags are not allowed; a text that begins with '!' stands in quotes");
}

static bool begin_document(struct builder *b, struct fy_event *event)
{
    struct fy_document_state *state = event->document_start.document_state;
    const struct place place = place_of_mark(b->doc, fy_event_start_mark(event));
    if (++b->documents > 1) {
        findings_error(b->findings, place, "several-documents",
                       "a second document begins; only one is allowed");
        return false;
    }
    // %YAML 1.1 would change what a line break is, %TAG what a tag is: neither is needed.
    if (fy_document_state_version_explicit(state) || fy_document_state_tags_explicit(state))
        findings_error(b->findings, place_at(b->doc, 1, 1), "directive",
                       "directives (%%YAML, %%TAG) are not allowed");
    return true;
}

/* False: nothing behind this is worth reading. */
static bool take_event(struct builder *b, struct fy_event *event)
{
    const struct fy_mark *mark;
    switch (event->type) {
    case FYET_DOCUMENT_START:
        return begin_document(b, event);
    case FYET_MAPPING_START:
        mark = fy_event_start_mark(event);
        refuse_properties(b, event->mapping_start.anchor, event->mapping_start.tag);
        return node_open(b, node_new(b, YAML_MAP, mark));
    case FYET_SEQUENCE_START:
        mark = fy_event_start_mark(event);
        refuse_properties(b, event->sequence_start.anchor, event->sequence_start.tag);
        return node_open(b, node_new(b, YAML_LIST, mark));
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        node_close(b);
        return true;
    case FYET_SCALAR:
        refuse_properties(b, event->scalar.anchor, event->scalar.tag);
        add_scalar(b, event->scalar.value);
        return true;
    case FYET_ALIAS: // stands for nothing; its finding refuses the document
        mark = fy_event_start_mark(event);
        findings_error(b->findings, place_of_sign(b, mark, 1), "alias",
                       "aliases are not allowed; write the value out; a text that begins with '*' "
                       "stands in quotes");
        node_add(b, node_new(b, YAML_MISSING, mark));
        return true;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
        return true;
    }
    return true;
}

/* What libfyaml collected, as findings of ours. */
static void take_diagnostics(struct builder *b, struct fy_diag *diag)
{
    void *at = NULL;
    size_t taken = 0;
    for (struct fy_diag_error *e; (e = fy_diag_errors_iterate(diag, &at));) {
        if (e->type != FYET_ERROR || !e->msg)
            continue;
        const bool has_place = e->line >= 0 && e->column >= 0;
        findings_error(b->findings,
                       has_place ? place_at(b->doc, (size_t)e->line, (size_t)e->column)
                                 : b->doc->place,
                       "syntax", "%s", e->msg);
        taken++;
    }
    if (!taken)
        findings_error(b->findings, b->doc->place, "syntax", "not YAML");
}

static void parse_events(struct builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
    bool is_whole = false;
    for (struct fy_event *event; (event = fy_parser_parse(parser));) {
        is_whole = event->type == FYET_STREAM_END;
        const bool go_on = take_event(b, event);
        fy_parser_event_free(parser, event);
        if (!go_on)
            return;
    }
    if (!is_whole || fy_parser_get_stream_error(parser))
        take_diagnostics(b, diag);
    else if (yaml_kind(b->doc->root) == YAML_MISSING)
        findings_error(b->findings, b->doc->place, "empty", "the document is empty");
}

/* Parses into b->doc. */
static void parse(struct builder *b)
{
    const struct slice text = b->doc->source;
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL; // nothing of the library's reaches stderr
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
        .diag = diag,
    };
    struct fy_parser *parser = diag ? fy_parser_create(&cfg) : NULL;
    if (parser && fy_parser_set_string(parser, text.ptr, text.len) == 0)
        parse_events(b, parser, diag);
    else
        findings_error(b->findings, b->doc->place, "syntax", "the YAML reader does not start");
    if (parser)
        fy_parser_destroy(parser);
    if (diag)
        fy_diag_destroy(diag);
}

struct yaml_doc *yaml_parse(struct slice text, const char *file, struct findings *out)
{
    struct yaml_doc *doc = mem_new(struct yaml_doc);
    arena_init(&doc->arena, NULL);
    doc->place = (struct place){.line = 1, .column = 1};
    (void)snprintf(doc->place.file, sizeof(doc->place.file), "%s", file); // cut is fine: for people
    struct builder b = {.doc = doc, .findings = out};
    const size_t errors = out->errors;

    if (text.len > YAML_MAX_BYTES)
        findings_error(out, doc->place, "too-large", "larger than %u bytes", YAML_MAX_BYTES);
    else if (text.len == 0)
        findings_error(out, doc->place, "empty", "the document is empty");
    else if (check_characters(doc, text, out)) {
        doc->source = arena_copy(&doc->arena, text);
        parse(&b);
    }
    mem_free(b.pending);
    if (out->errors == errors)
        return doc;
    yaml_free(doc);
    return NULL;
}

void yaml_free(struct yaml_doc *doc)
{
    if (!doc)
        return;
    arena_fini(&doc->arena);
    mem_free(doc);
}

/* ---- looking ---- */

const struct yaml *yaml_root(const struct yaml_doc *doc)
{
    return doc ? doc->root : NULL;
}

enum yaml_kind yaml_kind(const struct yaml *n)
{
    return n ? (enum yaml_kind)n->kind : YAML_MISSING;
}

struct place yaml_place(const struct yaml *n)
{
    return n ? place_at(n->doc, n->line, n->column) : (struct place){.line = 0};
}

struct slice yaml_text(const struct yaml *n)
{
    return yaml_kind(n) == YAML_SCALAR ? slice_from(n->text, n->count) : (struct slice){"", 0};
}

bool yaml_is_plain(const struct yaml *n)
{
    return yaml_kind(n) == YAML_SCALAR && n->is_plain;
}

bool yaml_is_quoted(const struct yaml *n)
{
    return yaml_kind(n) == YAML_SCALAR && n->is_quoted;
}

size_t yaml_count(const struct yaml *n)
{
    return yaml_kind(n) == YAML_LIST || yaml_kind(n) == YAML_MAP ? n->count : 0;
}

const struct yaml *yaml_item(const struct yaml *list, size_t i)
{
    return yaml_kind(list) == YAML_LIST && i < list->count ? list->kids[i] : NULL;
}

const struct yaml *yaml_key(const struct yaml *map, size_t i)
{
    return yaml_kind(map) == YAML_MAP && i < map->count ? map->kids[i * 2] : NULL;
}

const struct yaml *yaml_value(const struct yaml *map, size_t i)
{
    return yaml_kind(map) == YAML_MAP && i < map->count ? map->kids[i * 2 + 1] : NULL;
}

const struct yaml *yaml_get(const struct yaml *map, struct slice key)
{
    if (yaml_kind(map) != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (slice_eq(yaml_text(map->kids[i * 2]), key))
            return map->kids[i * 2 + 1];
    return NULL;
}

/* ---- readers ---- */

static const char *kind_name(const struct yaml *n)
{
    static const char *const names[] = {
        [YAML_MISSING] = "nothing",
        [YAML_SCALAR] = "a text",
        [YAML_LIST] = "a list",
        [YAML_MAP] = "a map",
    };
    return names[yaml_kind(n)];
}

/* Says what was expected and what stands there; returns false. */
static bool wrong(const struct yaml *n, const char *what, const char *expected, struct findings *f)
{
    if (yaml_kind(n) == YAML_SCALAR)
        findings_error(f, yaml_place(n), "wrong-value", "%s must be %s, not '%.*s'", what, expected,
                       n->count > 80 ? 80 : (int)n->count, n->text ? n->text : "");
    else
        findings_error(f, yaml_place(n), "wrong-kind", "%s must be %s, not %s", what, expected,
                       kind_name(n));
    return false;
}

bool yaml_bool(const struct yaml *n, const char *what, bool *out, struct findings *f)
{
    const bool is_true = slice_eq(yaml_text(n), SLICE("true"));
    if (!yaml_is_plain(n) || (!is_true && !slice_eq(yaml_text(n), SLICE("false"))))
        return wrong(n, what, "true or false, without quotes", f);
    *out = is_true;
    return true;
}

/* Digits only, no sign, no needless zero in front: 010 is eight to some and ten to others. */
static bool number(struct slice text, uint64_t *out)
{
    if (text.len > 1 && text.ptr[0] == '0')
        return false;
    return slice_u64(text, INT64_MAX, out);
}

static bool in_range(const struct yaml *n, const char *what, int64_t value, int64_t min,
                     int64_t max, const char *unit, struct findings *f)
{
    if (value >= min && value <= max)
        return true;
    findings_error(f, yaml_place(n), "out-of-range", "%s must be from %lld to %lld%s, not '%.*s'",
                   what, (long long)min, (long long)max, unit, SLICE_ARG(yaml_text(n)));
    return false;
}

bool yaml_int(const struct yaml *n, const char *what, int64_t min, int64_t max, int64_t *out,
              struct findings *f)
{
    struct slice digits = yaml_text(n);
    const bool is_negative = slice_starts(digits, SLICE("-"));
    if (is_negative)
        digits = slice_skip(digits, 1);
    uint64_t magnitude = 0;
    if (!yaml_is_plain(n) || !number(digits, &magnitude) || (is_negative && !magnitude))
        return wrong(n, what, "a whole number, without quotes", f);
    const int64_t value = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (!in_range(n, what, value, min, max, "", f))
        return false;
    *out = value;
    return true;
}

struct unit {
    struct slice name;
    int64_t factor;
};

/* "NUMBER UNIT" without space between; the unit is one of the table's. */
static bool quantity(struct slice text, const struct unit *units, size_t count, int64_t *out)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    uint64_t amount = 0;
    if (!number(slice_from(text.ptr, digits), &amount))
        return false;
    for (size_t i = 0; i < count; i++)
        if (slice_eq(slice_skip(text, digits), units[i].name))
            return !__builtin_mul_overflow((int64_t)amount, units[i].factor, out);
    return false;
}

bool yaml_duration_ms(const struct yaml *n, const char *what, int64_t min_ms, int64_t max_ms,
                      int64_t *out, struct findings *f)
{
    static const struct unit units[] = {
        {SLICE_INIT("ms"), 1},
        {SLICE_INIT("s"), 1000},
        {SLICE_INIT("m"), 60 * 1000},
        {SLICE_INIT("h"), 60 * 60 * 1000},
        {SLICE_INIT("d"), 24 * 60 * 60 * 1000},
    };
    int64_t value = 0;
    if (!quantity(yaml_text(n), units, sizeof(units) / sizeof(units[0]), &value))
        return wrong(n, what, "a duration such as 500ms, 30s, 5m, 12h or 7d", f);
    if (!in_range(n, what, value, min_ms, max_ms, " ms", f))
        return false;
    *out = value;
    return true;
}

bool yaml_bytes(const struct yaml *n, const char *what, int64_t min, int64_t max, int64_t *out,
                struct findings *f)
{
    static const struct unit units[] = {
        {SLICE_INIT(""), 1},
        {SLICE_INIT("KiB"), 1 << 10},
        {SLICE_INIT("MiB"), 1 << 20},
        {SLICE_INIT("GiB"), 1 << 30},
    };
    int64_t value = 0;
    if (!quantity(yaml_text(n), units, sizeof(units) / sizeof(units[0]), &value))
        return wrong(n, what, "a size such as 4096, 64KiB, 1MiB or 1GiB", f);
    if (!in_range(n, what, value, min, max, " bytes", f))
        return false;
    *out = value;
    return true;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Seconds since 1970 of "YYYY-MM-DDTHH:MM:SSZ" (RFC 3339 §5.6), only in UTC, without fractions. */
static bool rfc3339(struct slice text, int64_t *out_s)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    static const uint8_t days_in[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const uint16_t days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t part[6] = {0};
    size_t at = 0;
    if (text.len != sizeof(shape) - 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (shape[i] != 'd') {
            if (text.ptr[i] != shape[i])
                return false;
            at++;
            continue;
        }
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        part[at] = part[at] * 10 + (text.ptr[i] - '0');
    }
    const int64_t year = part[0];
    const int64_t month = part[1];
    const int64_t day = part[2];
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in[month - 1] ||
        (month == 2 && day == 29 && !is_leap(year)) || part[3] > 23 || part[4] > 59 || part[5] > 59)
        return false;
    const int64_t y = year - 1; // whole years before this one
    const int64_t leap_days = (y / 4 - y / 100 + y / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    const int64_t days = (year - 1970) * 365 + leap_days + days_before[month - 1] +
                         (month > 2 && is_leap(year)) + day - 1;
    *out_s = ((days * 24 + part[3]) * 60 + part[4]) * 60 + part[5];
    return true;
}

bool yaml_time(const struct yaml *n, const char *what, int64_t *out_s, struct findings *f)
{
    return rfc3339(yaml_text(n), out_s) ||
           wrong(n, what, "a time in UTC such as 2027-01-01T00:00:00Z", f);
}

#define ALLOWED_MAX_BYTES 700 /* the longest list of keys that there is has some 300 */

/* What is allowed, and the nearest name. */
static void tell_unknown(const struct yaml *key, const char *what, const struct slice *allowed,
                         size_t count, struct findings *f)
{
    const struct slice word = yaml_text(key);
    const struct slice near =
        f->count < FINDINGS_MAX ? nearest_name(word, allowed, count) : SLICE("");
    struct buf list;
    buf_init(&list, ALLOWED_MAX_BYTES);
    for (size_t i = 0; i < count; i++)
        if (!buf_printf(&list, "%s%.*s", i ? ", " : "", SLICE_ARG(allowed[i])))
            break; /* the place says which key it is */
    const struct slice names = buf_slice(&list);
    findings_error(f, yaml_place(key), "unknown-key", "%s has no key '%.*s'; allowed: %.*s%s%.*s%s",
                   what, word.len > 80 ? 80 : (int)word.len, word.ptr, SLICE_ARG(names),
                   near.len ? "; did you mean '" : "", SLICE_ARG(near), near.len ? "'?" : "");
    buf_fini(&list);
}

bool yaml_check_keys(const struct yaml *map, const char *what, const struct slice *allowed,
                     size_t count, struct findings *f)
{
    if (yaml_kind(map) != YAML_MAP)
        return wrong(map, what, "a map", f);
    bool is_fine = true;
    for (size_t i = 0; i < map->count; i++) {
        const struct yaml *key = map->kids[i * 2];
        const struct slice word = yaml_text(key);
        size_t known = 0;
        while (known < count && !slice_eq(word, allowed[known]))
            known++;
        if (known < count)
            continue;
        is_fine = false;
        tell_unknown(key, what, allowed, count, f);
    }
    return is_fine;
}
