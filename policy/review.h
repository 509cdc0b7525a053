// SPDX-License-Identifier: EUPL-1.2
/* What an author wants to know of rules that are right in their form: which can never decide, whose
 * conditions can never be true (or false), which are there twice, which should have been looked at
 * again. Warnings, for `check` and `publish`; a gateway has no use for them. Pure. */
#pragma once

#include "belfry/wall.h"
#include "policy/charter.h"

void bundle_review(const struct bundle *b, struct wall now, struct findings *out);
void charter_review(const struct charter *c, struct wall now, struct findings *out);
