// SPDX-License-Identifier: EUPL-1.2
/* Rules → tree. All patterns of one effect are sorted once, segment by segment, so that at each
 * depth those of one node lie together; the tree is then cut out of the sorted list from the root
 * down. Owns: the order of patterns. Does not own: what a match means for the decision (decide.c).
 */
#include "policy/compile.h"

#include "base/map.h"
#include "base/mem.h"

/* One pattern of one rule. */
struct item {
    const struct pattern_segment *segments;
    uint32_t count;
    struct rule_entry entry;
};

struct build {
    struct arena *arena;
    const struct item *items;
};

static int compare_slices(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len ? memcmp(a.ptr, b.ptr, a.len) : 0;
}

/* The places that a pattern can take at one depth, in the order in which a node is cut. */
enum step { STEP_END, STEP_REST, STEP_ONE, STEP_TEXT, STEP_GLOB };

static enum step step_at(const struct item *item, uint32_t depth)
{
    if (depth >= item->count)
        return STEP_END;
    switch (item->segments[depth].kind) {
    case PATTERN_TEXT:
        return STEP_TEXT;
    case PATTERN_ONE:
        return STEP_ONE;
    case PATTERN_REST:
        return STEP_REST;
    case PATTERN_GLOB:
        return STEP_GLOB;
    }
    return STEP_END;
}

static int compare_at(const struct item *a, const struct item *b, uint32_t depth)
{
    enum step x = step_at(a, depth), y = step_at(b, depth);
    if (x != y)
        return x < y ? -1 : 1;
    if (x != STEP_TEXT && x != STEP_GLOB)
        return 0;
    int order = compare_slices(a->segments[depth].text, b->segments[depth].text);
    if (order || x == STEP_TEXT)
        return order;
    return compare_slices(a->segments[depth].tail, b->segments[depth].tail);
}

static int compare_items(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    for (uint32_t depth = 0;; depth++) {
        int order = compare_at(a, b, depth);
        if (order)
            return order;
        enum step step = step_at(a, depth);
        if (step == STEP_END || step == STEP_REST)
            break;
    }
    if (a->entry.rule == b->entry.rule)
        return 0;
    return a->entry.rule < b->entry.rule ? -1 : 1;
}

/* The end of the run from `from` of items that go the same way at `depth`. */
static uint32_t run_end(const struct build *b, uint32_t from, uint32_t to, uint32_t depth)
{
    uint32_t at = from + 1;
    while (at < to && compare_at(&b->items[from], &b->items[at], depth) == 0)
        at++;
    return at;
}

/* The rules of a run, each once: a rule may say one pattern twice. */
static struct rule_set make_set(const struct build *b, uint32_t from, uint32_t to)
{
    struct rule_entry *at = arena_array(b->arena, struct rule_entry, to - from);
    uint32_t count = 0;
    for (uint32_t i = from; i < to; i++)
        if (!count || at[count - 1].rule != b->items[i].entry.rule)
            at[count++] = b->items[i].entry;
    return (struct rule_set){at, count};
}

static uint32_t count_runs(const struct build *b, uint32_t from, uint32_t to, uint32_t depth,
                           enum step step)
{
    uint32_t count = 0;
    for (uint32_t at = from; at < to; at = run_end(b, at, to, depth))
        count += step_at(&b->items[at], depth) == step;
    return count;
}

/* Recursion is bounded: patterns are at most PATH_MAX_SEGMENTS + 1 long. */
static const struct rule_node *make_node(const struct build *b, uint32_t from, uint32_t to,
                                         uint32_t depth)
{
    struct rule_node *node = arena_new(b->arena, struct rule_node);
    struct rule_branch *texts =
        arena_array(b->arena, struct rule_branch, count_runs(b, from, to, depth, STEP_TEXT));
    struct rule_branch *globs =
        arena_array(b->arena, struct rule_branch, count_runs(b, from, to, depth, STEP_GLOB));
    for (uint32_t at = from, end; at < to; at = end) {
        end = run_end(b, at, to, depth);
        const struct item *first = &b->items[at];
        switch (step_at(first, depth)) {
        case STEP_END:
            node->here = make_set(b, at, end);
            break;
        case STEP_REST:
            node->rest = make_set(b, at, end);
            break;
        case STEP_ONE:
            node->one = make_node(b, at, end, depth + 1);
            break;
        case STEP_TEXT:
            texts[node->text_count++] = (struct rule_branch){
                .text = first->segments[depth].text, .node = make_node(b, at, end, depth + 1)};
            break;
        case STEP_GLOB:
            globs[node->glob_count++] =
                (struct rule_branch){.text = first->segments[depth].text,
                                     .tail = first->segments[depth].tail,
                                     .node = make_node(b, at, end, depth + 1)};
            break;
        }
    }
    node->texts = texts;
    node->globs = globs;
    return node;
}

