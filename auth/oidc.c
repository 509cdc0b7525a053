// SPDX-License-Identifier: EUPL-1.2
/* The desk. A question is a short story, told at its head as a list of steps; a step that must wait
 * is run again when what it waited for is there.
 *
 *     begin      discover → address
 *     redeem     discover → hear → spend → prove → inquire → conclude
 *     refresh    discover → spend → prove → inquire → conclude
 *     sign out   discover → farewell
 *     logout     recognise
 *
 * A provider's discovery document is fetched by one question for all that wait for it, kept for its
 * life, and used beyond that while a newer one is on its way or can't be had.
 *
 * Owns: documents, questions under way, where a URL may lead. Does not own: keys (issuer.c), what a
 * token must say (id_token.c, jws.c), HTTP (base/fetch). All on the control thread's loop. */
#include "auth/oidc.h"

#include "auth/client_secret.h"
#include "auth/discovery.h"
#include "auth/grant.h"
#include "auth/id_token.h"
#include "auth/issuer.h"
#include "base/codec.h"
#include "base/fault.h"
#include "base/fetch.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/reason.h"
#include "policy/delegation.h"

#define LIFE_DEFAULT_S 3600 /* of a document whose answer says nothing */
#define LIFE_MIN_S 300
#define LIFE_MAX_S 86400
#define RETRY_S 5 /* a document that is still good is asked for again at most so often */
/* Who could not be found is not looked for again so soon: browsers that wait hear of it. */
#define AWAY_MS 2000
#define FORM_MAX_BYTES (64u << 10)
#define LOGOUT_MAX_AGE_S 600 /* Back-Channel Logout §2.4 recommends two minutes */
#define CLAIM_MAX_BYTES 256

struct oidc_desk {
    struct loop *loop;
    struct fetcher *fetcher;
    struct metrics *metrics;
    struct issuer_desk *issuers;
    char *ca_file;
    char *secrets_dir;
    struct snapshot *snapshot; /* NULL before the first */
    struct link providers;     /* of struct known */
    struct link calls;
};

/* What is known of one provider that people sign in at. */
struct known {
    struct link link;
    struct oidc_desk *desk;
    char *entity;
    char *issuer;
    uint8_t digest[32]; /* the provider's */
    bool is_gone;       /* of no snapshot any more; freed when nobody uses it */
    uint32_t users;     /* questions that hold it */
    struct fetch *fetch;
    bool has_document;
    struct discovery document;
    struct arena arena; /* of the document */
    struct mono fetched_at;
    struct mono asked_at;
    struct fault why; /* it could not be had, */
    struct mono away_until;
    int64_t life_s;
    struct link waiting; /* calls, by `wait` */
};

enum step { WAIT, NEXT, OVER };

struct oidc_call {
    struct link link;
    struct link wait; /* in a known's list */
    struct oidc_desk *desk;
    enum step (*const *at)(struct oidc_call *); /* the step to run, in a list that ends with NULL */
    struct oidc_question question;
    struct arena arena;
    struct snapshot *snapshot; /* in which `provider` lies */
    const struct provider *provider;
    struct known *known;
    struct fetch *fetch;
    struct issuer_wish *wish;
    struct later start;
    ev_timer deadline;
    struct mono ends_at;

    struct oidc_attempt attempt;
    struct oidc_response response;
    struct identity before;
    bool is_refresh;
    struct slice back_uri, hint; /* of a sign-out */
    struct slice logout_token;

    bool has_asked_keys;
    bool is_asking_keys;
    struct grant grant;
    json_t *claims;    /* of the ID token that was proven */
    bool has_body;     /* of userinfo: */
    struct slice body; /* as it came, */
    struct slice type; /* of this media type, */
    json_t *userinfo;  /* and read */
    struct fault fault;
    struct identity identity;
    struct oidc_logout logout;
    struct oidc_answer answer;
};

static void call_go(struct oidc_call *c);

/* Ends */

static void known_free(struct known *k)
{
    link_remove(&k->link);
    fetch_cancel(k->fetch);
    arena_fini(&k->arena);
    mem_free(k->entity);
    mem_free(k->issuer);
    mem_free(k);
}

static void known_release(struct known *k)
{
    if (k && --k->users == 0 && k->is_gone)
        known_free(k);
}

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
    known_release(take->known);
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

