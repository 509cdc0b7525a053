// SPDX-License-Identifier: EUPL-1.2
/* The two times, never mixed: wall time for expiry, monotonic time for waiting. Pure code takes
 * `now`. */
#pragma once

#include <stdint.h>

struct wall {
    int64_t s; /* seconds since 1970-01-01T00:00:00Z */
};

struct mono {
    int64_t ms; /* milliseconds of CLOCK_MONOTONIC */
};
