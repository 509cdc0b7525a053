// SPDX-License-Identifier: EUPL-1.2
/* What base_init fetched, for sign.c. Fetching by name takes a lock and a search each time. */
#pragma once

#include <openssl/evp.h>

const EVP_MD *hash_sha256(void);
const EVP_MD *hash_sha384(void);
const EVP_MD *hash_sha512(void);
/* This thread's scratch context, empty. Whoever uses it resets it after, so that it holds no key.
 */
EVP_MD_CTX *hash_scratch(void);
