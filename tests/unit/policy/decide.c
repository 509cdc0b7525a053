// SPDX-License-Identifier: EUPL-1.2
/* What the rules say: each sentence of policy/decide.h as a test, and the compiled index held to
 * the plain loop on generated policies. Rules are built by hand: the loader has its own tests. */
#include "policy/decide.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "policy/charter.h"
#include "policy/compile.h"

#define GET (1u << METHOD_GET)
#define POST (1u << METHOD_POST)
#define ANY 0u

struct spec {
    const char *id;
    enum rule_effect effect;
    uint32_t methods;
    const char *other_method; /* NULL: none */
    const char *paths;        /* separated by spaces; NULL: all */
    const char *when;         /* NULL: always */
    enum rule_remedy remedy;
    bool is_shadow;
    int64_t expires_s; /* 0: never */
};

struct world {
    struct bundle bundle;
    struct charter charter;
    struct snapshot snapshot;
    struct application app;
    struct facts_user user;
    struct facts_device device;
    struct request request;
    struct facts facts;
};

static struct pattern make_pattern(struct arena *a, struct slice text)
{
    struct pattern p = {.text = text, .segments = arena_array(a, struct pattern_segment, 64)};
    struct slice rest = slice_skip(text, 1);
    if (text.len == 1)
        return p;
    for (bool more = true; more;) {
        more = memchr(rest.ptr, '/', rest.len) != NULL;
        struct slice s = slice_cut(&rest, '/');
        const char *star = s.len ? memchr(s.ptr, '*', s.len) : NULL;
        struct pattern_segment *out = &p.segments[p.count++];
        if (slice_eq(s, SLICE("**")))
            out->kind = PATTERN_REST;
        else if (slice_eq(s, SLICE("*")) || (s.len && s.ptr[0] == '{'))
            out->kind = PATTERN_ONE;
        else if (star)
            *out = (struct pattern_segment){PATTERN_GLOB, slice_from(s.ptr, star - s.ptr),
                                            slice_skip(s, star - s.ptr + 1)};
        else
            *out = (struct pattern_segment){PATTERN_TEXT, s, {0}};
    }
    return p;
}

static void make_rule(struct arena *a, struct rule *out, const struct spec *spec)
{
    struct findings findings;
    findings_init(&findings);
    *out = (struct rule){.id = slice_of(spec->id),
                         .effect = spec->effect,
                         .methods = spec->methods,
                         .remedy = spec->remedy,
                         .is_shadow = spec->is_shadow,
                         .expires_s = spec->expires_s,
                         .reason = arena_array(a, struct slice, LANGUAGE_COUNT),
                         .when_text = slice_of(spec->when)};
    if (spec->other_method) {
        struct slice *name = arena_new(a, struct slice);
        *name = slice_of(spec->other_method);
        out->other_methods = (struct slices){name, 1};
    }
    if (spec->paths) {
        struct slice rest = slice_of(spec->paths);
        out->paths = arena_array(a, struct pattern, 8);
        while (rest.len)
            out->paths[out->path_count++] = make_pattern(a, slice_cut(&rest, ' '));
    }
    if (spec->when) {
        out->when = cel_compile(a, out->when_text, (struct place){.line = 1}, &findings);
        if (!out->when)
            findings_print(&findings, stderr);
        cr_assert(out->when, "%s", spec->when);
    }
    findings_fini(&findings);
}

static void world_init(struct world *w, const struct spec *specs, uint32_t count,
                       struct path_options options)
{
    base_init();
    *w = (struct world){0};
    arena_init(&w->bundle.arena, NULL);
    w->app = (struct application){.id = SLICE("desk"),
                                  .host = SLICE("desk.localhost"),
                                  .paths = options,
                                  .rule_list = arena_array(&w->bundle.arena, struct rule, count),
                                  .rule_count = count};
    for (uint32_t i = 0; i < count; i++)
        make_rule(&w->bundle.arena, &w->app.rule_list[i], &specs[i]);
    w->bundle.applications = &w->app;
    w->bundle.application_count = 1;
    bundle_compile(&w->bundle);
    w->facts = (struct facts){.app = &w->app, .request = &w->request};
}

/* A baseline of these requirements and forbids. */
static void world_charter(struct world *w, const struct spec *specs, uint32_t count)
{
    struct baseline *b = &w->charter.baseline;
    arena_init(&w->charter.arena, NULL);
    b->requirements = arena_array(&w->charter.arena, struct rule, count);
    b->forbids = arena_array(&w->charter.arena, struct rule, count);
    for (uint32_t i = 0; i < count; i++)
        make_rule(&w->charter.arena,
                  specs[i].effect == RULE_REQUIRE ? &b->requirements[b->requirement_count++]
                                                  : &b->forbids[b->forbid_count++],
                  &specs[i]);
    charter_compile(&w->charter);
    w->snapshot = (struct snapshot){.number = 7, .baseline = b};
}

static void world_fini(struct world *w)
{
    arena_fini(&w->bundle.arena);
    arena_fini(&w->charter.arena);
}

static void ask_for(struct world *w, enum method method, const char *target)
{
    w->request =
        (struct request){.method = method, .method_name = SLICE("PROPFIND"), .host = w->app.host};
    cr_assert_eq(target_parse(&w->request, slice_of(target), w->app.paths, &w->bundle.arena),
                 REASON_PERMITTED, "%s", target);
}

static bool decisions_eq(const struct decision *a, const struct decision *b)
{
    return a->verdict == b->verdict && a->reason == b->reason && slice_eq(a->rule, b->rule) &&
           slice_eq(a->missing, b->missing) && a->is_fault == b->is_fault &&
           slice_eq(a->faulty_rule, b->faulty_rule) && a->needs_acr_level == b->needs_acr_level &&
           a->snapshot == b->snapshot && a->is_baseline == b->is_baseline &&
           a->explanations == b->explanations && a->valid_until_s == b->valid_until_s &&
           a->shadow.differs == b->shadow.differs && a->shadow.verdict == b->shadow.verdict &&
           slice_eq(a->shadow.rule, b->shadow.rule);
}

