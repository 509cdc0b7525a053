// SPDX-License-Identifier: EUPL-1.2
/* See the header. For each class of paths and methods (diff_path.c) in which the rules of the two
 * sides are not the same, facts are given values one by one, only such as some rule waits for,
 * until both sides have a verdict: a tree whose leaves are all that can be. What a condition asks
 * is
 *
 *   a member   "x" in user.groups: it is in, or not
 *   exact      a fact of one value, compared with constants: it has one of them, another, or none
 *   opaque     anything else: true, false or an error, whatever else is so
 *
 * Owns: that tree, and its limits. Does not own: what is true (cel_test), what is decided. */
#include "policy/diff.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/method.h"
#include "base/reason.h"
#include "policy/cel_in.h"
#include "policy/charter.h"
#include "policy/decide_in.h"
#include "policy/diff_in.h"
#include "policy/policy_test.h"

/* What a fact of one text is where it is none that some rule waits for. */
#define ANOTHER SLICE("(another)")
#define STEPS_MAX 2000000 /* of the tree of one host: verdicts asked for */
#define VALUES_MAX 64     /* of one fact */
#define TRAIL_MAX 256     /* variables that have a value at once */
#define CLASSES_MAX 500
#define DOUBTS_MAX 20
#define METHODS_MAX 64

enum answer3 { IS_FALSE, IS_TRUE, IS_AN_ERROR, IS_OPEN };

enum variable_kind { OF_ROOT, OF_MEMBER, OF_FACT, OF_OPAQUE };

enum { ROOT_USER, ROOT_DEVICE, ROOT_SERVICE, ROOT_COUNT };

/* Something that can have several values; -1: none yet. Of a root: absent, present. Of a member:
 * out, in. Of an opaque one: enum answer3. */
struct variable {
    enum variable_kind kind;
    int value;
    uint32_t count;
    enum cel_fact fact;
    struct slice text;              /* of a member */
    const struct cel_step *step;    /* of an opaque one */
    struct slice texts[VALUES_MAX]; /* of a fact of one text; empty: missing */
    int64_t numbers[VALUES_MAX];    /* of a number */
    bool is_number;
};

/* How a step without && and || below it is answered. */
struct leaf {
    enum variable_kind kind;
    struct variable *variable;
    int root; /* whose fact it is; -1: none's */
    struct cel cel;
};

struct search {
    const struct diff_side *sides[2];
    struct wall now;
    struct arena *a;
    struct arena scratch; /* of one example */
    struct chunk_store chunks;
    struct diff *out;
    struct slice host;
    struct map leaves;    /* by the step's address → struct leaf */
    struct map variables; /* by name → struct variable */
    struct variable roots[ROOT_COUNT];
    struct variable *trail[TRAIL_MAX];
    uint32_t trail_count;
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct request request;
    struct facts facts;
    struct variable *pending; /* what the last open answer waits for */
    uint64_t steps;
    bool is_exhausted;
    /* of the class at hand */
    const struct rule **rules[2];
    uint32_t rule_count[2];
};

/* ---- doubts ---- */

static void doubt(struct search *s, struct slice text)
{
    struct slices *d = &s->out->doubts;
    const struct slice why = arena_copy(s->a, text);
    for (uint32_t i = 0; i < d->count; i++)
        if (slice_eq(d->at[i], why))
            return;
    if (d->count == DOUBTS_MAX)
        return;
    struct slice *list = arena_array(s->a, struct slice, d->count + 1);
    if (d->count)
        memcpy(list, d->at, d->count * sizeof *list);
    list[d->count] = why;
    *d = (struct slices){list, d->count + 1};
}

/* ---- variables ---- */

static int root_of(enum cel_fact fact)
{
    const struct slice root = cel_fact_root(fact);
    return slice_eq(root, SLICE("user"))      ? ROOT_USER
           : slice_eq(root, SLICE("device"))  ? ROOT_DEVICE
           : slice_eq(root, SLICE("service")) ? ROOT_SERVICE
                                              : -1;
}

/* Where a fact of one text lies; NULL: it is none of those that are looked into. */
static struct slice *text_of(struct search *s, enum cel_fact fact)
{
#define TEXT(root, name)                                                                           \
    case CEL_FACT_##root##_##name:                                                                 \
        return &s->root.name;
    switch (fact) {
        TEXT(user, id)
        TEXT(user, subject)
        TEXT(user, provider)
        TEXT(user, client_id)
        TEXT(user, acr)
        TEXT(device, id)
        TEXT(device, certificate)
        TEXT(device, authority)
        TEXT(device, trust)
        TEXT(device, common_name)
        TEXT(device, serial)
        TEXT(device, issuer)
        TEXT(device, key_type)
        TEXT(service, id)
        TEXT(service, spiffe_id)
        TEXT(service, trust_domain)
    default:
        return NULL;
    }
#undef TEXT
}

