// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy who-can`: who may send this request: each rule that can permit it, with what it
 * asks for in words; what is asked of everybody; what is never let through. */
#include <string.h>

#include "base/method.h"
#include "base/reason.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"
#include "policy/policy_test.h"

/* Whoever asks is not known; what is asked for is. */
#define OF_THE_ASKING                                                                              \
    (CEL_BIT(app_id) | CEL_BIT(app_host) | CEL_BIT(app_entity) | CEL_BIT(request_method) |         \
     CEL_BIT(request_path) | CEL_BIT(request_segments) | CEL_BIT(request_host))

struct who_can {
    const char *words[4]; /* application, method, path, file */
    const char *charter;
    bool is_json;
    struct ground ground;
    struct arena arena;
    struct request request;
    struct facts facts;
};

/* A rule that has a say in it, and what is left of its condition. */
struct clause_of_rule {
    const struct rule *rule;
    bool is_baseline;
    bool never;          /* its condition is false for this request */
    struct slices words; /* all of which must be; none: always */
};
struct clauses_of_rules {
    struct clause_of_rule *at;
    uint32_t count;
};

static void read_condition(struct who_can *w, struct clause_of_rule *out)
{
    const struct cel *const *atoms;
    const struct cel *when = out->rule->when;
    const uint32_t count = when ? cel_atoms(when, &w->arena, &atoms) : 0;
    struct slice *words = arena_array(&w->arena, struct slice, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        struct cel_run run;
        switch (explain_ask(out->rule, atoms[i], &w->facts, ~OF_THE_ASKING, &run)) {
        case CEL_IS_TRUE:
            break;
        case CEL_IS_FALSE:
            out->never = true;
            break;
        case CEL_IS_ERROR:
            if (!run.has_unknown) { /* whoever asks: it can't be evaluated */
                out->never = out->never || out->rule->effect != RULE_FORBID;
                break;
            }
            words[out->words.count++] = cel_words(&w->arena, atoms[i]);
            break;
        }
    }
    out->words.at = words;
}

static void add_rules(struct who_can *w, struct clauses_of_rules *out, const struct rule *rules,
                      uint32_t count, bool is_baseline)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *r = &rules[i];
        if (!explain_counts(r, w->facts.now) || !explain_fits(r, &w->facts))
            continue;
        struct clause_of_rule clause = {.rule = r, .is_baseline = is_baseline};
        read_condition(w, &clause);
        if (clause.never && r->effect != RULE_REQUIRE)
            continue;
        out->at[out->count++] = clause;
    }
}

static struct clauses_of_rules read_rules(struct who_can *w)
{
    static const struct baseline none;
    const struct application *app = w->facts.app;
    const struct baseline *b = w->ground.charter ? &w->ground.charter->baseline : &none;
    struct clauses_of_rules all = {.count = 0};
    all.at = arena_array(&w->arena, struct clause_of_rule,
                         b->requirement_count + b->forbid_count + app->rule_count + 1);
    add_rules(w, &all, b->requirements, b->requirement_count, true);
    add_rules(w, &all, b->forbids, b->forbid_count, true);
    add_rules(w, &all, app->rule_list, app->rule_count, false);
    return all;
}

static bool somebody_can(const struct clauses_of_rules *all)
{
    bool is_permitted = false;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct clause_of_rule *c = &all->at[i];
        if ((c->rule->effect == RULE_REQUIRE && c->never) ||
            (c->rule->effect == RULE_FORBID && !c->words.count))
            return false;
        is_permitted = is_permitted || c->rule->effect == RULE_PERMIT;
    }
    return is_permitted;
}

static bool demands_device(const struct application *app)
{
    return app->device == DEVICE_REQUIRED_BY_TLS || app->device == DEVICE_REQUIRED;
}

/* ---- what is told ---- */

static void print_clause(const struct screen *s, const struct clause_of_rule *c)
{
    (void)fputs("  ", s->out);
    screen_put(s, PAINT_STRONG, "%.*s", SLICE_ARG(c->rule->id));
    if (c->is_baseline)
        screen_put(s, PAINT_DIM, " (baseline)");
    (void)fputc('\n', s->out);
    if (!c->words.count)
        (void)fprintf(s->out, "    %s\n", c->never ? "never" : "always");
    for (uint32_t i = 0; i < c->words.count; i++) {
        (void)fprintf(s->out, "    %s", i ? "and " : "");
        screen_words(s, i ? 8 : 4, 8, c->words.at[i]);
    }
}

static void print_effect(const struct screen *s, const struct clauses_of_rules *all,
                         enum rule_effect effect, enum paint paint, const char *title)
{
    bool has_title = false;
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->at[i].rule->effect != effect)
            continue;
        if (!has_title)
            screen_put(s, paint, "%s\n", title);
        has_title = true;
        print_clause(s, &all->at[i]);
    }
}

