// SPDX-License-Identifier: EUPL-1.2
/* An errand's way: worker → control → worker. */
#include "proxy/errand.h"

#include <assert.h>

#include "auth/inventory_desk.h"
#include "auth/issuer.h"
#include "auth/status_desk.h"
#include "auth/vouch.h"
#include "base/mem.h"
#include "base/metric.h"
#include "proxy/control.h"
#include "proxy/exchange.h"

static struct errand *errand_of(struct letter *letter)
{
    return container_of(letter, struct errand, letter);
}

static void drop(struct letter *self)
{
    struct errand *e = errand_of(self);
    e->drop(e);
}

static void open_at_worker(struct letter *self, void *owner)
{
    struct errand *e = errand_of(self);
    struct exchange *x = e->x;
    (void)owner;
    if (e->back)
        e->back(e, x);
    if (x) {
        errand_give_up(x);
        exchange_errand_over(x);
    }
    e->drop(e);
}

void errand_done(struct errand *e)
{
    link_remove(&e->at_control);
    e->letter.open = open_at_worker;
    mailbox_post(&e->worker->mailbox, &e->letter);
}

static void open_at_control(struct letter *self, void *owner)
{
    struct errand *e = errand_of(self);
    struct desks *desks = control_desks(owner);
    list_push(&desks->under_way, &e->at_control);
    e->run(e, desks);
}

void errand_post(struct worker *w, struct errand *take)
{
    assert(take->run && take->drop);
    take->letter.open = open_at_control;
    take->letter.drop = drop;
    take->worker = w;
    mailbox_post(control_mailbox(w->control), &take->letter);
}

void errand_send(struct exchange *x, struct errand *take, int64_t limit_ms)
{
    assert(!x->errand);
    take->x = x;
    x->errand = take;
    if (!link_is_in(&x->deadline.link))
        deadline_arm(worker_deadlines(x->worker, x->is_out_of_time ? LOOP_TICK_MS : limit_ms),
                     &x->deadline);
    errand_post(x->worker, take);
}

bool errand_is_over(const struct exchange *x, enum errand_kind kind)
{
    return (x->errands_over & 1u << kind) != 0;
}

void errand_give_up(struct exchange *x)
{
    if (!x->errand)
        return;
    x->errands_over |= 1u << x->errand->kind;
    x->errand->x = NULL;
    x->errand = NULL;
}

void errands_drop_all(struct desks *desks)
{
    while (!list_is_empty(&desks->under_way)) {
        struct errand *e = container_of(desks->under_way.next, struct errand, at_control);
        link_remove(&e->at_control);
        e->drop(e);
    }
}

/* --- A provider's keys. The table itself comes to the worker in a letter of its own, before. */

struct key_errand {
    struct errand errand;
    struct issuer_desk *desk;
    uint8_t digest[32];
    bool is_current;
};

static void keys_answered(void *owner)
{
    struct key_errand *k = owner;
    k->is_current = issuer_desk_is_current(k->desk, k->digest);
    errand_done(&k->errand);
}

static void keys_back(struct errand *self, struct exchange *x)
{
    if (x)
        x->keys_are_current = container_of(self, struct key_errand, errand)->is_current;
}

static void keys_run(struct errand *self, struct desks *desks)
{
    struct key_errand *k = container_of(self, struct key_errand, errand);
    k->desk = desks->issuers;
    metric_add(desks->metrics, METRIC_JWKS_WISHES_TOTAL, 1);
    issuer_desk_want(desks->issuers, k->digest, keys_answered, k);
}

static void keys_drop(struct errand *self)
{
    mem_free(container_of(self, struct key_errand, errand));
}

struct errand *errand_for_keys(const uint8_t provider_digest[32])
{
    struct key_errand *k = mem_new(struct key_errand);
    k->errand =
        (struct errand){.kind = ERRAND_KEYS, .run = keys_run, .back = keys_back, .drop = keys_drop};
    memcpy(k->digest, provider_digest, sizeof k->digest);
    return &k->errand;
}

/* --- Whether a certificate is revoked. The table comes before, as with keys. */

struct status_errand {
    struct errand errand;
    uint8_t authority[32];
    struct chain_link link;
    struct slice leaf; /* owned */
};

static void status_answered(void *owner)
{
    struct status_errand *s = owner;
    errand_done(&s->errand);
}

static void status_run(struct errand *self, struct desks *desks)
{
    struct status_errand *s = container_of(self, struct status_errand, errand);
    status_desk_want(desks->statuses, s->authority, s->leaf, &s->link, status_answered, s);
}

static void status_drop(struct errand *self)
{
    struct status_errand *s = container_of(self, struct status_errand, errand);
    mem_slice_free(&s->leaf);
    mem_free(s);
}

struct errand *errand_for_status(const struct vouch *v)
{
    struct status_errand *s = mem_new(struct status_errand);
    s->errand = (struct errand){.kind = ERRAND_STATUS, .run = status_run, .drop = status_drop};
    memcpy(s->authority, v->answer.authority->digest, sizeof s->authority);
    s->link = v->answer.links[0];
    s->leaf = mem_slice(vouch_leaf(v));
    return &s->errand;
}

/* --- What the inventory has of a device; that table comes before, too. */

struct inventory_errand {
    struct errand errand;
    struct slice entity; /* owned */
    struct slice id;     /* owned */
};

static void inventory_answered(void *owner)
{
    struct inventory_errand *i = owner;
    errand_done(&i->errand);
}

static void inventory_run(struct errand *self, struct desks *desks)
{
    struct inventory_errand *i = container_of(self, struct inventory_errand, errand);
    inventory_desk_want(desks->inventories, i->entity, i->id, inventory_answered, i);
}

static void inventory_drop(struct errand *self)
{
    struct inventory_errand *i = container_of(self, struct inventory_errand, errand);
    mem_slice_free(&i->entity);
    mem_slice_free(&i->id);
    mem_free(i);
}

struct errand *errand_for_inventory(struct slice entity, struct slice device_id)
{
    struct inventory_errand *i = mem_new(struct inventory_errand);
    i->errand =
        (struct errand){.kind = ERRAND_INVENTORY, .run = inventory_run, .drop = inventory_drop};
    i->entity = mem_slice(entity);
    i->id = mem_slice(device_id);
    return &i->errand;
}
