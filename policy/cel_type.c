// SPDX-License-Identifier: EUPL-1.2
/* What each node means: names become facts or loop variables, operators get the one type they work
 * on, macros become loops. Every type is known afterwards, so the run asks for none. Reports all
 * that is wrong, not the first only. Owns: the table of facts, and the words for what is unknown.
 */
#include "policy/cel_in.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A type: `scalar` under `lists` levels of list. */
struct type {
    enum cel_type scalar;
    uint8_t lists;
    bool is_open; /* of [] and the like: what lies under the lists is not known */
};

struct checker {
    struct cel_text *t;
    struct cel *into;
    struct {
        struct slice name;
        struct type type;
    } loops[CEL_MAX_LOOPS];
    uint8_t loop_count;
};

enum fact_type { STRING, INT, BOOL, STRINGS };

static const struct {
    struct slice full; /* "user.id" */
    struct slice root;
    struct slice name;
    enum fact_type type;
} facts[] = {
#define FACT(root, name, type, text)                                                               \
    {SLICE_INIT(#root "." #name), SLICE_INIT(#root), SLICE_INIT(#name), type},
#include "policy/fact.def"
#undef FACT
};

static const struct cel_step *check(struct checker *c, const struct cel_node *node,
                                    struct type *type);

/* "list of string". The text is made in the arena of the compilation. */
static const char *type_name(struct checker *c, struct type type)
{
    static const char *const names[] = {"bool", "int", "uint", "double", "string"};
    struct slice name = slice_of(type.is_open ? "anything" : names[type.scalar]);
    for (uint8_t i = 0; i < type.lists; i++)
        name = arena_printf(c->t->scratch, "list of %.*s", SLICE_ARG(name));
    return arena_printf(c->t->scratch, "%.*s%c", SLICE_ARG(name), '\0').ptr;
}

/* The same with its article: "an int". */
static const char *a_type(struct checker *c, struct type type)
{
    const char *name = type_name(c, type);
    return arena_printf(c->t->scratch, "%s %s%c", strchr("ai", name[0]) ? "an" : "a", name, '\0')
        .ptr;
}

/* One type that both are; an open type takes the other's. */
static bool unify(struct type a, struct type b, struct type *out)
{
    if (a.is_open && b.lists >= a.lists)
        *out = b;
    else if (b.is_open && a.lists >= b.lists)
        *out = a;
    else if (a.is_open || b.is_open || a.lists != b.lists || a.scalar != b.scalar)
        return false;
    else
        *out = a;
    return true;
}

static bool is_scalar(struct type type, enum cel_type scalar)
{
    return type.lists == 0 && !type.is_open && type.scalar == scalar;
}

static struct cel_step *make(struct checker *c, enum cel_op op)
{
    struct cel_step *step = arena_new(c->t->keep, struct cel_step);
    step->op = (uint8_t)op;
    return step;
}

static struct cel_step *make_args(struct checker *c, enum cel_op op,
                                  const struct cel_step *const *args, uint32_t count)
{
    struct cel_step *step = make(c, op);
    step->args = arena_array(c->t->keep, const struct cel_step *, count);
    memcpy(step->args, args, count * sizeof(*args));
    step->count = (uint16_t)count; // a text of CEL_MAX_TEXT_BYTES holds fewer
    return step;
}

static void set_type(struct cel_step *step, struct type type)
{
    step->scalar = (uint8_t)type.scalar;
    step->list_depth = type.lists;
}

/* --- names --- */

static bool find_loop(const struct checker *c, struct slice name, uint8_t *slot)
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

/* "id, subject, ..." of one root. */
static struct slice facts_of(struct checker *c, struct slice root)
{
    struct slice list = SLICE("");
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        if (slice_eq(facts[i].root, root))
            list = arena_printf(c->t->scratch, "%.*s%s%.*s", SLICE_ARG(list), list.len ? ", " : "",
                                SLICE_ARG(facts[i].name));
    return list;
}

/* "; did you mean 'user.groups'?" or nothing. A fact of that very name under another root counts as
 * near. */
static struct slice nearest_fact(struct checker *c, struct slice root, struct slice name)
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

#define ROOTS "user, device, service, app and request"

/* The fact that ROOT.name says, or CEL_FACT_COUNT with a finding. */
static enum cel_fact find_fact(struct checker *c, const struct cel_node *select)
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
                  "unknown name '%.*s'; facts begin with " ROOTS "%.*s", SLICE_ARG(root->name),
                  SLICE_ARG(near));
    }
    return CEL_FACT_COUNT;
}