static void call_end(struct oidc_call *c, enum reason reason)
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
    }
    link_remove(&c->link); // nobody may end it once more from inside
    list_init(&c->link);
    ev_timer_stop(c->desk->loop->ev, &c->deadline);
    c->question.done(c->question.owner, &c->answer);
    call_free(c);
}

static enum step over(struct oidc_call *c, enum reason reason)
{
    c->answer.reason = reason;
    return OVER;
}

static enum step over_because(struct oidc_call *c, enum reason reason, enum fault_code code,
                              const char *what)
{
    fault_set(&c->fault, code, "%s", what);
    return over(c, reason);
}

static void call_go(struct oidc_call *c)
{
    enum step step = NEXT;
    while (step == NEXT && *c->at) {
        step = (*c->at)(c);
        if (step == NEXT)
            c->at++;
    }
    if (step == OVER)
        call_end(c, c->answer.reason);
    else if (step == NEXT)
        call_end(c, REASON_PERMITTED);
}

static void on_deadline(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct oidc_call *c = timer->data;
    (void)ev;
    (void)events;
    fault_set(&c->fault, FAULT_IO, "no answer within %d ms", OIDC_LIMIT_MS);
    call_end(c, REASON_PROVIDER_UNAVAILABLE);
}

/* Where a fetch may lead: what the charter in force gives the entity */

static bool may_connect(const struct oidc_desk *d, struct slice entity,
                        const struct sockaddr *address)
{
    const struct charter_entity *e = d->snapshot ? snapshot_entity(d->snapshot, entity) : NULL;
    return e && network_list_has(e->fetch_networks, e->fetch_network_count, address);
}

static bool known_may_connect(void *owner, const struct sockaddr *address)
{
    const struct known *k = owner;
    return may_connect(k->desk, slice_of(k->entity), address);
}

static bool call_may_connect(void *owner, const struct sockaddr *address)
{
    const struct oidc_call *c = owner;
    return may_connect(c->desk, c->question.entity, address);
}

static const struct charter_entity *entity_of(const struct known *k, struct fault *f)
{
    const struct charter_entity *e =
        k->desk->snapshot ? snapshot_entity(k->desk->snapshot, slice_of(k->entity)) : NULL;
    if (!e)
        fault_set(f, FAULT_TRUST, "the charter does not name this entity");
    return e;
}

/* Discovery */

static enum reason reason_of(const struct fault *why)
{
    return why->code == FAULT_IO ? REASON_PROVIDER_UNAVAILABLE : REASON_PROVIDER_MISTAKEN;
}

/* Those who wait look again; with `why` they end. */
static void known_tell(struct known *k, const struct fault *why)
{
    k->users++;
    while (!list_is_empty(&k->waiting)) {
        struct oidc_call *c = container_of(k->waiting.next, struct oidc_call, wait);
        link_remove(&c->wait);
        list_init(&c->wait);
        if (!why) {
            call_go(c);
            continue;
        }
        c->fault = *why;
        call_end(c, reason_of(why));
    }
    known_release(k);
}

static bool document_take(struct known *k, const struct fetch_answer *answer,
                          const struct fault *why, struct fault *f)
{
    struct arena arena;
    struct discovery said;
    const struct charter_entity *entity = entity_of(k, f);
    if (!entity)
        return false;
    if (!answer->status) {
        *f = *why;
        return false;
    }
    if (answer->status != 200)
        return fault_set(f, FAULT_IO, "discovery was answered with status %d", answer->status);
    arena_init(&arena, NULL);
    if (!discovery_read(&said, &arena, answer->body, slice_of(k->issuer), f) ||
        !discovery_is_inside(&said, entity, f)) {
        arena_fini(&arena);
        return false;
    }
    arena_fini(&k->arena);
    k->arena = arena;
    k->document = said;
    k->has_document = true;
    k->fetched_at = loop_now(k->desk->loop);
    const int64_t age_s = answer->max_age_s < 0 ? LIFE_DEFAULT_S : answer->max_age_s;
    k->life_s = age_s < LIFE_MIN_S ? LIFE_MIN_S : age_s > LIFE_MAX_S ? LIFE_MAX_S : age_s;
    return true;
}

