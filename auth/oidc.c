// SPDX-License-Identifier: EUPL-1.2
/* The desk. A question is a short story, told at its head as a list of steps; a step that must wait
 * is run again when what it waited for is there.
 *
 *     begin      discover → address
 *     redeem     discover → hear → spend → prove → inquire → conclude
 *     refresh    discover → spend → prove → inquire → conclude
 *     sign out   look up → farewell
 *     logout     recognise
 *
 * Owns: questions under way, from their beginning to their end, and where a fetch may lead. Does
 * not own: the steps (auth/oidc_in.h says where each is), keys (issuer.c), what a token must say
 * (id_token.c, jws.c), HTTP (base/fetch). All on the control thread's loop. */
#include "auth/oidc_in.h"

#include "auth/issuer.h"
#include "auth/jws.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/reason.h"
#include "base/secret.h"

/* Ends */

static void wipe_slice(struct slice text)
{
    wipe((void *)(uintptr_t)text.ptr, text.len); // it lies in an arena of ours
}

static void call_free(struct oidc_call *take)
{
    link_remove(&take->link);
    link_remove(&take->wait);
    later_cancel(&take->start);
    ev_timer_stop(take->desk->loop->ev, &take->deadline);
    fetch_cancel(take->fetch);
    issuer_desk_unwant(take->wish);
    json_decref(take->claims);
    json_decref(take->userinfo);
    const struct slice secrets[] = {
        take->grant.access_token,     take->grant.id_token,
        take->grant.refresh_token,    take->identity.id_token,
        take->identity.refresh_token, take->before.id_token,
        take->before.refresh_token,   take->response.code,
        take->attempt.verifier,       take->hint,
    };
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        wipe_slice(secrets[i]);
    arena_fini(&take->arena);
    oidc_known_release(take->known);
    snapshot_unref(take->snapshot);
    mem_free(take);
}

void oidc_cancel(struct oidc_call *take)
{
    if (take)
        call_free(take);
}

/* A person's refusal is no trouble of ours; what a provider does wrong someone must read. */
static enum log_level level_of(enum reason reason)
{
    const bool is_trouble =
        reason == REASON_PROVIDER_UNAVAILABLE || reason == REASON_PROVIDER_MISTAKEN;
    return is_trouble ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
}

void oidc_call_end(struct oidc_call *c, enum reason reason)
{
    c->answer.reason = reason;
    c->answer.why = &c->fault;
    c->answer.identity = &c->identity;
    c->answer.logout = &c->logout;
    if (reason != REASON_PERMITTED) {
        fault_within(&c->fault, "identity provider '%.*s' of '%.*s'",
                     SLICE_ARG(c->provider ? c->provider->id : c->question.provider),
                     SLICE_ARG(c->question.entity));
        log_fault(level_of(reason), "auth", &c->fault);
        if (level_of(reason) == LOG_LEVEL_WARNING)
            metric_add(c->desk->metrics, METRIC_PROVIDER_FAILURES_TOTAL, 1);
        c->answer.url = (struct slice){"", 0};
        c->answer.is_lost = c->is_lost;
        if (c->is_refresh && c->grant.access_token.len)
            c->answer.refresh_token = oidc_next_refresh_token(c);
    }
    link_remove(&c->link); // nobody may end it once more from inside
    list_init(&c->link);
    ev_timer_stop(c->desk->loop->ev, &c->deadline);
    c->question.done(c->question.owner, &c->answer);
    call_free(c);
}

enum step oidc_over(struct oidc_call *c, enum reason reason)
{
    c->answer.reason = reason;
    return OVER;
}

enum step oidc_over_because(struct oidc_call *c, enum reason reason, enum fault_code code,
                            const char *what)
{
    fault_set(&c->fault, code, "%s", what);
    return oidc_over(c, reason);
}

void oidc_call_go(struct oidc_call *c)
{
    enum step step = NEXT;
    while (step == NEXT && *c->at) {
        step = (*c->at)(c);
        if (step == NEXT)
            c->at++;
    }
    if (step == OVER)
        oidc_call_end(c, c->answer.reason);
    else if (step == NEXT)
        oidc_call_end(c, REASON_PERMITTED);
}