static void print_people(const struct who_can *w, const struct clauses_of_rules *all)
{
    const struct screen s = screen_of(stdout);
    const struct application *app = w->facts.app;
    screen_put(&s, PAINT_STRONG, "%.*s https://%.*s%.*s\n", SLICE_ARG(w->request.method_name),
               SLICE_ARG(app->host), SLICE_ARG(w->request.target));
    if (!somebody_can(all))
        screen_put(&s, PAINT_BAD, "nobody\n");
    if (demands_device(app))
        (void)puts("everybody shows a certificate of one of the bundle's authorities");
    print_effect(&s, all, RULE_REQUIRE, PAINT_DOUBT, "everybody has");
    print_effect(&s, all, RULE_PERMIT, PAINT_GOOD, "may, by any of");
    print_effect(&s, all, RULE_FORBID, PAINT_BAD, "never, by any of (nor where it can't be told)");
}

static void print_json(const struct who_can *w, const struct clauses_of_rules *all)
{
    json_t *out = json_object(), *rules = json_array();
    (void)json_object_set_new(out, "application", json_text(w->facts.app->id));
    (void)json_object_set_new(out, "method", json_text(w->request.method_name));
    (void)json_object_set_new(out, "path", json_text(w->request.target));
    (void)json_object_set_new(out, "somebody_can", json_boolean(somebody_can(all)));
    (void)json_object_set_new(out, "device_demanded", json_boolean(demands_device(w->facts.app)));
    for (uint32_t i = 0; i < all->count; i++) {
        const struct clause_of_rule *c = &all->at[i];
        json_t *rule = json_object();
        (void)json_object_set_new(rule, "rule", json_text(c->rule->id));
        (void)json_object_set_new(rule, "effect", json_text(effect_word(c->rule)));
        (void)json_object_set_new(rule, "baseline", json_boolean(c->is_baseline));
        (void)json_object_set_new(rule, "never", json_boolean(c->never));
        (void)json_object_set_new(rule, "all_of", json_texts(c->words));
        (void)json_array_append_new(rules, rule);
    }
    (void)json_object_set_new(out, "rules", rules);
    json_print(out);
}

/* No rule is asked. */
static int nobody(const struct who_can *w, enum reason why)
{
    if (!w->is_json) {
        (void)printf("nobody: %.*s\n", SLICE_ARG(reason_title(why)));
        return EXIT_REFUSED;
    }
    json_t *out = json_object();
    (void)json_object_set_new(out, "application", json_text(w->facts.app->id));
    (void)json_object_set_new(out, "method", json_text(w->request.method_name));
    (void)json_object_set_new(out, "path", json_text(w->request.target));
    (void)json_object_set_new(out, "somebody_can", json_false());
    (void)json_object_set_new(out, "device_demanded", json_boolean(demands_device(w->facts.app)));
    (void)json_object_set_new(out, "reason", json_text(reason_name(why)));
    (void)json_object_set_new(out, "rules", json_array());
    json_print(out);
    return EXIT_REFUSED;
}

static int answer(struct who_can *w)
{
    static const struct facts_user user;
    static const struct facts_device device;
    static const struct facts_service service;
    static const struct facts_session session;
    const struct application *app = ground_application(&w->ground, w->words[0]);
    if (!app)
        return EXIT_TROUBLE;
    w->request = (struct request){.method = method_of(slice_of(w->words[1])),
                                  .method_name = slice_of(w->words[1]),
                                  .host = app->host,
                                  .target = slice_of(w->words[2])};
    w->facts = (struct facts){.user = &user,
                              .device = &device,
                              .service = &service,
                              .session = &session,
                              .app = app,
                              .request = &w->request,
                              .now = policy_now()};
    explain_narrow(&w->facts);
    const enum reason reason = policy_refused_before(&w->facts, &w->request, &w->arena);
    if (reason != REASON_PERMITTED)
        return nobody(w, reason);
    const struct clauses_of_rules all = read_rules(w);
    if (w->is_json)
        print_json(w, &all);
    else
        print_people(w, &all);
    return somebody_can(&all) ? EXIT_OK : EXIT_REFUSED;
}

static bool read_options(struct who_can *w, int argc, char **argv)
{
    size_t count = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            w->is_json = true;
        else if (strcmp(argv[i], "--charter") == 0 && i + 1 < argc && !w->charter)
            w->charter = argv[++i];
        else if (argv[i][0] != '-' && count < sizeof w->words / sizeof *w->words)
            w->words[count++] = argv[i];
        else
            return false;
    }
    return count == sizeof w->words / sizeof *w->words;
}

int verb_who_can(int argc, char **argv)
{
    struct who_can w = {.charter = NULL};
    if (!read_options(&w, argc, argv))
        return policy_usage("who-can");
    int code = ground_read(&w.ground, w.words[3], w.charter);
    if (code != EXIT_OK)
        return code;
    arena_init(&w.arena, NULL);
    code = answer(&w);
    arena_fini(&w.arena);
    ground_free(&w.ground);
    return code;
}
