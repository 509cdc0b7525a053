// SPDX-License-Identifier: EUPL-1.2
/* What plan.c and wire.c share: writing bytes of our own, which always have room. */
#pragma once

#include <stdlib.h>

#include "bench/load/wire.h"

/* HPACK's, as long as the server says nothing else (RFC 9113 §6.5.2). */
#define DEFAULT_TABLE 4096

static inline void add(struct buf *b, struct slice bytes)
{
    if (!buf_add(b, bytes))
        abort(); /* wire_room keeps requests few */
}

static inline void add_byte(struct buf *b, unsigned byte)
{
    add(b, slice_from((char[]){(char)byte}, 1));
}
