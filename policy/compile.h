// SPDX-License-Identifier: EUPL-1.2
/* The rules of an application, or of the charter's baseline, as an index: for each effect a tree
 * over the segments of path patterns, whose leaves are rules with their methods; each distinct
 * condition once, as a list of distinct atoms; and, at leaves that hold many rules, which of them
 * the texts of a few facts (the user's groups, the device's trust) can make true at all. Made on
 * the compiler thread in the document's arena, immutable after, read by decide() on any thread. */
#pragma once

#include "belfry/request.h"
#include "policy/bundle.h"

struct baseline;
struct charter;

#define METHODS_ALL UINT32_MAX
/* Atoms, and rules that name segments of the path, whose answers are remembered while one request
 * is judged; the rest are asked again. */
#define MEMO_MAX_ATOMS 8192

/* What a condition is made of; true where all are. */
struct clause {
    const uint32_t *atoms; /* each a place in rules.atoms */
    uint32_t count;
};

/* A rule at the place in the tree where one of its patterns ends. */
struct rule_entry {
    uint32_t rule;    /* its place in the list */
    uint32_t clause;  /* 0: always; else clauses[clause - 1], or where it reads the path, which of
                         those it is, from 1 */
    uint32_t methods; /* bits 1 << enum method, METHOD_OTHER's: look the name up; or METHODS_ALL */
    uint8_t guard;    /* enum cel_guard_fact: by which fact it can be found */
    bool may_step_up;
    bool may_expire;
    bool reads_path; /* its condition is asked as a whole, for the patterns that fit (rule_test) */
};

struct rule_list {
    const struct rule_entry *at; /* by number of rule */
    uint32_t count;
};

/* The rules of one set that can hold where a fact has one text. */
struct guard_run {
    uint32_t number; /* of the fact and text; sorted by it */
    struct rule_list rules;
};

/* The second view of a set that is long: by what its rules ask for. */
struct rule_guards {
    struct rule_list open; /* those that no text finds */
    const struct guard_run *runs;
    uint32_t run_count;
    uint32_t facts;                         /* bits 1 << enum cel_guard_fact, of its rules */
    uint32_t first_by_method[METHOD_COUNT]; /* in `at`; count where there is none */
    bool may_lack_device;                   /* some condition asks for the device */
};

struct rule_set {
    struct rule_list all;
    const struct rule_guards *guards; /* NULL: short, looked through */
};

struct rule_branch {
    struct slice text; /* folded where the application folds; of a GLOB, before the star */
    struct slice tail; /* of a GLOB, behind the star */
    const struct rule_node *node;
};

struct rule_node {
    const struct rule_branch *texts; /* sorted by length, then bytes */
    uint32_t text_count;
    uint32_t glob_count;
    const struct rule_branch *globs;
    const struct rule_node *one; /* {name} or *: any one segment that is not empty */
    struct rule_set here;        /* patterns that end here */
    struct rule_set rest;        /* patterns that go on with ** */
};

/* Numbers of (fact, text), by their hash: a table of the policy's own making, never more than half
 * full. */
struct guard_name {
    struct slice text;
    uint32_t number; /* from 1; 0: empty */
    uint32_t fact;
};
struct guard_names {
    const struct guard_name *at;
    uint32_t mask; /* a power of two less one */
};

struct rules {
    const struct rule *list;
    uint32_t count;
    const struct rule_node *permits;
    const struct rule_node *forbids;
    const struct rule_node *shadow_permits; /* NULL where there are none in shadow */
    const struct rule_node *shadow_forbids;
    const struct clause *clauses;
    const struct cel *const *atoms; /* those that several rules ask first */
    uint32_t atom_count;
    uint32_t
        path_memo_count; /* of the first rules that read the path: the same, behind the atoms */
    uint32_t memo_count; /* of the first atoms: their answers are remembered */
    struct guard_names names;
    bool has_step_up;      /* some permit rule says remedy: step_up */
    bool reads_time;       /* some condition does */
    bool reads_age;        /* of a session */
    bool reads_query;      /* asks for the query's parameters */
    uint64_t reads;        /* all facts that conditions name, those of rules in shadow too */
    struct slices headers; /* and which headers */
};

/* Fills `rules` of every application. Once for a bundle, before it is shared. */
void bundle_compile(struct bundle *b);
/* Fills `rules` of the baseline: as read by applications that fold case, and by others. */
void charter_compile(struct charter *c);

uint64_t guard_hash(enum cel_guard_fact fact, struct slice text);

/* The case folding of `paths: { case: fold }`, a byte at a time with the byte before it: letters of
 * ASCII and of Latin-1 as UTF-8, so that the length stays. */
static inline char path_fold(char before, char c)
{
    if (before == '\xc3' && (unsigned char)c >= 0x80 && (unsigned char)c <= 0x9e &&
        (unsigned char)c != 0x97)
        return (char)((unsigned char)c + 0x20);
    return ascii_lower(c);
}
/* The bits of all facts that conditions of the application, and of the baseline where there is
 * one, name. */
uint64_t rules_read(const struct baseline *b, const struct application *app);
