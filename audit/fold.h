// SPDX-License-Identifier: EUPL-1.2
/* Refusals above the rate, summed: one count per (reason, network of the client, second), the
 * network being a /24 or a /48. A table of fixed size; what finds no place in it is summed per
 * reason alone. So a flood costs neither memory nor lines, and the sum of the counts is always
 * exact. One thread at a time. */
#pragma once

#include "belfry/event.h"

#define FOLD_SLOTS                                                                                 \
    256 /* more networks than that within a second: the rest is summed per reason                  \
         */
#define FOLD_NETWORK_ROOM 64

struct fold {
    uint64_t count; /* 0: free */
    int64_t second;
    int64_t first_us;
    uint8_t network[16]; /* IPv4 as v4-mapped */
    uint8_t prefix;      /* 0: any network */
    uint8_t reason;
    uint16_t status;
};

struct folds {
    uint64_t count; /* of refusals in all */
    struct fold slots[FOLD_SLOTS];
    struct fold rest[REASON_COUNT];
};

void folds_add(struct folds *t, const struct event *e);
/* Walks the table: start with *at = 0. Each step fills `e` with one counted event, whose
 * client_address is the network as text in `room` ("203.0.113.0/24"), empty for any. False at the
 * end. */
MUST_USE bool folds_next(const struct folds *t, uint32_t *at, struct event *e,
                         char room[FOLD_NETWORK_ROOM]);
void folds_clear(struct folds *t);
