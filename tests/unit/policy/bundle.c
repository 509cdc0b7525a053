// SPDX-License-Identifier: EUPL-1.2
/* Bundles: a whole one read field by field, and a table of broken ones, each with the exact place
 * that a person is sent to. Certificates are made at run time. */
#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sign.h"
#include "policy/bundle.h"
#include "policy/compile.h"
#include "policy/policy_test.h"

static void init(void)
{
    base_init();
}
TestSuite(bundle, .init = init);

/* ---- certificates ---- */

struct recipe {
    const char *constraints; /* of basicConstraints; NULL: none */
    const char *key_usage;
    const EVP_MD *digest;
    unsigned rsa_bits; /* 0: P-256 */
};

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = value ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;
    if (e)
        cr_assert(X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

/* A self-signed certificate in PEM; the caller frees. */
static struct slice make_pem(struct recipe r)
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

static const struct recipe good_ca = {"critical,CA:TRUE", "critical,keyCertSign,cRLSign", NULL, 0};

/* A folder with ca.pem and keys.json, gone at the end. */
struct folder {
    char path[64];
};

static void put(const struct folder *f, const char *name, struct slice text)
{
    char path[128];
    struct fault fault;
    (void)snprintf(path, sizeof path, "%s/%s", f->path, name);
    cr_assert(file_write(path, text, 0644, &fault), "%s", fault.text);
}

static struct folder folder_new(void)
{
    struct folder f = {"/tmp/bundle-test-XXXXXX"};
    struct slice pem = make_pem(good_ca);
    cr_assert(mkdtemp(f.path));
    put(&f, "ca.pem", pem);
    put(&f, "keys.json", SLICE("{\"keys\":[{\"kty\":\"EC\",\n\"kid\":\"\xc3\xa9\\\\\"}]}\n"));
    mem_slice_free(&pem);
    return f;
}

static void folder_free(const struct folder *f)
{
    static const char *const names[] = {"ca.pem", "keys.json"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", f->path, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->path);
}

/* ---- the whole one ---- */

static const char whole[] =
    "belfry: entity/v1\n"
    "entity: fod-finance\n"
    "serial: 42\n"
    "not_after: 2027-06-01T00:00:00Z\n"
    "identity_providers:\n"
    "  - id: fas\n"
    "    issuer: https://idp.localhost:9443\n"
    "    jwks_file: keys.json # beside the bundle\n"
    "    audiences: [tax-api]\n"
    "    algorithms: [ES256]\n"
    "    token_types: [at+jwt, jwt]\n"
    "    claims: { groups: roles, acr: level }\n"
    "    leeway: 10s\n"
    "  - id: other\n"
    "    issuer: https://other.localhost/realms/a\n"
    "    jwks_uri: https://other.localhost/keys?v=1\n"
    "    audiences: [tax-api]\n"
    "device_authorities:\n"
    "  - id: finance-laptops\n"
    "    trust: managed\n"
    "    device_name: subject.CN\n"
    "    ca_file: ca.pem\n"
    "  - { id: services, trust: service, identifies: service, trust_domain: finance.example, "
    "device_name: san.uri, "
    "\"ca_file\":\"ca.pem\" }\n"
    "applications:\n"
    "  - id: tax-desk\n"
    "    name: { nl: Belastingloket, fr: Guichet fiscal, de: Steuerschalter, en: Tax desk }\n"
    "    host: tax.finance.localhost\n"
    "    device: required\n"
    "    identity_providers: [fas, other]\n"
    "    upstreams: [http://127.0.0.1:9001, 'http://[::1]:9001']\n"
    "    paths: { encoded_slash: allow, case: fold }\n"
    "    forward_token: true\n"
    "    limits: { body: 1MiB }\n"
    "    timeouts: { connect: 1s }\n"
    "    rules:\n"
    "      - id: read\n"
    "        owner: team-tax@finance.example\n"
    "        permit: { methods: [GET, HEAD, PROPFIND], paths: [\"/declarations/{id}/**\", /, "
    "/a/*/report-*.pdf] }\n"
    "        when: '\"tax-officers\" in user.groups'\n"
    "        remedy: step_up\n"
    "      - id: night\n"
    "        forbid: {}\n"
    "        when: 'user.acr_level < 100'\n"
    "        mode: shadow\n"
    "tests:\n"
    "  - name: an officer reads\n"
    "    given: { user: { groups: [tax-officers], acr_level: 500 }, device: { trust: managed }, "
    "now: "
    "2027-01-01T08:00:00Z }\n"
    "    request: GET https://tax.finance.localhost/declarations/12\n"
    "    expect: permit by read\n";

static struct bundle *load(const char *text, const char *dir, struct findings *out)
{
    findings_init(out);
    return bundle_load(slice_of(text), "finance.yaml", slice_of(dir), out);
}

static void expect_no_findings(struct findings *f)
{
    findings_print(f, stderr);
    cr_assert_eq(f->count, 0);
    findings_fini(f);
}

Test(bundle, providers_and_authorities_are_read_as_they_are_written)
{
    struct folder folder = folder_new();
    struct findings f;
    struct bundle *b = load(whole, folder.path, &f);
    expect_no_findings(&f);
    cr_assert(b && slice_eq(b->entity, SLICE("fod-finance")));
    cr_expect(b->serial == 42 && b->not_after_s == 1811808000);

    cr_assert_eq(b->provider_count, 2);
    const struct provider *fas = &b->providers[0], *other = &b->providers[1];
    cr_expect(slice_eq(fas->issuer, SLICE("https://idp.localhost:9443")) &&
              slice_eq(fas->entity, b->entity));
    cr_expect(fas->jwks.len && !fas->jwks_uri.len && !other->jwks.len && other->jwks_uri.len);
    cr_expect_eq(fas->algorithms, 1u << ALGORITHM_ES256);
    cr_expect_eq(other->algorithms, 1u << ALGORITHM_RS256 | 1u << ALGORITHM_ES256);
    cr_expect(fas->token_types.count == 2 && other->token_types.count == 1 &&
              slice_eq(other->token_types.at[0], SLICE("at+jwt")));
    cr_expect(slice_eq(fas->groups_claim, SLICE("roles")) &&
              slice_eq(other->groups_claim, SLICE("groups")));
    cr_expect(fas->acr_claims.count == 1 && other->acr_claims.count == 2);
    cr_expect(fas->leeway_s == 10 && other->leeway_s == 30 && other->max_token_age_s == 86400);

    cr_assert_eq(b->authority_count, 2);
    const struct authority *a = b->authorities;
    cr_expect(!a[0].identifies_service && a[1].identifies_service && !a[0].trust_domain.len);
    cr_expect(slice_eq(a[1].trust_domain, SLICE("finance.example")) &&
              a[1].name == DEVICE_NAME_URI);
    cr_expect(slice_eq(a[0].ca_pem, a[1].ca_pem) && memcmp(a[0].digest, a[1].digest, 32) != 0);
    bundle_free(b);
    folder_free(&folder);
}

Test(bundle, a_sign_in_is_read_as_it_is_written)
{
    struct findings f;
    struct bundle *b = load(
        "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n"
        "applications: []\nidentity_providers:\n"
        "  - id: a\n    issuer: https://a.example\n"
        "    sign_in: { client_id: c, client_secret: '${secret:s}' }\n"
        "  - id: b\n    issuer: https://b.example\n    audiences: [x]\n"
        "    sign_in: { client_id: d, private_key: '${secret:k}', private_key_algorithm: PS256,\n"
        "      name: { nl: N }, scopes: [openid, a], acr_values: { 300: u, 400: v },\n"
        "      userinfo: true, logout: local, refresh_after: 5m, refresh_grace: 0s }\n",
        "", &f);
    cr_assert(b && b->provider_count == 2);
    const struct sign_in *s = &b->providers[0].sign_in, *t = &b->providers[1].sign_in;
    cr_expect(slice_eq(s->client.id, SLICE("c")) && slice_eq(s->client.secret, SLICE("s")));
    cr_expect(s->client.auth == CLIENT_SECRET_BASIC && s->scopes.count == 2 && !s->has_userinfo);
    cr_expect(s->has_logout && s->refresh_after_s == 900 && s->acr_value_count == 6);
    cr_expect(s->refresh_grace_s == 3600 && t->refresh_grace_s == 0);
    cr_expect(slice_eq(s->acr_values[3].value, SLICE("urn:be:fedict:iam:fas:Level400")));
    cr_expect_eq(b->providers[0].audiences.count, 0, "its tokens are nobody's");
    cr_expect(t->client.auth == CLIENT_PRIVATE_KEY && t->client.key_algorithm == ALGORITHM_PS256);
    cr_expect(slice_eq(t->name[LANGUAGE_NL], SLICE("N")) && t->has_userinfo && !t->has_logout);
    cr_expect(t->refresh_after_s == 300 && t->acr_value_count == 2 &&
              t->acr_values[1].level == 400);
    findings_fini(&f);
    bundle_free(b);
}

Test(bundle, applications_rules_and_tests_are_read_as_they_are_written)
{
    struct folder folder = folder_new();
    struct findings f;
    struct bundle *b = load(whole, folder.path, &f);
    expect_no_findings(&f);
    cr_assert(b && b->application_count == 1);
    const struct application *app = b->applications;
    cr_expect(slice_eq(app->host, SLICE("tax.finance.localhost")) &&
              app->device == DEVICE_REQUIRED);
    cr_expect(slice_eq(app->name[LANGUAGE_FR], SLICE("Guichet fiscal")));
    cr_expect(app->provider_count == 2 && app->providers[1] == &b->providers[1]);
    cr_expect(app->upstream_count == 2 && app->upstreams[1].address.ss_family == AF_INET6);
    cr_expect(app->paths.allow_encoded_slash && app->paths.fold_case && !app->paths.allow_percent);
    cr_expect(app->forward_token && app->max_body_bytes == 1 << 20);
    cr_expect(app->connect_ms == 1000 && app->first_byte_ms == 60000);

    cr_assert_eq(app->rule_count, 2);
    const struct rule *read = &app->rule_list[0], *night = &app->rule_list[1];
    cr_expect(read->effect == RULE_PERMIT && !read->is_shadow && read->remedy == REMEDY_STEP_UP &&
              read->when);
    cr_expect_eq(read->methods, 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_OTHER);
    cr_expect(read->other_methods.count == 1 &&
              slice_eq(read->other_methods.at[0], SLICE("PROPFIND")));
    cr_assert_eq(read->path_count, 3);
    const struct pattern *p = read->paths;
    cr_assert(p[0].count == 3 && p[1].count == 0 && p[2].count == 3);
    cr_expect(p[0].segments[0].kind == PATTERN_TEXT &&
              slice_eq(p[0].segments[0].text, SLICE("declarations")));
    cr_expect(p[0].segments[1].kind == PATTERN_ONE && p[0].segments[2].kind == PATTERN_REST);
    cr_expect(p[2].segments[1].kind == PATTERN_ONE && p[2].segments[2].kind == PATTERN_GLOB);
    cr_expect(slice_eq(p[2].segments[2].text, SLICE("report-")) &&
              slice_eq(p[2].segments[2].tail, SLICE(".pdf")));
    cr_expect(night->effect == RULE_FORBID && night->is_shadow && !night->methods &&
              !night->path_count);

    cr_assert_eq(b->test_count, 1);
    const struct policy_test *t = b->tests;
    cr_expect(t->has_user && t->has_device && !t->has_service && t->user.acr_level == 500);
    cr_expect(t->user.groups.count == 1 && slice_eq(t->device.trust, SLICE("managed")));
    cr_expect(t->now.s == 1798790400 && t->method == METHOD_GET && t->expect == EXPECT_PERMIT);
    bundle_free(b);
    folder_free(&folder);
}

Test(bundle, every_setting_of_a_provider_changes_its_digest)
{
    static const char *const settings[] = {
        "",
        "    jwks_uri: https://a.example/k\n",
        "    algorithms: [RS256]\n",
        "    token_types: [jwt]\n",
        "    claims: { groups: g }\n",
        "    claims: { acr: a }\n",
        "    leeway: 1s\n",
        "    max_token_age: 1h\n",
        "    keys_max_stale: 1h\n",
        "    jwks: '{\"keys\":[{}]}'\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}' }\n",
        "    sign_in: { client_id: d, client_secret: '${secret:s}' }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:t}' }\n",
        "    sign_in: { client_id: c, private_key: '${secret:s}' }\n",
        "    sign_in: { client_id: c, private_key: '${secret:s}', private_key_algorithm: PS256 }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', name: { nl: n } }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', name: { fr: n } }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', scopes: [openid] }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', acr_values: {} }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', acr_values: { 400: u } }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', userinfo: true }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', logout: local }\n",
        "    sign_in: { client_id: c, client_secret: '${secret:s}', refresh_after: 5m }\n",
    };
    uint8_t digests[sizeof settings / sizeof *settings][32];
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char text[1024];
        struct findings f;
        (void)snprintf(
            text, sizeof text,
            "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: "
            "2027-01-01T00:00:00Z\napplications: []\n"
            "identity_providers:\n  - id: a\n    issuer: https://a.example\n    audiences: [x]\n%s",
            settings[i]);
        struct bundle *b = load(text, "", &f);
        cr_assert(b, "%s", settings[i]);
        memcpy(digests[i], b->providers[0].digest, 32);
        for (size_t k = 0; k < i; k++)
            cr_expect(memcmp(digests[k], digests[i], 32) != 0, "%s and %s", settings[k],
                      settings[i]);
        bundle_free(b);
        findings_fini(&f);
    }
}

static const char reaching[] =
    "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n"
    "applications:\n"
    "  - id: a\n"
    "    host: a.example\n"
    "    device: none\n"
    "    upstreams: [https://tax.internal.example:8443, h2://tax.internal.example, "
    "'https://[::1]']\n"
    "    upstream_tls: { ca_file: ca.pem, name: tax.internal.example, client_certificate: true }\n"
    "    health: { path: /health?full=1, interval: 1s, timeout: 200ms, fall: 2, rise: 1 }\n"
    "    timeouts: { total: 1h, queue: 10ms }\n"
    "    queue: 0\n"
    "    max_connections: 7\n"
    "    retries: 5\n"
    "    websocket: { origins: [https://b.example, 'http://c.example:8080'] }\n"
    "    client_cert: true\n"
    "    hsts: { max_age: 730d, include_subdomains: true, preload: true }\n"
    "    rules: []\n"
    "  - id: b\n"
    "    host: b.example\n"
    "    device: none\n"
    "    upstreams: [http://backend.example, 'h2c://127.0.0.1']\n"
    "    websocket: {}\n"
    "    hsts: off\n"
    "    rules: []\n"
    "  - id: c\n"
    "    host: c.example\n"
    "    device: none\n"
    "    upstreams: ['https://tax.internal.example:8443']\n"
    "    upstream_tls: { ca_file: ca.pem, name: 10.0.0.1 }\n"
    "    rules: []\n";

/* The three applications of `reaching`; the caller frees the bundle. */
static struct bundle *load_reaching(void)
{
    struct folder folder = folder_new();
    struct findings f;
    struct bundle *b = load(reaching, folder.path, &f);
    folder_free(&folder);
    cr_assert(b && f.errors == 0 && b->application_count == 3, "%s", f.count ? f.at[0].text : "");
    findings_fini(&f);
    return b;
}

Test(bundle, upstreams_are_names_or_addresses_under_four_schemes)
{
    struct bundle *b = load_reaching();
    const struct upstream *a = b->applications[0].upstreams, *p = b->applications[1].upstreams;
    cr_assert(b->applications[0].upstream_count == 3 && b->applications[1].upstream_count == 2);
    cr_expect(a[0].scheme == UPSTREAM_HTTPS && a[0].port == 8443 && !a[0].address_len &&
              slice_eq(a[0].host, SLICE("tax.internal.example")) &&
              slice_eq(a[0].text, SLICE("https://tax.internal.example:8443")));
    cr_expect(a[1].scheme == UPSTREAM_H2 && a[1].port == 443);
    cr_expect(!a[2].host.len && a[2].address.ss_family == AF_INET6 && a[2].port == 443 &&
              address_port((const struct sockaddr *)&a[2].address) == 443);
    cr_expect(p[0].scheme == UPSTREAM_HTTP && p[0].port == 80 && p[0].host.len);
    cr_expect(p[1].scheme == UPSTREAM_H2C && p[1].port == 80 && p[1].address.ss_family == AF_INET);
    cr_expect(upstream_is_tls(&a[0]) && upstream_is_tls(&a[1]) && !upstream_is_tls(&p[0]) &&
              !upstream_is_tls(&p[1]));
    bundle_free(b);
}

Test(bundle, what_is_said_of_reaching_upstreams_is_read_as_it_is_written)
{
    struct bundle *b = load_reaching();
    const struct application *a = &b->applications[0], *p = &b->applications[1],
                             *c = &b->applications[2];
    cr_expect(a->tls.ca_pem.len && a->tls.shows_certificate &&
              slice_eq(a->tls.name, SLICE("tax.internal.example")));
    cr_expect(slice_eq(c->tls.name, SLICE("10.0.0.1")) && !c->tls.shows_certificate);
    cr_expect(memcmp(a->tls.digest, c->tls.digest, 32) != 0 && !p->tls.ca_pem.len);
    cr_expect(slice_eq(a->health.path, SLICE("/health?full=1")) && a->health.interval_ms == 1000 &&
              a->health.timeout_ms == 200 && a->health.fall == 2 && a->health.rise == 1);
    cr_expect(!p->health.path.len);
    cr_expect(a->total_ms == 3600000 && a->queue_ms == 10 && a->queue_length == 0 &&
              a->max_connections == 7 && a->retries == 5);
    cr_expect(p->total_ms == 0 && p->queue_ms == 5000 && p->queue_length == 256 &&
              p->max_connections == 0 && p->retries == 1);
    cr_expect(a->websocket && a->origins.count == 2 && p->websocket && !p->origins.count &&
              !c->websocket);
    cr_expect(a->client_cert && !p->client_cert);
    cr_expect(a->hsts_max_age_s == 63072000 && a->hsts_subdomains && a->hsts_preload);
    cr_expect(p->hsts_max_age_s == 0 && c->hsts_max_age_s == 31536000 && !c->hsts_subdomains &&
              !c->hsts_preload);
    bundle_free(b);
}

Test(bundle, an_upstream_that_is_written_twice_is_one)
{
    static const char *const pairs[] = {
        "http://b.example, http://b.example:80",
        "http://127.0.0.1:80, 'http://[::ffff:127.0.0.1]'",
        "'http://[::1]:80', 'http://[0:0::1]'",
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[1024];
        struct findings f;
        (void)snprintf(text, sizeof text,
                       "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n"
                       "applications:\n  - id: a\n    host: a.example\n    device: none\n"
                       "    upstreams: [%s]\n    rules: []\n",
                       pairs[i]);
        struct bundle *b = load(text, "", &f);
        cr_assert(b, "%s", pairs[i]);
        cr_expect_eq(b->applications[0].upstream_count, 1, "%s", pairs[i]);
        cr_expect_str_eq(f.at[0].code, "repeated");
        bundle_free(b);
        findings_fini(&f);
    }
}

Test(bundle, the_certificate_that_an_address_must_show_is_named)
{
    struct folder folder = folder_new();
    char text[1024];
    struct findings f;
    (void)snprintf(text, sizeof text,
                   "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n"
                   "applications:\n  - id: a\n    host: a.example\n    device: none\n"
                   "    upstreams: ['https://b.example', 'https://10.0.0.1']\n"
                   "    upstream_tls: { ca_file: ca.pem }\n    rules: []\n");
    cr_expect_null(load(text, folder.path, &f));
    cr_expect(f.errors == 1 && f.at[0].place.line == 10 && strstr(f.at[0].text, "'name'") &&
              strstr(f.at[0].text, "https://10.0.0.1"));
    findings_fini(&f);
    folder_free(&folder);
}

/* ---- broken ones ---- */

#define HEAD                                                                                       \
    "belfry: entity/v1\nentity: e\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\n" /* 4 lines */
#define NO_APPS HEAD "applications: []\n"                                        /* 5 */
#define PROVIDER                                                                                   \
    NO_APPS                                                                                        \
    "identity_providers:\n  - id: a\n    issuer: https://a.example\n    audiences: [x]\n" /* 9     \
                                                                                           */
#define AUTHORITY                                                                                  \
    NO_APPS                                                                                        \
    "device_authorities:\n  - id: a\n    trust: managed\n    device_name: subject.CN\n" /* 9       \
                                                                                         */
#define APP HEAD "applications:\n  - id: a\n    host: a.example\n    device: none\n"    /* 8 */
#define UP APP "    upstreams: [http://127.0.0.1:1]\n"                                  /* 9 */
#define RULES UP "    rules:\n"                                                         /* 10 */
#define RULE RULES "      - id: r\n        when: 'true'\n"                              /* 12 */
#define TESTS NO_APPS "tests:\n  - name: t\n"                                           /* 7 */

static const struct broken {
    const char *text;
    uint32_t line, column;
    const char *code;
    const char *says; /* a part of the text */
} broken[] = {
    /* The document. */
    {"belfry: [\n", 0, 0, "syntax", ""},
    {"- a\n", 1, 1, "wrong-kind", "must be a map"},
    {"entity: e\n", 1, 1, "missing-key", "'belfry'"},
    {"belfry: charter/v1\nserial: 1\n", 1, 9, "wrong-document", "entity/v1"},
    {"belfry: entity/v1\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\napplications: []\n", 1, 1,
     "missing-key", "'entity'"},
    {HEAD, 1, 1, "missing-key", "'applications'"},
    {NO_APPS "aplications: []\n", 6, 1, "unknown-key", "did you mean 'applications'?"},
    {NO_APPS "serial: 2\n", 6, 1, "duplicate-key", "serial"},
    {"belfry: entity/v1\nentity: E_1\nserial: 1\nnot_after: 2027-01-01T00:00:00Z\napplications: "
     "[]\n",
     2, 9, "wrong-id", "a-z"},
    {"belfry: entity/v1\nentity: e\nserial: 0\nnot_after: 2027-01-01T00:00:00Z\napplications: []\n",
     3, 9, "out-of-range", "serial"},
    {"belfry: entity/v1\nentity: e\nserial: '1'\nnot_after: 2027-01-01T00:00:00Z\napplications: "
     "[]\n",
     3, 9, "wrong-value", "serial"},
    {"belfry: entity/v1\nentity: e\nserial: 1\nnot_after: tomorrow\napplications: []\n", 4, 12,
     "wrong-value", "time in UTC"},
    {HEAD "applications: all\n", 5, 15, "wrong-kind", "a list"},
    {HEAD "applications:\n", 5, 1, "empty-value", "'applications'"},
    /* Providers. */
    {NO_APPS "identity_providers: [a]\n", 6, 22, "wrong-kind", "a map"},
    {NO_APPS "identity_providers:\n  - id: a\n    issuer: https://a.example\n", 7, 5, "missing-key",
     "'audiences'"},
    {PROVIDER "    sign_in: { client_id: c, client_secret: \"${secret:s}\", scopes: [profile] }\n",
     10, 68, "wrong-value", "'openid' must be among"},
    {PROVIDER "    sign_in: { client_id: c, client_secret: \"${secret:s}\", logout: never }\n", 10,
     68, "unknown-word", "provider, local"},
    {PROVIDER "    sign_in: { client_id: c, client_secret: \"${secret:s}\", refresh_after: 1s }\n",
     10, 75, "out-of-range", "refresh_after"},
    {PROVIDER
     "    sign_in: { client_id: c, client_secret: \"${secret:s}\", acr_values: { high: u } }\n",
     10, 74, "wrong-value", "no level"},
    {PROVIDER "    sign_in: { client_id: c, client_secret: \"${secret:s}\", acr_values: { 500: u, "
              "400: v } }\n",
     10, 82, "wrong-value", "lowest first"},
    {PROVIDER
     "    sign_in: { client_id: c, client_secret: \"${secret:s}\", acr_values: { 400: 'a b' } }\n",
     10, 79, "wrong-value", "no space"},
    {PROVIDER "    sign_in: { client_id: c, client_secret: \"${secret:s}\", user_info: true }\n",
     10, 60, "unknown-key", "did you mean 'userinfo'?"},
    {PROVIDER "    sign_in: { client_id: c, client_secret: hunter2 }\n", 10, 45, "literal-secret",
     "${secret:NAME}"},
    {PROVIDER "    sign_in: { client_id: c }\n", 10, 14, "missing-key",
     "client_secret or a private_key"},
    {PROVIDER "    isuer: x\n", 10, 5, "unknown-key", "did you mean 'issuer'?"},
    {PROVIDER "  - id: a\n    issuer: https://b.example\n    audiences: [x]\n", 10, 9,
     "duplicate-id", "'a'"},
    {PROVIDER "    jwks_uri: http://a.example/k\n", 10, 15, "wrong-url", "https://"},
    {PROVIDER "    jwks_uri: https://u:p@a.example/k\n", 10, 15, "wrong-url", "user name"},
    {PROVIDER "    jwks_uri: https://a.example/k#x\n", 10, 15, "wrong-url", "fragment"},
    {PROVIDER "    jwks_uri: https://10.0.0.1/k\n", 10, 15, "wrong-url", "host name"},
    {PROVIDER "    jwks_uri: 'https://a.example/k\\x'\n", 10, 15, "wrong-url", "character"},
    {PROVIDER "    algorithms: [none]\n", 10, 17, "unknown-word",
     "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"},
    {PROVIDER "    algorithms: [HS256]\n", 10, 17, "unknown-word", "HS256"},
    {PROVIDER "    algorithms: [RS265]\n", 10, 17, "unknown-word", "did you mean 'RS256'?"},
    {PROVIDER "    algorithms: []\n", 10, 17, "empty-list", "algorithms"},
    {PROVIDER "    token_types: [logout+jwt]\n", 10, 18, "wrong-token-type", "logout+jwt"},
    {PROVIDER "    token_types: [application/at+jwt]\n", 10, 18, "wrong-token-type",
     "application/"},
    {PROVIDER "    leeway: 61s\n", 10, 13, "out-of-range", "leeway"},
    {PROVIDER "    leeway: 5\n", 10, 13, "wrong-value", "duration"},
    {PROVIDER "    claims: { group: x }\n", 10, 15, "unknown-key", "did you mean 'groups'?"},
    {PROVIDER "    jwks_uri: https://a.example/k\n    jwks: '{\"keys\":[{}]}'\n", 7, 5, "conflict",
     "only one"},
    {PROVIDER "    jwks: '{\"keys\":[]}'\n", 10, 11, "wrong-jwks", "at least one"},
    {PROVIDER "    jwks: '[1]'\n", 10, 11, "wrong-jwks", "JSON object"},
    {PROVIDER "    jwks: '{\"keys\":[{\"d\":\"x\"}]}'\n", 10, 11, "private-key", "private part"},
    {PROVIDER "    jwks: '{\"keys\":[{\"kty\":\"oct\",\"k\":\"x\"}]}'\n", 10, 11, "private-key",
     "private part"},
    {PROVIDER "    jwks_file: keys.json\n", 10, 16, "file-outside", "publish"},
    {NO_APPS
     "identity_providers:\n  - id: a\n    issuer: https://a.example?x\n    audiences: [x]\n",
     8, 13, "wrong-url", "query"},
    /* Authorities. */
    {AUTHORITY "    ca_file: ca.pem\n", 10, 14, "file-outside", "publish"},
    {AUTHORITY "    ca_pem: nothing\n", 10, 13, "wrong-ca", "no certificate"},
    {AUTHORITY, 7, 5, "missing-key", "'ca_file'"},
    {AUTHORITY "    ca_pem: x\n    ca_file: y\n", 7, 5, "conflict", "only one"},
    {AUTHORITY
     "    ca_pem: \"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n\"\n",
     10, 13, "private-key", "private key"},
    {AUTHORITY
     "    ca_pem: \"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n\"\n",
     10, 13, "wrong-ca", "does not parse"},
    /* Applications. */
    {APP "    rules: []\n", 6, 5, "missing-key", "'upstreams'"},
    {HEAD "applications:\n  - id: a\n    host: a.example\n    upstreams: [http://127.0.0.1:1]\n    "
          "rules: []\n",
     6, 5, "missing-key", "'device'"},
    {UP, 6, 5, "missing-key", "'rules'"},
    {UP "    rules: []\n    device: none\n", 11, 5, "duplicate-key", "device"},
    {HEAD "applications:\n  - id: a\n    host: A.example\n    device: none\n    upstreams: "
          "[http://127.0.0.1:1]\n"
          "    rules: []\n",
     7, 11, "wrong-host", "'a.example'"},
    {HEAD "applications:\n  - id: a\n    host: '*.example'\n    device: none\n    upstreams: "
          "[http://127.0.0.1:1]\n"
          "    rules: []\n",
     7, 11, "wrong-host", "no '*'"},
    {HEAD "applications:\n  - id: a\n    host: a.example:443\n    device: none\n    upstreams: "
          "[http://127.0.0.1:1]\n"
          "    rules: []\n",
     7, 11, "wrong-host", "without port"},
    {HEAD "applications:\n  - id: a\n    host: a.example\n    device: requierd\n    upstreams: "
          "[http://127.0.0.1:1]\n"
          "    rules: []\n",
     8, 13, "unknown-word", "did you mean 'required'?"},
    {UP "    rules: []\n  - id: b\n    host: a.example\n    device: none\n    upstreams: "
        "[http://127.0.0.1:1]\n"
        "    rules: []\n",
     12, 11, "duplicate-host", "a.example"},
    {UP "    rules: []\n  - id: a\n    host: b.example\n    device: none\n    upstreams: "
        "[http://127.0.0.1:1]\n"
        "    rules: []\n",
     11, 9, "duplicate-id", "'a'"},
    {APP "    upstreams: [grpc://127.0.0.1:1]\n    rules: []\n", 9, 17, "wrong-upstream",
     "http://, https://, h2c:// or h2://"},
    {APP "    upstreams: [http://Backend.example:80]\n    rules: []\n", 9, 17, "wrong-upstream",
     "lower case"},
    {APP "    upstreams: [http://backend.example.]\n    rules: []\n", 9, 17, "wrong-upstream",
     "a host"},
    {APP "    upstreams: [http://back_end.example]\n    rules: []\n", 9, 17, "wrong-upstream",
     "a host"},
    {APP "    upstreams: [http://u@backend.example]\n    rules: []\n", 9, 17, "wrong-upstream",
     "a host"},
    {APP "    upstreams: [http://2130706433]\n    rules: []\n", 9, 17, "wrong-upstream", "a host"},
    {APP "    upstreams: [http://127.1]\n    rules: []\n", 9, 17, "wrong-upstream", "a host"},
    {APP "    upstreams: [http://]\n    rules: []\n", 9, 17, "wrong-upstream", "a host"},
    {APP "    upstreams: [http://127.0.0.1:0]\n    rules: []\n", 9, 17, "wrong-upstream", "a port"},
    {APP "    upstreams: [http://backend.example:0]\n    rules: []\n", 9, 17, "wrong-upstream",
     "a port"},
    {APP "    upstreams: [http://127.0.0.1:80/x]\n    rules: []\n", 9, 17, "wrong-upstream",
     "nothing behind"},
    {APP "    upstreams: [127.0.0.1:80]\n    rules: []\n", 9, 17, "wrong-upstream", "http://"},
    {APP "    upstreams: [http://127.0.0.1:1, https://b.example]\n    rules: []\n", 9, 37,
     "mixed-upstreams", "over TLS"},
    {APP "    upstreams: [https://b.example]\n    rules: []\n", 6, 5, "missing-key",
     "'upstream_tls'"},
    {UP "    rules: []\n    upstream_tls: { ca_pem: x }\n", 11, 19, "conflict", "https://"},
    {UP "    rules: []\n    health: { interval: 1s }\n", 11, 13, "missing-key", "'path'"},
    {UP "    rules: []\n    health: { path: health }\n", 11, 21, "wrong-value", "begins with '/'"},
    {UP "    rules: []\n    health: { path: '/a b' }\n", 11, 21, "wrong-value", "begins with '/'"},
    {UP "    rules: []\n    health: { path: /, interval: 1ms }\n", 11, 34, "out-of-range",
     "health.interval"},
    {UP "    rules: []\n    health: { path: /, fall: 0 }\n", 11, 30, "out-of-range", "fall"},
    {UP "    rules: []\n    health: { path: /, rise: many }\n", 11, 30, "wrong-value", "rise"},
    {UP "    rules: []\n    health: { path: /, fal: 1 }\n", 11, 24, "unknown-key",
     "did you mean 'fall'?"},
    {UP "    rules: []\n    queue: -1\n", 11, 12, "out-of-range", "queue"},
    {UP "    rules: []\n    retries: 6\n", 11, 14, "out-of-range", "retries"},
    {UP "    rules: []\n    max_connections: 0\n", 11, 22, "out-of-range", "max_connections"},
    {UP "    rules: []\n    timeouts: { total: 8d }\n", 11, 24, "out-of-range", "timeouts.total"},
    {UP "    rules: []\n    timeouts: { queue: 0s }\n", 11, 24, "out-of-range", "timeouts.queue"},
    {UP "    rules: []\n    websocket: true\n", 11, 16, "wrong-kind", "a map"},
    {UP "    rules: []\n    websocket: { origin: x }\n", 11, 18, "unknown-key",
     "did you mean 'origins'?"},
    {UP "    rules: []\n    websocket: { origins: [https://a.example/] }\n", 11, 27, "wrong-origin",
     "nothing behind"},
    {UP "    rules: []\n    websocket: { origins: ['https://a.example:443'] }\n", 11, 27,
     "wrong-origin", "usual"},
    {UP "    rules: []\n    websocket: { origins: ['https://A.example'] }\n", 11, 27,
     "wrong-origin", "lower case"},
    {UP "    rules: []\n    websocket: { origins: ['*'] }\n", 11, 27, "wrong-origin", "https://"},
    {UP "    rules: []\n    client_cert: yes\n", 11, 18, "wrong-value", "true or false"},
    {UP "    rules: []\n    hsts: on\n", 11, 11, "wrong-kind", "'off'"},
    {UP "    rules: []\n    hsts: { max_age: 0s }\n", 11, 22, "out-of-range", "max_age"},
    {UP "    rules: []\n    hsts: { preload: true }\n", 11, 22, "conflict", "365d"},
    {APP "    upstreams: []\n    rules: []\n", 9, 16, "empty-list", "upstreams"},
    {UP "    rules: []\n    identity_providers: [fsa]\n", 11, 26, "unknown-word",
     "none are defined"},
    {UP
     "    rules: []\n    identity_providers: [fsa1]\nidentity_providers:\n  - { id: fas1, issuer: "
     "https://a.example, audiences: [x] }\n",
     11, 26, "unknown-word", "did you mean 'fas1'?"},
    {UP "    rules: []\n    identity_providers: [x, y]\nidentity_providers:\n  - { id: x, issuer: "
        "https://a.example, "
        "audiences: [x] }\n  - { id: y, issuer: https://a.example, audiences: [x] }\n",
     11, 29, "duplicate-issuer", "one issuer"},
    {NO_APPS "identity_providers:\n  - id: a\n    trust_domain: a.example\n    audiences: [x]\n", 7,
     5, "missing-key", "jwks_uri"},
    {NO_APPS "identity_providers:\n  - id: a\n    trust_domain: A.example\n    audiences: [x]\n", 8,
     19, "wrong-value", "no trust domain"},
    {PROVIDER "    trust_domain: a.example\n    jwks_uri: https://a.example/keys\n", 8, 13,
     "conflict", "JWT-SVIDs"},
    {UP "    rules: []\n    paths: { percent: deny }\n", 11, 23, "unknown-word", "allowed: allow"},
    {UP "    rules: []\n    forward_token: 'true'\n", 11, 20, "wrong-value", "true or false"},
    {UP "    rules: []\n    limits: { body: 0 }\n", 11, 21, "out-of-range", "limits.body"},
    {UP "    rules: []\n    timeouts: { connect: 5m }\n", 11, 26, "out-of-range",
     "timeouts.connect"},
    {UP "    rules: []\n    name: { it: Ufficio }\n", 11, 13, "unknown-key", "'it'"},
    /* Rules. */
    {RULE, 11, 9, "no-effect", "needs 'permit' or 'forbid'"},
    {RULE "        permit: {}\n        forbid: {}\n", 11, 9, "no-effect", "not both"},
    {RULE "        permit:\n", 13, 9, "empty-value", "'permit'"},
    {RULE "        permit: all\n", 13, 17, "wrong-kind", "a map"},
    {RULE "        permit: { method: [GET] }\n", 13, 19, "unknown-key", "did you mean 'methods'?"},
    {RULE "        permit: { methods: [] }\n", 13, 28, "empty-list", "methods"},
    {RULE "        permit: { methods: GET }\n", 13, 28, "wrong-kind", "a list"},
    {RULE "        permit: { methods: [get] }\n", 13, 28, "wrong-method", "did you mean 'GET'?"},
    {RULE "        permit: { methods: [CONNECT] }\n", 13, 28, "wrong-method", "never carried"},
    {RULE "        permit: { methods: [TRACE] }\n", 13, 28, "wrong-method", "never carried"},
    {RULE "        permit: { methods: [\"G T\"] }\n", 13, 28, "wrong-method", "upper case"},
    {RULE "        forbid: { paths: [] }\n", 13, 26, "empty-list", "paths"},
    {RULE "        permit: { paths: [/a, b] }\n", 13, 31, "wrong-path", "begin with '/'"},
    {RULE "        permit: { paths: ['/**/a'] }\n", 13, 27, "wrong-path", "last segment"},
    {RULE "        permit: { paths: [/a//b] }\n", 13, 27, "wrong-path", "empty segment"},
    {RULE "        permit: { paths: [/a/../b] }\n", 13, 27, "wrong-path", "dot segment"},
    {RULE "        permit: { paths: [/a%20b] }\n", 13, 27, "wrong-path", "decoded"},
    {RULE "        permit: { paths: [/a;b] }\n", 13, 27, "wrong-path", "';'"},
    {RULE "        permit: { paths: ['/a\\b'] }\n", 13, 27, "wrong-path", "'\\'"},
    {RULE "        permit: { paths: ['/a?b=c'] }\n", 13, 27, "wrong-path", "request.query"},
    {RULE "        permit: { paths: ['/a/x{id}'] }\n", 13, 27, "wrong-path", "{id}"},
    {RULE "        permit: { paths: ['/a/{}'] }\n", 13, 27, "wrong-path", "{id}"},
    {RULE "        permit: { paths: ['/a*b*c'] }\n", 13, 27, "wrong-path", "two stars"},
    {RULE "        permit: { paths: ['/a**'] }\n", 13, 27, "wrong-path", "two stars"},
    {RULE "        permit: {}\n      - id: r\n        permit: {}\n        when: 'true'\n", 14, 13,
     "duplicate-id", "'r'"},
    {RULES "      - id: r\n        forbid: {}\n        remedy: step_up\n", 13, 17,
     "remedy-on-forbid", "only a permit"},
    {RULE "        permit: {}\n        remedy: stepup\n", 14, 17, "unknown-word",
     "did you mean 'step_up'?"},
    {RULE "        permit: {}\n        mode: enforce\n", 14, 15, "unknown-word", "shadow"},
    {RULE "        permit: {}\n        wen: 'true'\n", 14, 9, "unknown-key",
     "did you mean 'when'?"},
    /* Tests. */
    {TESTS "    expect: deny\n", 7, 5, "missing-key", "'request'"},
    {TESTS "    request: GET https://a.example/\n", 7, 5, "missing-key", "'expect'"},
    {TESTS
     "    request: GET https://a.example/\n    expect: deny\n    given: { user: { role: x } }\n",
     10, 22, "unknown-key", "'role'"},
    {TESTS
     "    request: GET https://a.example/\n    expect: deny\n    given: { usr: { groups: [x] } }\n",
     10, 14, "unknown-key", "did you mean 'user'?"},
    {TESTS
     "    request: GET https://a.example/\n    expect: deny\n    given: { user: { groups: x } }\n",
     10, 30, "wrong-kind", "a list"},
};

static bool has_finding(const struct findings *f, const struct broken *want)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct finding *one = &f->at[i];
        if (one->is_error && strcmp(one->code, want->code) == 0 && strstr(one->text, want->says) &&
            (!want->line || (one->place.line == want->line && one->place.column == want->column)))
            return true;
    }
    return false;
}

