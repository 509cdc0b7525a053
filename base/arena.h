// SPDX-License-Identifier: EUPL-1.2
/* Memory that goes at once: what belongs to one exchange, or to one compiled bundle. A bump
 * allocator over chunks; chunks come from, and go back to, a `struct chunk_store` of the worker (or
 * malloc where store is NULL). One thread at a time. Nothing in an arena is freed on its own. */
#pragma once

#include <stddef.h>

#include "belfry/slice.h"

/* Holds an exchange with a browser's usual head and a 1 KiB token. */
#define ARENA_CHUNK_BYTES 8192

struct arena_chunk;

/* Chunks at rest, kept by a worker so that a request costs no malloc. */
struct chunk_store {
    struct arena_chunk *free;
    uint32_t count;
    uint32_t limit;   /* beyond it chunks go back to malloc */
    uint32_t dropped; /* did so; the owner may set it to 0 */
};

struct arena {
    struct arena_chunk *chunks; /* newest first */
    char *at;
    char *end;
    struct chunk_store *store;
    size_t total_bytes;
};

void arena_init(struct arena *a, struct chunk_store *store); /* takes no memory yet */
/* The same, with room for that many bytes from malloc: for what is kept long, and of which there
 * are many. */
void arena_init_sized(struct arena *a, size_t bytes);
void arena_fini(struct arena *a);
void arena_wipe_fini(struct arena *a); /* of one that holds secrets */
/* Zeroed, aligned to 16; never NULL. Larger than a chunk is fine (its own chunk, never stored). */
void *arena_alloc(struct arena *a, size_t bytes);
#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_alloc_array((a), (n), sizeof(type)))
void *arena_alloc_array(struct arena *a, size_t count, size_t size);
/* Not zeroed, not aligned: for bytes. Inline, as arena_copy: a request takes some forty. */
char *arena_bytes_anew(struct arena *a, size_t bytes); /* where the chunk at hand has no room */
static inline char *arena_bytes(struct arena *a, size_t bytes)
{
    char *out = a->at;
    if (!out || bytes > (size_t)(a->end - out))
        return arena_bytes_anew(a, bytes);
    a->at = out + bytes;
    return out;
}
static inline struct slice arena_copy(struct arena *a, struct slice text)
{
    if (!text.len)
        return SLICE("");
    return (struct slice){memcpy(arena_bytes(a, text.len), text.ptr, text.len), text.len};
}
struct slice arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void chunk_store_fini(struct chunk_store *store);
