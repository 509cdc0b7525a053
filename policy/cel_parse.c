// SPDX-License-Identifier: EUPL-1.2
/* The grammar of CEL (cel-spec, langdef, "Syntax") by recursive descent, one function a rule. What
 * the grammar has and conditions have not is met here by its name, so that a person reads "messages
 * are not carried" and not "unexpected '{'". Owns: precedence, and the bound on depth: of the
 * recursion here and, through cel_node.depth, of every walk over the tree later. */
#include "policy/cel_in.h"

#include <assert.h>

struct parser {
    struct cel_text *t;
    size_t at; /* behind `now` */
    struct cel_token now;
    uint32_t depth; /* of the descent: parentheses, arguments, lists */
};

/* Arguments as they come. */
struct args {
    struct cel_node **at;
    uint32_t count;
    uint32_t room;
};

static struct cel_node *parse_expression(struct parser *p);

static void advance(struct parser *p)
{
    p->now = cel_lex(p->t, &p->at);
}

static struct cel_node *syntax(struct parser *p, const char *wanted)
{
    if (p->now.kind == TOKEN_BAD) // the lexer has said why
        return NULL;
    if (p->now.kind == TOKEN_END)
        cel_error(p->t, p->now.offset, CEL_SYNTAX, "the condition ends where %s is expected",
                  wanted);
    else
        cel_error(p->t, p->now.offset, CEL_SYNTAX, "'%.*s' stands where %s is expected",
                  (int)(p->now.raw.len > 40 ? 40 : p->now.raw.len), p->now.raw.ptr, wanted);
    return NULL;
}

static struct cel_node *not_carried(struct parser *p, size_t offset, const char *what,
                                    const char *instead)
{
    cel_error(p->t, offset, CEL_NOT_CARRIED, "%s not carried here; %s", what, instead);
    return NULL;
}

static bool accept(struct parser *p, enum cel_token_kind kind)
{
    if (p->now.kind != kind)
        return false;
    advance(p);
    return true;
}

static struct cel_node *too_deep(struct parser *p, size_t offset)
{
    cel_error(p->t, offset, CEL_LIMIT, "the condition is nested deeper than %d here",
              CEL_MAX_DEPTH);
    return NULL;
}

static void args_add(struct parser *p, struct args *args, struct cel_node *node)
{
    if (args->count == args->room) {
        args->room = args->room ? args->room * 2 : 4;
        struct cel_node **grown = arena_array(p->t->scratch, struct cel_node *, args->room);
        if (args->count)
            memcpy(grown, args->at, args->count * sizeof(*grown));
        args->at = grown;
    }
    args->at[args->count++] = node;
}

/* NULL, with a finding, where it would be too deep. */
static struct cel_node *make(struct parser *p, enum cel_node_kind kind, size_t offset,
                             struct args args)
{
    uint32_t depth = 0;
    for (uint32_t i = 0; i < args.count; i++)
        depth = args.at[i]->depth > depth ? args.at[i]->depth : depth;
    if (depth >= CEL_MAX_DEPTH)
        return too_deep(p, offset);
    struct cel_node *node = arena_new(p->t->scratch, struct cel_node);
    *node = (struct cel_node){
        .kind = kind, .depth = depth + 1, .offset = offset, .args = args.at, .count = args.count};
    return node;
}

static struct cel_node *make_named(struct parser *p, enum cel_node_kind kind, struct cel_token name,
                                   struct args args)
{
    struct cel_node *node = make(p, kind, name.offset, args);
    if (node)
        node->name = name.raw;
    return node;
}

/* The value of a map's entry, behind its key. */
static bool parse_entry_value(struct parser *p, struct args *args)
{
    if (!accept(p, TOKEN_COLON))
        return syntax(p, "':' and the value of this key") != NULL;
    struct cel_node *value = parse_expression(p);
    if (value)
        args_add(p, args, value);
    return value != NULL;
}

/* Items up to `close`, which is taken; of a map, keys and values in turn. A list or map may end in
 * a comma, arguments may not. */
