// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/hash.h"
#include "base/secret.h"
#include "base/sign.h"

#define MESSAGE SLICE("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0")

/* A pair of keys, and a signature over MESSAGE. */
struct pair {
    struct private_key secret;
    struct public_key key;
    uint8_t signature[64];
};

static struct pair pair_make(enum algorithm algorithm)
{
    struct pair p;
    struct fault f;
    uint8_t raw[64];
    size_t len = 0;
    cr_assert(private_key_make(&p.secret, algorithm, &f), "%s", f.text);
    cr_assert(private_key_public_raw(&p.secret, raw, &len, &f), "%s", f.text);
    if (algorithm == ALGORITHM_ES256) {
        cr_assert_eq(len, 64);
        cr_assert(public_key_ec(&p.key, ALGORITHM_ES256, slice_from(raw, 32),
                                slice_from(raw + 32, 32), &f));
    } else {
        cr_assert_eq(len, 32);
        cr_assert(public_key_ed25519(&p.key, slice_from(raw, len), &f));
    }
    cr_assert(signature_make(&p.secret, MESSAGE, p.signature, &f), "%s", f.text);
    return p;
}

static void pair_end(struct pair *p)
{
    private_key_fini(&p->secret);
    public_key_fini(&p->key);
}

static bool holds(const struct pair *p, const void *signature, size_t len)
{
    bool is_true = signature_holds(&p->key, MESSAGE, slice_from(signature, len));
    // TLS on the same thread would take what is left here for its own failure.
    cr_assert_eq(ERR_peek_error(), 0);
    return is_true;
}

TestSuite(sign, .init = base_init);

Test(sign, what_is_signed_holds_for_its_key_and_its_bytes_only)
{
    static const enum algorithm both[] = {ALGORITHM_ES256, ALGORITHM_ED25519};
    for (int i = 0; i < 2; i++) {
        struct pair p = pair_make(both[i]), other = pair_make(both[i]);
        cr_assert(holds(&p, p.signature, 64));
        cr_assert_not(holds(&other, p.signature, 64));
        cr_assert_not(signature_holds(&p.key, SLICE("other"), slice_from(p.signature, 64)));
        cr_assert_not(signature_holds(&p.key, SLICE(""), slice_from(p.signature, 64)));
        for (size_t bit = 0; bit < 512; bit += 37) {
            uint8_t changed[64];
            memcpy(changed, p.signature, 64);
            changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert_not(holds(&p, changed, 64), "bit %zu", bit);
        }
        pair_end(&p);
        pair_end(&other);
    }
}

Test(sign, many_signatures_hold_whatever_their_leading_zeros)
{
    struct pair p = pair_make(ALGORITHM_ES256);
    struct fault f;
    bool has_short = false;
    for (unsigned i = 0; i < 1500; i++) {
        uint8_t signature[64];
        struct slice bytes = slice_from(&i, sizeof i);
        cr_assert(signature_make(&p.secret, bytes, signature, &f));
        cr_assert(signature_holds(&p.key, bytes, slice_from(signature, 64)));
        has_short |= !signature[0] || !signature[32];
    }
    cr_assert(has_short); // one in 128: missing it 1500 times has a chance of 1 in 100,000
    pair_end(&p);
}

Test(sign, a_signature_of_another_length_does_not_hold)
{
    static const enum algorithm both[] = {ALGORITHM_ES256, ALGORITHM_ED25519};
    for (int i = 0; i < 2; i++) {
        struct pair p = pair_make(both[i]);
        uint8_t longer[80] = {0};
        memcpy(longer, p.signature, 64);
        for (size_t len = 0; len <= sizeof longer; len++)
            cr_assert_eq(holds(&p, longer, len), len == 64, "length %zu", len);
        cr_assert_not(signature_holds(&p.key, MESSAGE, (struct slice){NULL, 0}));
        pair_end(&p);
    }
}

static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