static struct type fact_type(enum cel_fact fact)
{
    const enum fact_type type = facts[fact].type;
    return (struct type){.scalar = type == INT    ? CEL_INT
                                   : type == BOOL ? CEL_BOOL
                                                  : CEL_STRING,
                         .lists = type == STRINGS};
}

static const struct cel_step *check_name(struct checker *c, const struct cel_node *node,
                                         struct type *type)
{
    uint8_t slot;
    if (find_loop(c, node->name, &slot)) {
        struct cel_step *step = make(c, OP_LOOP_VALUE);
        *type = c->loops[slot].type;
        step->slot = slot;
        set_type(step, *type);
        return step;
    }
    if (is_root(node->name)) {
        const struct slice list = facts_of(c, node->name);
        cel_error(c->t, node->offset, CEL_TYPE,
                  "'%.*s' alone is no value; name one of its facts: %.*s", SLICE_ARG(node->name),
                  SLICE_ARG(list));
    } else {
        cel_error(c->t, node->offset, CEL_UNKNOWN_NAME,
                  "unknown name '%.*s'; facts begin with " ROOTS ", texts stand in quotes",
                  SLICE_ARG(node->name));
    }
    return NULL;
}

static const struct cel_step *check_select(struct checker *c, const struct cel_node *node,
                                           struct type *type)
{
    uint8_t slot;
    const struct cel_node *of = node->args[0];
    if (of->kind == NODE_NAME && !find_loop(c, of->name, &slot)) {
        const enum cel_fact fact = find_fact(c, node);
        if (fact == CEL_FACT_COUNT)
            return NULL;
        struct cel_step *step = make(c, OP_FACT);
        *type = fact_type(fact);
        step->fact = (uint8_t)fact;
        set_type(step, *type);
        return step;
    }
    if (check(c, of, type))
        cel_error(c->t, node->offset, CEL_TYPE, "%s has no field '%.*s'; only " ROOTS " have some",
                  a_type(c, *type), SLICE_ARG(node->name));
    return NULL;
}

/* --- operators --- */

/* Like check, and the type must be bool. `what` it is for: "the left of &&". */
static const struct cel_step *check_bool(struct checker *c, const struct cel_node *node,
                                         const char *what)
{
    struct type type;
    const struct cel_step *step = check(c, node, &type);
    if (!step || is_scalar(type, CEL_BOOL))
        return step;
    cel_error(c->t, node->offset, CEL_TYPE, "%s is %s; it must be a bool", what, a_type(c, type));
    return NULL;
}

static const struct cel_step *check_logic(struct checker *c, const struct cel_node *node,
                                          enum cel_op op, const char *what)
{
    const struct cel_step **args = arena_array(c->t->scratch, const struct cel_step *, node->count);
    bool is_good = true;
    for (uint32_t i = 0; i < node->count; i++) {
        args[i] = check_bool(c, node->args[i], what);
        is_good = is_good && args[i];
    }
    return is_good ? make_args(c, op, args, node->count) : NULL;
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

static const struct cel_step *check_in(struct checker *c, const struct cel_node *node,
                                       const struct cel_step *args[2], struct type left,
                                       struct type right)
{
    struct type type;
    const struct type element = {right.scalar, (uint8_t)(right.lists - 1), right.is_open};
    if (!right.lists) {
        cel_error(c->t, node->offset, CEL_TYPE, "right of 'in' stands %s; it must be a list",
                  a_type(c, right));
        return NULL;
    }
    if (!unify(left, element, &type)) {
        cel_error(c->t, node->offset, CEL_TYPE, "'in' looks for %s in %s; they must be of one type",
                  a_type(c, left), a_type(c, right));
        return NULL;
    }
    const struct cel_step *list = args[1];
    const bool can_sort = !type.lists && type.scalar != CEL_BOOL && type.scalar != CEL_DOUBLE;
    struct cel_step *step =
        make_args(c, is_scalar(type, CEL_STRING) ? OP_IN_STRING : OP_IN, args, 2);
    set_type(step, type);
    if (list->op == OP_VALUE && can_sort && list->value.list.count >= CEL_SORTED_FROM) {
        const size_t count = list->value.list.count;
        union cel_value *sorted = arena_array(c->t->keep, union cel_value, count);
        struct cel_step *copy = make(c, OP_VALUE);
        memcpy(sorted, list->value.list.at, count * sizeof(*sorted));
        cel_sort(sorted, count, type.scalar);
        *copy = *list;
        copy->value.list.at = sorted;
        step->args[1] = copy;
        step->op = OP_IN_SORTED;
    }
    return step;
}

static const struct cel_step *check_relation(struct checker *c, const struct cel_node *node,
                                             struct type *out)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    struct type left;
    struct type right;
    struct type type;
    const struct cel_step *args[] = {check(c, node->args[0], &left),
                                     check(c, node->args[1], &right)};
    *out = (struct type){.scalar = CEL_BOOL};
    if (!args[0] || !args[1])
        return NULL;
    if (node->relation == TOKEN_IN)
        return check_in(c, node, args, left, right);
    const char *sign = signs[node->relation - TOKEN_EQ];
    if (!unify(left, right, &type)) {
        cel_error(c->t, node->offset, CEL_TYPE,
                  "'%s' compares %s with %s; they must be of one type (1 is int, 1u uint, "
                  "1.0 double, \"1\" string)",
                  sign, a_type(c, left), a_type(c, right));
        return NULL;
    }
    const bool is_equality = node->relation == TOKEN_EQ || node->relation == TOKEN_NE;
    if (type.lists && !is_equality) {
        cel_error(c->t, node->offset, CEL_TYPE,
                  "'%s' cannot order lists; allowed are == and !=, and size() of both", sign);
        return NULL;
    }
    struct cel_step *step = make_args(c,
                                      type.lists                                 ? OP_EQUAL_LIST
                                      : is_equality && type.scalar == CEL_STRING ? OP_EQUAL_STRING
                                                                                 : OP_COMPARE,
                                      args, 2);
    set_type(step, type);
    step->order = order_of(node->relation);
    return step;
}

