// SPDX-License-Identifier: EUPL-1.2
/* The canonical path: what is judged and what is forwarded are one value. The raw path is split at
 * "/", each segment decoded exactly once; what frameworks could read in more than one way is
 * refused; the canonical form spells the decoded segments by RFC 3986 §6.2.2: upper-case hex,
 * unreserved never escaped; a reserved one (sub-delims, ":", "@") stays as it came, bare or
 * escaped, since to an application the two may differ. parse(canonical) gives the same segments and
 * the same canonical. Pure but for the arena. */
#pragma once

#include "base/arena.h"
#include "belfry/reason.h"
#include "belfry/request.h"

#define PATH_MAX_SEGMENTS 256

/* What an application opens, one at a time; all false is the strict form. */
struct path_options {
    bool allow_encoded_slash; /* "%2F" inside a segment */
    bool allow_percent;       /* "%25" before two hex digits */
    bool allow_parameters;    /* ";" in a segment */
    bool allow_empty_segments;
    bool fold_case; /* the rules are matched without regard to case */
};

static inline bool path_options_are_same(struct path_options a, struct path_options b)
{
    return a.allow_encoded_slash == b.allow_encoded_slash && a.allow_percent == b.allow_percent &&
           a.allow_parameters == b.allow_parameters &&
           a.allow_empty_segments == b.allow_empty_segments && a.fold_case == b.fold_case;
}

/* The target as it came ("/a/b?c"): splits off the query, makes the path. PERMITTED is "fine"; else
 * PATH_AMBIGUOUS, REQUEST_MALFORMED (not origin-form, "#", a byte that no URI holds, a malformed
 * escape, invalid UTF-8 after decoding) or URI_TOO_LONG (segments). */
MUST_USE enum reason target_parse(struct request *request, struct slice target,
                                  struct path_options options, struct arena *a);
