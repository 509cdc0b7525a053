// SPDX-License-Identifier: EUPL-1.2
/* Signatures with prepared keys; EVP only here. Keys are immutable once made and may be shared
 * between threads (EVP_PKEY counts its references atomically). A key is for one algorithm (RFC 8725
 * §3.1), and no function here takes another from what it verifies. */
#pragma once

#include <openssl/evp.h>

#include "belfry/fault.h"
#include "belfry/secret.h"
#include "belfry/slice.h"

/* RFC 7518 §3.1 without what is symmetric, and RFC 8037. A set of them is bits 1 << algorithm. */
enum algorithm {
    ALGORITHM_NONE = 0,
    ALGORITHM_RS256,
    ALGORITHM_RS384,
    ALGORITHM_RS512,
    ALGORITHM_PS256,
    ALGORITHM_PS384,
    ALGORITHM_PS512,
    ALGORITHM_ES256,
    ALGORITHM_ES384,
    ALGORITHM_ED25519, /* "EdDSA" in JOSE */
    ALGORITHM_COUNT
};
/* The kind of key, as JWK's `kty` and `crv` name it. */
enum key_kind { KEY_KIND_NONE = 0, KEY_KIND_RSA, KEY_KIND_P256, KEY_KIND_P384, KEY_KIND_ED25519 };

struct slice algorithm_name(enum algorithm a);     /* as in `alg`; empty for NONE */
enum algorithm algorithm_named(struct slice name); /* NONE where it is none of these */
enum key_kind algorithm_kind(enum algorithm a);

#define ALGORITHM_DIGEST_MAX_BYTES 64
/* The digest that goes with it (OpenID Connect Core §3.1.3.6); of EdDSA SHA-512, which is Ed25519's
 * own. Its length; 0 for NONE. */
size_t algorithm_digest(enum algorithm a, struct slice bytes,
                        uint8_t out[ALGORITHM_DIGEST_MAX_BYTES]);

/* A public key for one algorithm. The zeroed one verifies nothing. */
struct public_key {
    enum algorithm algorithm;
    EVP_PKEY *pkey; /* owned */
    /* Owned: set up once, copied for each signature. NULL: set up for each. */
    EVP_PKEY_CTX *verifier;
};

#define ED25519_KEY_BYTES 32
#define ED25519_SIGNATURE_BYTES 64

MUST_USE bool public_key_ed25519(struct public_key *out, struct slice raw, struct fault *f);
/* From JWK numbers, big-endian, for one algorithm of that kind of key. RSA: 2048 to 8192 bits, odd
 * exponent >= 65537 and at most 33 bits. EC: coordinates of the curve's full length, the point on
 * the curve. */
MUST_USE bool public_key_rsa(struct public_key *out, enum algorithm algorithm, struct slice n,
                             struct slice e, struct fault *f);
MUST_USE bool public_key_ec(struct public_key *out, enum algorithm algorithm, struct slice x,
                            struct slice y, struct fault *f);
void public_key_fini(struct public_key *k);

/* True only where `signature` is the key's over `bytes`. ES256, ES384: exactly 64 or 96 raw bytes
 * (RFC 7518 §3.4), r and s in [1, n-1]. RS*, PS*: exactly the modulus's length; the salt as long as
 * the digest, MGF1 with the same digest (§3.5). Ed25519: 64 bytes. */
MUST_USE bool signature_holds(const struct public_key *k, struct slice bytes,
                              struct slice signature);

/* A private key: Ed25519 for documents, P-256 for assertions, and whatever a provider wants of its
 * clients. Read from PEM (PKCS#8). The algorithm of an RSA key is RS256 until its owner sets
 * another of the kind. */
struct private_key {
    enum algorithm algorithm;
    EVP_PKEY *pkey;       /* owned */
    EVP_PKEY_CTX *signer; /* owned, as the verifier above; of EC keys alone */
};
/* Ed25519, ES256 or ES384. */
MUST_USE bool private_key_make(struct private_key *out, enum algorithm algorithm, struct fault *f);
MUST_USE bool private_key_read(struct private_key *out, struct slice pem, struct fault *f);
/* A key that lies under a passphrase (RFC 5958 EncryptedPrivateKeyInfo), of 1 to 1,024 bytes.
 * Locked it is with AES-256 under PBKDF2 of 600,000 rounds of SHA-256. */
bool private_key_is_locked(struct slice pem);
MUST_USE bool private_key_unlock(struct private_key *out, struct slice pem,
                                 const struct secret *passphrase, struct fault *f);
MUST_USE bool private_key_lock(const struct private_key *k, const struct secret *passphrase,
                               struct secret *out_pem, struct fault *f);
/* PEM, owned by the caller. */
MUST_USE bool private_key_print(const struct private_key *k, struct secret *out_pem,
                                struct fault *f);
MUST_USE bool
private_key_public_raw(const struct private_key *k, uint8_t *out, size_t *out_len,
                       struct fault *f); /* Ed25519: 32 bytes; P-256: x ‖ y, 64 bytes */
void private_key_fini(struct private_key *k);
#define SIGNATURE_MAX_BYTES 1024 /* of RSA 8192 */
/* As JOSE wants it: EC as r ‖ s. */
MUST_USE bool signature_write(const struct private_key *k, struct slice bytes,
                              uint8_t out[SIGNATURE_MAX_BYTES], size_t *out_len, struct fault *f);
/* The same by an Ed25519 or ES256 key, whose signatures have exactly 64 bytes. */
MUST_USE bool signature_make(const struct private_key *k, struct slice bytes, uint8_t out[64],
                             struct fault *f);
