// SPDX-License-Identifier: EUPL-1.2
/* The one request, from its first byte to its audit event, top to bottom.
 * Owns: the phase, and the order of the questions; how each is asked, for the long ones, stands in
 * exchange_route.c, exchange_identity.c, exchange_upstream.c and exchange_answer.c. Does not own:
 * how an answer is found (auth/, policy/), nor bytes on the wire (h1.c, h2.c, flow.c, link_h1.c,
 * link_h2.c), nor which upstream it is (origins.c). No libev call belongs here. */
#include "proxy/exchange.h"

#include <assert.h>

#include "base/secret.h"
#include "policy/decide.h"
#include "policy/query.h"
#include "proxy/event_of.h"
#include "proxy/exchange_in.h"
#include "proxy/fields.h"
#include "proxy/grpc.h"
#include "proxy/live.h"
#include "proxy/own.h"
#include "proxy/sign_in_errand.h"

struct slice exchange_field(const struct exchange *x, struct slice name)
{
    for (uint32_t i = 0; i < x->request.field_count; i++)
        if (slice_eq(x->request.fields[i].name, name))
            return x->request.fields[i].value;
    return (struct slice){0};
}

uint32_t exchange_count_fields(const struct exchange *x, struct slice name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->request.field_count; i++)
        n += slice_eq(x->request.fields[i].name, name);
    return n;
}

/* --- OWN: what is the gateway's own is answered here, and nothing of it goes further. */

/* DECISION is not asked here: but nobody signs in on a device that was taken back. */
static bool is_taken_back(const struct exchange *x)
{
    return x->own->after != OWN_AFTER_ROUTE && x->facts.device &&
           revocations_device(x->worker->tls.revocations, x->facts.app->entity, x->facts.device,
                              x->facts.now);
}

static enum next own(struct exchange *x)
{
    enum next next;
    if (!x->own)
        return NEXT;
    if (is_taken_back(x))
        return refuse(x, REASON_DEVICE_REVOKED, NULL);
    next = own_run(x);
    if (next != NEXT)
        return next;
    if (x->reason == REASON_INTERNAL)
        x->reason = REASON_PERMITTED; /* else: instead of that refusal */
    x->phase = RESPONSE;
    return WAIT;
}

/* --- DECISION: pure; the only place that permits, and only with its evidence published. */

static enum next decision(struct exchange *x)
{
    struct held *now = x->worker->held;
    struct event event;
    const bool is_same = x->held == now; /* else it waited, for keys or a session */
    enum reason why = is_same ? exchange_judge_revoked(x, x->facts.app) : exchange_judge_by(x, now);
    if (why != REASON_PERMITTED)
        return exchange_refuse_or_lead(x, why, NULL);
    if (is_same) {
        query_read_for_rules(now->edition->snapshot, &x->facts, &x->arena);
        decide(now->edition->snapshot, &x->facts, &x->decision);
    }
    if (x->decision.shadow.differs)
        metric_add(&x->worker->metrics, METRIC_SHADOW_DIFFERENCES_TOTAL, 1);
    if (x->is_to_be_judged) /* the keys of now are not there */
        return refuse(x, REASON_KEYS_UNAVAILABLE, NULL);
    if (x->door->shadow)
        trial_judge(x);
    if (x->decision.verdict != DECISION_PERMIT)
        return exchange_refuse_or_lead(x, x->decision.reason, NULL);
    x->reason = REASON_PERMITTED;
    event_of_decision(x, &event);
    if (!audit_publish(x->worker->audit, &event)) {
        x->decision = (struct decision){.reason = REASON_AUDIT_UNAVAILABLE};
        return refuse(x, REASON_AUDIT_UNAVAILABLE, NULL);
    }
    x->is_event_out = true;
    live_add(x);
    return NEXT;
}

/* --- AUDIT: always, once. */

