// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/mailbox.h"
#include "base/mem.h"

#define POSTERS 4
#define LETTERS 20000

struct numbered {
    struct letter letter;
    int poster;
    int number;
};

struct reader {
    struct loop loop;
    struct mailbox box;
    int next[POSTERS];
    int opened;
    pthread_t thread;
};

static int dropped;

static void open_one(struct letter *self, void *owner)
{
    struct reader *r = owner;
    struct numbered *one = container_of(self, struct numbered, letter);
    cr_assert(pthread_equal(pthread_self(), r->thread));
    cr_assert_eq(one->number, r->next[one->poster]++);
    if (++r->opened == POSTERS * LETTERS)
        loop_stop(&r->loop);
    mem_free(one);
}

static void drop_one(struct letter *self)
{
    cr_assert_eq(container_of(self, struct numbered, letter)->number, dropped);
    dropped++;
    mem_free(container_of(self, struct numbered, letter));
}

static void post(struct mailbox *m, int poster, int number)
{
    struct numbered *one = mem_new(struct numbered);
    *one = (struct numbered){{NULL, open_one, drop_one}, poster, number};
    mailbox_post(m, &one->letter);
}

static struct reader reader;

static void *post_all(void *poster)
{
    for (int i = 0; i < LETTERS; i++)
        post(&reader.box, (int)(intptr_t)poster, i);
    return NULL;
}

Test(mailbox, letters_of_each_poster_are_all_opened_in_order_on_the_owners_thread, .timeout = 30)
{
    pthread_t posters[POSTERS];
    reader.thread = pthread_self();
    loop_init(&reader.loop);
    mailbox_init(&reader.box, &reader.loop, &reader);
    for (int i = 0; i < POSTERS; i++)
        cr_assert_eq(pthread_create(&posters[i], NULL, post_all, (void *)(intptr_t)i), 0);
    loop_run(&reader.loop); // a lost letter or bell would leave it here until the timeout
    for (int i = 0; i < POSTERS; i++) {
        cr_assert_eq(pthread_join(posters[i], NULL), 0);
        cr_assert_eq(reader.next[i], LETTERS);
    }
    mailbox_fini(&reader.box);
    loop_fini(&reader.loop);
}

Test(mailbox, what_is_left_at_the_end_is_dropped_in_order_and_not_opened)
{
    loop_init(&reader.loop);
    mailbox_init(&reader.box, &reader.loop, &reader);
    for (int i = 0; i < 5; i++)
        post(&reader.box, 0, i);
    mailbox_fini(&reader.box);
    cr_assert_eq(dropped, 5);
    cr_assert_eq(reader.opened, 0);
    loop_fini(&reader.loop);
}

/* A letter that is posted while the box is being opened must ring again. */
static void open_and_post(struct letter *self, void *owner)
{
    struct reader *r = owner;
    mem_free(container_of(self, struct numbered, letter));
    if (++r->opened == 3) {
        loop_stop(&r->loop);
        return;
    }
    struct numbered *next = mem_new(struct numbered);
    next->letter.open = open_and_post;
    mailbox_post(&r->box, &next->letter);
}

Test(mailbox, a_letter_posted_while_opening_is_opened_too, .timeout = 10)
{
    loop_init(&reader.loop);
    mailbox_init(&reader.box, &reader.loop, &reader);
    struct numbered *first = mem_new(struct numbered);
    first->letter.open = open_and_post;
    mailbox_post(&reader.box, &first->letter);
    loop_run(&reader.loop);
    cr_assert_eq(reader.opened, 3);
    mailbox_fini(&reader.box);
    loop_fini(&reader.loop);
}
