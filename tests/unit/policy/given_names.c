// SPDX-License-Identifier: EUPL-1.2
/* Facts whose names a rule or an application gives: what a pattern calls the segments of a path,
 * header fields that are declared, and parameters of a query. Bundles as people write them, judged
 * by their own tests. */
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
        (void)!policy_test_run(b, NULL, (struct wall){1780272000}, &findings, NULL);
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
        {"permit: { paths: ['/*'] }, when: 'path.case == \"1\"'",
         "write {NAME} in the place of one"},
        {"permit: {}, when: 'path.case == \"1\"'", "write {NAME} in the place of one"},
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

Test(given_names, a_declared_header_is_a_list_of_what_stands_there)
{
    static const char settings[] = "    facts: { headers: [x-case-id, x-purpose] }\n";
    static const char rules[] =
        "      - { id: one, permit: { paths: ['/one'] },"
        " when: 'request.headers[\"x-case-id\"] == [\"12\"]' }\n"
        "      - { id: all, permit: { paths: ['/all'] },"
        " when: 'request.headers[\"x-case-id\"].all(v, v in user.groups)' }\n"
        "      - { id: none, permit: { paths: ['/none'] }, when: '!(\"x-purpose\" in "
        "request.headers)' }\n"
        "      - { id: open, permit: { paths: ['/open'] } }\n"
        "      - { id: shut, forbid: { paths: ['/open'] },"
        " when: '\"fraud\" in request.headers[\"x-purpose\"]' }\n";
    static const struct judged rows[] = {
        {"{ request: { headers: { x-case-id: '12' } } }", "/one", "permit by one"},
        {"{ request: { headers: { x-case-id: ['12', '13'] } } }", "/one", "deny because denied"},
        {"{ request: { headers: { x-case-id: ['13', '12'] } } }", "/one", "deny because denied"},
        {"{ request: { headers: { x-case-id: '12', x_case_id: '13' } } }", "/one",
         "deny because denied"}, /* to many a framework they are one */
        {NULL, "/one", "deny by one"},
        {"{ user: { groups: [a, b] }, request: { headers: { x-case-id: [a, b] } } }", "/all",
         "permit by all"},
        {"{ user: { groups: [a] }, request: { headers: { x-case-id: [a, b] } } }", "/all",
         "deny because denied"},
        {NULL, "/none", "permit by none"},
        {"{ request: { headers: { x.purpose: y } } }", "/none", "deny because denied"},
        {"{ request: { headers: { x-purpose: care } } }", "/open", "permit by open"},
        {"{ request: { headers: { x-purpose: [care, fraud] } } }", "/open", "deny by shut"},
        {NULL, "/open", "deny by shut"}, /* missing: it can't be evaluated */
    };
    expect_all(settings, rules, rows, COUNT_OF(rows));
}

Test(given_names, too_many_headers_of_one_name_are_none_that_can_be_read)
{
    static const char settings[] = "    facts: { headers: [x-a] }\n";
    static const char rules[] =
        "      - { id: read, permit: { paths: ['/read'] }, when: 'size(request.headers[\"x-a\"]) > "
        "0' }\n"
        "      - { id: none, permit: { paths: ['/none'] }, when: '!has(request.headers.`x-a`)' }\n";
    char given[512] = "{ request: { headers: { x-a: [", text[256], test[1024];
    for (int i = 0; i < 65; i++)
        (void)snprintf(given + strlen(given), sizeof given - strlen(given), "%s'%d'", i ? "," : "",
                       i);
    (void)snprintf(given + strlen(given), sizeof given - strlen(given), "] } } }");
    static const char *const wanted[] = {"read'", "none'"};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(
            test, sizeof test,
            "{ name: n, given: %s, request: 'GET https://desk.localhost/%.4s', expect: deny }\n",
            given, wanted[i]);
        cr_expect_eq(findings_of(settings, rules, test, text), 0, "%s", text);
    }
}

