// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy eval`: one expression, its value, type and cost; or lines of JSON, an expression
 * each, which is what conformance data is run through. The compiler and the run are those of the
 * gateway. The facts of one are in a file that has `given` and `request` as a policy test has
 * them. */
#include <stdlib.h>

#include <jansson.h>

#include "base/escape.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"
#include "policy/cel_eval.h"
#include "policy/path.h"
#include "policy/policy_test.h"
#include "policy/query.h"

struct eval {
    const char *expression;
    const char *facts_path;
    bool is_json;
    bool is_batch;
};

static void print_json_text(struct slice text)
{
    char *room = mem_array(char, ESCAPE_ROOM(text.len) + 1);
    const char *end = escape_json(room, text);
    (void)printf("\"%.*s\"", (int)(end - room), room);
    mem_free(room);
}

/* What a person is told of an error of the run. */
static struct slice run_error(struct arena *a, const struct cel_run *run)
{
    if (run->missing.len)
        return arena_printf(a, "%.*s is missing", SLICE_ARG(run->missing));
    return run->error ? slice_of(run->error) : SLICE("it can't be evaluated");
}

/* --- facts --- */

struct world {
    struct policy_test test;
    struct request request;
    struct facts facts;
};

/* False after having told why. */
static bool read_world(struct world *w, const char *path, struct arena *a)
{
    struct slice text = SLICE("");
    struct findings findings;
    struct fault fault;
    *w = (struct world){.facts = {.now = policy_now()}};
    if (!path)
        return true;
    if (!file_read(&text, path, YAML_MAX_BYTES, &fault)) {
        (void)policy_trouble(&fault);
        return false;
    }
    findings_init(&findings);
    bool is_good = policy_facts_load(&w->test, text, path, a, &findings);
    findings_print(&findings, stderr);
    findings_fini(&findings);
    mem_slice_free(&text);
    if (!is_good)
        return false;
    policy_test_facts(&w->test, NULL, w->facts.now, &w->request, &w->facts);
    if (!w->test.target.len) {
        w->facts.request = NULL;
        return true;
    }
    is_good = target_parse(&w->request, w->test.target, (struct path_options){.fold_case = false},
                           a) == REASON_PERMITTED;
    if (is_good)
        query_read(&w->facts, a);
    else
        screen_print(stderr, "belfry policy: '%.*s' is no path that is let in\n",
                     SLICE_ARG(w->test.target));
    return is_good;
}

/* Those that the file gives may be named. */
static struct slices header_names(const struct policy_test *t, struct arena *a)
{
    struct slice *names = arena_array(a, struct slice, t->field_count);
    for (uint32_t i = 0; i < t->field_count; i++)
        names[i] = t->fields[i].name;
    return (struct slices){names, t->field_count};
}

/* --- one expression --- */

static int print_value(const struct eval *e, const struct cel *c, struct slice json,
                       struct slice text, struct arena *a)
{
    const struct slice type = cel_type_text(a, c);
    if (e->is_json) {
        (void)printf("{\"value\": %.*s, \"type\": \"%.*s\", \"cost\": %u}\n", SLICE_ARG(json),
                     SLICE_ARG(type), cel_cost(c));
    } else {
        screen_print(stdout, "%.*s\n", SLICE_ARG(text));
        screen_print(stdout, "type %.*s, cost at most %u steps\n", SLICE_ARG(type), cel_cost(c));
    }
    return EXIT_OK;
}

static int print_error(const struct eval *e, struct slice why)
{
    if (e->is_json) {
        (void)fputs("{\"error\": ", stdout);
        print_json_text(why);
        (void)fputs("}\n", stdout);
    } else {
        screen_print(stdout, "error: %.*s\n", SLICE_ARG(why));
    }
    return EXIT_REFUSED;
}

static int print_findings(const struct eval *e, struct findings *f)
{
    if (e->is_json)
        return print_error(e, f->count ? slice_of(f->at[0].text) : SLICE("it does not load"));
    findings_print(f, stdout);
    return EXIT_REFUSED;
}

