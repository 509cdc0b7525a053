// SPDX-License-Identifier: EUPL-1.2
/* `device_authorities`: whose certificates name a device, or a service, of this entity.
 * Owns: what a CA must be to stand in a bundle. Does not own: judging chains (auth/). No clock: an
 * expired CA is found when a chain is judged. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/hash.h"
#include "base/strength.h"
#include "policy/load_in.h"
#include "policy/url.h"

#define CA_MAX_COUNT 64 /* of one authority; each is parsed at every load */

static void refuse_ca(struct loader *l, struct place at, uint32_t number, const char *why)
{
    findings_error(l->out, at, "wrong-ca", "certificate %u %s", number, why);
}

/* What is too weak to give trust. NULL where it is fine. */
static const char *signature_weakness(X509 *ca)
{
    int digest = NID_undef;
    if (!X509_get_signature_info(ca, &digest, NULL, NULL, NULL))
        return "is signed by an unknown algorithm";
    if (digest == NID_sha1 || digest == NID_md5 || digest == NID_md4 || digest == NID_md5_sha1)
        return "is signed over SHA-1 or MD5; it must be SHA-256 or better";
    return NULL;
}

/* RFC 5280 §4.2.1.9 and §4.2.1.3: basicConstraints cA, and keyCertSign where there is a keyUsage.
 */
static void check_ca(struct loader *l, struct place at, uint32_t number, X509 *ca, bool *has_root)
{
    const char *key = key_weakness(X509_get0_pubkey(ca));
    const char *signature = signature_weakness(ca);
    if (key)
        findings_error(l->out, at, "wrong-ca", "certificate %u has %s", number, key);
    if (signature)
        refuse_ca(l, at, number, signature);
    if (X509_check_ca(ca) != 1)
        refuse_ca(l, at, number,
                  "is not a certificate authority's (basicConstraints CA:TRUE, keyCertSign)");
    if (X509_self_signed(ca, 0) == 1)
        *has_root = true;
}

/* One block of PEM; false where there is none any more. */
static bool check_block(struct loader *l, struct place at, uint32_t number, BIO *bio,
                        bool *has_root)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    if (!PEM_read_bio(bio, &name, &header, &data, &len)) {
        const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
        if (!is_end)
            refuse_ca(l, at, number, "is broken PEM");
        ERR_clear_error();
        return false;
    }
    const unsigned char *der = data;
    X509 *ca = NULL;
    if (strstr(name, "PRIVATE KEY"))
        findings_error(l->out, at, "private-key",
                       "a private key stands here; only certificates belong here, and that key "
                       "must be replaced");
    else if (strcmp(name, PEM_STRING_X509) != 0)
        refuse_ca(l, at, number, "is no CERTIFICATE block");
    else if (!(ca = d2i_X509(NULL, &der, len)) || der != data + len)
        refuse_ca(l, at, number, "does not parse");
    else
        check_ca(l, at, number, ca, has_root);
    X509_free(ca);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, (size_t)len);
    ERR_clear_error();
    return true;
}

static void check_pem(struct loader *l, const struct yaml *n, struct slice pem)
{
    const struct place at = yaml_place(n);
    uint32_t count = 0;
    bool has_root = false;
    BIO *bio = pem.len <= LOAD_MAX_FILE ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    if (!bio) {
        findings_error(l->out, at, "too-large", "larger than %u bytes", LOAD_MAX_FILE);
        return;
    }
    while (count < CA_MAX_COUNT && check_block(l, at, count + 1, bio, &has_root))
        count++;
    BIO_free(bio);
    if (!count)
        findings_error(l->out, at, "wrong-ca", "no certificate in PEM stands here");
    else if (count == CA_MAX_COUNT)
        findings_error(l->out, at, "too-many", "%d certificates or more stand here", CA_MAX_COUNT);
    else if (!has_root)
        findings_warn(l->out, at, "no-root",
                      "no certificate here is self-signed, so no chain ends here");
}

