// SPDX-License-Identifier: EUPL-1.2
/* What upstreams are told, and that nobody is ever told of as somebody else. */
#include "auth/assertion.h"

#include <criterion/criterion.h>

#include "auth/issuers_in.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/mem.h"
#include "jose.h"
#include "keys.h"
#include "pki.h"

#define ISS "https://idp.finance.example"

static char dir[KEYS_PATH_MAX];
static struct keyring *ring;
static struct metrics metrics;
static struct assertion_cache *cache;
static struct token_cache *tokens;
static EVP_PKEY *ec;
static struct slice audiences[] = {SLICE_INIT("leave")};
static struct slice types[] = {SLICE_INIT("at+jwt")};
static struct provider provider;
static const struct provider *providers[] = {&provider};
static struct application app;
static struct issuers *table;
static struct facts facts;
static struct facts_device device;

static void begin(void)
{
    struct fault fault;
    base_init();
    keys_begin(dir);
    keys_assertion(dir, "finance/20260101000000.pem", false);
    keys_assertion(dir, "customs/20260101000000.pem", false);
    ring = keyring_read(dir, (struct wall){NOW_S}, &fault);
    cr_assert(ring, "%s", fault.text);
    cache = assertion_cache_new(&metrics);
    tokens = token_cache_new(64, &metrics);
    ec = pki_key_make(PKI_P256);
    provider = (struct provider){.id = SLICE("staff"),
                                 .entity = SLICE("finance"),
                                 .issuer = SLICE(ISS),
                                 .audiences = {audiences, 1},
                                 .algorithms = 1u << ALGORITHM_ES256,
                                 .token_types = {types, 1},
                                 .groups_claim = SLICE("groups"),
                                 .leeway_s = 30,
                                 .max_token_age_s = DAY_S,
                                 .keys_max_stale_s = DAY_S};
    app = (struct application){.id = SLICE("leave"),
                               .entity = SLICE("finance"),
                               .host = SLICE("leave.finance.example"),
                               .providers = providers,
                               .provider_count = 1};
    char *jwk = jose_jwk(ec, "ec-1", "");
    char *text = jose_set(&jwk, 1);
    struct issuers_entry entry = {
        .set = key_set_parse(slice_of(text), provider.algorithms, (struct wall){NOW_S}, &fault)};
    table = issuers_new(&entry, 1);
    key_set_unref(entry.set);
    mem_free(text);
    mem_free(jwk);
    device = (struct facts_device){
        .id = SLICE("managed:laptop-1"), .trust = SLICE("managed"), .not_after = {NOW_S + DAY_S}};
    facts = (struct facts){.app = &app, .device = &device, .now = {NOW_S}};
}

static void end(void)
{
    token_cache_free(tokens);
    assertion_cache_free(cache);
    issuers_unref(table);
    keyring_unref(ring);
    EVP_PKEY_free(ec);
    keys_end(dir);
}

TestSuite(assertion, .init = begin, .fini = end);

/* A verified token of that person with these further claims, good until exp. */
static const struct token *person(const char *sub, const char *more, int64_t exp)
{
    char payload[2048];
    struct token_answer answer;
    (void)snprintf(payload, sizeof payload,
                   "{\"iss\":\"" ISS "\",\"sub\":\"%s\",\"aud\":\"leave\",\"client_id\":\"x\","
                   "\"jti\":\"1\",\"iat\":%d,\"exp\":%lld%s}",
                   sub, NOW_S - 10, (long long)exp, more);
    char *token = jose_token("{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", payload, ec, JOSE_RIGHT);
    const struct token_question question = {
        .app = &app, .issuers = table, .bytes = slice_of(token), .now = facts.now};
    cr_assert_eq(token_judge(tokens, &question, &answer), REASON_PERMITTED);
    mem_free(token);
    return answer.token;
}

/* The assertion for this person, as a text of its own that the caller frees. */
static char *tell(const struct token *token)
{
    facts.user = token ? token_user(token) : NULL;
    struct assertion_user who;
    return mem_text(
        assertion_for(cache, ring, &facts, assertion_user_of(&who, token, NULL) ? &who : NULL));
}

