// SPDX-License-Identifier: EUPL-1.2
/* The judgement, twice: by the compiled index, and by a plain loop that the property test holds it
 * to. Both follow one text:
 *
 *   A forbid *holds* where its condition is true or can't be evaluated. It is *open* where all that
 *   keeps it from being evaluated is that there is no user, or no device, at all. A permit holds
 *   where its condition is true. Of rules that count alike, the first in the list is named.
 *
 *   1. A forbid holds and is not open:                  FORBIDDEN
 *   2. A permit holds, and no forbid is open:           PERMITTED
 *   3. No permit holds, nor lacks a user or device,
 *      and a forbid is open:                            FORBIDDEN
 *   4. A user is lacked, by an open forbid or, where
 *      no permit holds, by a permit:                    IDENTITY_REQUIRED
 *   5. A device is, in the same way:                    DEVICE_REQUIRED
 *   6. A step-up permit would hold at a higher level:   ASSURANCE_TOO_LOW
 *   7. Else, by the first permit for method and path:   DENIED
 *
 * The walk owns no memory: a small table on the stack remembers conditions, and where two of them
 * want one place the later one is evaluated again. Conditions are pure: only time depends on it. */
#include "policy/decide.h"

#include "belfry/request.h"
#include "policy/compile.h"

#define NO_RULE UINT32_MAX
/* A power of two; more distinct conditions for one path are rare. */
#define MEMO_SLOTS 64
/* Above every level that a provider states (FAS: at most 600). */
#define ACR_LEVEL_MAX 4096

/* What a condition came to. The flags go with CEL_IS_ERROR. */
struct answer {
    uint32_t condition; /* its number; 0: the slot is empty */
    uint8_t outcome;
    bool lacks_user;
    bool lacks_device;
};

/* The first rule of each kind, by number; NO_RULE where there is none. */
struct tally {
    uint32_t firm_forbid;
    uint32_t open_user_forbid;
    uint32_t open_device_forbid;
    uint32_t permit;
    uint32_t lacks_user;
    uint32_t lacks_device;
    uint32_t faulty;  /* a permit that could not be evaluated */
    uint32_t nearest; /* a permit for this method and path */
    uint32_t step_up;
};

static const struct tally empty_tally = {NO_RULE, NO_RULE, NO_RULE, NO_RULE, NO_RULE,
                                         NO_RULE, NO_RULE, NO_RULE, NO_RULE};

static void note(uint32_t *first, uint32_t rule)
{
    if (rule < *first)
        *first = rule;
}

static bool has_expired(const struct rule *r, const struct facts *facts)
{
    return r->expires_s && facts->now.s >= r->expires_s;
}

static struct answer ask(const struct cel *when, const struct facts *facts)
{
    if (!when)
        return (struct answer){.outcome = CEL_IS_TRUE};
    struct cel_run run = {0};
    enum cel_outcome outcome = cel_test(when, facts, &run);
    return (struct answer){.outcome = (uint8_t)outcome,
                           .lacks_user = outcome == CEL_IS_ERROR && run.lacks_user && !facts->user,
                           .lacks_device =
                               outcome == CEL_IS_ERROR && run.lacks_device && !facts->device};
}

static void tally_forbid(struct tally *t, uint32_t rule, struct answer a)
{
    if (a.outcome == CEL_IS_FALSE)
        return;
    if (a.lacks_user)
        note(&t->open_user_forbid, rule);
    else if (a.lacks_device)
        note(&t->open_device_forbid, rule);
    else
        note(&t->firm_forbid, rule);
}

static void tally_permit(struct tally *t, uint32_t rule, struct answer a)
{
    note(&t->nearest, rule);
    if (a.outcome == CEL_IS_TRUE)
        note(&t->permit, rule);
    if (a.outcome != CEL_IS_ERROR)
        return;
    note(&t->faulty, rule);
    if (a.lacks_user)
        note(&t->lacks_user, rule);
    if (a.lacks_device)
        note(&t->lacks_device, rule);
}

/* Would the rule hold for this user at a higher level? */
static bool would_step_up(const struct rule *r, const struct facts *facts)
{
    struct cel_run run = {.assume_acr_level = true};
    return r->remedy == REMEDY_STEP_UP && r->when && facts->user &&
           cel_test(r->when, facts, &run) == CEL_IS_TRUE;
}

