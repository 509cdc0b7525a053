// SPDX-License-Identifier: EUPL-1.2
/* Allocation that aborts where there is no memory: no out-of-memory paths anywhere else. Whatever
 * an outsider can make grow has a limit that is checked before. Any thread. */
#pragma once

#include <stddef.h>

#include "belfry/slice.h"

/* Zeroed memory for one object, or an array of n; never NULL. Release with mem_free. */
#define mem_new(type) ((type *)mem_zero(1, sizeof(type)))
#define mem_array(type, n) ((type *)mem_zero((n), sizeof(type)))

void *mem_zero(size_t count, size_t size);
/* Like realloc for an array of `count` elements of `size`; the new part is not zeroed. */
void *mem_grow(void *old, size_t count, size_t size);
/* A copy of the bytes, with a NUL behind them that is not counted. */
char *mem_text(struct slice text);
/* The same as a slice. Release with mem_free((void *)s.ptr) through mem_slice_free. */
struct slice mem_slice(struct slice text);
void mem_slice_free(struct slice *text);
void mem_free(void *ptr); /* NULL is fine */
