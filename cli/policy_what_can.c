// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy what-can`: what this person, on this device, reaches: each permit that holds or
 * may, of which methods and paths, and what is forbidden within. What was not said of the person is
 * not known, and what hangs on it says so. */
#include <string.h>

#include "cli/policy_in.h"
#include "cli/policy_tool.h"

struct what_can {
    const char *path;
    const char *charter;
    const char *groups;
    const char *scopes;
    const char *level;
    const char *provider;
    const char *user_id;
    const char *device_trust;
    const char *service_id;
    bool is_json;
    struct ground ground;
    struct arena arena;
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct facts_session session; /* all of it is unknown */
    struct facts facts;
    uint64_t unknown;
};

#define OF_SERVICE                                                                                 \
    (CEL_BIT(service_id) | CEL_BIT(service_spiffe_id) | CEL_BIT(service_trust_domain))
#define OF_APPLICATION (CEL_BIT(app_id) | CEL_BIT(app_host) | CEL_BIT(app_entity))

static struct slices read_list(struct what_can *w, const char *text)
{
    struct slice rest = slice_of(text);
    struct slice *list = arena_array(&w->arena, struct slice, rest.len + 1);
    uint32_t count = 0;
    while (rest.len) {
        const struct slice one = slice_trim(slice_cut(&rest, ','));
        if (one.len)
            list[count++] = one;
    }
    return (struct slices){list, count};
}

static void read_user(struct what_can *w)
{
    if (!w->groups && !w->scopes && !w->level && !w->provider && !w->user_id)
        return;
    w->facts.user = &w->user;
    w->facts.session = &w->session;
    w->user.groups = read_list(w, w->groups);
    w->user.scopes = read_list(w, w->scopes);
    w->user.provider = slice_of(w->provider ? w->provider : "");
    w->user.id = slice_of(w->user_id ? w->user_id : "");
    w->unknown &=
        ~((w->groups ? CEL_BIT(user_groups) : 0) | (w->scopes ? CEL_BIT(user_scopes) : 0) |
          (w->level ? CEL_BIT(user_acr_level) : 0) | (w->provider ? CEL_BIT(user_provider) : 0) |
          (w->user_id ? CEL_BIT(user_id) : 0));
}

static void read_device(struct what_can *w)
{
    if (!w->device_trust)
        return;
    w->facts.device = &w->device;
    w->device.trust = slice_of(w->device_trust);
    w->unknown &= ~CEL_BIT(device_trust);
}

static void read_service(struct what_can *w)
{
    struct slice rest;
    if (!w->service_id)
        return;
    w->facts.service = &w->service;
    w->service.id = slice_of(w->service_id);
    if (slice_starts(w->service.id, SLICE("spiffe://"))) {
        rest = slice_skip(w->service.id, SLICE("spiffe://").len);
        w->service.spiffe_id = w->service.id;
        w->service.trust_domain = slice_cut(&rest, '/');
    }
    w->unknown &= ~OF_SERVICE;
}

/* ---- one application ---- */

/* What counts there for this person; the application's own demands come first. */
struct reach {
    const struct application *app;
    const char *no_way;       /* nothing is reached: why; or NULL */
    struct slice requirement; /* of the baseline, which is not met; may be empty */
    struct account *permits;  /* that hold or may */
    uint32_t permit_count;
    struct account *limits; /* forbids that hold or may, and requirements that may not be met */
    uint32_t limit_count;
};

static void add_rules(struct what_can *w, struct reach *out, const struct facts *facts,
                      const struct rule *rules, uint32_t count, bool is_baseline)
{
    for (uint32_t i = 0; i < count; i++) {
        struct account c = {.rule = &rules[i], .is_baseline = is_baseline};
        if (!explain_counts(&rules[i], facts->now))
            continue;
        explain_condition(&c, facts, w->unknown, &w->arena);
        if (c.rule->effect == RULE_REQUIRE && c.mark == MARK_MISS)
            out->requirement = c.rule->id;
        if (c.mark == (c.rule->effect == RULE_REQUIRE ? MARK_HIT : MARK_MISS))
            continue;
        if (c.rule->effect == RULE_PERMIT)
            out->permits[out->permit_count++] = c;
        else
            out->limits[out->limit_count++] = c;
    }
}

