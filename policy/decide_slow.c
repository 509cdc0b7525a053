// SPDX-License-Identifier: EUPL-1.2
/* The slow twin of decide(): a plain loop over all rules, which the property tests hold the index
 * to. */
#include "policy/charter.h"
#include "policy/decide_in.h"

static bool bytes_fit(struct slice s, struct slice text, bool fold)
{
    if (s.len != text.len)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (fold ? fold_at(s, i) != fold_at(text, i) : s.ptr[i] != text.ptr[i])
            return false;
    return true;
}

bool segment_fits(const struct pattern_segment *p, struct slice s, bool fold)
{
    switch (p->kind) {
    case PATTERN_TEXT:
        return bytes_fit(s, p->text, fold);
    case PATTERN_ONE:
        return s.len > 0;
    case PATTERN_GLOB:
        return s.len >= p->text.len + p->tail.len &&
               bytes_fit(slice_from(s.ptr, p->text.len), p->text, fold) &&
               bytes_fit(slice_skip(s, s.len - p->tail.len), p->tail, fold);
    case PATTERN_REST:
        return true;
    }
    return false;
}

bool pattern_fits(const struct application *app, const struct pattern *p, struct reading reading)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->segments[i].kind == PATTERN_REST)
            return true;
        if (i >= reading.count)
            return false;
        struct slice s = reading.segments[i];
        if (reading.is_cut)
            s = slice_cut(&(struct slice){s.ptr, s.len}, ';');
        if (!segment_fits(&p->segments[i], s, app->paths.fold_case))
            return false;
    }
    return p->count == reading.count;
}

bool rule_fits_path(const struct application *app, const struct rule *r, struct reading reading)
{
    for (uint32_t i = 0; i < r->path_count; i++)
        if (pattern_fits(app, &r->paths[i], reading))
            return true;
    return !r->path_count;
}

bool rule_names_method(const struct rule *r, const struct request *request)
{
    if (!r->methods && !r->other_methods.count)
        return true;
    if (request->method != METHOD_OTHER)
        return r->methods >> request->method & 1;
    for (uint32_t i = 0; i < r->other_methods.count; i++)
        if (slice_eq(r->other_methods.at[i], request->method_name))
            return true;
    return false;
}

bool rule_fits(const struct application *app, const struct rule *r, const struct request *request)
{
    if (!rule_names_method(r, request))
        return false;
    const struct path *path = &request->path;
    struct slice room[LAX_MAX_SEGMENTS];
    struct reading reading = {path->segments, path->segment_count, false};
    bool whole = rule_fits_path(app, r, reading);
    reading.is_cut = true;
    bool cut = rule_fits_path(app, r, reading);
    if (r->effect == RULE_PERMIT)
        return whole && cut;
    if (whole || cut || !has_lax_reading(app))
        return whole || cut;
    reading = read_laxly(path, room);
    whole = rule_fits_path(app, r, reading);
    reading.is_cut = true;
    return whole || rule_fits_path(app, r, reading);
}

/* Counts the rules of a list, those in shadow or the others. */
static void tally_list(struct tally *t, const struct hearing *h, const struct rule *list,
                       uint32_t count, uint32_t first, bool is_shadow)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *r = &list[i];
        if (r->is_shadow != is_shadow || rule_has_expired(r, h->facts) ||
            !rule_fits(h->app, r, h->facts->request))
            continue;
        struct answer a = rule_ask(r, h->facts);
        if (r->effect == RULE_FORBID) {
            tally_forbid(t, first + i, a);
            continue;
        }
        tally_permit(t, first + i, a);
        if (rule_would_step_up(r, h->facts))
            tally_note(&t->step_up, first + i);
    }
}

static void tally_all(struct tally *t, const struct hearing *h, bool is_shadow)
{
    tally_requirements(t, h, is_shadow);
    tally_list(t, h, h->baseline->forbids, h->baseline->forbid_count, h->first_forbid, is_shadow);
    tally_list(t, h, h->app->rule_list, h->app->rule_count, h->first_rule, is_shadow);
}

void decide_slowly(const struct snapshot *s, const struct facts *facts, struct decision *out)
{
    const struct hearing h = hearing_of(s, facts);
    struct tally t = tally_empty;
    *out = (struct decision){
        .reason = REASON_DENIED, .snapshot = s ? s->number : 0, .valid_until_s = INT64_MAX};
    tally_all(&t, &h, false);
    if (!tally_conclude(&t, &h, out))
        tally_conclude_step_up(&t, &h, out);
    hearing_bound(&h, out);
    tally_all(&t, &h, true);
    tally_conclude_shadow(&t, &h, out);
}
