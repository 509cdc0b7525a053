// SPDX-License-Identifier: EUPL-1.2
/* A page that has no address of its own (it answers a form, or an address that is good once) can't
 * be asked for again in another language. So it carries what it says, in no language: fields as a
 * form has them, sealed (auth/vault.h) for its host, so that nobody makes a page of ours say what
 * we did not. Pure, any thread. */
#pragma once

#include "auth/keyring.h"
#include "proxy/form.h"

/* A kept form of 16 KiB, a path of 4 KiB, and room; and that in base64url, which stays below
 * FORM_MAX_BYTES. */
#define MEMO_MAX_BYTES 32768
#define MEMO_MAX_CHARS 44000

/* Where a memo is good, and whose keys seal it. */
struct memo_place {
    const struct keyring *keyring;
    struct slice host; /* with its port, as the browser has it */
    struct wall now;
};

/* The sealed text, for a field of a form; fields without a value, or with a NUL in it, are left
 * out. Empty where there are no keys, or it would be too long to come back in a form. */
struct slice memo_write(struct arena *a, const struct memo_place *place, const struct form *says);
/* What was written; lies in `a`. False: it is not ours, or not of this host. */
MUST_USE bool memo_read(struct arena *a, const struct memo_place *place, struct slice text,
                        struct form *out);
