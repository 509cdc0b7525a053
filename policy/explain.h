// SPDX-License-Identifier: EUPL-1.2
/* What each rule says of one request, and what is decided of it, also where not all is known: for
 * tools. A fact that nobody can tell is a bit of `unknown` (policy/cel.h); what hangs on one is
 * never guessed. One thread, in the caller's arena. */
#pragma once

#include "base/arena.h"
#include "policy/decide.h"

enum mark {
    MARK_ELSEWHERE, /* another method or path */
    MARK_EXPIRED,
    MARK_MISS,
    MARK_MAY,     /* would match for somebody signed in, with a device, or at a higher level */
    MARK_UNKNOWN, /* hangs on a fact that nobody can tell */
    MARK_HIT      /* also a forbid that can't be evaluated; a requirement that is met */
};

struct account {
    const struct rule *rule;
    bool is_baseline;
    enum mark mark;
    bool lacks_user; /* with MAY */
    bool lacks_device;
    bool needs_level;
    struct slice missing; /* the first fact that its condition misses or can't tell; may be empty */
    const char *error;    /* why else it can't be evaluated, or NULL */
    struct slice failed;  /* MISS: the first of its conditions that is not so, as CEL */
};

struct accounts {
    struct account *at;
    uint32_t count;
};

/* Every rule in the order in which they count: requirements and forbids of the baseline, then those
 * of facts->app. facts->request has its path. */
struct accounts explain_rules(const struct snapshot *s, const struct facts *facts, uint64_t unknown,
                              struct arena *a);

/* What the condition of out->rule alone says, whatever method and path; fills the rest of it. */
void explain_condition(struct account *out, const struct facts *facts, uint64_t unknown,
                       struct arena *a);
/* What a condition of this rule, or a part of it, says where the rule fits. */
enum cel_outcome explain_ask(const struct rule *r, const struct cel *when,
                             const struct facts *facts, uint64_t unknown, struct cel_run *run);
/* Takes out whom no request for facts->app can have: a device, and a service by its certificate,
 * where none is asked for; a person or service by a token where nobody vouches for one. */
void explain_narrow(struct facts *facts);
/* What the rule that came nearest asked for in vain: the fact that the first of its conditions that
 * is not so names first, such as "user.groups". Empty: none of them says so. */
struct slice explain_lack(const struct facts *facts, const struct decision *d, struct arena *a);
/* A rule that is there, and not in shadow. */
bool explain_counts(const struct rule *r, struct wall now);
/* Whether it is for this method and path; a requirement is for all. */
bool explain_fits(const struct rule *r, const struct facts *facts);

enum knowledge { KNOWN_DENY = 0, KNOWN_PERMIT, NOT_KNOWN };
struct conclusion {
    enum knowledge verdict;
    const struct rule *rule; /* that decides, or on which the unknown hangs; NULL: none */
    bool is_baseline;
};
/* The verdict whatever the unknown facts are; NOT_KNOWN where it may hang on them. Where none is
 * unknown it is decide()'s. */
struct conclusion explain_verdict(const struct snapshot *s, const struct facts *facts,
                                  uint64_t unknown);
