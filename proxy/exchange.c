// SPDX-License-Identifier: EUPL-1.2
/* The one request, from its first byte to its audit event, top to bottom.
 * Owns: the phase, and the order of the questions. Does not own: how each answer is found (auth/,
 * policy/), nor bytes on the wire (h1.c, h2.c, flow.c, link_h1.c). No libev call belongs here. */
#include "proxy/exchange.h"

#include <assert.h>

#include "base/method.h"
#include "policy/decide.h"
#include "proxy/answer.h"
#include "proxy/control.h"
#include "proxy/event_of.h"
#include "proxy/fields.h"
#include "proxy/link_h1.h"
#include "proxy/own.h"

#define KEYS_WAIT_MS 3000 /* for a provider's keys, once an exchange */

enum next {
    REFUSE, /* x->reason says why: go to RESPONSE */
    WAIT,   /* something of ours is pending; its end calls exchange_resume(), which runs this phase
               again */
    NEXT    /* done: the phase below */
};

static enum next refuse(struct exchange *x, enum reason why, const char *detail)
{
    x->reason = why;
    x->detail = detail;
    return REFUSE;
}

struct slice exchange_field(const struct exchange *x, struct slice name)
{
    for (uint32_t i = 0; i < x->request.field_count; i++)
        if (slice_eq(x->request.fields[i].name, name))
            return x->request.fields[i].value;
    return (struct slice){0};
}

static uint32_t count_fields(const struct exchange *x, struct slice name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->request.field_count; i++)
        n += slice_eq(x->request.fields[i].name, name);
    return n;
}

/* --- ROUTE: host → application; 404, 421. What the rules will judge is made canonical here. */

static enum next check_host(struct exchange *x)
{
    char *room = arena_bytes(&x->arena, HOST_MAX);
    uint16_t port;
    if (!host_parse(x->request.authority, room, &x->request.host, &port))
        return refuse(x, REASON_REQUEST_MALFORMED, "the host is no host name");
    if (port && !config_listens_on(x->worker->config, port))
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

static enum next route(struct exchange *x)
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
        if (!own_answer(x))
            return refuse(x, REASON_NOT_FOUND, NULL);
        x->reason = REASON_PERMITTED;
        x->is_own = true;
        x->phase = RESPONSE;
        return WAIT;
    }
    if (x->request.has_body && x->request.body_length != BODY_LENGTH_UNKNOWN &&
        x->request.body_length > x->facts.app->max_body_bytes)
        return refuse(x, REASON_BODY_TOO_LARGE, NULL);
    return NEXT;
}

/* --- DEVICE: certificate → facts.device. A bad certificate is never "no certificate". */

static enum next device(struct exchange *x)
{
    struct connection *c = x->connection;
    if (c->device_seen == DEVICE_SEEN_BAD)
        return refuse(x, REASON_DEVICE_INVALID, c->device_detail);
    if (c->device) {
        if (c->device->device.not_after.s < x->facts.now.s)
            return refuse(x, REASON_DEVICE_INVALID, "expired");
        x->device = device_ref(c->device);
        x->facts.device = &x->device->device;
        x->facts.service = x->device->is_service ? &x->device->service : NULL;
    }
    if (!x->device && x->facts.app->device <= DEVICE_REQUIRED)
        return refuse(x, REASON_DEVICE_REQUIRED, NULL);
    return NEXT;
}

/* --- IDENTITY: token, or service → facts.user. No token is no user: the rules say whether one is
 * needed. */

static bool bearer_of(struct slice authorization, struct slice *token)
{
    struct slice scheme = auth_scheme_cut(&authorization);
    while (authorization.len && authorization.ptr[0] == ' ')
        authorization = slice_skip(authorization, 1);
    *token = authorization;
    return slice_eq_nocase(scheme, SLICE("bearer"));
}

static enum next wait_for_keys(struct exchange *x, const struct provider *wanted, enum reason why)
{
    struct worker *w = x->worker;
    if (x->keys_answered || !wanted)
        return refuse(x, why, NULL);
    if (!x->asked_for_keys) {
        x->asked_for_keys = true;
        x->key_wait = control_want_keys(w->control, x, wanted->digest);
        deadline_arm(worker_deadlines(w, KEYS_WAIT_MS), &x->deadline);
    }
    return WAIT;
}

