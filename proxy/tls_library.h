// SPDX-License-Identifier: EUPL-1.2
/* OpenSSL for handshakes: a library context that knows the kinds of key that TLS meets here, and no
 * others. OpenSSL 3.0 looks through every kind of key and every decoder of its context each time
 * that it reads a certificate: with all of them that takes longer than the signature's
 * verification. */
#pragma once

#include <openssl/types.h>

/* The one of this process; lives until its end. Any thread. Aborts where OpenSSL is broken. */
OSSL_LIB_CTX *tls_library(void);
