// SPDX-License-Identifier: EUPL-1.2
/* The condition language: what each construct means, what becomes of missing facts, and what is
 * refused, where and in which words. cel_twin.c holds the run to a naive evaluator. */
#include "policy/cel.h"

#include <criterion/criterion.h>
#include <math.h>

#include "policy/bundle.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Who is there. */
enum { USER = 1, DEVICE = 2, SERVICE = 4, SESSION = 16, BARE = 8 /* optional facts are missing */ };

struct world {
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct facts_session session;
    struct application app;
    struct request request;
    struct facts facts;
};

static const struct slice groups[] = {SLICE_INIT("tax-officers"), SLICE_INIT("staff")};
static const struct slice units[] = {SLICE_INIT("tax"), SLICE_INIT("ICT"), SLICE_INIT("staff")};
static const struct slice methods[] = {SLICE_INIT("pwd"), SLICE_INIT("otp")};
static struct slice segments[] = {SLICE_INIT("declarations"), SLICE_INIT("2026 é")};

static void world_fill(struct world *w, int who)
{
    const bool bare = who & BARE;
    *w = (struct world){
        .user = {.id = SLICE("fas:u-1"),
                 .subject = SLICE("u-1"),
                 .provider = SLICE("fas"),
                 .acr = bare ? SLICE("") : SLICE("loa3"),
                 .groups = {groups, bare ? 0 : COUNT_OF(groups)},
                 .acr_level = bare ? 0 : 400},
        .device = {.id = SLICE("laptops:L-7"),
                   .trust = SLICE("managed"),
                   .common_name = bare ? SLICE("") : SLICE("L-7"),
                   .organizational_units = {units, COUNT_OF(units)}},
        .service = {.id = SLICE("spiffe://finance.example/batch")},
        .session = {.began = {1000}, .authenticated_at = {bare ? 0 : 400}, .methods = {methods, 2}},
        .app = {.id = SLICE("tax-desk"),
                .host = SLICE("tax.localhost"),
                .entity = SLICE("finance")},
        .request = {.protocol = PROTOCOL_H2,
                    .method_name = SLICE("GET"),
                    .host = SLICE("tax.localhost"),
                    .decoded_path = SLICE("/declarations/2026 é"),
                    .path = {.segments = segments, .segment_count = COUNT_OF(segments)},
                    .has_query = !bare},
        .facts = {.client_address = SLICE("192.0.2.7"), .now = {4600}},
    };
    w->facts.user = who & USER ? &w->user : NULL;
    w->facts.device = who & DEVICE ? &w->device : NULL;
    w->facts.service = who & SERVICE ? &w->service : NULL;
    w->facts.session = who & SESSION ? &w->session : NULL;
    w->facts.app = &w->app;
    w->facts.request = &w->request;
}

static const struct place here = {.file = "bundle.yaml", .line = 10, .column = 7};

/* One compiled condition and what was found in it. */
struct trial {
    struct arena arena;
    struct findings findings;
    struct cel *cel;
};

static void trial_make(struct trial *t, struct slice text)
{
    arena_init(&t->arena, NULL);
    findings_init(&t->findings);
    t->cel = cel_compile(&t->arena, text, here, &t->findings);
}

static void trial_end(struct trial *t)
{
    findings_fini(&t->findings);
    arena_fini(&t->arena);
}

static const char *first_text(const struct trial *t)
{
    return t->findings.count ? t->findings.at[0].text : "";
}

static enum cel_outcome outcome_of(const char *text, int who, struct cel_run *run)
{
    struct trial t;
    struct world w;
    world_fill(&w, who);
    trial_make(&t, slice_of(text));
    cr_assert_not_null(t.cel, "%s: %s", text, first_text(&t));
    enum cel_outcome outcome = cel_test(t.cel, &w.facts, run);
    trial_end(&t);
    return outcome;
}

struct row {
    const char *text;
    enum cel_outcome outcome;
};

static void all_rows(const struct row *rows, size_t count, int who)
{
    for (size_t i = 0; i < count; i++) {
        struct cel_run run = {.lacks_user = false};
        cr_expect_eq(outcome_of(rows[i].text, who, &run), rows[i].outcome, "%s", rows[i].text);
    }
}

#define T CEL_IS_TRUE
#define F CEL_IS_FALSE
#define E CEL_IS_ERROR