Test(bundle, each_mistake_is_one_error_at_its_place)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct findings f;
        struct bundle *b = load(broken[i].text, "", &f);
        const bool is_good = !b && f.errors == 1 && has_finding(&f, &broken[i]);
        cr_expect(is_good, "row %zu: expected %u:%u [%s] %s, alone", i, broken[i].line,
                  broken[i].column, broken[i].code, broken[i].says);
        if (!is_good)
            findings_print(&f, stderr);
        findings_fini(&f);
        bundle_free(b);
    }
}

Test(bundle, each_mistake_in_an_authority_with_a_good_ca_is_one_error_at_its_place)
{
    static const struct broken cases[] = {
        {"trust: t, device_name: subject.cn", 7, 54, "unknown-word", "did you mean 'subject.CN'?"},
        {"trust: t", 7, 5, "missing-key", "'device_name'"},
        {"device_name: san.uri", 7, 5, "missing-key", "'trust'"},
        {"trust: t, device_name: san.uri, trust_domain: a.example", 7, 77, "conflict",
         "identifies: service"},
        {"trust: t, device_name: san.dns, identifies: service, trust_domain: a.example", 7, 98,
         "conflict", "san.uri"},
        {"trust: t, device_name: san.uri, identifies: service, trust_domain: A.example", 7, 98,
         "wrong-value", "a-z"},
        {"trust: t, device_name: san.uri, identifies: staff", 7, 75, "unknown-word",
         "device, service"},
        {"trust: t, device_name: san.uri, revocation: { refresh: 1h }", 7, 75, "no-source",
         "give crl, crl_file, ocsp or from_certificate"},
        {"trust: t, device_name: san.uri, revocation: { ocsp: online, crl: [http://a.example/x] }",
         7, 83, "conflict", "from_certificate"},
        {"trust: t, device_name: san.uri, revocation: { crl: [ldap://a.example/x] }", 7, 83,
         "wrong-url", "https:// or http://"},
        {"trust: t, device_name: san.uri, revocation: { crl_pem: nothing }", 7, 86, "wrong-crl",
         "X509 CRL"},
        {"trust: t, device_name: san.uri, revocation: { from_certificate: true, when_unknown: "
         "allow }",
         7, 115, "unknown-word", "'deny' or"},
        {"trust: t, device_name: san.uri, revocation: { from_certificate: true, when_unknown: "
         "{ allow_for: 8d } }",
         7, 128, "out-of-range", "allow_for"},
    };
    struct folder folder = folder_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        struct findings f;
        (void)snprintf(text, sizeof text,
                       "%sdevice_authorities:\n  - { id: a, ca_file: ca.pem, %s }\n", NO_APPS,
                       cases[i].text);
        struct bundle *b = load(text, folder.path, &f);
        cr_expect(!b && f.errors == 1 && has_finding(&f, &cases[i]), "row %zu: %s", i,
                  f.count ? f.at[0].text : "");
        findings_fini(&f);
        bundle_free(b);
    }
    folder_free(&folder);
}

