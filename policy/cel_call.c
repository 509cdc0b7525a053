// SPDX-License-Identifier: EUPL-1.2
/* What is called: macros become loops, functions and arithmetic become lines of the table in
 * cel_function.c. What is constant is worked out here, so that a literal that its function can't
 * read is told of at load; patterns and time zones must be literals, since both are compiled. Owns:
 * the words for functions that are unknown, left out, or called wrongly. */
#include "policy/cel_in.h"
#include "policy/regex.h"
#include "policy/zone.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* Longer texts are joined at each run: a chain of joins would keep each of its sums. */
#define FOLD_MAX_BYTES 1024

static const char *a_type(struct cel_checker *c, const struct cel_type *type)
{
    return cel_a_type(c->t->scratch, type);
}

static const struct cel_step *wrong_usage(struct cel_checker *c, const struct cel_node *node,
                                          const char *usage)
{
    cel_error(c->t, node->offset, CEL_TYPE, "'%.*s' is written %s", SLICE_ARG(node->name), usage);
    return NULL;
}

static bool fits(const struct cel_type *type, enum cel_kind kind)
{
    return type && (type->kind == kind || type->kind == KIND_ANY);
}

/* --- macros --- */

/* has(ROOT.fact) or has(map.key): whether it is there. */
static const struct cel_step *check_has(struct cel_checker *c, const struct cel_node *node)
{
    static const char usage[] = "has(ROOT.fact) or has(map.key), such as has(user.acr)";
    const struct cel_node *select = node->count == 1 ? node->args[0] : NULL;
    const struct cel_type *type;
    if (!select || select->kind != NODE_SELECT)
        return wrong_usage(c, node, usage);
    if (cel_find_named(c, select) != NAMED_COUNT) {
        cel_refuse_nameless(c, cel_find_named(c, select), select->offset);
        return NULL;
    }
    const enum cel_named named = cel_find_named(c, select->args[0]);
    if (named != NAMED_COUNT)
        return cel_check_named(c, OP_HAS_NAMED, named, select->offset, select->name, &type);
    if (!cel_is_fact(c, select)) {
        const struct cel_step *map = cel_check(c, select->args[0], &type);
        if (map && (type->kind != KIND_MAP || !fits(type->key, KIND_STRING)))
            return wrong_usage(c, node, usage);
        struct cel_step *key = cel_make(c, OP_VALUE);
        key->type = cel_type_of(KIND_STRING);
        key->value.s = arena_copy(c->t->keep, select->name);
        return map ? cel_make_lookup(c, OP_IN_MAP, map, type, key) : NULL;
    }
    const enum cel_fact fact = cel_find_fact(c, select);
    if (fact == CEL_FACT_COUNT)
        return NULL;
    type = cel_fact_type(fact);
    if (type->kind != KIND_STRING && !cel_fact_may_be_missing(fact))
        cel_warn(c->t, node->offset, CEL_ALWAYS_TRUE,
                 "has(%.*s) holds for everyone who has a %.*s at all%s",
                 SLICE_ARG(cel_fact_name(fact)), SLICE_ARG(cel_fact_root(fact)),
                 type->kind == KIND_LIST ? "; size(...) > 0 asks for a list that is not empty"
                                         : "");
    struct cel_step *step = cel_make(c, OP_HAS);
    step->fact = (uint8_t)fact;
    return step;
}

struct macro {
    struct slice name;
    enum cel_op op;
    const char *usage;
};

static const struct macro macros[] = {
    {SLICE_INIT("exists"), OP_EXISTS, "LIST.exists(x, condition)"},
    {SLICE_INIT("all"), OP_ALL, "LIST.all(x, condition)"},
    {SLICE_INIT("exists_one"), OP_EXISTS_ONE, "LIST.exists_one(x, condition)"},
    {SLICE_INIT("filter"), OP_FILTER, "LIST.filter(x, condition)"},
    {SLICE_INIT("map"), OP_TRANSFORM, "LIST.map(x, value) or LIST.map(x, condition, value)"},
};

