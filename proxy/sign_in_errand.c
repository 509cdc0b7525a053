// SPDX-License-Identifier: EUPL-1.2
/* The steps of signing in and out that need the store or a provider, on the control thread: one
 * story a kind, each step the callback of the one above it.
 * Owns: their order. Does not own: how records lie in the store (auth/records.h), what a session is
 * (auth/session_desk.h), what a provider's answers must hold (auth/oidc.h). */
#include "proxy/sign_in_errand.h"

#include "auth/records.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/reason.h"
#include "base/secret.h"
#include "proxy/cookie.h"
#include "proxy/edition.h"
#include "proxy/exchange.h"
#include "proxy/form.h"

/* How long, and how often, it is looked for what has come of a code: so that the browser has its
 * answer within a second. */
#define LOOK_FOR_MS 700
#define LOOK_EVERY_MS 100

static struct work *work_of(struct errand *e)
{
    return container_of(e, struct work, errand);
}

static void finish(struct work *w, enum reason why, const char *detail)
{
    w->reason = why;
    w->detail = detail;
    errand_done(&w->errand);
}

static void store_is_away(struct work *w)
{
    finish(w, REASON_STORE_UNAVAILABLE, "the store does not answer");
}

static struct slice copy(struct work *w, struct slice text)
{
    return arena_copy(&w->arena, text);
}

/* What the desk of providers has said. */
static const char *why_of(struct work *w, const struct oidc_answer *answer)
{
    struct slice why = answer->why ? slice_of(answer->why->text) : SLICE("no reason was given");
    return arena_printf(&w->arena, "%.*s%c", SLICE_ARG(why), '\0').ptr;
}

static void finish_as(struct work *w, const struct oidc_answer *answer)
{
    finish(w, answer->reason, why_of(w, answer));
}

/* ---- an attempt is kept ---- */

static void attempt_kept(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    (void)plain;
    if (answer == RECORD_AWAY)
        store_is_away(w);
    else
        finish(w, answer == RECORD_DONE ? REASON_PERMITTED : REASON_INTERNAL, NULL);
}

static void run_keep(struct work *w)
{
    struct buf plain;
    buf_init(&plain, ATTEMPT_MAX_BYTES);
    if (attempt_print(&w->attempt, &plain))
        record_put(w->desks->kept, VAULT_ATTEMPT, w->entity, w->id, buf_slice(&plain),
                   ATTEMPT_LIFE_S * 1000, attempt_kept, w);
    else
        finish(w, REASON_BODY_TOO_LARGE, "the attempt with its form is too large");
    wipe(plain.ptr, plain.room);
    buf_fini(&plain);
}

/* ---- an attempt is read ---- */

static bool read_attempt(struct work *w, enum record_answer answer, struct slice plain)
{
    if (answer == RECORD_AWAY)
        store_is_away(w);
    else if (answer == RECORD_NONE || !attempt_parse(&w->attempt, &w->arena, plain))
        finish(w, REASON_SIGN_IN_EXPIRED, "there is no such attempt, or none any more");
    else
        return true;
    return false;
}

static struct oidc_attempt agreed(const struct work *w)
{
    return (struct oidc_attempt){.state = w->id,
                                 .nonce = w->attempt.nonce,
                                 .verifier = w->attempt.verifier,
                                 .redirect_uri = w->redirect_uri,
                                 .language = w->attempt.language,
                                 .acr_level = w->attempt.acr_level,
                                 .max_age_s = w->attempt.max_age_s,
                                 .begun_at = w->attempt.begun_at};
}

static struct oidc_question question(struct work *w, struct slice provider,
                                     void (*done)(void *, const struct oidc_answer *))
{
    return (struct oidc_question){
        .entity = w->entity, .provider = provider, .done = done, .owner = w};
}

/* ---- to the provider ---- */

static void url_is_there(void *owner, const struct oidc_answer *answer)
{
    struct work *w = owner;
    if (answer->reason != REASON_PERMITTED) {
        finish_as(w, answer);
        return;
    }
    w->url = copy(w, answer->url);
    finish(w, REASON_PERMITTED, NULL);
}

