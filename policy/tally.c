// SPDX-License-Identifier: EUPL-1.2
/* How answers are counted, and what they come to: the text at the head of decide.c, line by line.
 */
#include "policy/charter.h"
#include "policy/decide_in.h"

/* Above every level that a provider states (FAS: at most 600). */
#define ACR_LEVEL_MAX 4096

const struct tally tally_empty = {NO_RULE, NO_RULE, NO_RULE, NO_RULE, NO_RULE,
                                  NO_RULE, NO_RULE, NO_RULE, NO_RULE, NO_RULE};

struct hearing hearing_of(const struct snapshot *s, const struct facts *facts)
{
    static const struct baseline none;
    const struct baseline *b = s && s->baseline ? s->baseline : &none;
    return (struct hearing){.facts = facts,
                            .app = facts->app,
                            .baseline = b,
                            .first_forbid = b->requirement_count,
                            .first_rule = b->requirement_count + b->forbid_count};
}

const struct rule *hearing_rule(const struct hearing *h, uint32_t number)
{
    if (number >= h->first_rule)
        return &h->app->rule_list[number - h->first_rule];
    if (number >= h->first_forbid)
        return &h->baseline->forbids[number - h->first_forbid];
    return &h->baseline->requirements[number];
}

void hearing_bound(const struct hearing *h, struct decision *out)
{
    const struct rules *forbids = h->baseline->rules[h->app->paths.fold_case];
    const struct rules *own = h->app->rules;
    const bool reads_time =
        (own && own->reads_time) || h->baseline->reads_time || (forbids && forbids->reads_time);
    const bool reads_age =
        (own && own->reads_age) || h->baseline->reads_age || (forbids && forbids->reads_age);
    if ((reads_time || (reads_age && h->facts->session)) && out->valid_until_s > h->facts->now.s)
        out->valid_until_s = h->facts->now.s + 1;
}

/* ---- counting ---- */

bool rule_has_expired(const struct rule *r, const struct facts *facts)
{
    return r->expires_s && facts->now.s >= r->expires_s;
}

struct answer rule_ask(const struct rule *r, const struct facts *facts)
{
    struct cel_run run = {0};
    enum cel_outcome outcome = rule_test(r, facts, &run);
    return (struct answer){.outcome = (uint8_t)outcome,
                           .lacks_user = outcome == CEL_IS_ERROR && run.lacks_user && !facts->user,
                           .lacks_device =
                               outcome == CEL_IS_ERROR && run.lacks_device && !facts->device};
}

bool rule_would_step_up(const struct rule *r, const struct facts *facts)
{
    struct cel_run run = {.assume_acr_level = true};
    return r->remedy == REMEDY_STEP_UP && r->when && facts->user &&
           rule_test(r, facts, &run) == CEL_IS_TRUE;
}

void tally_forbid(struct tally *t, uint32_t rule, struct answer a)
{
    if (a.outcome == CEL_IS_FALSE)
        return;
    if (a.lacks_user)
        tally_note(&t->open_user_forbid, rule);
    else if (a.lacks_device)
        tally_note(&t->open_device_forbid, rule);
    else
        tally_note(&t->firm_forbid, rule);
}

void tally_permit(struct tally *t, uint32_t rule, struct answer a)
{
    tally_note(&t->nearest, rule);
    if (a.outcome == CEL_IS_TRUE)
        tally_note(&t->permit, rule);
    if (a.outcome != CEL_IS_ERROR)
        return;
    tally_note(&t->faulty, rule);
    if (a.lacks_user)
        tally_note(&t->lacks_user, rule);
    if (a.lacks_device)
        tally_note(&t->lacks_device, rule);
}

/* A requirement forbids where it is not true. */
void tally_requirements(struct tally *t, const struct hearing *h, bool is_shadow)
{
    for (uint32_t i = 0; i < h->baseline->requirement_count; i++) {
        const struct rule *r = &h->baseline->requirements[i];
        if (r->is_shadow != is_shadow || rule_has_expired(r, h->facts))
            continue;
        struct answer a = rule_ask(r, h->facts);
        if (a.outcome == CEL_IS_TRUE)
            continue;
        if (!a.lacks_user && !a.lacks_device && rule_would_step_up(r, h->facts))
            tally_note(&t->raise, i);
        else
            tally_forbid(t, i, (struct answer){CEL_IS_ERROR, a.lacks_user, a.lacks_device});
    }
}

/* ---- concluding ---- */

/* The least level at which the condition holds, by halving; 0 where it can't be told. */
static int64_t level_needed(const struct rule *r, const struct facts *facts)
{
    struct facts_user user = *facts->user;
    struct facts raised = *facts;
    raised.user = &user;
    int64_t low = user.acr_level < 0 ? 0 : user.acr_level, high = ACR_LEVEL_MAX; /* (low, high] */
    user.acr_level = high;
    if (low >= high || rule_test(r, &raised, &(struct cel_run){0}) != CEL_IS_TRUE)
        return 0;
    while (high - low > 1) {
        user.acr_level = low + (high - low) / 2;
        if (rule_test(r, &raised, &(struct cel_run){0}) == CEL_IS_TRUE)
            high = user.acr_level;
        else
            low = user.acr_level;
    }
    return high;
}