void load_ca(struct loader *l, const struct yaml *map, struct slice *ca_pem)
{
    const struct yaml *file = load_member(l, map, "ca_file", LOAD_OPTIONAL);
    const struct yaml *text = yaml_get(map, SLICE("ca_pem"));
    if (file && text)
        findings_error(l->out, yaml_place(map), "conflict",
                       "only one of ca_file and ca_pem can hold the CAs");
    else if (!text && !yaml_get(map, SLICE("ca_file")))
        findings_error(l->out, yaml_place(map), "missing-key", "the key 'ca_file' is missing");
    else if (file ? load_file(l, file, ca_pem)
                  : load_long_text(l, map, "ca_pem", LOAD_OPTIONAL, ca_pem))
        check_pem(l, file ? file : text, *ca_pem);
}

/* SPIFFE-ID §2.1: lower-case letters, digits, dots, dashes and underscores. */
bool load_trust_domain(struct loader *l, const struct yaml *map, struct slice *out)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    struct slice domain;
    if (!load_text(l, map, "trust_domain", LOAD_OPTIONAL, &domain))
        return false;
    bool is_good = domain.len <= 255;
    for (size_t i = 0; i < domain.len; i++)
        is_good = is_good && strchr(allowed, domain.ptr[i]);
    if (is_good)
        *out = domain;
    else
        findings_error(
            l->out, yaml_place(yaml_get(map, SLICE("trust_domain"))), "wrong-value",
            "'%.*s' is no trust domain; allowed are at most 255 of a-z, 0-9, '.', '-' and '_'",
            SLICE_ARG(domain));
    return is_good;
}

static void load_spiffe(struct loader *l, const struct yaml *map, struct authority *a)
{
    struct slice domain;
    if (!load_trust_domain(l, map, &domain))
        return;
    const struct place at = yaml_place(yaml_get(map, SLICE("trust_domain")));
    if (!a->identifies_service)
        findings_error(l->out, at, "conflict", "a trust domain is for 'identifies: service' only");
    else if (a->name != DEVICE_NAME_URI)
        findings_error(l->out, at, "conflict",
                       "a SPIFFE id is a URI: with a trust domain say 'device_name: san.uri'");
    else
        a->trust_domain = domain;
}

/* ---- revocation ---- */

#define CRL_MAX_URLS 8
#define CRL_MAX_BYTES (1 << 20)
#define CRL_MAX_BYTES_MOST (16 << 20) /* some half a million entries */

static void load_status_url(struct loader *l, const struct yaml *n, const char *key,
                            struct slice *out)
{
    struct slice url, host;
    char room[HOST_MAX];
    if (!load_word(l, n, key, &url))
        return;
    const char *fault = url_fault(url, URL_MAY_QUERY | URL_MAY_HTTP, room, &host);
    if (fault)
        findings_error(l->out, yaml_place(n), "wrong-url", "%s '%.*s' %s", key, SLICE_ARG(url),
                       fault);
    else
        *out = url;
}

static void load_crl_urls(struct loader *l, const struct yaml *map, struct revocation *r)
{
    const struct yaml *list = load_list(l, map, "crl", LOAD_OPTIONAL);
    const size_t count = yaml_count(list);
    if (count > CRL_MAX_URLS) {
        findings_error(l->out, yaml_place(list), "too-many", "at most %d CRLs", CRL_MAX_URLS);
        return;
    }
    struct slice *urls = arena_array(l->a, struct slice, count + 1);
    for (size_t i = 0; i < count; i++)
        load_status_url(l, yaml_item(list, i), "crl", &urls[i]);
    r->crl = (struct slices){urls, (uint32_t)count};
}

