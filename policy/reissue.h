// SPDX-License-Identifier: EUPL-1.2
/* A document's text with another serial, and perhaps another end, and all else byte for byte as it
 * was: what a renewal or a roll-back signs. Pure. */
#pragma once

#include "base/findings.h"

/* `not_after` empty: the end stays. The caller frees *out with mem_slice_free. Of charters and
 * bundles; false with findings where serial or not_after are not written so that they can be
 * changed in place. Whether the result is good is for who loads it. */
MUST_USE bool document_reissue(struct slice text, const char *file, int64_t serial,
                               struct slice not_after, struct slice *out, struct findings *f);
