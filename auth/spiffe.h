// SPDX-License-Identifier: EUPL-1.2
/* Names of services (SPIFFE-ID §2), from certificates and from JWTs: by one reader, so that both
 * mean the same. Any thread. */
#pragma once

#include "belfry/slice.h"

#define SPIFFE_ID_MAX_BYTES 2048 /* §2.3: what must be supported, and not more */

/* "spiffe://" trust domain path, by the letter: nothing is normalised. False where it is something
 * else, or has no path (then it names the trust domain and no service). *trust_domain is part of
 * `id`. */
MUST_USE bool spiffe_id_read(struct slice id, struct slice *trust_domain);
