// SPDX-License-Identifier: EUPL-1.2
/* The desk against a provider that says what a test wants, over https on loopback: honest ones, and
 * one that lies. What an ID token must say is id_token.c's. */
#include "auth/oidc.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/grant.h"
#include "auth/issuer.h"
#include "base/codec.h"
#include "base/mem.h"
#include "base/secret.h"
#include "idp.h"
#include "jose.h"
#include "keys.h"
#include "pki.h"

#define VERIFIER "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
#define BACK "https://login.finance.example/.belfry/callback"
#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k\"}"

static struct issuer_desk *issuers;
static struct oidc_desk *desk;
static EVP_PKEY *key;
static char *key_set;
static char *id_token; /* as the provider gives it now */
static char *kept;     /* an answer that lives as long as the server */
static char document[1024];
static char grant[8192];
static char secrets[KEYS_PATH_MAX];

static struct acr_value levels[] = {{400, SLICE_INIT("urn:app")}, {500, SLICE_INIT("urn:card")}};
static const struct slice acr_claims[] = {SLICE_INIT("acr")};
static const struct slice scopes[] = {SLICE_INIT("openid"), SLICE_INIT("profile")};
static struct oidc_attempt attempt;
static struct oidc_question question;

/* What was answered last. */
static unsigned answers;
static enum reason reason;
static struct fault why;
static struct arena arena;
static struct identity identity;
static struct oidc_logout logout;
static struct slice url;
static bool is_lost;
static char next_token[64];

static void on_answer(void *owner, const struct oidc_answer *a)
{
    (void)owner;
    struct buf text;
    answers++;
    reason = a->reason;
    why = *a->why;
    url = arena_copy(&arena, a->url);
    is_lost = a->is_lost;
    (void)snprintf(next_token, sizeof next_token, "%.*s", SLICE_ARG(a->refresh_token));
    buf_init(&text, IDENTITY_MAX_BYTES);
    if (a->identity && a->identity->subject.len) {
        cr_assert(identity_print(a->identity, &text));
        cr_assert(identity_parse(&identity, &arena, buf_slice(&text)));
    }
    buf_fini(&text);
    logout = (struct oidc_logout){.provider = arena_copy(&arena, a->logout->provider),
                                  .subject = arena_copy(&arena, a->logout->subject),
                                  .session = arena_copy(&arena, a->logout->session),
                                  .jti = arena_copy(&arena, a->logout->jti),
                                  .until = a->logout->until};
    loop_stop(&idp.loop);
}

static void on_changed(void *owner, struct issuers *take)
{
    (void)owner;
    issuers_unref(take);
}

static void document_set(const char *more)
{
    (void)snprintf(
        document, sizeof document,
        "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\",\"authorization_endpoint\":\"%s/auth\","
        "\"token_endpoint\":\"%s/token\",\"userinfo_endpoint\":\"%s/me\","
        "\"end_session_endpoint\":\"%s/end?a=b\"%s}",
        idp.issuer, idp.issuer, idp.issuer, idp.issuer, idp.issuer, idp.issuer, more);
    https_answer(idp.server, IDP_DISCOVERY, 200, document);
}

static char *sign(const char *header, const char *format, ...)
{
    char payload[2048];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(payload, sizeof payload, format, arguments);
    va_end(arguments);
    return jose_token(header, payload, key, JOSE_RIGHT);
}

/* A good ID token with these members behind the usual ones. */
static void id_token_set(const char *nonce, const char *more)
{
    const long long now = time(NULL); // the desk goes by the clock
    mem_free(id_token);
    id_token = sign(HEADER,
                    "{\"iss\":\"%s\",\"sub\":\"anna\",\"aud\":\"belfry\",\"iat\":%lld,\"exp\":%lld,"
                    "\"nonce\":\"%s\",\"sid\":\"s1\"%s}",
                    idp.issuer, now, now + 600, nonce, more);
    (void)snprintf(grant, sizeof grant,
                   "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"refresh_token\":\"rt\","
                   "\"id_token\":\"%s\"}",
                   id_token);
    https_answer(idp.server, "/token", 200, grant);
}