static bool may_be_missing(enum cel_fact fact)
{
    return fact == CEL_FACT_user_client_id || fact == CEL_FACT_user_acr ||
           fact == CEL_FACT_device_common_name || fact == CEL_FACT_service_spiffe_id ||
           fact == CEL_FACT_service_trust_domain;
}

static struct slices *list_of_fact(struct search *s, enum cel_fact fact)
{
#define TEXTS(root, name)                                                                          \
    case CEL_FACT_##root##_##name:                                                                 \
        return &s->root.name;
    switch (fact) {
        TEXTS(user, groups)
        TEXTS(user, scopes)
        TEXTS(user, amr)
        TEXTS(device, subject)
        TEXTS(device, organizational_units)
        TEXTS(device, dns_names)
        TEXTS(device, uris)
        TEXTS(device, emails)
    default:
        return NULL;
    }
#undef TEXTS
}

static struct variable *variable_of(struct search *s, struct slice name)
{
    struct variable *v = map_get(&s->variables, name);
    if (v)
        return v;
    v = arena_new(s->a, struct variable);
    v->value = -1;
    (void)map_set(&s->variables, arena_copy(s->a, name), v);
    return v;
}

static bool is_constant(const struct cel_step *s)
{
    return s->op == OP_VALUE;
}

/* Which fact of one value a step compares with constants; CEL_FACT_COUNT: none, or in another way.
 */
static enum cel_fact fact_compared(const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_HAS:
        return (enum cel_fact)s->fact;
    case OP_EQUAL_STRING:
    case OP_COMPARE:
        if (s->op == OP_COMPARE && s->kind != KIND_INT)
            return CEL_FACT_COUNT;
        if (s->args[0]->op == OP_FACT && is_constant(s->args[1]))
            return (enum cel_fact)s->args[0]->fact;
        if (s->args[1]->op == OP_FACT && is_constant(s->args[0]))
            return (enum cel_fact)s->args[1]->fact;
        return CEL_FACT_COUNT;
    case OP_IN_STRING:
        return s->args[0]->op == OP_FACT && is_constant(s->args[1])
                   ? (enum cel_fact)s->args[0]->fact
                   : CEL_FACT_COUNT;
    case OP_IN_SORTED:
        return s->args[0]->op == OP_FACT && is_constant(s->args[1]) && s->kind == KIND_STRING
                   ? (enum cel_fact)s->args[0]->fact
                   : CEL_FACT_COUNT;
    default:
        return CEL_FACT_COUNT;
    }
}

static bool is_number_fact(enum cel_fact fact)
{
    return fact == CEL_FACT_user_acr_level;
}

static void add_text(struct search *s, struct variable *v, struct slice text)
{
    for (uint32_t i = 0; i < v->count; i++)
        if (slice_eq(v->texts[i], text))
            return;
    if (v->count == VALUES_MAX)
        s->is_exhausted = true;
    else
        v->texts[v->count++] = text;
}

static void add_number(struct search *s, struct variable *v, int64_t number)
{
    if (number < 0 || number > INT32_MAX)
        return;
    for (uint32_t i = 0; i < v->count; i++)
        if (v->numbers[i] == number)
            return;
    if (v->count == VALUES_MAX) {
        s->is_exhausted = true;
        return;
    }
    uint32_t at = v->count++; /* the least first */
    for (; at && v->numbers[at - 1] > number; at--)
        v->numbers[at] = v->numbers[at - 1];
    v->numbers[at] = number;
}

static void add_around(struct search *s, struct variable *v, int64_t number)
{
    for (int64_t by = -1; by <= 1; by++)
        if (number > INT32_MIN && number < INT32_MAX)
            add_number(s, v, number + by);
}

static void add_values(struct search *s, struct variable *v, const struct cel_step *step)
{
    if (step->op == OP_HAS)
        return;
    for (uint32_t i = 0; i < 2; i++) {
        const struct cel_step *arg = step->args[i];
        if (!is_constant(arg))
            continue;
        if (v->is_number && arg->type->kind == KIND_INT)
            add_around(s, v, arg->value.i);
        else if (!v->is_number && arg->type->kind == KIND_STRING)
            add_text(s, v, arg->value.s);
        for (size_t at = 0;
             !v->is_number && arg->type->kind == KIND_LIST && at < arg->value.list.count; at++)
            add_text(s, v, arg->value.list.at[at].s);
    }
}

static struct variable *fact_variable(struct search *s, enum cel_fact fact)
{
    struct variable *v = variable_of(s, cel_fact_name(fact));
    if (v->count)
        return v;
    v->kind = OF_FACT;
    v->fact = fact;
    v->is_number = is_number_fact(fact);
    if (v->is_number) {
        add_number(s, v, 0);
        return v;
    }
    if (may_be_missing(fact))
        add_text(s, v, SLICE(""));
    add_text(s, v, ANOTHER);
    return v;
}

