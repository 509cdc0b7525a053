// SPDX-License-Identifier: EUPL-1.2
/* Sums of timestamps and durations, for the functions of the condition language. */
#pragma once

#include "policy/cel_in.h"

#define CEL_NS 1000000000LL
#define CEL_TIME_MIN_S (-62135596800LL) /* 0001-01-01T00:00:00Z */
#define CEL_TIME_MAX_S 253402300799LL   /* 9999-12-31T23:59:59Z */

bool cel_time_is_valid(struct cel_time t);
/* False where the result is past the range. */
bool cel_time_add(struct cel_time t, int64_t ns, struct cel_time *out);
bool cel_time_between(struct cel_time a, struct cel_time b, int64_t *out);