Test(cel, operators_and_functions_mean_what_cel_says)
{
    static const struct row rows[] = {
        {"true", T},
        {"false", F},
        {"!true", F},
        {"!!true", T},
        {"!!!true", F},
        {"1 == 1", T},
        {"1 != 1", F},
        {"-9223372036854775808 < 9223372036854775807", T},
        {"0x10 == 16", T},
        {"0xFfu == 255u", T},
        {"18446744073709551615u > 9223372036854775808u", T},
        {"007 == 7", T},
        {"1.5 > 1.25", T},
        {".5 == 5e-1", T},
        {"-0.0 == 0.0", T},
        {"[-0.0] == [0.0]", T},
        {"-1.0 < 1e308", T},
        {"false < true", T},
        {"true <= false", F},
        {"'a' < 'b'", T},
        {"'a' < 'ab'", T},
        {"'' < 'a'", T},
        {"'B' < 'a'", T},
        {"'\\uFFFD' < '\\U0001F600'", T}, // by code points, not by UTF-16
        {"'z' < 'é'", T},
        {"'a' >= 'a'", T},
        {"'a' in ['a', 'b']", T},
        {"'c' in ['a', 'b']", F},
        {"1 in []", F},
        {"[] == []", T},
        {"[1, 2] == [1, 2]", T},
        {"[1, 2] == [2, 1]", F},
        {"[1, 2] != [1]", T},
        {"[[1], []] == [[1], []]", T},
        {"[1] in [[2], [1]]", T},
        {"[1, 2,] == [1, 2]", T},
        {"true in [1 == 2, 1 == 1]", T},
        {"size('') == 0", T},
        {"size('é漢\\U0001F600') == 3", T},
        {"'abc'.size() == 3", T},
        {"size([1, 2]) == 2", T},
        {"size([]) == 0", T},
        {"'abc'.startsWith('ab')", T},
        {"'abc'.startsWith('')", T},
        {"'ab'.startsWith('abc')", F},
        {"'abc'.endsWith('bc')", T},
        {"'bc'.endsWith('abc')", F},
        {"'abc'.contains('b')", T},
        {"'abc'.contains('')", T},
        {"''.contains('a')", F},
        {"true ? false : true", F},
        {"(false ? 1 : 2) == 2", T},
        {"size(true ? ['a'] : []) == 1", T},
        {"[1, 2].exists(x, x == 2)", T},
        {"[1, 2].exists(x, x == 3)", F},
        {"[1, 2].all(x, x > 0)", T},
        {"[1, 2].all(x, x > 1)", F},
        {"[1].exists(x, [1, 2].all(y, x <= y))", T},
        {"[1].exists(x, [2].exists(x, x == 2))", T}, // the inner one hides the outer
        {"[[1, 2], [3]].exists(l, size(l) == 1 && 3 in l)", T},
        {"['g'].all(user, user == 'g')", T}, // hides the root, as CEL says
        {"true // a comment", T},
        {"// first\n\ttrue\r\f", T},
    };
    all_rows(rows, COUNT_OF(rows), USER | DEVICE);
}

Test(cel, facts_are_read_from_where_they_are)
{
    static const struct row rows[] = {
        {"'tax-officers' in user.groups", T},
        {"'tax-officer' in user.groups", F},
        {"user.groups.exists(g, g.startsWith('tax-'))", T},
        {"user.groups.exists(g, g in device.organizational_units)", T},
        {"user.groups.all(g, device.organizational_units.exists(u, u == g))", F},
        {"user.groups == ['tax-officers', 'staff']", T},
        {"[user.subject, 'x'] == ['u-1', 'x']", T},
        {"user.id in [device.id, 'fas:u-1']", T},
        {"user.acr == 'loa3' && user.acr_level >= 400", T},
        {"size(user.scopes) == 0", T},
        {"device.trust == 'managed'", T},
        {"service.id == 'spiffe://finance.example/batch'", T},
        {"app.entity == 'finance' && app.id == 'tax-desk'", T},
        {"request.method in ['GET', 'HEAD']", T},
        {"request.path.startsWith('/declarations/')", T},
        {"request.path == '/declarations/2026 \\u00e9'", T},
        {"'declarations' in request.segments && size(request.segments) == 2", T},
        {"request.protocol == 'h2'", T},
        {"request.query == ''", T}, // "/a?" has a query, which is empty
        {"request.client_address.startsWith('192.0.2.')", T},
        {"has(user.acr) && has(user.groups) && has(request.query)", T},
        {"session.age == duration('1h') && session.age < duration('61m')", T},
        {"session.authentication_age.getMinutes() == 70", T},
        {"'otp' in session.methods && !('sc' in session.methods)", T},
        {"request.time - session.age == timestamp(1000)", T},
    };
    all_rows(rows, COUNT_OF(rows), USER | DEVICE | SERVICE | SESSION);
}

