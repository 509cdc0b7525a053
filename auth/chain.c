// SPDX-License-Identifier: EUPL-1.2
/* One X509_STORE for all authorities of an entity, and the list of which anchor is whose.
 * Owns: what counts as an anchor (the self-signed certificates of an authority; all of them where
 * it has none) and what we ask beyond RFC 5280's path validation. Does not own: the path algorithm,
 * which is OpenSSL's, nor what a certificate says of a device (device.c). */
#include "auth/chain.h"

#include "base/arena.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/strength.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define AUTHORITY_MAX_CERTIFICATES 64 /* of one authority's PEM: no real one has a tenth of it */

/* Identified by subject and public key, not by the bytes of the certificate: a root that was issued
 * again with the same key is the same anchor, and vouches for the same certificates. */
struct anchor {
    uint8_t digest[SHA256_BYTES];
    const struct authority *authority;
};

struct chain_trust {
    _Atomic uint32_t references;
    uint8_t digest[SHA256_BYTES];
    struct arena arena;
    struct authority *authorities;
    X509_STORE *store;
    STACK_OF(X509) *
        helpers; /* intermediates from the authorities' PEM: untrusted, they only help */
    STACK_OF(X509_NAME) * names;
    struct anchor *anchors;
    uint32_t anchor_count;
};

bool chain_id(uint8_t out[SHA256_BYTES], X509 *certificate)
{
    unsigned char *name = NULL;
    unsigned char *key = NULL;
    const int name_len = i2d_X509_NAME(X509_get_subject_name(certificate), &name);
    const int key_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    const bool is_made = name_len > 0 && key_len > 0;
    if (is_made) {
        const struct slice parts[] = {slice_from(name, (size_t)name_len),
                                      slice_from(key, (size_t)key_len)};
        sha256_parts(out, parts, 2);
    }
    OPENSSL_free(name);
    OPENSSL_free(key);
    return is_made;
}

/* The authority of that anchor, or NULL. */
static const struct authority *anchor_find(const struct chain_trust *t, X509 *certificate)
{
    uint8_t digest[SHA256_BYTES];
    if (!chain_id(digest, certificate))
        return NULL;
    for (uint32_t i = 0; i < t->anchor_count; i++)
        if (!memcmp(t->anchors[i].digest, digest, sizeof digest))
            return t->anchors[i].authority;
    return NULL;
}

/* So that nobody is asked for a password on a terminal. */
static int no_password(char *buffer, int size, int writing, void *owner)
{
    (void)buffer, (void)size, (void)writing, (void)owner;
    return -1;
}

bool chain_read_pem(STACK_OF(X509) * out, struct slice pem, struct fault *f)
{
    if (!pem.len || pem.len > INT32_MAX)
        return fault_set(f, FAULT_SYNTAX, "there is no certificate");
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (!bio)
        return fault_set(f, FAULT_INTERNAL, "cannot read PEM");
    bool is_read = false;
    ERR_clear_error();
    for (X509 *next; (next = PEM_read_bio_X509(bio, NULL, no_password, NULL));) {
        if (sk_X509_num(out) >= AUTHORITY_MAX_CERTIFICATES || !sk_X509_push(out, next)) {
            X509_free(next);
            fault_set(f, FAULT_LIMIT, "there are more than %d certificates",
                      AUTHORITY_MAX_CERTIFICATES);
            goto out;
        }
    }
    // The end of the text is "no start line"; everything else is a certificate that does not parse.
    const unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        fault_set(f, FAULT_SYNTAX, "a certificate does not parse");
    else if (!sk_X509_num(out))
        fault_set(f, FAULT_SYNTAX, "there is no certificate");
    else
        is_read = true;
out:
    ERR_clear_error();
    BIO_free(bio);
    return is_read;
}

static bool name_add(struct chain_trust *t, X509 *certificate)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    for (int i = 0; i < sk_X509_NAME_num(t->names); i++)
        if (!X509_NAME_cmp(sk_X509_NAME_value(t->names, i), name))
            return true;
    X509_NAME *copy = X509_NAME_dup(name);
    if (copy && sk_X509_NAME_push(t->names, copy))
        return true;
    X509_NAME_free(copy);
    return false;
}

static bool anchor_add(struct chain_trust *t, X509 *certificate, const struct authority *authority,
                       struct fault *f)
{
    const struct authority *owner = anchor_find(t, certificate);
    if (owner && owner != authority)
        return fault_set(f, FAULT_CONFIG, "authority '%.*s' has the same root",
                         SLICE_ARG(owner->id));
    struct anchor *anchor = &t->anchors[t->anchor_count];
    if (!chain_id(anchor->digest, certificate) || X509_STORE_add_cert(t->store, certificate) != 1)
        return fault_set(f, FAULT_INTERNAL, "cannot take over a root");
    anchor->authority = authority;
    t->anchor_count++;
    return true;
}

