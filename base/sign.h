// SPDX-License-Identifier: EUPL-1.2
/* Signatures with prepared keys; EVP only here. Keys are immutable once made and may be shared
 * between threads (EVP_PKEY counts its references atomically). No function here reads an algorithm
 * from input. */
#pragma once

#include <openssl/evp.h>

#include "belfry/fault.h"
#include "belfry/secret.h"
#include "belfry/slice.h"

enum algorithm { ALGORITHM_NONE = 0, ALGORITHM_RS256, ALGORITHM_ES256, ALGORITHM_ED25519 };

/* A public key for one algorithm. The zeroed one verifies nothing. */
struct public_key {
    enum algorithm algorithm;
    EVP_PKEY *pkey; /* owned */
};

#define ED25519_KEY_BYTES 32
#define ED25519_SIGNATURE_BYTES 64

MUST_USE bool public_key_ed25519(struct public_key *out, struct slice raw, struct fault *f);
/* From JWK numbers, big-endian. RSA: 2048 to 8192 bits, odd exponent >= 65537 and at most 33 bits.
 * EC: P-256, coordinates of 32 bytes, the point on the curve. */
MUST_USE bool public_key_rsa(struct public_key *out, struct slice n, struct slice e,
                             struct fault *f);
MUST_USE bool public_key_p256(struct public_key *out, struct slice x, struct slice y,
                              struct fault *f);
void public_key_fini(struct public_key *k);

/* True only where `signature` is the key's over `bytes`. ES256: exactly 64 raw bytes (RFC 7518
 * §3.4), r and s in [1, n-1]. RS256: exactly the modulus's length. Ed25519: 64 bytes. */
MUST_USE bool signature_holds(const struct public_key *k, struct slice bytes,
                              struct slice signature);

/* A private key: Ed25519 for documents, P-256 for assertions. Read from PEM (PKCS#8). */
struct private_key {
    enum algorithm algorithm;
    EVP_PKEY *pkey; /* owned */
};
MUST_USE bool private_key_make(struct private_key *out, enum algorithm algorithm, struct fault *f);
MUST_USE bool private_key_read(struct private_key *out, struct slice pem, struct fault *f);
/* PEM, owned by the caller. */
MUST_USE bool private_key_print(const struct private_key *k, struct secret *out_pem,
                                struct fault *f);
MUST_USE bool
private_key_public_raw(const struct private_key *k, uint8_t *out, size_t *out_len,
                       struct fault *f); /* Ed25519: 32 bytes; P-256: x ‖ y, 64 bytes */
void private_key_fini(struct private_key *k);
/* Both algorithms give exactly 64 bytes (ES256 as r ‖ s). */
MUST_USE bool signature_make(const struct private_key *k, struct slice bytes, uint8_t out[64],
                             struct fault *f);