Test(sign, es256_numbers_lie_between_one_and_the_order)
{
    struct pair p = pair_make(ALGORITHM_ES256);
    uint8_t forged[64] = {0};
    cr_assert_not(holds(&p, forged, 64)); // both zero: "psychic signatures"
    memcpy(forged, order, 32);
    memcpy(forged + 32, order, 32);
    cr_assert_not(holds(&p, forged, 64));
    for (int half = 0; half < 2; half++) {
        memcpy(forged, p.signature, 64);
        memset(forged + 32 * half, 0, 32);
        cr_assert_not(holds(&p, forged, 64));
        memcpy(forged + 32 * half, order, 32);
        cr_assert_not(holds(&p, forged, 64));
        memset(forged + 32 * half, 0xff, 32);
        cr_assert_not(holds(&p, forged, 64));
        // The number plus the order is the same to a careless verifier, where it fits in 32 bytes.
        memcpy(forged, p.signature, 64);
        unsigned carry = 0;
        for (int i = 31; i >= 0; i--) {
            carry += (unsigned)p.signature[32 * half + i] + order[i];
            forged[32 * half + i] = (uint8_t)carry;
            carry >>= 8;
        }
        cr_assert_not(holds(&p, forged, 64));
    }
    memset(forged, 0, 64);
    forged[31] = forged[63] = 1;
    cr_assert_not(holds(&p, forged, 64));
    pair_end(&p);
}

Test(sign, es256_in_der_does_not_hold)
{
    struct pair p = pair_make(ALGORITHM_ES256);
    for (int turn = 0; turn < 200; turn++) { // several lengths, some of them 64 or padded to it
        uint8_t der[80] = {0};
        size_t len = sizeof der;
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        struct slice message = MESSAGE;
        cr_assert_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, p.secret.pkey), 1);
        cr_assert_eq(EVP_DigestSign(ctx, der, &len, (const uint8_t *)message.ptr, message.len), 1);
        EVP_MD_CTX_free(ctx);
        cr_assert_not(holds(&p, der, len));
        cr_assert_not(holds(&p, der, 64));
    }
    pair_end(&p);
}

Test(sign, the_zeroed_key_verifies_nothing)
{
    struct public_key none = {0};
    struct pair p = pair_make(ALGORITHM_ED25519);
    cr_assert_not(signature_holds(&none, MESSAGE, slice_from(p.signature, 64)));
    cr_assert_not(signature_holds(&none, MESSAGE, SLICE("")));
    struct public_key unnamed = {.pkey = p.key.pkey};
    cr_assert_not(signature_holds(&unnamed, MESSAGE, slice_from(p.signature, 64)));
    pair_end(&p);
}

/* A key that claims another algorithm than its own: no algorithm takes it. */
Test(sign, a_key_of_another_kind_verifies_nothing)
{
    struct pair es = pair_make(ALGORITHM_ES256), ed = pair_make(ALGORITHM_ED25519);
    struct public_key crossed = {.algorithm = ALGORITHM_ED25519, .pkey = es.key.pkey};
    cr_assert_not(signature_holds(&crossed, MESSAGE, slice_from(es.signature, 64)));
    crossed = (struct public_key){.algorithm = ALGORITHM_ES256, .pkey = ed.key.pkey};
    cr_assert_not(signature_holds(&crossed, MESSAGE, slice_from(ed.signature, 64)));
    crossed = (struct public_key){.algorithm = ALGORITHM_RS256, .pkey = ed.key.pkey};
    cr_assert_not(signature_holds(&crossed, MESSAGE, slice_from(ed.signature, 64)));
    cr_assert_eq(ERR_peek_error(), 0);
    pair_end(&es);
    pair_end(&ed);
}

Test(sign, a_point_that_is_not_on_the_curve_is_no_key)
{
    struct pair p = pair_make(ALGORITHM_ES256);
    struct public_key out = {0};
    struct fault f;
    uint8_t raw[64], zero[64] = {0};
    size_t len;
    cr_assert(private_key_public_raw(&p.secret, raw, &len, &f));
    struct slice x = slice_from(raw, 32), y = slice_from(raw + 32, 32);
    raw[63] ^= 1;
    cr_assert_not(public_key_ec(&out, ALGORITHM_ES256, x, y, &f));
    cr_assert_eq(f.code, FAULT_TRUST);
    raw[63] ^= 1;
    cr_assert_not(public_key_ec(&out, ALGORITHM_ES256, y, x, &f));
    cr_assert_not(
        public_key_ec(&out, ALGORITHM_ES256, slice_from(zero, 32), slice_from(zero, 32), &f));
    memset(zero, 0xff, sizeof zero); // not below the field's prime
    cr_assert_not(
        public_key_ec(&out, ALGORITHM_ES256, slice_from(zero, 32), slice_from(zero, 32), &f));
    cr_assert_not(public_key_ec(&out, ALGORITHM_ES256, slice_from(raw, 31), y, &f));
    cr_assert_not(public_key_ec(&out, ALGORITHM_ES256, x, slice_from(raw, 33), &f));
    cr_assert_not(public_key_ec(&out, ALGORITHM_ES256, SLICE(""), SLICE(""), &f));
    cr_assert_null(out.pkey);
    cr_assert_eq(ERR_peek_error(), 0);
    pair_end(&p);
}