static void on_discovery(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct known *k = owner;
    struct fault fault;
    k->fetch = NULL;
    if (document_take(k, answer, why, &fault)) {
        known_tell(k, NULL);
        return;
    }
    if (k->has_document) { // those who wait for a newer one go on with this
        fault_within(&fault, "discovery of '%s'", k->issuer);
        log_fault(LOG_LEVEL_WARNING, "auth", &fault);
        known_tell(k, NULL);
    } else {
        k->why = fault;
        k->away_until.ms = loop_now(k->desk->loop).ms + AWAY_MS;
        known_tell(k, &fault);
    }
}

static bool discovery_begin(struct known *k, struct fault *f)
{
    struct arena arena;
    const struct charter_entity *entity = entity_of(k, f);
    k->asked_at = loop_now(k->desk->loop);
    arena_init(&arena, NULL);
    const struct slice url = discovery_url(&arena, slice_of(k->issuer));
    const bool may = entity && delegation_has_url(entity, url, f);
    if (may) {
        metric_add(k->desk->metrics, METRIC_PROVIDER_REQUESTS_TOTAL, 1);
        k->fetch =
            fetch_start(k->desk->fetcher, &(struct fetch_request){.url = url,
                                                                  .ca_file = k->desk->ca_file,
                                                                  .limit_ms = OIDC_LIMIT_MS,
                                                                  .may_connect = known_may_connect,
                                                                  .done = on_discovery,
                                                                  .owner = k});
    }
    arena_fini(&arena);
    return may;
}

/* Nobody waits for it; its trouble is for the log. */
static void discovery_renew(struct known *k)
{
    struct fault fault;
    if (discovery_begin(k, &fault))
        return;
    fault_within(&fault, "discovery of '%s'", k->issuer);
    log_fault(LOG_LEVEL_WARNING, "auth", &fault);
}

static int64_t seconds_since(const struct oidc_desk *d, struct mono then)
{
    return (loop_now(d->loop).ms - then.ms) / 1000;
}

/* A document that has outlived its life is renewed beside; after as long as keys may be used
 * without news it is not used any more. */
static enum step discover(struct oidc_call *c)
{
    struct known *k = c->known;
    if (!k)
        return over_because(c, REASON_PROVIDER_UNAVAILABLE, FAULT_CONFIG,
                            "nobody signs in there (any more)");
    const int64_t age_s = seconds_since(c->desk, k->fetched_at);
    const bool is_good = k->has_document && age_s <= c->provider->keys_max_stale_s;
    const bool is_old = !k->has_document || age_s > k->life_s;
    if (is_good && is_old && !k->fetch && seconds_since(c->desk, k->asked_at) >= RETRY_S)
        (void)discovery_begin(k,
                              &c->fault); // its trouble is told by on_discovery, or when it counts
    if (is_good)
        return NEXT;
    k->has_document = false;
    if (!k->fetch && loop_now(c->desk->loop).ms < k->away_until.ms) {
        c->fault = k->why;
        return over(c, reason_of(&k->why));
    }
    if (!k->fetch && !discovery_begin(k, &c->fault))
        return over(c, REASON_PROVIDER_MISTAKEN);
    list_push(&k->waiting, &c->wait);
    return WAIT;
}

/* Questions to the provider */

static int64_t rest_ms(const struct oidc_call *c)
{
    const int64_t rest = c->ends_at.ms - loop_now(c->desk->loop).ms;
    return rest > 1 ? rest : 1;
}

/* A bearer's token or a client's secret is in `field`. */
static void ask(struct oidc_call *c, struct slice url, const char *field, const struct buf *form,
                void (*done)(void *, const struct fetch_answer *, const struct fault *))
{
    const char *fields[3] = {"Accept: application/json"};
    size_t count = 1;
    if (!form)
        fields[0] = "Accept: application/json, application/jwt";
    if (field)
        fields[count++] = field;
    metric_add(c->desk->metrics, METRIC_PROVIDER_REQUESTS_TOTAL, 1);
    c->fetch = fetch_start(c->desk->fetcher,
                           &(struct fetch_request){.url = url,
                                                   .ca_file = c->desk->ca_file,
                                                   .limit_ms = rest_ms(c),
                                                   .is_post = form != NULL,
                                                   .body = form ? buf_slice(form) : SLICE(""),
                                                   .fields = fields,
                                                   .may_connect = call_may_connect,
                                                   .done = done,
                                                   .owner = c});
}

