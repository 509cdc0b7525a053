// SPDX-License-Identifier: EUPL-1.2
/* What the files of the revocation desk share: revocation_desk.c has the entities and the table,
 * revocation_known.c the entries that were proven, revocation_read.c how the store's list is read,
 * compared and mended, revocation_add.c how one is added, revocation_memory.c state_dir. */
#pragma once

#include "auth/revocation_desk.h"
#include "base/list.h"
#include "base/map.h"
#include "policy/serials.h"

struct kept {
    struct revoked_entry e;
    struct slice bytes; /* as they lie in the store; owned */
    uint8_t mac[32];
    struct arena arena;
};

struct adding {
    struct link link;
    struct watched *watched;
    struct revoked_entry e;
    struct arena arena;
    uint32_t tries;
    record_done *done;
    void *owner;
};

struct watched {
    struct revocation_desk *desk;
    char entity[ENTITY_ID_MAX + 1];
    char head_name[VAULT_NAME_ROOM];
    char list_name[VAULT_NAME_ROOM];
    struct kept **kept; /* the oldest first, numbers without gaps up to `last` */
    uint32_t count;
    uint32_t room;
    uint64_t last;            /* number and ... */
    uint8_t end[32];          /* ... MAC of the last entry that was proven */
    struct revoked_head head; /* as it was read, or written, last */
    struct buf head_bytes;    /* the store's own; empty: it has none */
    struct revoked_list *list;
    const char *alarm;    /* static text; NULL: all is well */
    struct mono whole_at; /* when it was last read whole, with a head not too old */
    struct link adds;
    uint32_t add_count;
    uint32_t writings; /* since the last tick */
    bool is_followed;
    bool can_read; /* there are keys for it */
    bool is_whole; /* since the connection came up */
    bool is_reading;
    bool is_writing;
    bool must_read; /* news came while one was under way */
    bool is_unknown;
    bool is_recalled;
    bool is_unsaved;
};

struct revocation_desk {
    struct loop *loop;
    struct redis *redis;
    struct records *records;
    struct revocation_settings settings;
    struct metrics *metrics;
    struct revocation_hooks hooks;
    struct map watched; /* entity → struct watched; none is ever removed */
    struct revocations *table;
    uint64_t number;
    ev_timer tick;
    struct later publish; /* of what changed without an entry: once a turn */
};

static inline struct slice revocation_entity(const struct watched *w)
{
    return slice_of(w->entity);
}

/* ---- of the desk ---- */

void revocation_publish(struct revocation_desk *d);
/* `what` is static text. Whoever waits for an addition is told that it came to nothing. */
void revocation_alarm(struct watched *w, const char *what);
void revocation_is_well(struct watched *w);
/* NULL: it is not followed. */
struct watched *revocation_followed(const struct revocation_desk *d, struct slice entity);

/* ---- what was proven ---- */

/* The entry behind the last, if that is what it is. */
MUST_USE bool known_take(struct watched *w, struct slice bytes);
void known_forget_before(struct watched *w, uint64_t first);
void known_head(struct watched *w, const struct revoked_head *h, struct slice bytes);
void known_list(struct watched *w); /* made anew */
/* What stands before it may be forgotten by all. */
uint64_t known_first_to_keep(const struct watched *w);
/* The MAC of entry n; false where it is none that we have. */
bool known_mac(const struct watched *w, uint64_t n, uint8_t out[32]);
void known_free(struct watched *w);

/* ---- reading ---- */

/* Once more when one is under way. What comes of it is compared, mended and published. */
void revocation_read(struct watched *w);
struct slice number_text(char room[24], uint64_t n);

/* ---- adding ---- */

/* Between readings: what is in is told, and the next goes off. */
void adds_next(struct watched *w);
void adds_give_up(struct watched *w);
void adds_drop(struct watched *w); /* nobody is told */
/* Says once more what keeps the list from being shortened. */
void adds_carry_on(struct watched *w);

/* ---- memory ---- */

void revocation_remember(struct watched *w); /* where something has changed */
void revocation_recall(struct watched *w);
