// SPDX-License-Identifier: EUPL-1.2
/* One person signed in at one application, in one browser: what the store holds of that, and what a
 * worker knows of it. The browser's cookie is an id of 256 bits that is nowhere else: the store has
 * it under a name that can't be turned back (auth/vault.h), and that name's end is the session's
 * `handle`, which lists, the audit and revocations speak of. A handle opens nothing.
 *
 * A struct session is immutable and counted atomically: the control thread makes it
 * (auth/session_desk.h), workers share it (auth/session_cache.h). A change, such as new groups or a
 * step-up, is another struct session with a higher `version`. */
#pragma once

#include <stdatomic.h>

#include "auth/identity.h"
#include "auth/keyring.h"
#include "auth/vault.h"
#include "base/arena.h"
#include "belfry/facts.h"

#define SESSION_ID_BYTES 32
#define SESSION_ID_CHARS 43 /* of the cookie's value, in base64url */
#define SESSION_HANDLE_CHARS 43
#define SESSION_NAME_PREFIX "belfry:session:" /* and the handle: the record's name in the store */
#define SESSION_MAX_BYTES (IDENTITY_MAX_BYTES + 4096) /* of a record, before it is sealed */
#define SESSION_SEEN_EVERY_S 60   /* how often, at most, it is written that somebody is there */
#define SESSION_IDLE_MIN_S 300    /* so that what is not written for a minute ends nobody's */
#define SESSION_LIFE_MAX_S 604800 /* no application keeps one longer */
/* So long past its end the store keeps a record, so that the end can be told. */
#define SESSION_AFTERLIFE_S 600

struct session {
    _Atomic uint32_t references;
    struct slice entity;
    struct slice application; /* its id: a session is good there only */
    struct slice host;
    struct slice handle;        /* SESSION_HANDLE_CHARS */
    struct facts_user user;     /* `expires` is `ends`; hash and key as a token's are made */
    struct facts_session facts; /* of what stands here, as rules ask for it */
    struct slice statement;     /* as token_statement(): all that an assertion says of the user */
    uint64_t statement_hash;    /* table_hash() of it */
    struct identity *identity;  /* what the provider said last; borrowed from the session */
    bool is_unbound;            /* no device certificate: never good where one is required */
    uint8_t certificate[32];    /* SHA-256 of the DER that it is bound to; zero when unbound */
    struct slice device;        /* facts_device.id of it; empty when unbound */
    struct wall created;        /* this sign-in */
    uint64_t revoked_until;     /* the entity's last revocation that was known then */
    struct wall ends;           /* in any case */
    int64_t idle_s;             /* after so long without a request it is over */
    struct wall seen;           /* the last request that was written down: may be a minute old */
    int64_t refresh_after_s;    /* identity->known_at must not be older; 0: it may */
    int64_t refresh_grace_s;    /* but so much, while the provider is away */
    uint32_t refreshes_asked;   /* since an answer to one was last written here; 1 is under way */
    struct slice language;      /* chosen by the person: "nl", "fr", "de", "en"; may be empty */
    int64_t asked_acr_level;    /* a step-up to this level ... */
    struct wall asked_at;       /* ... was asked for then; s == 0: never */
    uint64_t version;           /* 1, 2, ...: each writing of the record is one more */
    struct arena arena;
};

/* What a sign-in has brought. All is copied. */
struct session_start {
    struct slice entity;
    struct slice application;
    struct slice host;
    const struct identity *identity;
    const struct facts_device *device; /* NULL: unbound */
    int64_t life_s;                    /* 1 .. SESSION_LIFE_MAX_S */
    int64_t idle_s;                    /* SESSION_IDLE_MIN_S .. life_s */
    int64_t refresh_after_s;           /* 0: never */
    int64_t refresh_grace_s;
    struct slice language;
    int64_t asked_acr_level; /* the attempt's step-up; 0: none */
    uint64_t revoked_until;  /* the entity's last revocation that was known before the provider
                                said who it is */
};

/* ---- pure, any thread ---- */

/* A cookie's value is an id: 43 characters of base64url. Nothing else is ever looked for. */
bool session_id_is_valid(struct slice id);
/* The store's name of the session with that id at that entity, whose last SESSION_HANDLE_CHARS are
 * its handle. False without a store key. */
MUST_USE bool session_name(const struct keyring *k, struct slice entity, struct slice id,
                           char out[VAULT_NAME_ROOM]);
/* One reference, the caller's. */
struct session *session_begin(const struct session_start *s, struct slice handle,
                              const struct keyring *k, struct wall now);
/* The record's plain text. False past SESSION_MAX_BYTES. The caller wipes it. */
MUST_USE bool session_print(const struct session *s, struct buf *out);
/* NULL: not what session_print writes. */
struct session *session_parse(struct slice text, struct slice handle, const struct keyring *k);

/* Of a record as it lies in the store under that name; NULL: not ours, or not whole. */
struct session *session_open(const struct keyring *k, const char *name, struct slice sealed);

/* One change of a record. */
enum session_change {
    SESSION_SEEN,         /* somebody was there at `at`; nothing where a later moment is written */
    SESSION_MOVED,        /* to the device's new certificate, with the same device.id */
    SESSION_ASKED,        /* a step-up to `acr_level` was asked for at `at` */
    SESSION_SPOKEN,       /* `language` was chosen */
    SESSION_REFRESHING,   /* the provider is about to be asked again */
    SESSION_REFRESHED,    /* it says `identity` now: of the same provider and subject */
    SESSION_NOT_REFRESHED /* it said nothing of the person, and that for certain: it was not
                             reached, or it refused, or (with `refresh_token`) it gave that and then
                             failed */
};
struct session_changed {
    enum session_change what;
    struct wall at;
    const struct facts_device *device;
    int64_t acr_level;
    struct slice language;
    const struct identity *identity;
    struct slice refresh_token;
};
/* The session with that change and the next version, the caller's; NULL where it can't be. */
struct session *session_with(const struct session *s, const struct session_changed *c,
                             const struct keyring *k);
/* A copy whose texts lie in `a`; NULL past IDENTITY_MAX_BYTES. */
struct identity *session_identity_copy(struct arena *a, const struct identity *from);

/* Both limits, and the clock set back behind its beginning. `seen`: when somebody was there as far
 * as is known beside the record, which the store may not have been there to take; {0}: nothing. */
bool session_is_over(const struct session *s, struct wall seen, struct wall now);
/* The moment at which it is over, unless somebody is seen before. */
struct wall session_due(const struct session *s, struct wall seen);
/* Somebody uses it, and that should be written down (session_desk_touch). */
bool session_wants_touch(const struct session *s, struct wall now);
/* The provider must be asked again before what it said counts. */
bool session_wants_refresh(const struct session *s, struct wall now);
/* The provider was asked before, what it answered was never written down, and so the refresh token
 * may be one that it has replaced since. Of a session that is SESSION_REFRESHING. */
bool session_lost_refresh(const struct session *s);
/* Until when what is known counts, where the provider can't be asked. */
struct wall session_known_until(const struct session *s);

enum session_binding {
    SESSION_ELSEWHERE = 0, /* another device: worth nothing there, and not ended by that */
    SESSION_BOUND,         /* the very certificate; or unbound, where no device is required */
    SESSION_RENEWED /* another certificate of the same device.id: session_desk_move, then again */
};
/* `device` NULL: none. An unbound session is good on any device where may_be_unbound. */
enum session_binding session_binding(const struct session *s, const struct facts_device *device,
                                     bool may_be_unbound);

struct session *session_ref(struct session *s);
void session_unref(struct session *s); /* the last one wipes */
