// SPDX-License-Identifier: EUPL-1.2
/* The one form in which a document may come from the store: its bytes and the Ed25519 signatures
 * over them.
 *
 *     belfry-signed/v1\n
 *     signature: KEYID BASE64URL(64 bytes)\n      one to ENVELOPE_SIGNATURES_MAX of these
 *     \n
 *     the payload, to the end
 *
 * What is signed is "belfry-signed/v1 KIND LENGTH\n" and the payload, so that no bundle is ever
 * taken for a charter. There is no way to say "unsigned": whatever is not exactly this is refused.
 * Pure; any thread. */
#pragma once

#include "base/buf.h"
#include "base/sign.h"

#define DOCUMENT_MAX_BYTES (8u << 20) /* of a payload: what base/yaml reads at most */
#define ENVELOPE_MAX_BYTES (DOCUMENT_MAX_BYTES + 4096)
#define ENVELOPE_SIGNATURES_MAX 8
#define KEY_ID_MAX 64 /* of [A-Za-z0-9._-] */

enum document_kind { DOCUMENT_CHARTER, DOCUMENT_BUNDLE };

/* A key that may sign. Id and owner are borrowed from the charter or configuration that has the
 * key.
 */
struct envelope_key {
    struct slice id;
    struct public_key key;
    struct slice owner; /* whose it is; empty: of nobody else's owner */
};

struct envelope_signature {
    struct slice key_id;
    uint8_t bytes[ED25519_SIGNATURE_BYTES];
};

struct envelope {
    struct envelope_signature signatures[ENVELOPE_SIGNATURES_MAX];
    uint32_t signature_count;
    struct slice payload;
};

struct envelope_signer {
    struct slice id;
    const struct private_key *key; /* Ed25519 */
};

bool key_id_is_valid(struct slice id);
/* The id that a key has where nobody gave it one: the first of its SHA-256, in hex. */
#define KEY_ID_CHARS 16
void key_id_make(char out[KEY_ID_CHARS], const uint8_t public_key[ED25519_KEY_BYTES]);
/* Takes the form apart; slices point into `bytes`. False (FAULT_TRUST) for any other form. Says
 * nothing of who signed: the payload is not to be read before envelope_verify. */
MUST_USE bool envelope_open(struct envelope *out, struct slice bytes, struct fault *f);
/* Whether two keys are of one hand: the same key, or of one owner. One hand is one approval. */
bool envelope_same_hand(const struct envelope_key *a, const struct envelope_key *b);
/* True only where keys of the list that are of at least `needed` (>= 1) different hands have a
 * signature that holds. A key id that is not in the list is passed over; one that is, with a
 * signature that does not hold, refuses all. */
MUST_USE bool envelope_verify(const struct envelope *e, enum document_kind kind,
                              const struct envelope_key *keys, size_t key_count, uint32_t needed,
                              struct fault *f);
/* The same on top of the signatures that `e` has, in front of the new ones. A key id that signed
 * already is FAULT_CONFIG. */
MUST_USE bool envelope_seal_on(struct buf *out, enum document_kind kind, const struct envelope *e,
                               const struct envelope_signer *signers, size_t count,
                               struct fault *f);
/* Appends the sealed form to `out`; on failure `out` is as it was. */
MUST_USE bool envelope_seal(struct buf *out, enum document_kind kind, struct slice payload,
                            const struct envelope_signer *signers, size_t count, struct fault *f);
