// SPDX-License-Identifier: EUPL-1.2
/* Each block is preceded by its size's number, since nghttp2 frees without saying how large. Under
 * AddressSanitizer nothing is kept: it is to see each block's life. */
#include "proxy/h2_memory.h"

#include <stdlib.h>
#include <string.h>

/* gcc's analyser takes a pointer behind a block's head for the loss of the block. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define SMALLEST 64
#define KEPT 1024 /* blocks of one size: 100 streams on ten connections */
#define LARGE SMALL_SIZES

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS_NONE 1
#else
#define KEEPS_NONE 0
#endif

/* 16 bytes, so that what stands behind is aligned as malloc's own. */
struct block {
    union {
        size_t room;        /* in use: of what stands behind */
        struct block *next; /* at rest */
    };
    size_t size; /* its number, or LARGE */
};

static size_t size_of(size_t bytes)
{
    size_t size = 0;
    while (size < SMALL_SIZES && bytes > (size_t)SMALLEST << size)
        size++;
    return size;
}

static void *small_malloc(size_t bytes, void *user)
{
    struct small_store *store = user;
    size_t size = size_of(bytes);
    size_t room = size == LARGE ? bytes : (size_t)SMALLEST << size;
    struct block *b;
    if (size < LARGE && store->free[size]) {
        b = store->free[size];
        store->free[size] = b->next;
        store->count[size]--;
        b->room = room;
        return b + 1;
    }
    if (__builtin_add_overflow(room, sizeof *b, &room))
        return NULL;
    b = malloc(room);
    if (!b)
        return NULL; /* nghttp2 gives its session up */
    *b = (struct block){.room = room - sizeof *b, .size = size};
    return b + 1;
}

static void small_free(void *ptr, void *user)
{
    struct small_store *store = user;
    struct block *b = ptr;
    if (!b)
        return;
    b--;
    if (KEEPS_NONE || b->size == LARGE || store->count[b->size] == KEPT) {
        free(b);
        return;
    }
    b->next = store->free[b->size];
    store->free[b->size] = b;
    store->count[b->size]++;
}

static void *small_calloc(size_t count, size_t each, void *user)
{
    size_t bytes;
    void *ptr;
    if (__builtin_mul_overflow(count, each, &bytes))
        return NULL;
    ptr = small_malloc(bytes, user);
    return ptr ? memset(ptr, 0, bytes) : NULL;
}

static void *small_realloc(void *ptr, size_t bytes, void *user)
{
    const struct block *b = ptr;
    void *grown;
    if (b && b[-1].room >= bytes)
        return ptr;
    grown = small_malloc(bytes, user);
    if (grown && b) {
        memcpy(grown, ptr, b[-1].room);
        small_free(ptr, user);
    }
    return grown;
}

nghttp2_mem h2_memory(struct small_store *store)
{
    return (nghttp2_mem){store, small_malloc, small_free, small_calloc, small_realloc};
}

void small_store_fini(struct small_store *store)
{
    for (uint32_t size = 0; size < SMALL_SIZES; size++) {
        for (struct block *b = store->free[size], *next; b; b = next) {
            next = b->next;
            free(b);
        }
    }
    *store = (struct small_store){0};
}
