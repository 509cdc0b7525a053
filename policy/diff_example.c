// SPDX-License-Identifier: EUPL-1.2
/* What the search finds, in words: for each class the request of fewest facts, judged by decide()
 * on both sides; and doubts, where a condition that can't be looked into would have to be as it was
 * taken to be. */
#include "policy/diff_in.h"

#include "base/reason.h"
#include "policy/explain.h"
#include "policy/policy_test.h"
#include "policy/query.h"

#define CLASSES_MAX 500
#define DOUBTS_MAX 20

/* ---- doubts ---- */

void diff_doubt(struct search *s, struct slice text)
{
    struct slices *d = &s->out->doubts;
    for (uint32_t i = 0; i < d->count; i++)
        if (slice_eq(d->at[i], text))
            return;
    if (d->count == DOUBTS_MAX)
        return;
    struct slice *list = arena_array(s->a, struct slice, d->count + 1);
    if (d->count)
        memcpy(list, d->at, d->count * sizeof *list);
    list[d->count] = arena_copy(s->a, text);
    *d = (struct slices){list, d->count + 1};
}

/* ---- classes ---- */

static bool is_same_class(const struct diff_class *x, const struct diff_class *y)
{
    return x->gains == y->gains && x->reason == y->reason && slice_eq(x->permits, y->permits) &&
           slice_eq(x->refuses, y->refuses);
}

static struct diff_class class_of(const struct decision d[2])
{
    const bool gains = d[1].verdict == DECISION_PERMIT;
    const struct decision *refusal = &d[!gains];
    return (struct diff_class){.gains = gains,
                               .permits = d[gains].rule,
                               .refuses =
                                   refusal->reason == REASON_DENIED ? SLICE("") : refusal->rule,
                               .reason = refusal->reason,
                               .size = UINT32_MAX};
}

static struct diff_class *find_class(const struct search *s, const struct diff_class *like)
{
    for (uint32_t i = 0; i < s->out->class_count; i++)
        if (is_same_class(&s->out->classes[i], like))
            return &s->out->classes[i];
    return NULL;
}

static struct diff_class *take_class(struct search *s, const struct diff_class *like)
{
    struct diff_class *c = find_class(s, like);
    if (c)
        return c;
    if (s->out->class_count == CLASSES_MAX) {
        s->is_exhausted = true;
        return NULL;
    }
    if (!s->out->classes)
        s->out->classes = arena_array(s->a, struct diff_class, CLASSES_MAX);
    c = &s->out->classes[s->out->class_count++];
    *c = *like;
    return c;
}

/* What was meant to be shown, with the first condition that kept it from being. */
static void keep_unseen(struct search *s, const struct diff_class *class,
                        const struct variable *opaque)
{
    const struct cel cel = {.root = opaque ? opaque->step : NULL};
    for (uint32_t i = 0; i < s->unseen_count; i++)
        if (is_same_class(&s->unseen[i].class, class))
            return;
    if (s->unseen_count == CLASSES_MAX) {
        s->is_exhausted = true;
        return;
    }
    if (!s->unseen)
        s->unseen = arena_array(s->a, struct intention, CLASSES_MAX);
    const struct slice what =
        opaque ? arena_printf(s->a, "%.*s may make a difference", SLICE_ARG(cel_text(s->a, &cel)))
               : SLICE("a difference could not be shown");
    s->unseen[s->unseen_count++] = (struct intention){
        *class, arena_printf(s->a, "%.*s, to %.*s %.*s", SLICE_ARG(what),
                             SLICE_ARG(s->request.method_name), SLICE_ARG(s->request.target))};
}

void diff_conclude(struct search *s)
{
    for (uint32_t i = 0; i < s->unseen_count; i++)
        if (!find_class(s, &s->unseen[i].class))
            diff_doubt(s, s->unseen[i].doubt);
}

/* ---- an example ---- */

struct example {
    struct people people;
    struct request request;
    struct facts facts;
    bool has[ROOT_COUNT];
};

