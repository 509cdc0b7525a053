// SPDX-License-Identifier: EUPL-1.2
/* The commands of the command line, one a file. Each gets its own arguments, argv[0] being its
 * name, prints answers to stdout and troubles to stderr, and returns an exit code. */
#pragma once

/* The one table of exit codes; docs and scripts rely on it. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_REFUSED = 1, /* what was asked about is wrong: a bundle with errors, a test that fails */
    EXIT_USAGE = 2,   /* the command was not understood */
    EXIT_TROUBLE = 3, /* the world failed: a file, a socket, the store */
    EXIT_UNSURE = 4,  /* it can't be told from what is known */
};

int cli_run(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_policy(int argc, char **argv);
int cli_key(int argc, char **argv);
int cli_device(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_revoke(int argc, char **argv);
int cli_revocations(int argc, char **argv);
int cli_version(int argc, char **argv);
