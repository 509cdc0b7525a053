// SPDX-License-Identifier: EUPL-1.2
/* W3C trace context: one made where a client's can't be used. */
#pragma once

#include "base/entropy.h"
#include "belfry/slice.h"

#define TRACEPARENT_CHARS 55

struct trace {
    char text[TRACEPARENT_CHARS + 1]; /* 00-TRACEID-SPANID-FLAGS */
};
/* From the client's header where it is valid (version not ff, ids not zero, lower-case hex): its
 * trace id and flags with a span id of our own; true. Else a new one; false. */
bool trace_make(struct trace *out, struct slice traceparent, struct dice *dice);
struct slice trace_id(const struct trace *t); /* 32 hex digits */
