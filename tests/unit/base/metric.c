// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/metric.h"
#include "base/reason.h"

Test(metric, values_of_all_threads_are_summed_and_described)
{
    static struct metrics a, b;
    struct metrics *const all[] = {&a, &b};
    struct buf out;
    buf_init(&out, 1u << 16);
    metric_add(&a, METRIC_CONNECTIONS_TOTAL, 40);
    metric_add(&b, METRIC_CONNECTIONS_TOTAL, 2);
    metric_set(&b, METRIC_SNAPSHOT, 7);
    metric_set(&a, METRIC_CONTROL_BUSY_SECONDS, 1500);
    metric_answer(&a, REASON_DENIED);
    metric_answer(&b, REASON_DENIED);
    metrics_print(&out, all, 2);
    cr_assert(buf_add(&out, SLICE("\0")));
    const char *text = buf_slice(&out).ptr;
    cr_assert(strstr(text, "# HELP belfry_connections_total Client connections accepted.\n"
                           "# TYPE belfry_connections_total counter\n"
                           "belfry_connections_total 42\n"));
    cr_assert(strstr(text, "# TYPE belfry_snapshot gauge\nbelfry_snapshot 7\n"));
    cr_assert(strstr(text, "# TYPE belfry_control_busy_seconds gauge\n"
                           "belfry_control_busy_seconds 0.001500\n"));
    cr_assert(strstr(text, "# TYPE belfry_exchanges_total counter\n"
                           "belfry_exchanges_total{reason=\"internal\"} 0\n"));
    cr_assert(strstr(text, "\nbelfry_exchanges_total{reason=\"denied\"} 2\n"));
    cr_assert(strstr(text, "\nbelfry_exchanges_total{reason=\"handshake_failed\"} 0\n"));
    cr_assert_eq(text[strlen(text) - 1], '\n');
    buf_fini(&out);
}

Test(metric, a_full_buffer_ends_with_a_whole_line)
{
    static struct metrics a;
    struct metrics *const all[] = {&a};
    struct buf out;
    buf_init(&out, 1000);
    metrics_print(&out, all, 1);
    struct slice text = buf_slice(&out);
    cr_assert_gt(text.len, 500);
    cr_assert_eq(text.ptr[text.len - 1], '\n');
    buf_fini(&out);
}

Test(reason, an_unknown_one_reads_as_a_refusal)
{
    cr_assert_eq(reason_status((enum reason)REASON_COUNT), 500);
    cr_assert_eq(reason_status((enum reason) - 1), 500);
    cr_assert(slice_eq(reason_name(REASON_DEVICE_REQUIRED), SLICE("device_required")));
    cr_assert(slice_eq(reason_outcome(REASON_DEVICE_REQUIRED), SLICE("failure")));
    cr_assert_eq(reason_status(REASON_DEVICE_REQUIRED), 403);
}

/* Only "permitted" may look like a success, whatever lines come into the table. */
Test(reason, only_permitted_succeeds)
{
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        bool is_success = slice_eq(reason_outcome((enum reason)i), SLICE("success"));
        uint16_t status = reason_status((enum reason)i);
        cr_assert_eq(is_success, i == REASON_PERMITTED);
        cr_assert(i == REASON_PERMITTED || status == 0 || status >= 400);
    }
}
