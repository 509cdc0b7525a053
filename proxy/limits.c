// SPDX-License-Identifier: EUPL-1.2
/* Which limit asks which table. */
#include "proxy/limits.h"

#include "base/hash.h"
#include "base/network.h"

#define RATE_SETS 2048 /* 16,384 keys in debt at one moment: 256 KiB a worker */

#define MS_NS 1000000

/* One table holds all rates: what a key is a key of is part of it. */
#define OF_ALL 0x9e3779b97f4a7c15u
#define OF_HANDSHAKES 0xc2b2ae3d27d4eb4fu
#define OF_DEVICE 0x165667b19e3779f9u
#define OF_USER 0x27d4eb2f165667c5u
#define OF_FORGED 0x85ebca77c2b2ae63u

#define FORGED_PER_S 1 /* five at once */

void limits_init(struct limits *l, const struct config *config)
{
    *l = (struct limits){.config = config};
    tally_init(&l->addresses, (size_t)config->max_connections);
    tally_init(&l->devices, (size_t)config->max_connections);
    buckets_init(&l->rates, RATE_SETS);
}

void limits_fini(struct limits *l)
{
    tally_fini(&l->addresses);
    tally_fini(&l->devices);
    buckets_fini(&l->rates);
}

enum reason limits_enter(struct limits *l, struct limits_of *who)
{
    *who = (struct limits_of){0};
    if (l->connections >= (uint64_t)l->config->max_connections)
        return REASON_CONNECTIONS_FULL;
    l->connections++;
    return REASON_PERMITTED;
}

enum reason limits_address(struct limits *l, struct limits_of *who, const struct sockaddr *from,
                           struct mono now)
{
    const struct config *c = l->config;
    const int64_t now_ns = now.ms * MS_NS;
    uint8_t site[16];
    uint64_t address = table_hash(address_site(site, from)) | 1;
    /* Who has used up his own share takes nothing of what is everybody's. */
    if (!buckets_take(&l->rates, address ^ OF_HANDSHAKES, c->max_address_handshakes, now_ns))
        return REASON_HANDSHAKES_ADDRESS;
    if (!tally_add(&l->addresses, address, (uint64_t)c->max_address_connections))
        return REASON_CONNECTIONS_ADDRESS;
    who->address = address;
    return buckets_take(&l->rates, OF_ALL, c->max_handshakes, now_ns) ? REASON_PERMITTED
                                                                      : REASON_HANDSHAKES_FULL;
}

enum reason limits_device(struct limits *l, struct limits_of *who, struct slice entity,
                          struct slice id)
{
    /* Not 0, which is none. */
    uint64_t device = (table_hash(id) ^ (table_hash(entity) << 1)) | 1;
    if (!tally_add(&l->devices, device, (uint64_t)l->config->max_device_connections))
        return REASON_CONNECTIONS_DEVICE;
    who->device = device;
    return REASON_PERMITTED;
}

void limits_leave(struct limits *l, const struct limits_of *who)
{
    l->connections--;
    if (who->address)
        tally_drop(&l->addresses, who->address);
    if (who->device)
        tally_drop(&l->devices, who->device);
}

enum reason limits_request(struct limits *l, const struct limits_of *who, struct mono now)
{
    const struct config *c = l->config;
    if (who->device &&
        !buckets_take(&l->rates, who->device ^ OF_DEVICE, c->max_device_requests, now.ms * MS_NS))
        return REASON_RATE_DEVICE;
    if (who->address &&
        !buckets_take(&l->rates, who->address, c->max_address_requests, now.ms * MS_NS))
        return REASON_RATE_ADDRESS;
    return REASON_PERMITTED;
}

enum reason limits_user(struct limits *l, uint64_t user, struct mono now)
{
    return buckets_take(&l->rates, user ^ OF_USER, l->config->max_user_requests, now.ms * MS_NS)
               ? REASON_PERMITTED
               : REASON_RATE_USER;
}

static uint64_t forger_of(const struct limits_of *who)
{
    return (who->device ? who->device : who->address) ^ OF_FORGED;
}

void limits_forged(struct limits *l, const struct limits_of *who, struct mono now)
{
    (void)buckets_take(&l->rates, forger_of(who), FORGED_PER_S, now.ms * MS_NS);
}

bool limits_is_forger(const struct limits *l, const struct limits_of *who, struct mono now)
{
    return !buckets_has(&l->rates, forger_of(who), FORGED_PER_S, now.ms * MS_NS);
}
