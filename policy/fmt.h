// SPDX-License-Identifier: EUPL-1.2
/* A document's text with its lines set alike: two blanks of indentation a level, none at ends of
 * lines, at most one empty line in a row. Comments, quotes, order and how things are spread over
 * lines stay as their author left them. Of any YAML that base/yaml takes. Pure. */
#pragma once

#include "base/findings.h"

/* The caller frees *out with mem_slice_free. False with findings where the text is no good YAML, or
 * could not be set without another meaning; then nothing is to be written. */
MUST_USE bool policy_fmt(struct slice text, const char *file, struct slice *out,
                         struct findings *f);
