// SPDX-License-Identifier: EUPL-1.2
/* See pki.h. */
#include "pki.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

EVP_PKEY *pki_key_make(enum pki_key kind)
{
    EVP_PKEY *key = NULL;
    switch (kind) {
    case PKI_P256:
        key = EVP_EC_gen("P-256");
        break;
    case PKI_P384:
        key = EVP_EC_gen("P-384");
        break;
    case PKI_P224:
        key = EVP_EC_gen("P-224");
        break;
    case PKI_K256:
        key = EVP_EC_gen("secp256k1");
        break;
    case PKI_ED25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    case PKI_RSA2048:
        key = EVP_RSA_gen(2048);
        break;
    case PKI_RSA1024:
        key = EVP_RSA_gen(1024);
        break;
    }
    assert(key);
    return key;
}

static void name_add(X509_NAME *name, const char *field, const char *value)
{
    if (value)
        assert(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value,
                                          -1, -1, 0));
}

static void extension_add(X509 *certificate, X509 *issuer, int nid, const char *text)
{
    if (!text)
        return;
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, text);
    assert(extension);
    assert(X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
}

static void unknown_critical_add(X509 *certificate)
{
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert(oid && value && ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05\x00", 2));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
    assert(extension && X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
}

struct pki_end pki_make(const struct pki_spec *spec)
{
    static long serial = 4096;
    struct pki_end end = {X509_new(), spec->reused};
    if (end.key)
        EVP_PKEY_up_ref(end.key);
    else
        end.key = pki_key_make(spec->key);
    X509 *c = end.certificate;
    X509 *issuer = spec->issuer ? spec->issuer->certificate : c;
    assert(c && X509_set_version(c, 2) && X509_set_pubkey(c, end.key));
    assert(ASN1_INTEGER_set(X509_get_serialNumber(c), serial++));
    assert(ASN1_TIME_set(X509_getm_notBefore(c),
                         spec->not_before_s ? spec->not_before_s : NOW_S - DAY_S));
    assert(ASN1_TIME_set(X509_getm_notAfter(c),
                         spec->not_after_s ? spec->not_after_s : NOW_S + DAY_S));
    X509_NAME *name = X509_get_subject_name(c);
    for (size_t i = 0; i < sizeof spec->units / sizeof spec->units[0]; i++)
        name_add(name, "OU", spec->units[i]);
    name_add(name, "CN", spec->common_name);
    name_add(name, "CN", spec->second_common_name);
    name_add(name, "serialNumber", spec->subject_serial);
    assert(X509_set_issuer_name(c, X509_get_subject_name(issuer)));
    extension_add(c, issuer, NID_subject_key_identifier, "hash");
    if (!spec->has_no_authority_key)
        extension_add(c, issuer, NID_authority_key_identifier, "keyid:always");
    extension_add(c, issuer, NID_basic_constraints, spec->basic);
    extension_add(c, issuer, NID_key_usage, spec->usage);
    extension_add(c, issuer, NID_ext_key_usage, spec->extended);
    extension_add(c, issuer, NID_subject_alt_name, spec->names);
    extension_add(c, issuer, NID_name_constraints, spec->constraints);
    if (spec->has_unknown_critical)
        unknown_critical_add(c);
    assert(X509_sign(c, spec->issuer ? spec->issuer->key : end.key,
                     spec->is_sha1 ? EVP_sha1() : EVP_sha256()));
    return end;
}

struct pki_end pki_root(const char *name)
{
    return pki_make(&(struct pki_spec){
        .common_name = name, .basic = "critical,CA:TRUE", .usage = PKI_CA_USAGE});
}

struct pki_end pki_intermediate(const char *name, const struct pki_end *issuer)
{
    return pki_make(&(struct pki_spec){
        .common_name = name, .issuer = issuer, .basic = "critical,CA:TRUE", .usage = PKI_CA_USAGE});
}

struct pki_end pki_device(const char *name, const struct pki_end *issuer)
{
    return pki_make(&(struct pki_spec){
        .common_name = name, .issuer = issuer, .usage = PKI_LEAF_USAGE, .extended = "clientAuth"});
}

void pki_end_fini(struct pki_end *end)
{
    X509_free(end->certificate);
    EVP_PKEY_free(end->key);
    *end = (struct pki_end){0};
}

void pki_pem(char **pem, X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert(bio && PEM_write_bio_X509(bio, certificate));
    const size_t len = (size_t)BIO_get_mem_data(bio, &text);
    const size_t had = *pem ? strlen(*pem) : 0;
    *pem = mem_grow(*pem, had + len + 1, 1);
    memcpy(*pem + had, text, len);
    (*pem)[had + len] = '\0';
    BIO_free(bio);
}
