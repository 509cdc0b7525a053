// SPDX-License-Identifier: EUPL-1.2
/* Which tokens are a person, and the many that are not: each has the reason that it is told by, and
 * none ever comes through. */
#include "auth/token.h"

#include <criterion/criterion.h>

#include "auth/issuers_in.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/mem.h"
#include "jose.h"
#include "pki.h"

#define ISSUER "https://idp.finance.example"
/* With what RFC 9068 §2.2 wants beside it in each. */
#define ISS ISSUER "\",\"jti\":\"one\",\"client_id\":\"portal"
#define HEAD_EC "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}"
#define HEAD_RSA "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"rsa-1\"}"
#define TIMES "\"iat\":1799999990,\"exp\":1800000300"
#define AUD "\"aud\":\"https://leave.finance.example\""
#define PAYLOAD "{\"iss\":\"" ISS "\",\"sub\":\"zoe\"," AUD "," TIMES "}"

static EVP_PKEY *rsa;
static EVP_PKEY *ec;
static EVP_PKEY *stranger; /* an EC key that no provider has */
static EVP_PKEY *rsa_stranger;
static struct slice audiences[] = {SLICE_INIT("https://leave.finance.example"),
                                   SLICE_INIT("https://tax.finance.example")};
static struct slice types[] = {SLICE_INIT("at+jwt")};
static struct slice acr_claims[] = {SLICE_INIT("acr"), SLICE_INIT("amr")};
static struct provider provider;
static struct provider other; /* another entity's, for the same issuer */
static const struct provider *providers[] = {&provider};
static const struct provider *others[] = {&other};
static struct application app;
static struct application other_app;
static struct metrics metrics;
static struct issuers *table;
static struct token_cache *cache;
static struct token_question question;

static struct key_set *set_of(char **jwks, size_t count)
{
    struct fault fault;
    char *text = jose_set(jwks, count);
    struct key_set *set =
        key_set_parse(slice_of(text), provider.algorithms, (struct wall){NOW_S}, &fault);
    cr_assert(set, "%s", fault.text);
    mem_free(text);
    for (size_t i = 0; i < count; i++)
        mem_free(jwks[i]);
    return set;
}

/* Makes the table in which both providers have this set; takes the set. */
static void table_use(struct key_set *take)
{
    struct issuers_entry entries[2] = {{.set = take}, {.set = take}};
    memcpy(entries[0].provider_digest, provider.digest, 32);
    memcpy(entries[1].provider_digest, other.digest, 32);
    issuers_unref(table);
    table = issuers_new(entries, 2);
    key_set_unref(take);
    question.issuers = table;
}

static void keys_usual(void)
{
    char *jwks[] = {jose_jwk(rsa, "rsa-1", ""), jose_jwk(ec, "ec-1", "")};
    table_use(set_of(jwks, 2));
}

static void begin(void)
{
    base_init();
    rsa = pki_key_make(PKI_RSA2048);
    rsa_stranger = pki_key_make(PKI_RSA2048);
    ec = pki_key_make(PKI_P256);
    stranger = pki_key_make(PKI_P256);
    provider = (struct provider){.id = SLICE("staff"),
                                 .entity = SLICE("finance"),
                                 .issuer = SLICE(ISSUER),
                                 .audiences = {audiences, 2},
                                 .algorithms = 1u << ALGORITHM_RS256 | 1u << ALGORITHM_ES256,
                                 .token_types = {types, 1},
                                 .groups_claim = SLICE("groups"),
                                 .acr_claims = {acr_claims, 2},
                                 .leeway_s = 30,
                                 .max_token_age_s = DAY_S,
                                 .keys_max_stale_s = DAY_S,
                                 .digest = {1}};
    other = provider;
    other.entity = SLICE("customs");
    other.digest[0] = 2;
    app = (struct application){.id = SLICE("leave"), .providers = providers, .provider_count = 1};
    other_app = (struct application){.id = SLICE("x"), .providers = others, .provider_count = 1};
    cache = token_cache_new(8, &metrics);
    question =
        (struct token_question){.app = &app, .hash_key = SLICE("an audit key"), .now = {NOW_S}};
    keys_usual();
}

static void end(void)
{
    token_cache_free(cache);
    issuers_unref(table);
    table = NULL;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa_stranger);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(stranger);
}

TestSuite(token, .init = begin, .fini = end);

/* Judges these bytes; the answer holds no token unless it is PERMITTED. */
static enum reason judge_bytes(const char *text, struct token_answer *out)
{
    struct token_answer answer;
    question.bytes = slice_of(text);
    const enum reason reason = token_judge(cache, &question, &answer);
    cr_assert_eq(reason == REASON_PERMITTED, answer.token != NULL);
    if (out)
        *out = answer;
    else
        token_release(answer.token);
    return reason;
}

static enum reason judge(const char *header, const char *payload, EVP_PKEY *key,
                         enum jose_signature how)
{
    char *token = jose_token(header, payload, key, how);
    const enum reason reason = judge_bytes(token, NULL);
    mem_free(token);
    return reason;
}

/* A well-made token: the claims are given behind the usual iss. */
static enum reason judge_claims(const char *claims)
{
    char payload[20000];
    (void)snprintf(payload, sizeof payload, "{\"iss\":\"" ISS "\"%s}", claims);
    return judge(HEAD_EC, payload, ec, JOSE_RIGHT);
}

