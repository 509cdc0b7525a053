// SPDX-License-Identifier: EUPL-1.2
/* A run of bytes that belongs to somebody else: what every parser takes and gives. Passed by value,
 * not NUL-terminated, may hold any byte. Valid as long as the owner of the bytes says. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A result that must not be dropped. */
#define MUST_USE __attribute__((warn_unused_result))

struct slice {
    const char *ptr;
    size_t len;
};

/* From a string literal. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_INIT(literal)                                                                        \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
/* For "%.*s". */
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline struct slice slice_from(const void *ptr, size_t len)
{
    return (struct slice){(const char *)ptr, len};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Equal but for the case of ASCII letters. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    return true;
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq((struct slice){s.ptr, prefix.len}, prefix);
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len &&
           slice_eq((struct slice){s.ptr + s.len - suffix.len, suffix.len}, suffix);
}

/* The bytes from position `from` on; empty when there are none. */
static inline struct slice slice_skip(struct slice s, size_t from)
{
    return from >= s.len ? (struct slice){s.ptr + s.len, 0}
                         : (struct slice){s.ptr + from, s.len - from};
}

/* Takes what stands before the first `sep` off the front of `rest`, and the separator with it.
 * Without a separator the whole is taken and `rest` becomes empty. */
static inline struct slice slice_cut(struct slice *rest, char sep)
{
    const char *at = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;
    struct slice head = {rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len};
    *rest = at ? slice_skip(*rest, head.len + 1) : slice_skip(*rest, rest->len);
    return head;
}

/* Without the given byte set {space, tab} at both ends (OWS of RFC 9110 §5.6.3). */
static inline struct slice slice_trim(struct slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = slice_skip(s, 1);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The whole slice as a base-10 number of digits only, at most `max`. False, and *out untouched, if
 * it is empty, holds another byte or is larger. */
MUST_USE static inline bool slice_u64(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    if (!s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n))
            return false;
    }
    if (n > max)
        return false;
    *out = n;
    return true;
}
