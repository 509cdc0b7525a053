// SPDX-License-Identifier: EUPL-1.2
/* Start, letters, accept, drain, end. What a worker does with a connection is in connection.c. */
#include "proxy/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/logger.h"
#include "base/mem.h"
#include "proxy/address_book.h"
#include "proxy/control.h"
#include "proxy/live.h"
#include "proxy/origins.h"

#define ACCEPTS_A_TURN 32  /* so that a burst of new clients does not starve those who are there */
#define ACCEPT_REST_MS 100 /* until somebody may have gone */
#define FIRST_RULES_MS                                                                             \
    2000 /* after the start: who connects waits so long for rules to be there                      \
          */
#define SHORT_SAID_EVERY_MS 60000 /* so that who opens many connections does not fill the log */
#define CHUNKS_AT_REST 256        /* 2 MiB a worker; beyond it a request costs a malloc */
#define BLOCKS_AT_REST 32         /* 2 MiB a worker */
#define TRIM_BYTES 4194304        /* freed to malloc since: less is not worth a walk */
#define TRIM_AFTER_MS 3000        /* when the crowd has left, and not often */
#define CONNECTION_BYTES 65536    /* of a TLS connection, roughly */
#define HANDSHAKES_A_TURN 4       /* about a millisecond each; whoever is in waits for no more */
#define AUDIT_RING_BYTES 4194304  /* about 8,000 decisions: some 100 ms at full speed */

/* --- What exchanges hold. */

struct held *held_use(struct held *h)
{
    h->users++;
    return h;
}

void held_drop(struct held *h)
{
    if (!h || --h->users)
        return;
    edition_unref(h->edition);
    mem_free(h);
}

static struct deadlines *find_length(struct worker *w, int64_t length_ms)
{
    for (uint32_t i = 0; i < w->length_count; i++)
        if (w->lengths[i].length_ms == length_ms)
            return &w->lengths[i];
    return NULL;
}

/* To the next eighth of a power of two: at most a quarter longer, and there are few of them. */
static int64_t rounded_up(int64_t length_ms)
{
    int64_t step = 1;
    while (step * 8 < length_ms)
        step *= 2;
    return (length_ms + step - 1) / step * step;
}

struct deadlines *worker_deadlines(struct worker *w, int64_t length_ms)
{
    struct deadlines *known = find_length(w, length_ms);
    if (!known && w->length_count >= WORKER_LENGTHS) {
        length_ms = rounded_up(length_ms);
        known = find_length(w, length_ms);
    }
    if (known)
        return known;
    assert(w->length_count < WORKER_LENGTHS + WORKER_ROUNDED_LENGTHS);
    deadlines_init(&w->lengths[w->length_count], &w->loop, length_ms);
    return &w->lengths[w->length_count++];
}

struct slice worker_date(struct worker *w, struct arena *a)
{
    return arena_copy(a, http_date(&w->date, loop_wall(&w->loop)));
}

char *worker_block(struct worker *w)
{
    char *block = w->blocks.free;
    if (!block)
        return mem_grow(NULL, WORKER_BLOCK_BYTES, 1);
    memcpy(&w->blocks.free, block, sizeof w->blocks.free);
    w->blocks.count--;
    return block;
}

void worker_block_done(struct worker *w, char *take)
{
    if (!take)
        return;
    if (w->blocks.count == BLOCKS_AT_REST) {
        w->blocks.dropped++;
        mem_free(take);
        return;
    }
    memcpy(take, &w->blocks.free, sizeof w->blocks.free);
    w->blocks.free = take;
    w->blocks.count++;
}

static void close_shut(struct later *self)
{
    struct worker *w = container_of(self, struct worker, shut_later);
    while (w->shut_count)
        (void)close(w->shut[--w->shut_count]);
}

void worker_close_later(struct worker *w, int take_fd)
{
    if (w->shut_count == w->shut_room) {
        w->shut_room = w->shut_room ? 2 * w->shut_room : 64;
        w->shut = mem_grow(w->shut, w->shut_room, sizeof *w->shut);
    }
    w->shut[w->shut_count++] = take_fd;
    loop_next(&w->loop, &w->shut_later);
}

/* --- What a crowd leaves behind. */

/* It lies scattered between what stays, and malloc by itself gives back the heap's end only. */
static void trim(struct deadline *self)
{
    struct worker *w = container_of(self, struct worker, trim);
    (void)malloc_trim(0);
    w->chunks.dropped = w->blocks.dropped = w->connections_closed = 0;
}