/* The body of a macro, and of map() its condition, with the variable in force. False after a
 * finding. */
static bool check_body(struct cel_checker *c, const struct cel_node *node,
                       const struct macro *macro, const struct cel_step *args[3],
                       const struct cel_type **type)
{
    if (macro->op != OP_TRANSFORM)
        return (args[1] = cel_check_bool(c, node->args[2], "what this asks of each element"));
    const bool has_condition = node->count == 4;
    if (has_condition)
        args[2] = cel_check_bool(c, node->args[2], "what map() asks of each element");
    args[1] = cel_check(c, node->args[has_condition ? 3 : 2], type);
    return args[1] && (args[2] || !has_condition);
}

/* LIST.NAME(x, ...), or over the keys of a map. */
static const struct cel_step *check_macro(struct cel_checker *c, const struct cel_node *node,
                                          const struct macro *macro, const struct cel_type **type)
{
    const struct cel_type *range;
    const struct cel_step *args[3] = {NULL};
    const uint32_t most = macro->op == OP_TRANSFORM ? 4 : 3;
    if (node->count < 3 || node->count > most || node->args[1]->kind != NODE_NAME)
        return wrong_usage(c, node, macro->usage);
    args[0] = cel_check(c, node->args[0], &range);
    if (!args[0])
        return NULL;
    if (range->kind != KIND_LIST && range->kind != KIND_MAP) {
        cel_error(c->t, node->offset, CEL_TYPE, "'%.*s' is for a list or a map, not for %s",
                  SLICE_ARG(node->name), a_type(c, range));
        return NULL;
    }
    if (c->loop_count == CEL_MAX_LOOPS) {
        cel_error(c->t, node->offset, CEL_LIMIT,
                  "more than %d loops (all, exists, map and their "
                  "like) inside each other",
                  CEL_MAX_LOOPS);
        return NULL;
    }
    const struct cel_type *element = range->kind == KIND_MAP ? range->key : range->element;
    const uint8_t slot = c->loop_count++;
    c->loops[slot].name = node->args[1]->name;
    c->loops[slot].type = element;
    *type = element;
    const bool is_good = check_body(c, node, macro, args, type);
    c->loop_count--;
    if (!is_good)
        return NULL;
    const bool makes_list = macro->op == OP_FILTER || macro->op == OP_TRANSFORM;
    *type = makes_list ? cel_type_list(c->t->keep, *type) : cel_type_of(KIND_BOOL);
    c->into->needs_scratch |= makes_list;
    struct cel_step *step = cel_make_args(c, macro->op, args, args[2] ? 3 : 2);
    step->slot = slot;
    step->kind = (uint8_t)range->kind;
    step->type = *type;
    return step;
}

/* --- functions whose arguments are of more than one type, or must be literals --- */

/* size(x) and x.size(), of a text (in code points), bytes, a list or a map. */
static const struct cel_step *check_size(struct cel_checker *c, const struct cel_node *node,
                                         const struct cel_type **type)
{
    const struct cel_type *of;
    if (node->count != 1)
        return wrong_usage(c, node, "size(x) or x.size()");
    const struct cel_step *arg = cel_check(c, node->args[0], &of);
    *type = cel_type_of(KIND_INT);
    if (!arg)
        return NULL;
    switch (of->kind) {
    case KIND_STRING:
        return cel_make_args(c, OP_SIZE_STRING, &arg, 1);
    case KIND_BYTES:
        return cel_make_args(c, OP_SIZE_BYTES, &arg, 1);
    case KIND_LIST:
    case KIND_MAP:
    case KIND_ANY:
        return cel_make_args(c, OP_SIZE_LIST, &arg, 1);
    default:
        cel_error(c->t, node->offset, CEL_TYPE,
                  "%s has no size; only strings, bytes, lists and maps have", a_type(c, of));
        return NULL;
    }
}