static void attempt_to_lead(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    if (!read_attempt(w, answer, plain))
        return;
    const struct oidc_attempt attempt = agreed(w);
    const struct oidc_question q = question(w, w->attempt.provider, url_is_there);
    (void)oidc_begin(w->desks->oidc, &q, &attempt);
}

static void run_lead(struct work *w)
{
    record_get(w->desks->kept, VAULT_ATTEMPT, w->entity, w->id, attempt_to_lead, w);
}

/* ---- from the provider ---- */

static void handover_kept(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    (void)plain;
    if (answer != RECORD_DONE) {
        store_is_away(w);
        return;
    }
    w->url = arena_printf(&w->arena, "https://%.*s/.belfry/callback?handover=%s",
                          SLICE_ARG(w->attempt.authority), w->new_id);
    finish(w, REASON_PERMITTED, NULL);
}

static void identity_is_known(void *owner, const struct oidc_answer *answer)
{
    struct work *w = owner;
    struct buf plain;
    if (answer->reason != REASON_PERMITTED) {
        finish_as(w, answer);
        return;
    }
    buf_init(&plain, HANDOVER_MAX_BYTES);
    attempt_make_id(w->new_id);
    if (handover_print(&w->attempt, answer->identity, &plain))
        record_put(w->desks->kept, VAULT_HANDOVER, w->entity, slice_of(w->new_id),
                   buf_slice(&plain), HANDOVER_LIFE_S * 1000, handover_kept, w);
    else
        finish(w, REASON_PROVIDER_MISTAKEN, "it says more of a person than can be kept");
    wipe(plain.ptr, plain.room);
    buf_fini(&plain);
}

static void look_for_outcome(struct work *w);

/* A browser that asks once more (who was impatient reloads the page) gets what came of the first
 * time, where that reached nobody. */
static void attempt_is_marked(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    (void)plain;
    if (answer == RECORD_AWAY) {
        store_is_away(w);
        return;
    }
    if (answer == RECORD_NONE) {
        look_for_outcome(w);
        return;
    }
    w->is_spent = true;
    w->attempt.revoked_until = revocation_desk_last(w->desks->revocations, w->entity);
    const struct oidc_attempt attempt = agreed(w);
    const struct oidc_question q = question(w, w->attempt.provider, identity_is_known);
    (void)oidc_redeem(w->desks->oidc, &q, &attempt, &w->response);
}

static void attempt_to_redeem(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    if (!read_attempt(w, answer, plain))
        return;
    record_mark(w->desks->kept, w->entity,
                arena_printf(&w->arena, "attempt:%.*s", SLICE_ARG(w->id)), ATTEMPT_LIFE_S * 1000,
                attempt_is_marked, w);
}

static void run_redeem(struct work *w)
{
    record_get(w->desks->kept, VAULT_ATTEMPT, w->entity, w->id, attempt_to_redeem, w);
}

/* ---- from a provider that was slow: the browser was told to wait ---- */

/* What came of a code lies in the store, sealed, for as long as a hand-over, once it is known that
 * nobody waits for the answer any more; the gateway that is asked for it may be another one. In
 * one piece: a reason's name, and behind a line end the address to go to, or why there is none. */
#define OUTCOME_MAX_BYTES 1024

static struct slice outcome_id(struct work *w)
{
    return arena_printf(&w->arena, "outcome:%.*s", SLICE_ARG(w->id));
}

static void outcome_kept(void *owner, enum record_answer answer, struct slice plain)
{
    (void)answer, (void)plain; /* who asks is told that it is away */
    finish(owner, REASON_PERMITTED, NULL);
}

