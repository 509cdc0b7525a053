// SPDX-License-Identifier: EUPL-1.2
/* The readers that bundle and charter share.
 * Owns: how a finding sounds, so that all of them sound alike. Does not own: what the keys mean. */
#include "policy/load_in.h"

#include "base/file.h"
#include "base/mem.h"
#include "policy/serials.h"
#include "policy/url.h"

/* ---- keys ---- */

const struct yaml *load_member(struct loader *l, const struct yaml *map, const char *key,
                               enum need need)
{
    const struct slice name = slice_of(key);
    for (size_t i = 0; i < yaml_count(map); i++) {
        if (!slice_eq(yaml_text(yaml_key(map, i)), name))
            continue;
        const struct yaml *value = yaml_value(map, i);
        if (yaml_kind(value) != YAML_MISSING)
            return value;
        findings_error(l->out, yaml_place(yaml_key(map, i)), "empty-value",
                       "'%s' has no value; give it one or leave the key out", key);
        return NULL;
    }
    if (need == LOAD_REQUIRED)
        findings_error(l->out, yaml_place(map), "missing-key", "the key '%s' is missing", key);
    return NULL;
}

static const struct yaml *member_of_kind(struct loader *l, const struct yaml *map, const char *key,
                                         enum need need, enum yaml_kind kind)
{
    const struct yaml *n = load_member(l, map, key, need);
    if (!n || yaml_kind(n) == kind)
        return n;
    const char *wanted = kind == YAML_LIST ? "list" : "map";
    const struct slice text = yaml_text(n);
    if (yaml_kind(n) == YAML_SCALAR)
        findings_error(l->out, yaml_place(n), "wrong-kind", "%s must be a %s, not '%.*s'", key,
                       wanted, text.len > 80 ? 80 : (int)text.len, text.ptr);
    else
        findings_error(l->out, yaml_place(n), "wrong-kind", "%s must be a %s, not a %s", key,
                       wanted, kind == YAML_LIST ? "map" : "list");
    return NULL;
}

const struct yaml *load_list(struct loader *l, const struct yaml *map, const char *key,
                             enum need need)
{
    return member_of_kind(l, map, key, need, YAML_LIST);
}

const struct yaml *load_map(struct loader *l, const struct yaml *map, const char *key,
                            enum need need)
{
    return member_of_kind(l, map, key, need, YAML_MAP);
}

/* ---- texts ---- */

static bool has_control(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool scalar(struct loader *l, const struct yaml *n, const char *what)
{
    if (yaml_kind(n) != YAML_SCALAR)
        findings_error(l->out, yaml_place(n), "wrong-kind", "%s must be a text", what);
    else if (!yaml_text(n).len)
        findings_error(l->out, yaml_place(n), "wrong-value", "%s must not be empty", what);
    else
        return true;
    return false;
}

bool load_word(struct loader *l, const struct yaml *n, const char *what, struct slice *out)
{
    const struct slice text = yaml_text(n);
    if (!scalar(l, n, what))
        return false;
    if (has_control(text) || text.len > LOAD_MAX_TEXT) {
        findings_error(l->out, yaml_place(n), "wrong-value",
                       "%s must be one line of at most %d bytes without control characters", what,
                       LOAD_MAX_TEXT);
        return false;
    }
    *out = arena_copy(l->a, text);
    return true;
}

bool load_text(struct loader *l, const struct yaml *map, const char *key, enum need need,
               struct slice *out)
{
    const struct yaml *n = load_member(l, map, key, need);
    return n && load_word(l, n, key, out);
}

bool load_long_text(struct loader *l, const struct yaml *map, const char *key, enum need need,
                    struct slice *out)
{
    const struct yaml *n = load_member(l, map, key, need);
    if (!n || !scalar(l, n, key))
        return false;
    *out = arena_copy(l->a, yaml_text(n));
    return true;
}

bool load_id(struct loader *l, const struct yaml *map, const char *key, struct slice *out)
{
    const struct yaml *n = load_member(l, map, key, LOAD_REQUIRED);
    struct slice id;
    if (!n || !load_word(l, n, key, &id))
        return false;
    if (!entity_id_is_valid(id)) {
        findings_error(l->out, yaml_place(n), "wrong-id",
                       "'%.*s' is no id; allowed are 1 to 64 of a-z, 0-9 and '-'", SLICE_ARG(id));
        return false;
    }
    *out = id;
    return true;
}

void load_unknown(struct loader *l, struct place at, const char *what, struct slice word,
                  const struct slice *names, size_t count)
{
    /* Past the limit nobody reads it, and the nearest name of thousands costs. */
    const struct slice near =
        l->out->count < FINDINGS_MAX ? nearest_name(word, names, count) : SLICE("");
    struct slice allowed = SLICE("");
    for (size_t i = 0; i < count && i < 12; i++)
        allowed = arena_printf(l->a, "%.*s%s%.*s", SLICE_ARG(allowed), i ? ", " : "",
                               SLICE_ARG(names[i]));
    findings_error(l->out, at, "unknown-word", "%s '%.*s' is not known; allowed: %.*s%s%s%.*s%s",
                   what, SLICE_ARG(word), SLICE_ARG(allowed),
                   count > 12 ? ", ..."
                   : count    ? ""
                              : "none are defined",
                   near.len ? "; did you mean '" : "", SLICE_ARG(near), near.len ? "'?" : "");
}

bool load_choice(struct loader *l, const struct yaml *map, const char *key, enum need need,
                 const struct slice *names, size_t count, uint32_t *out)
{
    const struct yaml *n = load_member(l, map, key, need);
    if (!n || !scalar(l, n, key))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (slice_eq(yaml_text(n), names[i])) {
            *out = i;
            return true;
        }
    }
    load_unknown(l, yaml_place(n), key, yaml_text(n), names, count);
    return false;
}

