// SPDX-License-Identifier: EUPL-1.2
/* Rules → tree. All patterns of one effect are sorted once, segment by segment, so that at each
 * depth those of one node lie together; the tree is then cut out of the sorted list from the root
 * down. Owns: the order of patterns. Does not own: what a match means for the decision (decide.c).
 */
#include "policy/compile.h"

#include "base/mem.h"
#include "policy/charter.h"
#include "policy/compile_in.h"

#define GUARDS_FROM 5 /* rules: fewer are sooner looked through than found */

/* One pattern of one rule. */
struct item {
    const struct pattern_segment *segments;
    uint32_t count;
    struct rule_entry entry;
};

struct build {
    struct arena *arena;
    struct arena *scratch;
    const struct item *items;
    const struct compiled_clause *clauses; /* one a rule */
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

/* ---- sets ---- */

/* One rule under one text. */
struct found {
    uint32_t number;
    struct rule_entry entry;
};

static int compare_found(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->entry.rule != b->entry.rule)
        return a->entry.rule < b->entry.rule ? -1 : 1;
    return 0;
}

static void make_runs(const struct build *b, struct rule_guards *out, const struct found *found,
                      uint32_t count)
{
    struct rule_entry *entries = arena_array(b->arena, struct rule_entry, count);
    uint32_t run_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = found[i].entry;
        run_count += !i || found[i].number != found[i - 1].number;
    }
    struct guard_run *runs = arena_array(b->arena, struct guard_run, run_count);
    for (uint32_t i = 0; i < count; i++) {
        if (!i || found[i].number != found[i - 1].number)
            runs[out->run_count++] = (struct guard_run){found[i].number, {&entries[i], 0}};
        runs[out->run_count - 1].rules.count++;
    }
    out->runs = runs;
}

static void note_methods(struct rule_guards *out, const struct rule_list *all)
{
    for (uint32_t m = 0; m < METHOD_COUNT; m++) {
        uint32_t i = 0;
        while (i < all->count && !(all->at[i].methods & 1u << m))
            i++;
        out->first_by_method[m] = i;
    }
}

static const struct rule_guards *make_guards(const struct build *b, const struct rule_list *all)
{
    uint32_t open = 0, room = 0, count = 0;
    if (all->count < GUARDS_FROM)
        return NULL;
    for (uint32_t i = 0; i < all->count; i++) {
        open += all->at[i].guard == GUARD_NONE;
        room += b->clauses[all->at[i].rule].text_count;
    }
    if (open == all->count)
        return NULL;
    struct rule_guards *out = arena_new(b->arena, struct rule_guards);
    struct rule_entry *open_list = arena_array(b->arena, struct rule_entry, open);
    struct found *found = arena_array(b->scratch, struct found, room);
    for (uint32_t i = 0; i < all->count; i++) {
        const struct rule_entry *e = &all->at[i];
        const struct compiled_clause *clause = &b->clauses[e->rule];
        out->facts |= 1u << e->guard;
        out->may_lack_device |= clause->reads_device;
        if (e->guard == GUARD_NONE)
            open_list[out->open.count++] = *e;
        for (uint32_t k = 0; k < clause->text_count; k++)
            found[count++] = (struct found){clause->texts[k], *e};
    }
    out->open.at = open_list;
    qsort(found, count, sizeof(*found), compare_found);
    make_runs(b, out, found, count);
    note_methods(out, all);
    return out;
}

/* The rules of a run, each once: a rule may say one pattern twice. */
static struct rule_set make_set(const struct build *b, uint32_t from, uint32_t to)
{
    struct rule_entry *at = arena_array(b->arena, struct rule_entry, to - from);
    struct rule_set set = {.all = {at, 0}};
    for (uint32_t i = from; i < to; i++)
        if (!set.all.count || at[set.all.count - 1].rule != b->items[i].entry.rule)
            at[set.all.count++] = b->items[i].entry;
    set.guards = make_guards(b, &set.all);
    return set;
}

/* ---- nodes ---- */

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

static uint32_t add_items(struct arena *a, bool fold, struct item *items, uint32_t count,
                          const struct rule *r, struct rule_entry entry)
{
    if (!r->path_count)
        items[count++] = (struct item){.segments = &anything, .count = 1, .entry = entry};
    for (uint32_t i = 0; i < r->path_count; i++) {
        const struct pattern *p = &r->paths[i];
        /* No request has so many segments: such a pattern matches nothing. */
        if (p->count > PATH_MAX_SEGMENTS + 1)
            continue;
        items[count++] = (struct item){.segments = fold ? fold_segments(a, p) : p->segments,
                                       .count = p->count,
                                       .entry = entry};
    }
    return count;
}

/* ---- trees ---- */

/* What a tree is made for. */
struct wanted {
    enum rule_effect effect;
    bool is_shadow;
    bool fold;
};