static const struct cel_step *check_ternary(struct checker *c, const struct cel_node *node,
                                            struct type *type)
{
    struct type yes;
    struct type no;
    const struct cel_step *args[] = {check_bool(c, node->args[0], "the condition before '?'"),
                                     check(c, node->args[1], &yes), check(c, node->args[2], &no)};
    if (!args[1] || !args[2])
        return NULL;
    if (!unify(yes, no, type)) {
        cel_error(c->t, node->offset, CEL_TYPE, "'?:' gives %s or %s; both must be of one type",
                  a_type(c, yes), a_type(c, no));
        return NULL;
    }
    if (!args[0])
        return NULL;
    struct cel_step *step = make_args(c, OP_TERNARY, args, 3);
    set_type(step, *type);
    return step;
}

/* --- lists --- */

static const struct cel_step *make_list(struct checker *c, const struct cel_node *node,
                                        const struct cel_step **items, struct type type)
{
    bool is_constant = true;
    for (uint32_t i = 0; i < node->count; i++)
        is_constant = is_constant && items[i]->op == OP_VALUE;
    if (is_constant) {
        struct cel_step *step = make(c, OP_VALUE);
        union cel_value *values = arena_array(c->t->keep, union cel_value, node->count);
        for (uint32_t i = 0; i < node->count; i++)
            values[i] = items[i]->value;
        step->value.list = (struct cel_list){values, node->count};
        set_type(step, type);
        return step;
    }
    if (node->count > CEL_MAX_COMPUTED - c->into->computed) {
        cel_error(
            c->t, node->offset, CEL_LIMIT,
            "lists with facts in them hold more than %d elements in all; constant ones may be "
            "longer",
            CEL_MAX_COMPUTED);
        return NULL;
    }
    struct cel_step *step = make_args(c, OP_LIST, items, node->count);
    set_type(step, type);
    step->slot = (uint8_t)c->into->computed;
    c->into->computed += node->count;
    return step;
}

static const struct cel_step *check_list(struct checker *c, const struct cel_node *node,
                                         struct type *type)
{
    const struct cel_step **items =
        arena_array(c->t->scratch, const struct cel_step *, node->count);
    struct type element = {.is_open = true};
    bool is_good = true;
    for (uint32_t i = 0; i < node->count; i++) {
        struct type item;
        items[i] = check(c, node->args[i], &item);
        if (items[i] && !unify(element, item, &element)) {
            cel_error(c->t, node->args[i]->offset, CEL_TYPE,
                      "%s in a list of %s; all elements must be of one type", a_type(c, item),
                      type_name(c, element));
            return NULL;
        }
        is_good = is_good && items[i];
    }
    *type = element;
    type->lists++; // no deeper than the tree
    return is_good ? make_list(c, node, items, *type) : NULL;
}

/* --- functions --- */

static const struct cel_step *wrong_count(struct checker *c, const struct cel_node *node,
                                          const char *usage)
{
    cel_error(c->t, node->offset, CEL_TYPE, "'%.*s' is written %s", SLICE_ARG(node->name), usage);
    return NULL;
}