static struct reach reach_of(struct what_can *w, const struct application *app)
{
    static const struct request any;
    static const struct baseline none;
    const struct baseline *b = w->ground.charter ? &w->ground.charter->baseline : &none;
    struct facts facts = w->facts;
    struct reach out = {.app = app};
    out.permits = arena_array(&w->arena, struct account, app->rule_count + 1);
    out.limits = arena_array(&w->arena, struct account,
                             app->rule_count + b->forbid_count + b->requirement_count + 1);
    facts.app = app;
    facts.request = &any;
    explain_narrow(&facts);
    if (facts.user && w->provider && !application_takes_provider(app, w->user.provider))
        facts.user = NULL; /* who signs in there is nobody here */
    if ((app->device == DEVICE_REQUIRED || app->device == DEVICE_REQUIRED_BY_TLS) &&
        !facts.device && !facts.service)
        out.no_way = "it asks for a certificate before any rule";
    add_rules(w, &out, &facts, b->requirements, b->requirement_count, true);
    add_rules(w, &out, &facts, b->forbids, b->forbid_count, true);
    add_rules(w, &out, &facts, app->rule_list, app->rule_count, false);
    if (out.requirement.len)
        out.no_way = "the baseline requires what is not there";
    return out;
}

/* ---- what is told ---- */

static void print_rule(struct what_can *w, const struct screen *s, const struct account *c)
{
    const bool is_hit = c->mark == MARK_HIT;
    (void)fputs("  ", s->out);
    screen_put(s,
               !is_hit                          ? PAINT_DOUBT
               : c->rule->effect == RULE_PERMIT ? PAINT_GOOD
                                                : PAINT_BAD,
               "%-4s", is_hit ? "hit" : "may");
    (void)fprintf(s->out, " %.*s ", SLICE_ARG(effect_word(c->rule)));
    screen_put(s, PAINT_STRONG, "%.*s%s\n", SLICE_ARG(c->rule->id),
               c->is_baseline ? " (baseline)" : "");
    (void)fputs("       ", s->out);
    screen_words(s, 7, 7,
                 arena_printf(&w->arena, "%.*s of %.*s",
                              SLICE_ARG(rule_methods(&w->arena, c->rule)),
                              SLICE_ARG(rule_paths(&w->arena, c->rule))));
    if (is_hit)
        return;
    (void)fputs("       ", s->out);
    screen_words(s, 7, 7, account_why(&w->arena, c));
}

static void print_people(struct what_can *w, const struct screen *s, const struct reach *r)
{
    screen_put(s, PAINT_STRONG, "%.*s", SLICE_ARG(r->app->id));
    (void)fprintf(s->out, "  https://%.*s\n", SLICE_ARG(r->app->host));
    if (r->no_way)
        (void)fprintf(s->out, "  nothing: %s%s%.*s\n", r->no_way, r->requirement.len ? ": " : "",
                      SLICE_ARG(r->requirement));
    else if (!r->permit_count)
        (void)fputs("  nothing: no rule permits\n", s->out);
    if (r->no_way || !r->permit_count)
        return;
    for (uint32_t i = 0; i < r->permit_count; i++)
        print_rule(w, s, &r->permits[i]);
    for (uint32_t i = 0; i < r->limit_count; i++)
        print_rule(w, s, &r->limits[i]);
}

