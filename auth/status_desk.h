// SPDX-License-Identifier: EUPL-1.2
/* Learns which certificates are revoked, on the control thread: fetches the CRLs of all authorities
 * of the snapshot in force ahead of their nextUpdate, asks OCSP responders about certificates that
 * workers meet and again while these are in use, and hands out a new table (auth/status.h) whenever
 * something has changed. Where it may go is the charter's to say, of each URL and each address. The
 * last good CRLs and answers are kept in state_dir: at the next start they count until there is a
 * later one. What is kept of authorities that are gone is removed. */
#pragma once

#include "auth/status.h"
#include "base/loop.h"
#include "base/metric.h"
#include "policy/snapshot.h"

struct status_desk;
struct status_settings {
    const char *ca_file;   /* for https; NULL: the system's */
    const char *state_dir; /* where both are kept for the next start; NULL: nowhere */
};
struct status_hooks {
    /* A new table; the hook takes over its reference. `is_worse`: somebody who was let in may be
     * let in no longer. On the control thread; may not call back into the desk. */
    void (*changed)(void *owner, struct statuses *take, bool is_worse);
    void *owner;
};
/* NULL with a fault where its threads can't be started. */
struct status_desk *status_desk_new(struct loop *l, const struct status_settings *settings,
                                    struct metrics *m, struct status_hooks hooks, struct fault *f);
void status_desk_free(struct status_desk *d);
/* Authorities of this snapshot are followed from now on; lists and answers of those that stay
 * stay. Always hands out a table before it returns; lists that are at hand but not read yet, in the
 * bundle or from the last start, follow in another, and nobody is let in by allow_for before. */
void status_desk_follow(struct status_desk *d, struct snapshot *s);
/* A worker met a certificate that was found good, and its answer wants this. `answered` runs once,
 * maybe at once: look again. */
void status_desk_want(struct status_desk *d, const uint8_t authority_digest[32], struct slice leaf,
                      const struct chain_link *link, void (*answered)(void *owner), void *owner);
/* Sources of CRLs that have no usable one now; for readiness. */
uint32_t status_desk_without_crl(const struct status_desk *d);
/* Ages as metrics, now. */
void status_desk_measure(struct status_desk *d);