Test(cel, operators_bind_as_the_grammar_says)
{
    static const struct row rows[] = {
        {"true || false && false", T}, // && before ||
        {"(true || false) && false", F},
        {"false && false || true", T},
        {"1 < 2 == true", T}, // relations go to the left
        {"2 > 1 != false", T},
        {"1 == 1 in [true]", T},
        {"!true == false", T}, // ! before ==
        {"!(true == false)", T},
        {"true ? true : false ? false : false", T}, // ?: to the right
        {"(true ? true : false) ? false : true", F},
        {"false ? true : true || false", T},
        {"true || true ? false : true", F}, // || before ?:
        {"!'a'.startsWith('b')", T},
        {"-1 < 0", T},
    };
    all_rows(rows, COUNT_OF(rows), USER);
}

Test(cel, escapes_and_quotes_mean_what_cel_says)
{
    static const struct row rows[] = {
        {"size('\\a\\b\\f\\n\\r\\t\\v\\\\\\?\\\"\\'\\`') == 12", T},
        {"'\\n' == '''\n'''", T},
        {"'\\x41\\X42' == 'AB'", T},
        {"'\\101\\102' == 'AB'", T},
        {"'\\377' == '\\u00ff'", T}, // a code point, not a byte
        {"'\\xff' == 'ÿ'", T},
        {"'\\u00e9' == 'é'", T},
        {"'\\U0001F600' == '😀'", T},
        {"size('\\000') == 1", T},
        {"'\\000' < '\\001'", T},
        {"r'\\n' == '\\\\n'", T},
        {"size(R\"\\\\\") == 2", T},
        {"r'\\' == '\\\\'", T}, // raw: the quote ends it
        {"'\"' == \"\\\"\"", T},
        {"\"'\" == '\\''", T},
        {"'''x''x''' == \"x''x\"", T},
        {"\"\"\"a\"b\"\"\" == 'a\"b'", T},
        {"r'''\\''' == '\\\\'", T},
        {"'''a\\'''b''' == \"a'''b\"", T},
    };
    all_rows(rows, COUNT_OF(rows), USER);
}

Test(cel, and_or_absorb_errors_in_all_nine_pairs)
{
    static const char *const sides[] = {"false", "true", "user.acr == 'x'"};
    static const enum cel_outcome and_is[3][3] = {{F, F, F}, {F, T, E}, {F, E, E}};
    static const enum cel_outcome or_is[3][3] = {{F, T, E}, {T, T, T}, {E, T, E}};
    for (size_t a = 0; a < 3; a++) {
        for (size_t b = 0; b < 3; b++) {
            char text[80];
            struct cel_run run = {.lacks_user = false};
            (void)snprintf(text, sizeof text, "%s && %s", sides[a], sides[b]);
            cr_expect_eq(outcome_of(text, 0, &run), and_is[a][b], "%s", text);
            cr_expect_eq(run.lacks_user, and_is[a][b] == E, "%s", text);
            (void)snprintf(text, sizeof text, "%s || %s", sides[a], sides[b]);
            cr_expect_eq(outcome_of(text, 0, &run), or_is[a][b], "%s", text);
            cr_expect_eq(run.missing.len > 0, or_is[a][b] == E, "%s", text);
        }
    }
}

Test(cel, errors_go_through_everything_but_logic)
{
    static const struct row rows[] = {
        {"!(user.acr == 'x')", E},
        {"user.acr == 'x' ? true : true", E},
        {"true ? true : user.acr == 'x'", T},
        {"false ? true : user.acr == 'x'", E},
        {"'a' in [user.acr]", E},
        {"[user.acr] != []", E},
        {"size(user.groups) == 0", E},
        {"user.acr.startsWith('')", E},
        {"['a', 'b'].exists(x, user.acr == x || x == 'b')", T},
        {"['a', 'b'].exists(x, user.acr == x)", E},
        {"['a', 'b'].all(x, user.acr == x && x == 'b')", F},
        {"['a', 'b'].all(x, user.acr == x || x == 'a')", E},
        {"user.groups.exists(x, true)", E},
        {"user.groups.all(x, true)", E},
        {"user.acr == 'x' && true && false", F},
        {"user.acr == 'x' || false || true", T},
    };
    all_rows(rows, COUNT_OF(rows), 0);
    all_rows(&(struct row){"user.groups.exists(x, user.acr == x)", F}, 1, USER | BARE);
}

