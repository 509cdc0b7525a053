// SPDX-License-Identifier: EUPL-1.2
/* IDENTITY of the story: token → facts.user, or facts.service; session → facts.user. Without there
 * is no user: the rules say whether one is needed. Who shows a token is judged by that alone,
 * whatever their cookies say. */
#include "proxy/exchange_in.h"

#include "proxy/cookie.h"
#include "proxy/introspect.h"
#include "proxy/own.h"
#include "proxy/proof.h"
#include "proxy/session_errand.h"
#include "proxy/sign_in_errand.h"

/* Once an exchange; no answer takes a second because of the store or a provider. */
#define KEYS_WAIT_MS 900
#define FORGERS_EVERY_MS 100 /* of each worker */
#define REFRESH_AGAIN_S 30   /* by each worker, for each session */

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

enum next exchange_refuse_or_lead(struct exchange *x, enum reason why, const char *detail)
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
        return exchange_refuse_or_lead(x, why, x->work ? x->work->detail : "no answer in time");
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

enum next exchange_identity(struct exchange *x)
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
