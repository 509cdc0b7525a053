// SPDX-License-Identifier: EUPL-1.2
#include "audit/fold.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/mem.h"

static struct event refusal(enum reason reason, const char *address, int64_t time_us)
{
    return (struct event){.kind = EVENT_REFUSAL,
                          .reason = reason,
                          .time_us = time_us,
                          .status = 404,
                          .client_address = slice_of(address)};
}

static uint64_t counted(const struct folds *t, enum reason reason, const char *network,
                        int64_t second)
{
    char room[FOLD_NETWORK_ROOM];
    struct event e;
    uint64_t count = 0;

    for (uint32_t at = 0; folds_next(t, &at, &e, room);)
        if (e.reason == reason && e.time_us / 1000000 == second &&
            slice_eq(e.client_address, slice_of(network)))
            count += e.count;
    return count;
}

Test(fold, counts_per_reason_network_and_second)
{
    static const struct {
        enum reason reason;
        const char *address;
        int64_t time_us;
    } in[] = {
        {REASON_HOST_UNKNOWN, "203.0.113.1", 5000000},
        {REASON_HOST_UNKNOWN, "203.0.113.254", 5999999},
        {REASON_HOST_UNKNOWN, "203.0.112.1", 5000000},
        {REASON_HOST_UNKNOWN, "203.0.113.1", 6000000},
        {REASON_NOT_FOUND, "203.0.113.1", 5000000},
        {REASON_NOT_FOUND, "2001:db8:1:2::3", 5000000},
        {REASON_NOT_FOUND, "2001:db8:1:ffff::", 5000000},
        {REASON_NOT_FOUND, "not an address", 5000000},
    };
    struct folds *t = mem_new(struct folds);
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
        const struct event e = refusal(in[i].reason, in[i].address, in[i].time_us);
        folds_add(t, &e);
    }
    cr_expect_eq(counted(t, REASON_HOST_UNKNOWN, "203.0.113.0/24", 5), 2);
    cr_expect_eq(counted(t, REASON_HOST_UNKNOWN, "203.0.112.0/24", 5), 1);
    cr_expect_eq(counted(t, REASON_HOST_UNKNOWN, "203.0.113.0/24", 6), 1);
    cr_expect_eq(counted(t, REASON_NOT_FOUND, "203.0.113.0/24", 5), 1);
    cr_expect_eq(counted(t, REASON_NOT_FOUND, "2001:db8:1::/48", 5), 2);
    cr_expect_eq(counted(t, REASON_NOT_FOUND, "", 5), 1);
    cr_expect_eq(t->count, 8);
    folds_clear(t);
    cr_expect_eq(counted(t, REASON_NOT_FOUND, "203.0.113.0/24", 5), 0);
    mem_free(t);
}

Test(fold, loses_no_count_when_there_are_more_networks_than_slots)
{
    struct folds *t = mem_new(struct folds);
    char room[FOLD_NETWORK_ROOM];
    uint64_t sum = 0;
    uint32_t lines = 0;
    struct event e;

    for (int i = 0; i < 20000; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.%d.%d.1", i / 256, i % 256);
        e = refusal(i % 2 ? REASON_HOST_UNKNOWN : REASON_NOT_FOUND, address, 1000000);
        folds_add(t, &e);
    }
    for (uint32_t at = 0; folds_next(t, &at, &e, room); lines++)
        sum += e.count;
    cr_expect_eq(sum, 20000);
    cr_expect_leq(lines, FOLD_SLOTS + 2);
    cr_expect_gt(counted(t, REASON_HOST_UNKNOWN, "", 1), 9000);
    mem_free(t);
}
