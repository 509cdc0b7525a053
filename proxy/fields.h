// SPDX-License-Identifier: EUPL-1.2
/* What is removed from and added to a head on its way through: hop-by-hop fields, those that
 * Connection names, and every field by which a client could claim to be somebody else or make an
 * application judge another request than the rules did; under every alias that frameworks fold into
 * one (-, _ and . are one, case is one). */
#pragma once

#include "proxy/exchange.h"

/* The request's head for the upstream, into `out`. False: past the ceiling. */
MUST_USE bool fields_request(const struct exchange *x, struct slice assertion, struct buf *out);
/* The upstream's fields for the client, into x->response.fields (in the arena). PERMITTED, or
 * CONNECTION_AUTH where it wants to authenticate the pooled connection. */
enum reason fields_response(struct exchange *x, const struct h1_head *head);
enum removal { FIELD_STAYS, FIELD_HOP_BY_HOP, FIELD_FORGEABLE };
/* For tests: what becomes of a request's field of that (lower-case) name, but for Connection's
 * list. */
enum removal field_removal(struct slice name);
