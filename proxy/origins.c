// SPDX-License-Identifier: EUPL-1.2
/* An origin is made when its application is first asked for, and looked at again when a newer
 * edition or newer addresses come. Endpoints that stay keep their connections and their
 * history; others go when their last connection does.
 *
 * Choosing: the less busy of two taken at random spreads load nearly as well as asking all, and
 * never sends everybody to the one that looks best (the power of two choices). */
#include "proxy/origins.h"

#include <sys/socket.h>

#include "base/mem.h"
#include "base/network.h"
#include "proxy/address_book.h"
#include "proxy/link_h1.h"
#include "proxy/link_h2.h"
#include "proxy/upstream_tls.h"

/* Passive health: so many failures in a row, and the endpoint rests; each time longer. */
#define FAILURES_TO_EJECT 5
#define EJECTED_MS 10000
#define EJECTED_MAX_MS 300000

/* Retry budget: each request earns a fifth of one more try, and a burst is held to so many. */
#define RETRY_EARNED 20
#define RETRY_PRICE 100
#define RETRY_SAVED_MAX 2000

struct origin {
    struct worker *worker;
    struct slice name;             /* "ENTITY/APPLICATION"; owned */
    struct slice host;             /* where its application answers; owned */
    const struct application *app; /* compared, under `held_number` only */
    uint64_t held_number;
    struct endpoint **endpoints;
    uint32_t count;
    uint32_t room;     /* in `endpoints` */
    bool had_outside;  /* a name led outside of the entity's networks */
    struct link queue; /* of struct exchange */
    uint32_t queued;
    struct later wake; /* some of its endpoints has room, or the queue's case has changed */
    uint32_t budget;
};

/* --- Endpoints. */

static void endpoint_free_when_over(struct endpoint *e)
{
    if (e->origin || e->connections || e->outstanding)
        return;
    upstream_context_unref(e->tls);
    mem_slice_free(&e->text);
    mem_slice_free(&e->name);
    mem_free(e);
}

static void close_idle(struct endpoint *e)
{
    while (!list_is_empty(&e->idle))
        link_h1_close_idle(e);
    link_h2_close_idle(e);
}

static void endpoint_retire(struct endpoint *e)
{
    e->origin = NULL;
    e->connections++; /* so that the last idle one does not free it under us */
    close_idle(e);
    e->connections--;
    endpoint_free_when_over(e);
}

static struct endpoint *endpoint_new(struct origin *o, const struct upstream *up,
                                     const struct sockaddr_storage *address,
                                     const struct door *door)
{
    const struct slice name = door->app->tls.name;
    struct endpoint *e = mem_new(struct endpoint);
    e->origin = o;
    e->worker = o->worker;
    e->text = mem_slice(up->text);
    e->scheme = up->scheme;
    e->address = *address;
    e->address_len =
        address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    e->tls = upstream_context_ref(door->upstream_tls);
    e->name = mem_slice(name.len ? name : up->host);
    list_init(&e->idle);
    list_init(&e->sessions);
    return e;
}

void endpoint_begins(struct endpoint *e)
{
    e->outstanding++;
}

void endpoint_ends(struct endpoint *e)
{
    e->outstanding--;
    if (e->origin)
        endpoint_has_room(e);
    else
        endpoint_free_when_over(e);
}

void endpoint_connection_opened(struct endpoint *e)
{
    e->connections++;
    metric_add(&e->worker->metrics, METRIC_UPSTREAM_CONNECTS_TOTAL, 1);
}

void endpoint_connection_closed(struct endpoint *e)
{
    e->connections--;
    if (e->origin)
        endpoint_has_room(e);
    else
        endpoint_free_when_over(e);
}

/* Not more than half of them at once: a fault of all is not cured by sending everything to the
 * last. */
static bool may_eject(const struct origin *o, int64_t now_ms)
{
    uint32_t ejected = 0;
    for (uint32_t i = 0; i < o->count; i++)
        ejected += o->endpoints[i]->ejected_until_ms > now_ms;
    return (ejected + 1) * 2 <= o->count;
}

void endpoint_result(struct endpoint *e, enum endpoint_result result)
{
    int64_t now_ms = loop_now(&e->worker->loop).ms;
    int64_t rest_ms = EJECTED_MS;
    if (result == ENDPOINT_ANSWERED) {
        e->failures = 0;
        if (e->ejections && e->ejected_until_ms < now_ms - EJECTED_MAX_MS)
            e->ejections = 0;
        return;
    }
    if (++e->failures < FAILURES_TO_EJECT || !e->origin || !may_eject(e->origin, now_ms))
        return;
    e->failures = 0;
    rest_ms *= 1 + (int64_t)e->ejections++;
    e->ejected_until_ms = now_ms + (rest_ms < EJECTED_MAX_MS ? rest_ms : EJECTED_MAX_MS);
    metric_add(&e->worker->metrics, METRIC_UPSTREAM_EJECTIONS_TOTAL, 1);
}