/* Keys that are not there are asked for once; then the step looks again. */
static void on_keys(void *owner)
{
    struct oidc_call *c = owner;
    c->wish = NULL;
    if (!c->is_asking_keys)
        call_go(c);
}

/* WAIT, or NEXT: look at once. */
static enum step want_keys(struct oidc_call *c)
{
    c->has_asked_keys = true;
    c->is_asking_keys = true;
    c->wish = issuer_desk_want(c->desk->issuers, c->provider->digest, on_keys, c);
    c->is_asking_keys = false;
    return c->wish ? WAIT : NEXT;
}

static bool are_keys_missing(enum reason reason)
{
    return reason == REASON_TOKEN_KEY_UNKNOWN || reason == REASON_KEYS_UNAVAILABLE;
}

static enum step keys_missing(struct oidc_call *c, enum reason reason)
{
    if (reason == REASON_KEYS_UNAVAILABLE)
        return over_because(c, REASON_PROVIDER_UNAVAILABLE, FAULT_IO, "its keys are not available");
    return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_TRUST,
                        "it has signed with a key that is not in its set");
}

/* Begin */

static bool scopes_add(struct buf *form, const struct sign_in *s)
{
    struct buf scopes;
    bool has_room = true;
    buf_init(&scopes, OIDC_URL_MAX_BYTES);
    for (uint32_t i = 0; has_room && i < s->scopes.count; i++)
        has_room = buf_printf(&scopes, "%s%.*s", i ? " " : "", SLICE_ARG(s->scopes.at[i]));
    has_room = has_room && form_add(form, "scope", buf_slice(&scopes));
    buf_fini(&scopes);
    return has_room;
}

/* All that are strong enough, the weakest first. */
static bool acr_values_add(struct buf *form, const struct sign_in *s, int64_t level)
{
    struct buf values;
    bool has_room = true;
    buf_init(&values, OIDC_URL_MAX_BYTES);
    for (uint32_t i = 0; level && has_room && i < s->acr_value_count; i++)
        if (s->acr_values[i].level >= level)
            has_room = buf_printf(&values, "%s%.*s", buf_len(&values) ? " " : "",
                                  SLICE_ARG(s->acr_values[i].value));
    if (has_room && buf_len(&values))
        has_room = form_add(form, "acr_values", buf_slice(&values));
    buf_fini(&values);
    return has_room;
}

/* RFC 7636 §4.2. A provider without PKCE does not look at it; then the nonce alone binds the ID
 * token to this browser. */
static bool challenge_add(struct buf *form, struct slice verifier)
{
    uint8_t digest[SHA256_BYTES];
    char challenge[BASE64URL_LEN(sizeof digest)];
    sha256(digest, verifier);
    const size_t len = base64url_encode(challenge, digest, sizeof digest);
    return form_add(form, "code_challenge", slice_from(challenge, len)) &&
           form_add(form, "code_challenge_method", SLICE("S256"));
}

static bool number_add(struct buf *form, const char *name, int64_t n)
{
    char text[24];
    const int len = snprintf(text, sizeof text, "%lld", (long long)n);
    return form_add(form, name, slice_from(text, (size_t)len));
}

/* RFC 6749 §3.1: an endpoint may have a query of its own, which stays. */
static enum step send_to(struct oidc_call *c, struct slice endpoint, const struct buf *query,
                         bool has_room)
{
    const char *separator = memchr(endpoint.ptr, '?', endpoint.len) ? "&" : "?";
    if (!has_room || endpoint.len + 1 + buf_len(query) > OIDC_URL_MAX_BYTES)
        return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_LIMIT,
                            "the address to send a browser to is too long");
    c->answer.url = arena_printf(&c->arena, "%.*s%s%.*s", SLICE_ARG(endpoint), separator,
                                 SLICE_ARG(buf_slice(query)));
    return NEXT;
}

