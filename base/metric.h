// SPDX-License-Identifier: EUPL-1.2
/* Counters of one thread, summed by the reader. Each thread owns a `struct metrics` and only it
 * writes there; a reader on another thread sees values that are whole (relaxed atomics) and a
 * moment old. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "belfry/reason.h"

enum metric {
#define METRIC(NAME, name, kind, help) METRIC_##NAME,
#include "base/metric.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics {
    _Atomic int64_t value[METRIC_COUNT];
    _Atomic int64_t answers[REASON_COUNT]; /* belfry_exchanges_total{reason} */
};

/* Only the owner writes: load, add, store, all relaxed; no locked instruction. */
static inline void metric_add(struct metrics *m, enum metric which, int64_t n)
{
    atomic_store_explicit(&m->value[which],
                          atomic_load_explicit(&m->value[which], memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void metric_set(struct metrics *m, enum metric which, int64_t n)
{
    atomic_store_explicit(&m->value[which], n, memory_order_relaxed);
}
static inline int64_t metric_get(const struct metrics *m, enum metric which)
{
    return atomic_load_explicit(&m->value[which], memory_order_relaxed);
}
static inline void metric_answer(struct metrics *m, enum reason reason)
{
    atomic_store_explicit(&m->answers[reason],
                          atomic_load_explicit(&m->answers[reason], memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

struct buf;
/* Prometheus text of `count` metrics summed. */
void metrics_print(struct buf *out, struct metrics *const *all, uint32_t count);
