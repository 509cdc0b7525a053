// SPDX-License-Identifier: EUPL-1.2
/* The rules of an application as an index: for each effect a tree over the segments of its path
 * patterns, whose leaves are rules with their methods, and each distinct condition once. Made on
 * the compiler thread in the bundle's arena, immutable after, read by decide() on any thread. */
#pragma once

#include "policy/bundle.h"

#define METHODS_ALL UINT32_MAX

/* A rule at the place in the tree where one of its patterns ends. */
struct rule_entry {
    uint32_t rule;      /* its place in rule_list */
    uint32_t condition; /* 0: always; else conditions[condition - 1] */
    uint32_t methods; /* bits 1 << enum method, METHOD_OTHER's: look the name up; or METHODS_ALL */
    bool may_step_up;
};

struct rule_set {
    const struct rule_entry *at; /* by number of rule */
    uint32_t count;
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

struct rules {
    const struct rule_node *permits;
    const struct rule_node *forbids;
    const struct cel *const *conditions;
    uint32_t condition_count;
    bool has_step_up; /* some permit rule says remedy: step_up */
};

/* Fills `rules` of every application. Once for a bundle, before it is shared. */
void bundle_compile(struct bundle *b);

/* The case folding of `paths: { case: fold }`, a byte at a time with the byte before it: letters of
 * ASCII and of Latin-1 as UTF-8, so that the length stays. */
static inline char path_fold(char before, char c)
{
    if (before == '\xc3' && (unsigned char)c >= 0x80 && (unsigned char)c <= 0x9e &&
        (unsigned char)c != 0x97)
        return (char)((unsigned char)c + 0x20);
    return ascii_lower(c);
}