static void run_tell(struct work *w)
{
    struct buf plain;
    const struct slice text = w->reason == REASON_PERMITTED ? w->url : slice_of(w->detail);
    buf_init(&plain, OUTCOME_MAX_BYTES);
    if (buf_add(&plain, reason_name(w->reason)) && buf_add(&plain, SLICE("\n")) &&
        buf_add(&plain, text))
        record_put(w->desks->kept, VAULT_HANDOVER, w->entity, outcome_id(w), buf_slice(&plain),
                   HANDOVER_LIFE_S * 1000, outcome_kept, w);
    else
        finish(w, REASON_INTERNAL, "what came of a sign-in is too long to be kept");
    wipe(plain.ptr, plain.room);
    buf_fini(&plain);
}

static bool read_outcome(struct work *w, struct slice plain)
{
    const struct slice name = slice_cut(&plain, '\n');
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        if (!slice_eq(reason_name((enum reason)reason), name))
            continue;
        w->url = reason == REASON_PERMITTED ? copy(w, plain) : (struct slice){0};
        w->reason = (enum reason)reason;
        w->detail = reason == REASON_PERMITTED
                        ? NULL
                        : arena_printf(&w->arena, "%.*s%c", SLICE_ARG(plain), '\0').ptr;
        return true;
    }
    return false;
}

/* Who brings the code once more is told so; who only asks may ask again. */
static void nothing_came(struct work *w)
{
    w->is_pending = w->story != run_redeem;
    finish(w, REASON_SIGN_IN_EXPIRED, "the attempt was used before");
}

static void on_look(struct ev_loop *ev, ev_timer *timer, int events);

static void outcome_is_read(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    if (answer == RECORD_AWAY) {
        store_is_away(w);
    } else if (answer == RECORD_DONE) {
        if (read_outcome(w, plain))
            finish(w, w->reason, w->detail);
        else
            nothing_came(w);
    } else if (loop_now(w->desks->loop).ms >= w->look_until.ms) {
        nothing_came(w);
    } else {
        ev_timer_init(&w->look, on_look, LOOK_EVERY_MS / 1000., 0.);
        w->look.data = w;
        ev_timer_start(w->desks->loop->ev, &w->look);
    }
}

static void look(struct work *w)
{
    record_get(w->desks->kept, VAULT_HANDOVER, w->entity, outcome_id(w), outcome_is_read, w);
}

static void on_look(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev, (void)events;
    look(timer->data);
}

static void look_for_outcome(struct work *w)
{
    w->look_until = (struct mono){loop_now(w->desks->loop).ms + LOOK_FOR_MS};
    look(w);
}

static void attempt_to_await(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    if (read_attempt(w, answer, plain))
        look_for_outcome(w);
}

static void run_await(struct work *w)
{
    record_get(w->desks->kept, VAULT_ATTEMPT, w->entity, w->id, attempt_to_await, w);
}

/* ---- back at the application ---- */

static void old_is_over(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    (void)answer; /* it ends by itself, else */
    (void)take;
    finish(w, REASON_PERMITTED, NULL);
}

static void session_is_made(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    struct session *old = w->session;
    if (answer != SESSION_HERE) {
        w->new_id[0] = '\0';
        store_is_away(w);
        return;
    }
    if (revocations_session(revocation_desk_table(w->desks->revocations), take,
                            loop_wall(w->desks->loop))) { /* while they were on the way back */
        session_unref(take);
        w->new_id[0] = '\0';
        finish(w, REASON_SIGN_IN_EXPIRED, "the sign-in was ended before it came back");
        return;
    }
    w->session = take;
    w->list[0] = old; /* until the end of the work */
    w->count = old != NULL;
    if (old)
        session_desk_take_back(w->desks->sessions, old, SLICE("replaced by a newer sign-in"),
                               old_is_over, w);
    else
        finish(w, REASON_PERMITTED, NULL);
}

static const struct provider *provider_of(const struct application *app, struct slice id)
{
    for (uint32_t i = 0; app && i < app->provider_count; i++)
        if (slice_eq(app->providers[i]->id, id))
            return app->providers[i];
    return NULL;
}

