// SPDX-License-Identifier: EUPL-1.2
/* Between the classes of paths (diff_path.c) and the search through facts (diff.c). */
#pragma once

#include "base/arena.h"
#include "policy/bundle.h"

/* A pattern of some rule of either side. */
struct diff_pattern {
    const struct pattern *pattern;
    uint32_t owner; /* the caller's number of its rule */
};

/* One class of paths: a path of it, and the patterns that match all of it. */
struct diff_path {
    struct slice target;    /* percent-encoded, "/a/b" */
    const uint32_t *owners; /* sorted, each once */
    uint32_t owner_count;
};

/* All classes, the shortest paths first. False where there are too many to look at. */
bool diff_paths(const struct diff_pattern *patterns, uint32_t count, bool fold, struct arena *a,
                struct diff_path **out, uint32_t *out_count);
