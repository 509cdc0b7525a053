// SPDX-License-Identifier: EUPL-1.2
/* A host's TLS view: its certificate, whether a device certificate is asked for, and the
 * authorities that may have signed it. Immutable, reference-counted atomically, shared by workers
 * and by editions; built on the compiler thread, and only where no equal one is there (an SSL_CTX
 * costs 91 µs). */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "auth/chain.h"

struct view {
    _Atomic uint32_t references;
    uint8_t
        digest[32]; /* of entity, device mode and authorities: two hosts with one digest may share a
                       connection, and a ticket is good only for the digest it was made under */
    uint8_t build[32]; /* of the digest, certificate and key: the same build is the same view */
    enum device_mode device;
    struct chain_trust *trust; /* NULL with DEVICE_NONE */
    SSL_CTX *ctx; /* owns the certificate; all else of a connection comes from the worker's */
};

struct view_settings {
    const struct application *app;
    const struct authority *authorities; /* all of the entity */
    uint32_t authority_count;
    struct chain_trust *trust;    /* made of them for another host of the entity; NULL: not yet */
    const char *certificates_dir; /* HOST/fullchain.pem and HOST/key.pem below it */
    struct view *last; /* the host's; stays if only files can have changed. NULL: they are read */
};

/* `last`, or an equal one of `old`, with one more reference, or a new one; NULL with a fault (no
 * certificate, a key that does not fit, a certificate that does not name the host or has expired).
 */
struct view *view_make(const struct view_settings *s, struct view *const *old, uint32_t old_count,
                       struct fault *f);
struct view *view_ref(struct view *v);
void view_unref(struct view *v);
