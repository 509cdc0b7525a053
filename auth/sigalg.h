// SPDX-License-Identifier: EUPL-1.2
/* Which algorithms a CRL or an OCSP answer may be signed by. Of certificates OpenSSL asks this
 * itself (security level 2); of these two it does not. */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>

/* SHA-256 or better, or EdDSA. */
bool sigalg_is_strong(const X509_ALGOR *algorithm);
