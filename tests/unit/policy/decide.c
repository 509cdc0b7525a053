// SPDX-License-Identifier: EUPL-1.2
/* What the rules say: each sentence of policy/decide.h as a test. */
#include "decide_world.h"
#include "policy/explain.h"

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

/* What a denial says that was asked for in vain. */
static struct slice lacked(struct world *w)
{
    const struct decision d = decided(w);
    return explain_lack(&w->facts, &d, &w->bundle.arena);
}

Test(decide, a_denial_by_what_is_not_so_has_the_fact_that_the_nearest_rule_asks_for)
{
    WORLD(w, STRICT,
          {.id = "officers",
           .effect = RULE_PERMIT,
           .paths = "/a",
           .when = "user.acr_level >= 100 && (\"auditors\" in user.groups || false) && "
                   "device.trust == \"none\""},
          {.id = "all", .effect = RULE_PERMIT, .paths = "/b"},
          {.id = "never", .effect = RULE_FORBID, .paths = "/b"});
    w.user = tax_officer;
    w.device = laptop;
    w.facts.user = &w.user;
    w.facts.device = &w.device;
    ask_for(&w, METHOD_GET, "/a");
    cr_expect(slice_eq(lacked(&w), SLICE("user.groups")), "%.*s", SLICE_ARG(lacked(&w)));
    w.user.acr_level = 0;
    cr_expect(slice_eq(lacked(&w), SLICE("user.acr_level")), "%.*s", SLICE_ARG(lacked(&w)));
    ask_for(&w, METHOD_GET, "/b");
    cr_expect_eq(lacked(&w).len, 0, "a rule forbids it whatever they are");
    ask_for(&w, METHOD_GET, "/c");
    cr_expect_eq(lacked(&w).len, 0, "no rule is near");
    world_fini(&w);
}

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
