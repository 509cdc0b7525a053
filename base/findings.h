// SPDX-License-Identifier: EUPL-1.2
/* All that is wrong with a document, not only the first thing. Errors refuse, warnings do not.
 * Owned by the caller; texts are copied in. One thread. Bounded: past FINDINGS_MAX only the count
 * goes on. */
#pragma once

#include <stdio.h>

#include "belfry/fault.h"
#include "belfry/slice.h"

#define FINDINGS_MAX 200 /* a person reads no more at once */

struct finding {
    bool is_error;
    const char *code; /* stable short name, such as "unknown-key"; static text */
    struct place place;
    char *text; /* "what is wrong; what is allowed; did you mean 'x'?" */
};

struct findings {
    struct finding *at;
    size_t count;
    size_t errors; /* all, also those beyond FINDINGS_MAX */
    size_t warnings;
};

void findings_init(struct findings *f);
void findings_fini(struct findings *f);
void findings_error(struct findings *f, struct place place, const char *code, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));
void findings_warn(struct findings *f, struct place place, const char *code, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
/* Prints "file:line:column: error: text [code]", a line each, sorted by place. */
void findings_print(struct findings *f, FILE *out);
/* The nearest of `names` to `word` by edit distance (at most 2, and less than half the word); else
 * empty. */
struct slice nearest_name(struct slice word, const struct slice *names, size_t count);
