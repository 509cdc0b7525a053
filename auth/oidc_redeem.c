// SPDX-License-Identifier: EUPL-1.2
/* What a code, or a refresh token, is worth: asked at the provider, and believed after all checks
 * of OpenID Connect Core. One step of the story behind the other. */
#include "auth/oidc_in.h"

#include "auth/client_secret.h"
#include "auth/id_token.h"
#include "auth/issuer.h"
#include "base/mem.h"
#include "base/reason.h"

#define FORM_MAX_BYTES (64u << 10)

/* ---- questions to the provider ---- */

static int64_t rest_ms(const struct oidc_call *c)
{
    const int64_t rest = c->ends_at.ms - loop_now(c->desk->loop).ms;
    return rest > 1 ? rest : 1;
}

static bool call_may_connect(void *owner, const struct sockaddr *address)
{
    const struct oidc_call *c = owner;
    return oidc_may_connect(c->desk, c->question.entity, address);
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
        oidc_call_go(c);
}

enum step oidc_want_keys(struct oidc_call *c)
{
    c->has_asked_keys = true;
    c->is_asking_keys = true;
    c->wish = issuer_desk_want(c->desk->issuers, c->provider->digest, on_keys, c);
    c->is_asking_keys = false;
    return c->wish ? WAIT : NEXT;
}

enum reason oidc_key_reason(const struct oidc_call *c, enum reason reason)
{
    return reason == REASON_TOKEN_KEY_UNKNOWN &&
                   !issuer_desk_is_current(c->desk->issuers, c->provider->digest)
               ? REASON_KEYS_UNAVAILABLE
               : reason;
}

bool oidc_are_keys_missing(enum reason reason)
{
    return reason == REASON_TOKEN_KEY_UNKNOWN || reason == REASON_KEYS_UNAVAILABLE;
}

static enum step keys_missing(struct oidc_call *c, enum reason reason)
{
    if (oidc_key_reason(c, reason) == REASON_KEYS_UNAVAILABLE)
        return oidc_over_because(c, REASON_PROVIDER_UNAVAILABLE, FAULT_IO,
                                 "its keys are not available");
    return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_TRUST,
                             "it has signed with a key that is not in its set");
}

/* ---- the steps ---- */

/* RFC 9207 §2.4: before anything else of the answer is used, an error too. A provider that says
 * that it sends `iss` and does not is another one, or its answer was changed on the way. */
enum step oidc_hear(struct oidc_call *c)
{
    const struct oidc_response *r = &c->response;
    if (r->iss.len ? !slice_eq(r->iss, c->provider->issuer) : c->known->document.says_iss)
        return oidc_over_because(
            c, REASON_PROVIDER_MISTAKEN, FAULT_TRUST,
            "the answer came from another provider: its 'iss' is not this one's");
    if (r->error.len)
        return oidc_over(c, grant_refusal(r->error, r->error_description, &c->fault));
    if (!r->code.len)
        return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                                 "the answer has neither code nor error");
    return NEXT;
}

static void on_grant(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct oidc_call *c = owner;
    c->fetch = NULL;
    c->is_lost = answer->was_sent;
    if (!answer->status) {
        c->fault = *why;
        oidc_call_end(c, oidc_reason_of(why));
        return;
    }
    const enum reason reason =
        grant_read(&c->grant, &c->arena, answer->status, answer->body, &c->fault);
    /* RFC 6749 §5.2: with an error of the client's nothing was done. */
    c->is_lost = reason != REASON_PERMITTED && (answer->status < 400 || answer->status >= 500);
    if (reason == REASON_SIGN_IN_EXPIRED && c->is_refresh)
        oidc_call_end(c, REASON_IDENTITY_REQUIRED);
    else if (reason != REASON_PERMITTED)
        oidc_call_end(c, reason);
    else
        oidc_call_go(c);
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
enum step oidc_spend(struct oidc_call *c)
{
    const struct slice endpoint = c->known->document.token_endpoint;
    struct buf form;
    struct secret field = {0};
    enum step step = WAIT;
    if (c->grant.access_token.len)
        return NEXT;
    if (!endpoint.len)
        return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                                 "the discovery document lacks token_endpoint");
    buf_init(&form, FORM_MAX_BYTES);
    if (!grant_form(c, &form))
        step = oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_LIMIT, "the code is too long");
    else if (!client_prove(&c->provider->sign_in.client, c->desk->secrets_dir, c->question.entity,
                           endpoint, loop_wall(c->desk->loop), &field, &form, &c->fault))
        step = oidc_over(c, REASON_PROVIDER_MISTAKEN);
    else
        ask(c, endpoint, field.len ? (const char *)field.bytes : NULL, &form, on_grant);
    c->is_lost = step == WAIT; // until it has answered
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

