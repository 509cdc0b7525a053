// SPDX-License-Identifier: EUPL-1.2
/* See the header. Every answer here is "surely": where a comparison can't tell, nothing is said. */
#include "policy/review.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"

#define SHADOWERS_MAX 1000 /* forbids without condition that permits are compared with */

/* ---- what covers what ---- */

static bool segment_covers(const struct pattern_segment *a, const struct pattern_segment *b)
{
    switch (a->kind) {
    case PATTERN_TEXT:
        return b->kind == PATTERN_TEXT && slice_eq(a->text, b->text);
    case PATTERN_ONE: /* any that is not empty */
        return b->kind != PATTERN_REST && (b->kind != PATTERN_TEXT || b->text.len);
    case PATTERN_GLOB:
        if (b->kind == PATTERN_TEXT)
            return b->text.len >= a->text.len + a->tail.len && slice_starts(b->text, a->text) &&
                   slice_ends(b->text, a->tail);
        return b->kind == PATTERN_GLOB && slice_starts(b->text, a->text) &&
               slice_ends(b->tail, a->tail);
    case PATTERN_REST:
        break;
    }
    return false;
}

/* Whether every path that `b` matches is one that `a` matches. */
static bool pattern_covers(const struct pattern *a, const struct pattern *b)
{
    uint32_t i = 0;
    for (; i < a->count; i++) {
        if (a->segments[i].kind == PATTERN_REST)
            return true;
        if (i == b->count || !segment_covers(&a->segments[i], &b->segments[i]))
            return false;
    }
    return i == b->count;
}

static bool some_pattern_covers(const struct rule *a, const struct pattern *b)
{
    for (uint32_t i = 0; i < a->path_count; i++)
        if (pattern_covers(&a->paths[i], b))
            return true;
    return false;
}

static bool paths_cover(const struct rule *a, const struct rule *b)
{
    if (!a->path_count)
        return true;
    for (uint32_t i = 0; i < b->path_count; i++)
        if (!some_pattern_covers(a, &b->paths[i]))
            return false;
    return b->path_count > 0;
}

static bool names_method(const struct rule *r, struct slice method)
{
    for (uint32_t i = 0; i < r->other_methods.count; i++)
        if (slice_eq(r->other_methods.at[i], method))
            return true;
    return false;
}

static bool methods_cover(const struct rule *a, const struct rule *b)
{
    if (!a->methods)
        return true;
    if (!b->methods || (b->methods & ~a->methods))
        return false;
    for (uint32_t i = 0; i < b->other_methods.count; i++)
        if (!names_method(a, b->other_methods.at[i]))
            return false;
    return true;
}

/* ---- a rule ---- */

/* In the file of whatever holds it. */
static struct place place_of(const struct rule *r, const struct place *holder)
{
    struct place place = *holder;
    place.line = r->line;
    place.column = r->column;
    return place;
}

static void review_dates(const struct rule *r, const struct place *holder, struct wall now,
                         struct findings *out)
{
    if (r->expires_s && r->expires_s <= now.s)
        findings_warn(out, place_of(r, holder), "expired-rule",
                      "the rule '%.*s' has expired: it does nothing any more", SLICE_ARG(r->id));
    else if (r->review_by_s && r->review_by_s <= now.s)
        findings_warn(out, place_of(r, holder), "overdue-review",
                      "the rule '%.*s' was to be looked at again before now%s%.*s",
                      SLICE_ARG(r->id), r->owner.len ? ", by " : "", SLICE_ARG(r->owner));
    if (r->review_by_s && r->expires_s && r->review_by_s > r->expires_s)
        findings_warn(out, place_of(r, holder), "late-review",
                      "the rule '%.*s' expires before it is to be looked at again",
                      SLICE_ARG(r->id));
}

/* The gateway answers these itself, before any rule. */
static void review_paths(const struct rule *r, const struct place *holder, struct findings *out)
{
    for (uint32_t i = 0; i < r->path_count; i++)
        if (r->paths[i].count && r->paths[i].segments[0].kind == PATTERN_TEXT &&
            slice_eq(r->paths[i].segments[0].text, SLICE(".belfry")))
            findings_warn(out, place_of(r, holder), "outside-path",
                          "'%.*s' is the gateway's own: no request for it comes to a rule",
                          SLICE_ARG(r->paths[i].text));
}

/* ---- conditions ---- */

static struct place place_of_condition(const struct rule *r, const struct place *holder)
{
    struct place place = *holder;
    place.line = r->when_line;
    place.column = r->when_column;
    return place;
}

static void tell_prospect(const struct rule *r, const struct place *holder, struct slice what,
                          enum cel_prospect prospect, struct slice about, struct findings *out)
{
    const bool is_never_true = prospect == CEL_IS_NEVER_TRUE;
    if (prospect == CEL_CAN_BE_EITHER)
        return;
    findings_warn(out, place_of_condition(r, holder),
                  is_never_true ? "condition-never-true" : "condition-always-true",
                  "%.*s of '%.*s' is never %s%s%.*s%s", SLICE_ARG(what), SLICE_ARG(r->id),
                  is_never_true ? "true" : "false", about.len ? ", whatever " : "",
                  SLICE_ARG(about), about.len ? " is" : "");
}