/* NULL where no rule is of the kind. */
static const struct rule_node *make_tree(struct build *b, const struct rules *rules,
                                         struct wanted wanted)
{
    uint32_t room = 0, count = 0, reads_path = 0;
    for (uint32_t i = 0; i < rules->count; i++)
        room += rules->list[i].path_count ? rules->list[i].path_count : 1;
    struct item *items = arena_array(b->scratch, struct item, room + 1);
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct rule *r = &rules->list[i];
        reads_path += r->reads_path;
        if (r->effect != wanted.effect || r->is_shadow != wanted.is_shadow)
            continue;
        struct rule_entry entry = {.rule = i,
                                   .clause = r->reads_path ? reads_path : b->clauses[i].number,
                                   .methods = method_bits(r),
                                   .guard = (uint8_t)b->clauses[i].guard,
                                   .may_step_up = r->remedy == REMEDY_STEP_UP,
                                   .may_expire = r->expires_s != 0,
                                   .reads_path = r->reads_path};
        count = add_items(b->arena, wanted.fold, items, count, r, entry);
    }
    if (!count)
        return NULL;
    qsort(items, count, sizeof(*items), compare_items);
    b->items = items;
    return make_node(b, 0, count, 0);
}

static struct rules *compile(struct arena *a, const struct rule *list, uint32_t count,
                             struct path_options paths)
{
    struct rules *rules = arena_new(a, struct rules);
    struct arena scratch;
    arena_init(&scratch, NULL);
    rules->list = list;
    rules->count = count;
    for (uint32_t i = 0; i < count; i++)
        rules->path_memo_count += list[i].reads_path && rules->path_memo_count < MEMO_MAX_ATOMS;
    const bool is_read_twice =
        paths.allow_parameters || paths.allow_encoded_slash || paths.allow_empty_segments;
    struct build b = {.arena = a,
                      .scratch = &scratch,
                      .clauses = compile_clauses(a, &scratch, rules, is_read_twice)};
    const bool fold = paths.fold_case;
    rules->permits = make_tree(&b, rules, (struct wanted){RULE_PERMIT, false, fold});
    rules->forbids = make_tree(&b, rules, (struct wanted){RULE_FORBID, false, fold});
    rules->shadow_permits = make_tree(&b, rules, (struct wanted){RULE_PERMIT, true, fold});
    rules->shadow_forbids = make_tree(&b, rules, (struct wanted){RULE_FORBID, true, fold});
    for (uint32_t i = 0; i < count; i++)
        rules->has_step_up |= list[i].remedy == REMEDY_STEP_UP;
    for (uint32_t i = 0; i < rules->atom_count; i++) {
        rules->reads_time |= cel_reads_time(rules->atoms[i]);
        rules->reads_age |= cel_reads_age(rules->atoms[i]);
        rules->reads_query |= cel_reads_query(rules->atoms[i]);
    }
    arena_fini(&scratch);
    return rules;
}

/* All facts that the conditions name. */
static uint64_t reads_of(const struct rule *list, uint32_t count)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < count; i++)
        bits |= list[i].when ? cel_reads(list[i].when) : 0;
    return bits;
}

static bool is_read(const struct rule *list, uint32_t count, struct slice header)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].when && cel_reads_header(list[i].when, header))
            return true;
    return false;
}

/* Of the headers that the application declares, those that some condition reads. */
static struct slices headers_read(struct arena *a, const struct application *app)
{
    struct slice *at = arena_array(a, struct slice, app->headers.count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < app->headers.count; i++)
        if (is_read(app->rule_list, app->rule_count, app->headers.at[i]))
            at[count++] = app->headers.at[i];
    return (struct slices){at, count};
}

void bundle_compile(struct bundle *b)
{
    for (uint32_t i = 0; i < b->application_count; i++) {
        struct application *app = &b->applications[i];
        struct rules *rules = compile(&b->arena, app->rule_list, app->rule_count, app->paths);
        rules->reads = reads_of(app->rule_list, app->rule_count);
        rules->headers = headers_read(&b->arena, app);
        app->rules = rules;
    }
}

void charter_compile(struct charter *c)
{
    /* An application that lets in what can be read in several ways is judged by all of them. */
    struct path_options paths = {.allow_parameters = true};
    struct baseline *b = &c->baseline;
    for (uint32_t i = 0; i < b->requirement_count; i++)
        b->has_shadow |= b->requirements[i].is_shadow;
    for (uint32_t i = 0; i < b->requirement_count; i++)
        b->reads_time |= b->requirements[i].when && cel_reads_time(b->requirements[i].when);
    for (uint32_t i = 0; i < b->requirement_count; i++)
        b->reads_age |= b->requirements[i].when && cel_reads_age(b->requirements[i].when);
    for (uint32_t i = 0; i < b->requirement_count; i++)
        b->reads_query |= b->requirements[i].when && cel_reads_query(b->requirements[i].when);
    for (uint32_t i = 0; i < b->forbid_count; i++)
        b->has_shadow |= b->forbids[i].is_shadow;
    b->reads =
        reads_of(b->requirements, b->requirement_count) | reads_of(b->forbids, b->forbid_count);
    for (int fold = 0; fold < 2; fold++) {
        paths.fold_case = fold;
        b->rules[fold] = compile(&c->arena, b->forbids, b->forbid_count, paths);
    }
}

uint64_t rules_read(const struct baseline *b, const struct application *app)
{
    return app->rules->reads | (b ? b->reads : 0);
}
