// SPDX-License-Identifier: EUPL-1.2
/* See the header. */
#include "cli/help.h"

#include "cli/cli.h"
#include "cli/policy_tool.h"

static const struct help {
    struct slice name; /* "policy check" */
    struct slice forms;
    struct slice text;
    struct slice example;
} helps[] = {
#define HELP(name, forms, text, example)                                                           \
    {SLICE_INIT(name), SLICE_INIT(forms), SLICE_INIT(text), SLICE_INIT(example)},
#include "cli/help.def"
};
#define HELP_COUNT (sizeof helps / sizeof *helps)

static bool is_of(const struct help *h, const char *command, const char *verb)
{
    struct slice rest = h->name;
    return slice_eq(slice_cut(&rest, ' '), slice_of(command)) &&
           (!verb || !rest.len || slice_eq(rest, slice_of(verb)));
}

static bool is_known(const char *command, const char *verb)
{
    for (size_t i = 0; i < HELP_COUNT; i++)
        if (is_of(&helps[i], command, verb))
            return true;
    return false;
}

static void print_forms(const struct help *h, FILE *out)
{
    struct slice rest = h->forms;
    do {
        const struct slice form = slice_cut(&rest, '\n');
        (void)fprintf(out, "  belfry %.*s%s%.*s\n", SLICE_ARG(h->name), form.len ? " " : "",
                      SLICE_ARG(form));
    } while (rest.len);
}

int help_usage(const char *command, const char *verb)
{
    const char *only = is_known(command, verb) ? verb : NULL;
    (void)fputs("usage:\n", stderr);
    for (size_t i = 0; i < HELP_COUNT; i++)
        if (is_of(&helps[i], command, only))
            print_forms(&helps[i], stderr);
    (void)fprintf(stderr, "More: belfry %s %s%s--help\n", command, only ? only : "",
                  only ? " " : "");
    return EXIT_USAGE;
}

static void print_help(const struct screen *s, const struct help *h)
{
    screen_put(s, PAINT_STRONG, "belfry %.*s\n", SLICE_ARG(h->name));
    print_forms(h, s->out);
    (void)fputs("\n  ", s->out);
    screen_words(s, 2, 2, h->text);
    screen_put(s, PAINT_DIM, "\n  For example: ");
    (void)fprintf(s->out, "%.*s\n\n", SLICE_ARG(h->example));
}

int help_tell(const char *command, const char *verb)
{
    const struct screen s = screen_of(stdout);
    const char *only = is_known(command, verb) ? verb : NULL;
    if (!is_known(command, NULL))
        return help_usage(command, NULL);
    for (size_t i = 0; i < HELP_COUNT; i++)
        if (is_of(&helps[i], command, only))
            print_help(&s, &helps[i]);
    screen_words(
        &s, 0, 12,
        SLICE("Exit codes: 0 fine; 1 what was asked about is wrong; 2 the command line was "
              "not understood; 3 a file, a socket or the store failed; 4 it can't be told "
              "from what is known."));
    return EXIT_OK;
}
