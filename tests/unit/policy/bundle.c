// SPDX-License-Identifier: EUPL-1.2
/* Bundles that are good: a whole one read field by field, one with its files put in, and what all
 * may cost together. What is told of others is bundle_findings.c's. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sign.h"
#include "bundle_parts.h"
#include "policy/compile.h"
#include "policy/policy_test.h"

static void init(void)
{
    base_init();
}
TestSuite(bundle, .init = init);

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
    struct bundle *b = bundle_from(whole, folder.path, &f);
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
    struct bundle *b = bundle_from(
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
    struct bundle *b = bundle_from(whole, folder.path, &f);
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
        struct bundle *b = bundle_from(text, "", &f);
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
    struct bundle *b = bundle_from(reaching, folder.path, &f);
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
        struct bundle *b = bundle_from(text, "", &f);
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
    cr_expect_null(bundle_from(text, folder.path, &f));
    cr_expect(f.errors == 1 && f.at[0].place.line == 10 && strstr(f.at[0].text, "'name'") &&
              strstr(f.at[0].text, "https://10.0.0.1"));
    findings_fini(&f);
    folder_free(&folder);
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