/* Core §3.1.2.1 */
static enum step address(struct oidc_call *c)
{
    const struct sign_in *s = &c->provider->sign_in;
    const struct oidc_attempt *attempt = &c->attempt;
    const struct slice endpoint = c->known->document.authorization_endpoint;
    struct buf query;
    if (!endpoint.len)
        return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                            "the discovery document lacks authorization_endpoint");
    buf_init(&query, OIDC_URL_MAX_BYTES);
    bool has_room =
        form_add(&query, "response_type", SLICE("code")) &&
        form_add(&query, "client_id", s->client.id) &&
        form_add(&query, "redirect_uri", attempt->redirect_uri) && scopes_add(&query, s) &&
        form_add(&query, "state", attempt->state) && form_add(&query, "nonce", attempt->nonce) &&
        challenge_add(&query, attempt->verifier) && acr_values_add(&query, s, attempt->acr_level);
    if (has_room && attempt->max_age_s >= 0)
        has_room = number_add(&query, "max_age", attempt->max_age_s);
    if (has_room && attempt->language.len)
        has_room = form_add(&query, "ui_locales", attempt->language);
    const enum step step = send_to(c, endpoint, &query, has_room);
    buf_fini(&query);
    return step;
}

/* Redeem */

/* RFC 9207 §2.4: before anything else of the answer is used, an error too. A provider that says
 * that it sends `iss` and does not is another one, or its answer was changed on the way. */
static enum step hear(struct oidc_call *c)
{
    const struct oidc_response *r = &c->response;
    if (r->iss.len ? !slice_eq(r->iss, c->provider->issuer) : c->known->document.says_iss)
        return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_TRUST,
                            "the answer came from another provider: its 'iss' is not this one's");
    if (r->error.len)
        return over(c, grant_refusal(r->error, r->error_description, &c->fault));
    if (!r->code.len)
        return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                            "the answer has neither code nor error");
    return NEXT;
}

static void on_grant(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct oidc_call *c = owner;
    c->fetch = NULL;
    if (!answer->status) {
        c->fault = *why;
        call_end(c, reason_of(why));
        return;
    }
    const enum reason reason =
        grant_read(&c->grant, &c->arena, answer->status, answer->body, &c->fault);
    if (reason == REASON_SIGN_IN_EXPIRED && c->is_refresh)
        call_end(c, REASON_IDENTITY_REQUIRED);
    else if (reason != REASON_PERMITTED)
        call_end(c, reason);
    else
        call_go(c);
}

static bool grant_form(const struct oidc_call *c, struct buf *form)
{
    if (c->is_refresh)
        return form_add(form, "grant_type", SLICE("refresh_token")) &&
               form_add(form, "refresh_token", c->before.refresh_token);
    return form_add(form, "grant_type", SLICE("authorization_code")) &&
           form_add(form, "code", c->response.code) &&
           form_add(form, "redirect_uri", c->attempt.redirect_uri) &&
           form_add(form, "code_verifier", c->attempt.verifier);
}

/* Core §3.1.3.1, §12.1 */
static enum step spend(struct oidc_call *c)
{
    const struct slice endpoint = c->known->document.token_endpoint;
    struct buf form;
    struct secret field = {0};
    enum step step = WAIT;
    if (c->grant.access_token.len)
        return NEXT;
    if (!endpoint.len)
        return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                            "the discovery document lacks token_endpoint");
    buf_init(&form, FORM_MAX_BYTES);
    if (!grant_form(c, &form))
        step = over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_LIMIT, "the code is too long");
    else if (!client_prove(&c->provider->sign_in.client, c->desk->secrets_dir, c->question.entity,
                           endpoint, loop_wall(c->desk->loop), &field, &form, &c->fault))
        step = over(c, REASON_PROVIDER_MISTAKEN);
    else
        ask(c, endpoint, field.len ? (const char *)field.bytes : NULL, &form, on_grant);
    secret_fini(&field);
    wipe(form.ptr, form.room);
    buf_fini(&form);
    return step;
}

static struct id_token_demand demand_of(const struct oidc_call *c)
{
    return (struct id_token_demand){.provider = c->provider,
                                    .keys = issuer_desk_keys(c->desk->issuers, c->provider),
                                    .nonce = c->attempt.nonce,
                                    .code = c->response.code,
                                    .access_token = c->grant.access_token,
                                    .max_age_s = c->attempt.max_age_s,
                                    .begun_at = c->attempt.begun_at,
                                    .before = c->is_refresh ? &c->before : NULL,
                                    .now = loop_wall(c->desk->loop)};
}