/* Whether it can come to an error though its root is there. */
static bool may_fail(const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_HAS:
        return false;
    case OP_FACT:
        return may_be_missing((enum cel_fact)s->fact) || s->fact == CEL_FACT_request_query ||
               s->fact == CEL_FACT_device_key_bits;
    case OP_TIME:
    case OP_SIZE_STRING:
    case OP_SIZE_LIST:
    case OP_COMPARE:
    case OP_EQUAL:
    case OP_EQUAL_STRING:
    case OP_IN:
    case OP_IN_STRING:
    case OP_IN_SORTED:
    case OP_STARTS:
    case OP_ENDS:
    case OP_CONTAINS:
        for (uint32_t i = 0; i < s->count; i++)
            if (may_fail(s->args[i]))
                return true;
        return false;
    default:
        return true;
    }
}

/* The one root whose facts a step reads; -1: none; -2: several. */
static int only_root(const struct cel *c)
{
    const uint64_t bits = cel_reads(c);
    int root = -1;
    for (uint32_t i = 0; i < CEL_FACT_COUNT; i++) {
        const int of = root_of((enum cel_fact)i);
        if (!(bits >> i & 1) || of < 0 || of == root)
            continue;
        if (root >= 0)
            return -2;
        root = of;
    }
    return root;
}

static bool is_logic(const struct cel_step *s)
{
    return s->op == OP_AND || s->op == OP_OR || s->op == OP_NOT || s->op == OP_TERNARY;
}

static void make_opaque(struct search *s, struct leaf *l, struct slice name)
{
    const int root = only_root(&l->cel);
    l->kind = OF_OPAQUE;
    l->root = root >= 0 && !may_fail(l->cel.root) ? root : -1; /* else an error is a value of it */
    l->variable = variable_of(s, name);
    l->variable->kind = OF_OPAQUE;
    l->variable->count = root == -2 || may_fail(l->cel.root) ? 3 : 2;
    l->variable->step = l->cel.root;
}

static struct leaf *make_leaf(struct search *s, const struct cel_step *step)
{
    struct leaf *l = arena_new(s->a, struct leaf);
    const enum cel_fact fact = fact_compared(step);
    l->root = -1;
    l->cel = (struct cel){.root = step, .type = cel_type_of(KIND_BOOL), .needs_scratch = true};
    if (step->op == OP_IN_STRING && is_constant(step->args[0]) && step->args[1]->op == OP_FACT &&
        list_of_fact(s, (enum cel_fact)step->args[1]->fact)) {
        const enum cel_fact of = (enum cel_fact)step->args[1]->fact;
        l->kind = OF_MEMBER;
        l->root = root_of(of);
        l->variable = variable_of(s, arena_printf(s->a, "%.*s %.*s", SLICE_ARG(cel_fact_name(of)),
                                                  SLICE_ARG(step->args[0]->value.s)));
        l->variable->kind = OF_MEMBER;
        l->variable->count = 2;
        l->variable->fact = of;
        l->variable->text = step->args[0]->value.s;
        return l;
    }
    if (fact != CEL_FACT_COUNT && (text_of(s, fact) || is_number_fact(fact))) {
        l->kind = OF_FACT;
        l->root = root_of(fact);
        l->variable = fact_variable(s, fact);
        add_values(s, l->variable, step);
        return l;
    }
    make_opaque(s, l, arena_printf(s->a, "? %.*s", SLICE_ARG(cel_text(s->a, &l->cel))));
    return l;
}

static void keep_leaf(struct search *s, const struct cel_step *step, struct leaf *l)
{
    const struct cel_step **key = arena_new(s->a, const struct cel_step *);
    *key = step;
    (void)map_set(&s->leaves, slice_from(key, sizeof *key), l);
}

/* Before the search, so that every fact has all its values. */
static void read_leaves(struct search *s, const struct cel_step *step)
{
    if (is_logic(step)) {
        for (uint32_t i = 0; i < step->count; i++)
            read_leaves(s, step->args[i]);
        return;
    }
    if (step->op != OP_VALUE)
        keep_leaf(s, step, make_leaf(s, step));
}

/* What names segments of the path says another thing with each pattern: taken as a whole, and the
 * same only beside the same patterns. */
static struct slice name_with_paths(struct search *s, const struct rule *r)
{
    struct slice name = arena_printf(s->a, "? %.*s", SLICE_ARG(cel_text(s->a, r->when)));
    for (uint32_t i = 0; i < r->path_count; i++)
        name = arena_printf(s->a, "%.*s %.*s", SLICE_ARG(name), SLICE_ARG(r->paths[i].text));
    return name;
}

static void read_whole(struct search *s, const struct rule *r)
{
    struct leaf *l = arena_new(s->a, struct leaf);
    l->cel = *r->when;
    make_opaque(s, l, name_with_paths(s, r));
    l->root = -1;
    l->variable->count = 3;
    keep_leaf(s, r->when->root, l);
}

static void read_rule(struct search *s, const struct rule *r)
{
    if (!r->when || !explain_counts(r, s->now))
        return;
    if (r->reads_path)
        read_whole(s, r);
    else
        read_leaves(s, r->when->root);
}