static void on_deadline(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct oidc_call *c = timer->data;
    (void)ev;
    (void)events;
    fault_set(&c->fault, FAULT_IO, "no answer within %d ms", OIDC_LIMIT_MS);
    oidc_call_end(c, REASON_PROVIDER_UNAVAILABLE);
}

/* Where a fetch may lead: what the charter in force gives the entity */

bool oidc_may_connect(const struct oidc_desk *d, struct slice entity,
                      const struct sockaddr *address)
{
    const struct charter_entity *e = d->snapshot ? snapshot_entity(d->snapshot, entity) : NULL;
    return e && network_list_has(e->fetch_networks, e->fetch_network_count, address);
}

/* Questions */

static const struct provider *provider_find(const struct snapshot *s, struct slice entity,
                                            struct slice id)
{
    const struct bundle *b = s ? snapshot_bundle(s, entity) : NULL;
    for (uint32_t i = 0; b && i < b->provider_count; i++)
        if (slice_eq(b->providers[i].id, id) && b->providers[i].sign_in.client.id.len)
            return &b->providers[i];
    return NULL;
}

static void on_start(struct later *later)
{
    oidc_call_go(container_of(later, struct oidc_call, start));
}

static struct oidc_call *call_new(struct oidc_desk *d, const struct oidc_question *q,
                                  enum step (*const *story)(struct oidc_call *))
{
    struct oidc_call *c = mem_new(struct oidc_call);
    c->desk = d;
    c->at = story;
    arena_init(&c->arena, NULL);
    c->question = *q;
    c->question.entity = arena_copy(&c->arena, q->entity);
    c->question.provider = arena_copy(&c->arena, q->provider);
    c->snapshot = d->snapshot ? snapshot_ref(d->snapshot) : NULL;
    c->provider = provider_find(c->snapshot, q->entity, q->provider);
    c->known = c->provider ? oidc_known_find(d, c->provider->digest) : NULL;
    if (c->known)
        c->known->users++;
    c->attempt.max_age_s = -1;
    c->attempt.begun_at = loop_wall(d->loop);
    c->answer.url = (struct slice){"", 0};
    c->ends_at.ms = loop_now(d->loop).ms + OIDC_LIMIT_MS;
    list_init(&c->wait);
    list_push(&d->calls, &c->link);
    ev_timer_init(&c->deadline, on_deadline, OIDC_LIMIT_MS / 1000., 0.);
    c->deadline.data = c;
    ev_timer_start(d->loop->ev, &c->deadline);
    c->start.run = on_start;
    loop_later(d->loop, &c->start);
    return c;
}

static void attempt_copy(struct oidc_call *c, const struct oidc_attempt *attempt)
{
    c->attempt = *attempt;
    struct slice *texts[] = {&c->attempt.state, &c->attempt.nonce, &c->attempt.verifier,
                             &c->attempt.redirect_uri, &c->attempt.language};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = arena_copy(&c->arena, *texts[i]);
}

struct oidc_call *oidc_begin(struct oidc_desk *d, const struct oidc_question *q,
                             const struct oidc_attempt *attempt)
{
    static enum step (*const story[])(struct oidc_call *) = {oidc_discover, oidc_address, NULL};
    struct oidc_call *c = call_new(d, q, story);
    attempt_copy(c, attempt);
    return c;
}

struct oidc_call *oidc_redeem(struct oidc_desk *d, const struct oidc_question *q,
                              const struct oidc_attempt *attempt,
                              const struct oidc_response *response)
{
    static enum step (*const story[])(struct oidc_call *) = {
        oidc_discover, oidc_hear, oidc_spend, oidc_prove, oidc_inquire, oidc_conclude, NULL};
    struct oidc_call *c = call_new(d, q, story);
    attempt_copy(c, attempt);
    c->response = *response;
    struct slice *texts[] = {&c->response.code, &c->response.iss, &c->response.error,
                             &c->response.error_description};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = arena_copy(&c->arena, *texts[i]);
    return c;
}

/* Without a refresh token there is nothing to spend. */
static enum step has_token(struct oidc_call *c)
{
    return c->before.refresh_token.len ? NEXT
                                       : oidc_over_because(c, REASON_IDENTITY_REQUIRED, FAULT_IO,
                                                           "it gave no refresh token");
}

