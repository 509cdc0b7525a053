// SPDX-License-Identifier: EUPL-1.2
/* Facts whose names a rule or an application gives: what a pattern calls the segments of a path.
 * Bundles as people write them, judged by their own tests. */
#include <criterion/criterion.h>

#include "base/hash.h"
#include "policy/bundle.h"
#include "policy/compile.h"
#include "policy/policy_test.h"

static void init(void)
{
    base_init();
}
TestSuite(given_names, .init = init);

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define HEAD                                                                                       \
    "belfry: entity/v1\nentity: fin\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n"                 \
    "identity_providers:\n  - { id: fas, issuer: 'https://idp.localhost', audiences: [x] }\n"      \
    "applications:\n"                                                                              \
    "  - id: desk\n    host: desk.localhost\n    device: none\n    identity_providers: [fas]\n"    \
    "    upstreams: ['http://127.0.0.1:9001']\n"

/* A bundle with these settings and rules, and one test. The findings of loading it and of its test;
 * the first in `text`. */
static size_t findings_of(const char *settings, const char *rules, const char *test, char text[256])
{
    struct arena a;
    struct findings findings;
    arena_init(&a, NULL);
    findings_init(&findings);
    const struct slice source = arena_printf(&a, HEAD "%s    rules:\n%s%s%s", settings, rules,
                                             test ? "tests:\n  - " : "", test ? test : "");
    struct bundle *b = bundle_load(source, "bundle.yaml", SLICE(""), &findings);
    if (b) {
        bundle_compile(b);
        (void)!policy_test_run(b, (struct wall){1780272000}, &findings);
    }
    (void)snprintf(text, 256, "%s", findings.count ? findings.at[0].text : "");
    const size_t errors = findings.errors;
    bundle_free(b);
    findings_fini(&findings);
    arena_fini(&a);
    return errors;
}

struct judged {
    const char *given; /* in braces; NULL: nobody */
    const char *target;
    const char *expect;
};

static void expect_all(const char *settings, const char *rules, const struct judged *rows,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char test[1024], text[256];
        (void)snprintf(
            test, sizeof test,
            "{ name: n, given: %s, request: 'GET https://desk.localhost%s', expect: %s }\n",
            rows[i].given ? rows[i].given : "{}", rows[i].target, rows[i].expect);
        cr_expect_eq(findings_of(settings, rules, test, text), 0, "row %zu: %s", i, text);
    }
}

Test(given_names, a_segment_is_known_by_the_name_that_the_pattern_gives_it)
{
    static const char rules[] = "      - { id: own, permit: { paths: ['/cases/{case}/**'] }, when: "
                                "'path.case in user.groups' }\n"
                                "      - { id: dashed, permit: { paths: ['/files/{case-id}'] },"
                                " when: 'path[\"case-id\"] in user.groups' }\n"
                                "      - { id: sealed, forbid: { paths: ['/*/{kind}/sealed'] }, "
                                "when: 'path.kind == \"a1\"' }\n";
    static const struct judged rows[] = {
        {"{ user: { groups: [a1] } }", "/cases/a1/x", "permit by own"},
        {"{ user: { groups: [a1] } }", "/cases/a%31", "permit by own"},
        {"{ user: { groups: [a1] } }", "/cases/a2", "deny because denied"},
        {"{ user: { groups: [a1] } }", "/cases/a1/sealed", "deny by sealed"},
        {"{ user: { groups: [a2] } }", "/cases/a2/sealed", "permit by own"},
        {"{ user: { groups: [b] } }", "/files/b", "permit by dashed"},
        {NULL, "/cases/a1", "deny because identity_required"},
    };
    expect_all("", rules, rows, COUNT_OF(rows));
}

Test(given_names, one_that_the_fitting_pattern_does_not_give_never_permits_and_always_forbids)
{
    static const char rules[] =
        "      - { id: some, permit: { paths: ['/a/{x}', '/b/{y}'] }, when: 'path.x != \"no\"' }\n"
        "      - { id: there, permit: { paths: ['/c/{x}', '/d/{y}'] },"
        " when: 'has(path.x) ? path.x == \"1\" : path.y == \"2\"' }\n"
        "      - { id: open, permit: { paths: ['/e/**'] } }\n"
        "      - { id: shut, forbid: { paths: ['/e/{x}', '/e/1/{y}'] }, when: 'path.x == \"no\"' "
        "}\n";
    static const struct judged rows[] = {
        {NULL, "/a/1", "permit by some"},   {NULL, "/a/no", "deny because denied"},
        {NULL, "/b/1", "deny by some"},     {NULL, "/c/1", "permit by there"},
        {NULL, "/c/2", "deny by there"},    {NULL, "/d/2", "permit by there"},
        {NULL, "/e/yes", "permit by open"}, {NULL, "/e/no", "deny by shut"},
        {NULL, "/e/1/no", "deny by shut"},  {NULL, "/e/2/no", "permit by open"},
    };
    expect_all("", rules, rows, COUNT_OF(rows));
}

