// SPDX-License-Identifier: EUPL-1.2
/* An opaque token in the story of a request: its provider is asked, on the control thread, and the
 * answer becomes an entry of this worker's token cache. */
#pragma once

#include "proxy/errand.h"
#include "proxy/exchange.h"

/* The answer is in x->asked when it is over. */
struct errand *errand_for_introspection(struct exchange *x, const struct provider *provider,
                                        struct slice token);
/* Shorter than the question itself: no answer takes a second because of a provider, and what comes
 * later is there for the next one who brings the token. */
#define INTROSPECTION_WAIT_MS 900
