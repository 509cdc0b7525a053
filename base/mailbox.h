// SPDX-License-Identifier: EUPL-1.2
/* Messages between threads: any thread posts, the owner opens them on its own loop. No lock: one
 * atomic exchange and an ev_async. A letter is allocated by the poster and owned by the box until
 * opened; the opener frees it. Letters of one poster are opened in the order in which they were
 * posted. */
#pragma once

#include <stdatomic.h>

#include "base/loop.h"

struct letter {
    struct letter *next;
    void (*open)(struct letter *self, void *owner); /* on the owner's thread; takes the letter */
    void (*drop)(struct letter *self);              /* instead of open, when the box ends before */
};

struct mailbox {
    _Atomic(struct letter *) head;
    ev_async bell;
    struct loop *loop;
    void *owner;
};

void mailbox_init(struct mailbox *m, struct loop *l, void *owner);
void mailbox_fini(struct mailbox *m); /* drops what is left */
void mailbox_post(struct mailbox *m, struct letter *take);
