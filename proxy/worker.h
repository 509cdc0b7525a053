// SPDX-License-Identifier: EUPL-1.2
/* A worker: one thread, one loop, its own listening sockets, TLS context, connections, upstream
 * pools, caches and counters. Nothing on the way of a request takes a lock or waits. What comes
 * from outside the thread comes through the mailbox. */
#pragma once

#include <pthread.h>

#include "audit/record.h"
#include "auth/assertion.h"
#include "auth/dpop.h"
#include "auth/inventory.h"
#include "auth/issuer.h"
#include "auth/session_cache.h"
#include "auth/token.h"
#include "base/entropy.h"
#include "base/http_date.h"
#include "base/mailbox.h"
#include "proxy/address_book.h"
#include "proxy/config.h"
#include "proxy/edition.h"
#include "proxy/h1_head.h"
#include "proxy/h2_memory.h"
#include "proxy/limits.h"
#include "proxy/tls.h"

#define WORKER_BLOCK_BYTES 65536   /* one read(2) from an upstream; kept in a small store */
#define WORKER_LENGTHS 32          /* different time limits in one gateway that are kept exactly */
#define WORKER_ROUNDED_LENGTHS 248 /* all that there are of the others */

/* An edition as this worker holds it: counted without atomics by the exchanges that run on it. */
struct held {
    struct edition *edition;
    uint64_t number; /* 1, 2, ... in this worker */
    uint32_t users;  /* exchanges, and 1 while it is the current one */
};

/* Memory of one size at rest. */
struct block_store {
    void *free;
    uint32_t count;
    uint32_t dropped; /* that there was no room for */
};

struct worker {
    uint32_t number;
    pthread_t thread;
    struct loop loop;
    struct mailbox mailbox;
    struct control *control;     /* only to post letters to */
    const struct config *config; /* of the start; outlives the worker */
    struct ticket_ring *tickets;
    struct tls_worker tls;
    struct held *held; /* the current one; NULL until the first edition has come */
    struct issuers *issuers;
    struct inventory *inventory;    /* NULL until the first has come */
    struct address_book *addresses; /* NULL until the first has come */

    struct listener *listeners;
    uint32_t listener_count;
    struct deadline accept_rest;   /* no descriptor is left: nothing is accepted until then */
    int64_t short_said_ms;         /* when that was last said */
    int spare_fd;                  /* given up for a moment when there is no other */
    struct mono asked_for_forgers; /* when the keys of a provider were, last */
    struct limits limits;
    struct link connections;
    uint32_t connection_count;
    uint32_t connections_closed; /* since the heap was trimmed */
    struct deadline trim;
    int64_t shaking_turn_us; /* the turn that `shaken` counts in */
    uint32_t shaken;
    bool is_draining;
    ev_timer drain_timer;

    struct origin *last_origin; /* the one used last, looked at first */
    struct map origins;         /* "ENTITY/APPLICATION" → struct origin */
    struct link live;           /* exchanges that were permitted and are under way */
    ev_timer live_tick;
    struct deadlines lengths[WORKER_LENGTHS + WORKER_ROUNDED_LENGTHS];
    uint32_t length_count;

    int *shut; /* descriptors that are closed in the next turn */
    uint32_t shut_count;
    uint32_t shut_room;
    struct later shut_later;

    struct chunk_store chunks;
    struct block_store blocks;
    struct small_store small;
    struct buf out;      /* what a turn writes to one client; empty between turns */
    char *scratch;       /* WORKER_BLOCK_BYTES: what a turn reads from one client */
    struct h1_head head; /* the head being parsed; copied out before the next */
    struct token_cache *tokens;
    struct session_cache *sessions;
    struct dpop_cache *proofs;
    struct assertion_cache *assertions;
    struct audit_ring *audit;
    struct metrics metrics;
    struct dice dice;
    struct http_date date;
};

struct listener {
    struct worker *worker;
    const struct config_listener *settings;
    int fd;
    ev_io io;
};

/* On the control thread, before worker_start: what can fail does so here. Takes the sockets, one
 * for each `listen` of the config in its order. */
struct worker *worker_new(uint32_t number, const struct config *config, struct ticket_ring *tickets,
                          struct control *control, const int *take_fds, uint32_t fd_count);
MUST_USE bool worker_start(struct worker *w, struct fault *f);
void worker_join(struct worker *w);
void worker_free(struct worker *w);

/* Letters from the control thread. References are taken. An edition comes with the keys of its
 * providers: there is no moment at which a request has the rules without the keys. */
void worker_post_edition(struct worker *w, struct edition *take, struct issuers *take_issuers);
void worker_post_issuers(struct worker *w, struct issuers *take);
/* `is_news`: who is inside is judged again. */
void worker_post_inventory(struct worker *w, struct inventory *take, bool is_news);
/* `is_worse`: who is inside is judged again. */
void worker_post_statuses(struct worker *w, struct statuses *take, bool is_worse);
/* What rests on what was taken back is cut. */
void worker_post_revocations(struct worker *w, struct revocations *take);
/* The store has been away for longer than store.max_stale: no session is known any more. */
void worker_post_store_stale(struct worker *w);
void worker_post_addresses(struct worker *w, struct address_book *take);
void worker_post_drain(struct worker *w);

/* On the worker's own thread. */
struct held *held_use(struct held *h);
void held_drop(struct held *h);
/* The queue of deadlines of that length; made at its first use. Beyond WORKER_LENGTHS of them one
 * may be a quarter longer: nobody's limits make another's shorter. */
struct deadlines *worker_deadlines(struct worker *w, int64_t length_ms);
/* Closes it in the next turn. To close a TCP connection takes longer than to judge and cut what it
 * carried: where a thousand end at once, their clients are told first. */
void worker_close_later(struct worker *w, int take_fd);
/* A connection has ended: once much was freed, the system gets it back, a little later. */
void worker_connection_gone(struct worker *w);
/* One step of a handshake, of the few that a turn has room for; false: the next turn. */
bool worker_may_shake(struct worker *w);
/* This second's Date, copied into the arena. */
struct slice worker_date(struct worker *w, struct arena *a);
char *worker_block(struct worker *w); /* WORKER_BLOCK_BYTES, not zeroed */
void worker_block_done(struct worker *w, char *take);