static const struct cel_step *check_type_of(struct cel_checker *c, const struct cel_node *node,
                                            const struct cel_type **type)
{
    const struct cel_type *of;
    if (node->count != 1)
        return wrong_usage(c, node, "type(x)");
    const struct cel_step *arg = cel_check(c, node->args[0], &of);
    *type = cel_type_of(KIND_TYPE);
    if (!arg)
        return NULL;
    struct cel_step *step = cel_make_args(c, OP_TYPE_OF, &arg, 1);
    step->order = (uint8_t)of->kind;
    return step;
}

/* The text that a method is for; NULL after a finding. */
static const struct cel_step *check_text(struct cel_checker *c, const struct cel_node *node,
                                         uint32_t i)
{
    const struct cel_type *type;
    const struct cel_step *arg = cel_check(c, node->args[i], &type);
    if (!arg || fits(type, KIND_STRING))
        return arg;
    const bool is_list = type->kind == KIND_LIST;
    cel_error(c->t, i ? node->args[i]->offset : node->offset, CEL_TYPE,
              i ? "'%.*s' takes a string here, not %s%s" : "'%.*s' is for a string, not for %s%s",
              SLICE_ARG(node->name), a_type(c, type),
              !i && is_list ? "; 'x in list' finds an element" : "");
    return NULL;
}

static const struct cel_step *check_text_method(struct cel_checker *c, const struct cel_node *node,
                                                enum cel_op op)
{
    if (node->count != 2)
        return wrong_usage(c, node, "TEXT.startsWith(text), and so are endsWith and contains");
    const struct cel_step *args[2] = {check_text(c, node, 0), check_text(c, node, 1)};
    return args[0] && args[1] ? cel_make_args(c, op, args, 2) : NULL;
}

/* Whether a step is a text that is known now; else a finding that it must be. */
static bool is_literal(struct cel_checker *c, const struct cel_node *node,
                       const struct cel_step *step, const char *what)
{
    if (step->op == OP_VALUE)
        return true;
    cel_error(c->t, node->offset, CEL_NOT_CARRIED,
              "%s that is not a literal is not carried here; write it in quotes", what);
    return false;
}

static const struct cel_step *check_matches(struct cel_checker *c, const struct cel_node *node)
{
    const char *why;
    size_t at;
    if (node->count != 2)
        return wrong_usage(c, node, "TEXT.matches(pattern)");
    const struct cel_step *args[2] = {check_text(c, node, 0), check_text(c, node, 1)};
    if (!args[0] || !args[1] || !is_literal(c, node->args[1], args[1], "a pattern"))
        return NULL;
    const struct slice pattern = args[1]->value.s;
    const struct regex *regex = regex_compile(c->t->keep, pattern, &why, &at);
    if (!regex) {
        const struct slice rest = slice_skip(pattern, at);
        cel_error(c->t, node->args[1]->offset, CEL_REGEX, "the pattern %s%s%.*s%s", why,
                  rest.len ? ", at '" : "", (int)(rest.len > 40 ? 40 : rest.len), rest.ptr,
                  rest.len ? "'" : "");
        return NULL;
    }
    struct cel_step *step = cel_make_args(c, OP_MATCHES, args, 1);
    step->regex = regex;
    c->into->needs_scratch = true;
    return step;
}

static const struct {
    struct slice name;
    enum cel_time_field field;
} time_fields[] = {
    {SLICE_INIT("getDate"), TIME_DATE},
    {SLICE_INIT("getDayOfMonth"), TIME_DAY_OF_MONTH},
    {SLICE_INIT("getDayOfWeek"), TIME_DAY_OF_WEEK},
    {SLICE_INIT("getDayOfYear"), TIME_DAY_OF_YEAR},
    {SLICE_INIT("getFullYear"), TIME_FULL_YEAR},
    {SLICE_INIT("getHours"), TIME_HOURS},
    {SLICE_INIT("getMilliseconds"), TIME_MILLISECONDS},
    {SLICE_INIT("getMinutes"), TIME_MINUTES},
    {SLICE_INIT("getMonth"), TIME_MONTH},
    {SLICE_INIT("getSeconds"), TIME_SECONDS},
};