/* ---- lists of words ---- */

static bool is_among(struct slice word, const struct slice *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq(word, words[i]))
            return true;
    return false;
}

static bool words_of_list(struct loader *l, const struct yaml *list, const char *what,
                          struct slices *out)
{
    const size_t count = yaml_count(list);
    if (!count || count > LOAD_MAX_ITEMS) {
        findings_error(l->out, yaml_place(list), count ? "too-many" : "empty-list",
                       "%s must have from 1 to %d entries; leave the key out for the default", what,
                       LOAD_MAX_ITEMS);
        return false;
    }
    struct slice *words = arena_array(l->a, struct slice, count);
    uint32_t good = 0;
    for (size_t i = 0; i < count; i++) {
        const struct yaml *n = yaml_item(list, i);
        struct slice word;
        if (!load_word(l, n, what, &word))
            continue; /* the others are looked at all the same */
        if (is_among(word, words, good))
            findings_warn(l->out, yaml_place(n), "repeated", "'%.*s' is repeated", SLICE_ARG(word));
        else
            words[good++] = word;
    }
    *out = (struct slices){words, good};
    return good > 0;
}

bool load_words(struct loader *l, const struct yaml *map, const char *key, enum need need,
                struct slices *out)
{
    const struct yaml *list = load_list(l, map, key, need);
    return list && words_of_list(l, list, key, out);
}

bool load_word_or_words(struct loader *l, const struct yaml *map, const char *key, enum need need,
                        struct slices *out)
{
    const struct yaml *n = load_member(l, map, key, need);
    if (!n)
        return false;
    if (yaml_kind(n) == YAML_LIST)
        return words_of_list(l, n, key, out);
    struct slice *word = arena_new(l->a, struct slice);
    if (!load_word(l, n, key, word))
        return false;
    *out = (struct slices){word, 1};
    return true;
}

/* Words that are repeated were left out: so it is looked for by the text. */
struct place load_word_place(const struct yaml *list, struct slice word)
{
    for (size_t i = 0; i < yaml_count(list); i++)
        if (slice_eq(yaml_text(yaml_item(list, i)), word))
            return yaml_place(yaml_item(list, i));
    return yaml_place(list);
}

/* ---- values ---- */

bool load_duration_s(struct loader *l, const struct yaml *map, const char *key, int64_t min_s,
                     int64_t max_s, int64_t *out)
{
    const struct yaml *n = load_member(l, map, key, LOAD_OPTIONAL);
    int64_t ms = 0;
    if (!n || !yaml_duration_ms(n, key, min_s * 1000, max_s * 1000, &ms, l->out))
        return false;
    *out = ms / 1000;
    return true;
}

bool load_url(struct loader *l, const struct yaml *map, const char *key, enum need need,
              bool may_query, struct slice *out)
{
    const struct yaml *n = load_member(l, map, key, need);
    struct slice url, host;
    char room[HOST_MAX];
    if (!n || !load_word(l, n, key, &url))
        return false;
    const char *fault = url_fault(url, may_query, room, &host);
    if (fault) {
        findings_error(l->out, yaml_place(n), "wrong-url", "%s '%.*s' %s", key, SLICE_ARG(url),
                       fault);
        return false;
    }
    *out = url;
    return true;
}