Test(bundle, all_mistakes_of_a_file_are_told_at_once)
{
    static const struct broken expected[] = {
        {"", 3, 9, "out-of-range", "serial"},     {"", 4, 1, "unknown-key", "not_after"},
        {"", 1, 1, "missing-key", "'not_after'"}, {"", 6, 9, "wrong-id", "Fas"},
        {"", 7, 13, "wrong-url", "https"},        {"", 8, 5, "unknown-key", "audiences"},
        {"", 6, 5, "missing-key", "'audiences'"}, {"", 10, 5, "missing-key", "'device'"},
        {"", 11, 11, "wrong-host", "A.example"},  {"", 12, 17, "wrong-upstream", "ftp"},
        {"", 14, 9, "no-effect", "permit"},       {"", 16, 17, "wrong-kind", "permit"},
    };
    static const char text[] = "belfry: entity/v1\n"
                               "entity: e\n"
                               "serial: -1\n"
                               "not_aftr: 2027-01-01T00:00:00Z\n"
                               "identity_providers:\n"
                               "  - id: Fas\n"
                               "    issuer: http://a.example\n"
                               "    audience: [x]\n"
                               "applications:\n"
                               "  - id: a\n"
                               "    host: A.example_\n"
                               "    upstreams: [ftp://127.0.0.1:21]\n"
                               "    rules:\n"
                               "      - id: one\n"
                               "      - id: two\n"
                               "        permit: yes\n"
                               "        when: 'true'\n";
    struct findings f;
    struct bundle *b = load(text, "", &f);
    cr_expect(!b);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect(has_finding(&f, &expected[i]), "%u:%u [%s]", expected[i].line, expected[i].column,
                  expected[i].code);
    cr_expect_eq(f.errors, sizeof expected / sizeof *expected);
    if (f.errors != sizeof expected / sizeof *expected)
        findings_print(&f, stderr);
    findings_fini(&f);
}

