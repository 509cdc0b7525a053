// SPDX-License-Identifier: EUPL-1.2
/* Facts are given values one by one, only such as some rule waits for, until both sides have a
 * verdict: a tree whose leaves are all that can be. Where the verdicts differ it goes on until it
 * is settled which rules are named, since that is what a class is told by. Owns: that tree, and its
 * limits. Does not own: what is true (cel_test), and what follows from it (tally.c). */
#include "policy/charter.h"
#include "policy/diff_in.h"

#include "policy/explain.h"

#define STEPS_MAX 2000000 /* of the tree of one host: verdicts asked for */
#define TRAIL_MAX 256     /* variables that have a value at once */

/* ---- replies, as far as variables have values ---- */

/* With an error: what it lacks as a whole. */
struct said_of_rule {
    enum reply reply;
    bool lacks_user;
    bool lacks_device;
};

/* Who asks: a side, and whether the level is taken to be above all others. */
struct asking {
    struct search *s;
    int side;
    bool is_raised;
};

static struct said_of_rule plain(enum reply reply)
{
    return (struct said_of_rule){.reply = reply};
}

static struct said_of_rule wait_for(struct search *s, struct variable *v)
{
    s->pending = v;
    return plain(IS_OPEN);
}

static struct said_of_rule error_of(const struct search *s, unsigned roots)
{
    return (struct said_of_rule){IS_AN_ERROR, roots >> ROOT_USER & 1 && !s->roots[ROOT_USER].value,
                                 roots >> ROOT_DEVICE & 1 && !s->roots[ROOT_DEVICE].value};
}

static struct said_of_rule test(const struct asking *q, const struct leaf *l)
{
    struct search *s = q->s;
    struct cel_run run = {.assume_acr_level = q->is_raised};
    s->facts.app = s->sides[q->side]->app;
    switch (cel_test(&l->cel, &s->facts, &run)) {
    case CEL_IS_FALSE:
        return plain(IS_FALSE);
    case CEL_IS_TRUE:
        return plain(IS_TRUE);
    case CEL_IS_ERROR:
        break;
    }
    return error_of(s, l->roots);
}

static struct said_of_rule ask_leaf(const struct asking *q, const struct cel_step *step)
{
    struct search *s = q->s;
    const struct leaf *l = map_get(&s->leaves, slice_from(&step, sizeof step));
    struct variable *v = l->variable[q->side][q->is_raised];
    bool lacks_root = false;
    if (l->is_known)
        return test(q, l);
    for (int root = 0; root < ROOT_COUNT; root++) {
        if (!(l->roots >> root & 1))
            continue;
        if (s->roots[root].value < 0)
            return wait_for(s, &s->roots[root]);
        lacks_root = lacks_root || !s->roots[root].value;
    }
    const bool is_plain = v->kind != OF_OPAQUE || v->count == 2; /* never absorbs an error */
    if (lacks_root && is_plain)
        return error_of(s, l->roots);
    if (v->value < 0)
        return wait_for(s, v);
    if (v->kind == OF_MEMBER)
        return plain(v->value ? IS_TRUE : IS_FALSE);
    if (v->kind != OF_OPAQUE)
        return test(q, l);
    return v->value == IS_AN_ERROR ? error_of(s, l->roots) : plain((enum reply)v->value);
}

static struct said_of_rule ask(const struct asking *q, const struct cel_step *step);

static struct said_of_rule ask_chain(const struct asking *q, const struct cel_step *step,
                                     enum reply stop)
{
    struct said_of_rule all = plain(stop == IS_TRUE ? IS_FALSE : IS_TRUE);
    for (uint32_t i = 0; i < step->count; i++) {
        const struct said_of_rule one = ask(q, step->args[i]);
        if (one.reply == stop)
            return one;
        if (one.reply == IS_OPEN || (one.reply == IS_AN_ERROR && all.reply != IS_OPEN))
            all.reply = one.reply;
        all.lacks_user = all.lacks_user || one.lacks_user;
        all.lacks_device = all.lacks_device || one.lacks_device;
    }
    return all;
}

static struct said_of_rule ask(const struct asking *q, const struct cel_step *step)
{
    struct said_of_rule one;
    switch ((enum cel_op)step->op) {
    case OP_AND:
        return ask_chain(q, step, IS_FALSE);
    case OP_OR:
        return ask_chain(q, step, IS_TRUE);
    case OP_NOT:
        one = ask(q, step->args[0]);
        if (one.reply == IS_TRUE || one.reply == IS_FALSE)
            one.reply = one.reply == IS_TRUE ? IS_FALSE : IS_TRUE;
        return one;
    case OP_TERNARY:
        one = ask(q, step->args[0]);
        return one.reply == IS_OPEN || one.reply == IS_AN_ERROR
                   ? one
                   : ask(q, step->args[one.reply == IS_TRUE ? 1 : 2]);
    case OP_VALUE:
        return plain(step->value.b ? IS_TRUE : IS_FALSE);
    default:
        return ask_leaf(q, step);
    }
}