static bool parse_items(struct parser *p, enum cel_token_kind close, struct args *args)
{
    while (!accept(p, close)) {
        if (p->now.kind == TOKEN_QUESTION)
            return not_carried(p, p->now.offset, "optionals ([?x], {?k: x}) are",
                               "has(x.y) asks before") != NULL;
        struct cel_node *item = parse_expression(p);
        if (!item)
            return false;
        args_add(p, args, item);
        if (close == TOKEN_MAP_CLOSE && !parse_entry_value(p, args))
            return false;
        const bool is_more = p->now.kind == TOKEN_COMMA;
        if (is_more) {
            advance(p);
            if (close == TOKEN_CLOSE && p->now.kind == TOKEN_CLOSE)
                return syntax(p, "an argument") != NULL;
        } else if (p->now.kind != close) {
            return syntax(p, close == TOKEN_CLOSE        ? "',' or ')'"
                             : close == TOKEN_LIST_CLOSE ? "',' or ']'"
                                                         : "',' or '}'") != NULL;
        }
    }
    return true;
}

/* The number in p->now; `is_negative` where a minus stood before it. */
static struct cel_node *parse_number(struct parser *p, bool is_negative)
{
    const struct cel_token token = p->now;
    struct cel_node *node = make(p, NODE_LITERAL, token.offset, (struct args){.at = NULL});
    assert(node); /* without arguments nothing is too deep */
    if (token.kind == TOKEN_INT && token.value.u == 1ull << 63 && !is_negative) {
        cel_error(p->t, token.offset, CEL_SYNTAX, "this number is beyond the range of int");
        return NULL;
    }
    if (token.kind == TOKEN_UINT && is_negative) {
        cel_error(p->t, token.offset, CEL_TYPE, "a uint has no negative; write it without 'u'");
        return NULL;
    }
    node->scalar = token.kind == TOKEN_INT    ? KIND_INT
                   : token.kind == TOKEN_UINT ? KIND_UINT
                                              : KIND_DOUBLE;
    if (!is_negative)
        node->value = token.value;
    else if (token.kind == TOKEN_DOUBLE)
        node->value.d = -token.value.d;
    else
        node->value.u = 0 - token.value.u; // 2^63 is its own negative: INT64_MIN
    advance(p);
    return node;
}

static struct cel_node *parse_literal(struct parser *p, enum cel_kind scalar, union cel_value value)
{
    struct cel_node *node = make(p, NODE_LITERAL, p->now.offset, (struct args){.at = NULL});
    if (!node)
        return NULL;
    node->scalar = scalar;
    node->value = value;
    advance(p);
    return node;
}

/* Words that langdef keeps from being names. */
static bool is_reserved(struct slice word)
{
    static const struct slice words[] = {
        SLICE_INIT("as"),        SLICE_INIT("break"),  SLICE_INIT("const"),
        SLICE_INIT("continue"),  SLICE_INIT("else"),   SLICE_INIT("for"),
        SLICE_INIT("function"),  SLICE_INIT("if"),     SLICE_INIT("import"),
        SLICE_INIT("let"),       SLICE_INIT("loop"),   SLICE_INIT("package"),
        SLICE_INIT("namespace"), SLICE_INIT("return"), SLICE_INIT("var"),
        SLICE_INIT("void"),      SLICE_INIT("while"),
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_eq(word, words[i]))
            return true;
    return false;
}

static struct cel_node *parse_name(struct parser *p)
{
    const struct cel_token name = p->now;
    struct args args = {.at = NULL};
    if (is_reserved(name.raw)) {
        cel_error(p->t, name.offset, CEL_SYNTAX, "'%.*s' is a reserved word of CEL, not a name",
                  SLICE_ARG(name.raw));
        return NULL;
    }
    advance(p);
    if (!accept(p, TOKEN_OPEN))
        return make_named(p, NODE_NAME, name, args);
    return parse_items(p, TOKEN_CLOSE, &args) ? make_named(p, NODE_CALL, name, args) : NULL;
}