/* The least level at which the condition holds, by halving; 0 where it can't be told. */
static int64_t level_needed(const struct cel *when, const struct facts *facts)
{
    struct facts_user user = *facts->user;
    struct facts raised = *facts;
    raised.user = &user;
    int64_t low = user.acr_level < 0 ? 0 : user.acr_level, high = ACR_LEVEL_MAX; /* (low, high] */
    user.acr_level = high;
    if (low >= high || cel_test(when, &raised, &(struct cel_run){0}) != CEL_IS_TRUE)
        return 0;
    while (high - low > 1) {
        user.acr_level = low + (high - low) / 2;
        if (cel_test(when, &raised, &(struct cel_run){0}) == CEL_IS_TRUE)
            high = user.acr_level;
        else
            low = user.acr_level;
    }
    return high;
}

/* Names the rule that was nearest, or forbade, and what its condition missed; true where it could
 * not be evaluated. */
static bool name_rule(struct decision *out, const struct facts *facts, uint32_t rule)
{
    const struct rule *r = &facts->app->rule_list[rule];
    struct cel_run run = {0};
    out->rule = r->id;
    if (!r->when || cel_test(r->when, facts, &run) != CEL_IS_ERROR)
        return false;
    out->missing = run.missing;
    return true;
}

/* `faulty`: the rule to be named as one that can't be evaluated, where `rule` itself can. */
static bool refuse(struct decision *out, const struct facts *facts, enum reason reason,
                   uint32_t rule, uint32_t faulty)
{
    out->reason = reason;
    if (rule != NO_RULE && name_rule(out, facts, rule))
        faulty = rule;
    out->is_fault = faulty != NO_RULE;
    if (out->is_fault)
        out->faulty_rule = facts->app->rule_list[faulty].id;
    return true;
}

/* Steps 1 to 5 of the text above; false where none of them is it. */
static bool conclude(const struct tally *t, const struct facts *facts, struct decision *out)
{
    uint32_t user_rule = t->open_user_forbid, device_rule = t->open_device_forbid;
    bool is_open = user_rule != NO_RULE || device_rule != NO_RULE;
    bool holds = t->permit != NO_RULE;
    if (t->firm_forbid != NO_RULE)
        return refuse(out, facts, REASON_FORBIDDEN, t->firm_forbid, NO_RULE);
    if (holds && !is_open) {
        /* The one way to a permit. */
        out->verdict = DECISION_PERMIT;
        out->reason = REASON_PERMITTED;
        out->rule = facts->app->rule_list[t->permit].id;
        return true;
    }
    if (is_open && !holds && t->lacks_user == NO_RULE && t->lacks_device == NO_RULE)
        return refuse(out, facts, REASON_FORBIDDEN,
                      user_rule < device_rule ? user_rule : device_rule, NO_RULE);
    if (user_rule == NO_RULE && !holds)
        user_rule = t->lacks_user;
    if (user_rule != NO_RULE)
        return refuse(out, facts, REASON_IDENTITY_REQUIRED, user_rule, NO_RULE);
    if (device_rule == NO_RULE && !holds)
        device_rule = t->lacks_device;
    if (device_rule != NO_RULE)
        return refuse(out, facts, REASON_DEVICE_REQUIRED, device_rule, NO_RULE);
    return false;
}

static void conclude_step_up(const struct tally *t, const struct facts *facts, struct decision *out)
{
    if (t->step_up == NO_RULE) {
        refuse(out, facts, REASON_DENIED, t->nearest, t->faulty);
        return;
    }
    refuse(out, facts, REASON_ASSURANCE_TOO_LOW, t->step_up, t->faulty);
    out->needs_acr_level = level_needed(facts->app->rule_list[t->step_up].when, facts);
}

/* ---- readings of a path ---- */

/* Longer than any pattern: what stands behind can only be met by "**". */
#define LAX_MAX_SEGMENTS (PATH_MAX_SEGMENTS + 2)

struct reading {
    const struct slice *segments;
    uint32_t count;
    bool is_cut; /* what stands behind a ";" is left out */
};

static bool has_lax_reading(const struct application *app)
{
    return app->paths.allow_encoded_slash || app->paths.allow_empty_segments;
}

/* The path as an application reads it that decodes "%2F" before it splits, or that merges slashes.
 * Where such paths are let in, a forbid holds against that reading too. */
static struct reading read_laxly(const struct path *path, struct slice out[LAX_MAX_SEGMENTS])
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

/* ---- by the index ---- */

enum walk_mode { WALK_FORBIDS, WALK_PERMITS, WALK_STEP_UPS };

struct walk {
    const struct facts *facts;
    const struct application *app;
    struct reading reading;
    enum walk_mode mode;
    struct tally tally;
    struct answer memo[MEMO_SLOTS];
};

