// SPDX-License-Identifier: EUPL-1.2
/* What conditions ask, as variables with few values each:
 *
 *   a member   "x" in user.groups: it is in, or not
 *   exact      a fact of one value, compared with constants: it has one of them, another, or none
 *   opaque     anything else: true, false or an error, whatever else is so
 *
 * Owns: which step is which, and the values that can make a difference to it. */
#include "policy/diff_in.h"

#include "policy/cel_time_in.h"

#define OF_APPLICATION (CEL_BIT(app_id) | CEL_BIT(app_host) | CEL_BIT(app_entity))

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

/* ---- values ---- */

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
    if (number < (v->kind == OF_AGE ? NO_AGE : 0) || number > INT32_MAX)
        return;
    for (uint32_t i = 0; i < v->count; i++)
        if (v->numbers[i] == number)
            return;
    if (v->count == VALUES_MAX) {
        s->is_exhausted = true;
        return;
    }
    uint32_t at = v->count++;
    for (; at && v->numbers[at - 1] > number; at--)
        v->numbers[at] = v->numbers[at - 1];
    v->numbers[at] = number;
}

/* What comes before and behind it can differ from it. */
static void add_around(struct search *s, struct variable *v, int64_t number)
{
    for (int64_t by = -1; by <= 1; by++)
        if (number + by >= 0 && number < INT32_MAX)
            add_number(s, v, number + by);
}

static void add_values(struct search *s, struct variable *v, const struct cel_step *constant)
{
    const struct cel_list *list = &constant->value.list;
    if (v->kind == OF_NUMBER && constant->type->kind == KIND_INT)
        add_around(s, v, constant->value.i);
    if (v->kind == OF_AGE && constant->type->kind == KIND_DURATION)
        add_around(s, v, constant->value.i / CEL_NS);
    if (v->kind == OF_NUMBER && constant->type->kind == KIND_LIST)
        for (size_t i = 0; i < list->count; i++)
            add_around(s, v, list->at[i].i);
    if (v->kind == OF_TEXT && constant->type->kind == KIND_STRING && constant->value.s.len)
        add_text(s, v, constant->value.s);
    if (v->kind == OF_TEXT && constant->type->kind == KIND_LIST)
        for (size_t i = 0; i < list->count; i++)
            if (list->at[i].s.len) /* no fact is an empty text */
                add_text(s, v, list->at[i].s);
}

/* The variable of a fact of one value; NULL: it is none that is looked into. */
static struct variable *variable_of_fact(struct search *s, enum cel_fact fact)
{
    const bool is_text = diff_text_at(&s->people, fact), is_said = diff_said_at(&s->people, fact);
    const bool is_age = diff_moment_at(&s->people, fact);
    if (!is_text && !is_said && !is_age && !diff_number_at(&s->people, fact))
        return NULL;
    struct variable *v = variable_of(s, cel_fact_name(fact));
    if (v->count)
        return v;
    v->fact = fact;
    v->kind = is_text ? OF_TEXT : is_said ? OF_SAID : is_age ? OF_AGE : OF_NUMBER;
    if (v->kind == OF_SAID)
        v->count = SAID_YES + 1;
    if (v->kind == OF_AGE && cel_fact_may_be_missing(fact))
        add_number(s, v, NO_AGE);
    if (v->kind == OF_NUMBER || v->kind == OF_AGE)
        add_number(s, v, 0);
    if (v->kind == OF_TEXT && cel_fact_may_be_missing(fact))
        add_text(s, v, SLICE(""));
    if (v->kind == OF_TEXT)
        add_text(s, v, ANOTHER);
    return v;
}

/* ---- which step is what ---- */

static bool is_constant(const struct cel_step *s)
{
    return s->op == OP_VALUE;
}

static enum cel_fact fact_beside_constant(const struct cel_step *s)
{
    for (int i = 0; i < 2; i++)
        if (s->args[i]->op == OP_FACT && is_constant(s->args[1 - i]))
            return (enum cel_fact)s->args[i]->fact;
    return CEL_FACT_COUNT;
}

/* Which fact of one value a step compares with constants; CEL_FACT_COUNT: none, or in another way.
 */
static enum cel_fact fact_compared(const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_HAS:
    case OP_FACT: /* of a bool */
        return (enum cel_fact)s->fact;
    case OP_COMPARE:
        return s->kind == KIND_INT || s->kind == KIND_BOOL || s->kind == KIND_DURATION
                   ? fact_beside_constant(s)
                   : CEL_FACT_COUNT;
    case OP_EQUAL_STRING:
        return fact_beside_constant(s);
    case OP_IN:
    case OP_IN_STRING:
    case OP_IN_SORTED:
        return s->args[0]->op == OP_FACT && is_constant(s->args[1])
                   ? (enum cel_fact)s->args[0]->fact
                   : CEL_FACT_COUNT;
    default:
        return CEL_FACT_COUNT;
    }
}

