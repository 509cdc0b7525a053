// SPDX-License-Identifier: EUPL-1.2
/* The last good CRL of one source in state_dir, for the next start: as it was fetched, behind a
 * head that says whose it is and how far it had come. Nothing in the file is believed: the list is
 * verified again, and must be as late as the head says at least. Files of one place are written by
 * one thread at a time. */
#pragma once

#include "auth/crl.h"

struct crl_memory {
    char *path;
    char *head; /* what the file begins with */
};

void crl_memory_init(struct crl_memory *m, const char *state_dir, struct slice entity,
                     struct slice authority, struct slice url);
struct crl_memory crl_memory_copy(const struct crl_memory *m);
void crl_memory_fini(struct crl_memory *m);
/* One call of the system; the others read and write whole files. */
bool crl_memory_is_there(const struct crl_memory *m);
void crl_memory_forget(const struct crl_memory *m);
MUST_USE bool crl_memory_write(const struct crl_memory *m, const struct crl *c, struct slice list,
                               struct fault *f);
/* NULL with a fault; as crl_parse for the rest. */
struct crl *crl_memory_read(const struct crl_memory *m, size_t max_bytes,
                            const STACK_OF(X509) * issuers, struct wall now, struct fault *f);
