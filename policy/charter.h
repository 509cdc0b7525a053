// SPDX-License-Identifier: EUPL-1.2
/* The federation's signed document: what holds for all, and for each entity the hosts, networks and
 * keys delegated to it. Immutable after load. YAML `belfry: charter/v1`, serial, not_after, grace,
 * revoked_keys, baseline, entities: [{ id, name, hosts, upstream_networks, fetch_networks,
 * fetch_hosts, min_serial, limits, keys: [{ id, public, owner, not_before, not_after }], approvals
 * }]. */
#pragma once

#include "base/arena.h"
#include "base/findings.h"
#include "base/network.h"
#include "belfry/facts.h"
#include "policy/bundle.h"
#include "policy/envelope.h"

struct charter_key {
    struct envelope_key key;
    int64_t not_before_s; /* 0: always */
    int64_t not_after_s;  /* INT64_MAX: always */
};

struct charter_entity {
    struct slice id; /* [a-z0-9-]{1,64} */
    struct slice name;
    struct slices hosts; /* canonical patterns */
    struct network *upstream_networks;
    uint32_t upstream_network_count;
    struct slices fetch_hosts;      /* hosts that URLs of its bundle may name */
    struct network *fetch_networks; /* where they may lead */
    uint32_t fetch_network_count;
    struct charter_key *keys;
    uint32_t key_count;
    uint32_t approvals;        /* different hands that must have signed, >= 1 */
    uint32_t max_applications; /* of its bundle; UINT32_MAX: as many as fit */
    uint32_t max_rules;        /* of all its applications together */
    int64_t min_serial;
    struct place place;
};

/* What holds for every application of every entity, whatever its own rules say. Judged as written
 * in policy/decide.c. `baseline: { require: [{ id, when, reason, remedy }], forbid: [{ id, methods,
 * paths, when }] }`, each with owner, purpose, review_by, expires and mode as in a bundle. */
struct baseline {
    struct rule *requirements; /* RULE_REQUIRE: a condition always, no methods, no paths */
    uint32_t requirement_count;
    struct rule *forbids; /* RULE_FORBID */
    uint32_t forbid_count;
    /* By charter_compile. */
    bool has_shadow;              /* some rule of it is in shadow */
    bool reads_time;              /* some requirement does */
    bool reads_age;               /* of a session */
    bool reads_query;             /* some requirement asks for the query's parameters */
    uint64_t reads;               /* all facts that its conditions name */
    const struct rules *rules[2]; /* of the forbids; [1] where case is folded */
};

struct charter {
    struct arena arena;
    int64_t serial;
    int64_t not_after_s;
    int64_t grace_s;                 /* how long charter and bundles go on behind their not_after */
    struct public_key *revoked_keys; /* count nowhere, also where gateways are told to trust them */
    uint32_t revoked_key_count;
    struct charter_entity *entities;
    uint32_t entity_count;
    struct baseline baseline;
    struct place place; /* the document's */
};

/* NULL on any error. Two entities whose hosts overlap are an error. */
struct charter *charter_load(struct slice text, const char *file, struct findings *out);
void charter_free(struct charter *c);
const struct charter_entity *charter_entity(const struct charter *c, struct slice id);
bool charter_revokes(const struct charter *c, const struct public_key *k);