static void begin(void)
{
    idp_begin(10.);
    arena_init(&arena, NULL);
    key = pki_key_make(PKI_P256);
    char *jwk = jose_jwk(key, "k", "");
    key_set = jose_set(&jwk, 1);
    mem_free(jwk);
    document_set("");
    https_answer(idp.server, "/keys", 200, key_set);
    keys_begin(secrets);
    keys_write(secrets, "finance/fas", SLICE("s:e c\n"), 0600);
    idp.provider = (struct provider){
        .id = SLICE("fas"),
        .entity = SLICE("finance"),
        .issuer = slice_of(idp.issuer),
        .algorithms = 1u << ALGORITHM_ES256,
        .groups_claim = SLICE("groups"),
        .acr_claims = {acr_claims, 1},
        .leeway_s = 30,
        .keys_max_stale_s = DAY_S,
        .digest = {7},
        .sign_in = {.client = {.id = SLICE("belfry"), .secret = SLICE("fas")},
                    .scopes = {scopes, 2},
                    .acr_values = levels,
                    .acr_value_count = 2,
                    .has_logout = true},
    };
    attempt = (struct oidc_attempt){.state = SLICE("the-state"),
                                    .nonce = SLICE("the-nonce"),
                                    .verifier = SLICE(VERIFIER),
                                    .redirect_uri = SLICE(BACK),
                                    .max_age_s = -1,
                                    .begun_at = {time(NULL)}};
    question = (struct oidc_question){
        .entity = SLICE("finance"), .provider = SLICE("fas"), .done = on_answer};
    const struct issuer_settings settings = {.ca_file = https_ca(idp.server)};
    issuers = issuer_desk_new(&idp.loop, &settings, &idp.metrics,
                              (struct issuer_hooks){.changed = on_changed});
    desk = oidc_desk_new(&idp.loop,
                         &(struct oidc_settings){.ca_file = https_ca(idp.server),
                                                 .secrets_dir = secrets,
                                                 .issuers = issuers},
                         &idp.metrics);
    id_token_set("the-nonce", ",\"groups\":[\"officers\"]");
}

static void follow(void)
{
    issuer_desk_follow(issuers, &idp.snapshots[0]);
    oidc_desk_follow(desk, &idp.snapshots[0]);
}

static void end(void)
{
    oidc_desk_free(desk);
    issuer_desk_free(issuers);
    keys_end(secrets);
    arena_fini(&arena);
    mem_free(key_set);
    mem_free(id_token);
    mem_free(kept);
    EVP_PKEY_free(key);
    idp_end();
}

TestSuite(oidc, .init = begin, .fini = end);

static void wait_for(unsigned count)
{
    while (answers < count)
        loop_run(&idp.loop);
}

static enum reason begin_sign_in(void)
{
    follow();
    (void)oidc_begin(desk, &question, &attempt);
    cr_expect_eq(answers, 0, "never from inside the call");
    wait_for(1);
    answers = 0;
    return reason;
}

static enum reason redeem_as(struct oidc_response response)
{
    follow();
    (void)oidc_redeem(desk, &question, &attempt, &response);
    wait_for(1);
    answers = 0;
    return reason;
}

static enum reason redeem(void)
{
    return redeem_as((struct oidc_response){.code = SLICE("c:o d"), .iss = slice_of(idp.issuer)});
}

static bool has(struct slice text, const char *part)
{
    char *copy = mem_text(text);
    const bool is_there = strstr(copy, part) != NULL;
    if (!is_there)
        fprintf(stderr, "no '%s' in '%s'\n", part, copy);
    mem_free(copy);
    return is_there;
}

/* ---- where a person is sent ---- */

Test(oidc, a_person_is_sent_to_the_provider_with_all_that_binds_the_answer)
{
    uint8_t digest[SHA256_BYTES];
    char challenge[64] = "code_challenge=";
    attempt.language = SLICE("nl");
    attempt.max_age_s = 0;
    cr_assert_eq(begin_sign_in(), REASON_PERMITTED, "%s", why.text);
    char place[128];
    (void)snprintf(place, sizeof place, "%s/auth?response_type=code&client_id=belfry&", idp.issuer);
    cr_expect(has(url, place));
    cr_expect(has(url, "redirect_uri=https%3A%2F%2Flogin.finance.example%2F.belfry%2Fcallback&"));
    cr_expect(has(url, "scope=openid+profile&") || has(url, "scope=openid%20profile&"));
    cr_expect(has(url, "state=the-state&nonce=the-nonce&"));
    sha256(digest, SLICE(VERIFIER));
    challenge[15 + base64url_encode(challenge + 15, digest, sizeof digest)] = '\0';
    cr_expect(has(url, challenge));
    cr_expect(has(url, "code_challenge_method=S256"));
    cr_expect(has(url, "max_age=0") && has(url, "ui_locales=nl"));
    cr_expect(!has(url, "acr_values") && !has(url, VERIFIER));
}

