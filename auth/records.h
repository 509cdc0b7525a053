// SPDX-License-Identifier: EUPL-1.2
/* Small records in the store, each sealed and named by auth/vault.h, each with an end: sign-ins
 * under way, hand-overs between hosts, marks that something was used. On the control thread;
 * asynchronous: the callback runs exactly once, maybe before the call returns, never after
 * records_free. What the bytes mean is the caller's. */
#pragma once

#include "auth/vault.h"
#include "base/loop.h"
#include "base/redis.h"

#define RECORD_MAX_BYTES 131072 /* a small form of a person among them */

struct records;

enum record_answer {
    RECORD_AWAY = 0, /* the store does not answer, or there is no key to seal and name with */
    RECORD_NONE,     /* no such record: never was, taken, over, or not ours */
    RECORD_DONE      /* written; or read, and here are its bytes; or marked, for the first time */
};
/* `plain` is empty but with RECORD_DONE of get and take; borrowed for the call, wiped after. */
typedef void record_done(void *owner, enum record_answer answer, struct slice plain);

/* `records` may be down and may come back. */
struct records *records_new(struct loop *l, struct redis *records);
void records_free(struct records *r);
/* Keys of the edition in force; a reference is taken. Before the first, all is AWAY. */
void records_follow(struct records *r, struct keyring *k);
/* The keys that are followed; NULL before the first. Borrowed until the next. */
struct keyring *records_keys(const struct records *r);

/* Writes it. NONE: there is one of that id already, and it stays. `plain` is copied. */
void record_put(struct records *r, enum vault_purpose purpose, struct slice entity, struct slice id,
                struct slice plain, int64_t life_ms, record_done *done, void *owner);
void record_get(struct records *r, enum vault_purpose purpose, struct slice entity, struct slice id,
                record_done *done, void *owner);
/* Reads and removes it, in one step (GETDEL): of two who ask, one gets it. */
void record_take(struct records *r, enum vault_purpose purpose, struct slice entity,
                 struct slice id, record_done *done, void *owner);
/* DONE: it had no mark of that id (of VAULT_MARK), and has one for life_ms. NONE: it had one. An id
 * begins with what it is of: "attempt:", "jti:PROVIDER:", "dpop:". */
void record_mark(struct records *r, struct slice entity, struct slice id, int64_t life_ms,
                 record_done *done, void *owner);
