// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy explain`: what each rule says of one request, and what is decided of it. The facts
 * are invented, in a file as `eval` takes it, or those that a line of the audit holds. */
#include <errno.h>
#include <stdlib.h>

#include "audit/seal.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/reason.h"
#include "base/yaml.h"
#include "cli/audit_line.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"
#include "policy/policy_test.h"
#include "policy/query.h"

struct explain {
    const char *path;
    const char *charter;
    const char *facts;
    const char *audit;
    const char *reference;
    const char *key_path;
    struct unseals *keys;
    bool is_json;
    struct ground ground;
    struct arena arena;
};

/* One request, and what came of it. */
struct hearing_of_one {
    struct policy_test test;
    struct audit_line line;
    bool is_sealed;           /* the line holds facts that no key opens */
    struct recorded recorded; /* invented facts too, with nothing unknown */
    enum reason before;       /* PERMITTED: the rules have the word */
    struct accounts accounts;
    struct conclusion conclusion;
    struct decision decision; /* where nothing is unknown that the verdict hangs on */
};

/* ---- where the facts come from ---- */

static int read_facts(struct explain *e, struct hearing_of_one *h)
{
    struct slice text;
    struct findings findings;
    struct fault fault;
    if (!file_read(&text, e->facts, YAML_MAX_BYTES, &fault)) {
        (void)policy_trouble(&fault);
        return EXIT_TROUBLE;
    }
    findings_init(&findings);
    const bool is_good = policy_facts_load(&h->test, text, e->facts, &e->arena, &findings);
    mem_slice_free(&text);
    (void)policy_conclude(&findings, stderr);
    if (!is_good)
        return EXIT_TROUBLE;
    if (!h->test.target.len) {
        (void)fprintf(stderr, "belfry policy: %s says no request\n", e->facts);
        return EXIT_TROUBLE;
    }
    const struct application *app = policy_application_of(e->ground.bundle, h->test.host);
    if (!app) {
        screen_print(stderr, "belfry policy: no application of the bundle has the host '%.*s'\n",
                     SLICE_ARG(h->test.host));
        return EXIT_TROUBLE;
    }
    policy_test_facts(&h->test, app, policy_now(), &h->recorded.request, &h->recorded.facts);
    return EXIT_OK;
}

/* The first line of that reference which is a decision. */
static bool find_line(struct explain *e, FILE *log, struct audit_line *out)
{
    const struct slice wanted = slice_of(e->reference);
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    bool is_found = false;
    while (!is_found && (len = getline(&text, &room, log)) >= 0) {
        if (!memmem(text, (size_t)len, wanted.ptr, wanted.len))
            continue;
        const struct slice line = arena_copy(&e->arena, slice_from(text, (size_t)len));
        is_found = audit_line_read(out, line, &e->arena) && slice_eq(out->reference, wanted) &&
                   !slice_eq(out->action, SLICE("access-end"));
    }
    free(text);
    return is_found;
}

static int read_line(struct explain *e, struct hearing_of_one *h)
{
    FILE *log = fopen(e->audit, "re");
    if (!log) {
        (void)fprintf(stderr, "belfry policy: cannot open '%s': %s\n", e->audit, strerror(errno));
        return EXIT_TROUBLE;
    }
    const bool is_found = find_line(e, log, &h->line);
    (void)fclose(log);
    if (!is_found) {
        (void)fprintf(stderr, "belfry policy: '%s' has no decision with the reference '%s'\n",
                      e->audit, e->reference);
        return EXIT_TROUBLE;
    }
    const struct application *app = policy_application_of(e->ground.bundle, h->line.host);
    if (!app) {
        screen_print(stderr, "belfry policy: no application of the bundle has the host '%.*s'\n",
                     SLICE_ARG(h->line.host));
        return EXIT_TROUBLE;
    }
    h->is_sealed = !audit_line_open(&h->line, e->keys, &e->arena);
    audit_line_facts(&h->line, e->ground.bundle, app, &h->recorded, &e->arena);
    if (!h->recorded.no_way)
        return EXIT_OK;
    (void)fprintf(stderr, "belfry policy: the line can't be judged: %s\n", h->recorded.no_way);
    return EXIT_UNSURE;
}