/* One more event, where a session began, ended or moved: also beside the decision. */
static void tell_deed(struct exchange *x)
{
    struct event event;
    if (!x->deed.len)
        return;
    event_of_deed(x, &event);
    if (!audit_publish(x->worker->audit, &event))
        metric_add(&x->worker->metrics, METRIC_AUDIT_ENDS_DROPPED_TOTAL, 1);
}

static enum next audit(struct exchange *x)
{
    struct worker *w = x->worker;
    struct event event;
    deadline_cancel(&x->deadline);
    deadline_cancel(&x->pace.deadline);
    errand_give_up(x);
    exchange_drop_link(x);
    live_remove(x);
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
    tell_deed(x);
    if (x->own && x->reason == REASON_PERMITTED)
        return NEXT; /* a page of ours was read: no access, no decision */
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
    [ROUTE] = exchange_route,       [DEVICE] = exchange_device,
    [IDENTITY] = exchange_identity, [OWN] = own,
    [DECISION] = decision,          [UPSTREAM] = exchange_upstream,
    [RESPONSE] = exchange_response, [AUDIT] = audit,
};

static void free_when_over(struct exchange *x)
{
    if (x->phase != DONE || !x->client_let_go || x->running)
        return;
    token_release(x->token);
    session_unref(x->session);
    session_unref(x->past);
    device_unref(x->device);
    inventory_record_unref(x->listed);
    work_free(x->work);
    held_drop(x->held);
    buf_fini(&x->up);
    wipe(x->form.ptr, x->form.room); /* what a person has typed */
    buf_fini(&x->form);
    struct arena arena = x->arena; /* the exchange lies in it */
    arena_fini(&arena);
}

void exchange_resume(struct exchange *x)
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
        if (was == IDENTITY)
            deadline_cancel(&x->deadline); /* of its errands */
    }
    x->running = false;
    free_when_over(x);
}

/* The one way out of turn. */
static void exchange_cut(struct exchange *x, enum reason why, const char *detail)
{
    if (x->phase >= AUDIT)
        return;
    if (x->reason != REASON_ACCESS_WITHDRAWN) { /* what comes in the middle of a goodbye */
        x->reason = why;
        x->detail = detail;
    }
    x->up_stopped = x->is_cut = true;
    if (!x->client_let_go && why != REASON_CLIENT_GONE && !x->connection->is_closed)
        x->client->cut(x);
    x->phase = AUDIT;
    exchange_resume(x);
}

/* What x->answer and the trailers now hold still goes to the client. */
void exchange_say_last(struct exchange *x, enum reason why, const char *detail)
{
    x->reason = why;
    x->detail = detail;
    x->up_stopped = true;
    deadline_arm(worker_deadlines(x->worker, x->worker->config->stalled_ms), &x->deadline);
    x->client->body_ready(x);
}

/* A gRPC call that has begun ends with a status all the same. */
static bool end_by_status(struct exchange *x, enum reason why, const char *detail)
{
    if (!x->is_grpc || x->phase != RESPONSE || !x->response.has_body || x->is_end_sent)
        return false;
    exchange_drop_link(x);
    x->answer = (struct slice){0};
    x->response.trailer_count = grpc_status(&x->arena, why, &x->reference, &x->response.trailers);
    exchange_say_last(x, why, detail);
    return true;
}

