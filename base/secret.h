// SPDX-License-Identifier: EUPL-1.2
/* See belfry/secret.h. */
#pragma once

#include "belfry/fault.h"

#include "belfry/secret.h"
#include "belfry/slice.h"

/* Once a process, before the first secret: from here on they lie in a part of memory that is never
 * swapped and in no core dump, with a page before and behind it that nobody can touch. There
 * OpenSSL keeps the private numbers of its keys, too. Whether all of it is locked; where the system
 * does not give that, the fault says why, and the part is used as it is. */
MUST_USE bool secret_memory(size_t bytes, struct fault *f);
void *secret_new(size_t size);            /* zeroed, in that memory; never NULL */
void secret_free(void *ptr, size_t size); /* wipes; NULL is fine */

void secret_init(struct secret *s, const void *bytes, size_t len); /* copies */
void secret_fini(struct secret *s);                                /* wipes and frees */
bool secret_eq(const void *a, const void *b, size_t len);          /* constant time */
void wipe(void *ptr, size_t len);                                  /* never optimised away */