static enum next identity(struct exchange *x)
{
    struct worker *w = x->worker;
    struct slice authorization = exchange_field(x, SLICE("authorization"));
    struct token_answer answer = {0};
    struct token_question q = {
        .app = x->facts.app,
        .issuers = w->issuers,
        .device = x->facts.device,
        .hash_key = keyring_audit_key(x->held->edition->keyring, x->facts.app->entity),
        .now = x->facts.now};
    enum reason why;
    if (!authorization.ptr || !bearer_of(authorization, &q.bytes))
        return NEXT;
    x->had_token = true;
    if (count_fields(x, SLICE("authorization")) > 1)
        return refuse(x, REASON_REQUEST_AMBIGUOUS, "more than one Authorization");
    why = token_judge(w->tokens, &q, &answer);
    if (why == REASON_PERMITTED) {
        x->token = answer.token;
        x->facts.user = token_user(answer.token);
        return NEXT;
    }
    if (why == REASON_TOKEN_KEY_UNKNOWN || why == REASON_KEYS_UNAVAILABLE)
        return wait_for_keys(x, answer.wanted, why);
    return refuse(x, why, NULL);
}

/* --- DECISION: pure; the only place that permits, and only with its evidence published. */

static enum next decision(struct exchange *x)
{
    struct event event;
    decide(x->held->edition->snapshot, &x->facts, &x->decision);
    if (x->decision.verdict != DECISION_PERMIT)
        return refuse(x, x->decision.reason, NULL);
    x->reason = REASON_PERMITTED;
    event_of_decision(x, &event);
    if (!audit_publish(x->worker->audit, &event)) {
        x->decision = (struct decision){.reason = REASON_AUDIT_UNAVAILABLE};
        return refuse(x, REASON_AUDIT_UNAVAILABLE, NULL);
    }
    x->is_event_out = true;
    return NEXT;
}

/* --- UPSTREAM: head out, head back; asserts the permit. */

static enum next upstream(struct exchange *x)
{
    const struct application *app = x->facts.app;
    enum reason why = REASON_UPSTREAM_REFUSED;
    assert(x->decision.verdict == DECISION_PERMIT && x->is_event_out);
    if (x->response.status)
        return NEXT;
    if (!x->tries)
        x->first = (uint32_t)(dice_next(&x->worker->dice) % app->upstream_count);
    while (!x->link && x->tries < app->upstream_count + 1) {
        const struct upstream *to = &app->upstreams[(x->first + x->tries) % app->upstream_count];
        x->tries++;
        deadline_arm(worker_deadlines(x->worker, app->connect_ms), &x->deadline);
        if (link_begin(x, to, &why))
            return WAIT;
    }
    return x->link ? WAIT : refuse(x, why, x->detail);
}

/* --- RESPONSE: their answer, or our refusal. */

static void refuse_in_words(struct exchange *x)
{
    struct answer answer;
    /* To a connection that is not for that host, no word of what is there. */
    bool is_elsewhere = x->reason == REASON_HOST_MISDIRECTED || x->reason == REASON_HOST_UNKNOWN;
    struct refusal r = {.reason = x->reason,
                        .app = is_elsewhere ? NULL : x->facts.app,
                        .decision = x->facts.app && x->decision.reason ? &x->decision : NULL,
                        .device_detail = x->reason == REASON_DEVICE_INVALID ? x->detail : NULL,
                        .reference = slice_of(x->reference.text),
                        .wants_html = x->request.accepts_html,
                        .accept_language = exchange_field(x, SLICE("accept-language")),
                        .had_token = x->had_token};
    answer_make(&x->arena, &r, &answer);
    x->response = (struct response){.status = answer.status,
                                    .field_count = answer.field_count + 1,
                                    .has_body = answer.body.len && x->request.method != METHOD_HEAD,
                                    .length = answer.body.len};
    x->response.fields = arena_array(&x->arena, struct field, answer.field_count + 1);
    memcpy(x->response.fields, answer.fields, answer.field_count * sizeof *answer.fields);
    x->response.fields[answer.field_count] =
        (struct field){SLICE("date"), worker_date(x->worker, &x->arena)};
    x->answer = x->response.has_body ? answer.body : (struct slice){0};
    x->up_stopped = true;
}

