// SPDX-License-Identifier: EUPL-1.2
/* Holds at every moment: tail <= head <= tail + room, both multiples of 8 that only grow (they are
 * taken modulo room to find a byte). A record is an 8-byte prefix with its length, then its bytes.
 * One that would cross the end of the ring is put at its beginning, and a prefix PAD says so. */
#include "audit/ring.h"

#include <assert.h>

#include "base/mem.h"

#define PREFIX_BYTES 8
#define PAD UINT64_MAX

static size_t step_of(size_t len)
{
    return PREFIX_BYTES + ((len + 7) & ~(size_t)7);
}

static uint64_t prefix_at(const struct ring *r, size_t at)
{
    uint64_t prefix;
    memcpy(&prefix, r->bytes + (at & (r->room - 1)), sizeof prefix);
    return prefix;
}

static void prefix_put(struct ring *r, size_t at, uint64_t prefix)
{
    memcpy(r->bytes + (at & (r->room - 1)), &prefix, sizeof prefix);
}

void ring_init(struct ring *r, size_t bytes)
{
    assert(bytes >= 64 && (bytes & (bytes - 1)) == 0);
    *r = (struct ring){.bytes = mem_array(char, bytes), .room = bytes};
}

void ring_fini(struct ring *r)
{
    mem_free(r->bytes);
    *r = (struct ring){0};
}

char *ring_reserve(struct ring *r, size_t len, size_t spare)
{
    /* More than half might never fit: neither before the end of the ring nor behind its beginning.
     */
    if (len > r->room / 2 - PREFIX_BYTES)
        return NULL;
    const size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    const size_t step = step_of(len);
    const size_t to_end = r->room - (head & (r->room - 1));
    const size_t pad = step > to_end ? to_end : 0;

    if (pad + step + spare > r->room - (head - r->known_tail)) {
        r->known_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (pad + step + spare > r->room - (head - r->known_tail))
            return NULL;
    }
    if (pad)
        prefix_put(r, head, PAD);
    prefix_put(r, head + pad, len);
    r->next = head + pad + step;
    return r->bytes + ((head + pad) & (r->room - 1)) + PREFIX_BYTES;
}

void ring_commit(struct ring *r)
{
    atomic_store_explicit(&r->head, r->next, memory_order_release);
}

size_t ring_mark(struct ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_acquire);
}

bool ring_peek(struct ring *r, size_t mark, struct slice *record)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    if (tail == mark)
        return false;
    if (prefix_at(r, tail) == PAD) {
        /* A record always stands behind a pad: both were committed as one. */
        tail += r->room - (tail & (r->room - 1));
        atomic_store_explicit(&r->tail, tail, memory_order_release);
    }
    *record = slice_from(r->bytes + (tail & (r->room - 1)) + PREFIX_BYTES, prefix_at(r, tail));
    return true;
}

void ring_release(struct ring *r, struct slice record)
{
    const size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    atomic_store_explicit(&r->tail, tail + step_of(record.len), memory_order_release);
}
