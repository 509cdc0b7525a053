// SPDX-License-Identifier: EUPL-1.2
/* The one reader of UTF-8: strict by RFC 3629 §3 and §4. Pure, any thread. */
#pragma once

#include "belfry/slice.h"

/* The length of the sequence at the front of `s`, which is not empty, and its code point. 0, and
 * *out untouched, where it is not the shortest form, a surrogate, past U+10FFFF or cut short. */
size_t utf8_next(struct slice s, uint32_t *out);
/* Is all of it UTF-8? The empty text is. */
bool utf8_is(struct slice s);
