// SPDX-License-Identifier: EUPL-1.2
/* The last answer about each certificate in state_dir/ocsp, as it came, for the next start. Nothing
 * in a file is believed: whoever reads it verifies it as one that comes. Read and written on a
 * thread of its own (base/aside.h), since a first request waits for it, and CRLs take long. At most
 * OCSP_KEPT_MAX files, of 64 MiB; those go first that were written longest ago. */
#pragma once

#include "auth/chain.h"
#include "auth/status_files.h"

#define OCSP_KEPT_MAX 16384
#define OCSP_KEPT_MAX_BYTES (64u << 20)
#define OCSP_ANSWER_MAX_BYTES 65536 /* a few KiB in practice */

struct ocsp_memory;

struct ocsp_job {
    struct aside_job job; /* its group, the entity, is owned */
    bool is_read;
    char *path;         /* owned; of ocsp_memory_path */
    struct slice bytes; /* owned: what is to be written, or what was there; empty: nothing */
    struct fault why;   /* what went wrong; empty where nothing did, or no file is there */
    void *owner;        /* the control thread's own. NULL: nobody waits any more */
    void (*done)(void *owner, struct ocsp_job *job);
    struct ocsp_memory *memory;
};

/* `state_dir` is borrowed. NULL with a fault where its thread can't be started. */
struct ocsp_memory *ocsp_memory_new(struct loop *l, const char *state_dir, struct fault *f);
void ocsp_memory_free(struct ocsp_memory *m); /* NULL is fine */
/* Of an authority's certificate, whatever is said of the authority else. NULL where the path would
 * be too long. */
char *ocsp_memory_path(const struct ocsp_memory *m, struct slice entity, struct slice authority,
                       const struct chain_link *certificate);
/* `done` runs once on the loop, later, where there still is an owner; the job is freed behind it.
 * What can't be written is removed, so that nothing earlier stays in its place. */
void ocsp_memory_do(struct ocsp_memory *m, struct ocsp_job *take);
void ocsp_memory_tidy(struct ocsp_memory *m, struct status_keep take_keep);