/* The claims of an assertion whose signature holds under the entity's published keys. */
static json_t *claims_of(const char *text, struct slice entity)
{
    struct fault fault;
    uint8_t bytes[8192];
    size_t len;
    struct slice rest = slice_of(text);
    const struct slice header = slice_cut(&rest, '.');
    const struct slice payload = slice_cut(&rest, '.');
    cr_assert(base64url_decode(bytes, &len, header));
    json_t *head = jtree_parse(slice_from(bytes, len));
    struct slice kid;
    cr_assert(head && jtree_string(head, "kid", &kid));
    cr_assert_str_eq(json_string_value(json_object_get(head, "alg")), "ES256");
    struct key_set *set =
        key_set_parse(keyring_jwks(ring, entity), 1u << ALGORITHM_ES256, facts.now, &fault);
    cr_assert(set && slice_eq(set->keys[0].kid, kid));
    cr_assert(base64url_decode(bytes, &len, rest));
    cr_assert(signature_holds(&set->keys[0].key, slice_from(text, header.len + 1 + payload.len),
                              slice_from(bytes, len)));
    cr_assert(base64url_decode(bytes, &len, payload));
    key_set_unref(set);
    json_decref(head);
    json_t *claims = jtree_parse(slice_from(bytes, len));
    cr_assert_not_null(claims);
    return claims;
}

static int64_t expiry_of(const char *text)
{
    int64_t exp;
    json_t *claims = claims_of(text, SLICE("finance"));
    cr_assert(jtree_date(claims, "exp", &exp));
    json_decref(claims);
    return exp;
}

static int64_t signed_count(void)
{
    return metric_get(&metrics, METRIC_ASSERTIONS_SIGNED_TOTAL);
}

Test(assertion, it_states_who_asks_and_nothing_of_the_request)
{
    const struct token *zoe = person("zoe", ",\"groups\":[\"tax\"],\"amr\":[\"mfa\"]", NOW_S + 600);
    char *text = tell(zoe);
    json_t *claims = claims_of(text, SLICE("finance"));
    char *printed = json_dumps(claims, JSON_COMPACT | JSON_SORT_KEYS);
    cr_expect_str_eq(printed, "{\"acr_level\":0,\"amr\":[\"mfa\"],\"aud\":\"leave\","
                              "\"device\":{\"id\":\"managed:laptop-1\",\"trust\":\"managed\"},"
                              "\"entity\":\"finance\",\"exp\":1800000060,\"groups\":[\"tax\"],"
                              "\"iat\":1800000000,\"iss\":\"https://leave.finance.example\","
                              "\"provider\":\"staff\",\"sub\":\"zoe\"}");
    free(printed);
    json_decref(claims);
    mem_free(text);
    token_release(zoe);
}

Test(assertion, what_it_repeats_is_the_very_text_whatever_its_letters)
{
    static const char *const groups[] = {"a\"b\\c", "Zoë 𝄞", "\u2028", "]},{\"sub\":\"root\"}"};
    enum { COUNT = sizeof groups / sizeof *groups };
    char more[1024];
    json_t *list = json_array();
    for (size_t i = 0; i < COUNT; i++)
        json_array_append_new(list, json_string(groups[i]));
    char *printed = json_dumps(list, JSON_COMPACT);
    (void)snprintf(more, sizeof more,
                   ",\"groups\":%s,\"amr\":%s,\"acr\":\"\\\"}\",\"auth_time\":1799999999", printed,
                   printed);
    const struct token *zoe = person("zo\\\"", more, NOW_S + 600);
    char *text = tell(zoe);
    json_t *claims = claims_of(text, SLICE("finance"));
    cr_expect(json_equal(json_object_get(claims, "groups"), list));
    cr_expect(json_equal(json_object_get(claims, "amr"), list));
    cr_expect_str_eq(json_string_value(json_object_get(claims, "sub")), "zo\"");
    cr_expect_str_eq(json_string_value(json_object_get(claims, "acr")), "\"}");
    cr_expect_eq(json_integer_value(json_object_get(claims, "auth_time")), 1799999999);
    json_decref(claims);
    json_decref(list);
    free(printed);
    mem_free(text);
    token_release(zoe);
}

