// SPDX-License-Identifier: EUPL-1.2
/* Each check of an ID token has a token that lacks just that (OpenID Connect Core §3.1.3.7), and so
 * have refreshes and userinfo. What is asserted is the refusal's own words: another check can't
 * stand in for the one that is meant. */
#include "auth/id_token.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/mem.h"
#include "jose.h"
#include "pki.h"

#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k\"}"
#define ACCESS_TOKEN "an-access-token"
#define CODE "a-code"

static EVP_PKEY *key, *other_key, *rsa_key;
static struct key_set *keys;
static struct arena arena;
static struct fault why;
static struct acr_value levels[] = {{400, SLICE_INIT("urn:example:strong")}};
static const struct slice acr_claims[] = {SLICE_INIT("acr"), SLICE_INIT("amr")};
static const struct slice scopes[] = {SLICE_INIT("openid")};
static struct provider provider;
static struct id_token_demand demand;

static struct key_set *set_of(EVP_PKEY *of, const char *kid)
{
    struct fault f;
    char *jwk = jose_jwk(of, kid, "");
    char *text = jose_set(&jwk, 1);
    const uint32_t all = 1u << ALGORITHM_ES256 | 1u << ALGORITHM_RS256 | 1u << ALGORITHM_PS256;
    struct key_set *set = key_set_parse(slice_of(text), all, (struct wall){NOW_S}, &f);
    cr_assert_not_null(set);
    mem_free(jwk);
    mem_free(text);
    return set;
}

static void begin(void)
{
    base_init();
    arena_init(&arena, NULL);
    key = pki_key_make(PKI_P256);
    other_key = pki_key_make(PKI_P256);
    rsa_key = pki_key_make(PKI_RSA2048);
    keys = set_of(key, "k");
    provider = (struct provider){
        .id = SLICE("fas"),
        .entity = SLICE("finance"),
        .issuer = SLICE("https://idp.example"),
        .algorithms = 1u << ALGORITHM_ES256,
        .groups_claim = SLICE("roles"),
        .acr_claims = {acr_claims, 2},
        .leeway_s = 30,
        .sign_in = {.client = {.id = SLICE("belfry")},
                    .scopes = {scopes, 1},
                    .acr_values = levels,
                    .acr_value_count = 1},
    };
    demand = (struct id_token_demand){.provider = &provider,
                                      .keys = keys,
                                      .nonce = SLICE("the-nonce"),
                                      .code = SLICE(CODE),
                                      .access_token = SLICE(ACCESS_TOKEN),
                                      .max_age_s = -1,
                                      .begun_at = {NOW_S - 60},
                                      .now = {NOW_S}};
}

static void end(void)
{
    key_set_unref(keys);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    EVP_PKEY_free(rsa_key);
    arena_fini(&arena);
}

TestSuite(id_token, .init = begin, .fini = end);

/* The claims of a good token. */
static json_t *good(void)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:[s], s:s}", "iss",
                     "https://idp.example", "sub", "anna", "aud", "belfry", "iat", NOW_S - 5, "exp",
                     NOW_S + 600, "nonce", "the-nonce", "sid", "s1", "roles", "officers", "acr",
                     "urn:be:fedict:iam:fas:Level400");
}

/* `changes`: a JSON object whose members replace the good ones; null takes one away. */
static json_t *changed(const char *changes)
{
    json_t *claims = good();
    json_t *tree = json_loads(changes, 0, NULL);
    json_t *value;
    const char *name;
    cr_assert_not_null(tree, "%s", changes);
    json_object_foreach(tree, name, value)
    {
        if (json_is_null(value))
            json_object_del(claims, name);
        else
            json_object_set(claims, name, value);
    }
    json_decref(tree);
    return claims;
}

static char *token_of(const char *header, const char *changes, EVP_PKEY *by,
                      enum jose_signature how)
{
    json_t *claims = changed(changes);
    char *text = json_dumps(claims, 0);
    char *token = jose_token(header, text, by, how);
    free(text);
    json_decref(claims);
    return token;
}

static enum reason judge_token(char *take)
{
    struct jws j;
    why = (struct fault){0};
    enum reason reason = jws_parse(&j, slice_of(take));
    if (reason == REASON_PERMITTED)
        reason = id_token_judge(&j, &demand, NULL, &why);
    jws_fini(&j);
    mem_free(take);
    return reason;
}

