// SPDX-License-Identifier: EUPL-1.2
/* While an exchange lives: what it rests on has changed, or may have. All that let it in is asked
 * again, of the edition now in force; where the answer turns, it ends as its protocol says an end.
 * Owns: which questions these are. Does not own: when they are asked (live.c). */
#include "proxy/exchange_in.h"

#include "base/reason.h"
#include "policy/decide.h"
#include "policy/query.h"
#include "proxy/live.h"

/* When who asks is nobody any more; 0: it does not say. */
static int64_t user_end(const struct exchange *x)
{
    return x->token        ? token_user(x->token)->expires.s
           : x->facts.user ? x->facts.user->expires.s
                           : 0;
}

static bool is_user_over(const struct exchange *x, int64_t now_s)
{
    return user_end(x) && user_end(x) < now_s;
}

int64_t exchange_good_until(const struct exchange *x)
{
    int64_t until = x->door->good_until_s;
    if (user_end(x) && user_end(x) < until)
        until = user_end(x);
    if (x->facts.device && x->facts.device->not_after.s < until)
        until = x->facts.device->not_after.s;
    if (x->decision.valid_until_s <= until) /* the rule that permits is not there any more then */
        until = x->decision.valid_until_s - 1;
    if (x->facts.device && x->connection->status.until.s < until)
        until = x->connection->status.until.s;
    return until;
}

/* The token by the rules of now: its key may be gone, or its provider. */
static enum reason judge_token_again(struct exchange *x, const struct held *now,
                                     const struct application *app)
{
    struct token_question q = exchange_question(x, now, app);
    struct token_answer answer = {0};
    enum reason why;
    if (!x->token)
        return REASON_PERMITTED;
    (void)exchange_bearer(exchange_field(x, SLICE("authorization")), &q.bytes, &q.is_with_proof);
    q.held = x->token;
    if (app->wants_proof && !q.is_with_proof)
        return REASON_TOKEN_BINDING;
    why = token_judge(x->worker->tokens, &q, &answer);
    if (why == REASON_KEYS_UNAVAILABLE && !is_user_over(x, q.now.s)) {
        x->is_to_be_judged = true; /* as soon as they are there */
        return REASON_PERMITTED;
    }
    if (why != REASON_PERMITTED)
        return why;
    return exchange_believe(x, answer.token);
}

static enum reason judge_device_again(struct exchange *x, struct held *now, const struct door *door)
{
    struct connection *c = x->connection;
    const struct application *app = door->app;
    enum reason why;
    connection_judge_again(c, now);
    if (!x->device)
        return exchange_lacks_device(x, app) ? REASON_DEVICE_REQUIRED : REASON_PERMITTED;
    if (!c->device || c->device->device.not_after.s < loop_wall(&x->worker->loop).s)
        return REASON_DEVICE_INVALID;
    const struct status_answer *status = connection_status(c);
    if (status->reason == REASON_REVOCATION_UNKNOWN && connection_awaits_status(c))
        x->is_to_be_judged = true; /* until the answer is there, or could have been */
    else if (status->reason != REASON_PERMITTED)
        return status->reason;
    if (c->device != x->device) {
        device_unref(x->device);
        x->device = device_ref(c->device);
        x->facts.device = &x->device->device;
        x->facts.service = x->device->is_service ? &x->device->service : NULL;
    }
    why = exchange_ask_inventory(x, door);
    if (why != REASON_INVENTORY_UNAVAILABLE)
        return why;
    errand_post(x->worker, errand_for_inventory(app->entity, x->device->device.id));
    x->is_to_be_judged = true; /* when it is known; until then by what was known */
    return REASON_PERMITTED;
}

/* Whoever still is at it is not idle, and that is told (live.c); but no session outlives its end,
 * nor its device. */
static enum reason judge_session_again(const struct exchange *x, const struct application *app)
{
    const struct session *s = x->session;
    if (!s)
        return REASON_PERMITTED;
    if (x->is_session_over || s->ends.s <= x->facts.now.s ||
        !application_takes_provider(app, s->user.provider))
        return REASON_SESSION_ENDED;
    return session_binding(s, x->facts.device,
                           app->sessions.allows_unbound && app->device > DEVICE_REQUIRED) ==
                   SESSION_BOUND
               ? REASON_PERMITTED
               : REASON_SESSION_DEVICE_MISMATCH;
}

