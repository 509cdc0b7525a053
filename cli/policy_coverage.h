// SPDX-License-Identifier: EUPL-1.2
/* Which rules of a bundle its own tests reach: those that hold in some test, whether or not they
 * are the one that decides. For `belfry policy test`. */
#pragma once

#include <stdio.h>

#include "belfry/wall.h"
#include <jansson.h>

#include "policy/bundle.h"

/* How many are reached by none, in a line; `is_whole`: each rule with the first test that reaches
 * it. The bundle is compiled. */
void coverage_print(const struct bundle *b, struct wall now, bool is_whole, FILE *out);
/* [{"application", "rule", "reached_by": a test's name or null}]. */
json_t *coverage_json(const struct bundle *b, struct wall now);