/* The whole; where nothing is to be said of that, each question by itself. */
static bool review_condition(const struct rule *r, const struct place *holder, struct arena *a,
                             struct findings *out)
{
    struct slice about;
    const struct cel *const *parts;
    enum cel_prospect prospect = cel_prospect(r->when, a, &about);
    tell_prospect(r, holder, SLICE("the condition"), prospect, about, out);
    if (prospect != CEL_CAN_BE_EITHER)
        return false;
    const uint32_t count = cel_parts(r->when, a, &parts);
    for (uint32_t i = 0; i < count; i++) {
        prospect = cel_prospect(parts[i], a, &about);
        const struct slice text = cel_text(a, parts[i]);
        tell_prospect(r, holder,
                      arena_printf(a, "the part '%.*s' of the condition", SLICE_ARG(text)),
                      prospect, about, out);
    }
    return true;
}

/* A permit that asks about whom no request of the application can have. */
static void review_roots(const struct application *app, const struct rule *r, struct arena *a,
                         struct findings *out)
{
    const char *why = NULL;
    if (r->effect != RULE_PERMIT)
        return;
    if (app->device == DEVICE_NONE && cel_needs(r->when, a, SLICE("device")))
        why = "asks for a device, and the application says 'device: none'";
    else if (!application_has_people(app) && cel_needs(r->when, a, SLICE("user")))
        why = "asks for a user, and the application has no identity_providers of people";
    if (why)
        findings_warn(out, place_of_condition(r, &app->place), "never-decides",
                      "'%.*s' permits nothing: its condition %s", SLICE_ARG(r->id), why);
}

/* `app`: NULL of the baseline. */
static void review_when(const struct application *app, const struct rule *r,
                        const struct place *holder, struct findings *out)
{
    struct arena a;
    if (!r->when)
        return;
    arena_init(&a, NULL);
    if (review_condition(r, holder, &a, out) && app)
        review_roots(app, r, &a, out);
    arena_fini(&a);
}

/* ---- an application ---- */

static bool is_shadower(const struct rule *r)
{
    return r->effect == RULE_FORBID && !r->when && !r->is_shadow && !r->expires_s;
}

static void review_shadows(const struct application *app, struct findings *out)
{
    const struct place *holder = &app->place;
    const struct rule **forbids = mem_array(const struct rule *, SHADOWERS_MAX);
    uint32_t count = 0;
    for (uint32_t i = 0; i < app->rule_count && count < SHADOWERS_MAX; i++)
        if (is_shadower(&app->rule_list[i]))
            forbids[count++] = &app->rule_list[i];
    for (uint32_t i = 0; i < app->rule_count && count; i++) {
        const struct rule *r = &app->rule_list[i];
        for (uint32_t k = 0; r->effect == RULE_PERMIT && k < count; k++)
            if (methods_cover(forbids[k], r) && paths_cover(forbids[k], r)) {
                findings_warn(out, place_of(r, holder), "never-decides",
                              "'%.*s' permits nothing: '%.*s' forbids all of it, without condition",
                              SLICE_ARG(r->id), SLICE_ARG(forbids[k]->id));
                break;
            }
    }
    mem_free(forbids);
}

/* Of all that a rule decides by. */
static void digest_of(const struct rule *r, uint8_t out[SHA256_BYTES])
{
    const uint32_t head[] = {r->effect, r->is_shadow, r->methods, r->remedy, r->path_count};
    struct slice *parts = mem_array(struct slice, 2u + r->other_methods.count + r->path_count);
    size_t count = 0;
    parts[count++] = slice_from(head, sizeof head);
    parts[count++] = r->when_text;
    for (uint32_t i = 0; i < r->other_methods.count; i++)
        parts[count++] = r->other_methods.at[i];
    for (uint32_t i = 0; i < r->path_count; i++)
        parts[count++] = r->paths[i].text;
    sha256_parts(out, parts, count);
    mem_free(parts);
}

static void review_twins(const struct application *app, struct findings *out)
{
    const struct place *holder = &app->place;
    struct map seen;
    uint8_t(*digests)[SHA256_BYTES] = mem_zero(app->rule_count + 1, SHA256_BYTES);
    map_init(&seen);
    for (uint32_t i = 0; i < app->rule_count; i++) {
        const struct rule *r = &app->rule_list[i];
        digest_of(r, digests[i]);
        const struct rule *first =
            map_set(&seen, slice_from(digests[i], SHA256_BYTES), (void *)(uintptr_t)r);
        if (first && !first->expires_s && !r->expires_s)
            findings_warn(out, place_of(r, holder), "duplicate-rule",
                          "'%.*s' says what '%.*s' says", SLICE_ARG(r->id), SLICE_ARG(first->id));
    }
    map_fini(&seen);
    mem_free(digests);
}

void bundle_review(const struct bundle *b, struct wall now, struct findings *out)
{
    for (uint32_t i = 0; i < b->application_count; i++) {
        const struct application *app = &b->applications[i];
        for (uint32_t k = 0; k < app->rule_count; k++) {
            review_dates(&app->rule_list[k], &app->place, now, out);
            review_paths(&app->rule_list[k], &app->place, out);
            review_when(app, &app->rule_list[k], &app->place, out);
        }
        review_shadows(app, out);
        review_twins(app, out);
    }
}

static void review_baseline(const struct charter *c, const struct rule *rules, uint32_t count,
                            struct wall now, struct findings *out)
{
    for (uint32_t i = 0; i < count; i++) {
        review_dates(&rules[i], &c->place, now, out);
        review_when(NULL, &rules[i], &c->place, out);
    }
}

void charter_review(const struct charter *c, struct wall now, struct findings *out)
{
    review_baseline(c, c->baseline.requirements, c->baseline.requirement_count, now, out);
    review_baseline(c, c->baseline.forbids, c->baseline.forbid_count, now, out);
}
