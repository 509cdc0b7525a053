// SPDX-License-Identifier: EUPL-1.2
/* Every kind of JWT that goes about, given to everybody who takes one: with one key, one issuer and
 * one audience for all of them, which is the worst that a provider can do. */
#include "auth/jws.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/mem.h"
#include "jose.h"
#include "pki.h"

#define COMMON                                                                                     \
    "\"iss\":\"https://idp.example\",\"sub\":\"spiffe://finance.example/zoe\","                    \
    "\"aud\":\"client\",\"iat\":1799999990,\"exp\":1800000060"
#define EVENT "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"

static EVP_PKEY *ec;
static struct key_set *set;
static struct slice audiences[] = {SLICE_INIT("client")};
static struct slice strict[] = {SLICE_INIT("at+jwt")};
static struct slice weak[] = {SLICE_INIT("at+jwt"), SLICE_INIT("jwt"), SLICE_INIT("")};

static void begin(void)
{
    struct fault fault;
    base_init();
    ec = pki_key_make(PKI_P256);
    char *jwk = jose_jwk(ec, "k", "");
    char *text = jose_set(&jwk, 1);
    set = key_set_parse(slice_of(text), 1u << ALGORITHM_ES256, (struct wall){NOW_S}, &fault);
    cr_assert(set);
    mem_free(text);
    mem_free(jwk);
}

static void end(void)
{
    key_set_unref(set);
    EVP_PKEY_free(ec);
}

TestSuite(jws, .init = begin, .fini = end);

static struct jws_demand demand_of(enum jws_kind kind, bool is_weak)
{
    return (struct jws_demand){.kind = kind,
                               .types =
                                   is_weak ? (struct slices){weak, 3} : (struct slices){strict, 1},
                               .algorithms = 1u << ALGORITHM_ES256,
                               .keys = set,
                               .audiences = {audiences, 1},
                               .leeway_s = 30,
                               .now = {NOW_S}};
}

static enum reason judge(const char *header, const char *payload, const struct jws_demand *demand)
{
    struct jws jws;
    char *text = jose_token(header, payload, ec, JOSE_RIGHT);
    enum reason reason = jws_parse(&jws, slice_of(text));
    if (reason == REASON_PERMITTED)
        reason = jws_judge(&jws, demand, NULL);
    cr_assert_eq(reason == REASON_PERMITTED, jws.key != NULL);
    jws_fini(&jws);
    mem_free(text);
    return reason;
}

#define HEAD(typ) "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"" typ "\"}"
#define BARE "{\"alg\":\"ES256\",\"kid\":\"k\"}"
#define KIND(kind) (1u << (kind))
#define WEAK_ACCESS (1u << JWS_KIND_COUNT) /* with token_types: [at+jwt, jwt] and none said */

