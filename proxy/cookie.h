// SPDX-License-Identifier: EUPL-1.2
/* The gateway's own cookies, all "__Host-belfry...": no application sees them, none can set them
 * (proxy/fields.h), and the prefix keeps other hosts from doing so (RFC 6265bis §4.1.3.2). Pure. */
#pragma once

#include "base/arena.h"
#include "belfry/request.h"

#define COOKIE_SESSION "__Host-belfry"
#define COOKIE_LANGUAGE "__Host-belfry-language"
#define COOKIE_TRY "__Host-belfry-try-" /* and the attempt's tag: on the application's host */
#define COOKIE_AT "__Host-belfry-at-"   /* the same on the login host */

/* One after the other, as they came: the oldest first (RFC 6265 §5.4). Begin with zeros. */
struct cookie_walk {
    uint32_t field;
    struct slice rest;
};
bool cookie_next(const struct request *r, struct cookie_walk *walk, struct slice *name,
                 struct slice *value);
/* Empty where there is none; or more than one, since nobody says which is ours. */
struct slice cookie_get(const struct request *r, struct slice name);

/* The value of a Set-Cookie. max_age_s 0: until the browser ends. */
struct slice cookie_set(struct arena *a, struct slice name, struct slice value, int64_t max_age_s);
struct slice cookie_end(struct arena *a, struct slice name);
