// SPDX-License-Identifier: EUPL-1.2
/* Between the two halves of compiling: conditions (clause.c) and paths (compile.c). */
#pragma once

#include "policy/compile.h"

/* What a rule's condition came to. */
struct compiled_clause {
    uint32_t number; /* 0: always */
    enum cel_guard_fact guard;
    const uint32_t *texts; /* numbers of guard names */
    uint32_t text_count;
    bool reads_device;
};

/* Fills clauses, atoms and names of `rules`, whose list is set. `out`, one a rule, lies in
 * `scratch`. `is_read_twice`: one request may come to one rule by several ways. */
const struct compiled_clause *compile_clauses(struct arena *a, struct arena *scratch,
                                              struct rules *rules, bool is_read_twice);