static enum step prove(struct oidc_call *c)
{
    struct jws j;
    if (!c->grant.id_token.len)
        return c->is_refresh ? NEXT // Core §12.2: it might not have one
                             : over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                                            "the token endpoint gives no ID token");
    enum reason reason = jws_parse(&j, c->grant.id_token);
    if (reason != REASON_PERMITTED) {
        fault_set(&c->fault, FAULT_TRUST, "the ID token is refused: %.*s",
                  SLICE_ARG(reason_name(reason)));
        jws_fini(&j);
        return over(c, REASON_PROVIDER_MISTAKEN);
    }
    struct id_token_demand demand = demand_of(c);
    reason = id_token_judge(&j, &demand, c->desk->metrics, &c->fault);
    enum step step = NEXT;
    if (are_keys_missing(reason) && !c->has_asked_keys) {
        step = want_keys(c);
        if (step == NEXT) {
            demand = demand_of(c);
            reason = id_token_judge(&j, &demand, c->desk->metrics, &c->fault);
        }
    }
    if (step == NEXT && are_keys_missing(reason))
        step = keys_missing(c, reason);
    else if (step == NEXT && reason != REASON_PERMITTED)
        step = over(c, reason);
    else if (step == NEXT)
        c->claims = json_incref(j.claims);
    jws_fini(&j);
    return step;
}

static void on_userinfo(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct oidc_call *c = owner;
    c->fetch = NULL;
    if (answer->status == 200) {
        c->has_body = true;
        c->body = arena_copy(&c->arena, answer->body);
        c->type = arena_copy(&c->arena, answer->content_type);
        call_go(c);
        return;
    }
    const bool is_mistaken =
        answer->status ? answer->status < 500 && answer->status != 429 : why->code != FAULT_IO;
    if (answer->status)
        fault_set(&c->fault, FAULT_IO, "userinfo is answered with status %d", answer->status);
    else
        c->fault = *why;
    call_end(c, is_mistaken ? REASON_PROVIDER_MISTAKEN : REASON_PROVIDER_UNAVAILABLE);
}

/* RFC 6750 §2.1 */
static void ask_as_bearer(struct oidc_call *c, struct slice endpoint)
{
    static const char scheme[] = "Authorization: Bearer ";
    const struct slice token = c->grant.access_token;
    char *field = mem_array(char, sizeof scheme + token.len);
    memcpy(field, scheme, sizeof scheme - 1);
    memcpy(field + sizeof scheme - 1, token.ptr, token.len);
    ask(c, endpoint, field, NULL, on_userinfo);
    wipe(field, sizeof scheme + token.len);
    mem_free(field);
}

/* Core §5.3. A refresh without an ID token has nobody else to ask. */
static enum step inquire(struct oidc_call *c)
{
    const struct slice endpoint = c->known->document.userinfo_endpoint;
    struct slice subject = c->before.subject;
    enum reason reason;
    if (c->has_body) {
        if (c->claims && !jtree_string(c->claims, "sub", &subject))
            return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX, "nobody is named");
        const struct id_token_demand demand = demand_of(c);
        c->userinfo =
            userinfo_read(c->body, c->type, subject, &demand, c->desk->metrics, &reason, &c->fault);
        if (are_keys_missing(reason) && !c->has_asked_keys) {
            const enum step step = want_keys(c);
            return step == NEXT ? inquire(c) : step;
        }
        if (are_keys_missing(reason))
            return keys_missing(c, reason);
        return c->userinfo ? NEXT : over(c, reason);
    }
    if (!c->provider->sign_in.has_userinfo && c->claims)
        return NEXT;
    if (!endpoint.len && c->provider->sign_in.has_userinfo)
        return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                            "the discovery document lacks userinfo_endpoint");
    if (!endpoint.len)
        return over_because(c, REASON_IDENTITY_REQUIRED, FAULT_IO,
                            "a refresh brings neither ID token nor userinfo");
    ask_as_bearer(c, endpoint);
    return WAIT;
}

