// SPDX-License-Identifier: EUPL-1.2
/* The condition language: the core of CEL, compiled once with static types, run without allocation,
 * I/O or clock. What CEL defines means here what CEL says; what is left out (messages, optionals,
 * dynamic types) is a clear error at load. Compiled conditions live in the arena that they were
 * compiled into, are immutable and may be run on any thread. Compiling may read time zones from the
 * disk, so it is nothing for a worker. */
#pragma once

#include "base/arena.h"
#include "base/findings.h"
#include "belfry/facts.h"

#define CEL_MAX_TEXT_BYTES 8192
/* Of nesting, and so of the recursion of every walk; a chain of && or || is one level. */
#define CEL_MAX_DEPTH 64
#define CEL_LIST_BOUND 256  /* groups and the like beyond this are refused when a token is read */
#define CEL_MAX_COST 100000 /* worst case, in steps; lists of facts are CEL_LIST_BOUND long */

/* What the lists, maps and texts that one run makes may take in all; a run that needs more is an
 * error. */
#define CEL_SCRATCH_BYTES 16384

struct cel;

enum cel_fact {
#define FACT(root, name, type, text) CEL_FACT_##root##_##name,
#include "policy/fact.def"
#undef FACT
    CEL_FACT_COUNT
};
/* A set of facts is a number of 64 bits: CEL_BIT(user_groups). */
#define CEL_BIT(fact) (1ull << CEL_FACT_##fact)
#define CEL_BIT_HEADERS (1ull << CEL_FACT_COUNT) /* request.headers, whatever name */
#define CEL_FACT_BITS 64

/* A list of texts that the bundle names: `sets.NAME` or `sets["NAME"]`. */
struct cel_set {
    struct slice name;
    struct slices members; /* in the order of cel_set_sort */
};
void cel_set_sort(struct slice *members, uint32_t count);

/* What a condition can name besides the facts. Borrowed while it compiles, but for the members of
 * sets: those are used where they lie. */
struct cel_names {
    const struct cel_set *sets;
    uint32_t set_count;
    struct slices segments; /* what the rule's patterns call segments of a path: path.NAME */
    struct slices headers;  /* that the application declares: request.headers.NAME */
    const struct cel_variable *variables; /* for `policy eval` (policy/cel_eval.h) */
    uint32_t variable_count;
};

/* NULL where it is wrong; findings say what, where (line and column in the policy's file, counted
 * from `at`, the place of the text's first character; its column is taken for the margin of every
 * further line, as in a block of YAML) and what is allowed. The result's type is bool. `text` is
 * not needed afterwards. */
struct cel *cel_compile(struct arena *a, struct slice text, struct place at, struct findings *out);
struct cel *cel_compile_with(struct arena *a, const struct cel_names *names, struct slice text,
                             struct place at, struct findings *out);

/* How a run went. An error is neither true nor false; the caller decides what it means (it fails
 * closed). */
enum cel_outcome { CEL_IS_FALSE = 0, CEL_IS_TRUE, CEL_IS_ERROR };

struct cel_run {
    /* In: take user.acr_level as above every level: would a step-up help? */
    bool assume_acr_level;
    /* In: the facts that are there and that nobody can tell. */
    uint64_t unknown;
    /* Out, with CEL_IS_ERROR: whether it depends on one of those. */
    bool has_unknown;
    /* Out, with CEL_IS_ERROR: the first fact that was missing, such as "user.groups", and whether
     * the user or device as a whole was absent, which means the outcome may change once there is
     * one. Empty text: another error. */
    struct slice missing;
    bool lacks_user;
    bool lacks_device;
    /* Out, with CEL_IS_ERROR where no fact was missing: what went wrong, such as "division by
     * zero". Static text, else NULL. */
    const char *error;
};
/* Errors are absorbed as CEL says: `false && error` is false, `true || error` is true, in either
 * order. has(user.x) with no user at all is an error that lacks_user, not false. A list is never
 * missing where its root is there, only empty. An error that was absorbed is not told of. */
enum cel_outcome cel_test(const struct cel *c, const struct facts *facts, struct cel_run *run);

uint32_t cel_cost(const struct cel *c); /* its worst case, in steps */

/* --- for people and tools (cel_text.c) --- */

/* The condition as one line of CEL, the same for the same meaning wherever it was written. */
struct slice cel_text(struct arena *a, const struct cel *c);
/* The same, what most conditions ask in words: "in the group 'x'". */
struct slice cel_words(struct arena *a, const struct cel *c);
struct slice cel_bit_fact(uint32_t bit); /* "user.groups"; empty: there is no such fact */
uint64_t cel_reads(const struct cel *c); /* all facts that it names */
bool cel_reads_header(const struct cel *c, struct slice name);
/* Names segments of the path: what it says depends on the pattern by which its rule was come to. */
bool cel_reads_path(const struct cel *c);

/* --- what the index of rules asks of a condition (cel_atom.c). Each may say less than is so, never
 * more: an index that knows less is slower and decides the same. --- */

uint32_t cel_atom_count(const struct cel *c);
/* The conditions that `c` is the && of, in order; itself where it is no &&. Put together as && is
 * (false where one is false, else an error where one is), their outcomes are its outcome. */
uint32_t cel_atoms(const struct cel *c, struct arena *a, const struct cel *const **out);
/* One of them in another arena; its steps stay those of the whole. */
const struct cel *cel_copy(const struct cel *atom, struct arena *a);
/* Bytes that are equal only for conditions with equal outcomes on all facts. */
struct slice cel_key(const struct cel *c, struct arena *a);
bool cel_reads_device(const struct cel *c); /* could lack a device */
bool cel_reads_query(const struct cel *c);  /* asks for request.query_parameters */
bool cel_reads_time(const struct cel *c);   /* may say another thing a second later ... */
bool cel_reads_age(const struct cel *c);    /* ... where there is a session */

/* Facts by whose texts an index can find conditions. */
enum cel_guard_fact {
    GUARD_NONE,
    GUARD_USER_GROUPS,
    GUARD_USER_SCOPES,
    GUARD_USER_ID,
    GUARD_DEVICE_TRUST,
    GUARD_DEVICE_UNITS, /* device.organizational_units */
    GUARD_SERVICE_ID,
    GUARD_COUNT
};
#define GUARD_MAX_TEXTS 64 /* a condition that asks for more is better asked than found */
struct cel_guard {
    enum cel_guard_fact fact;
    uint32_t count;
    struct slice texts[GUARD_MAX_TEXTS];
};
/* True: where the fact is present, and none of its texts is among `texts`, the outcome is false;
 * where it is missing, the outcome is never true, and an error tells that the root is lacking. */
bool cel_guard(const struct cel *c, struct cel_guard *out);

/* --- what a review asks of a condition (cel_prospect.c) --- */

enum cel_prospect {
    CEL_CAN_BE_EITHER, /* as far as can be seen */
    CEL_IS_NEVER_TRUE, /* surely, on all facts: false or an error */
    CEL_IS_NEVER_FALSE /* true or an error */
};
/* *about: the fact by which that is seen; empty where no fact is named. */
enum cel_prospect cel_prospect(const struct cel *c, struct arena *a, struct slice *about);
/* Surely not true where that root of facts ("device") is not there at all. */
bool cel_needs(const struct cel *c, struct arena *a, struct slice root);
/* The questions that `c` puts together by &&, ||, ! and the ternary; itself where it is one. */
uint32_t cel_parts(const struct cel *c, struct arena *a, const struct cel *const **out);
