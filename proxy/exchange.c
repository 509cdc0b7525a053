// SPDX-License-Identifier: EUPL-1.2
/* The one request, from its first byte to its audit event, top to bottom.
 * Owns: the phase, and the order of the questions. Does not own: how each answer is found (auth/,
 * policy/), nor bytes on the wire (h1.c, h2.c, flow.c, link_h1.c, link_h2.c), nor which upstream it
 * is (origins.c). No libev call belongs here. */
#include "proxy/exchange.h"

#include <assert.h>

#include "base/method.h"
#include "base/reason.h"
#include "base/secret.h"
#include "policy/decide.h"
#include "policy/explain.h"
#include "policy/query.h"
#include "proxy/answer.h"
#include "proxy/cookie.h"
#include "proxy/event_of.h"
#include "proxy/exchange_in.h"
#include "proxy/fields.h"
#include "proxy/grpc.h"
#include "proxy/introspect.h"
#include "proxy/live.h"
#include "proxy/origins.h"
#include "proxy/own.h"
#include "proxy/own_page.h"
#include "proxy/proof.h"
#include "proxy/session_errand.h"
#include "proxy/sign_in_errand.h"

/* 1xx of one answer: an application that says 102 once in a while has few. */
#define EARLY_MAX 100
#define EARLY_MAX_BYTES 131072 /* and of all of them together: two full heads */
/* Once an exchange; no answer takes a second because of a responder, the store or a provider. */
#define STATUS_WAIT_MS 900
#define INVENTORY_WAIT_MS 900
#define KEYS_WAIT_MS 900
#define FORGERS_EVERY_MS 100 /* of each worker */
#define REFRESH_AGAIN_S 30   /* by each worker, for each session */

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

static enum next device(struct exchange *x)
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

/* --- IDENTITY: token → facts.user, or facts.service; session → facts.user. Without there is no
 * user: the rules say whether one is needed. Who shows a token is judged by that alone, whatever
 * their cookies say. */

bool exchange_bearer(struct slice authorization, struct slice *token, bool *is_with_proof)
{
    struct slice scheme = auth_scheme_cut(&authorization);
    while (authorization.len && authorization.ptr[0] == ' ')
        authorization = slice_skip(authorization, 1);
    *token = authorization;
    *is_with_proof = slice_eq_nocase(scheme, SLICE("dpop"));
    return *is_with_proof || slice_eq_nocase(scheme, SLICE("bearer"));
}

/* Nothing holds their requests, so they are not counted by what waits: now and then is enough. */
static void ask_for_forgers(struct worker *w, const struct provider *wanted)
{
    const struct mono now = loop_now(&w->loop);
    if (now.ms < w->asked_for_forgers.ms + FORGERS_EVERY_MS)
        return;
    w->asked_for_forgers = now;
    errand_post(w, errand_for_keys(wanted->digest));
}

/* Of who showed only forged ones lately nothing is waited for; but the provider is asked all the
 * same, so that who shares their address has a new key a moment later. */
static enum next wait_for_keys(struct exchange *x, const struct provider *wanted, enum reason why)
{
    struct worker *w = x->worker;
    const struct limits_of *who = &x->connection->limited;
    const bool is_unknown = why == REASON_TOKEN_KEY_UNKNOWN;
    if (errand_is_over(x, ERRAND_KEYS) && !x->keys_are_current) /* it may well be good */
        return refuse(x, REASON_KEYS_UNAVAILABLE, NULL);
    if (errand_is_over(x, ERRAND_KEYS) && is_unknown)
        limits_forged(&w->limits, who, loop_now(&w->loop));
    if (errand_is_over(x, ERRAND_KEYS) || !wanted)
        return refuse(x, why, NULL);
    if (x->errand)
        return WAIT;
    if (is_unknown && limits_is_forger(&w->limits, who, loop_now(&w->loop))) {
        ask_for_forgers(w, wanted);
        return refuse(x, why, NULL);
    }
    errand_send(x, errand_for_keys(wanted->digest), KEYS_WAIT_MS);
    return WAIT;
}

