// SPDX-License-Identifier: EUPL-1.2
/* What an entity has taken back before its time: devices, sessions, users, tokens, authorities. For
 * each entity the store has one list, to which is only added:
 *
 *     entry n = MAC ‖ sealed text        MAC over entity, n, MAC of entry n-1, and the sealed text
 *     head    = MAC ‖ text               first and last n, their MACs, and when it was last looked
 * at
 *
 * so the store can't make, change, reorder, drop from the middle or move an entry to another
 * entity. What it can do (hide the end of a list, or all of it, from who has not seen it) is in
 * SECURITY.md.
 *
 * This file: the nouns, the bytes, and the immutable table that workers look into. Any thread. */
#pragma once

#include <stdatomic.h>

#include "auth/vault.h"
#include "base/arena.h"
#include "base/map.h"

enum revoked_kind {
    REVOKED_DEVICE,    /* facts_device.id, or "sha256:" and the hex of one certificate */
    REVOKED_SESSION,   /* a handle */
    REVOKED_USER,      /* facts_user.id: what began until `at`, sessions and tokens */
    REVOKED_TOKEN,     /* "jti:PROVIDER:JTI", or "sha256:" and the hex of a token's bytes */
    REVOKED_AUTHORITY, /* a device authority's id: all its certificates */
    REVOKED_SIGN_IN,   /* "PROVIDER:SID": the sessions of one sign-in at the provider until `at` */
    REVOKED_SESSIONS,  /* facts_user.id: the sessions, not the tokens, that began until `at` */
    REVOKED_KIND_COUNT
};
const char *revoked_kind_name(enum revoked_kind k); /* as the command line has it */
bool revoked_kind_parse(struct slice name, enum revoked_kind *out);

#define REVOKED_SUBJECT_MAX 512
#define REVOKED_REASON_MAX 200
#define REVOKED_BY_MAX 100
#define REVOKED_ENTRY_MAX_BYTES 2048 /* as it lies in the store */
#define REVOKED_LIST_MAX 16384       /* entries of one entity that may be in force */
#define REVOKED_LIFE_MAX_S                                                                         \
    315360000 /* ten years: no certificate of a device is good for longer                          \
               */

struct revoked_entry {
    enum revoked_kind kind;
    struct slice subject;
    struct wall at;
    struct wall until;   /* what it speaks of can't be used any more: it may be forgotten */
    struct slice by;     /* the operator; or "gateway" */
    struct slice reason; /* may be empty */
    uint64_t n;
};
#define REVOKED_BY_GATEWAY "gateway"
#define REVOKED_SIGNED_OUT "signed out"
/* A person signed out of one session: whoever did that for them has told of it (proxy/event_of.h).
 */
bool revoked_is_told(const struct revoked_entry *e);

struct revoked_head {
    uint64_t first;           /* the oldest entry that is kept; last + 1: none */
    uint64_t last;            /* 0: none ever */
    uint8_t before_first[32]; /* MAC of entry first - 1; zero where first is 1 */
    uint8_t end[32];          /* MAC of entry last; zero where it is 0 */
    struct wall at;           /* when a gateway, or a command, last vouched for it */
};

/* Bytes for the store, appended to `out`, and the entry's MAC. False: no keys, or too long. */
MUST_USE bool revoked_entry_seal(const struct keyring *k, struct slice entity,
                                 const struct revoked_entry *e, const uint8_t previous[32],
                                 struct wall now, struct buf *out, uint8_t mac[32]);
/* Texts of *out lie in `arena`. False: it is not entry `n` of that entity behind `previous`. */
MUST_USE bool revoked_entry_open(const struct keyring *k, struct slice entity, uint64_t n,
                                 const uint8_t previous[32], struct slice bytes,
                                 struct arena *arena, struct revoked_entry *out, uint8_t mac[32]);
MUST_USE bool revoked_head_seal(const struct keyring *k, struct slice entity,
                                const struct revoked_head *h, struct buf *out);
MUST_USE bool revoked_head_open(const struct keyring *k, struct slice entity, struct slice bytes,
                                struct revoked_head *out);

/* ---- the table ---- */

/* One entity's entries in force, immutable once it is shared, counted atomically. Of one kind and
 * subject the last entry counts: one that is over when it is written lifts the one before. */
struct revoked_list;
struct revoked_list *revoked_list_new(struct slice entity);
void revoked_list_add(struct revoked_list *l, const struct revoked_entry *e); /* copies */
uint32_t revoked_list_count(const struct revoked_list *l, struct wall now);   /* in force */
/* Of that kind and subject, and not over; NULL: none. */
const struct revoked_entry *revoked_list_find(const struct revoked_list *l, enum revoked_kind kind,
                                              struct slice subject, struct wall now);
struct revoked_list *revoked_list_ref(struct revoked_list *l);
void revoked_list_unref(struct revoked_list *l);

struct revocations {
    _Atomic uint32_t references;
    uint64_t number;  /* each table has a higher one: what was judged under this one still holds */
    struct map lists; /* entity → struct revoked_list, whose name is the key */
    struct map unknown; /* entity → its list: what was revoked lately can't be known */
};
struct revocations *revocations_new(uint64_t number);
/* Before it is shared; the reference is taken. */
void revocations_add(struct revocations *t, struct revoked_list *take, bool is_unknown);
struct revocations *revocations_ref(struct revocations *t);
void revocations_unref(struct revocations *t);

struct facts_device;
struct session;
/* A NULL table revokes nothing: it is before the first reading. Each costs a look at a few maps,
 * and one comparison where the entity has nothing of that kind. */
bool revocations_device(const struct revocations *t, struct slice entity,
                        const struct facts_device *device, struct wall now);
bool revocations_session(const struct revocations *t, const struct session *s, struct wall now);
/* The entry by which that is so, or by which its device was taken back; NULL: none. */
const struct revoked_entry *revocations_end_of(const struct revocations *t, const struct session *s,
                                               struct wall now);
/* Another number whenever there is another entry that can end a session which nobody tells of. */
uint64_t revocations_reach(const struct revocations *t);
struct revocable_token {
    struct slice user; /* facts_user.id */
    struct slice provider;
    struct slice jti;      /* may be empty */
    const uint8_t *digest; /* SHA-256 of its bytes */
    struct wall issued_at; /* s == 0: not known, which is before everything */
};
/* Is there any entry that could speak of a token? The digest need only be made where there is. */
bool revocations_has_tokens(const struct revocations *t, struct slice entity);
bool revocations_token(const struct revocations *t, struct slice entity,
                       const struct revocable_token *token, struct wall now);
/* What was revoked lately is not known, and the configuration says that nobody goes on then. */
bool revocations_unknown(const struct revocations *t, struct slice entity);
