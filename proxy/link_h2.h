// SPDX-License-Identifier: EUPL-1.2
/* HTTP/2 towards an application: connections of which each carries many exchanges at once, one a
 * stream. h2c is spoken with prior knowledge (RFC 9113 §3.3), h2 under TLS. A connection belongs to
 * its endpoint; a stream lies in the arena of its exchange. On the worker's thread. */
#pragma once

#include "proxy/origins.h"

/* Sends the exchange's request to that endpoint: as a stream of a connection with room, or of a new
 * one. False with a reason where it can't. */
MUST_USE bool link_h2_begin(struct endpoint *e, struct exchange *x, enum reason *why);
/* The endpoint's connections that carry nothing; the others end with their last stream when the
 * endpoint or the worker is through. */
void link_h2_close_idle(struct endpoint *e);
