// SPDX-License-Identifier: EUPL-1.2
/* Two maps in an arena. Asked for each request that is sent upstream, so a book in which nothing is
 * down says so without a hash. */
#include "proxy/address_book.h"

#include "base/mem.h"
#include "base/network.h"

/* The addresses of one upstream that are down; the newest first. */
struct downs {
    uint8_t address[16];
    struct downs *next;
};

struct address_book *address_book_new(uint64_t number)
{
    struct address_book *b = mem_new(struct address_book);
    atomic_init(&b->references, 1);
    b->number = number;
    arena_init(&b->arena, NULL);
    map_init(&b->hosts);
    map_init(&b->downs);
    return b;
}

void address_book_add_host(struct address_book *b, struct slice host,
                           const struct sockaddr_storage *at, uint32_t count)
{
    struct sockaddr_storage *copy;
    struct host_addresses *h;
    if (!count)
        return;
    copy = arena_array(&b->arena, struct sockaddr_storage, count);
    memcpy(copy, at, count * sizeof *at);
    h = arena_new(&b->arena, struct host_addresses);
    *h = (struct host_addresses){copy, count};
    (void)map_set(&b->hosts, arena_copy(&b->arena, host), h);
}

void address_book_add_down(struct address_book *b, struct slice upstream_text,
                           const struct sockaddr *address)
{
    struct downs *one = arena_new(&b->arena, struct downs);
    if (!address_bytes(one->address, address))
        return;
    one->next = map_get(&b->downs, upstream_text);
    (void)map_set(&b->downs, arena_copy(&b->arena, upstream_text), one);
}

const struct host_addresses *address_book_host(const struct address_book *b, struct slice host)
{
    return b ? map_get(&b->hosts, host) : NULL;
}

bool address_book_is_down(const struct address_book *b, struct slice upstream_text,
                          const struct sockaddr *address)
{
    uint8_t bytes[16];
    if (!b || !b->downs.count || !address_bytes(bytes, address))
        return false;
    for (const struct downs *d = map_get(&b->downs, upstream_text); d; d = d->next)
        if (memcmp(d->address, bytes, sizeof bytes) == 0)
            return true;
    return false;
}

struct address_book *address_book_ref(struct address_book *b)
{
    if (b)
        atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return b;
}

void address_book_unref(struct address_book *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1)
        return;
    map_fini(&b->hosts);
    map_fini(&b->downs);
    arena_fini(&b->arena);
    mem_free(b);
}