Test(token, a_good_token_is_a_user)
{
    struct token_answer answer;
    char *token =
        jose_token(HEAD_RSA,
                   "{\"iss\":\"" ISS
                   "\",\"sub\":\"zoe\",\"aud\":[\"x\",\"https://tax.finance.example\"]," TIMES
                   ",\"nbf\":1799999990,\"groups\":[\"tax\",\"staff\"],\"scope\":\"read  write\","
                   "\"amr\":[\"urn:be:fedict:iam:fas:Level400\",\"mfa\"],"
                   "\"acr\":\"urn:be:fedict:iam:fas:citizen:Level500\",\"auth_time\":1799999000}",
                   rsa, JOSE_RIGHT);
    cr_assert_eq(judge_bytes(token, &answer), REASON_PERMITTED);
    const struct facts_user *user = token_user(answer.token);
    cr_expect(slice_eq(user->id, SLICE("staff:zoe")));
    cr_expect(slice_eq(user->subject, SLICE("zoe")));
    cr_expect(slice_eq(user->client_id, SLICE("portal")));
    cr_assert_eq(user->groups.count, 2);
    cr_expect(slice_eq(user->groups.at[1], SLICE("staff")));
    cr_assert_eq(user->scopes.count, 2);
    cr_expect(slice_eq(user->scopes.at[1], SLICE("write")));
    cr_expect_eq(user->amr.count, 2);
    cr_expect_eq(user->acr_level, 500);
    cr_expect_eq(user->authenticated_at.s, 1799999000);
    cr_expect_eq(user->expires.s, 1800000300);
    uint8_t hash[32];
    hmac_sha256(hash, SLICE("an audit key"), SLICE("staff\0zoe"));
    cr_expect_arr_eq(user->hash, hash, 32);
    token_release(answer.token);
    mem_free(token);
    cr_expect_eq(judge(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT), REASON_PERMITTED);
}

