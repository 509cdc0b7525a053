// SPDX-License-Identifier: EUPL-1.2
/* Making, reading and checking keys and signatures. The key says which algorithm it is for; nothing
 * that is verified can say another. Each public function leaves OpenSSL's error queue of the thread
 * empty, since the TLS ends of the same thread read it after their own calls. */
#include "base/sign.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>

#include <limits.h>

#include "base/fault.h"
#include "base/hash_in.h"
#include "base/secret.h"

#define RSA_MIN_BITS 2048 /* RFC 7518 §3.3 */
#define RSA_MAX_BITS 8192 /* larger ones cost a worker milliseconds a token */
#define RSA_E_MIN_BITS 17 /* 65537 */
#define RSA_E_MAX_BITS 33 /* larger ones are of nobody, and slow */
#define P256_BYTES 32
#define P384_BYTES 48
#define EC_MAX_BYTES P384_BYTES
#define DER_MAX_BYTES (3 + 2 * (3 + EC_MAX_BYTES)) /* of a signature as ASN.1 */
#define RAW_SIGNATURE_BYTES 64

/* The orders n of P-256 and P-384 (SEC 2, §2.4.2 and §2.5.1). */
static const uint8_t p256_order[P256_BYTES] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
static const uint8_t p384_order[P384_BYTES] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73};

/* What makes one algorithm differ from the next. */
struct trait {
    struct slice name;
    const EVP_MD *(*digest)(void); /* NULL: the algorithm has its own */
    enum key_kind kind;
    bool is_pss;
};

static const struct trait traits[ALGORITHM_COUNT] = {
    [ALGORITHM_RS256] = {SLICE_INIT("RS256"), hash_sha256, KEY_KIND_RSA, false},
    [ALGORITHM_RS384] = {SLICE_INIT("RS384"), hash_sha384, KEY_KIND_RSA, false},
    [ALGORITHM_RS512] = {SLICE_INIT("RS512"), hash_sha512, KEY_KIND_RSA, false},
    [ALGORITHM_PS256] = {SLICE_INIT("PS256"), hash_sha256, KEY_KIND_RSA, true},
    [ALGORITHM_PS384] = {SLICE_INIT("PS384"), hash_sha384, KEY_KIND_RSA, true},
    [ALGORITHM_PS512] = {SLICE_INIT("PS512"), hash_sha512, KEY_KIND_RSA, true},
    [ALGORITHM_ES256] = {SLICE_INIT("ES256"), hash_sha256, KEY_KIND_P256, false},
    [ALGORITHM_ES384] = {SLICE_INIT("ES384"), hash_sha384, KEY_KIND_P384, false},
    [ALGORITHM_ED25519] = {SLICE_INIT("EdDSA"), NULL, KEY_KIND_ED25519, false},
};

/* A curve of ECDSA. */
struct curve {
    const char *name;  /* in parameters */
    const char *group; /* as OpenSSL names it in a key */
    const uint8_t *order;
    size_t bytes; /* of a coordinate, and of half a signature */
};
static const struct curve p256 = {"P-256", SN_X9_62_prime256v1, p256_order, P256_BYTES};
static const struct curve p384 = {"P-384", SN_secp384r1, p384_order, P384_BYTES};

/* The points of Ed25519 whose order divides 8, little-endian and without the sign bit, and the two
 * of them that have a second, too large writing. A signature under such a key can be made by
 * anyone. */
static const uint8_t ed25519_weak[][ED25519_KEY_BYTES] = {
    {0x00},
    {0x01},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
     0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
     0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
     0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
     0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}};

struct slice algorithm_name(enum algorithm a)
{
    return a < ALGORITHM_COUNT && a ? traits[a].name : (struct slice){"", 0};
}

enum algorithm algorithm_named(struct slice name)
{
    for (enum algorithm a = ALGORITHM_NONE + 1; a < ALGORITHM_COUNT; a++)
        if (slice_eq(traits[a].name, name))
            return a;
    return ALGORITHM_NONE;
}

enum key_kind algorithm_kind(enum algorithm a)
{
    return a < ALGORITHM_COUNT ? traits[a].kind : KEY_KIND_NONE;
}

