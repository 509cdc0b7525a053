// SPDX-License-Identifier: EUPL-1.2
/* A verified certificate as facts: of a device, or of a service where its authority says so. Made
 * once a connection, read-only after; owns its texts; reference-counted within its worker's thread.
 */
#pragma once

#include "auth/chain.h"
#include "belfry/facts.h"

struct device {
    uint32_t references;
    bool is_service;
    struct facts_device device; /* filled in both cases: a service's certificate is a certificate */
    struct facts_service service; /* with is_service */
    struct arena arena;
};

/* NULL with a fault where the certificate lacks the name that its authority gives by (device_name),
 * has NUL or controls in it, or is no valid SPIFFE id of the trust domain (exactly one URI SAN;
 * SPIFFE ID rules; not a CA). */
struct device *device_new(X509 *leaf, const struct authority *authority, struct fault *f);
struct device *device_ref(struct device *d);
void device_unref(struct device *d);
