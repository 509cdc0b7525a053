// SPDX-License-Identifier: EUPL-1.2
/* TLS towards an application's upstreams: whom the gateway believes there, and what it shows of
 * itself. Immutable, reference-counted atomically, shared by workers and editions; made on the
 * compiler thread, since it reads files and costs much. */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "base/fault.h"
#include "policy/bundle.h"

struct upstream_context {
    _Atomic uint32_t references;
    uint8_t digest[32]; /* of all that it was made of, the gateway's certificate included */
    SSL_CTX *ctx;
};

/* For an application with https:// or h2:// upstreams. An equal one of `old` with one more
 * reference, or a new one; NULL with a fault (no authority, no certificate of the gateway where the
 * application asks for one). `keys_dir`/upstream/ENTITY/{cert,key}.pem is what the gateway shows.
 */
struct upstream_context *upstream_context_make(const struct application *app, const char *keys_dir,
                                               struct upstream_context *old, struct fault *f);
struct upstream_context *upstream_context_ref(struct upstream_context *u);
void upstream_context_unref(struct upstream_context *u);

/* A client's side on that socket. `name` is what the certificate must be for: a host (also sent as
 * SNI) or an address. `alpn` is "h2" or "http/1.1". NULL: it can't be. Any thread. */
SSL *upstream_ssl_new(const struct upstream_context *u, int fd, struct slice name,
                      struct slice alpn);
