// SPDX-License-Identifier: EUPL-1.2
/* The parameters of a query as conditions see them: request.query_parameters. */
#pragma once

#include "base/arena.h"
#include "belfry/facts.h"
#include "policy/snapshot.h"

#define QUERY_MAX_BYTES 8192
#define QUERY_MAX_PARAMETERS 64

/* Fills facts->parameters from facts->request, in the arena: empty where there is no query; left
 * missing where it is too long, has too many parameters, or can be read in more than one way. */
void query_read(struct facts *facts, struct arena *a);
/* The same, once, and only where a rule of facts->app or of the baseline asks for them. Before
 * decide(); `s` as there. */
void query_read_for_rules(const struct snapshot *s, struct facts *facts, struct arena *a);