/* decide(), and that the slow twin says the same. */
static struct decision decided(const struct world *w)
{
    struct decision quick, slow;
    memset(&quick, 0xff, sizeof(quick));
    memset(&slow, 0xff, sizeof(slow));
    decide(&w->snapshot, &w->facts, &quick);
    decide_slowly(&w->snapshot, &w->facts, &slow);
    cr_assert(decisions_eq(&quick, &slow));
    return quick;
}

#define WORLD(w, options, ...)                                                                     \
    struct world w;                                                                                \
    static const struct spec specs_of_##w[] = {__VA_ARGS__};                                       \
    world_init(&w, specs_of_##w, sizeof(specs_of_##w) / sizeof(*specs_of_##w), options)
#define STRICT ((struct path_options){0})

#define expect(w, VERDICT, REASON, RULE)                                                           \
    do {                                                                                           \
        struct decision d_ = decided(w);                                                           \
        cr_expect_eq(d_.verdict, VERDICT, "verdict %d", d_.verdict);                               \
        cr_expect_eq(d_.reason, REASON, "reason %d", d_.reason);                                   \
        cr_expect(slice_eq(d_.rule, SLICE(RULE)), "rule %.*s", SLICE_ARG(d_.rule));                \
    } while (0)

Test(decide, denies_where_there_are_no_rules)
{
    struct world w;
    world_init(&w, NULL, 0, STRICT);
    ask_for(&w, METHOD_GET, "/");
    expect(&w, DECISION_DENY, REASON_DENIED, "");
    world_fini(&w);
}

Test(decide, denies_by_rules_that_were_never_compiled)
{
    WORLD(w, STRICT, {.id = "all", .effect = RULE_PERMIT});
    ask_for(&w, METHOD_GET, "/");
    w.app.rules = NULL;
    struct decision d;
    decide(NULL, &w.facts, &d);
    cr_expect_eq(d.verdict, DECISION_DENY);
    world_fini(&w);
}

Test(decide, names_the_snapshot_that_it_was_made_on)
{
    WORLD(w, STRICT, {.id = "all", .effect = RULE_PERMIT});
    ask_for(&w, METHOD_GET, "/");
    struct snapshot s = {.number = 7};
    struct decision d;
    decide(&s, &w.facts, &d);
    cr_expect_eq(d.snapshot, 7);
    world_fini(&w);
}

Test(decide, names_the_first_permit_of_the_list_wherever_it_stands_in_the_tree)
{
    WORLD(w, STRICT, {.id = "elsewhere", .effect = RULE_PERMIT, .methods = GET, .paths = "/b"},
          {.id = "one", .effect = RULE_PERMIT, .methods = GET, .paths = "/{x}"},
          {.id = "rest", .effect = RULE_PERMIT, .methods = GET, .paths = "/**"},
          {.id = "text", .effect = RULE_PERMIT, .methods = GET, .paths = "/a"});
    ask_for(&w, METHOD_GET, "/a");
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "one");
    world_fini(&w);
}

Test(decide, forbids_whatever_the_order)
{
    WORLD(before, STRICT, {.id = "no", .effect = RULE_FORBID, .paths = "/a/**"},
          {.id = "yes", .effect = RULE_PERMIT});
    WORLD(after, STRICT, {.id = "yes", .effect = RULE_PERMIT},
          {.id = "no", .effect = RULE_FORBID, .paths = "/a/**"});
    ask_for(&before, METHOD_GET, "/a/b");
    expect(&before, DECISION_DENY, REASON_FORBIDDEN, "no");
    ask_for(&after, METHOD_GET, "/a/b");
    expect(&after, DECISION_DENY, REASON_FORBIDDEN, "no");
    ask_for(&after, METHOD_GET, "/b");
    expect(&after, DECISION_PERMIT, REASON_PERMITTED, "yes");
    world_fini(&before);
    world_fini(&after);
}

Test(decide, is_not_moved_by_a_shadow_rule)
{
    WORLD(w, STRICT, {.id = "shadow-no", .effect = RULE_FORBID, .is_shadow = true},
          {.id = "shadow-yes", .effect = RULE_PERMIT, .paths = "/b", .is_shadow = true},
          {.id = "yes", .effect = RULE_PERMIT, .paths = "/a"});
    ask_for(&w, METHOD_GET, "/a");
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "yes");
    ask_for(&w, METHOD_GET, "/b");
    expect(&w, DECISION_DENY, REASON_DENIED, "");
    world_fini(&w);
}

Test(decide, is_moved_by_a_rule_until_the_second_in_which_it_expires)
{
    WORLD(w, STRICT, {.id = "yes", .effect = RULE_PERMIT, .paths = "/a", .expires_s = 100},
          {.id = "all", .effect = RULE_PERMIT, .paths = "/b"},
          {.id = "no", .effect = RULE_FORBID, .paths = "/b", .expires_s = 100});
    ask_for(&w, METHOD_GET, "/a");
    w.facts.now.s = 99;
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "yes");
    w.facts.now.s = 100;
    expect(&w, DECISION_DENY, REASON_DENIED, "");
    ask_for(&w, METHOD_GET, "/b");
    w.facts.now.s = 99;
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "no");
    w.facts.now.s = 100;
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "all");
    world_fini(&w);
}

Test(decide, takes_a_method_only_where_the_rule_lists_it)
{
    WORLD(w, STRICT, {.id = "get", .effect = RULE_PERMIT, .methods = GET, .paths = "/get"},
          {.id = "named",
           .effect = RULE_PERMIT,
           .methods = GET,
           .other_method = "PROPFIND",
           .paths = "/named"},
          {.id = "other-name",
           .effect = RULE_PERMIT,
           .methods = 1u << METHOD_OTHER | GET,
           .other_method = "REPORT",
           .paths = "/other"},
          {.id = "all", .effect = RULE_PERMIT, .paths = "/all"},
          {.id = "only-name", .effect = RULE_PERMIT, .other_method = "PROPFIND", .paths = "/only"});
    static const struct {
        enum method method;
        const char *target;
        enum verdict verdict;
    } table[] = {
        {METHOD_GET, "/get", DECISION_PERMIT},     {METHOD_HEAD, "/get", DECISION_DENY},
        {METHOD_POST, "/get", DECISION_DENY},      {METHOD_OTHER, "/get", DECISION_DENY},
        {METHOD_OTHER, "/named", DECISION_PERMIT}, {METHOD_GET, "/named", DECISION_PERMIT},
        {METHOD_OTHER, "/other", DECISION_DENY},   {METHOD_OTHER, "/all", DECISION_PERMIT},
        {METHOD_DELETE, "/all", DECISION_PERMIT},  {METHOD_OTHER, "/only", DECISION_PERMIT},
        {METHOD_GET, "/only", DECISION_DENY},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        ask_for(&w, table[i].method, table[i].target);
        cr_expect_eq(decided(&w).verdict, table[i].verdict, "row %zu", i);
    }
    world_fini(&w);
}

