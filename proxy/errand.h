// SPDX-License-Identifier: EUPL-1.2
/* What an exchange asks of the control thread, and waits for: a provider's keys, a session, a
 * sign-in. An errand is one letter that goes there and comes back; whoever makes one embeds it in a
 * struct of its own with question and answer, which both threads touch one after the other and
 * never at once. */
#pragma once

#include "base/list.h"
#include "base/mailbox.h"
#include "belfry/slice.h"

struct control;
struct edition;
struct exchange;
struct introspection_desk;
struct issuer_desk;
struct metrics;
struct oidc_desk;
struct records;
struct redis;
struct revocation_desk;
struct session_desk;
struct inventory_desk;
struct status_desk;
struct vouch;
struct worker;

/* One each in a story: an exchange that was answered once does not ask the same again. */
enum errand_kind {
    ERRAND_KEYS,
    ERRAND_STATUS,
    ERRAND_INVENTORY,
    ERRAND_SESSION,
    ERRAND_SESSION_CHANGE,
    ERRAND_PROOF,
    ERRAND_INTROSPECTION,
    ERRAND_REFRESH,
    ERRAND_WORK,
    ERRAND_COUNT
};

/* What there is on the control thread that errands go to. */
struct desks {
    struct loop *loop;
    struct metrics *metrics;
    struct link under_way; /* errands that a desk has */
    struct issuer_desk *issuers;
    struct oidc_desk *oidc; /* signing in at providers */
    struct status_desk *statuses;
    struct inventory_desk *inventories;
    struct introspection_desk *introspections;
    const char *secrets_dir; /* of the configuration in force */
    struct redis *records;   /* for what is kept in the store (auth/vault.h); may be down */
    struct records *kept;    /* sign-ins under way, hand-overs, marks: over that connection */
    struct session_desk *sessions;
    struct revocation_desk *revocations;
    struct edition *edition; /* in force; NULL before the first */
};

struct errand {
    struct letter letter;
    struct link at_control;
    enum errand_kind kind;
    struct worker *worker;
    struct exchange *x; /* NULL: nobody waits any more. The worker's thread only */
    /* On the control thread: begins; errand_done is called exactly once, maybe from here. */
    void (*run)(struct errand *self, struct desks *desks);
    /* On the worker's thread: takes the answer over. x NULL: for the worker alone. May be NULL. */
    void (*back)(struct errand *self, struct exchange *x);
    /* With all that it embeds and owns; also for one that never came to its end. */
    void (*drop)(struct errand *self);
};

/* On the worker's thread. Sends it off; the exchange's phase is run again when it is back, or after
 * limit_ms (then `back` is told no exchange). An exchange has one at a time; where it sends
 * several, one after the other, the limit of the first is that of all of them together. */
void errand_send(struct exchange *x, struct errand *take, int64_t limit_ms);
/* The same for nobody: `back` is told no exchange. */
void errand_post(struct worker *w, struct errand *take);
/* Of this kind one was sent, and is back or was given up. */
bool errand_is_over(const struct exchange *x, enum errand_kind kind);
void errand_give_up(struct exchange *x); /* if one is under way */

/* On the control thread: it goes back to its worker. */
void errand_done(struct errand *e);
/* When the desks are gone. */
void errands_drop_all(struct desks *desks);

struct errand *errand_for_keys(const uint8_t provider_digest[32]);
/* For what the entity's inventory has of a device. */
struct errand *errand_for_inventory(struct slice entity, struct slice device_id);
/* For a certificate that was found good: whether it is revoked. */
struct errand *errand_for_status(const struct vouch *v);
