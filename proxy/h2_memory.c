// SPDX-License-Identifier: EUPL-1.2
/* Each block is preceded by its size's number, since nghttp2 frees without saying how large. Under
 * AddressSanitizer nothing is kept: it is to see each block's life. */
#include "proxy/h2_memory.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/list.h"
#include "base/mem.h"

/* gcc's analyser takes a pointer behind a block's head for the loss of the block. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define SMALLEST 64
#define KEPT_BYTES 262144 /* of one size: enough for 100 streams on ten connections */
#define LARGE SMALL_SIZES

/* nghttp2's frame buffer has 16,394 bytes. From malloc it would lie where OpenSSL's buffers of that
 * size lay before, which are written to their end, and so take five pages. The session has some
 * 2,900, and comes first. Other blocks of these sizes may come here: it costs them a page. */
#define SESSION (SMALL_SIZES + 1)
#define SESSION_SIZE 11 /* its number among the small ones */
#define FRAME (SMALL_SIZES + 2)
#define FRAME_LEAST 16384
#define TABLE (SMALL_SIZES + 3)
#define TABLE_BYTES 4096 /* of its table of streams, which comes after the session */
#define TABLE_AT 20480
#define PLACE_BYTES (TABLE_AT + TABLE_BYTES) /* six pages */
#define PLACES_IN_REGION 51
#define PLACES_AT_REST 64 /* beyond these their pages go back when a session ends */

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

struct session_place {
    uint32_t users; /* of its blocks */
    bool has_table;
    alignas(16) struct block session;
    char session_bytes[3072];
    alignas(16) struct block frame; /* what follows up to the table is its */
};
#define FRAME_ROOM (TABLE_AT - sizeof(struct session_place))

struct session_region {
    struct session_region *next;
    char *bytes;
};

/* The sizes are the powers of two and what lies midway. */
static size_t size_of(size_t bytes)
{
    if (bytes <= SMALLEST)
        return 0;
    if (bytes > (size_t)SMALLEST << (SMALL_SIZES / 2))
        return !KEEPS_NONE && bytes > FRAME_LEAST && bytes <= FRAME_ROOM ? FRAME : LARGE;
    const unsigned power = 63 - (unsigned)__builtin_clzll(bytes - 1);
    return 2 * (power - 6) + (bytes <= (size_t)3 << (power - 1) ? 1 : 2);
}

static size_t room_of(size_t size)
{
    return (size % 2 ? SMALLEST + SMALLEST / 2 : (size_t)SMALLEST) << size / 2;
}

static bool places_add(struct small_store *store)
{
    char *bytes = mmap(NULL, (size_t)PLACES_IN_REGION * PLACE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return false;
    struct session_region *region = mem_new(struct session_region);
    *region = (struct session_region){store->regions, bytes};
    store->regions = region;
    store->place_total += PLACES_IN_REGION;
    store->places = mem_grow(store->places, store->place_total, sizeof *store->places);
    for (size_t i = 0; i < PLACES_IN_REGION; i++)
        store->places[store->place_count++] = (struct session_place *)(bytes + i * PLACE_BYTES);
    return true;
}

static struct session_place *place_take(struct small_store *store)
{
    if (!store->place_count && !places_add(store))
        return NULL;
    struct session_place *p = store->places[--store->place_count];
    p->users = 0;
    p->has_table = false;
    return p;
}

static void *session_take(struct small_store *store)
{
    struct session_place *p = place_take(store);
    if (!p)
        return NULL;
    p->users++;
    p->session = (struct block){.room = sizeof p->session_bytes, .size = SESSION};
    store->begun = p;
    return &p->session + 1;
}

static void *frame_take(struct small_store *store)
{
    struct session_place *p = store->begun ? store->begun : place_take(store);
    if (!p)
        return NULL;
    store->begun = NULL;
    p->users++;
    p->frame = (struct block){.room = FRAME_ROOM, .size = FRAME};
    return &p->frame + 1;
}

/* It has no head, which would lie on another page: the frame buffer's last. */
static void *table_take(struct session_place *p)
{
    p->users++;
    p->has_table = true;
    return (char *)p + TABLE_AT;
}

/* The place whose table that is; NULL: it is another block. */
static struct session_place *place_of_table(const struct small_store *store, void *ptr)
{
    if ((uintptr_t)ptr % TABLE_BYTES)
        return NULL;
    for (const struct session_region *r = store->regions; r; r = r->next)
        if ((char *)ptr >= r->bytes &&
            (char *)ptr < r->bytes + (size_t)PLACES_IN_REGION * PLACE_BYTES)
            return (struct session_place *)((char *)ptr - TABLE_AT);
    return NULL;
}

static void place_put(struct small_store *store, struct session_place *p)
{
    if (--p->users)
        return;
    if (store->begun == p)
        store->begun = NULL;
    if (store->place_count >= PLACES_AT_REST)
        (void)madvise(p, PLACE_BYTES, MADV_DONTNEED); // where it fails the pages just stay
    store->places[store->place_count++] = p;
}

static void *small_malloc(size_t bytes, void *user)
{
    struct small_store *store = user;
    size_t size = size_of(bytes);
    struct block *b;
    if (size == FRAME)
        return frame_take(store);
    if (size == SESSION_SIZE && !KEEPS_NONE)
        return session_take(store);
    if (bytes == TABLE_BYTES && store->begun && !store->begun->has_table)
        return table_take(store->begun);
    size_t room = size == LARGE ? bytes : room_of(size);
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
    struct session_place *p = place_of_table(store, ptr);
    struct block *b = ptr;
    if (p)
        place_put(store, p);
    if (p || !b)
        return;
    b--;
    if (b->size == FRAME || b->size == SESSION) {
        place_put(store, b->size == FRAME ? container_of(b, struct session_place, frame)
                                          : container_of(b, struct session_place, session));
        return;
    }
    if (KEEPS_NONE || b->size == LARGE || store->count[b->size] * room_of(b->size) >= KEPT_BYTES) {
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
    const size_t room = !b ? 0 : place_of_table(user, ptr) ? TABLE_BYTES : b[-1].room;
    void *grown;
    if (b && room >= bytes)
        return ptr;
    grown = small_malloc(bytes, user);
    if (grown && b) {
        memcpy(grown, ptr, room);
        small_free(ptr, user);
    }
    return grown;
}

nghttp2_mem h2_memory(struct small_store *store)
{
    return (nghttp2_mem){store, small_malloc, small_free, small_calloc, small_realloc};
}

/* A page of zeros that is given back comes again as one. That nghttp2's table is one where it holds
 * no stream is looked at, not believed. */
void h2_memory_rest(const nghttp2_session *session)
{
    const struct block *b = (const struct block *)(const void *)session - 1;
    if (KEEPS_NONE || b->size != SESSION)
        return;
    struct session_place *p =
        container_of((struct block *)(uintptr_t)b, struct session_place, session);
    char *table = (char *)p + TABLE_AT;
    if (p->has_table && !*table && !memcmp(table, table + 1, TABLE_BYTES - 1))
        (void)madvise(table, TABLE_BYTES, MADV_DONTNEED);
}

void small_store_fini(struct small_store *store)
{
    for (uint32_t size = 0; size < SMALL_SIZES; size++) {
        for (struct block *b = store->free[size], *next; b; b = next) {
            next = b->next;
            free(b);
        }
    }
    for (struct session_region *r = store->regions, *next; r; r = next) {
        next = r->next;
        (void)munmap(r->bytes, (size_t)PLACES_IN_REGION * PLACE_BYTES);
        mem_free(r);
    }
    mem_free(store->places);
    *store = (struct small_store){0};
}
