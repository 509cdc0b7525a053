// SPDX-License-Identifier: EUPL-1.2
/* Where the names of upstreams lead, and which addresses active checks say are down. Immutable once
 * it is handed on: the control thread writes a new one when something has changed, and each worker
 * holds the newest. What stands here is not judged: whether an address may be connected to is asked
 * of the door's networks, at each connection. */
#pragma once

#include <stdatomic.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/map.h"

struct host_addresses {
    const struct sockaddr_storage *at; /* the port is 0 */
    uint32_t count;                    /* never 0 */
};

struct address_book {
    _Atomic uint32_t references;
    uint64_t number; /* 1, 2, ... in this gateway */
    struct arena arena;
    struct map hosts; /* name → struct host_addresses */
    struct map downs; /* text of an upstream → struct downs */
};

/* Of the writer, before it is handed on. Everything is copied. */
struct address_book *address_book_new(uint64_t number);
void address_book_add_host(struct address_book *b, struct slice host,
                           const struct sockaddr_storage *at, uint32_t count);
void address_book_add_down(struct address_book *b, struct slice upstream_text,
                           const struct sockaddr *address);

/* Of everybody; NULL is an empty book. */
/* NULL: not (yet) resolved, or it has no address. */
const struct host_addresses *address_book_host(const struct address_book *b, struct slice host);
/* What active checks say of that upstream (its text) at that address, whatever its port says. */
bool address_book_is_down(const struct address_book *b, struct slice upstream_text,
                          const struct sockaddr *address);

struct address_book *address_book_ref(struct address_book *b);
void address_book_unref(struct address_book *b);
