// SPDX-License-Identifier: EUPL-1.2
/* A passphrase from a file or from the terminal, never from the command line, where every process
 * of the machine could read it. */
#pragma once

#include "base/secret.h"

/* The first line of the file `path`, which others may not read; where `path` is NULL, what a person
 * types behind "PROMPT: " without seeing it, `twice` where it is a new one. The caller finis *out.
 */
MUST_USE bool passphrase_get(struct secret *out, const char *path, const char *prompt, bool twice,
                             struct fault *f);