/* has(ROOT.fact): whether it is there. */
static const struct cel_step *check_has(struct checker *c, const struct cel_node *node)
{
    uint8_t slot;
    const struct cel_node *select = node->count == 1 ? node->args[0] : NULL;
    if (!select || select->kind != NODE_SELECT || select->args[0]->kind != NODE_NAME ||
        find_loop(c, select->args[0]->name, &slot))
        return wrong_count(c, node, "has(ROOT.fact), such as has(user.acr)");
    const enum cel_fact fact = find_fact(c, select);
    if (fact == CEL_FACT_COUNT)
        return NULL;
    if (facts[fact].type != STRING)
        cel_warn(c->t, node->offset, CEL_ALWAYS_TRUE,
                 "has(%.*s) holds for everyone who has a %.*s at all%s",
                 SLICE_ARG(facts[fact].full), SLICE_ARG(facts[fact].root),
                 facts[fact].type == STRINGS ? "; size(...) > 0 asks for a list that is not empty"
                                             : "");
    struct cel_step *step = make(c, OP_HAS);
    step->fact = (uint8_t)fact;
    return step;
}

/* size(x) and x.size(), of a text (in code points) or a list. */
static const struct cel_step *check_size(struct checker *c, const struct cel_node *node,
                                         struct type *type)
{
    struct type of;
    if (node->count != 1)
        return wrong_count(c, node, "size(x) or x.size()");
    const struct cel_step *arg = check(c, node->args[0], &of);
    *type = (struct type){.scalar = CEL_INT};
    if (!arg || of.lists || is_scalar(of, CEL_STRING))
        return arg ? make_args(c, of.lists ? OP_SIZE_LIST : OP_SIZE_STRING, &arg, 1) : NULL;
    cel_error(c->t, node->offset, CEL_TYPE, "%s has no size; only strings and lists have",
              a_type(c, of));
    return NULL;
}

static const struct cel_step *check_text_method(struct checker *c, const struct cel_node *node,
                                                enum cel_op op)
{
    const struct cel_step *args[2] = {NULL};
    if (node->count != 2)
        return wrong_count(c, node, "TEXT.startsWith(text), and so are endsWith and contains");
    for (size_t i = 0; i < 2; i++) {
        struct type type;
        args[i] = check(c, node->args[i], &type);
        if (args[i] && !is_scalar(type, CEL_STRING)) {
            cel_error(c->t, i ? node->args[i]->offset : node->offset, CEL_TYPE,
                      i ? "'%.*s' takes a string here, not %s%s"
                        : "'%.*s' is for a string, not for %s%s",
                      SLICE_ARG(node->name), a_type(c, type),
                      !i && type.lists ? "; 'x in list' finds an element" : "");
            args[i] = NULL;
        }
    }
    return args[0] && args[1] ? make_args(c, op, args, 2) : NULL;
}

/* LIST.exists(x, condition) and LIST.all(x, condition). */
static const struct cel_step *check_loop(struct checker *c, const struct cel_node *node,
                                         enum cel_op op)
{
    struct type range;
    if (node->count != 3 || node->args[1]->kind != NODE_NAME)
        return wrong_count(c, node, "LIST.exists(x, condition) or LIST.all(x, condition)");
    const struct cel_step *args[2] = {check(c, node->args[0], &range), NULL};
    if (!args[0])
        return NULL;
    if (!range.lists || (range.is_open && range.lists == 1)) {
        cel_error(c->t, node->offset, CEL_TYPE,
                  range.lists ? "'%.*s' looks at %s, which has no elements"
                              : "'%.*s' is for a list, not for %s",
                  SLICE_ARG(node->name), range.lists ? "[]" : a_type(c, range));
        return NULL;
    }
    if (c->loop_count == CEL_MAX_LOOPS) {
        cel_error(c->t, node->offset, CEL_LIMIT, "more than %d of exists and all inside each other",
                  CEL_MAX_LOOPS);
        return NULL;
    }
    const uint8_t slot = c->loop_count++;
    c->loops[slot].name = node->args[1]->name;
    c->loops[slot].type = (struct type){range.scalar, (uint8_t)(range.lists - 1), range.is_open};
    args[1] = check_bool(c, node->args[2], "what exists() and all() ask of each element");
    c->loop_count--;
    if (!args[1])
        return NULL;
    struct cel_step *step = make_args(c, op, args, 2);
    step->slot = slot;
    return step;
}

