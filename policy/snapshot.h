// SPDX-License-Identifier: EUPL-1.2
/* Charter and all bundles, verified, compiled, immutable, reference-counted: what every decision is
 * made on. Made on the compiler thread, read on any. A bundle that did not change is shared with
 * the snapshot before. */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "policy/bundle.h"
#include "policy/charter.h"
#include "policy/serials.h"

/* What became of one document. A refused one never replaces a good one. OVER: a bundle in shadow
 * whose serial the one in force has reached. */
enum document_fate {
    FATE_ABSENT = 0,
    FATE_ACTIVE,
    FATE_UNCHANGED,
    FATE_REFUSED,
    FATE_EXPIRED,
    FATE_OVER
};

struct document_status {
    struct slice entity; /* the document's name (policy/serials.h) */
    enum document_fate fate;
    int64_t serial;   /* of the active one; 0: none */
    struct fault why; /* with REFUSED, EXPIRED */
};

/* A host that had, or would have, an application, and why requests for it are refused. */
struct withdrawn {
    struct slice host;
    struct slice entity;
    enum reason why; /* NOT_DELEGATED, POLICY_EXPIRED */
};

struct snapshot {
    _Atomic uint32_t references;
    uint64_t number; /* 1, 2, ... in this process */
    struct wall made_at;
    int64_t not_after_s; /* the charter's, with its grace */
    int64_t grace_s;     /* the charter's */
    struct charter_ref *charter;
    const struct baseline *baseline; /* the charter's; NULL without one */
    struct bundle_ref **bundles;     /* one an entity that has one, in the charter's order */
    uint32_t bundle_count;
    const struct application **applications; /* all that may be reached */
    uint32_t application_count;
    struct map hosts;            /* host → struct application */
    struct map entities;         /* entity → struct bundle_ref, of `bundles` */
    struct bundle_ref **shadows; /* bundles in shadow: they decide nothing */
    uint32_t shadow_count;
    struct map shadow_of; /* entity → struct bundle_ref, of `shadows` */
    struct map withdrawn; /* host → struct withdrawn: names that are known and not served */
    struct document_status *status;
    uint32_t status_count;
    struct arena arena;
};

/* A verified document as it came, kept to be verified again by the keys then in force. */
struct sealed {
    struct slice bytes;         /* the envelope; owned */
    uint8_t payload_digest[32]; /* what serials are remembered with */
};

/* Shared, immutable parts of snapshots. */
struct charter_ref {
    _Atomic uint32_t references;
    struct charter *charter;
    struct sealed sealed;
};
struct bundle_ref {
    _Atomic uint32_t references;
    struct bundle *bundle;
    struct sealed sealed;
};

struct snapshot_document {
    struct slice entity; /* the document's name */
    struct slice bytes;  /* the envelope */
};

struct snapshot_input {
    const struct envelope_key *federation_keys; /* trust.federation_keys */
    uint32_t federation_key_count;
    int64_t min_charter_serial;
    const struct snapshot_document *documents;
    uint32_t document_count;
    const struct serials *known; /* highest seen; the caller notes the new before it activates */
    const struct snapshot *last; /* NULL at first: what is good there stays */
    struct wall now;
};

/* Never NULL: with nothing good in the input it is a snapshot with no applications. Nothing is kept
 * that the charter in force does not carry: what stays of `last` is verified by today's keys and
 * judged by today's delegation. A document that was active before (in `last`, or by serial and
 * digest in `known`) and whose hosts, upstreams or providers were narrowed since loses only those
 * applications; a new one is refused whole. Blocks for as long as loading takes: the compiler
 * thread. */
struct snapshot *snapshot_build(const struct snapshot_input *input);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* NULL is fine */

/* Raises `out` to the serials of all that is active in `s`. False (FAULT_LIMIT) past what serials
 * hold. */
MUST_USE bool snapshot_serials(const struct snapshot *s, struct serials *out, struct fault *f);

/* host → application. NULL with HOST_UNKNOWN, NOT_DELEGATED or POLICY_EXPIRED (charter's or
 * bundle's not_after passed at `now`). */
const struct application *snapshot_route(const struct snapshot *s, struct slice host,
                                         struct wall now, enum reason *why);
/* The last second in which the bundle's applications are served, but for the charter's end. */
int64_t snapshot_end(const struct snapshot *s, const struct bundle *b);
const struct bundle *snapshot_bundle(const struct snapshot *s, struct slice entity);
/* The one in shadow beside it; NULL where there is none, or its trial is over. */
const struct bundle *snapshot_shadow(const struct snapshot *s, struct slice entity);
const struct charter_entity *snapshot_entity(const struct snapshot *s, struct slice entity);