/* Refused late: with an answer where none has begun, else the stream is cut. */
void exchange_stop(struct exchange *x, enum reason why, const char *detail)
{
    if (x->phase > RESPONSE || x->is_head_out) {
        if (!end_by_status(x, why, detail))
            exchange_cut(x, why, detail);
        return;
    }
    x->up_stopped = true;
    errand_give_up(x);
    exchange_drop_link(x);
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
    case DEVICE:
    case IDENTITY:
    case OWN:
        if (!x->errand) {
            exchange_stop(x, REASON_REQUEST_TIMEOUT, "the form did not come");
            return;
        }
        errand_give_up(x);
        x->is_out_of_time = true;
        exchange_resume(x);
        return;
    case UPSTREAM:
        if (!x->link) {
            exchange_stop(x, REASON_UPSTREAM_BUSY, "no connection to it became free in time");
            return;
        }
        if (!x->up_ended && x->link->ops->wants_body(x->link)) {
            exchange_stop(x, REASON_REQUEST_TIMEOUT, "the rest of its body did not come");
            return;
        }
        exchange_upstream_failed(
            x, x->link->is_connected ? REASON_UPSTREAM_TIMEOUT : REASON_UPSTREAM_CONNECT_TIMEOUT,
            NULL);
        return;
    case RESPONSE:
        if (x->link && !flow_down_peek(x).len)
            exchange_stop(x, REASON_UPSTREAM_TIMEOUT, NULL);
        else if (x->client->is_in_line(x))
            deadline_arm(worker_deadlines(x->worker, x->worker->config->stalled_ms), self);
        else
            exchange_cut(x, REASON_CLIENT_STALLED, NULL);
        return;
    case ROUTE:
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
    buf_init(&x->form, FORM_MAX_BYTES);
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

/* RFC 9110 §10.1.4. */
static bool takes_trailers(const struct exchange *x)
{
    struct slice rest = exchange_field(x, SLICE("te"));
    struct slice item;
    while (list_next(&rest, &item))
        if (slice_eq_nocase(item, SLICE("trailers")))
            return true;
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
    int64_t timeout_ms = 0;
    take_in(x);
    x->is_grpc = grpc_is(&x->request);
    x->request.accepts_html = wants_html(x);
    x->request.accepts_trailers = takes_trailers(x);
    x->up_ended = !x->request.has_body && !x->request.wants_websocket;
    switch (x->is_grpc ? grpc_timeout(&x->request, &timeout_ms) : GRPC_TIMEOUT_NONE) {
    case GRPC_TIMEOUT_GOOD:
        x->ends_at_ms = loop_now(&x->worker->loop).ms + timeout_ms;
        break;
    case GRPC_TIMEOUT_NONE:
        break;
    case GRPC_TIMEOUT_BAD:
        if (early == REASON_PERMITTED) {
            early = REASON_REQUEST_MALFORMED;
            detail = "grpc-timeout is no time";
        }
    }
    if (early != REASON_PERMITTED) {
        (void)refuse(x, early, detail);
        x->phase = RESPONSE;
    } else if (x->request.has_body) {
        pace_begin(x);
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
    if (x->facts.app && x->bytes_in > x->facts.app->max_body_bytes && !x->is_tunnel) {
        exchange_stop(x, REASON_BODY_TOO_LARGE, NULL);
        return;
    }
    pace_arrived(x);
    if (!buf_add(&x->up, bytes)) { /* can't be: windows and pauses end long before */
        exchange_stop(x, REASON_INTERNAL, "the request's body outran its window");
        return;
    }
    if (x->phase == RESPONSE && x->link)
        deadline_arm(worker_deadlines(x->worker, x->facts.app->idle_ms), &x->deadline);
    if (x->link)
        x->link->ops->kick(x->link);
    else if (x->phase == OWN)
        exchange_resume(x);
}

void exchange_receive_trailers(struct exchange *x, const struct field *fields, uint32_t count)
{
    x->up_trailer_count = fields_trailers(&x->arena, fields, count, &x->up_trailers);
}

void exchange_receive_end(struct exchange *x)
{
    x->up_ended = true;
    if (x->link)
        x->link->ops->kick(x->link);
    else if (x->phase == OWN)
        exchange_resume(x);
}

void exchange_body_broken(struct exchange *x, const char *detail)
{
    exchange_stop(x, REASON_REQUEST_MALFORMED, detail);
}

void exchange_body_slow(struct exchange *x)
{
    exchange_stop(x, REASON_BODY_SLOW, NULL);
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

/* --- From control. */

void exchange_errand_over(struct exchange *x)
{
    exchange_resume(x);
}
