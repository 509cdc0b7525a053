// SPDX-License-Identifier: EUPL-1.2
/* A certificate chain and its key, as PEM, into an OpenSSL context: what a host's view and what the
 * gateway shows to upstreams are read the same way. On the compiler thread. */
#pragma once

#include <openssl/ssl.h>

#include "base/fault.h"
#include "belfry/secret.h"

#define PEM_CHAIN_MAX_BYTES 262144 /* a chain of ten certificates with room to spare */

/* Leaf first. One that has expired is refused. */
MUST_USE bool pem_use_chain(SSL_CTX *ctx, struct slice chain, struct fault *f);
/* After the chain, whose leaf the key must fit. */
MUST_USE bool pem_use_key(SSL_CTX *ctx, const struct secret *key, struct fault *f);
/* Each certificate of the text as an authority that is believed; at least one. */
MUST_USE bool pem_add_authorities(X509_STORE *store, struct slice certificates, struct fault *f);