struct oidc_call *oidc_refresh(struct oidc_desk *d, const struct oidc_question *q,
                               const struct identity *before)
{
    static enum step (*const story[])(struct oidc_call *) = {
        has_token, oidc_discover, oidc_spend, oidc_prove, oidc_inquire, oidc_conclude, NULL};
    struct oidc_call *c = call_new(d, q, story);
    struct buf copy;
    buf_init(&copy, IDENTITY_MAX_BYTES);
    c->is_refresh = true;
    // Printed and parsed: a copy of all that an identity has, now and later.
    if (!identity_print(before, &copy) || !identity_parse(&c->before, &c->arena, buf_slice(&copy)))
        c->before = (struct identity){0}; // no token then
    wipe(copy.ptr, copy.room);
    buf_fini(&copy);
    return c;
}

struct oidc_call *oidc_sign_out(struct oidc_desk *d, const struct oidc_question *q,
                                struct slice id_token, struct slice back_uri, struct slice state,
                                struct slice language)
{
    static enum step (*const story[])(struct oidc_call *) = {oidc_look_up, oidc_farewell, NULL};
    struct oidc_call *c = call_new(d, q, story);
    c->hint = arena_copy(&c->arena, id_token);
    c->back_uri = arena_copy(&c->arena, back_uri);
    c->attempt.state = arena_copy(&c->arena, state);
    c->attempt.language = arena_copy(&c->arena, language);
    return c;
}

struct oidc_call *oidc_logout(struct oidc_desk *d, const struct oidc_question *q,
                              struct slice logout_token)
{
    static enum step (*const story[])(struct oidc_call *) = {oidc_recognise, NULL};
    struct oidc_call *c = call_new(d, q, story);
    c->provider = NULL;
    c->logout_token = arena_copy(&c->arena, logout_token.len > JWS_MAX_BYTES
                                                ? slice_from(logout_token.ptr, JWS_MAX_BYTES + 1)
                                                : logout_token);
    return c;
}

/* The desk */

struct oidc_desk *oidc_desk_new(struct loop *l, const struct oidc_settings *settings,
                                struct metrics *m)
{
    struct oidc_desk *d = mem_new(struct oidc_desk);
    d->loop = l;
    d->metrics = m;
    d->issuers = settings->issuers;
    d->fetcher = fetcher_new(l);
    d->ca_file = settings->ca_file ? mem_text(slice_of(settings->ca_file)) : NULL;
    d->secrets_dir = settings->secrets_dir ? mem_text(slice_of(settings->secrets_dir)) : NULL;
    list_init(&d->providers);
    list_init(&d->calls);
    return d;
}

void oidc_desk_secrets(struct oidc_desk *d, const char *secrets_dir)
{
    mem_free(d->secrets_dir);
    d->secrets_dir = secrets_dir ? mem_text(slice_of(secrets_dir)) : NULL;
}

void oidc_desk_free(struct oidc_desk *d)
{
    if (!d)
        return;
    while (!list_is_empty(&d->calls))
        call_free(container_of(d->calls.next, struct oidc_call, link));
    while (!list_is_empty(&d->providers))
        oidc_known_free(container_of(d->providers.next, struct known, link));
    fetcher_free(d->fetcher);
    snapshot_unref(d->snapshot);
    mem_free(d->ca_file);
    mem_free(d->secrets_dir);
    mem_free(d);
}

static bool is_in(const struct snapshot *s, const uint8_t digest[32])
{
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle *b = s->bundles[i]->bundle;
        for (uint32_t k = 0; k < b->provider_count; k++)
            if (!memcmp(b->providers[k].digest, digest, 32))
                return true;
    }
    return false;
}

void oidc_desk_follow(struct oidc_desk *d, struct snapshot *s)
{
    struct snapshot *last = d->snapshot;
    d->snapshot = snapshot_ref(s);
    for (struct link *at = d->providers.next, *next; at != &d->providers; at = next) {
        struct known *k = container_of(at, struct known, link);
        next = at->next;
        k->is_gone = !is_in(s, k->digest);
        if (k->is_gone && !k->users)
            oidc_known_free(k);
    }
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle *b = s->bundles[i]->bundle;
        for (uint32_t k = 0; k < b->provider_count; k++)
            if (b->providers[k].sign_in.client.id.len &&
                !oidc_known_find(d, b->providers[k].digest))
                oidc_known_new(d, &b->providers[k]);
    }
    snapshot_unref(last);
}
