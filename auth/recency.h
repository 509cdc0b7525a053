// SPDX-License-Identifier: EUPL-1.2
/* When things were met last, by their names: a table of fixed size, in which of the few that share
 * a place the one met longest ago goes. What has gone is as if it had never been met. One thread.
 */
#pragma once

#include "belfry/slice.h"

struct recency;

struct recency *recency_new(void);
void recency_free(struct recency *r); /* NULL is fine */
/* The later moment counts. */
void recency_note(struct recency *r, struct slice name, int64_t at_s);
int64_t recency_of(const struct recency *r, struct slice name); /* 0: never */
