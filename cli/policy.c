// SPDX-License-Identifier: EUPL-1.2
/* What owners of applications and the federation run: `belfry policy VERB`. Owns: the table of
 * verbs, and what all of them share. */
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/yaml.h"
#include "cli/policy_in.h"

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage; /* what follows the name; a form a line */
} verbs[] = {
    {"check", verb_check, "FILE... [--charter FILE] [--verbose]"},
    {"test", verb_test, "FILE... [--charter FILE] [--coverage]"},
    {"sign", verb_sign,
     "FILE --key KEYFILE... [--out FILE | -c belfry.yaml | --store URL]\n"
     "--draft NAME --digest DIGEST --key KEYFILE... (-c belfry.yaml | --store URL)"},
    {"eval", verb_eval,
     "EXPRESSION [--facts FILE] [--json]\n"
     "--batch"},
    {"explain", verb_explain,
     "FILE (--facts FILE | --audit LOG --reference REFERENCE [--keys PATH]) [--charter FILE]\n"
     "     [--json]"},
    {"diff", verb_diff, "OLD NEW [--charter FILE] [--json]"},
    {"replay", verb_replay,
     "NEW --audit LOG... [--keys PATH] [--old OLD] [--charter FILE] [--json]"},
    {"shadow-report", verb_shadow_report, "--audit LOG... [--json]"},
    {"who-can", verb_who_can, "APPLICATION METHOD PATH FILE [--charter FILE] [--json]"},
    {"what-can", verb_what_can,
     "FILE [--groups GROUP,...] [--scopes SCOPE,...] [--level LEVEL] [--provider ID] [--user ID]\n"
     "     [--device TRUST] [--service ID] [--charter FILE] [--json]"},
    {"publish", verb_publish,
     "FILE [--key KEYFILE]... (-c belfry.yaml | --store URL)\n"
     "--charter FILE [--key KEYFILE]... (-c belfry.yaml | --store URL)\n"
     "--draft NAME [--digest DIGEST --key KEYFILE...] (-c belfry.yaml | --store URL)"},
    {"show", verb_show,
     "[NAME | --draft NAME] [--out FILE] (-c belfry.yaml | --store URL)\n"
     "FILE [--out FILE] [-c belfry.yaml | --store URL]"},
    {"renew", verb_renew, "NAME --not-after TIME --key KEYFILE... (-c belfry.yaml | --store URL)"},
    {"roll-back", verb_roll_back,
     "NAME --to SERIAL [--not-after TIME] --key KEYFILE... (-c belfry.yaml | --store URL)"},
    {"fmt", verb_fmt, "FILE... [--check]"},
    {"schema", verb_schema, ""},
};

static void print_usage(const struct verb *v)
{
    struct slice rest = slice_of(v->usage);
    do {
        const struct slice line = slice_cut(&rest, '\n');
        (void)fprintf(stderr, "       belfry policy %s %.*s\n", v->name, SLICE_ARG(line));
    } while (rest.len);
}

int policy_usage(const char *verb)
{
    (void)fputs("usage:\n", stderr);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!verb || strcmp(verb, verbs[i].name) == 0)
            print_usage(&verbs[i]);
    (void)fputs(
        "Each --key KEYFILE may be followed by --key-id ID, where the charter does not name "
        "the key by the id that\n'belfry key show' prints.\n",
        stderr);
    return EXIT_USAGE;
}

int policy_trouble(const struct fault *f)
{
    (void)fprintf(stderr, "belfry policy: %s\n", f->text);
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