static void judge(struct explain *e, struct hearing_of_one *h)
{
    struct recorded *r = &h->recorded;
    const struct snapshot *s = &e->ground.snapshot;
    h->before = policy_refused_before(&r->facts, &r->request, &e->arena);
    h->conclusion = (struct conclusion){.verdict = KNOWN_DENY};
    if (h->before != REASON_PERMITTED && h->before != REASON_DEVICE_REQUIRED)
        return; /* the path has no reading that rules could judge */
    if (!(r->unknown & CEL_BIT(request_query_parameters)))
        query_read_for_rules(s, &r->facts, &e->arena);
    r->unknown &= rules_read(s->baseline, r->facts.app);
    h->accounts = explain_rules(s, &r->facts, r->unknown, &e->arena);
    if (h->before != REASON_PERMITTED)
        return;
    h->conclusion = explain_verdict(s, &r->facts, r->unknown);
    decide(s, &r->facts, &h->decision);
}

/* ---- what is told ---- */

/* What may be done about it. */
static struct slice remedy_of(struct explain *e, const struct hearing_of_one *h)
{
    const struct decision *d = &h->decision;
    struct arena *a = &e->arena;
    if (h->before == REASON_DEVICE_REQUIRED)
        return SLICE("show a certificate of one of the bundle's device authorities; the "
                     "application asks for one before any rule");
    if (h->before != REASON_PERMITTED)
        return SLICE("ask for a path that can be read in one way only");
    if (h->conclusion.verdict != KNOWN_DENY || h->recorded.unknown)
        return SLICE(""); /* what would do may hang on what is unknown */
    switch (d->reason) {
    case REASON_IDENTITY_REQUIRED:
        return SLICE("sign in");
    case REASON_DEVICE_REQUIRED:
        return SLICE("show a certificate of one of the bundle's device authorities");
    case REASON_ASSURANCE_TOO_LOW:
        return d->needs_acr_level ? arena_printf(a, "sign in at level %lld or above",
                                                 (long long)d->needs_acr_level)
                                  : SLICE("sign in at a higher level");
    case REASON_FORBIDDEN:
        return arena_printf(a, "none: the rule '%.*s' forbids it", SLICE_ARG(d->rule));
    default:
        break;
    }
    for (uint32_t i = 0; i < h->accounts.count; i++) {
        const struct account *c = &h->accounts.at[i];
        if (c->rule->effect == RULE_PERMIT && c->mark == MARK_MISS && !c->rule->is_shadow)
            return c->failed.len
                       ? arena_printf(a, "be one for whom '%.*s' holds what it misses: %.*s",
                                      SLICE_ARG(c->rule->id), SLICE_ARG(c->failed))
                       : arena_printf(a, "have what '%.*s' misses: %.*s", SLICE_ARG(c->rule->id),
                                      SLICE_ARG(c->missing));
    }
    return SLICE("none: no rule permits this method and path");
}

/* The facts that rules name and the line does not hold. */
static struct slices unknown_names(struct explain *e, uint64_t unknown)
{
    struct slice *names = arena_array(&e->arena, struct slice, CEL_FACT_BITS);
    uint32_t count = 0;
    for (uint32_t bit = 0; bit < CEL_FACT_BITS; bit++)
        if (unknown >> bit & 1)
            names[count++] = cel_bit_fact(bit);
    return (struct slices){names, count};
}

static struct slice verdict_word(const struct hearing_of_one *h)
{
    return h->conclusion.verdict == KNOWN_PERMIT ? SLICE("permit")
           : h->conclusion.verdict == NOT_KNOWN  ? SLICE("unknown")
                                                 : SLICE("deny");
}

/* What is surely the reason: with something unknown only the verdict is. */
static struct slice reason_of(const struct hearing_of_one *h)
{
    if (h->before != REASON_PERMITTED)
        return reason_name(h->before);
    return h->conclusion.verdict == NOT_KNOWN || h->recorded.unknown
               ? SLICE("")
               : reason_name(h->decision.reason);
}

