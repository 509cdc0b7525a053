// SPDX-License-Identifier: EUPL-1.2
/* A name has two halves, IPv4 and IPv6, each asked, kept and forgotten by itself: c-ares tells of a
 * question for both only how the second one ended, and a lost answer of one family must not take
 * the other's addresses away.
 *
 *      due ── ask ──► asking ── addresses ──────► known until TTL, then due
 *       ▲               │ ───── there are none ─► none, due after RESOLVER_LEAST_MS
 *       └── later ──────┴────── no answer ──────► the last good one goes on (RFC 8767), due later
 *
 * c-ares's callbacks only note; names are looked at at the end of the turn. */
#include "proxy/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/network.h"

#define QUERY_TIMEOUT_MS 2000 /* of the first try; c-ares doubles it */
#define QUERY_TRIES 2
#define RETRY_LEAST_MS 1000 /* after a failure; doubled up to the most */
#define RETRY_MOST_MS 30000

/* "Recursion desired" is all that is wanted: no search domains, which would make another name of
 * ours, and no HOSTALIASES of the environment. */
#define FLAGS (ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES)

enum half_state { HALF_NEW, HALF_KNOWN, HALF_NONE, HALF_FAILED };

struct half {
    struct name *name;
    int family;
    bool is_asking;
    enum half_state state; /* of the last answer */
    struct sockaddr_storage *at;
    uint32_t count;
    int64_t due_ms;        /* when to ask (again) */
    int64_t good_until_ms; /* what is known is given up then */
    int64_t retry_ms;
};

struct name {
    struct link link;
    struct resolver *resolver;
    struct slice host; /* owned, NUL behind */
    struct half halves[2];
    bool is_wanted;  /* by the last resolver_follow; else it goes when its answers are in */
    bool was_wanted; /* by the one before */
    bool is_failing; /* and that was said */
};

/* A socket of c-ares's. */
struct watch {
    struct link link;
    struct resolver *resolver;
    ev_io io;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct metrics *metrics;
    struct resolver_hooks hooks;
    int64_t max_stale_ms;
    struct link names;
    struct link watches;
    ev_timer wait;      /* c-ares's */
    ev_timer due;       /* ours: the next half that is to be asked or given up */
    struct later after; /* answers have come */
    bool has_changed;
};

/* --- c-ares and the loop. */

static void arm_wait(struct resolver *r)
{
    struct timeval most = {.tv_sec = 60}, room;
    const struct timeval *t = ares_timeout(r->channel, &most, &room);
    ev_timer_stop(r->loop->ev, &r->wait);
    if (list_is_empty(&r->watches) || !t)
        return;
    ev_timer_set(&r->wait, (double)t->tv_sec + (double)t->tv_usec / 1e6, 0.);
    ev_timer_start(r->loop->ev, &r->wait);
}

static void on_wait(EV_P_ ev_timer *timer, int events)
{
    struct resolver *r = timer->data;
    (void)loop, (void)events;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_wait(r);
}

static void on_socket(EV_P_ ev_io *io, int events)
{
    const struct watch *watch = io->data;
    struct resolver *r = watch->resolver;
    const int fd = io->fd; /* the watch may be gone when c-ares returns */
    (void)loop;
    ares_process_fd(r->channel, events & EV_READ ? fd : ARES_SOCKET_BAD,
                    events & EV_WRITE ? fd : ARES_SOCKET_BAD);
    arm_wait(r);
}

static struct watch *watch_of(struct resolver *r, int fd)
{
    list_each (it, &r->watches) {
        struct watch *watch = container_of(it, struct watch, link);
        if (watch->io.fd == fd)
            return watch;
    }
    return NULL;
}

/* c-ares wants to read from, or to write to, a socket of its own, or is through with it. */
static void on_socket_wanted(void *data, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = data;
    struct watch *watch = watch_of(r, fd);
    if (watch)
        ev_io_stop(r->loop->ev, &watch->io);
    if (!readable && !writable) {
        if (watch)
            link_remove(&watch->link);
        mem_free(watch);
        return;
    }
    if (!watch) {
        watch = mem_new(struct watch);
        watch->resolver = r;
        watch->io.data = watch;
        ev_init(&watch->io, on_socket);
        list_push(&r->watches, &watch->link);
    }
    ev_io_set(&watch->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(r->loop->ev, &watch->io);
}

/* --- An answer. */

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct sockaddr_storage));
}

/* Addresses without ports, in one order, each once: servers turn the order round, which says
 * nothing new. */