Test(decide, matches_paths_segment_by_segment)
{
    static const struct {
        const char *pattern;
        const char *target;
        bool matches;
    } table[] = {
        {"/", "/", true},
        {"/", "/a", false},
        {"/a", "/a", true},
        {"/a", "/a/", false},
        {"/a/", "/a/", true},
        {"/a/", "/a", false},
        {"/a", "/A", false},
        {"/a", "/ab", false},
        {"/a", "/%61", true},
        {"/a/**", "/a", true},
        {"/a/**", "/a/", true},
        {"/a/**", "/a/b/c", true},
        {"/a/**", "/ab", false},
        {"/**", "/", true},
        {"/a/{id}", "/a/1", true},
        {"/a/{id}", "/a/", false},
        {"/a/{id}", "/a", false},
        {"/a/{id}", "/a/1/2", false},
        {"/a/*/c", "/a/b/c", true},
        {"/a/*/c", "/a/b/d", false},
        {"/report-*", "/report-1", true},
        {"/report-*", "/report-", true},
        {"/report-*", "/report", false},
        {"/report-*", "/report-1/x", false},
        {"/*.pdf", "/a.pdf", true},
        {"/*.pdf", "/.pdf", true},
        {"/*.pdf", "/a.pdf.exe", false},
        {"/ab*ba", "/aba", false},
        {"/ab*ba", "/abba", true},
        {"/a/*/c/**", "/a/b/c/d", true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct spec spec = {.id = "r", .effect = RULE_PERMIT, .paths = table[i].pattern};
        struct world w;
        world_init(&w, &spec, 1, STRICT);
        ask_for(&w, METHOD_GET, table[i].target);
        cr_expect_eq(decided(&w).verdict == DECISION_PERMIT, table[i].matches, "%s on %s",
                     table[i].pattern, table[i].target);
        world_fini(&w);
    }
}

Test(decide, goes_back_to_the_wider_branch_where_the_narrow_one_ends)
{
    WORLD(w, STRICT, {.id = "narrow", .effect = RULE_PERMIT, .paths = "/a/b/c"},
          {.id = "wide", .effect = RULE_PERMIT, .paths = "/{x}/b/d"});
    ask_for(&w, METHOD_GET, "/a/b/d");
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "wide");
    world_fini(&w);
}

