// SPDX-License-Identifier: EUPL-1.2
/* What the verbs share that tell of a policy before it is published: documents as they are read for
 * judging, not for publishing (a bundle whose own test fails may be asked why), and output for a
 * person: colour on a terminal, lines no longer than it is wide. One thread. */
#pragma once

#include <stdio.h>

#include <jansson.h>

#include "policy/bundle.h"
#include "policy/charter.h"
#include "policy/compile.h"
#include "policy/explain.h"

/* A bundle, and perhaps a charter, compiled, as what decide() asks. */
struct ground {
    struct bundle *bundle;
    struct charter *charter; /* NULL: no baseline */
    struct snapshot snapshot;
    struct slice text;
    struct slice charter_text;
};
/* `path`: YAML or a signed file. An exit code; what is wrong was told on stderr. */
int ground_read(struct ground *g, const char *path, const char *charter_path);
void ground_free(struct ground *g);
/* By id or host. NULL where there is none, which was told. */
const struct application *ground_application(const struct ground *g, const char *name);

struct screen {
    FILE *out;
    bool has_colour;
    unsigned width;
};
enum paint { PAINT_NONE, PAINT_GOOD, PAINT_BAD, PAINT_DOUBT, PAINT_DIM, PAINT_STRONG };
/* Colour only on a terminal, and not where NO_COLOR says something. */
struct screen screen_of(FILE *out);
void screen_put(const struct screen *s, enum paint paint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As printf, for what holds foreign text: none of it steers the terminal, or begins a line of its
 * own. A line's end is one at the format's end only. So does screen_put. */
void screen_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Words, from column `at` on; further lines begin at `margin`. Ends the line. */
void screen_words(const struct screen *s, unsigned at, unsigned margin, struct slice text);

/* A JSON string; what is not UTF-8 comes out as U+FFFD. */
json_t *json_text(struct slice text);
json_t *json_texts(struct slices texts);
/* Prints it on stdout, with a line's end, and lets go of it. */
void json_print(json_t *take);

struct slice effect_word(const struct rule *r); /* "permit" */
struct slice mark_word(enum mark m);
/* Why it has that mark, in a line. */
struct slice account_why(struct arena *a, const struct account *c);
/* "GET, HEAD"; "any method" and "any path" where a rule names none. */
struct slice rule_methods(struct arena *a, const struct rule *r);
struct slice rule_paths(struct arena *a, const struct rule *r);
