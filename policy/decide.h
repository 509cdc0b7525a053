// SPDX-License-Identifier: EUPL-1.2
/* Facts and a snapshot make a decision. Pure: no I/O, no clock, no allocation. Default deny;
 * permitted when some permit rule matches and no forbid rule matches; order never matters. A
 * condition that can't be evaluated is false in a permit, true in a forbid, and the decision says
 * so. */
#pragma once

#include "belfry/decision.h"
#include "belfry/facts.h"
#include "policy/snapshot.h"

/* facts->app and facts->request are set; `s` gives the decision its number and may be NULL (0). Of
 * several rules that count alike the first in the list is named. On a deny:
 *
 *   FORBIDDEN          a forbid rule holds; its name
 *   IDENTITY_REQUIRED  there is no user, and some permit rule could match once there is one; also
 *                      where a forbid rule can't be evaluated for want of a user, and a permit
 *                      rule does or could match
 *   DEVICE_REQUIRED    the same of a device, where no user is wanted
 *   ASSURANCE_TOO_LOW  a permit rule with remedy: step_up would match at a higher level;
 *                      needs_acr_level is the least one at which it does
 *   DENIED             else; the first permit rule for this method and path, and what it missed
 *
 * is_fault: the named rule, or on a deny some permit rule, could not be evaluated. */
void decide(const struct snapshot *s, const struct facts *facts, struct decision *out);
/* The slow twin: a plain loop over the rules. The property test holds decide() to it. */
void decide_slowly(const struct snapshot *s, const struct facts *facts, struct decision *out);