Test(token, forged_signatures_never_hold)
{
    static const struct {
        const char *what;
        const char *header;
        EVP_PKEY **key;
        enum jose_signature how;
        enum reason reason;
    } cases[] = {
        {"another's EC key", HEAD_EC, &stranger, JOSE_RIGHT, REASON_TOKEN_SIGNATURE},
        {"another's RSA key", HEAD_RSA, &rsa_stranger, JOSE_RIGHT, REASON_TOKEN_SIGNATURE},
        {"no signature, EC", HEAD_EC, &ec, JOSE_EMPTY, REASON_TOKEN_SIGNATURE},
        {"no signature, RSA", HEAD_RSA, &rsa, JOSE_EMPTY, REASON_TOKEN_SIGNATURE},
        {"short, EC", HEAD_EC, &ec, JOSE_SHORT, REASON_TOKEN_SIGNATURE},
        {"short, RSA", HEAD_RSA, &rsa, JOSE_SHORT, REASON_TOKEN_SIGNATURE},
        {"long, EC", HEAD_EC, &ec, JOSE_LONG, REASON_TOKEN_SIGNATURE},
        {"long, RSA", HEAD_RSA, &rsa, JOSE_LONG, REASON_TOKEN_SIGNATURE},
        {"DER for raw", HEAD_EC, &ec, JOSE_DER, REASON_TOKEN_SIGNATURE},
        {"r = s = 0", HEAD_EC, &ec, JOSE_ZERO, REASON_TOKEN_SIGNATURE},
        {"zeros, RSA", HEAD_RSA, &rsa, JOSE_ZERO, REASON_TOKEN_SIGNATURE},
        {"one bit, EC", HEAD_EC, &ec, JOSE_FLIPPED, REASON_TOKEN_SIGNATURE},
        {"one bit, RSA", HEAD_RSA, &rsa, JOSE_FLIPPED, REASON_TOKEN_SIGNATURE},
        {"MAC by the PEM, as RS256", HEAD_RSA, &rsa, JOSE_HMAC_PEM, REASON_TOKEN_SIGNATURE},
        {"MAC by the PEM, as ES256", HEAD_EC, &ec, JOSE_HMAC_PEM, REASON_TOKEN_SIGNATURE},
        {"HS256 by RSA's PEM", "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"rsa-1\"}", &rsa,
         JOSE_HMAC_PEM, REASON_TOKEN_ALGORITHM},
        {"HS256 by RSA's DER", "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"rsa-1\"}", &rsa,
         JOSE_HMAC_DER, REASON_TOKEN_ALGORITHM},
        {"HS256 by EC's PEM", "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}", &ec,
         JOSE_HMAC_PEM, REASON_TOKEN_ALGORITHM},
        {"HS256 by EC's DER", "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}", &ec,
         JOSE_HMAC_DER, REASON_TOKEN_ALGORITHM},
        {"another kid", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-2\"}", &stranger,
         JOSE_RIGHT, REASON_TOKEN_KEY_UNKNOWN},
        {"a good key under another kid", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-2\"}",
         &ec, JOSE_RIGHT, REASON_TOKEN_KEY_UNKNOWN},
        {"an empty kid", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"\"}", &ec, JOSE_RIGHT,
         REASON_TOKEN_KEY_UNKNOWN},
        {"a kid that is a path", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"../ec-1\"}", &ec,
         JOSE_RIGHT, REASON_TOKEN_KEY_UNKNOWN},
        {"the kid of the other algorithm",
         "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}", &ec, JOSE_RIGHT,
         REASON_TOKEN_KEY_UNKNOWN},
        {"no kid, another's key", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", &stranger, JOSE_RIGHT,
         REASON_TOKEN_SIGNATURE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(judge(cases[i].header, PAYLOAD, *cases[i].key, cases[i].how), cases[i].reason,
                     "%s", cases[i].what);
    cr_expect_eq(metric_get(&metrics, METRIC_TOKEN_CACHE_HITS_TOTAL), 0);
}

Test(token, a_header_brings_no_key_and_no_algorithm_of_its_own)
{
    static const struct {
        const char *header;
        enum reason reason;
    } cases[] = {
        {"{\"alg\":\"none\",\"typ\":\"at+jwt\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"None\",\"typ\":\"at+jwt\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"NONE\",\"typ\":\"at+jwt\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"nOnE\",\"typ\":\"at+jwt\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"\",\"typ\":\"at+jwt\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\" none\",\"typ\":\"at+jwt\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"es256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"ES256K\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"PS256\",\"typ\":\"at+jwt\",\"kid\":\"rsa-1\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"RS512\",\"typ\":\"at+jwt\",\"kid\":\"rsa-1\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}", REASON_TOKEN_ALGORITHM},
        {"{\"alg\":null,\"typ\":\"at+jwt\"}", REASON_TOKEN_MALFORMED},
        {"{\"alg\":[\"ES256\"],\"typ\":\"at+jwt\"}", REASON_TOKEN_MALFORMED},
        {"{\"alg\":true,\"typ\":\"at+jwt\"}", REASON_TOKEN_MALFORMED},
        {"{\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}", REASON_TOKEN_MALFORMED},
        {"{}", REASON_TOKEN_MALFORMED},
        {"[]", REASON_TOKEN_MALFORMED},
        {"", REASON_TOKEN_MALFORMED},
        {"{\"alg\":\"ES256\",\"alg\":\"none\",\"typ\":\"at+jwt\"}", REASON_TOKEN_MALFORMED},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":7}", REASON_TOKEN_MALFORMED},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\\u0000\"}", REASON_TOKEN_MALFORMED},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\"}x", REASON_TOKEN_MALFORMED},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\",\"crit\":[\"exp\"]}",
         REASON_TOKEN_CRITICAL},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\",\"crit\":[]}",
         REASON_TOKEN_CRITICAL},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\",\"b64\":false,\"crit\":[\"b64\"]}",
         REASON_TOKEN_CRITICAL},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\",\"cty\":\"JWT\"}",
         REASON_TOKEN_MALFORMED},
        {"{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", REASON_TOKEN_TYPE},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ec-1\"}", REASON_TOKEN_TYPE},
        {"{\"alg\":\"ES256\",\"typ\":\"\",\"kid\":\"ec-1\"}", REASON_TOKEN_TYPE},
        {"{\"alg\":\"ES256\",\"typ\":\"application/\",\"kid\":\"ec-1\"}", REASON_TOKEN_TYPE},
        {"{\"alg\":\"ES256\",\"typ\":\"logout+jwt\",\"kid\":\"ec-1\"}", REASON_TOKEN_TYPE},
        {"{\"alg\":\"ES256\",\"typ\":\"dpop+jwt\",\"kid\":\"ec-1\"}", REASON_TOKEN_TYPE},
        {"{\"alg\":\"ES256\",\"typ\":[\"at+jwt\"],\"kid\":\"ec-1\"}", REASON_TOKEN_MALFORMED},
        // What is no refusal: other spellings of the type, and no kid.
        {"{\"alg\":\"ES256\",\"typ\":\"application/AT+JWT\",\"kid\":\"ec-1\"}", REASON_PERMITTED},
        {"{\"alg\":\"ES256\",\"typ\":\"At+Jwt\"}", REASON_PERMITTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(judge(cases[i].header, PAYLOAD, ec, JOSE_RIGHT), cases[i].reason, "%s",
                     cases[i].header);
        if (cases[i].reason != REASON_PERMITTED)
            cr_expect_neq(judge(cases[i].header, PAYLOAD, ec, JOSE_EMPTY), REASON_PERMITTED, "%s",
                          cases[i].header);
    }
    // The stranger's own key in the header, as itself and as an address.
    char header[4096];
    char *jwk = jose_jwk(stranger, "ec-1", "");
    static const char *const forms[] = {
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec-1\",\"jwk\":{%s}}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"jwk\":{%s}}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"jku\":\"https://evil.example\",\"x\":{%s}}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(header, sizeof header, forms[i], jwk);
#pragma GCC diagnostic pop
        cr_expect_eq(judge(header, PAYLOAD, stranger, JOSE_RIGHT), REASON_TOKEN_SIGNATURE);
    }
    mem_free(jwk);
}

