// SPDX-License-Identifier: EUPL-1.2
/* Posting is a push on a stack (Treiber); opening takes the whole stack and turns it round. Only
 * whoever finds the box empty rings: who finds a letter knows that its poster rings, or rang and is
 * not heard yet. */
#include "base/mailbox.h"

static struct letter *take_in_order(struct mailbox *m)
{
    struct letter *stack = atomic_exchange_explicit(&m->head, NULL, memory_order_acquire);
    struct letter *first = NULL;
    while (stack) {
        struct letter *next = stack->next;
        stack->next = first;
        first = stack;
        stack = next;
    }
    return first;
}

static void rung(struct ev_loop *ev, ev_async *bell, int events)
{
    (void)ev;
    (void)events;
    struct mailbox *m = bell->data;
    for (struct letter *one = take_in_order(m), *next; one; one = next) {
        next = one->next; // opening frees it
        one->open(one, m->owner);
    }
}

void mailbox_init(struct mailbox *m, struct loop *l, void *owner)
{
    *m = (struct mailbox){.loop = l, .owner = owner};
    ev_async_init(&m->bell, rung);
    m->bell.data = m;
    ev_async_start(l->ev, &m->bell);
}

void mailbox_fini(struct mailbox *m)
{
    ev_async_stop(m->loop->ev, &m->bell);
    for (struct letter *one = take_in_order(m), *next; one; one = next) {
        next = one->next;
        one->drop(one);
    }
}

void mailbox_post(struct mailbox *m, struct letter *take)
{
    struct letter *head = atomic_load_explicit(&m->head, memory_order_relaxed);
    do
        take->next = head;
    while (!atomic_compare_exchange_weak_explicit(&m->head, &head, take, memory_order_release,
                                                  memory_order_relaxed));
    if (!head)
        ev_async_send(m->loop->ev, &m->bell);
}
