// SPDX-License-Identifier: EUPL-1.2
/* Reads a certificate that chain.c has found good. What it says becomes text that rules compare and
 * that the audit prints; so text that two readers could see differently (NUL, controls, a name
 * given twice) makes the certificate unusable, instead of being cleaned. */
#include "auth/device.h"

#include "auth/spiffe.h"
#include "base/codec.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/mem.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#define NAME_MAX_BYTES 256 /* of a subject attribute or DNS name */
#define ISSUER_MAX_BYTES 2048
#define SERIAL_MAX_BYTES 64             /* RFC 5280 §4.1.2.2 allows 20; some issue more */
#define NAMES_MAX ((int)CEL_LIST_BOUND) /* of one kind */

/* Without C0 and C1 controls, DEL and NUL. The text is valid UTF-8. */
static bool is_clean(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t byte = (uint8_t)text.ptr[i];
        if (byte < 0x20 || byte == 0x7f)
            return false;
        if (byte == 0xc2 && i + 1 < text.len && (uint8_t)text.ptr[i + 1] < 0xa0)
            return false;
    }
    return true;
}

static bool is_visible_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return true;
}

/* The values of one attribute of the subject, in order. */
static bool subject_values(struct device *d, X509 *leaf, int nid, struct slices *out,
                           struct fault *f)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    int count = 0;
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, nid, at)) >= 0;)
        count++;
    if (count > NAMES_MAX)
        return fault_set(f, FAULT_LIMIT, "the subject has more than %d '%s'", NAMES_MAX,
                         OBJ_nid2sn(nid));
    struct slice *values = arena_array(&d->arena, struct slice, (size_t)count);
    int n = 0;
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, nid, at)) >= 0 && n < count; n++) {
        unsigned char *utf8 = NULL;
        const int len =
            ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        const struct slice text = slice_from(utf8, len > 0 ? (size_t)len : 0);
        const bool is_good = text.len && text.len <= NAME_MAX_BYTES && is_clean(text);
        if (is_good)
            values[n] = arena_copy(&d->arena, text);
        OPENSSL_free(utf8);
        if (!is_good)
            return fault_set(f, FAULT_TRUST, "'%s' of the subject is not plain text",
                             OBJ_nid2sn(nid));
    }
    *out = (struct slices){values, (uint32_t)n};
    return true;
}

/* Every attribute of the subject, the members of a multi-valued RDN one after the other. A type
 * without a short name stands as its number. */
static bool subject_read(struct device *d, X509 *leaf, struct fault *f)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    const int count = X509_NAME_entry_count(subject);
    if (count > NAMES_MAX)
        return fault_set(f, FAULT_LIMIT, "the subject has more than %d attributes", NAMES_MAX);
    struct slice *values = arena_array(&d->arena, struct slice, (size_t)count);
    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        const int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        char number[80] = "";
        unsigned char *utf8 = NULL;
        const int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
        const struct slice text = slice_from(utf8, len > 0 ? (size_t)len : 0);
        const bool is_named =
            nid != NID_undef ||
            OBJ_obj2txt(number, sizeof number, X509_NAME_ENTRY_get_object(entry), 1) > 0;
        const bool is_good = is_named && text.len <= NAME_MAX_BYTES && is_clean(text);
        if (is_good)
            values[i] = arena_printf(&d->arena, "%s=%.*s",
                                     nid == NID_undef ? number : OBJ_nid2sn(nid), SLICE_ARG(text));
        OPENSSL_free(utf8);
        if (!is_good || len < 0)
            return fault_set(f, FAULT_TRUST, "attribute %d of the subject is not plain text",
                             i + 1);
    }
    d->device.subject = (struct slices){values, (uint32_t)count};
    return true;
}

static void key_read(struct device *d, X509 *leaf)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);
    switch (key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        d->device.key_type = SLICE("RSA");
        break;
    case EVP_PKEY_EC:
        d->device.key_type = SLICE("EC");
        break;
    case EVP_PKEY_ED25519:
        d->device.key_type = SLICE("Ed25519");
        break;
    case EVP_PKEY_ED448:
        d->device.key_type = SLICE("Ed448");
        break;
    default:
        return; // chain.c accepts no other
    }
    d->device.key_bits = EVP_PKEY_get_bits(key);
}

