// SPDX-License-Identifier: EUPL-1.2
/* What is removed from and added to a head on its way through: hop-by-hop fields, those that
 * Connection names, and every field by which a client could claim to be somebody else or make an
 * application judge another request than the rules did; under every alias that frameworks fold into
 * one (-, _ and . are one, case is one). */
#pragma once

#include "base/field_name.h"
#include "proxy/exchange.h"

/* Where the fields of a head go, one after the other: an upstream's protocol has its own form for
 * them. False: there is no room for more. */
struct field_sink {
    bool (*put)(void *owner, struct slice name, struct slice value);
    void *owner;
};

/* Whether Connection names one of these: a rule would read a field that the application never gets.
 */
bool fields_hide(const struct request *r, struct slices names);
/* The fields of the request for the upstream, into `out`, but for what each protocol says in its
 * own way: host, framing, and what is of one connection. False: past the sink's ceiling. The slices
 * live as long as the exchange, but for x->assertion. */
MUST_USE bool fields_request(const struct exchange *x, const struct field_sink *out);
/* The upstream's fields for the client, into x->response.fields (in the arena). PERMITTED, or
 * CONNECTION_AUTH where it wants to authenticate the pooled connection. */
enum reason fields_response(struct exchange *x, const struct upstream_head *head);
/* Those of a 1xx, and trailers of either side: what may pass of them, copied into the arena. */
uint32_t fields_early(struct arena *a, const struct upstream_head *head, struct field **out);
uint32_t fields_trailers(struct arena *a, const struct field *fields, uint32_t count,
                         struct field **out);
