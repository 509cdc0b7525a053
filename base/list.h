// SPDX-License-Identifier: EUPL-1.2
/* Intrusive doubly-linked list: the link lies inside what is listed. The head is a link of its own;
 * an element that is in no list has link.next == NULL. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *next;
    struct link *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define list_each(it, head) for (struct link *it = (head)->next; it != (head); it = it->next)

static inline void list_init(struct link *head)
{
    head->next = head->prev = head;
}
static inline bool list_is_empty(const struct link *head)
{
    return head->next == head;
}
static inline bool link_is_in(const struct link *l)
{
    return l->next != NULL;
}
static inline void list_push(struct link *head, struct link *l) /* at the end */
{
    assert(head->prev); // list_init came first
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}
static inline void link_remove(struct link *l) /* fine when it is in none */
{
    if (!l->next)
        return;
    assert(l->prev);
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->next = l->prev = NULL;
}
static inline void list_move(struct link *from, struct link *to) /* all, in order, behind `to`'s */
{
    while (!list_is_empty(from)) {
        struct link *first = from->next;
        link_remove(first);
        list_push(to, first);
    }
}