static enum step conclude(struct oidc_call *c)
{
    struct slice scope = c->grant.scope;
    if (!scope.len && !c->is_refresh) // RFC 6749 §5.1: as asked
        for (uint32_t i = 0; i < c->provider->sign_in.scopes.count; i++)
            scope = arena_printf(&c->arena, "%.*s%s%.*s", SLICE_ARG(scope), i ? " " : "",
                                 SLICE_ARG(c->provider->sign_in.scopes.at[i]));
    const enum reason reason =
        identity_make(&c->identity, &c->arena, c->provider, c->claims, c->userinfo, scope,
                      c->is_refresh ? &c->before : NULL, loop_wall(c->desk->loop), &c->fault);
    if (reason != REASON_PERMITTED)
        return over(c, reason);
    if (c->identity.acr_level < c->attempt.acr_level) // §3.1.3.7, 12
        return over_because(c, REASON_ASSURANCE_TOO_LOW, FAULT_TRUST,
                            "the sign-in is not as strong as was asked for");
    const struct grant *g = &c->grant;
    c->identity.id_token =
        arena_copy(&c->arena, g->id_token.len ? g->id_token : c->before.id_token);
    c->identity.refresh_token =
        arena_copy(&c->arena, g->refresh_token.len ? g->refresh_token : c->before.refresh_token);
    return NEXT;
}

/* Sign-out (RP-Initiated Logout §2) */

static bool farewell_query(const struct oidc_call *c, struct buf *query, bool with_hint)
{
    const struct slice texts[] = {with_hint ? c->hint : SLICE(""), c->provider->sign_in.client.id,
                                  c->back_uri, c->attempt.state, c->attempt.language};
    static const char *const names[] = {"id_token_hint", "client_id", "post_logout_redirect_uri",
                                        "state", "ui_locales"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].len && !form_add(query, names[i], texts[i]))
            return false;
    return true;
}

static enum step farewell(struct oidc_call *c)
{
    const struct slice endpoint = c->known->document.end_session_endpoint;
    struct buf query;
    if (!endpoint.len || !c->provider->sign_in.has_logout)
        return NEXT; // the address stays empty
    buf_init(&query, OIDC_URL_MAX_BYTES - DISCOVERY_URL_MAX_BYTES);
    bool has_room = farewell_query(c, &query, true);
    if (!has_room) { // a hint is only a hint
        wipe(query.ptr, query.room);
        buf_clear(&query);
        has_room = farewell_query(c, &query, false);
    }
    const enum step step = send_to(c, endpoint, &query, has_room);
    wipe(query.ptr, query.room);
    buf_fini(&query);
    return step;
}

/* A provider's logout (Back-Channel Logout §2.6) */

/* `iss` and `aud` are not believed here: they say whose keys have to prove it. */
static const struct provider *whose(const struct oidc_call *c, const json_t *claims)
{
    const struct bundle *b = snapshot_bundle(c->snapshot, c->question.entity);
    struct slice issuer;
    for (uint32_t i = 0; b && jtree_string(claims, "iss", &issuer) && i < b->provider_count; i++) {
        const struct provider *p = &b->providers[i];
        const struct slices client = {&p->sign_in.client.id, 1};
        if (p->sign_in.client.id.len && slice_eq(p->issuer, issuer) &&
            jws_judge_audience(claims, client) == REASON_PERMITTED)
            return p;
    }
    return NULL;
}

static enum reason logout_judge(struct oidc_call *c, struct jws *j)
{
    const struct jws_demand demand = {.kind = JWS_LOGOUT_TOKEN,
                                      .algorithms = c->provider->algorithms,
                                      .keys = issuer_desk_keys(c->desk->issuers, c->provider),
                                      .issuer = c->provider->issuer,
                                      .audiences = {&c->provider->sign_in.client.id, 1},
                                      .leeway_s = c->provider->leeway_s,
                                      .max_age_s = LOGOUT_MAX_AGE_S,
                                      .now = loop_wall(c->desk->loop)};
    return jws_judge(j, &demand, c->desk->metrics);
}

/* An absent claim is fine and gives an empty text. */
static bool claim_take(struct oidc_call *c, const struct jws *j, const char *name,
                       struct slice *out)
{
    struct slice text;
    *out = (struct slice){"", 0};
    if (!jtree_has(j->claims, name))
        return true;
    if (!jtree_string(j->claims, name, &text) || !text.len || text.len > CLAIM_MAX_BYTES)
        return false;
    *out = arena_copy(&c->arena, text);
    return true;
}

