// SPDX-License-Identifier: EUPL-1.2
/* The chunked coding (RFC 9112 §7.1), decoded in place and strictly: sizes of at most 15 hex
 * digits, extensions checked, capped and dropped, CRLF only, trailers checked as strictly as a
 * head's fields, capped and kept where there is an arena for them. Pure. */
#pragma once

#include "base/arena.h"
#include "belfry/request.h"

#define CHUNKED_LINE_MAX 4096    /* a size line with its extensions */
#define CHUNKED_TRAILER_MAX 8192 /* all trailer lines together */
#define CHUNKED_TRAILER_LINES 64

enum chunked_state {
    CHUNKED_SIZE = 0,
    CHUNKED_EXTENSION,
    CHUNKED_SIZE_LF,
    CHUNKED_DATA,
    CHUNKED_DATA_CR,
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER_START,
    CHUNKED_TRAILER_NAME,
    CHUNKED_TRAILER,
    CHUNKED_TRAILER_LF,
    CHUNKED_LAST_LF,
    CHUNKED_END,
    CHUNKED_BAD,
};

/* Zeroed at the start of a body, but for the arena. */
struct chunked {
    enum chunked_state state;
    uint64_t left;    /* of the chunk under way */
    uint32_t digits;  /* of the size line */
    uint32_t counted; /* bytes of this size line, or of the trailers */
    uint32_t trailer_count;
    struct arena *arena; /* where trailers are kept; NULL: they are dropped */
    char *trailers;      /* their lines; takes memory only where there is one */
};

/* Reads from `in` up to and with the next run of data, which comes back in *data (a part of `in`,
 * maybe empty where the input ended inside framing). Returns how many bytes of `in` were used, data
 * included. Look at c->state for END and BAD. */
size_t chunked_next(struct chunked *c, struct slice in, struct slice *data);
/* With END: how many trailers there were, and the fields, like a head's (in the arena, as long as
 * it lives). None without an arena. */
uint32_t chunked_trailers(const struct chunked *c, struct field **fields);