/* ---- answers, as far as variables have values ---- */

static enum answer3 wait_for(struct search *s, struct variable *v)
{
    s->pending = v;
    return IS_OPEN;
}

static enum answer3 answer_leaf(struct search *s, const struct cel_step *step)
{
    const struct leaf *l = map_get(&s->leaves, slice_from(&step, sizeof step));
    struct cel_run run = {.unknown = 0};
    if (l->root >= 0 && s->roots[l->root].value < 0)
        return wait_for(s, &s->roots[l->root]);
    if (l->root >= 0 && !s->roots[l->root].value)
        return IS_AN_ERROR;
    if (l->variable->value < 0)
        return wait_for(s, l->variable);
    if (l->kind != OF_FACT)
        return (enum answer3)l->variable->value;
    switch (cel_test(&l->cel, &s->facts, &run)) {
    case CEL_IS_FALSE:
        return IS_FALSE;
    case CEL_IS_TRUE:
        return IS_TRUE;
    case CEL_IS_ERROR:
        break;
    }
    return IS_AN_ERROR;
}

static enum answer3 answer(struct search *s, const struct cel_step *step);

static enum answer3 answer_chain(struct search *s, const struct cel_step *step, enum answer3 stop)
{
    enum answer3 all = stop == IS_TRUE ? IS_FALSE : IS_TRUE;
    for (uint32_t i = 0; i < step->count; i++) {
        const enum answer3 one = answer(s, step->args[i]);
        if (one == stop)
            return stop;
        if (one == IS_OPEN || (one == IS_AN_ERROR && all != IS_OPEN))
            all = one;
    }
    return all;
}

static enum answer3 answer(struct search *s, const struct cel_step *step)
{
    enum answer3 one;
    switch ((enum cel_op)step->op) {
    case OP_AND:
        return answer_chain(s, step, IS_FALSE);
    case OP_OR:
        return answer_chain(s, step, IS_TRUE);
    case OP_NOT:
        one = answer(s, step->args[0]);
        return one == IS_TRUE ? IS_FALSE : one == IS_FALSE ? IS_TRUE : one;
    case OP_TERNARY:
        one = answer(s, step->args[0]);
        return one == IS_OPEN || one == IS_AN_ERROR ? one
                                                    : answer(s, step->args[one == IS_TRUE ? 1 : 2]);
    case OP_VALUE:
        return step->value.b ? IS_TRUE : IS_FALSE;
    default:
        return answer_leaf(s, step);
    }
}

/* What the gateway asks before any rule. */
static enum answer3 demands_more(struct search *s, const struct application *app)
{
    if (app->device != DEVICE_REQUIRED_BY_TLS && app->device != DEVICE_REQUIRED)
        return IS_FALSE;
    const int device = s->roots[ROOT_DEVICE].value, service = s->roots[ROOT_SERVICE].value;
    if (device == 1 || service == 1)
        return IS_FALSE;
    if (device < 0)
        return wait_for(s, &s->roots[ROOT_DEVICE]);
    return service < 0 ? wait_for(s, &s->roots[ROOT_SERVICE]) : IS_TRUE;
}

static enum knowledge verdict_of(struct search *s, int side)
{
    bool is_permitted = false, permit_is_open = false, forbid_is_open = false;
    struct variable *of_permit = NULL, *of_forbid = NULL;
    const struct application *app = s->sides[side]->app;
    if (!app)
        return KNOWN_DENY;
    const enum answer3 before = demands_more(s, app);
    if (before == IS_TRUE)
        return KNOWN_DENY;
    if (before == IS_OPEN) {
        forbid_is_open = true;
        of_forbid = s->pending;
    }
    for (uint32_t i = 0; i < s->rule_count[side]; i++) {
        const struct rule *r = s->rules[side][i];
        const enum answer3 one = !r->when        ? IS_TRUE
                                 : r->reads_path ? answer_leaf(s, r->when->root)
                                                 : answer(s, r->when->root);
        if (r->effect == RULE_PERMIT) {
            is_permitted = is_permitted || one == IS_TRUE;
            if (one == IS_OPEN && !permit_is_open)
                of_permit = s->pending;
            permit_is_open = permit_is_open || one == IS_OPEN;
        } else if (one == IS_OPEN) {
            of_forbid = forbid_is_open ? of_forbid : s->pending;
            forbid_is_open = true;
        } else if (one != (r->effect == RULE_REQUIRE ? IS_TRUE : IS_FALSE)) {
            return KNOWN_DENY;
        }
    }
    if (!is_permitted && !permit_is_open)
        return KNOWN_DENY;
    if (is_permitted && !forbid_is_open)
        return KNOWN_PERMIT;
    s->pending = is_permitted ? of_forbid : of_permit;
    return NOT_KNOWN;
}

/* ---- an example ---- */

