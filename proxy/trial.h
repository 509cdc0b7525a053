// SPDX-License-Identifier: EUPL-1.2
/* What the entity's bundle in shadow would have decided of a request that the bundle in force has
 * just judged. It changes nothing of the request but what its event says. The worker's thread. */
#pragma once

#include "policy/bundle.h"

struct exchange;

struct trial {
    bool differs;      /* another verdict; the rest is empty where not */
    int64_t serial;    /* of the bundle in shadow */
    struct slice rule; /* of it, that decides; empty: none does */
};

/* After the decision, where x->door has a bundle in shadow. */
void trial_judge(struct exchange *x);
