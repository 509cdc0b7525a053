// SPDX-License-Identifier: EUPL-1.2
/* See belfry/secret.h. */
#pragma once

#include "belfry/secret.h"
#include "belfry/slice.h"

void secret_init(struct secret *s, const void *bytes, size_t len); /* copies */
void secret_fini(struct secret *s);                                /* wipes and frees */
bool secret_eq(const void *a, const void *b, size_t len);          /* constant time */
void wipe(void *ptr, size_t len);                                  /* never optimised away */