static enum next response(struct exchange *x)
{
    struct worker *w = x->worker;
    if (x->is_sent)
        return NEXT;
    if (!x->is_head_out) {
        x->is_head_out = true;
        if (x->reason != REASON_PERMITTED)
            refuse_in_words(x);
        deadline_arm(worker_deadlines(w, x->link ? x->facts.app->idle_ms : w->config->stalled_ms),
                     &x->deadline);
        x->client->send_head(x);
        if (x->link && (flow_down_peek(x).len || flow_down_is_ended(x)))
            x->client->body_ready(x);
    }
    return WAIT;
}

/* --- AUDIT: always, once. */

static void drop_link(struct exchange *x)
{
    struct link_h1 *l = x->link;
    x->link = NULL;
    if (l)
        link_release(l);
}

static enum next audit(struct exchange *x)
{
    struct worker *w = x->worker;
    struct event event;
    deadline_cancel(&x->deadline);
    if (x->key_wait)
        key_wait_cancel(x->key_wait);
    x->key_wait = NULL;
    drop_link(x);
    metric_answer(&w->metrics, x->reason);
    metric_add(&w->metrics, METRIC_REQUESTS_OPEN, -1);
    metric_add(&w->metrics, METRIC_BYTES_IN_TOTAL, (int64_t)x->bytes_in);
    metric_add(&w->metrics, METRIC_BYTES_OUT_TOTAL, (int64_t)x->bytes_out);
    if (x->is_event_out) {
        event_of_end(x, &event);
        bool has_room = audit_publish(w->audit, &event);
        (void)has_room; /* an end for which there is none is counted there, and nobody is refused
                           for it */
        return NEXT;
    }
    if (x->is_own && x->reason == REASON_PERMITTED)
        return NEXT; /* public keys were read: no access, no decision */
    event_of_decision(x, &event);
    /* A refusal of somebody known has its room; one of an unknown is folded under pressure. Neither
     * is lost. */
    if (event.kind != EVENT_DECISION || !audit_publish(w->audit, &event)) {
        event.kind = EVENT_REFUSAL;
        audit_refusal(w->audit, &event);
    }
    return NEXT;
}

static enum next (*const story[])(struct exchange *) = {
    [ROUTE] = route,       [DEVICE] = device,     [IDENTITY] = identity, [DECISION] = decision,
    [UPSTREAM] = upstream, [RESPONSE] = response, [AUDIT] = audit,
};

static void free_when_over(struct exchange *x)
{
    if (x->phase != DONE || !x->client_let_go || x->running)
        return;
    token_release(x->token);
    device_unref(x->device);
    held_drop(x->held);
    buf_fini(&x->up);
    struct arena arena = x->arena; /* the exchange lies in it */
    arena_fini(&arena);
}

static void exchange_resume(struct exchange *x)
{
    if (x->running || x->phase == DONE)
        return; /* a phase is under way, and will look */
    x->running = true;
    while (x->phase < DONE) {
        enum phase was = x->phase;
        enum next next = story[was](x);
        if (x->phase != was) /* ROUTE goes straight to RESPONSE for what is our own */
            continue;
        if (next == WAIT)
            break;
        assert(next == NEXT || was < RESPONSE); /* a response is not refused: it is cut */
        x->phase = next == REFUSE ? RESPONSE : was + 1;
    }
    x->running = false;
    free_when_over(x);
}

/* The one way out of turn. */
static void exchange_cut(struct exchange *x, enum reason why, const char *detail)
{
    if (x->phase >= AUDIT)
        return;
    x->reason = why;
    x->detail = detail;
    x->up_stopped = x->is_cut = true;
    if (!x->client_let_go && why != REASON_CLIENT_GONE)
        x->client->cut(x);
    x->phase = AUDIT;
    exchange_resume(x);
}

