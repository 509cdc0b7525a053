// SPDX-License-Identifier: EUPL-1.2
/* A moment as HTTP writes it (IMF-fixdate, RFC 9110 §5.6.7). Pure but for the arena. */
#pragma once

#include "base/arena.h"
#include "belfry/wall.h"

struct slice http_date(struct arena *a, struct wall at); /* "Sun, 06 Nov 1994 08:49:37 GMT" */
