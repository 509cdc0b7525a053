// SPDX-License-Identifier: EUPL-1.2
/* See the header. */
#include "cli/policy_coverage.h"

#include "base/mem.h"
#include "cli/policy_tool.h"
#include "policy/policy_test.h"

#define NAMES_MAX 5 /* of rules in the line; --coverage lists all */

/* The first test that reaches each rule of an application, NULL: none. */
struct coverage {
    const struct policy_test **first;
};

static void note_test(struct coverage *c, struct policy_test *t, const struct application *app,
                      struct wall now)
{
    struct request request;
    struct facts facts;
    struct arena a;
    policy_test_facts(t, app, now, &request, &facts);
    arena_init(&a, NULL);
    if (policy_refused_before(&facts, &request, &a) == REASON_PERMITTED) {
        const struct accounts all = explain_rules(NULL, &facts, 0, &a);
        for (uint32_t i = 0; i < all.count; i++)
            if (all.at[i].mark == MARK_HIT && !c->first[i])
                c->first[i] = t;
    }
    arena_fini(&a);
}

static struct coverage coverage_of(const struct bundle *b, const struct application *app,
                                   struct wall now, struct arena *a)
{
    struct coverage c = {arena_array(a, const struct policy_test *, app->rule_count)};
    for (uint32_t t = 0; t < b->test_count; t++)
        if (slice_eq(b->tests[t].host, app->host))
            note_test(&c, &b->tests[t], app, now);
    return c;
}

static void print_rule(struct arena *a, const struct screen *s, const struct application *app,
                       const struct rule *r, const struct policy_test *t)
{
    screen_put(s, t ? PAINT_GOOD : PAINT_BAD, "%-9s", t ? "reached" : "untested");
    (void)fputc(' ', s->out);
    screen_words(s, 10, 12,
                 t ? arena_printf(a, "%.*s/%.*s by '%.*s'", SLICE_ARG(app->id), SLICE_ARG(r->id),
                                  SLICE_ARG(t->name))
                   : arena_printf(a, "%.*s/%.*s", SLICE_ARG(app->id), SLICE_ARG(r->id)));
}

void coverage_print(const struct bundle *b, struct wall now, bool is_whole, FILE *out)
{
    const struct screen s = screen_of(out);
    uint32_t rules = 0, untested = 0;
    struct slice names[NAMES_MAX];
    struct arena a;
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < b->application_count; i++) {
        const struct application *app = &b->applications[i];
        const struct coverage c = coverage_of(b, app, now, &a);
        for (uint32_t r = 0; r < app->rule_count; r++) {
            if (is_whole)
                print_rule(&a, &s, app, &app->rule_list[r], c.first[r]);
            if (!c.first[r] && untested++ < NAMES_MAX)
                names[untested - 1] = arena_printf(&a, "%.*s/%.*s", SLICE_ARG(app->id),
                                                   SLICE_ARG(app->rule_list[r].id));
        }
        rules += app->rule_count;
    }
    struct slice line =
        arena_printf(&a, "coverage: %u of %u rules are reached by a test", rules - untested, rules);
    for (uint32_t i = 0; !is_whole && i < untested && i < NAMES_MAX; i++)
        line = arena_printf(&a, "%.*s%s%.*s", SLICE_ARG(line), i ? ", " : "; not ",
                            SLICE_ARG(names[i]));
    if (!is_whole && untested > NAMES_MAX)
        line = arena_printf(&a, "%.*s, ... (--coverage)", SLICE_ARG(line));
    screen_words(&s, 0, 2, line);
    arena_fini(&a);
}

json_t *coverage_json(const struct bundle *b, struct wall now)
{
    json_t *list = json_array();
    struct arena a;
    arena_init(&a, NULL);
    for (uint32_t i = 0; i < b->application_count; i++) {
        const struct application *app = &b->applications[i];
        const struct coverage c = coverage_of(b, app, now, &a);
        for (uint32_t r = 0; r < app->rule_count; r++) {
            json_t *one = json_object();
            (void)json_object_set_new(one, "application", json_text(app->id));
            (void)json_object_set_new(one, "rule", json_text(app->rule_list[r].id));
            (void)json_object_set_new(one, "reached_by",
                                      c.first[r] ? json_text(c.first[r]->name) : json_null());
            (void)json_array_append_new(list, one);
        }
    }
    arena_fini(&a);
    return list;
}
