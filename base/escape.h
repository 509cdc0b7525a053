// SPDX-License-Identifier: EUPL-1.2
/* Foreign text on its way into our JSON and HTML: nothing that it holds is read as syntax, and what
 * is not UTF-8 comes out as U+FFFD. Writers get a pointer into room that the caller has measured,
 * and return the end of what they wrote; no NUL. Pure, any thread. */
#pragma once

#include "belfry/slice.h"

/* Room for the worst case of each: every byte a six-character escape. */
#define ESCAPE_ROOM(len) ((len)*6)

/* What stands between the quotes of a JSON string (RFC 8259 §7). Beyond the RFC, what could make a
 * line of log look like another one is escaped too: DEL, C1 controls, line separators and
 * bidirectional marks. */
char *escape_json(char *at, struct slice text);
/* Text of an HTML element or of a quoted attribute. Controls come out as U+FFFD. */
char *escape_html(char *at, struct slice text);
/* In place, for a line of log, or one that a terminal shows: each byte of a control (C1 too), of a
 * mark that nobody sees, and of what is not UTF-8 (a character cut short) becomes '?'. */
void escape_controls(char *text, size_t len);