Test(token, an_algorithm_that_the_provider_does_not_have_is_refused)
{
    provider.algorithms = 1u << ALGORITHM_RS256;
    cr_expect_eq(judge(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT), REASON_TOKEN_ALGORITHM);
}

Test(token, the_form_is_taken_by_the_letter)
{
    char *token = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    char bent[32768];
    static const char *const forms[] = {"%s=", "%s==",  " %s",  "%s ",    "%s\n",  "%s.",
                                        ".%s", "%s.AA", "%s\t", "\r\n%s", "%s%%3D"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(bent, sizeof bent, forms[i], token);
#pragma GCC diagnostic pop
        cr_expect_eq(judge_bytes(bent, NULL), REASON_TOKEN_MALFORMED, "%s", forms[i]);
    }
    static const char *const others_bad[] = {"",        ".",     "..",          "a",          "a.b",
                                             "a.b.c",   "...",   "e30.e30.",    ".e30.",      "e30",
                                             "e30..AA", "-._.-", "e30=.e30.AA", "e30.e30=.AA"};
    for (size_t i = 0; i < sizeof others_bad / sizeof others_bad[0]; i++)
        cr_expect_eq(judge_bytes(others_bad[i], NULL), REASON_TOKEN_MALFORMED, "%s", others_bad[i]);
    // Bits that no byte of the signature has: another text for the same signature.
    const size_t len = strlen(token);
    memcpy(bent, token, len + 1);
    for (const char *more = "BCDEFGHIJKLMNOP"; *more; more++) {
        bent[len - 1] = *more;
        if (bent[len - 1] != token[len - 1])
            cr_expect_neq(judge_bytes(bent, NULL), REASON_PERMITTED);
    }
    mem_free(token);
}

Test(token, a_payload_under_anothers_signature_is_refused)
{
    char *good = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    char *admin = jose_token(HEAD_EC, "{\"iss\":\"" ISS "\",\"sub\":\"admin\"," AUD "," TIMES "}",
                             ec, JOSE_EMPTY);
    char swapped[8192];
    (void)snprintf(swapped, sizeof swapped, "%s%s", admin, strrchr(good, '.') + 1);
    cr_expect_eq(judge_bytes(good, NULL), REASON_PERMITTED);
    cr_expect_eq(judge_bytes(swapped, NULL), REASON_TOKEN_SIGNATURE);
    mem_free(admin);
    mem_free(good);
}

Test(token, a_token_has_a_greatest_size)
{
    char *big = mem_array(char, 20000);
    (void)snprintf(big, 20000, ",\"sub\":\"zoe\"," AUD "," TIMES ",\"x\":\"%09000d\"", 1);
    cr_expect_eq(judge_claims(big), REASON_TOKEN_MALFORMED);
    mem_free(big);
}

Test(token, claims_are_taken_by_their_type)
{
    static const struct {
        const char *claims;
        enum reason reason;
    } cases[] = {
        {",\"sub\":\"zoe\"," AUD "," TIMES, REASON_PERMITTED},
        // sub
        {"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"\"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":7," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":null," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":[\"zoe\"]," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\\n\"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\\u0000\"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\\ud800\"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zo\xc3\"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\",\"sub\":\"zoe\"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\",\"su\\u0062\":\"adm\"," AUD "," TIMES, REASON_TOKEN_MALFORMED},
        // aud
        {",\"sub\":\"zoe\"," TIMES, REASON_TOKEN_AUDIENCE},
        {",\"sub\":\"zoe\",\"aud\":\"x\"," TIMES, REASON_TOKEN_AUDIENCE},
        {",\"sub\":\"zoe\",\"aud\":\"\"," TIMES, REASON_TOKEN_AUDIENCE},
        {",\"sub\":\"zoe\",\"aud\":[]," TIMES, REASON_TOKEN_AUDIENCE},
        {",\"sub\":\"zoe\",\"aud\":[\"x\",\"y\"]," TIMES, REASON_TOKEN_AUDIENCE},
        {",\"sub\":\"zoe\",\"aud\":\"https://leave.finance.example/\"," TIMES,
         REASON_TOKEN_AUDIENCE},
        {",\"sub\":\"zoe\",\"aud\":\"HTTPS://leave.finance.example\"," TIMES,
         REASON_TOKEN_AUDIENCE},
        {",\"sub\":\"zoe\",\"aud\":7," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\",\"aud\":{}," TIMES, REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\",\"aud\":[\"https://leave.finance.example\",7]," TIMES,
         REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\",\"aud\":[[\"https://leave.finance.example\"]]," TIMES,
         REASON_TOKEN_MALFORMED},
        // exp
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":1.9e9", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":1800000300.0",
         REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":\"1800000300\"",
         REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":-1", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":true", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":99999999999999999999999",
         REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":9223372036854775807",
         REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":9007199254740992",
         REASON_TOKEN_EXPIRED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1799990000,\"exp\":0", REASON_TOKEN_EXPIRED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1799990000,\"exp\":1799999970", REASON_TOKEN_EXPIRED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1799990000,\"exp\":1799999971", REASON_PERMITTED},
        // its age
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":1800086401", REASON_TOKEN_EXPIRED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1800000000,\"exp\":1800086400", REASON_PERMITTED},
        {",\"sub\":\"zoe\"," AUD ",\"iat\":1799913570,\"exp\":1799999971", REASON_TOKEN_EXPIRED},
        // iat, nbf, auth_time
        {",\"sub\":\"zoe\"," AUD ",\"exp\":1800000300", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"exp\":1800000300,\"iat\":1.8e9", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD ",\"exp\":1800000300,\"iat\":1800000031",
         REASON_TOKEN_NOT_YET_VALID},
        {",\"sub\":\"zoe\"," AUD ",\"exp\":1800000300,\"iat\":1800000030", REASON_PERMITTED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"nbf\":1800000031", REASON_TOKEN_NOT_YET_VALID},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"nbf\":\"0\"", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"auth_time\":\"0\"", REASON_TOKEN_MALFORMED},
        // groups and the like
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":[]", REASON_PERMITTED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":\"tax\"", REASON_PERMITTED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":[\"tax\",7]", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":{\"tax\":true}", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":[\"a\\tb\"]", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":[\"\"]", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"scope\":[\"read\"]", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"acr\":7", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"amr\":{}", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"client_id\":7", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"azp\":[]", REASON_TOKEN_MALFORMED},
        // cnf
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"cnf\":7", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"cnf\":{}", REASON_TOKEN_BINDING},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"cnf\":{\"jkt\":\"AA\"}", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"cnf\":{\"x5t#S256\":7}", REASON_TOKEN_MALFORMED},
        {",\"sub\":\"zoe\"," AUD "," TIMES ",\"cnf\":{\"x5t#S256\":\"AA\"}",
         REASON_TOKEN_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(judge_claims(cases[i].claims), cases[i].reason, "%s", cases[i].claims);
}

