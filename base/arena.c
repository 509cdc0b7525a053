// SPDX-License-Identifier: EUPL-1.2
/* The bump allocator. `at` and `end` are of the newest chunk of the usual size; what is larger than
 * a chunk gets one of its own, put behind it in the list, so that the room left is not lost. Under
 * AddressSanitizer a chunk at rest is poisoned: whoever still points into an ended exchange is
 * found. */
#include "base/arena.h"

#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/secret.h"

#define ALIGNMENT 16u

struct arena_chunk {
    struct arena_chunk *next;
    size_t room; /* bytes of `bytes` */
    _Alignas(ALIGNMENT) char bytes[];
};

#define CHUNK_ROOM (ARENA_CHUNK_BYTES - sizeof(struct arena_chunk))

/* A document of 10,000 rules takes some MiB: piece by piece of 8 KiB, malloc would ask the kernel
 * for each, and give each back. */
#define LARGE_FROM (16 * CHUNK_ROOM)
#define LARGE_ROOM (8 * ARENA_CHUNK_BYTES - sizeof(struct arena_chunk))

static struct arena_chunk *chunk_take(struct chunk_store *store, size_t room)
{
    struct arena_chunk *chunk;
    if (store && store->free && room == CHUNK_ROOM) {
        chunk = store->free;
        store->free = chunk->next;
        store->count--;
        ASAN_UNPOISON_MEMORY_REGION(chunk->bytes, room);
        return chunk;
    }
    size_t bytes;
    if (__builtin_add_overflow(room, sizeof *chunk, &bytes))
        bytes = SIZE_MAX; // there is no such memory, and mem_grow says so
    chunk = mem_grow(NULL, bytes, 1);
    chunk->room = room;
    return chunk;
}

static void chunk_put(struct chunk_store *store, struct arena_chunk *chunk)
{
    if (!store || chunk->room != CHUNK_ROOM || store->count >= store->limit) {
        if (store)
            store->dropped++;
        mem_free(chunk);
        return;
    }
    ASAN_POISON_MEMORY_REGION(chunk->bytes, chunk->room);
    chunk->next = store->free;
    store->free = chunk;
    store->count++;
}

static void add_chunk(struct arena *a, size_t room)
{
    struct arena_chunk *chunk = chunk_take(a->store, room);
    chunk->next = a->chunks;
    a->chunks = chunk;
    a->at = chunk->bytes;
    a->end = chunk->bytes + room;
    a->total_bytes += room;
}

void arena_init(struct arena *a, struct chunk_store *store)
{
    *a = (struct arena){.store = store};
}

void arena_init_sized(struct arena *a, size_t bytes)
{
    arena_init(a, NULL);
    add_chunk(a, bytes);
}

void arena_fini(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *chunk = a->chunks;
        a->chunks = chunk->next;
        chunk_put(a->store, chunk);
    }
    arena_init(a, a->store);
}

void arena_wipe_fini(struct arena *a)
{
    for (struct arena_chunk *chunk = a->chunks; chunk; chunk = chunk->next)
        wipe(chunk->bytes, chunk->room);
    arena_fini(a);
}

static char *alloc_large(struct arena *a, size_t bytes)
{
    struct arena_chunk *chunk = chunk_take(NULL, bytes);
    struct arena_chunk **place = a->chunks ? &a->chunks->next : &a->chunks;
    chunk->next = *place;
    *place = chunk;
    a->total_bytes += bytes;
    return chunk->bytes;
}

/* What a next chunk has room for. */
static size_t usual_room(const struct arena *a)
{
    return !a->store && a->total_bytes > LARGE_FROM ? LARGE_ROOM : CHUNK_ROOM;
}

char *arena_bytes_anew(struct arena *a, size_t bytes)
{
    if (bytes > CHUNK_ROOM)
        return alloc_large(a, bytes);
    add_chunk(a, usual_room(a));
    char *out = a->at;
    a->at += bytes;
    return out;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    const size_t gap = -(uintptr_t)a->at & (ALIGNMENT - 1);
    if (a->at && gap + bytes >= bytes && gap + bytes <= (size_t)(a->end - a->at)) {
        char *out = a->at + gap;
        a->at = out + bytes;
        return memset(out, 0, bytes);
    }
    // A new chunk is aligned from its first byte on.
    if (bytes <= CHUNK_ROOM)
        add_chunk(a, usual_room(a));
    return memset(arena_bytes(a, bytes), 0, bytes);
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    return arena_alloc(a, bytes);
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len <= 0)
        return SLICE("");
    char *out = arena_bytes(a, (size_t)len + 1);
    va_start(arguments, format);
    (void)vsnprintf(out, (size_t)len + 1, format, arguments);
    va_end(arguments);
    return (struct slice){out, (size_t)len};
}

void chunk_store_fini(struct chunk_store *store)
{
    while (store->free) {
        struct arena_chunk *chunk = store->free;
        store->free = chunk->next;
        mem_free(chunk);
    }
    store->count = 0;
}