Test(cel, a_missing_fact_is_named_with_what_would_help)
{
    static const struct {
        const char *text;
        int who;
        enum cel_outcome outcome;
        const char *missing;
        bool lacks_user;
        bool lacks_device;
    } rows[] = {
        {"user.acr == 'x'", USER | BARE, E, "user.acr", false, false},
        {"user.acr == 'x'", 0, E, "user.acr", true, false},
        {"user.client_id == 'x'", USER, E, "user.client_id", false, false},
        {"device.trust == 'x'", USER, E, "device.trust", false, true},
        {"device.common_name == 'x'", USER | DEVICE | BARE, E, "device.common_name", false, false},
        {"service.id == 'x'", USER | DEVICE, E, "service.id", false, false},
        {"request.query == ''", USER | BARE, E, "request.query", false, false},
        {"user.id == device.id", 0, E, "user.id", true, true},
        {"device.id == user.id", 0, E, "device.id", true, true},
        {"user.id == 'x' && device.id == 'y'", 0, E, "user.id", true, true},
        // What was absorbed would change nothing: only what is left is told.
        {"(user.id == 'x' || true) && device.id == 'y'", 0, E, "device.id", false, true},
        {"[1].exists(x, user.id == 'x' || true) && device.id == 'y'", 0, E, "device.id", false,
         true},
        {"user.id == 'x' && app.id == 'other'", 0, F, "", false, false},
        {"has(user.acr)", USER, T, "", false, false},
        {"has(user.acr)", USER | BARE, F, "", false, false},
        {"has(user.acr)", 0, E, "user.acr", true, false},
        {"!has(user.acr)", 0, E, "user.acr", true, false},
        {"has(user.groups)", USER | BARE, T, "", false, false},
        {"has(device.common_name)", 0, E, "device.common_name", false, true},
        {"has(service.id)", USER, E, "service.id", false, false},
        {"has(user.acr) && user.acr == 'x'", USER | BARE, F, "", false, false},
        {"session.age < duration('1h')", USER, E, "session.age", false, false},
        {"session.age < duration('1h')", DEVICE, E, "session.age", true, false},
        {"session.authentication_age < duration('1h')", USER | SESSION | BARE, E,
         "session.authentication_age", false, false},
        {"has(session.authentication_age)", USER | SESSION | BARE, F, "", false, false},
        {"has(session.methods)", USER, E, "session.methods", false, false},
        {"size(user.groups) == 0", USER | BARE, T, "", false, false},
        {"user.acr_level == 0", USER | BARE, T, "", false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        // Left-overs of an earlier run must not shine through.
        struct cel_run run = {.lacks_user = true, .lacks_device = true, .missing = SLICE("old")};
        cr_expect_eq(outcome_of(rows[i].text, rows[i].who, &run), rows[i].outcome, "%s",
                     rows[i].text);
        cr_expect(slice_eq(run.missing, slice_of(rows[i].missing)), "%s: missing '%.*s'",
                  rows[i].text, SLICE_ARG(run.missing));
        cr_expect_eq(run.lacks_user, rows[i].lacks_user, "%s", rows[i].text);
        cr_expect_eq(run.lacks_device, rows[i].lacks_device, "%s", rows[i].text);
    }
}

Test(cel, an_assumed_level_is_above_every_other)
{
    struct cel_run run = {.assume_acr_level = true};
    cr_expect_eq(outcome_of("user.acr_level >= 500", USER | BARE, &run), T);
    cr_expect_eq(outcome_of("user.acr_level < 500", USER | BARE, &run), F);
    cr_expect_eq(outcome_of("user.acr_level >= 500", 0, &run), E);
    cr_expect(run.lacks_user);
    run.assume_acr_level = false;
    cr_expect_eq(outcome_of("user.acr_level >= 500", USER | BARE, &run), F);
}

/* --- what is refused --- */

struct refused {
    const char *text;
    const char *code;
    uint32_t line; /* from the text's own: 0 is its first */
    uint32_t column;
    const char *says; /* some words of it */
};

static void all_refused(const struct refused *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct trial t;
        trial_make(&t, slice_of(rows[i].text));
        cr_expect_null(t.cel, "%s", rows[i].text);
        cr_expect_eq(t.findings.errors, 1, "%s: %zu errors", rows[i].text, t.findings.errors);
        if (t.findings.count) {
            const struct finding *f = &t.findings.at[0];
            cr_expect_str_eq(f->code, rows[i].code, "%s: %s", rows[i].text, f->text);
            cr_expect_str_eq(f->place.file, "bundle.yaml");
            cr_expect_eq(f->place.line, here.line + rows[i].line, "%s: line %u", rows[i].text,
                         f->place.line);
            cr_expect_eq(f->place.column, here.column + rows[i].column, "%s: column +%u",
                         rows[i].text, f->place.column - here.column);
            cr_expect_not_null(strstr(f->text, rows[i].says), "%s: %s", rows[i].text, f->text);
        }
        trial_end(&t);
    }
}