static const struct cel_step *unknown_function(struct checker *c, const struct cel_node *node)
{
    static const struct slice carried[] = {
        SLICE_INIT("has"),      SLICE_INIT("size"),     SLICE_INIT("startsWith"),
        SLICE_INIT("endsWith"), SLICE_INIT("contains"), SLICE_INIT("exists"),
        SLICE_INIT("all"),
    };
    /* What langdef defines besides ("List of Standard Definitions" and "Macros"). */
    static const struct slice left_out[] = {
        SLICE_INIT("matches"),       SLICE_INIT("filter"),
        SLICE_INIT("map"),           SLICE_INIT("exists_one"),
        SLICE_INIT("existsOne"),     SLICE_INIT("int"),
        SLICE_INIT("uint"),          SLICE_INIT("double"),
        SLICE_INIT("string"),        SLICE_INIT("bytes"),
        SLICE_INIT("bool"),          SLICE_INIT("dyn"),
        SLICE_INIT("type"),          SLICE_INIT("timestamp"),
        SLICE_INIT("duration"),      SLICE_INIT("getDate"),
        SLICE_INIT("getDayOfMonth"), SLICE_INIT("getDayOfWeek"),
        SLICE_INIT("getDayOfYear"),  SLICE_INIT("getFullYear"),
        SLICE_INIT("getHours"),      SLICE_INIT("getMilliseconds"),
        SLICE_INIT("getMinutes"),    SLICE_INIT("getMonth"),
        SLICE_INIT("getSeconds"),
    };
    static const char allowed[] =
        "has(ROOT.fact), size(x), TEXT.startsWith(text), TEXT.endsWith(text), "
        "TEXT.contains(text), LIST.exists(x, condition) and LIST.all(x, condition)";
    for (size_t i = 0; i < COUNT_OF(left_out); i++) {
        if (slice_eq(node->name, left_out[i])) {
            cel_error(c->t, node->offset, CEL_NOT_CARRIED,
                      "the function '%.*s' is not carried here; allowed are %s",
                      SLICE_ARG(node->name), allowed);
            return NULL;
        }
    }
    const struct slice near = nearest_name(node->name, carried, COUNT_OF(carried));
    cel_error(c->t, node->offset, CEL_UNKNOWN_FUNCTION,
              "unknown function '%.*s'; allowed are %s%s%.*s%s", SLICE_ARG(node->name), allowed,
              near.len ? "; did you mean '" : "", SLICE_ARG(near), near.len ? "'?" : "");
    return NULL;
}

/* NAME(...) or x.NAME(...). */
static const struct cel_step *check_call(struct checker *c, const struct cel_node *node,
                                         struct type *type)
{
    static const struct {
        struct slice name;
        enum cel_op op;
    } methods[] = {
        {SLICE_INIT("startsWith"), OP_STARTS}, {SLICE_INIT("endsWith"), OP_ENDS},
        {SLICE_INIT("contains"), OP_CONTAINS}, {SLICE_INIT("exists"), OP_EXISTS},
        {SLICE_INIT("all"), OP_ALL},
    };
    *type = (struct type){.scalar = CEL_BOOL};
    if (slice_eq(node->name, SLICE("size")))
        return check_size(c, node, type);
    if (node->kind == NODE_CALL && slice_eq(node->name, SLICE("has")))
        return check_has(c, node);
    for (size_t i = 0; node->kind == NODE_METHOD && i < COUNT_OF(methods); i++) {
        if (slice_eq(node->name, methods[i].name))
            return methods[i].op == OP_EXISTS || methods[i].op == OP_ALL
                       ? check_loop(c, node, methods[i].op)
                       : check_text_method(c, node, methods[i].op);
    }
    return unknown_function(c, node);
}

static const struct cel_step *check(struct checker *c, const struct cel_node *node,
                                    struct type *type)
{
    struct cel_step *literal;
    *type = (struct type){.scalar = CEL_BOOL};
    switch (node->kind) {
    case NODE_LITERAL:
        literal = make(c, OP_VALUE);
        literal->value = node->value;
        type->scalar = node->scalar;
        set_type(literal, *type);
        return literal;
    case NODE_NAME:
        return check_name(c, node, type);
    case NODE_SELECT:
        return check_select(c, node, type);
    case NODE_CALL:
    case NODE_METHOD:
        return check_call(c, node, type);
    case NODE_LIST:
        return check_list(c, node, type);
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

const struct cel_step *cel_type_check(struct cel_text *t, const struct cel_node *node,
                                      struct cel *into)
{
    struct checker c = {.t = t, .into = into};
    return check_bool(&c, node, "the condition");
}