/* --- An application's endpoints. */

static bool is_equal(const struct endpoint *e, const struct upstream *up,
                     const struct sockaddr_storage *address, const struct upstream_context *tls)
{
    return slice_eq(e->text, up->text) && e->tls == tls &&
           address_is_same((const struct sockaddr *)&e->address, (const struct sockaddr *)address);
}

/* One that was there stays, with its connections; `old` keeps the others. */
static struct endpoint *take_equal(struct endpoint **old, uint32_t count, const struct upstream *up,
                                   const struct sockaddr_storage *address,
                                   const struct upstream_context *tls)
{
    for (uint32_t i = 0; i < count; i++) {
        struct endpoint *e = old[i];
        if (!e || !is_equal(e, up, address, tls))
            continue;
        old[i] = NULL;
        return e;
    }
    return NULL;
}

#define ORIGIN_MAX_ENDPOINTS 256

struct gathering {
    struct origin *origin;
    const struct door *door;
    struct endpoint **old;
    uint32_t old_count;
};

/* The networks are looked at on each address, when it is about to be connected to and not when the
 * name was written: whoever answers for a name must not lead the gateway elsewhere. */
static void gather(struct gathering *g, const struct upstream *up,
                   const struct sockaddr_storage *address)
{
    struct origin *o = g->origin;
    struct sockaddr_storage at = *address;
    struct endpoint *e;
    if (up->host.len)
        address_set_port(&at, up->port);
    if (!network_list_has(g->door->networks, g->door->network_count,
                          (const struct sockaddr *)&at)) {
        o->had_outside = true;
        return;
    }
    if (o->count == o->room)
        return;
    e = take_equal(g->old, g->old_count, up, &at, g->door->upstream_tls);
    if (!e)
        e = endpoint_new(o, up, &at, g->door);
    o->endpoints[o->count++] = e;
}

static const struct host_addresses *addresses_of(const struct worker *w, const struct upstream *up)
{
    return w->addresses && up->host.len ? address_book_host(w->addresses, up->host) : NULL;
}

static uint32_t count_addresses(const struct worker *w, const struct application *app)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < app->upstream_count && count < ORIGIN_MAX_ENDPOINTS; i++) {
        const struct host_addresses *list = addresses_of(w, &app->upstreams[i]);
        count += list ? list->count : 1;
    }
    return count < ORIGIN_MAX_ENDPOINTS ? count : ORIGIN_MAX_ENDPOINTS;
}

static void look_again(struct origin *o, const struct door *door, uint64_t held_number)
{
    struct worker *w = o->worker;
    struct gathering g = {o, door, o->endpoints, o->count};
    const struct application *app = door->app;
    o->room = count_addresses(w, app);
    o->endpoints = mem_array(struct endpoint *, o->room);
    o->count = 0;
    o->had_outside = false;
    o->app = app;
    o->held_number = held_number;
    for (uint32_t i = 0; i < app->upstream_count; i++) {
        const struct upstream *up = &app->upstreams[i];
        const struct host_addresses *list = addresses_of(w, up);
        if (!up->host.len)
            gather(&g, up, &up->address);
        for (uint32_t k = 0; list && k < list->count; k++)
            gather(&g, up, &list->at[k]);
    }
    for (uint32_t i = 0; i < g.old_count; i++)
        if (g.old[i])
            endpoint_retire(g.old[i]);
    mem_free(g.old);
}

static void wake(struct later *self);

static struct origin *origin_named(struct worker *w, const struct application *app)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%.*s/%.*s", SLICE_ARG(app->entity), SLICE_ARG(app->id));
    struct slice name = {text, n < 0 || (size_t)n >= sizeof text ? 0 : (size_t)n};
    struct origin *o = map_get(&w->origins, name);
    if (o)
        return o;
    o = mem_new(struct origin);
    o->worker = w;
    o->name = mem_slice(name);
    o->host = mem_slice(app->host);
    o->budget = RETRY_SAVED_MAX / 2;
    o->wake.run = wake;
    list_init(&o->queue);
    (void)map_set(&w->origins, o->name, o);
    return o;
}

