// SPDX-License-Identifier: EUPL-1.2
/* One line of the audit, read for what it says of a decision: which facts it holds, and which it
 * does not. Only the form that audit/ecs.c writes is understood: one flat object a line, whose
 * values are texts, numbers and lists of texts. Slices point into the line (undone escapes: into
 * the arena). One thread. */
#pragma once

#include "base/arena.h"
#include "belfry/facts.h"
#include "belfry/request.h"
#include "policy/bundle.h"

struct audit_line {
    struct slice time;
    struct slice action; /* "access-decision" */
    struct slice reason; /* "permitted" */
    struct slice reference;
    struct slice rule;
    struct slice ruleset;
    struct slice entity;
    struct slice application;
    struct slice method;
    struct slice host;
    struct slice path;
    struct slice client;
    struct slice provider;
    struct slice user_hash;
    struct slice roles; /* what stands between the brackets */
    struct slice service;
    struct slice device;
    struct slice device_digest;
    struct slice authority;
    struct slice device_serial;
    struct slice http_version;
    struct slice shadow_rule; /* that would have made the other verdict */
    struct slice trial;       /* serial of the bundle in shadow that would have; empty: none */
    struct slice trial_rule;
    struct slice facts; /* sealed */
    struct slice notes; /* what was in there (policy/fact_notes.h), once it is opened */
    int64_t acr_level;
    uint64_t count; /* of requests that it stands for, at least 1 */
};

/* A log, line by line, so one of any length will do; "-" is standard input. An exit code; what is
 * wrong was told on stderr. */
int audit_log_read(const char *path, void (*take)(void *owner, struct slice line), void *owner);
/* False where it is no such line. */
MUST_USE bool audit_line_read(struct audit_line *out, struct slice text, struct arena *a);
/* Keys of a ring audit/ENTITY: one of its files, or the folder. An exit code, as above. */
struct unseals;
int audit_keys_read(struct unseals *keys, const char *path);
/* Unseals the facts, and the path as it was. False where there are some that none of the keys
 * opens; `keys` may be NULL. */
bool audit_line_open(struct audit_line *l, struct unseals *keys, struct arena *a);
/* Whether the rules had a word in it: what they permitted, or refused. */
bool audit_line_is_judged(const struct audit_line *l);
static inline bool audit_line_is_permit(const struct audit_line *l)
{
    return slice_eq(l->reason, SLICE("permitted"));
}

/* What the line says of a request, judged by this application's bundle. */
struct recorded {
    struct facts facts;
    struct request request;
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct facts_session session;
    uint64_t unknown;   /* facts that were there, and that the line does not hold */
    bool has_groups;    /* the line itself says all of them */
    const char *no_way; /* it can't be judged at all: why; or NULL */
};
void audit_line_facts(const struct audit_line *l, const struct bundle *b,
                      const struct application *app, struct recorded *out, struct arena *a);
