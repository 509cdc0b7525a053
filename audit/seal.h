// SPDX-License-Identifier: EUPL-1.2
/* What a decision was made on, sealed into its line: AES-256-GCM under a key of the entity's,
 * bound to the entity and to the line's reference, so that nothing of it can be read without the
 * key, changed, or put into another line. The gateway's side has the keys of all entities, one
 * each; the reader's has those that somebody gave it, from as many rotations as the log is long.
 *
 *     base64url( version ‖ id of the key (8) ‖ salt (16) ‖ count (8) ‖ ciphertext ‖ tag (16) )
 *
 * Each set of seals makes keys of its own by HKDF (RFC 5869) from a random salt, so that its count
 * is a nonce that no other used, and sealing is one pass. One thread at a time. */
#pragma once

#include "base/arena.h"
#include "base/codec.h"
#include "belfry/slice.h"

#define SEAL_OVERHEAD 49
/* Of the plain text's length, as it stands in the line. */
#define SEALED_ROOM(len) BASE64URL_LEN((len) + SEAL_OVERHEAD)

struct seals;
struct seals *seals_new(void);
void seals_free(struct seals *s);
/* An entity's key, whatever its length; the bytes are not kept. Of two of one entity the first
 * counts. */
void seals_add(struct seals *s, struct slice entity, struct slice key);
/* Writes SEALED_ROOM(of all parts) bytes at most; how many. 0: the entity has no key. */
size_t seals_put(struct seals *s, struct slice entity, struct slice reference,
                 const struct slice *parts, size_t count, char *out);

struct unseals;
struct unseals *unseals_new(void);
void unseals_free(struct unseals *u);
void unseals_add(struct unseals *u, struct slice key);
/* The plain text, in the arena. False: it is of none of these keys, of another line, or not whole.
 */
MUST_USE bool unseals_open(struct unseals *u, struct slice entity, struct slice reference,
                           struct slice sealed, struct arena *a, struct slice *out);
