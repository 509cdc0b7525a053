// SPDX-License-Identifier: EUPL-1.2
/* belfry run, check, reload, version. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "proxy/control.h"
#include "proxy/examine.h"

/* The configuration that -c names. NULL with an exit code where the arguments or the file are
 * wrong; what is wrong has been printed. */
static struct config *config_from_arguments(int argc, char **argv, int *code)
{
    const char *path = "/etc/belfry/belfry.yaml";
    struct findings found;
    struct config *c;
    bool is_understood = true;
    optind = 1;
    opterr = 0; /* the usage says it */
    for (int option; (option = getopt(argc, argv, "c:")) != -1;) {
        if (option == 'c')
            path = optarg;
        else
            is_understood = false;
    }
    if (!is_understood || optind != argc) {
        *code = help_usage(argv[0], NULL);
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
    struct config *c = config_from_arguments(argc, argv, &code);
    return c ? gateway_run(c) : code;
}

int cli_check(int argc, char **argv)
{
    int code;
    struct findings found;
    struct config *c = config_from_arguments(argc, argv, &code);
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

/* The gateway that runs by this state_dir: it holds a lock on its belfry.pid while it lives, so no
 * number that a file still says can lead to somebody else's process. 0: there is none. */
static pid_t gateway_of(const struct config *c)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[600];
    int fd;
    bool is_known;
    (void)snprintf(path, sizeof path, "%s/belfry.pid", c->state_dir.ptr);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    is_known = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void)close(fd);
    return is_known && lock.l_pid > 1 ? lock.l_pid : 0;
}

int cli_reload(int argc, char **argv)
{
    int code;
    pid_t pid;
    struct config *c = config_from_arguments(argc, argv, &code);
    if (!c)
        return code;
    pid = gateway_of(c);
    if (!pid || kill(pid, SIGHUP) != 0) {
        fprintf(stderr, "belfry: no gateway runs by state_dir '%s'\n", c->state_dir.ptr);
        code = EXIT_TROUBLE;
    } else {
        printf("told gateway %ld; its log says whether it took the configuration over\n",
               (long)pid);
    }
    config_free(c);
    return code;
}

int cli_version(int argc, char **argv)
{
    if (argc > 1)
        return help_usage(argv[0], NULL);
    printf("belfry %s\n", BELFRY_VERSION);
    return EXIT_OK;
}