static uint32_t take_addresses(struct sockaddr_storage *out, const struct ares_addrinfo *answer,
                               int family, int64_t *ttl_s)
{
    uint32_t count = 0, kept = 0;
    *ttl_s = INT32_MAX;
    for (const struct ares_addrinfo_node *n = answer->nodes; n; n = n->ai_next) {
        struct sockaddr_storage *one = &out[count];
        if (n->ai_family != family || count == RESOLVER_MAX_ADDRESSES)
            continue;
        *one = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
        if (family == AF_INET)
            ((struct sockaddr_in *)(void *)one)->sin_addr =
                ((const struct sockaddr_in *)(const void *)n->ai_addr)->sin_addr;
        else
            ((struct sockaddr_in6 *)(void *)one)->sin6_addr =
                ((const struct sockaddr_in6 *)(const void *)n->ai_addr)->sin6_addr;
        if (n->ai_ttl < *ttl_s)
            *ttl_s = n->ai_ttl;
        count++;
    }
    qsort(out, count, sizeof *out, by_bytes);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || by_bytes(&out[kept - 1], &out[i]) != 0)
            out[kept++] = out[i];
    return kept;
}

static void set_addresses(struct half *h, const struct sockaddr_storage *at, uint32_t count)
{
    if (count == h->count && (!count || memcmp(at, h->at, count * sizeof *at) == 0))
        return;
    mem_free(h->at);
    h->at = count ? mem_array(struct sockaddr_storage, count) : NULL;
    if (count)
        memcpy(h->at, at, count * sizeof *at);
    h->count = count;
    h->name->resolver->has_changed = true;
}

static void answered(struct half *h, enum half_state state, const struct sockaddr_storage *at,
                     uint32_t count, int64_t ttl_s)
{
    const struct resolver *r = h->name->resolver;
    const int64_t now_ms = loop_now(r->loop).ms;
    int64_t lives_ms = ttl_s > RESOLVER_MOST_MS / 1000 ? RESOLVER_MOST_MS : ttl_s * 1000;
    if (lives_ms < RESOLVER_LEAST_MS)
        lives_ms = RESOLVER_LEAST_MS;
    h->state = state;
    h->retry_ms = 0;
    h->due_ms = now_ms + lives_ms;
    h->good_until_ms = h->due_ms + r->max_stale_ms;
    set_addresses(h, at, count);
}

static void failed(struct half *h, int status)
{
    const struct resolver *r = h->name->resolver;
    metric_add(r->metrics, METRIC_DNS_FAILURES_TOTAL, 1);
    h->state = HALF_FAILED;
    h->retry_ms = !h->retry_ms                      ? RETRY_LEAST_MS
                  : h->retry_ms * 2 < RETRY_MOST_MS ? h->retry_ms * 2
                                                    : RETRY_MOST_MS;
    h->due_ms = loop_now(r->loop).ms + h->retry_ms;
    if (h->name->is_failing)
        return;
    h->name->is_failing = true;
    log_warning("resolver", "no answer for '%.*s': %s%s", SLICE_ARG(h->name->host),
                ares_strerror(status), h->count ? "; the last one goes on" : "");
}

/* Called by c-ares, now or later, exactly once a question. */
static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *answer)
{
    struct half *h = data;
    struct resolver *r = h->name->resolver;
    struct sockaddr_storage room[RESOLVER_MAX_ADDRESSES];
    int64_t ttl_s = 0;
    uint32_t count = 0;
    (void)timeouts;
    h->is_asking = false;
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
        return;
    if (status == ARES_SUCCESS)
        count = take_addresses(room, answer, h->family, &ttl_s);
    if (answer)
        ares_freeaddrinfo(answer);
    if (count)
        answered(h, HALF_KNOWN, room, count, ttl_s);
    else if (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND)
        answered(h, HALF_NONE, NULL, 0, 0);
    else
        failed(h, status);
    loop_later(r->loop, &r->after);
}

/* RFC 6761 §6.3: these mean this machine, and no server is asked for them. */
static bool is_localhost(struct slice host)
{
    return slice_eq(host, SLICE("localhost")) || slice_ends(host, SLICE(".localhost"));
}

static void answer_loopback(struct half *h)
{
    struct sockaddr_storage at = {.ss_family = (sa_family_t)h->family};
    if (h->family == AF_INET)
        ((struct sockaddr_in *)(void *)&at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)(void *)&at)->sin6_addr = in6addr_loopback;
    answered(h, HALF_KNOWN, &at, 1, RESOLVER_MOST_MS / 1000);
    loop_later(h->name->resolver->loop, &h->name->resolver->after);
}

