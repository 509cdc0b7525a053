// SPDX-License-Identifier: EUPL-1.2
/* Regular expressions, a subset of RE2's syntax: compiled once, matched in time proportional to
 * pattern times text, whatever both say. No back references, no captures: the question is only
 * whether the text has a match somewhere. What RE2 has and this has not is refused by name.
 * Compiled ones lie in the caller's arena, are immutable and may be used on any thread. */
#pragma once

#include "base/arena.h"

#define REGEX_MAX_STATES 1000
#define REGEX_MAX_TEXT 1024 /* bytes of what is searched */

struct regex;

/* NULL where it is wrong; *why says what, and *at at which byte. */
struct regex *regex_compile(struct arena *a, struct slice pattern, const char **why, size_t *at);
/* The room that a search needs, in bytes, aligned to 4. */
size_t regex_room(const struct regex *r);
/* Whether some part of `text` (at most REGEX_MAX_TEXT bytes) matches. What is not UTF-8 counts as
 * U+FFFD, byte by byte. */
bool regex_search(const struct regex *r, struct slice text, void *room);
uint32_t regex_states(const struct regex *r);
struct slice regex_pattern(const struct regex *r); /* as it was written */