Test(sign, ed25519_takes_no_key_under_which_anyone_can_sign)
{
    struct public_key out = {0};
    struct fault f;
    uint8_t raw[33] = {0};
    cr_assert_not(public_key_ed25519(&out, slice_from(raw, 32), &f)); // order 4
    raw[0] = 1;
    cr_assert_not(public_key_ed25519(&out, slice_from(raw, 32), &f)); // the neutral point
    raw[31] = 0x80;
    cr_assert_not(public_key_ed25519(&out, slice_from(raw, 32), &f));
    memset(raw, 0xff, 32); // 2^255 - 19 - 1, order 2
    raw[0] = 0xec;
    cr_assert_not(public_key_ed25519(&out, slice_from(raw, 32), &f));
    cr_assert_not(public_key_ed25519(&out, slice_from(raw, 31), &f));
    cr_assert_not(public_key_ed25519(&out, slice_from(raw, 33), &f));
    cr_assert_null(out.pkey);
}

/* A number as bytes, of an RSA key. */
static struct slice number(EVP_PKEY *pkey, const char *name, uint8_t *room)
{
    BIGNUM *n = NULL;
    cr_assert_eq(EVP_PKEY_get_bn_param(pkey, name, &n), 1);
    int len = BN_bn2bin(n, room);
    BN_free(n);
    return slice_from(room, (size_t)len);
}

Test(sign, rs256_holds_with_exactly_the_moduluss_length)
{
    struct public_key key;
    struct fault f;
    uint8_t n[256], e[8], signature[258] = {0};
    size_t len = 256;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    cr_assert(public_key_rsa(&key, ALGORITHM_RS256, number(pkey, OSSL_PKEY_PARAM_RSA_N, n),
                             number(pkey, OSSL_PKEY_PARAM_RSA_E, e), &f),
              "%s", f.text);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct slice message = MESSAGE;
    cr_assert_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
    cr_assert_eq(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)message.ptr, message.len),
                 1);
    for (size_t l = 250; l <= 258; l++)
        cr_assert_eq(signature_holds(&key, MESSAGE, slice_from(signature, l)), l == 256);
    cr_assert_not(signature_holds(&key, MESSAGE, SLICE("")));
    cr_assert_not(signature_holds(&key, SLICE("other"), slice_from(signature, 256)));
    // SHA-512 with the same key is another algorithm.
    (void)EVP_MD_CTX_reset(ctx);
    cr_assert_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha512(), NULL, pkey), 1);
    cr_assert_eq(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)message.ptr, message.len),
                 1);
    cr_assert_not(signature_holds(&key, MESSAGE, slice_from(signature, 256)));
    cr_assert_eq(ERR_peek_error(), 0);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    public_key_fini(&key);
}

