// SPDX-License-Identifier: EUPL-1.2
/* A probe is one upstream of one application at one address.
 *
 *      WAITING ── its time ──► ASKING ── answer, failure or time limit ──► WAITING
 *
 * Its first time is a random moment, so that the probes of a thousand applications, which all begin
 * with one edition, do not come at once. Owns: probes and their counts. Does not own: HTTP
 * (base/fetch.c), where names lead (resolver.c). */
#include "proxy/health.h"

#include <limits.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/fetch.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/network.h"
#include "policy/host.h"

#define FIRST_WITHIN_MS 1000
#define KEY_MAX_BYTES 8192
#define URL_MAX_BYTES 8192

struct probe {
    struct link link;
    struct health_desk *desk;
    struct slice key; /* owned: all that makes it this probe */
    const struct door *door;
    const struct upstream *upstream;
    struct sockaddr_storage address;
    ev_timer timer;
    struct fetch *fetch; /* ASKING */
    bool is_wanted;
    bool is_down;
    uint32_t in_a_row; /* answers against the state: failures while up, successes while down */
};

struct health_desk {
    struct loop *loop;
    struct slice keys_dir; /* owned */
    struct metrics *metrics;
    struct health_hooks hooks;
    struct fetcher *fetcher;
    struct edition *edition; /* probes point into it */
    struct link probes;
    struct map
        users; /* text of an upstream → how many applications have it, as a pointer's value */
    uint32_t at_once;
    struct dice dice;
    struct later after;
};

/* --- One probe. */

static void arm(struct probe *p, int64_t in_ms)
{
    ev_timer_stop(p->desk->loop->ev, &p->timer);
    ev_timer_set(&p->timer, (double)in_ms / 1000., 0.);
    ev_timer_start(p->desk->loop->ev, &p->timer);
}

static int64_t any_moment(struct health_desk *d, int64_t within_ms)
{
    return (int64_t)(dice_next(&d->dice) % (uint64_t)within_ms);
}

static void turn(struct probe *p, const char *why)
{
    const struct application *app = p->door->app;
    char at[INET6_ADDRSTRLEN];
    (void)address_text(at, (const struct sockaddr *)&p->address);
    p->is_down = !p->is_down;
    p->in_a_row = 0;
    if (p->is_down)
        log_warning("health", "%.*s/%.*s: %.*s at %s is down: %s", SLICE_ARG(app->entity),
                    SLICE_ARG(app->id), SLICE_ARG(p->upstream->text), at, why);
    else
        log_notice("health", "%.*s/%.*s: %.*s at %s is up again", SLICE_ARG(app->entity),
                   SLICE_ARG(app->id), SLICE_ARG(p->upstream->text), at);
    loop_later(p->desk->loop, &p->desk->after);
}

static void answered(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct probe *p = owner;
    const struct health *health = &p->door->app->health;
    const bool is_well = answer->status >= 200 && answer->status < 400;
    char said[32];
    p->fetch = NULL;
    p->desk->at_once--;
    metric_add(p->desk->metrics, METRIC_HEALTH_CHECKS_TOTAL, 1);
    metric_add(p->desk->metrics, METRIC_HEALTH_FAILURES_TOTAL, !is_well);
    (void)snprintf(said, sizeof said, "it answered %d", answer->status);
    p->in_a_row = is_well == p->is_down ? p->in_a_row + 1 : 0;
    if (p->in_a_row >= (p->is_down ? health->rise : health->fall))
        turn(p, why ? why->text : said);
    arm(p, health->interval_ms);
}

static bool may_connect(void *owner, const struct sockaddr *address)
{
    const struct probe *p = owner;
    return network_list_has(p->door->networks, p->door->network_count, address);
}

/* The URL's host is the name that the certificate must be for; where it leads is said apart. */
static bool write_url(struct buf *out, const struct application *app, const struct upstream *u)
{
    const bool is_tls = upstream_is_tls(u);
    struct slice rest = u->text, name = is_tls ? app->tls.name : (struct slice){0};
    const bool is_v6 = name.len && memchr(name.ptr, ':', name.len);
    (void)slice_cut(&rest,
                    ':'); /* "//" and host, perhaps a port, which stands behind a name only */
    if (!name.len && u->host.len)
        name = u->host;
    if (!buf_printf(out, "%s://", is_tls ? "https" : "http"))
        return false;
    if (name.len)
        return buf_printf(out, "%s%.*s%s:%u%.*s", is_v6 ? "[" : "", SLICE_ARG(name),
                          is_v6 ? "]" : "", (unsigned)u->port, SLICE_ARG(app->health.path)) &&
               buf_add(out, (struct slice){"\0", 1});
    return buf_printf(out, "%.*s%.*s", SLICE_ARG(slice_skip(rest, 2)),
                      SLICE_ARG(app->health.path)) &&
           buf_add(out, (struct slice){"\0", 1});
}

