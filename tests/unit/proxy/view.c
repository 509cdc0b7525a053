// SPDX-License-Identifier: EUPL-1.2
/* Which certificates and keys make a view, and what may share one. */
#include "proxy/view.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"

static char dir[64];
static EVP_PKEY *key;
static struct application app;

static const char *in_dir(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/a.example/%s", dir, name);
    return path;
}

static FILE *open_in_dir(const char *name, const char *how)
{
    FILE *file = fopen(in_dir(name), how);
    cr_assert_not_null(file);
    return file;
}

/* A certificate of `key` for that name, behind what is in fullchain.pem. */
static void put_certificate(const char *name, long from_s, long until_s)
{
    X509 *c = X509_new();
    char text[128];
    X509V3_CTX context;
    cr_assert(X509_set_version(c, 2) && X509_set_pubkey(c, key));
    cr_assert(ASN1_INTEGER_set(X509_get_serialNumber(c), 1));
    cr_assert(X509_gmtime_adj(X509_getm_notBefore(c), from_s));
    cr_assert(X509_gmtime_adj(X509_getm_notAfter(c), until_s));
    (void)snprintf(text, sizeof text, "DNS:%s", name);
    X509V3_set_ctx(&context, c, c, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, text);
    cr_assert(e && X509_add_ext(c, e, -1) && X509_sign(c, key, EVP_sha256()));
    X509_EXTENSION_free(e);
    FILE *file = open_in_dir("fullchain.pem", "a");
    cr_assert(PEM_write_X509(file, c));
    (void)fclose(file);
    X509_free(c);
}

static void put_key(EVP_PKEY *k, const char *password)
{
    FILE *file = open_in_dir("key.pem", "w");
    cr_assert_eq(PEM_write_PKCS8PrivateKey(file, k, password ? EVP_aes_256_cbc() : NULL, password,
                                           password ? (int)strlen(password) : 0, NULL, NULL),
                 1);
    (void)fclose(file);
    cr_assert_eq(chmod(in_dir("key.pem"), 0600), 0);
}

static void begin(void)
{
    base_init();
    (void)umask(077);
    (void)snprintf(dir, sizeof dir, "/tmp/belfry-view-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(mkdir(in_dir(""), 0700), 0);
    key = EVP_EC_gen("P-256");
    put_key(key, NULL);
    app = (struct application){
        .entity = SLICE("one"), .host = SLICE("a.example"), .device = DEVICE_NONE};
}

static int forget(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return remove(path);
}

static void end(void)
{
    EVP_PKEY_free(key);
    (void)nftw(dir, forget, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(view, .init = begin, .fini = end);

static struct view *make(struct view *const *old, struct fault *f)
{
    const struct view_settings s = {.app = &app, .certificates_dir = dir};
    return view_make(&s, old, old ? 1 : 0, f);
}

static void expect_refused(const char *text)
{
    struct fault f = {0};
    struct view *v = make(NULL, &f);
    cr_expect_null(v, "made in spite of: %s", text);
    cr_expect(strstr(f.text, text), "'%s' is not '%s'", f.text, text);
    view_unref(v);
}

Test(view, a_certificate_that_fits_makes_one_and_the_same_files_the_same_one)
{
    struct fault f = {0};
    put_certificate("a.example", -60, 3600);
    struct view *v = make(NULL, &f);
    cr_assert(v, "%s", f.text);
    struct view *again = make(&v, &f);
    cr_expect_eq(v, again);
    view_unref(again);
    app.device = DEVICE_OPTIONAL;
    struct view *asking = make(&v, &f);
    cr_assert(asking && asking != v);
    cr_expect_arr_neq(asking->digest, v->digest, 32);
    app.device = DEVICE_NONE;
    app.entity = SLICE("two");
    struct view *other = make(&v, &f);
    cr_assert(other && other != v);
    cr_expect_arr_neq(other->digest, v->digest, 32);
    view_unref(other);
    view_unref(asking);
    view_unref(v);
}

Test(view, files_are_read_again_only_where_the_host_changed_or_it_is_asked_for)
{
    struct fault f = {0};
    put_certificate("a.example", -60, 3600);
    struct view *v = make(NULL, &f);
    cr_assert(v, "%s", f.text);
    cr_assert_eq(unlink(in_dir("key.pem")), 0);
    const struct view_settings s = {.app = &app, .certificates_dir = dir, .last = v};
    struct view *kept = view_make(&s, NULL, 0, &f);
    cr_expect_eq(kept, v);
    view_unref(kept);
    expect_refused("key.pem");
    app.device = DEVICE_OPTIONAL;
    cr_expect_null(view_make(&s, NULL, 0, &f));
    view_unref(v);
}

Test(view, a_certificate_for_another_name_or_time_or_key_is_refused)
{
    put_certificate("b.example", -60, 3600);
    expect_refused("does not name");
    cr_assert_eq(remove(in_dir("fullchain.pem")), 0);
    put_certificate("a.example", -3600, -60);
    expect_refused("expired");
    cr_assert_eq(remove(in_dir("fullchain.pem")), 0);
    put_certificate("a.example", -60, 3600);
    EVP_PKEY *other = EVP_EC_gen("P-256");
    put_key(other, NULL);
    EVP_PKEY_free(other);
    expect_refused("does not fit");
}

Test(view, a_chain_is_read_to_its_end_or_refused)
{
    put_certificate("a.example", -60, 3600);
    FILE *file = open_in_dir("fullchain.pem", "a");
    (void)fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", file);
    (void)fclose(file);
    put_certificate("issuer.example", -60, 3600);
    expect_refused("does not parse");
}

Test(view, nobody_is_asked_for_the_password_of_a_key)
{
    int ends[2];
    put_certificate("a.example", -60, 3600);
    put_key(key, "secret");
    // Without a terminal OpenSSL would ask on standard input; there the answer lies ready.
    (void)setsid();
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "secret\n", 7), 7);
    cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    expect_refused("does not fit");
    (void)close(ends[0]);
    (void)close(ends[1]);
}
