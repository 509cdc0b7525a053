// SPDX-License-Identifier: EUPL-1.2
/* Reads a CRL once, on the reader's thread, into what workers search: a sorted array of numbers.
 * DER and signatures are OpenSSL's; what RFC 5280 §6.3.3 asks of a list that is to be the whole
 * truth about its issuer is asked here, in its order. */
#include "auth/crl.h"

#include "auth/sigalg.h"
#include "base/fault.h"
#include "base/mem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define SKEW_S 300 /* of the issuer's clock against ours */

bool crl_time(struct wall *out, const ASN1_TIME *time)
{
    struct tm parts;
    if (!time || ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    out->s = timegm(&parts);
    return true;
}

static int by_serial(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct chain_serial));
}

bool crl_has(const struct crl *c, const struct chain_serial *serial)
{
    return c->count && bsearch(serial, c->serials, c->count, sizeof *serial, by_serial);
}

struct crl *crl_ref(struct crl *c)
{
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void crl_unref(struct crl *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    mem_free(c->serials);
    mem_free(c);
}

static X509_CRL *read(struct slice bytes, struct fault *f)
{
    X509_CRL *list = NULL;
    if (!bytes.len || bytes.len > INT32_MAX) {
        fault_set(f, FAULT_SYNTAX, "it is empty");
        return NULL;
    }
    if (slice_starts(bytes, SLICE("-----BEGIN "))) {
        BIO *bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
        list = bio ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;
        BIO_free(bio);
    } else {
        const uint8_t *at = (const uint8_t *)bytes.ptr;
        list = d2i_X509_CRL(NULL, &at, (long)bytes.len);
        if (list && at != (const uint8_t *)bytes.ptr + bytes.len) {
            X509_CRL_free(list);
            list = NULL;
        }
    }
    if (!list)
        fault_set(f, FAULT_SYNTAX, "it does not parse");
    return list;
}

/* The issuer whose key has signed it; RFC 5280 §6.3.3 (f): and which may. */
static X509 *signer_of(X509_CRL *list, const STACK_OF(X509) * issuers, struct fault *f)
{
    const char *why = "it is signed by none of the authority's certificates";
    const X509_ALGOR *outer = NULL;
    X509_CRL_get0_signature(list, NULL, &outer);
    if (!sigalg_is_strong(outer)) {
        fault_set(f, FAULT_TRUST, "it is signed by too weak an algorithm");
        return NULL;
    }
    for (int i = 0; i < sk_X509_num(issuers); i++) {
        X509 *issuer = sk_X509_value(issuers, i);
        if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_CRL_get_issuer(list)) != 0)
            continue;
        if (X509_CRL_verify(list, X509_get0_pubkey(issuer)) != 1) {
            why = "its signature does not hold";
            continue;
        }
        if (X509_get_key_usage(issuer) & KU_CRL_SIGN) // all ones where there is none
            return issuer;
        why = "its issuer's key usage lacks cRLSign";
    }
    fault_set(f, FAULT_TRUST, "%s", why);
    return NULL;
}

/* What each extension that we know of means; RFC 5280 §5.2: an unknown critical one is the end. */
static bool check_extensions(X509_CRL *list, struct fault *f)
{
    for (int i = 0; i < X509_CRL_get_ext_count(list); i++) {
        X509_EXTENSION *extension = X509_CRL_get_ext(list, i);
        const int kind = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (kind == NID_delta_crl)
            return fault_set(f, FAULT_TRUST,
                             "it is a delta CRL, which says nothing of the certificates that are "
                             "not in it; give the full one");
        if (kind == NID_issuing_distribution_point)
            return fault_set(
                f, FAULT_TRUST,
                "it has an issuing distribution point: an indirect CRL, or one of some "
                "certificates or reasons only; give one for all");
        if (X509_EXTENSION_get_critical(extension))
            return fault_set(f, FAULT_TRUST, "it has a critical extension that is not known");
    }
    return true;
}