size_t algorithm_digest(enum algorithm a, struct slice bytes,
                        uint8_t out[ALGORITHM_DIGEST_MAX_BYTES])
{
    unsigned len = 0;
    if (a == ALGORITHM_NONE || a >= ALGORITHM_COUNT)
        return 0;
    const EVP_MD *digest = traits[a].digest ? traits[a].digest() : hash_sha512();
    return EVP_Digest(bytes.ptr, bytes.len, out, &len, digest, NULL) == 1 ? len : 0;
}

static const struct curve *curve_of(enum key_kind kind)
{
    return kind == KEY_KIND_P256 ? &p256 : kind == KEY_KIND_P384 ? &p384 : NULL;
}

/* Setting up */

/* RFC 7518 §3.5: the salt is as long as the digest, and MGF1 has the same digest. */
static bool pss_set(EVP_PKEY_CTX *ctx, const EVP_MD *digest)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest) == 1;
}

/* A context of a key and its digest, for either direction; NULL where they don't go together. It is
 * only ever copied afterwards, so that threads may share it: looking up methods and setting them up
 * takes 5 µs, copying none. Of EdDSA there is none: it takes no digest. */
static EVP_PKEY_CTX *prepare(EVP_PKEY *pkey, const struct trait *trait, int (*init)(EVP_PKEY_CTX *))
{
    EVP_PKEY_CTX *ctx = trait->digest ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    if (ctx && init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, trait->digest()) == 1 &&
        (!trait->is_pss || pss_set(ctx, trait->digest())))
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static bool digest_make(const EVP_MD *method, struct slice bytes, uint8_t out[EVP_MAX_MD_SIZE],
                        unsigned *len)
{
    EVP_MD_CTX *ctx = hash_scratch();
    return EVP_DigestInit_ex2(ctx, method, NULL) == 1 &&
           EVP_DigestUpdate(ctx, bytes.ptr, bytes.len) == 1 &&
           EVP_DigestFinal_ex(ctx, out, len) == 1;
}

/* Public keys */

static bool is_weak_ed25519(struct slice raw)
{
    uint8_t point[ED25519_KEY_BYTES];
    memcpy(point, raw.ptr, sizeof point);
    point[ED25519_KEY_BYTES - 1] &= 0x7f;
    for (size_t i = 0; i < sizeof ed25519_weak / sizeof *ed25519_weak; i++)
        if (memcmp(point, ed25519_weak[i], sizeof point) == 0)
            return true;
    return false;
}

bool public_key_ed25519(struct public_key *out, struct slice raw, struct fault *f)
{
    if (raw.len != ED25519_KEY_BYTES)
        return fault_set(f, FAULT_SYNTAX, "an Ed25519 key has 32 bytes, this has %zu", raw.len);
    if (is_weak_ed25519(raw))
        return fault_set(f, FAULT_TRUST, "this Ed25519 key is one of the weak ones");
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL,
                                                    (const unsigned char *)raw.ptr, raw.len);
    ERR_clear_error();
    if (!pkey)
        return fault_set(f, FAULT_SYNTAX, "this is no Ed25519 key");
    *out = (struct public_key){.algorithm = ALGORITHM_ED25519, .pkey = pkey};
    return true;
}

static void public_key_take(struct public_key *out, enum algorithm algorithm, EVP_PKEY *pkey)
{
    *out = (struct public_key){algorithm, pkey,
                               prepare(pkey, &traits[algorithm], EVP_PKEY_verify_init)};
    ERR_clear_error();
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = params ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params); // pkey says it
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return pkey;
}

static size_t bit_count(struct slice number)
{
    size_t bits = (number.len - 1) * 8;
    for (unsigned first = (uint8_t)number.ptr[0]; first; first >>= 1)
        bits++;
    return bits;
}

/* RFC 7518 §6.3.1: as few bytes as the number needs, so no zero in front; odd, as both numbers of
 * RSA are. */
static bool is_odd_number(struct slice number)
{
    return number.len && number.ptr[0] && (number.ptr[number.len - 1] & 1);
}