static void check_crl_pem(struct loader *l, const struct yaml *n, struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    uint32_t count = 0;
    X509_CRL *list;
    while (bio && (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
        X509_CRL_free(list);
        count++;
    }
    const unsigned long error = ERR_peek_last_error();
    if (!count || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        findings_error(l->out, yaml_place(n), "wrong-crl",
                       "there must be one or more blocks of X509 CRL in PEM here");
    ERR_clear_error();
    BIO_free(bio);
}

static void load_crl_text(struct loader *l, const struct yaml *map, struct revocation *r)
{
    const struct yaml *file = load_member(l, map, "crl_file", LOAD_OPTIONAL);
    const struct yaml *text = yaml_get(map, SLICE("crl_pem"));
    if (file && text)
        findings_error(l->out, yaml_place(map), "conflict",
                       "only one of crl_file and crl_pem can hold the CRLs");
    else if (file ? load_file(l, file, &r->crl_pem)
                  : load_long_text(l, map, "crl_pem", LOAD_OPTIONAL, &r->crl_pem))
        check_crl_pem(l, file ? file : text, r->crl_pem);
}

static void load_ocsp(struct loader *l, const struct yaml *map, struct revocation *r)
{
    const struct yaml *n = load_member(l, map, "ocsp", LOAD_OPTIONAL);
    if (!n)
        return;
    if (!slice_eq(yaml_text(n), SLICE("online"))) {
        load_status_url(l, n, "ocsp", &r->ocsp);
        return;
    }
    r->ocsp_of_certificate = true;
    if (!r->from_certificate)
        findings_error(l->out, yaml_place(n), "conflict",
                       "'ocsp: online' asks where the certificate says; say 'from_certificate: "
                       "true' as well, or name the responder's URL");
}

static void load_when_unknown(struct loader *l, const struct yaml *map, struct revocation *r)
{
    static const struct slice keys[] = {SLICE_INIT("allow_for")};
    const struct yaml *n = load_member(l, map, "when_unknown", LOAD_OPTIONAL);
    if (!n || slice_eq(yaml_text(n), SLICE("deny")))
        return;
    if (yaml_kind(n) != YAML_MAP) {
        findings_error(l->out, yaml_place(n), "unknown-word",
                       "when_unknown is 'deny' or '{ allow_for: DURATION }'");
        return;
    }
    (void)yaml_check_keys(n, "when_unknown", keys, COUNT_OF(keys), l->out);
    if (!load_duration_s(l, n, "allow_for", 60, 7 * 86400, &r->allow_for_s) &&
        !yaml_get(n, keys[0]))
        findings_error(l->out, yaml_place(n), "missing-key", "the key 'allow_for' is missing");
}

static void load_revocation(struct loader *l, const struct yaml *map, struct revocation *r)
{
    static const struct slice keys[] = {
        SLICE_INIT("crl"),     SLICE_INIT("crl_file"),         SLICE_INIT("crl_pem"),
        SLICE_INIT("ocsp"),    SLICE_INIT("from_certificate"), SLICE_INIT("when_unknown"),
        SLICE_INIT("refresh"), SLICE_INIT("crl_max"),
    };
    const struct yaml *n = load_map(l, map, "revocation", LOAD_OPTIONAL);
    if (!n)
        return;
    const struct yaml *from = yaml_get(n, SLICE("from_certificate"));
    const struct yaml *most = yaml_get(n, SLICE("crl_max"));
    *r = (struct revocation){.is_checked = true, .refresh_s = 3600, .crl_max_bytes = CRL_MAX_BYTES};
    (void)yaml_check_keys(n, "revocation", keys, COUNT_OF(keys), l->out);
    if (from)
        (void)yaml_bool(from, "from_certificate", &r->from_certificate, l->out);
    if (most)
        (void)yaml_bytes(most, "crl_max", 1024, CRL_MAX_BYTES_MOST, &r->crl_max_bytes, l->out);
    load_crl_urls(l, n, r);
    load_crl_text(l, n, r);
    load_ocsp(l, n, r);
    load_when_unknown(l, n, r);
    (void)load_duration_s(l, n, "refresh", 5, 86400, &r->refresh_s);
    if (!r->crl.count && !r->crl_pem.len && !r->ocsp.len && !r->from_certificate)
        findings_error(l->out, yaml_place(n), "no-source",
                       "nothing says where revocations are found; give crl, crl_file, ocsp or "
                       "from_certificate");
}

static void digest_authority(struct loader *l, struct authority *a)
{
    const struct slice parts[] = {
        SLICE("belfry authority 1"),
        l->bundle->entity,
        a->id,
        a->trust,
        a->trust_domain,
        a->ca_pem,
        arena_printf(l->a, "%d %d", (int)a->name, (int)a->identifies_service),
    };
    sha256_parts(a->digest, parts, COUNT_OF(parts));
}

static void load_authority(struct loader *l, const struct yaml *map, struct authority *a,
                           struct map *seen)
{
    static const struct slice keys[] = {
        SLICE_INIT("id"),           SLICE_INIT("trust"),       SLICE_INIT("identifies"),
        SLICE_INIT("trust_domain"), SLICE_INIT("device_name"), SLICE_INIT("ca_file"),
        SLICE_INIT("ca_pem"),       SLICE_INIT("revocation"),  SLICE_INIT("inventory"),
    };
    static const struct slice modes[] = {[INVENTORY_NONE] = SLICE_INIT("none"),
                                         [INVENTORY_OPTIONAL] = SLICE_INIT("optional"),
                                         [INVENTORY_REQUIRED] = SLICE_INIT("required")};
    static const struct slice kinds[] = {SLICE_INIT("device"), SLICE_INIT("service")};
    static const struct slice names[] = {
        [DEVICE_NAME_COMMON_NAME] = SLICE_INIT("subject.CN"),
        [DEVICE_NAME_SERIAL_NUMBER] = SLICE_INIT("subject.serialNumber"),
        [DEVICE_NAME_URI] = SLICE_INIT("san.uri"),
        [DEVICE_NAME_DNS] = SLICE_INIT("san.dns"),
    };
    uint32_t choice = 0;
    if (yaml_kind(map) != YAML_MAP) {
        findings_error(l->out, yaml_place(map), "wrong-kind", "a device authority must be a map");
        return;
    }
    (void)yaml_check_keys(map, "a device authority", keys, COUNT_OF(keys), l->out);
    if (load_id(l, map, "id", &a->id))
        (void)load_unique(l, seen, a->id, map, a);
    (void)load_text(l, map, "trust", LOAD_REQUIRED, &a->trust);
    if (load_choice(l, map, "identifies", LOAD_OPTIONAL, kinds, COUNT_OF(kinds), &choice))
        a->identifies_service = choice == 1;
    if (load_choice(l, map, "device_name", LOAD_REQUIRED, names, COUNT_OF(names), &choice))
        a->name = (enum device_name)choice;
    if (load_choice(l, map, "inventory", LOAD_OPTIONAL, modes, COUNT_OF(modes), &choice))
        a->inventory = (enum inventory_mode)choice;
    load_spiffe(l, map, a);
    load_ca(l, map, &a->ca_pem);
    load_revocation(l, map, &a->revocation);
    a->entity = l->bundle->entity;
    digest_authority(l, a);
}

void load_authorities(struct loader *l, const struct yaml *root)
{
    const struct yaml *list = load_list(l, root, "device_authorities", LOAD_OPTIONAL);
    const uint32_t count = (uint32_t)yaml_count(list);
    struct map seen;
    if (!count)
        return;
    map_init(&seen);
    l->bundle->authorities = arena_array(l->a, struct authority, count);
    l->bundle->authority_count = count;
    for (uint32_t i = 0; i < count; i++)
        load_authority(l, yaml_item(list, i), &l->bundle->authorities[i], &seen);
    map_fini(&seen);
}
