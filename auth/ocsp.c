// SPDX-License-Identifier: EUPL-1.2
/* RFC 6960 §3.2, point by point: the certificate is the one that was asked about, the signature
 * holds, the signer may sign for this issuer, and the times are of now. The parsing and the
 * signer's path are OpenSSL's. */
#include "auth/ocsp.h"

#include "auth/sigalg.h"
#include "base/codec.h"
#include "base/fault.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#define SKEW_S 300            /* of the responder's clock against ours */
#define WITHOUT_NEXT_S 300    /* §2.4: without nextUpdate newer information is always there */
#define REQUEST_MAX_BYTES 255 /* RFC 5019 §5: as long as a GET may be; ours has about 80 */

/* RFC 5019 §2.1.1: by SHA-1, which is all that many responders know. It names, and proves nothing:
 * what it was asked for is compared with what comes back, and the answer is signed. */
static OCSP_CERTID *id_of(X509 *issuer, const struct chain_serial *serial)
{
    BIGNUM *number = BN_bin2bn(serial->bytes, serial->len, NULL);
    ASN1_INTEGER *value = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    OCSP_CERTID *id = value ? OCSP_cert_id_new(EVP_sha1(), X509_get_subject_name(issuer),
                                               X509_get0_pubkey_bitstr(issuer), value)
                            : NULL;
    ASN1_INTEGER_free(value);
    BN_free(number);
    return id;
}

static struct slice url_of(struct arena *a, struct slice responder, const uint8_t *der, size_t len)
{
    char text[BASE64_LEN(REQUEST_MAX_BYTES) + 1];
    const size_t chars = base64_encode(text, der, len);
    const bool has_slash = slice_ends(responder, SLICE("/"));
    char *url = arena_bytes(a, responder.len + 1 + 3 * chars);
    memcpy(url, responder.ptr, responder.len);
    size_t at = responder.len;
    if (!has_slash)
        url[at++] = '/';
    for (size_t i = 0; i < chars; i++) { // RFC 6960 §A.1: the base64 is URL-encoded
        const char *escaped = text[i] == '+' ? "%2B" : text[i] == '/' ? "%2F" : "%3D";
        if (text[i] != '+' && text[i] != '/' && text[i] != '=') {
            url[at++] = text[i];
            continue;
        }
        memcpy(url + at, escaped, 3);
        at += 3;
    }
    return slice_from(url, at);
}

struct slice ocsp_url(struct arena *a, struct slice responder, X509 *issuer,
                      const struct chain_serial *serial)
{
    struct slice url = {0};
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = id_of(issuer, serial);
    unsigned char *der = NULL;
    if (!request || !id || !OCSP_request_add0_id(request, id))
        goto out;
    id = NULL; // the request's now
    const int len = i2d_OCSP_REQUEST(request, &der);
    if (len > 0 && len <= REQUEST_MAX_BYTES)
        url = url_of(a, responder, der, (size_t)len);
out:
    OPENSSL_free(der);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    ERR_clear_error();
    return url;
}

/* Of an answer that is over, the signer may be over too: it lets nobody in. */
static X509_STORE *store_of(X509 *issuer, bool is_over, struct wall now)
{
    X509_STORE *store = X509_STORE_new();
    if (!store)
        return NULL;
    X509_VERIFY_PARAM *param = X509_STORE_get0_param(store);
    X509_VERIFY_PARAM_set_time(param, now.s);
    if (is_over)
        (void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
    X509_VERIFY_PARAM_set_auth_level(param, 2); // 112 bits: RSA >= 2048, no SHA-1
    X509_VERIFY_PARAM_set_depth(param, 0);      // §4.2.2.2: certified by the issuer itself
    if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
        X509_STORE_add_cert(store, issuer) == 1)
        return store;
    X509_STORE_free(store);
    return NULL;
}

/* §4.2.2.2.1: a delegate says that it need not be checked, or is checked. */
static bool check_delegate(X509 *signer, X509 *issuer, struct crl *const *crls, uint32_t crl_count,
                           struct wall now, struct fault *f)
{
    struct chain_serial serial;
    uint8_t id[32];
    bool is_covered = X509_get_ext_by_NID(signer, NID_id_pkix_OCSP_noCheck, -1) >= 0;
    if (!chain_id(id, issuer) || !chain_serial_of(&serial, X509_get0_serialNumber(signer)))
        return fault_set(f, FAULT_TRUST, "its responder's certificate is odd");
    for (uint32_t i = 0; i < crl_count; i++) {
        if (memcmp(crls[i]->issuer, id, sizeof id) != 0)
            continue;
        if (crl_has(crls[i], &serial))
            return fault_set(f, FAULT_TRUST, "its responder's certificate is revoked");
        is_covered |= crls[i]->next_update.s >= now.s;
    }
    return is_covered || fault_set(f, FAULT_TRUST,
                                   "its responder's certificate says nothing of nocheck, and no "
                                   "CRL says that it is good");
}