/* The zone in args[1]; *out is NULL without one. False after a finding. */
static bool check_zone(struct cel_checker *c, const struct cel_node *node, const struct zone **out)
{
    *out = NULL;
    if (node->count == 1)
        return true;
    const struct cel_step *name = check_text(c, node, 1);
    if (!name || !is_literal(c, node->args[1], name, "a time zone"))
        return false;
    *out = zone_load(c->t->keep, name->value.s);
    if (*out)
        return true;
    const struct slice near = zone_nearest(c->t->scratch, name->value.s);
    cel_error(c->t, node->args[1]->offset, CEL_TIME_ZONE,
              "this machine knows no time zone '%.*s'; allowed are UTC, +02:00 and names such as "
              "Europe/Brussels%s%.*s%s",
              SLICE_ARG(name->value.s), near.len ? "; did you mean '" : "", SLICE_ARG(near),
              near.len ? "'?" : "");
    return false;
}

/* TIMESTAMP.getHours() or .getHours("Europe/Brussels"). `time` is of a timestamp. */
static const struct cel_step *make_time(struct cel_checker *c, const struct cel_node *node,
                                        const struct cel_step *time, enum cel_time_field field)
{
    const struct zone *zone;
    if (node->count > 2)
        return wrong_usage(c, node, "TIME.getHours(\"Europe/Brussels\"), and so are its like");
    if (!check_zone(c, node, &zone))
        return NULL;
    struct cel_step *step = cel_make_args(c, OP_TIME, &time, 1);
    step->zone = zone;
    step->slot = (uint8_t)field;
    return step;
}

/* --- the table --- */

static bool is_named(const struct cel_function *f, const struct cel_node *node)
{
    const enum cel_form form = node->kind == NODE_OPERATOR ? CALL_OPERATOR
                               : node->kind == NODE_METHOD ? CALL_METHOD
                                                           : CALL_FUNCTION;
    return f->form == form && slice_eq(slice_of(f->name), node->name);
}

/* *is_ambiguous: an argument that can have no value fits several, which give different types; so
 * the call has none either. */
static const struct cel_function *
find_overload(const struct cel_node *node, const struct cel_type *const *types, bool *is_ambiguous)
{
    const struct cel_function *found = NULL;
    *is_ambiguous = false;
    for (size_t i = 0; i < cel_function_count; i++) {
        const struct cel_function *f = &cel_functions[i];
        if (!is_named(f, node) || f->count != node->count || !fits(types[0], f->kinds[0]) ||
            (f->count > 1 && !fits(types[1], f->kinds[1])))
            continue;
        *is_ambiguous = *is_ambiguous || (found && found->result != f->result);
        found = found ? found : f;
    }
    return found;
}

/* "int(int), int(string)" or "int + int": every way to call it. */
static struct slice usages(struct cel_checker *c, const struct cel_node *node)
{
    struct slice list = SLICE("");
    for (size_t i = 0; i < cel_function_count; i++) {
        const struct cel_function *f = &cel_functions[i];
        if (!is_named(f, node))
            continue;
        const char *first = cel_type_name(c->t->scratch, cel_type_of((enum cel_kind)f->kinds[0]));
        const char *second =
            f->count > 1 ? cel_type_name(c->t->scratch, cel_type_of((enum cel_kind)f->kinds[1]))
                         : "";
        struct slice usage;
        if (f->form == CALL_OPERATOR && f->count != node->count)
            continue;
        if (f->form == CALL_OPERATOR)
            usage = f->count > 1 ? arena_printf(c->t->scratch, "%s %s %s", first, f->name, second)
                                 : arena_printf(c->t->scratch, "%s%s", f->name, first);
        else if (f->form == CALL_METHOD)
            usage = arena_printf(c->t->scratch, "%s.%s(%s)", first, f->name, second);
        else
            usage = arena_printf(c->t->scratch, "%s(%s)", f->name, first);
        list = arena_printf(c->t->scratch, "%.*s%s%.*s", SLICE_ARG(list), list.len ? ", " : "",
                            SLICE_ARG(usage));
    }
    return list;
}

