// SPDX-License-Identifier: EUPL-1.2
/* A list of revoked certificates (RFC 5280 §5), verified: whose it is, when it is from, and the
 * serial numbers in it. Immutable, reference-counted atomically. Only lists that speak of all
 * certificates of their issuer: deltas, indirect lists and lists of a part of the certificates are
 * refused, since a number that is missing there means nothing. */
#pragma once

#include <openssl/x509.h>
#include <stdatomic.h>

#include "auth/chain.h"

struct crl {
    _Atomic uint32_t references;
    uint8_t issuer[32]; /* chain_id of the authority */
    struct wall this_update;
    struct wall next_update;
    bool has_number;
    uint8_t number[20];           /* big-endian, filled from the right */
    struct chain_serial *serials; /* sorted */
    uint32_t count;
};

/* DER, or PEM of one. `issuers` are those that may have signed it. NULL with a fault that says what
 * is wrong with it. Whose next_update has passed is read as well: who is on it stays revoked. */
struct crl *crl_parse(struct slice bytes, const STACK_OF(X509) * issuers, struct wall now,
                      struct fault *f);
struct crl *crl_ref(struct crl *c);
void crl_unref(struct crl *c);
/* Who is not on it is good until then. */
MUST_USE bool crl_is_fresh(const struct crl *c, struct wall now, struct fault *f);
/* May it take the place of `old` (both of one issuer)? Never an earlier one. */
MUST_USE bool crl_follows(const struct crl *c, const struct crl *old, struct fault *f);
bool crl_has(const struct crl *c, const struct chain_serial *serial);
/* A time of a CRL or an OCSP answer. */
MUST_USE bool crl_time(struct wall *out, const ASN1_TIME *time);
