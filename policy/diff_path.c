// SPDX-License-Identifier: EUPL-1.2
/* The classes that patterns divide paths into: the subset construction over their segments. A state
 * is the set of places that a path so far has reached; from each go on every text that some pattern
 * names there, texts for its globs, a text that nobody names, and the end behind a slash. */
#include "policy/diff_in.h"

#include "base/map.h"
#include "base/mem.h"
#include "policy/decide_in.h"

#include <stdlib.h>

#define STATES_MAX 50000
#define SYMBOLS_MAX 20000
#define WORK_MAX 400000000 /* comparisons of segments: some seconds */

struct spot {
    uint32_t pattern;
    uint32_t at; /* how many of its segments are met */
};

struct state {
    const struct spot *spots;
    uint32_t count;
    const struct state *before;
    struct slice symbol; /* by which it was reached */
    bool is_end;         /* behind a slash: nothing follows */
};

struct builder {
    const struct diff_pattern *patterns;
    uint32_t count;
    bool fold;
    char filler; /* in no pattern; what stands between both ends of a glob */
    struct arena *a;
    struct map seen;
    struct state **queue;
    uint32_t queued;
    uint64_t work;
    bool is_too_much;
};

static const struct pattern_segment *segment_of(const struct builder *b, struct spot s)
{
    const struct pattern *p = b->patterns[s.pattern].pattern;
    return s.at < p->count ? &p->segments[s.at] : NULL;
}

static void push(struct builder *b, const struct state *before, struct slice symbol,
                 const struct spot *spots, uint32_t count, bool is_end)
{
    const struct slice key = slice_from(spots, count * sizeof *spots);
    /* What stands behind a last slash is a state of its own. */
    const struct slice whole = is_end    ? arena_printf(b->a, "/%.*s", SLICE_ARG(key))
                               : key.len ? key
                                         : SLICE("-");
    if (map_get(&b->seen, whole))
        return;
    if (b->queued == STATES_MAX) {
        b->is_too_much = true;
        return;
    }
    struct state *s = arena_new(b->a, struct state);
    struct spot *copy = arena_array(b->a, struct spot, count + 1);
    if (count)
        memcpy(copy, spots, count * sizeof *spots);
    *s = (struct state){copy, count, before, symbol, is_end};
    (void)map_set(&b->seen, arena_copy(b->a, whole), s);
    b->queue[b->queued++] = s;
}

static void step(struct builder *b, const struct state *from, struct slice symbol,
                 struct spot *room)
{
    uint32_t count = 0;
    b->work += from->count + 1;
    b->is_too_much = b->is_too_much || b->work > WORK_MAX;
    for (uint32_t i = 0; !b->is_too_much && i < from->count; i++) {
        const struct pattern_segment *p = segment_of(b, from->spots[i]);
        if (!p)
            continue;
        if (p->kind == PATTERN_REST)
            room[count++] = from->spots[i];
        else if (segment_fits(p, symbol, b->fold))
            room[count++] = (struct spot){from->spots[i].pattern, from->spots[i].at + 1};
    }
    push(b, from, symbol, room, count, !symbol.len);
}

struct symbols {
    struct slice *at;
    uint32_t count;
};

static void add_symbol(struct builder *b, struct symbols *s, struct map *seen, struct slice text)
{
    if (!text.len || map_get(seen, text))
        return;
    if (s->count == SYMBOLS_MAX) {
        b->is_too_much = true;
        return;
    }
    (void)map_set(seen, text, s);
    s->at[s->count++] = text;
}

/* A prefix and a tail with nothing of the patterns' between, and every way in which they overlap.
 */
static void add_joined(struct builder *b, struct symbols *s, struct map *seen, struct slice head,
                       struct slice tail)
{
    add_symbol(b, s, seen,
               arena_printf(b->a, "%.*s%c%.*s", SLICE_ARG(head), b->filler, SLICE_ARG(tail)));
    for (size_t common = 0; common <= head.len && common <= tail.len; common++)
        if (slice_eq(slice_skip(head, head.len - common), slice_from(tail.ptr, common)))
            add_symbol(b, s, seen,
                       arena_printf(b->a, "%.*s%.*s", SLICE_ARG(head),
                                    SLICE_ARG(slice_skip(tail, common))));
}

static void add_globs(struct builder *b, const struct state *from, struct symbols *s,
                      struct map *seen)
{
    for (uint32_t i = 0; i < from->count; i++) {
        const struct pattern_segment *p = segment_of(b, from->spots[i]);
        if (!p || p->kind != PATTERN_GLOB)
            continue;
        for (uint32_t j = 0; j < from->count && !b->is_too_much; j++) {
            const struct pattern_segment *q = segment_of(b, from->spots[j]);
            b->work++;
            if (q && q->kind == PATTERN_GLOB)
                add_joined(b, s, seen, p->text, q->tail);
        }
        add_joined(b, s, seen, p->text, SLICE(""));
        add_joined(b, s, seen, SLICE(""), p->tail);
    }
}