enum step oidc_prove(struct oidc_call *c)
{
    struct jws j;
    if (!c->grant.id_token.len)
        return c->is_refresh ? NEXT // Core §12.2: it might not have one
                             : oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                                                 "the token endpoint gives no ID token");
    enum reason reason = jws_parse(&j, c->grant.id_token);
    if (reason != REASON_PERMITTED) {
        fault_set(&c->fault, FAULT_TRUST, "the ID token is refused: %.*s",
                  SLICE_ARG(reason_name(reason)));
        jws_fini(&j);
        return oidc_over(c, REASON_PROVIDER_MISTAKEN);
    }
    struct id_token_demand demand = demand_of(c);
    reason = id_token_judge(&j, &demand, c->desk->metrics, &c->fault);
    enum step step = NEXT;
    if (oidc_are_keys_missing(reason) && !c->has_asked_keys) {
        step = oidc_want_keys(c);
        if (step == NEXT) {
            demand = demand_of(c);
            reason = id_token_judge(&j, &demand, c->desk->metrics, &c->fault);
        }
    }
    if (step == NEXT && oidc_are_keys_missing(reason))
        step = keys_missing(c, reason);
    else if (step == NEXT && reason != REASON_PERMITTED)
        step = oidc_over(c, reason);
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
        oidc_call_go(c);
        return;
    }
    const bool is_mistaken =
        answer->status ? answer->status < 500 && answer->status != 429 : why->code != FAULT_IO;
    if (answer->status)
        fault_set(&c->fault, FAULT_IO, "userinfo is answered with status %d", answer->status);
    else
        c->fault = *why;
    oidc_call_end(c, is_mistaken ? REASON_PROVIDER_MISTAKEN : REASON_PROVIDER_UNAVAILABLE);
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
enum step oidc_inquire(struct oidc_call *c)
{
    const struct slice endpoint = c->known->document.userinfo_endpoint;
    struct slice subject = c->before.subject;
    enum reason reason;
    if (c->has_body) {
        if (c->claims && !jtree_string(c->claims, "sub", &subject))
            return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX, "nobody is named");
        const struct id_token_demand demand = demand_of(c);
        c->userinfo =
            userinfo_read(c->body, c->type, subject, &demand, c->desk->metrics, &reason, &c->fault);
        if (oidc_are_keys_missing(reason) && !c->has_asked_keys) {
            const enum step step = oidc_want_keys(c);
            return step == NEXT ? oidc_inquire(c) : step;
        }
        if (oidc_are_keys_missing(reason))
            return keys_missing(c, reason);
        return c->userinfo ? NEXT : oidc_over(c, reason);
    }
    if (!c->provider->sign_in.has_userinfo && c->claims)
        return NEXT;
    if (!endpoint.len && c->provider->sign_in.has_userinfo)
        return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                                 "the discovery document lacks userinfo_endpoint");
    if (!endpoint.len)
        return oidc_over_because(c, REASON_IDENTITY_REQUIRED, FAULT_IO,
                                 "a refresh brings neither ID token nor userinfo");
    ask_as_bearer(c, endpoint);
    return WAIT;
}

struct slice oidc_next_refresh_token(const struct oidc_call *c)
{
    return c->grant.refresh_token.len ? c->grant.refresh_token : c->before.refresh_token;
}

enum step oidc_conclude(struct oidc_call *c)
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
        return oidc_over(c, reason);
    if (c->identity.acr_level < c->attempt.acr_level) // §3.1.3.7, 12
        return oidc_over_because(c, REASON_ASSURANCE_TOO_LOW, FAULT_TRUST,
                                 "the sign-in is not as strong as was asked for");
    const struct grant *g = &c->grant;
    c->identity.id_token =
        arena_copy(&c->arena, g->id_token.len ? g->id_token : c->before.id_token);
    c->identity.refresh_token = arena_copy(&c->arena, oidc_next_refresh_token(c));
    return NEXT;
}
