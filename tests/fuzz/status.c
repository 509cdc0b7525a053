// SPDX-License-Identifier: EUPL-1.2
/* Lists of revoked certificates and answers of OCSP responders. The script (der.h) begins with "c"
 * for a CRL, "o" for an answer, and a letter for who signs it: "a" the authority, "d" a delegate
 * that it has certified, "e" somebody else; "C" and "O" are followed by DER as it came, which none
 * of them has signed. Then, for a CRL: "n" a serial number in hex, "m" the same with a reason in
 * front, "x" an extension, "t" thisUpdate and nextUpdate in hours from now. For an answer: "g", "v"
 * and "u" (good, revoked, unknown) with the same two times, of the certificate that is asked for;
 * "G", "V", "U" of another. Properties: what is taken was signed by who may, is of now, is sorted,
 * holds each number that was put in, and is the answer that was given. */
#include "der.h"

#include "auth/ocsp.h"
#include "base/hash.h"

#include <openssl/ocsp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ASKED 77
enum { AUTHORITY, DELEGATE, STRANGER, SIGNERS };
static EVP_PKEY *key[SIGNERS];
static X509 *certificate[SIGNERS];
static STACK_OF(X509) * issuers;

static void begin(void)
{
    if (issuers)
        return;
    base_init();
    for (int i = 0; i < SIGNERS; i++)
        assert((key[i] = EVP_EC_gen("P-256")) != NULL);
    certificate[AUTHORITY] = authority_new(key[AUTHORITY]);
    certificate[STRANGER] = authority_new(key[STRANGER]); // of the same name
    X509 *d = certificate_new("Fuzzed Responder", certificate[AUTHORITY], key[DELEGATE], 2);
    written_add(d, certificate[AUTHORITY], NID_ext_key_usage, "OCSPSigning");
    written_add(d, certificate[AUTHORITY], NID_id_pkix_OCSP_noCheck, "ignored");
    assert(X509_sign(d, key[AUTHORITY], EVP_sha256()));
    certificate[DELEGATE] = d;
    issuers = sk_X509_new_null();
    assert(issuers && sk_X509_push(issuers, certificate[AUTHORITY]));
}

static ASN1_TIME *hours(struct slice *words)
{
    return ASN1_TIME_set(NULL, NOW_S + 3600 * (time_t)number(words));
}

/* ---- CRLs ---- */

static void entry_add(X509_CRL *list, struct slice words, bool has_reason)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, NOW_S - DAY_S);
    const int reason = has_reason ? number(&words) : 0;
    uint8_t room[HEX_ROOM];
    const struct slice bytes = from_hex(room, words);
    BIGNUM *n = bytes.len ? BN_bin2bn((const uint8_t *)bytes.ptr, (int)bytes.len, NULL) : NULL;
    ASN1_INTEGER *serial = n ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
    ASN1_ENUMERATED *why = ASN1_ENUMERATED_new();
    assert(entry && when && why && ASN1_ENUMERATED_set(why, reason));
    if (serial && X509_REVOKED_set_serialNumber(entry, serial) &&
        X509_REVOKED_set_revocationDate(entry, when) &&
        (!has_reason || X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, why, 0, 0) == 1) &&
        X509_CRL_add0_revoked(list, entry))
        entry = NULL;
    X509_REVOKED_free(entry);
    ASN1_ENUMERATED_free(why);
    ASN1_INTEGER_free(serial);
    BN_free(n);
    ASN1_TIME_free(when);
}

static void times_set(X509_CRL *list, struct slice words)
{
    ASN1_TIME *from = hours(&words);
    ASN1_TIME *to = hours(&words);
    (void)(from && X509_CRL_set1_lastUpdate(list, from));
    (void)(to && X509_CRL_set1_nextUpdate(list, to));
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
}

static X509_CRL *list_make(struct script s)
{
    X509_CRL *list = X509_CRL_new();
    assert(list && X509_CRL_set_version(list, X509_CRL_VERSION_2));
    assert(X509_CRL_set_issuer_name(list, X509_get_subject_name(certificate[AUTHORITY])));
    times_set(list, SLICE("-1 1"));
    while (script_next(&s)) {
        X509_EXTENSION *e = NULL;
        if (s.letter == 'n' || s.letter == 'm')
            entry_add(list, s.words, s.letter == 'm');
        else if (s.letter == 't')
            times_set(list, s.words);
        else if (s.letter == 'x' && (e = extension_of(s.words)))
            (void)X509_CRL_add_ext(list, e, -1);
        X509_EXTENSION_free(e);
    }
    return list;
}

