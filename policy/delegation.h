// SPDX-License-Identifier: EUPL-1.2
/* What the charter lets an entity say: by which keys, for which hosts, to which addresses. Pure. */
#pragma once

#include "policy/bundle.h"
#include "policy/charter.h"

bool charter_key_is_valid(const struct charter_key *k, struct wall now);
/* The entity's keys that are valid at `now`, into `out` (room: e->key_count); their count. */
uint32_t delegation_keys(const struct charter_entity *e, struct wall now, struct envelope_key *out);

/* FAULT_TRUST where the URL is not https, or its host not one of the entity's fetch_hosts. */
MUST_USE bool delegation_has_url(const struct charter_entity *e, struct slice url, struct fault *f);
/* The same of where a CRL or an OCSP responder is, which may be http. */
MUST_USE bool delegation_has_status_url(const struct charter_entity *e, struct slice url,
                                        struct fault *f);
/* FAULT_TRUST where the application's host, one of its upstreams or a URL of one of its providers
 * lies outside what the entity was given. */
MUST_USE bool delegation_has_application(const struct charter_entity *e,
                                         const struct application *app, struct fault *f);
/* All of the bundle that the charter does not give, each an error: at its application, or at
 * `document` where it has no place of its own. Of every application, provider and authority, used
 * or not; and whether there are more of them than the charter's limits say. */
void delegation_review(const struct charter_entity *e, const struct bundle *b,
                       struct place document, struct findings *out);
/* Whether that is nothing; else the first of it, FAULT_TRUST. */
MUST_USE bool delegation_has_bundle(const struct charter_entity *e, const struct bundle *b,
                                    struct fault *f);