/* Whether it can come to an error though all whose facts it reads are there. */
static bool may_fail(const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_HAS:
        return false;
    case OP_FACT:
        return cel_fact_may_be_missing((enum cel_fact)s->fact);
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

static unsigned roots_of(uint64_t reads)
{
    unsigned roots = 0;
    for (enum cel_fact fact = 0; fact < CEL_FACT_COUNT; fact++)
        if (reads >> fact & 1 && diff_root_of(fact) < ROOT_COUNT)
            roots |= 1u << diff_root_of(fact);
    return roots >> ROOT_SESSION & 1 ? roots | 1u << ROOT_USER : roots; /* whose session? */
}

static struct variable *variable_of_member(struct search *s, const struct cel_step *step)
{
    if (step->op != OP_IN_STRING || !is_constant(step->args[0]) || step->args[1]->op != OP_FACT ||
        !diff_list_at(&s->people, (enum cel_fact)step->args[1]->fact))
        return NULL;
    const enum cel_fact fact = (enum cel_fact)step->args[1]->fact;
    const struct slice text = step->args[0]->value.s;
    struct variable *v = variable_of(
        s, arena_printf(s->a, "%.*s %.*s", SLICE_ARG(cel_fact_name(fact)), SLICE_ARG(text)));
    v->kind = OF_MEMBER;
    v->count = 2;
    v->fact = fact;
    v->text = text;
    return v;
}

static struct variable *opaque_variable(struct search *s, const struct leaf *l, struct slice name,
                                        bool never_fails)
{
    struct variable *v = variable_of(s, name);
    v->kind = OF_OPAQUE;
    v->count = never_fails ? 2 : 3;
    v->step = l->cel.root;
    return v;
}

/* One that reads the application too is another question on each side, where that differs; and
 * where it reads the level, another for a higher one. */
static void make_opaque(struct search *s, struct leaf *l, struct slice text, bool never_fails)
{
    const uint64_t reads = cel_reads(&l->cel);
    for (int side = 0; side < 2; side++)
        for (int raised = 0; raised < 2; raised++) {
            const bool is_apart = s->has_other_app && reads & OF_APPLICATION && side;
            const bool is_raised = raised && reads & CEL_BIT(user_acr_level);
            l->variable[side][raised] =
                opaque_variable(s, l,
                                arena_printf(s->a, "?%s%s %.*s", is_apart ? "'" : "",
                                             is_raised ? "^" : "", SLICE_ARG(text)),
                                never_fails);
        }
}

static void make_exact(struct leaf *l, struct variable *v)
{
    l->variable[0][0] = l->variable[0][1] = l->variable[1][0] = l->variable[1][1] = v;
}

static struct leaf *leaf_of(struct search *s, const struct cel_step *step)
{
    struct leaf *l = arena_new(s->a, struct leaf);
    const enum cel_fact fact = fact_compared(step);
    struct variable *v = variable_of_member(s, step);
    l->cel = (struct cel){.root = step, .type = cel_type_of(KIND_BOOL), .needs_scratch = true};
    l->roots = roots_of(cel_reads(&l->cel));
    if (!v && fact != CEL_FACT_COUNT && (v = variable_of_fact(s, fact)))
        for (uint32_t i = 0; step->op != OP_HAS && step->op != OP_FACT && i < 2; i++)
            if (is_constant(step->args[i]))
                add_values(s, v, step->args[i]);
    l->is_known = !v && !cel_reads_path(&l->cel) && !(cel_reads(&l->cel) & ~OF_APPLICATION);
    if (v)
        make_exact(l, v);
    else if (!l->is_known)
        make_opaque(s, l, cel_text(s->a, &l->cel), !may_fail(step));
    return l;
}

static void keep_leaf(struct search *s, const struct cel_step *step, struct leaf *l)
{
    const struct cel_step **key = arena_new(s->a, const struct cel_step *);
    *key = step;
    (void)map_set(&s->leaves, slice_from(key, sizeof *key), l);
}

static bool is_logic(const struct cel_step *s)
{
    return s->op == OP_AND || s->op == OP_OR || s->op == OP_NOT || s->op == OP_TERNARY;
}

static void read_leaves(struct search *s, const struct cel_step *step)
{
    for (uint32_t i = 0; is_logic(step) && i < step->count; i++)
        read_leaves(s, step->args[i]);
    if (!is_logic(step) && step->op != OP_VALUE)
        keep_leaf(s, step, leaf_of(s, step));
}

/* What names segments of the path says another thing with each pattern: taken as a whole, and the
 * same only beside the same patterns. */
struct slice diff_saying(struct search *s, const struct rule *r)
{
    struct slice text = r->when ? cel_text(s->a, r->when) : SLICE("true");
    for (uint32_t i = 0; r->reads_path && i < r->path_count; i++)
        text = arena_printf(s->a, "%.*s %.*s", SLICE_ARG(text), SLICE_ARG(r->paths[i].text));
    return arena_printf(s->a, "%s%.*s", r->reads_path && r->effect == RULE_FORBID ? "!" : "",
                        SLICE_ARG(text));
}

void diff_ask(struct search *s, const struct rule *r)
{
    if (!r->when)
        return;
    if (!r->reads_path) {
        read_leaves(s, r->when->root);
        return;
    }
    struct leaf *l = arena_new(s->a, struct leaf);
    l->cel = *r->when;
    l->roots = roots_of(cel_reads(r->when));
    make_opaque(s, l, diff_saying(s, r), false);
    keep_leaf(s, r->when->root, l);
}

bool diff_reads_other_app(const struct search *s, const struct rule *r)
{
    return s->has_other_app && r->when && cel_reads(r->when) & OF_APPLICATION;
}