Test(bundle, what_is_there_without_use_or_condition_is_a_warning)
{
    static const struct {
        const char *text;
        uint32_t line, column;
        const char *code;
    } cases[] = {
        {PROVIDER, 7, 5, "unused"},
        {RULES "      - id: r\n        permit: {}\n", 11, 9, "no-condition"},
        {RULE "        permit: { paths: [/a, /b, /a] }\n", 13, 35, "repeated"},
        {RULE "        permit: { methods: [GTE] }\n", 13, 28, "unusual-method"},
        {UP "    rules: []\n", 10, 12, "no-rules"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct findings f;
        struct bundle *b = load(cases[i].text, "", &f);
        cr_expect(b && f.errors == 0 && f.warnings == 1, "row %zu", i);
        if (f.count == 1) {
            cr_expect_str_eq(f.at[0].code, cases[i].code);
            cr_expect(f.at[0].place.line == cases[i].line &&
                          f.at[0].place.column == cases[i].column,
                      "row %zu: %u:%u", i, f.at[0].place.line, f.at[0].place.column);
        } else {
            findings_print(&f, stderr);
        }
        findings_fini(&f);
        bundle_free(b);
    }
}

Test(bundle, a_fault_in_a_condition_is_told_at_its_character)
{
    static const struct {
        const char *when;
        uint32_t line, column;
    } cases[] = {
        {"nonsense == 1", 12, 15},
        {"'nonsense == 1'", 12, 16},
        {"\"nonsense == 1\"", 12, 16},
        {"'true && nonsense'", 12, 24},
        {"|\n          nonsense == 1", 13, 11},
        {">-\n            true &&\n            nonsense", 13, 21},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        struct findings f;
        (void)snprintf(text, sizeof text, "%s      - id: r\n        when: %s\n        permit: {}\n",
                       RULES, cases[i].when);
        struct bundle *b = load(text, "", &f);
        cr_expect(!b && f.errors >= 1, "row %zu", i);
        cr_expect(f.count && f.at[0].place.line == cases[i].line &&
                      f.at[0].place.column == cases[i].column,
                  "row %zu: %u:%u", i, f.count ? f.at[0].place.line : 0,
                  f.count ? f.at[0].place.column : 0);
        findings_fini(&f);
        bundle_free(b);
    }
}

Test(bundle, a_certificate_that_must_give_no_trust_is_refused)
{
    const struct {
        struct recipe recipe;
        const char *says; /* NULL: fine */
    } cases[] = {
        {good_ca, NULL},
        {{"critical,CA:TRUE", "critical,keyCertSign", NULL, 2048}, NULL},
        {{"critical,CA:TRUE", "critical,keyCertSign", NULL, 1024}, "2048 bits"},
        {{"critical,CA:TRUE", "critical,keyCertSign", EVP_sha1(), 2048}, "SHA-1"},
        {{"critical,CA:FALSE", "critical,digitalSignature", NULL, 0},
         "not a certificate authority"},
        {{"critical,CA:TRUE", "critical,digitalSignature", NULL, 0}, "not a certificate authority"},
        {{NULL, "critical,keyCertSign", NULL, 0}, "not a certificate authority"},
        {{NULL, NULL, NULL, 0}, "not a certificate authority"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct folder folder = folder_new();
        struct slice pem = make_pem(cases[i].recipe);
        struct findings f;
        put(&folder, "ca.pem", pem);
        struct bundle *b = load(AUTHORITY "    ca_file: ca.pem\n", folder.path, &f);
        if (cases[i].says)
            cr_expect(!b && f.count && strstr(f.at[0].text, cases[i].says), "row %zu", i);
        else
            cr_expect(b != NULL, "row %zu: %s", i, f.count ? f.at[0].text : "");
        findings_fini(&f);
        bundle_free(b);
        mem_slice_free(&pem);
        folder_free(&folder);
    }
}

/* ---- inline ---- */

Test(bundle, inlined_it_reads_the_same_without_a_folder)
{
    struct folder folder = folder_new();
    struct findings f;
    struct slice text;
    findings_init(&f);
    cr_assert(bundle_inline(slice_of(whole), "finance.yaml", slice_of(folder.path), &text, &f));
    struct bundle *apart = bundle_load(slice_of(whole), "finance.yaml", slice_of(folder.path), &f);
    struct bundle *one = bundle_load(text, "finance.yaml", SLICE(""), &f);
    expect_no_findings(&f);
    cr_assert(apart && one);
    for (size_t i = 0; i < 2; i++) {
        cr_expect(memcmp(apart->providers[i].digest, one->providers[i].digest, 32) == 0);
        cr_expect(memcmp(apart->authorities[i].digest, one->authorities[i].digest, 32) == 0);
    }
    cr_expect(memmem(text.ptr, text.len, "# beside the bundle", 19), "comments stay");
    cr_expect(!memmem(text.ptr, text.len, "ca_file", 7));
    mem_slice_free(&text);
    bundle_free(apart);
    bundle_free(one);
    folder_free(&folder);
}

Test(bundle, the_authorities_of_upstreams_are_inlined_too)
{
    struct folder folder = folder_new();
    struct findings f;
    struct slice text;
    findings_init(&f);
    cr_assert(bundle_inline(slice_of(reaching), "e.yaml", slice_of(folder.path), &text, &f));
    struct bundle *apart = load_reaching(), *one = bundle_load(text, "e.yaml", SLICE(""), &f);
    cr_assert(one && f.errors == 0);
    cr_expect(one->applications[0].tls.ca_pem.len && one->applications[2].tls.ca_pem.len);
    cr_expect(!memmem(text.ptr, text.len, "ca_file", 7));
    mem_slice_free(&text);
    findings_fini(&f);
    bundle_free(apart);
    bundle_free(one);
    folder_free(&folder);
}

Test(bundle, a_text_without_files_is_inlined_to_itself)
{
    struct findings f;
    struct slice text;
    findings_init(&f);
    cr_assert(bundle_inline(SLICE(NO_APPS "# the end"), "e.yaml", SLICE("."), &text, &f));
    cr_expect(slice_eq(text, SLICE(NO_APPS "# the end")));
    mem_slice_free(&text);
    findings_fini(&f);
}

Test(bundle, a_missing_file_is_told_where_it_is_named)
{
    struct findings f;
    struct slice text = SLICE("untouched");
    findings_init(&f);
    cr_expect_not(bundle_inline(SLICE(AUTHORITY "    ca_file: none.pem\n"), "e.yaml",
                                SLICE("/nonexistent"), &text, &f));
    cr_expect(slice_eq(text, SLICE("untouched")));
    cr_expect(f.errors == 1 && f.at[0].place.line == 10 && f.at[0].place.column == 14);
    findings_fini(&f);
}

Test(bundle, a_file_named_in_a_way_that_is_not_edited_is_refused_not_guessed)
{
    static const char *const names[] = {"|\n      ca.pem", "\"ca\\x2epem\"", ">-\n      ca.pem"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct folder folder = folder_new();
        char text[1024];
        struct findings f;
        struct slice out = SLICE("untouched");
        findings_init(&f);
        (void)snprintf(text, sizeof text, "%s    ca_file: %s\n", AUTHORITY, names[i]);
        cr_expect_not(bundle_inline(slice_of(text), "e.yaml", slice_of(folder.path), &out, &f),
                      "%s", names[i]);
        cr_expect(f.errors >= 1 && slice_eq(out, SLICE("untouched")));
        findings_fini(&f);
        folder_free(&folder);
    }
}

/* ---- what all may cost together ---- */

/* An application of so many rules of some 65,000 steps each, and so many tests. */
static struct bundle *load_costly(int rules, int tests, struct findings *out)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    bool is_fine = buf_printf(&text, "belfry: entity/v1\nentity: e\nserial: 1\n"
                                     "not_after: 2040-01-01T00:00:00Z\napplications:\n"
                                     "  - id: a\n    host: a.example\n    device: none\n"
                                     "    upstreams: ['http://127.0.0.1:9001']\n    rules:\n");
    for (int i = 0; i < rules; i++)
        is_fine = is_fine && buf_printf(&text,
                                        "      - { id: r%d, permit: {}, when: "
                                        "'user.groups.exists(a, a in user.groups)' }\n",
                                        i);
    ;
    if (tests)
        is_fine = is_fine && buf_printf(&text, "tests:\n");
    for (int i = 0; i < tests; i++)
        is_fine = is_fine && buf_printf(&text,
                                        "  - { name: t%d, request: 'GET https://a.example/', "
                                        "expect: deny }\n",
                                        i);
    cr_assert(is_fine);
    struct bundle *b = bundle_load(buf_slice(&text), "costly.yaml", SLICE(""), out);
    buf_fini(&text);
    return b;
}

Test(bundle, conditions_that_together_could_hold_a_worker_are_refused)
{
    struct findings f;
    findings_init(&f);
    cr_expect_null(load_costly(200, 0, &f));
    cr_assert_eq(f.errors, 1, "%s", f.at[0].text);
    cr_expect_str_eq(f.at[0].code, "too-costly");
    cr_expect_eq(f.at[0].place.line, 11);
    findings_fini(&f);
    struct bundle *b = load_costly(50, 0, &f);
    cr_assert_not_null(b);
    bundle_free(b);
    findings_fini(&f);
}

/* An application of one rule that names a segment, with so many patterns that all fit one path. */
static struct bundle *load_patterns(int patterns, struct findings *out)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    bool is_fine = buf_printf(&text, "belfry: entity/v1\nentity: e\nserial: 1\n"
                                     "not_after: 2040-01-01T00:00:00Z\napplications:\n"
                                     "  - id: a\n    host: a.example\n    device: none\n"
                                     "    upstreams: ['http://127.0.0.1:9001']\n    rules:\n"
                                     "      - id: r\n        when: 'path.z in user.groups || "
                                     "user.groups.exists(a, a in user.groups)'\n"
                                     "        permit:\n          paths:\n");
    for (int i = 0; i < patterns; i++) {
        is_fine = is_fine && buf_printf(&text, "          - '/{z}");
        for (int bit = 0; bit < 8; bit++)
            is_fine = is_fine && buf_printf(&text, i >> bit & 1 ? "/*" : "/x");
        is_fine = is_fine && buf_printf(&text, "/**'\n");
    }
    cr_assert(is_fine);
    struct bundle *b = bundle_load(buf_slice(&text), "patterns.yaml", SLICE(""), out);
    buf_fini(&text);
    return b;
}

