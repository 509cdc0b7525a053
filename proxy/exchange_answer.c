// SPDX-License-Identifier: EUPL-1.2
/* RESPONSE of the story: their answer, or our refusal. */
#include "proxy/exchange_in.h"

#include "policy/explain.h"
#include "proxy/answer.h"
#include "proxy/grpc.h"
#include "proxy/own.h"
#include "proxy/own_page.h"

/* A gRPC client reads no page: its answer is a status, in a head that is all there is
 * ("Trailers-Only"). */
static void refuse_by_status(struct exchange *x)
{
    struct field *status;
    uint32_t count = grpc_status(&x->arena, x->reason, &x->reference, &status);
    x->response = (struct response){.status = 200, .field_count = count + 2};
    x->response.fields = arena_array(&x->arena, struct field, count + 2);
    x->response.fields[0] = (struct field){SLICE("content-type"), SLICE("application/grpc")};
    memcpy(x->response.fields + 1, status, count * sizeof *status);
    x->response.fields[count + 1] =
        (struct field){SLICE("date"), worker_date(x->worker, &x->arena)};
    x->answer = (struct slice){0};
    x->up_stopped = true;
}

/* Where a sign-in would help, the page leads to it. */
static void offer_sign_in(struct exchange *x, struct refusal *r)
{
    const bool helps = x->reason == REASON_IDENTITY_REQUIRED ||
                       x->reason == REASON_ASSURANCE_TOO_LOW ||
                       x->reason == REASON_SESSION_DEVICE_MISMATCH;
    if (!r->again.len && helps && x->facts.app && own_has_sign_in(x))
        r->again = own_sign_in_link(x, own_wanted(x), x->decision.needs_acr_level);
}

/* Who is refused may be there under another name than they should. */
static struct slice signed_in_as(const struct exchange *x)
{
    if (!x->session)
        return (struct slice){0};
    return x->session->identity->name.len ? x->session->identity->name : x->session->user.id;
}

static void refuse_in_words(struct exchange *x)
{
    struct answer answer;
    if ((x->reason == REASON_DENIED || x->reason == REASON_FORBIDDEN) && !x->decision.missing.len)
        x->decision.missing = explain_lack(&x->facts, &x->decision, &x->arena);
    /* To a connection that is not for that host, no word of what is there. */
    bool is_elsewhere = x->reason == REASON_HOST_MISDIRECTED || x->reason == REASON_HOST_UNKNOWN;
    bool is_here = x->door && !is_elsewhere;
    bool has_hsts = x->door && x->door->hsts.len;
    struct memo_place place;
    struct refusal r = {.reason = x->reason,
                        .app = is_elsewhere ? NULL : x->facts.app,
                        .decision = x->facts.app && x->decision.reason ? &x->decision : NULL,
                        .device_detail = x->reason == REASON_DEVICE_INVALID ? x->detail : NULL,
                        .reference = slice_of(x->reference.text),
                        .wants_html = x->request.accepts_html,
                        .language = own_language(x),
                        .back = is_here ? own_back(x) : (struct slice){0},
                        .place = is_here ? own_place(x, &place) : NULL,
                        .again = x->again,
                        .person = is_elsewhere ? (struct slice){0} : signed_in_as(x),
                        .has_sheet = is_here,
                        .had_token = x->had_token,
                        .had_proof = x->is_with_proof};
    if (x->request.accepts_html && !is_elsewhere)
        offer_sign_in(x, &r);
    answer_make(&x->arena, &r, &answer);
    x->response = (struct response){.status = answer.status,
                                    .field_count = answer.field_count + 1 + has_hsts,
                                    .has_body = answer.body.len && x->request.method != METHOD_HEAD,
                                    .length = answer.body.len};
    x->response.fields = arena_array(&x->arena, struct field, answer.field_count + 2);
    memcpy(x->response.fields, answer.fields, answer.field_count * sizeof *answer.fields);
    x->response.fields[answer.field_count] =
        (struct field){SLICE("date"), worker_date(x->worker, &x->arena)};
    if (has_hsts)
        x->response.fields[answer.field_count + 1] = (struct field){
            SLICE("strict-transport-security"), arena_copy(&x->arena, x->door->hsts)};
    x->answer = x->response.has_body ? answer.body : (struct slice){0};
    x->up_stopped = true;
}

enum next exchange_response(struct exchange *x)
{
    struct worker *w = x->worker;
    if (x->is_sent)
        return NEXT;
    if (!x->is_head_out) {
        x->is_head_out = true;
        if (x->response.status) /* theirs, or one of our own */
            ;
        else if (x->is_grpc)
            refuse_by_status(x);
        else
            refuse_in_words(x);
        deadline_arm(worker_deadlines(w, x->link ? x->facts.app->idle_ms : w->config->stalled_ms),
                     &x->deadline);
        x->client->send_head(x);
        if (x->link && (flow_down_peek(x).len || flow_down_is_ended(x)))
            x->client->body_ready(x);
    }
    return WAIT;
}