/* Refused late: with an answer where none has begun, else the stream is cut. */
static void exchange_stop(struct exchange *x, enum reason why, const char *detail)
{
    if (x->phase > RESPONSE || x->is_head_out) {
        exchange_cut(x, why, detail);
        return;
    }
    x->up_stopped = true;
    drop_link(x);
    x->response = (struct response){0};
    (void)refuse(x, why, detail);
    x->phase = RESPONSE;
    exchange_resume(x);
}

/* Whatever was being waited for has not come. */
static void time_is_over(struct deadline *self)
{
    struct exchange *x = container_of(self, struct exchange, deadline);
    switch (x->phase) {
    case IDENTITY:
        x->keys_answered = true;
        exchange_resume(x);
        return;
    case UPSTREAM:
        if (!x->up_ended && link_wants_body(x->link)) {
            exchange_stop(x, REASON_REQUEST_TIMEOUT, "the rest of its body did not come");
            return;
        }
        exchange_upstream_failed(x,
                                 link_is_connected(x->link) ? REASON_UPSTREAM_TIMEOUT
                                                            : REASON_UPSTREAM_CONNECT_TIMEOUT,
                                 NULL);
        return;
    case RESPONSE:
        exchange_cut(
            x, x->link && !flow_down_peek(x).len ? REASON_UPSTREAM_TIMEOUT : REASON_CLIENT_STALLED,
            NULL);
        return;
    case ROUTE:
    case DEVICE:
    case DECISION:
    case AUDIT:
    case DONE:
        return;
    }
}

struct exchange *exchange_new(struct connection *c, const struct client_ops *client)
{
    struct worker *w = c->worker;
    struct arena arena;
    struct exchange *x;
    arena_init(&arena, &w->chunks);
    x = arena_new(&arena, struct exchange);
    x->arena = arena;
    x->worker = w;
    x->connection = c;
    x->client = client;
    x->deadline.passed = time_is_over;
    buf_init(&x->up, UPLOAD_CEILING);
    reference_make(&w->dice, &x->reference);
    return x;
}

static bool wants_html(const struct exchange *x)
{
    struct slice rest = exchange_field(x, SLICE("accept"));
    struct slice item;
    while (list_next(&rest, &item)) {
        struct slice type = slice_trim(slice_cut(&item, ';'));
        if (slice_eq_nocase(type, SLICE("text/html")) ||
            slice_eq_nocase(type, SLICE("application/xhtml+xml")))
            return true;
    }
    return false;
}

/* What every exchange begins with, also one whose head was never whole. */
static void take_in(struct exchange *x)
{
    struct worker *w = x->worker;
    x->began_us = w->loop.turn_began_us;
    x->facts.now = loop_wall(&w->loop);
    x->facts.request = &x->request;
    x->facts.client_address = slice_from(x->connection->address, x->connection->address_len);
    x->held = w->held ? held_use(w->held) : NULL;
    if (trace_make(&x->trace, exchange_field(x, SLICE("traceparent")), &w->dice))
        x->tracestate = exchange_field(x, SLICE("tracestate"));
    metric_add(&w->metrics, METRIC_REQUESTS_TOTAL, 1);
    metric_add(&w->metrics, METRIC_REQUESTS_OPEN, 1);
}

void exchange_begin(struct exchange *x, enum reason early, const char *detail)
{
    take_in(x);
    x->request.accepts_html = wants_html(x);
    x->up_ended = !x->request.has_body;
    if (early != REASON_PERMITTED) {
        (void)refuse(x, early, detail);
        x->phase = RESPONSE;
    }
    exchange_resume(x);
}

void exchange_refused_by_protocol(struct exchange *x, enum reason why, const char *detail)
{
    take_in(x);
    (void)refuse(x, why, detail);
    x->up_stopped = x->is_cut = true;
    x->phase = AUDIT;
    exchange_resume(x);
}

/* --- From the client. */

bool exchange_wants_body(const struct exchange *x)
{
    return !x->up_stopped && x->phase < AUDIT;
}

