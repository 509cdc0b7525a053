// SPDX-License-Identifier: EUPL-1.2
/* Facts by names that are not Belfry's: what a rule's patterns call the segments of a path. A name
 * stands in the text itself, so that one that nobody gave is found at load. Owns: which names there
 * are, and the words for those that there are not. */
#include "policy/cel_in.h"

enum named_type { STRING };

static const struct {
    struct slice root;
    enum named_type type;
} named_facts[] = {
#define FACT(root, name, type, text)
#define NAMED_FACT(which, root, type, text) {SLICE_INIT(root), type},
#include "policy/fact.def"
#undef FACT
};

enum cel_named cel_find_named(const struct cel_checker *c, const struct cel_node *node)
{
    uint8_t slot;
    if (c->t->names && c->t->names->variable_count) // names are the caller's, then
        return NAMED_COUNT;
    if (node->kind == NODE_NAME && slice_eq(node->name, named_facts[NAMED_PATH].root) &&
        !cel_find_loop(c, node->name, &slot))
        return NAMED_PATH;
    return NAMED_COUNT;
}

static struct slices names_of(const struct cel_checker *c)
{
    return c->t->names ? c->t->names->segments : (struct slices){NULL, 0};
}

void cel_refuse_nameless(struct cel_checker *c, enum cel_named named, size_t offset)
{
    const struct slice root = named_facts[named].root;
    cel_error(c->t, offset, CEL_TYPE, "'%.*s' alone is no value; write %.*s.NAME or %.*s[\"NAME\"]",
              SLICE_ARG(root), SLICE_ARG(root), SLICE_ARG(root));
}

static const struct cel_step *unknown_name(struct cel_checker *c, size_t offset, struct slice name)
{
    const struct slices names = names_of(c);
    const struct slice near = nearest_name(name, names.at, names.count);
    if (!names.count)
        cel_error(
            c->t, offset, CEL_UNKNOWN_FACT,
            "no path pattern of this rule calls a segment '%.*s'; one with {%.*s} in it would",
            SLICE_ARG(name), SLICE_ARG(name));
    else if (near.len)
        cel_error(c->t, offset, CEL_UNKNOWN_FACT,
                  "no path pattern of this rule calls a segment '%.*s'; did you mean '%.*s'?",
                  SLICE_ARG(name), SLICE_ARG(near));
    else
        cel_error(c->t, offset, CEL_UNKNOWN_FACT,
                  "no path pattern of this rule calls a segment '%.*s', but '%.*s'%s",
                  SLICE_ARG(name), SLICE_ARG(names.at[0]), names.count > 1 ? " and others" : "");
    return NULL;
}

static bool holds(struct slices names, struct slice name)
{
    for (uint32_t i = 0; i < names.count; i++)
        if (slice_eq(names.at[i], name))
            return true;
    return false;
}

const struct cel_step *cel_check_named(struct cel_checker *c, enum cel_op op, enum cel_named named,
                                       size_t offset, struct slice name,
                                       const struct cel_type **type)
{
    const struct slice root = named_facts[named].root;
    if (!holds(names_of(c), name))
        return unknown_name(c, offset, name);
    struct cel_step *step = cel_make(c, op);
    step->fact = (uint8_t)named;
    step->value.s = arena_printf(c->t->keep, "%.*s.%.*s", SLICE_ARG(root), SLICE_ARG(name));
    *type = cel_type_of(op == OP_HAS_NAMED ? KIND_BOOL : KIND_STRING);
    step->type = *type;
    return step;
}

struct slice cel_given_name(const struct cel_step *s)
{
    return slice_skip(s->value.s, named_facts[s->fact].root.len + 1);
}
