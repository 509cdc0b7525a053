// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy check` and `test`. The same code judges here and in the gateway, so what passes
 * here is not refused there for its content. */
#include "base/file.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/policy_coverage.h"
#include "cli/policy_in.h"
#include "policy/compile.h"
#include "policy/delegation.h"
#include "policy/policy_test.h"
#include "policy/review.h"

/* What is printed besides findings. */
enum detail { DETAIL_NONE, DETAIL_TESTS, DETAIL_COVERAGE, DETAIL_COSTS };

static bool is_of_tests(enum detail d)
{
    return d == DETAIL_TESTS || d == DETAIL_COVERAGE;
}

static void check_delegation(const struct charter *c, const struct bundle *b, const char *path,
                             struct findings *out)
{
    const struct charter_entity *e = charter_entity(c, b->entity);
    struct place place = {.line = 1, .column = 1};
    struct fault f;
    (void)snprintf(place.file, sizeof place.file, "%s", path);
    if (!e)
        findings_error(out, place, "not-delegated", "the charter knows no entity '%.*s'",
                       SLICE_ARG(b->entity));
    else if (b->serial < e->min_serial)
        findings_error(out, place, "old-serial", "the charter asks for a serial of at least %lld",
                       (long long)e->min_serial);
    else if (!delegation_has_bundle(e, b, &f))
        findings_error(out, place, "not-delegated", "%s", f.text);
}

static uint32_t count_rules(const struct bundle *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->application_count; i++)
        count += b->applications[i].rule_count;
    return count;
}

static void print_tests(const struct bundle *b, const bool *passed)
{
    for (uint32_t i = 0; i < b->test_count; i++)
        (void)printf("%s %.*s\n", passed[i] ? "ok  " : "FAIL", SLICE_ARG(b->tests[i].name));
}

/* What each condition may cost, in steps of some nanoseconds. */
static void print_costs(const struct bundle *b)
{
    for (uint32_t i = 0; i < b->application_count; i++) {
        const struct application *app = &b->applications[i];
        for (uint32_t j = 0; j < app->rule_count; j++) {
            const struct rule *r = &app->rule_list[j];
            if (r->when)
                (void)printf("%.*s/%.*s: cost at most %u steps: %.*s\n", SLICE_ARG(app->id),
                             SLICE_ARG(r->id), cel_cost(r->when),
                             SLICE_ARG(slice_trim(r->when_text)));
        }
        (void)printf("%.*s: cost of all conditions at most %llu steps\n", SLICE_ARG(app->id),
                     (unsigned long long)app->cost);
    }
}

static int check_bundle(struct slice text, const char *path, const struct charter *charter,
                        enum detail detail)
{
    struct findings f;
    findings_init(&f);
    struct bundle *b = bundle_load(text, path, policy_folder(path), &f);
    if (b) {
        bundle_compile(b);
        bool *passed = mem_array(bool, b->test_count + 1);
        const bool has_passed =
            policy_test_run(b, charter ? &charter->baseline : NULL, policy_now(), &f, passed);
        bundle_review(b, policy_now(), &f);
        if (charter)
            check_delegation(charter, b, path, &f);
        if (is_of_tests(detail)) {
            print_tests(b, passed);
            coverage_print(b, policy_now(), detail == DETAIL_COVERAGE, stdout);
        }
        if (detail == DETAIL_COSTS)
            print_costs(b);
        if (!f.errors && has_passed)
            (void)printf(
                "%s: good: entity %.*s, serial %lld, %u applications, %u rules, %u tests passed\n",
                path, SLICE_ARG(b->entity), (long long)b->serial, b->application_count,
                count_rules(b), b->test_count);
        mem_free(passed);
    }
    bundle_free(b);
    return policy_conclude(&f, stdout);
}

static int check_charter(struct slice text, const char *path)
{
    struct findings f;
    findings_init(&f);
    struct charter *c = charter_load(text, path, &f);
    if (c)
        charter_review(c, policy_now(), &f);
    if (c)
        (void)printf("%s: good: charter, serial %lld, %u entities\n", path, (long long)c->serial,
                     c->entity_count);
    charter_free(c);
    return policy_conclude(&f, stdout);
}

static int check_file(const char *path, const struct charter *charter, enum detail detail)
{
    struct slice text;
    struct fault f;
    if (!file_read(&text, path, YAML_MAX_BYTES, &f))
        return policy_trouble(&f);
    const int code = policy_is_charter(text) && !is_of_tests(detail)
                         ? check_charter(text, path)
                         : check_bundle(text, path, charter, detail);
    mem_slice_free(&text);
    return code;
}

/* The worst that any file gave. */
static int check_files(char **files, int count, const struct charter *charter, enum detail detail)
{
    int worst = EXIT_OK;
    for (int i = 0; i < count; i++) {
        const int code = check_file(files[i], charter, detail);
        worst = code > worst ? code : worst;
    }
    return worst;
}

/* Files, with the charter that is at hand. */
static int run_check(const char *verb, enum detail detail, int argc, char **argv)
{
    const char *charter_path = NULL;
    struct slice text = {NULL, 0};
    const bool is_check = detail == DETAIL_NONE;
    int count = 0;
    for (int i = 0; i < argc; i++) { /* files move to the front */
        if (strcmp(argv[i], "--charter") == 0 && i + 1 < argc)
            charter_path = argv[++i];
        else if (is_check && strcmp(argv[i], "--verbose") == 0)
            detail = DETAIL_COSTS;
        else if (!is_check && strcmp(argv[i], "--coverage") == 0)
            detail = DETAIL_COVERAGE;
        else if (argv[i][0] == '-')
            return policy_usage(verb);
        else
            argv[count++] = argv[i];
    }
    if (!count && (!charter_path || !is_check))
        return policy_usage(verb);
    if (!count) /* the charter alone */
        return check_file(charter_path, NULL, DETAIL_NONE);
    struct charter *charter = NULL;
    if (charter_path) {
        struct findings findings;
        struct fault f;
        findings_init(&findings);
        charter = policy_read_charter(charter_path, &text, &findings, &f);
        (void)policy_conclude(&findings, stdout);
        if (!charter) {
            mem_slice_free(&text);
            return policy_trouble(&f);
        }
    }
    const int code = check_files(argv, count, charter, detail);
    charter_free(charter);
    mem_slice_free(&text);
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
