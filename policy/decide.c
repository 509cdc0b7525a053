// SPDX-License-Identifier: EUPL-1.2
/* The judgement, by the compiled index. decide_slow.c is the same by a plain loop, and the property
 * tests hold the two to each other. Both follow one text (tally.c):
 *
 *   A forbid *holds* where its condition is true or can't be evaluated. It is *open* where all that
 *   keeps it from being evaluated is that there is no user, or no device, at all. A requirement of
 *   the baseline is a forbid that holds where its condition is not true; with remedy: step_up,
 * where it would be true at a higher level, it is *raised*. A permit holds where its condition is
 * true. Of rules that count alike, the first in the list is named, and the baseline's before
 * others.
 *
 *   1. A forbid holds and is neither open nor raised:   FORBIDDEN
 *   2. A permit holds, and no forbid is open or raised: PERMITTED
 *   3. No permit holds, nor lacks a user or device,
 *      and a forbid is open:                            FORBIDDEN
 *   4. A user is lacked, by an open forbid or, where
 *      no permit holds, by a permit:                    IDENTITY_REQUIRED
 *   5. A device is, in the same way:                    DEVICE_REQUIRED
 *   6. At a higher level a permit would hold, and every
 *      requirement:                                     ASSURANCE_TOO_LOW
 *   7. Else, by the first permit for method and path:   DENIED
 *
 * A condition that names segments of the path (path.NAME) is asked for each pattern of its rule
 * that fits, in each reading of the path: a permit's is true where in each reading it is for some
 * pattern, a forbid's where it is for any pattern in any reading; errors are those of && and ||.
 *
 * A rule that has expired is not there. One in shadow counts only in what the decision says would
 * have been (`shadow`).
 *
 * The walk owns no memory: answers of atoms and the texts of facts are remembered on the stack, as
 * far as they go; beyond, they are asked again. Conditions are pure: only time depends on it. */
#include "policy/decide.h"

#include "policy/charter.h"
#include "policy/decide_in.h"

/* Texts of facts that some condition is found by; of one request, over this it is not found but
 * looked for. */
#define HELD_MAX 256

/* ---- what is remembered while one request is judged ---- */

/* In half a byte: 0 not asked, 1 false, 2 true, 4 an error with its two flags. */
enum { MEMO_EMPTY = 0, MEMO_FALSE = 1, MEMO_TRUE = 2, MEMO_ERROR = 4 };
enum { LACKS_USER = 1, LACKS_DEVICE = 2 };

struct memo {
    uint8_t at[MEMO_MAX_ATOMS / 2];
};

/* Which guard names the facts of the request hold. */
struct held {
    uint32_t absent;  /* bits 1 << enum cel_guard_fact: facts that are not there */
    uint32_t crowded; /* have more texts than there is room for */
    uint32_t count;
    uint32_t at[HELD_MAX];
};

enum walk_mode { WALK_FORBIDS, WALK_PERMITS, WALK_STEP_UPS };

struct walk {
    const struct facts *facts;
    const struct application *app;
    const struct rules *rules;
    uint32_t first; /* the number of the first of `rules` */
    struct reading reading;
    enum walk_mode mode;
    bool has_held; /* `held` is made, for `rules` */
    struct tally tally;
    struct memo *memo; /* of `rules` */
    struct held *held;
};

static void use_rules(struct walk *w, const struct rules *rules, uint32_t first)
{
    w->rules = rules;
    w->first = first;
    w->has_held = false;
    memset(w->memo->at, 0, (rules->memo_count + rules->path_memo_count + 1) / 2);
}

/* The answer in that place of the memo, from `ask` where there is none yet. */
static uint8_t recall(struct walk *w, uint32_t place, uint8_t (*ask)(struct walk *w, uint32_t of),
                      uint32_t of)
{
    uint8_t *slot = &w->memo->at[place / 2];
    const unsigned shift = place % 2 * 4;
    uint8_t answer = *slot >> shift & 15;
    if (answer == MEMO_EMPTY) {
        answer = ask(w, of);
        *slot |= (uint8_t)(answer << shift);
    }
    return answer;
}