void worker_connection_gone(struct worker *w)
{
    w->connections_closed++;
    uint64_t freed = (uint64_t)w->chunks.dropped * ARENA_CHUNK_BYTES +
                     (uint64_t)w->blocks.dropped * WORKER_BLOCK_BYTES +
                     (uint64_t)w->connections_closed * CONNECTION_BYTES;
    if (freed >= TRIM_BYTES && !link_is_in(&w->trim.link))
        deadline_arm(worker_deadlines(w, TRIM_AFTER_MS), &w->trim);
}

bool worker_may_shake(struct worker *w)
{
    if (w->shaking_turn_us != w->loop.turn_began_us) {
        w->shaking_turn_us = w->loop.turn_began_us;
        w->shaken = 0;
    }
    return w->shaken++ < HANDSHAKES_A_TURN;
}

/* --- Accept. */

static void say_short(struct worker *w)
{
    int64_t now_ms = loop_now(&w->loop).ms;
    if (w->short_said_ms && now_ms - w->short_said_ms < SHORT_SAID_EVERY_MS)
        return;
    w->short_said_ms = now_ms;
    log_warning("worker", "no descriptor is left for new clients");
}

/* Clients whom nobody can take stay readable: without a rest the loop would spin on them. */
static void rest(struct worker *w)
{
    say_short(w);
    for (uint32_t i = 0; i < w->listener_count; i++)
        ev_io_stop(w->loop.ev, &w->listeners[i].io);
    deadline_arm(worker_deadlines(w, ACCEPT_REST_MS), &w->accept_rest);
}

static void start_accepting(struct worker *w)
{
    deadline_cancel(&w->accept_rest);
    for (uint32_t i = 0; i < w->listener_count; i++)
        ev_io_start(w->loop.ev, &w->listeners[i].io);
}

static void rest_is_over(struct deadline *self)
{
    start_accepting(container_of(self, struct worker, accept_rest));
}

/* No descriptor is left: the client is told so by an end, at the price of the one kept for this.
 * Otherwise the socket would call us again at once, for ever. */
static bool turn_away(struct worker *w, int listener)
{
    int fd;
    say_short(w);
    if (w->spare_fd < 0)
        return false;
    (void)close(w->spare_fd);
    fd = accept(listener, NULL, NULL);
    if (fd >= 0)
        (void)close(fd);
    w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static void on_acceptable(EV_P_ ev_io *io, int events)
{
    struct listener *l = io->data;
    struct worker *w = l->worker;
    (void)loop, (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE) && turn_away(w, l->fd))
            continue;
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                rest(w);
            return;
        }
        if (!w->held || w->is_draining) {
            (void)close(fd); /* no rules yet: nothing is promised */
            continue;
        }
        connection_accept(l, fd, (const struct sockaddr *)&from);
    }
}

static void stop_listening(struct worker *w)
{
    deadline_cancel(&w->accept_rest);
    for (uint32_t i = 0; i < w->listener_count; i++) {
        if (w->listeners[i].fd < 0)
            continue;
        ev_io_stop(w->loop.ev, &w->listeners[i].io);
        (void)close(w->listeners[i].fd);
        w->listeners[i].fd = -1;
    }
}

/* --- Letters. */

struct worker_letter {
    struct letter letter;
    struct edition *edition;
    struct issuers *issuers;
    struct address_book *addresses;
    struct statuses *statuses;
    struct inventory *inventory;
    bool is_worse;
    struct revocations *revocations;
};

static void letter_free(struct letter *self)
{
    struct worker_letter *l = container_of(self, struct worker_letter, letter);
    edition_unref(l->edition);
    issuers_unref(l->issuers);
    address_book_unref(l->addresses);
    statuses_unref(l->statuses);
    revocations_unref(l->revocations);
    inventory_unref(l->inventory);
    mem_free(l);
}

static void use_issuers(struct worker *w, struct worker_letter *l)
{
    issuers_unref(w->issuers);
    w->issuers = l->issuers;
    l->issuers = NULL;
}

static void open_edition(struct letter *self, void *owner)
{
    struct worker_letter *l = container_of(self, struct worker_letter, letter);
    struct worker *w = owner;
    struct held *h = mem_new(struct held);
    use_issuers(w, l);
    h->edition = l->edition;
    h->number = w->held ? w->held->number + 1 : 1;
    h->users = 1;
    l->edition = NULL;
    if (!w->held && !w->is_draining)
        start_accepting(w);
    held_drop(w->held);
    w->held = h;
    letter_free(self);
    live_judge_again(w);
    origins_look_again(w);
}

