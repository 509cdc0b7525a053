// SPDX-License-Identifier: EUPL-1.2
/* The configuration that a command's -c names. */
#pragma once

#include "proxy/config.h"

/* NULL with an exit code where the arguments or the file are wrong; what is wrong has been printed.
 */
struct config *config_from_arguments(int argc, char **argv, const char *usage, int *code);