static struct said_of_rule ask_rule(struct search *s, int side, const struct rule *r,
                                    bool is_raised)
{
    const struct asking q = {s, side, is_raised};
    if (!r->when)
        return plain(IS_TRUE);
    return r->reads_path ? ask_leaf(&q, r->when->root) : ask(&q, r->when->root);
}

/* ---- verdicts ---- */

/* Whether the gateway asks for a certificate that is not there, before any rule. */
static enum reply demands_more(struct search *s, const struct application *app)
{
    const int device = s->roots[ROOT_DEVICE].value, service = s->roots[ROOT_SERVICE].value;
    if (app->device != DEVICE_REQUIRED_BY_TLS && app->device != DEVICE_REQUIRED)
        return IS_FALSE;
    if (device == 1 || service == 1)
        return IS_FALSE;
    if (device < 0)
        return wait_for(s, &s->roots[ROOT_DEVICE]).reply;
    return service < 0 ? wait_for(s, &s->roots[ROOT_SERVICE]).reply : IS_TRUE;
}

static enum knowledge verdict_of(struct search *s, int side)
{
    bool is_permitted = false;
    struct variable *of_permit = NULL, *of_forbid = NULL; /* what the first open one waits for */
    const struct application *app = s->sides[side]->app;
    if (!app)
        return KNOWN_DENY;
    const enum reply before = demands_more(s, app);
    if (before == IS_TRUE)
        return KNOWN_DENY;
    if (before == IS_OPEN)
        of_forbid = s->pending;
    for (uint32_t i = 0; i < s->rule_count[side]; i++) {
        const struct rule *r = s->rules[side][i].rule;
        const enum reply one = ask_rule(s, side, r, false).reply;
        if (one == IS_OPEN) {
            struct variable **first = r->effect == RULE_PERMIT ? &of_permit : &of_forbid;
            *first = *first ? *first : s->pending;
        } else if (r->effect == RULE_PERMIT) {
            is_permitted = is_permitted || one == IS_TRUE;
        } else if (one != (r->effect == RULE_REQUIRE ? IS_TRUE : IS_FALSE)) {
            return KNOWN_DENY;
        }
    }
    if (!is_permitted && !of_permit)
        return KNOWN_DENY;
    if (is_permitted && !of_forbid)
        return KNOWN_PERMIT;
    s->pending = is_permitted ? of_forbid : of_permit;
    return NOT_KNOWN;
}

/* ---- which rules are named ---- */

static bool steps_up(const struct search *s, const struct rule *r)
{
    return r->remedy == REMEDY_STEP_UP && r->when && s->roots[ROOT_USER].value == 1;
}

static struct answer answer_of(struct said_of_rule said)
{
    return (struct answer){.outcome = said.reply == IS_TRUE    ? CEL_IS_TRUE
                                      : said.reply == IS_FALSE ? CEL_IS_FALSE
                                                               : CEL_IS_ERROR,
                           .lacks_user = said.lacks_user,
                           .lacks_device = said.lacks_device};
}

/* Counts what forbids, up to the first that is neither open nor raised. False where that hangs on
 * what has no value yet. */
static bool count_forbids(struct search *s, int side, struct tally *t)
{
    for (uint32_t i = 0; i < s->rule_count[side] && t->firm_forbid == NO_RULE; i++) {
        const struct searched_rule *r = &s->rules[side][i];
        if (r->rule->effect == RULE_PERMIT)
            continue;
        const struct said_of_rule said = ask_rule(s, side, r->rule, false);
        if (said.reply == IS_OPEN)
            return false;
        if (r->rule->effect == RULE_FORBID) {
            tally_forbid(t, r->number, answer_of(said));
            continue;
        }
        if (said.reply == IS_TRUE)
            continue;
        const bool may_rise = !said.lacks_user && !said.lacks_device && steps_up(s, r->rule);
        const enum reply raised = may_rise ? ask_rule(s, side, r->rule, true).reply : IS_FALSE;
        if (raised == IS_OPEN)
            return false;
        if (raised == IS_TRUE)
            tally_note(&t->raise, r->number);
        else
            tally_forbid(t, r->number,
                         (struct answer){CEL_IS_ERROR, said.lacks_user, said.lacks_device});
    }
    return true;
}

