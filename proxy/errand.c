// SPDX-License-Identifier: EUPL-1.2
/* An errand's way: worker → control → worker. */
#include "proxy/errand.h"

#include <assert.h>

#include "auth/issuer.h"
#include "base/mem.h"
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

void errand_send(struct exchange *x, struct errand *take, int64_t limit_ms)
{
    assert(!x->errand && take->run && take->drop);
    take->letter.open = open_at_control;
    take->letter.drop = drop;
    take->worker = x->worker;
    take->x = x;
    x->errand = take;
    deadline_arm(worker_deadlines(x->worker, limit_ms), &x->deadline);
    mailbox_post(control_mailbox(x->worker->control), &take->letter);
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
    deadline_cancel(&x->deadline);
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
    uint8_t digest[32];
};

static void keys_answered(void *owner)
{
    struct key_errand *k = owner;
    errand_done(&k->errand);
}

static void keys_run(struct errand *self, struct desks *desks)
{
    struct key_errand *k = container_of(self, struct key_errand, errand);
    issuer_desk_want(desks->issuers, k->digest, keys_answered, k);
}

static void keys_drop(struct errand *self)
{
    mem_free(container_of(self, struct key_errand, errand));
}

struct errand *errand_for_keys(const uint8_t provider_digest[32])
{
    struct key_errand *k = mem_new(struct key_errand);
    k->errand = (struct errand){.kind = ERRAND_KEYS, .run = keys_run, .drop = keys_drop};
    memcpy(k->digest, provider_digest, sizeof k->digest);
    return &k->errand;
}
