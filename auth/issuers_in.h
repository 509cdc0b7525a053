// SPDX-License-Identifier: EUPL-1.2
/* Making the table of key sets. For issuer.c, and for tests that have keys but no network. */
#pragma once

#include "auth/issuer.h"

struct issuers_entry {
    uint8_t provider_digest[32];
    struct key_set *set; /* the table takes a reference of its own */
};

struct issuers *issuers_new(const struct issuers_entry *entries, uint32_t count);