static struct cel_node *parse_primary(struct parser *p)
{
    const struct cel_token token = p->now;
    struct args args = {.at = NULL};
    struct cel_node *node;
    switch (token.kind) {
    case TOKEN_INT:
    case TOKEN_UINT:
    case TOKEN_DOUBLE:
        return parse_number(p, false);
    case TOKEN_STRING:
        return parse_literal(p, KIND_STRING, token.value);
    case TOKEN_BYTES:
        return parse_literal(p, KIND_BYTES, token.value);
    case TOKEN_TRUE:
    case TOKEN_FALSE:
        return parse_literal(p, KIND_BOOL, (union cel_value){.b = token.kind == TOKEN_TRUE});
    case TOKEN_NULL:
        return parse_literal(p, KIND_NULL, (union cel_value){.i = 0});
    case TOKEN_NAME:
        return parse_name(p);
    case TOKEN_OPEN:
        advance(p);
        node = parse_expression(p);
        if (node && !accept(p, TOKEN_CLOSE))
            return syntax(p, "an operator or ')'");
        return node;
    case TOKEN_LIST_OPEN:
        advance(p);
        return parse_items(p, TOKEN_LIST_CLOSE, &args) ? make(p, NODE_LIST, token.offset, args)
                                                       : NULL;
    case TOKEN_MAP_OPEN:
        advance(p);
        return parse_items(p, TOKEN_MAP_CLOSE, &args) ? make(p, NODE_MAP, token.offset, args)
                                                      : NULL;
    case TOKEN_DOT:
        return not_carried(p, token.offset, "names with a leading dot are",
                           "a fact is written without it, such as user.id");
    default: // every other token ends or joins values
        return syntax(p, "a value");
    }
}

static struct cel_node *parse_index(struct parser *p, struct cel_node *node)
{
    const size_t offset = p->now.offset;
    struct args args = {.at = NULL};
    advance(p);
    if (p->now.kind == TOKEN_QUESTION)
        return not_carried(p, offset, "optionals (x[?y]) are", "'key in map' asks before");
    struct cel_node *key = parse_expression(p);
    if (!key)
        return NULL;
    if (!accept(p, TOKEN_LIST_CLOSE))
        return syntax(p, "']'");
    args_add(p, &args, node);
    args_add(p, &args, key);
    return make(p, NODE_INDEX, offset, args);
}

static struct cel_node *parse_member(struct parser *p, struct cel_node *node)
{
    while (node) {
        if (p->now.kind == TOKEN_LIST_OPEN) {
            node = parse_index(p, node);
            continue;
        }
        if (p->now.kind == TOKEN_MAP_OPEN)
            return not_carried(p, p->now.offset, "messages (Name{...}) are",
                               "a map is written {key: value}");
        if (!accept(p, TOKEN_DOT))
            return node;
        struct cel_token name = p->now;
        struct args args = {.at = NULL};
        if (name.kind == TOKEN_QUESTION)
            return not_carried(p, name.offset, "optionals (x.?y) are", "has(x.y) asks before");
        if (name.kind != TOKEN_NAME && name.kind != TOKEN_QUOTED_NAME)
            return syntax(p, "a name");
        args_add(p, &args, node);
        advance(p);
        if (name.kind == TOKEN_QUOTED_NAME)
            name.raw = name.value.s;
        if (name.kind == TOKEN_QUOTED_NAME || !accept(p, TOKEN_OPEN))
            node = make_named(p, NODE_SELECT, name, args);
        else if (parse_items(p, TOKEN_CLOSE, &args))
            node = make_named(p, NODE_METHOD, name, args);
        else
            return NULL;
    }
    return NULL;
}

static struct cel_node *make_operator(struct parser *p, struct cel_token sign, struct args args)
{
    return make_named(p, NODE_OPERATOR, sign, args);
}

/* "-" {"-"} Member; the last minus belongs to a number that stands behind it. */
static struct cel_node *parse_minus(struct parser *p)
{
    const struct cel_token sign = p->now;
    uint32_t minuses = 0;
    while (accept(p, TOKEN_MINUS))
        minuses++;
    const bool is_number =
        p->now.kind == TOKEN_INT || p->now.kind == TOKEN_UINT || p->now.kind == TOKEN_DOUBLE;
    struct cel_node *node = is_number ? parse_number(p, true) : parse_primary(p);
    node = parse_member(p, node);
    for (uint32_t left = minuses - is_number; node && left; left--) {
        struct args args = {.at = NULL};
        args_add(p, &args, node);
        node = make_operator(p, sign, args);
    }
    return node;
}

/* Unary = Member | "!" {"!"} Member | "-" {"-"} Member */
static struct cel_node *parse_unary(struct parser *p)
{
    const size_t offset = p->now.offset;
    size_t nots = 0;
    if (p->now.kind == TOKEN_MINUS)
        return parse_minus(p);
    while (accept(p, TOKEN_NOT))
        nots++;
    struct cel_node *node = parse_member(p, parse_primary(p));
    // A pair of them changes nothing but that its operand must be a bool: two stand for any even
    // number.
    for (size_t left = nots ? 2 - nots % 2 : 0; node && left; left--) {
        struct args args = {.at = NULL};
        args_add(p, &args, node);
        node = make(p, NODE_NOT, offset, args);
    }
    return node;
}