Test(token, lists_are_as_long_as_conditions_expect)
{
    char claims[8192];
    for (int count = CEL_LIST_BOUND; count <= CEL_LIST_BOUND + 1; count++) {
        size_t len = (size_t)snprintf(claims, sizeof claims,
                                      ",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":[\"g\"");
        for (int i = 1; i < count; i++)
            len += (size_t)snprintf(claims + len, sizeof claims - len, ",\"g\"");
        (void)snprintf(claims + len, sizeof claims - len, "]");
        cr_expect_eq(judge_claims(claims),
                     count == CEL_LIST_BOUND ? REASON_PERMITTED : REASON_TOKEN_MALFORMED);
    }
    (void)snprintf(claims, sizeof claims,
                   ",\"sub\":\"zoe\"," AUD "," TIMES ",\"groups\":[\"%0129d\"]", 1);
    cr_expect_eq(judge_claims(claims), REASON_TOKEN_MALFORMED);
    (void)snprintf(claims, sizeof claims, ",\"sub\":\"%0257d\"," AUD "," TIMES, 1);
    cr_expect_eq(judge_claims(claims), REASON_TOKEN_MALFORMED);
}

Test(token, a_payload_of_another_form_is_refused)
{
    static const char *const payloads[] = {
        "", "[]", "\"x\"", "null", "{", "{}x", "{\"a\":1,\"a\":1}", "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
        cr_expect_eq(judge(HEAD_EC, payloads[i], ec, JOSE_RIGHT), REASON_TOKEN_MALFORMED, "%s",
                     payloads[i]);
    // A token within a token.
    char *inner = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    cr_expect_eq(judge(HEAD_EC, inner, ec, JOSE_RIGHT), REASON_TOKEN_MALFORMED);
    mem_free(inner);
    // More open brackets than any reader has room for.
    char deep[4096];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    cr_expect_eq(judge(HEAD_EC, deep, ec, JOSE_RIGHT), REASON_TOKEN_MALFORMED);
}

Test(token, the_issuer_is_compared_by_the_letter)
{
    static const char *const issuers[] = {"\"" ISSUER "/\"",
                                          "\"HTTPS://idp.finance.example\"",
                                          "\"https://idp.finance.example.evil\"",
                                          "\"\"",
                                          "7",
                                          "[\"" ISSUER "\"]",
                                          "null"};
    char payload[1024];
    for (size_t i = 0; i < sizeof issuers / sizeof issuers[0]; i++) {
        (void)snprintf(payload, sizeof payload, "{\"iss\":%s,\"sub\":\"zoe\"," AUD "," TIMES "}",
                       issuers[i]);
        cr_expect_eq(judge(HEAD_EC, payload, ec, JOSE_RIGHT), REASON_TOKEN_ISSUER, "%s",
                     issuers[i]);
    }
    cr_expect_eq(judge(HEAD_EC, "{\"sub\":\"zoe\"," AUD "," TIMES "}", ec, JOSE_RIGHT),
                 REASON_TOKEN_ISSUER);
    app.provider_count = 0;
    cr_expect_eq(judge(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT), REASON_TOKEN_ISSUER);
}

Test(token, levels_are_read_from_acr_then_from_amr)
{
    static const struct {
        const char *claims;
        int64_t level;
    } cases[] = {
        {"", 0},
        {",\"acr\":\"urn:be:fedict:iam:fas:Level500\"", 500},
        {",\"acr\":\"urn:be:fedict:iam:fas:citizen:Level400\"", 400},
        {",\"acr\":\"urn:be:fedict:iam:fas:enterprise:Level300\"", 300},
        {",\"amr\":\"urn:be:fedict:iam:fas:Level450\"", 450},
        {",\"amr\":[\"eid\",\"urn:be:fedict:iam:fas:Level200\",\"urn:be:fedict:iam:fas:Level400\"]",
         400},
        {",\"acr\":\"urn:be:fedict:iam:fas:Level200\",\"amr\":[\"urn:be:fedict:iam:fas:Level500\"]",
         200},
        {",\"acr\":\"other\",\"amr\":[\"urn:be:fedict:iam:fas:Level500\"]", 500},
        {",\"acr\":\"urn:be:fedict:iam:fas:partner:Level500\"", 0},
        {",\"acr\":\"urn:be:fedict:iam:fas:citizen:enterprise:Level500\"", 0},
        {",\"acr\":\"urn:be:fedict:iam:fas:Level5000\"", 0},
        {",\"acr\":\"urn:be:fedict:iam:fas:Level50\"", 0},
        {",\"acr\":\"urn:be:fedict:iam:fas:Level5x0\"", 0},
        {",\"acr\":\"urn:be:fedict:iam:fas:level500\"", 0},
        {",\"acr\":\"xurn:be:fedict:iam:fas:Level500\"", 0},
        {",\"acr\":\"urn:be:fedict:iam:fas:Level500 \"", 0},
        {",\"acr\":\"500\"", 0},
    };
    char payload[2048];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct token_answer answer;
        (void)snprintf(payload, sizeof payload,
                       "{\"iss\":\"" ISS "\",\"sub\":\"zoe\"," AUD "," TIMES "%s}",
                       cases[i].claims);
        char *token = jose_token(HEAD_EC, payload, ec, JOSE_RIGHT);
        cr_assert_eq(judge_bytes(token, &answer), REASON_PERMITTED);
        cr_expect_eq(token_user(answer.token)->acr_level, cases[i].level, "%s", cases[i].claims);
        token_release(answer.token);
        mem_free(token);
    }
}

Test(token, without_a_kid_only_a_few_keys_are_tried)
{
    static const char head[] = "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}";
    for (size_t count = 4; count <= 5; count++) {
        char *jwks[5];
        for (size_t i = 0; i < count; i++) {
            EVP_PKEY *more = i + 1 < count ? pki_key_make(PKI_P256) : NULL;
            jwks[i] = jose_jwk(more ? more : ec, NULL, "");
            EVP_PKEY_free(more);
        }
        table_use(set_of(jwks, count));
        cr_expect_eq(judge(head, PAYLOAD, ec, JOSE_RIGHT),
                     count == 4 ? REASON_PERMITTED : REASON_TOKEN_KEY_UNKNOWN);
        token_cache_free(cache);
        cache = token_cache_new(8, &metrics);
    }
}

Test(token, who_is_asked_for_keys_is_said)
{
    struct token_answer answer;
    char *token = jose_token("{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"new\"}", PAYLOAD, ec,
                             JOSE_RIGHT);
    cr_expect_eq(judge_bytes(token, &answer), REASON_TOKEN_KEY_UNKNOWN);
    cr_expect_eq(answer.wanted, &provider);
    issuers_unref(table);
    table = issuers_new(NULL, 0);
    question.issuers = table;
    cr_expect_eq(judge_bytes(token, &answer), REASON_KEYS_UNAVAILABLE);
    cr_expect_eq(answer.wanted, &provider);
    mem_free(token);
}

Test(token, keys_that_are_too_old_are_not_used)
{
    char *token = jose_token(HEAD_EC,
                             "{\"iss\":\"" ISS "\",\"sub\":\"zoe\"," AUD
                             ",\"iat\":1800080000,\"exp\":1800090000}",
                             ec, JOSE_RIGHT);
    question.now.s = NOW_S + DAY_S;
    cr_expect_eq(judge_bytes(token, NULL), REASON_PERMITTED);
    question.now.s++;
    cr_expect_eq(judge_bytes(token, NULL), REASON_KEYS_UNAVAILABLE, "also for one that is known");
    mem_free(token);
}

/* The cache */

Test(token, the_second_time_costs_no_verification)
{
    struct token_answer first;
    struct token_answer second;
    char *token = jose_token(HEAD_RSA, PAYLOAD, rsa, JOSE_RIGHT);
    cr_assert_eq(judge_bytes(token, &first), REASON_PERMITTED);
    cr_assert_eq(judge_bytes(token, &second), REASON_PERMITTED);
    cr_expect_eq(first.token, second.token);
    cr_expect_eq(metric_get(&metrics, METRIC_TOKEN_VERIFICATIONS_TOTAL), 1);
    cr_expect_eq(metric_get(&metrics, METRIC_TOKEN_CACHE_HITS_TOTAL), 1);
    token_release(first.token);
    token_release(second.token);
    mem_free(token);
}

Test(token, a_known_token_still_ends)
{
    char *token = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    cr_expect_eq(judge_bytes(token, NULL), REASON_PERMITTED);
    question.now.s = 1800000329; // within the leeway
    cr_expect_eq(judge_bytes(token, NULL), REASON_PERMITTED);
    question.now.s = 1800000330;
    cr_expect_eq(judge_bytes(token, NULL), REASON_TOKEN_EXPIRED);
    cr_expect_eq(judge_bytes(token, NULL), REASON_TOKEN_EXPIRED);
    mem_free(token);
}

Test(token, a_known_token_is_not_yet_valid_where_the_clock_went_back)
{
    char *token = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    cr_expect_eq(judge_bytes(token, NULL), REASON_PERMITTED);
    question.now.s = 1799999990 - 31;
    cr_expect_eq(judge_bytes(token, NULL), REASON_TOKEN_NOT_YET_VALID);
    mem_free(token);
}

Test(token, a_known_token_ends_with_its_key)
{
    char *token = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    cr_expect_eq(judge_bytes(token, NULL), REASON_PERMITTED);
    keys_usual(); // another set with the same keys: nothing is verified again
    cr_expect_eq(judge_bytes(token, NULL), REASON_PERMITTED);
    cr_expect_eq(metric_get(&metrics, METRIC_TOKEN_VERIFICATIONS_TOTAL), 1);
    char *without[] = {jose_jwk(rsa, "rsa-1", "")};
    table_use(set_of(without, 1));
    cr_expect_eq(judge_bytes(token, NULL), REASON_TOKEN_KEY_UNKNOWN);
    char *replaced[] = {jose_jwk(stranger, "ec-1", "")};
    table_use(set_of(replaced, 1));
    cr_expect_eq(judge_bytes(token, NULL), REASON_TOKEN_SIGNATURE);
    mem_free(token);
}

Test(token, a_bound_token_is_worth_nothing_from_another_certificate)
{
    struct facts_device mine = {.digest = {1, 2, 3}};
    struct facts_device another = {.digest = {1, 2, 4}};
    char thumbprint[44] = {0};
    char payload[1024];
    base64url_encode(thumbprint, mine.digest, 32);
    (void)snprintf(payload, sizeof payload,
                   "{\"iss\":\"" ISS "\",\"sub\":\"zoe\"," AUD "," TIMES
                   ",\"cnf\":{\"x5t#S256\":\"%s\"}}",
                   thumbprint);
    char *token = jose_token(HEAD_EC, payload, ec, JOSE_RIGHT);
    const struct {
        const struct facts_device *device;
        enum reason reason;
    } uses[] = {{NULL, REASON_TOKEN_BINDING}, {&another, REASON_TOKEN_BINDING},
                {&mine, REASON_PERMITTED},    {&another, REASON_TOKEN_BINDING},
                {NULL, REASON_TOKEN_BINDING}, {&mine, REASON_PERMITTED}};
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        question.device = uses[i].device;
        cr_expect_eq(judge_bytes(token, NULL), uses[i].reason, "use %zu", i);
    }
    mem_free(token);
    // Bound to a key as well, of which there is no proof.
    (void)snprintf(payload, sizeof payload,
                   "{\"iss\":\"" ISS "\",\"sub\":\"zoe\"," AUD "," TIMES
                   ",\"cnf\":{\"x5t#S256\":\"%s\",\"jkt\":\"%s\"}}",
                   thumbprint, thumbprint);
    question.device = &mine;
    cr_expect_eq(judge(HEAD_EC, payload, ec, JOSE_RIGHT), REASON_TOKEN_BINDING);
}

