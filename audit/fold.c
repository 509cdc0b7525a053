// SPDX-License-Identifier: EUPL-1.2
/* Open addressing with a few probes. An attacker who makes slots collide only reaches the sums per
 * reason sooner; so the hash needs no key. */
#include "audit/fold.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#define PROBES 8

static const uint8_t v4_mapped[12] = {[10] = 0xFF, [11] = 0xFF};

/* The network of an address given as text; prefix 0 where it is none. */
static void network_of(struct slice address, uint8_t network[16], uint8_t *prefix)
{
    char text[INET6_ADDRSTRLEN];

    memset(network, 0, 16);
    *prefix = 0;
    if (address.len == 0 || address.len >= sizeof text)
        return;
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    if (inet_pton(AF_INET, text, network + 12) == 1) {
        memcpy(network, v4_mapped, sizeof v4_mapped);
        network[15] = 0;
        *prefix = 24;
    } else if (inet_pton(AF_INET6, text, network) == 1) {
        memset(network + 6, 0, 10);
        *prefix = 48;
    } else {
        memset(network, 0, 16);
    }
}

static bool is_same(const struct fold *a, const struct fold *b)
{
    return a->second == b->second && a->reason == b->reason && a->prefix == b->prefix &&
           memcmp(a->network, b->network, sizeof a->network) == 0;
}

static uint32_t slot_of(const struct fold *f)
{
    uint64_t hash = (uint64_t)f->second * 31 + f->reason;

    for (size_t i = 0; i < sizeof f->network; i++)
        hash = (hash ^ f->network[i]) * 0x100000001B3u; /* FNV-1a */
    return (uint32_t)(hash >> 24);
}

void folds_add(struct folds *t, const struct event *e)
{
    assert(e->reason < REASON_COUNT);
    struct fold key = {.second = e->time_us / 1000000,
                       .first_us = e->time_us,
                       .reason = (uint8_t)e->reason,
                       .status = e->status};
    const uint64_t count = e->count ? e->count : 1;

    network_of(e->client_address, key.network, &key.prefix);
    struct fold *found = &t->rest[e->reason];
    for (uint32_t i = 0, at = slot_of(&key); i < PROBES; i++, at++) {
        struct fold *f = &t->slots[at % FOLD_SLOTS];
        if (f->count == 0 || is_same(f, &key)) {
            found = f;
            break;
        }
    }
    if (found->count == 0) {
        *found = key;
        if (found == &t->rest[e->reason]) {
            memset(found->network, 0, sizeof found->network);
            found->prefix = 0;
        }
    }
    found->count += count;
    t->count += count;
}

bool folds_next(const struct folds *t, uint32_t *at, struct event *e, char room[FOLD_NETWORK_ROOM])
{
    char text[INET6_ADDRSTRLEN] = "";

    for (; *at < FOLD_SLOTS + REASON_COUNT; (*at)++) {
        const struct fold *f = *at < FOLD_SLOTS ? &t->slots[*at] : &t->rest[*at - FOLD_SLOTS];
        if (f->count == 0)
            continue;
        room[0] = '\0';
        if (f->prefix == 24 && inet_ntop(AF_INET, f->network + 12, text, sizeof text))
            snprintf(room, FOLD_NETWORK_ROOM, "%s/24", text);
        else if (f->prefix == 48 && inet_ntop(AF_INET6, f->network, text, sizeof text))
            snprintf(room, FOLD_NETWORK_ROOM, "%s/48", text);
        *e = (struct event){.kind = EVENT_REFUSAL,
                            .reason = (enum reason)f->reason,
                            .time_us = f->first_us,
                            .status = f->status,
                            .count = f->count,
                            .client_address = slice_of(room)};
        (*at)++;
        return true;
    }
    return false;
}

void folds_clear(struct folds *t)
{
    if (t->count)
        memset(t, 0, sizeof *t);
}