Test(cel, what_cel_has_and_conditions_have_not_is_named)
{
    static const struct refused rows[] = {
        {"Name{a: 1} == 1", "condition-not-carried", 0, 4, "messages"},
        {".user.id == 'a'", "condition-not-carried", 0, 0, "leading dot"},
        {"user.?id == 'a'", "condition-not-carried", 0, 5, "optionals"},
        {"user.groups[?0] == 'a'", "condition-not-carried", 0, 11, "optionals"},
        {"dyn(1) == 1", "condition-not-carried", 0, 0, "'dyn'"},
        {"[1].existsOne(i, v, true)", "condition-not-carried", 0, 4, "exists_one"},
        {"user.id.matches(user.acr)", "condition-not-carried", 0, 21, "a pattern"},
        {"request.time.getHours(user.id) == 1", "condition-not-carried", 0, 27, "time zone"},
    };
    all_refused(rows, COUNT_OF(rows));
}

Test(cel, syntax_is_refused_where_it_breaks)
{
    static const struct refused rows[] = {
        {"", "condition-syntax", 0, 0, "ends where a value is expected"},
        {"true &&", "condition-syntax", 0, 7, "ends"},
        {"true & true", "condition-syntax", 0, 5, "&&"},
        {"1 = 1", "condition-syntax", 0, 2, "=="},
        {"true true", "condition-syntax", 0, 5, "operator or the end"},
        {"(true", "condition-syntax", 0, 5, "')'"},
        {"true)", "condition-syntax", 0, 4, "')'"},
        {"[1, 2 == [1]", "condition-syntax", 0, 12, "']'"},
        {"[,] == []", "condition-syntax", 0, 1, "a value"},
        {"size('a',) == 1", "condition-syntax", 0, 9, "an argument"},
        {"true ? false", "condition-syntax", 0, 12, "':'"},
        {"true ? true ? true : true : true", "condition-syntax", 0, 12, "':'"},
        {"!-1", "condition-syntax", 0, 1, "a value"},
        {"user. == 1", "condition-syntax", 0, 6, "a name"},
        {"user.in == 1", "condition-syntax", 0, 5, "a name"},
        {"while == 1", "condition-syntax", 0, 0, "reserved"},
        {"'abc", "condition-syntax", 0, 0, "no end"},
        {"'a\nb' == ''", "condition-syntax", 0, 0, "no end on its line"},
        {"'''a", "condition-syntax", 0, 0, "no end"},
        {"'\\q' == ''", "condition-syntax", 0, 1, "no such escape"},
        {"'\\400' == ''", "condition-syntax", 0, 1, "no such escape"},
        {"'\\08' == ''", "condition-syntax", 0, 1, "no such escape"},
        {"'\\x4' == ''", "condition-syntax", 0, 1, "no such escape"},
        {"'\\u00g0' == ''", "condition-syntax", 0, 1, "no such escape"},
        {"'é\\ud800' == ''", "condition-syntax", 0, 2, "no such escape"},
        {"'\\U00110000' == ''", "condition-syntax", 0, 1, "no such escape"},
        {"'\xc0\xaf' == ''", "condition-syntax", 0, 1, "UTF-8"},
        {"'\xed\xa0\x80' == ''", "condition-syntax", 0, 1, "UTF-8"},
        {"é == 1", "condition-syntax", 0, 0, "0xc3"},
        {"1abc == 1", "condition-syntax", 0, 1, "number"},
        {"0x == 1", "condition-syntax", 0, 0, "hexadecimal"},
        {"1.e == 1", "condition-type", 0, 2, "field"},
        {"9223372036854775808 == 1", "condition-syntax", 0, 0, "int"},
        {"-9223372036854775809 == 1", "condition-syntax", 0, 1, "int"},
        {"18446744073709551616u == 1u", "condition-syntax", 0, 0, "uint"},
        {"1e999 == 1.0", "condition-syntax", 0, 0, "double"},
        {"true @ true", "condition-syntax", 0, 5, "'@'"},
        {"true &&\n  'ö' == 'ö' &&\n  nothing here", "condition-syntax", 2, 10, "'here'"},
    };
    all_refused(rows, COUNT_OF(rows));
}