Test(token, the_same_bytes_at_another_entity_are_another_token)
{
    struct token_answer here;
    struct token_answer there;
    char *token = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    cr_assert_eq(judge_bytes(token, &here), REASON_PERMITTED);
    question.app = &other_app;
    other.audiences = (struct slices){NULL, 0};
    cr_expect_eq(judge_bytes(token, NULL), REASON_TOKEN_AUDIENCE);
    other.audiences = provider.audiences;
    cr_assert_eq(judge_bytes(token, &there), REASON_PERMITTED);
    cr_expect_neq(here.token, there.token);
    token_release(here.token);
    token_release(there.token);
    mem_free(token);
}

Test(token, changed_settings_of_the_provider_end_what_was_known)
{
    char *token = jose_token(HEAD_EC, PAYLOAD, ec, JOSE_RIGHT);
    cr_expect_eq(judge_bytes(token, NULL), REASON_PERMITTED);
    provider.audiences.count = 0;
    provider.digest[0] = 9;
    keys_usual();
    cr_expect_eq(judge_bytes(token, NULL), REASON_TOKEN_AUDIENCE);
    mem_free(token);
}

Test(token, the_cache_is_bounded_and_drops_what_was_used_longest_ago)
{
    char *tokens[10];
    char payload[512];
    struct token_answer held;
    for (int i = 0; i < 10; i++) {
        (void)snprintf(payload, sizeof payload,
                       "{\"iss\":\"" ISS "\",\"sub\":\"p%d\"," AUD "," TIMES "}", i);
        tokens[i] = jose_token(HEAD_EC, payload, ec, JOSE_RIGHT);
    }
    cr_assert_eq(judge_bytes(tokens[1], &held), REASON_PERMITTED);
    for (int i = 0; i < 8; i++)
        cr_expect_eq(judge_bytes(tokens[i], NULL), REASON_PERMITTED);
    cr_expect_eq(judge_bytes(tokens[0], NULL), REASON_PERMITTED); // used again: 1 is the oldest
    cr_expect_eq(judge_bytes(tokens[8], NULL), REASON_PERMITTED);
    cr_expect_eq(judge_bytes(tokens[9], NULL), REASON_PERMITTED);
    int64_t verified = metric_get(&metrics, METRIC_TOKEN_VERIFICATIONS_TOTAL);
    cr_expect_eq(judge_bytes(tokens[0], NULL), REASON_PERMITTED);
    cr_expect_eq(metric_get(&metrics, METRIC_TOKEN_VERIFICATIONS_TOTAL), verified);
    cr_expect_eq(judge_bytes(tokens[1], NULL), REASON_PERMITTED);
    cr_expect_eq(metric_get(&metrics, METRIC_TOKEN_VERIFICATIONS_TOTAL), verified + 1);
    // What an exchange holds lives on, also when the cache is gone.
    token_cache_free(cache);
    cache = NULL;
    cr_expect(slice_eq(token_user(held.token)->subject, SLICE("p1")));
    token_release(held.token);
    for (int i = 0; i < 10; i++)
        mem_free(tokens[i]);
}