bool load_file(struct loader *l, const struct yaml *n, struct slice *out)
{
    struct slice name, text;
    struct fault fault;
    if (!load_word(l, n, "the name of a file", &name))
        return false;
    if (!l->dir.len) {
        findings_error(l->out, yaml_place(n), "file-outside",
                       "a document from the store can't name a file; publish puts its content in");
        return false;
    }
    const bool is_absolute = slice_starts(name, SLICE("/"));
    const struct slice path =
        arena_printf(l->a, "%.*s%s%.*s%c", is_absolute ? 0 : (int)l->dir.len, l->dir.ptr,
                     is_absolute ? "" : "/", SLICE_ARG(name), '\0');
    if (!file_read(&text, path.ptr, LOAD_MAX_FILE, &fault)) {
        findings_error(l->out, yaml_place(n), "file", "%s", fault.text);
        return false;
    }
    *out = arena_copy(l->a, text);
    mem_slice_free(&text);
    return true;
}

bool load_unique(struct loader *l, struct map *seen, struct slice id, const struct yaml *map,
                 void *value)
{
    void **at = map_at(seen, id);
    if (!*at) {
        *at = value;
        return true;
    }
    const struct yaml *n = yaml_get(map, SLICE("id"));
    findings_error(l->out, yaml_place(n ? n : map), "duplicate-id",
                   "the id '%.*s' stands here a second time", SLICE_ARG(id));
    return false;
}

/* ---- places in the source ---- */

static void find_lines(struct loader *l)
{
    uint32_t count = 1;
    for (size_t i = 0; i < l->text.len; i++)
        count += l->text.ptr[i] == '\n';
    uint32_t *lines = arena_array(l->a, uint32_t, count);
    l->line_count = 1; /* the first begins at 0 */
    for (size_t i = 0; i < l->text.len; i++)
        if (l->text.ptr[i] == '\n')
            lines[l->line_count++] = (uint32_t)i + 1;
    l->lines = lines;
}

struct slice load_source_at(struct loader *l, uint32_t line, uint32_t column)
{
    if (!l->lines)
        find_lines(l);
    if (!line || line > l->line_count || !column)
        return (struct slice){l->text.ptr, 0};
    struct slice rest = slice_skip(l->text, l->lines[line - 1]);
    while (--column && rest.len) { /* a column is a character, which is one to four bytes */
        rest = slice_skip(rest, 1);
        while (rest.len && ((uint8_t)rest.ptr[0] & 0xc0) == 0x80)
            rest = slice_skip(rest, 1);
    }
    return rest;
}

static uint32_t leading_blanks(struct slice text)
{
    uint32_t count = 0;
    while (count < text.len && text.ptr[count] == ' ')
        count++;
    return count;
}

struct place load_text_place(struct loader *l, const struct yaml *n)
{
    struct place place = yaml_place(n);
    if (yaml_is_quoted(n))
        place.column++;
    if (yaml_is_plain(n) || yaml_is_quoted(n))
        return place;
    /* A block: its mark is the first column of its first line. */
    const struct slice source = load_source_at(l, place.line, place.column);
    place.column = leading_blanks(source) - leading_blanks(yaml_text(n)) + 1;
    return place;
}

/* ---- the head ---- */

bool load_head(struct loader *l, const struct yaml *root, const char *kind, int64_t *serial,
               int64_t *not_after_s)
{
    const struct yaml *n = load_member(l, root, "belfry", LOAD_REQUIRED);
    if (!n)
        return false;
    if (!slice_eq(yaml_text(n), slice_of(kind))) {
        findings_error(l->out, yaml_place(n), "wrong-document",
                       "this must be 'belfry: %s', not '%.*s'", kind,
                       yaml_text(n).len > 80 ? 80 : (int)yaml_text(n).len, yaml_text(n).ptr);
        return false;
    }
    if ((n = load_member(l, root, "serial", LOAD_REQUIRED)))
        (void)yaml_int(n, "serial", 1, SERIAL_MAX, serial, l->out);
    if ((n = load_member(l, root, "not_after", LOAD_REQUIRED)))
        (void)yaml_time(n, "not_after", not_after_s, l->out);
    return true;
}
