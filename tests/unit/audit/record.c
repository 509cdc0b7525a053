// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "audit/record_in.h"
#include "base/mem.h"

#define BYTES 65536

struct bench {
    struct metrics *metrics;
    struct audit_ring *ring;
};

static struct bench bench_new(void)
{
    struct bench b = {.metrics = mem_new(struct metrics)};
    b.ring = audit_ring_new(BYTES, b.metrics);
    atomic_store(&b.ring->in_time_until_ms, INT64_MAX);
    return b;
}

static void bench_free(struct bench b)
{
    audit_ring_free(b.ring);
    mem_free(b.metrics);
}

static struct event decision(bool is_permit)
{
    return (struct event){.kind = EVENT_DECISION,
                          .is_permit = is_permit,
                          .reason = is_permit ? REASON_PERMITTED : REASON_DENIED,
                          .time_us = 1000,
                          .path = SLICE("/a")};
}

static struct event refusal_at(int64_t time_us)
{
    return (struct event){.kind = EVENT_REFUSAL,
                          .reason = REASON_HOST_UNKNOWN,
                          .time_us = time_us,
                          .client_address = SLICE("192.0.2.9")};
}

static uint32_t records_in(struct ring *r)
{
    struct slice record;
    uint32_t count = 0;
    for (const size_t mark = ring_mark(r); ring_peek(r, mark, &record); count++)
        ring_release(r, record);
    return count;
}

static uint64_t folded_in(struct audit_ring *r)
{
    char room[FOLD_NETWORK_ROOM];
    struct event e;
    uint64_t count = 0;
    struct folds *t = audit_folds_take(r);
    for (uint32_t at = 0; t && folds_next(t, &at, &e, room);)
        count += e.count;
    if (t)
        audit_folds_done(r, t);
    return count;
}

Test(record, brings_every_field_over)
{
    struct bench b = bench_new();
    const uint8_t hash[32] = {1, [31] = 2};
    const uint8_t digest[32] = {3, [31] = 4};
    const struct event in = {.kind = EVENT_END,
                             .reason = REASON_CLIENT_GONE,
                             .reference = {"AAAA-BBBB-CCCC-DDDD"},
                             .time_us = -1,
                             .entity = SLICE("1"),
                             .application = SLICE("22"),
                             .rule = SLICE("333"),
                             .missing = SLICE("4"),
                             .ruleset = SLICE("4b"),
                             .shadow_rule = SLICE("4c"),
                             .method = SLICE("5"),
                             .host = SLICE("6"),
                             .path = SLICE("7"),
                             .client_address = SLICE("8"),
                             .user_provider = SLICE("9"),
                             .user_hash = hash,
                             .user_roles = SLICE("10"),
                             .service = SLICE("11"),
                             .device = SLICE("12"),
                             .device_digest = digest,
                             .device_authority = SLICE("13"),
                             .device_serial = SLICE("14"),
                             .detail = SLICE("15"),
                             .trace_id = SLICE("16"),
                             .acr_level = 17,
                             .snapshot = 18,
                             .status = 19,
                             .http_major = 2,
                             .tls_version = SLICE("20"),
                             .tls_cipher = SLICE("21"),
                             .count = 22,
                             .bytes_in = 23,
                             .bytes_out = UINT64_MAX,
                             .duration_us = 25};
    struct slice record;
    struct event out;

    cr_assert(audit_publish(b.ring, &in));
    cr_assert(ring_peek(&b.ring->decisions, ring_mark(&b.ring->decisions), &record));
    record_read(record, &out);
    cr_expect_arr_eq(out.user_hash, hash, 32);
    cr_expect_arr_eq(out.device_digest, digest, 32);
    const struct slice *got = &out.entity;
    cr_expect(slice_eq(*got, SLICE("1")) && slice_eq(out.application, SLICE("22")));
    cr_expect(slice_eq(out.rule, SLICE("333")) && slice_eq(out.missing, SLICE("4")));
    cr_expect(slice_eq(out.ruleset, SLICE("4b")) && slice_eq(out.shadow_rule, SLICE("4c")));
    cr_expect(slice_eq(out.method, SLICE("5")) && slice_eq(out.host, SLICE("6")));
    cr_expect(slice_eq(out.path, SLICE("7")) && slice_eq(out.client_address, SLICE("8")));
    cr_expect(slice_eq(out.user_provider, SLICE("9")) && slice_eq(out.user_roles, SLICE("10")));
    cr_expect(slice_eq(out.service, SLICE("11")) && slice_eq(out.device, SLICE("12")));
    cr_expect(slice_eq(out.device_authority, SLICE("13")) &&
              slice_eq(out.device_serial, SLICE("14")));
    cr_expect(slice_eq(out.detail, SLICE("15")) && slice_eq(out.trace_id, SLICE("16")));
    cr_expect(slice_eq(out.tls_version, SLICE("20")) && slice_eq(out.tls_cipher, SLICE("21")));
    cr_expect_str_eq(out.reference.text, in.reference.text);
    cr_expect(out.kind == in.kind && out.reason == in.reason && out.is_permit == in.is_permit);
    cr_expect(out.time_us == -1 && out.acr_level == 17 && out.snapshot == 18 && out.status == 19);
    cr_expect(out.http_major == 2 && out.count == 22 && out.bytes_in == 23);
    cr_expect(out.bytes_out == UINT64_MAX && out.duration_us == 25);
    bench_free(b);
}