/* The alternative names of one type (GEN_DNS, GEN_URI or GEN_EMAIL: all IA5 strings). */
static bool alternative_names(struct device *d, const GENERAL_NAMES *all, int type,
                              struct slices *out, struct fault *f)
{
    int count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++)
        count += sk_GENERAL_NAME_value(all, i)->type == type;
    if (count > NAMES_MAX)
        return fault_set(f, FAULT_LIMIT, "there are more than %d alternative names", NAMES_MAX);
    struct slice *values = arena_array(&d->arena, struct slice, (size_t)count);
    int n = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (name->type != type)
            continue;
        const ASN1_IA5STRING *ia5 = name->d.ia5;
        const int len = ASN1_STRING_length(ia5);
        const struct slice text = slice_from(ASN1_STRING_get0_data(ia5), len > 0 ? (size_t)len : 0);
        if (!text.len || text.len > (type == GEN_URI ? SPIFFE_ID_MAX_BYTES : NAME_MAX_BYTES) ||
            !is_visible_ascii(text))
            return fault_set(f, FAULT_TRUST, "an alternative name is not plain text");
        char *copy = arena_bytes(&d->arena, text.len);
        // DNS names are one whatever their case (RFC 4343), conditions compare bytes.
        for (size_t at = 0; at < text.len; at++)
            copy[at] = type == GEN_DNS ? ascii_lower(text.ptr[at]) : text.ptr[at];
        values[n++] = slice_from(copy, text.len);
    }
    *out = (struct slices){values, (uint32_t)n};
    return true;
}

static bool alternatives_read(struct device *d, X509 *leaf, struct fault *f)
{
    int critical = -1;
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    if (!all && critical != -1) // -2: there twice; else: does not parse
        return fault_set(f, FAULT_TRUST, "the alternative names do not parse");
    const bool is_read = alternative_names(d, all, GEN_DNS, &d->device.dns_names, f) &&
                         alternative_names(d, all, GEN_URI, &d->device.uris, f) &&
                         alternative_names(d, all, GEN_EMAIL, &d->device.emails, f);
    GENERAL_NAMES_free(all);
    return is_read;
}

static bool serial_read(struct device *d, X509 *leaf, struct fault *f)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    char *text = NULL;
    bool is_read = false;
    if (!number || BN_is_negative(number) || BN_num_bytes(number) > SERIAL_MAX_BYTES ||
        !(text = BN_bn2hex(number))) {
        fault_set(f, FAULT_TRUST, "the serial number is negative or too long");
        goto out;
    }
    for (char *at = text; *at; at++)
        *at = ascii_lower(*at);
    d->device.serial = arena_copy(&d->arena, slice_of(text));
    is_read = true;
out:
    OPENSSL_free(text);
    BN_free(number);
    return is_read;
}

static bool issuer_read(struct device *d, X509 *leaf, struct fault *f)
{
    bool is_read = false;
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (!bio || X509_NAME_print_ex(bio, X509_get_issuer_name(leaf), 0, XN_FLAG_RFC2253) < 0) {
        fault_set(f, FAULT_INTERNAL, "cannot print the issuer");
        goto out;
    }
    const long len = BIO_get_mem_data(bio, &text);
    if (len < 0 || len > ISSUER_MAX_BYTES) {
        fault_set(f, FAULT_LIMIT, "the issuer's name is longer than %d bytes", ISSUER_MAX_BYTES);
        goto out;
    }
    d->device.issuer = arena_copy(&d->arena, slice_from(text, (size_t)len));
    is_read = true;
out:
    BIO_free(bio);
    return is_read;
}

static bool dates_and_digest_read(struct device *d, X509 *leaf, struct fault *f)
{
    struct tm end;
    unsigned char *der = NULL;
    char hex[2 * SHA256_BYTES];
    if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &end) != 1)
        return fault_set(f, FAULT_TRUST, "the end of validity does not parse");
    d->device.not_after.s = timegm(&end);
    const int len = i2d_X509(leaf, &der);
    if (len <= 0)
        return fault_set(f, FAULT_INTERNAL, "cannot encode the certificate");
    sha256(d->device.digest, slice_from(der, (size_t)len));
    OPENSSL_free(der);
    hex_encode(hex, d->device.digest, SHA256_BYTES);
    d->device.certificate = arena_copy(&d->arena, slice_from(hex, sizeof hex));
    return true;
}

/* The one value there is. Two would make the name depend on who reads first. */
static bool only_one(const struct slices *values, const char *what, struct slice *out,
                     struct fault *f)
{
    if (values->count != 1)
        return fault_set(f, FAULT_TRUST, "the certificate has %s %s to be named by",
                         values->count ? "more than one" : "no", what);
    *out = values->at[0];
    return true;
}

