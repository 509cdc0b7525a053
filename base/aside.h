// SPDX-License-Identifier: EUPL-1.2
/* A thread beside a loop, for what would hold the loop up: files, and reading that takes long. Jobs
 * come in groups, one for each entity: those of a group run in the order in which they came, and of
 * the groups that wait, the one is next that has had the least of the thread's time. So who brings
 * much, or what takes long, keeps himself waiting, and others for one job at most. A job is a
 * letter that comes home when it has run. */
#pragma once

#include "base/mailbox.h"
#include "belfry/fault.h"
#include "belfry/slice.h"

struct aside;

struct aside_job {
    struct letter letter; /* `open` runs on the loop, behind `run`; `drop` instead of both */
    struct slice group;   /* borrowed, for as long as the job is there */
    void (*run)(struct aside_job *self); /* on the thread */
};

/* `name`: the thread's, as tools show it. NULL with a fault where it can't be started. */
struct aside *aside_start(struct loop *l, const char *name, struct fault *f);
/* Ends the thread when it is through with the job that it has; the others are dropped. NULL is
 * fine. */
void aside_stop(struct aside *a);
void aside_do(struct aside *a, struct aside_job *take); /* on the loop's thread */