static bool helper_add(struct chain_trust *t, X509 *certificate, struct fault *f)
{
    if (!X509_up_ref(certificate))
        return fault_set(f, FAULT_INTERNAL, "cannot take over an intermediate");
    if (sk_X509_push(t->helpers, certificate))
        return true;
    X509_free(certificate);
    return fault_set(f, FAULT_INTERNAL, "cannot take over an intermediate");
}

static bool is_root(X509 *certificate)
{
    return X509_self_signed(certificate, 1) == 1;
}

static bool authority_add(struct chain_trust *t, const struct authority *authority, struct fault *f)
{
    bool is_added = false;
    bool has_root = false;
    STACK_OF(X509) *certificates = sk_X509_new_null();
    if (!certificates) {
        fault_set(f, FAULT_INTERNAL, "cannot make a list");
        goto out;
    }
    if (!chain_read_pem(certificates, authority->ca_pem, f))
        goto out;
    for (int i = 0; i < sk_X509_num(certificates); i++)
        has_root = has_root || is_root(sk_X509_value(certificates, i));
    // Without a root of its own, what the authority has is where trust begins.
    if (!has_root && !X509_STORE_set_flags(t->store, X509_V_FLAG_PARTIAL_CHAIN)) {
        fault_set(f, FAULT_INTERNAL, "cannot set verification flags");
        goto out;
    }
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        // 1: by basicConstraints. The ways of X.509 v1 and of Netscape are not accepted.
        if (X509_check_ca(certificate) != 1) {
            fault_set(f, FAULT_TRUST, "certificate %d is not one of a certificate authority",
                      i + 1);
            goto out;
        }
        const bool is_anchor = !has_root || is_root(certificate);
        if (is_anchor ? !anchor_add(t, certificate, authority, f) : !helper_add(t, certificate, f))
            goto out;
        if (!name_add(t, certificate)) {
            fault_set(f, FAULT_INTERNAL, "cannot take over a name");
            goto out;
        }
    }
    is_added = true;
out:
    sk_X509_pop_free(certificates, X509_free);
    return is_added;
}

static struct authority authority_copy(struct arena *a, const struct authority *from)
{
    struct authority copy = *from;
    copy.id = arena_copy(a, from->id);
    copy.trust = arena_copy(a, from->trust);
    copy.trust_domain = arena_copy(a, from->trust_domain);
    copy.ca_pem = arena_copy(a, from->ca_pem);
    copy.entity = arena_copy(a, from->entity);
    copy.revocation = (struct revocation){0}; // may change while this lives: see auth/status.h
    return copy;
}

static void trust_digest(struct chain_trust *t, uint32_t count)
{
    uint8_t(*each)[SHA256_BYTES] = arena_alloc_array(&t->arena, count + 1, SHA256_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        const struct authority *a = &t->authorities[i];
        const uint8_t kind[] = {(uint8_t)a->identifies_service, (uint8_t)a->name};
        const struct slice parts[] = {a->entity,       a->id,     a->trust,
                                      a->trust_domain, a->ca_pem, slice_from(kind, sizeof kind)};
        sha256_parts(each[i], parts, sizeof parts / sizeof parts[0]);
    }
    sha256(t->digest, slice_from(each, count * sizeof each[0]));
}

struct chain_trust *chain_trust_new(const struct authority *list, uint32_t count, struct fault *f)
{
    struct chain_trust *t = mem_new(struct chain_trust);
    atomic_init(&t->references, 1);
    arena_init(&t->arena, NULL);
    t->authorities = arena_array(&t->arena, struct authority, count + 1);
    t->anchors = mem_array(struct anchor, (size_t)count * AUTHORITY_MAX_CERTIFICATES + 1);
    t->store = X509_STORE_new();
    t->helpers = sk_X509_new_null();
    t->names = sk_X509_NAME_new_null();
    if (!t->store || !t->helpers || !t->names) {
        fault_set(f, FAULT_INTERNAL, "cannot make a certificate store");
        goto out;
    }
    for (uint32_t i = 0; i < count; i++) {
        t->authorities[i] = authority_copy(&t->arena, &list[i]);
        if (!authority_add(t, &t->authorities[i], f)) {
            fault_within(f, "authority '%.*s'", SLICE_ARG(list[i].id));
            goto out;
        }
    }
    trust_digest(t, count);
    return t;
out:
    chain_trust_unref(t);
    return NULL;
}

