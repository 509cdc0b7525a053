// SPDX-License-Identifier: EUPL-1.2
/* Digests. Algorithms are fetched once (base_init). SHA-256 and HMAC through EVP; SipHash-1-3 for
 * tables. Any thread. */
#pragma once

#include "belfry/slice.h"

#define SHA256_BYTES 32

/* Once, before any thread: fetches algorithms, makes the process's table key. Aborts on failure. */
void base_init(void);

void sha256(uint8_t out[SHA256_BYTES], struct slice bytes);
/* The same over several parts, each preceded by its length as 8 bytes, so that no two lists of
 * parts have one digest. */
void sha256_parts(uint8_t out[SHA256_BYTES], const struct slice *parts, size_t count);
void hmac_sha256(uint8_t out[SHA256_BYTES], struct slice key, struct slice bytes);
/* HKDF with SHA-256 (RFC 5869). */
void hkdf_sha256(uint8_t *out, size_t len, struct slice key, struct slice salt, struct slice info);
uint64_t siphash(const uint64_t key[2], struct slice bytes);
uint64_t table_hash(struct slice bytes); /* siphash under the process's key */