struct token_question exchange_question(const struct exchange *x, const struct held *held,
                                        const struct application *app)
{
    return (struct token_question){.app = app,
                                   .issuers = x->worker->issuers,
                                   .device = x->facts.device,
                                   .hash_key =
                                       keyring_audit_key(held->edition->keyring, app->entity),
                                   .now = loop_wall(&x->worker->loop)};
}

/* A JWT-SVID says which service asks; it must be the one that a service's certificate names. */
enum reason exchange_believe(struct exchange *x, const struct token *take)
{
    const struct facts_service *service = token_service(take);
    const struct facts_service *shown =
        x->device && x->device->is_service ? &x->device->service : NULL;
    token_release(x->token);
    x->token = take;
    x->facts.user = service ? NULL : token_user(take);
    x->facts.service = service ? service : shown;
    return service && shown && !slice_eq(service->id, shown->id) ? REASON_TOKEN_BINDING
                                                                 : REASON_PERMITTED;
}

/* Run again while its proof is at the store. */
static enum next take_token(struct exchange *x, const struct token *take, struct slice bytes)
{
    struct worker *w = x->worker;
    bool waits = false;
    enum reason why;
    if (take) {
        why = exchange_believe(x, take);
        if (why == REASON_PERMITTED)
            why = limits_user(&w->limits, token_user(take)->key, loop_now(&w->loop));
        if (why != REASON_PERMITTED)
            return refuse(x, why, NULL);
    }
    why = x->is_with_proof ? proof_judge(x, bytes, &waits) : REASON_PERMITTED;
    if (waits)
        return WAIT;
    return why == REASON_PERMITTED ? NEXT : refuse(x, why, x->detail);
}

/* A token that only its provider can read. */
static enum next ask_provider(struct exchange *x, const struct token_question *q,
                              const struct provider *provider)
{
    struct token_answer answer;
    enum reason why = x->asked.reason;
    if (!errand_is_over(x, ERRAND_INTROSPECTION)) {
        if (!x->errand)
            errand_send(x, errand_for_introspection(x, provider, q->bytes), INTROSPECTION_WAIT_MS);
        return WAIT;
    }
    if (why == REASON_PERMITTED)
        why = token_told(x->worker->tokens, q, provider, x->asked.body, &answer);
    return why == REASON_PERMITTED ? take_token(x, answer.token, q->bytes) : refuse(x, why, NULL);
}

static enum session_binding binding_of(const struct exchange *x, const struct session *s)
{
    const struct application *app = x->facts.app;
    return session_binding(s, x->facts.device,
                           app->sessions.allows_unbound && app->device > DEVICE_REQUIRED);
}

/* Asks the control thread; what is not there in time is taken for "the store is away". */
static enum next ask_for_session(struct exchange *x, enum errand_kind kind, struct errand *take)
{
    x->session_answer = SESSION_AWAY;
    take->kind = kind;
    errand_send(x, take, SESSION_WAIT_MS);
    return WAIT;
}

/* Who has lost it (to time, to an outage) is led to the provider that they had; of another device's
 * nothing is told. */
void exchange_take_past(struct exchange *x, struct session *take)
{
    const bool is_theirs = take && slice_eq(take->application, x->facts.app->id) &&
                           application_takes_provider(x->facts.app, take->user.provider) &&
                           binding_of(x, take) == SESSION_BOUND;
    session_unref(x->past);
    x->past = is_theirs ? take : NULL;
    if (!is_theirs)
        session_unref(take);
}

static enum next no_session(struct exchange *x)
{
    if (x->session_answer == SESSION_AWAY)
        return refuse(x, REASON_STORE_UNAVAILABLE, "the session can't be looked up");
    return NEXT; /* it has ended: nobody is signed in */
}

