// SPDX-License-Identifier: EUPL-1.2
/* Everything that can be known before a start: do keys, certificates and what state_dir remembers
 * fit the configuration? */
#pragma once

#include <stdio.h>

#include "proxy/config.h"

/* Finds what is wrong, and prints a line for each host that would be served. Reads files only; asks
 * no store. */
void examine(const struct config *c, struct findings *found, FILE *out);