static void set_value(struct search *s, struct variable *v, int value)
{
    v->value = value;
    if (v->kind == OF_FACT && v->is_number)
        s->user.acr_level = value < 0 ? 0 : v->numbers[value];
    else if (v->kind == OF_FACT)
        *text_of(s, v->fact) = value < 0 ? ANOTHER : v->texts[value];
    s->facts.user = s->roots[ROOT_USER].value == 1 ? &s->user : NULL;
    s->facts.device = s->roots[ROOT_DEVICE].value == 1 ? &s->device : NULL;
    s->facts.service = s->roots[ROOT_SERVICE].value == 1 ? &s->service : NULL;
}

static void add_member(struct search *s, const struct variable *v)
{
    struct slices *list = list_of_fact(s, v->fact);
    struct slice *longer = arena_array(&s->scratch, struct slice, list->count + 1);
    if (list->count)
        memcpy(longer, list->at, list->count * sizeof *longer);
    longer[list->count] = v->text;
    *list = (struct slices){longer, list->count + 1};
}

/* What an opaque condition wants to be true may be given to it: user.id.startsWith("x"). */
static void please(struct search *s, const struct variable *v)
{
    const struct cel_step *step = v->step;
    if (v->value != IS_TRUE ||
        (step->op != OP_STARTS && step->op != OP_ENDS && step->op != OP_CONTAINS) ||
        step->args[0]->op != OP_FACT || !is_constant(step->args[1]))
        return;
    struct slice *text = text_of(s, (enum cel_fact)step->args[0]->fact);
    const struct variable *fact =
        map_get(&s->variables, cel_fact_name((enum cel_fact)step->args[0]->fact));
    const int root = root_of((enum cel_fact)step->args[0]->fact);
    if (!text || (fact && fact->value >= 0))
        return;
    *text = step->args[1]->value.s;
    if (root >= 0 && s->roots[root].value < 0)
        set_value(s, &s->roots[root], 1);
}

static struct slice lists_of(struct search *s, enum cel_fact fact)
{
    const struct slices *list = list_of_fact(s, fact);
    struct slice text = arena_printf(s->a, "%.*s = [", SLICE_ARG(cel_fact_name(fact)));
    for (uint32_t i = 0; i < list->count; i++)
        text = arena_printf(s->a, "%.*s%s\"%.*s\"", SLICE_ARG(text), i ? ", " : "",
                            SLICE_ARG(list->at[i]));
    return arena_printf(s->a, "%.*s]", SLICE_ARG(text));
}

/* The facts of the example that somebody would have to give, in words. */
static struct slices words_of_facts(struct search *s)
{
    static const char *const names[ROOT_COUNT] = {"user", "device", "service"};
    struct slice *out = arena_array(s->a, struct slice, CEL_FACT_COUNT + ROOT_COUNT);
    uint32_t count = 0;
    for (int root = 0; root < ROOT_COUNT; root++) {
        const bool is_there = root == ROOT_USER     ? s->facts.user != NULL
                              : root == ROOT_DEVICE ? s->facts.device != NULL
                                                    : s->facts.service != NULL;
        if (!is_there)
            continue;
        const uint32_t before = count;
        for (uint32_t i = 0; i < CEL_FACT_COUNT; i++) {
            const enum cel_fact fact = (enum cel_fact)i;
            const struct slices *list = list_of_fact(s, fact);
            const struct slice *text = text_of(s, fact);
            if (root_of(fact) != root)
                continue;
            if (list && list->count)
                out[count++] = lists_of(s, fact);
            else if (text && text->len && !slice_eq(*text, ANOTHER))
                out[count++] = arena_printf(s->a, "%.*s = \"%.*s\"", SLICE_ARG(cel_fact_name(fact)),
                                            SLICE_ARG(*text));
            else if (is_number_fact(fact) && s->user.acr_level)
                out[count++] = arena_printf(s->a, "%.*s = %lld", SLICE_ARG(cel_fact_name(fact)),
                                            (long long)s->user.acr_level);
        }
        if (count == before)
            out[count++] = arena_printf(s->a, "some %s", names[root]);
    }
    return (struct slices){out, count};
}

static void judge(struct search *s, int side, struct decision *out)
{
    const struct diff_side *by = s->sides[side];
    *out = (struct decision){.reason = REASON_HOST_UNKNOWN};
    if (!by->app)
        return;
    s->facts.app = by->app;
    const enum reason before = policy_refused_before(&s->facts, &s->request, &s->scratch);
    if (before == REASON_PERMITTED)
        decide(by->snapshot, &s->facts, out);
    else
        out->reason = before;
}

static struct diff_class *class_of(struct search *s, bool gains, const struct decision *permit,
                                   const struct decision *refusal)
{
    struct diff *out = s->out;
    const struct slice refuses = refusal->reason == REASON_DENIED ? SLICE("") : refusal->rule;
    for (uint32_t i = 0; i < out->class_count; i++) {
        struct diff_class *c = &out->classes[i];
        if (c->gains == gains && slice_eq(c->permits, permit->rule) &&
            slice_eq(c->refuses, refuses) && c->reason == refusal->reason)
            return c;
    }
    if (out->class_count == CLASSES_MAX) {
        s->is_exhausted = true;
        return NULL;
    }
    struct diff_class *c = &out->classes[out->class_count++];
    *c = (struct diff_class){.gains = gains,
                             .permits = permit->rule,
                             .refuses = refuses,
                             .reason = refusal->reason,
                             .size = UINT32_MAX};
    return c;
}