static void make_session(struct work *w)
{
    const struct door *door = edition_door(w->desks->edition, w->host);
    const struct application *app = door ? door->app : NULL;
    const struct provider *p = provider_of(app, w->identity.provider);
    if (!p || !slice_eq(app->entity, w->entity) || !slice_eq(app->id, w->attempt.application)) {
        finish(w, REASON_SIGN_IN_EXPIRED, "the application no longer takes this provider");
        return;
    }
    const struct session_limits *limits =
        w->has_device ? &app->sessions.bound : &app->sessions.unbound;
    const struct session_start start = {.entity = app->entity,
                                        .application = app->id,
                                        .host = app->host,
                                        .identity = &w->identity,
                                        .device = w->has_device ? &w->device : NULL,
                                        .life_s = limits->absolute_s,
                                        .idle_s = limits->idle_s,
                                        .refresh_after_s = p->sign_in.refresh_after_s,
                                        .refresh_grace_s = p->sign_in.refresh_grace_s,
                                        .language = w->attempt.language,
                                        .asked_acr_level = w->attempt.acr_level,
                                        .revoked_until = w->attempt.revoked_until};
    session_desk_create(w->desks->sessions, &start, w->new_id, session_is_made, w);
}

/* Another tab of this browser has signed the same person in since this sign-in began, as strongly:
 * that session is this one's, too. */
static bool is_as_good(const struct work *w, const struct session *s)
{
    return slice_eq(s->application, w->attempt.application) &&
           slice_eq(s->user.provider, w->identity.provider) &&
           slice_eq(s->user.subject, w->identity.subject) &&
           s->created.s >= w->attempt.begun_at.s && s->user.acr_level >= w->identity.acr_level &&
           session_binding(s, w->has_device ? &w->device : NULL, !w->has_device) == SESSION_BOUND;
}

static void old_is_here(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    if (answer == SESSION_AWAY) {
        store_is_away(w);
        return;
    }
    if (answer == SESSION_HERE && is_as_good(w, take)) {
        w->session = take;
        finish(w, REASON_PERMITTED, NULL);
        return;
    }
    if (answer == SESSION_HERE && slice_eq(take->application, w->attempt.application))
        w->session = take;
    else if (take)
        session_unref(take);
    make_session(w);
}

/* The browser that began this sign-in: it has the cookie of its tag. */
static bool is_same_browser(const struct work *w)
{
    struct slice rest = w->cookies;
    while (rest.len) {
        struct slice value = slice_cut(&rest, ';');
        const struct slice name = slice_cut(&value, '=');
        uint8_t digest[SHA256_BYTES];
        if (!slice_starts(name, SLICE(COOKIE_TRY)) ||
            !slice_eq(slice_skip(name, sizeof COOKIE_TRY - 1), w->attempt.tag))
            continue;
        sha256(digest, value);
        return secret_eq(digest, w->attempt.cookie, sizeof digest);
    }
    return false;
}

static void handover_is_taken(void *owner, enum record_answer answer, struct slice plain)
{
    static const uint8_t none[32];
    struct work *w = owner;
    if (answer == RECORD_AWAY) {
        store_is_away(w);
        return;
    }
    if (answer == RECORD_NONE || !handover_parse(&w->attempt, &w->identity, &w->arena, plain)) {
        finish(w, REASON_SIGN_IN_EXPIRED, "there is no such hand-over, or none any more");
        return;
    }
    const struct door *door = edition_door(w->desks->edition, w->host);
    if (!door || !slice_eq(door->app->id, w->attempt.application)) {
        finish(w, REASON_SIGN_IN_ELSEWHERE, "the hand-over is another application's");
        return;
    }
    if (!is_same_browser(w)) {
        finish(w, REASON_SIGN_IN_ELSEWHERE, "another browser began this sign-in");
        return;
    }
    if (memcmp(w->attempt.device, w->has_device ? w->device.digest : none, sizeof none) != 0) {
        finish(w, REASON_SIGN_IN_ELSEWHERE, "another device began this sign-in");
        return;
    }
    if (w->token.len) /* the session's cookie that the browser has now */
        session_desk_load(w->desks->sessions, w->entity, w->token, old_is_here, w);
    else
        make_session(w);
}

