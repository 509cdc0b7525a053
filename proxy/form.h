// SPDX-License-Identifier: EUPL-1.2
/* application/x-www-form-urlencoded (WHATWG URL §5), as queries and as bodies of forms have it.
 * Strict: what could be read in two ways is not read at all. Also the only judge of where a person
 * may be sent back to. Pure, any thread. */
#pragma once

#include "base/arena.h"

#define FORM_MAX_FIELDS 512
#define FORM_MAX_BYTES 65536
#define RETURN_MAX_BYTES 4096 /* of a path with its query; browsers' addresses are shorter */

struct form_field {
    struct slice name;
    struct slice value;
};

struct form {
    struct form_field *fields;
    uint32_t count;
};

/* Decoded, into the arena. False: past the limits, a field without a name, "%" without two hex
 * digits, a byte that has no business there, NUL, or not UTF-8. An empty text has no field. */
MUST_USE bool form_parse(struct arena *a, struct slice text, struct form *out);
/* The field of that name; empty where there is none. False: it is there more than once. */
MUST_USE bool form_get(const struct form *f, struct slice name, struct slice *out);
/* No control character but line ends and tabs: a page can give it back as it came. */
bool form_is_plain(const struct form *f);
/* `text` as a value; room for 3 bytes of each. Returns the end. */
char *form_escape(char *at, struct slice text);

/* A path on this very host, as a browser reads it (WHATWG URL §4.4: it takes "\" for "/" and drops
 * tabs and line ends): one "/" in front that is not followed by another or by "\", printable ASCII,
 * no fragment, no dot segment in front, at most RETURN_MAX_BYTES; and not below /.belfry/, so that
 * no sign-in leads to a sign-in or a sign-out. */
bool return_path_is_valid(struct slice path);
