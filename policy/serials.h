// SPDX-License-Identifier: EUPL-1.2
/* The highest serial seen of each document, with the digest of what bore it: what keeps the store
 * from going back, or from showing two documents under one serial. A plain value of one thread; its
 * text form is what state_dir keeps. Pure. */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "base/hash.h"
#include "belfry/wall.h"

#define ENTITY_ID_MAX 64
#define ENTITIES_MAX 1000 /* of one federation: ministries, institutions, their agencies */
/* A document's name: its entity's id; of a bundle in shadow that id and ".shadow", so that it has a
 * place and serials of its own; empty for the charter. */
#define DOCUMENT_NAME_MAX (ENTITY_ID_MAX + 7)
#define DOCUMENTS_MAX (2 * ENTITIES_MAX) /* beside the charter */
#define SERIAL_MAX ((int64_t)1 << 53)    /* what Lua and JSON hold exactly */

struct serial {
    char entity[DOCUMENT_NAME_MAX + 1]; /* the document's name */
    int64_t serial;
    uint8_t digest[SHA256_BYTES]; /* SHA-256 of the payload */
};

struct serials { /* zeroed: knows nothing */
    struct serial *at;
    uint32_t count;
    struct wall wall; /* the highest seen: a clock that was set back is noticed */
};

/* The zero refuses. */
enum serial_verdict {
    SERIAL_OLDER = 0, /* a higher one was seen: refuse */
    SERIAL_CONFLICT,  /* the same serial, other bytes: refuse, alarm */
    SERIAL_SAME,      /* this very document was seen */
    SERIAL_NEWER,     /* go on; serials_note when it is verified */
};

/* [a-z0-9-]{1,64}: before an id becomes a file or key name. */
bool entity_id_is_valid(struct slice id);
/* The same of a document's name, but the charter's. */
bool document_name_is_valid(struct slice name);
/* Whose document has that name. */
struct slice document_entity(struct slice name, bool *is_shadow);

void serials_fini(struct serials *s);
void serials_copy(struct serials *out,
                  const struct serials *s); /* out is fini'd by the caller before */
/* `entity` is empty for the charter. NULL where none was seen. Borrowed until the next
 * serials_note. */
const struct serial *serials_find(const struct serials *s, struct slice entity);
enum serial_verdict serials_judge(const struct serials *s, struct slice entity, int64_t serial,
                                  const uint8_t digest[SHA256_BYTES]);
/* Raises; never lowers. An invalid name, or one past DOCUMENTS_MAX, is false (FAULT_LIMIT). */
MUST_USE bool serials_note(struct serials *s, struct slice entity, int64_t serial,
                           const uint8_t digest[SHA256_BYTES], struct fault *f);
void serials_note_wall(struct serials *s, struct wall now); /* raises; never lowers */

MUST_USE bool serials_print(const struct serials *s, struct buf *out);
/* Into a zeroed one; false, and it stays zeroed, where the text is not exactly what serials_print
 * makes. */
MUST_USE bool serials_parse(struct serials *out, struct slice text, struct fault *f);
