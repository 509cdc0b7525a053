// SPDX-License-Identifier: EUPL-1.2
/* What the rules say of one request. A zeroed decision denies. Slices point into the snapshot that
 * the decision was made on, which the exchange holds. */
#pragma once

#include "belfry/reason.h"
#include "belfry/slice.h"

struct rule;

enum verdict { DECISION_DENY = 0, DECISION_PERMIT = 1 };

/* What would have been decided, had the rules in shadow counted. */
struct shadow_decision {
    bool differs; /* another verdict; the rest is empty where not */
    enum verdict verdict;
    struct slice rule; /* the one in shadow that makes the difference */
};

struct decision {
    enum verdict verdict;
    enum reason reason; /* PERMITTED, DENIED, FORBIDDEN, ASSURANCE_TOO_LOW, IDENTITY_REQUIRED,
                           DEVICE_REQUIRED */
    struct slice rule; /* the rule that decided; on a deny by absence the one that came nearest; may
                          be empty */
    const struct rule *named; /* the rule of that name; NULL: none */
    struct slice missing; /* the first fact that the nearest rule missed, such as "user.groups"; may
                             be empty */
    bool is_baseline;     /* `rule` is the charter's */
    /* With a rule of the baseline: what it tells the person refused, by enum language; or NULL. */
    const struct slice *explanations;
    bool is_fault;            /* a condition could not be evaluated */
    struct slice faulty_rule; /* which; may be empty */
    int64_t needs_acr_level;  /* with ASSURANCE_TOO_LOW: 0 when not known */
    int64_t valid_until_s;    /* the verdict stands before this second, whatever expires by then */
    struct shadow_decision shadow;
    uint64_t snapshot; /* number of the snapshot it was made on */
};