/* An exchange of an older edition goes where the newest one says. In the newest, an application
 * that is not the origin's has come back: the origin was kept for those who waited there. */
static struct origin *origin_of(struct exchange *x)
{
    struct worker *w = x->worker;
    struct origin *o = w->last_origin;
    if (!o || o->held_number != x->held->number || o->app != x->facts.app)
        o = w->last_origin = origin_named(w, x->facts.app);
    if (o->held_number < x->held->number ||
        (o->held_number == x->held->number && o->app != x->facts.app)) {
        mem_slice_free(&o->host);
        o->host = mem_slice(x->facts.app->host);
        look_again(o, x->door, x->held->number);
    }
    return o;
}

/* --- Choosing. */

struct choice {
    struct endpoint *at[ORIGIN_MAX_ENDPOINTS];
    uint32_t count;
};

static bool is_down(const struct worker *w, const struct endpoint *e)
{
    return w->addresses &&
           address_book_is_down(w->addresses, e->text, (const struct sockaddr *)&e->address);
}

static bool has_room(const struct exchange *x, const struct endpoint *e)
{
    const struct application *app = x->facts.app;
    int64_t limit =
        app->max_connections ? app->max_connections : x->worker->config->max_upstream_connections;
    return e->outstanding < limit;
}

/* Those that may be asked: well, with room, and not the one that has just failed; where that leaves
 * none, the failed one comes back. The resting ones do when nobody else is well at all: where the
 * others are merely busy, to wait is better than to be sent to one that fails. */
static void choose_among(const struct exchange *x, const struct origin *o, struct choice *out)
{
    int64_t now_ms = loop_now(&o->worker->loop).ms;
    bool is_one_well = false;
    for (int kindness = 0; kindness < 3; kindness++) {
        out->count = 0;
        for (uint32_t i = 0; i < o->count; i++) {
            struct endpoint *e = o->endpoints[i];
            bool rests = e->ejected_until_ms > now_ms;
            if (is_down(o->worker, e) || (rests && kindness < 2))
                continue;
            is_one_well |= !rests;
            if (has_room(x, e) && (kindness > 0 || e != x->failed_at))
                out->at[out->count++] = e;
        }
        if (out->count || (kindness == 1 && is_one_well))
            return;
    }
}

static struct endpoint *choose_of_many(const struct exchange *x, const struct origin *o)
{
    struct choice among __attribute__((uninitialized));
    struct endpoint *a;
    struct endpoint *b;
    uint64_t roll;
    choose_among(x, o, &among);
    if (among.count < 2)
        return among.count ? among.at[0] : NULL;
    roll = dice_next(&o->worker->dice);
    a = among.at[(uint32_t)roll % among.count];
    b = among.at[((uint32_t)roll % among.count + 1 + (uint32_t)(roll >> 32) % (among.count - 1)) %
                 among.count];
    return a->outstanding <= b->outstanding ? a : b;
}

/* One is by far the commonest: of that there is nothing to choose. */
static struct endpoint *choose(const struct exchange *x, const struct origin *o)
{
    struct endpoint *only;
    if (o->count != 1)
        return choose_of_many(x, o);
    only = o->endpoints[0];
    return has_room(x, only) && !is_down(o->worker, only) ? only : NULL;
}

/* --- Beginning, waiting, trying again. */

static bool is_all_down(const struct origin *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (!is_down(o->worker, o->endpoints[i]))
            return false;
    return true;
}

static enum origins_answer wait_or_refuse(struct exchange *x, struct origin *o, enum reason *why)
{
    if (!o->count && o->had_outside) {
        *why = REASON_UPSTREAM_OUTSIDE;
        return ORIGINS_NONE;
    }
    if (!o->count || is_all_down(o)) {
        *why = o->count ? REASON_UPSTREAM_DOWN : REASON_UPSTREAM_UNRESOLVED;
        return ORIGINS_NONE;
    }
    if (o->queued >= x->facts.app->queue_length) {
        *why = REASON_UPSTREAM_BUSY;
        return ORIGINS_NONE;
    }
    if (o->queued++) /* a rest may have ended since */
        loop_later(&o->worker->loop, &o->wake);
    metric_add(&o->worker->metrics, METRIC_UPSTREAM_QUEUED_TOTAL, 1);
    x->queued_at = o;
    list_push(&o->queue, &x->in_queue);
    return ORIGINS_QUEUED;
}

/* Is there something that the first of the queue can do now? Its application may be another one
 * since a newer edition came, and its upstreams may all be gone. */
static bool has_turn(struct exchange *x, const struct origin *o)
{
    return x->facts.app != o->app || is_all_down(o) || choose(x, o);
}

