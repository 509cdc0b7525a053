// SPDX-License-Identifier: EUPL-1.2
/* See bundle_parts.h. */
#include "bundle_parts.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = value ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;
    if (e)
        cr_assert(X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

struct slice make_pem(struct recipe r)
{
    EVP_PKEY *key = r.rsa_bits ? EVP_RSA_gen(r.rsa_bits) : EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"Test CA", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    add_extension(x, NID_basic_constraints, r.constraints);
    add_extension(x, NID_key_usage, r.key_usage);
    cr_assert(X509_sign(x, key, r.digest ? r.digest : EVP_sha256()));
    cr_assert(PEM_write_bio_X509(bio, x));
    const long len = BIO_get_mem_data(bio, &text);
    const struct slice pem = mem_slice(slice_from(text, (size_t)len));
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(key);
    return pem;
}

const struct recipe good_ca = {"critical,CA:TRUE", "critical,keyCertSign,cRLSign", NULL, 0};

void folder_put(const struct folder *f, const char *name, struct slice text)
{
    char path[128];
    struct fault fault;
    (void)snprintf(path, sizeof path, "%s/%s", f->path, name);
    cr_assert(file_write(path, text, 0644, &fault), "%s", fault.text);
}

struct folder folder_new(void)
{
    struct folder f = {"/tmp/bundle-test-XXXXXX"};
    struct slice pem = make_pem(good_ca);
    cr_assert(mkdtemp(f.path));
    folder_put(&f, "ca.pem", pem);
    folder_put(&f, "keys.json",
               SLICE("{\"keys\":[{\"kty\":\"EC\",\n\"kid\":\"\xc3\xa9\\\\\"}]}\n"));
    mem_slice_free(&pem);
    return f;
}

void folder_free(const struct folder *f)
{
    static const char *const names[] = {"ca.pem", "keys.json"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", f->path, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->path);
}

struct bundle *bundle_from(const char *text, const char *dir, struct findings *out)
{
    findings_init(out);
    return bundle_load(slice_of(text), "finance.yaml", slice_of(dir), out);
}