Test(cel, types_are_checked_when_loaded)
{
    static const struct refused rows[] = {
        {"1", "condition-type", 0, 0, "is an int; it must be a bool"},
        {"user.groups", "condition-type", 0, 5, "list of string"},
        {"user", "condition-type", 0, 0, "alone is no value"},
        {"1 == 1u", "condition-type", 0, 2, "an int with a uint"},
        {"1 < 1.0", "condition-type", 0, 2, "double"},
        {"user.acr_level == '400'", "condition-type", 0, 15, "string"},
        {"user.groups == 'a'", "condition-type", 0, 12, "list of string"},
        {"user.groups < user.amr", "condition-type", 0, 12, "order lists"},
        {"user.groups == [1]", "condition-type", 0, 12, "list of int"},
        {"[] == [] < true ? true : [] < []", "condition-type", 0, 28, "order lists"},
        {"'a' in 'abc'", "condition-type", 0, 4, "must be a list"},
        {"1 in user.groups", "condition-type", 0, 2, "one type"},
        {"[1, 'a'] == []", "condition-type", 0, 4, "a string in a list of int"},
        {"true && 1", "condition-type", 0, 8, "'&&'"},
        {"'a' || true", "condition-type", 0, 0, "'||'"},
        {"!1", "condition-type", 0, 1, "'!'"},
        {"!!1", "condition-type", 0, 2, "'!'"},
        {"1 ? true : false", "condition-type", 0, 0, "before '?'"},
        {"true ? 1 : 'a'", "condition-type", 0, 5, "one type"},
        {"-1u == 1u", "condition-type", 0, 1, "uint"},
        {"size(1) == 1", "condition-type", 0, 0, "no size"},
        {"size() == 1", "condition-type", 0, 0, "size(x)"},
        {"size('a', 'b') == 1", "condition-type", 0, 0, "size(x)"},
        {"'a'.startsWith(1)", "condition-type", 0, 15, "takes a string"},
        {"user.groups.contains('a')", "condition-type", 0, 12, "'x in list'"},
        {"'a'.contains()", "condition-type", 0, 4, "written"},
        {"'a'.exists(x, true)", "condition-type", 0, 4, "for a list"},
        {"1 + 'a' == 2", "condition-type", 0, 2, "int + int"},
        {"1 + 1u == 2", "condition-type", 0, 2, "1u uint"},
        {"-'a' == ''", "condition-type", 0, 0, "-int, -double"},
        {"int([1]) == 1", "condition-type", 0, 0, "int(string)"},
        {"duration('1h').getHours('UTC') == 1", "condition-type", 0, 15, "without a time zone"},
        {"'a'.getDate() == 1", "condition-type", 0, 4, "for a timestamp"},
        {"user.groups['a'] == ''", "condition-type", 0, 12, "counted from 0"},
        {"{'a': 1}[1] == 1", "condition-type", 0, 9, "a string"},
        {"{'a': 1, 'a': 2} == {}", "condition-type", 0, 9, "twice"},
        {"{1.5: 1} == {}", "condition-type", 0, 1, "as a key"},
        {"{'a': 1, 'b': 'c'} == {}", "condition-type", 0, 14, "among values"},
        {"user.acr == null", "condition-type", 0, 9, "null"},
        {"null < null", "condition-type", 0, 5, "order null"},
        {"timestamp('2026-02-30T00:00:00Z') < request.time", "condition-value", 0, 10, "timestamp"},
        {"duration('1 day') == duration('0')", "condition-value", 0, 9, "duration"},
        {"cidr('10.0.0.0/40').containsIP(request.client_address)", "condition-value", 0, 5,
         "network"},
        {"user.id.matches('(a')", "condition-regex", 0, 16, "'(' without ')'"},
        {"request.time.getHours('Europe/Brusels') == 1", "condition-time-zone", 0, 22,
         "did you mean 'Europe/Brussels'?"},
        {"user.groups.exists(x, x)", "condition-type", 0, 22, "must"},
        {"user.groups.exists('x', true)", "condition-type", 0, 12, "written"},
        {"user.groups.exists(x, y, true)", "condition-type", 0, 12, "written"},
        {"user.groups.exists(x, true) && x == ''", "unknown-name", 0, 31, "'x'"},
        {"user.id.length == 1", "condition-type", 0, 8, "no field"},
        {"has(user)", "condition-type", 0, 0, "has(user.acr)"},
        {"has(user.id.x)", "condition-type", 0, 0, "has(user.acr)"},
        {"['a'].exists(user, has(user.id))", "condition-type", 0, 19, "has(user.acr)"},
    };
    all_refused(rows, COUNT_OF(rows));
}