bool public_key_rsa(struct public_key *out, enum algorithm algorithm, struct slice n,
                    struct slice e, struct fault *f)
{
    if (algorithm_kind(algorithm) != KEY_KIND_RSA)
        return fault_set(f, FAULT_SYNTAX, "that algorithm is not one of RSA keys");
    if (!is_odd_number(n) || !is_odd_number(e))
        return fault_set(f, FAULT_SYNTAX, "the numbers of this RSA key are not those of one");
    size_t bits = bit_count(n), e_bits = bit_count(e);
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
        return fault_set(f, FAULT_LIMIT, "an RSA key has 2048 to 8192 bits, this has %zu", bits);
    if (e_bits < RSA_E_MIN_BITS || e_bits > RSA_E_MAX_BITS)
        return fault_set(f, FAULT_LIMIT, "an RSA exponent is 65537 to 33 bits, this has %zu bits",
                         e_bits);
    EVP_PKEY *pkey = NULL;
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (modulus && exponent && build &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent)) {
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
        pkey = key_from("RSA", params);
        OSSL_PARAM_free(params);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    if (!pkey)
        return fault_set(f, FAULT_SYNTAX, "this is no RSA key");
    public_key_take(out, algorithm, pkey);
    return true;
}

static bool is_sound_point(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool is_sound = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return is_sound;
}

bool public_key_ec(struct public_key *out, enum algorithm algorithm, struct slice x, struct slice y,
                   struct fault *f)
{
    const struct curve *curve = curve_of(algorithm_kind(algorithm));
    if (!curve)
        return fault_set(f, FAULT_SYNTAX, "that algorithm is not one of EC keys");
    // RFC 7518 §6.2.1.2: always the full length.
    if (x.len != curve->bytes || y.len != curve->bytes)
        return fault_set(f, FAULT_SYNTAX, "a coordinate of %s has %zu bytes", curve->name,
                         curve->bytes);
    uint8_t point[1 + 2 * EC_MAX_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x.ptr, curve->bytes);
    memcpy(point + 1 + curve->bytes, y.ptr, curve->bytes);
    char group[8];
    (void)snprintf(group, sizeof group, "%s", curve->name); // a parameter is not const
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * curve->bytes),
        OSSL_PARAM_construct_end()};
    EVP_PKEY *pkey = key_from("EC", params);
    if (!pkey || !is_sound_point(pkey)) {
        EVP_PKEY_free(pkey);
        return fault_set(f, FAULT_TRUST, "the point is not on the curve %s", curve->name);
    }
    public_key_take(out, algorithm, pkey);
    return true;
}

void public_key_fini(struct public_key *k)
{
    EVP_PKEY_CTX_free(k->verifier);
    EVP_PKEY_free(k->pkey);
    *k = (struct public_key){0};
}

/* Verifying */

/* Ed25519 takes the bytes themselves. */
static bool verify_bytes(EVP_PKEY *pkey, struct slice bytes, const uint8_t *signature, size_t len)
{
    EVP_MD_CTX *ctx = hash_scratch();
    const bool holds =
        EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
        EVP_DigestVerify(ctx, signature, len, (const unsigned char *)bytes.ptr, bytes.len) == 1;
    (void)EVP_MD_CTX_reset(ctx); // always 1 by its manual
    return holds;
}

