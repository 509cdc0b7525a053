// SPDX-License-Identifier: EUPL-1.2
/* The Prometheus text format, version 0.0.4. Where the buffer is full the text ends with a whole
 * line. */
#include "base/metric.h"

#include <inttypes.h>

#include "base/buf.h"
#include "base/reason.h"

enum kind { KIND_counter, KIND_gauge, KIND_gauge_us };

static const struct {
    const char *name;
    const char *help;
    enum kind kind;
} table[METRIC_COUNT] = {
#define METRIC(NAME, name, kind, help) [METRIC_##NAME] = {name, help, KIND_##kind},
#include "base/metric.def"
#undef METRIC
};

static int64_t sum(struct metrics *const *all, uint32_t count, enum metric which)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += metric_get(all[i], which);
    return total;
}

static int64_t sum_answers(struct metrics *const *all, uint32_t count, enum reason reason)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += atomic_load_explicit(&all[i]->answers[reason], memory_order_relaxed);
    return total;
}

static bool print_one(struct buf *out, enum metric which, int64_t value)
{
    const char *name = table[which].name;
    const char *kind = table[which].kind == KIND_counter ? "counter" : "gauge";
    char number[32];
    if (table[which].kind == KIND_gauge_us)
        (void)snprintf(number, sizeof number, "%.6f", (double)value / 1e6);
    else
        (void)snprintf(number, sizeof number, "%" PRId64, value);
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %s\n", name, table[which].help, name,
                      kind, name, number);
}

void metrics_print(struct buf *out, struct metrics *const *all, uint32_t count)
{
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        if (!print_one(out, (enum metric)i, sum(all, count, (enum metric)i)))
            return;
    if (!buf_printf(out, "# HELP belfry_exchanges_total Exchanges ended, by reason.\n"
                         "# TYPE belfry_exchanges_total counter\n"))
        return;
    for (unsigned i = 0; i < REASON_COUNT; i++)
        if (!buf_printf(out, "belfry_exchanges_total{reason=\"%.*s\"} %" PRId64 "\n",
                        SLICE_ARG(reason_name((enum reason)i)),
                        sum_answers(all, count, (enum reason)i)))
            return;
}
