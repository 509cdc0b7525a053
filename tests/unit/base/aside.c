// SPDX-License-Identifier: EUPL-1.2
#include "base/aside.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <time.h>

#include "base/mem.h"

#define JOBS 6

struct note {
    struct aside_job job;
    char name;
    int64_t takes_ms;
};

static struct loop loop;
static struct aside *aside;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: the first job does not end */
static char ran[32], home[32], dropped[32];              /* names, in order */
static size_t expected;

static void begin(void)
{
    struct fault fault;
    loop_init(&loop);
    aside = aside_start(&loop, "aside-test", &fault);
    cr_assert(aside);
}

static void write_down(char *list, char name)
{
    list[strlen(list)] = name;
}

static void run(struct aside_job *self)
{
    const struct note *n = container_of(self, struct note, job);
    const struct timespec takes = {.tv_nsec = n->takes_ms * 1000000};
    if (n->name == '-') {
        pthread_mutex_lock(&gate);
        pthread_mutex_unlock(&gate);
    }
    nanosleep(&takes, NULL);
    write_down(ran, n->name);
}

static void come_home(struct letter *self, void *owner)
{
    struct note *n = container_of(self, struct note, job.letter);
    (void)owner;
    write_down(home, n->name);
    mem_free(n);
    if (strlen(home) == expected)
        loop_stop(&loop);
}

static void drop(struct letter *self)
{
    struct note *n = container_of(self, struct note, job.letter);
    write_down(dropped, n->name);
    mem_free(n);
}

static void ask(const char *group, char name, int64_t takes_ms)
{
    struct note *n = mem_new(struct note);
    *n = (struct note){
        .job = {.letter = {.open = come_home, .drop = drop}, .group = slice_of(group), .run = run},
        .name = name,
        .takes_ms = takes_ms};
    aside_do(aside, &n->job);
}

static void wait_for(size_t count)
{
    expected = count;
    loop_run(&loop);
}

TestSuite(aside, .init = begin, .timeout = 20);

Test(aside, jobs_of_a_group_run_and_come_home_in_the_order_in_which_they_came)
{
    for (int i = 0; i < JOBS; i++)
        ask("one", (char)('a' + i), 0);
    wait_for(JOBS);
    cr_expect_str_eq(ran, "abcdef");
    cr_expect_str_eq(home, "abcdef");
    aside_stop(aside);
    loop_fini(&loop);
}

Test(aside, who_brings_much_keeps_himself_waiting)
{
    pthread_mutex_lock(&gate);
    ask("large", '-', 50);
    for (int i = 0; i < 3; i++)
        ask("large", (char)('A' + i), 50);
    for (int i = 0; i < 3; i++)
        ask("small", (char)('a' + i), 1);
    ask("other", 'o', 1);
    pthread_mutex_unlock(&gate);
    wait_for(8);
    cr_expect_eq(ran[0], '-');
    cr_expect(strcspn(ran, "A") > strcspn(ran, "c"), "%s", ran);
    cr_expect(strcspn(ran, "A") > strcspn(ran, "o"), "%s", ran);
    cr_expect(strcspn(ran, "A") < strcspn(ran, "B") && strcspn(ran, "B") < strcspn(ran, "C"));
    aside_stop(aside);
    loop_fini(&loop);
}

Test(aside, what_is_left_at_the_end_is_dropped_once)
{
    for (int i = 0; i < JOBS; i++)
        ask(i % 2 ? "one" : "two", (char)('a' + i), 1);
    aside_stop(aside); // whether it has run or not: nothing came home
    cr_expect_eq(strlen(dropped), JOBS, "%s", dropped);
    for (int i = 0; i < JOBS; i++)
        cr_expect(strchr(dropped, 'a' + i), "%c", 'a' + i);
    cr_expect_str_eq(home, "");
    loop_fini(&loop);
}