static enum step logout_take(struct oidc_call *c, const struct jws *j)
{
    if (!claim_take(c, j, "sub", &c->logout.subject) ||
        !claim_take(c, j, "sid", &c->logout.session) || !claim_take(c, j, "jti", &c->logout.jti))
        return over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_LIMIT,
                            "a claim of the logout token is too long");
    c->logout.provider = c->provider->id;
    c->logout.until.s = j->times.usable_until_s;
    return NEXT;
}

static enum step logout_refuse(struct oidc_call *c, enum reason reason)
{
    fault_set(&c->fault, FAULT_TRUST, "the logout token is refused: %.*s",
              SLICE_ARG(reason_name(reason)));
    return over(c, reason == REASON_KEYS_UNAVAILABLE ? REASON_PROVIDER_UNAVAILABLE
                                                     : REASON_PROVIDER_MISTAKEN);
}

static enum step recognise(struct oidc_call *c)
{
    struct jws j;
    enum step step = NEXT;
    enum reason reason = jws_parse(&j, c->logout_token);
    if (reason == REASON_PERMITTED && !(c->provider = whose(c, j.claims)))
        reason = REASON_TOKEN_ISSUER;
    if (reason == REASON_PERMITTED)
        reason = logout_judge(c, &j);
    if (are_keys_missing(reason) && !c->has_asked_keys) {
        step = want_keys(c);
        if (step == NEXT)
            reason = logout_judge(c, &j);
    }
    if (step == NEXT)
        step = reason == REASON_PERMITTED ? logout_take(c, &j) : logout_refuse(c, reason);
    jws_fini(&j);
    return step;
}

/* Questions */

static struct known *known_find(const struct oidc_desk *d, const uint8_t digest[32])
{
    list_each (at, &d->providers) {
        struct known *k = container_of(at, struct known, link);
        if (!k->is_gone && !memcmp(k->digest, digest, sizeof k->digest))
            return k;
    }
    return NULL;
}

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
    call_go(container_of(later, struct oidc_call, start));
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
    c->known = c->provider ? known_find(d, c->provider->digest) : NULL;
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
    static enum step (*const story[])(struct oidc_call *) = {discover, address, NULL};
    struct oidc_call *c = call_new(d, q, story);
    attempt_copy(c, attempt);
    return c;
}

struct oidc_call *oidc_redeem(struct oidc_desk *d, const struct oidc_question *q,
                              const struct oidc_attempt *attempt,
                              const struct oidc_response *response)
{
    static enum step (*const story[])(struct oidc_call *) = {discover, hear,     spend, prove,
                                                             inquire,  conclude, NULL};
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
    return c->before.refresh_token.len
               ? NEXT
               : over_because(c, REASON_IDENTITY_REQUIRED, FAULT_IO, "it gave no refresh token");
}

struct oidc_call *oidc_refresh(struct oidc_desk *d, const struct oidc_question *q,
                               const struct identity *before)
{
    static enum step (*const story[])(struct oidc_call *) = {has_token, discover, spend, prove,
                                                             inquire,   conclude, NULL};
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
    static enum step (*const story[])(struct oidc_call *) = {discover, farewell, NULL};
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
    static enum step (*const story[])(struct oidc_call *) = {recognise, NULL};
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
        known_free(container_of(d->providers.next, struct known, link));
    fetcher_free(d->fetcher);
    snapshot_unref(d->snapshot);
    mem_free(d->ca_file);
    mem_free(d->secrets_dir);
    mem_free(d);
}

/* Known from now on, and asked about itself at once, so that nobody waits for that. */
static void known_new(struct oidc_desk *d, const struct provider *p)
{
    struct known *k = mem_new(struct known);
    k->desk = d;
    k->entity = mem_text(p->entity);
    k->issuer = mem_text(p->issuer);
    memcpy(k->digest, p->digest, sizeof k->digest);
    arena_init(&k->arena, NULL);
    list_init(&k->waiting);
    list_push(&d->providers, &k->link);
    discovery_renew(k);
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
            known_free(k);
    }
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle *b = s->bundles[i]->bundle;
        for (uint32_t k = 0; k < b->provider_count; k++)
            if (b->providers[k].sign_in.client.id.len && !known_find(d, b->providers[k].digest))
                known_new(d, &b->providers[k]);
    }
    snapshot_unref(last);
}
