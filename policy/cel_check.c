// SPDX-License-Identifier: EUPL-1.2
/* What each node means: names become facts, sets or loop variables, operators get the one type they
 * work on. Every type is known afterwards, so the run asks for none. Reports all that is wrong, not
 * the first only. Owns: the table of facts, and the words for what is unknown. Functions and macros
 * are in cel_call.c. */
#include "policy/cel_in.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum fact_type { STRING, INT, BOOL, STRINGS, TIMESTAMP, DURATION, MAP, LISTS };

static const struct {
    struct slice full; /* "user.id" */
    struct slice root;
    struct slice name;
    enum fact_type type;
    struct slice text;
} facts[] = {
#define FACT(root, name, type, text)                                                               \
    {SLICE_INIT(#root "." #name), SLICE_INIT(#root), SLICE_INIT(#name), type, SLICE_INIT(text)},
#include "policy/fact.def"
#undef FACT
};

static const char *type_name(struct cel_checker *c, const struct cel_type *type)
{
    return cel_type_name(c->t->scratch, type);
}

static const char *a_type(struct cel_checker *c, const struct cel_type *type)
{
    return cel_a_type(c->t->scratch, type);
}

static const struct cel_type *unify(struct cel_checker *c, const struct cel_type *x,
                                    const struct cel_type *y)
{
    return cel_type_unify(c->t->keep, x, y);
}

struct cel_step *cel_make(struct cel_checker *c, enum cel_op op)
{
    struct cel_step *step = arena_new(c->t->keep, struct cel_step);
    step->op = (uint8_t)op;
    return step;
}

struct cel_step *cel_make_args(struct cel_checker *c, enum cel_op op,
                               const struct cel_step *const *args, uint32_t count)
{
    struct cel_step *step = cel_make(c, op);
    step->args = arena_array(c->t->keep, const struct cel_step *, count);
    memcpy(step->args, args, count * sizeof(*args));
    step->count = (uint16_t)count; // a text of CEL_MAX_TEXT_BYTES holds fewer
    return step;
}

static struct cel_step *make_value(struct cel_checker *c, const struct cel_type *type,
                                   union cel_value value)
{
    struct cel_step *step = cel_make(c, OP_VALUE);
    step->type = type;
    step->value = value;
    return step;
}

/* --- names --- */

bool cel_find_loop(const struct cel_checker *c, struct slice name, uint8_t *slot)
{
    for (uint8_t i = c->loop_count; i-- > 0;) {
        if (slice_eq(c->loops[i].name, name)) { // the innermost hides the others, and roots too
            *slot = i;
            return true;
        }
    }
    return false;
}

static bool is_root(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        if (slice_eq(facts[i].root, name))
            return true;
    return false;
}

bool cel_is_fact(const struct cel_checker *c, const struct cel_node *node)
{
    uint8_t slot;
    return node->kind == NODE_SELECT && node->args[0]->kind == NODE_NAME &&
           is_root(node->args[0]->name) && !cel_find_loop(c, node->args[0]->name, &slot);
}

struct slice cel_fact_name(enum cel_fact fact)
{
    return facts[fact].full;
}

struct slice cel_fact_root(enum cel_fact fact)
{
    return facts[fact].root;
}

/* "id, subject, ..." of one root. */
static struct slice facts_of(struct cel_checker *c, struct slice root)
{
    struct slice list = SLICE("");
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        if (slice_eq(facts[i].root, root))
            list = arena_printf(c->t->scratch, "%.*s%s%.*s", SLICE_ARG(list), list.len ? ", " : "",
                                SLICE_ARG(facts[i].name));
    return list;
}

/* "user, device and app", in the order of the table. */
static struct slice roots(struct cel_checker *c)
{
    struct slice list = facts[0].root;
    for (size_t i = 1; i < COUNT_OF(facts); i++) {
        const struct slice root = facts[i].root;
        if (slice_eq(root, facts[i - 1].root))
            continue;
        const bool is_last = slice_eq(root, facts[COUNT_OF(facts) - 1].root);
        list = arena_printf(c->t->scratch, "%.*s%s%.*s", SLICE_ARG(list), is_last ? " and " : ", ",
                            SLICE_ARG(root));
    }
    return list;
}

/* "; did you mean 'user.groups'?" or nothing. A fact of that very name under another root counts as
 * near. */
static struct slice nearest_fact(struct cel_checker *c, struct slice root, struct slice name)
{
    struct slice names[COUNT_OF(facts)];
    const struct slice full =
        arena_printf(c->t->scratch, "%.*s.%.*s", SLICE_ARG(root), SLICE_ARG(name));
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        names[i] = facts[i].full;
    struct slice near = nearest_name(full, names, COUNT_OF(names));
    for (size_t i = 0; !near.len && i < COUNT_OF(facts); i++)
        if (slice_eq(facts[i].name, name))
            near = facts[i].full;
    return near.len ? arena_printf(c->t->scratch, "; did you mean '%.*s'?", SLICE_ARG(near)) : near;
}

enum cel_fact cel_find_fact(struct cel_checker *c, const struct cel_node *select)
{
    const struct cel_node *root = select->args[0];
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        if (slice_eq(facts[i].root, root->name) && slice_eq(facts[i].name, select->name))
            return (enum cel_fact)i;
    const struct slice near = nearest_fact(c, root->name, select->name);
    if (is_root(root->name)) {
        const struct slice list = facts_of(c, root->name);
        cel_error(c->t, select->offset, CEL_UNKNOWN_FACT, "%.*s has no fact '%.*s', but %.*s%.*s",
                  SLICE_ARG(root->name), SLICE_ARG(select->name), SLICE_ARG(list), SLICE_ARG(near));
    } else {
        cel_error(c->t, root->offset, CEL_UNKNOWN_NAME,
                  "unknown name '%.*s'; facts begin with %.*s%.*s", SLICE_ARG(root->name),
                  SLICE_ARG(roots(c)), SLICE_ARG(near));
    }
    return CEL_FACT_COUNT;
}

bool cel_fact_may_be_missing(enum cel_fact fact)
{
    const struct slice text = facts[fact].text, word = SLICE("missing");
    return memmem(text.ptr, text.len, word.ptr, word.len) != NULL;
}

const struct cel_type *cel_fact_type(enum cel_fact fact)
{
    static const struct cel_type string = {KIND_STRING, NULL, NULL};
    static const struct cel_type strings = {KIND_LIST, NULL, &string};
    static const struct cel_type map = {KIND_MAP, &string, &string};
    static const struct cel_type lists = {KIND_MAP, &string, &strings};
    switch (facts[fact].type) {
    case INT:
        return cel_type_of(KIND_INT);
    case BOOL:
        return cel_type_of(KIND_BOOL);
    case TIMESTAMP:
        return cel_type_of(KIND_TIMESTAMP);
    case DURATION:
        return cel_type_of(KIND_DURATION);
    case STRINGS:
        return &strings;
    case MAP:
        return &map;
    case LISTS:
        return &lists;
    case STRING:
        break;
    }
    return cel_type_of(KIND_STRING);
}

/* `name` is a.b.c as it stands, where the node is but names with dots between them. */
static bool dotted_name(struct cel_checker *c, const struct cel_node *node, struct slice *name)
{
    uint8_t slot;
    if (node->kind == NODE_NAME) {
        *name = node->name;
        return !cel_find_loop(c, node->name, &slot);
    }
    if (node->kind != NODE_SELECT || !dotted_name(c, node->args[0], name))
        return false;
    *name = arena_printf(c->t->scratch, "%.*s.%.*s", SLICE_ARG(*name), SLICE_ARG(node->name));
    return true;
}

/* The variable that the whole of `node` names; the longest name counts. NULL: none. */
static const struct cel_step *find_variable(struct cel_checker *c, const struct cel_node *node,
                                            const struct cel_type **type)
{
    const struct cel_names *names = c->t->names;
    struct slice name;
    if (!names || !names->variable_count || !dotted_name(c, node, &name))
        return NULL;
    for (uint32_t i = 0; i < names->variable_count; i++) {
        if (!slice_eq(names->variables[i].name, name))
            continue;
        struct cel_step *step = make_value(c, names->variables[i].type, names->variables[i].value);
        step->op = OP_VARIABLE;
        *type = step->type;
        return step;
    }
    return NULL;
}

static const struct cel_step *check_name(struct cel_checker *c, const struct cel_node *node,
                                         const struct cel_type **type)
{
    uint8_t slot;
    enum cel_kind kind;
    if (cel_find_loop(c, node->name, &slot)) {
        struct cel_step *step = cel_make(c, OP_LOOP_VALUE);
        *type = step->type = c->loops[slot].type;
        step->slot = slot;
        return step;
    }
    const struct cel_step *variable = find_variable(c, node, type);
    if (variable)
        return variable;
    const enum cel_named named = cel_find_named(c, node);
    if (named != NAMED_COUNT) {
        cel_refuse_nameless(c, named, node->offset);
    } else if (is_root(node->name)) {
        const struct slice list = facts_of(c, node->name);
        cel_error(c->t, node->offset, CEL_TYPE,
                  "'%.*s' alone is no value; name one of its facts: %.*s", SLICE_ARG(node->name),
                  SLICE_ARG(list));
    } else if (cel_kind_find(node->name, &kind)) {
        *type = cel_type_of(KIND_TYPE);
        return make_value(c, *type, (union cel_value){.i = kind});
    } else if (slice_eq(node->name, SLICE("sets"))) {
        cel_error(c->t, node->offset, CEL_TYPE,
                  "'sets' alone is no value; name one of them: sets.NAME or sets[\"NAME\"]");
    } else {
        cel_error(c->t, node->offset, CEL_UNKNOWN_NAME,
                  "unknown name '%.*s'; facts begin with %.*s, texts stand in quotes",
                  SLICE_ARG(node->name), SLICE_ARG(roots(c)));
    }
    return NULL;
}

/* --- sets --- */

static bool is_sets(const struct cel_checker *c, const struct cel_node *node)
{
    uint8_t slot;
    return node->kind == NODE_NAME && slice_eq(node->name, SLICE("sets")) &&
           !cel_find_loop(c, node->name, &slot);
}

static const struct cel_step *unknown_set(struct cel_checker *c, size_t offset, struct slice name)
{
    const struct cel_names *names = c->t->names;
    const uint32_t count = names ? names->set_count : 0;
    struct slice *known = arena_array(c->t->scratch, struct slice, count);
    for (uint32_t i = 0; i < count; i++)
        known[i] = names->sets[i].name;
    struct slice near = nearest_name(name, known, count);
    struct slice begun = SLICE(""); // sets.tax of sets.tax-officers
    for (uint32_t i = 0; i < count; i++)
        if (slice_starts(known[i], name) &&
            slice_starts(slice_skip(known[i], name.len), SLICE("-")))
            begun = known[i];
    if (begun.len)
        cel_error(c->t, offset, CEL_UNKNOWN_SET,
                  "unknown set '%.*s'; a name with '-' is written sets[\"%.*s\"]", SLICE_ARG(name),
                  SLICE_ARG(begun));
    else
        cel_error(c->t, offset, CEL_UNKNOWN_SET,
                  "unknown set '%.*s'; sets are declared at the bundle's top: sets: { NAME: [...] "
                  "}%s%.*s%s",
                  SLICE_ARG(name), near.len ? "; did you mean '" : "", SLICE_ARG(near),
                  near.len ? "'?" : "");
    return NULL;
}

/* sets.NAME or sets["NAME"]: a list of strings. */
static const struct cel_step *check_set(struct cel_checker *c, size_t offset, struct slice name,
                                        const struct cel_type **type)
{
    const struct cel_names *names = c->t->names;
    for (uint32_t i = 0; names && i < names->set_count; i++) {
        const struct cel_set *set = &names->sets[i];
        if (!slice_eq(set->name, name))
            continue;
        *type = cel_type_list(c->t->keep, cel_type_of(KIND_STRING));
        // Its members are slices, which values begin with (see cel_in.h).
        const struct cel_list list = {(const union cel_value *)(const void *)set->members.at,
                                      set->members.count};
        struct cel_step *step = make_value(c, *type, (union cel_value){.list = list});
        step->is_sorted = true;
        return step;
    }
    return unknown_set(c, offset, name);
}

/* --- selection and index --- */

static bool is_kind(const struct cel_type *type, enum cel_kind kind)
{
    return type->kind == kind || type->kind == KIND_ANY;
}

const struct cel_step *cel_make_lookup(struct cel_checker *c, enum cel_op op,
                                       const struct cel_step *map, const struct cel_type *type,
                                       const struct cel_step *key)
{
    const struct cel_step *args[] = {map, key};
    struct cel_step *step = cel_make_args(c, op, args, 2);
    step->type = type;
    return step;
}

static const struct cel_step *check_select(struct cel_checker *c, const struct cel_node *node,
                                           const struct cel_type **type)
{
    uint8_t slot;
    const struct cel_node *of = node->args[0];
    const struct cel_step *variable = find_variable(c, node, type);
    if (variable)
        return variable;
    if (is_sets(c, of))
        return check_set(c, node->offset, node->name, type);
    const enum cel_named named = cel_find_named(c, of);
    if (named != NAMED_COUNT)
        return cel_check_named(c, OP_NAMED, named, node->offset, node->name, type);
    if (cel_find_named(c, node) != NAMED_COUNT) {
        cel_refuse_nameless(c, cel_find_named(c, node), node->offset);
        return NULL;
    }
    if (of->kind == NODE_NAME && !cel_find_loop(c, of->name, &slot) &&
        !find_variable(c, of, type)) {
        const enum cel_fact fact = cel_find_fact(c, node);
        if (fact == CEL_FACT_COUNT)
            return NULL;
        struct cel_step *step = cel_make(c, OP_FACT);
        *type = step->type = cel_fact_type(fact);
        step->fact = (uint8_t)fact;
        return step;
    }
    const struct cel_step *map = cel_check(c, of, type);
    if (!map)
        return NULL;
    const struct cel_type *string = cel_type_of(KIND_STRING);
    if ((*type)->kind != KIND_MAP || !is_kind((*type)->key, KIND_STRING)) {
        cel_error(c->t, node->offset, CEL_TYPE,
                  "%s has no field '%.*s'; only %.*s, and maps with texts as keys, have some",
                  a_type(c, *type), SLICE_ARG(node->name), SLICE_ARG(roots(c)));
        return NULL;
    }
    const struct cel_step *key =
        make_value(c, string, (union cel_value){.s = arena_copy(c->t->keep, node->name)});
    const struct cel_step *step = cel_make_lookup(c, OP_INDEX_MAP, map, *type, key);
    *type = (*type)->element;
    return step;
}

static bool is_text(const struct cel_node *node)
{
    return node->kind == NODE_LITERAL && node->scalar == KIND_STRING;
}

/* list[int] or map[key]. */
static const struct cel_step *check_index(struct cel_checker *c, const struct cel_node *node,
                                          const struct cel_type **type)
{
    const struct cel_type *of;
    const struct cel_type *by;
    if (is_sets(c, node->args[0]) && is_text(node->args[1]))
        return check_set(c, node->args[1]->offset, node->args[1]->value.s, type);
    const enum cel_named named = cel_find_named(c, node->args[0]);
    if (named != NAMED_COUNT && is_text(node->args[1]))
        return cel_check_named(c, OP_NAMED, named, node->args[1]->offset, node->args[1]->value.s,
                               type);
    const struct cel_step *args[] = {cel_check(c, node->args[0], &of),
                                     cel_check(c, node->args[1], &by)};
    if (!args[0] || !args[1])
        return NULL;
    *type = of->element;
    if (of->kind == KIND_LIST && is_kind(by, KIND_INT))
        return cel_make_args(c, OP_INDEX_LIST, args, 2);
    if (of->kind == KIND_MAP && unify(c, of->key, by))
        return cel_make_lookup(c, OP_INDEX_MAP, args[0], of, args[1]);
    if (of->kind == KIND_LIST)
        cel_error(c->t, node->args[1]->offset, CEL_TYPE,
                  "%s in [] of a list; it must be an int, counted from 0", a_type(c, by));
    else if (of->kind == KIND_MAP)
        cel_error(c->t, node->args[1]->offset, CEL_TYPE, "%s in [] of %s; it must be %s",
                  a_type(c, by), a_type(c, of), a_type(c, of->key));
    else
        cel_error(c->t, node->offset, CEL_TYPE, "[] behind %s; only lists and maps have elements",
                  a_type(c, of));
    return NULL;
}

/* --- operators --- */

/* Like cel_check, and the type must be bool. `what` it is for: "the left of &&". */
const struct cel_step *cel_check_bool(struct cel_checker *c, const struct cel_node *node,
                                      const char *what)
{
    const struct cel_type *type;
    const struct cel_step *step = cel_check(c, node, &type);
    if (!step || is_kind(type, KIND_BOOL))
        return step;
    cel_error(c->t, node->offset, CEL_TYPE, "%s is %s; it must be a bool", what, a_type(c, type));
    return NULL;
}

static const struct cel_step *check_logic(struct cel_checker *c, const struct cel_node *node,
                                          enum cel_op op, const char *what)
{
    const struct cel_step **args = arena_array(c->t->scratch, const struct cel_step *, node->count);
    bool is_good = true;
    for (uint32_t i = 0; i < node->count; i++) {
        args[i] = cel_check_bool(c, node->args[i], what);
        is_good = is_good && args[i];
    }
    return is_good ? cel_make_args(c, op, args, node->count) : NULL;
}

static uint8_t order_of(enum cel_token_kind relation)
{
    switch ((int)relation) {
    case TOKEN_EQ:
        return ORDER_EQUAL;
    case TOKEN_NE: // NaN differs from everything
        return ORDER_LESS | ORDER_GREATER | ORDER_NONE;
    case TOKEN_LT:
        return ORDER_LESS;
    case TOKEN_LE:
        return ORDER_LESS | ORDER_EQUAL;
    case TOKEN_GT:
        return ORDER_GREATER;
    default: // TOKEN_GE, the last of them
        return ORDER_GREATER | ORDER_EQUAL;
    }
}

static bool can_sort(enum cel_kind kind)
{
    return kind == KIND_INT || kind == KIND_UINT || kind == KIND_STRING;
}

/* A long constant list is searched by halves: in a sorted copy, but of a set, which is sorted. */
static void sort_list(struct cel_checker *c, struct cel_step *in, const struct cel_step *list,
                      enum cel_kind kind)
{
    if (list->op != OP_VALUE || !can_sort(kind) || list->value.list.count < CEL_SORTED_FROM)
        return;
    in->op = OP_IN_SORTED;
    if (list->is_sorted)
        return;
    const size_t count = list->value.list.count;
    union cel_value *sorted = arena_array(c->t->keep, union cel_value, count);
    memcpy(sorted, list->value.list.at, count * sizeof(*sorted));
    cel_sort(sorted, count, kind);
    in->args[1] = make_value(c, list->type, (union cel_value){.list = {sorted, count}});
}

static const struct cel_step *check_in(struct cel_checker *c, const struct cel_node *node,
                                       const struct cel_step *args[2], const struct cel_type *left,
                                       const struct cel_type *right)
{
    if (right->kind != KIND_LIST && right->kind != KIND_MAP) {
        cel_error(c->t, node->offset, CEL_TYPE,
                  "right of 'in' stands %s; it must be a list or a map%s", a_type(c, right),
                  right->kind == KIND_STRING ? "; TEXT.contains(text) looks in a text" : "");
        return NULL;
    }
    const bool is_map = right->kind == KIND_MAP;
    const struct cel_type *type = unify(c, left, is_map ? right->key : right->element);
    if (!type) {
        cel_error(c->t, node->offset, CEL_TYPE, "'in' looks for %s in %s; they must be of one type",
                  a_type(c, left), a_type(c, right));
        return NULL;
    }
    if (is_map)
        return cel_make_lookup(c, OP_IN_MAP, args[1], right, args[0]);
    struct cel_step *step =
        cel_make_args(c, type->kind == KIND_STRING ? OP_IN_STRING : OP_IN, args, 2);
    step->type = type;
    step->kind = (uint8_t)type->kind;
    sort_list(c, step, args[1], type->kind);
    return step;
}

static bool has_order(enum cel_kind kind)
{
    switch (kind) {
    case KIND_BOOL:
    case KIND_INT:
    case KIND_UINT:
    case KIND_DOUBLE:
    case KIND_STRING:
    case KIND_BYTES:
    case KIND_TIMESTAMP:
    case KIND_DURATION:
    case KIND_ANY:
        return true;
    case KIND_NULL:
    case KIND_TYPE:
    case KIND_IP:
    case KIND_CIDR:
    case KIND_LIST:
    case KIND_MAP:
        break;
    }
    return false;
}

static const struct cel_step *check_relation(struct cel_checker *c, const struct cel_node *node,
                                             const struct cel_type **out)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    const struct cel_type *left;
    const struct cel_type *right;
    const enum cel_named named = cel_find_named(c, node->args[1]);
    if (node->relation == TOKEN_IN && named != NAMED_COUNT && is_text(node->args[0]))
        return cel_check_named(c, OP_HAS_NAMED, named, node->args[0]->offset,
                               node->args[0]->value.s, out);
    const struct cel_step *args[] = {cel_check(c, node->args[0], &left),
                                     cel_check(c, node->args[1], &right)};
    *out = cel_type_of(KIND_BOOL);
    if (!args[0] || !args[1])
        return NULL;
    if (node->relation == TOKEN_IN)
        return check_in(c, node, args, left, right);
    const char *sign = signs[node->relation - TOKEN_EQ];
    const struct cel_type *type = unify(c, left, right);
    if (!type) {
        cel_error(c->t, node->offset, CEL_TYPE,
                  "'%s' compares %s with %s; they must be of one type (1 is int, 1u uint, "
                  "1.0 double, \"1\" string)",
                  sign, a_type(c, left), a_type(c, right));
        return NULL;
    }
    const bool is_equality = node->relation == TOKEN_EQ || node->relation == TOKEN_NE;
    if (!is_equality && !has_order(type->kind)) {
        const bool has_many = type->kind == KIND_LIST || type->kind == KIND_MAP;
        cel_error(c->t, node->offset, CEL_TYPE, "'%s' cannot order %s; allowed are == and !=%s",
                  sign,
                  type->kind == KIND_LIST  ? "lists"
                  : type->kind == KIND_MAP ? "maps"
                                           : type_name(c, type),
                  has_many ? ", and size() of both" : "");
        return NULL;
    }
    const bool is_scalar = type->kind != KIND_LIST && type->kind != KIND_MAP;
    const bool is_text = type->kind == KIND_STRING || type->kind == KIND_BYTES;
    struct cel_step *step = cel_make_args(c,
                                          !is_scalar               ? OP_EQUAL
                                          : is_equality && is_text ? OP_EQUAL_STRING
                                                                   : OP_COMPARE,
                                          args, 2);
    step->type = type;
    step->kind = (uint8_t)type->kind;
    step->order = order_of(node->relation);
    return step;
}

static const struct cel_step *check_ternary(struct cel_checker *c, const struct cel_node *node,
                                            const struct cel_type **type)
{
    const struct cel_type *yes;
    const struct cel_type *no;
    const struct cel_step *args[] = {cel_check_bool(c, node->args[0], "the condition before '?'"),
                                     cel_check(c, node->args[1], &yes),
                                     cel_check(c, node->args[2], &no)};
    if (!args[1] || !args[2])
        return NULL;
    *type = unify(c, yes, no);
    if (!*type) {
        cel_error(c->t, node->offset, CEL_TYPE, "'?:' gives %s or %s; both must be of one type",
                  a_type(c, yes), a_type(c, no));
        return NULL;
    }
    if (!args[0])
        return NULL;
    struct cel_step *step = cel_make_args(c, OP_TERNARY, args, 3);
    step->type = *type;
    return step;
}

/* --- lists and maps --- */

/* A literal whose parts are all constant is one; else it is made at each run. */
static struct cel_step *make_literal(struct cel_checker *c, enum cel_op op,
                                     const struct cel_step **items, uint32_t count,
                                     const struct cel_type *type)
{
    bool is_constant = true;
    for (uint32_t i = 0; i < count; i++)
        is_constant = is_constant && items[i]->op == OP_VALUE;
    if (!is_constant) {
        struct cel_step *step = cel_make_args(c, op, items, count);
        step->type = type;
        c->into->needs_scratch = true;
        return step;
    }
    union cel_value *values = arena_array(c->t->keep, union cel_value, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = items[i]->value;
    const struct cel_list list = {values, op == OP_MAP ? count / 2 : count};
    return make_value(c, type, (union cel_value){.list = list});
}

static const struct cel_step *check_list(struct cel_checker *c, const struct cel_node *node,
                                         const struct cel_type **type)
{
    const struct cel_step **items =
        arena_array(c->t->scratch, const struct cel_step *, node->count);
    const struct cel_type *element = cel_type_of(KIND_ANY);
    bool is_good = true;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct cel_type *item;
        items[i] = cel_check(c, node->args[i], &item);
        const struct cel_type *both = items[i] ? unify(c, element, item) : element;
        if (!both) {
            cel_error(c->t, node->args[i]->offset, CEL_TYPE,
                      "%s in a list of %s; all elements must be of one type", a_type(c, item),
                      type_name(c, element));
            return NULL;
        }
        element = both;
        is_good = is_good && items[i];
    }
    *type = cel_type_list(c->t->keep, element);
    return is_good ? make_literal(c, OP_LIST, items, node->count, *type) : NULL;
}

static bool can_be_key(enum cel_kind kind)
{
    return kind == KIND_BOOL || kind == KIND_INT || kind == KIND_UINT || kind == KIND_STRING ||
           kind == KIND_ANY;
}

/* A key that stands twice, where all are constant; true, with a finding. */
static bool repeats_key(struct cel_checker *c, const struct cel_node *node,
                        const struct cel_step **items, const struct cel_type *key)
{
    for (uint32_t i = 0; i < node->count; i += 2) {
        for (uint32_t j = 0; j < i; j += 2) {
            if (items[i]->op != OP_VALUE || items[j]->op != OP_VALUE ||
                !cel_equal(items[i]->value, items[j]->value, key))
                continue;
            cel_error(c->t, node->args[i]->offset, CEL_TYPE, "this key stands in the map twice");
            return true;
        }
    }
    return false;
}

static const struct cel_step *check_map(struct cel_checker *c, const struct cel_node *node,
                                        const struct cel_type **type)
{
    const struct cel_step **items =
        arena_array(c->t->scratch, const struct cel_step *, node->count);
    const struct cel_type *of[] = {cel_type_of(KIND_ANY), cel_type_of(KIND_ANY)};
    bool is_good = true;
    for (uint32_t i = 0; i < node->count; i++) {
        const bool is_key = i % 2 == 0;
        const struct cel_type *item;
        items[i] = cel_check(c, node->args[i], &item);
        if (items[i] && is_key && !can_be_key(item->kind)) {
            cel_error(c->t, node->args[i]->offset, CEL_TYPE,
                      "%s as a key; allowed are bool, int, uint and string", a_type(c, item));
            return NULL;
        }
        const struct cel_type *both = items[i] ? unify(c, of[i % 2], item) : of[i % 2];
        if (!both) {
            cel_error(c->t, node->args[i]->offset, CEL_TYPE,
                      "%s among %s of type %s; all of a map must be of one type", a_type(c, item),
                      is_key ? "keys" : "values", type_name(c, of[i % 2]));
            return NULL;
        }
        of[i % 2] = both;
        is_good = is_good && items[i];
    }
    if (!is_good || repeats_key(c, node, items, of[0]))
        return NULL;
    *type = cel_type_map(c->t->keep, of[0], of[1]);
    return make_literal(c, OP_MAP, items, node->count, *type);
}

const struct cel_step *cel_check(struct cel_checker *c, const struct cel_node *node,
                                 const struct cel_type **type)
{
    *type = cel_type_of(KIND_BOOL);
    switch (node->kind) {
    case NODE_LITERAL:
        *type = cel_type_of(node->scalar);
        return make_value(c, *type, node->value);
    case NODE_NAME:
        return check_name(c, node, type);
    case NODE_SELECT:
        return check_select(c, node, type);
    case NODE_INDEX:
        return check_index(c, node, type);
    case NODE_CALL:
    case NODE_METHOD:
        return cel_check_call(c, node, type);
    case NODE_OPERATOR:
        return cel_check_operator(c, node, type);
    case NODE_LIST:
        return check_list(c, node, type);
    case NODE_MAP:
        return check_map(c, node, type);
    case NODE_NOT:
        return check_logic(c, node, OP_NOT, "what '!' turns round");
    case NODE_AND:
        return check_logic(c, node, OP_AND, "a side of '&&'");
    case NODE_OR:
        return check_logic(c, node, OP_OR, "a side of '||'");
    case NODE_RELATION:
        return check_relation(c, node, type);
    case NODE_TERNARY:
        return check_ternary(c, node, type);
    }
    return NULL;
}
