// SPDX-License-Identifier: EUPL-1.2
/* Which public keys are strong enough to give trust, of authorities and of those whom they vouch
 * for (NIST SP 800-131A, RFC 9325 §4.5), and not so large that verifying with them is an attack. */
#pragma once

#include <openssl/evp.h>

/* NULL where it is fine; else what it is, to stand behind "has". */
const char *key_weakness(EVP_PKEY *key);