Test(given_names, any_pattern_that_fits_may_make_a_permit_true)
{
    static const char rules[] =
        "      - { id: both, permit: { paths: ['/{x}/b', '/a/{x}'] }, when: 'path.x == \"b\"' }\n";
    static const struct judged rows[] = {
        {NULL, "/a/b", "permit by both"},
        {NULL, "/b/b", "permit by both"},
        {NULL, "/a/c", "deny because denied"},
    };
    expect_all("", rules, rows, COUNT_OF(rows));
}

Test(given_names, each_reading_of_a_path_counts)
{
    static const char settings[] = "    paths: { parameters: allow, encoded_slash: allow }\n";
    static const char rules[] =
        "      - { id: own, permit: { paths: ['/cases/{case}/**'] }, when: 'path.case == \"1\"' }\n"
        "      - { id: all, permit: { paths: ['/open/**'] } }\n"
        "      - { id: shut, forbid: { paths: ['/open/{x}/**'] }, when: 'path.x == \"no\"' }\n";
    static const struct judged rows[] = {
        {NULL, "/cases/1", "permit by own"},
        {NULL, "/cases/1;v=2", "deny because denied"}, /* with them it is another case */
        {NULL, "/cases/2;1", "deny because denied"},
        {NULL, "/open/yes;v=2", "permit by all"},
        {NULL, "/open/no;v=2", "deny by shut"},
        {NULL, "/open/no%2Fv", "deny by shut"},
        {NULL, "/open/yes%2Fno", "permit by all"},
    };
    expect_all(settings, rules, rows, COUNT_OF(rows));
}

Test(given_names, rules_of_one_text_each_see_their_own_segment)
{
    static const char rules[] = "      - { id: first, permit: { paths: ['/{x}/*'] }, when: 'path.x "
                                "== \"1\" && \"g\" in user.groups' }\n"
                                "      - { id: second, permit: { paths: ['/*/{x}'] }, when: "
                                "'path.x == \"1\" && \"g\" in user.groups' }\n";
    static const struct judged rows[] = {
        {"{ user: { groups: [g] } }", "/1/2", "permit by first"},
        {"{ user: { groups: [g] } }", "/2/1", "permit by second"},
        {"{ user: { groups: [g] } }", "/2/2", "deny because denied"},
        {"{ user: { groups: [h] } }", "/2/1", "deny because denied"},
    };
    expect_all("", rules, rows, COUNT_OF(rows));
}

Test(given_names, a_level_is_asked_for_by_what_the_segment_says)
{
    static const char rules[] = "      - { id: up, permit: { paths: ['/{x}'] }, remedy: step_up,"
                                " when: 'path.x == \"1\" && user.acr_level >= 400' }\n";
    static const struct judged rows[] = {
        {"{ user: { acr_level: 400 } }", "/1", "permit by up"},
        {"{ user: { acr_level: 300 } }", "/1", "deny because assurance_too_low"},
        {"{ user: { acr_level: 300 } }", "/2", "deny because denied"},
    };
    expect_all("", rules, rows, COUNT_OF(rows));
}

Test(given_names, one_that_nobody_gave_is_found_at_load)
{
    static const struct {
        const char *rule;
        const char *finding;
    } table[] = {
        {"permit: { paths: ['/{case}'] }, when: 'path.caze == \"1\"'", "did you mean 'case'?"},
        {"permit: { paths: ['/*'] }, when: 'path.case == \"1\"'", "one with {case} in it would"},
        {"permit: {}, when: 'path.case == \"1\"'", "one with {case} in it would"},
        {"permit: { paths: ['/{a}/{b}'] }, when: 'has(path.case)'", "but 'a' and others"},
        {"permit: { paths: ['/{a}'] }, when: 'path == \"1\"'", "'path' alone is no value"},
        {"permit: { paths: ['/{a}'] }, when: 'path[user.id] == \"1\"'", "'path' alone is no value"},
        {"permit: { paths: ['/{a}'] }, when: 'path.a == 1'", "compares a string with an int"},
        {"permit: { paths: ['/{a}/{a}'] }", "has one name twice"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char rule[256], text[256];
        (void)snprintf(rule, sizeof rule, "      - { id: r, %s }\n", table[i].rule);
        cr_expect_eq(findings_of("", rule, NULL, text), 1, "row %zu: %s", i, text);
        cr_expect(strstr(text, table[i].finding), "row %zu: %s", i, text);
    }
}