/* Whose it is, now that it is known to be good here. */
static enum next use_session(struct exchange *x, struct session *s, struct slice id)
{
    struct worker *w = x->worker;
    enum reason why;
    if (session_wants_touch(s, x->facts.now))
        session_touch(w, id, s);
    x->session = session_ref(s);
    x->facts.user = &x->session->user;
    x->facts.session = &x->session->facts;
    why = limits_user(&w->limits, x->facts.user->key, loop_now(&w->loop));
    return why == REASON_PERMITTED ? NEXT : refuse(x, why, NULL);
}

/* Who can sign in, or more strongly, is led there rather than refused; who need only wait, waits.
 */
static enum next refuse_or_lead(struct exchange *x, enum reason why, const char *detail)
{
    const struct own_endpoint *instead = own_instead(x, why);
    (void)refuse(x, why, detail);
    if (!instead)
        return REFUSE;
    x->own = instead;
    x->phase = OWN;
    return WAIT;
}

static enum next use_known(struct exchange *x, struct session *s, struct slice id)
{
    x->detail = "the provider can't be asked: by the groups that were known";
    return use_session(x, s, id);
}

/* The provider, or the store that says who asks it, can't be asked: nobody is signed out by that,
 * until what was known is too old in any case. */
static enum next defer_refresh(struct exchange *x, struct session *s, struct slice id,
                               enum reason why)
{
    const struct wall until = session_known_until(s);
    const int64_t next_s = x->facts.now.s + REFRESH_AGAIN_S;
    if (x->facts.now.s >= until.s || !application_takes_provider(x->facts.app, s->user.provider))
        return refuse_or_lead(x, why, x->work ? x->work->detail : "no answer in time");
    metric_add(&x->worker->metrics, METRIC_SESSION_REFRESHES_DEFERRED_TOTAL, 1);
    session_cache_defer(x->worker->sessions, x->facts.app->entity, id,
                        (struct wall){until.s < next_s ? until.s : next_s});
    return use_known(x, s, id);
}

/* The provider is asked again before what it said of the person is too old. What comes back is used
 * as it is: it is not asked about once more, and takes the old one's place whatever its version,
 * for a store that has lost its last writes counts from there. */
static enum next refresh(struct exchange *x, struct session *s, struct slice id)
{
    struct work *work = x->work;
    if (!errand_is_over(x, ERRAND_REFRESH)) {
        work = work_new(x);
        work->session = session_ref(s);
        work->id = arena_copy(&work->arena, id);
        work_send(x, work, WORK_REFRESH, OWN_STORE_WAIT_MS);
        return WAIT;
    }
    if (!work)
        return defer_refresh(x, s, id, REASON_PROVIDER_UNAVAILABLE);
    if (work->reason == REASON_IDENTITY_REQUIRED) {
        exchange_take_past(x, session_ref(s));
        session_cache_drop(x->worker->sessions, x->facts.app->entity, id);
        return NEXT;
    }
    if (work->reason != REASON_PERMITTED)
        return defer_refresh(x, s, id, work->reason);
    session_cache_drop(x->worker->sessions, x->facts.app->entity, id);
    session_cache_add(x->worker->sessions, id, session_ref(work->session));
    return binding_of(x, work->session) == SESSION_BOUND
               ? use_session(x, work->session, id)
               : refuse(x, REASON_SESSION_DEVICE_MISMATCH, NULL);
}