static void run_come_back(struct work *w)
{
    record_take(w->desks->kept, VAULT_HANDOVER, w->entity, w->id, handover_is_taken, w);
}

/* ---- what is known of the person is made new ---- */

static void session_is_new(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    if (answer == SESSION_AWAY) {
        store_is_away(w);
        return;
    }
    session_unref(w->session);
    w->session = take;
    finish(w, take ? REASON_PERMITTED : REASON_IDENTITY_REQUIRED, NULL);
}

static void session_has_ended(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    (void)answer;
    (void)take;
    finish(w, REASON_IDENTITY_REQUIRED, w->detail);
}

/* The provider takes the refresh token no more. Where an answer of its was lost, that need not be
 * about the person: they pass by the provider, which knows. Nobody stays in by that. */
static void end_unrefreshed(struct work *w, const struct oidc_answer *answer)
{
    struct session_desk *d = w->desks->sessions;
    const bool has_token = w->session->identity->refresh_token.len;
    const bool is_lost =
        has_token && !answer->refresh_token.len && session_lost_refresh(w->session);
    w->detail = is_lost     ? "what the provider answered was lost: they pass by it again"
                : has_token ? "the provider no longer vouches for them"
                            : "the provider gave no refresh token: they pass by it again";
    if (is_lost)
        metric_add(w->desks->metrics, METRIC_SESSION_REFRESHES_LOST_TOTAL, 1);
    session_desk_refresh_lost(d, w->session); /* no other need ask */
    session_desk_take_back(d, w->session, slice_of(w->detail), session_has_ended, w);
}

static void refusal_is_noted(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    (void)answer; /* else it counts as lost, which costs a way by the provider */
    session_unref(take);
    finish(w, w->reason, w->detail);
}

static void provider_has_said(void *owner, const struct oidc_answer *answer)
{
    struct work *w = owner;
    struct session_desk *d = w->desks->sessions;
    struct session_changed changed = {.at = loop_wall(w->desks->loop)};
    if (answer->reason == REASON_PERMITTED) {
        changed.what = SESSION_REFRESHED;
        changed.identity = answer->identity;
        session_desk_change(d, w->session, &changed, session_is_new, w);
    } else if (answer->reason == REASON_IDENTITY_REQUIRED) {
        end_unrefreshed(w, answer);
    } else if (answer->is_lost) {
        session_desk_refresh_lost(d, w->session);
        finish_as(w, answer);
    } else {
        w->reason = answer->reason;
        w->detail = why_of(w, answer);
        changed.what = SESSION_NOT_REFRESHED;
        changed.refresh_token = answer->refresh_token;
        session_desk_change(d, w->session, &changed, refusal_is_noted, w);
    }
}

static void run_refresh(struct work *w);

static void refresh_is_ours(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    if (answer == SESSION_HERE && session_wants_refresh(take, loop_wall(w->desks->loop))) {
        session_unref(w->session); /* newer than what we had, and old again: from there */
        w->session = take;
        run_refresh(w);
        return;
    }
    if (answer != SESSION_OURS) {
        session_is_new(w, answer, take);
        return;
    }
    session_unref(w->session);
    w->session = take;
    const struct oidc_question q = question(w, w->session->identity->provider, provider_has_said);
    (void)oidc_refresh(w->desks->oidc, &q, w->session->identity);
}

static void run_refresh(struct work *w)
{
    session_desk_refresh(w->desks->sessions, w->session, refresh_is_ours, w);
}

/* ---- signing out ---- */

/* They are signed out here, whatever the provider says; `detail`: where it could not be found. */
static void provider_is_looked_up(void *owner, const struct oidc_answer *answer)
{
    struct work *w = owner;
    const bool is_found = answer->reason == REASON_PERMITTED;
    if (is_found)
        w->url = copy(w, answer->url);
    finish(w, REASON_PERMITTED,
           is_found ? NULL : "the provider could not be found to end it there");
}

