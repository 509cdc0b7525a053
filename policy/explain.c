// SPDX-License-Identifier: EUPL-1.2
/* See the header. It follows the text at the head of decide.c, by the plain loop: each rule is
 * asked by itself, and a permit is certain only where no forbid and no requirement is in doubt. */
#include "policy/explain.h"

#include "policy/charter.h"
#include "policy/decide_in.h"

/* ---- whom an application can have at all ---- */

static bool asks_for_device(const struct application *app)
{
    return app->device != DEVICE_NONE;
}

static bool vouches_for_services(const struct application *app)
{
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (app->providers[i]->trust_domain.len)
            return true;
    return false;
}

/* ---- one rule ---- */

enum cel_outcome explain_ask(const struct rule *r, const struct cel *when,
                             const struct facts *facts, uint64_t unknown, struct cel_run *run)
{
    struct rule part = *r;
    part.when = when;
    *run = (struct cel_run){.unknown = unknown};
    return rule_test(&part, facts, run);
}

/* The first of the conditions joined by && that is not true. */
static const struct cel *first_failed(const struct rule *r, const struct facts *facts,
                                      uint64_t unknown, struct arena *a)
{
    const struct cel *const *atoms;
    struct cel_run run;
    const uint32_t count = r->when ? cel_atoms(r->when, a, &atoms) : 0;
    for (uint32_t i = 0; i < count; i++)
        if (explain_ask(r, atoms[i], facts, unknown, &run) == CEL_IS_FALSE)
            return atoms[i];
    return NULL;
}

struct slice explain_lack(const struct facts *facts, const struct decision *d, struct arena *a)
{
    const struct cel *failed = d->named ? first_failed(d->named, facts, 0, a) : NULL;
    const uint64_t reads = failed ? cel_reads(failed) : 0;
    return reads ? cel_bit_fact((uint32_t)__builtin_ctzll(reads)) : SLICE("");
}

static enum mark mark_of_error(struct account *out, const struct facts *facts,
                               const struct cel_run *run)
{
    out->missing = run->missing;
    out->error = run->error;
    if (run->has_unknown)
        return MARK_UNKNOWN;
    out->lacks_user = run->lacks_user && !facts->user && application_has_people(facts->app);
    out->lacks_device = run->lacks_device && !facts->device && asks_for_device(facts->app);
    if (out->lacks_user || out->lacks_device)
        return MARK_MAY;
    return out->rule->effect == RULE_FORBID ? MARK_HIT : MARK_MISS;
}

void explain_condition(struct account *out, const struct facts *facts, uint64_t unknown,
                       struct arena *a)
{
    const struct rule *r = out->rule;
    const struct cel *failed;
    struct cel_run run;
    if (r->reads_path && unknown & CEL_BIT(request_path)) {
        out->mark = MARK_UNKNOWN;
        out->missing = SLICE("path");
        return;
    }
    switch (explain_ask(r, r->when, facts, unknown, &run)) {
    case CEL_IS_TRUE:
        out->mark = MARK_HIT;
        return;
    case CEL_IS_FALSE:
        out->mark = MARK_MISS;
        failed = first_failed(r, facts, unknown, a);
        out->failed = failed ? cel_text(a, failed) : SLICE("");
        break;
    case CEL_IS_ERROR:
        out->mark = mark_of_error(out, facts, &run);
        break;
    }
    if (out->mark == MARK_MISS && rule_would_step_up(r, facts)) {
        out->mark = MARK_MAY;
        out->needs_level = true;
    }
}

static void account_of(struct account *out, const struct facts *facts, uint64_t unknown,
                       struct arena *a)
{
    const struct rule *r = out->rule;
    if (rule_has_expired(r, facts))
        out->mark = MARK_EXPIRED;
    else if (explain_fits(r, facts))
        explain_condition(out, facts, unknown, a);
}

static void add_rules(struct accounts *out, const struct rule *rules, uint32_t count,
                      bool is_baseline)
{
    for (uint32_t i = 0; i < count; i++)
        out->at[out->count++] = (struct account){.rule = &rules[i], .is_baseline = is_baseline};
}

