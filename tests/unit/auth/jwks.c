// SPDX-License-Identifier: EUPL-1.2
/* Which keys of a provider's set are used, and which sets are refused as a whole. */
#include "auth/jwks.h"

#include <criterion/criterion.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/mem.h"
#include "jose.h"
#include "pki.h"

#define BOTH (1u << ALGORITHM_RS256 | 1u << ALGORITHM_ES256)

static const struct wall now = {NOW_S};
static EVP_PKEY *rsa;
static EVP_PKEY *ec;

static void begin(void)
{
    base_init();
    rsa = pki_key_make(PKI_RSA2048);
    ec = pki_key_make(PKI_P256);
}

static void end(void)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

TestSuite(jwks, .init = begin, .fini = end);

/* Parses a set of these JWKs, frees them; NULL where it is refused. */
static struct key_set *parse(char **jwks, size_t count, uint32_t algorithms)
{
    struct fault fault = {0};
    char *text = jose_set(jwks, count);
    struct key_set *set = key_set_parse(slice_of(text), algorithms, now, &fault);
    cr_assert(set || fault.text[0]);
    for (size_t i = 0; i < count; i++)
        mem_free(jwks[i]);
    mem_free(text);
    return set;
}

Test(jwks, the_keys_are_those_of_the_set)
{
    char *jwks[] = {jose_jwk(rsa, "one", ",\"use\":\"sig\",\"alg\":\"RS256\""),
                    jose_jwk(ec, "two", ",\"key_ops\":[\"verify\"]")};
    struct key_set *set = parse(jwks, 2, BOTH);
    cr_assert_not_null(set);
    cr_expect_eq(set->count, 2);
    cr_expect_eq(set->keys[0].key.algorithm, ALGORITHM_RS256);
    cr_expect_eq(EVP_PKEY_eq(set->keys[0].key.pkey, rsa), 1);
    cr_expect_eq(set->keys[1].key.algorithm, ALGORITHM_ES256);
    cr_expect_eq(EVP_PKEY_eq(set->keys[1].key.pkey, ec), 1);
    cr_expect(slice_eq(set->keys[1].kid, SLICE("two")));
    cr_expect_eq(set->fetched_at.s, NOW_S);
    key_set_unref(set);
}

Test(jwks, keys_for_something_else_are_left_out)
{
    static const char *const more[] = {
        ",\"use\":\"enc\"",
        ",\"use\":7",
        ",\"key_ops\":[\"encrypt\"]",
        ",\"key_ops\":\"verify\"",
        ",\"key_ops\":[]",
        ",\"alg\":\"PS256\"",
        ",\"alg\":\"RS512\"",
        ",\"alg\":\"none\"",
        ",\"alg\":\"HS256\"",
        ",\"alg\":7",
        ",\"alg\":\"ES256\"",
    };
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        char *jwks[] = {jose_jwk(rsa, "one", more[i]), jose_jwk(ec, "two", "")};
        struct key_set *set = parse(jwks, 2, BOTH);
        cr_assert_not_null(set, "%s", more[i]);
        cr_expect_eq(set->count, 1, "%s", more[i]);
        cr_expect_eq(set->skipped, 1);
        key_set_unref(set);
    }
}

Test(jwks, only_the_providers_algorithms_count)
{
    char *jwks[] = {jose_jwk(rsa, "one", ""), jose_jwk(ec, "two", "")};
    struct key_set *set = parse(jwks, 2, 1u << ALGORITHM_ES256);
    cr_assert_not_null(set);
    cr_expect_eq(set->count, 1);
    cr_expect_eq(set->keys[0].key.algorithm, ALGORITHM_ES256);
    key_set_unref(set);
}

static struct key_set *parse_text(const char *text, enum key_use use, uint32_t algorithms)
{
    struct fault fault;
    return key_set_parse_for(use, slice_of(text), algorithms, (struct wall){NOW_S}, &fault);
}

#define ED25519_JWK                                                                                \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\","                                           \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define ALL (UINT32_MAX)