static bool verify_digest(const struct public_key *k, struct slice bytes, const uint8_t *signature,
                          size_t len)
{
    const struct trait *trait = &traits[k->algorithm];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    EVP_PKEY_CTX *ctx =
        k->verifier ? EVP_PKEY_CTX_dup(k->verifier) : prepare(k->pkey, trait, EVP_PKEY_verify_init);
    const bool holds = ctx && digest_make(trait->digest(), bytes, digest, &digest_len) &&
                       EVP_PKEY_verify(ctx, signature, len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return holds;
}

static bool verify(const struct public_key *k, struct slice bytes, const uint8_t *signature,
                   size_t len)
{
    const bool holds = traits[k->algorithm].digest ? verify_digest(k, bytes, signature, len)
                                                   : verify_bytes(k->pkey, bytes, signature, len);
    if (!holds)
        ERR_clear_error();
    return holds;
}

/* Writes the ASN.1 INTEGER of a curve's big-endian number; returns its length. False (0) where the
 * number is not in [1, n-1]. */
static size_t put_integer(uint8_t *out, const uint8_t *number, const struct curve *curve)
{
    size_t zeros = 0;
    while (zeros < curve->bytes && !number[zeros])
        zeros++;
    if (zeros == curve->bytes || memcmp(number, curve->order, curve->bytes) >= 0)
        return 0;
    size_t sign = number[zeros] >> 7; // an ASN.1 number with its top bit set would be negative
    size_t len = curve->bytes - zeros;
    out[0] = V_ASN1_INTEGER;
    out[1] = (uint8_t)(len + sign);
    out[2] = 0;
    memcpy(out + 2 + sign, number + zeros, len);
    return 2 + sign + len;
}

static bool holds_ecdsa(const struct public_key *k, struct slice bytes, struct slice signature)
{
    const struct curve *curve = curve_of(traits[k->algorithm].kind);
    uint8_t der[DER_MAX_BYTES];
    const uint8_t *raw = (const uint8_t *)signature.ptr;
    if (!curve || signature.len != 2 * curve->bytes)
        return false;
    size_t r_len = put_integer(der + 2, raw, curve);
    if (!r_len)
        return false;
    size_t s_len = put_integer(der + 2 + r_len, raw + curve->bytes, curve);
    if (!s_len)
        return false;
    der[0] = V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED;
    der[1] = (uint8_t)(r_len + s_len); // at most 102: one byte says it
    return verify(k, bytes, der, 2 + r_len + s_len);
}

bool signature_holds(const struct public_key *k, struct slice bytes, struct slice signature)
{
    const uint8_t *raw = (const uint8_t *)signature.ptr;
    if (!k->pkey || k->algorithm >= ALGORITHM_COUNT)
        return false;
    switch (traits[k->algorithm].kind) {
    case KEY_KIND_NONE:
        return false;
    case KEY_KIND_RSA: // PKCS #1 v1.5 is OpenSSL's default for RSA keys
        return signature.len == (size_t)EVP_PKEY_get_size(k->pkey) &&
               verify(k, bytes, raw, signature.len);
    case KEY_KIND_P256:
    case KEY_KIND_P384:
        return holds_ecdsa(k, bytes, signature);
    case KEY_KIND_ED25519:
        return signature.len == ED25519_SIGNATURE_BYTES && verify(k, bytes, raw, signature.len);
    }
    return false;
}

/* Private keys */

static enum algorithm algorithm_of(const EVP_PKEY *pkey)
{
    char group[32];
    const int bits = EVP_PKEY_get_bits(pkey);
    if (EVP_PKEY_is_a(pkey, "ED25519"))
        return ALGORITHM_ED25519;
    if (EVP_PKEY_is_a(pkey, "RSA"))
        return bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS ? ALGORITHM_RS256 : ALGORITHM_NONE;
    if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) != 1)
        return ALGORITHM_NONE;
    return strcmp(group, p256.group) == 0   ? ALGORITHM_ES256
           : strcmp(group, p384.group) == 0 ? ALGORITHM_ES384
                                            : ALGORITHM_NONE;
}

static void private_key_take(struct private_key *out, enum algorithm algorithm, EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *signer = curve_of(algorithm_kind(algorithm))
                               ? prepare(pkey, &traits[algorithm], EVP_PKEY_sign_init)
                               : NULL;
    *out = (struct private_key){algorithm, pkey, signer};
    ERR_clear_error();
}

bool private_key_make(struct private_key *out, enum algorithm algorithm, struct fault *f)
{
    EVP_PKEY *pkey = NULL;
    if (algorithm == ALGORITHM_ED25519)
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else if (curve_of(algorithm_kind(algorithm)))
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve_of(algorithm_kind(algorithm))->name);
    ERR_clear_error();
    if (!pkey)
        return fault_set(f, FAULT_INTERNAL, "cannot make a key of that kind");
    private_key_take(out, algorithm, pkey);
    return true;
}

#define PASSPHRASE_MAX_BYTES 1024 /* PEM_BUFSIZE: what OpenSSL gives room for */
#define PBKDF2_ROUNDS 600000      /* a third of a second here, once a signature */

