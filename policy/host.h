// SPDX-License-Identifier: EUPL-1.2
/* The one function that makes a host name: for SNI, :authority, Host, bundle and charter alike, so
 * that no two of them can disagree. Pure. */
#pragma once

#include "belfry/slice.h"

#define HOST_MAX 253

/* Lower-cases ASCII, drops one trailing dot, splits off ":port" (0 where there is none). Refused:
 * empty, longer than HOST_MAX, a label empty or over 63 or with a hyphen at an end, anything but
 * letters, digits and hyphens (LDH; so no IP literals in brackets, no user info, no underscore, no
 * non-ASCII), an all-digit last label (IPv4), a port that is empty, zero, over 65535 or has a
 * leading zero. */
MUST_USE bool host_parse(struct slice text, char out[HOST_MAX], struct slice *host, uint16_t *port);

/* "*.finance.example" covers exactly one label more. `pattern` is canonical, with or without "*."
 * in front. */
bool host_matches(struct slice pattern, struct slice host);
/* Could some host match both? Two entities' patterns must not. */
bool host_overlaps(struct slice a, struct slice b);
/* Like host_parse for a charter's or bundle's pattern: no port, "*." allowed in front. */
MUST_USE bool host_pattern_parse(struct slice text, char out[HOST_MAX], struct slice *pattern);
