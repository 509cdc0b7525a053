// SPDX-License-Identifier: EUPL-1.2
/* A bundle's own tests: what their two texts may say, and that one fails which should. */
#include "policy/policy_test.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "policy/charter.h"
#include "policy/compile.h"

Test(policy_test, reads_a_request)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        const char *target;
        enum method method;
    } table[] = {
        {"GET https://a.localhost/x?y=1", "a.localhost", "/x?y=1", METHOD_GET},
        {"PROPFIND https://A.localhost.:8443", "a.localhost", "/", METHOD_OTHER},
        {"HEAD https://a.localhost?q", "a.localhost", "/?q", METHOD_HEAD},
        {"get https://a.localhost/", "a.localhost", "/", METHOD_OTHER},
        {"GET http://a.localhost/", NULL, NULL, METHOD_OTHER},
        {"https://a.localhost/", NULL, NULL, METHOD_OTHER},
        {"GET https:///x", NULL, NULL, METHOD_OTHER},
        {"GET https://user@a.localhost/x", NULL, NULL, METHOD_OTHER},
        {"G\tT https://a.localhost/x", NULL, NULL, METHOD_OTHER},
        {"GET", NULL, NULL, METHOD_OTHER},
        {"", NULL, NULL, METHOD_OTHER},
    };
    struct arena a;
    arena_init(&a, NULL);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct policy_test t = {0};
        struct findings findings;
        findings_init(&findings);
        bool ok = policy_test_request(&t, slice_of(table[i].text), (struct place){.line = 3}, &a,
                                      &findings);
        cr_expect_eq(ok, table[i].host != NULL, "%s", table[i].text);
        cr_expect_eq(findings.errors, !ok, "%s", table[i].text);
        if (ok) {
            cr_expect(slice_eq(t.host, slice_of(table[i].host)), "%s", table[i].text);
            cr_expect(slice_eq(t.target, slice_of(table[i].target)), "%s", table[i].text);
            cr_expect_eq(t.method, table[i].method, "%s", table[i].text);
        }
        findings_fini(&findings);
    }
    arena_fini(&a);
}

Test(policy_test, reads_what_is_expected)
{
    static const struct {
        const char *text;
        enum expectation expect; /* NOTHING: refused */
        const char *rule;
        bool has_reason;
        enum reason reason;
    } table[] = {
        {"permit", EXPECT_PERMIT, "", false, 0},
        {" permit  by  officers ", EXPECT_PERMIT, "officers", false, 0},
        {"deny", EXPECT_DENY, "", false, 0},
        {"deny by no-one", EXPECT_DENY, "no-one", false, 0},
        {"deny because device_required", EXPECT_DENY, "", true, REASON_DEVICE_REQUIRED},
        {"deny because ASSURANCE_TOO_LOW", EXPECT_DENY, "", true, REASON_ASSURANCE_TOO_LOW},
        {"deny because permitted", EXPECT_NOTHING, "", false, 0},
        {"deny because of_rain", EXPECT_NOTHING, "", false, 0},
        {"permit because permitted", EXPECT_NOTHING, "", false, 0},
        {"permit by", EXPECT_NOTHING, "", false, 0},
        {"permitted", EXPECT_NOTHING, "", false, 0},
        {"", EXPECT_NOTHING, "", false, 0},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct policy_test t = {0};
        struct findings findings;
        findings_init(&findings);
        bool ok = policy_test_expect(&t, slice_of(table[i].text), (struct place){0}, &findings);
        cr_expect_eq(ok, table[i].expect != EXPECT_NOTHING, "%s", table[i].text);
        cr_expect_eq(t.expect, table[i].expect, "%s", table[i].text);
        if (ok) {
            cr_expect(slice_eq(t.rule, slice_of(table[i].rule)), "%s", table[i].text);
            cr_expect_eq(t.has_reason, table[i].has_reason, "%s", table[i].text);
            cr_expect_eq(t.reason, table[i].reason, "%s", table[i].text);
        }
        findings_fini(&findings);
    }
}

#define HEAD                                                                                       \
    "belfry: entity/v1\nentity: fin\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n"                 \
    "identity_providers:\n  - { id: fas, issuer: 'https://idp.localhost', audiences: [x] }\n"      \
    "applications:\n"                                                                              \
    "  - id: open\n    host: open.fin.localhost\n    device: none\n"                               \
    "    identity_providers: [fas]\n    upstreams: ['http://127.0.0.1:9001']\n    rules:\n"        \
    "      - { id: tax, permit: { methods: [GET], paths: ['/tax/**'] },"                           \
    " when: '\"tax\" in user.groups' }\n"                                                          \
    "      - { id: local, permit: { paths: ['/local'] },"                                          \
    " when: 'request.client_address == \"10.0.0.1\" && request.protocol == \"h2\"' }\n"            \
    "  - id: closed\n    host: closed.fin.localhost\n    device: required\n"                       \
    "    upstreams: ['http://127.0.0.1:9001']\n    rules:\n      - { id: all, permit: {} }\n"      \
    "tests:\n"

