// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy check` and `test`. The same code judges here and in the gateway, so what passes
 * here is not refused there for its content. */
#include "base/file.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/policy_coverage.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"
#include "policy/compile.h"
#include "policy/delegation.h"
#include "policy/policy_test.h"
#include "policy/review.h"

/* What is printed besides findings. */
enum detail { DETAIL_NONE, DETAIL_TESTS, DETAIL_COVERAGE, DETAIL_COSTS };

struct check {
    enum detail detail;
    bool is_json;
    json_t *json; /* what was found of each file */
    const struct charter *charter;
};

static bool is_of_tests(enum detail d)
{
    return d == DETAIL_TESTS || d == DETAIL_COVERAGE;
}

static void check_delegation(const struct charter *c, const struct bundle *b, const char *path,
                             struct findings *out)
{
    const struct charter_entity *e = charter_entity(c, b->entity);
    struct place place = {.line = 1, .column = 1};
    (void)snprintf(place.file, sizeof place.file, "%s", path);
    if (!e) {
        findings_error(out, place, "not-delegated", "the charter knows no entity '%.*s'",
                       SLICE_ARG(b->entity));
        return;
    }
    if (b->serial < e->min_serial)
        findings_error(out, place, "old-serial",
                       "the charter asks for a serial of at least %lld, not %lld",
                       (long long)e->min_serial, (long long)b->serial);
    delegation_review(e, b, place, out);
}

static uint32_t count_rules(const struct bundle *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->application_count; i++)
        count += b->applications[i].rule_count;
    return count;
}

static void print_tests(const struct bundle *b, const enum test_end *ends)
{
    static const char *const words[] = {
        [TEST_NOT_RUN] = "-   ", [TEST_FAILED] = "FAIL", [TEST_PASSED] = "ok  "};
    for (uint32_t i = 0; i < b->test_count; i++)
        screen_print(stdout, "%s %.*s\n", words[ends[i]], SLICE_ARG(b->tests[i].name));
}

/* What each condition may cost, in steps of some nanoseconds. */
static void print_costs(const struct bundle *b)
{
    for (uint32_t i = 0; i < b->application_count; i++) {
        const struct application *app = &b->applications[i];
        for (uint32_t j = 0; j < app->rule_count; j++) {
            const struct rule *r = &app->rule_list[j];
            if (r->when)
                screen_print(stdout, "%.*s/%.*s: cost at most %u steps: %.*s\n", SLICE_ARG(app->id),
                             SLICE_ARG(r->id), cel_cost(r->when),
                             SLICE_ARG(slice_trim(r->when_text)));
        }
        (void)printf("%.*s: cost of all conditions at most %llu steps\n", SLICE_ARG(app->id),
                     (unsigned long long)app->cost);
    }
}

/* ---- JSON ---- */

static json_t *findings_json(const struct findings *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->count; i++) {
        const struct finding *at = &f->at[i];
        json_t *one = json_object();
        (void)json_object_set_new(one, "file", json_text(slice_of(at->place.file)));
        (void)json_object_set_new(one, "line", json_integer(at->place.line));
        (void)json_object_set_new(one, "column", json_integer(at->place.column));
        (void)json_object_set_new(one, "severity", json_string(at->is_error ? "error" : "warning"));
        (void)json_object_set_new(one, "code", json_string(at->code));
        (void)json_object_set_new(one, "text", json_text(slice_of(at->text)));
        (void)json_array_append_new(list, one);
    }
    return list;
}

static json_t *tests_json(const struct bundle *b, const enum test_end *ends)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < b->test_count; i++) {
        json_t *one = json_object();
        (void)json_object_set_new(one, "name", json_text(b->tests[i].name));
        (void)json_object_set_new(one, "passed",
                                  ends[i] == TEST_NOT_RUN ? json_null()
                                                          : json_boolean(ends[i] == TEST_PASSED));
        (void)json_array_append_new(list, one);
    }
    return list;
}

static json_t *costs_json(const struct bundle *b)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < b->application_count; i++)
        for (uint32_t j = 0; j < b->applications[i].rule_count; j++) {
            const struct rule *r = &b->applications[i].rule_list[j];
            json_t *one = json_object();
            (void)json_object_set_new(one, "application", json_text(b->applications[i].id));
            (void)json_object_set_new(one, "rule", json_text(r->id));
            (void)json_object_set_new(one, "steps", json_integer(r->when ? cel_cost(r->when) : 0));
            (void)json_array_append_new(list, one);
        }
    return list;
}

/* `more` is what else was asked of it; it is taken. */
static int conclude_json(const struct check *c, const char *path, const char *kind,
                         struct findings *f, json_t *more)
{
    const bool is_good = !f->errors;
    json_t *out = json_object();
    (void)json_object_set_new(out, "file", json_string(path));
    (void)json_object_set_new(out, "kind", json_string(kind));
    (void)json_object_set_new(out, "verdict", json_string(is_good ? "good" : "wrong"));
    (void)json_object_set_new(out, "errors", json_integer((json_int_t)f->errors));
    (void)json_object_set_new(out, "warnings", json_integer((json_int_t)f->warnings));
    (void)json_object_set_new(out, "findings", findings_json(f));
    (void)json_object_update(out, more);
    json_decref(more);
    (void)json_array_append_new(c->json, out);
    findings_fini(f);
    return is_good ? EXIT_OK : EXIT_REFUSED;
}

/* ---- one file ---- */

/* Those that together are too costly have not. */
static bool have_run(const struct bundle *b, const enum test_end *ends)
{
    return !b->test_count || ends[0] != TEST_NOT_RUN;
}

