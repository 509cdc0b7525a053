// SPDX-License-Identifier: EUPL-1.2
/* UPSTREAM of the story: head out, head back; asserts the permit. Here too: what the link says of
 * it on the way, and whether what failed may be tried again. Not here: which upstream it is
 * (origins.c). */
#include "proxy/exchange_in.h"

#include <assert.h>

#include "base/method.h"
#include "proxy/fields.h"
#include "proxy/origins.h"

/* 1xx of one answer: an application that says 102 once in a while has few. */
#define EARLY_MAX 100
#define EARLY_MAX_BYTES 131072 /* and of all of them together: two full heads */

enum next exchange_upstream(struct exchange *x)
{
    const struct application *app = x->facts.app;
    struct worker *w = x->worker;
    struct assertion_user who;
    enum reason why = REASON_UPSTREAM_REFUSED;
    assert(x->decision.verdict == DECISION_PERMIT && x->is_event_out);
    if (x->response.status)
        return NEXT;
    if (x->link || link_is_in(&x->in_queue))
        return WAIT;
    x->assertion = assertion_for(w->assertions, x->held->edition->keyring, &x->facts,
                                 assertion_user_of(&who, x->token, x->session) ? &who : NULL);
    if (!x->assertion.len)
        return refuse(x, REASON_INTERNAL, "no assertion can be made");
    for (;;) {
        switch (origins_begin(x, &why)) {
        case ORIGINS_BEGUN:
            if (!x->link->is_connected)
                deadline_arm(worker_deadlines(w, app->connect_ms), &x->deadline);
            return WAIT;
        case ORIGINS_QUEUED:
            deadline_arm(worker_deadlines(w, app->queue_ms), &x->deadline);
            return WAIT;
        case ORIGINS_NONE:
            if (why != REASON_UPSTREAM_REFUSED || x->tries > app->retries || !origins_may_retry(x))
                return refuse(x, why, x->detail);
            metric_add(&w->metrics, METRIC_UPSTREAM_RETRIES_TOTAL, 1);
        }
    }
}

void exchange_drop_link(struct exchange *x)
{
    struct uplink *u = x->link;
    origins_leave_queue(x);
    x->link = NULL;
    if (u)
        u->ops->release(u);
}

void exchange_upstream_turn(struct exchange *x)
{
    deadline_cancel(&x->deadline);
    exchange_resume(x);
}

void exchange_upstream_connected(struct exchange *x)
{
    deadline_arm(worker_deadlines(x->worker, x->facts.app->first_byte_ms), &x->deadline);
    if (x->request.expects_continue && !x->continue_said) {
        x->continue_said = true;
        pace_turn(x);
        x->client->say(x, 100, NULL, 0);
    }
}

/* A 100 is ours to say, and was said when there was somebody to send the body to. What comes
 * without end is no progress. */
void exchange_upstream_early(struct exchange *x, const struct upstream_head *head)
{
    struct field *fields = NULL;
    uint32_t count;
    size_t bytes = 0;
    for (uint32_t i = 0; i < head->field_count; i++)
        bytes += head->fields[i].name.len + head->fields[i].value.len;
    if (head->status == 100 || x->phase != UPSTREAM || x->early_count == EARLY_MAX ||
        bytes > EARLY_MAX_BYTES - x->early_bytes)
        return;
    x->early_count++;
    x->early_bytes += bytes;
    count = fields_early(&x->arena, head, &fields);
    x->client->say(x, head->status, fields, count);
    exchange_upstream_progress(x);
}

void exchange_upstream_head(struct exchange *x, const struct upstream_head *head)
{
    enum reason why = fields_response(x, head);
    bool is_trouble = head->status == 502 || head->status == 503 || head->status == 504;
    endpoint_result(x->link->endpoint, is_trouble ? ENDPOINT_FAILED : ENDPOINT_ANSWERED);
    if (why != REASON_PERMITTED) {
        x->link->is_for_nobody = true;
        exchange_stop(x, why, NULL);
        return;
    }
    x->is_tunnel = head->is_tunnel;
    if (x->request.wants_websocket && !head->is_tunnel)
        x->up_ended = true; /* it is no tunnel, and has no body */
    if (head->is_tunnel)
        x->link->ops->kick(x->link); /* what the client said too early has waited for this */
    x->response.status = head->is_tunnel ? 101 : head->status;
    x->response.has_body = head->has_body;
    x->response.length = head->length;
    exchange_resume(x);
}

void exchange_upstream_trailers(struct exchange *x, const struct field *fields, uint32_t count)
{
    x->response.trailer_count = fields_trailers(&x->arena, fields, count, &x->response.trailers);
}

void exchange_upstream_ready(struct exchange *x)
{
    exchange_upstream_progress(x);
    if (x->is_head_out)
        x->client->body_ready(x);
}

void exchange_upstream_progress(struct exchange *x)
{
    int64_t limit = x->phase == UPSTREAM    ? x->facts.app->first_byte_ms
                    : flow_down_peek(x).len ? x->worker->config->stalled_ms /* the client's turn */
                                            : x->facts.app->idle_ms;
    deadline_arm(worker_deadlines(x->worker, limit), &x->deadline);
}

/* Nothing of it can have been done: the connection never stood, or the upstream says so; or it may
 * be done twice (RFC 9110 §9.2.2) and no byte of an answer has come. */
static bool may_be_sent_again(const struct exchange *x)
{
    const struct uplink *u = x->link;
    if (!u || x->phase != UPSTREAM || x->up_was_taken || u->has_answered)
        return false;
    return !u->is_connected || u->was_not_handled || method_is_idempotent(x->request.method);
}

/* A pooled connection that had ended before our request came to it is no failure of the upstream's:
 * to try anew costs no retry. */
static bool is_stale(const struct exchange *x)
{
    return x->link && x->link->is_reused && !x->link->has_answered && x->tries == 1;
}

/* The link is gone with its connection. */
void exchange_upstream_failed(struct exchange *x, enum reason why, const char *detail)
{
    bool is_its_fault = why != REASON_REQUEST_MALFORMED;
    bool was_stale = is_stale(x);
    bool may_repeat = is_its_fault && may_be_sent_again(x) && why != REASON_UPSTREAM_TIMEOUT &&
                      (why != REASON_UPSTREAM_CONNECT_TIMEOUT || origins_has_choice(x)) &&
                      x->tries <= x->facts.app->retries + (was_stale || x->met_stale);
    if (x->link) {
        x->met_stale |= was_stale;
        x->failed_at = was_stale ? NULL : x->link->endpoint;
        if (!was_stale && is_its_fault)
            endpoint_result(x->link->endpoint, ENDPOINT_FAILED);
        may_repeat = may_repeat && (was_stale || origins_may_retry(x));
        exchange_drop_link(x);
    }
    if (may_repeat) {
        metric_add(&x->worker->metrics, METRIC_UPSTREAM_RETRIES_TOTAL, 1);
        exchange_resume(x);
        return;
    }
    exchange_stop(x, why, detail);
}
