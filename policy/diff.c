// SPDX-License-Identifier: EUPL-1.2
/* See the header. For each class of paths (diff_path.c) and methods in which the rules of the two
 * sides are not the same, all that their conditions can be is looked through (diff_search.c). Owns:
 * those classes, and what is in doubt without looking. */
#include "policy/diff.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/method.h"
#include "policy/charter.h"
#include "policy/diff_in.h"
#include "policy/explain.h"

#define METHODS_MAX 64

/* ---- rules ---- */

/* A rule of either side, with a number of what it says: two that say the same in the same way share
 * it. */
struct owner {
    struct searched_rule of;
    unsigned sides; /* bits */
    uint32_t saying;
};

struct owners {
    struct owner *at;
    uint32_t count;
    struct map sayings;
    struct diff_pattern *patterns;
    uint32_t pattern_count;
};

static uint32_t saying_of(struct search *s, struct owners *o, const struct rule *r)
{
    const struct slice key = arena_printf(s->a, "%d %lld %.*s", (int)r->effect,
                                          (long long)r->expires_s, SLICE_ARG(diff_saying(s, r)));
    uint32_t *number = map_get(&o->sayings, key);
    if (!number) {
        number = arena_new(s->a, uint32_t);
        *number = (uint32_t)o->sayings.count + 1;
        (void)map_set(&o->sayings, key, number);
    }
    return *number;
}

/* `first` is the number of the first of them in decisions. */
static void add_owners(struct search *s, struct owners *o, const struct rule *rules, uint32_t count,
                       uint32_t first, unsigned sides)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *r = &rules[i];
        if (!explain_counts(r, s->now))
            continue;
        for (uint32_t p = 0; p < r->path_count; p++)
            o->patterns[o->pattern_count++] = (struct diff_pattern){&r->paths[p], o->count};
        o->at[o->count++] = (struct owner){{r, first + i}, sides, saying_of(s, o, r)};
        diff_ask(s, r);
    }
}

static uint32_t count_patterns(const struct rule *rules, uint32_t count)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all += rules[i].path_count;
    return all;
}

/* All that count: the baseline's, which both sides have, then each side's own. */
static void read_owners(struct search *s, struct owners *o)
{
    static const struct baseline none;
    const struct snapshot *snapshot = s->sides[0]->snapshot;
    const struct baseline *b = snapshot->baseline ? snapshot->baseline : &none;
    const uint32_t first_rule = b->requirement_count + b->forbid_count;
    uint32_t rules = first_rule, patterns = count_patterns(b->forbids, b->forbid_count);
    for (int i = 0; i < 2; i++) {
        const struct application *app = s->sides[i]->app;
        rules += app ? app->rule_count : 0;
        patterns += app ? count_patterns(app->rule_list, app->rule_count) : 0;
    }
    o->at = arena_array(s->a, struct owner, rules + 1);
    o->patterns = arena_array(s->a, struct diff_pattern, patterns + 1);
    add_owners(s, o, b->requirements, b->requirement_count, 0, 3);
    add_owners(s, o, b->forbids, b->forbid_count, b->requirement_count, 3);
    for (int i = 0; i < 2; i++) {
        const struct application *app = s->sides[i]->app;
        s->rules[i] = arena_array(s->a, struct searched_rule, rules + 1);
        if (app)
            add_owners(s, o, app->rule_list, app->rule_count, first_rule, 1u << i);
    }
}

/* ---- classes of paths and methods ---- */

struct cells {
    struct search *s;
    struct owners owners;
    uint32_t *everywhere; /* owners without a path of their own */
    uint32_t everywhere_count;
    uint32_t *here; /* those of the cell at hand */
    uint32_t *sayings[2];
    struct slice methods[METHODS_MAX];
    uint32_t method_count;
    bool has_other_app; /* some condition tells the applications apart */
};

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t sort_once(uint32_t *at, uint32_t count)
{
    uint32_t kept = 0;
    if (count)
        qsort(at, count, sizeof *at, by_number);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || at[kept - 1] != at[i])
            at[kept++] = at[i];
    return kept;
}

static void take_owner(struct cells *c, uint32_t number)
{
    struct search *s = c->s;
    const struct owner *o = &c->owners.at[number];
    const struct rule *r = o->of.rule;
    if (r->effect != RULE_REQUIRE && !rule_names_method(r, &s->request))
        return;
    for (int side = 0; side < 2; side++)
        if (o->sides >> side & 1) {
            c->sayings[side][s->rule_count[side]] = o->saying;
            s->rules[side][s->rule_count[side]++] = o->of;
        }
}