static bool check_signature(OCSP_BASICRESP *basic, bool is_over, X509 *issuer,
                            struct crl *const *crls, uint32_t crl_count, struct wall now,
                            struct fault *f)
{
    bool is_good = false;
    X509 *signer = NULL;
    X509_STORE *store = store_of(issuer, is_over, now);
    STACK_OF(X509) *known = sk_X509_new_null();
    if (!store || !known || !sk_X509_push(known, issuer)) {
        fault_set(f, FAULT_INTERNAL, "cannot make a certificate store");
        goto out;
    }
    if (!sigalg_is_strong(OCSP_resp_get0_tbs_sigalg(basic)))
        fault_set(f, FAULT_TRUST, "it is signed by too weak an algorithm");
    else if (OCSP_basic_verify(basic, known, store, OCSP_NOEXPLICIT) != 1 ||
             OCSP_resp_get0_signer(basic, &signer, known) != 1)
        fault_set(f, FAULT_TRUST,
                  "it is not signed by the certificate's issuer, nor by one whom that has "
                  "certified for OCSP");
    else
        is_good =
            !X509_cmp(signer, issuer) || check_delegate(signer, issuer, crls, crl_count, now, f);
out:
    sk_X509_free(known);
    X509_STORE_free(store);
    return is_good;
}

static bool read_times(const ASN1_GENERALIZEDTIME *from, const ASN1_GENERALIZEDTIME *to,
                       struct wall now, struct ocsp_answer *out, struct fault *f)
{
    if (!crl_time(&out->this_update, from))
        return fault_set(f, FAULT_SYNTAX, "its thisUpdate does not parse");
    if (out->this_update.s > now.s + SKEW_S)
        return fault_set(f, FAULT_TRUST, "its thisUpdate lies in the future");
    if (!to)
        out->next_update.s = out->this_update.s + WITHOUT_NEXT_S;
    else if (!crl_time(&out->next_update, to))
        return fault_set(f, FAULT_SYNTAX, "its nextUpdate does not parse");
    return true;
}

bool ocsp_is_fresh(const struct ocsp_answer *a, struct wall now, struct fault *f)
{
    return a->next_update.s >= now.s ||
           fault_set(f, FAULT_TRUST, "it is old: its nextUpdate has passed");
}

static bool read_single(OCSP_BASICRESP *basic, OCSP_CERTID *id, struct wall now,
                        struct ocsp_answer *out, struct fault *f)
{
    ASN1_GENERALIZEDTIME *from = NULL;
    ASN1_GENERALIZEDTIME *to = NULL;
    const int at = OCSP_resp_find(basic, id, -1);
    int reason = -1;
    if (at < 0)
        return fault_set(f, FAULT_TRUST, "it is about another certificate");
    OCSP_SINGLERESP *single = OCSP_resp_get0(basic, at);
    if (OCSP_BASICRESP_get_ext_by_critical(basic, 1, -1) >= 0 ||
        OCSP_SINGLERESP_get_ext_by_critical(single, 1, -1) >= 0)
        return fault_set(f, FAULT_TRUST, "it has a critical extension that is not known");
    switch (OCSP_single_get0_status(single, &reason, NULL, &from, &to)) {
    case V_OCSP_CERTSTATUS_GOOD:
        out->verdict = OCSP_GOOD;
        break;
    case V_OCSP_CERTSTATUS_REVOKED:
        out->verdict = OCSP_REVOKED;
        break;
    default:
        out->verdict = OCSP_NOT_KNOWN;
    }
    return read_times(from, to, now, out, f);
}

static bool read_response(OCSP_RESPONSE *response, X509 *issuer, const struct chain_serial *serial,
                          struct crl *const *crls, uint32_t crl_count, struct wall now,
                          struct ocsp_answer *out, struct fault *f)
{
    const int status = OCSP_response_status(response);
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return fault_set(f, FAULT_IO, "the responder gives none: %s",
                         OCSP_response_status_str(status));
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    OCSP_CERTID *id = id_of(issuer, serial);
    bool is_read = false;
    if (!basic || !id)
        fault_set(f, FAULT_SYNTAX, "it does not parse");
    else if (read_single(basic, id, now, out, f)) // nothing of which is believed yet
        is_read =
            check_signature(basic, out->next_update.s < now.s, issuer, crls, crl_count, now, f);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    return is_read;
}

bool ocsp_read(struct slice bytes, X509 *issuer, const struct chain_serial *serial,
               struct crl *const *crls, uint32_t crl_count, struct wall now,
               struct ocsp_answer *out, struct fault *f)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    struct ocsp_answer answer = {0};
    bool is_read = false;
    ERR_clear_error();
    OCSP_RESPONSE *response =
        bytes.len && bytes.len <= INT32_MAX ? d2i_OCSP_RESPONSE(NULL, &at, (long)bytes.len) : NULL;
    if (!response || at != (const uint8_t *)bytes.ptr + bytes.len)
        fault_set(f, FAULT_SYNTAX, "it does not parse");
    else
        is_read = read_response(response, issuer, serial, crls, crl_count, now, &answer, f);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    if (is_read)
        *out = answer;
    return is_read;
}
