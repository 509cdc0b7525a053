// SPDX-License-Identifier: EUPL-1.2
/* Finds Belgian national register numbers, so that none is written to a log: eleven digits YYMMDD
 * SSS CC, run together or grouped by ".", "-" or a space (in a path: "%20"), whose check digits
 * hold for a birth in the 1900s or the 2000s. BIS numbers (month + 20 or + 40) have the same form
 * and check. Dates are not looked at: numbers of people whose birthday is unknown have none. So one
 * in fifty other numbers of eleven digits is taken for one; a number too many in brackets is better
 * than one in clear. Pure. */
#pragma once

#include "belfry/slice.h"

/* The first number at or after `from`: its bytes are [*start, *end). False where there is none. */
MUST_USE bool redact_next(struct slice text, size_t from, size_t *start, size_t *end);