struct chain_trust *chain_trust_ref(struct chain_trust *t)
{
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

void chain_trust_unref(struct chain_trust *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    X509_STORE_free(t->store);
    sk_X509_pop_free(t->helpers, X509_free);
    sk_X509_NAME_pop_free(t->names, X509_NAME_free);
    mem_free(t->anchors);
    arena_fini(&t->arena);
    mem_free(t);
}

const uint8_t *chain_trust_digest(const struct chain_trust *t)
{
    return t->digest;
}

STACK_OF(X509_NAME) * chain_trust_names(const struct chain_trust *t)
{
    return t->names;
}

/* In words for the audit: what is wrong with the certificate, never what is in it. */
static const char *detail_of(int x509_error)
{
    switch (x509_error) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "not yet valid";
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "expired";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_UNTRUSTED:
        return "unknown authority";
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "the signature does not hold";
    case X509_V_ERR_INVALID_PURPOSE:
        return "not for client authentication";
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_NON_CA:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA:
    case X509_V_ERR_CA_CERT_MISSING_KEY_USAGE:
    case X509_V_ERR_CA_BCONS_NOT_CRITICAL:
        return "an issuer in the chain may not issue";
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_PATHLEN_INVALID_FOR_NON_CA:
    case X509_V_ERR_PATHLEN_WITHOUT_KU_KEY_CERT_SIGN:
        return "the path length is exceeded";
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        return "the chain is too long";
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
    case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
    case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
        return "a name is outside of its constraints";
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
        return "an unknown critical extension";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
        return "a key is too weak";
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return "a signature algorithm is too weak";
    case X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER:
    case X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER:
        return "a key identifier is missing"; // RFC 5280 §4.2.1.1: must be there below the root
    case X509_V_ERR_CERT_REVOKED:
        return "revoked";
    default:
        return "the certificate is not valid";
    }
}

static void refuse(struct chain_answer *out, int x509_error, const char *detail)
{
    *out = (struct chain_answer){.verdict = CHAIN_BAD,
                                 .x509_error = x509_error,
                                 .detail = detail ? detail : detail_of(x509_error)};
}

/* Counts what the client sent, so that no path is built out of a heap of certificates. */
static bool is_within_limits(X509 *leaf, const STACK_OF(X509) * untrusted)
{
    const int count = untrusted ? sk_X509_num(untrusted) : 0;
    // Servers and clients put the leaf into the list as well, as SSL_get_peer_cert_chain gives it.
    if (count > CHAIN_MAX)
        return false;
    size_t bytes = 0;
    for (int i = -1; i < count; i++) {
        const int len = i2d_X509(i < 0 ? leaf : sk_X509_value(untrusted, i), NULL);
        if (len <= 0)
            return false;
        bytes += (size_t)len;
    }
    return bytes <= 2 * (size_t)CHAIN_MAX_BYTES;
}

/* What RFC 5280 leaves to the one who asks. 0 where it is good. */
static int leaf_error(X509 *leaf)
{
    const uint32_t flags = X509_get_extension_flags(leaf);
    if (flags & EXFLAG_INVALID)
        return X509_V_ERR_UNSPECIFIED;
    // An issuing certificate is never an identity.
    if (flags & EXFLAG_CA)
        return X509_V_ERR_INVALID_PURPOSE;
    // OpenSSL takes an absent EKU for "any", and keyAgreement in place of digitalSignature.
    if (!(flags & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT))
        return X509_V_ERR_INVALID_PURPOSE;
    if ((flags & EXFLAG_KUSAGE) && !(X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE))
        return X509_V_ERR_INVALID_PURPOSE;
    return X509_V_OK;
}

/* Security level 2 asks for 112 bits of strength; here are the kinds of keys, and an upper bound.
 */
static bool has_accepted_keys(X509_STORE_CTX *path)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(path);
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (key_weakness(X509_get0_pubkey(sk_X509_value(chain, i))))
            return false;
    return true;
}

bool chain_serial_of(struct chain_serial *out, const ASN1_INTEGER *number)
{
    const uint8_t *at = ASN1_STRING_get0_data(number);
    int len = ASN1_STRING_length(number);
    for (; len > 0 && !*at; len--)
        at++;
    if (len < 0 || len > CHAIN_SERIAL_MAX || ASN1_STRING_type(number) == V_ASN1_NEG_INTEGER)
        return false;
    *out = (struct chain_serial){.len = (uint8_t)len};
    if (len)
        memcpy(out->bytes, at, (size_t)len);
    return true;
}