Test(decide, folds_case_only_where_the_application_says_so)
{
    static const struct {
        const char *pattern;
        const char *target;
        bool folded;
        bool strict;
    } table[] = {
        {"/Admin", "/aDMIN", true, false},
        {"/\xc3\xa9t\xc3\xa9", "/%C3%89T%C3%89", true, false},
        {"/\xc3\x97", "/%C3%B7", false, false}, /* times and division are no pair */
        {"/Report-*", "/rEPORT-x", true, false},
        {"/*.PDF", "/a.pdf", true, false},
        {"/a", "/a", true, true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        for (int fold = 0; fold < 2; fold++) {
            struct spec spec = {.id = "r", .effect = RULE_FORBID, .paths = table[i].pattern};
            struct world w;
            world_init(&w, &spec, 1, (struct path_options){.fold_case = fold});
            ask_for(&w, METHOD_GET, table[i].target);
            cr_expect_eq(decided(&w).reason == REASON_FORBIDDEN,
                         fold ? table[i].folded : table[i].strict, "%s", table[i].pattern);
            world_fini(&w);
        }
    }
}

Test(decide, reads_parameters_both_ways)
{
    static const struct path_options options = {.allow_parameters = true};
    WORLD(w, options, {.id = "no", .effect = RULE_FORBID, .paths = "/admin"},
          {.id = "no-with", .effect = RULE_FORBID, .paths = "/odd;v=1"},
          {.id = "static", .effect = RULE_PERMIT, .paths = "/static/** /*.css"},
          {.id = "users", .effect = RULE_PERMIT, .paths = "/users/{id}"},
          {.id = "wide", .effect = RULE_PERMIT, .paths = "/wide /wide;a=*"});
    static const struct {
        const char *target;
        enum reason reason;
    } table[] = {
        {"/admin", REASON_FORBIDDEN},
        {"/admin;x=1", REASON_FORBIDDEN},   /* matches without them */
        {"/odd;v=1", REASON_FORBIDDEN},     /* matches with them */
        {"/users/7;x=1", REASON_PERMITTED}, /* both */
        {"/secret;x=.css", REASON_DENIED},  /* only with them */
        {"/wide;a=1", REASON_PERMITTED},    /* by two patterns of one rule */
        {"/wide;b=1", REASON_DENIED},       /* only without them */
        {"/static;x/a", REASON_DENIED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        ask_for(&w, METHOD_GET, table[i].target);
        cr_expect_eq(decided(&w).reason, table[i].reason, "%s", table[i].target);
    }
    world_fini(&w);
}

Test(decide, forbids_what_an_application_could_read_out_of_an_encoded_or_a_doubled_slash)
{
    static const struct path_options options = {
        .allow_encoded_slash = true, .allow_empty_segments = true, .allow_parameters = true};
    WORLD(w, options, {.id = "no", .effect = RULE_FORBID, .paths = "/admin/** /a/{id}/secret"},
          {.id = "group", .effect = RULE_PERMIT, .paths = "/groups/{id} /a/*"},
          {.id = "rest", .effect = RULE_PERMIT, .paths = "/b/** /admin*"});
    static const struct {
        const char *target;
        enum reason reason;
    } table[] = {
        {"/groups/one%2Ftwo", REASON_PERMITTED}, /* a permit is of the path as it is judged */
        {"/admin%2Fusers", REASON_FORBIDDEN},
        {"//admin/users", REASON_FORBIDDEN},
        {"/b%2F..b", REASON_DENIED},
        {"/a/7%2Fsecret", REASON_FORBIDDEN},
        {"/a/7%2Fsecret;x=1", REASON_FORBIDDEN},
        {"/a%2F7//secret", REASON_FORBIDDEN},
        {"/a/7%2Fsecrets", REASON_PERMITTED},
        {"/b//admin/x", REASON_PERMITTED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        ask_for(&w, METHOD_GET, table[i].target);
        cr_expect_eq(decided(&w).reason, table[i].reason, "%s", table[i].target);
    }
    char target[4 * PATH_MAX_SEGMENTS * 2 + 16] = "/admin";
    size_t len = strlen(target);
    for (int i = 0; i < 2 * PATH_MAX_SEGMENTS; i++)
        len += (size_t)snprintf(target + len, sizeof target - len, "%%2Fx");
    ask_for(&w, METHOD_GET, target);
    cr_expect_eq(decided(&w).reason, REASON_FORBIDDEN, "more parts than any path may have");
    world_fini(&w);
}

/* A person and a device for conditions to look at. */
static const struct slice tax_groups[] = {SLICE_INIT("tax"), SLICE_INIT("all")};
static const struct facts_user tax_officer = {.id = SLICE_INIT("fas:1"),
                                              .subject = SLICE_INIT("1"),
                                              .provider = SLICE_INIT("fas"),
                                              .groups = {tax_groups, 2},
                                              .acr_level = 300};
static const struct facts_device laptop = {.id = SLICE_INIT("laptops:7"),
                                           .authority = SLICE_INIT("laptops"),
                                           .trust = SLICE_INIT("managed")};

Test(decide, asks_for_what_a_permit_lacks)
{
    WORLD(w, STRICT,
          {.id = "tax", .effect = RULE_PERMIT, .paths = "/tax", .when = "'tax' in user.groups"},
          {.id = "managed",
           .effect = RULE_PERMIT,
           .paths = "/device",
           .when = "device.trust == 'managed'"},
          {.id = "both",
           .effect = RULE_PERMIT,
           .paths = "/both",
           .when = "'tax' in user.groups && device.trust == 'managed'"},
          {.id = "high",
           .effect = RULE_PERMIT,
           .paths = "/high",
           .when = "'tax' in user.groups && user.acr_level >= 450",
           .remedy = REMEDY_STEP_UP},
          {.id = "high-other",
           .effect = RULE_PERMIT,
           .paths = "/high-other",
           .when = "'vat' in user.groups && user.acr_level >= 450",
           .remedy = REMEDY_STEP_UP},
          {.id = "high-final",
           .effect = RULE_PERMIT,
           .paths = "/high-final",
           .when = "'tax' in user.groups && user.acr_level >= 450"});
    static const struct {
        const char *target;
        bool has_user, has_device;
        enum reason reason;
        const char *rule;
        const char *missing;
        int64_t level;
    } table[] = {
        {"/tax", true, false, REASON_PERMITTED, "tax", "", 0},
        {"/tax", false, true, REASON_IDENTITY_REQUIRED, "tax", "user.groups", 0},
        {"/device", true, false, REASON_DEVICE_REQUIRED, "managed", "device.trust", 0},
        {"/both", false, false, REASON_IDENTITY_REQUIRED, "both", "user.groups", 0},
        {"/both", true, false, REASON_DEVICE_REQUIRED, "both", "device.trust", 0},
        {"/both", true, true, REASON_PERMITTED, "both", "", 0},
        {"/high", true, false, REASON_ASSURANCE_TOO_LOW, "high", "", 450},
        {"/high", false, false, REASON_IDENTITY_REQUIRED, "high", "user.groups", 0},
        {"/high-other", true, false, REASON_DENIED, "high-other", "", 0},
        {"/high-final", true, false, REASON_DENIED, "high-final", "", 0},
        {"/nothing", false, false, REASON_DENIED, "", "", 0},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        w.facts.user = table[i].has_user ? &tax_officer : NULL;
        w.facts.device = table[i].has_device ? &laptop : NULL;
        ask_for(&w, METHOD_GET, table[i].target);
        struct decision d = decided(&w);
        cr_expect_eq(d.reason, table[i].reason, "row %zu: reason %d", i, d.reason);
        cr_expect_eq(d.verdict == DECISION_PERMIT, table[i].reason == REASON_PERMITTED);
        cr_expect(slice_eq(d.rule, slice_of(table[i].rule)), "row %zu: rule %.*s", i,
                  SLICE_ARG(d.rule));
        cr_expect(slice_eq(d.missing, slice_of(table[i].missing)), "row %zu: missing %.*s", i,
                  SLICE_ARG(d.missing));
        cr_expect_eq(d.needs_acr_level, table[i].level, "row %zu", i);
    }
    world_fini(&w);
}

Test(decide, takes_a_condition_that_cannot_be_evaluated_as_false_in_a_permit_and_true_in_a_forbid)
{
    WORLD(w, STRICT,
          {.id = "acr", .effect = RULE_PERMIT, .paths = "/a /c", .when = "user.acr == 'x'"},
          {.id = "plain", .effect = RULE_PERMIT, .paths = "/b /c"},
          {.id = "no", .effect = RULE_FORBID, .paths = "/b", .when = "user.acr == 'x'"});
    w.facts.user = &tax_officer; /* who has no acr */
    ask_for(&w, METHOD_GET, "/a");
    struct decision d = decided(&w);
    cr_expect_eq(d.reason, REASON_DENIED);
    cr_expect(d.is_fault && slice_eq(d.faulty_rule, SLICE("acr")));
    cr_expect(slice_eq(d.missing, SLICE("user.acr")));
    ask_for(&w, METHOD_GET, "/b");
    d = decided(&w);
    cr_expect_eq(d.reason, REASON_FORBIDDEN);
    cr_expect(d.is_fault && slice_eq(d.faulty_rule, SLICE("no")));
    ask_for(&w, METHOD_GET, "/c");
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "plain");
    world_fini(&w);
}

Test(decide, asks_a_stranger_to_sign_in_where_only_that_keeps_a_forbid_open)
{
    WORLD(w, STRICT,
          {.id = "not-suspended", .effect = RULE_FORBID, .when = "'suspended' in user.groups"},
          {.id = "tax", .effect = RULE_PERMIT, .paths = "/tax", .when = "'tax' in user.groups"},
          {.id = "open", .effect = RULE_PERMIT, .paths = "/open"},
          {.id = "closed", .effect = RULE_FORBID, .paths = "/closed"},
          {.id = "closed-permit", .effect = RULE_PERMIT, .paths = "/closed"});
    ask_for(&w, METHOD_GET, "/tax");
    expect(&w, DECISION_DENY, REASON_IDENTITY_REQUIRED, "not-suspended");
    ask_for(&w, METHOD_GET, "/open"); /* never a permit while the forbid is open */
    expect(&w, DECISION_DENY, REASON_IDENTITY_REQUIRED, "not-suspended");
    ask_for(&w, METHOD_GET, "/closed");
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "closed");
    ask_for(&w, METHOD_GET, "/nothing"); /* signing in would not help */
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "not-suspended");
    w.facts.user = &tax_officer;
    ask_for(&w, METHOD_GET, "/tax");
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "tax");
    world_fini(&w);
}