Test(sign, rsa_keys_have_limits)
{
    static uint8_t n[1026];
    static const struct {
        size_t bytes;
        uint8_t first;
        uint8_t last;
        struct slice e;
        bool is_fine;
    } rows[] = {
        {256, 0x80, 1, SLICE_INIT("\x01\x00\x01"), true},
        {1024, 0x80, 1, SLICE_INIT("\x01\x00\x01"), true},
        {256, 0x80, 1, SLICE_INIT("\x01\xff\xff\xff\xff"), true}, // 33 bits
        {256, 0x7f, 1, SLICE_INIT("\x01\x00\x01"), false},        // 2047
        {128, 0x80, 1, SLICE_INIT("\x01\x00\x01"), false},
        {1025, 0x01, 1, SLICE_INIT("\x01\x00\x01"), false}, // 8193
        {256, 0x80, 0, SLICE_INIT("\x01\x00\x01"), false},  // even
        {257, 0x00, 1, SLICE_INIT("\x01\x00\x01"), false},  // a zero in front
        {0, 0, 0, SLICE_INIT("\x01\x00\x01"), false},
        {256, 0x80, 1, SLICE_INIT("\x03"), false},
        {256, 0x80, 1, SLICE_INIT("\x01"), false},
        {256, 0x80, 1, SLICE_INIT("\xff\xff"), false},
        {256, 0x80, 1, SLICE_INIT("\x01\x00\x02"), false},
        {256, 0x80, 1, SLICE_INIT("\x00\x01\x00\x01"), false},
        {256, 0x80, 1, SLICE_INIT("\x02\x00\x00\x00\x01"), false}, // 34 bits
        {256, 0x80, 1, SLICE_INIT(""), false},
        {256, 0x80, 1, SLICE_INIT("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct public_key key = {0};
        struct fault f;
        memset(n, 0x55, sizeof n);
        n[0] = rows[i].first;
        if (rows[i].bytes)
            n[rows[i].bytes - 1] = rows[i].last;
        cr_assert_eq(
            public_key_rsa(&key, ALGORITHM_RS256, slice_from(n, rows[i].bytes), rows[i].e, &f),
            rows[i].is_fine, "row %zu", i);
        cr_assert_eq(key.pkey != NULL, rows[i].is_fine);
        public_key_fini(&key);
    }
}

Test(sign, a_private_key_comes_back_from_its_pem)
{
    static const enum algorithm both[] = {ALGORITHM_ES256, ALGORITHM_ED25519};
    for (int i = 0; i < 2; i++) {
        struct pair p = pair_make(both[i]);
        struct private_key again;
        struct secret pem;
        struct fault f;
        uint8_t signature[64];
        cr_assert(private_key_print(&p.secret, &pem, &f), "%s", f.text);
        cr_assert(slice_starts(slice_from(pem.bytes, pem.len), SLICE("-----BEGIN PRIVATE KEY")));
        cr_assert(private_key_read(&again, slice_from(pem.bytes, pem.len), &f), "%s", f.text);
        cr_assert_eq(again.algorithm, both[i]);
        cr_assert(signature_make(&again, MESSAGE, signature, &f));
        cr_assert(holds(&p, signature, 64));
        cr_assert_not(private_key_read(&again, slice_from(pem.bytes, pem.len / 2), &f));
        secret_fini(&pem);
        private_key_fini(&again);
        pair_end(&p);
    }
}

Test(sign, a_private_key_of_another_kind_or_with_a_password_is_refused)
{
    struct private_key out = {0};
    struct fault f;
    EVP_PKEY *const keys[] = {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024),
                              EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521"),
                              EVP_PKEY_Q_keygen(NULL, NULL, "X25519"),
                              EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")};
    for (int i = 0; i < 4; i++) {
        char *text;
        BIO *pem = BIO_new(BIO_s_mem());
        (void)PEM_write_bio_PKCS8PrivateKey(pem, keys[i], i == 3 ? EVP_aes_256_cbc() : NULL,
                                            i == 3 ? "word" : NULL, i == 3 ? 4 : 0, NULL, NULL);
        long len = BIO_get_mem_data(pem, &text);
        cr_assert_gt(len, 0);
        cr_assert_not(private_key_read(&out, slice_from(text, (size_t)len), &f), "key %d", i);
        BIO_free(pem);
        EVP_PKEY_free(keys[i]);
    }
    cr_assert_not(private_key_read(&out, SLICE(""), &f));
    cr_assert_not(private_key_make(&out, ALGORITHM_RS256, &f));
    cr_assert_null(out.pkey);
    cr_assert_eq(ERR_peek_error(), 0);
}

/* A private key of that algorithm's kind, as read from PEM. */
static struct private_key private_of(enum algorithm algorithm)
{
    static const char *const kinds[] = {[KEY_KIND_RSA] = "RSA",
                                        [KEY_KIND_P256] = "P-256",
                                        [KEY_KIND_P384] = "P-384",
                                        [KEY_KIND_ED25519] = "ED25519"};
    struct private_key out = {0};
    struct fault f;
    char *text;
    const enum key_kind kind = algorithm_kind(algorithm);
    EVP_PKEY *pkey = kind == KEY_KIND_RSA       ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                     : kind == KEY_KIND_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                : EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[kind]);
    BIO *pem = BIO_new(BIO_s_mem());
    cr_assert_eq(PEM_write_bio_PKCS8PrivateKey(pem, pkey, NULL, NULL, 0, NULL, NULL), 1);
    const long len = BIO_get_mem_data(pem, &text);
    cr_assert(private_key_read(&out, slice_from(text, (size_t)len), &f), "%s", f.text);
    cr_assert_eq(algorithm_kind(out.algorithm), kind);
    out.algorithm = algorithm;
    BIO_free(pem);
    EVP_PKEY_free(pkey);
    return out;
}

Test(sign, each_algorithm_takes_its_own_signatures_and_no_others)
{
    for (enum algorithm made = ALGORITHM_RS256; made < ALGORITHM_COUNT; made++) {
        struct private_key secret = private_of(made);
        uint8_t signature[SIGNATURE_MAX_BYTES];
        size_t len;
        struct fault f;
        cr_assert(signature_write(&secret, MESSAGE, signature, &len, &f), "%s", f.text);
        for (enum algorithm as = ALGORITHM_NONE; as <= ALGORITHM_COUNT; as++) {
            const struct public_key key = {.algorithm = as, .pkey = secret.pkey};
            cr_expect_eq(signature_holds(&key, MESSAGE, slice_from(signature, len)), as == made,
                         "%.*s as %d", SLICE_ARG(algorithm_name(made)), as);
            cr_assert_eq(ERR_peek_error(), 0);
        }
        const struct public_key key = {.algorithm = made, .pkey = secret.pkey};
        cr_expect_not(signature_holds(&key, SLICE("other"), slice_from(signature, len)));
        cr_expect_not(signature_holds(&key, MESSAGE, slice_from(signature, len - 1)));
        signature[len / 2] ^= 1;
        cr_expect_not(signature_holds(&key, MESSAGE, slice_from(signature, len)));
        private_key_fini(&secret);
    }
}

/* RFC 7518 §3.5 */
Test(sign, pss_takes_no_other_salt_and_no_other_mgf)
{
    struct private_key secret = private_of(ALGORITHM_PS256);
    const struct public_key key = {.algorithm = ALGORITHM_PS256, .pkey = secret.pkey};
    static const struct {
        int salt;
        const char *mgf;
        bool is_fine;
    } rows[] = {{32, "SHA256", true},  {0, "SHA256", false}, {20, "SHA256", false},
                {48, "SHA256", false}, {32, "SHA1", false},  {32, "SHA512", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t signature[256];
        size_t len = sizeof signature;
        struct slice message = MESSAGE;
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *how = NULL;
        cr_assert_eq(EVP_DigestSignInit(ctx, &how, EVP_sha256(), NULL, secret.pkey), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, rows[i].salt), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_mgf1_md_name(how, rows[i].mgf, NULL), 1);
        cr_assert_eq(
            EVP_DigestSign(ctx, signature, &len, (const uint8_t *)message.ptr, message.len), 1);
        EVP_MD_CTX_free(ctx);
        cr_expect_eq(signature_holds(&key, MESSAGE, slice_from(signature, len)), rows[i].is_fine,
                     "row %zu", i);
    }
    private_key_fini(&secret);
}

Test(sign, algorithms_have_the_names_that_jose_gives_them_and_no_others)
{
    static const char *const names[] = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                        "PS512", "ES256", "ES384", "EdDSA"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const enum algorithm a = algorithm_named(slice_of(names[i]));
        cr_expect_neq(a, ALGORITHM_NONE, "%s", names[i]);
        cr_expect(slice_eq(algorithm_name(a), slice_of(names[i])));
    }
    static const char *const others[] = {"none", "None",  "HS256", "HS512",  "ES256K", "ES512",
                                         "RS1",  "rs256", "ES25",  "ES2566", ""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect_eq(algorithm_named(slice_of(others[i])), ALGORITHM_NONE, "%s", others[i]);
    cr_expect_eq(algorithm_name(ALGORITHM_COUNT).len, 0);
}
