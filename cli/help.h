// SPDX-License-Identifier: EUPL-1.2
/* What each command is told by: its usage where it was not understood, and --help. From help.def.
 */
#pragma once

#include <stdbool.h>

/* The forms of "COMMAND VERB" on stderr; of all of COMMAND where there is no such verb (NULL).
 * EXIT_USAGE. */
int help_usage(const char *command, const char *verb);
/* The same on stdout, with what each does, an example, and the exit codes. EXIT_OK; as above where
 * there is no such command. */
int help_tell(const char *command, const char *verb);