static struct slice deciding_rule(const struct hearing_of_one *h)
{
    if (h->before != REASON_PERMITTED)
        return SLICE("");
    if (h->recorded.unknown)
        return h->conclusion.rule ? h->conclusion.rule->id : SLICE("");
    return h->decision.rule;
}

static enum paint paint_of(const struct account *c)
{
    switch (c->mark) {
    case MARK_HIT:
        return c->rule->effect == RULE_FORBID ? PAINT_BAD : PAINT_GOOD;
    case MARK_MISS:
        return c->rule->effect == RULE_REQUIRE ? PAINT_BAD : PAINT_NONE;
    case MARK_MAY:
    case MARK_UNKNOWN:
        return PAINT_DOUBT;
    case MARK_ELSEWHERE:
    case MARK_EXPIRED:
        break;
    }
    return PAINT_DIM;
}

#define RULE_COLUMN 20 /* "  elsewhere permit  " */

static void print_account(struct explain *e, const struct screen *s, const struct account *c)
{
    (void)fputs("  ", s->out);
    screen_put(s, paint_of(c), "%-9.*s", SLICE_ARG(mark_word(c->mark)));
    (void)fprintf(s->out, " %-7.*s ", SLICE_ARG(effect_word(c->rule)));
    screen_put(s, PAINT_STRONG, "%.*s", SLICE_ARG(c->rule->id));
    if (c->is_baseline)
        screen_put(s, PAINT_DIM, " (baseline)");
    if (c->rule->is_shadow)
        screen_put(s, PAINT_DIM, " (in shadow)");
    (void)fprintf(s->out, "\n%*s", RULE_COLUMN, "");
    screen_words(s, RULE_COLUMN, RULE_COLUMN, account_why(&e->arena, c));
}

static void print_people(struct explain *e, const struct hearing_of_one *h)
{
    const struct screen s = screen_of(stdout);
    const struct recorded *r = &h->recorded;
    const struct slice rule = deciding_rule(h), reason = reason_of(h), remedy = remedy_of(e, h);
    screen_put(&s, PAINT_STRONG, "%.*s https://%.*s%.*s\n", SLICE_ARG(r->request.method_name),
               SLICE_ARG(r->facts.app->host), SLICE_ARG(r->request.target));
    screen_put(&s,
               h->conclusion.verdict == KNOWN_PERMIT ? PAINT_GOOD
               : h->conclusion.verdict == NOT_KNOWN  ? PAINT_DOUBT
                                                     : PAINT_BAD,
               "%.*s", SLICE_ARG(verdict_word(h)));
    screen_print(stdout, "%s%.*s%s%.*s\n", reason.len ? " because " : "", SLICE_ARG(reason),
                 rule.len ? h->conclusion.verdict == NOT_KNOWN ? ": hangs on rule " : ", rule "
                          : "",
                 SLICE_ARG(rule));
    if (remedy.len) {
        (void)fputs("remedy: ", stdout);
        screen_words(&s, 8, 8, remedy);
    }
    if (e->reference) {
        const struct slices names = unknown_names(e, r->unknown);
        screen_print(stdout, "recorded: %.*s%s%.*s\n", SLICE_ARG(h->line.reason),
                     h->line.rule.len ? ", rule " : "", SLICE_ARG(h->line.rule));
        for (uint32_t i = 0; i < names.count; i++)
            (void)printf("%s%.*s%s", i ? ", " : "the line does not hold: ", SLICE_ARG(names.at[i]),
                         i + 1 == names.count ? "\n" : "");
        if (h->is_sealed)
            (void)printf("the line holds sealed facts that no key opens%s\n",
                         e->keys ? "" : "; --keys names the entity's audit keys");
    }
    for (uint32_t i = 0; i < h->accounts.count; i++)
        print_account(e, &s, &h->accounts.at[i]);
}