Test(decide, tells_the_least_level_from_wherever_one_starts)
{
    WORLD(w, STRICT,
          {.id = "high",
           .effect = RULE_PERMIT,
           .when = "user.acr_level >= 450",
           .remedy = REMEDY_STEP_UP});
    ask_for(&w, METHOD_GET, "/");
    w.user = tax_officer;
    w.facts.user = &w.user;
    for (w.user.acr_level = 0; w.user.acr_level < 450; w.user.acr_level++) {
        struct decision d = decided(&w);
        cr_assert_eq(d.reason, REASON_ASSURANCE_TOO_LOW);
        cr_assert_eq(d.needs_acr_level, 450, "from %lld: %lld", (long long)w.user.acr_level,
                     (long long)d.needs_acr_level);
    }
    cr_expect_eq(decided(&w).verdict, DECISION_PERMIT);
    world_fini(&w);
}

Test(decide, keeps_many_conditions_of_one_path_apart)
{
    enum { COUNT = 300 };
    static struct spec specs[COUNT];
    static char names[COUNT][16], conditions[COUNT][48];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "r%d", i);
        snprintf(conditions[i], sizeof(conditions[i]), "user.acr_level == %d", i);
        specs[i] = (struct spec){
            .id = names[i], .effect = RULE_PERMIT, .paths = "/** /a", .when = conditions[i]};
    }
    struct world w;
    world_init(&w, specs, COUNT, STRICT);
    ask_for(&w, METHOD_GET, "/a");
    w.user = tax_officer;
    w.facts.user = &w.user;
    for (w.user.acr_level = 0; w.user.acr_level < COUNT; w.user.acr_level++)
        cr_assert(slice_eq(decided(&w).rule, slice_of(names[w.user.acr_level])));
    cr_expect_eq(decided(&w).reason, REASON_DENIED);
    world_fini(&w);
}

/* ---- the baseline ---- */

#define BASELINE(w, ...)                                                                           \
    static const struct spec baseline_of_##w[] = {__VA_ARGS__};                                    \
    world_charter(&w, baseline_of_##w, sizeof(baseline_of_##w) / sizeof(*baseline_of_##w))

Test(decide, permits_nothing_that_a_requirement_of_the_baseline_does_not)
{
    static const struct {
        bool has_user;
        bool has_device;
        const char *trust;
        int64_t level;
        enum reason reason;
        const char *rule;
        int64_t needed;
    } table[] = {
        {true, true, "managed", 500, REASON_PERMITTED, "all", 0},
        {true, true, "private", 500, REASON_FORBIDDEN, "managed", 0},
        {true, true, "", 500, REASON_FORBIDDEN, "managed", 0}, /* can't be told: does not hold */
        {true, false, "", 500, REASON_DEVICE_REQUIRED, "managed", 0},
        {false, true, "managed", 0, REASON_IDENTITY_REQUIRED, "assured", 0},
        {false, true, "private", 0, REASON_FORBIDDEN, "managed", 0},
        {true, true, "managed", 300, REASON_ASSURANCE_TOO_LOW, "assured", 400},
        {true, true, "private", 300, REASON_FORBIDDEN, "managed", 0},
    };
    WORLD(w, STRICT, {.id = "all", .effect = RULE_PERMIT});
    BASELINE(
        w, {.id = "managed", .effect = RULE_REQUIRE, .when = "device.trust == 'managed'"},
        {.id = "assured",
         .effect = RULE_REQUIRE,
         .when = "user.acr_level >= 400",
         .remedy = REMEDY_STEP_UP},
        {.id = "past", .effect = RULE_REQUIRE, .when = "false", .expires_s = 100},
        {.id = "trial", .effect = RULE_REQUIRE, .when = "user.acr_level >= 0", .is_shadow = true});
    w.user = tax_officer;
    w.device = laptop;
    w.facts.now.s = 100;
    ask_for(&w, METHOD_GET, "/a");
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        w.user.acr_level = table[i].level;
        w.device.trust = slice_of(table[i].trust);
        w.facts.user = table[i].has_user ? &w.user : NULL;
        w.facts.device = table[i].has_device ? &w.device : NULL;
        struct decision d = decided(&w);
        cr_expect_eq(d.reason, table[i].reason, "row %zu: reason %d", i, d.reason);
        cr_expect(slice_eq(d.rule, slice_of(table[i].rule)), "row %zu: %.*s", i, SLICE_ARG(d.rule));
        cr_expect_eq(d.needs_acr_level, table[i].needed, "row %zu", i);
        cr_expect_eq(d.is_baseline, d.reason != REASON_PERMITTED, "row %zu", i);
        cr_expect_eq(d.explanations != NULL, d.is_baseline, "row %zu", i);
    }
    w.device.trust = SLICE("managed");
    w.user.acr_level = 500;
    w.facts.now.s = 99;
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "past");
    world_fini(&w);
}

