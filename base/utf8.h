// SPDX-License-Identifier: EUPL-1.2
/* The one reader of UTF-8: strict by RFC 3629 §3 and §4. Pure, any thread. */
#pragma once

#include "belfry/slice.h"

size_t utf8_next_long(struct slice s, uint32_t *out); /* the same, of any length */

/* The length of the sequence at the front of `s`, which is not empty, and its code point. 0, and
 * *out untouched, where it is not the shortest form, a surrogate, past U+10FFFF or cut short.
 * Nearly all text is ASCII: the call was a fifth of what checking a document took. */
static inline size_t utf8_next(struct slice s, uint32_t *out)
{
    const uint8_t lead = (uint8_t)s.ptr[0];
    if (lead >= 0x80)
        return utf8_next_long(s, out);
    *out = lead;
    return 1;
}

/* Is all of it UTF-8? The empty text is. */
bool utf8_is(struct slice s);

/* Eight bytes at once: is each of them ASCII that can be seen, or a space? Exact, for no byte of
 * `word` that passes the first test carries into its neighbour. */
static inline bool utf8_is_plain_eight(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    return !((word | (word - ones * 0x20) | (word + ones)) & ones * 0x80);
}