static void ask(struct probe *p)
{
    static const enum fetch_protocol protocols[] = {
        [UPSTREAM_HTTP] = FETCH_HTTP_1,
        [UPSTREAM_HTTPS] = FETCH_HTTPS,
        [UPSTREAM_H2C] = FETCH_HTTP_2_PRIOR,
        [UPSTREAM_H2] = FETCH_HTTPS_H2,
    };
    const struct application *app = p->door->app;
    const bool is_tls = upstream_is_tls(p->upstream);
    char at[INET6_ADDRSTRLEN], where[INET6_ADDRSTRLEN + 16], host[HOST_MAX + 8];
    char cert[PATH_MAX], key[PATH_MAX];
    struct buf url;
    (void)address_text(at, (const struct sockaddr *)&p->address);
    (void)snprintf(where, sizeof where, strchr(at, ':') ? "[%s]:%u" : "%s:%u", at,
                   (unsigned)p->upstream->port);
    (void)snprintf(host, sizeof host, "Host: %.*s", SLICE_ARG(app->host));
    (void)snprintf(cert, sizeof cert, "%.*s/upstream/%.*s/cert.pem", SLICE_ARG(p->desk->keys_dir),
                   SLICE_ARG(app->entity));
    (void)snprintf(key, sizeof key, "%.*s/upstream/%.*s/key.pem", SLICE_ARG(p->desk->keys_dir),
                   SLICE_ARG(app->entity));
    buf_init(&url, URL_MAX_BYTES);
    const bool is_written = write_url(&url, app, p->upstream);
    const bool shows = is_tls && app->tls.shows_certificate;
    const struct fetch_request request = {
        .url = is_written ? slice_of(buf_slice(&url).ptr) : SLICE(""),
        .limit_ms = app->health.timeout_ms,
        .protocol = protocols[p->upstream->scheme],
        .ca_pem = is_tls ? app->tls.ca_pem : SLICE(""),
        .certificate_file = shows ? cert : NULL,
        .key_file = shows ? key : NULL,
        .connect_to = where,
        .host_field = host,
        .wants_status_only = true,
        .may_connect = may_connect,
        .done = answered,
        .owner = p,
    };
    p->desk->at_once++;
    p->fetch = fetch_start(p->desk->fetcher, &request);
    buf_fini(&url);
}

static void on_time(EV_P_ ev_timer *timer, int events)
{
    struct probe *p = timer->data;
    (void)loop, (void)events;
    if (p->desk->at_once < HEALTH_MAX_AT_ONCE)
        ask(p);
    else
        arm(p, 10 + any_moment(p->desk, 200));
}

/* --- Which probes there are. */

static void probe_free(struct probe *take)
{
    link_remove(&take->link);
    ev_timer_stop(take->desk->loop->ev, &take->timer);
    if (take->fetch)
        take->desk->at_once--;
    fetch_cancel(take->fetch);
    mem_slice_free(&take->key);
    mem_free(take);
}

static bool write_key(struct buf *out, const struct door *door, const struct upstream *u,
                      const struct sockaddr *address)
{
    const struct application *app = door->app;
    const struct health *h = &app->health;
    uint8_t bytes[16];
    return address_bytes(bytes, address) && buf_add(out, slice_from(bytes, sizeof bytes)) &&
           buf_add(out, slice_from(app->tls.digest, sizeof app->tls.digest)) &&
           buf_printf(out, "%.*s %.*s %.*s %u %u %lld %lld %.*s", SLICE_ARG(app->entity),
                      SLICE_ARG(app->id), SLICE_ARG(app->host), h->fall, h->rise,
                      (long long)h->interval_ms, (long long)h->timeout_ms, SLICE_ARG(u->text)) &&
           buf_printf(out, " %.*s", SLICE_ARG(h->path));
}