Test(decide, asks_for_the_highest_level_that_permit_and_requirements_need)
{
    WORLD(w, STRICT,
          {.id = "p",
           .effect = RULE_PERMIT,
           .when = "user.acr_level >= 350",
           .remedy = REMEDY_STEP_UP});
    BASELINE(w,
             {.id = "a",
              .effect = RULE_REQUIRE,
              .when = "user.acr_level >= 400",
              .remedy = REMEDY_STEP_UP},
             {.id = "b",
              .effect = RULE_REQUIRE,
              .when = "user.acr_level >= 450",
              .remedy = REMEDY_STEP_UP});
    w.user = tax_officer;
    w.facts.user = &w.user;
    ask_for(&w, METHOD_GET, "/a");
    expect(&w, DECISION_DENY, REASON_ASSURANCE_TOO_LOW, "p");
    cr_expect_eq(decided(&w).needs_acr_level, 450);
    w.user.acr_level = 400;
    expect(&w, DECISION_DENY, REASON_ASSURANCE_TOO_LOW, "b");
    cr_expect_eq(decided(&w).needs_acr_level, 450);
    w.user.acr_level = 450;
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "p");
    world_fini(&w);
}

Test(decide, forbids_by_the_baseline_whatever_the_application_says)
{
    WORLD(w, ((struct path_options){.fold_case = true}), {.id = "all", .effect = RULE_PERMIT},
          {.id = "no", .effect = RULE_FORBID, .paths = "/a"});
    BASELINE(w, {.id = "never", .effect = RULE_FORBID, .methods = GET, .paths = "/Admin/**"});
    ask_for(&w, METHOD_GET, "/aDMIN/x");
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "never");
    ask_for(&w, METHOD_POST, "/admin/x");
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "all");
    ask_for(&w, METHOD_GET, "/a");
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "no");
    cr_expect_not(decided(&w).is_baseline);
    world_fini(&w);
}

Test(decide, denies_by_a_baseline_that_was_never_compiled)
{
    WORLD(w, STRICT, {.id = "all", .effect = RULE_PERMIT});
    BASELINE(w, {.id = "never", .effect = RULE_FORBID, .paths = "/x"});
    ask_for(&w, METHOD_GET, "/a");
    w.charter.baseline.rules[0] = NULL;
    struct decision d;
    decide(&w.snapshot, &w.facts, &d);
    cr_expect_eq(d.verdict, DECISION_DENY);
    world_fini(&w);
}

/* ---- shadow, and how long a decision stands ---- */

Test(decide, says_what_rules_in_shadow_would_have_changed)
{
    static const struct {
        const char *target;
        enum verdict verdict;
        bool differs;
        enum verdict shadow;
        const char *rule;
    } table[] = {
        {"/open", DECISION_PERMIT, false, DECISION_DENY, ""},
        {"/closing", DECISION_PERMIT, true, DECISION_DENY, "closes"},
        {"/opening", DECISION_DENY, true, DECISION_PERMIT, "opens"},
        {"/forbidden", DECISION_DENY, false, DECISION_DENY, ""},
        {"/both", DECISION_DENY, false, DECISION_DENY, ""},
        {"/trial", DECISION_PERMIT, true, DECISION_DENY, "trial"},
    };
    WORLD(w, STRICT, {.id = "p", .effect = RULE_PERMIT, .paths = "/open /closing /trial"},
          {.id = "opens", .effect = RULE_PERMIT, .paths = "/opening /both", .is_shadow = true},
          {.id = "closes", .effect = RULE_FORBID, .paths = "/closing /both", .is_shadow = true},
          {.id = "opens-not", .effect = RULE_PERMIT, .paths = "/forbidden", .is_shadow = true},
          {.id = "f", .effect = RULE_FORBID, .paths = "/forbidden"});
    BASELINE(w, {.id = "trial",
                 .effect = RULE_REQUIRE,
                 .when = "request.path != '/trial'",
                 .is_shadow = true});
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        ask_for(&w, METHOD_GET, table[i].target);
        w.request.decoded_path = slice_of(table[i].target);
        struct decision d = decided(&w);
        cr_expect_eq(d.verdict, table[i].verdict, "%s", table[i].target);
        cr_expect_eq(d.shadow.differs, table[i].differs, "%s", table[i].target);
        cr_expect_eq(d.shadow.verdict, table[i].shadow, "%s", table[i].target);
        cr_expect(slice_eq(d.shadow.rule, slice_of(table[i].rule)), "%s", table[i].target);
    }
    world_fini(&w);
}

Test(decide, stands_until_the_rule_that_decided_expires)
{
    WORLD(w, STRICT, {.id = "p", .effect = RULE_PERMIT, .paths = "/a /b", .expires_s = 200},
          {.id = "q", .effect = RULE_PERMIT, .paths = "/a /c", .expires_s = 300},
          {.id = "f", .effect = RULE_FORBID, .paths = "/b", .expires_s = 150},
          {.id = "never", .effect = RULE_PERMIT, .paths = "/d"});
    static const struct {
        const char *target;
        int64_t until;
    } table[] = {{"/a", 200}, {"/b", 150}, {"/c", 300}, {"/d", INT64_MAX}, {"/e", INT64_MAX}};
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        ask_for(&w, METHOD_GET, table[i].target);
        w.facts.now.s = 100;
        struct decision d = decided(&w);
        cr_expect_eq(d.valid_until_s, table[i].until, "%s", table[i].target);
        w.facts.now.s = d.valid_until_s - 1;
        cr_expect_eq(decided(&w).verdict, d.verdict);
    }
    world_fini(&w);
}

