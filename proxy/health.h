// SPDX-License-Identifier: EUPL-1.2
/* Active checks: each application that says so has each address of its upstreams asked, again and
 * again, how it is; on the control thread. What is asked goes the way that a request would go: the
 * same scheme, authorities, name and certificate, and never to an address outside of the entity's
 * networks. An address is down after so many failures in a row, and up again after so many
 * successes; one that was not yet asked is up. */
#pragma once

#include "base/loop.h"
#include "base/metric.h"
#include "proxy/address_book.h"
#include "proxy/edition.h"

#define HEALTH_MAX_AT_ONCE 256 /* of all checks; the others wait for their turn */

struct health_desk;
struct health_hooks {
    /* Some address went down or came up. From the end of a turn, never from inside a call. */
    void (*changed)(void *owner);
    void *owner;
};

struct health_desk *health_desk_new(struct loop *l, struct metrics *m, struct health_hooks hooks);
void health_desk_free(struct health_desk *d);
/* The applications of this edition are followed, where the book says that their upstreams are;
 * others are forgotten. What is known of an address stays while nothing of its check changes.
 * `keys_dir` holds upstream/ENTITY/{cert,key}.pem. */
void health_desk_follow(struct health_desk *d, struct edition *e, const struct address_book *b,
                        struct slice keys_dir);
/* What is down, into the book: an upstream at an address, where each application that has this
 * upstream checks it and finds it down. One application's check is no verdict over another's. */
void health_desk_write(const struct health_desk *d, struct address_book *b);
