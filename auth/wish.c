// SPDX-License-Identifier: EUPL-1.2
/* Wishes, in the order in which they came. */
#include "auth/wish.h"

#include "base/mem.h"

struct wish {
    struct link link;
    void (*answered)(void *owner);
    void *owner;
};

void wish_add(struct link *wishes, void (*answered)(void *owner), void *owner)
{
    struct wish *wish = mem_new(struct wish);
    wish->answered = answered;
    wish->owner = owner;
    list_push(wishes, &wish->link);
}

static struct wish *take_first(struct link *wishes)
{
    struct wish *wish = container_of(wishes->next, struct wish, link);
    link_remove(&wish->link);
    return wish;
}

void wishes_answer(struct link *wishes)
{
    struct link now;
    list_init(&now);
    list_move(wishes, &now);
    while (!list_is_empty(&now)) {
        struct wish *wish = take_first(&now);
        wish->answered(wish->owner);
        mem_free(wish);
    }
}

void wishes_drop(struct link *wishes)
{
    while (!list_is_empty(wishes))
        mem_free(take_first(wishes));
}
