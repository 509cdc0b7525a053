// SPDX-License-Identifier: EUPL-1.2
/* What one client may take of a worker: connections, handshakes, requests; by its address, its
 * device and its user. All counts are this worker's own, since workers share nothing: whoever
 * spreads connections over W workers may have W times as much. Fixed memory, no allocation. */
#pragma once

#include <sys/socket.h>

#include "base/bucket.h"
#include "base/tally.h"
#include "belfry/reason.h"
#include "belfry/wall.h"
#include "proxy/config.h"

struct limits {
    const struct config *config;
    struct tally addresses; /* their connections */
    struct tally devices;
    struct buckets rates;
    uint64_t connections;
};

/* Who is counted: hashes, so that all take the same room. */
struct limits_of {
    uint64_t address; /* IPv4, or the /64 of IPv6: what one customer is given; 0: not yet known */
    uint64_t device;  /* 0: none */
};

void limits_init(struct limits *l, const struct config *config);
void limits_fini(struct limits *l);

/* A connection, before anything is spent on it: PERMITTED, and it is counted until limits_leave; or
 * the limit that it met. */
enum reason limits_enter(struct limits *l, struct limits_of *who);
/* Its address is known: at once, or once a balancer has announced it. PERMITTED, or the limit; what
 * has entered leaves all the same. */
enum reason limits_address(struct limits *l, struct limits_of *who, const struct sockaddr *from,
                           struct mono now);
/* The handshake has shown a device; its id is unique within the entity. */
enum reason limits_device(struct limits *l, struct limits_of *who, struct slice entity,
                          struct slice id);
void limits_leave(struct limits *l, const struct limits_of *who);

/* A request of theirs. */
enum reason limits_request(struct limits *l, const struct limits_of *who, struct mono now);
/* The same request, once its user is known. */
enum reason limits_user(struct limits *l, uint64_t user, struct mono now);

/* They showed a token under the name of a key that its provider, just asked, does not have. The
 * device counts where there is one, so that who shares an address with a forger is not taken for
 * him. */
void limits_forged(struct limits *l, const struct limits_of *who, struct mono now);
/* More of such than mistakes would explain, a moment ago: theirs are not worth waiting for. */
bool limits_is_forger(const struct limits *l, const struct limits_of *who, struct mono now);