/* The name by which the authority tells one device from another. */
static bool name_read(struct device *d, X509 *leaf, const struct authority *authority,
                      const struct slices *common_names, struct slice *out, struct fault *f)
{
    struct slices numbers = {NULL, 0};
    switch (authority->name) {
    case DEVICE_NAME_COMMON_NAME:
        return only_one(common_names, "common name", out, f);
    case DEVICE_NAME_SERIAL_NUMBER:
        return subject_values(d, leaf, NID_serialNumber, &numbers, f) &&
               only_one(&numbers, "serialNumber", out, f);
    case DEVICE_NAME_URI:
        return only_one(&d->device.uris, "URI", out, f);
    case DEVICE_NAME_DNS:
        return only_one(&d->device.dns_names, "DNS name", out, f);
    }
    return fault_set(f, FAULT_INTERNAL, "the authority does not say what names a device");
}

/* X509-SVID §4.3: there, and critical. */
static bool is_usage_of_svid(X509 *leaf)
{
    const uint32_t usage = X509_get_key_usage(leaf); // all ones where there is none
    const int at = X509_get_ext_by_NID(leaf, NID_key_usage, -1);
    return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(leaf, at)) &&
           usage & KU_DIGITAL_SIGNATURE && !(usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
}

/* X509-SVID §4 and §5.2: what a leaf must be, and its one id. */
static bool spiffe_read(struct device *d, X509 *leaf, const struct authority *authority,
                        struct fault *f)
{
    const uint32_t both = XKU_SSL_CLIENT | XKU_SSL_SERVER; // §4.4: both, where it says any
    struct slice domain;
    if (X509_check_ca(leaf) != 0)
        return fault_set(f, FAULT_TRUST, "the certificate of an authority is no SVID");
    if (!is_usage_of_svid(leaf))
        return fault_set(f, FAULT_TRUST, "the key usage is not that of an SVID");
    if ((X509_get_extended_key_usage(leaf) & both) != both)
        return fault_set(f, FAULT_TRUST, "the extended key usage is not that of an SVID");
    if (d->device.uris.count != 1)
        return fault_set(f, FAULT_TRUST, "an SVID has exactly one URI");
    if (!spiffe_id_read(d->device.uris.at[0], &domain))
        return fault_set(f, FAULT_TRUST, "the URI is no SPIFFE id");
    if (!slice_eq(domain, authority->trust_domain))
        return fault_set(f, FAULT_TRUST, "the SPIFFE id is of another trust domain");
    d->service.spiffe_id = d->device.uris.at[0];
    d->service.trust_domain = domain;
    return true;
}

static bool device_read(struct device *d, X509 *leaf, const struct authority *authority,
                        struct fault *f)
{
    struct slices common_names = {0};
    struct slice name = {0};
    if (!subject_values(d, leaf, NID_commonName, &common_names, f) ||
        !subject_values(d, leaf, NID_organizationalUnitName, &d->device.organizational_units, f) ||
        !subject_read(d, leaf, f) || !alternatives_read(d, leaf, f) || !serial_read(d, leaf, f) ||
        !issuer_read(d, leaf, f) || !dates_and_digest_read(d, leaf, f))
        return false;
    key_read(d, leaf);
    if (authority->trust_domain.len && !spiffe_read(d, leaf, authority, f))
        return false;
    if (!name_read(d, leaf, authority, &common_names, &name, f))
        return false;
    d->device.authority = arena_copy(&d->arena, authority->id);
    d->device.trust = arena_copy(&d->arena, authority->trust);
    if (common_names.count)
        d->device.common_name = common_names.at[0];
    d->device.id = arena_printf(&d->arena, "%.*s:%.*s", SLICE_ARG(authority->id), SLICE_ARG(name));
    d->is_service = authority->identifies_service;
    if (d->is_service)
        d->service.id = d->service.spiffe_id.len ? d->service.spiffe_id : name;
    return true;
}

struct device *device_new(X509 *leaf, const struct authority *authority, struct fault *f)
{
    struct device *d = mem_new(struct device);
    d->references = 1;
    arena_init(&d->arena, NULL);
    const bool is_read = device_read(d, leaf, authority, f);
    // What parsing left in this thread's queue is no error of the connection's.
    ERR_clear_error();
    if (is_read)
        return d;
    device_unref(d);
    return NULL;
}

struct device *device_ref(struct device *d)
{
    d->references++;
    return d;
}

void device_unref(struct device *d)
{
    if (!d || --d->references)
        return;
    arena_fini(&d->arena);
    mem_free(d);
}