/* In the order in which they are named. */
static void take_owners(struct cells *c, const struct diff_path *path)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->everywhere_count; i++)
        c->here[count++] = c->everywhere[i];
    for (uint32_t i = 0; i < path->owner_count; i++)
        c->here[count++] = path->owners[i];
    qsort(c->here, count, sizeof *c->here, by_number);
    c->s->rule_count[0] = c->s->rule_count[1] = 0;
    for (uint32_t i = 0; i < count; i++)
        take_owner(c, c->here[i]);
}

static bool demands_certificate(const struct application *app)
{
    return app && (app->device == DEVICE_REQUIRED || app->device == DEVICE_REQUIRED_BY_TLS);
}

static bool says_the_same(struct cells *c)
{
    struct search *s = c->s;
    const struct application *x = s->sides[0]->app, *y = s->sides[1]->app;
    const uint32_t before = sort_once(c->sayings[0], s->rule_count[0]);
    const uint32_t after = sort_once(c->sayings[1], s->rule_count[1]);
    return x && y && !c->has_other_app && demands_certificate(x) == demands_certificate(y) &&
           before == after &&
           (!before || memcmp(c->sayings[0], c->sayings[1], before * sizeof(uint32_t)) == 0);
}

/* Whether such a path is let in at all, by either side. */
static bool is_let_in(const struct search *s)
{
    bool is_so = false;
    struct arena scratch;
    arena_init(&scratch, s->chunks);
    for (int side = 0; side < 2; side++) {
        const struct application *app = s->sides[side]->app;
        struct request request = s->request;
        is_so = is_so || (app && target_parse(&request, request.target, app->paths, &scratch) ==
                                     REASON_PERMITTED);
    }
    arena_fini(&scratch);
    return is_so;
}

static void search_cell(struct cells *c, const struct diff_path *path, struct slice method)
{
    struct search *s = c->s;
    s->request = (struct request){.method = method_of(method),
                                  .method_name = method,
                                  .host = s->host,
                                  .target = path->target};
    take_owners(c, path);
    if (!says_the_same(c) && is_let_in(s))
        diff_search(s);
}

static void add_method(struct cells *c, struct slice name)
{
    for (uint32_t i = 0; i < c->method_count; i++)
        if (slice_eq(c->methods[i], name))
            return;
    if (c->method_count == METHODS_MAX)
        c->s->is_exhausted = true;
    else
        c->methods[c->method_count++] = name;
}

static void read_methods(struct cells *c)
{
    for (enum method m = METHOD_OTHER + 1; m < METHOD_COUNT; m++)
        add_method(c, method_name(m));
    for (uint32_t i = 0; i < c->owners.count; i++) {
        const struct slices *names = &c->owners.at[i].of.rule->other_methods;
        for (uint32_t j = 0; j < names->count; j++)
            add_method(c, names->at[j]);
    }
    add_method(c, SLICE("ANOTHER"));
}

static void make_cells(struct cells *c)
{
    struct search *s = c->s;
    const uint32_t room = c->owners.count + c->owners.pattern_count + 1;
    c->here = arena_array(s->a, uint32_t, room);
    c->everywhere = arena_array(s->a, uint32_t, room);
    for (int side = 0; side < 2; side++)
        c->sayings[side] = arena_array(s->a, uint32_t, room);
    for (uint32_t i = 0; i < c->owners.count; i++) {
        const struct rule *r = c->owners.at[i].of.rule;
        if (!r->path_count)
            c->everywhere[c->everywhere_count++] = i;
        c->has_other_app = c->has_other_app || diff_reads_other_app(s, r);
    }
    read_methods(c);
}

static void search_cells(struct cells *c, bool fold)
{
    struct search *s = c->s;
    struct diff_path *paths;
    uint32_t count;
    if (!diff_paths(c->owners.patterns, c->owners.pattern_count, fold, s->a, &paths, &count))
        diff_doubt(s, SLICE("the patterns of paths make more classes than are looked into"));
    for (uint32_t i = 0; i < count && !s->is_exhausted; i++)
        for (uint32_t m = 0; m < c->method_count && !s->is_exhausted; m++)
            search_cell(c, &paths[i], c->methods[m]);
    if (s->is_exhausted)
        diff_doubt(s, SLICE("there are more combinations than are looked into"));
}

