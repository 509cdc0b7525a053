// SPDX-License-Identifier: EUPL-1.2
/* JSON from outside, by jansson with duplicate keys refused, depth and size bounded. Any thread. */
#pragma once

#include <jansson.h>

#include "belfry/slice.h"

#define JTREE_MAX_BYTES (1u << 20)

/* An object, or NULL: not an object, malformed, a duplicate key, invalid UTF-8, NUL in a string,
 * too deep (jansson's 2048) or too large. The caller json_decref()s. */
json_t *jtree_parse(struct slice text);
/* A string member; false where missing or of another type. Borrowed from the tree. */
MUST_USE bool jtree_string(const json_t *object, const char *key, struct slice *out);
/* A NumericDate (RFC 7519 §2) that is a whole JSON integer in [0, 2^53]; a real or a string is
 * false. */
MUST_USE bool jtree_date(const json_t *object, const char *key, int64_t *out_s);
bool jtree_has(const json_t *object, const char *key);
