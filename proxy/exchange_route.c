// SPDX-License-Identifier: EUPL-1.2
/* ROUTE and DEVICE of the story: which application is meant, and from which device it is asked.
 * Both before anything that is dear. */
#include "proxy/exchange_in.h"

#include "base/method.h"
#include "proxy/fields.h"
#include "proxy/own.h"

/* Once an exchange; no answer takes a second because of a responder or the store. */
#define STATUS_WAIT_MS 900
#define INVENTORY_WAIT_MS 900

/* --- ROUTE: host → application; 404, 421. What the rules will judge is made canonical here. */

static enum next check_host(struct exchange *x)
{
    char *room = arena_bytes(&x->arena, HOST_MAX);
    uint16_t port;
    if (!host_parse(x->request.authority, room, &x->request.host, &port))
        return refuse(x, REASON_REQUEST_MALFORMED, "the host is no host name");
    if (port && port != x->connection->announced_port &&
        !config_listens_on(x->worker->config, port))
        return refuse(x, REASON_HOST_UNKNOWN, "another port than ours");
    return NEXT;
}

/* On a connection it is nearly always the door of its SNI, so that one is remembered while its
 * edition is in force. */
static const struct door *door_of(struct exchange *x)
{
    struct connection *c = x->connection;
    if (!slice_eq(x->request.host, slice_from(c->peer.sni, c->peer.sni_len)))
        return edition_door(x->held->edition, x->request.host);
    if (c->door_on != x->held->number) {
        c->door = edition_door(x->held->edition, x->request.host);
        c->door_on = x->held->number;
    }
    return c->door;
}

static enum next refuse_host(struct exchange *x)
{
    enum reason why = REASON_INTERNAL;
    x->facts.app = snapshot_route(x->held->edition->snapshot, x->request.host, x->facts.now, &why);
    if (x->facts.app)
        return refuse(x, REASON_HOST_UNKNOWN, "the host has no certificate here");
    return refuse(x, why, NULL);
}

/* RFC 6455 §10.2: a browser says whose page opens it, and sends the person's cookies whatever page
 * that is. Who sends no Origin is no browser. */
enum reason exchange_judge_websocket(const struct exchange *x, const struct application *app)
{
    struct slice origin = exchange_field(x, SLICE("origin"));
    struct slice rest = origin;
    if (!app->websocket)
        return REASON_WEBSOCKET_REFUSED;
    if (!origin.ptr)
        return REASON_PERMITTED;
    if (exchange_count_fields(x, SLICE("origin")) > 1)
        return REASON_REQUEST_AMBIGUOUS;
    for (uint32_t i = 0; i < app->origins.count; i++)
        if (slice_eq_nocase(app->origins.at[i], origin))
            return REASON_PERMITTED;
    if (slice_eq_nocase(slice_cut(&rest, '/'), SLICE("https:")) && slice_starts(rest, SLICE("/")) &&
        slice_eq_nocase(slice_skip(rest, 1), x->request.authority))
        return REASON_PERMITTED;
    return REASON_ORIGIN_REFUSED;
}

enum next exchange_route(struct exchange *x)
{
    struct connection *c = x->connection;
    enum reason why = REASON_INTERNAL;
    if (!method_is_carried(x->request.method_name))
        return refuse(x, REASON_METHOD_REFUSED, "CONNECT and TRACE are not carried");
    if (check_host(x) == REFUSE)
        return REFUSE;
    if (!x->held)
        return refuse(x, REASON_POLICY_UNAVAILABLE, NULL);
    x->door = door_of(x);
    if (!x->door || x->facts.now.s > x->door->good_until_s)
        return refuse_host(x);
    x->facts.app = x->door->app;
    connection_judge_again(c, x->held);
    /* The settings are compared, not the names: browsers coalesce under a wildcard certificate. */
    if (memcmp(x->door->view->digest, c->peer.view->digest, sizeof c->peer.view->digest) != 0)
        return refuse(x, REASON_HOST_MISDIRECTED, NULL);
    why = target_parse(&x->request, x->request.target, x->facts.app->paths, &x->arena);
    if (why != REASON_PERMITTED)
        return refuse(x, why, NULL);
    if (own_is(x)) { /* nothing of an application's: no rule is asked */
        x->own = own_find(x);
        if (!x->own)
            return refuse(x, REASON_NOT_FOUND, NULL);
        if (x->own->after == OWN_AFTER_ROUTE)
            x->phase = OWN;
        return NEXT;
    }
    if (x->request.has_body && x->request.body_length != BODY_LENGTH_UNKNOWN &&
        x->request.body_length > x->facts.app->max_body_bytes)
        return refuse(x, REASON_BODY_TOO_LARGE, NULL);
    if (fields_hide(&x->request, x->facts.app->headers))
        return refuse(x, REASON_REQUEST_AMBIGUOUS, "Connection names a field that rules read");
    why = x->request.wants_websocket ? exchange_judge_websocket(x, x->facts.app) : REASON_PERMITTED;
    return why == REASON_PERMITTED ? NEXT : refuse(x, why, NULL);
}