Test(decide, stands_for_a_second_where_some_rule_asks_for_the_time)
{
    WORLD(w, STRICT, {.id = "p", .effect = RULE_PERMIT, .paths = "/a"},
          {.id = "never-2001",
           .effect = RULE_FORBID,
           .when = "request.time >= timestamp('2001-01-01T00:00:00Z')"});
    ask_for(&w, METHOD_GET, "/a");
    w.facts.now.s = 978307199;
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "p");
    cr_expect_eq(decided(&w).valid_until_s, 978307200);
    w.facts.now.s = 978307200;
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "never-2001");
    world_fini(&w);
}

Test(decide, stands_for_a_second_where_some_rule_asks_how_old_a_session_is)
{
    WORLD(w, STRICT, {.id = "p", .effect = RULE_PERMIT, .paths = "/a"},
          {.id = "not-after-an-hour",
           .effect = RULE_FORBID,
           .when = "has(session.age) && session.age >= duration('1h')"});
    const struct facts_session session = {.began = {1000}};
    ask_for(&w, METHOD_GET, "/a");
    w.facts.now.s = 4599;
    w.facts.session = &session;
    expect(&w, DECISION_PERMIT, REASON_PERMITTED, "p");
    cr_expect_eq(decided(&w).valid_until_s, 4600);
    w.facts.now.s = 4600;
    expect(&w, DECISION_DENY, REASON_FORBIDDEN, "not-after-an-hour");
    world_fini(&w);
}

Test(decide, stands_where_a_rule_asks_how_old_a_session_is_and_there_is_none)
{
    WORLD(w, STRICT, {.id = "p", .effect = RULE_PERMIT, .paths = "/a"},
          {.id = "young", .effect = RULE_PERMIT, .when = "session.age < duration('1h')"});
    ask_for(&w, METHOD_GET, "/a");
    cr_expect_eq(decided(&w).valid_until_s, INT64_MAX);
    world_fini(&w);
}

/* ---- generated policies ---- */

static uint64_t draw(uint64_t *seed, uint64_t below)
{
    /* splitmix64: the same on every machine. */
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}
#define PICK(seed, table) (table)[draw((seed), sizeof(table) / sizeof(*(table)))]

static const char *const some_paths[] = {
    NULL,        "/",           "/**",         "/a",       "/a/**",     "/a/b",
    "/A/{x}",    "/*/b",        "/a/*/**",     "/x-*",     "/*-1/b",    "/a/x-*/c",
    "/{x}/{y}",  "/b /a/",      "/a/b/c /b",   "/**  /a",  "/\xc3\xa9", "/a;p /b;p/**",
    "/a/b /a/b", "/{x}/b /a/*", "/{x}/{y}/**", "/*;p /*b", "/a/{x} /**"};
static const char *const some_conditions[] = {
    NULL,
    NULL,
    "'tax' in user.groups",
    "'suspended' in user.groups",
    "device.trust == 'managed'",
    "'tax' in user.groups && device.trust == 'managed'",
    "user.acr_level >= 400",
    "user.acr_level >= 450 && 'tax' in user.groups",
    "user.acr == 'high' || user.acr_level == 500",
    "user.acr == 'high'",
    "has(user.acr) && device.common_name == 'x'",
    "service.id == 'robot'",
    "user.acr_level < 400 || device.trust == 'managed'",
    "session.age < duration('60s')",
    "'otp' in session.methods || user.acr_level >= 400",
    "false",
};
static const char *const some_segments[] = {"a",  "b",        "A",        "c",    "x-1",
                                            "",   "\xc3\xa9", "\xc3\x89", "a;p",  "x-1;a=b",
                                            ";p", "z-1",      "a/b",      "b//;p"};
/* Such as an index can find by the texts of a fact. */
static const char *const found_conditions[] = {
    "'tax' in user.groups",
    "'suspended' in user.groups",
    "'nobody' in user.groups",
    "'tax' in user.groups || 'suspended' in user.groups",
    "'suspended' in user.groups && device.trust == 'managed' && user.acr_level >= 400",
    "user.acr_level >= 400 && 'tax' in user.groups",
    "user.id in ['fas:1', 'fas:2']",
    "user.id == 'fas:1' && request.method == 'GET'",
    "device.trust == 'managed'",
    "'managed' == device.trust && user.acr_level >= 450",
    "'x' in device.organizational_units || 'finance' in device.organizational_units",
    "service.id == 'robot'",
    "'read' in user.scopes && has(user.acr)",
    "!('tax' in user.groups)",
    "'tax' in user.groups || device.trust == 'managed'",
};
#define SPECS_MAX 40
static const char *const some_ids[SPECS_MAX] = {
    "r0",  "r1",  "r2",  "r3",  "r4",  "r5",  "r6",  "r7",  "r8",  "r9",
    "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19",
    "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29",
    "r30", "r31", "r32", "r33", "r34", "r35", "r36", "r37", "r38", "r39"};

static void draw_spec(uint64_t *seed, struct spec *out, const char *id)
{
    static const uint32_t methods[] = {ANY, ANY, GET, POST, GET | POST, 1u << METHOD_OTHER};
    *out = (struct spec){.id = id,
                         .effect = draw(seed, 4) ? RULE_PERMIT : RULE_FORBID,
                         .methods = PICK(seed, methods),
                         .other_method = draw(seed, 5) ? NULL : "PROPFIND",
                         .paths = PICK(seed, some_paths),
                         .when = PICK(seed, some_conditions),
                         .remedy = draw(seed, 2) ? REMEDY_NONE : REMEDY_STEP_UP,
                         .is_shadow = !draw(seed, 8),
                         .expires_s = draw(seed, 6) ? 0 : 100 * (int64_t)draw(seed, 3)};
}

/* Mostly a few rules all over the paths; now and then so many on one that they are found by what
 * they ask for. */
static uint32_t draw_specs(uint64_t *seed, struct spec *out)
{
    const bool is_crowd = !draw(seed, 4);
    const char *path = PICK(seed, some_paths);
    const bool has_forbids = draw(seed, 2);
    uint32_t count = (uint32_t)draw(seed, is_crowd ? SPECS_MAX + 1 : 13);
    for (uint32_t i = 0; i < count; i++) {
        draw_spec(seed, &out[i], some_ids[i]);
        if (!is_crowd)
            continue;
        out[i].paths = draw(seed, 8) ? path : out[i].paths;
        out[i].when = draw(seed, 10) ? PICK(seed, found_conditions) : out[i].when;
        out[i].effect = has_forbids ? out[i].effect : RULE_PERMIT;
    }
    return count;
}