struct accounts explain_rules(const struct snapshot *s, const struct facts *facts, uint64_t unknown,
                              struct arena *a)
{
    const struct hearing h = hearing_of(s, facts);
    struct accounts out = {.count = 0};
    out.at = arena_array(a, struct account, h.first_rule + h.app->rule_count);
    add_rules(&out, h.baseline->requirements, h.baseline->requirement_count, true);
    add_rules(&out, h.baseline->forbids, h.baseline->forbid_count, true);
    add_rules(&out, h.app->rule_list, h.app->rule_count, false);
    for (uint32_t i = 0; i < out.count; i++)
        account_of(&out.at[i], facts, unknown, a);
    return out;
}

/* ---- the verdict ---- */

/* The first rules of each kind; NULL: none. */
struct findings_of_rules {
    const struct rule *forbid; /* holds, or a requirement that does not */
    const struct rule *forbid_in_doubt;
    const struct rule *permit;
    const struct rule *permit_in_doubt;
};

static void note(const struct rule **first, const struct rule *r)
{
    if (!*first)
        *first = r;
}

static void judge_rule(struct findings_of_rules *out, const struct rule *r,
                       const struct facts *facts, uint64_t unknown)
{
    struct cel_run run;
    if (r->is_shadow || rule_has_expired(r, facts) ||
        (r->effect != RULE_REQUIRE && !rule_fits(facts->app, r, facts->request)))
        return;
    const enum cel_outcome outcome = explain_ask(r, r->when, facts, unknown, &run);
    const bool in_doubt = outcome == CEL_IS_ERROR && run.has_unknown;
    if (r->effect == RULE_PERMIT) {
        if (in_doubt)
            note(&out->permit_in_doubt, r);
        else if (outcome == CEL_IS_TRUE)
            note(&out->permit, r);
        return;
    }
    if (in_doubt)
        note(&out->forbid_in_doubt, r);
    else if (outcome != (r->effect == RULE_REQUIRE ? CEL_IS_TRUE : CEL_IS_FALSE))
        note(&out->forbid, r);
}

static void judge_rules(struct findings_of_rules *out, const struct rule *rules, uint32_t count,
                        const struct facts *facts, uint64_t unknown)
{
    for (uint32_t i = 0; i < count; i++)
        judge_rule(out, &rules[i], facts, unknown);
}

static struct conclusion conclude(const struct hearing *h, enum knowledge verdict,
                                  const struct rule *r)
{
    const struct rule *own = h->app->rule_list;
    const bool is_own = r && r >= own && r < own + h->app->rule_count;
    return (struct conclusion){verdict, r, r && !is_own};
}

struct conclusion explain_verdict(const struct snapshot *s, const struct facts *facts,
                                  uint64_t unknown)
{
    const struct hearing h = hearing_of(s, facts);
    struct findings_of_rules f = {.forbid = NULL};
    judge_rules(&f, h.baseline->requirements, h.baseline->requirement_count, facts, unknown);
    judge_rules(&f, h.baseline->forbids, h.baseline->forbid_count, facts, unknown);
    judge_rules(&f, h.app->rule_list, h.app->rule_count, facts, unknown);
    if (f.forbid)
        return conclude(&h, KNOWN_DENY, f.forbid);
    if (!f.permit && !f.permit_in_doubt)
        return conclude(&h, KNOWN_DENY, NULL);
    if (f.permit && !f.forbid_in_doubt)
        return conclude(&h, KNOWN_PERMIT, f.permit);
    return conclude(&h, NOT_KNOWN, f.forbid_in_doubt ? f.forbid_in_doubt : f.permit_in_doubt);
}

void explain_narrow(struct facts *facts)
{
    const struct application *app = facts->app;
    if (!application_has_people(app)) {
        facts->user = NULL;
        facts->session = NULL;
    }
    if (!asks_for_device(app))
        facts->device = NULL;
    if (!asks_for_device(app) && !vouches_for_services(app))
        facts->service = NULL;
}

bool explain_counts(const struct rule *r, struct wall now)
{
    return !r->is_shadow && !(r->expires_s && now.s >= r->expires_s);
}

bool explain_fits(const struct rule *r, const struct facts *facts)
{
    return r->effect == RULE_REQUIRE || rule_fits(facts->app, r, facts->request);
}