static struct slice fold_text(struct arena *a, struct slice text)
{
    char *out = arena_bytes(a, text.len);
    for (size_t i = 0; i < text.len; i++)
        out[i] = path_fold(i ? text.ptr[i - 1] : '\0', text.ptr[i]);
    return slice_from(out, text.len);
}

static const struct pattern_segment *fold_segments(struct arena *a, const struct pattern *p)
{
    struct pattern_segment *out = arena_array(a, struct pattern_segment, p->count);
    for (uint32_t i = 0; i < p->count; i++)
        out[i] = (struct pattern_segment){.kind = p->segments[i].kind,
                                          .text = fold_text(a, p->segments[i].text),
                                          .tail = fold_text(a, p->segments[i].tail)};
    return out;
}

static uint32_t method_bits(const struct rule *r)
{
    uint32_t other = 1u << METHOD_OTHER;
    if (!r->methods && !r->other_methods.count)
        return METHODS_ALL;
    /* METHOD_OTHER is reached through names only, whatever the bits say. */
    return (r->methods & ~other) | (r->other_methods.count ? other : 0);
}

static const struct pattern_segment anything = {.kind = PATTERN_REST};

static uint32_t add_items(struct arena *a, const struct application *app, struct item *items,
                          uint32_t count, const struct rule *r, struct rule_entry entry)
{
    if (!r->path_count)
        items[count++] = (struct item){.segments = &anything, .count = 1, .entry = entry};
    for (uint32_t i = 0; i < r->path_count; i++) {
        const struct pattern *p = &r->paths[i];
        /* No request has so many segments: such a pattern matches nothing. */
        if (p->count > PATH_MAX_SEGMENTS + 1)
            continue;
        items[count++] =
            (struct item){.segments = app->paths.fold_case ? fold_segments(a, p) : p->segments,
                          .count = p->count,
                          .entry = entry};
    }
    return count;
}

static const struct rule_node *make_tree(struct arena *a, const struct application *app,
                                         enum rule_effect effect, const uint32_t *conditions)
{
    uint32_t room = 0, count = 0;
    for (uint32_t i = 0; i < app->rule_count; i++)
        room += app->rule_list[i].path_count ? app->rule_list[i].path_count : 1;
    struct item *items = mem_array(struct item, room + 1);
    for (uint32_t i = 0; i < app->rule_count; i++) {
        const struct rule *r = &app->rule_list[i];
        if (r->effect != effect || r->is_shadow)
            continue;
        struct rule_entry entry = {.rule = i,
                                   .condition = conditions[i],
                                   .methods = method_bits(r),
                                   .may_step_up = r->remedy == REMEDY_STEP_UP};
        count = add_items(a, app, items, count, r, entry);
    }
    qsort(items, count, sizeof(*items), compare_items);
    struct build build = {.arena = a, .items = items};
    const struct rule_node *root = make_node(&build, 0, count, 0);
    mem_free(items);
    return root;
}

/* Gives each distinct condition a number from 1, and each rule the number of its own. */
static void number_conditions(struct arena *a, const struct application *app, uint32_t *numbers,
                              struct rules *rules)
{
    const struct cel **conditions = arena_array(a, const struct cel *, app->rule_count);
    struct map by_text;
    map_init(&by_text);
    for (uint32_t i = 0; i < app->rule_count; i++) {
        const struct rule *r = &app->rule_list[i];
        if (!r->when)
            continue;
        uint32_t *known = map_get(&by_text, r->when_text);
        if (known) {
            numbers[i] = *known;
            continue;
        }
        conditions[rules->condition_count++] = r->when;
        numbers[i] = rules->condition_count;
        map_set(&by_text, r->when_text, &numbers[i]);
    }
    map_fini(&by_text);
    rules->conditions = conditions;
}

static const struct rules *compile(struct arena *a, const struct application *app)
{
    struct rules *rules = arena_new(a, struct rules);
    uint32_t *numbers = mem_array(uint32_t, app->rule_count + 1);
    number_conditions(a, app, numbers, rules);
    rules->permits = make_tree(a, app, RULE_PERMIT, numbers);
    rules->forbids = make_tree(a, app, RULE_FORBID, numbers);
    for (uint32_t i = 0; i < app->rule_count; i++)
        rules->has_step_up |= app->rule_list[i].remedy == REMEDY_STEP_UP;
    mem_free(numbers);
    return rules;
}

void bundle_compile(struct bundle *b)
{
    for (uint32_t i = 0; i < b->application_count; i++)
        b->applications[i].rules = compile(&b->arena, &b->applications[i]);
}