Test(cel, unknown_names_come_with_the_nearest_one)
{
    static const struct refused rows[] = {
        {"user.group == ''", "unknown-fact", 0, 5, "did you mean 'user.groups'?"},
        {"true &&\n  has(user.gruops)", "unknown-fact", 1, 11, "did you mean 'user.groups'?"},
        {"device.groups == []", "unknown-fact", 0, 7, "did you mean 'user.groups'?"},
        {"user.shoe_size == 1", "unknown-fact", 0, 5, "acr_level"},
        {"usr.id == 'x'", "unknown-name", 0, 0, "did you mean 'user.id'?"},
        {"account.id == 'x'", "unknown-name", 0, 0, "facts begin with"},
        {"admin in user.groups", "unknown-name", 0, 0, "quotes"},
        {"user.id.startswith('x')", "unknown-function", 0, 8, "did you mean 'startsWith'?"},
        {"frobnicate(1)", "unknown-function", 0, 0, "allowed are"},
        {"'a'.has('x')", "unknown-function", 0, 4, "is called has(x)"},
        {"startsWith('x')", "unknown-function", 0, 0, "x.startsWith(...)"},
        {"user.id in sets.officers", "unknown-set", 0, 16, "declared at the bundle's top"},
    };
    all_refused(rows, COUNT_OF(rows));
}

Test(cel, all_type_errors_are_told_at_once)
{
    struct trial t;
    trial_make(&t, SLICE("user.nope == 1 &&\n  1 == 'a' ||\n  device.nope in [1, 'x']"));
    cr_expect_null(t.cel);
    cr_expect_eq(t.findings.errors, 4);
    trial_end(&t);
}

Test(cel, has_of_what_is_never_missing_is_a_warning)
{
    struct trial t;
    trial_make(&t, SLICE("has(user.groups)"));
    cr_expect_not_null(t.cel);
    cr_expect_eq(t.findings.warnings, 1);
    cr_expect_eq(t.findings.errors, 0);
    trial_end(&t);
}

/* --- limits --- */

/* The outcome of `head` and `tail` repeated around `middle`; -1 where it is refused as too much. */
static int nested(const char *head, const char *middle, const char *tail, size_t times)
{
    struct trial t;
    struct world w;
    struct arena a;
    arena_init(&a, NULL);
    struct slice text = slice_of(middle);
    for (size_t i = 0; i < times; i++)
        text = arena_printf(&a, "%s%.*s%s", head, SLICE_ARG(text), tail);
    world_fill(&w, USER);
    trial_make(&t, text);
    struct cel_run run = {.lacks_user = false};
    int outcome = t.cel ? (int)cel_test(t.cel, &w.facts, &run) : -1;
    if (!t.cel)
        cr_expect_str_eq(t.findings.at[0].code, "condition-limit");
    trial_end(&t);
    arena_fini(&a);
    return outcome;
}

Test(cel, depth_is_bounded_and_chains_are_not_depth)
{
    cr_expect_eq(nested("(", "true", ")", CEL_MAX_DEPTH - 1), T);
    cr_expect_eq(nested("(", "true", ")", CEL_MAX_DEPTH), -1);
    cr_expect_eq(nested("[", "1", "]", 4000), -1);
    cr_expect_eq(nested("!(", "true", ")", CEL_MAX_DEPTH - 1), F);
    cr_expect_eq(nested("(", "true", ")", 4000), -1);
    cr_expect_eq(nested("", "true", " == true", CEL_MAX_DEPTH - 1), T);
    cr_expect_eq(nested("", "true", " == true", CEL_MAX_DEPTH), -1);
    cr_expect_eq(nested("true ? true : ", "true", "", CEL_MAX_DEPTH - 1), T);
    cr_expect_eq(nested("true ? true : ", "true", "", CEL_MAX_DEPTH), -1);
    cr_expect_eq(nested("", "'a'", ".size()", 200), -1);
    cr_expect_eq(nested("true && ", "true", "", 1000), T);
    cr_expect_eq(nested("false || ", "true", " || false", 400), T);
    cr_expect_eq(nested("!", "true", "", 8001), F);
    cr_expect_eq(nested(" ", "true", "", CEL_MAX_TEXT_BYTES - 4), T);
    cr_expect_eq(nested(" ", "true", "", CEL_MAX_TEXT_BYTES - 3), -1);
}

Test(cel, loops_nest_so_deep_and_no_deeper)
{
    cr_expect_eq(nested("[1].exists(x, ", "true", ")", 4), T);
    cr_expect_eq(nested("[1].exists(x, ", "true", ")", 5), -1);
}