Test(bundle, a_condition_on_the_path_costs_as_often_as_it_may_be_asked)
{
    struct findings f;
    findings_init(&f);
    cr_expect_null(load_patterns(256, &f));
    cr_assert_eq(f.errors, 1, "%s", f.at[0].text);
    cr_expect_str_eq(f.at[0].code, "too-costly");
    findings_fini(&f);
    struct bundle *b = load_patterns(64, &f);
    cr_assert_not_null(b);
    cr_expect_gt(b->applications[0].cost, 64 * 65536);
    bundle_free(b);
    findings_fini(&f);
}

Test(bundle, tests_that_together_could_hold_the_compiler_are_not_run)
{
    struct findings f;
    findings_init(&f);
    struct bundle *b = load_costly(100, 200, &f);
    cr_assert_not_null(b);
    bundle_compile(b);
    cr_expect_not(policy_test_run(b, NULL, (struct wall){1800000000}, &f, NULL));
    cr_expect_eq(f.errors, 1);
    findings_fini(&f);
    bundle_free(b);
    b = load_costly(100, 100, &f);
    cr_assert_not_null(b);
    bundle_compile(b);
    cr_expect(policy_test_run(b, NULL, (struct wall){1800000000}, &f, NULL));
    findings_fini(&f);
    bundle_free(b);
}