Test(record, permits_nothing_before_a_writer_is_there_or_after_its_word_ran_out)
{
    struct bench b = bench_new();
    struct event e = decision(true);

    atomic_store(&b.ring->in_time_until_ms, INT64_MIN);
    cr_expect_not(audit_publish(b.ring, &e));
    atomic_store(&b.ring->in_time_until_ms, e.at_ms);
    cr_expect(audit_publish(b.ring, &e));
    e.at_ms++;
    cr_expect_not(audit_publish(b.ring, &e));
    e = decision(false);
    cr_expect(audit_publish(b.ring, &e), "a deny is recorded late rather than never");
    audit_ring_free(b.ring);
    b.ring = audit_ring_new(BYTES, b.metrics);
    e = decision(true);
    cr_expect_not(audit_publish(b.ring, &e), "a new ring has no writer");
    bench_free(b);
}

Test(record, a_full_ring_refuses_permits_and_is_emptied_whole)
{
    struct bench b = bench_new();
    const struct event e = decision(true);
    uint32_t count = 0;

    while (audit_publish(b.ring, &e))
        count++;
    cr_expect_gt(count, 100);
    cr_expect_eq(records_in(&b.ring->decisions), count);
    cr_expect(audit_publish(b.ring, &e));
    bench_free(b);
}

Test(record, refusals_never_take_the_room_of_permits)
{
    struct bench b = bench_new();
    const struct event permit = decision(true);

    for (int i = 0; i < 10000; i++) {
        const struct event e = refusal_at((int64_t)i * 10000);
        audit_refusal(b.ring, &e);
    }
    const uint32_t kept = records_in(&b.ring->refusals);
    cr_expect_gt(kept, 50);
    cr_expect_eq(kept + folded_in(b.ring), 10000, "what found no room is counted");
    uint32_t count = 0;
    while (audit_publish(b.ring, &permit))
        count++;
    cr_expect_gt(count, 100);
    bench_free(b);
}

Test(record, ends_leave_room_to_decisions_and_are_counted_when_dropped)
{
    struct bench b = bench_new();
    struct event end = decision(false);
    const struct event permit = decision(true);

    end.kind = EVENT_END;
    while (audit_publish(b.ring, &end))
        ;
    cr_expect_eq(metric_get(b.metrics, METRIC_AUDIT_ENDS_DROPPED_TOTAL), 1);
    cr_expect(audit_publish(b.ring, &permit));
    bench_free(b);
}

Test(record, folds_what_is_above_the_rate_and_counts_it_exactly)
{
    struct bench b = bench_new();

    for (int i = 0; i < AUDIT_REFUSALS_PER_SECOND + 37; i++) {
        const struct event e = refusal_at(7000000 + i);
        audit_refusal(b.ring, &e);
    }
    cr_expect_eq(records_in(&b.ring->refusals), AUDIT_REFUSALS_PER_SECOND);
    cr_expect_eq(metric_get(b.metrics, METRIC_AUDIT_FOLDED_TOTAL), 37);
    struct folds *t = audit_folds_take(b.ring);
    char room[FOLD_NETWORK_ROOM];
    uint32_t at = 0;
    struct event e;
    cr_assert_not_null(t);
    cr_expect(folds_next(t, &at, &e, room));
    cr_expect(e.count == 37 && e.kind == EVENT_REFUSAL && e.reason == REASON_HOST_UNKNOWN);
    cr_expect(slice_eq(e.client_address, SLICE("192.0.2.0/24")));
    cr_expect_not(folds_next(t, &at, &e, room), "one event for all");
    audit_folds_done(b.ring, t);
    e = refusal_at(8000000);
    audit_refusal(b.ring, &e);
    cr_expect_eq(records_in(&b.ring->refusals), 1, "the next second has its own");
    cr_expect_null(audit_folds_take(b.ring));
    bench_free(b);
}

Test(record, cuts_a_long_field_and_says_so_without_leaving_half_a_number)
{
    struct bench b = bench_new();
    static char text[AUDIT_FIELD_MAX * 40];
    struct event e = decision(true);
    struct slice record;
    struct event out;

    memset(text, 'a', sizeof text);
    memcpy(text + AUDIT_FIELD_MAX - 12, "85.07.30-033.28", 15);
    e.path = slice_from(text, AUDIT_FIELD_MAX + 1);
    e.host = slice_from(text, sizeof text);
    e.rule = slice_from(text, AUDIT_FIELD_MAX);
    cr_assert(audit_publish(b.ring, &e));
    cr_assert(ring_peek(&b.ring->decisions, ring_mark(&b.ring->decisions), &record));
    record_read(record, &out);
    cr_expect(slice_ends(out.path, SLICE("aaa[cut]")));
    cr_expect(slice_ends(out.host, SLICE("aaa[cut]")));
    cr_expect_eq(out.rule.len, AUDIT_FIELD_MAX);
    ring_release(&b.ring->decisions, record);
    memcpy(text + AUDIT_FIELD_MAX - 12, "850730 033 28", 13);
    e.user_roles = slice_from(text, AUDIT_FIELD_MAX + 1);
    cr_assert(audit_publish(b.ring, &e));
    cr_assert(ring_peek(&b.ring->decisions, ring_mark(&b.ring->decisions), &record));
    record_read(record, &out);
    cr_expect(slice_ends(out.user_roles, SLICE("aaa[cut]")));
    bench_free(b);
}
