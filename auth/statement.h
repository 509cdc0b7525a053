// SPDX-License-Identifier: EUPL-1.2
/* All that an assertion states of a user, in an order of its own and with each part's length, so
 * that two are equal only where every part is: what assertions are kept under. Any thread. */
#pragma once

#include "base/arena.h"
#include "belfry/facts.h"

/* *out lies in `a`; *hash is its table_hash(). */
void user_statement(struct arena *a, const struct facts_user *u, struct slice *out, uint64_t *hash);
