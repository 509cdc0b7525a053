// SPDX-License-Identifier: EUPL-1.2
/* What is told of bundles: a table of broken ones, each with the exact place that a person is sent
 * to, and what is only warned of. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "bundle_parts.h"

static void init(void)
{
    base_init();
}
TestSuite(bundle_findings, .init = init);

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
    {PROVIDER "    token_types: [logout+jwt]\n", 10, 19, "wrong-token-type", "logout+jwt"},
    {PROVIDER "    token_types: [application/at+jwt]\n", 10, 19, "wrong-token-type",
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
    {UP "    rules: []\n    websocket: { origins: [https://a.example/] }\n", 11, 28, "wrong-origin",
     "nothing behind"},
    {UP "    rules: []\n    websocket: { origins: ['https://a.example:443'] }\n", 11, 28,
     "wrong-origin", "usual"},
    {UP "    rules: []\n    websocket: { origins: ['https://A.example'] }\n", 11, 28,
     "wrong-origin", "lower case"},
    {UP "    rules: []\n    websocket: { origins: ['*'] }\n", 11, 28, "wrong-origin", "https://"},
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
    {RULE "        permit: { methods: [get] }\n", 13, 29, "wrong-method", "did you mean 'GET'?"},
    {RULE "        permit: { methods: [CONNECT] }\n", 13, 29, "wrong-method", "never carried"},
    {RULE "        permit: { methods: [TRACE] }\n", 13, 29, "wrong-method", "never carried"},
    {RULE "        permit: { methods: [\"G T\"] }\n", 13, 29, "wrong-method", "upper case"},
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

Test(bundle_findings, each_mistake_is_one_error_at_its_place)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct findings f;
        struct bundle *b = bundle_from(broken[i].text, "", &f);
        const bool is_good = !b && f.errors == 1 && has_finding(&f, &broken[i]);
        cr_expect(is_good, "row %zu: expected %u:%u [%s] %s, alone", i, broken[i].line,
                  broken[i].column, broken[i].code, broken[i].says);
        if (!is_good)
            findings_print(&f, stderr);
        findings_fini(&f);
        bundle_free(b);
    }
}

Test(bundle_findings, each_mistake_in_an_authority_with_a_good_ca_is_one_error_at_its_place)
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
        struct bundle *b = bundle_from(text, folder.path, &f);
        cr_expect(!b && f.errors == 1 && has_finding(&f, &cases[i]), "row %zu: %s", i,
                  f.count ? f.at[0].text : "");
        findings_fini(&f);
        bundle_free(b);
    }
    folder_free(&folder);
}

Test(bundle_findings, all_mistakes_of_a_file_are_told_at_once)
{
    static const struct broken expected[] = {
        {"", 3, 9, "out-of-range", "serial"},     {"", 4, 1, "unknown-key", "not_after"},
        {"", 1, 1, "missing-key", "'not_after'"}, {"", 6, 9, "wrong-id", "Fas"},
        {"", 7, 13, "wrong-url", "https"},        {"", 8, 5, "unknown-key", "audiences"},
        {"", 6, 5, "missing-key", "'audiences'"}, {"", 10, 5, "missing-key", "'device'"},
        {"", 11, 11, "wrong-host", "A.example"},  {"", 12, 17, "wrong-upstream", "ftp"},
        {"", 14, 9, "no-effect", "permit"},       {"", 16, 17, "wrong-kind", "permit"},
        {"", 19, 27, "wrong-value", "paths"},     {"", 19, 31, "wrong-path", "/b/../c"},
        {"", 19, 51, "wrong-method", "get"},      {"", 19, 56, "wrong-value", "methods"},
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
                               "        when: 'true'\n"
                               "      - id: three\n"
                               "        permit: { paths: [\"\", /b/../c], methods: [get, \"\"] }\n"
                               "        when: 'true'\n";
    struct findings f;
    struct bundle *b = bundle_from(text, "", &f);
    cr_expect(!b);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect(has_finding(&f, &expected[i]), "%u:%u [%s]", expected[i].line, expected[i].column,
                  expected[i].code);
    cr_expect_eq(f.errors, sizeof expected / sizeof *expected);
    if (f.errors != sizeof expected / sizeof *expected)
        findings_print(&f, stderr);
    findings_fini(&f);
}

Test(bundle_findings, what_is_there_without_use_or_condition_is_a_warning)
{
    static const struct {
        const char *text;
        uint32_t line, column;
        const char *code;
    } cases[] = {
        {PROVIDER, 7, 5, "unused"},
        {RULES "      - id: r\n        permit: {}\n", 11, 9, "no-condition"},
        {RULE "        permit: { paths: [/a, /b, /a] }\n", 13, 35, "repeated"},
        {RULE "        permit: { methods: [GTE] }\n", 13, 29, "unusual-method"},
        {UP "    rules: []\n", 10, 12, "no-rules"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct findings f;
        struct bundle *b = bundle_from(cases[i].text, "", &f);
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

Test(bundle_findings, a_fault_in_a_condition_is_told_at_its_character)
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
        struct bundle *b = bundle_from(text, "", &f);
        cr_expect(!b && f.errors >= 1, "row %zu", i);
        cr_expect(f.count && f.at[0].place.line == cases[i].line &&
                      f.at[0].place.column == cases[i].column,
                  "row %zu: %u:%u", i, f.count ? f.at[0].place.line : 0,
                  f.count ? f.at[0].place.column : 0);
        findings_fini(&f);
        bundle_free(b);
    }
}

Test(bundle_findings, a_certificate_that_must_give_no_trust_is_refused)
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
        folder_put(&folder, "ca.pem", pem);
        struct bundle *b = bundle_from(AUTHORITY "    ca_file: ca.pem\n", folder.path, &f);
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