static void wake(struct later *self)
{
    struct origin *o = container_of(self, struct origin, wake);
    while (o->queued) {
        struct exchange *x = container_of(o->queue.next, struct exchange, in_queue);
        if (!has_turn(x, o))
            return;
        origins_leave_queue(x);
        x->has_waited = true;
        exchange_upstream_turn(x);
    }
}

static bool begin_at(struct endpoint *e, struct exchange *x, enum reason *why)
{
    bool is_h2 = e->scheme == UPSTREAM_H2 || e->scheme == UPSTREAM_H2C;
    return is_h2 ? link_h2_begin(e, x, why) : link_h1_begin(e, x, why);
}

enum origins_answer origins_begin(struct exchange *x, enum reason *why)
{
    struct origin *o = origin_of(x);
    bool is_new = !x->tries && !x->has_waited;
    struct endpoint *e;
    if (is_new)
        o->budget += o->budget < RETRY_SAVED_MAX ? RETRY_EARNED : 0;
    if (upstream_is_tls(&x->facts.app->upstreams[0]) && !x->door->upstream_tls) {
        *why = REASON_UPSTREAM_TLS;
        x->detail = "what its upstreams are verified by can't be used";
        return ORIGINS_NONE;
    }
    e = is_new && o->queued ? NULL : choose(x, o); /* nobody overtakes those who wait */
    if (!e)
        return wait_or_refuse(x, o, why);
    x->tries++;
    if (begin_at(e, x, why))
        return ORIGINS_BEGUN;
    if (*why == REASON_UPSTREAM_REFUSED)
        endpoint_result(e, ENDPOINT_FAILED);
    x->failed_at = e;
    return ORIGINS_NONE;
}

void origins_leave_queue(struct exchange *x)
{
    if (!link_is_in(&x->in_queue))
        return;
    link_remove(&x->in_queue);
    x->queued_at->queued--;
}

void endpoint_has_room(struct endpoint *e)
{
    if (e->origin && e->origin->queued)
        loop_later(&e->worker->loop, &e->origin->wake);
}

bool origins_has_choice(struct exchange *x)
{
    return origin_of(x)->count > 1;
}

bool origins_may_retry(struct exchange *x)
{
    struct origin *o = origin_of(x);
    if (o->budget < RETRY_PRICE)
        return false;
    o->budget -= RETRY_PRICE;
    return true;
}

/* --- When rules or addresses change, and at the end. */

static void origin_free(struct origin *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        endpoint_retire(o->endpoints[i]);
    later_cancel(&o->wake);
    mem_free(o->endpoints);
    mem_slice_free(&o->name);
    mem_slice_free(&o->host);
    mem_free(o);
}

/* The door of its application in the edition that the worker holds now; NULL: there is none. */
static const struct door *door_of(const struct origin *o)
{
    const struct door *door = edition_door(o->worker->held->edition, o->host);
    struct slice rest = o->name;
    if (door && slice_eq(slice_cut(&rest, '/'), door->app->entity) && slice_eq(rest, door->app->id))
        return door;
    return NULL;
}

static void retire_all(struct origin *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        endpoint_retire(o->endpoints[i]);
    o->count = 0;
    o->app = NULL;
    o->held_number = o->worker->held->number;
}

void origins_look_again(struct worker *w)
{
    struct map kept;
    size_t at = 0;
    map_init(&kept);
    w->last_origin = NULL;
    for (const struct map_entry *entry; (entry = map_next(&w->origins, &at));) {
        struct origin *o = entry->value;
        const struct door *door = door_of(o);
        if (door)
            look_again(o, door, w->held->number);
        else
            retire_all(o);
        if (!door && !o->queued) {
            origin_free(o);
            continue;
        }
        if (o->queued) /* they may have somewhere to go now */
            loop_later(&w->loop, &o->wake);
        (void)map_set(&kept, o->name, o);
    }
    map_fini(&w->origins);
    w->origins = kept;
}

void origins_close(struct worker *w)
{
    size_t at = 0;
    for (const struct map_entry *entry; (entry = map_next(&w->origins, &at));) {
        const struct origin *o = entry->value;
        for (uint32_t i = 0; i < o->count; i++)
            close_idle(o->endpoints[i]);
    }
}

void origins_free(struct worker *w)
{
    size_t at = 0;
    for (const struct map_entry *entry; (entry = map_next(&w->origins, &at));) {
        origin_free(entry->value);
    }
    map_fini(&w->origins);
    w->last_origin = NULL;
}