/* ---- what is in doubt without looking ---- */

static bool are_same_providers(const struct application *x, const struct application *y)
{
    bool is_same = x->provider_count == y->provider_count;
    for (uint32_t i = 0; is_same && i < x->provider_count; i++)
        is_same = slice_eq(x->providers[i]->id, y->providers[i]->id) &&
                  memcmp(x->providers[i]->digest, y->providers[i]->digest,
                         sizeof x->providers[i]->digest) == 0;
    return is_same;
}

/* Settings that refuse requests beside the rules. */
static void doubt_settings(struct search *s)
{
    const struct application *x = s->sides[0]->app, *y = s->sides[1]->app;
    if (!x || !y)
        return;
    if (x->device != y->device)
        diff_doubt(s, SLICE("`device` differs; only that a certificate is demanded is looked "
                            "into"));
    if (!path_options_are_same(x->paths, y->paths))
        diff_doubt(s, SLICE("`paths` differs: which paths are let in is not looked into"));
    else if (x->paths.allow_parameters || has_lax_reading(x))
        diff_doubt(s, SLICE("paths that can be read in several ways are let in; those are not "
                            "looked into"));
    if (!are_same_providers(x, y))
        diff_doubt(s, SLICE("the identity providers differ: who can sign in is not looked into"));
    if (x->needs_inventory != y->needs_inventory)
        diff_doubt(s, SLICE("`inventory` differs: which devices are let in is not looked into"));
    if (x->wants_proof != y->wants_proof)
        diff_doubt(s, SLICE("`dpop` differs: which tokens are taken is not looked into"));
    if (x->sessions.allows_unbound != y->sessions.allows_unbound)
        diff_doubt(s, SLICE("`sessions` differs: who can sign in without a device is not looked "
                            "into"));
}

static void doubt_ends(struct search *s, const struct owners *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->at[i].of.rule->expires_s && o->at[i].sides != 3) {
            diff_doubt(s, SLICE("rules expire: it is so today, and may not be so later"));
            return;
        }
}

/* ---- the door ---- */

static bool asks_for_none(const struct application *app)
{
    return !app || app->device == DEVICE_NONE;
}

static bool has_no_providers(const struct application *app)
{
    return !app || !app->provider_count;
}

static void prepare(struct search *s, const struct diff_side *before, const struct diff_side *after)
{
    const struct application *x = before->app, *y = after->app;
    s->sides[0] = before;
    s->sides[1] = after;
    s->host = (x ? x : y)->host;
    s->has_other_app = x && y && !(slice_eq(x->id, y->id) && slice_eq(x->entity, y->entity));
    map_init(&s->leaves);
    map_init(&s->variables);
    diff_people_init(&s->people, s->now);
    for (int i = 0; i < ROOT_COUNT; i++)
        s->roots[i] = (struct variable){.kind = OF_ROOT, .value = -1, .count = 2};
    if (asks_for_none(x) && asks_for_none(y))
        s->roots[ROOT_DEVICE].value = s->roots[ROOT_SERVICE].value = 0;
    if (has_no_providers(x) && has_no_providers(y))
        s->roots[ROOT_USER].value = 0;
    s->facts =
        (struct facts){.request = &s->request, .client_address = SLICE("127.0.0.1"), .now = s->now};
}

void diff_run(const struct diff_side *before, const struct diff_side *after, struct wall now,
              struct arena *a, struct diff *out)
{
    struct chunk_store chunks = {.limit = 16};
    struct search *s = mem_new(struct search);
    struct cells c = {.s = s};
    *out = (struct diff){.classes = NULL};
    *s = (struct search){.now = now, .a = a, .out = out, .chunks = &chunks};
    map_init(&c.owners.sayings);
    prepare(s, before, after);
    read_owners(s, &c.owners);
    make_cells(&c);
    doubt_settings(s);
    doubt_ends(s, &c.owners);
    search_cells(&c, (before->app ? before->app : after->app)->paths.fold_case);
    diff_conclude(s);
    map_fini(&s->leaves);
    map_fini(&s->variables);
    map_fini(&c.owners.sayings);
    chunk_store_fini(&chunks);
    mem_free(s);
}
