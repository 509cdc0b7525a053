// SPDX-License-Identifier: EUPL-1.2
/* One worker's way to the audit: two rings of binary records, written without a lock or a wait.
 * Permits and decisions on an identity have a ring of their own; refusals before any identity have
 * another, with a rate, and above it they are folded per (reason, address prefix, second) into
 * counted events: a flood of refusals is no lever against those who are let in. Single producer
 * (the worker), single consumer (the writer). */
#pragma once

#include "base/metric.h"
#include "belfry/event.h"

struct audit_ring;
struct audit_ring *
audit_ring_new(size_t bytes, struct metrics *m); /* a power of two; for each of the two rings */
void audit_ring_free(struct audit_ring *r);
/* Copies the event whole. False where there is no room, or, for a permit, where the writer is
 * behind or there is none yet (see audit_writer): the caller refuses the request
 * (AUDIT_UNAVAILABLE). For EVENT_END false is only counted; ends leave a quarter of the room to
 * decisions. Never blocks. Fields longer than AUDIT_FIELD_MAX are cut, and end in "[cut]". */
#define AUDIT_FIELD_MAX 2048
MUST_USE bool audit_publish(struct audit_ring *r, const struct event *e);
/* For EVENT_REFUSAL: takes it or folds it; nothing is lost silently, nothing is refused. */
void audit_refusal(struct audit_ring *r, const struct event *e);