static uint8_t ask_atom(struct walk *w, uint32_t number)
{
    struct cel_run run = {0};
    switch (cel_test(w->rules->atoms[number], w->facts, &run)) {
    case CEL_IS_FALSE:
        return MEMO_FALSE;
    case CEL_IS_TRUE:
        return MEMO_TRUE;
    case CEL_IS_ERROR:
        break;
    }
    return (uint8_t)(MEMO_ERROR | (run.lacks_user && !w->facts->user ? LACKS_USER : 0) |
                     (run.lacks_device && !w->facts->device ? LACKS_DEVICE : 0));
}

static uint8_t answer_of_atom(struct walk *w, uint32_t number)
{
    return number < w->rules->memo_count ? recall(w, number, ask_atom, number)
                                         : ask_atom(w, number);
}

/* What && says of the atoms (policy/cel.h). */
static struct answer answer_of(struct walk *w, const struct rule_entry *e)
{
    uint8_t errors = 0;
    if (!e->clause)
        return (struct answer){.outcome = CEL_IS_TRUE};
    const struct clause *clause = &w->rules->clauses[e->clause - 1];
    for (uint32_t i = 0; i < clause->count; i++) {
        const uint8_t answer = answer_of_atom(w, clause->atoms[i]);
        if (answer == MEMO_FALSE)
            return (struct answer){.outcome = CEL_IS_FALSE};
        errors |= answer & MEMO_ERROR ? answer : 0;
    }
    if (!errors)
        return (struct answer){.outcome = CEL_IS_TRUE};
    return (struct answer){CEL_IS_ERROR, errors & LACKS_USER, errors & LACKS_DEVICE};
}

/* ---- guards ---- */

/* The texts of a fact; false where it is missing. A fact of one text is a list in *one. */
static bool texts_of(const struct facts *f, enum cel_guard_fact fact, struct slice *one,
                     struct slices *out)
{
    *out = (struct slices){one, 1};
    switch (fact) {
    case GUARD_USER_GROUPS:
        *out = f->user ? f->user->groups : (struct slices){0};
        return f->user;
    case GUARD_USER_SCOPES:
        *out = f->user ? f->user->scopes : (struct slices){0};
        return f->user;
    case GUARD_DEVICE_UNITS:
        *out = f->device ? f->device->organizational_units : (struct slices){0};
        return f->device;
    case GUARD_USER_ID:
        *one = f->user ? f->user->id : (struct slice){0};
        return one->len > 0;
    case GUARD_DEVICE_TRUST:
        *one = f->device ? f->device->trust : (struct slice){0};
        return one->len > 0;
    case GUARD_SERVICE_ID:
        *one = f->service ? f->service->id : (struct slice){0};
        return one->len > 0;
    case GUARD_NONE:
    case GUARD_COUNT:
        break;
    }
    return false;
}

static uint32_t number_of(const struct guard_names *names, enum cel_guard_fact fact,
                          struct slice text)
{
    uint32_t slot = (uint32_t)guard_hash(fact, text) & names->mask;
    for (; names->at[slot].number; slot = (slot + 1) & names->mask)
        if (names->at[slot].fact == fact && slice_eq(names->at[slot].text, text))
            return names->at[slot].number;
    return 0;
}

static void hold(struct held *held, uint32_t number)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (held->at[i] == number)
            return;
    held->at[held->count++] = number;
}

static void hold_all(struct walk *w, enum cel_guard_fact fact, struct slices texts)
{
    for (uint32_t i = 0; i < texts.count; i++) {
        const uint32_t number = number_of(&w->rules->names, fact, texts.at[i]);
        if (number)
            hold(w->held, number);
    }
}

