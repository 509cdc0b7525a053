// SPDX-License-Identifier: EUPL-1.2
/* What a worker works by: a snapshot, the TLS views made for its hosts, and the gateway's key ring.
 * Immutable, made on the compiler thread, delivered to every worker in one message: there is no
 * moment at which a request sees the rules of one snapshot and the doors of another. */
#pragma once

#include <stdatomic.h>

#include "auth/keyring.h"
#include "base/map.h"
#include "policy/snapshot.h"
#include "proxy/upstream_tls.h"
#include "proxy/view.h"

/* Where a host leads: to its application, through its view. */
struct door {
    const struct application *app;
    const struct bundle *bundle;          /* that it is of */
    const struct bundle *shadow;          /* the entity's bundle on trial; NULL: none */
    const struct application *shadow_app; /* what that has of this host; NULL: nothing */
    int64_t shadow_until_s;
    struct view *view;
    int64_t good_until_s; /* the earlier end of charter and bundle */
    /* The entity's upstream_networks, of the charter in force: no connection leads elsewhere. */
    const struct network *networks;
    uint32_t network_count;
    struct upstream_context
        *upstream_tls; /* NULL where no upstream speaks TLS, or it can't be used */
    struct slice hsts; /* Strict-Transport-Security (RFC 6797); empty: not said */
};

struct edition {
    _Atomic uint32_t references;
    atomic_int *alive; /* one less when this one is gone */
    struct snapshot *snapshot;
    struct keyring *keyring;
    struct arena arena;
    struct door *doors;
    uint32_t door_count;
    struct map hosts; /* host → struct door */
};

struct edition_settings {
    const char *certificates_dir;
    const char *keys_dir;
    atomic_int *alive; /* how many editions there are; outlives them all */
    bool
        reads_again; /* the certificates of all hosts; else only of those that are new or changed */
};

/* Takes both references. Hosts without a usable certificate have no door; each is told through
 * `missing` (called once a host, on this thread). */
struct edition *edition_make(struct snapshot *take_snapshot, struct keyring *take_keyring,
                             const struct edition_settings *s, const struct edition *last,
                             void (*missing)(void *owner, const struct fault *why), void *owner);
struct edition *edition_ref(struct edition *e);
void edition_unref(struct edition *e);
/* NULL: nothing is behind that name. `host` is canonical. */
const struct door *edition_door(const struct edition *e, struct slice host);
