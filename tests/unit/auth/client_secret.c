// SPDX-License-Identifier: EUPL-1.2
#include "auth/client_secret.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/jws.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

static char dir[] = "/tmp/belfry-secrets-XXXXXX";

static void begin(void)
{
    char path[128];
    base_init();
    cr_assert(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/finance", dir);
    cr_assert_eq(mkdir(path, 0700), 0);
}

static void end(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(client_secret, .init = begin, .fini = end);

static void put(const char *name, struct slice bytes, unsigned mode)
{
    char path[128];
    struct fault fault;
    (void)snprintf(path, sizeof path, "%s/finance/%s", dir, name);
    cr_assert(file_write(path, bytes, mode, &fault), "%s", fault.text);
}

Test(client_secret, a_secret_is_its_file_without_the_line_end)
{
    static const char *const files[] = {"s3cret", "s3cret\n", "s3cret\r\n"};
    struct fault fault;
    for (size_t i = 0; i < 3; i++) {
        struct secret s = {0};
        put("fas", slice_of(files[i]), 0600);
        cr_assert(client_secret_read(&s, dir, SLICE("finance"), SLICE("fas"), &fault));
        cr_expect(slice_eq(slice_from(s.bytes, s.len), SLICE("s3cret")));
        secret_fini(&s);
    }
}

Test(client_secret, one_that_is_missing_empty_or_open_to_others_is_none)
{
    struct secret s = {0};
    struct fault fault;
    put("empty", SLICE("\n"), 0600);
    put("open", SLICE("s3cret"), 0644);
    cr_expect_not(client_secret_read(&s, dir, SLICE("finance"), SLICE("gone"), &fault));
    cr_expect_not(client_secret_read(&s, dir, SLICE("finance"), SLICE("empty"), &fault));
    cr_expect_not(client_secret_read(&s, dir, SLICE("finance"), SLICE("open"), &fault));
    cr_expect_not(client_secret_read(&s, dir, SLICE("health"), SLICE("open"), &fault));
    cr_expect_not(client_secret_read(&s, "", SLICE("finance"), SLICE("empty"), &fault));
    cr_expect_not(client_secret_read(&s, NULL, SLICE("finance"), SLICE("empty"), &fault));
    cr_expect_null(s.bytes);
}

/* RFC 6749 §2.3.1 */
Test(client_secret, basic_encodes_both_parts_before_it_joins_them)
{
    const struct client c = {.id = SLICE("s6B:hd"), .secret = SLICE("fas")};
    struct secret field;
    struct buf form;
    struct fault fault;
    put("fas", SLICE("7F j%f+\n"), 0600);
    buf_init(&form, 1024);
    cr_assert(client_prove(&c, dir, SLICE("finance"), SLICE("https://idp.example"),
                           (struct wall){0}, &field, &form, &fault),
              "%s", fault.text);
    char expected[128] = "Authorization: Basic ";
    const size_t len = strlen(expected);
    const char *pair = "s6B%3Ahd:7F+j%25f%2B";
    expected[len + base64_encode(expected + len, pair, strlen(pair))] = '\0';
    cr_expect_str_eq((char *)field.bytes, expected);
    cr_expect_eq(buf_len(&form), 0);
    secret_fini(&field);
    buf_fini(&form);
}

static char *form_value(struct slice form, const char *name)
{
    while (form.len) {
        struct slice value = slice_cut(&form, '&');
        if (slice_eq(slice_cut(&value, '='), slice_of(name)))
            return mem_text(value);
    }
    return NULL;
}

/* RFC 7523 §3; what is signed holds for the public key, and is no token of any other kind. */
Test(client_secret, a_key_signs_an_assertion_for_one_provider_and_one_minute)
{
    static const struct {
        const char *kind;
        uint32_t wanted;
        enum algorithm is;
    } rows[] = {{"P-256", ALGORITHM_NONE, ALGORITHM_ES256},
                {"P-384", ALGORITHM_NONE, ALGORITHM_ES384},
                {"RSA", ALGORITHM_NONE, ALGORITHM_RS256},
                {"RSA", ALGORITHM_PS256, ALGORITHM_PS256},
                {"RSA", ALGORITHM_ES256, ALGORITHM_NONE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct client c = {.id = SLICE("belfry"),
                                 .auth = CLIENT_PRIVATE_KEY,
                                 .secret = SLICE("key"),
                                 .key_algorithm = rows[i].wanted};
        struct secret field;
        struct buf form;
        struct fault fault;
        EVP_PKEY *pkey = rows[i].kind[0] == 'R' ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                                                : EVP_PKEY_Q_keygen(NULL, NULL, "EC", rows[i].kind);
        BIO *bio = BIO_new(BIO_s_mem());
        char *pem;
        cr_assert(PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL));
        const long pem_len = BIO_get_mem_data(bio, &pem);
        put("key", slice_from(pem, (size_t)pem_len), 0600);
        BIO_free(bio);
        buf_init(&form, 16384);
        cr_assert(form_add(&form, "token", SLICE("a b")));
        const bool is_proven = client_prove(&c, dir, SLICE("finance"), SLICE("https://idp.example"),
                                            (struct wall){1800000000}, &field, &form, &fault);
        cr_assert_eq(is_proven, rows[i].is != ALGORITHM_NONE, "row %zu", i);
        if (is_proven) {
            struct jws jws;
            const struct public_key key = {.algorithm = rows[i].is, .pkey = pkey};
            char *token = form_value(buf_slice(&form), "client_assertion");
            char *first = form_value(buf_slice(&form), "token");
            cr_expect_eq(field.len, 0);
            cr_expect_str_eq(first, "a+b");
            cr_assert_eq(jws_parse(&jws, slice_of(token)), REASON_PERMITTED);
            cr_expect_eq(jws.algorithm, rows[i].is);
            cr_expect(signature_holds(&key, jws.signed_bytes,
                                      slice_from(jws.signature, jws.signature_len)));
            struct slice text;
            int64_t exp;
            cr_expect(jtree_string(jws.claims, "iss", &text) && slice_eq(text, c.id));
            cr_expect(jtree_string(jws.claims, "sub", &text) && slice_eq(text, c.id));
            cr_expect(jtree_string(jws.claims, "aud", &text) &&
                      slice_eq(text, SLICE("https://idp.example")));
            cr_expect(jtree_string(jws.claims, "jti", &text) && text.len == 22);
            cr_expect(jtree_date(jws.claims, "exp", &exp) && exp == 1800000060);
            jws_fini(&jws);
            mem_free(token);
            mem_free(first);
        }
        buf_fini(&form);
        EVP_PKEY_free(pkey);
    }
}