static void session_is_over_now(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    (void)take;
    if (answer == SESSION_AWAY) {
        store_is_away(w);
        return;
    }
    const struct identity *i = w->session->identity;
    const struct oidc_question q = question(w, i->provider, provider_is_looked_up);
    (void)oidc_sign_out(w->desks->oidc, &q, i->id_token, w->back_uri, (struct slice){0},
                        w->attempt.language);
}

static void run_sign_out(struct work *w)
{
    session_desk_end(w->desks->sessions, w->session, session_is_over_now, w);
}

/* ---- my sessions ---- */

static void list_is_here(void *owner, enum session_answer answer, struct session *const *at,
                         uint32_t count)
{
    struct work *w = owner;
    if (answer == SESSION_AWAY) {
        store_is_away(w);
        return;
    }
    for (uint32_t i = 0; i < count && i < SESSION_LIST_MAX; i++)
        w->list[w->count++] = session_ref(at[i]);
    finish(w, REASON_PERMITTED, NULL);
}

static void run_list(struct work *w)
{
    session_desk_list(w->desks->sessions, w->entity, w->session->user.id, list_is_here, w);
}

static void end_is_done(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    (void)take;
    if (answer == SESSION_AWAY)
        store_is_away(w);
    else
        finish(w, REASON_PERMITTED, NULL);
}

/* Only one's own; of another's nothing is said, not even that it is there. */
static void session_is_found(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    if (answer != SESSION_HERE || !slice_eq(take->user.id, w->session->user.id)) {
        session_unref(take);
        end_is_done(w, answer == SESSION_AWAY ? SESSION_AWAY : SESSION_NONE, NULL);
        return;
    }
    w->list[w->count++] = take;
    session_desk_end(w->desks->sessions, take, end_is_done, w);
}

static void run_end(struct work *w)
{
    const struct facts_user *user = &w->session->user;
    if (w->handle.len)
        session_desk_find(w->desks->sessions, w->entity, w->handle, session_is_found, w);
    else
        session_desk_end_all(w->desks->sessions, w->entity, user->provider, (struct slice){0},
                             user->id, end_is_done, w);
}

/* ---- a provider ends sessions ---- */

static void mark_is_gone(void *owner, enum record_answer answer, struct slice plain)
{
    (void)answer, (void)plain;
    store_is_away(owner);
}

/* What could not be done the provider may ask for again: then the token was not used. */
static void logout_is_done(void *owner, enum session_answer answer, struct session *take)
{
    struct work *w = owner;
    (void)take;
    if (answer == SESSION_AWAY)
        record_take(w->desks->kept, VAULT_MARK, w->entity, w->handle, mark_is_gone, w);
    else
        finish(w, REASON_PERMITTED, NULL);
}

static void logout_is_new(void *owner, enum record_answer answer, struct slice plain)
{
    struct work *w = owner;
    (void)plain;
    if (answer == RECORD_AWAY)
        store_is_away(w);
    else if (answer == RECORD_NONE)
        finish(w, REASON_PROVIDER_MISTAKEN, "the logout token was used before");
    else if (w->identity.session.len)
        session_desk_end_all(w->desks->sessions, w->entity, w->identity.provider,
                             w->identity.session, (struct slice){0}, logout_is_done, w);
    else
        session_desk_end_all(w->desks->sessions, w->entity, w->identity.provider, (struct slice){0},
                             arena_printf(&w->arena, "%.*s:%.*s", SLICE_ARG(w->identity.provider),
                                          SLICE_ARG(w->identity.subject)),
                             logout_is_done, w);
}

static void logout_is_good(void *owner, const struct oidc_answer *answer)
{
    struct work *w = owner;
    const struct oidc_logout *l = answer->logout;
    if (answer->reason != REASON_PERMITTED) {
        finish_as(w, answer);
        return;
    }
    const int64_t life_s = l->until.s - loop_wall(w->desks->loop).s;
    w->identity.provider = copy(w, l->provider);
    w->identity.subject = copy(w, l->subject);
    w->identity.session = copy(w, l->session);
    w->handle = arena_printf(&w->arena, "jti:%.*s:%.*s", SLICE_ARG(l->provider), SLICE_ARG(l->jti));
    record_mark(w->desks->kept, w->entity, w->handle, (life_s > 0 ? life_s : 1) * 1000,
                logout_is_new, w);
}

