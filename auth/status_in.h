// SPDX-License-Identifier: EUPL-1.2
/* Making the table. For the desk, and for tests that have verdicts but no network. */
#pragma once

#include "auth/status.h"

/* What one responder said of one certificate. */
struct status_ocsp {
    uint8_t key[32]; /* status_key() */
    struct ocsp_answer answer;
    bool is_unread; /* one of the last start may be at hand: nobody is let in by allow_for yet */
    int64_t wanted_again_s; /* from then on a worker that meets it tells the desk */
};

struct status_authority {
    uint8_t digest[32]; /* the bundle's */
    bool is_checked;
    bool has_ocsp;
    bool follows_certificates; /* a CRL may be found by the certificate that is not known yet */
    bool lacks_crl;            /* one of its sources has never given one, or an old one */
    int64_t allow_for_s;
    int64_t since_s; /* when it began to be followed */
    struct crl **crls;
    uint32_t crl_count;
};

void status_key(uint8_t out[32], const uint8_t authority[32], const struct chain_link *leaf);

/* Takes references of the lists; copies all else. `answers` are sorted by key. */
struct statuses *statuses_new(uint64_t number, const struct status_authority *authorities,
                              uint32_t count, const struct status_ocsp *answers,
                              uint32_t answer_count);
