// SPDX-License-Identifier: EUPL-1.2
/* belfry run, check, reload, version. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/config_file.h"
#include "proxy/control.h"
#include "proxy/examine.h"

struct config *config_from_arguments(int argc, char **argv, const char *usage, int *code)
{
    const char *path = "/etc/belfry/belfry.yaml";
    struct findings found;
    struct config *c;
    optind = 1;
    for (int option; (option = getopt(argc, argv, "c:")) != -1;) {
        if (option != 'c') {
            fprintf(stderr, "usage: %s\n", usage);
            *code = EXIT_USAGE;
            return NULL;
        }
        path = optarg;
    }
    if (optind != argc) {
        fprintf(stderr, "usage: %s\n", usage);
        *code = EXIT_USAGE;
        return NULL;
    }
    findings_init(&found);
    c = config_read(path, &found);
    findings_print(&found, stderr);
    findings_fini(&found);
    *code = c ? EXIT_OK : EXIT_REFUSED;
    return c;
}

int cli_run(int argc, char **argv)
{
    int code;
    struct config *c = config_from_arguments(argc, argv, "belfry run [-c FILE]", &code);
    return c ? gateway_run(c) : code;
}

int cli_check(int argc, char **argv)
{
    int code;
    struct findings found;
    struct config *c = config_from_arguments(argc, argv, "belfry check [-c FILE]", &code);
    if (!c)
        return code;
    findings_init(&found);
    examine(c, &found, stdout);
    findings_print(&found, stderr);
    code = found.errors ? EXIT_REFUSED : EXIT_OK;
    if (code == EXIT_OK)
        printf("%.*s: fine\n", SLICE_ARG(c->path));
    findings_fini(&found);
    config_free(c);
    return code;
}

int cli_reload(int argc, char **argv)
{
    int code;
    long pid = 0;
    char path[600];
    FILE *file;
    struct config *c = config_from_arguments(argc, argv, "belfry reload [-c FILE]", &code);
    if (!c)
        return code;
    (void)snprintf(path, sizeof path, "%s/belfry.pid", c->state_dir.ptr);
    config_free(c);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%ld", &pid) != 1 || pid <= 1 || kill((pid_t)pid, SIGHUP) != 0) {
        fprintf(stderr, "belfry: no gateway runs by this configuration (%s)\n", path);
        code = EXIT_TROUBLE;
    }
    if (file)
        (void)fclose(file);
    if (code == EXIT_OK)
        printf("told gateway %ld; its log says whether it took the configuration over\n", pid);
    return code;
}

int cli_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("belfry %s\n", BELFRY_VERSION);
    return EXIT_OK;
}
