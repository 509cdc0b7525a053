// SPDX-License-Identifier: EUPL-1.2
/* What the parts of diff share: classes of paths (diff_path.c), the facts that the search gives
 * values to (diff_fact.c), what conditions ask of them (diff_question.c), the search through all
 * that they can be (diff_search.c), and what it finds, in words (diff_example.c). */
#pragma once

#include "base/map.h"
#include "policy/cel_in.h"
#include "policy/decide_in.h"
#include "policy/diff.h"

/* ---- paths ---- */

/* A pattern of some rule of either side. */
struct diff_pattern {
    const struct pattern *pattern;
    uint32_t owner; /* the caller's number of its rule */
};

/* One class of paths: a path of it, and the patterns that match all of it. */
struct diff_path {
    struct slice target;    /* percent-encoded, "/a/b" */
    const uint32_t *owners; /* sorted, each once */
    uint32_t owner_count;
};

/* All classes, the shortest paths first. False where there are too many to look at. */
bool diff_paths(const struct diff_pattern *patterns, uint32_t count, bool fold, struct arena *a,
                struct diff_path **out, uint32_t *out_count);

/* ---- facts ---- */

/* Whose fact it is. Those of the request and the application are always there. */
enum {
    ROOT_USER,
    ROOT_DEVICE,
    ROOT_SERVICE,
    ROOT_SESSION, /* of the user */
    ROOT_COUNT,
    ROOT_OF_THE_ASKING = ROOT_COUNT
};

/* Whoever asks. */
struct people {
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct facts_session session;
    struct wall now; /* ages are counted from it */
};

/* What a fact of one text is where it is none that some rule waits for. */
#define ANOTHER SLICE("(another)")

int diff_root_of(enum cel_fact fact);
struct slice diff_root_name(int root);
/* Where a fact lies; NULL: it is not one of that kind. The numbers are levels of assurance. */
struct slice *diff_text_at(struct people *p, enum cel_fact fact);
struct slices *diff_list_at(struct people *p, enum cel_fact fact);
int64_t *diff_number_at(struct people *p, enum cel_fact fact);
enum said *diff_said_at(struct people *p, enum cel_fact fact);
/* Of an age: since when; 0 is missing. */
struct wall *diff_moment_at(struct people *p, enum cel_fact fact);
void diff_people_init(struct people *p,
                      struct wall now); /* as they are where nothing is known of them */
/* What somebody would have to be for these facts: user.groups = ["x"]. `has`: by root. */
struct slices diff_words(struct people *p, const bool has[ROOT_COUNT], struct arena *a);

/* ---- questions ---- */

enum reply { IS_FALSE, IS_TRUE, IS_AN_ERROR, IS_OPEN };

#define VALUES_MAX 64 /* of one fact */
#define NO_AGE (-1)

/* Something that can have several values; `value` is the number of one, -1: none yet. */
struct variable {
    enum {
        OF_ROOT,   /* absent, present */
        OF_MEMBER, /* out, in */
        OF_TEXT,   /* texts; an empty one is missing */
        OF_NUMBER,
        OF_AGE,   /* numbers, of seconds; NO_AGE is missing */
        OF_SAID,  /* enum said */
        OF_OPAQUE /* enum reply */
    } kind;
    int value;
    uint32_t count;
    enum cel_fact fact;
    struct slice text;              /* of a member */
    const struct cel_step *step;    /* of an opaque one */
    struct slice texts[VALUES_MAX]; /* most are not there, or another, at 0 */
    int64_t numbers[VALUES_MAX];    /* upwards */
};

/* How a step without && and || below it is answered. */
struct leaf {
    struct cel cel;
    unsigned roots; /* bits: whose facts it reads */
    bool is_known;  /* reads nothing but the application */
    /* Opaque ones: by the side, and for what a higher level would make of it. */
    struct variable *variable[2][2];
};

struct searched_rule {
    const struct rule *rule;
    uint32_t number; /* by which decisions name it (policy/decide_in.h) */
};

/* What a class is told by; the class of an intention may have no example. */
struct intention {
    struct diff_class class;
    struct slice doubt; /* what to say then */
};

struct search {
    const struct diff_side *sides[2];
    struct wall now;
    struct arena *a;
    struct diff *out;
    struct slice host;
    bool has_other_app;         /* what conditions read of the application differs */
    struct chunk_store *chunks; /* for what is forgotten at once */
    struct map leaves;          /* by the step's address → struct leaf */
    struct map variables;       /* by name → struct variable */
    struct variable roots[ROOT_COUNT];
    struct people people;
    struct facts facts;
    bool is_exhausted;
    struct intention *unseen;
    uint32_t unseen_count;
    /* of the class of requests at hand */
    struct request request;
    struct searched_rule *rules[2];
    uint32_t rule_count[2];
    struct variable **trail; /* those that have a value */
    uint32_t trail_count;
    struct variable *pending; /* what the last open reply waits for */
    uint64_t steps;
};

/* Takes in what the rule's condition asks. All rules, before the search. */
void diff_ask(struct search *s, const struct rule *r);
/* Its condition as a text that is equal only for conditions that say the same here. */
struct slice diff_saying(struct search *s, const struct rule *r);
/* Whether it can be told apart only by the application, which differs. */
bool diff_reads_other_app(const struct search *s, const struct rule *r);

/* ---- the search, and what it finds ---- */

/* Of one class of requests. */
void diff_search(struct search *s);
void diff_doubt(struct search *s, struct slice text);
/* The facts as they stand are decided so by the two sides: shown by a request, or kept. */
void diff_show(struct search *s, const struct decision intended[2]);
/* Doubts what was kept and never shown. */
void diff_conclude(struct search *s);
