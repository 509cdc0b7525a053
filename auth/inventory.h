// SPDX-License-Identifier: EUPL-1.2
/* What an entity knows of its devices beside their certificates: whose each one is, which model,
 * whether it is compliant. The store keeps them sealed (auth/vault.h), in one hash for each entity:
 *
 *     vault_name(entity, "inventory")  →  { vault_name(entity, "device:ID") → sealed JSON }
 *
 * Here: one record, its bytes, and the immutable table that workers look records up in. Any
 * thread. */
#pragma once

#include <stdatomic.h>

#include "auth/vault.h"
#include "base/arena.h"
#include "belfry/facts.h"

#define INVENTORY_ID_MAX 512
#define INVENTORY_TEXT_MAX 256 /* of a value */
#define INVENTORY_NAME_MAX 32  /* of an attribute of their own */
#define INVENTORY_ATTRIBUTES_MAX 16
#define INVENTORY_RECORD_MAX_BYTES 16384
#define INVENTORY_COMMAND_MAX 20000 /* devices of one import */

struct inventory_record {
    _Atomic uint32_t references;
    struct arena arena;
    int64_t version; /* microseconds of its writing: a gateway takes no earlier one */
    struct slice id;
    struct facts_device facts; /* only what an inventory says */
};

struct inventory_record *inventory_record_new(struct slice id, int64_t version);
struct inventory_record *inventory_record_ref(struct inventory_record *r);
void inventory_record_unref(struct inventory_record *r); /* NULL is fine */
/* Sets one attribute by the name that commands and files have for it: owner, model, compliant,
 * last_seen, or one of their own. An empty value takes it away. */
MUST_USE bool inventory_record_set(struct inventory_record *r, struct slice name,
                                   struct slice value, struct fault *f);
/* What it says, as facts of a device; borrowed from the record. */
void inventory_add_facts(const struct inventory_record *r, struct facts_device *to);
/* Its bytes, before they are sealed; in the arena. */
struct slice inventory_record_print(const struct inventory_record *r, struct arena *a);
/* NULL where it is not what print writes. */
struct inventory_record *inventory_record_parse(struct slice text);

MUST_USE bool inventory_hash_name(const struct keyring *k, struct slice entity,
                                  char out[VAULT_NAME_ROOM]);
MUST_USE bool inventory_field_name(const struct keyring *k, struct slice entity, struct slice id,
                                   char out[VAULT_NAME_ROOM]);

/* The table. */
struct inventory;
enum inventory_answer {
    INVENTORY_UNKNOWN = 0, /* not looked up yet, or the store was away */
    INVENTORY_UNLISTED,
    INVENTORY_LISTED
};
/* *out is borrowed from the table. */
enum inventory_answer inventory_find(const struct inventory *t, struct slice entity,
                                     struct slice id, const struct inventory_record **out);
uint64_t inventory_number(const struct inventory *t); /* 0 of NULL */
struct inventory *inventory_ref(struct inventory *t);
void inventory_unref(struct inventory *t);

struct inventory_entry {
    uint8_t key[32];                 /* inventory_key() */
    struct inventory_record *record; /* NULL: unlisted */
};
void inventory_key(uint8_t out[32], struct slice entity, struct slice id);
/* Takes references of the records. For the desk. */
struct inventory *inventory_new(uint64_t number, const struct inventory_entry *entries,
                                uint32_t count);