static void open_issuers(struct letter *self, void *owner)
{
    struct worker_letter *l = container_of(self, struct worker_letter, letter);
    use_issuers(owner, l);
    letter_free(self);
    live_judge_again(owner); /* the key of somebody's token may be gone */
}

static void open_statuses(struct letter *self, void *owner)
{
    struct worker_letter *l = container_of(self, struct worker_letter, letter);
    struct worker *w = owner;
    const bool is_worse = l->is_worse;
    statuses_unref(w->tls.statuses);
    w->tls.statuses = l->statuses;
    l->statuses = NULL;
    letter_free(self);
    if (is_worse)
        live_judge_again(w);
}

static void open_revocations(struct letter *self, void *owner)
{
    struct worker_letter *l = container_of(self, struct worker_letter, letter);
    struct worker *w = owner;
    revocations_unref(w->tls.revocations);
    w->tls.revocations = l->revocations;
    l->revocations = NULL;
    letter_free(self);
    live_judge_revoked(w);
}

static void open_store_stale(struct letter *self, void *owner)
{
    struct worker *w = owner;
    letter_free(self);
    session_cache_forget(w->sessions);
}

static void open_inventory(struct letter *self, void *owner)
{
    struct worker_letter *l = container_of(self, struct worker_letter, letter);
    struct worker *w = owner;
    const bool is_news = l->is_worse;
    inventory_unref(w->inventory);
    w->inventory = l->inventory;
    l->inventory = NULL;
    letter_free(self);
    if (is_news)
        live_judge_again(w);
}

static void open_addresses(struct letter *self, void *owner)
{
    struct worker_letter *l = container_of(self, struct worker_letter, letter);
    struct worker *w = owner;
    address_book_unref(w->addresses);
    w->addresses = l->addresses;
    l->addresses = NULL;
    letter_free(self);
    if (w->held)
        origins_look_again(w);
}

/* The deadline of the drain: what is still open is cut. */
static void drain_is_over(EV_P_ ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)loop, (void)events;
    while (!list_is_empty(&w->connections))
        connection_close(container_of(w->connections.next, struct connection, in_worker));
    loop_stop(&w->loop);
}

static void open_drain(struct letter *self, void *owner)
{
    struct worker *w = owner;
    letter_free(self);
    if (w->is_draining)
        return;
    w->is_draining = true;
    stop_listening(w);
    live_go_away(w);
    origins_close(w);
    for (struct link *it = w->connections.next, *next; it != &w->connections; it = next) {
        next = it->next;
        connection_drain(container_of(it, struct connection, in_worker));
    }
    if (!w->connection_count) {
        loop_stop(&w->loop);
        return;
    }
    ev_timer_init(&w->drain_timer, drain_is_over, (double)w->config->drain_ms / 1000, 0);
    w->drain_timer.data = w;
    ev_timer_start(w->loop.ev, &w->drain_timer);
}

/* The references in `take` are taken. */
static void post(struct worker *w, void (*open)(struct letter *, void *), struct worker_letter take)
{
    struct worker_letter *l = mem_new(struct worker_letter);
    *l = take;
    l->letter.open = open;
    l->letter.drop = letter_free;
    mailbox_post(&w->mailbox, &l->letter);
}

void worker_post_edition(struct worker *w, struct edition *take, struct issuers *take_issuers)
{
    post(w, open_edition, (struct worker_letter){.edition = take, .issuers = take_issuers});
}

void worker_post_issuers(struct worker *w, struct issuers *take)
{
    post(w, open_issuers, (struct worker_letter){.issuers = take});
}

void worker_post_statuses(struct worker *w, struct statuses *take, bool is_worse)
{
    post(w, open_statuses, (struct worker_letter){.statuses = take, .is_worse = is_worse});
}

void worker_post_revocations(struct worker *w, struct revocations *take)
{
    post(w, open_revocations, (struct worker_letter){.revocations = take});
}

void worker_post_store_stale(struct worker *w)
{
    post(w, open_store_stale, (struct worker_letter){0});
}

void worker_post_inventory(struct worker *w, struct inventory *take, bool is_news)
{
    post(w, open_inventory, (struct worker_letter){.inventory = take, .is_worse = is_news});
}

void worker_post_addresses(struct worker *w, struct address_book *take)
{
    post(w, open_addresses, (struct worker_letter){.addresses = take});
}