/* RFC 8725 §3.11 and §3.12 */
Test(jws, no_kind_is_ever_taken_for_another)
{
    static const struct {
        const char *what, *header, *payload;
        unsigned taken_as;
    } rows[] = {
        {"access token", HEAD("at+jwt"), "{" COMMON ",\"jti\":\"1\",\"client_id\":\"client\"}",
         KIND(JWS_ACCESS_TOKEN) | WEAK_ACCESS},
        {"access token with a long type", HEAD("application/AT+JWT"),
         "{" COMMON ",\"jti\":\"1\",\"client_id\":\"client\"}",
         KIND(JWS_ACCESS_TOKEN) | WEAK_ACCESS},
        {"ID token", HEAD("JWT"), "{" COMMON ",\"nonce\":\"n\"}", KIND(JWS_ID_TOKEN)},
        {"ID token without a type", BARE, "{" COMMON ",\"nonce\":\"n\",\"at_hash\":\"h\"}",
         KIND(JWS_ID_TOKEN)},
        {"ID token that says it is an access token", HEAD("at+jwt"), "{" COMMON ",\"nonce\":\"n\"}",
         0},
        {"logout token", HEAD("logout+jwt"), "{" COMMON ",\"jti\":\"1\"," EVENT "}",
         KIND(JWS_LOGOUT_TOKEN)},
        {"logout token of a weak type", HEAD("JWT"), "{" COMMON ",\"jti\":\"1\"," EVENT "}",
         KIND(JWS_LOGOUT_TOKEN)},
        {"logout token without a type", BARE, "{" COMMON ",\"jti\":\"1\"," EVENT "}",
         KIND(JWS_LOGOUT_TOKEN)},
        {"logout token with a nonce", HEAD("logout+jwt"),
         "{" COMMON ",\"jti\":\"1\",\"nonce\":\"n\"," EVENT "}", 0},
        {"logout token without the event", HEAD("logout+jwt"),
         "{" COMMON ",\"jti\":\"1\",\"events\":{\"other\":{}}}", 0},
        {"logout token whose event is no object", HEAD("logout+jwt"),
         "{" COMMON ",\"jti\":\"1\",\"events\":{\"http://schemas.openid.net/event/"
         "backchannel-logout\":true}}",
         0},
        {"logout token without jti", HEAD("logout+jwt"), "{" COMMON "," EVENT "}", 0},
        {"security event", HEAD("secevent+jwt"), "{" COMMON ",\"jti\":\"1\"," EVENT "}", 0},
        {"DPoP proof", HEAD("dpop+jwt"),
         "{" COMMON ",\"jti\":\"1\",\"htm\":\"GET\",\"htu\":\"https://a.example/\"}",
         KIND(JWS_DPOP_PROOF)},
        {"DPoP proof of a weak type", HEAD("JWT"),
         "{" COMMON ",\"jti\":\"1\",\"htm\":\"GET\",\"htu\":\"https://a.example/\"}", 0},
        {"JWT-SVID", HEAD("JOSE"), "{" COMMON "}", KIND(JWS_SVID)},
        {"introspection answer", HEAD("token-introspection+jwt"), "{" COMMON "}", 0},
        {"request object", HEAD("oauth-authz-req+jwt"), "{" COMMON ",\"nonce\":\"n\"}", 0},
        {"client assertion of the new type", HEAD("client-authentication+jwt"),
         "{" COMMON ",\"jti\":\"1\"}", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (enum jws_kind kind = 0; kind <= JWS_KIND_COUNT; kind++) {
            const bool is_weak = kind == JWS_KIND_COUNT;
            const struct jws_demand demand = demand_of(is_weak ? JWS_ACCESS_TOKEN : kind, is_weak);
            const bool is_taken =
                judge(rows[i].header, rows[i].payload, &demand) == REASON_PERMITTED;
            cr_expect_eq(is_taken, (rows[i].taken_as & 1u << kind) != 0, "%s as %d", rows[i].what,
                         (int)kind);
        }
    }
}

/* Our own assertions and client assertions have their own keys and issuer; under the provider's,
 * they are no more than what they say. */
Test(jws, what_we_sign_ourselves_is_for_others)
{
    struct jws_demand demand = demand_of(JWS_ACCESS_TOKEN, true);
    demand.issuer = SLICE("https://idp.example");
    cr_expect_eq(judge(HEAD("JWT"),
                       "{\"iss\":\"https://leave.finance.example\",\"aud\":\"client\","
                       "\"sub\":\"zoe\",\"iat\":1799999990,\"exp\":1800000050}",
                       &demand),
                 REASON_TOKEN_ISSUER);
    cr_expect_eq(judge(HEAD("JWT"),
                       "{\"iss\":\"client\",\"aud\":\"https://idp.example\",\"sub\":\"client\","
                       "\"jti\":\"1\",\"iat\":1799999990,\"exp\":1800000050}",
                       &demand),
                 REASON_TOKEN_ISSUER);
}

/* RFC 9068 §2.2 */
Test(jws, an_access_token_has_all_that_its_type_promises)
{
    static const char *const claims[] = {"\"iss\":\"https://idp.example\"",
                                         "\"sub\":\"zoe\"",
                                         "\"aud\":\"client\"",
                                         "\"exp\":1800000060",
                                         "\"iat\":1800000000",
                                         "\"jti\":\"1\"",
                                         "\"client_id\":\"c\""};
    const struct jws_demand demand = demand_of(JWS_ACCESS_TOKEN, false);
    for (size_t without = 0; without <= 7; without++) {
        char payload[512] = "{\"x\":1";
        for (size_t i = 0; i < 7; i++) {
            const size_t len = strlen(payload);
            if (i != without)
                (void)snprintf(payload + len, sizeof payload - len, ",%s", claims[i]);
        }
        const size_t len = strlen(payload);
        (void)snprintf(payload + len, sizeof payload - len, "}");
        cr_expect_eq(judge(HEAD("at+jwt"), payload, &demand) == REASON_PERMITTED, without == 7,
                     "%s", payload);
    }
}

/* OpenID Connect Core §3.1.3.7, 3 to 5 */
Test(jws, an_id_token_is_for_us_alone_or_says_that_we_are_meant)
{
    static const struct {
        const char *aud;
        bool is_fine;
    } rows[] = {
        {"\"client\"", true},
        {"[\"client\"]", true},
        {"[\"client\",\"other\"]", false},
        {"[\"client\",\"other\"],\"azp\":\"client\"", true},
        {"[\"client\",\"other\"],\"azp\":\"other\"", false},
        {"\"client\",\"azp\":\"client\"", true},
        {"\"client\",\"azp\":\"other\"", false},
        {"\"client\",\"azp\":7", false},
        {"\"other\"", false},
        {"[]", false},
        {"\"\"", false},
    };
    const struct jws_demand demand = demand_of(JWS_ID_TOKEN, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char payload[512];
        (void)snprintf(payload, sizeof payload,
                       "{\"iss\":\"i\",\"sub\":\"zoe\",\"iat\":1800000000,\"exp\":1800000060,"
                       "\"aud\":%s}",
                       rows[i].aud);
        cr_expect_eq(judge(HEAD("JWT"), payload, &demand) == REASON_PERMITTED, rows[i].is_fine,
                     "%s", rows[i].aud);
    }
}

/* RFC 7515 §4.1.11, RFC 7797 §6, RFC 7516 §4.1, RFC 7519 §5.2, RFC 8725 §3.10 */
Test(jws, a_header_says_nothing_that_another_reader_would_act_on)
{
    static const struct {
        const char *more;
        enum reason reason;
    } rows[] = {
        {"", REASON_PERMITTED},
        {",\"jku\":\"https://evil.example\",\"x5u\":\"https://evil.example\",\"x5c\":[\"x\"],"
         "\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}",
         REASON_PERMITTED}, // not looked at
        {",\"crit\":[\"exp\"]", REASON_TOKEN_CRITICAL},
        {",\"crit\":[]", REASON_TOKEN_CRITICAL},
        {",\"b64\":false", REASON_TOKEN_CRITICAL},
        {",\"b64\":true", REASON_TOKEN_CRITICAL},
        {",\"zip\":\"DEF\"", REASON_TOKEN_MALFORMED},
        {",\"enc\":\"A128GCM\"", REASON_TOKEN_MALFORMED},
        {",\"epk\":{}", REASON_TOKEN_MALFORMED},
        {",\"cty\":\"JWT\"", REASON_TOKEN_MALFORMED},
        {",\"alg\":\"ES256\"", REASON_TOKEN_MALFORMED}, // twice
        {",\"kid2\":1,\"kid2\":1", REASON_TOKEN_MALFORMED},
    };
    const struct jws_demand demand = demand_of(JWS_ID_TOKEN, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char header[512];
        (void)snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"kid\":\"k\"%s}", rows[i].more);
        cr_expect_eq(judge(header, "{" COMMON "}", &demand), rows[i].reason, "%s", rows[i].more);
    }
    struct jws jws;
    cr_expect_eq(jws_parse(&jws, SLICE("eyJhbGciOiJSU0EtT0FFUCJ9.AAAA.AAAA.AAAA.AAAA")),
                 REASON_TOKEN_MALFORMED); // a JWE
    jws_fini(&jws);
}

/* JWT-SVID §2.1 */
Test(jws, an_svid_is_signed_by_an_algorithm_of_rfc_7518)
{
    EVP_PKEY *ed = pki_key_make(PKI_ED25519);
    const struct public_key key = {.algorithm = ALGORITHM_ED25519, .pkey = ed};
    struct jws_demand demand = demand_of(JWS_SVID, false);
    char *text = jose_token("{\"alg\":\"EdDSA\"}", "{" COMMON "}", ec, JOSE_RIGHT);
    struct jws jws;
    demand.algorithms = UINT32_MAX;
    demand.key = &key;
    cr_assert_eq(jws_parse(&jws, slice_of(text)), REASON_PERMITTED);
    cr_expect_eq(jws_judge(&jws, &demand, NULL), REASON_TOKEN_ALGORITHM);
    jws_fini(&jws);
    mem_free(text);
    EVP_PKEY_free(ed);
}