static void print_details(const struct check *c, const struct bundle *b, const enum test_end *ends)
{
    if (is_of_tests(c->detail)) {
        print_tests(b, ends);
        if (have_run(b, ends))
            coverage_print(b, policy_now(), c->detail == DETAIL_COVERAGE, stdout);
    }
    if (c->detail == DETAIL_COSTS)
        print_costs(b);
}

static void gather_details(const struct check *c, const struct bundle *b, const enum test_end *ends,
                           json_t *out)
{
    (void)json_object_set_new(out, "tests", tests_json(b, ends));
    if (is_of_tests(c->detail) && have_run(b, ends))
        (void)json_object_set_new(out, "coverage", coverage_json(b, policy_now()));
    if (c->detail == DETAIL_COSTS)
        (void)json_object_set_new(out, "costs", costs_json(b));
}

static int check_bundle(struct slice text, const char *path, const struct check *c)
{
    const struct charter *charter = c->charter;
    json_t *more = json_object();
    struct findings f;
    findings_init(&f);
    struct bundle *b = bundle_load(text, path, policy_folder(path), &f);
    if (b) {
        bundle_compile(b);
        enum test_end *ends = mem_array(enum test_end, b->test_count + 1);
        const bool has_passed =
            policy_test_run(b, charter ? &charter->baseline : NULL, policy_now(), &f, ends);
        bundle_review(b, policy_now(), &f);
        if (charter)
            check_delegation(charter, b, path, &f);
        if (c->is_json)
            gather_details(c, b, ends, more);
        else
            print_details(c, b, ends);
        if (!c->is_json && !f.errors && has_passed)
            (void)printf(
                "%s: good: entity %.*s, serial %lld, %u applications, %u rules, %u tests passed\n",
                path, SLICE_ARG(b->entity), (long long)b->serial,
                b->application_count - (b->sign_in != NULL), count_rules(b), b->test_count);
        mem_free(ends);
    }
    bundle_free(b);
    if (c->is_json)
        return conclude_json(c, path, "bundle", &f, more);
    json_decref(more);
    return policy_conclude(&f, stdout);
}

static int check_charter(struct slice text, const char *path, const struct check *check)
{
    struct findings f;
    findings_init(&f);
    struct charter *c = charter_load(text, path, &f);
    if (c)
        charter_review(c, policy_now(), &f);
    if (c && !check->is_json)
        (void)printf("%s: good: charter, serial %lld, %u entities\n", path, (long long)c->serial,
                     c->entity_count);
    charter_free(c);
    return check->is_json ? conclude_json(check, path, "charter", &f, json_object())
                          : policy_conclude(&f, stdout);
}

static int check_file(const char *path, const struct check *c)
{
    struct slice text;
    struct fault f;
    if (!file_read(&text, path, YAML_MAX_BYTES, &f))
        return policy_trouble(&f);
    const int code = policy_is_charter(text) && !is_of_tests(c->detail)
                         ? check_charter(text, path, c)
                         : check_bundle(text, path, c);
    mem_slice_free(&text);
    return code;
}

/* The worst that any file gave. */
static int check_files(char **files, int count, const struct check *c)
{
    int worst = EXIT_OK;
    for (int i = 0; i < count; i++) {
        const int code = check_file(files[i], c);
        worst = code > worst ? code : worst;
    }
    return worst;
}

/* With the charter that is at hand. */
static int check_under(const char *charter_path, char **files, int count, struct check *c)
{
    struct slice text = {NULL, 0};
    struct findings findings;
    struct fault f;
    int code;
    findings_init(&findings);
    struct charter *charter = policy_read_charter(charter_path, &text, &findings, &f);
    if (c->is_json && (findings.errors || findings.warnings)) {
        (void)conclude_json(c, charter_path, "charter", &findings, json_object());
    } else {
        (void)policy_conclude(&findings, stdout);
    }
    c->charter = charter;
    code = charter ? check_files(files, count, c) : policy_trouble(&f);
    charter_free(charter);
    mem_slice_free(&text);
    return code;
}

static int run_check(const char *verb, enum detail detail, int argc, char **argv)
{
    struct check c = {.detail = detail};
    const char *charter_path = NULL;
    const bool is_check = detail == DETAIL_NONE;
    int count = 0, code;
    for (int i = 0; i < argc; i++) { /* files move to the front */
        if (strcmp(argv[i], "--charter") == 0 && i + 1 < argc)
            charter_path = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            c.is_json = true;
        else if (is_check && strcmp(argv[i], "--verbose") == 0)
            c.detail = DETAIL_COSTS;
        else if (!is_check && strcmp(argv[i], "--coverage") == 0)
            c.detail = DETAIL_COVERAGE;
        else if (argv[i][0] == '-')
            return policy_usage(verb);
        else
            argv[count++] = argv[i];
    }
    if (!count && (!charter_path || !is_check))
        return policy_usage(verb);
    c.json = json_array();
    if (!count) /* the charter alone */
        code = check_file(charter_path, &c);
    else if (charter_path)
        code = check_under(charter_path, argv, count, &c);
    else
        code = check_files(argv, count, &c);
    if (c.is_json)
        json_print(c.json);
    else
        json_decref(c.json);
    return code;
}

int verb_check(int argc, char **argv)
{
    return run_check("check", DETAIL_NONE, argc, argv);
}

int verb_test(int argc, char **argv)
{
    return run_check("test", DETAIL_TESTS, argc, argv);
}
