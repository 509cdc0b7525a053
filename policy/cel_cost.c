// SPDX-License-Identifier: EUPL-1.2
/* The worst case of a condition, known when it is loaded: a step is one operation, or one element
 * that is compared. Leaves are free, nothing is ever short-cut here, lists of facts are
 * CEL_LIST_BOUND long. Sums and products stop at the largest number instead of going round. */
#include "policy/cel_in.h"
#include "policy/query.h"
#include "policy/regex.h"

/* What walks over the bytes of a text, which may be some KiB, against what looks at its first ones.
 */
#define TEXT_WALK_COST 16

struct walk {
    uint64_t loops[CEL_MAX_LOOPS]; /* how many scalars the elements of each range hold in all */
    bool is_read[CEL_MAX_LOOPS];   /* the range was read from outside, and not put together here */
};

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The fields of a request are looked through. */
#define HEADER_COST 128

/* Of each state of a pattern: each byte of the longest text that matches() takes may meet it. */
#define MATCH_COST REGEX_MAX_TEXT

/* So many of the longest texts may the texts of one token or certificate be together. */
#define READ_TEXTS 8

static uint64_t cost_of(struct walk *w, const struct cel_step *s);

static bool has_elements(const struct cel_type *type)
{
    return type->kind == KIND_LIST || type->kind == KIND_MAP;
}

static bool holds_map(const struct cel_type *type)
{
    for (; type; type = type->element)
        if (type->kind == KIND_MAP)
            return true;
    return false;
}

/* How many elements and elements of elements a value can hold; a scalar counts as one. */
static uint64_t bound_of_value(union cel_value value, const struct cel_type *type)
{
    uint64_t bound = 1;
    if (!has_elements(type))
        return 1;
    for (size_t i = 0; i < value.list.count; i++) {
        const size_t at = type->kind == KIND_MAP ? 2 * i + 1 : i;
        bound = add(bound, bound_of_value(value.list.at[at], type->element));
        bound = add(bound, type->kind == KIND_MAP);
    }
    return bound;
}

static uint64_t bound_of_fact(const struct cel_step *s)
{
    if (s->fact == CEL_FACT_request_query_parameters) // names, lists, and what is in them
        return 3 * QUERY_MAX_PARAMETERS;
    return !has_elements(s->type)      ? 1
           : s->type->kind == KIND_MAP ? 2 * CEL_LIST_BOUND
                                       : CEL_LIST_BOUND;
}

static uint64_t bound_of(struct walk *w, const struct cel_step *s)
{
    uint64_t bound = 1;
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_VARIABLE:
        return bound_of_value(s->value, s->type);
    case OP_FACT:
        return bound_of_fact(s);
    case OP_NAMED:
        return s->fact == NAMED_HEADER ? HEADER_MAX_FIELDS : 1;
    case OP_LOOP_VALUE: // no element holds more than all of them
        return has_elements(s->type) ? w->loops[s->slot] : 1;
    case OP_LIST:
    case OP_MAP:
    case OP_JOIN_LISTS:
        for (uint32_t i = 0; i < s->count; i++)
            bound = add(bound, bound_of(w, s->args[i]));
        return bound;
    case OP_TERNARY:
        return larger(bound_of(w, s->args[1]), bound_of(w, s->args[2]));
    case OP_INDEX_LIST:
    case OP_INDEX_MAP:
    case OP_FILTER:
        return bound_of(w, s->args[0]);
    case OP_TRANSFORM: // another loop may have had this variable since
        w->loops[s->slot] = bound_of(w, s->args[0]);
        return add(1, times(w->loops[s->slot], bound_of(w, s->args[1])));
    default: // gives a scalar
        return 1;
    }
}

/* What an operation walks over, besides the one step that it is. */
static uint64_t walked_by(struct walk *w, const struct cel_step *s)
{
    uint64_t keys;
    switch ((enum cel_op)s->op) {
    case OP_IN:
    case OP_IN_STRING:
        return bound_of(w, s->args[1]);
    case OP_IN_MAP:
    case OP_INDEX_MAP:
        return bound_of(w, s->args[0]);
    case OP_IN_SORTED:
        return (uint64_t)(64 - __builtin_clzll(s->args[1]->value.list.count));
    case OP_EQUAL: // of maps, each key is looked for
        keys = larger(bound_of(w, s->args[0]), bound_of(w, s->args[1]));
        return holds_map(s->type) ? times(keys, keys) : keys;
    case OP_JOIN_LISTS:
        return add(bound_of(w, s->args[0]), bound_of(w, s->args[1]));
    case OP_MAP:
        return (uint64_t)s->count * s->count / 4;
    case OP_SIZE_STRING:
    case OP_CONTAINS:
        return TEXT_WALK_COST - 1;
    case OP_CALL:
        return s->function->cost - 1u;
    default:
        return 0;
    }
}

/* Whether the elements of a range are as many different texts, which all came in one token,
 * certificate, path or condition: in all they are not longer than some texts can be. A set, or what
 * map() made, may hold many long ones. */
static bool is_read(const struct cel_step *range)
{
    if (range->op == OP_INDEX_MAP) // the values of one parameter of the query
        return range->args[0]->op == OP_FACT;
    return range->op == OP_FACT || range->op == OP_NAMED ||
           (range->op == OP_VALUE && !range->is_sorted);
}

static uint64_t cost_of_matches(const struct walk *w, const struct cel_step *s)
{
    const uint64_t states = regex_states(s->regex);
    const struct cel_step *text = s->args[0];
    const uint64_t whole = states * MATCH_COST;
    if (text->op != OP_LOOP_VALUE || !w->is_read[text->slot] || !w->loops[text->slot])
        return whole;
    const uint64_t shared = states + READ_TEXTS * whole / w->loops[text->slot];
    return shared < whole ? shared : whole;
}

/* The body, and of map() its condition, for each element. */
static uint64_t cost_of_loop(struct walk *w, const struct cel_step *s)
{
    const uint64_t range_cost = cost_of(w, s->args[0]);
    const uint64_t range = bound_of(w, s->args[0]);
    uint64_t body = 0;
    w->loops[s->slot] = range;
    w->is_read[s->slot] = is_read(s->args[0]);
    for (uint32_t i = 1; i < s->count; i++)
        body = add(body, cost_of(w, s->args[i]));
    return add(add(1, range_cost), times(range, larger(1, body)));
}

static uint64_t cost_of(struct walk *w, const struct cel_step *s)
{
    uint64_t cost = 1;
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_VARIABLE:
    case OP_FACT:
    case OP_LOOP_VALUE:
    case OP_HAS:
        return 0;
    case OP_NAMED:
    case OP_HAS_NAMED:
        return s->fact == NAMED_HEADER ? HEADER_COST : 0;
    case OP_EXISTS:
    case OP_ALL:
    case OP_EXISTS_ONE:
    case OP_FILTER:
    case OP_TRANSFORM:
        return cost_of_loop(w, s);
    case OP_TERNARY:
        return add(add(1, cost_of(w, s->args[0])),
                   larger(cost_of(w, s->args[1]), cost_of(w, s->args[2])));
    case OP_MATCHES:
        return add(cost_of_matches(w, s), cost_of(w, s->args[0]));
    default:
        break;
    }
    for (uint32_t i = 0; i < s->count; i++)
        cost = add(cost, cost_of(w, s->args[i]));
    // Bounds speak of loops, whose ranges are known once their cost was worked out.
    return add(cost, walked_by(w, s));
}

uint64_t cel_cost_of(const struct cel_step *step)
{
    struct walk w = {.loops = {0}};
    return add(1, cost_of(&w, step));
}