Test(oidc, a_step_up_asks_for_all_levels_that_are_enough)
{
    attempt.acr_level = 400;
    cr_assert_eq(begin_sign_in(), REASON_PERMITTED);
    cr_expect(has(url, "acr_values=urn%3Aapp+urn%3Acard") ||
              has(url, "acr_values=urn%3Aapp%20urn%3Acard"));
    attempt.acr_level = 450;
    cr_assert_eq(begin_sign_in(), REASON_PERMITTED);
    cr_expect(has(url, "acr_values=urn%3Acard"));
    attempt.acr_level = 501;
    cr_assert_eq(begin_sign_in(), REASON_PERMITTED);
    cr_expect(!has(url, "acr_values"), "nothing is enough: the answer will be judged");
}

Test(oidc, a_discovery_document_is_fetched_once_for_all_who_wait_and_kept)
{
    follow();
    for (int i = 0; i < 20; i++)
        (void)oidc_begin(desk, &question, &attempt);
    wait_for(20);
    cr_expect_eq(reason, REASON_PERMITTED);
    (void)oidc_begin(desk, &question, &attempt);
    wait_for(21);
    cr_expect_eq(https_requests(idp.server, IDP_DISCOVERY), 2,
                 "the desk of keys has one of its own");
}

Test(oidc, a_discovery_document_that_does_not_hold_sends_nobody_anywhere)
{
    static const char *const bad[] = {
        "{\"issuer\":\"%s/\",\"jwks_uri\":\"%s/k\",\"authorization_endpoint\":\"%s/a\"}",
        "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/k\",\"authorization_endpoint\":\"http://"
        "idp.localhost/%s\"}",
        "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/k\",\"authorization_endpoint\":\"https://"
        "evil.example/%s\"}",
        "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/k\",\"token_endpoint\":\"https://evil.example/%s\"}",
        "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/k\",\"x\":\"%s\"}",
        "{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s/a\",\"x\":\"%s\"}",
        "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/k\",\"authorization_endpoint\":[\"%s/a\"]}",
        "[\"%s%s%s\"]",
        "not json %s%s%s",
    };
    static char texts[sizeof bad / sizeof *bad][512];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        (void)snprintf(texts[i], sizeof texts[i], bad[i], idp.issuer, idp.issuer, idp.issuer);
        https_answer(idp.server, IDP_DISCOVERY, 200, texts[i]);
        idp.provider.digest[1] = (uint8_t)(i + 1); // another provider each time
        cr_expect_eq(begin_sign_in(), REASON_PROVIDER_MISTAKEN, "%s: %s", texts[i], why.text);
        cr_expect_eq(url.len, 0);
    }
}

static void on_rested(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev, (void)timer, (void)events;
    loop_stop(&idp.loop);
}

static void rest_for(double seconds)
{
    ev_timer timer;
    ev_timer_init(&timer, on_rested, seconds, 0.);
    ev_timer_start(idp.loop.ev, &timer);
    loop_run(&idp.loop);
}

Test(oidc, a_provider_that_is_away_is_told_apart_from_one_that_is_wrong)
{
    https_answer(idp.server, IDP_DISCOVERY, 503, "{}");
    cr_expect_eq(begin_sign_in(), REASON_PROVIDER_UNAVAILABLE);
    cr_expect(strstr(why.text, "identity provider 'fas' of 'finance'"));
    cr_expect_geq(metric_get(&idp.metrics, METRIC_PROVIDER_FAILURES_TOTAL), 1);
    https_answer(idp.server, IDP_DISCOVERY, 302, "");
    idp.provider.digest[1] = 1; // another provider: this one is not asked again so soon
    cr_expect_eq(begin_sign_in(), REASON_PROVIDER_UNAVAILABLE, "a redirect is not followed");
    document_set("");
    cr_expect_eq(begin_sign_in(), REASON_PROVIDER_UNAVAILABLE, "nobody asks so soon");
    rest_for(2.1);
    cr_expect_eq(begin_sign_in(), REASON_PERMITTED, "the next one asks again");
    https_answer(idp.server, IDP_DISCOVERY, 503, "{}");
    cr_expect_eq(begin_sign_in(), REASON_PERMITTED, "what is known is used");
}