/* By the cookie: whose session is it, on which device, and is what is known of them new enough? */
static enum next session_identity(struct exchange *x)
{
    struct worker *w = x->worker;
    const struct application *app = x->facts.app;
    const struct slice id = cookie_get(&x->request, SLICE(COOKIE_SESSION));
    struct session *s;
    if (!session_id_is_valid(id))
        return NEXT;
    if (x->errand)
        return WAIT;
    s = session_cache_find(w->sessions, app->entity, app->id, id, w->tls.revocations, x->facts.now);
    if (!s)
        return errand_is_over(x, ERRAND_SESSION)
                   ? no_session(x)
                   : ask_for_session(x, ERRAND_SESSION, errand_for_session(app->entity, id));
    if (!application_takes_provider(app, s->user.provider)) /* any more; as with its tokens */
        return NEXT;
    switch (binding_of(x, s)) {
    case SESSION_ELSEWHERE:
        return refuse(x, REASON_SESSION_DEVICE_MISMATCH, NULL);
    case SESSION_RENEWED: {
        const struct session_changed moved = {
            .what = SESSION_MOVED, .at = x->facts.now, .device = x->facts.device};
        if (errand_is_over(x, ERRAND_SESSION_CHANGE))
            return x->session_answer == SESSION_AWAY
                       ? no_session(x)
                       : refuse(x, REASON_SESSION_DEVICE_MISMATCH, NULL);
        return ask_for_session(x, ERRAND_SESSION_CHANGE, errand_for_session_change(id, s, &moved));
    }
    case SESSION_BOUND:
        break;
    }
    if (errand_is_over(x, ERRAND_SESSION_CHANGE)) {
        x->deed = SLICE("session-move");
        x->deed_session = arena_copy(&x->arena, s->handle);
    }
    if (!session_wants_refresh(s, x->facts.now))
        return use_session(x, s, id);
    return session_cache_is_deferred(w->sessions, app->entity, id, x->facts.now)
               ? use_known(x, s, id)
               : refresh(x, s, id);
}

static enum next identity(struct exchange *x)
{
    struct worker *w = x->worker;
    struct slice authorization = exchange_field(x, SLICE("authorization"));
    struct token_answer answer = {0};
    struct token_question q = exchange_question(x, x->held, x->facts.app);
    enum reason why;
    if (x->own && x->own->after < OWN_AFTER_IDENTITY)
        return NEXT;
    if (!authorization.ptr || !exchange_bearer(authorization, &q.bytes, &q.is_with_proof))
        return session_identity(x);
    x->had_token = true;
    x->is_with_proof = q.is_with_proof;
    if (exchange_count_fields(x, SLICE("authorization")) > 1)
        return refuse(x, REASON_REQUEST_AMBIGUOUS, "more than one Authorization");
    if (x->facts.app->wants_proof && !q.is_with_proof)
        return refuse(x, REASON_TOKEN_BINDING, "the application takes no token without a proof");
    why = x->token ? REASON_PERMITTED : token_judge(w->tokens, &q, &answer);
    if (why == REASON_PERMITTED)
        return take_token(x, answer.token, q.bytes);
    if (why == REASON_TOKEN_KEY_UNKNOWN || why == REASON_KEYS_UNAVAILABLE)
        return wait_for_keys(x, answer.wanted, why);
    if (answer.asked)
        return ask_provider(x, &q, answer.asked);
    return refuse(x, why, NULL);
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
        return refuse_or_lead(x, why, NULL);
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
        return refuse_or_lead(x, x->decision.reason, NULL);
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

/* --- UPSTREAM: head out, head back; asserts the permit. */

static enum next upstream(struct exchange *x)
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

/* --- RESPONSE: their answer, or our refusal. */

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
    if (x->reason == REASON_DENIED && !x->decision.missing.len)
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

static enum next response(struct exchange *x)
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

/* --- AUDIT: always, once. */

void exchange_drop_link(struct exchange *x)
{
    struct uplink *u = x->link;
    origins_leave_queue(x);
    x->link = NULL;
    if (u)
        u->ops->release(u);
}

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
    [ROUTE] = route,       [DEVICE] = device,     [IDENTITY] = identity, [OWN] = own,
    [DECISION] = decision, [UPSTREAM] = upstream, [RESPONSE] = response, [AUDIT] = audit,
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

/* --- From control, and from the link. */

void exchange_errand_over(struct exchange *x)
{
    exchange_resume(x);
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
