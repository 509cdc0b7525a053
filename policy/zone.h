// SPDX-License-Identifier: EUPL-1.2
/* Time zones: how far local time is from UTC at any moment. Read from the system's tzdata when a
 * condition is compiled; asked on any thread, without I/O. In the caller's arena, immutable. */
#pragma once

#include "base/arena.h"

struct zone;

/* "UTC", "+02:00", "-09:30", "02:00", or a name such as "Europe/Brussels". NULL where there is no
 * such zone. */
const struct zone *zone_load(struct arena *a, struct slice name);
/* Seconds east of UTC at `s`, which is seconds since 1970. */
int32_t zone_offset(const struct zone *z, int64_t s);
struct slice zone_name(const struct zone *z); /* as it was written */
/* The name of tzdata that is nearest to `name`, in the arena; empty where none is near. */
struct slice zone_nearest(struct arena *a, struct slice name);
