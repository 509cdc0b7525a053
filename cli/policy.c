// SPDX-License-Identifier: EUPL-1.2
/* What owners of applications and the federation run: `belfry policy VERB`. Owns: the table of
 * verbs, and what all of them share. */
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/yaml.h"
#include "cli/help.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"check", verb_check},     {"test", verb_test},
    {"sign", verb_sign},       {"eval", verb_eval},
    {"explain", verb_explain}, {"diff", verb_diff},
    {"replay", verb_replay},   {"shadow-report", verb_shadow_report},
    {"who-can", verb_who_can}, {"what-can", verb_what_can},
    {"publish", verb_publish}, {"show", verb_show},
    {"renew", verb_renew},     {"roll-back", verb_roll_back},
    {"fmt", verb_fmt},         {"schema", verb_schema},
};

int policy_usage(const char *verb)
{
    return help_usage("policy", verb);
}

int policy_trouble(const struct fault *f)
{
    screen_print(stderr, "belfry policy: %s\n", f->text);
    return f->code == FAULT_IO ? EXIT_TROUBLE : EXIT_REFUSED;
}

int policy_conclude(struct findings *f, FILE *out)
{
    const int code = f->errors ? EXIT_REFUSED : EXIT_OK;
    findings_print(f, out);
    findings_fini(f);
    return code;
}

struct wall policy_now(void)
{
    return (struct wall){(int64_t)time(NULL)};
}

struct slice policy_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (struct slice){path, (size_t)(slash - path)} : SLICE(".");
}

bool policy_is_charter(struct slice text)
{
    struct findings unread; /* whoever loads it will find them again */
    findings_init(&unread);
    struct yaml_doc *doc = yaml_parse(text, "", &unread);
    const bool is_one =
        slice_eq(yaml_text(yaml_get(yaml_root(doc), SLICE("belfry"))), SLICE("charter/v1"));
    yaml_free(doc);
    findings_fini(&unread);
    return is_one;
}

struct charter *policy_read_charter(const char *path, struct slice *text, struct findings *findings,
                                    struct fault *f)
{
    if (!file_read(text, path, YAML_MAX_BYTES, f))
        return NULL;
    struct charter *c = charter_load(*text, path, findings);
    if (!c)
        (void)fault_set(f, FAULT_SYNTAX, "'%s' is no good charter", path);
    return c;
}

int cli_policy(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 2, argv + 2);
    return policy_usage(NULL);
}
