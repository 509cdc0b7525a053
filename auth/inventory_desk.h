// SPDX-License-Identifier: EUPL-1.2
/* The inventories of all entities, on the control thread: looks a device up in the store when a
 * worker first meets it, again when the store's stream says that something changed (and now and
 * then all the same), and hands out a new table (auth/inventory.h) whenever something has. */
#pragma once

#include "auth/inventory.h"
#include "base/loop.h"
#include "base/metric.h"
#include "base/redis.h"

struct inventory_desk;
struct inventory_hooks {
    /* A new table; the hook takes over its reference. `is_news`: what was known of a device is so
     * no longer. May not call back into the desk. */
    void (*changed)(void *owner, struct inventory *take, bool is_news);
    void *owner;
};
/* `redis` may be down and may come back; it must be gone before the desk is. */
struct inventory_desk *inventory_desk_new(struct loop *l, struct redis *redis, struct metrics *m,
                                          struct inventory_hooks hooks);
void inventory_desk_free(struct inventory_desk *d);
/* Keys of the edition in force; a reference is taken. */
void inventory_desk_follow(struct inventory_desk *d, struct keyring *k);
/* The table lacks a device. `answered` runs once, maybe at once: look again. */
void inventory_desk_want(struct inventory_desk *d, struct slice entity, struct slice id,
                         void (*answered)(void *owner), void *owner);
/* The entity's inventory was changed: what is known of its devices is read again. */
void inventory_desk_news(struct inventory_desk *d, struct slice entity);