/* --- What is due. */

static void ask(struct half *h)
{
    struct resolver *r = h->name->resolver;
    const struct ares_addrinfo_hints hints = {
        .ai_family = h->family, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    if (is_localhost(h->name->host)) {
        answer_loopback(h);
        return;
    }
    metric_add(r->metrics, METRIC_DNS_QUERIES_TOTAL, 1);
    h->is_asking = true;
    /* The system's hosts file is read first, by c-ares. */
    ares_getaddrinfo(r->channel, h->name->host.ptr, NULL, &hints, on_answer, h);
}

static void look(struct half *h, int64_t now_ms)
{
    if (h->is_asking)
        return;
    if (h->count && now_ms >= h->good_until_ms) {
        log_error("resolver", "'%.*s' has had no answer for too long; its last one is given up",
                  SLICE_ARG(h->name->host));
        set_addresses(h, NULL, 0);
    }
    if (now_ms >= h->due_ms)
        ask(h);
}

static int64_t next_of(const struct half *h)
{
    if (h->is_asking)
        return INT64_MAX;
    return h->count && h->good_until_ms < h->due_ms ? h->good_until_ms : h->due_ms;
}

/* Asks all that is due, and sleeps until the next. */
static void look_around(struct resolver *r)
{
    const int64_t now_ms = loop_now(r->loop).ms;
    int64_t next_ms = INT64_MAX;
    list_each (it, &r->names) {
        struct name *n = container_of(it, struct name, link);
        for (size_t i = 0; i < 2 && n->is_wanted; i++) {
            look(&n->halves[i], now_ms);
            if (next_of(&n->halves[i]) < next_ms)
                next_ms = next_of(&n->halves[i]);
        }
    }
    arm_wait(r);
    ev_timer_stop(r->loop->ev, &r->due);
    if (next_ms == INT64_MAX)
        return;
    ev_timer_set(&r->due, next_ms > now_ms ? (double)(next_ms - now_ms) / 1000. : 0., 0.);
    ev_timer_start(r->loop->ev, &r->due);
}

static void on_due(EV_P_ ev_timer *timer, int events)
{
    struct resolver *r = timer->data;
    (void)loop, (void)events;
    look_around(r);
    if (r->has_changed)
        loop_later(r->loop, &r->after);
}

/* --- The end of a turn in which answers came. */

static void name_free(struct name *take)
{
    link_remove(&take->link);
    mem_free(take->halves[0].at);
    mem_free(take->halves[1].at);
    mem_slice_free(&take->host);
    mem_free(take);
}

/* A name that leads nowhere is said once, and once when it is well again. */
static void tell(struct name *n)
{
    const struct half *a = &n->halves[0], *b = &n->halves[1];
    const bool has_failed = a->state == HALF_FAILED || b->state == HALF_FAILED;
    const bool is_nowhere = a->state == HALF_NONE && b->state == HALF_NONE;
    if (a->state == HALF_NEW || b->state == HALF_NEW)
        return;
    if (is_nowhere && !n->is_failing)
        log_warning("resolver", "'%.*s' has no address", SLICE_ARG(n->host));
    if (!is_nowhere && !has_failed && n->is_failing)
        log_notice("resolver", "'%.*s' has an answer again", SLICE_ARG(n->host));
    n->is_failing = is_nowhere || has_failed;
}

static void on_answers(struct later *self)
{
    struct resolver *r = container_of(self, struct resolver, after);
    for (struct link *it = r->names.next, *next; it != &r->names; it = next) {
        struct name *n = container_of(it, struct name, link);
        next = it->next;
        if (!n->is_wanted && !n->halves[0].is_asking && !n->halves[1].is_asking) {
            name_free(n);
            continue;
        }
        tell(n);
    }
    metric_set(r->metrics, METRIC_DNS_NAMES_FAILING, resolver_failing(r));
    look_around(r);
    if (!r->has_changed)
        return;
    r->has_changed = false;
    r->hooks.changed(r->hooks.owner);
}

/* --- Names. */

static struct name *name_new(struct resolver *r, struct slice host)
{
    static const int families[2] = {AF_INET, AF_INET6};
    struct name *n = mem_new(struct name);
    n->resolver = r;
    n->host = mem_slice(host);
    for (size_t i = 0; i < 2; i++) {
        n->halves[i].name = n;
        n->halves[i].family = families[i];
    }
    list_push(&r->names, &n->link);
    return n;
}

void resolver_follow(struct resolver *r, const struct slice *hosts, size_t count)
{
    struct map known;
    map_init(&known);
    list_each (it, &r->names) {
        struct name *n = container_of(it, struct name, link);
        n->was_wanted = n->is_wanted;
        n->is_wanted = false;
        (void)map_set(&known, n->host, n);
    }
    for (size_t i = 0; i < count; i++) {
        struct name *n = map_get(&known, hosts[i]);
        if (!n) {
            n = name_new(r, hosts[i]);
            (void)map_set(&known, n->host, n);
        }
        n->is_wanted = true;
    }
    map_fini(&known);
    list_each (it, &r->names) {
        const struct name *n = container_of(it, struct name, link);
        if (n->was_wanted != n->is_wanted && (n->halves[0].count || n->halves[1].count))
            r->has_changed = true;
    }
    loop_later(r->loop, &r->after);
}

uint32_t resolver_waiting(const struct resolver *r)
{
    uint32_t count = 0;
    list_each (it, &r->names) {
        const struct name *n = container_of(it, struct name, link);
        count += n->is_wanted && (n->halves[0].state == HALF_NEW || n->halves[1].state == HALF_NEW);
    }
    return count;
}

uint32_t resolver_failing(const struct resolver *r)
{
    uint32_t count = 0;
    list_each (it, &r->names) {
        const struct name *n = container_of(it, struct name, link);
        count += n->is_wanted && n->is_failing;
    }
    return count;
}

void resolver_write(const struct resolver *r, struct address_book *b)
{
    struct sockaddr_storage all[2 * RESOLVER_MAX_ADDRESSES];
    list_each (it, &r->names) {
        const struct name *n = container_of(it, struct name, link);
        uint32_t count = 0;
        for (size_t i = 0; i < 2 && n->is_wanted; i++)
            for (uint32_t k = 0; k < n->halves[i].count; k++)
                all[count++] = n->halves[i].at[k];
        address_book_add_host(b, n->host, all, count);
    }
}

/* --- Life. */

static bool set_servers(struct resolver *r, const struct slices *servers, struct fault *f)
{
    struct buf csv;
    int status;
    bool is_fine = true;
    if (!servers->count)
        return true;
    buf_init(&csv, 4096);
    for (uint32_t i = 0; i < servers->count; i++)
        is_fine = is_fine && buf_printf(&csv, "%s%.*s", i ? "," : "", SLICE_ARG(servers->at[i]));
    is_fine = is_fine && buf_add(&csv, (struct slice){"\0", 1});
    status = is_fine ? ares_set_servers_ports_csv(r->channel, buf_slice(&csv).ptr) : ARES_EBADSTR;
    buf_fini(&csv);
    return status == ARES_SUCCESS ||
           fault_set(f, FAULT_CONFIG, "cannot use dns.servers: %s", ares_strerror(status));
}

static bool open_channel(struct resolver *r, const struct slices *servers, struct fault *f)
{
    struct ares_options options = {.flags = FLAGS,
                                   .timeout = QUERY_TIMEOUT_MS,
                                   .tries = QUERY_TRIES,
                                   .sock_state_cb = on_socket_wanted,
                                   .sock_state_cb_data = r};
    const int which = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(&r->channel, &options, which);
    if (status != ARES_SUCCESS)
        return fault_set(f, FAULT_CONFIG, "cannot start resolving names: %s",
                         ares_strerror(status));
    return set_servers(r, servers, f);
}

struct resolver *resolver_new(struct loop *l, const struct resolver_settings *settings,
                              struct metrics *m, struct resolver_hooks hooks, struct fault *f)
{
    struct resolver *r = mem_new(struct resolver);
    r->loop = l;
    r->metrics = m;
    r->hooks = hooks;
    r->max_stale_ms = settings->max_stale_ms;
    r->after.run = on_answers;
    list_init(&r->names);
    list_init(&r->watches);
    ev_timer_init(&r->wait, on_wait, 0., 0.);
    ev_timer_init(&r->due, on_due, 0., 0.);
    r->wait.data = r->due.data = r;
    if (open_channel(r, &settings->servers, f))
        return r;
    resolver_free(r);
    return NULL;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    if (r->channel)
        ares_destroy(r->channel); /* ends what is under way, and its sockets */
    assert(list_is_empty(&r->watches));
    ares_library_cleanup();
    while (!list_is_empty(&r->names))
        name_free(container_of(r->names.next, struct name, link));
    later_cancel(&r->after);
    ev_timer_stop(r->loop->ev, &r->wait);
    ev_timer_stop(r->loop->ev, &r->due);
    mem_free(r);
}
