// SPDX-License-Identifier: EUPL-1.2
/* Conditions that name segments of the path: what they say depends on the pattern that fits and on
 * the reading of the path. Owns: how the answers for several become one, so
 * that a permit holds however the application reads the path, and a forbid where it may be read so.
 * Few rules ask so, and only those that fit come here: their patterns are gone through one by one.
 */
#include "policy/decide_in.h"

static void note_error(struct cel_run *run, const struct cel_run *one)
{
    if (!run->missing.len)
        run->missing = one->missing;
    if (!run->error)
        run->error = one->error;
    run->lacks_user |= one->lacks_user;
    run->lacks_device |= one->lacks_device;
    run->has_unknown |= one->has_unknown;
}

/* || over the patterns that fit. */
static enum cel_outcome test_reading(const struct rule *r, const struct facts *facts,
                                     struct reading reading, struct cel_run *run)
{
    enum cel_outcome outcome = CEL_IS_FALSE;
    struct facts matched = *facts;
    for (uint32_t i = 0; i < r->path_count; i++) {
        const struct path_match match = {&r->paths[i], reading.segments, reading.is_cut};
        struct cel_run one = {.assume_acr_level = run->assume_acr_level, .unknown = run->unknown};
        if (!pattern_fits(facts->app, match.pattern, reading))
            continue;
        matched.match = &match;
        const enum cel_outcome here = cel_test(r->when, &matched, &one);
        if (here == CEL_IS_TRUE)
            return here;
        if (here == CEL_IS_FALSE)
            continue;
        note_error(run, &one);
        outcome = here;
    }
    return outcome;
}

/* As it is, and without what stands behind a ";": && for a permit, || for a forbid. */
static enum cel_outcome test_both(const struct rule *r, const struct facts *facts,
                                  struct reading reading, struct cel_run *run)
{
    const enum cel_outcome stop = r->effect == RULE_PERMIT ? CEL_IS_FALSE : CEL_IS_TRUE;
    const enum cel_outcome whole = test_reading(r, facts, reading, run);
    if (whole == stop || !facts->request->path.has_parameters)
        return whole;
    reading.is_cut = true;
    const enum cel_outcome cut = test_reading(r, facts, reading, run);
    return cut == stop || whole != CEL_IS_ERROR ? cut : whole;
}

/* Apart, for the room that it takes on the stack. */
static __attribute__((noinline)) enum cel_outcome
test_laxly(const struct rule *r, const struct facts *facts, struct cel_run *run)
{
    struct slice room[LAX_MAX_SEGMENTS];
    return test_both(r, facts, read_laxly(&facts->request->path, room), run);
}

enum cel_outcome rule_test(const struct rule *r, const struct facts *facts, struct cel_run *run)
{
    if (!r->when)
        return CEL_IS_TRUE;
    if (!r->reads_path)
        return cel_test(r->when, facts, run);
    const struct path *path = &facts->request->path;
    const struct reading reading = {path->segments, path->segment_count, false};
    const enum cel_outcome strict = test_both(r, facts, reading, run);
    if (r->effect == RULE_PERMIT || strict == CEL_IS_TRUE || !has_lax_reading(facts->app))
        return strict;
    const enum cel_outcome lax = test_laxly(r, facts, run);
    return lax == CEL_IS_FALSE ? strict : lax;
}