/* Without this OpenSSL would ask on the terminal. `owner`: the passphrase, or NULL. */
static int give_passphrase(char *out, int room, int is_write, void *owner)
{
    const struct secret *passphrase = owner;
    (void)is_write;
    if (!passphrase || passphrase->len > (size_t)room)
        return -1;
    memcpy(out, passphrase->bytes, passphrase->len);
    return (int)passphrase->len;
}

static bool read_pem(struct private_key *out, struct slice pem, const struct secret *passphrase,
                     const char *what, struct fault *f)
{
    BIO *in = pem.len <= INT_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    EVP_PKEY *pkey =
        in ? PEM_read_bio_PrivateKey(in, NULL, give_passphrase, (void *)(uintptr_t)passphrase)
           : NULL;
    BIO_free(in);
    ERR_clear_error();
    if (!pkey)
        return fault_set(f, FAULT_SYNTAX, "%s", what);
    enum algorithm algorithm = algorithm_of(pkey);
    if (!algorithm) {
        EVP_PKEY_free(pkey);
        return fault_set(
            f, FAULT_SYNTAX,
            "the private key is none of Ed25519, P-256, P-384 and RSA from 2048 bits on");
    }
    private_key_take(out, algorithm, pkey);
    return true;
}

bool private_key_read(struct private_key *out, struct slice pem, struct fault *f)
{
    return read_pem(out, pem, NULL, "no private key in PEM (PKCS#8, without a password)", f);
}

bool private_key_is_locked(struct slice pem)
{
    static const char head[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    return pem.len && memmem(pem.ptr, pem.len, head, sizeof head - 1);
}

bool private_key_unlock(struct private_key *out, struct slice pem, const struct secret *passphrase,
                        struct fault *f)
{
    if (!passphrase->len || passphrase->len > PASSPHRASE_MAX_BYTES)
        return fault_set(f, FAULT_CONFIG, "a passphrase has from 1 to %d bytes",
                         PASSPHRASE_MAX_BYTES);
    return read_pem(out, pem, passphrase, "the passphrase is another, or the key is damaged", f);
}

/* The key under the passphrase; NULL where OpenSSL can't. */
static X509_SIG *lock(const struct private_key *k, const struct secret *passphrase)
{
    PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(k->pkey);
    X509_ALGOR *how =
        PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), PBKDF2_ROUNDS, NULL, 0, NULL, NID_hmacWithSHA256);
    X509_SIG *locked = plain && how ? PKCS8_set0_pbe((const char *)passphrase->bytes,
                                                     (int)passphrase->len, plain, how)
                                    : NULL;
    if (!locked)
        X509_ALGOR_free(how); // else it belongs to `locked`
    PKCS8_PRIV_KEY_INFO_free(plain);
    return locked;
}

bool private_key_lock(const struct private_key *k, const struct secret *passphrase,
                      struct secret *out_pem, struct fault *f)
{
    const char *text = NULL;
    long len = 0;
    if (!passphrase->len || passphrase->len > PASSPHRASE_MAX_BYTES)
        return fault_set(f, FAULT_CONFIG, "a passphrase has from 1 to %d bytes",
                         PASSPHRASE_MAX_BYTES);
    X509_SIG *locked = lock(k, passphrase);
    BIO *memory = locked ? BIO_new(BIO_s_mem()) : NULL;
    if (memory && PEM_write_bio_PKCS8(memory, locked) == 1)
        len = BIO_get_mem_data(memory, &text);
    if (len > 0)
        secret_init(out_pem, text, (size_t)len);
    BIO_free(memory);
    X509_SIG_free(locked);
    ERR_clear_error();
    return len > 0 || fault_set(f, FAULT_INTERNAL, "cannot lock the private key");
}

bool private_key_print(const struct private_key *k, struct secret *out_pem, struct fault *f)
{
    const char *text = NULL;
    BIO *memory = BIO_new(BIO_s_mem()); // wiped when it is freed
    long len = 0;
    if (memory &&
        PEM_write_bio_PKCS8PrivateKey(memory, k->pkey, NULL, NULL, 0, give_passphrase, NULL) == 1)
        len = BIO_get_mem_data(memory, &text);
    if (len > 0)
        secret_init(out_pem, text, (size_t)len);
    BIO_free(memory);
    ERR_clear_error();
    return len > 0 || fault_set(f, FAULT_INTERNAL, "cannot write the private key as PEM");
}