/* Operands of `part` with the signs of one level between them, to the left: a - b + c is
 * (a - b) + c. */
static struct cel_node *parse_arithmetic(struct parser *p, enum cel_token_kind first,
                                         enum cel_token_kind last,
                                         struct cel_node *(*part)(struct parser *))
{
    struct cel_node *node = part(p);
    while (node && p->now.kind >= first && p->now.kind <= last) {
        const struct cel_token sign = p->now;
        struct args args = {.at = NULL};
        advance(p);
        struct cel_node *right = part(p);
        if (!right)
            return NULL;
        args_add(p, &args, node);
        args_add(p, &args, right);
        node = make_operator(p, sign, args);
    }
    return node;
}

static struct cel_node *parse_product(struct parser *p)
{
    return parse_arithmetic(p, TOKEN_STAR, TOKEN_PERCENT, parse_unary);
}

static struct cel_node *parse_operand(struct parser *p)
{
    return parse_arithmetic(p, TOKEN_MINUS, TOKEN_PLUS, parse_product);
}

static bool is_relation(enum cel_token_kind kind)
{
    return (kind >= TOKEN_EQ && kind <= TOKEN_GE) || kind == TOKEN_IN;
}

static struct cel_node *parse_relation(struct parser *p)
{
    struct cel_node *node = parse_operand(p);
    while (node && is_relation(p->now.kind)) { // to the left: a < b == c is (a < b) == c
        const struct cel_token relation = p->now;
        struct args args = {.at = NULL};
        advance(p);
        struct cel_node *right = parse_operand(p);
        if (!right)
            return NULL;
        args_add(p, &args, node);
        args_add(p, &args, right);
        node = make(p, NODE_RELATION, relation.offset, args);
        if (node)
            node->relation = relation.kind;
    }
    return node;
}

/* A chain of one operator becomes one node: its depth does not grow with its length. */
static struct cel_node *parse_chain(struct parser *p, enum cel_token_kind sign,
                                    enum cel_node_kind kind,
                                    struct cel_node *(*part)(struct parser *))
{
    struct cel_node *first = part(p);
    const size_t offset = p->now.offset;
    struct args args = {.at = NULL};
    if (!first || p->now.kind != sign)
        return first;
    args_add(p, &args, first);
    while (accept(p, sign)) {
        struct cel_node *next = part(p);
        if (!next)
            return NULL;
        args_add(p, &args, next);
    }
    return make(p, kind, offset, args);
}

static struct cel_node *parse_and(struct parser *p)
{
    return parse_chain(p, TOKEN_AND, NODE_AND, parse_relation);
}

static struct cel_node *parse_or(struct parser *p)
{
    return parse_chain(p, TOKEN_OR, NODE_OR, parse_and);
}

/* Expr = ConditionalOr ["?" ConditionalOr ":" Expr] */
static struct cel_node *parse_ternary(struct parser *p)
{
    struct args args = {.at = NULL};
    struct cel_node *node = parse_or(p);
    const size_t offset = p->now.offset;
    if (!node || !accept(p, TOKEN_QUESTION))
        return node;
    args_add(p, &args, node);
    node = parse_or(p);
    if (!node)
        return NULL;
    args_add(p, &args, node);
    if (!accept(p, TOKEN_COLON))
        return syntax(p, "':'");
    node = parse_expression(p);
    if (!node)
        return NULL;
    args_add(p, &args, node);
    return make(p, NODE_TERNARY, offset, args);
}

static struct cel_node *parse_expression(struct parser *p)
{
    if (p->depth >= CEL_MAX_DEPTH)
        return too_deep(p, p->now.offset);
    p->depth++;
    struct cel_node *node = parse_ternary(p);
    p->depth--;
    return node;
}

struct cel_node *cel_parse(struct cel_text *t)
{
    struct parser p = {.t = t};
    advance(&p);
    struct cel_node *node = parse_expression(&p);
    if (node && p.now.kind != TOKEN_END)
        return syntax(&p, "an operator or the end");
    return node;
}