/* Each entity takes back only what comes to its own hosts. */
enum reason exchange_judge_revoked(const struct exchange *x, const struct application *app)
{
    const struct revocations *t = x->worker->tls.revocations;
    const struct wall now = loop_wall(&x->worker->loop);
    if (!t || !t->lists.count)
        return REASON_PERMITTED;
    if (revocations_unknown(t, app->entity))
        return REASON_REVOCATIONS_STALE;
    if (x->facts.device && revocations_device(t, app->entity, x->facts.device, now))
        return REASON_DEVICE_REVOKED;
    if (x->token && token_is_revoked(x->token, t, now))
        return REASON_TOKEN_REVOKED;
    if (x->session && revocations_session(t, x->session, now))
        return REASON_SESSION_ENDED;
    return REASON_PERMITTED;
}

/* What the application takes may be less now: of paths that can be read in more than one way, of
 * WebSocket and of whose pages open it. */
static enum reason judge_request_again(struct exchange *x, const struct application *app)
{
    if (!path_options_are_same(app->paths, x->facts.app->paths)) {
        enum reason why = target_parse(&x->request, x->request.target, app->paths, &x->arena);
        if (why != REASON_PERMITTED)
            return why;
    }
    return x->request.wants_websocket ? exchange_judge_websocket(x, app) : REASON_PERMITTED;
}

/* All the questions that let it in, asked of the edition now in force. */
enum reason exchange_judge_by(struct exchange *x, struct held *now)
{
    const struct door *door = edition_door(now->edition, x->request.host);
    enum reason why;
    x->is_to_be_judged = false;
    x->facts.now = loop_wall(&x->worker->loop);
    if (!door)
        return REASON_NOT_DELEGATED;
    if (x->facts.now.s > door->good_until_s)
        return REASON_POLICY_EXPIRED;
    why = judge_device_again(x, now, door);
    if (why != REASON_PERMITTED)
        return why;
    why = judge_request_again(x, door->app);
    if (why != REASON_PERMITTED)
        return why;
    if (memcmp(door->view->digest, x->connection->peer.view->digest, sizeof door->view->digest) !=
        0)
        return REASON_HOST_MISDIRECTED;
    why = judge_token_again(x, now, door->app);
    if (why != REASON_PERMITTED)
        return why;
    why = judge_session_again(x, door->app);
    if (why != REASON_PERMITTED)
        return why;
    why = exchange_judge_revoked(x, door->app);
    if (why != REASON_PERMITTED)
        return why;
    if (x->held != now) {
        held_drop(x->held);
        x->held = held_use(now);
    }
    x->door = door;
    x->facts.app = door->app;
    query_read_for_rules(now->edition->snapshot, &x->facts, &x->arena);
    decide(now->edition->snapshot, &x->facts, &x->decision);
    return x->decision.verdict == DECISION_PERMIT ? REASON_PERMITTED : x->decision.reason;
}

/* Between two frames of the application's there is room for a last one of ours (RFC 6455 §5.5.1).
 */
static bool close_tunnel(struct exchange *x, enum websocket_code code, struct slice words)
{
    char *close;
    if (!x->is_tunnel || !websocket_may_insert(&x->frames))
        return false;
    close = arena_bytes(&x->arena, WEBSOCKET_CLOSE_MAX);
    exchange_drop_link(x);
    x->answer = slice_from(close, websocket_close(close, code, words));
    return true;
}

static void withdraw(struct exchange *x, enum reason why)
{
    live_remove(x);
    if (!x->is_head_out)
        exchange_stop(x, why, "access was withdrawn while it was under way");
    else if (close_tunnel(x, WEBSOCKET_POLICY_VIOLATION, SLICE("access has been withdrawn")))
        exchange_say_last(x, REASON_ACCESS_WITHDRAWN, reason_name(why).ptr);
    else
        exchange_stop(x, REASON_ACCESS_WITHDRAWN, reason_name(why).ptr);
}

void exchange_judge_again(struct exchange *x)
{
    enum reason why = exchange_judge_by(x, x->worker->held);
    if (why == REASON_PERMITTED) {
        x->good_until_s = exchange_good_until(x);
        if (x->good_until_s < x->facts.now.s) /* within the leeway for clocks: in a second again */
            x->good_until_s = x->facts.now.s;
        return;
    }
    withdraw(x, why);
}

void exchange_judge_revoked_again(struct exchange *x)
{
    enum reason why = exchange_judge_revoked(x, x->facts.app);
    if (why != REASON_PERMITTED)
        withdraw(x, why);
}

void exchange_time_is_up(struct exchange *x)
{
    live_remove(x);
    exchange_stop(x, REASON_UPSTREAM_TIMEOUT, "its whole time is over");
}

/* A tunnel has no end of its own to wait for; its client opens another elsewhere. */
void exchange_go_away(struct exchange *x)
{
    if (!x->is_head_out || !close_tunnel(x, WEBSOCKET_GOING_AWAY, SLICE("the gateway goes down")))
        return;
    live_remove(x);
    exchange_say_last(x, REASON_PERMITTED, "the gateway goes down");
}
