// SPDX-License-Identifier: EUPL-1.2
/* What the steps of the condition language hand each other, and nobody else: text → tokens
 * (cel_lex) → nodes (cel_parse) → typed steps (cel_type), their worst case (cel_cost), their run
 * (cel_run). Nodes live in an arena that is gone after compiling; steps, and the texts of literals,
 * in the caller's. */
#pragma once

#include "policy/cel.h"

#define CEL_MAX_LOOPS 4 /* exists and all inside each other: the variables of a run */
#define CEL_MAX_COMPUTED                                                                           \
    64 /* elements of lists that are not constant: the room that a run has for them */
#define CEL_SORTED_FROM 9 /* constant lists of this length and more are searched by halves */

/* One reading of one text: where its findings go, and where things are kept. */
struct cel_text {
    struct slice text;
    struct place at;
    struct findings *out;
    struct arena *keep;    /* what the compiled condition holds */
    struct arena *scratch; /* gone after compiling */
    bool has_failed;
};

/* A finding at byte `offset` of the text; its place is counted in characters, lines from the text's
 * own. */
void cel_error(struct cel_text *t, size_t offset, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same as a warning: the text still compiles. */
void cel_warn(struct cel_text *t, size_t offset, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The codes of findings. */
#define CEL_SYNTAX "condition-syntax"
#define CEL_NOT_CARRIED "condition-not-carried" /* CEL has it, this subset doesn't */
#define CEL_TYPE "condition-type"
#define CEL_LIMIT "condition-limit" /* too long, too deep or too costly */
#define CEL_UNKNOWN_FACT "unknown-fact"
#define CEL_UNKNOWN_NAME "unknown-name"
#define CEL_UNKNOWN_FUNCTION "unknown-function"
#define CEL_ALWAYS_TRUE "condition-always-true"

/* What a value can be, under its lists. */
enum cel_type { CEL_BOOL, CEL_INT, CEL_UINT, CEL_DOUBLE, CEL_STRING };

/* --- tokens --- */

enum cel_token_kind {
    TOKEN_BAD, /* a finding was made */
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_INT, /* value.u: the sign is not part of it, so up to 2^63 after a minus */
    TOKEN_UINT,
    TOKEN_DOUBLE,
    TOKEN_STRING, /* value.s: decoded, in `keep` */
    TOKEN_TRUE,
    TOKEN_FALSE,
    TOKEN_NULL,
    TOKEN_IN,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_NOT,
    TOKEN_MINUS,
    TOKEN_PLUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_PERCENT,
    TOKEN_DOT,
    TOKEN_COMMA,
    TOKEN_QUESTION,
    TOKEN_COLON,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_LIST_OPEN,
    TOKEN_LIST_CLOSE,
    TOKEN_MAP_OPEN,
    TOKEN_MAP_CLOSE
};

union cel_value;
struct cel_list {
    const union cel_value *at;
    size_t count;
};

/* A value of a type that is known from elsewhere. A list of strings is a run of slices, so that the
 * lists of struct facts are used where they lie. */
union cel_value {
    struct slice s;
    struct cel_list list;
    int64_t i;
    uint64_t u;
    double d;
    bool b;
};
_Static_assert(sizeof(union cel_value) == sizeof(struct slice),
               "lists of facts are lists of values");

struct cel_token {
    enum cel_token_kind kind;
    size_t offset;
    struct slice raw; /* as it stands in the text */
    union cel_value value;
};

/* The token at *offset or behind it; *offset goes behind the token. */
struct cel_token cel_lex(struct cel_text *t, size_t *offset);

/* --- nodes: what stands there, not yet what it means --- */

enum cel_node_kind {
    NODE_LITERAL, /* scalar, value */
    NODE_NAME,    /* name */
    NODE_SELECT,  /* args[0] . name */
    NODE_CALL,    /* name(args) */
    NODE_METHOD,  /* args[0] . name(args[1]...) */
    NODE_LIST,    /* [args] */
    NODE_NOT,     /* !args[0] */
    NODE_AND,     /* args, two or more: a chain is one node */
    NODE_OR,
    NODE_RELATION, /* args[0] relation args[1] */
    NODE_TERNARY
};

struct cel_node {
    enum cel_node_kind kind;
    enum cel_token_kind relation; /* TOKEN_EQ ... TOKEN_GE, TOKEN_IN */
    enum cel_type scalar;
    uint32_t depth; /* 1 for a leaf */
    uint32_t count;
    size_t offset; /* of what a person would point at: an operator, a name */
    struct slice name;
    union cel_value value;
    struct cel_node **args;
};

/* NULL where it does not parse; the first finding ends it. No node is deeper than CEL_MAX_DEPTH. */
struct cel_node *cel_parse(struct cel_text *t);

/* --- steps: what runs --- */

/* Which of less, equal, greater, unordered (NaN) makes a comparison true. */
enum { ORDER_LESS = 1, ORDER_EQUAL = 2, ORDER_GREATER = 4, ORDER_NONE = 8 };

enum cel_op {
    OP_VALUE, /* value */
    OP_FACT,  /* fact */
    OP_LOOP_VALUE,
    OP_LIST,        /* args into the slots from `slot` on */
    OP_SIZE_STRING, /* args[0] */
    OP_SIZE_LIST,
    OP_HAS, /* fact */
    OP_NOT,
    OP_AND,
    OP_OR,
    OP_TERNARY,
    OP_COMPARE, /* by `scalar`, true in the cases of `order` */
    OP_EQUAL_STRING,
    OP_EQUAL_LIST,
    OP_IN,        /* by `scalar` and `list_depth` of the element */
    OP_IN_STRING, /* a string in a list of them */
    OP_IN_SORTED, /* args[1] is sorted as cel_value_order says */
    OP_STARTS,
    OP_ENDS,
    OP_CONTAINS,
    OP_EXISTS, /* args[0] the list, args[1] the body, slot the variable */
    OP_ALL
};

enum cel_fact {
#define FACT(root, name, type, text) CEL_FACT_##root##_##name,
#include "policy/fact.def"
#undef FACT
    CEL_FACT_COUNT
};

struct cel_step {
    uint8_t op;         /* enum cel_op */
    uint8_t scalar;     /* enum cel_type of what is compared, under its lists */
    uint8_t list_depth; /* of what is compared: 0 a scalar, 1 a list of scalars */
    uint8_t order;
    uint8_t fact;
    uint8_t slot;
    uint16_t count; /* of args */
    union {
        union cel_value value;
        const struct cel_step **args;
    };
};

struct cel {
    const struct cel_step *root;
    uint32_t cost;
    uint32_t computed; /* slots that lists need */
};

/* NULL, with findings for every type error, else the steps with their reads and computed slots in
 * *into. */
const struct cel_step *cel_type_check(struct cel_text *t, const struct cel_node *node,
                                      struct cel *into);

/* The worst case, in steps: a leaf is free, each operation is one and more by what it walks over.
 */
uint64_t cel_cost_of(const struct cel_step *step);

/* Sorts values of one scalar type for OP_IN_SORTED. */
void cel_sort(union cel_value *at, size_t count, enum cel_type scalar);