static const struct cel_step *no_overload(struct cel_checker *c, const struct cel_node *node,
                                          const struct cel_type *const *types)
{
    const struct slice allowed = usages(c, node);
    const bool has_numbers = node->count == 2 && types[0]->kind != types[1]->kind;
    if (node->kind == NODE_OPERATOR && node->count == 2)
        cel_error(c->t, node->offset, CEL_TYPE, "'%.*s' of %s and %s; allowed are %.*s%s%s",
                  SLICE_ARG(node->name), a_type(c, types[0]), a_type(c, types[1]),
                  SLICE_ARG(allowed), slice_eq(node->name, SLICE("+")) ? ", list + list" : "",
                  has_numbers ? " (1 is int, 1u uint, 1.0 double)" : "");
    else
        cel_error(c->t, node->offset, CEL_TYPE, "'%.*s' of %s%s%s; allowed are %.*s",
                  SLICE_ARG(node->name), node->count ? a_type(c, types[0]) : "nothing",
                  node->count > 1 ? " and " : "", node->count > 1 ? a_type(c, types[1]) : "",
                  SLICE_ARG(allowed));
    return NULL;
}

/* The value of a call whose arguments are constant. False where it has none: an error at each run,
 * which may be absorbed, or at load where it was to read a literal. */
static bool fold(struct cel_checker *c, const struct cel_node *node, const struct cel_function *f,
                 const struct cel_step *call, union cel_value *out, bool *is_bad)
{
    union cel_value values[CEL_MAX_ARGS];
    struct cel_frame frame = {.arena = c->t->keep};
    for (uint32_t i = 0; i < call->count; i++) {
        if (call->args[i]->op != OP_VALUE)
            return false;
        values[i] = call->args[i]->value;
    }
    if (f->kinds[0] == KIND_STRING && call->count > 1 &&
        values[0].s.len + values[1].s.len > FOLD_MAX_BYTES)
        return false;
    if (f->run(&frame, values, out))
        return true;
    *is_bad = f->reads;
    if (*is_bad)
        cel_error(c->t, node->args[call->count - 1]->offset, CEL_VALUE, "'%.*s' can't be: %s",
                  SLICE_ARG(node->name), frame.notes.error);
    return false;
}

static const struct cel_step *make_call(struct cel_checker *c, const struct cel_node *node,
                                        const struct cel_function *f,
                                        const struct cel_step *const *args, bool is_ambiguous,
                                        const struct cel_type **type)
{
    union cel_value value;
    bool is_bad = false;
    struct cel_step *call = cel_make_args(c, OP_CALL, args, f->count);
    call->function = f;
    *type = cel_type_of(is_ambiguous ? KIND_ANY : (enum cel_kind)f->result);
    if (fold(c, node, f, call, &value, &is_bad)) {
        struct cel_step *step = cel_make(c, OP_VALUE);
        step->type = *type;
        step->value = value;
        return step;
    }
    c->into->needs_scratch |= f->makes;
    return is_bad ? NULL : call;
}

const struct cel_step *cel_check_operator(struct cel_checker *c, const struct cel_node *node,
                                          const struct cel_type **type)
{
    const struct cel_type *types[2] = {NULL};
    const struct cel_step *args[2] = {NULL};
    bool is_good = true;
    for (uint32_t i = 0; i < node->count; i++) {
        args[i] = cel_check(c, node->args[i], &types[i]);
        is_good = is_good && args[i];
    }
    if (!is_good)
        return NULL;
    if (slice_eq(node->name, SLICE("+")) && types[0] && types[0]->kind == KIND_LIST &&
        (*type = cel_type_unify(c->t->keep, types[0], types[1]))) {
        struct cel_step *step = cel_make_args(c, OP_JOIN_LISTS, args, 2);
        step->type = *type;
        c->into->needs_scratch = true;
        return step;
    }
    bool is_ambiguous;
    const struct cel_function *f = find_overload(node, types, &is_ambiguous);
    return f ? make_call(c, node, f, args, is_ambiguous, type) : no_overload(c, node, types);
}

