// SPDX-License-Identifier: EUPL-1.2
/* The worst case of a condition, known when it is loaded: a step is one operation, or one element
 * that is compared. Leaves are free, nothing is ever short-cut here, lists of facts are
 * CEL_LIST_BOUND long. Sums and products stop at the largest number instead of going round. */
#include "policy/cel_in.h"

/* What walks over the bytes of a text, which may be some KiB, against what looks at its first ones.
 */
#define TEXT_WALK_COST 16

struct walk {
    uint64_t loops[CEL_MAX_LOOPS]; /* how many scalars the elements of each range hold in all */
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

/* How many elements and elements of elements a value can hold; a scalar counts as one. */
static uint64_t bound_of_value(union cel_value value, uint8_t list_depth)
{
    uint64_t bound = 1;
    for (size_t i = 0; list_depth && i < value.list.count; i++)
        bound = add(bound, bound_of_value(value.list.at[i], (uint8_t)(list_depth - 1)));
    return bound;
}

static uint64_t bound_of(const struct walk *w, const struct cel_step *s)
{
    uint64_t bound = 1;
    if (!s->list_depth)
        return 1;
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
        return bound_of_value(s->value, s->list_depth);
    case OP_FACT:
        return CEL_LIST_BOUND;
    case OP_LOOP_VALUE: // no element holds more than all of them
        return w->loops[s->slot];
    case OP_LIST:
        for (uint32_t i = 0; i < s->count; i++)
            bound = add(bound, bound_of(w, s->args[i]));
        return bound;
    case OP_TERNARY:
        return larger(bound_of(w, s->args[1]), bound_of(w, s->args[2]));
    default: // gives no list; list_depth speaks of what it compares
        return 1;
    }
}

static uint64_t cost_of(struct walk *w, const struct cel_step *s)
{
    uint64_t cost = 1;
    uint64_t range;
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_FACT:
    case OP_LOOP_VALUE:
    case OP_HAS:
        return 0;
    case OP_EXISTS:
    case OP_ALL:
        range = bound_of(w, s->args[0]);
        w->loops[s->slot] = range;
        return add(add(1, cost_of(w, s->args[0])), times(range, larger(1, cost_of(w, s->args[1]))));
    case OP_TERNARY:
        return add(add(1, cost_of(w, s->args[0])),
                   larger(cost_of(w, s->args[1]), cost_of(w, s->args[2])));
    case OP_IN:
    case OP_IN_STRING:
        cost = add(cost, bound_of(w, s->args[1]));
        break;
    case OP_IN_SORTED:
        cost += (uint64_t)(64 - __builtin_clzll(s->args[1]->value.list.count));
        break;
    case OP_EQUAL_LIST:
        cost = add(cost, larger(bound_of(w, s->args[0]), bound_of(w, s->args[1])));
        break;
    case OP_SIZE_STRING:
    case OP_CONTAINS:
        cost = TEXT_WALK_COST;
        break;
    case OP_LIST:
    case OP_SIZE_LIST:
    case OP_NOT:
    case OP_AND:
    case OP_OR:
    case OP_COMPARE:
    case OP_EQUAL_STRING:
    case OP_STARTS:
    case OP_ENDS:
        break;
    }
    for (uint32_t i = 0; i < s->count; i++)
        cost = add(cost, cost_of(w, s->args[i]));
    return cost;
}

uint64_t cel_cost_of(const struct cel_step *step)
{
    struct walk w = {.loops = {0}};
    return add(1, cost_of(&w, step));
}