Test(jwks, a_key_is_for_the_algorithm_that_it_names_or_the_first_of_its_kind)
{
    EVP_PKEY *p384 = pki_key_make(PKI_P384);
    const struct {
        char *jwk;
        uint32_t algorithms;
        enum algorithm is;
    } rows[] = {
        {jose_jwk(rsa, "k", ""), ALL, ALGORITHM_RS256},
        {jose_jwk(rsa, "k", ""), 1u << ALGORITHM_PS384 | 1u << ALGORITHM_RS512, ALGORITHM_RS512},
        {jose_jwk(rsa, "k", ",\"alg\":\"PS512\""), ALL, ALGORITHM_PS512},
        {jose_jwk(rsa, "k", ",\"alg\":\"PS512\""), 1u << ALGORITHM_RS256, ALGORITHM_NONE},
        {jose_jwk(ec, "k", ""), ALL, ALGORITHM_ES256},
        {jose_jwk(ec, "k", ""), 1u << ALGORITHM_ES384, ALGORITHM_NONE},
        {jose_jwk(ec, "k", ",\"alg\":\"ES384\""), ALL, ALGORITHM_NONE}, // not its curve
        {jose_jwk(ec, "k", ",\"alg\":\"RS256\""), ALL, ALGORITHM_NONE},
        {jose_jwk(p384, "k", ""), ALL, ALGORITHM_ES384},
        {jose_jwk(p384, "k", ",\"alg\":\"ES256\""), ALL, ALGORITHM_NONE},
        {jose_jwk(p384, "k", ""), 1u << ALGORITHM_ES256, ALGORITHM_NONE},
        {mem_text(SLICE(ED25519_JWK)), ALL, ALGORITHM_ED25519},
        {mem_text(SLICE(ED25519_JWK ",\"alg\":\"EdDSA\"")), ALL, ALGORITHM_ED25519},
        {mem_text(SLICE(ED25519_JWK ",\"alg\":\"ES256\"")), ALL, ALGORITHM_NONE},
        {mem_text(SLICE(ED25519_JWK)), BOTH, ALGORITHM_NONE},
        {mem_text(SLICE(ED25519_JWK ",\"d\":\"AAAA\"")), ALL, ALGORITHM_NONE},
        {mem_text(SLICE("\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":"
                        "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"")),
         ALL, ALGORITHM_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *jwk = rows[i].jwk;
        char *jwks[] = {jwk};
        char *text = jose_set(jwks, 1);
        struct key_set *set = parse_text(text, KEY_USE_SIGNATURES, rows[i].algorithms);
        cr_expect_eq(set != NULL, rows[i].is != ALGORITHM_NONE, "row %zu", i);
        if (set)
            cr_expect_eq(set->keys[0].key.algorithm, rows[i].is, "row %zu", i);
        key_set_unref(set);
        mem_free(text);
        mem_free(jwk);
    }
    EVP_PKEY_free(p384);
}

Test(jwks, a_trust_domains_keys_are_those_for_its_jwts)
{
    static const struct {
        const char *more;
        bool is_svid, is_other;
    } rows[] = {{",\"use\":\"jwt-svid\"", true, false},
                {",\"use\":\"x509-svid\"", false, false},
                {",\"use\":\"sig\"", false, true},
                {"", false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *jwk = jose_jwk(ec, "k", rows[i].more);
        char *jwks[] = {jwk};
        char *text = jose_set(jwks, 1);
        struct key_set *svid = parse_text(text, KEY_USE_JWT_SVID, ALL);
        struct key_set *other = parse_text(text, KEY_USE_SIGNATURES, ALL);
        cr_expect_eq(svid != NULL, rows[i].is_svid, "%s", rows[i].more);
        cr_expect_eq(other != NULL, rows[i].is_other, "%s", rows[i].more);
        key_set_unref(svid);
        key_set_unref(other);
        mem_free(text);
        mem_free(jwk);
    }
    char *nameless = jose_jwk(ec, NULL, ",\"use\":\"jwt-svid\"");
    char *jwks[] = {nameless};
    char *text = jose_set(jwks, 1);
    cr_expect_null(parse_text(text, KEY_USE_JWT_SVID, ALL));
    mem_free(text);
    mem_free(nameless);
}

/* The example of RFC 7638 §3.1, and that of RFC 8037 A.3. */
Test(jwks, a_thumbprint_is_that_of_the_rfcs_examples)
{
    static const struct {
        const char *jwk, *thumbprint;
    } rows[] = {
        {"{\"kty\":\"RSA\",\"n\":"
         "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
         "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
         "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"
         "bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\","
         "\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}",
         "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *jwk = jtree_parse(slice_of(rows[i].jwk));
        uint8_t digest[32];
        char text[64] = "";
        cr_assert(jwk_thumbprint(digest, jwk));
        text[base64url_encode(text, digest, sizeof digest)] = '\0';
        cr_expect_str_eq(text, rows[i].thumbprint);
        json_decref(jwk);
    }
}

Test(jwks, weak_and_foreign_keys_are_not_used)
{
    EVP_PKEY *weak = pki_key_make(PKI_RSA1024);
    EVP_PKEY *other = pki_key_make(PKI_P384);
    char *jwks[] = {jose_jwk(weak, "weak", ""), jose_jwk(other, "other", "")};
    cr_expect_null(parse(jwks, 2, BOTH));
    EVP_PKEY_free(other);
    EVP_PKEY_free(weak);
}

Test(jwks, a_point_beside_the_curve_is_not_used)
{
    char *jwk = jose_jwk(ec, "two", "");
    char *y = strstr(jwk, "\"y\":\"") + 5;
    y[3] = y[3] == 'A' ? 'B' : 'A';
    cr_expect_null(parse(&jwk, 1, BOTH));
}

Test(jwks, a_secret_in_it_ends_the_whole_set)
{
    static const char *const more[] = {",\"d\":\"AQAB\"",  ",\"p\":\"AQAB\"", ",\"q\":\"AQAB\"",
                                       ",\"dp\":\"AQAB\"", ",\"oth\":[]",     ",\"k\":\"AQAB\""};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        char *jwks[] = {jose_jwk(ec, "two", ""), jose_jwk(rsa, "one", more[i])};
        cr_expect_null(parse(jwks, 2, BOTH), "%s", more[i]);
    }
    char *symmetric[] = {jose_jwk(ec, "two", ""), mem_text(SLICE("\"kty\":\"oct\""))};
    cr_expect_null(parse(symmetric, 2, BOTH));
    // Also where the kind of key is not known, or is not ours.
    char *unknown[] = {jose_jwk(ec, "two", ""), mem_text(SLICE("\"kty\":\"OKP\",\"d\":\"AA\""))};
    cr_expect_null(parse(unknown, 2, BOTH));
}

Test(jwks, one_kid_for_two_keys_ends_the_whole_set)
{
    EVP_PKEY *second = pki_key_make(PKI_P256);
    char *jwks[] = {jose_jwk(ec, "same", ""), jose_jwk(second, "same", "")};
    cr_expect_null(parse(jwks, 2, BOTH));
    // One name for two algorithms is no confusion: a token says its algorithm.
    char *two[] = {jose_jwk(ec, "same", ""), jose_jwk(rsa, "same", "")};
    struct key_set *set = parse(two, 2, BOTH);
    cr_expect(set && set->count == 2);
    key_set_unref(set);
    char *unnamed[] = {jose_jwk(ec, NULL, ""), jose_jwk(second, NULL, "")};
    set = parse(unnamed, 2, BOTH);
    cr_expect(set && set->count == 2);
    key_set_unref(set);
    EVP_PKEY_free(second);
}

Test(jwks, what_is_no_key_set_is_refused)
{
    static const struct slice texts[] = {
        SLICE_INIT(""),
        SLICE_INIT("{}"),
        SLICE_INIT("[]"),
        SLICE_INIT("{\"keys\":{}}"),
        SLICE_INIT("{\"keys\":[]}"),
        SLICE_INIT("{\"keys\":[1]}"),
        SLICE_INIT("{\"keys\":[],\"keys\":[]}"),
        SLICE_INIT("{\"keys\":[{\"kty\":\"EC\"}]}"),
        SLICE_INIT("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}"),
        SLICE_INIT("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}]}"),
        SLICE_INIT("{\"keys\":[{\"kty\":\"RSA\",\"n\":1,\"e\":2}]}"),
        SLICE_INIT("{\"keys\":[{\"kty\":7}]}"),
    };
    struct fault fault;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect_null(key_set_parse(texts[i], BOTH, now, &fault), "%s", texts[i].ptr);
}

Test(jwks, a_set_has_at_most_so_many_keys)
{
    char *jwks[KEY_SET_MAX_KEYS + 1];
    char kid[32];
    for (size_t i = 0; i <= KEY_SET_MAX_KEYS; i++) {
        (void)snprintf(kid, sizeof kid, "key-%zu", i);
        jwks[i] = jose_jwk(ec, kid, "");
    }
    cr_expect_null(parse(jwks, KEY_SET_MAX_KEYS + 1, BOTH));
}

Test(jwks, every_set_has_a_generation_of_its_own)
{
    char *first[] = {jose_jwk(ec, "one", "")};
    char *second[] = {jose_jwk(ec, "one", "")};
    struct key_set *a = parse(first, 1, BOTH);
    struct key_set *b = parse(second, 1, BOTH);
    cr_assert(a && b);
    cr_expect_neq(a->generation, b->generation);
    key_set_unref(a);
    key_set_unref(b);
}