/* What langdef defines besides, and what its extensions do that people know. */
static const char *why_left_out(struct slice name)
{
    static const struct {
        struct slice name;
        const char *why;
    } left_out[] = {
        {SLICE_INIT("dyn"), "types are known when a condition is loaded; int(), string() and their "
                            "like convert"},
        {SLICE_INIT("optional"), "has(x.y) asks whether something is there"},
        {SLICE_INIT("orValue"), "has(x.y) ? x.y : z does the same"},
        {SLICE_INIT("existsOne"), "exists_one(x, condition) is, with one variable"},
        {SLICE_INIT("transformList"), "map(x, value) is"},
        {SLICE_INIT("transformMap"), "map(x, value) is, which makes a list"},
        {SLICE_INIT("isIP"), "ip(text) is an error where the text is none"},
    };
    for (size_t i = 0; i < COUNT_OF(left_out); i++)
        if (slice_eq(name, left_out[i].name))
            return left_out[i].why;
    return NULL;
}

static bool is_among(struct slice name, const struct slice *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(name, names[i]))
            return true;
    return false;
}

static const struct cel_step *unknown_function(struct cel_checker *c, const struct cel_node *node)
{
    struct slice names[128];
    size_t count = 0;
    const struct cel_node *of = node->kind == NODE_METHOD ? node->args[0] : NULL;
    const bool is_optional = of && of->kind == NODE_NAME && slice_eq(of->name, SLICE("optional"));
    const struct slice name = is_optional ? of->name : node->name; /* optional.of(x) */
    const char *why = why_left_out(name);
    static const struct slice others[] = {SLICE_INIT("has"),      SLICE_INIT("size"),
                                          SLICE_INIT("type"),     SLICE_INIT("startsWith"),
                                          SLICE_INIT("endsWith"), SLICE_INIT("contains"),
                                          SLICE_INIT("matches")};
    if (why) {
        cel_error(c->t, node->offset, CEL_NOT_CARRIED,
                  "the function '%.*s' is not carried here; %s", SLICE_ARG(name), why);
        return NULL;
    }
    for (size_t i = 0; i < COUNT_OF(others); i++)
        names[count++] = others[i];
    for (size_t i = 0; i < COUNT_OF(macros); i++)
        names[count++] = macros[i].name;
    for (size_t i = 0; i < COUNT_OF(time_fields); i++)
        names[count++] = time_fields[i].name;
    for (size_t i = 0; i < cel_function_count && count < COUNT_OF(names); i++)
        if (cel_functions[i].form != CALL_OPERATOR &&
            !is_among(slice_of(cel_functions[i].name), names, count))
            names[count++] = slice_of(cel_functions[i].name);
    const struct slice near = nearest_name(node->name, names, count);
    const bool is_method = node->kind == NODE_METHOD;
    if (slice_eq(near, node->name)) {
        cel_error(c->t, node->offset, CEL_UNKNOWN_FUNCTION,
                  is_method ? "'%.*s' is called %.*s(x), not behind a dot"
                            : "'%.*s' is called behind a dot: x.%.*s(...)",
                  SLICE_ARG(near), SLICE_ARG(near));
        return NULL;
    }
    struct slice list = SLICE("");
    for (size_t i = 0; i < count; i++)
        list = arena_printf(c->t->scratch, "%.*s%s%.*s", SLICE_ARG(list), i ? ", " : "",
                            SLICE_ARG(names[i]));
    cel_error(c->t, node->offset, CEL_UNKNOWN_FUNCTION,
              near.len ? "unknown function '%.*s'; did you mean '%.*s'?"
                       : "unknown function '%.*s'; allowed are %.*s",
              SLICE_ARG(node->name), near.len ? (int)near.len : (int)list.len,
              near.len ? near.ptr : list.ptr);
    return NULL;
}