static json_t *rule_json(struct what_can *w, const struct account *c)
{
    json_t *out = json_object(), *paths = json_array();
    (void)json_object_set_new(out, "rule", json_text(c->rule->id));
    (void)json_object_set_new(out, "effect", json_text(effect_word(c->rule)));
    (void)json_object_set_new(out, "baseline", json_boolean(c->is_baseline));
    (void)json_object_set_new(out, "mark", json_string(c->mark == MARK_HIT ? "hit" : "may"));
    (void)json_object_set_new(out, "methods", json_text(rule_methods(&w->arena, c->rule)));
    for (uint32_t i = 0; i < c->rule->path_count; i++)
        (void)json_array_append_new(paths, json_text(c->rule->paths[i].text));
    (void)json_object_set_new(out, "paths", paths);
    if (c->mark != MARK_HIT)
        (void)json_object_set_new(out, "why", json_text(account_why(&w->arena, c)));
    return out;
}

static json_t *reach_json(struct what_can *w, const struct reach *r)
{
    json_t *out = json_object(), *rules = json_array();
    (void)json_object_set_new(out, "application", json_text(r->app->id));
    (void)json_object_set_new(out, "host", json_text(r->app->host));
    if (r->no_way)
        (void)json_object_set_new(out, "no_way", json_string(r->no_way));
    for (uint32_t i = 0; !r->no_way && i < r->permit_count; i++)
        (void)json_array_append_new(rules, rule_json(w, &r->permits[i]));
    for (uint32_t i = 0; !r->no_way && r->permit_count && i < r->limit_count; i++)
        (void)json_array_append_new(rules, rule_json(w, &r->limits[i]));
    (void)json_object_set_new(out, "rules", rules);
    return out;
}

static int answer(struct what_can *w)
{
    const struct screen s = screen_of(stdout);
    json_t *list = json_array();
    bool reaches_some = false;
    for (uint32_t i = 0; i < w->ground.bundle->application_count; i++) {
        const struct application *app = &w->ground.bundle->applications[i];
        if (app->is_sign_in)
            continue;
        const struct reach r = reach_of(w, app);
        reaches_some = reaches_some || (!r.no_way && r.permit_count);
        if (w->is_json)
            (void)json_array_append_new(list, reach_json(w, &r));
        else
            print_people(w, &s, &r);
    }
    if (w->is_json)
        json_print(list);
    else
        json_decref(list);
    return reaches_some ? EXIT_OK : EXIT_REFUSED;
}

static bool read_options(struct what_can *w, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **to;
    } options[] = {{"--charter", &w->charter},     {"--groups", &w->groups},
                   {"--scopes", &w->scopes},       {"--level", &w->level},
                   {"--provider", &w->provider},   {"--user", &w->user_id},
                   {"--device", &w->device_trust}, {"--service", &w->service_id}};
    uint64_t level = 0;
    for (int i = 0; i < argc; i++) {
        size_t o = 0;
        if (strcmp(argv[i], "--json") == 0) {
            w->is_json = true;
            continue;
        }
        while (o < sizeof options / sizeof *options && strcmp(argv[i], options[o].name) != 0)
            o++;
        if (o < sizeof options / sizeof *options && i + 1 < argc && !*options[o].to)
            *options[o].to = argv[++i];
        else if (argv[i][0] != '-' && !w->path)
            w->path = argv[i];
        else
            return false;
    }
    if (w->level && !slice_u64(slice_of(w->level), INT32_MAX, &level))
        return false;
    w->user.acr_level = (int64_t)level;
    return w->path;
}

int verb_what_can(int argc, char **argv)
{
    struct what_can w = {.unknown = ~OF_APPLICATION, .facts = {.now = policy_now()}};
    if (!read_options(&w, argc, argv))
        return policy_usage("what-can");
    int code = ground_read(&w.ground, w.path, w.charter);
    if (code != EXIT_OK)
        return code;
    arena_init(&w.arena, NULL);
    read_user(&w);
    read_device(&w);
    read_service(&w);
    code = answer(&w);
    arena_fini(&w.arena);
    ground_free(&w.ground);
    return code;
}
