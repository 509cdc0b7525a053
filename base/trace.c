// SPDX-License-Identifier: EUPL-1.2
/* The traceparent header of W3C Trace Context: VERSION-TRACEID-PARENTID-FLAGS in lower-case hex. */
#include "base/trace.h"

#include "base/codec.h"

#include <stdio.h>

#define ID_AT 3
#define ID_CHARS 32
#define PARENT_AT (ID_AT + ID_CHARS + 1)
#define PARENT_CHARS 16
#define FLAGS_AT (PARENT_AT + PARENT_CHARS + 1)
#define FLAG_SAMPLED                                                                               \
    0x01u /* the only one of version 00; the others are written as zero (§3.2.2.5.2) */

static bool is_hex(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return true;
}

static bool is_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != '0')
            return false;
    return true;
}

static struct slice part(struct slice s, size_t at, size_t len)
{
    return (struct slice){s.ptr + at, len};
}

/* A later version may have more behind, after a dash; version 00 may not (§3.2.2). */
static bool is_valid(struct slice s)
{
    if (s.len < TRACEPARENT_CHARS || s.ptr[2] != '-' || s.ptr[PARENT_AT - 1] != '-' ||
        s.ptr[FLAGS_AT - 1] != '-')
        return false;
    struct slice version = part(s, 0, 2), id = part(s, ID_AT, ID_CHARS),
                 parent = part(s, PARENT_AT, PARENT_CHARS);
    if (!is_hex(version) || !is_hex(id) || !is_hex(parent) || !is_hex(part(s, FLAGS_AT, 2)) ||
        is_zero(id) || is_zero(parent) || slice_eq(version, SLICE("ff")))
        return false;
    return s.len == TRACEPARENT_CHARS ||
           (!slice_eq(version, SLICE("00")) && s.ptr[TRACEPARENT_CHARS] == '-');
}

/* Eight bytes as hex, not all zero. No printf: this is on the way of every request. */
static void throw_id(char out[2 * sizeof(uint64_t)], struct dice *dice)
{
    uint64_t id;
    do
        id = dice_next(dice);
    while (!id);
    hex_encode(out, &id, sizeof id);
}

bool trace_make(struct trace *out, struct slice traceparent, struct dice *dice)
{
    bool is_theirs = is_valid(traceparent);
    char *text = out->text;
    bool is_sampled = true; // a trace of ours is in the audit, so it is recorded
    memcpy(text, "00-", ID_AT);
    if (is_theirs) {
        char low = traceparent.ptr[FLAGS_AT + 1];
        memcpy(text + ID_AT, traceparent.ptr + ID_AT, ID_CHARS);
        is_sampled = (low <= '9' ? low - '0' : low - 'a' + 10) & FLAG_SAMPLED;
    } else {
        throw_id(text + ID_AT, dice);
        throw_id(text + ID_AT + ID_CHARS / 2, dice);
    }
    text[PARENT_AT - 1] = '-';
    throw_id(text + PARENT_AT, dice);
    memcpy(text + FLAGS_AT - 1, is_sampled ? "-01" : "-00", sizeof "-01");
    return is_theirs;
}

struct slice trace_id(const struct trace *t)
{
    return (struct slice){t->text + ID_AT, ID_CHARS};
}