static void add_member(struct example *e, const struct variable *v, struct arena *a)
{
    struct slices *list = diff_list_at(&e->people, v->fact);
    struct slice *longer = arena_array(a, struct slice, list->count + 1);
    if (list->count)
        memcpy(longer, list->at, list->count * sizeof *longer);
    longer[list->count] = v->text;
    *list = (struct slices){longer, list->count + 1};
}

/* What an opaque condition wants to be true may be given to it: user.id.startsWith("x"). */
static void please(const struct search *s, struct example *e, const struct variable *v)
{
    const struct cel_step *step = v->step;
    if (v->value != IS_TRUE ||
        (step->op != OP_STARTS && step->op != OP_ENDS && step->op != OP_CONTAINS) ||
        step->args[0]->op != OP_FACT || step->args[1]->op != OP_VALUE)
        return;
    const enum cel_fact fact = (enum cel_fact)step->args[0]->fact;
    struct slice *text = diff_text_at(&e->people, fact);
    const struct variable *known = map_get(&s->variables, cel_fact_name(fact));
    if (!text || (known && known->value >= 0))
        return;
    *text = step->args[1]->value.s;
    e->has[diff_root_of(fact)] = true;
}

/* As the trail says; the last opaque variable of it, or NULL. */
static const struct variable *make_example(const struct search *s, struct example *e,
                                           struct arena *a)
{
    const struct variable *opaque = NULL;
    *e = (struct example){.people = s->people, .request = s->request, .facts = s->facts};
    for (int root = 0; root < ROOT_COUNT; root++)
        e->has[root] = s->roots[root].value == 1;
    for (uint32_t i = 0; i < s->trail_count; i++) {
        const struct variable *v = s->trail[i];
        if (v->kind == OF_MEMBER && v->value == 1)
            add_member(e, v, a);
        if (v->kind != OF_OPAQUE)
            continue;
        opaque = v;
        please(s, e, v);
    }
    e->facts.request = &e->request;
    e->facts.user = e->has[ROOT_USER] ? &e->people.user : NULL;
    e->facts.device = e->has[ROOT_DEVICE] ? &e->people.device : NULL;
    e->facts.service = e->has[ROOT_SERVICE] ? &e->people.service : NULL;
    e->has[ROOT_SESSION] = e->has[ROOT_SESSION] && e->has[ROOT_USER];
    e->facts.session = e->has[ROOT_SESSION] ? &e->people.session : NULL;
    return opaque;
}

static void judge(const struct diff_side *by, struct example *e, struct arena *a,
                  struct decision *out)
{
    *out = (struct decision){.reason = REASON_HOST_UNKNOWN};
    if (!by->app)
        return;
    e->facts.app = by->app;
    const enum reason before = policy_refused_before(&e->facts, &e->request, a);
    if (before != REASON_PERMITTED) {
        out->reason = before;
        return;
    }
    query_read_for_rules(by->snapshot, &e->facts, a);
    decide(by->snapshot, &e->facts, out);
}

/* How many facts are there that could be missing, or are not as they mostly are. */
static uint32_t size_of_example(const struct search *s)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < s->trail_count; i++)
        size += s->trail[i]->value > 0;
    return size;
}

void diff_show(struct search *s, const struct decision intended[2])
{
    struct arena scratch;
    struct example e;
    struct decision d[2];
    const struct diff_class wanted = class_of(intended);
    const uint32_t size = size_of_example(s);
    const struct diff_class *known = find_class(s, &wanted);
    if (known && known->size <= size)
        return;
    arena_init(&scratch, s->chunks);
    const struct variable *opaque = make_example(s, &e, &scratch);
    for (int side = 0; side < 2; side++)
        judge(s->sides[side], &e, &scratch, &d[side]);
    const struct diff_class seen = class_of(d);
    struct diff_class *c = d[0].verdict == d[1].verdict ? NULL : take_class(s, &seen);
    if (c && size < c->size) {
        c->size = size;
        c->facts = diff_words(&e.people, e.has, s->a);
        c->request = arena_printf(s->a, "%.*s %.*s", SLICE_ARG(s->request.method_name),
                                  SLICE_ARG(s->request.target));
    }
    if (!c || !is_same_class(&seen, &wanted))
        keep_unseen(s, &wanted, opaque);
    arena_fini(&scratch);
}