static bool is_named(const struct builder *b, const struct state *from, struct slice text)
{
    for (uint32_t i = 0; i < from->count; i++) {
        const struct pattern_segment *p = segment_of(b, from->spots[i]);
        if (p && (p->kind == PATTERN_TEXT || p->kind == PATTERN_GLOB) &&
            segment_fits(p, text, b->fold))
            return true;
    }
    return false;
}

/* A text that no pattern names there: by its first and last letter it escapes most globs. Empty
 * where none is found. */
static struct slice fresh(struct builder *b, const struct state *from)
{
    static const char letters[] = "xyzabcdefghijklmnopqrstuvw0123456789";
    for (size_t i = 0; i < sizeof letters - 1; i++) {
        const struct slice one = {letters + i, 1};
        if (!is_named(b, from, one))
            return one;
    }
    for (size_t i = 0; i < sizeof letters - 1; i++)
        for (size_t k = 0; k < sizeof letters - 1; k++) {
            const struct slice text =
                arena_printf(b->a, "%c%c%c", letters[i], b->filler, letters[k]);
            if (!is_named(b, from, text))
                return text;
        }
    return SLICE("");
}

static void expand(struct builder *b, const struct state *from, struct spot *room)
{
    struct symbols s = {.at = mem_array(struct slice, SYMBOLS_MAX)};
    struct map seen;
    map_init(&seen);
    for (uint32_t i = 0; i < from->count; i++) {
        const struct pattern_segment *p = segment_of(b, from->spots[i]);
        if (p && p->kind == PATTERN_TEXT)
            add_symbol(b, &s, &seen, p->text);
    }
    add_globs(b, from, &s, &seen);
    for (uint32_t i = 0; i < s.count; i++)
        step(b, from, s.at[i], room);
    const struct slice other = fresh(b, from);
    b->is_too_much = b->is_too_much || !other.len;
    step(b, from, other, room);
    if (from->before)
        step(b, from, SLICE(""), room);
    map_fini(&seen);
    mem_free(s.at);
}

/* ---- states → paths ---- */

static bool is_plain(char c)
{
    const char low = ascii_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static struct slice encode(struct arena *a, struct slice text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_bytes(a, text.len * 3 + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if (is_plain(text.ptr[i])) {
            out[len++] = text.ptr[i];
            continue;
        }
        out[len++] = '%';
        out[len++] = hex[c >> 4];
        out[len++] = hex[c & 15];
    }
    return slice_from(out, len);
}

static struct slice path_of(struct builder *b, const struct state *s)
{
    if (!s->before)
        return SLICE("");
    return arena_printf(b->a, "%.*s/%.*s", SLICE_ARG(path_of(b, s->before)),
                        SLICE_ARG(encode(b->a, s->symbol)));
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void read_state(struct builder *b, const struct state *s, struct diff_path *out)
{
    uint32_t *owners = arena_array(b->a, uint32_t, s->count + 1);
    uint32_t count = 0, kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct pattern_segment *p = segment_of(b, s->spots[i]);
        if (!p || p->kind == PATTERN_REST)
            owners[count++] = b->patterns[s->spots[i].pattern].owner;
    }
    if (count)
        qsort(owners, count, sizeof *owners, by_number);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || owners[kept - 1] != owners[i])
            owners[kept++] = owners[i];
    const struct slice path = path_of(b, s);
    *out = (struct diff_path){path.len ? path : SLICE("/"), owners, kept};
}

static bool is_in_a_pattern(const struct builder *b, char letter)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct slice text = b->patterns[i].pattern->text;
        if (text.len && memchr(text.ptr, letter, text.len))
            return true;
    }
    return false;
}

/* False where every candidate stands in some pattern. */
static bool find_filler(struct builder *b)
{
    static const char letters[] = "~_.-0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < sizeof letters - 1; i++)
        if (!is_in_a_pattern(b, b->filler = letters[i]))
            return true;
    return false;
}

bool diff_paths(const struct diff_pattern *patterns, uint32_t count, bool fold, struct arena *a,
                struct diff_path **out, uint32_t *out_count)
{
    struct builder b = {.patterns = patterns, .count = count, .fold = fold, .a = a};
    struct spot *room = mem_array(struct spot, count + 1);
    b.queue = mem_array(struct state *, STATES_MAX);
    b.is_too_much = !find_filler(&b);
    map_init(&b.seen);
    for (uint32_t i = 0; i < count; i++)
        room[i] = (struct spot){i, 0};
    push(&b, NULL, SLICE(""), room, count, false);
    for (uint32_t i = 0; i < b.queued && !b.is_too_much; i++)
        if (!b.queue[i]->is_end && (b.queue[i]->count || !i)) // else nothing more is met
            expand(&b, b.queue[i], room);
    *out = arena_array(a, struct diff_path, b.queued);
    *out_count = b.queued;
    for (uint32_t i = 0; i < b.queued; i++)
        read_state(&b, b.queue[i], &(*out)[i]);
    map_fini(&b.seen);
    mem_free(b.queue);
    mem_free(room);
    return !b.is_too_much;
}
