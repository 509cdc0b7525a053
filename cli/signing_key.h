// SPDX-License-Identifier: EUPL-1.2
/* A key that signs documents, from its file. The caller finis it. */
#pragma once

#include "policy/envelope.h"

struct signing_key {
    struct private_key key;
    uint8_t public_key[ED25519_KEY_BYTES];
    char id[KEY_ID_CHARS];
};

/* Into a zeroed one; `path` "-" is standard input. Where the key is locked, the passphrase is in
 * `passphrase_path`, or asked on the terminal where that is NULL. False where the file can't be
 * read, may be read by others, or holds no Ed25519 key. */
MUST_USE bool signing_key_read(struct signing_key *out, const char *path,
                               const char *passphrase_path, struct fault *f);
void signing_key_fini(struct signing_key *k);

/* The keys that a command line names: --key KEYFILE, each perhaps with --key-id ID and
 * --passphrase-file FILE behind it. */
struct signers {
    struct signer {
        const char *path;
        const char *passphrase_path;
        const char *id; /* NULL: the key's own */
        struct signing_key key;
    } at[ENVELOPE_SIGNATURES_MAX];
    size_t count;
};
/* Takes one option with its value; false where it is none of the three, or stands in a wrong place.
 */
bool signers_option(struct signers *s, const char *name, const char *value);
/* Reads all keys and seals what `e` holds on top of its signatures. */
MUST_USE bool signers_seal(struct signers *s, enum document_kind kind, const struct envelope *e,
                           struct buf *out, struct fault *f);
