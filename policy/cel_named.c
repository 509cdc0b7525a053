// SPDX-License-Identifier: EUPL-1.2
/* Facts by names that are not Belfry's: what a rule's patterns call the segments of a path, and the
 * header fields that an application declares. A name stands in the text itself, so that one that
 * nobody gave is found at load. Owns: which names there are, and the words for those that there are
 * not. */
#include "policy/cel_in.h"

enum named_type { STRING, STRINGS };

static const struct {
    struct slice root;
    enum named_type type;
} named_facts[] = {
#define FACT(root, name, type, text)
#define NAMED_FACT(which, root, type, text) {SLICE_INIT(root), type},
#include "policy/fact.def"
#undef FACT
};

static bool is_root(const struct cel_checker *c, const struct cel_node *node, struct slice name)
{
    uint8_t slot;
    return node->kind == NODE_NAME && slice_eq(node->name, name) &&
           !cel_find_loop(c, node->name, &slot);
}

enum cel_named cel_find_named(const struct cel_checker *c, const struct cel_node *node)
{
    if (c->t->names && c->t->names->variable_count) // names are the caller's, then
        return NAMED_COUNT;
    if (is_root(c, node, SLICE("path")))
        return NAMED_PATH;
    if (node->kind == NODE_SELECT && slice_eq(node->name, SLICE("headers")) &&
        is_root(c, node->args[0], SLICE("request")))
        return NAMED_HEADER;
    return NAMED_COUNT;
}

static struct slices names_of(const struct cel_checker *c, enum cel_named named)
{
    if (!c->t->names)
        return (struct slices){NULL, 0};
    return named == NAMED_PATH ? c->t->names->segments : c->t->names->headers;
}

void cel_refuse_nameless(struct cel_checker *c, enum cel_named named, size_t offset)
{
    const struct slice root = named_facts[named].root;
    cel_error(c->t, offset, CEL_TYPE, "'%.*s' alone is no value; write %.*s.NAME or %.*s[\"NAME\"]",
              SLICE_ARG(root), SLICE_ARG(root), SLICE_ARG(root));
}

static struct slice lower(struct cel_checker *c, struct slice text)
{
    char *out = arena_bytes(c->t->scratch, text.len);
    for (size_t i = 0; i < text.len; i++)
        out[i] = ascii_lower(text.ptr[i]);
    return slice_from(out, text.len);
}

/* "; did you mean 'case'?", or which there are. */
static struct slice hint(struct cel_checker *c, struct slices names, struct slice name)
{
    const struct slice near = nearest_name(lower(c, name), names.at, names.count);
    if (near.len)
        return arena_printf(c->t->scratch, "; did you mean '%.*s'?", SLICE_ARG(near));
    if (names.count)
        return arena_printf(c->t->scratch, ", but '%.*s'%s", SLICE_ARG(names.at[0]),
                            names.count > 1 ? " and others" : "");
    return SLICE("");
}

static const struct cel_step *unknown_name(struct cel_checker *c, enum cel_named named,
                                           size_t offset, struct slice name)
{
    const struct slices names = names_of(c, named);
    const struct slice near = hint(c, names, name);
    if (named == NAMED_PATH)
        cel_error(c->t, offset, CEL_UNKNOWN_FACT,
                  names.count
                      ? "no path pattern of this rule calls a segment '%.*s'%.*s"
                      : "no path pattern of this rule calls a segment '%.*s'; write {NAME} in "
                        "the place of one%.*s",
                  SLICE_ARG(name), SLICE_ARG(near));
    else
        cel_error(c->t, offset, CEL_UNKNOWN_FACT,
                  names.count ? "the application declares no header '%.*s'%.*s"
                              : "the application declares no header '%.*s'; facts: { headers: "
                                "[...] } of an application says which may be read%.*s",
                  SLICE_ARG(name), SLICE_ARG(near));
    return NULL;
}

static bool holds(struct slices names, struct slice name)
{
    for (uint32_t i = 0; i < names.count; i++)
        if (slice_eq(names.at[i], name))
            return true;
    return false;
}

static const struct cel_type *type_of(struct cel_checker *c, enum cel_named named)
{
    const struct cel_type *string = cel_type_of(KIND_STRING);
    return named_facts[named].type == STRINGS ? cel_type_list(c->t->keep, string) : string;
}

const struct cel_step *cel_check_named(struct cel_checker *c, enum cel_op op, enum cel_named named,
                                       size_t offset, struct slice name,
                                       const struct cel_type **type)
{
    const struct slice root = named_facts[named].root;
    if (!holds(names_of(c, named), name))
        return unknown_name(c, named, offset, name);
    struct cel_step *step = cel_make(c, op);
    step->fact = (uint8_t)named;
    step->value.s = arena_printf(c->t->keep, "%.*s.%.*s", SLICE_ARG(root), SLICE_ARG(name));
    step->type = op == OP_NAMED ? type_of(c, named) : cel_type_of(KIND_BOOL);
    *type = step->type;
    c->into->needs_scratch |= op == OP_NAMED && named == NAMED_HEADER; // for its list
    return step;
}

struct slice cel_given_name(const struct cel_step *s)
{
    return slice_skip(s->value.s, named_facts[s->fact].root.len + 1);
}
