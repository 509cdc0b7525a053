// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "proxy/worker.h"

Test(worker, limits_of_applications_never_take_the_place_of_its_own)
{
    const struct config config = {.handshake_ms = 10000,
                                  .head_ms = 30000,
                                  .keepalive_ms = 120000,
                                  .stalled_ms = 60000,
                                  .body_ms = 10500,
                                  .max_connections = 10,
                                  .upstream_idle_ms = 31000};
    const int64_t ours[] = {config.handshake_ms, config.head_ms, config.keepalive_ms,
                            config.stalled_ms,   config.body_ms, config.upstream_idle_ms};
    struct worker *w = worker_new(0, &config, NULL, NULL, NULL, 0);
    for (int64_t i = 0; i < WORKER_LENGTHS; i++)
        (void)worker_deadlines(w, 86400000 - i);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        cr_expect_eq(worker_deadlines(w, ours[i])->length_ms, ours[i], "%lld ms",
                     (long long)ours[i]);
    worker_free(w);
}

/* Who fills the table with odd limits must not shorten the others', which come later. */
Test(worker, limits_of_one_application_cut_no_other_early)
{
    const struct config config = {.handshake_ms = 1000,
                                  .head_ms = 1000,
                                  .keepalive_ms = 1000,
                                  .stalled_ms = 1000,
                                  .body_ms = 1000,
                                  .upstream_idle_ms = 1000};
    struct worker *w = worker_new(0, &config, NULL, NULL, NULL, 0);
    for (int64_t i = 0; i < 1000; i++)
        (void)worker_deadlines(w, 10 + i);
    for (int64_t ms = 10; ms <= 86400000; ms = ms * 9 / 7 + 1) {
        const int64_t is = worker_deadlines(w, ms)->length_ms;
        cr_expect(is >= ms && is <= ms + ms / 4, "%lld ms are %lld", (long long)ms, (long long)is);
    }
    worker_free(w);
}
