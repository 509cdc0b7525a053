// SPDX-License-Identifier: EUPL-1.2
/* Certificates of devices and services. The script (der.h) names the parts of one, which is then
 * signed by the authority that is trusted: "s" and "o" an attribute of the subject by its short
 * name (of type UTF-8; of the type with that number), "x" an extension, "n" the serial number in
 * hex, "t" its validity in days from now; "p" is PEM instead, and "r" the DER of a whole
 * certificate, which that authority has never signed. Properties: nobody is let in whom the
 * authority has not signed, or without clientAuth, or out of its time; and a text that becomes a
 * fact is printable and within its bounds. */
#include "der.h"

#include "auth/chain.h"
#include "auth/device.h"
#include "base/hash.h"

#include <openssl/pem.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;
static EVP_PKEY *leaf_key;
static X509 *root;
static struct chain_trust *trust[3]; /* devices by CN, devices by serialNumber, services */

static void begin(void)
{
    static char pem[4096];
    struct fault fault;
    struct authority a = {.id = SLICE("laptops"),
                          .entity = SLICE("fin"),
                          .trust = SLICE("managed"),
                          .name = DEVICE_NAME_COMMON_NAME};
    if (key)
        return;
    base_init();
    key = EVP_EC_gen("P-256");
    leaf_key = EVP_EC_gen("P-256");
    assert(key && leaf_key);
    root = authority_new(key);
    BIO *bio = BIO_new(BIO_s_mem());
    assert(bio && PEM_write_bio_X509(bio, root));
    const int len = BIO_read(bio, pem, sizeof pem);
    BIO_free(bio);
    a.ca_pem = slice_from(pem, (size_t)len);
    trust[0] = chain_trust_new(&a, 1, &fault);
    a.name = DEVICE_NAME_SERIAL_NUMBER;
    trust[1] = chain_trust_new(&a, 1, &fault);
    a.identifies_service = true;
    a.trust_domain = SLICE("finance.example");
    a.name = DEVICE_NAME_URI;
    trust[2] = chain_trust_new(&a, 1, &fault);
    assert(trust[0] && trust[1] && trust[2]);
}

static void subject_add(X509 *c, struct slice words, int type)
{
    char field[32];
    const struct slice name = slice_cut(&words, ' ');
    if (!name.len || name.len >= sizeof field || words.len > INT16_MAX)
        return;
    memcpy(field, name.ptr, name.len);
    field[name.len] = '\0';
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(c), field, type,
                                     (const unsigned char *)words.ptr, (int)words.len, -1, 0);
}

static void serial_set(X509 *c, struct slice digits)
{
    uint8_t room[HEX_ROOM];
    const struct slice bytes = from_hex(room, digits);
    BIGNUM *n = bytes.len ? BN_bin2bn((const uint8_t *)bytes.ptr, (int)bytes.len, NULL) : NULL;
    if (n)
        (void)BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
    BN_free(n);
}

/* What the script says, signed, and read again as it would come from a peer. */
static X509 *make(struct script s)
{
    X509 *c = certificate_new(NULL, root, leaf_key, 77);
    unsigned char *der = NULL;
    while (script_next(&s)) {
        X509_EXTENSION *e = NULL;
        int type = MBSTRING_UTF8;
        switch (s.letter) {
        case 'o':
            type = number(&s.words) & 31;
            subject_add(c, s.words, type);
            break;
        case 's':
            subject_add(c, s.words, type);
            break;
        case 'x':
            e = extension_of(s.words);
            (void)(e && X509_add_ext(c, e, -1));
            X509_EXTENSION_free(e);
            break;
        case 'n':
            serial_set(c, s.words);
            break;
        case 't':
            (void)ASN1_TIME_set(X509_getm_notBefore(c), NOW_S + DAY_S * (time_t)number(&s.words));
            (void)ASN1_TIME_set(X509_getm_notAfter(c), NOW_S + DAY_S * (time_t)number(&s.words));
            break;
        default:
            break;
        }
    }
    const int len = X509_sign(c, key, EVP_sha256()) ? i2d_X509(c, &der) : 0;
    X509_free(c);
    const unsigned char *at = der;
    c = len > 0 ? d2i_X509(NULL, &at, len) : NULL;
    OPENSSL_free(der);
    return c;
}

static void check_text(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        assert((uint8_t)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7F);
}
static void check_texts(struct slices texts)
{
    for (uint32_t i = 0; i < texts.count; i++)
        check_text(texts.at[i]);
}

static void judge(X509 *c, bool is_signed)
{
    const struct wall now = {NOW_S};
    for (int i = 0; i < 3; i++) {
        struct chain_answer answer;
        struct fault fault = {0};
        chain_judge(trust[i], c, NULL, now, &answer);
        if (answer.verdict != CHAIN_GOOD) {
            assert(answer.detail && *answer.detail);
            continue;
        }
        assert(is_signed && X509_cmp_time(X509_get0_notAfter(c), &(time_t){NOW_S}) > 0);
        assert(X509_get_extended_key_usage(c) & XKU_SSL_CLIENT);
        assert(X509_get_ext_by_NID(c, NID_ext_key_usage, -1) >= 0);
        assert(answer.until.s > now.s && answer.link_count == 1);
        struct device *d = device_new(c, answer.authority, &fault);
        if (!d)
            continue;
        assert(d->device.id.len && d->is_service == (i == 2));
        check_text(d->device.id);
        check_text(d->device.issuer);
        check_texts(d->device.subject);
        device_unref(d);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = {.rest = slice_from(data, size)};
    struct fault fault;
    X509 *c = NULL;
    begin();
    if (slice_starts(s.rest, SLICE("p"))) {
        STACK_OF(X509) *read = sk_X509_new_null();
        if (chain_read_pem(read, slice_skip(s.rest, 1), &fault))
            assert(sk_X509_num(read) > 0);
        sk_X509_pop_free(read, X509_free);
        return 0;
    }
    const bool is_raw = slice_starts(s.rest, SLICE("r"));
    if (is_raw) {
        const unsigned char *at = data + 1;
        c = d2i_X509(NULL, &at, (long)size - 1);
    } else {
        c = make(s);
    }
    if (c)
        judge(c, !is_raw);
    X509_free(c);
    return 0;
}