/* What of the path can be revoked: all that is below the anchor. */
static bool chain_links(const struct chain_trust *t, X509_STORE_CTX *path, struct chain_answer *out)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(path);
    for (int i = 0; i + 1 < sk_X509_num(chain) && i < CHAIN_MAX; i++) {
        if (i && anchor_find(t, sk_X509_value(chain, i)))
            break;
        struct chain_link *link = &out->links[out->link_count++];
        if (!chain_id(link->issuer, sk_X509_value(chain, i + 1)) ||
            !chain_serial_of(&link->serial, X509_get0_serialNumber(sk_X509_value(chain, i))))
            return false;
    }
    return true;
}

/* The authority of the anchor that is nearest to the leaf. */
static const struct authority *chain_authority(const struct chain_trust *t, X509_STORE_CTX *path)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(path);
    if (sk_X509_num(chain) > CHAIN_MAX)
        return NULL;
    for (int i = 1; i < sk_X509_num(chain); i++) {
        const struct authority *authority = anchor_find(t, sk_X509_value(chain, i));
        if (authority)
            return authority;
    }
    return NULL;
}

/* The chain is valid as long as the shortest-lived of its certificates. */
static bool chain_until(X509_STORE_CTX *path, struct wall *out)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(path);
    *out = (struct wall){INT64_MAX};
    for (int i = 0; i < sk_X509_num(chain); i++) {
        struct tm end;
        if (ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &end) != 1)
            return false;
        const int64_t end_s = timegm(&end);
        if (end_s < out->s)
            out->s = end_s;
    }
    return true;
}

static bool path_prepare(X509_STORE_CTX *path, struct wall now)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(path);
    // TLS's own settings ("ssl_client") would allow more; each is said here.
    X509_VERIFY_PARAM_set_time(param, now.s);
    X509_VERIFY_PARAM_set_depth(param, CHAIN_MAX - 2); // counts neither the leaf nor the anchor
    X509_VERIFY_PARAM_set_auth_level(param, 2);        // 112 bits: RSA >= 2048, no SHA-1
    return X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT) == 1 &&
           X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT) == 1;
}

/* All that may stand between leaf and anchor: what the client sent, and what the authorities gave.
 */
static STACK_OF(X509) * helpers_with(const struct chain_trust *t, const STACK_OF(X509) * untrusted)
{
    STACK_OF(X509) *all = sk_X509_dup(t->helpers);
    for (int i = 0; all && untrusted && i < sk_X509_num(untrusted); i++) {
        if (sk_X509_push(all, sk_X509_value(untrusted, i)))
            continue;
        sk_X509_free(all);
        return NULL;
    }
    return all;
}

void chain_judge(const struct chain_trust *t, X509 *leaf, STACK_OF(X509) * untrusted,
                 struct wall now, struct chain_answer *out)
{
    STACK_OF(X509) *helpers = NULL;
    X509_STORE_CTX *path = NULL;

    refuse(out, X509_V_ERR_UNSPECIFIED, NULL);
    if (!is_within_limits(leaf, untrusted)) {
        refuse(out, X509_V_ERR_CERT_CHAIN_TOO_LONG, NULL);
        return;
    }
    helpers = helpers_with(t, untrusted);
    path = X509_STORE_CTX_new();
    if (!helpers || !path || X509_STORE_CTX_init(path, t->store, leaf, helpers) != 1 ||
        !path_prepare(path, now))
        goto out;
    if (X509_verify_cert(path) != 1) {
        const int error = X509_STORE_CTX_get_error(path);
        refuse(out, error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error, NULL);
        goto out;
    }
    const int error = leaf_error(leaf);
    if (error != X509_V_OK) {
        refuse(out, error, NULL);
        goto out;
    }
    if (!has_accepted_keys(path)) {
        refuse(out, X509_V_ERR_EE_KEY_TOO_SMALL, "the kind of a key is not accepted");
        goto out;
    }
    const struct authority *authority = chain_authority(t, path);
    struct wall until;
    struct chain_answer good = {.verdict = CHAIN_GOOD, .x509_error = X509_V_OK, .detail = ""};
    if (!authority || !chain_until(path, &until) || !chain_links(t, path, &good))
        goto out;
    good.authority = authority;
    good.until = until;
    *out = good;
out:
    X509_STORE_CTX_free(path);
    sk_X509_free(helpers);
    // What verification left in this thread's queue is no error of the connection's.
    ERR_clear_error();
}
