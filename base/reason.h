// SPDX-License-Identifier: EUPL-1.2
/* The table of belfry/reason.def in words. */
#pragma once

#include "belfry/reason.h"
#include "belfry/slice.h"

struct slice reason_name(enum reason reason);  /* "device_required" */
struct slice reason_title(enum reason reason); /* "A managed device is needed" */
uint16_t reason_status(enum reason reason);
struct slice reason_outcome(enum reason reason); /* "failure" */
