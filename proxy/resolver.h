// SPDX-License-Identifier: EUPL-1.2
/* Where the names of upstreams lead, asked again as their time to live says; on the control thread,
 * by c-ares on its loop, so that nobody ever waits for a name. The last good answer stays while no
 * new one comes, for a stated time. What the answers are worth is not judged here: each address is
 * compared with the entity's networks when it is connected to. */
#pragma once

#include "base/loop.h"
#include "base/metric.h"
#include "belfry/facts.h"
#include "belfry/fault.h"
#include "proxy/address_book.h"

#define RESOLVER_LEAST_MS 5000 /* between two questions for a name, whatever the answer says */
#define RESOLVER_MOST_MS 300000
#define RESOLVER_MAX_ADDRESSES 64 /* of a name and family; the rest is left out */

struct resolver;
struct resolver_settings {
    struct slices servers; /* "10.0.0.53", "127.0.0.1:5353", "[::1]:53"; none: the system's */
    int64_t max_stale_ms;  /* how long the last good answer outlives its time to live */
};
struct resolver_hooks {
    /* Some name leads elsewhere than before. From the end of a turn, never from inside a call. */
    void (*changed)(void *owner);
    void *owner;
};

/* NULL where c-ares can't start: a server's address is wrong, or resolv.conf unreadable. */
struct resolver *resolver_new(struct loop *l, const struct resolver_settings *settings,
                              struct metrics *m, struct resolver_hooks hooks, struct fault *f);
void resolver_free(struct resolver *r);
/* These names are followed from now on, others are forgotten. Repeated ones are fine. */
void resolver_follow(struct resolver *r, const struct slice *hosts, size_t count);
/* How many names have not yet had the first answer, of whatever kind; and how many lead nowhere, or
 * had no answer to the last question. */
uint32_t resolver_waiting(const struct resolver *r);
uint32_t resolver_failing(const struct resolver *r);
/* All that is known now, into the book. */
void resolver_write(const struct resolver *r, struct address_book *b);
