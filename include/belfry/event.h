// SPDX-License-Identifier: EUPL-1.2
/* What the audit writes. Flat and pointer-free on its way between threads: audit/record.h copies
 * it. Two kinds: the decision, complete and published before the first byte goes upstream, and the
 * small end of an exchange. */
#pragma once

#include "belfry/id.h"
#include "belfry/reason.h"
#include "belfry/slice.h"
#include "belfry/wall.h"

enum event_kind {
    EVENT_DECISION, /* permit or deny by the rules, or a refusal on the way to them */
    EVENT_END,      /* how a permitted exchange ended */
    EVENT_SESSION,  /* somebody signed in or out, or a session ended or changed: `action` */
    EVENT_REFUSAL,  /* refused before any identity: malformed, unknown host, handshake */
};

struct event {
    enum event_kind kind;
    bool is_permit;
    bool was_judged;    /* by the rules */
    bool facts_are_cut; /* some of them had no room */
    enum reason reason;
    struct reference reference;
    int64_t time_us; /* wall, microseconds since 1970 */
    int64_t at_ms;   /* monotonic, of a decision: is its evidence in time? Not recorded */
    struct slice entity;
    struct slice application;
    struct slice rule;
    struct slice missing;
    struct slice ruleset;     /* "baseline" where the rule is the charter's */
    struct slice shadow_rule; /* in shadow: would have made the other verdict; empty: none */
    struct slice trial_rule;  /* of the bundle in shadow that would have decided otherwise */
    struct slice method;
    struct slice host;
    struct slice path; /* canonical, redacted by the writer */
    struct slice client_address;
    struct slice user_provider;
    const uint8_t *user_hash; /* 32 bytes or NULL */
    struct slice user_roles;  /* groups joined by "," (not identifying) */
    struct slice facts;       /* what else rules asked for: sealed by the writer, never in clear */
    struct slice service;
    struct slice device;          /* facts_device.id */
    const uint8_t *device_digest; /* 32 bytes or NULL */
    struct slice device_authority;
    struct slice device_serial;
    struct slice detail;   /* our own words on what was wrong; never from the client */
    struct slice trace_id; /* 32 hex digits */
    int64_t acr_level;
    uint64_t snapshot;
    uint64_t trial_serial; /* of that bundle; 0: none would have */
    uint16_t status;       /* of the answer; 0 when not known */
    uint8_t http_major;    /* 1 or 2 */
    struct slice tls_version;
    struct slice tls_cipher;
    uint64_t count; /* EVENT_REFUSAL: how many were folded into this one; 0: it stands for itself */
    /* EVENT_END only */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t duration_us;
    /* EVENT_SESSION only */
    struct slice action;  /* "sign-in", "sign-out", "session-end", "sessions-end", "session-move" */
    struct slice session; /* its handle, which opens nothing; empty: all of the user */
};