static int eval_one(const struct eval *e, struct arena *a)
{
    const struct place at = {.file = "expression", .line = 1, .column = 1};
    struct findings findings;
    struct cel_run run = {.lacks_user = false};
    struct world w;
    struct slice json, text;
    if (!read_world(&w, e->facts_path, a))
        return EXIT_TROUBLE;
    findings_init(&findings);
    const struct cel_names names = {.headers = header_names(&w.test, a)};
    const struct cel *c = cel_compile_any(a, &names, slice_of(e->expression), at, &findings);
    int code;
    if (!c)
        code = print_findings(e, &findings);
    else if (cel_eval(a, c, &w.facts, &run, &json, &text))
        code = print_value(e, c, json, text, a);
    else
        code = print_error(e, run_error(a, &run));
    findings_fini(&findings);
    return code;
}

/* --- lines --- */

/* The answer to one line, from `{"id": ..., ` on. */
static void answer(const json_t *line, struct arena *a)
{
    const json_t *expr = json_object_get(line, "expr");
    const json_t *vars = json_object_get(line, "vars");
    struct cel_names names = {.set_count = 0};
    struct cel_run run = {.lacks_user = false};
    struct facts facts = {.now = policy_now()};
    struct findings findings;
    struct fault fault = {.text = "\"expr\" is missing"};
    struct slice json, text;
    findings_init(&findings);
    const struct cel *c = NULL;
    if (json_is_string(expr) && (!vars || cel_variables_read(a, vars, &names, &fault)))
        c = cel_compile_any(a, &names,
                            slice_from(json_string_value(expr), json_string_length(expr)),
                            (struct place){.file = "expr", .line = 1, .column = 1}, &findings);
    if (c && cel_eval(a, c, &facts, &run, &json, &text)) {
        (void)printf("\"value\": %.*s}\n", SLICE_ARG(json));
    } else {
        (void)fputs("\"error\": ", stdout);
        print_json_text(c                ? run_error(a, &run)
                        : findings.count ? slice_of(findings.at[0].text)
                                         : slice_of(fault.text));
        (void)fputs("}\n", stdout);
    }
    findings_fini(&findings);
}

static void answer_line(struct slice text)
{
    json_error_t why;
    struct arena a;
    json_t *line = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
    const json_t *id = json_object_get(line, "id");
    char *id_text = id ? json_dumps(id, JSON_ENCODE_ANY) : NULL;
    arena_init(&a, NULL);
    (void)printf("{\"id\": %s, ", id_text ? id_text : "null");
    if (json_is_object(line)) {
        answer(line, &a);
    } else {
        (void)fputs("\"error\": ", stdout);
        print_json_text(arena_printf(&a, "the line is no JSON object%s%s", line ? "" : ": ",
                                     line ? "" : why.text));
        (void)fputs("}\n", stdout);
    }
    arena_fini(&a);
    free(id_text);
    json_decref(line);
}

static int eval_lines(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) >= 0) {
        while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        const struct slice text = slice_trim(slice_from(line, (size_t)len));
        if (text.len)
            answer_line(text);
    }
    free(line);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_TROUBLE;
}

static bool read_options(struct eval *e, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            e->is_json = true;
        else if (strcmp(argv[i], "--batch") == 0)
            e->is_batch = true;
        else if (strcmp(argv[i], "--facts") == 0 && i + 1 < argc && !e->facts_path)
            e->facts_path = argv[++i];
        else if (!e->expression && strncmp(argv[i], "--", 2) != 0)
            e->expression = argv[i];
        else
            return false;
    }
    return e->is_batch ? !e->expression && !e->facts_path : e->expression != NULL;
}

int verb_eval(int argc, char **argv)
{
    struct eval e = {.expression = NULL};
    struct arena a;
    if (!read_options(&e, argc, argv))
        return policy_usage("eval");
    if (e.is_batch)
        return eval_lines();
    arena_init(&a, NULL);
    const int code = eval_one(&e, &a);
    arena_fini(&a);
    return code;
}
