// SPDX-License-Identifier: EUPL-1.2
/* A complete set of signed documents as the store gave them, not verified: immutable,
 * reference-counted, read on any thread. What did not change is shared with the set before: the
 * same bytes, at the same address. */
#pragma once

#include <stdatomic.h>

#include "policy/serials.h"

struct blob {
    _Atomic uint32_t references;
    struct slice bytes;
};
struct blob *blob_new(struct slice bytes); /* copies; one reference, the caller's */
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL is fine */

struct document {
    char entity[DOCUMENT_NAME_MAX + 1]; /* the document's name */
    struct blob *blob;                  /* the envelope */
};

struct documents {
    _Atomic uint32_t references;
    uint32_t count;
    struct document
        *at; /* the charter, where there is one, then entities in the order of their ids */
};

/* Takes the references of the blobs, and orders them; one reference, the caller's. */
struct documents *documents_new_take(const struct document *at, uint32_t count);
struct documents *documents_ref(struct documents *d);
void documents_unref(struct documents *d); /* NULL is fine */
/* The envelope of an entity, of the charter where it is empty; NULL where there is none. Borrowed.
 */
struct blob *documents_get(const struct documents *d, struct slice entity);
