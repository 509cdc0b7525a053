// SPDX-License-Identifier: EUPL-1.2
/* What the steps of the condition language hand each other, and nobody else: text → tokens
 * (cel_lex) → nodes (cel_parse) → typed steps (cel_check, with the functions of cel_call and the
 * types of cel_type), their worst case (cel_cost), their run (cel_run, with the values of cel_value
 * and the functions of cel_function). Nodes live in an arena that is gone after compiling; steps,
 * types, and the texts of literals, in the caller's. */
#pragma once

#include "policy/cel.h"

#define CEL_MAX_LOOPS 4      /* macros inside each other: the variables of a run */
#define CEL_MAX_ARGS 2       /* of a function: what it is called on, and one more */
#define HEADER_MAX_FIELDS 64 /* of one name: what a condition may be made to walk over */
#define HEADER_MAX_BYTES 8192
#define CEL_SORTED_FROM 9 /* constant lists of this length and more are searched by halves */

/* One reading of one text: where its findings go, and where things are kept. */
struct cel_text {
    struct slice text;
    struct place at;
    struct findings *out;
    struct arena *keep;    /* what the compiled condition holds */
    struct arena *scratch; /* gone after compiling */
    const struct cel_names *names;
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
#define CEL_NOT_CARRIED "condition-not-carried" /* CEL has it, conditions don't */
#define CEL_TYPE "condition-type"
#define CEL_LIMIT "condition-limit" /* too long, too deep or too costly */
#define CEL_VALUE "condition-value" /* a literal that its function can't read */
#define CEL_REGEX "condition-regex"
#define CEL_TIME_ZONE "condition-time-zone"
#define CEL_UNKNOWN_FACT "unknown-fact"
#define CEL_UNKNOWN_NAME "unknown-name"
#define CEL_UNKNOWN_SET "unknown-set"
#define CEL_UNKNOWN_FUNCTION "unknown-function"
#define CEL_ALWAYS_TRUE "condition-always-true"

/* --- types and values --- */

enum cel_kind {
    KIND_BOOL,
    KIND_INT,
    KIND_UINT,
    KIND_DOUBLE,
    KIND_STRING,
    KIND_BYTES,
    KIND_NULL,
    KIND_TIMESTAMP,
    KIND_DURATION, /* i: nanoseconds */
    KIND_TYPE,     /* i: the kind that it names */
    KIND_IP,
    KIND_CIDR,
    KIND_LIST,
    KIND_MAP,
    KIND_ANY /* of what an empty list or map holds: nothing is ever of it */
};

/* Compared by cel_type_unify. Scalars are static (cel_type_of), the others lie in an arena. */
struct cel_type {
    enum cel_kind kind;
    const struct cel_type *key;     /* of a map */
    const struct cel_type *element; /* of a list, or the values of a map */
};

const struct cel_type *cel_type_of(enum cel_kind scalar);
const struct cel_type *cel_type_list(struct arena *a, const struct cel_type *element);
const struct cel_type *cel_type_map(struct arena *a, const struct cel_type *key,
                                    const struct cel_type *value);
/* One type that both are, KIND_ANY being the other's; NULL where there is none. */
const struct cel_type *cel_type_unify(struct arena *a, const struct cel_type *x,
                                      const struct cel_type *y);
/* "list of string", NUL-terminated, in the arena; and with its article. */
const char *cel_type_name(struct arena *a, const struct cel_type *type);
const char *cel_a_type(struct arena *a, const struct cel_type *type);
struct slice cel_kind_name(enum cel_kind kind); /* as CEL says: "null_type" */
/* The kind whose name is an expression, such as `int` in type(x) == int. */
bool cel_kind_find(struct slice name, enum cel_kind *out);

struct network;
struct regex;
struct zone;

struct cel_time {
    int64_t s; /* since 1970, UTC */
    int32_t ns;
};

union cel_value;
/* A map is a list of keys and values in turn, `count` of them pairs. */
struct cel_list {
    const union cel_value *at;
    size_t count;
};

/* A value of a type that is known from elsewhere. A list of strings is a run of slices, so that the
 * lists of struct facts are used where they lie. */
union cel_value {
    struct slice s; /* of bytes too */
    struct cel_list list;
    struct cel_time time;
    int64_t i;
    uint64_t u;
    double d;
    bool b;
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    const struct network *cidr;
};
_Static_assert(sizeof(union cel_value) == sizeof(struct slice),
               "lists of facts are lists of values");

/* --- tokens --- */

enum cel_token_kind {
    TOKEN_BAD, /* a finding was made */
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_QUOTED_NAME, /* `name`: value.s is what stands inside */
    TOKEN_INT,         /* value.u: the sign is not part of it, so up to 2^63 after a minus */
    TOKEN_UINT,
    TOKEN_DOUBLE,
    TOKEN_STRING, /* value.s: decoded, in `keep` */
    TOKEN_BYTES,
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
    NODE_INDEX,   /* args[0] [ args[1] ] */
    NODE_CALL,    /* name(args) */
    NODE_METHOD,  /* args[0] . name(args[1]...) */
    NODE_LIST,    /* [args] */
    NODE_MAP,     /* {args: keys and values in turn} */
    NODE_NOT,     /* !args[0] */
    NODE_AND,     /* args, two or more: a chain is one node */
    NODE_OR,
    NODE_RELATION, /* args[0] relation args[1] */
    NODE_OPERATOR, /* name, "+" and the like, of one or two args */
    NODE_TERNARY
};

struct cel_node {
    enum cel_node_kind kind;
    enum cel_token_kind relation; /* TOKEN_EQ ... TOKEN_GE, TOKEN_IN */
    enum cel_kind scalar;
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
    OP_VALUE,    /* value, of `type` */
    OP_VARIABLE, /* the same, but nothing is worked out of it beforehand */
    OP_FACT,     /* fact */
    OP_LOOP_VALUE,
    OP_LIST,        /* args */
    OP_MAP,         /* args, keys and values in turn; `type` is the map's */
    OP_SIZE_STRING, /* args[0] */
    OP_SIZE_BYTES,
    OP_SIZE_LIST, /* and map */
    OP_INDEX_LIST,
    OP_INDEX_MAP, /* args: the map, the key; `type` is the map's */
    OP_JOIN_LISTS,
    OP_TYPE_OF, /* order is the kind of args[0] */
    OP_CALL,    /* function */
    OP_TIME,    /* slot is one of TIME_*, of args[0] in `zone` */
    OP_HAS,     /* fact */
    OP_NAMED,   /* `fact` is an enum cel_named, value.s its whole name */
    OP_HAS_NAMED,
    OP_NOT,
    OP_AND,
    OP_OR,
    OP_TERNARY,
    OP_COMPARE, /* by `kind`, true in the cases of `order` */
    OP_EQUAL_STRING,
    OP_EQUAL,     /* of two of `type` */
    OP_IN,        /* `type` is the element's */
    OP_IN_STRING, /* a string in a list of them */
    OP_IN_SORTED, /* args[1] is sorted as cel_sort says */
    OP_IN_MAP,    /* `type` is the map's */
    OP_STARTS,
    OP_ENDS,
    OP_CONTAINS,
    OP_MATCHES, /* args[0], regex */
    OP_EXISTS,  /* args[0] the list or map, args[1] the body, slot the variable */
    OP_ALL,
    OP_EXISTS_ONE,
    OP_FILTER,
    OP_TRANSFORM /* args[1] the body, args[2] where there is one: which elements */
};

enum cel_time_field {
    TIME_DATE,
    TIME_DAY_OF_MONTH,
    TIME_DAY_OF_WEEK,
    TIME_DAY_OF_YEAR,
    TIME_FULL_YEAR,
    TIME_HOURS,
    TIME_MILLISECONDS,
    TIME_MINUTES,
    TIME_MONTH,
    TIME_SECONDS
};

/* Facts by a name that a rule or an application gives. */
enum cel_named {
#define FACT(root, name, type, text)
#define NAMED_FACT(which, root, type, text) NAMED_##which,
#include "policy/fact.def"
#undef FACT
    NAMED_COUNT
};

struct cel_step {
    uint8_t op;   /* enum cel_op */
    uint8_t kind; /* enum cel_kind: of what is compared; of a map or list that a loop walks */
    uint8_t order;
    uint8_t fact;
    uint8_t slot;
    bool is_sorted; /* of a value: a list as cel_sort leaves it */
    uint16_t count; /* of args */
    union {
        const struct cel_type *type;
        const struct cel_function *function;
        const struct zone *zone; /* NULL: UTC */
        const struct regex *regex;
    };
    union {
        union cel_value value;
        const struct cel_step **args;
    };
};

struct cel {
    const struct cel_step *root;
    const struct cel_type *type; /* of what it gives */
    uint32_t cost;
    bool needs_scratch; /* some step makes a list, map or text */
};

struct cel_variable {
    struct slice name; /* may have dots in it */
    const struct cel_type *type;
    union cel_value value;
};

/* The compilation of a text that may give any type, or a bool only. */
struct cel *cel_compile_type(struct arena *a, const struct cel_names *names, struct slice text,
                             struct place at, struct findings *out, bool is_condition);

/* --- checking --- */

struct cel_checker {
    struct cel_text *t;
    struct cel *into;
    struct {
        struct slice name;
        const struct cel_type *type;
    } loops[CEL_MAX_LOOPS];
    uint8_t loop_count;
};

/* Each check gives NULL after a finding, having found all type errors; else the steps, and in *type
 * what they give. */
const struct cel_step *cel_check(struct cel_checker *c, const struct cel_node *node,
                                 const struct cel_type **type);
const struct cel_step *cel_check_bool(struct cel_checker *c, const struct cel_node *node,
                                      const char *what);
const struct cel_step *cel_check_call(struct cel_checker *c, const struct cel_node *node,
                                      const struct cel_type **type);
/* An arithmetic operator. */
const struct cel_step *cel_check_operator(struct cel_checker *c, const struct cel_node *node,
                                          const struct cel_type **type);
bool cel_find_loop(const struct cel_checker *c, struct slice name, uint8_t *slot);
/* The fact that ROOT.name says; CEL_FACT_COUNT, with a finding, where there is none. */
enum cel_fact cel_find_fact(struct cel_checker *c, const struct cel_node *select);
/* Whether `node` begins with the name of a fact's root, and is no loop's variable. */
bool cel_is_fact(const struct cel_checker *c, const struct cel_node *node);
/* The fact whose name `node` is without its last part: `path`. NAMED_COUNT: none. */
enum cel_named cel_find_named(const struct cel_checker *c, const struct cel_node *node);
/* ROOT.NAME, OP_NAMED or OP_HAS_NAMED; NULL, with a finding, where there is no such name. */
const struct cel_step *cel_check_named(struct cel_checker *c, enum cel_op op, enum cel_named named,
                                       size_t offset, struct slice name,
                                       const struct cel_type **type);
/* A finding: `named` stands there without a name. */
void cel_refuse_nameless(struct cel_checker *c, enum cel_named named, size_t offset);
/* The part of an OP_NAMED's text that was given. */
struct slice cel_given_name(const struct cel_step *s);
struct slice cel_fact_name(enum cel_fact fact); /* "user.id" */
struct slice cel_fact_root(enum cel_fact fact);
bool cel_fact_may_be_missing(enum cel_fact fact); /* though its root is there */
const struct cel_type *cel_fact_type(enum cel_fact fact);
struct cel_step *cel_make(struct cel_checker *c, enum cel_op op);
struct cel_step *cel_make_args(struct cel_checker *c, enum cel_op op,
                               const struct cel_step *const *args, uint32_t count);
/* A key that is looked for in a map: m[k], m.k, `k in m`, has(m.k). */
const struct cel_step *cel_make_lookup(struct cel_checker *c, enum cel_op op,
                                       const struct cel_step *map, const struct cel_type *type,
                                       const struct cel_step *key);

/* --- running --- */

/* What went wrong so far. */
struct cel_notes {
    struct slice missing;
    const char *error;
    bool lacks_user;
    bool lacks_device;
    bool has_unknown;
};

struct cel_frame {
    const struct facts *facts;
    uint64_t unknown; /* see struct cel_run */
    bool assume_acr_level;
    struct cel_notes notes;
    const union cel_value *loops[CEL_MAX_LOOPS];
    /* Where what is made lies: from `at` up to `end`, or in the arena where there is one. */
    char *at;
    char *end;
    struct arena *arena;
};

/* Whether the user, device or the like is there that the fact is of; and the fact, where that is:
 * false where it is missing. */
bool cel_fact_has_root(const struct facts *facts, enum cel_fact fact);
bool cel_fact_read(const struct facts *facts, enum cel_fact fact, union cel_value *out);
struct field;
bool cel_is_field(const struct field *field, struct slice name); /* of a header of that name */

/* False, as an error that `why` (static text) tells of. */
bool cel_fail(struct cel_frame *f, const char *why);
/* NULL, as an error, where the scratch is full. Aligned for values; not zeroed. */
void *cel_scratch(struct cel_frame *f, size_t bytes);
/* Copies a text there. */
bool cel_scratch_text(struct cel_frame *f, struct slice text, union cel_value *out);
/* A step of any type; false is an error, noted. */
bool cel_run_step(const struct cel_step *s, struct cel_frame *f, union cel_value *out);

/* The value of a whole expression, which lies in the arena (or in facts); the scratch is as large
 * as that of a condition. False: an error, told of in *run. */
bool cel_run_value(const struct cel *c, const struct facts *facts, struct arena *a,
                   struct cel_run *run, union cel_value *out);

/* Functions and operators on scalars, by the table in cel_function.c. */
enum cel_form { CALL_FUNCTION, CALL_METHOD, CALL_OPERATOR };

struct cel_function {
    const char *name;
    enum cel_form form;
    uint8_t count;
    uint8_t kinds[CEL_MAX_ARGS]; /* enum cel_kind */
    uint8_t result;
    bool reads; /* a text that it may not understand: as a literal, that is an error at load */
    bool makes; /* something in the scratch */
    uint8_t cost;
    bool (*run)(struct cel_frame *f, const union cel_value *args, union cel_value *out);
};
extern const struct cel_function cel_functions[];
extern const size_t cel_function_count;

/* Of two values of one kind that has an order: one of ORDER_*. */
int cel_compare(union cel_value a, union cel_value b, enum cel_kind kind);
bool cel_equal(union cel_value a, union cel_value b, const struct cel_type *type);
/* The value of a key, or NULL. */
const union cel_value *cel_lookup(struct cel_list map, union cel_value key,
                                  const struct cel_type *type);
/* Sorts values of int, uint or string for OP_IN_SORTED. */
void cel_sort(union cel_value *at, size_t count, enum cel_kind kind);
bool cel_in_sorted(struct cel_list list, const union cel_value *value, enum cel_kind kind);
int64_t cel_time_part(struct cel_time time, const struct zone *zone, enum cel_time_field field);
/* As CEL writes it (cel_eval.c). */
struct slice cel_value_text(struct arena *a, const struct cel_type *type, union cel_value v);
/* Texts of scalars, in at most 64 bytes: as string() gives them. */
size_t cel_print_double(char out[64], double d);
size_t cel_print_time(char out[64], struct cel_time time);
size_t cel_print_duration(char out[64], int64_t ns);
size_t cel_print_ip(char out[64], const uint8_t ip[16]);
size_t cel_print_cidr(char out[64], const struct network *n);
bool cel_read_time(struct cel_time *out, struct slice text);
bool cel_read_duration(int64_t *out, struct slice text);
bool cel_read_double(double *out, struct slice text);

/* The worst case, in steps: a leaf is free, each operation is one and more by what it walks over.
 */
uint64_t cel_cost_of(const struct cel_step *step);
