// SPDX-License-Identifier: EUPL-1.2
/* Is this certificate one that the entity's authorities vouch for, now? One function answers it for
 * a new handshake, for a ticket and for a connection that a new snapshot touches. RFC 5280 path
 * validation by OpenSSL; EKU clientAuth demanded (an absent EKU is refused), key usage, path
 * length, name constraints, RSA from 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or Ed448, no
 * SHA-1, at most CHAIN_MAX certificates. */
#pragma once

#include <openssl/x509.h>
#include <stdatomic.h>

#include "belfry/fault.h"
#include "belfry/wall.h"
#include "policy/bundle.h"

#define CHAIN_MAX 8
#define CHAIN_MAX_BYTES 32768
#define CHAIN_SERIAL_MAX 32 /* bytes; RFC 5280 §4.1.2.2 allows 20 */

/* An entity's authorities, prepared. Immutable, shared by threads, reference-counted atomically. */
struct chain_trust;
/* Copies what it needs of `list` (ids, trust words, names): independent of the bundle's life. */
struct chain_trust *chain_trust_new(const struct authority *list, uint32_t count, struct fault *f);
struct chain_trust *chain_trust_ref(struct chain_trust *t);
void chain_trust_unref(struct chain_trust *t);
const uint8_t *chain_trust_digest(const struct chain_trust *t); /* 32 bytes over all authorities */
STACK_OF(X509_NAME) *
    chain_trust_names(const struct chain_trust *t); /* borrowed; for the CertificateRequest */

/* Names an issuer by subject and key, whatever certificate says so. 32 bytes. */
MUST_USE bool chain_id(uint8_t out[32], X509 *issuer);
/* Appends the certificates of a PEM text. */
MUST_USE bool chain_read_pem(STACK_OF(X509) * out, struct slice pem, struct fault *f);

struct chain_serial {
    uint8_t len;
    uint8_t bytes[CHAIN_SERIAL_MAX]; /* without leading zeros */
};
/* False: negative, or longer than any certificate's may be. */
MUST_USE bool chain_serial_of(struct chain_serial *out, const ASN1_INTEGER *number);

/* A certificate as its issuer would revoke it. */
struct chain_link {
    uint8_t issuer[32]; /* chain_id */
    struct chain_serial serial;
};

enum chain_verdict { CHAIN_BAD = 0, CHAIN_GOOD };
struct chain_answer {
    enum chain_verdict verdict;
    int x509_error;     /* X509_V_ERR_*, for the TLS alert */
    const char *detail; /* static text, for the audit: "expired", "unknown authority", ... */
    const struct authority *authority; /* with GOOD: borrowed from the trust */
    struct wall until; /* with GOOD: the earliest end of validity in the chain; judge again after */
    struct chain_link links[CHAIN_MAX]; /* with GOOD: leaf first, up to below the anchor */
    uint32_t link_count;
};
/* `untrusted` may be NULL. Never fails otherwise than by CHAIN_BAD. */
void chain_judge(const struct chain_trust *t, X509 *leaf, STACK_OF(X509) * untrusted,
                 struct wall now, struct chain_answer *out);
