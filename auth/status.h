// SPDX-License-Identifier: EUPL-1.2
/* What is known of certificates' revocation: an immutable table, reference-counted, one on each
 * worker, made by the desk (auth/status_desk.h) whenever something has changed. To look a
 * certificate up costs two searches, no lock and no network.
 *
 *     revoked where a CRL or a responder says so, however old that is;
 *     good    where a fresh CRL of the issuer does not have it, or a fresh answer says so;
 *     unknown else: denied, or allowed for a while, as the authority says. */
#pragma once

#include "auth/crl.h"
#include "auth/ocsp.h"

struct statuses;

struct status_answer {
    enum reason reason; /* PERMITTED, DEVICE_REVOKED, DEVICE_INVALID or REVOCATION_UNKNOWN */
    bool is_known;      /* false: PERMITTED only by allow_for */
    bool wants;         /* the desk should hear of this certificate; where it is not known, its
                           answer may change this one */
    const char *detail; /* static text for the audit */
    struct wall until;  /* look again after this */
};

/* Of a chain that was found good. A chain of an authority that the table does not have is unknown.
 */
void statuses_judge(const struct statuses *t, const struct chain_answer *chain, struct wall now,
                    struct status_answer *out);
uint64_t statuses_number(const struct statuses *t); /* 1, 2, ...; 0 of NULL */
struct statuses *statuses_ref(struct statuses *t);
void statuses_unref(struct statuses *t); /* NULL is fine */