static json_t *account_json(struct explain *e, const struct account *c)
{
    json_t *out = json_object();
    (void)json_object_set_new(out, "rule", json_text(c->rule->id));
    (void)json_object_set_new(out, "effect", json_text(effect_word(c->rule)));
    (void)json_object_set_new(out, "mark", json_text(mark_word(c->mark)));
    (void)json_object_set_new(out, "baseline", json_boolean(c->is_baseline));
    (void)json_object_set_new(out, "shadow", json_boolean(c->rule->is_shadow));
    if (c->missing.len)
        (void)json_object_set_new(out, "missing", json_text(c->missing));
    if (c->failed.len)
        (void)json_object_set_new(out, "failed", json_text(c->failed));
    (void)json_object_set_new(out, "why", json_text(account_why(&e->arena, c)));
    return out;
}

static void print_json(struct explain *e, const struct hearing_of_one *h)
{
    json_t *out = json_object(), *rules = json_array();
    const struct recorded *r = &h->recorded;
    (void)json_object_set_new(out, "application", json_text(r->facts.app->id));
    (void)json_object_set_new(out, "method", json_text(r->request.method_name));
    (void)json_object_set_new(out, "path", json_text(r->request.target));
    (void)json_object_set_new(out, "verdict", json_text(verdict_word(h)));
    (void)json_object_set_new(out, "reason", json_text(reason_of(h)));
    (void)json_object_set_new(out, "rule", json_text(deciding_rule(h)));
    (void)json_object_set_new(out, "remedy", json_text(remedy_of(e, h)));
    (void)json_object_set_new(out, "unknown", json_texts(unknown_names(e, r->unknown)));
    if (e->reference) {
        json_t *line = json_object();
        (void)json_object_set_new(line, "reason", json_text(h->line.reason));
        (void)json_object_set_new(line, "rule", json_text(h->line.rule));
        (void)json_object_set_new(line, "sealed", json_boolean(h->is_sealed));
        (void)json_object_set_new(out, "recorded", line);
    }
    for (uint32_t i = 0; i < h->accounts.count; i++)
        (void)json_array_append_new(rules, account_json(e, &h->accounts.at[i]));
    (void)json_object_set_new(out, "rules", rules);
    json_print(out);
}

static int explain_one(struct explain *e)
{
    struct hearing_of_one h = {.before = REASON_PERMITTED};
    const int code = e->facts ? read_facts(e, &h) : read_line(e, &h);
    if (code != EXIT_OK)
        return code;
    judge(e, &h);
    if (e->is_json)
        print_json(e, &h);
    else
        print_people(e, &h);
    return h.conclusion.verdict == KNOWN_PERMIT ? EXIT_OK
           : h.conclusion.verdict == NOT_KNOWN  ? EXIT_UNSURE
                                                : EXIT_REFUSED;
}

static bool read_options(struct explain *e, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **to;
    } options[] = {{"--charter", &e->charter},
                   {"--facts", &e->facts},
                   {"--audit", &e->audit},
                   {"--reference", &e->reference},
                   {"--keys", &e->key_path}};
    for (int i = 0; i < argc; i++) {
        size_t o = 0;
        if (strcmp(argv[i], "--json") == 0) {
            e->is_json = true;
            continue;
        }
        while (o < sizeof options / sizeof *options && strcmp(argv[i], options[o].name) != 0)
            o++;
        if (o < sizeof options / sizeof *options && i + 1 < argc && !*options[o].to)
            *options[o].to = argv[++i];
        else if (argv[i][0] != '-' && !e->path)
            e->path = argv[i];
        else
            return false;
    }
    return e->path && (e->audit || !e->key_path) && !e->audit == !e->reference &&
           !e->audit != !e->facts;
}

int verb_explain(int argc, char **argv)
{
    struct explain e = {.path = NULL};
    if (!read_options(&e, argc, argv))
        return policy_usage("explain");
    int code = ground_read(&e.ground, e.path, e.charter);
    if (code != EXIT_OK)
        return code;
    arena_init(&e.arena, NULL);
    if (e.key_path)
        code = audit_keys_read(e.keys = unseals_new(), e.key_path);
    if (code == EXIT_OK)
        code = explain_one(&e);
    unseals_free(e.keys);
    arena_fini(&e.arena);
    ground_free(&e.ground);
    return code;
}
