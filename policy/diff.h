// SPDX-License-Identifier: EUPL-1.2
/* What two policies of one host decide differently. Paths and methods fall into finitely many
 * classes by the patterns and methods of both, and conditions into finitely many by what they
 * compare facts with; each combination is looked at, as far as it can matter. Facts are taken to be
 * independent of each other. A condition that compares in another way is taken to be able to give
 * anything: then a difference is only told where a request shows it, and sameness only where it
 * holds whatever the condition gives. For tools; one thread, in the caller's arena. */
#pragma once

#include "base/arena.h"
#include "policy/decide.h"
#include "policy/explain.h"

struct diff_side {
    const struct snapshot *snapshot;
    const struct application *app; /* NULL: there is none, so nothing is permitted */
};

/* Requests that change hands in the same way: by the rule that permits, and what refuses. */
struct diff_class {
    bool gains;
    struct slice permits; /* the rule */
    struct slice refuses; /* the rule, or empty: no rule permits */
    enum reason reason;   /* of the refusal */
    struct slice request; /* an example: "GET /a/b" */
    struct slices facts;  /* its facts in words: user.groups = ["x"] */
    uint32_t size;        /* how many facts that takes */
};

struct diff {
    struct diff_class *classes;
    uint32_t class_count;
    struct slices doubts; /* why sameness of all else can't be told; none: it is so */
};

/* Every example was judged by decide() on both sides. */
void diff_run(const struct diff_side *before, const struct diff_side *after, struct wall now,
              struct arena *a, struct diff *out);
