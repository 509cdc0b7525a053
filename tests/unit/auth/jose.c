// SPDX-License-Identifier: EUPL-1.2
/* See jose.h. */
#include "jose.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "base/codec.h"
#include "base/mem.h"

static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *print(const char *format, ...)
{
    char *out = mem_array(char, 32768);
    va_list arguments;
    va_start(arguments, format);
    const int len = vsnprintf(out, 32768, format, arguments);
    va_end(arguments);
    assert(len >= 0 && len < 32768);
    return out;
}

static void number(EVP_PKEY *key, const char *name, size_t width, char out[2048])
{
    BIGNUM *value = NULL;
    uint8_t bytes[1024];
    assert(EVP_PKEY_get_bn_param(key, name, &value));
    const size_t len = width ? width : (size_t)BN_num_bytes(value);
    assert(BN_bn2binpad(value, bytes, (int)len) == (int)len);
    out[base64url_encode(out, bytes, len)] = '\0';
    BN_free(value);
}

char *jose_jwk(EVP_PKEY *key, const char *kid, const char *more)
{
    char a[2048];
    char b[2048];
    char name[300] = "";
    if (kid)
        (void)snprintf(name, sizeof name, "\"kid\":\"%s\",", kid);
    if (EVP_PKEY_is_a(key, "RSA")) {
        number(key, OSSL_PKEY_PARAM_RSA_N, 0, a);
        number(key, OSSL_PKEY_PARAM_RSA_E, 0, b);
        return print("\"kty\":\"RSA\",%s\"n\":\"%s\",\"e\":\"%s\"%s", name, a, b, more);
    }
    const bool is_p256 = EVP_PKEY_get_bits(key) == 256;
    number(key, OSSL_PKEY_PARAM_EC_PUB_X, is_p256 ? 32 : 48, a);
    number(key, OSSL_PKEY_PARAM_EC_PUB_Y, is_p256 ? 32 : 48, b);
    return print("\"kty\":\"EC\",%s\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s", name,
                 is_p256 ? "P-256" : "P-384", a, b, more);
}

char *jose_set(char *const *jwks, size_t count)
{
    char *out = print("{\"keys\":[");
    for (size_t i = 0; i < count; i++) {
        char *longer = print("%s%s{%s}", out, i ? "," : "", jwks[i]);
        mem_free(out);
        out = longer;
    }
    char *set = print("%s]}", out);
    mem_free(out);
    return set;
}

static size_t raw_of_der(uint8_t *raw, const uint8_t *der, size_t len)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    assert(pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32) == 32 &&
           BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32) == 32);
    ECDSA_SIG_free(pair);
    return 64;
}

static size_t sign(uint8_t *out, EVP_PKEY *key, struct slice text, bool is_der)
{
    uint8_t made[2048];
    size_t len = sizeof made;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert(ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) &&
           EVP_DigestSign(ctx, made, &len, (const uint8_t *)text.ptr, text.len));
    EVP_MD_CTX_free(ctx);
    if (EVP_PKEY_is_a(key, "EC") && !is_der)
        return raw_of_der(out, made, len);
    memcpy(out, made, len);
    return len;
}

static size_t sign_hmac(uint8_t *out, EVP_PKEY *key, struct slice text, bool is_pem)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *secret = NULL;
    unsigned int len = 0;
    assert(bio && (is_pem ? PEM_write_bio_PUBKEY(bio, key) : i2d_PUBKEY_bio(bio, key)));
    const long secret_len = BIO_get_mem_data(bio, &secret);
    assert(HMAC(EVP_sha256(), secret, (int)secret_len, (const uint8_t *)text.ptr, text.len, out,
                &len));
    BIO_free(bio);
    return len;
}

char *jose_token(const char *header, const char *payload, EVP_PKEY *key, enum jose_signature how)
{
    char *token = mem_array(char, 65536);
    uint8_t signature[2048] = {0};
    size_t len = base64url_encode(token, header, strlen(header));
    token[len++] = '.';
    len += base64url_encode(token + len, payload, strlen(payload));
    const struct slice text = slice_from(token, len);
    size_t signature_len = 0;
    if (how == JOSE_HMAC_PEM || how == JOSE_HMAC_DER)
        signature_len = sign_hmac(signature, key, text, how == JOSE_HMAC_PEM);
    else if (how != JOSE_EMPTY)
        signature_len = sign(signature, key, text, how == JOSE_DER);
    if (how == JOSE_SHORT)
        signature_len--;
    if (how == JOSE_LONG)
        signature_len++;
    if (how == JOSE_ZERO)
        memset(signature, 0, signature_len);
    if (how == JOSE_FLIPPED)
        signature[signature_len / 2] ^= 4;
    token[len++] = '.';
    len += base64url_encode(token + len, signature, signature_len);
    token[len] = '\0';
    return token;
}