/* The highest that a requirement asks for beyond what the user has. */
static int64_t level_required(const struct hearing *h)
{
    int64_t level = 0;
    for (uint32_t i = 0; i < h->baseline->requirement_count; i++) {
        const struct rule *r = &h->baseline->requirements[i];
        if (r->is_shadow || rule_has_expired(r, h->facts) ||
            rule_ask(r, h->facts).outcome == CEL_IS_TRUE || !rule_would_step_up(r, h->facts))
            continue;
        const int64_t needed = level_needed(r, h->facts);
        level = needed > level ? needed : level;
    }
    return level;
}

/* Who decided, and until when that is so: a rule can only go, and while this one is there nothing
 * that goes beside it changes the verdict. */
static void name_rule(struct decision *out, const struct hearing *h, uint32_t number)
{
    const struct rule *r = hearing_rule(h, number);
    out->rule = r->id;
    out->named = r;
    out->is_baseline = number < h->first_rule;
    out->explanations = out->is_baseline ? r->reason : NULL;
    out->valid_until_s = r->expires_s ? r->expires_s : INT64_MAX;
}

/* Names the rule that was nearest, or forbade, and what its condition missed. `faulty`: the rule to
 * be named as one that can't be evaluated, where `rule` itself can. */
static bool refuse(struct decision *out, const struct hearing *h, enum reason reason, uint32_t rule,
                   uint32_t faulty)
{
    struct cel_run run = {0};
    out->reason = reason;
    if (rule != NO_RULE) {
        name_rule(out, h, rule);
        if (rule_test(hearing_rule(h, rule), h->facts, &run) == CEL_IS_ERROR) {
            out->missing = run.missing;
            faulty = rule;
        }
    }
    out->is_fault = faulty != NO_RULE;
    if (out->is_fault)
        out->faulty_rule = hearing_rule(h, faulty)->id;
    return true;
}

bool tally_conclude(const struct tally *t, const struct hearing *h, struct decision *out)
{
    uint32_t user_rule = t->open_user_forbid, device_rule = t->open_device_forbid;
    bool is_open = user_rule != NO_RULE || device_rule != NO_RULE;
    bool holds = t->permit != NO_RULE;
    if (t->firm_forbid != NO_RULE)
        return refuse(out, h, REASON_FORBIDDEN, t->firm_forbid, NO_RULE);
    if (holds && !is_open && t->raise == NO_RULE) {
        /* The one way to a permit. */
        out->verdict = DECISION_PERMIT;
        out->reason = REASON_PERMITTED;
        name_rule(out, h, t->permit);
        return true;
    }
    if (is_open && !holds && t->lacks_user == NO_RULE && t->lacks_device == NO_RULE)
        return refuse(out, h, REASON_FORBIDDEN, user_rule < device_rule ? user_rule : device_rule,
                      NO_RULE);
    if (user_rule == NO_RULE && !holds)
        user_rule = t->lacks_user;
    if (user_rule != NO_RULE)
        return refuse(out, h, REASON_IDENTITY_REQUIRED, user_rule, NO_RULE);
    if (device_rule == NO_RULE && !holds)
        device_rule = t->lacks_device;
    if (device_rule != NO_RULE)
        return refuse(out, h, REASON_DEVICE_REQUIRED, device_rule, NO_RULE);
    return false;
}

void tally_conclude_step_up(const struct tally *t, const struct hearing *h, struct decision *out)
{
    const bool holds = t->permit != NO_RULE;
    if (!holds && t->step_up == NO_RULE) {
        refuse(out, h, REASON_DENIED, t->nearest, t->faulty);
        return;
    }
    refuse(out, h, REASON_ASSURANCE_TOO_LOW, holds ? t->raise : t->step_up,
           holds ? NO_RULE : t->faulty);
    const int64_t permit = holds ? 0 : level_needed(hearing_rule(h, t->step_up), h->facts);
    const int64_t required = t->raise == NO_RULE ? 0 : level_required(h);
    out->needs_acr_level = permit > required ? permit : required;
}

void tally_conclude_shadow(const struct tally *t, const struct hearing *h, struct decision *out)
{
    uint32_t stop = t->firm_forbid;
    stop = stop == NO_RULE ? t->open_user_forbid : stop;
    stop = stop == NO_RULE ? t->open_device_forbid : stop;
    stop = stop == NO_RULE ? t->raise : stop;
    const bool permits = stop == NO_RULE && t->permit != NO_RULE;
    if (permits == (out->verdict == DECISION_PERMIT))
        return;
    out->shadow = (struct shadow_decision){
        .differs = true,
        .verdict = permits ? DECISION_PERMIT : DECISION_DENY,
        .rule = hearing_rule(h, permits ? t->permit : stop)->id,
    };
}
