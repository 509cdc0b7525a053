// SPDX-License-Identifier: EUPL-1.2
/* One expression of any type, for a person at a terminal and for conformance data: `belfry policy
 * eval`. The same compiler and the same run as those of conditions. JSON values are typed:
 * {"int": 1}, {"double": "1.5"}, {"list": [VALUE]}, {"map": [[VALUE, VALUE]]}, ... One thread. */
#pragma once

#include <jansson.h>

#include "belfry/fault.h"
#include "policy/cel.h"

/* An object {name: VALUE} as variables, in the arena. */
MUST_USE bool cel_variables_read(struct arena *a, const json_t *object, struct cel_names *out,
                                 struct fault *f);
/* Like cel_compile, but of any type. */
struct cel *cel_compile_any(struct arena *a, const struct cel_names *names, struct slice text,
                            struct place at, struct findings *out);
/* The value as typed JSON, and as CEL writes it: [1, 2], {"a": b"\xff"}, timestamp("..."). False
 * where it is an error, which run tells of. */
MUST_USE bool cel_eval(struct arena *a, const struct cel *c, const struct facts *facts,
                       struct cel_run *run, struct slice *json, struct slice *text);
/* "list(string)". */
struct slice cel_type_text(struct arena *a, const struct cel *c);