bool private_key_public_raw(const struct private_key *k, uint8_t *out, size_t *out_len,
                            struct fault *f)
{
    uint8_t point[1 + 2 * P256_BYTES];
    size_t len = sizeof point;
    bool is_fine;
    if (k->algorithm == ALGORITHM_ED25519)
        is_fine =
            EVP_PKEY_get_raw_public_key(k->pkey, point + 1, &(size_t){ED25519_KEY_BYTES}) == 1;
    else
        is_fine = k->algorithm == ALGORITHM_ES256 &&
                  EVP_PKEY_get_octet_string_param(k->pkey, OSSL_PKEY_PARAM_PUB_KEY, point, len,
                                                  &len) == 1 &&
                  len == sizeof point && point[0] == POINT_CONVERSION_UNCOMPRESSED;
    ERR_clear_error();
    if (!is_fine)
        return fault_set(f, FAULT_INTERNAL, "cannot get the public part of the key");
    *out_len = k->algorithm == ALGORITHM_ED25519 ? ED25519_KEY_BYTES : 2 * P256_BYTES;
    memcpy(out, point + 1, *out_len);
    return true;
}

void private_key_fini(struct private_key *k)
{
    EVP_PKEY_CTX_free(k->signer);
    EVP_PKEY_free(k->pkey); // wipes the private part
    *k = (struct private_key){0};
}

/* Signing */

static bool raw_from_der(uint8_t *out, const struct curve *curve, const uint8_t *der, size_t len)
{
    const int half = (int)curve->bytes;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool is_fine = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, half) == half &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + half, half) == half;
    ECDSA_SIG_free(pair);
    return is_fine;
}

static bool sign_bytes(EVP_PKEY *pkey, struct slice bytes, uint8_t *out, size_t *len)
{
    EVP_MD_CTX *ctx = hash_scratch();
    const bool is_fine =
        EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
        EVP_DigestSign(ctx, out, len, (const unsigned char *)bytes.ptr, bytes.len) == 1;
    (void)EVP_MD_CTX_reset(ctx);
    return is_fine;
}

static bool sign_digest(const struct private_key *k, struct slice bytes, uint8_t *out, size_t *len)
{
    const struct trait *trait = &traits[k->algorithm];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    EVP_PKEY_CTX *ctx =
        k->signer ? EVP_PKEY_CTX_dup(k->signer) : prepare(k->pkey, trait, EVP_PKEY_sign_init);
    const bool is_fine = ctx && digest_make(trait->digest(), bytes, digest, &digest_len) &&
                         EVP_PKEY_sign(ctx, out, len, digest, digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return is_fine;
}

bool signature_write(const struct private_key *k, struct slice bytes,
                     uint8_t out[SIGNATURE_MAX_BYTES], size_t *out_len, struct fault *f)
{
    const struct trait *trait = &traits[k->algorithm];
    const struct curve *curve = curve_of(trait->kind);
    uint8_t der[DER_MAX_BYTES];
    uint8_t *made = curve ? der : out;
    size_t len = curve ? sizeof der : SIGNATURE_MAX_BYTES;
    bool is_fine = k->pkey && (trait->digest ? sign_digest(k, bytes, made, &len)
                                             : sign_bytes(k->pkey, bytes, made, &len));
    if (is_fine && curve)
        is_fine = raw_from_der(out, curve, der, len);
    *out_len = curve ? 2 * curve->bytes : len;
    ERR_clear_error();
    return is_fine || fault_set(f, FAULT_INTERNAL, "cannot sign");
}

bool signature_make(const struct private_key *k, struct slice bytes, uint8_t out[64],
                    struct fault *f)
{
    uint8_t made[SIGNATURE_MAX_BYTES];
    size_t len;
    if (!signature_write(k, bytes, made, &len, f))
        return false;
    if (len != RAW_SIGNATURE_BYTES)
        return fault_set(f, FAULT_INTERNAL, "a key of that kind does not sign here");
    memcpy(out, made, RAW_SIGNATURE_BYTES);
    return true;
}
