// SPDX-License-Identifier: EUPL-1.2
/* belfry COMMAND ...: one command a file. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/logger.h"
#include "cli/cli.h"
#include "cli/help.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cli_run, "run -c FILE                serve by that configuration"},
    {"check", cli_check,
     "check -c FILE              is the configuration right, are certificates and keys there?"},
    {"reload", cli_reload,
     "reload -c FILE             check, then have the running gateway take it over"},
    {"policy", cli_policy,
     "policy VERB                bundles and charter: write, test, sign, publish, look"},
    {"key", cli_key, "key generate|show|ring     keys of the federation, of entities, of gateways"},
    {"revoke", cli_revoke,
     "revoke KIND SUBJECT        take back a device, session, user, token or authority"},
    {"revocations", cli_revocations, "revocations                what is taken back"},
    {"device", cli_device, "device import|list|show    what an entity knows of its devices"},
    {"version", cli_version, "version                    what this is"},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int help(FILE *out)
{
    fputs("Belfry, a zero-trust access gateway\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  belfry %s\n", commands[i].help);
    fputs("\nMore: belfry COMMAND --help, man belfry\n", out);
    return out == stdout ? EXIT_OK : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return help(stderr);
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return help(stdout);
    if (strcmp(argv[1], "--version") == 0)
        return cli_version(1, argv);
    base_init();
    logger_begin();
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return help_tell(argv[1], i > 2 ? argv[2] : NULL);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "belfry: unknown command '%s'\n\n", argv[1]);
    return help(stderr);
}