void exchange_receive(struct exchange *x, struct slice bytes)
{
    x->bytes_in += bytes.len;
    if (x->facts.app && x->bytes_in > x->facts.app->max_body_bytes) {
        exchange_stop(x, REASON_BODY_TOO_LARGE, NULL);
        return;
    }
    if (!buf_add(&x->up, bytes)) { /* can't be: windows and pauses end long before */
        exchange_stop(x, REASON_INTERNAL, "the request's body outran its window");
        return;
    }
    if (x->phase == RESPONSE && x->link)
        deadline_arm(worker_deadlines(x->worker, x->facts.app->idle_ms), &x->deadline);
    if (x->link)
        link_kick(x->link);
}

void exchange_receive_end(struct exchange *x)
{
    x->up_ended = true;
    if (x->link)
        link_kick(x->link);
}

void exchange_body_broken(struct exchange *x, const char *detail)
{
    exchange_stop(x, REASON_REQUEST_MALFORMED, detail);
}

void exchange_sent(struct exchange *x)
{
    x->is_sent = true;
    exchange_resume(x);
}

void exchange_client_gone(struct exchange *x, enum reason why)
{
    exchange_cut(x, why, NULL);
}

void exchange_let_go(struct exchange *x)
{
    x->client_let_go = true;
    if (x->phase < AUDIT)
        exchange_cut(x, REASON_CLIENT_GONE, NULL);
    else
        free_when_over(x);
}

/* --- From keys, and from the link. */

void exchange_keys_answered(struct exchange *x)
{
    x->key_wait = NULL;
    x->keys_answered = true;
    if (x->phase != IDENTITY)
        return; /* it waited no longer: the deadline is another's */
    deadline_cancel(&x->deadline);
    exchange_resume(x);
}

void exchange_upstream_connected(struct exchange *x)
{
    deadline_arm(worker_deadlines(x->worker, x->facts.app->first_byte_ms), &x->deadline);
    if (x->request.expects_continue && !x->continue_said) {
        x->continue_said = true;
        x->client->say_continue(x);
    }
}

void exchange_upstream_head(struct exchange *x, const struct h1_head *head)
{
    enum reason why = fields_response(x, head);
    if (why != REASON_PERMITTED) {
        x->link->wants_close = true; /* whatever it has begun on this connection is for nobody */
        exchange_stop(x, why, NULL);
        return;
    }
    x->response.status = head->status;
    x->response.has_body = head->framing != H1_NO_BODY;
    x->response.length = head->framing == H1_LENGTH ? head->length : BODY_LENGTH_UNKNOWN;
    exchange_resume(x);
}

void exchange_upstream_ready(struct exchange *x)
{
    deadline_arm(worker_deadlines(x->worker, x->facts.app->idle_ms), &x->deadline);
    if (x->is_head_out)
        x->client->body_ready(x);
}

void exchange_upstream_progress(struct exchange *x)
{
    int64_t limit = x->phase == UPSTREAM ? x->facts.app->first_byte_ms : x->facts.app->idle_ms;
    deadline_arm(worker_deadlines(x->worker, limit), &x->deadline);
}

/* The link is gone with its connection. Sent again only where no byte of an answer has come,
 * nothing of a body was taken, and either the connection never stood or the method may be repeated
 * on a pooled one that had ended. */
void exchange_upstream_failed(struct exchange *x, enum reason why, const char *detail)
{
    bool may_repeat = false;
    if (x->link) {
        struct link_h1 *l = x->link;
        bool is_stale = l->is_reused && !l->has_answered && method_is_idempotent(x->request.method);
        may_repeat = x->phase == UPSTREAM && !x->up_was_taken &&
                     (!link_is_connected(l) || is_stale) &&
                     x->tries < x->facts.app->upstream_count + 1;
        drop_link(x);
    }
    if (may_repeat && why != REASON_UPSTREAM_CONNECT_TIMEOUT) {
        metric_add(&x->worker->metrics, METRIC_UPSTREAM_RETRIES_TOTAL, 1);
        exchange_resume(x);
        return;
    }
    exchange_stop(x, why, detail);
}