static void make_held(struct walk *w)
{
    struct held *held = w->held;
    held->count = 0;
    held->absent = 0;
    held->crowded = 0;
    w->has_held = true;
    for (enum cel_guard_fact fact = GUARD_NONE + 1; fact < GUARD_COUNT; fact++) {
        struct slice one;
        struct slices texts;
        if (!texts_of(w->facts, fact, &one, &texts))
            held->absent |= 1u << fact;
        else if (texts.count > HELD_MAX - held->count)
            held->crowded |= 1u << fact;
        else
            hold_all(w, fact, texts);
    }
}

/* ---- rules at their places in the tree ---- */

static bool method_fits(const struct walk *w, const struct rule_entry *e)
{
    const struct request *request = w->facts->request;
    if (e->methods == METHODS_ALL)
        return true;
    if (!(e->methods & 1u << request->method))
        return false;
    if (request->method != METHOD_OTHER)
        return true;
    const struct slices *names = &w->rules->list[e->rule].other_methods;
    for (uint32_t i = 0; i < names->count; i++)
        if (slice_eq(names->at[i], request->method_name))
            return true;
    return false;
}

/* A permit has to fit without the parameters too: whether the application sees them or not, one
 * rule permits. */
static bool fits_cut(const struct walk *w, const struct rule_entry *e)
{
    const struct path *path = &w->facts->request->path;
    return !path->has_parameters ||
           rule_fits_path(w->app, &w->rules->list[e->rule],
                          (struct reading){path->segments, path->segment_count, true});
}

/* Everything but its condition. */
static bool entry_fits(const struct walk *w, const struct rule_entry *e)
{
    return method_fits(w, e) &&
           !(e->may_expire && rule_has_expired(&w->rules->list[e->rule], w->facts)) &&
           (w->mode == WALK_FORBIDS || fits_cut(w, e));
}

static uint8_t ask_rule(struct walk *w, uint32_t rule)
{
    const struct answer a = rule_ask(&w->rules->list[rule], w->facts);
    if (a.outcome != CEL_IS_ERROR)
        return a.outcome == CEL_IS_TRUE ? MEMO_TRUE : MEMO_FALSE;
    return (uint8_t)(MEMO_ERROR | (a.lacks_user ? LACKS_USER : 0) |
                     (a.lacks_device ? LACKS_DEVICE : 0));
}

/* By whichever of its patterns it is come to: all of them are asked at once. */
static struct answer answer_by_path(struct walk *w, const struct rule_entry *e)
{
    const uint32_t place = e->clause - 1;
    const uint8_t answer = place < w->rules->path_memo_count
                               ? recall(w, w->rules->memo_count + place, ask_rule, e->rule)
                               : ask_rule(w, e->rule);
    if (!(answer & MEMO_ERROR))
        return (struct answer){.outcome = answer == MEMO_TRUE ? CEL_IS_TRUE : CEL_IS_FALSE};
    return (struct answer){CEL_IS_ERROR, answer & LACKS_USER, answer & LACKS_DEVICE};
}

static struct answer answer_at(struct walk *w, const struct rule_entry *e)
{
    return e->reads_path ? answer_by_path(w, e) : answer_of(w, e);
}

static void judge_entry(struct walk *w, const struct rule_entry *e)
{
    const uint32_t number = w->first + e->rule;
    if (!entry_fits(w, e))
        return;
    switch (w->mode) {
    case WALK_FORBIDS:
        tally_forbid(&w->tally, number, answer_at(w, e));
        return;
    case WALK_PERMITS:
        tally_permit(&w->tally, number, answer_at(w, e));
        return;
    case WALK_STEP_UPS:
        if (e->may_step_up && rule_would_step_up(&w->rules->list[e->rule], w->facts))
            tally_note(&w->tally.step_up, number);
        return;
    }
}

/* Lists are in the order of rules: behind the first that decides, none can. */
static const uint32_t *stop_of(const struct walk *w)
{
    return w->mode == WALK_FORBIDS   ? &w->tally.firm_forbid
           : w->mode == WALK_PERMITS ? &w->tally.permit
                                     : &w->tally.step_up;
}