void worker_post_drain(struct worker *w)
{
    post(w, open_drain, (struct worker_letter){0});
}

/* --- Life. */

/* Queues for our own limits first: those of applications, which may be as many as there are
 * numbers, then share what is left. */
static void make_lengths(struct worker *w)
{
    const struct config *c = w->config;
    const int64_t ours[] = {c->handshake_ms, c->head_ms, c->keepalive_ms,
                            c->stalled_ms,   c->body_ms, c->upstream_idle_ms};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        (void)worker_deadlines(w, ours[i]);
}

struct worker *worker_new(uint32_t number, const struct config *config, struct ticket_ring *tickets,
                          struct control *control, const int *take_fds, uint32_t fd_count)
{
    struct worker *w = mem_new(struct worker);
    w->number = number;
    w->config = config;
    w->tickets = tickets;
    w->control = control;
    w->accept_rest.passed = rest_is_over;
    w->shut_later.run = close_shut;
    w->trim.passed = trim;
    loop_init(&w->loop);
    make_lengths(w);
    mailbox_init(&w->mailbox, &w->loop, w);
    limits_init(&w->limits, config);
    list_init(&w->connections);
    map_init(&w->origins);
    live_init(w);
    w->chunks.limit = CHUNKS_AT_REST;
    buf_init(&w->out, 1048576); /* FILL_MARK and one frame are what a turn fills */
    w->scratch = mem_grow(NULL, WORKER_BLOCK_BYTES, 1);
    tls_worker_init(&w->tls, tickets);
    w->tokens = token_cache_new(TOKEN_CACHE_ENTRIES, &w->metrics);
    w->sessions = session_cache_new(SESSION_CACHE_ENTRIES);
    w->proofs = dpop_cache_new();
    w->assertions = assertion_cache_new(&w->metrics);
    w->audit = audit_ring_new(AUDIT_RING_BYTES, &w->metrics);
    dice_init(&w->dice);
    w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    w->listeners = mem_array(struct listener, fd_count ? fd_count : 1);
    w->listener_count = fd_count;
    for (uint32_t i = 0; i < fd_count; i++) {
        struct listener *l = &w->listeners[i];
        l->worker = w;
        l->settings = &config->listen[i];
        l->fd = take_fds[i];
        ev_io_init(&l->io, on_acceptable, l->fd, EV_READ);
        l->io.data = l;
    }
    deadline_arm(worker_deadlines(w, FIRST_RULES_MS), &w->accept_rest);
    return w;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are the control thread's */
    (void)snprintf(name, sizeof name, "worker-%u", w->number);
    (void)pthread_setname_np(pthread_self(), name);
    loop_run(&w->loop);
    control_worker_gone(w->control);
    return NULL;
}

bool worker_start(struct worker *w, struct fault *f)
{
    int error = pthread_create(&w->thread, NULL, worker_main, w);
    return error == 0 || fault_errno(f, error, "cannot start a worker");
}

void worker_join(struct worker *w)
{
    (void)pthread_join(w->thread, NULL);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    stop_listening(w);
    ev_timer_stop(w->loop.ev, &w->drain_timer);
    while (!list_is_empty(&w->connections))
        connection_close(container_of(w->connections.next, struct connection, in_worker));
    origins_close(w);
    ev_run(w->loop.ev, EVRUN_NOWAIT); /* what was left for the end of a turn */
    close_shut(&w->shut_later);
    later_cancel(&w->shut_later);
    mem_free(w->shut);
    mailbox_fini(&w->mailbox);
    held_drop(w->held);
    issuers_unref(w->issuers);
    inventory_unref(w->inventory);
    address_book_unref(w->addresses);
    for (uint32_t i = 0; i < w->length_count; i++)
        deadlines_fini(&w->lengths[i]);
    live_fini(w);
    origins_free(w);
    token_cache_free(w->tokens);
    session_cache_free(w->sessions);
    dpop_cache_free(w->proofs);
    assertion_cache_free(w->assertions);
    audit_ring_free(w->audit);
    limits_fini(&w->limits);
    chunk_store_fini(&w->chunks);
    while (w->blocks.count) {
        char *block = worker_block(w);
        mem_free(block);
    }
    small_store_fini(&w->small);
    buf_fini(&w->out);
    mem_free(w->scratch);
    tls_worker_fini(&w->tls);
    if (w->spare_fd >= 0)
        (void)close(w->spare_fd);
    mem_free(w->listeners);
    loop_fini(&w->loop);
    mem_free(w);
}