static void want(struct health_desk *d, struct map *known, const struct door *door,
                 const struct upstream *u, const struct sockaddr_storage *address)
{
    struct buf key;
    struct probe *p;
    if (!network_list_has(door->networks, door->network_count, (const struct sockaddr *)address))
        return; /* no request goes there either */
    buf_init(&key, KEY_MAX_BYTES);
    if (!write_key(&key, door, u, (const struct sockaddr *)address)) {
        buf_fini(&key);
        return;
    }
    p = map_get(known, buf_slice(&key));
    if (!p) {
        p = mem_new(struct probe);
        p->desk = d;
        p->key = mem_slice(buf_slice(&key));
        p->address = *address;
        ev_init(&p->timer, on_time);
        p->timer.data = p;
        list_push(&d->probes, &p->link);
        (void)map_set(known, p->key, p);
        arm(p, any_moment(d, door->app->health.interval_ms < FIRST_WITHIN_MS
                                 ? door->app->health.interval_ms
                                 : FIRST_WITHIN_MS));
    }
    p->door = door;
    p->upstream = u;
    p->is_wanted = true;
    buf_fini(&key);
}

static void want_upstream(struct health_desk *d, struct map *known, const struct door *door,
                          const struct upstream *u, const struct address_book *b)
{
    const uintptr_t users = (uintptr_t)map_get(&d->users, u->text) + 1;
    (void)map_set(&d->users, u->text, (void *)users);
    if (!door->app->health.path.len)
        return;
    if (!u->host.len) {
        want(d, known, door, u, &u->address);
        return;
    }
    const struct host_addresses *h = address_book_host(b, u->host);
    for (uint32_t i = 0; h && i < h->count; i++)
        want(d, known, door, u, &h->at[i]);
}

void health_desk_follow(struct health_desk *d, struct edition *e, const struct address_book *b,
                        struct slice keys_dir)
{
    struct edition *old = d->edition;
    struct map known;
    int64_t count = 0;
    d->edition = edition_ref(e);
    mem_slice_free(&d->keys_dir);
    d->keys_dir = mem_slice(keys_dir);
    map_init(&known);
    map_fini(&d->users);
    list_each (it, &d->probes) {
        struct probe *p = container_of(it, struct probe, link);
        p->is_wanted = false;
        (void)map_set(&known, p->key, p);
    }
    for (uint32_t i = 0; i < e->door_count; i++)
        for (uint32_t k = 0; k < e->doors[i].app->upstream_count; k++)
            want_upstream(d, &known, &e->doors[i], &e->doors[i].app->upstreams[k], b);
    map_fini(&known);
    for (struct link *it = d->probes.next, *next; it != &d->probes; it = next) {
        struct probe *p = container_of(it, struct probe, link);
        next = it->next;
        if (p->is_wanted)
            count++;
        else
            probe_free(p);
    }
    metric_set(d->metrics, METRIC_UPSTREAMS_CHECKED, count);
    edition_unref(old); /* only now: probes and texts pointed into it */
}

/* --- What is known. */

void health_desk_write(const struct health_desk *d, struct address_book *b)
{
    struct map votes; /* text and address → how many applications find it down */
    struct arena a;
    int64_t down = 0;
    map_init(&votes);
    arena_init(&a, NULL);
    list_each (it, &d->probes) {
        const struct probe *p = container_of(it, struct probe, link);
        const struct sockaddr *address = (const struct sockaddr *)&p->address;
        char text[INET6_ADDRSTRLEN];
        if (!p->is_down)
            continue;
        down++;
        (void)address_text(text, address);
        const struct slice key = arena_printf(&a, "%s %.*s", text, SLICE_ARG(p->upstream->text));
        const uintptr_t count = (uintptr_t)map_get(&votes, key) + 1;
        (void)map_set(&votes, key, (void *)count);
        if (count == (uintptr_t)map_get(&d->users, p->upstream->text))
            address_book_add_down(b, p->upstream->text, address);
    }
    metric_set(d->metrics, METRIC_UPSTREAMS_DOWN, down);
    map_fini(&votes);
    arena_fini(&a);
}

static void on_change(struct later *self)
{
    struct health_desk *d = container_of(self, struct health_desk, after);
    d->hooks.changed(d->hooks.owner);
}

/* --- Life. */

struct health_desk *health_desk_new(struct loop *l, struct metrics *m, struct health_hooks hooks)
{
    struct health_desk *d = mem_new(struct health_desk);
    d->loop = l;
    d->metrics = m;
    d->hooks = hooks;
    d->fetcher = fetcher_new(l);
    d->after.run = on_change;
    list_init(&d->probes);
    map_init(&d->users);
    dice_init(&d->dice);
    return d;
}

void health_desk_free(struct health_desk *d)
{
    if (!d)
        return;
    while (!list_is_empty(&d->probes))
        probe_free(container_of(d->probes.next, struct probe, link));
    later_cancel(&d->after);
    fetcher_free(d->fetcher);
    map_fini(&d->users);
    mem_slice_free(&d->keys_dir);
    edition_unref(d->edition);
    mem_free(d);
}