static uint32_t draw_baseline(uint64_t *seed, struct spec *out)
{
    static const char *const ids[] = {"b0", "b1", "b2", "b3"};
    uint32_t count = draw(seed, 2) ? 0 : (uint32_t)draw(seed, 5);
    for (uint32_t i = 0; i < count; i++) {
        draw_spec(seed, &out[i], ids[i]);
        out[i].effect = RULE_FORBID;
        if (draw(seed, 2))
            continue;
        out[i].effect = RULE_REQUIRE;
        out[i].methods = ANY;
        out[i].other_method = out[i].paths = NULL;
        out[i].when = out[i].when ? out[i].when : "user.acr_level >= 200";
    }
    return count;
}

/* Segments are set without the parser: the rules may rely on nothing that it refuses. */
static void draw_request(uint64_t *seed, struct world *w, struct slice *segments)
{
    static const enum method methods[] = {METHOD_GET, METHOD_POST, METHOD_OTHER, METHOD_HEAD};
    w->request = (struct request){.method = PICK(seed, methods),
                                  .method_name = draw(seed, 2) ? SLICE("PROPFIND") : SLICE("X"),
                                  .host = w->app.host,
                                  .decoded_path = SLICE("/"),
                                  .path = {.canonical = SLICE("/"), .segments = segments}};
    w->request.path.segment_count = (uint32_t)draw(seed, 5);
    for (uint32_t i = 0; i < w->request.path.segment_count; i++) {
        segments[i] = slice_of(PICK(seed, some_segments));
        w->request.path.has_parameters |= memchr(segments[i].ptr, ';', segments[i].len) != NULL;
    }
}

/* More than have room. */
static const struct slice many_groups[300] = {[7] = SLICE_INIT("tax"), [200] = SLICE_INIT("x")};

static void draw_people(uint64_t *seed, struct world *w)
{
    static const struct slice groups[] = {SLICE_INIT("tax"), SLICE_INIT("suspended")};
    static const int64_t levels[] = {0, 300, 400, 450, 500};
    static const struct slice units[] = {SLICE_INIT("finance")}, scopes[] = {SLICE_INIT("read")};
    static const struct facts_service robot = {.id = SLICE_INIT("robot")};
    static const struct slice methods[] = {SLICE_INIT("otp")};
    static const struct facts_session session = {.began = {40}, .methods = {methods, 1}};
    w->user = tax_officer;
    w->user.groups = (struct slices){groups, (uint32_t)draw(seed, 3)};
    if (!draw(seed, 20))
        w->user.groups = (struct slices){many_groups, draw(seed, 2) ? 300 : 256};
    w->user.acr_level = PICK(seed, levels);
    w->user.acr = draw(seed, 2) ? SLICE("high") : SLICE("");
    w->device = laptop;
    w->device.trust = draw(seed, 2) ? SLICE("managed") : SLICE("private");
    w->device.organizational_units = (struct slices){units, (uint32_t)draw(seed, 2)};
    w->user.scopes = (struct slices){scopes, (uint32_t)draw(seed, 2)};
    w->facts.service = draw(seed, 3) ? NULL : &robot;
    w->facts.user = draw(seed, 3) ? &w->user : NULL;
    w->facts.session = w->facts.user && draw(seed, 2) ? &session : NULL;
    w->facts.device = draw(seed, 3) ? &w->device : NULL;
    w->facts.now.s = 99 + (int64_t)draw(seed, 3);
}

Test(decide, says_what_the_plain_loop_says_on_generated_policies, .timeout = 300)
{
    uint64_t seed = 20260101;
    uint32_t seen[REASON_COUNT] = {0}, differing = 0;
    for (int policy = 0; policy < 5000; policy++) {
        struct spec specs[SPECS_MAX], reversed[SPECS_MAX], baseline[4];
        uint32_t count = draw_specs(&seed, specs);
        struct path_options options = {.fold_case = !draw(&seed, 3),
                                       .allow_encoded_slash = !draw(&seed, 3)};
        for (uint32_t i = 0; i < count; i++)
            reversed[i] = specs[count - 1 - i];
        struct world w, back;
        world_init(&w, specs, count, options);
        world_init(&back, reversed, count, options);
        world_charter(&w, baseline, draw_baseline(&seed, baseline));
        for (int i = 0; i < 20; i++) {
            struct slice segments[8];
            draw_request(&seed, &w, segments);
            draw_people(&seed, &w);
            struct decision quick, slow, turned;
            decide(&w.snapshot, &w.facts, &quick);
            decide_slowly(&w.snapshot, &w.facts, &slow);
            cr_assert(decisions_eq(&quick, &slow),
                      "policy %d, request %d: %d by %.*s, not %d by %.*s", policy, i, quick.reason,
                      SLICE_ARG(quick.rule), slow.reason, SLICE_ARG(slow.rule));
            /* The order of the rules never matters. */
            back.facts = w.facts;
            back.facts.app = &back.app;
            decide(&w.snapshot, &back.facts, &turned);
            cr_assert(turned.verdict == quick.verdict && turned.reason == quick.reason &&
                      turned.shadow.differs == quick.shadow.differs);
            seen[quick.reason]++;
            differing += quick.shadow.differs;
        }
        world_fini(&w);
        world_fini(&back);
    }
    /* The draw is worth something: every outcome came often. */
    cr_expect_geq(differing, 200, "%u", differing);
    static const enum reason all[] = {REASON_PERMITTED,       REASON_DENIED,
                                      REASON_FORBIDDEN,       REASON_IDENTITY_REQUIRED,
                                      REASON_DEVICE_REQUIRED, REASON_ASSURANCE_TOO_LOW};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        cr_expect_geq(seen[all[i]], 200, "reason %d: %u times", all[i], seen[all[i]]);
}
