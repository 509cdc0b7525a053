// SPDX-License-Identifier: EUPL-1.2
/* One question to an OCSP responder and its answer (RFC 6960, RFC 5019): about one certificate, by
 * GET, without a nonce, so that responders and caches may answer with what they have signed
 * already. What is believed is the signature and the times in it, never who was asked. Pure. */
#pragma once

#include "auth/crl.h"
#include "base/arena.h"

enum ocsp_verdict {
    OCSP_NONE = 0, /* no answer yet */
    OCSP_GOOD,
    OCSP_REVOKED,
    OCSP_NOT_KNOWN /* the responder says that it knows no such certificate: not good */
};

struct ocsp_answer {
    enum ocsp_verdict verdict;
    struct wall this_update;
    struct wall next_update;
};

/* URL of the question: the responder's, a slash, and the request. Empty where it can't be made. */
struct slice ocsp_url(struct arena *a, struct slice responder, X509 *issuer,
                      const struct chain_serial *serial);

/* Reads and verifies the answer about that certificate. The signer is its issuer, or one whom the
 * issuer has certified for this (id-kp-OCSPSigning), who must say id-pkix-ocsp-nocheck or be on no
 * CRL of the issuer among `crls`. False with a fault: as if there had been no answer. One whose
 * next_update has passed is read as well: who is revoked stays so. */
MUST_USE bool ocsp_read(struct slice bytes, X509 *issuer, const struct chain_serial *serial,
                        struct crl *const *crls, uint32_t crl_count, struct wall now,
                        struct ocsp_answer *out, struct fault *f);
/* Who is said to be good is so until then. */
MUST_USE bool ocsp_is_fresh(const struct ocsp_answer *a, struct wall now, struct fault *f);