/* RFC 7662 §2.2 */
Test(token, what_a_provider_tells_is_judged_as_if_it_stood_in_the_token)
{
    static const struct {
        const char *body;
        enum reason reason;
    } cases[] = {
        {"{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD "," TIMES "}",
         REASON_PERMITTED},
        {"{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD "}", REASON_PERMITTED},
        {"{\"active\":false}", REASON_TOKEN_INACTIVE},
        {"{\"active\":false,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD "," TIMES "}",
         REASON_TOKEN_INACTIVE},
        {"{\"active\":\"true\",\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD "," TIMES "}",
         REASON_TOKEN_INACTIVE},
        {"{}", REASON_TOKEN_INACTIVE},
        {"", REASON_TOKEN_MALFORMED},
        {"[]", REASON_TOKEN_MALFORMED},
        {"{\"active\":true,\"active\":true}", REASON_TOKEN_MALFORMED},
        // a refresh token
        {"{\"active\":true,\"sub\":\"zoe\"," AUD "," TIMES "}", REASON_TOKEN_TYPE},
        {"{\"active\":true,\"token_type\":\"N_A\",\"sub\":\"zoe\"," AUD "," TIMES "}",
         REASON_TOKEN_TYPE},
        {"{\"active\":true,\"token_type\":\"Bearer\",\"iss\":\"https://other.example\","
         "\"sub\":\"zoe\"," AUD "," TIMES "}",
         REASON_TOKEN_ISSUER},
        {"{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," TIMES "}",
         REASON_TOKEN_AUDIENCE},
        {"{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\",\"aud\":\"x\"," TIMES "}",
         REASON_TOKEN_AUDIENCE},
        {"{\"active\":true,\"token_type\":\"Bearer\"," AUD "," TIMES "}", REASON_TOKEN_MALFORMED},
        {"{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD
         ",\"iat\":1799990000,\"exp\":1799999970}",
         REASON_TOKEN_EXPIRED},
        {"{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD "," TIMES
         ",\"nbf\":1800000031}",
         REASON_TOKEN_NOT_YET_VALID},
        {"{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD "," TIMES
         ",\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}",
         REASON_TOKEN_BINDING},
    };
    provider.introspection =
        (struct introspection){.endpoint = SLICE("https://idp.example/i"), .max_age_s = 60};
    question.bytes = SLICE("opaque");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct token_answer answer;
        token_cache_free(cache);
        cache = token_cache_new(16, &metrics);
        cr_expect_eq(token_told(cache, &question, &provider, slice_of(cases[i].body), &answer),
                     cases[i].reason, "%s", cases[i].body);
        token_release(answer.token);
    }
}