static struct crl *list_read(struct slice der, X509_CRL *made)
{
    struct fault fault = {0};
    struct crl *c = crl_parse(der, issuers, (struct wall){NOW_S}, &fault);
    if (!c) {
        assert(fault.text[0]);
        return NULL;
    }
    assert(made && c->this_update.s <= NOW_S + 300);
    assert(crl_is_fresh(c, (struct wall){NOW_S}, &fault) == (c->next_update.s >= NOW_S));
    assert((int)c->count == sk_X509_REVOKED_num(X509_CRL_get_REVOKED(made)) ||
           (!c->count && !X509_CRL_get_REVOKED(made)));
    for (uint32_t i = 0; i < c->count; i++) {
        struct chain_serial serial;
        const X509_REVOKED *entry = sk_X509_REVOKED_value(X509_CRL_get_REVOKED(made), (int)i);
        assert(!i || memcmp(&c->serials[i - 1], &c->serials[i], sizeof serial) <= 0);
        assert(chain_serial_of(&serial, X509_REVOKED_get0_serialNumber(entry)));
        assert(crl_has(c, &serial));
    }
    return c;
}

static void list_try(struct script s, int signer)
{
    unsigned char *der = NULL;
    X509_CRL *list = list_make(s);
    const int len = X509_CRL_sign(list, key[signer], EVP_sha256()) ? i2d_X509_CRL(list, &der) : 0;
    struct crl *c = len > 0 ? list_read(slice_from(der, (size_t)len), list) : NULL;
    assert(!c || signer == AUTHORITY);
    crl_unref(c);
    OPENSSL_free(der);
    X509_CRL_free(list);
}

/* ---- OCSP ---- */

static void answer_add(OCSP_BASICRESP *basic, char letter, struct slice words, int *first)
{
    static const struct {
        char letter;
        int status;
    } statuses[] = {{'g', V_OCSP_CERTSTATUS_GOOD},
                    {'v', V_OCSP_CERTSTATUS_REVOKED},
                    {'u', V_OCSP_CERTSTATUS_UNKNOWN}};
    for (size_t i = 0; i < 3; i++) {
        const bool is_other = letter == statuses[i].letter - 'a' + 'A';
        if (letter != statuses[i].letter && !is_other)
            continue;
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        assert(serial && ASN1_INTEGER_set(serial, is_other ? ASKED + 1 : ASKED));
        OCSP_CERTID *id =
            OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(certificate[AUTHORITY]),
                             X509_get0_pubkey_bitstr(certificate[AUTHORITY]), serial);
        ASN1_TIME *from = hours(&words);
        ASN1_TIME *to = words.len ? hours(&words) : NULL;
        ASN1_TIME *revoked = ASN1_TIME_set(NULL, NOW_S - DAY_S);
        assert(id && from && revoked);
        if (OCSP_basic_add1_status(basic, id, statuses[i].status, 0, revoked, from, to) &&
            !is_other && *first < 0)
            *first = statuses[i].status;
        ASN1_TIME_free(revoked);
        ASN1_TIME_free(to);
        ASN1_TIME_free(from);
        OCSP_CERTID_free(id);
        ASN1_INTEGER_free(serial);
    }
}

static bool answer_read(struct slice der, struct ocsp_answer *out)
{
    struct chain_serial serial = {0};
    struct fault fault = {0};
    serial.len = 1;
    serial.bytes[0] = ASKED;
    const bool is_read =
        ocsp_read(der, certificate[AUTHORITY], &serial, NULL, 0, (struct wall){NOW_S}, out, &fault);
    assert(is_read ? out->verdict != OCSP_NONE : fault.text[0]);
    return is_read;
}

static void answer_try(struct script s, int signer)
{
    struct ocsp_answer answer = {0};
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    unsigned char *der = NULL;
    int first = -1;
    assert(basic);
    while (script_next(&s))
        answer_add(basic, s.letter, s.words, &first);
    if (OCSP_basic_sign(basic, certificate[signer], key[signer], EVP_sha256(), NULL, 0)) {
        OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
        const int len = response ? i2d_OCSP_RESPONSE(response, &der) : 0;
        if (len > 0 && answer_read(slice_from(der, (size_t)len), &answer)) {
            assert(signer != STRANGER && answer.this_update.s <= NOW_S + 300);
            assert((answer.verdict == OCSP_GOOD) == (first == V_OCSP_CERTSTATUS_GOOD));
            assert((answer.verdict == OCSP_REVOKED) == (first == V_OCSP_CERTSTATUS_REVOKED));
        }
        OCSP_RESPONSE_free(response);
    }
    OPENSSL_free(der);
    OCSP_BASICRESP_free(basic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ocsp_answer answer;
    const struct slice text = slice_from(data, size);
    begin();
    if (size < 2)
        return 0;
    const struct slice der = slice_skip(text, 1);
    const int signer = data[1] == 'a' ? AUTHORITY : data[1] == 'd' ? DELEGATE : STRANGER;
    switch (data[0]) {
    case 'C':
        crl_unref(list_read(der, NULL));
        break;
    case 'O':
        assert(!answer_read(der, &answer));
        break;
    case 'c':
        list_try((struct script){.rest = slice_skip(text, 2)}, signer);
        break;
    case 'o':
        answer_try((struct script){.rest = slice_skip(text, 2)}, signer);
        break;
    default:
        break;
    }
    return 0;
}