Test(policy_test, judges_by_the_rules_and_by_what_stands_in_front_of_them)
{
    static const struct {
        const char *test;
        const char *finding; /* NULL: passes */
    } table[] = {
        {"{ name: n, given: { user: { groups: [tax] } }, request: 'GET "
         "https://open.fin.localhost/tax/1',"
         " expect: permit by tax }",
         NULL},
        {"{ name: n, given: { user: { groups: [vat] } }, request: 'GET "
         "https://open.fin.localhost/tax/1',"
         " expect: permit }",
         "expects permit, but the rules say deny because denied, rule 'tax'"},
        {"{ name: n, request: 'GET https://open.fin.localhost/tax/1', expect: permit by tax }",
         "expects permit by tax, but the rules say deny because identity_required, rule 'tax', "
         "which "
         "misses user.groups"},
        {"{ name: n, given: { user: { groups: [tax] } }, request: 'GET "
         "https://open.fin.localhost/tax',"
         " expect: deny }",
         "expects deny, but the rules say permit, rule 'tax'"},
        {"{ name: n, given: { user: { groups: [tax] } }, request: 'GET "
         "https://open.fin.localhost/tax',"
         " expect: permit by local }",
         "expects permit by local, but the rules say permit, rule 'tax'"},
        {"{ name: n, request: 'GET https://open.fin.localhost/tax', expect: deny because denied }",
         "expects deny because denied, but the rules say deny because identity_required"},
        {"{ name: n, given: { request: { client_address: 10.0.0.1, protocol: h2 } },"
         " request: 'GET https://open.fin.localhost/local', expect: permit by local }",
         NULL},
        {"{ name: n, request: 'GET https://open.fin.localhost/local', expect: deny by local }",
         NULL},
        {"{ name: n, request: 'GET https://open.fin.localhost/%2e%2e/tax',"
         " expect: deny because path_ambiguous }",
         NULL},
        {"{ name: n, request: 'GET https://closed.fin.localhost/',"
         " expect: deny because device_required }",
         NULL},
        {"{ name: n, given: { device: { trust: managed } },"
         " request: 'GET https://closed.fin.localhost/', expect: permit by all }",
         NULL},
        {"{ name: n, request: 'GET https://other.fin.localhost/', expect: deny }",
         "no application of this bundle has the host 'other.fin.localhost'"},
        {"{ name: n, request: 'GET https://open.fin.localhost/', expect: deny by all }",
         "application 'open' has no rule 'all'"},
    };
    base_init();
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct arena a;
        struct findings findings;
        arena_init(&a, NULL);
        findings_init(&findings);
        struct slice text = arena_printf(&a, HEAD "  - %s\n", table[i].test);
        struct bundle *b = bundle_load(text, "bundle.yaml", SLICE(""), &findings);
        if (!b)
            findings_print(&findings, stderr);
        cr_assert(b, "row %zu", i);
        bundle_compile(b);
        size_t before = findings.count;
        bool ok = policy_test_run(b, NULL, (struct wall){1780272000}, &findings, NULL);
        cr_expect_eq(ok, !table[i].finding, "row %zu", i);
        cr_expect_eq(findings.errors, !ok, "row %zu", i);
        if (!ok && findings.count > before) {
            const struct finding *f = &findings.at[before];
            cr_expect(table[i].finding && strstr(f->text, table[i].finding), "row %zu: %s", i,
                      f->text);
            cr_expect(f->place.line > 20, "row %zu: line %u", i, f->place.line);
        }
        bundle_free(b);
        findings_fini(&findings);
        arena_fini(&a);
    }
}

Test(policy_test, fails_where_it_expects_nothing)
{
    base_init();
    struct policy_test t = {.name = SLICE("empty"),
                            .method = METHOD_GET,
                            .method_name = SLICE("GET"),
                            .host = SLICE("a.localhost"),
                            .target = SLICE("/")};
    struct application app = {.host = SLICE("a.localhost"), .device = DEVICE_NONE};
    struct bundle b = {.applications = &app, .application_count = 1, .tests = &t, .test_count = 1};
    struct findings findings;
    arena_init(&b.arena, NULL);
    findings_init(&findings);
    bundle_compile(&b);
    cr_expect_not(policy_test_run(&b, NULL, (struct wall){1}, &findings, NULL));
    findings_fini(&findings);
    arena_fini(&b.arena);
}

Test(policy_test, runs_under_the_baseline_that_is_in_force)
{
    static struct rule forbid = {.id = SLICE_INIT("nobody"), .effect = RULE_FORBID};
    static struct rule permit = {.id = SLICE_INIT("all"), .effect = RULE_PERMIT};
    struct charter c = {.baseline = {.forbids = &forbid, .forbid_count = 1}};
    struct policy_test t = {.name = SLICE("t"),
                            .method = METHOD_GET,
                            .method_name = SLICE("GET"),
                            .host = SLICE("a.localhost"),
                            .target = SLICE("/"),
                            .expect = EXPECT_DENY,
                            .rule = SLICE("nobody")};
    struct application app = {
        .host = SLICE("a.localhost"), .device = DEVICE_NONE, .rule_list = &permit, .rule_count = 1};
    struct bundle b = {.applications = &app, .application_count = 1, .tests = &t, .test_count = 1};
    struct findings f;
    base_init();
    arena_init(&b.arena, NULL);
    arena_init(&c.arena, NULL);
    findings_init(&f);
    bundle_compile(&b);
    charter_compile(&c);
    cr_expect(policy_test_run(&b, &c.baseline, (struct wall){1}, &f, NULL));
    cr_expect_not(
        policy_test_run(&b, NULL, (struct wall){1}, &f, NULL)); /* nobody has such a rule */
    t.expect = EXPECT_PERMIT;
    t.rule = SLICE("all");
    cr_expect(policy_test_run(&b, NULL, (struct wall){1}, &f, NULL));
    cr_expect_not(policy_test_run(&b, &c.baseline, (struct wall){1}, &f, NULL));
    findings_fini(&f);
    arena_fini(&b.arena);
    arena_fini(&c.arena);
}
