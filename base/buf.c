// SPDX-License-Identifier: EUPL-1.2
/* Growing and moving. The allocation may be half as large again as the ceiling: so a full buffer
 * that is emptied and filled in small pieces is moved only after half its length went off the
 * front, and a byte is moved a bounded number of times however small the pieces are. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define FIRST_ROOM 2048 /* a head with an assertion; smaller would grow step by step */

void buf_init(struct buf *b, size_t ceiling)
{
    *b = (struct buf){.ceiling = ceiling};
}

void buf_fini(struct buf *b)
{
    mem_free(b->ptr);
    buf_init(b, b->ceiling);
}

static void move_to_front(struct buf *b)
{
    if (!b->from)
        return;
    memmove(b->ptr, b->ptr + b->from, buf_len(b));
    b->to -= b->from;
    b->from = 0;
}

/* Makes `want` bytes free behind `to`. The caller has compared with the ceiling; one byte beyond it
 * is for the NUL of printf. */
static void make_room(struct buf *b, size_t want)
{
    size_t len = buf_len(b);
    if (want <= b->room - b->to)
        return;
    if (want <= b->room - len && b->from >= len / 2) {
        move_to_front(b);
        return;
    }
    size_t most = b->ceiling;
    if (__builtin_add_overflow(most, b->ceiling / 2 + 1, &most))
        most = SIZE_MAX;
    size_t room = b->room > most / 2 ? most : b->room * 2;
    if (room < FIRST_ROOM)
        room = FIRST_ROOM;
    if (room > most)
        room = most;
    if (room < len + want)
        room = len + want;
    move_to_front(b);
    b->ptr = mem_grow(b->ptr, room, 1);
    b->room = room;
}

static bool is_within(const struct buf *b, size_t want)
{
    return want <= b->ceiling - buf_len(b);
}

bool buf_reserve(struct buf *b, size_t want, char **at)
{
    if (!is_within(b, want))
        return false;
    make_room(b, want);
    *at = b->ptr + b->to;
    return true;
}

void buf_grew(struct buf *b, size_t n)
{
    assert(n <= b->room - b->to && is_within(b, n));
    b->to += n;
}

bool buf_add(struct buf *b, struct slice bytes)
{
    if (!bytes.len)
        return true;
    if (!is_within(b, bytes.len))
        return false;
    make_room(b, bytes.len);
    memcpy(b->ptr + b->to, bytes.ptr, bytes.len);
    b->to += bytes.len;
    return true;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = b->room - b->to;
    // Into what is there, when it fits: most lines are short, and are formatted once.
    int len = vsnprintf(room ? b->ptr + b->to : NULL, room, format, arguments);
    va_end(arguments);
    if (len < 0 || !is_within(b, (size_t)len))
        return false;
    if ((size_t)len >= room) {
        make_room(b, (size_t)len + 1);
        va_start(arguments, format);
        (void)vsnprintf(b->ptr + b->to, (size_t)len + 1, format, arguments);
        va_end(arguments);
    }
    b->to += (size_t)len;
    return true;
}

void buf_skip(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->from += n;
    if (b->from == b->to)
        b->from = b->to = 0;
}

void buf_clear(struct buf *b)
{
    b->from = b->to = 0;
}

void buf_release(struct buf *b)
{
    if (!buf_len(b))
        buf_fini(b);
}