static void judge_list(struct walk *w, const struct rule_list *list)
{
    const uint32_t *stop = stop_of(w);
    for (uint32_t i = 0; i < list->count && w->first + list->at[i].rule < *stop; i++)
        judge_entry(w, &list->at[i]);
}

static const struct guard_run *find_run(const struct rule_guards *g, uint32_t number)
{
    uint32_t low = 0, high = g->run_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (g->runs[middle].number == number)
            return &g->runs[middle];
        if (number < g->runs[middle].number)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

#define USER_GUARDS (1u << GUARD_USER_GROUPS | 1u << GUARD_USER_SCOPES | 1u << GUARD_USER_ID)
#define DEVICE_GUARDS (1u << GUARD_DEVICE_TRUST | 1u << GUARD_DEVICE_UNITS)

/* Could a rule that is found by a missing fact still add to the tally? Its condition is not true;
 * where the user or device is lacking as a whole, an error of it says so. */
static bool may_add(const struct walk *w, const struct rule_guards *g, const struct rule_entry *e)
{
    const struct tally *t = &w->tally;
    const struct facts *f = w->facts;
    const uint32_t number = w->first + e->rule;
    if (w->mode == WALK_PERMITS)
        return t->nearest > number || t->faulty > number || (!f->user && t->lacks_user > number) ||
               (!f->device && g->may_lack_device && t->lacks_device > number);
    if (!f->user && USER_GUARDS >> e->guard & 1)
        return t->open_user_forbid > number;
    if (!f->device && DEVICE_GUARDS >> e->guard & 1)
        return t->open_device_forbid > number || (!f->user && t->open_user_forbid > number);
    return true;
}

/* Those whose fact is missing, one by one, as long as there is something to learn; and those whose
 * fact has too many texts to be found by. */
static void judge_others(struct walk *w, const struct rule_set *set)
{
    const struct rule_guards *g = set->guards;
    const uint32_t crowded = w->held->crowded & g->facts;
    const uint32_t absent = w->mode == WALK_STEP_UPS ? 0 : w->held->absent & g->facts;
    const bool is_one_kind = !crowded && (w->mode == WALK_PERMITS || !(absent & ~USER_GUARDS) ||
                                          !(absent & ~DEVICE_GUARDS));
    const uint32_t *stop = stop_of(w);
    if (!(absent | crowded))
        return;
    for (uint32_t i = 0; i < set->all.count && w->first + set->all.at[i].rule < *stop; i++) {
        const struct rule_entry *e = &set->all.at[i];
        if (crowded >> e->guard & 1 || (absent >> e->guard & 1 && may_add(w, g, e)))
            judge_entry(w, e);
        else if (absent >> e->guard & 1 && is_one_kind)
            return; /* nor do those behind it */
    }
}

/* The first permit for this method and path is near, whatever its condition says. */
static void note_nearest(struct walk *w, const struct rule_set *set)
{
    uint32_t i = set->guards->first_by_method[w->facts->request->method];
    for (; i < set->all.count && w->first + set->all.at[i].rule < w->tally.nearest; i++)
        if (entry_fits(w, &set->all.at[i]))
            tally_note(&w->tally.nearest, w->first + set->all.at[i].rule);
}

static void judge_by_guards(struct walk *w, const struct rule_set *set)
{
    const struct rule_guards *g = set->guards;
    if (!w->has_held)
        make_held(w);
    judge_list(w, &g->open);
    for (uint32_t i = 0; i < w->held->count; i++) {
        const struct guard_run *run = find_run(g, w->held->at[i]);
        if (run)
            judge_list(w, &run->rules);
    }
    judge_others(w, set);
    if (w->mode == WALK_PERMITS && w->tally.permit == NO_RULE)
        note_nearest(w, set);
}

static void judge_set(struct walk *w, const struct rule_set *set)
{
    if (set->guards)
        judge_by_guards(w, set);
    else
        judge_list(w, &set->all);
}

/* ---- the tree ---- */

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

static void walk_reading(struct walk *w, const struct rule_node *forbids, struct reading reading)
{
    w->reading = reading;
    walk_node(w, forbids, 0);
    if (!w->facts->request->path.has_parameters)
        return;
    w->reading.is_cut = true;
    walk_node(w, forbids, 0);
}

/* Apart, for the room that it takes on the stack. */
static __attribute__((noinline)) void walk_laxly(struct walk *w, const struct rule_node *forbids)
{
    struct slice room[LAX_MAX_SEGMENTS];
    walk_reading(w, forbids, read_laxly(&w->facts->request->path, room));
}

static struct reading reading_of(const struct facts *facts)
{
    const struct path *path = &facts->request->path;
    return (struct reading){path->segments, path->segment_count, false};
}

static void walk_forbids(struct walk *w, const struct rule_node *forbids)
{
    if (!forbids || w->tally.firm_forbid < w->first)
        return;
    w->mode = WALK_FORBIDS;
    walk_reading(w, forbids, reading_of(w->facts));
    if (has_lax_reading(w->app))
        walk_laxly(w, forbids);
}

static void walk_permits(struct walk *w, const struct rule_node *permits, enum walk_mode mode)
{
    if (!permits || w->tally.firm_forbid != NO_RULE)
        return;
    w->mode = mode;
    w->reading = reading_of(w->facts);
    walk_node(w, permits, 0);
}

/* ---- the order of the questions ---- */

static const struct rules *baseline_rules(const struct hearing *h)
{
    return h->baseline->rules[h->app->paths.fold_case];
}

static void judge(struct walk *w, const struct hearing *h, struct decision *out)
{
    tally_requirements(&w->tally, h, false);
    if (h->baseline->forbid_count) {
        use_rules(w, baseline_rules(h), h->first_forbid);
        walk_forbids(w, w->rules->forbids);
    }
    use_rules(w, h->app->rules, h->first_rule);
    walk_forbids(w, w->rules->forbids);
    walk_permits(w, w->rules->permits, WALK_PERMITS);
    if (tally_conclude(&w->tally, h, out))
        return;
    if (w->rules->has_step_up && w->facts->user && w->tally.permit == NO_RULE)
        walk_permits(w, w->rules->permits, WALK_STEP_UPS);
    tally_conclude_step_up(&w->tally, h, out);
}

/* Beside what was counted. A forbid that holds leaves nothing for them to change. */
static void judge_shadows(struct walk *w, const struct hearing *h, struct decision *out)
{
    if (w->tally.firm_forbid != NO_RULE)
        return;
    tally_requirements(&w->tally, h, true);
    walk_forbids(w, w->rules->shadow_forbids);
    walk_permits(w, w->rules->shadow_permits, WALK_PERMITS);
    if (h->baseline->forbid_count) {
        use_rules(w, baseline_rules(h), h->first_forbid);
        walk_forbids(w, w->rules->shadow_forbids);
    }
    tally_conclude_shadow(&w->tally, h, out);
}

void decide(const struct snapshot *s, const struct facts *facts, struct decision *out)
{
    struct memo memo __attribute__((uninitialized)); /* use_rules empties what is used of it */
    struct held held __attribute__((uninitialized)); /* make_held */
    const struct hearing h = hearing_of(s, facts);
    struct walk w = {.facts = facts, .app = facts->app, .tally = tally_empty};
    w.memo = &memo;
    w.held = &held;
    *out = (struct decision){
        .reason = REASON_DENIED, .snapshot = s ? s->number : 0, .valid_until_s = INT64_MAX};
    if (!h.app->rules || (h.baseline->forbid_count && !baseline_rules(&h)))
        return; /* never compiled */
    judge(&w, &h, out);
    hearing_bound(&h, out);
    if (h.app->rules->shadow_permits || h.app->rules->shadow_forbids || h.baseline->has_shadow)
        judge_shadows(&w, &h, out);
}
