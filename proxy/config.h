// SPDX-License-Identifier: EUPL-1.2
/* belfry.yaml. The keys are in config.def, from which reading, unknown-key errors and
 * docs/configuration.md grow. Immutable once read; owned by whoever read it. */
#pragma once

#include "base/arena.h"
#include "base/findings.h"
#include "base/logger.h"
#include "base/network.h"
#include "base/redis.h"
#include "belfry/facts.h"
#include "policy/envelope.h"

#define CONFIG_MAX_LISTENERS 16
#define CONFIG_MAX_WORKERS 256
#define CONFIG_MAX_DNS_SERVERS 8
#define CONFIG_MAX_PROXIES 64 /* networks of balancers; a connection is compared with each */

struct config_listener {
    struct slice address;    /* "127.0.0.1:8443" */
    struct network *proxies; /* who announces clients by the PROXY protocol, and nobody else may
                                connect; none: clients come by themselves */
    uint32_t proxy_count;
};

struct config {
    struct arena arena;
    struct slice path;
    struct config_listener *listen;
    uint32_t listen_count;
    int64_t workers;
    struct slice admin_listen;     /* empty: no admin listener */
    struct slice state_dir;        /* NUL behind */
    struct slice certificates_dir; /* NUL behind */
    struct slice keys_dir;         /* NUL behind */
    struct slice secrets_dir;      /* NUL behind; empty: none */
    struct slice store_url;
    struct redis_address store;
    int64_t store_max_stale_ms;
    struct envelope_key *federation_keys;
    uint32_t federation_key_count;
    int64_t min_charter_serial;
    struct slice audit_file; /* NUL behind */
    bool refuses_unknown;    /* store.revocations_unknown: refuse */
    bool audit_synced;
    bool audit_holds_facts;
    int64_t audit_rotate_bytes;
    int64_t audit_max_behind_ms;
    struct slice fetch_ca_file; /* NUL behind; empty: the system's */
    struct slices dns_servers;  /* none: the system's */
    int64_t dns_max_stale_ms;
    int64_t drain_ms;
    struct slice user;  /* NUL behind; empty: who started it */
    struct slice group; /* NUL behind; empty: the user's */
    bool is_sandboxed;
    struct slice log_level_name;
    enum log_level log_level;
    /* limits */
    int64_t max_connections; /* per worker */
    int64_t max_address_connections;
    int64_t max_device_connections;
    int64_t max_handshakes; /* a second, like the others below */
    int64_t max_address_handshakes;
    int64_t max_address_requests;
    int64_t max_device_requests;
    int64_t max_user_requests;
    int64_t max_streams; /* per h2 connection */
    int64_t head_bytes;
    int64_t max_fields;
    int64_t body_rate; /* bytes a second */
    int64_t stream_window_bytes;
    int64_t max_upstream_connections; /* per upstream and worker */
    /* timeouts */
    int64_t handshake_ms;
    int64_t head_ms;
    int64_t body_ms;
    int64_t keepalive_ms;
    int64_t stalled_ms; /* a client that takes nothing of what is ready */
    int64_t upstream_idle_ms;
};

/* NULL where anything is wrong; all of it is in `out`. */
struct config *config_read(const char *path, struct findings *out);
void config_free(struct config *c);
/* Is that one of the ports listened on? (RFC 9110 §7.2: an authority with another port is for
 * somebody else.) */
bool config_listens_on(const struct config *c, uint16_t port);
/* What a reload may not change; empty where it all may. Names the first key that differs. */
struct slice config_fixed_difference(const struct config *a, const struct config *b);