static void run_logout(struct work *w)
{
    const struct oidc_question q = question(w, (struct slice){0}, logout_is_good);
    (void)oidc_logout(w->desks->oidc, &q, w->token);
}

/* ---- the way there and back ---- */

static void (*const stories[])(struct work *w) = {
    [WORK_AWAIT] = run_await,       [WORK_KEEP] = run_keep,           [WORK_LEAD] = run_lead,
    [WORK_REDEEM] = run_redeem,     [WORK_COME_BACK] = run_come_back, [WORK_REFRESH] = run_refresh,
    [WORK_SIGN_OUT] = run_sign_out, [WORK_LIST] = run_list,           [WORK_END] = run_end,
    [WORK_LOGOUT] = run_logout,
};

static void run(struct errand *self, struct desks *desks)
{
    struct work *w = work_of(self);
    w->desks = desks;
    w->story(w);
}

static void drop(struct errand *self)
{
    struct work *w = work_of(self);
    if (!w->is_kept)
        work_free(w);
}

/* The worker has the answer of a code, and nobody there waits for it (any more). */
static void tell_later(struct work *from)
{
    struct work *w = mem_new(struct work);
    arena_init(&w->arena, NULL);
    w->entity = copy(w, from->entity);
    w->id = copy(w, from->id);
    w->url = copy(w, from->url);
    w->reason = from->reason;
    w->detail = from->detail ? arena_printf(&w->arena, "%s%c", from->detail, '\0').ptr : NULL;
    w->story = run_tell;
    w->errand = (struct errand){.kind = ERRAND_WORK, .run = run, .drop = drop};
    errand_post(from->errand.worker, &w->errand);
}

static void back(struct errand *self, struct exchange *x)
{
    struct work *w = work_of(self);
    if (!x) {
        if (w->is_spent)
            tell_later(w);
        return;
    }
    work_free(x->work);
    x->work = w;
    w->is_kept = true;
}

struct work *work_new(const struct exchange *x)
{
    struct work *w = mem_new(struct work);
    arena_init(&w->arena, NULL);
    w->entity = copy(w, x->facts.app->entity);
    w->host = copy(w, x->facts.app->host);
    if (x->facts.device) {
        w->has_device = true;
        w->device.id = copy(w, x->facts.device->id);
        memcpy(w->device.digest, x->facts.device->digest, sizeof w->device.digest);
    }
    return w;
}

/* All of these lie in its arena. */
static void wipe_secrets(struct work *w)
{
    const struct slice secrets[] = {w->id,
                                    w->cookies,
                                    w->token,
                                    w->response.code,
                                    w->attempt.nonce,
                                    w->attempt.verifier,
                                    w->attempt.form,
                                    w->identity.id_token,
                                    w->identity.refresh_token,
                                    w->url};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        if (secrets[i].len)
            wipe((void *)(uintptr_t)secrets[i].ptr, secrets[i].len);
}

void work_free(struct work *w)
{
    if (!w)
        return;
    if (ev_is_active(&w->look)) /* on the control thread, whose end it is */
        ev_timer_stop(w->desks->loop->ev, &w->look);
    session_unref(w->session);
    for (uint32_t i = 0; i < w->count; i++)
        session_unref(w->list[i]);
    wipe_secrets(w);
    arena_wipe_fini(&w->arena); /* nonces, verifiers, tokens */
    wipe(w, sizeof *w);
    mem_free(w);
}

void work_send(struct exchange *x, struct work *take, enum work_kind kind, int64_t limit_ms)
{
    work_free(x->work); /* of an earlier one: its answer is none to this */
    x->work = NULL;
    take->story = stories[kind];
    take->errand.kind = kind == WORK_REFRESH ? ERRAND_REFRESH : ERRAND_WORK;
    take->errand.run = run;
    take->errand.back = back;
    take->errand.drop = drop;
    errand_send(x, &take->errand, limit_ms);
}