Test(assertion, a_name_that_is_no_text_is_not_told_as_another)
{
    const struct token *zoe = person("zoe", "", NOW_S + 600);
    struct facts_device odd = device;
    odd.id = SLICE("managed:laptop-\xff");
    facts.device = &odd;
    char *text = tell(zoe);
    cr_expect_str_eq(text, "");
    mem_free(text);
    token_release(zoe);
}

Test(assertion, it_is_shared_until_half_its_life)
{
    const struct token *zoe = person("zoe", "", NOW_S + 600);
    char *first = tell(zoe);
    facts.now.s = NOW_S + 29;
    char *second = tell(zoe);
    cr_expect_str_eq(first, second);
    cr_expect_eq(signed_count(), 1);
    facts.now.s = NOW_S + 30;
    char *third = tell(zoe);
    cr_expect_str_neq(first, third);
    cr_expect_eq(expiry_of(third), NOW_S + 90);
    mem_free(first);
    mem_free(second);
    mem_free(third);
    token_release(zoe);
}

Test(assertion, whatever_it_states_keeps_two_apart)
{
    const struct token *zoe = person("zoe", ",\"groups\":[\"a\",\"b\"]", NOW_S + 600);
    const struct token *jan = person("jan", ",\"groups\":[\"a\",\"b\"]", NOW_S + 600);
    const struct token *tax = person("zoe", ",\"groups\":[\"a\",\"b\",\"tax\"]", NOW_S + 600);
    const struct token *amr = person("zoe", ",\"groups\":[\"a\"],\"amr\":[\"b\"]", NOW_S + 600);
    const struct token *acr = person("zoe", ",\"groups\":[\"a\",\"b\"],\"acr\":\"x\"", NOW_S + 600);
    const struct facts_service billing = {.id = SLICE("spiffe://finance.example/billing")};
    struct facts_device other = device;
    struct facts_device weaker = device;
    struct application tax_app = app;
    struct application customs = app;
    other.id = SLICE("managed:laptop-2");
    weaker.trust = SLICE("byod");
    tax_app.id = SLICE("tax");
    customs.entity = SLICE("customs");
    const struct {
        const struct token *token;
        const struct facts_device *device;
        const struct facts_service *service;
        const struct application *app;
    } uses[] = {{zoe, &device, NULL, &app},     {jan, &device, NULL, &app},
                {tax, &device, NULL, &app},     {amr, &device, NULL, &app},
                {acr, &device, NULL, &app},     {zoe, NULL, NULL, &app},
                {zoe, &other, NULL, &app},      {zoe, &weaker, NULL, &app},
                {zoe, &device, &billing, &app}, {NULL, &device, &billing, &app},
                {NULL, &device, NULL, &app},    {zoe, &device, NULL, &tax_app},
                {zoe, &device, NULL, &customs}};
    const size_t count = sizeof uses / sizeof uses[0];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < count; i++) {
            facts.device = uses[i].device;
            facts.service = uses[i].service;
            facts.app = uses[i].app;
            char *text = tell(uses[i].token);
            json_t *claims = claims_of(text, uses[i].app->entity);
            struct slice sub = {"", 0};
            cr_expect_eq(jtree_string(claims, "sub", &sub), uses[i].token != NULL);
            if (uses[i].token)
                cr_expect(slice_eq(sub, token_user(uses[i].token)->subject));
            cr_expect_eq(jtree_has(claims, "device"), uses[i].device != NULL);
            cr_expect_eq(jtree_has(claims, "service"), uses[i].service != NULL);
            json_decref(claims);
            mem_free(text);
        }
        cr_expect_eq(signed_count(), (int64_t)count, "round %d", round);
    }
    token_release(zoe);
    token_release(jan);
    token_release(tax);
    token_release(amr);
    token_release(acr);
}

