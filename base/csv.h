// SPDX-License-Identifier: EUPL-1.2
/* Rows of comma-separated text by RFC 4180, strict: what two programs could read in two ways is
 * refused (a quote in the middle of a value, a lone CR, text behind a closing quote), and so are
 * control characters, line breaks in values and what is no UTF-8. Pure. */
#pragma once

#include "base/arena.h"
#include "belfry/fault.h"
#include "belfry/slice.h"

struct csv {
    struct slice rest;
    uint32_t line; /* of the row that was read last, from 1 */
};

enum csv_step { CSV_BAD = 0, CSV_ROW, CSV_END };

/* The next row's values into `fields` (room for `room`). Values lie in the text, or, where quotes
 * were doubled, in the arena. BAD: the fault says what is wrong with line c->line. A byte order
 * mark in front is passed over; an empty row is BAD, but a line end at the end is none. */
enum csv_step csv_next(struct csv *c, struct arena *a, struct slice *fields, uint32_t room,
                       uint32_t *count, struct fault *f);