Test(given_names, the_parameters_of_a_query_are_read_as_a_form)
{
    static const char rules[] =
        "      - { id: one, permit: { paths: ['/one'] },"
        " when: 'request.query_parameters[\"case\"] == [\"a b\"]' }\n"
        "      - { id: only, permit: { paths: ['/only'] },"
        " when: 'request.query_parameters.all(name, name in [\"page\", \"size\"])' }\n"
        "      - { id: open, permit: { paths: ['/open'] } }\n"
        "      - { id: shut, forbid: { paths: ['/open'] },"
        " when: '\"admin\" in request.query_parameters' }\n";
    static const struct judged rows[] = {
        {NULL, "/one?case=a+b", "permit by one"},
        {NULL, "/one?case=a%20b&x", "permit by one"},
        {NULL, "/one?&&c%61se=a%20%62", "permit by one"},
        {NULL, "/one?case=a%2Bb", "deny because denied"},
        {NULL, "/one?case=a%2520b", "deny because denied"}, /* once, not twice */
        {NULL, "/one?case=a+b&case=c", "deny because denied"},
        {NULL, "/one?case=c&case=a+b", "deny because denied"},
        {NULL, "/one?Case=a+b", "deny by one"},
        {NULL, "/one", "deny by one"},
        {NULL, "/one?case=a+b&x=%FF", "deny by one"}, /* no UTF-8 */
        {NULL, "/one?case=a+b&x=%00", "deny by one"},
        {NULL, "/one?case=a+b;x=1", "deny by one"},
        {NULL, "/only", "permit by only"},
        {NULL, "/only?", "permit by only"},
        {NULL, "/only?page=1&size=2&page=3", "permit by only"},
        {NULL, "/only?page=1&sort=2", "deny because denied"},
        {NULL, "/only?page=1;sort=2", "deny by only"},
        {NULL, "/open?x=1", "permit by open"},
        {NULL, "/open?x=1&ad%6Din", "deny by shut"},
        {NULL, "/open?x=1;admin=1", "deny by shut"},
        {NULL, "/open?x=%FF", "deny by shut"},
    };
    expect_all("", rules, rows, COUNT_OF(rows));
}

Test(given_names, more_than_64_parameters_or_8_KiB_are_none_that_can_be_read)
{
    static const char rules[] =
        "      - { id: all, permit: {}, when: 'size(request.query_parameters) == 64' }\n";
    char target[1024] = "/?", test[2048], text[256];
    for (int i = 0; i < 64; i++)
        (void)snprintf(target + strlen(target), sizeof target - strlen(target), "%d=&", i);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(test, sizeof test,
                       "{ name: n, request: 'GET https://desk.localhost%s%s', expect: %s }\n",
                       target, i ? "x" : "", i ? "deny by all" : "permit");
        cr_expect_eq(findings_of("", rules, test, text), 0, "%s", text);
    }
}

Test(given_names, a_header_that_is_not_declared_or_may_not_be_is_found_at_load)
{
    static const struct {
        const char *headers;
        const char *when;
        const char *finding;
    } table[] = {
        {NULL, "has(request.headers.accept)", "facts: { headers: [...] }"},
        {"x-case-id", "request.headers[\"x-case\"] == []", "declares no header 'x-case', but"},
        {"x-case-id", "request.headers[\"X-Case-ID\"] == []", "did you mean 'x-case-id'?"},
        {"x-case-id", "request.headers[user.id] == []", "'request.headers' alone is no value"},
        {"x-case-id", "request.headers.size() == 1", "'request.headers' alone is no value"},
        {"x-case-id", "has(request.headers)", "'request.headers' alone is no value"},
        {"x-case-id", "request.headers[\"x-case-id\"] == \"1\"",
         "compares a list of string with a string"},
        {"X-Case", "true", "is no name of a header field"},
        {"x_case", "true", "is no name of a header field"},
        {"x-forwarded-for", "true", "never reaches an application"},
        {"host", "true", "never reaches an application"},
        {"cookie", "true", "holds secrets"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char settings[128] = "", rule[256], text[256];
        if (table[i].headers)
            (void)snprintf(settings, sizeof settings, "    facts: { headers: ['%s'] }\n",
                           table[i].headers);
        (void)snprintf(rule, sizeof rule, "      - { id: r, permit: {}, when: '%s' }\n",
                       table[i].when);
        cr_expect_eq(findings_of(settings, rule, NULL, text), 1, "row %zu: %s", i, text);
        cr_expect(strstr(text, table[i].finding), "row %zu: %s", i, text);
    }
}