static char fold_at(struct slice s, size_t i)
{
    return path_fold(i ? s.ptr[i - 1] : '\0', s.ptr[i]);
}

/* `text` is folded already where the application folds. */
static int compare_bytes(struct slice s, struct slice text, bool fold)
{
    if (!fold)
        return text.len ? memcmp(s.ptr, text.ptr, text.len) : 0;
    for (size_t i = 0; i < text.len; i++) {
        int order = (unsigned char)fold_at(s, i) - (unsigned char)text.ptr[i];
        if (order)
            return order;
    }
    return 0;
}

static bool glob_fits(struct slice s, struct slice text, struct slice tail, bool fold)
{
    if (s.len < text.len || s.len - text.len < tail.len || compare_bytes(s, text, fold) != 0)
        return false;
    /* The fold looks one byte back, so the tail is compared in place. */
    size_t from = s.len - tail.len;
    for (size_t i = 0; i < tail.len; i++)
        if ((fold ? fold_at(s, from + i) : s.ptr[from + i]) != tail.ptr[i])
            return false;
    return true;
}

static struct slice segment_at(const struct walk *w, uint32_t depth)
{
    struct slice s = w->reading.segments[depth];
    return w->reading.is_cut ? slice_cut(&s, ';') : s;
}

static const struct rule_node *find_text(const struct rule_node *n, struct slice s, bool fold)
{
    uint32_t low = 0, high = n->text_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct slice text = n->texts[middle].text;
        int order = s.len != text.len ? (s.len < text.len ? -1 : 1) : compare_bytes(s, text, fold);
        if (order == 0)
            return n->texts[middle].node;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static bool method_fits(const struct walk *w, const struct rule_entry *e)
{
    const struct request *request = w->facts->request;
    if (e->methods == METHODS_ALL)
        return true;
    if (!(e->methods & 1u << request->method))
        return false;
    if (request->method != METHOD_OTHER)
        return true;
    const struct slices *names = &w->app->rule_list[e->rule].other_methods;
    for (uint32_t i = 0; i < names->count; i++)
        if (slice_eq(names->at[i], request->method_name))
            return true;
    return false;
}

static bool pattern_fits(const struct application *app, const struct pattern *p,
                         struct reading reading);

static bool some_pattern_fits(const struct application *app, const struct rule *r,
                              struct reading reading)
{
    for (uint32_t i = 0; i < r->path_count; i++)
        if (pattern_fits(app, &r->paths[i], reading))
            return true;
    return !r->path_count;
}

static struct answer answer_of(struct walk *w, const struct rule_entry *e)
{
    if (!e->condition)
        return (struct answer){.outcome = CEL_IS_TRUE};
    struct answer *slot = &w->memo[e->condition & (MEMO_SLOTS - 1)];
    if (slot->condition != e->condition) {
        *slot = ask(w->app->rules->conditions[e->condition - 1], w->facts);
        slot->condition = e->condition;
    }
    return *slot;
}

/* A permit has to fit without the parameters too: whether the application sees them or not, one
 * rule permits. */
static bool fits_cut(const struct walk *w, const struct rule *r)
{
    const struct path *path = &w->facts->request->path;
    return !path->has_parameters ||
           some_pattern_fits(w->app, r,
                             (struct reading){path->segments, path->segment_count, true});
}

static void judge_entry(struct walk *w, const struct rule_entry *e)
{
    const struct rule *r = &w->app->rule_list[e->rule];
    if (has_expired(r, w->facts))
        return;
    switch (w->mode) {
    case WALK_FORBIDS:
        tally_forbid(&w->tally, e->rule, answer_of(w, e));
        return;
    case WALK_PERMITS:
        if (fits_cut(w, r))
            tally_permit(&w->tally, e->rule, answer_of(w, e));
        return;
    case WALK_STEP_UPS:
        if (e->may_step_up && fits_cut(w, r) && would_step_up(r, w->facts))
            note(&w->tally.step_up, e->rule);
        return;
    }
}

/* Sets are in the order of rules: behind the first that decides, none can. */
static void judge_set(struct walk *w, const struct rule_set *set)
{
    const uint32_t *stop = w->mode == WALK_FORBIDS   ? &w->tally.firm_forbid
                           : w->mode == WALK_PERMITS ? &w->tally.permit
                                                     : &w->tally.step_up;
    for (uint32_t i = 0; i < set->count && set->at[i].rule < *stop; i++)
        if (method_fits(w, &set->at[i]))
            judge_entry(w, &set->at[i]);
}

/* Each node is reached by one way, so the walk is never longer than the tree; it is as deep as a
 * pattern. */
static void walk_node(struct walk *w, const struct rule_node *n, uint32_t depth)
{
    bool fold = w->app->paths.fold_case;
    judge_set(w, &n->rest);
    if (depth == w->reading.count) {
        judge_set(w, &n->here);
        return;
    }
    struct slice s = segment_at(w, depth);
    const struct rule_node *next = find_text(n, s, fold);
    if (next)
        walk_node(w, next, depth + 1);
    if (n->one && s.len)
        walk_node(w, n->one, depth + 1);
    for (uint32_t i = 0; i < n->glob_count; i++)
        if (glob_fits(s, n->globs[i].text, n->globs[i].tail, fold))
            walk_node(w, n->globs[i].node, depth + 1);
}

static void walk_forbids(struct walk *w, struct reading reading)
{
    w->reading = reading;
    walk_node(w, w->app->rules->forbids, 0);
    if (!w->facts->request->path.has_parameters)
        return;
    w->reading.is_cut = true;
    walk_node(w, w->app->rules->forbids, 0);
}

/* Apart, for the room that it takes on the stack. */
static __attribute__((noinline)) void walk_forbids_laxly(struct walk *w)
{
    struct slice room[LAX_MAX_SEGMENTS];
    walk_forbids(w, read_laxly(&w->facts->request->path, room));
}

void decide(const struct snapshot *s, const struct facts *facts, struct decision *out)
{
    *out = (struct decision){.reason = REASON_DENIED, .snapshot = s ? s->number : 0};
    const struct rules *rules = facts->app->rules;
    const struct path *path = &facts->request->path;
    if (!rules)
        return;
    const struct reading whole = {path->segments, path->segment_count, false};
    struct walk w = {.facts = facts, .app = facts->app, .mode = WALK_FORBIDS, .tally = empty_tally};
    walk_forbids(&w, whole);
    if (has_lax_reading(facts->app))
        walk_forbids_laxly(&w);
    w.reading = whole;
    if (w.tally.firm_forbid == NO_RULE) {
        w.mode = WALK_PERMITS;
        walk_node(&w, rules->permits, 0);
    }
    if (conclude(&w.tally, facts, out))
        return;
    if (rules->has_step_up && facts->user) {
        w.mode = WALK_STEP_UPS;
        walk_node(&w, rules->permits, 0);
    }
    conclude_step_up(&w.tally, facts, out);
}

/* ---- the slow twin ---- */

static bool bytes_fit(struct slice s, struct slice text, bool fold)
{
    if (s.len != text.len)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (fold ? fold_at(s, i) != fold_at(text, i) : s.ptr[i] != text.ptr[i])
            return false;
    return true;
}

static bool segment_fits(const struct pattern_segment *p, struct slice s, bool fold)
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

static bool pattern_fits(const struct application *app, const struct pattern *p,
                         struct reading reading)
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

static bool names_method(const struct rule *r, const struct request *request)
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

static bool rule_fits(const struct application *app, const struct rule *r,
                      const struct request *request)
{
    if (r->is_shadow || !names_method(r, request))
        return false;
    const struct path *path = &request->path;
    struct slice room[LAX_MAX_SEGMENTS];
    struct reading reading = {path->segments, path->segment_count, false};
    bool whole = some_pattern_fits(app, r, reading);
    reading.is_cut = true;
    bool cut = some_pattern_fits(app, r, reading);
    if (r->effect == RULE_PERMIT)
        return whole && cut;
    if (whole || cut || !has_lax_reading(app))
        return whole || cut;
    reading = read_laxly(path, room);
    whole = some_pattern_fits(app, r, reading);
    reading.is_cut = true;
    return whole || some_pattern_fits(app, r, reading);
}

void decide_slowly(const struct snapshot *s, const struct facts *facts, struct decision *out)
{
    *out = (struct decision){.reason = REASON_DENIED, .snapshot = s ? s->number : 0};
    const struct application *app = facts->app;
    struct tally t = empty_tally;
    for (uint32_t i = 0; i < app->rule_count; i++) {
        const struct rule *r = &app->rule_list[i];
        if (has_expired(r, facts) || !rule_fits(app, r, facts->request))
            continue;
        struct answer a = ask(r->when, facts);
        if (r->effect == RULE_FORBID) {
            tally_forbid(&t, i, a);
            continue;
        }
        tally_permit(&t, i, a);
        if (would_step_up(r, facts))
            note(&t.step_up, i);
    }
    if (!conclude(&t, facts, out))
        conclude_step_up(&t, facts, out);
}