static bool is_known(const struct cel_node *node)
{
    for (size_t i = 0; i < cel_function_count; i++)
        if (is_named(&cel_functions[i], node))
            return true;
    return false;
}

static const struct cel_step *check_by_table(struct cel_checker *c, const struct cel_node *node,
                                             const struct cel_type **type)
{
    const struct cel_type *types[CEL_MAX_ARGS] = {NULL, NULL};
    const struct cel_step *args[CEL_MAX_ARGS] = {NULL, NULL};
    const size_t field_count = COUNT_OF(time_fields);
    size_t field = 0;
    while (field < field_count && !slice_eq(node->name, time_fields[field].name))
        field++;
    const bool is_time = node->kind == NODE_METHOD && field < field_count;
    if (!is_time && !is_known(node))
        return unknown_function(c, node);
    if (node->count)
        args[0] = cel_check(c, node->args[0], &types[0]);
    if (node->count && !args[0])
        return NULL;
    *type = cel_type_of(KIND_INT);
    if (is_time && !types[0])
        return unknown_function(c, node);
    if (is_time && fits(types[0], KIND_TIMESTAMP))
        return make_time(c, node, args[0], time_fields[field].field);
    if (is_time && (node->count != 1 || types[0]->kind != KIND_DURATION || !is_known(node))) {
        cel_error(c->t, node->offset, CEL_TYPE, "'%.*s' is for a timestamp%s, not for %s",
                  SLICE_ARG(node->name),
                  is_known(node) ? ", or without a time zone for a duration" : "",
                  a_type(c, types[0]));
        return NULL;
    }
    if (node->count > 1 && node->count <= CEL_MAX_ARGS &&
        !(args[1] = cel_check(c, node->args[1], &types[1])))
        return NULL;
    bool is_ambiguous = false;
    const struct cel_function *f = node->count && node->count <= CEL_MAX_ARGS
                                       ? find_overload(node, types, &is_ambiguous)
                                       : NULL;
    if (f)
        return make_call(c, node, f, args, is_ambiguous, type);
    if (!node->count || node->count > CEL_MAX_ARGS) {
        const struct slice allowed = usages(c, node);
        cel_error(c->t, node->offset, CEL_TYPE, "'%.*s' has %s arguments; allowed are %.*s",
                  SLICE_ARG(node->name), node->count ? "too many" : "no", SLICE_ARG(allowed));
        return NULL;
    }
    return no_overload(c, node, types);
}

const struct cel_step *cel_check_call(struct cel_checker *c, const struct cel_node *node,
                                      const struct cel_type **type)
{
    static const struct {
        struct slice name;
        enum cel_op op;
    } methods[] = {{SLICE_INIT("startsWith"), OP_STARTS},
                   {SLICE_INIT("endsWith"), OP_ENDS},
                   {SLICE_INIT("contains"), OP_CONTAINS}};
    const bool is_method = node->kind == NODE_METHOD;
    *type = cel_type_of(KIND_BOOL);
    if (slice_eq(node->name, SLICE("size")))
        return check_size(c, node, type);
    if (slice_eq(node->name, SLICE("matches")))
        return check_matches(c, node);
    if (!is_method && slice_eq(node->name, SLICE("has")))
        return check_has(c, node);
    if (!is_method && slice_eq(node->name, SLICE("type")))
        return check_type_of(c, node, type);
    for (size_t i = 0; is_method && i < COUNT_OF(methods); i++)
        if (slice_eq(node->name, methods[i].name))
            return check_text_method(c, node, methods[i].op);
    for (size_t i = 0; is_method && i < COUNT_OF(macros); i++)
        if (slice_eq(node->name, macros[i].name))
            return check_macro(c, node, &macros[i], type);
    return check_by_table(c, node, type);
}