/* Up to the first that permits. */
static bool count_permits(struct search *s, int side, struct tally *t)
{
    for (uint32_t i = 0; i < s->rule_count[side] && t->permit == NO_RULE; i++) {
        const struct searched_rule *r = &s->rules[side][i];
        if (r->rule->effect != RULE_PERMIT)
            continue;
        const struct said_of_rule said = ask_rule(s, side, r->rule, false);
        if (said.reply == IS_OPEN)
            return false;
        tally_permit(t, r->number, answer_of(said));
    }
    return true;
}

static bool count_step_ups(struct search *s, int side, struct tally *t)
{
    for (uint32_t i = 0; i < s->rule_count[side] && t->step_up == NO_RULE; i++) {
        const struct searched_rule *r = &s->rules[side][i];
        if (r->rule->effect != RULE_PERMIT || !steps_up(s, r->rule))
            continue;
        const enum reply raised = ask_rule(s, side, r->rule, true).reply;
        if (raised == IS_OPEN)
            return false;
        if (raised == IS_TRUE)
            tally_note(&t->step_up, r->number);
    }
    return true;
}

/* The decision, whatever those are that have no value; false where it hangs on s->pending. */
static bool is_settled(struct search *s, int side, struct decision *out)
{
    const struct diff_side *by = s->sides[side];
    struct tally t = tally_empty;
    *out = (struct decision){.reason = REASON_HOST_UNKNOWN};
    if (!by->app)
        return true;
    out->reason = REASON_DEVICE_REQUIRED;
    const enum reply before = demands_more(s, by->app);
    if (before != IS_FALSE)
        return before == IS_TRUE;
    s->facts.app = by->app;
    const struct hearing h = hearing_of(by->snapshot, &s->facts);
    if (!count_forbids(s, side, &t))
        return false;
    if (t.firm_forbid == NO_RULE && !count_permits(s, side, &t))
        return false;
    if (tally_conclude(&t, &h, out))
        return true;
    if (t.permit == NO_RULE && !count_step_ups(s, side, &t))
        return false;
    tally_conclude_step_up(&t, &h, out);
    return true;
}

/* ---- the tree ---- */

static void set_value(struct search *s, struct variable *v, int value)
{
    v->value = value;
    const int at = value < 0 ? 0 : value;
    if (v->kind == OF_NUMBER)
        *diff_number_at(&s->people, v->fact) = v->numbers[at];
    if (v->kind == OF_AGE)
        diff_moment_at(&s->people, v->fact)->s =
            v->numbers[at] == NO_AGE ? 0 : s->now.s - v->numbers[at];
    if (v->kind == OF_SAID)
        *diff_said_at(&s->people, v->fact) = (enum said)at;
    if (v->kind == OF_TEXT)
        *diff_text_at(&s->people, v->fact) = v->texts[at];
    s->facts.user = s->roots[ROOT_USER].value == 1 ? &s->people.user : NULL;
    s->facts.device = s->roots[ROOT_DEVICE].value == 1 ? &s->people.device : NULL;
    s->facts.service = s->roots[ROOT_SERVICE].value == 1 ? &s->people.service : NULL;
    s->facts.session =
        s->facts.user && s->roots[ROOT_SESSION].value == 1 ? &s->people.session : NULL;
}

/* What has to be known next; NULL: nothing more. */
static struct variable *next_variable(struct search *s)
{
    struct decision d[2];
    const enum knowledge before = verdict_of(s, 0);
    struct variable *pending = s->pending;
    const enum knowledge after = verdict_of(s, 1);
    if (before == NOT_KNOWN)
        return pending;
    if (after == NOT_KNOWN)
        return s->pending;
    if (before == after)
        return NULL;
    for (int side = 0; side < 2; side++)
        if (!is_settled(s, side, &d[side]))
            return s->pending;
    diff_show(s, d);
    return NULL;
}

static void search(struct search *s)
{
    s->is_exhausted = s->is_exhausted || ++s->steps > STEPS_MAX;
    if (s->is_exhausted)
        return;
    struct variable *pending = next_variable(s);
    if (!pending)
        return;
    if (s->trail_count == TRAIL_MAX) {
        s->is_exhausted = true;
        return;
    }
    s->trail[s->trail_count++] = pending;
    for (uint32_t i = 0; i < pending->count && !s->is_exhausted; i++) {
        set_value(s, pending, (int)i);
        search(s);
    }
    set_value(s, pending, -1);
    s->trail_count--;
}

void diff_search(struct search *s)
{
    struct variable *trail[TRAIL_MAX];
    s->trail = trail;
    search(s);
    s->trail = NULL;
}