static enum reason judge(const char *changes)
{
    return judge_token(token_of(HEADER, changes, key, JOSE_RIGHT));
}

static bool is_refused(const char *changes, const char *says)
{
    const bool is = judge(changes) == REASON_PROVIDER_MISTAKEN && strstr(why.text, says);
    if (!is)
        fprintf(stderr, "%s: '%s', not '%s'\n", changes, why.text, says);
    return is;
}

Test(id_token, a_good_one_is_believed)
{
    cr_expect_eq(judge("{}"), REASON_PERMITTED);
    cr_expect_eq(judge("{\"aud\":[\"belfry\"]}"), REASON_PERMITTED);
    cr_expect_eq(judge("{\"azp\":\"belfry\"}"), REASON_PERMITTED);
    cr_expect_eq(judge("{\"aud\":[\"belfry\",\"b\"],\"azp\":\"belfry\"}"), REASON_PERMITTED);
}

Test(id_token, each_claim_that_is_not_as_it_must_be_ends_it)
{
    static const struct {
        const char *changes;
        const char *says;
    } rows[] = {
        // 2: the issuer, letter by letter
        {"{\"iss\":\"https://idp.example/\"}", "token_issuer"},
        {"{\"iss\":\"https://other.example\"}", "token_issuer"},
        {"{\"iss\":null}", "token_malformed"},
        // 3: the audience
        {"{\"aud\":\"other\"}", "token_audience"},
        {"{\"aud\":[\"other\",\"more\"],\"azp\":\"belfry\"}", "token_audience"},
        {"{\"aud\":null}", "token_audience"},
        {"{\"aud\":[]}", "token_audience"},
        {"{\"aud\":[1]}", "token_malformed"},
        // 4, 5: of several, to whom
        {"{\"aud\":[\"belfry\",\"other\"]}", "token_audience"},
        {"{\"aud\":[\"belfry\",\"other\"],\"azp\":\"other\"}", "token_audience"},
        {"{\"azp\":\"other\"}", "token_audience"},
        {"{\"azp\":7}", "token_malformed"},
        // 9: the end, with 30 s for clocks
        {"{\"exp\":1799999970}", "token_expired"},
        {"{\"exp\":null}", "token_malformed"},
        {"{\"exp\":\"1800000600\"}", "token_malformed"},
        {"{\"exp\":1800000600.5}", "token_malformed"},
        // 10: the beginning
        {"{\"iat\":1800000031}", "token_not_yet_valid"},
        {"{\"iat\":1799999909}", "older than this sign-in"},
        {"{\"iat\":null}", "token_malformed"},
        {"{\"nbf\":1800000031}", "token_not_yet_valid"},
        // 11: the nonce
        {"{\"nonce\":\"another\"}", "nonce"},
        {"{\"nonce\":\"the-nonce \"}", "nonce"},
        {"{\"nonce\":\"\"}", "nonce"},
        {"{\"nonce\":null}", "nonce"},
        {"{\"nonce\":[\"the-nonce\"]}", "nonce"},
        // the subject
        {"{\"sub\":null}", "token_malformed"},
        {"{\"sub\":\"\"}", "token_malformed"},
        {"{\"sub\":12}", "token_malformed"},
        // 3.1.3.6, 3.3.2.11: hashes, where they are there
        {"{\"at_hash\":\"AAAAAAAAAAAAAAAAAAAAAA\"}", "at_hash"},
        {"{\"at_hash\":\"\"}", "at_hash"},
        {"{\"at_hash\":1}", "at_hash"},
        {"{\"c_hash\":\"AAAAAAAAAAAAAAAAAAAAAA\"}", "c_hash"},
        // another kind of token
        {"{\"events\":{}}", "token_type"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect(is_refused(rows[i].changes, rows[i].says), "row %zu", i);
    cr_expect_eq(judge("{\"exp\":1799999971}"), REASON_PERMITTED, "the leeway is for both ends");
    cr_expect_eq(judge("{\"iat\":1800000030}"), REASON_PERMITTED);
    cr_expect_eq(judge("{\"iat\":1799999910}"), REASON_PERMITTED);
}

static void half_of(const char *text, char out[23])
{
    uint8_t digest[ALGORITHM_DIGEST_MAX_BYTES];
    cr_assert_eq(algorithm_digest(ALGORITHM_ES256, slice_of(text), digest), 32);
    out[base64url_encode(out, digest, 16)] = '\0';
}

Test(id_token, its_hashes_are_those_of_the_code_and_of_the_access_token)
{
    char at_hash[23], c_hash[23], changes[128];
    half_of(ACCESS_TOKEN, at_hash);
    half_of(CODE, c_hash);
    (void)snprintf(changes, sizeof changes, "{\"at_hash\":\"%s\",\"c_hash\":\"%s\"}", at_hash,
                   c_hash);
    cr_expect_eq(judge(changes), REASON_PERMITTED);
    (void)snprintf(changes, sizeof changes, "{\"at_hash\":\"%s\"}", c_hash);
    cr_expect(is_refused(changes, "at_hash"));
    (void)snprintf(changes, sizeof changes, "{\"c_hash\":\"%s\"}", at_hash);
    cr_expect(is_refused(changes, "c_hash"));
}

Test(id_token, the_algorithm_is_one_that_the_bundle_lists_and_the_key_has)
{
    struct key_set *other = set_of(rsa_key, "k");
    static const char none[] = "{\"alg\":\"none\",\"typ\":\"JWT\"}";
    static const char hmac[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"k\"}";
    static const char rsa[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k\"}";
    cr_expect_eq(judge_token(token_of(none, "{}", key, JOSE_EMPTY)), REASON_TOKEN_ALGORITHM);
    cr_expect_eq(judge_token(token_of(hmac, "{}", key, JOSE_HMAC_PEM)), REASON_TOKEN_ALGORITHM);
    demand.keys = other;
    cr_expect_eq(judge_token(token_of(rsa, "{}", rsa_key, JOSE_RIGHT)), REASON_PROVIDER_MISTAKEN);
    cr_expect(strstr(why.text, "token_algorithm"));
    provider.algorithms |= 1u << ALGORITHM_RS256;
    cr_expect_eq(judge_token(token_of(rsa, "{}", rsa_key, JOSE_RIGHT)), REASON_PERMITTED);
    key_set_unref(other);
}

Test(id_token, the_signature_is_by_a_key_of_the_provider)
{
    static const char unknown[] = "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"new\"}";
    static const enum jose_signature wrong[] = {JOSE_DER, JOSE_EMPTY, JOSE_SHORT, JOSE_ZERO,
                                                JOSE_FLIPPED};
    cr_expect_eq(judge_token(token_of(HEADER, "{}", other_key, JOSE_RIGHT)),
                 REASON_PROVIDER_MISTAKEN);
    cr_expect(strstr(why.text, "token_signature"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_neq(judge_token(token_of(HEADER, "{}", key, wrong[i])), REASON_PERMITTED);
    cr_expect_eq(judge_token(token_of(unknown, "{}", key, JOSE_RIGHT)), REASON_TOKEN_KEY_UNKNOWN);
    demand.keys = NULL;
    cr_expect_eq(judge("{}"), REASON_KEYS_UNAVAILABLE);
}

Test(id_token, who_was_asked_for_a_fresh_proof_gives_one)
{
    demand.max_age_s = 0;
    cr_expect(is_refused("{}", "auth_time"), "it must be there then");
    cr_expect_eq(judge("{\"auth_time\":1799999995}"), REASON_PERMITTED);
    cr_expect_eq(judge("{\"auth_time\":1799999910}"), REASON_PERMITTED, "when it was asked for");
    cr_expect(is_refused("{\"auth_time\":1799999909}", "auth_time"));
    demand.max_age_s = 300;
    cr_expect_eq(judge("{\"auth_time\":1799999610}"), REASON_PERMITTED);
    cr_expect(is_refused("{\"auth_time\":1799999609}", "auth_time"));
    demand.max_age_s = -1;
    cr_expect_eq(judge("{\"auth_time\":1}"), REASON_PERMITTED, "nothing was asked");
    cr_expect(is_refused("{\"auth_time\":1800000031}", "auth_time"), "nobody comes from tomorrow");
    cr_expect(is_refused("{\"auth_time\":\"1799999995\"}", "auth_time"));
}

/* Refresh */

Test(id_token, a_refresh_is_about_the_same_person_and_the_same_sign_in)
{
    char *first = token_of(HEADER, "{}", key, JOSE_RIGHT);
    const struct identity before = {
        .subject = SLICE("anna"), .authenticated_at = {NOW_S - 3600}, .id_token = slice_of(first)};
    demand.before = &before;
    demand.nonce = SLICE("");
    cr_expect_eq(judge("{\"nonce\":null}"), REASON_PERMITTED);
    cr_expect_eq(judge("{}"), REASON_PERMITTED, "the nonce of the first");
    cr_expect(is_refused("{\"nonce\":\"another\"}", "nonce"));
    cr_expect(is_refused("{\"sub\":\"bart\"}", "somebody else"));
    cr_expect_eq(judge("{\"auth_time\":1799996400}"), REASON_PERMITTED);
    cr_expect(is_refused("{\"auth_time\":1799999995}", "auth_time"));
    cr_expect(is_refused("{\"iat\":1799999000}", "older"));
    mem_free(first);
}

/* Userinfo */

static enum reason ask(const char *body, const char *type, json_t **out)
{
    enum reason reason;
    why = (struct fault){0};
    *out =
        userinfo_read(slice_of(body), slice_of(type), SLICE("anna"), &demand, NULL, &reason, &why);
    return reason;
}

Test(id_token, userinfo_is_json_about_the_same_person)
{
    json_t *claims;
    cr_expect_eq(ask("{\"sub\":\"anna\"}", "application/json; charset=utf-8", &claims),
                 REASON_PERMITTED);
    json_decref(claims);
    cr_expect_eq(ask("{\"sub\":\"bart\"}", "application/json", &claims), REASON_PROVIDER_MISTAKEN);
    cr_expect(!claims && strstr(why.text, "somebody else"));
    cr_expect_eq(ask("{}", "application/json", &claims), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(ask("{\"sub\":\"anna\"}", "text/html", &claims), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(ask("{\"sub\":\"anna\"}", "", &claims), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(ask("{\"sub\":\"anna\",\"sub\":\"anna\"}", "application/json", &claims),
                 REASON_PROVIDER_MISTAKEN, "a member that comes twice");
    cr_expect_eq(ask("[]", "application/json", &claims), REASON_PROVIDER_MISTAKEN);
}

static enum reason ask_jwt(const char *payload, EVP_PKEY *by, json_t **out)
{
    char *token = jose_token(HEADER, payload, by, JOSE_RIGHT);
    const enum reason reason = ask(token, "application/jwt", out);
    mem_free(token);
    return reason;
}

Test(id_token, userinfo_that_is_signed_is_the_providers_and_for_us)
{
    json_t *claims;
#define FROM "{\"iss\":\"https://idp.example\",\"sub\":\"anna\""
    cr_expect_eq(ask_jwt(FROM ",\"aud\":\"belfry\"}", key, &claims), REASON_PERMITTED, "%s",
                 why.text);
    json_decref(claims);
    cr_expect_eq(ask_jwt(FROM "}", key, &claims), REASON_PERMITTED,
                 "aud should be there, not must");
    json_decref(claims);
    cr_expect_eq(ask_jwt(FROM ",\"aud\":\"other\"}", key, &claims), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(ask_jwt(FROM ",\"exp\":1799990000}", key, &claims), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(ask_jwt(FROM ",\"nonce\":\"n\"}", key, &claims), REASON_PROVIDER_MISTAKEN,
                 "that is an ID token");
    cr_expect_eq(ask_jwt(FROM "}", other_key, &claims), REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(ask_jwt("{\"iss\":\"https://x.example\",\"sub\":\"anna\"}", key, &claims),
                 REASON_PROVIDER_MISTAKEN);
    cr_expect_eq(ask_jwt("{\"iss\":\"https://idp.example\",\"sub\":\"bart\"}", key, &claims),
                 REASON_PROVIDER_MISTAKEN);
    cr_expect_null(claims);
}

/* The identity */

static enum reason make(struct identity *out, const char *changes, const char *userinfo,
                        const struct identity *before)
{
    json_t *claims = changes ? changed(changes) : NULL;
    json_t *more = userinfo ? json_loads(userinfo, 0, NULL) : NULL;
    why = (struct fault){0};
    const enum reason reason = identity_make(out, &arena, &provider, claims, more,
                                             SLICE("openid a"), before, (struct wall){NOW_S}, &why);
    json_decref(claims);
    json_decref(more);
    return reason;
}

Test(id_token, what_is_known_of_somebody_comes_from_the_id_token_and_from_userinfo)
{
    struct identity i;
    cr_assert_eq(make(&i, "{\"auth_time\":5,\"name\":\"Anna\",\"locale\":\"nl-BE\"}", NULL, NULL),
                 REASON_PERMITTED);
    cr_expect(slice_eq(i.provider, SLICE("fas")) && slice_eq(i.subject, SLICE("anna")));
    cr_expect(slice_eq(i.session, SLICE("s1")) && slice_eq(i.client_id, SLICE("belfry")));
    cr_expect(i.groups.count == 1 && slice_eq(i.groups.at[0], SLICE("officers")));
    cr_expect(i.scopes.count == 2 && i.acr_level == 400 && i.authenticated_at.s == 5);
    cr_expect(slice_eq(i.name, SLICE("Anna")) && slice_eq(i.locale, SLICE("nl-BE")));
    cr_expect_eq(i.known_at.s, NOW_S);

    cr_assert_eq(make(&i, "{\"roles\":null}",
                      "{\"sub\":\"x\",\"roles\":[\"a\",\"b\"],\"acr\":\"no\",\"sid\":\"no\","
                      "\"surname\":\"Peeters\",\"givenName\":\"Anna\",\"prefLanguage\":\"fr\"}",
                      NULL),
                 REASON_PERMITTED);
    cr_expect(i.groups.count == 2 && slice_eq(i.subject, SLICE("anna")));
    cr_expect(i.acr_level == 400 && slice_eq(i.session, SLICE("s1")),
              "the sign-in itself is told by the ID token");
    cr_expect(slice_eq(i.name, SLICE("Anna Peeters")) && slice_eq(i.locale, SLICE("fr")));
    cr_assert_eq(make(&i, "{}", "{\"roles\":[\"newer\"]}", NULL), REASON_PERMITTED);
    cr_expect(slice_eq(i.groups.at[0], SLICE("newer")));
}

Test(id_token, a_providers_own_word_for_a_level_counts_as_that_level)
{
    struct identity i;
    cr_assert_eq(make(&i, "{\"acr\":\"urn:example:strong\"}", NULL, NULL), REASON_PERMITTED);
    cr_expect_eq(i.acr_level, 400);
    cr_assert_eq(make(&i, "{\"acr\":\"0\",\"amr\":[\"urn:example:strong\"]}", NULL, NULL),
                 REASON_PERMITTED);
    cr_expect_eq(i.acr_level, 400);
    cr_assert_eq(make(&i, "{\"acr\":\"urn:example:stronger\"}", NULL, NULL), REASON_PERMITTED);
    cr_expect_eq(i.acr_level, 0);
}

Test(id_token, what_a_provider_says_is_bounded)
{
    struct identity i;
    static const char *const bad[] = {
        "{\"roles\":[1]}",     "{\"roles\":{}}", "{\"roles\":[\"a\\u0007\"]}",
        "{\"roles\":[\"\"]}",  "{\"acr\":7}",    "{\"amr\":{}}",
        "{\"sub\":\"a\\nb\"}", "{\"sid\":7}",    "{\"auth_time\":\"x\"}",
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        cr_expect_eq(make(&i, bad[k], NULL, NULL), REASON_PROVIDER_MISTAKEN, "%s", bad[k]);
    }
    json_t *groups = json_array();
    for (int k = 0; k < CEL_LIST_BOUND + 1; k++)
        json_array_append_new(groups, json_string("g"));
    json_t *tree = json_pack("{s:o}", "roles", groups);
    char *many = json_dumps(tree, 0);
    json_decref(tree);
    cr_expect_eq(make(&i, many, NULL, NULL), REASON_PROVIDER_MISTAKEN, "257 groups");
    free(many);
    cr_assert_eq(make(&i, "{\"name\":\"a\\u0001\",\"locale\":\"<b>\"}", NULL, NULL),
                 REASON_PERMITTED);
    cr_expect(!i.name.len && !i.locale.len, "what is only for display is left out");
}

Test(id_token, what_a_refresh_does_not_say_stays_but_for_the_groups)
{
    struct identity before, i;
    cr_assert_eq(make(&before, "{\"auth_time\":5,\"name\":\"Anna\"}", NULL, NULL),
                 REASON_PERMITTED);
    cr_assert_eq(make(&i, "{\"sid\":null,\"acr\":null,\"roles\":[\"fewer\"]}", NULL, &before),
                 REASON_PERMITTED);
    cr_expect(slice_eq(i.session, SLICE("s1")) && slice_eq(i.name, SLICE("Anna")));
    cr_expect(i.acr_level == 400 && i.authenticated_at.s == 5);
    cr_expect(i.groups.count == 1 && slice_eq(i.groups.at[0], SLICE("fewer")));
    cr_assert_eq(make(&i, "{\"acr\":\"weak\"}", NULL, &before), REASON_PERMITTED);
    cr_expect_eq(i.acr_level, 0, "a lower level is a lower level");
    cr_assert_eq(make(&i, "{\"roles\":[]}", NULL, &before), REASON_PERMITTED);
    cr_expect_eq(i.groups.count, 0);
    cr_expect_eq(make(&i, "{\"roles\":null}", NULL, &before), REASON_IDENTITY_REQUIRED);
    cr_expect_eq(make(&i, NULL, "{\"sub\":\"anna\",\"roles\":[\"x\"]}", &before), REASON_PERMITTED);
    cr_expect(slice_eq(i.subject, SLICE("anna")) && slice_eq(i.acr, before.acr));
}

/* The record */

Test(id_token, an_identity_that_is_printed_and_parsed_is_the_same)
{
    struct identity i, back;
    struct buf text;
    cr_assert_eq(make(&i, "{\"auth_time\":5,\"name\":\"An\\\"na \\u00e9\",\"amr\":[\"a\",\"b\"]}",
                      NULL, NULL),
                 REASON_PERMITTED);
    i.id_token = SLICE("a.b.c");
    i.refresh_token = SLICE("r");
    buf_init(&text, IDENTITY_MAX_BYTES);
    cr_assert(identity_print(&i, &text));
    cr_assert(identity_parse(&back, &arena, buf_slice(&text)));
    struct buf again;
    buf_init(&again, IDENTITY_MAX_BYTES);
    cr_assert(identity_print(&back, &again));
    cr_expect(slice_eq(buf_slice(&text), buf_slice(&again)));
    cr_expect(slice_eq(back.name, i.name) && slice_eq(back.id_token, i.id_token));
    cr_expect(back.amr.count == 2 && back.known_at.s == NOW_S && back.acr_level == 400);

    struct buf small;
    buf_init(&small, 64);
    cr_expect_not(identity_print(&i, &small));
    for (size_t cut = 1; cut < buf_len(&text); cut += 7)
        cr_expect_not(identity_parse(&back, &arena, slice_from(buf_slice(&text).ptr, cut)));
    cr_expect_not(identity_parse(&back, &arena, SLICE("{}")));
    buf_fini(&text);
    buf_fini(&again);
    buf_fini(&small);
}

Test(id_token, an_identity_is_the_user_of_facts_as_a_token_is)
{
    struct identity i;
    struct facts_user user, keyless;
    cr_assert_eq(make(&i, "{}", NULL, NULL), REASON_PERMITTED);
    identity_user(&user, &arena, &i, SLICE("finance"), SLICE("0123456789abcdef0123456789abcdef"));
    identity_user(&keyless, &arena, &i, SLICE("finance"), SLICE(""));
    cr_expect(slice_eq(user.id, SLICE("fas:anna")) && user.acr_level == 400);
    cr_expect(user.key && user.key == keyless.key);
    const uint8_t zero[32] = {0};
    cr_expect(memcmp(user.hash, zero, 32) != 0 && memcmp(keyless.hash, zero, 32) == 0);
}