Test(cel, what_a_run_makes_is_bounded_all_together)
{
    // Each text is twice as long as the one before: 16 KiB are full at the tenth or so.
    char text[400] = "user.id + user.id";
    for (size_t i = 0; i < 4; i++) {
        char once[400];
        (void)snprintf(once, sizeof once, "[%.180s].map(a%zu, a%zu + a%zu + a%zu + a%zu + a%zu)[0]",
                       text, i, i, i, i, i, i);
        (void)snprintf(text, sizeof text, "%s", once);
    }
    struct cel_run run = {.lacks_user = false};
    char condition[420];
    (void)snprintf(condition, sizeof condition, "size(%s) > 0", text);
    cr_expect_eq(outcome_of(condition, USER, &run), E);
    cr_expect_not_null(strstr(run.error, "too large"));
    (void)snprintf(condition, sizeof condition, "%s == '' || true", text);
    cr_expect_eq(outcome_of(condition, USER, &run), T);
    // What a round of a loop made is forgotten behind it: 900 times 32 bytes.
    cr_expect_eq(outcome_of("[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,"
                            "26,27,28,29].all(a, [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,"
                            "19,20,21,22,23,24,25,26,27,28,29].all(b, request.path + user.id != "
                            "''))",
                            USER, &run),
                 T);
}

Test(cel, cost_is_the_worst_case)
{
    static const struct {
        const char *text;
        uint32_t cost;
    } rows[] = {
        {"true", 1},
        {"user.acr == 'x'", 2},
        {"user.acr == 'x' && user.id == 'y'", 4},
        {"'g' in user.groups", 2 + CEL_LIST_BOUND},
        {"user.groups.all(g, true)", 2 + CEL_LIST_BOUND},
        {"user.groups.all(g, g == 'x' || g == 'y')", 2 + 3 * CEL_LIST_BOUND},
        {"user.groups.all(g, device.uris.exists(u, u == g))",
         2 + CEL_LIST_BOUND * (1 + CEL_LIST_BOUND)},
        {"1 in [1, 2, 3, 4, 5, 6, 7, 8, 9]", 2 + 4},
        {"[[1, 2], [3]].exists(l, 1 in l)", 2 + 6 * (1 + 6)},
        {"true ? 'g' in user.groups : true", 3 + CEL_LIST_BOUND},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct trial t;
        trial_make(&t, slice_of(rows[i].text));
        cr_assert_not_null(t.cel, "%s: %s", rows[i].text, first_text(&t));
        cr_expect_eq(cel_cost(t.cel), rows[i].cost, "%s: %u", rows[i].text, cel_cost(t.cel));
        trial_end(&t);
    }
    static const struct refused too_much[] = {
        {"user.groups.all(g, user.amr.all(a, user.scopes.all(s, true)))", "condition-limit", 0, 0,
         "steps"},
    };
    all_refused(too_much, 1);
}

Test(cel, long_lists_find_every_element_and_no_other)
{
    struct arena a;
    struct world w;
    struct trial t;
    arena_init(&a, NULL);
    world_fill(&w, USER);
    struct slice list = SLICE("");
    struct slice numbers = SLICE("");
    // Out of order, of many lengths, one twice.
    for (unsigned i = 0; i < 300; i++) {
        list = arena_printf(&a, "%.*s%s'%u'", SLICE_ARG(list), i ? "," : "", i * 7919u % 100003u);
        numbers = arena_printf(&a, "%.*s%s%s%u", SLICE_ARG(numbers), i ? "," : "", i % 2 ? "-" : "",
                               i * 7919u % 100003u);
    }
    struct slice text = arena_printf(
        &a, "user.acr in [%.*s,'x','x'] ? user.acr_level in [%.*s,1] : user.acr_level in [%.*s]",
        SLICE_ARG(list), SLICE_ARG(numbers), SLICE_ARG(numbers));
    trial_make(&t, text);
    cr_assert_not_null(t.cel, "%s", first_text(&t));
    for (unsigned i = 0; i < 300; i++) {
        struct cel_run run = {.lacks_user = false};
        const unsigned n = i * 7919u % 100003u;
        w.user.acr = arena_printf(&a, "%u", n);
        w.user.acr_level = i % 2 ? -(int64_t)n : (int64_t)n;
        cr_expect_eq(cel_test(t.cel, &w.facts, &run), T, "%u", n);
        w.user.acr_level = 200000 + (int64_t)n;
        cr_expect_eq(cel_test(t.cel, &w.facts, &run), F, "%u", n);
        w.user.acr = arena_printf(&a, "0%u", n);
        w.user.acr_level = 1;
        cr_expect_eq(cel_test(t.cel, &w.facts, &run), F, "%u", n);
    }
    trial_end(&t);
    arena_fini(&a);
}
