// SPDX-License-Identifier: EUPL-1.2
/* Making faults and giving them context. See belfry/fault.h. Any thread. */
#pragma once

#include "belfry/fault.h"
#include "belfry/slice.h"

/* Fills `f` (which may be NULL) and returns false, so that a caller can `return fault_set(...)`. */
#define fault_set(f, code, ...)                                                                    \
    fault_make((f), (code), __FILE__ ":" FAULT_LINE(__LINE__), __VA_ARGS__)
#define FAULT_LINE_(n) #n
#define FAULT_LINE(n) FAULT_LINE_(n)
bool fault_make(struct fault *f, enum fault_code code, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts words and ": " in front of the text; returns false. */
bool fault_within(struct fault *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Like fault_set with FAULT_IO, and ": " and the text of errno (saved by the caller) behind. */
#define fault_errno(f, error, ...)                                                                 \
    fault_errno_make((f), (error), __FILE__ ":" FAULT_LINE(__LINE__), __VA_ARGS__)
bool fault_errno_make(struct fault *f, int error, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
