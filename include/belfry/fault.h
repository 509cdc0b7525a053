// SPDX-License-Identifier: EUPL-1.2
/* The world failed us and someone must read it: one line of text with its place. Made once, gets
 * context on its way up, is logged once at the top. Filled by base/fault.h. A plain value: whoever
 * declares it owns it, and it needs no release. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fault_code {
    FAULT_UNSET = 0,
    FAULT_IO,       /* a file, socket or peer did not do what was asked */
    FAULT_SYNTAX,   /* text that does not parse or does not mean anything */
    FAULT_TRUST,    /* a signature, serial, delegation or certificate that does not hold */
    FAULT_LIMIT,    /* larger or more than a stated limit */
    FAULT_CONFIG,   /* asked for by the operator, and not possible */
    FAULT_INTERNAL, /* a library refused what should not be refused */
};

/* A place in a user's file. Line and column count from 1; 0 is "not known". */
struct place {
    char file[128];
    uint32_t line;
    uint32_t column;
};

struct fault {
    enum fault_code code;
    const char *at; /* "policy/load.c:212": where it was first seen */
    struct place place;
    char text[480]; /* one line, lower case: what, then the subject in quotes, then what to do */
};