/* --- DEVICE: certificate → facts.device. A bad certificate is never "no certificate". */

bool exchange_lacks_device(const struct exchange *x, const struct application *app)
{
    return !x->device && app->device <= DEVICE_REQUIRED;
}

/* Where the device was demanded at TLS, the connection ends with the refusal. */
static enum next device_status(struct exchange *x)
{
    struct connection *c = x->connection;
    const struct status_answer *status = connection_status(c);
    if (!status->is_known && status->wants && !errand_is_over(x, ERRAND_STATUS)) {
        if (!x->errand)
            errand_send(x, errand_for_status(c->peer.device.vouch), STATUS_WAIT_MS);
        return WAIT;
    }
    if (status->reason == REASON_PERMITTED)
        return NEXT;
    if (x->facts.app->device == DEVICE_REQUIRED_BY_TLS)
        c->ops->drain(c);
    return refuse(x, status->reason, status->detail);
}

static enum inventory_mode inventory_mode(const struct exchange *x, const struct door *door)
{
    if (door->app->needs_inventory)
        return INVENTORY_REQUIRED;
    for (uint32_t i = 0; i < door->bundle->authority_count; i++)
        if (slice_eq(door->bundle->authorities[i].id, x->device->device.authority))
            return door->bundle->authorities[i].inventory;
    return INVENTORY_NONE; /* the chain is judged by the same bundle: does not happen */
}

enum reason exchange_ask_inventory(struct exchange *x, const struct door *door)
{
    const struct inventory_record *record;
    const enum inventory_mode mode = inventory_mode(x, door);
    const enum inventory_answer answer =
        mode == INVENTORY_NONE ? INVENTORY_UNLISTED
                               : inventory_find(x->worker->inventory, door->app->entity,
                                                x->device->device.id, &record);
    struct facts_device *facts;
    switch (answer) {
    case INVENTORY_UNKNOWN:
        return REASON_INVENTORY_UNAVAILABLE;
    case INVENTORY_UNLISTED:
        x->facts.device = &x->device->device;
        return mode == INVENTORY_REQUIRED ? REASON_DEVICE_UNLISTED : REASON_PERMITTED;
    case INVENTORY_LISTED:
        if (x->listed == record && x->facts.device != &x->device->device)
            return REASON_PERMITTED;
        inventory_record_unref(x->listed);
        x->listed = inventory_record_ref((struct inventory_record *)(uintptr_t)record);
        facts = arena_new(&x->arena, struct facts_device);
        *facts = x->device->device;
        inventory_add_facts(record, facts);
        x->facts.device = facts;
        return REASON_PERMITTED;
    }
    return REASON_INTERNAL;
}

static enum next device_inventory(struct exchange *x)
{
    const enum reason why = exchange_ask_inventory(x, x->door);
    if (why == REASON_INVENTORY_UNAVAILABLE && !errand_is_over(x, ERRAND_INVENTORY)) {
        if (!x->errand)
            errand_send(x, errand_for_inventory(x->facts.app->entity, x->device->device.id),
                        INVENTORY_WAIT_MS);
        return WAIT;
    }
    if (why == REASON_INVENTORY_UNAVAILABLE && inventory_mode(x, x->door) != INVENTORY_REQUIRED)
        return NEXT; /* its facts are missing, and the rules are judged without */
    return why == REASON_PERMITTED ? NEXT : refuse(x, why, NULL);
}

enum next exchange_device(struct exchange *x)
{
    struct connection *c = x->connection;
    enum next next;
    enum reason why;
    if (c->device_seen == DEVICE_SEEN_BAD)
        return refuse(x, REASON_DEVICE_INVALID, c->device_detail);
    if (c->device) {
        if (c->device->device.not_after.s < x->facts.now.s)
            return refuse(x, REASON_DEVICE_INVALID, "expired");
        if (!x->device)
            x->device = device_ref(c->device);
        x->facts.device = &x->device->device;
        x->facts.service = x->device->is_service ? &x->device->service : NULL;
        next = device_status(x);
        if (next == NEXT)
            next = device_inventory(x);
        if (next != NEXT)
            return next;
    }
    if (exchange_lacks_device(x, x->facts.app))
        return refuse(x, REASON_DEVICE_REQUIRED, NULL);
    /* Here, before what is dear: of who asks too much no token is verified. */
    why = limits_request(&x->worker->limits, &c->limited, loop_now(&x->worker->loop));
    return why == REASON_PERMITTED ? NEXT : refuse(x, why, NULL);
}