static bool check_entry(X509_REVOKED *entry, struct fault *f)
{
    for (int i = 0; i < X509_REVOKED_get_ext_count(entry); i++) {
        X509_EXTENSION *extension = X509_REVOKED_get_ext(entry, i);
        const int kind = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (kind == NID_certificate_issuer)
            return fault_set(f, FAULT_TRUST, "it is an indirect CRL: an entry has another issuer");
        if (kind != NID_crl_reason && X509_EXTENSION_get_critical(extension))
            return fault_set(f, FAULT_TRUST, "an entry has a critical extension that is not known");
    }
    int critical = -1;
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, &critical, NULL);
    const bool is_removal = reason && ASN1_ENUMERATED_get(reason) == CRL_REASON_REMOVE_FROM_CRL;
    ASN1_ENUMERATED_free(reason);
    if (!reason && critical != -1)
        return fault_set(f, FAULT_SYNTAX, "the reason of an entry does not parse");
    // §5.3.1: only a delta may say that one is no longer revoked.
    return !is_removal || fault_set(f, FAULT_TRUST, "an entry has the reason removeFromCRL");
}

static bool read_entries(struct crl *c, X509_CRL *list, struct fault *f)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(list);
    const int count = sk_X509_REVOKED_num(entries);
    c->serials = mem_array(struct chain_serial, count > 0 ? (size_t)count : 1);
    for (int i = 0; i < count; i++) {
        X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
        if (!check_entry(entry, f))
            return false;
        if (!chain_serial_of(&c->serials[c->count], X509_REVOKED_get0_serialNumber(entry)))
            return fault_set(f, FAULT_SYNTAX, "the serial number of an entry is negative or long");
        c->count++;
    }
    qsort(c->serials, c->count, sizeof *c->serials, by_serial);
    return true;
}

static bool read_number(struct crl *c, X509_CRL *list, struct fault *f)
{
    int critical = -1;
    struct chain_serial number;
    ASN1_INTEGER *value = X509_CRL_get_ext_d2i(list, NID_crl_number, &critical, NULL);
    if (!value)
        return critical == -1 || fault_set(f, FAULT_SYNTAX, "its number does not parse");
    c->has_number = chain_serial_of(&number, value) && number.len <= sizeof c->number;
    if (c->has_number)
        memcpy(c->number + sizeof c->number - number.len, number.bytes, number.len);
    ASN1_INTEGER_free(value);
    return c->has_number ||
           fault_set(f, FAULT_SYNTAX, "its number is negative or longer than 20 bytes");
}

static bool read_dates(struct crl *c, X509_CRL *list, struct wall now, struct fault *f)
{
    if (!crl_time(&c->this_update, X509_CRL_get0_lastUpdate(list)) ||
        !crl_time(&c->next_update, X509_CRL_get0_nextUpdate(list)))
        return fault_set(f, FAULT_SYNTAX, "it lacks thisUpdate or nextUpdate");
    if (c->this_update.s > now.s + SKEW_S)
        return fault_set(f, FAULT_TRUST, "its thisUpdate lies in the future");
    return true;
}

struct crl *crl_parse(struct slice bytes, const STACK_OF(X509) * issuers, struct wall now,
                      struct fault *f)
{
    struct crl *c = mem_new(struct crl);
    bool is_good = false;
    atomic_init(&c->references, 1);
    ERR_clear_error();
    X509_CRL *list = read(bytes, f);
    X509 *issuer = list ? signer_of(list, issuers, f) : NULL;
    if (!issuer)
        goto out;
    if (X509_CRL_get_version(list) != X509_CRL_VERSION_2) {
        fault_set(f, FAULT_SYNTAX, "it is none of version 2");
        goto out;
    }
    is_good =
        check_extensions(list, f) && read_dates(c, list, now, f) && read_number(c, list, f) &&
        read_entries(c, list, f) &&
        (chain_id(c->issuer, issuer) || fault_set(f, FAULT_INTERNAL, "its issuer can't be named"));
out:
    X509_CRL_free(list);
    ERR_clear_error();
    if (is_good)
        return c;
    crl_unref(c);
    return NULL;
}

bool crl_is_fresh(const struct crl *c, struct wall now, struct fault *f)
{
    return c->next_update.s >= now.s || fault_set(f, FAULT_TRUST, "its nextUpdate has passed");
}

bool crl_follows(const struct crl *c, const struct crl *old, struct fault *f)
{
    if (c->has_number && old->has_number && memcmp(c->number, old->number, sizeof c->number) < 0)
        return fault_set(f, FAULT_TRUST, "its number is lower than that of the one before");
    return c->this_update.s >= old->this_update.s ||
           fault_set(f, FAULT_TRUST, "its thisUpdate is earlier than that of the one before");
}