/* How many facts are there that could be missing, or are not as they mostly are. */
static uint32_t size_of_example(const struct search *s)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < s->trail_count; i++)
        size += s->trail[i]->value > 0;
    return size;
}

/* Whether the facts as they stand are judged differently, and if so notes it. */
static bool note_example(struct search *s)
{
    struct decision d[2];
    judge(s, 0, &d[0]);
    judge(s, 1, &d[1]);
    if (d[0].verdict == d[1].verdict)
        return false;
    const int permits = d[1].verdict == DECISION_PERMIT;
    struct diff_class *c = class_of(s, permits, &d[permits], &d[!permits]);
    const uint32_t size = size_of_example(s);
    if (c && size < c->size) {
        c->size = size;
        c->facts = words_of_facts(s);
        c->request = arena_printf(s->a, "%.*s %.*s", SLICE_ARG(s->request.method_name),
                                  SLICE_ARG(s->request.target));
    }
    return true;
}

static void clear_lists(struct search *s)
{
    for (uint32_t i = 0; i < CEL_FACT_COUNT; i++)
        if (list_of_fact(s, (enum cel_fact)i))
            *list_of_fact(s, (enum cel_fact)i) = (struct slices){NULL, 0};
}

/* Each condition once, with the first request that hangs on it. */
static void doubt_condition(struct search *s, const struct variable *opaque)
{
    const struct cel cel = {.root = opaque ? opaque->step : NULL};
    const struct slices *d = &s->out->doubts;
    if (d->count == DOUBTS_MAX)
        return;
    const struct slice what = opaque ? arena_printf(&s->scratch, "%.*s may make a difference,",
                                                    SLICE_ARG(cel_text(&s->scratch, &cel)))
                                     : SLICE("a difference could not be shown,");
    for (uint32_t i = 0; i < d->count; i++)
        if (slice_starts(d->at[i], what))
            return;
    doubt(s, arena_printf(&s->scratch, "%.*s to %.*s %.*s", SLICE_ARG(what),
                          SLICE_ARG(s->request.method_name), SLICE_ARG(s->request.target)));
}

/* Both have a verdict, and not the same: shown by a request, or doubted. */
static void show(struct search *s)
{
    const struct facts before = s->facts;
    struct variable *opaque = NULL;
    int roots[ROOT_COUNT];
    for (int i = 0; i < ROOT_COUNT; i++)
        roots[i] = s->roots[i].value;
    arena_init(&s->scratch, &s->chunks);
    clear_lists(s);
    for (uint32_t i = 0; i < s->trail_count; i++) {
        struct variable *v = s->trail[i];
        if (v->kind == OF_MEMBER && v->value == 1)
            add_member(s, v);
        if (v->kind == OF_OPAQUE) {
            opaque = v;
            please(s, v);
        }
    }
    if (!note_example(s))
        doubt_condition(s, opaque);
    for (int i = 0; i < ROOT_COUNT; i++)
        s->roots[i].value = roots[i];
    if (opaque) /* what was given to it is taken back */
        for (uint32_t i = 0; i < CEL_FACT_COUNT; i++) {
            const struct variable *v = map_get(&s->variables, cel_fact_name((enum cel_fact)i));
            if (text_of(s, (enum cel_fact)i) && (!v || v->value < 0))
                *text_of(s, (enum cel_fact)i) =
                    may_be_missing((enum cel_fact)i) ? SLICE("") : ANOTHER;
        }
    clear_lists(s);
    arena_fini(&s->scratch);
    s->facts = before;
}

/* ---- the tree ---- */

static void search_facts(struct search *s)
{
    if (s->is_exhausted || ++s->steps > STEPS_MAX) {
        s->is_exhausted = true;
        return;
    }
    const enum knowledge before = verdict_of(s, 0);
    struct variable *pending = before == NOT_KNOWN ? s->pending : NULL;
    const enum knowledge after = verdict_of(s, 1);
    if (!pending && after == NOT_KNOWN)
        pending = s->pending;
    if (!pending) {
        if (before != after)
            show(s);
        return;
    }
    if (s->trail_count == TRAIL_MAX) {
        s->is_exhausted = true;
        return;
    }
    s->trail[s->trail_count++] = pending;
    for (uint32_t i = 0; i < pending->count && !s->is_exhausted; i++) {
        set_value(s, pending, (int)i);
        search_facts(s);
    }
    set_value(s, pending, -1);
    s->trail_count--;
}

/* ---- classes of paths and methods ---- */

/* All rules of both sides, each with a number of what it says: two that say the same in the same
 * way share it. */
