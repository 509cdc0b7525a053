// SPDX-License-Identifier: EUPL-1.2
/* What the judgement by the index (decide.c) and by the plain loop (decide_slow.c) share: how the
 * answers of conditions are counted, and what they come to (tally.c). */
#pragma once

#include "belfry/request.h"
#include "policy/compile.h"
#include "policy/decide.h"

#define NO_RULE UINT32_MAX

/* What a condition came to. The flags go with CEL_IS_ERROR. */
struct answer {
    uint8_t outcome; /* enum cel_outcome */
    bool lacks_user;
    bool lacks_device;
};

/* The first rule of each kind, by number; NO_RULE where there is none. Numbers run through the
 * baseline's requirements, its forbids, and the application's rules. */
struct tally {
    uint32_t firm_forbid; /* or a requirement that does not hold */
    uint32_t open_user_forbid;
    uint32_t open_device_forbid;
    uint32_t raise; /* a requirement that would hold at a higher level */
    uint32_t permit;
    uint32_t lacks_user;
    uint32_t lacks_device;
    uint32_t faulty;  /* a permit that could not be evaluated */
    uint32_t nearest; /* a permit for this method and path */
    uint32_t step_up;
};
extern const struct tally tally_empty;

/* What is judged, and by which rules. */
struct hearing {
    const struct facts *facts;
    const struct application *app;
    const struct baseline *baseline; /* an empty one where there is none */
    uint32_t first_forbid;           /* the number of the baseline's first */
    uint32_t first_rule;             /* of the application's first */
};

struct hearing hearing_of(const struct snapshot *s, const struct facts *facts);
const struct rule *hearing_rule(const struct hearing *h, uint32_t number);

static inline void tally_note(uint32_t *first, uint32_t rule)
{
    if (rule < *first)
        *first = rule;
}

/* The rule's condition, as cel_test says; where it names segments of the path, by all patterns that
 * fit in any reading of it (decide_path.c). */
enum cel_outcome rule_test(const struct rule *r, const struct facts *facts, struct cel_run *run);
struct answer rule_ask(const struct rule *r, const struct facts *facts);
bool rule_has_expired(const struct rule *r, const struct facts *facts);
/* Would the rule hold for this user at a higher level? */
bool rule_would_step_up(const struct rule *r, const struct facts *facts);

void tally_forbid(struct tally *t, uint32_t rule, struct answer a);
void tally_permit(struct tally *t, uint32_t rule, struct answer a);
/* The baseline's requirements, those in shadow or the others. */
void tally_requirements(struct tally *t, const struct hearing *h, bool is_shadow);

/* Steps 1 to 5 of the text in decide.c; false where none of them is it. */
bool tally_conclude(const struct tally *t, const struct hearing *h, struct decision *out);
/* Steps 6 and 7. */
void tally_conclude_step_up(const struct tally *t, const struct hearing *h, struct decision *out);
/* Where some rule asks for the time, what it says stands for this second only. */
void hearing_bound(const struct hearing *h, struct decision *out);
/* `t` counts the rules in shadow too. */
void tally_conclude_shadow(const struct tally *t, const struct hearing *h, struct decision *out);

/* ---- readings of a path ---- */

/* Longer than any pattern: what stands behind can only be met by "**". */
#define LAX_MAX_SEGMENTS (PATH_MAX_SEGMENTS + 2)

struct reading {
    const struct slice *segments;
    uint32_t count;
    bool is_cut; /* what stands behind a ";" is left out */
};

static inline bool has_lax_reading(const struct application *app)
{
    return app->paths.allow_encoded_slash || app->paths.allow_empty_segments;
}

/* The path as an application reads it that decodes "%2F" before it splits, or that merges slashes.
 * Where such paths are let in, a forbid holds against that reading too. */
static inline struct reading read_laxly(const struct path *path, struct slice out[LAX_MAX_SEGMENTS])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < path->segment_count; i++) {
        struct slice rest = path->segments[i];
        for (bool has_more = true; has_more && count < LAX_MAX_SEGMENTS;) {
            has_more = rest.len && memchr(rest.ptr, '/', rest.len);
            const struct slice part = slice_cut(&rest, '/');
            if (part.len || (!has_more && i + 1 == path->segment_count))
                out[count++] = part;
        }
    }
    return (struct reading){out, count, false};
}

bool pattern_fits(const struct application *app, const struct pattern *p, struct reading reading);
/* Whether some pattern of the rule fits, by the plain loop over them. */
bool rule_fits_path(const struct application *app, const struct rule *r, struct reading reading);
bool segment_fits(const struct pattern_segment *p, struct slice s, bool fold);
bool rule_names_method(const struct rule *r, const struct request *request);
/* Everything but its condition and its end. */
bool rule_fits(const struct application *app, const struct rule *r, const struct request *request);

static inline char fold_at(struct slice s, size_t i)
{
    return path_fold(i ? s.ptr[i - 1] : '\0', s.ptr[i]);
}