Test(token, what_was_told_counts_for_its_time_and_for_what_began_with_it)
{
    struct token_answer answer;
    struct token_answer again;
    provider.introspection =
        (struct introspection){.endpoint = SLICE("https://idp.example/i"), .max_age_s = 60};
    question.bytes = SLICE("opaque");
    cr_expect_eq(token_judge(cache, &question, &answer), REASON_TOKEN_MALFORMED);
    cr_expect_eq(answer.asked, &provider);
    cr_assert_eq(token_told(cache, &question, &provider,
                            SLICE("{\"active\":true,\"token_type\":\"Bearer\",\"sub\":\"zoe\"," AUD
                                  "," TIMES "}"),
                            &answer),
                 REASON_PERMITTED);
    question.now.s = NOW_S + 59;
    cr_expect_eq(token_judge(cache, &question, &again), REASON_PERMITTED);
    token_release(again.token);
    question.now.s = NOW_S + 60;
    question.held = answer.token;
    cr_expect_eq(token_judge(cache, &question, &again), REASON_PERMITTED);
    token_release(again.token);
    question.held = NULL;
    cr_expect_eq(token_judge(cache, &question, &again), REASON_TOKEN_MALFORMED);
    cr_expect_eq(again.asked, &provider);
    token_release(answer.token);
    question.bytes = SLICE("not opaque");
    cr_expect_eq(token_judge(cache, &question, &again), REASON_TOKEN_MALFORMED);
    cr_expect_null(again.asked);
}