Test(oidc, nothing_leads_to_an_address_outside_of_the_entitys_networks)
{
    cr_assert(network_parse(&idp.networks[0], SLICE("192.0.2.0/24")));
    cr_assert(network_parse(&idp.networks[1], SLICE("2001:db8::/32")));
    cr_expect_eq(begin_sign_in(), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(https_connections(idp.server), 0);
}

Test(oidc, nobody_signs_in_at_a_provider_that_is_none)
{
    question.provider = SLICE("other");
    cr_expect_eq(begin_sign_in(), REASON_PROVIDER_UNAVAILABLE);
    question.provider = SLICE("fas");
    question.entity = SLICE("health");
    cr_expect_eq(begin_sign_in(), REASON_PROVIDER_UNAVAILABLE);
}

/* ---- what a code is worth ---- */

Test(oidc, a_code_becomes_an_identity)
{
    char last[16384];
    cr_assert_eq(redeem(), REASON_PERMITTED, "%s", why.text);
    cr_expect(slice_eq(identity.subject, SLICE("anna")) && identity.groups.count == 1);
    cr_expect(slice_eq(identity.session, SLICE("s1")) && slice_eq(identity.provider, SLICE("fas")));
    cr_expect(slice_eq(identity.refresh_token, SLICE("rt")));
    cr_expect(slice_eq(identity.id_token, slice_of(id_token)));
    cr_expect_eq(identity.scopes.count, 2, "as asked, where the provider does not say");
    https_last(idp.server, "/token", last);
    cr_expect(strstr(last, "POST /token "));
    // "belfry" ":" "s%3Ae+c": each form-encoded, then in base64
    char pair[] = "belfry:s%3Ae+c", field[64] = "Authorization: Basic ";
    field[21 + base64_encode(field + 21, pair, strlen(pair))] = '\0';
    cr_expect(strstr(last, field), "%s", last);
    cr_expect(strstr(last, "grant_type=authorization_code&code=c%3Ao") &&
              strstr(last, "&redirect_uri=https%3A%2F%2Flogin.finance.example%2F") &&
              strstr(last, "&code_verifier=" VERIFIER));
    cr_expect_eq(https_requests(idp.server, "/me"), 0);
}

Test(oidc, a_client_with_a_key_signs_who_it_is)
{
    char last[16384];
    struct private_key made;
    struct secret pem;
    struct fault f;
    cr_assert(private_key_make(&made, ALGORITHM_ES256, &f) && private_key_print(&made, &pem, &f));
    keys_write(secrets, "finance/key", slice_from(pem.bytes, pem.len), 0600);
    idp.provider.sign_in.client =
        (struct client){SLICE("belfry"), CLIENT_PRIVATE_KEY, SLICE("key"), 0};
    cr_assert_eq(redeem(), REASON_PERMITTED, "%s", why.text);
    https_last(idp.server, "/token", last);
    cr_expect(!strstr(last, "Authorization:") && strstr(last, "&client_assertion=ey"));
    secret_fini(&pem);
    private_key_fini(&made);
}

Test(oidc, without_its_secret_the_gateway_asks_nothing)
{
    idp.provider.sign_in.client.secret = SLICE("missing");
    cr_expect_eq(redeem(), REASON_PROVIDER_MISTAKEN);
    cr_expect(strstr(why.text, "missing"));
    cr_expect_eq(https_requests(idp.server, "/token"), 0);
}

Test(oidc, an_answer_of_another_provider_never_spends_the_code)
{
    struct oidc_response r = {.code = SLICE("code"), .iss = SLICE("https://evil.example")};
    cr_expect_eq(redeem_as(r), REASON_PROVIDER_MISTAKEN);
    r.error = SLICE("access_denied");
    cr_expect_eq(redeem_as(r), REASON_PROVIDER_MISTAKEN, "nor is its error believed");
    r = (struct oidc_response){.code = SLICE("code")};
    document_set(",\"authorization_response_iss_parameter_supported\":true");
    idp.provider.digest[1] = 1;
    cr_expect_eq(redeem_as(r), REASON_PROVIDER_MISTAKEN, "it says that it sends iss, and does not");
    cr_expect_eq(https_requests(idp.server, "/token"), 0);
    document_set("");
    idp.provider.digest[1] = 2;
    cr_expect_eq(redeem_as(r), REASON_PERMITTED, "a provider without RFC 9207");
}

Test(oidc, a_persons_refusal_is_none_of_the_providers_trouble)
{
    static const struct {
        const char *error;
        enum reason reason;
    } rows[] = {
        {"access_denied", REASON_SIGN_IN_DENIED},
        {"login_required", REASON_SIGN_IN_DENIED},
        {"temporarily_unavailable", REASON_PROVIDER_UNAVAILABLE},
        {"server_error", REASON_PROVIDER_UNAVAILABLE},
        {"unmet_authentication_requirements", REASON_ASSURANCE_TOO_LOW},
        {"invalid_scope", REASON_PROVIDER_MISTAKEN},
        {"\r\nx: y", REASON_PROVIDER_MISTAKEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(redeem_as((struct oidc_response){.iss = slice_of(idp.issuer),
                                                      .error = slice_of(rows[i].error),
                                                      .code = SLICE("c")}),
                     rows[i].reason, "%s", rows[i].error);
    cr_expect(!strchr(why.text, '\n') && !strchr(why.text, '\r'));
    cr_expect_eq(redeem_as((struct oidc_response){0}), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(https_requests(idp.server, "/token"), 0);
}

Test(oidc, what_the_token_endpoint_answers_is_judged)
{
    static const struct {
        int status;
        const char *body;
        enum reason reason;
    } rows[] = {
        {400, "{\"error\":\"invalid_grant\"}", REASON_SIGN_IN_EXPIRED},
        {401, "{\"error\":\"invalid_client\",\"error_description\":\"no\"}",
         REASON_PROVIDER_MISTAKEN},
        {400, "", REASON_PROVIDER_MISTAKEN},
        {302, "", REASON_PROVIDER_MISTAKEN},
        {500, "{\"error\":\"invalid_grant\"}", REASON_PROVIDER_UNAVAILABLE},
        {429, "", REASON_PROVIDER_UNAVAILABLE},
        {200, "", REASON_PROVIDER_MISTAKEN},
        {200, "{}", REASON_PROVIDER_MISTAKEN},
        {200, "{\"access_token\":\"a\",\"token_type\":\"Bearer\"}", REASON_PROVIDER_MISTAKEN},
        {200, "{\"access_token\":\"a\",\"token_type\":\"mac\",\"id_token\":\"a.b.c\"}",
         REASON_PROVIDER_MISTAKEN},
        {200, "{\"access_token\":\"a b\",\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\"}",
         REASON_PROVIDER_MISTAKEN},
        {200, "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\"}",
         REASON_PROVIDER_MISTAKEN},
        {200, "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"id_token\":7}",
         REASON_PROVIDER_MISTAKEN},
        {200,
         "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"id_token\":\"e30.e30.\","
         "\"id_token\":\"e30.e30.\"}",
         REASON_PROVIDER_MISTAKEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        https_answer(idp.server, "/token", rows[i].status, rows[i].body);
        identity = (struct identity){0};
        cr_expect_eq(redeem(), rows[i].reason, "row %zu: %s", i, why.text);
        cr_expect_eq(identity.subject.len, 0);
    }
}

Test(oidc, an_answer_without_end_is_cut)
{
    kept = mem_array(char, (2u << 20) + 1);
    memset(kept, ' ', 2u << 20);
    https_answer(idp.server, "/token", 200, kept);
    cr_expect_eq(redeem(), REASON_PROVIDER_MISTAKEN);
    cr_expect(strstr(why.text, "passes"));
}

Test(oidc, an_id_token_of_another_sign_in_is_worth_nothing)
{
    id_token_set("another-nonce", "");
    cr_expect_eq(redeem(), REASON_PROVIDER_MISTAKEN);
    cr_expect(strstr(why.text, "nonce"));
}

Test(oidc, a_key_that_is_new_is_fetched_before_anybody_is_refused)
{
    char *jwk = jose_jwk(key, "new", "");
    kept = jose_set(&jwk, 1);
    follow();
    cr_assert_eq(redeem(), REASON_PERMITTED);
    https_answer(idp.server, "/keys", 200, kept);
    mem_free(id_token);
    const long long now = time(NULL);
    id_token = sign("{\"alg\":\"ES256\",\"kid\":\"new\"}",
                    "{\"iss\":\"%s\",\"sub\":\"anna\",\"aud\":\"belfry\",\"iat\":%lld,\"exp\":%lld,"
                    "\"nonce\":\"the-nonce\"}",
                    idp.issuer, now, now + 600);
    (void)snprintf(grant, sizeof grant,
                   "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"id_token\":\"%s\"}",
                   id_token);
    cr_expect_eq(redeem(), REASON_PERMITTED, "%s", why.text);
    cr_expect_eq(https_requests(idp.server, "/keys"), 2);
    mem_free(jwk);
}

Test(oidc, keys_that_cannot_be_had_are_the_providers_trouble)
{
    https_answer(idp.server, "/keys", 500, "");
    cr_expect_eq(redeem(), REASON_PROVIDER_UNAVAILABLE);
}

Test(oidc, a_sign_in_that_is_weaker_than_was_asked_for_is_refused)
{
    attempt.acr_level = 400;
    id_token_set("the-nonce", ",\"acr\":\"urn:other\"");
    cr_expect_eq(redeem(), REASON_ASSURANCE_TOO_LOW);
    id_token_set("the-nonce", "");
    cr_expect_eq(redeem(), REASON_ASSURANCE_TOO_LOW);
    id_token_set("the-nonce", ",\"acr\":\"urn:card\"");
    cr_expect_eq(redeem(), REASON_PERMITTED);
    cr_expect_eq(identity.acr_level, 500);
}

Test(oidc, userinfo_says_what_the_id_token_does_not)
{
    char last[16384];
    idp.provider.sign_in.has_userinfo = true;
    id_token_set("the-nonce", "");
    https_answer(idp.server, "/me", 200, "{\"sub\":\"anna\",\"groups\":[\"a\",\"b\"]}");
    cr_assert_eq(redeem(), REASON_PERMITTED, "%s", why.text);
    cr_expect_eq(identity.groups.count, 2);
    https_last(idp.server, "/me", last);
    cr_expect(strstr(last, "Authorization: Bearer at\r\n"));
    kept = sign(HEADER, "{\"iss\":\"%s\",\"sub\":\"anna\",\"aud\":\"belfry\",\"groups\":\"c\"}",
                idp.issuer);
    https_answer(idp.server, "/me", 200, kept);
    cr_assert_eq(redeem(), REASON_PERMITTED, "%s", why.text);
    cr_expect(identity.groups.count == 1 && slice_eq(identity.groups.at[0], SLICE("c")));
    https_answer(idp.server, "/me", 200, "{\"sub\":\"bart\",\"groups\":[\"admin\"]}");
    cr_expect_eq(redeem(), REASON_PROVIDER_MISTAKEN);
    https_answer(idp.server, "/me", 401, "{}");
    cr_expect_eq(redeem(), REASON_PROVIDER_MISTAKEN);
    https_answer(idp.server, "/me", 503, "{}");
    cr_expect_eq(redeem(), REASON_PROVIDER_UNAVAILABLE);
    const unsigned before = https_requests(idp.server, "/me");
    https_answer(idp.server, "/me", 200, "");
    cr_expect_eq(redeem(), REASON_PROVIDER_MISTAKEN, "nothing is no userinfo");
    cr_expect_eq(https_requests(idp.server, "/me"), before + 1,
                 "and is not asked for again and again");
}

/* ---- refresh ---- */

static enum reason refresh(const struct identity *before)
{
    follow();
    (void)oidc_refresh(desk, &question, before);
    wait_for(1);
    answers = 0;
    return reason;
}

Test(oidc, a_refresh_brings_other_groups_and_another_refresh_token)
{
    char last[16384];
    cr_assert_eq(redeem(), REASON_PERMITTED);
    struct identity before = identity;
    id_token_set("the-nonce", ",\"groups\":[\"fewer\"]");
    (void)snprintf(grant, sizeof grant,
                   "{\"access_token\":\"at2\",\"token_type\":\"Bearer\",\"refresh_token\":\"rt2\","
                   "\"id_token\":\"%s\"}",
                   id_token);
    cr_assert_eq(refresh(&before), REASON_PERMITTED, "%s", why.text);
    cr_expect(slice_eq(identity.groups.at[0], SLICE("fewer")));
    cr_expect(slice_eq(identity.refresh_token, SLICE("rt2")));
    cr_expect(slice_eq(identity.id_token, slice_of(id_token)));
    cr_expect_eq(identity.scopes.count, 2);
    https_last(idp.server, "/token", last);
    cr_expect(strstr(last, "grant_type=refresh_token&refresh_token=rt") &&
              !strstr(last, "code_verifier"));
}

Test(oidc, a_refresh_that_fails_says_what_has_become_of_the_refresh_token)
{
    static const struct {
        int status;
        const char *body;
        enum reason reason;
        bool is_lost;
    } table[] = {
        {503, "{}", REASON_PROVIDER_UNAVAILABLE, true},
        {200, "no JSON", REASON_PROVIDER_MISTAKEN, true},
        {200, "{\"access_token\":\"x\"}", REASON_PROVIDER_MISTAKEN, true},
        {429, "{}", REASON_PROVIDER_UNAVAILABLE, false},
        {401, "{\"error\":\"invalid_client\"}", REASON_PROVIDER_MISTAKEN, false},
        {400, "{\"error\":\"invalid_grant\"}", REASON_IDENTITY_REQUIRED, false},
    };
    cr_assert_eq(redeem(), REASON_PERMITTED);
    struct identity before = identity;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        https_answer(idp.server, "/token", table[i].status, table[i].body);
        cr_expect_eq(refresh(&before), table[i].reason);
        cr_expect_eq(is_lost, table[i].is_lost, "%zu", i);
        cr_expect_str_eq(next_token, "");
    }
    https_answer(idp.server, "/token", 200,
                 "{\"access_token\":\"x\",\"token_type\":\"Bearer\",\"refresh_token\":\"rt2\"}");
    https_answer(idp.server, "/me", 503, "{}");
    cr_expect_eq(refresh(&before), REASON_PROVIDER_UNAVAILABLE);
    cr_expect(!is_lost);
    cr_expect_str_eq(next_token, "rt2");
    https_answer(idp.server, "/token", 200, "{\"access_token\":\"x\",\"token_type\":\"Bearer\"}");
    cr_expect_eq(refresh(&before), REASON_PROVIDER_UNAVAILABLE);
    cr_expect_str_eq(next_token, "rt", "the old one goes on");
}

Test(oidc, a_refresh_without_an_id_token_asks_userinfo)
{
    cr_assert_eq(redeem(), REASON_PERMITTED);
    struct identity before = identity;
    https_answer(idp.server, "/token", 200, "{\"access_token\":\"x\",\"token_type\":\"Bearer\"}");
    https_answer(idp.server, "/me", 200, "{\"sub\":\"anna\",\"groups\":[\"other\"]}");
    cr_assert_eq(refresh(&before), REASON_PERMITTED, "%s", why.text);
    cr_expect(slice_eq(identity.groups.at[0], SLICE("other")));
    cr_expect(slice_eq(identity.refresh_token, SLICE("rt")), "no new one: the old one goes on");
    cr_expect(slice_eq(identity.id_token, before.id_token));
    https_answer(idp.server, "/me", 200, "{\"sub\":\"bart\",\"groups\":[\"other\"]}");
    cr_expect_eq(refresh(&before), REASON_PROVIDER_MISTAKEN);
    https_answer(idp.server, "/me", 200, "{\"sub\":\"anna\"}");
    cr_expect_eq(refresh(&before), REASON_IDENTITY_REQUIRED, "nobody says the groups");
}

Test(oidc, whom_the_provider_knows_no_more_signs_in_again_and_an_outage_ends_nobodys_session)
{
    cr_assert_eq(redeem(), REASON_PERMITTED);
    struct identity before = identity;
    https_answer(idp.server, "/token", 400, "{\"error\":\"invalid_grant\"}");
    cr_expect_eq(refresh(&before), REASON_IDENTITY_REQUIRED);
    https_answer(idp.server, "/token", 503, "");
    cr_expect_eq(refresh(&before), REASON_PROVIDER_UNAVAILABLE);
    before.refresh_token = SLICE("");
    cr_expect_eq(refresh(&before), REASON_IDENTITY_REQUIRED);
}

/* ---- the end ---- */

static enum reason sign_out(struct slice token)
{
    follow();
    (void)oidc_sign_out(desk, &question, token, SLICE("https://login.finance.example/out"),
                        SLICE("st"), SLICE("fr"));
    wait_for(1);
    answers = 0;
    return reason;
}

Test(oidc, a_sign_out_goes_on_to_the_provider_with_a_hint_that_fits)
{
    char place[128];
    cr_assert_eq(sign_out(SLICE("a.b.c")), REASON_PROVIDER_UNAVAILABLE, "it is not waited for");
    cr_assert_eq(redeem(), REASON_PERMITTED);
    cr_assert_eq(sign_out(SLICE("a.b.c")), REASON_PERMITTED);
    (void)snprintf(place, sizeof place, "%s/end?a=b&id_token_hint=a.b.c&client_id=belfry&",
                   idp.issuer);
    cr_expect(has(url, place));
    cr_expect(has(url, "post_logout_redirect_uri=https%3A%2F%2Flogin.finance.example%2Fout&"
                       "state=st&ui_locales=fr"));
    char *large = mem_array(char, 9001);
    memset(large, 'a', 9000);
    cr_assert_eq(sign_out(slice_of(large)), REASON_PERMITTED);
    cr_expect(has(url, "/end?a=b&client_id=belfry&"));
    idp.provider.sign_in.has_logout = false;
    cr_assert_eq(sign_out(SLICE("a.b.c")), REASON_PERMITTED);
    cr_expect_eq(url.len, 0);
    mem_free(large);
}

#define EVENT "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"

static enum reason end_by(const char *header, const char *more)
{
    const long long now = time(NULL);
    char *token = sign(header, "{\"iss\":\"%s\",\"iat\":%lld,\"exp\":%lld%s}", idp.issuer, now,
                       now + 120, more);
    follow();
    (void)oidc_logout(desk, &question, slice_of(token));
    wait_for(1);
    answers = 0;
    mem_free(token);
    return reason;
}

Test(oidc, a_providers_logout_names_a_session_or_a_person)
{
    static const char header[] = "{\"alg\":\"ES256\",\"typ\":\"logout+jwt\",\"kid\":\"k\"}";
#define FOR_US ",\"aud\":\"belfry\",\"jti\":\"j\"," EVENT
    cr_assert_eq(end_by(header, FOR_US ",\"sid\":\"s1\""), REASON_PERMITTED, "%s", why.text);
    cr_expect(slice_eq(logout.session, SLICE("s1")) && !logout.subject.len);
    cr_expect(slice_eq(logout.jti, SLICE("j")) && slice_eq(logout.provider, SLICE("fas")));
    cr_expect_geq(logout.until.s, time(NULL) + 120);
    cr_assert_eq(end_by(header, FOR_US ",\"sub\":\"anna\""), REASON_PERMITTED);
    cr_expect(slice_eq(logout.subject, SLICE("anna")) && !logout.session.len);
    cr_expect_eq(end_by("{\"alg\":\"ES256\",\"kid\":\"k\"}", FOR_US ",\"sub\":\"anna\""),
                 REASON_PERMITTED, "typ is recommended, not required");
}

Test(oidc, a_logout_that_lacks_something_ends_nothing)
{
    static const char header[] = "{\"alg\":\"ES256\",\"typ\":\"logout+jwt\",\"kid\":\"k\"}";
    static const char *const bad[] = {
        FOR_US,
        FOR_US ",\"sub\":\"anna\",\"nonce\":\"n\"",
        ",\"aud\":\"belfry\"," EVENT ",\"sub\":\"anna\"",
        ",\"aud\":\"other\",\"jti\":\"j\"," EVENT ",\"sub\":\"anna\"",
        ",\"jti\":\"j\"," EVENT ",\"sub\":\"anna\"",
        ",\"aud\":\"belfry\",\"jti\":\"j\",\"sub\":\"anna\"",
        ",\"aud\":\"belfry\",\"jti\":\"j\",\"events\":{},\"sub\":\"anna\"",
        ",\"aud\":\"belfry\",\"jti\":\"j\",\"events\":[],\"sub\":\"anna\"",
        FOR_US ",\"sub\":7",
        FOR_US ",\"sid\":\"\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(end_by(header, bad[i]), REASON_PROVIDER_MISTAKEN, "row %zu", i);
    cr_expect_eq(
        end_by("{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k\"}", FOR_US ",\"sub\":\"anna\""),
        REASON_PROVIDER_MISTAKEN, "an access token");
    cr_expect_eq(end_by("{\"alg\":\"ES256\",\"typ\":\"logout+jwt\",\"kid\":\"x\"}",
                        FOR_US ",\"sub\":\"anna\""),
                 REASON_PROVIDER_MISTAKEN, "a key that nobody has");
}

/* ---- on the way ---- */

Test(oidc, who_is_cancelled_hears_nothing)
{
    follow();
    struct oidc_call *begun = oidc_begin(desk, &question, &attempt);
    struct oidc_call *spent =
        oidc_redeem(desk, &question, &attempt,
                    &(struct oidc_response){.code = SLICE("c"), .iss = slice_of(idp.issuer)});
    oidc_cancel(begun);
    (void)oidc_begin(desk, &question, &attempt);
    wait_for(1);
    oidc_cancel(spent);
    (void)oidc_begin(desk, &question, &attempt);
    wait_for(2);
    cr_expect_eq(answers, 2);
}

Test(oidc, a_desk_may_end_with_questions_under_way)
{
    follow();
    for (int i = 0; i < 3; i++)
        (void)oidc_begin(desk, &question, &attempt);
    (void)oidc_redeem(desk, &question, &attempt, &(struct oidc_response){.code = SLICE("c")});
    ev_run(idp.loop.ev, EVRUN_ONCE);
    cr_expect_eq(answers, 0);
}

Test(oidc, a_question_ends_by_the_settings_that_it_began_with)
{
    follow();
    (void)oidc_redeem(desk, &question, &attempt,
                      &(struct oidc_response){.code = SLICE("c"), .iss = slice_of(idp.issuer)});
    oidc_desk_follow(desk, &idp.snapshots[1]);
    wait_for(1);
    cr_expect_eq(reason, REASON_PERMITTED, "%s", why.text);
}
