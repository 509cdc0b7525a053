// SPDX-License-Identifier: EUPL-1.2
/* The words of reason.def. A value that is no reason reads as the first, which refuses. */
#include "base/reason.h"

static const struct {
    struct slice name;
    struct slice title;
    struct slice outcome;
    uint16_t status;
} table[REASON_COUNT] = {
#define REASON(NAME, name, status, title, outcome)                                                 \
    [REASON_##NAME] = {SLICE_INIT(#name), SLICE_INIT(title), SLICE_INIT(#outcome), status},
#include "belfry/reason.def"
#undef REASON
};

static unsigned row(enum reason reason)
{
    return (unsigned)reason < REASON_COUNT ? (unsigned)reason : REASON_INTERNAL;
}

struct slice reason_name(enum reason reason)
{
    return table[row(reason)].name;
}

struct slice reason_title(enum reason reason)
{
    return table[row(reason)].title;
}

uint16_t reason_status(enum reason reason)
{
    return table[row(reason)].status;
}

struct slice reason_outcome(enum reason reason)
{
    return table[row(reason)].outcome;
}