Test(assertion, it_never_outlives_token_or_certificate)
{
    const struct token *longer = person("zoe", "", NOW_S + 600);
    const struct token *shorter = person("zoe", "", NOW_S + 20);
    char *text = tell(longer);
    cr_expect_eq(expiry_of(text), NOW_S + 60);
    mem_free(text);
    // The same person and claims, by a token that ends sooner: the one at hand is not good for it.
    text = tell(shorter);
    cr_expect_eq(expiry_of(text), NOW_S + 20);
    mem_free(text);
    device.not_after.s = NOW_S + 5;
    text = tell(longer);
    cr_expect_eq(expiry_of(text), NOW_S + 5);
    mem_free(text);
    facts.now.s = NOW_S + 5;
    text = tell(longer);
    cr_expect_str_eq(text, "", "a certificate that has ended");
    mem_free(text);
    token_release(longer);
    token_release(shorter);
}

Test(assertion, another_token_of_the_same_person_needs_no_new_signature)
{
    const struct token *first = person("zoe", ",\"groups\":[\"a\"],\"other\":\"x\"", NOW_S + 600);
    const struct token *second = person("zoe", ",\"groups\":[\"a\"],\"other\":\"x\"", NOW_S + 300);
    const struct token *later = person("zoe", ",\"groups\":[\"a\"],\"auth_time\":1", NOW_S + 600);
    char *texts[] = {tell(first), tell(second), tell(later)};
    cr_expect_str_eq(texts[0], texts[1]);
    cr_expect_str_neq(texts[0], texts[2], "another sign-in");
    cr_expect_eq(signed_count(), 2);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free(texts[i]);
    token_release(first);
    token_release(second);
    token_release(later);
}

/* Nor does it get one that ends at once because another token does; and the two in turns make no
 * new one each time. */
Test(assertion, a_token_that_is_about_to_end_shortens_no_others)
{
    const struct token *longer = person("zoe", "", NOW_S + 600);
    const struct token *shorter = person("zoe", "", NOW_S + 20);
    for (int round = 0; round < 3; round++) {
        char *text = tell(shorter);
        cr_expect_eq(expiry_of(text), NOW_S + 20);
        mem_free(text);
        text = tell(longer);
        cr_expect_eq(expiry_of(text), NOW_S + 60);
        mem_free(text);
    }
    cr_expect_eq(signed_count(), 2);
    token_release(longer);
    token_release(shorter);
}

Test(assertion, within_the_leeway_it_ends_with_the_leeway)
{
    const struct token *zoe = person("zoe", "", NOW_S + 20);
    facts.now.s = NOW_S + 25;
    char *text = tell(zoe);
    cr_expect_eq(expiry_of(text), NOW_S + 50);
    mem_free(text);
    facts.now.s = NOW_S + 50;
    text = tell(zoe);
    cr_expect_str_eq(text, "");
    mem_free(text);
    token_release(zoe);
}

Test(assertion, without_a_key_there_is_none)
{
    struct application stranger = app;
    stranger.entity = SLICE("nobody");
    facts.app = &stranger;
    char *text = tell(NULL);
    cr_expect_str_eq(text, "");
    mem_free(text);
}

Test(assertion, the_cache_is_bounded)
{
    char name[64];
    struct facts_device one = device;
    facts.device = &one;
    for (int i = 0; i < ASSERTION_CACHE_ENTRIES + 2; i++) {
        (void)snprintf(name, sizeof name, "managed:%d", i);
        one.id = slice_of(name);
        cr_assert(assertion_for(cache, ring, &facts, NULL).len);
    }
    // The last is there, the first is gone.
    int64_t count = signed_count();
    cr_assert(assertion_for(cache, ring, &facts, NULL).len);
    cr_expect_eq(signed_count(), count);
    one.id = SLICE("managed:0");
    cr_assert(assertion_for(cache, ring, &facts, NULL).len);
    cr_expect_eq(signed_count(), count + 1);
}