struct owner {
    const struct rule *rule;
    unsigned sides; /* bits */
    uint32_t saying;
};

struct owners {
    struct owner *at;
    uint32_t count;
    struct map sayings;
    struct diff_pattern *patterns;
    uint32_t pattern_count;
};

static uint32_t saying_of(struct search *s, struct owners *o, const struct rule *r)
{
    const struct slice when = !r->when        ? SLICE("true")
                              : r->reads_path ? name_with_paths(s, r)
                                              : cel_text(s->a, r->when);
    const struct slice key = arena_printf(s->a, "%d %lld %.*s", (int)r->effect,
                                          (long long)r->expires_s, SLICE_ARG(when));
    uint32_t *number = map_get(&o->sayings, key);
    if (!number) {
        number = arena_new(s->a, uint32_t);
        *number = (uint32_t)o->sayings.count + 1;
        (void)map_set(&o->sayings, key, number);
    }
    return *number;
}

static void add_owners(struct search *s, struct owners *o, const struct rule *rules, uint32_t count,
                       unsigned sides)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rule *r = &rules[i];
        if (!explain_counts(r, s->now))
            continue;
        for (uint32_t p = 0; p < r->path_count; p++)
            o->patterns[o->pattern_count++] = (struct diff_pattern){&r->paths[p], o->count};
        o->at[o->count++] = (struct owner){r, sides, saying_of(s, o, r)};
    }
}

static uint32_t count_patterns(const struct rule *rules, uint32_t count)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < count; i++)
        all += rules[i].path_count;
    return all;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t sort_once(uint32_t *at, uint32_t count)
{
    uint32_t kept = 0;
    if (count)
        qsort(at, count, sizeof *at, by_number);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || at[kept - 1] != at[i])
            at[kept++] = at[i];
    return kept;
}

struct cells {
    struct search *s;
    struct owners owners;
    uint32_t *everywhere; /* owners without a path of their own */
    uint32_t everywhere_count;
    uint32_t *sayings[2];
    struct slice methods[METHODS_MAX];
    uint32_t method_count;
};

static void take_owner(struct cells *c, uint32_t number)
{
    struct search *s = c->s;
    const struct owner *o = &c->owners.at[number];
    if (o->rule->effect != RULE_REQUIRE && !rule_names_method(o->rule, &s->request))
        return;
    for (int side = 0; side < 2; side++)
        if (o->sides >> side & 1) {
            c->sayings[side][s->rule_count[side]] = o->saying;
            s->rules[side][s->rule_count[side]++] = o->rule;
        }
}

static bool demands_certificate(const struct application *app)
{
    return app && (app->device == DEVICE_REQUIRED || app->device == DEVICE_REQUIRED_BY_TLS);
}

static void search_cell(struct cells *c, const struct diff_path *path, struct slice method)
{
    struct search *s = c->s;
    s->request = (struct request){.method = method_of(method),
                                  .method_name = method,
                                  .host = s->host,
                                  .target = path->target};
    s->rule_count[0] = s->rule_count[1] = 0;
    for (uint32_t i = 0; i < c->everywhere_count; i++)
        take_owner(c, c->everywhere[i]);
    for (uint32_t i = 0; i < path->owner_count; i++)
        take_owner(c, path->owners[i]);
    const uint32_t before = sort_once(c->sayings[0], s->rule_count[0]);
    const uint32_t after = sort_once(c->sayings[1], s->rule_count[1]);
    const bool is_same =
        s->sides[0]->app && s->sides[1]->app && before == after &&
        demands_certificate(s->sides[0]->app) == demands_certificate(s->sides[1]->app) &&
        (!before || memcmp(c->sayings[0], c->sayings[1], before * sizeof(uint32_t)) == 0);
    if (!is_same)
        search_facts(s);
}

static void add_method(struct cells *c, struct slice name)
{
    for (uint32_t i = 0; i < c->method_count; i++)
        if (slice_eq(c->methods[i], name))
            return;
    if (c->method_count == METHODS_MAX)
        c->s->is_exhausted = true;
    else
        c->methods[c->method_count++] = name;
}

static void read_methods(struct cells *c)
{
    for (enum method m = METHOD_OTHER + 1; m < METHOD_COUNT; m++)
        add_method(c, method_name(m));
    for (uint32_t i = 0; i < c->owners.count; i++) {
        const struct slices *names = &c->owners.at[i].rule->other_methods;
        for (uint32_t j = 0; j < names->count; j++)
            add_method(c, names->at[j]);
    }
    add_method(c, SLICE("ANOTHER"));
}

