// SPDX-License-Identifier: EUPL-1.2
/* Reading a CRL beside the control thread (base/aside.h): parsing one of 200,000 entries takes a
 * tenth of a second and more. What is good is written to state_dir before it is told. Not on the
 * compiler's thread: an entity with large lists would keep everybody's rules waiting. */
#pragma once

#include "auth/crl.h"
#include "auth/crl_memory.h"
#include "base/aside.h"

/* One list to be read. The job has all that it needs, so that nothing is shared but what is
 * immutable: certificates and lists, which are counted. */
struct crl_job {
    struct aside_job job;     /* its group, the entity, is owned */
    struct slice bytes;       /* owned */
    bool is_recall;           /* in place of `bytes`, what `memory` holds is read */
    STACK_OF(X509) * issuers; /* counted, each of them */
    struct crl *last;         /* NULL, or counted: the one that is there */
    struct crl_memory memory; /* owned; without a path nothing is kept */
    struct wall now;
    size_t max_bytes; /* of what is read from state_dir */
    bool must_follow; /* the last one, in number and date */
    bool is_kept;     /* the last one is in state_dir; afterwards: this one is */
    /* What came of it. */
    struct crl *crl; /* NULL: `why` says why not */
    struct fault why;
    struct fault unkept; /* why it could not be written; empty where it could */
    bool is_same;        /* as the last: its certificates, if not its dates */
    /* The control thread's own. */
    void *owner; /* NULL: nobody waits any more */
    void (*done)(void *owner, struct crl_job *job);
};

/* `done` runs once on the reader's loop, later, where there still is an owner; the job is freed
 * behind it, and what it made with it unless that was taken out. */
void crl_reader_read(struct aside *a, struct crl_job *take);
