// SPDX-License-Identifier: EUPL-1.2
/* Digests, and what is fetched from OpenSSL once for the whole process. Owns the algorithms, one
 * context a thread (made at its first digest, gone with the thread) and the key of the process's
 * tables. Failures here are of the installation, not of the input: they abort. */
#include "base/hash.h"

#include <assert.h>
#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>

#include "base/entropy.h"
#include "base/hash_in.h"

struct contexts {
    EVP_MD_CTX *digest;  /* keeps SHA-256, so that a start is cheap */
    EVP_MD_CTX *scratch; /* sign.c's */
};

static EVP_MD *sha256_method;
static EVP_MD *sha384_method;
static EVP_MD *sha512_method;
static EVP_MAC_CTX *hmac_model; /* copied for each use: a copy needs no fetch */
static uint64_t table_key[2];
static pthread_key_t contexts_key;
static _Thread_local struct contexts mine;

static void must(bool is_fine, const char *what)
{
    if (is_fine)
        return;
    fprintf(stderr, "belfry: OpenSSL has no working %s\n", what);
    abort();
}

static void contexts_end(void *ptr)
{
    struct contexts *c = ptr;
    EVP_MD_CTX_free(c->digest);
    EVP_MD_CTX_free(c->scratch);
    *c = (struct contexts){0};
}

static struct contexts *contexts(void)
{
    assert(sha256_method); // base_init comes first
    if (mine.digest)
        return &mine;
    mine.digest = EVP_MD_CTX_new();
    mine.scratch = EVP_MD_CTX_new();
    must(mine.digest && mine.scratch && pthread_setspecific(contexts_key, &mine) == 0, "contexts");
    return &mine;
}

void base_init(void)
{
    if (sha256_method)
        return;
    sha256_method = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(sha256_method, "SHA-256");
    sha384_method = EVP_MD_fetch(NULL, "SHA384", NULL);
    sha512_method = EVP_MD_fetch(NULL, "SHA512", NULL);
    must(sha384_method && sha512_method, "SHA-384 and SHA-512");
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    hmac_model = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    must(hmac_model && EVP_MAC_CTX_set_params(hmac_model, params), "HMAC");
    must(pthread_key_create(&contexts_key, contexts_end) == 0, "thread");
    entropy_bytes(table_key, sizeof table_key);
}

const EVP_MD *hash_sha256(void)
{
    assert(sha256_method);
    return sha256_method;
}

const EVP_MD *hash_sha384(void)
{
    return sha384_method;
}

const EVP_MD *hash_sha512(void)
{
    return sha512_method;
}

EVP_MD_CTX *hash_scratch(void)
{
    return contexts()->scratch;
}

void sha256(uint8_t out[SHA256_BYTES], struct slice bytes)
{
    EVP_MD_CTX *ctx = contexts()->digest;
    must(EVP_DigestInit_ex2(ctx, sha256_method, NULL) &&
             EVP_DigestUpdate(ctx, bytes.ptr, bytes.len) && EVP_DigestFinal_ex(ctx, out, NULL),
         "SHA-256");
}

void sha256_parts(uint8_t out[SHA256_BYTES], const struct slice *parts, size_t count)
{
    EVP_MD_CTX *ctx = contexts()->digest;
    bool is_fine = EVP_DigestInit_ex2(ctx, sha256_method, NULL);
    for (size_t i = 0; i < count; i++) {
        uint8_t len[8];
        for (size_t j = 0; j < sizeof len; j++)
            len[j] = (uint8_t)((uint64_t)parts[i].len >> (56 - 8 * j));
        is_fine = is_fine && EVP_DigestUpdate(ctx, len, sizeof len) &&
                  EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len);
    }
    must(is_fine && EVP_DigestFinal_ex(ctx, out, NULL), "SHA-256");
}

void hmac_sha256(uint8_t out[SHA256_BYTES], struct slice key, struct slice bytes)
{
    assert(hmac_model);
    // A NULL key would mean "the key from before".
    const uint8_t *key_bytes = (const uint8_t *)(key.len ? key.ptr : "");
    size_t len = 0;
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(hmac_model);
    must(ctx && EVP_MAC_init(ctx, key_bytes, key.len, NULL) &&
             EVP_MAC_update(ctx, (const uint8_t *)bytes.ptr, bytes.len) &&
             EVP_MAC_final(ctx, out, &len, SHA256_BYTES) && len == SHA256_BYTES,
         "HMAC");
    EVP_MAC_CTX_free(ctx); // wipes the key
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

/* Inline, so that the four words stay in registers: that is half of what a hash takes. */
__attribute__((always_inline)) static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t load_le(const char *bytes, size_t len)
{
    uint64_t out = 0;
    for (size_t i = 0; i < len; i++)
        out |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
    return out;
}

/* Without memory there is no other way to fail. */
void hkdf_sha256(uint8_t *out, size_t len, struct slice key, struct slice salt, struct slice info)
{
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(hkdf);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.ptr, key.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.ptr,
                                          salt.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.ptr,
                                          info.len),
        OSSL_PARAM_construct_end(),
    };
    must(hkdf && ctx && EVP_KDF_derive(ctx, out, len, params) == 1, "HKDF");
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(hkdf);
}

/* SipHash-1-3 (Aumasson and Bernstein): one round a word, three at the end. */
uint64_t siphash(const uint64_t key[2], struct slice bytes)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.ptr + at, sizeof word);
        word = le64toh(word);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)bytes.len << 56;
    if (bytes.len % 8)
        last |= load_le(bytes.ptr + at, bytes.len % 8);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t table_hash(struct slice bytes)
{
    return siphash(table_key, bytes);
}