/* What is not looked into, where it differs. */
static void doubt_settings(struct search *s)
{
    const struct application *x = s->sides[0]->app, *y = s->sides[1]->app;
    bool is_same = x && y && x->provider_count == y->provider_count;
    if (!x || !y)
        return;
    if (x->device != y->device)
        doubt(s, SLICE("`device` differs; only that a certificate is demanded is looked into"));
    if (!path_options_are_same(x->paths, y->paths))
        doubt(s, SLICE("`paths` differs: which paths are let in is not looked into"));
    else if (x->paths.allow_parameters || has_lax_reading(x))
        doubt(s, SLICE("paths that can be read in several ways are let in; those are not looked "
                       "into"));
    for (uint32_t i = 0; is_same && i < x->provider_count; i++)
        is_same = slice_eq(x->providers[i]->id, y->providers[i]->id) &&
                  memcmp(x->providers[i]->digest, y->providers[i]->digest,
                         sizeof x->providers[i]->digest) == 0;
    if (!is_same)
        doubt(s, SLICE("the identity providers differ: who can sign in is not looked into"));
}

static void doubt_ends(struct search *s, const struct owners *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->at[i].rule->expires_s && o->at[i].sides != 3) {
            doubt(s, SLICE("rules expire: it is so today, and may not be so later"));
            return;
        }
}

static void search_all(struct search *s, struct cells *c, bool fold)
{
    struct diff_path *paths;
    uint32_t count;
    if (!diff_paths(c->owners.patterns, c->owners.pattern_count, fold, s->a, &paths, &count))
        doubt(s, SLICE("the patterns of paths make more classes than are looked into"));
    for (uint32_t i = 0; i < count && !s->is_exhausted; i++)
        for (uint32_t m = 0; m < c->method_count && !s->is_exhausted; m++)
            search_cell(c, &paths[i], c->methods[m]);
    if (s->is_exhausted)
        doubt(s, SLICE("there are more combinations than are looked into"));
}

static bool asks_for_none(const struct application *app)
{
    return !app || app->device == DEVICE_NONE;
}

static void prepare(struct search *s)
{
    for (int i = 0; i < ROOT_COUNT; i++)
        s->roots[i] = (struct variable){.kind = OF_ROOT, .value = -1, .count = 2};
    for (uint32_t i = 0; i < CEL_FACT_COUNT; i++)
        if (text_of(s, (enum cel_fact)i))
            *text_of(s, (enum cel_fact)i) = may_be_missing((enum cel_fact)i) ? SLICE("") : ANOTHER;
    if (asks_for_none(s->sides[0]->app) && asks_for_none(s->sides[1]->app))
        s->roots[ROOT_DEVICE].value = s->roots[ROOT_SERVICE].value = 0;
    s->facts =
        (struct facts){.request = &s->request, .client_address = SLICE("127.0.0.1"), .now = s->now};
}

void diff_run(const struct diff_side *before, const struct diff_side *after, struct wall now,
              struct arena *a, struct diff *out)
{
    static const struct baseline none;
    struct search *s = mem_new(struct search);
    struct cells c = {.s = s};
    const struct diff_side *sides[2] = {before, after};
    uint32_t rules = 0, patterns = 0;
    *s = (struct search){.sides = {before, after}, .now = now, .a = a, .out = out};
    *out = (struct diff){.classes = arena_array(a, struct diff_class, CLASSES_MAX)};
    map_init(&s->leaves);
    map_init(&s->variables);
    map_init(&c.owners.sayings);
    s->chunks.limit = 16;
    s->host = (before->app ? before->app : after->app)->host;
    prepare(s);
    const struct baseline *b = before->snapshot->baseline ? before->snapshot->baseline : &none;
    for (int i = 0; i < 2; i++)
        if (sides[i]->app) {
            rules += sides[i]->app->rule_count;
            patterns += count_patterns(sides[i]->app->rule_list, sides[i]->app->rule_count);
        }
    rules += b->requirement_count + b->forbid_count;
    patterns += count_patterns(b->forbids, b->forbid_count);
    c.owners.at = arena_array(a, struct owner, rules + 1);
    c.owners.patterns = arena_array(a, struct diff_pattern, patterns + 1);
    add_owners(s, &c.owners, b->requirements, b->requirement_count, 3);
    add_owners(s, &c.owners, b->forbids, b->forbid_count, 3);
    for (int i = 0; i < 2; i++)
        if (sides[i]->app)
            add_owners(s, &c.owners, sides[i]->app->rule_list, sides[i]->app->rule_count, 1u << i);
    c.everywhere = arena_array(a, uint32_t, rules + 1);
    for (uint32_t i = 0; i < c.owners.count; i++) {
        const struct rule *r = c.owners.at[i].rule;
        read_rule(s, r);
        if (!r->path_count)
            c.everywhere[c.everywhere_count++] = i;
    }
    for (int i = 0; i < 2; i++) {
        s->rules[i] = arena_array(a, const struct rule *, rules + 1);
        c.sayings[i] = arena_array(a, uint32_t, rules + 1);
    }
    read_methods(&c);
    doubt_settings(s);
    doubt_ends(s, &c.owners);
    search_all(s, &c, (before->app ? before->app : after->app)->paths.fold_case);
    chunk_store_fini(&s->chunks);
    map_fini(&s->leaves);
    map_fini(&s->variables);
    map_fini(&c.owners.sayings);
    mem_free(s);
}
