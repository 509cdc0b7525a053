// SPDX-License-Identifier: EUPL-1.2
/* The typed model of an entity's signed document, as loaded from YAML: what there is, before it is
 * compiled. Immutable after load; everything lies in the bundle's arena. Plain structs: auth/ and
 * proxy/ read them through the snapshot that holds the bundle. */
#pragma once

#include "base/arena.h"
#include "base/findings.h"
#include "base/network.h"
#include "policy/cel.h"
#include "policy/path.h"

enum language { LANGUAGE_NL, LANGUAGE_FR, LANGUAGE_DE, LANGUAGE_EN, LANGUAGE_COUNT };

/* The zero is the strictest. */
enum device_mode { DEVICE_REQUIRED_BY_TLS = 0, DEVICE_REQUIRED, DEVICE_OPTIONAL, DEVICE_NONE };

/* How the gateway shows a provider that it is the client. */
enum client_auth {
    CLIENT_SECRET_BASIC, /* RFC 6749 §2.3.1 */
    CLIENT_PRIVATE_KEY   /* private_key_jwt: RFC 7523 §2.2 */
};
struct client {
    struct slice id; /* empty: it is none there */
    enum client_auth auth;
    struct slice secret;    /* the name of the secret, or of the key, in SECRETS_DIR/ENTITY */
    uint32_t key_algorithm; /* enum algorithm; 0: the usual one of the key's kind */
};

/* What a provider calls a level of assurance. */
struct acr_value {
    int64_t level;
    struct slice value;
};

/* Signing in at a provider in a browser. */
struct sign_in {
    struct client client;              /* id empty: nobody signs in there, it only issues tokens */
    struct slice name[LANGUAGE_COUNT]; /* for the chooser; empty: the provider's id */
    struct slices scopes;              /* "openid" among them */
    struct acr_value *acr_values;      /* by level, upwards */
    uint32_t acr_value_count;
    bool has_userinfo;       /* it is asked at each sign-in */
    bool has_logout;         /* a sign-out ends the session at the provider, too */
    int64_t refresh_after_s; /* what is known of a person is never older than this */
    int64_t refresh_grace_s; /* but so much, while the provider is away */
};

/* Tokens that only the provider can read are asked about there (RFC 7662). */
struct introspection {
    struct slice endpoint; /* https; empty: such tokens are not taken */
    struct client client;
    int64_t max_age_s; /* an answer is used at most so long */
};

/* An issuer of tokens, one entity's. Two bundles with one `issuer` have two providers. */
struct provider {
    struct slice id;
    struct slice entity;
    struct slice issuer;       /* exact; empty with a trust domain */
    struct slice trust_domain; /* its tokens are JWT-SVIDs of this SPIFFE trust domain; or empty */
    struct slice jwks_uri;     /* https; empty: found by discovery at issuer +
                                  /.well-known/openid-configuration */
    struct slice jwks; /* the key set itself, where the bundle holds it; nothing is fetched then */
    struct slices audiences;
    uint32_t algorithms; /* bits 1 << enum algorithm; default RS256 and ES256 */
    struct slices
        token_types; /* accepted `typ`, lower case, without "application/": default {"at+jwt"} */
    struct slice groups_claim; /* default "groups" */
    struct slices acr_claims;  /* default {"acr", "amr"} */
    int64_t leeway_s;          /* clock skew, 0..60, default 30 */
    int64_t max_token_age_s;   /* exp - iat and now - iat at most this; default 24 h */
    int64_t keys_max_stale_s;  /* the last good key set is used at most this long; default 24 h */
    struct sign_in sign_in;
    struct introspection introspection;
    uint8_t digest[32]; /* of all settings: keys and verified tokens are kept under (entity, id,
                           digest) */
};

/* What gives a device (or service) its name, the same after a renewal. */
enum device_name {
    DEVICE_NAME_COMMON_NAME,
    DEVICE_NAME_SERIAL_NUMBER,
    DEVICE_NAME_URI,
    DEVICE_NAME_DNS
};

/* How a gateway learns that a certificate was revoked. All zero: nobody asks. */
struct revocation {
    bool is_checked;
    struct slices crl;        /* URLs of CRLs, http or https */
    struct slice crl_pem;     /* CRLs that the bundle holds */
    struct slice ocsp;        /* URL of a responder */
    bool ocsp_of_certificate; /* `ocsp: online`: the one that the certificate names */
    bool from_certificate;    /* where certificates say that their CRL is counts, too */
    int64_t allow_for_s;      /* while nothing is known; 0: deny */
    int64_t refresh_s;        /* CRLs are fetched again after this, at the latest */
    int64_t crl_max_bytes;
};

/* Whether the entity's inventory is asked about its devices; the zero asks nobody. */
enum inventory_mode { INVENTORY_NONE = 0, INVENTORY_OPTIONAL, INVENTORY_REQUIRED };

struct authority {
    struct slice id;
    struct slice entity;
    struct slice trust;
    bool identifies_service; /* `identifies: service`; its certificates are services, not devices of
                                staff */
    struct slice trust_domain; /* SPIFFE: ids of this domain only; empty: not SPIFFE */
    enum device_name name;
    struct slice ca_pem; /* one or more certificates: roots, and intermediates below them */
    struct revocation revocation;
    enum inventory_mode inventory;
    uint8_t digest[32]; /* of all but revocation and inventory, which change no chain */
};

enum upstream_scheme {
    UPSTREAM_HTTP,  /* http://: HTTP/1.1 */
    UPSTREAM_HTTPS, /* https://: HTTP/1.1 or HTTP/2, by ALPN */
    UPSTREAM_H2C,   /* h2c://: HTTP/2 without TLS, by prior knowledge */
    UPSTREAM_H2     /* h2://: HTTP/2 over TLS only */
};

struct upstream {
    struct slice text; /* as written: "https://tax.internal.example" */
    enum upstream_scheme scheme;
    struct slice host;               /* canonical, a name to be resolved; empty for an address */
    uint16_t port;                   /* default 80 or 443, by the scheme */
    struct sockaddr_storage address; /* where it is an address */
    socklen_t address_len;
};

static inline bool upstream_is_tls(const struct upstream *u)
{
    return u->scheme == UPSTREAM_HTTPS || u->scheme == UPSTREAM_H2;
}

/* How an application's upstreams over TLS show who they are. */
struct upstream_tls {
    struct slice ca_pem; /* the only authorities that count for them; never the system's */
    struct slice name; /* what the certificate must be for (RFC 9525), a host or an address; empty:
                          the upstream's own host, which there is then */
    bool shows_certificate; /* the gateway's: KEYS_DIR/upstream/ENTITY/{cert,key}.pem */
    uint8_t digest[32];     /* of all of it and the entity: connections are pooled under it */
};

/* Active checks; `path` empty: none. */
struct health {
    struct slice path;
    int64_t interval_ms;
    int64_t timeout_ms;
    uint32_t fall; /* so many failures in a row: down */
    uint32_t rise; /* so many successes in a row: up again */
};

/* A permit or a forbid of an entity; of the charter's baseline, a forbid or a requirement. */
enum rule_effect { RULE_PERMIT, RULE_FORBID, RULE_REQUIRE };
enum rule_remedy { REMEDY_NONE, REMEDY_STEP_UP };

/* One segment of a path pattern: text, {name} (any one segment), * (the same, unnamed), ** (any
 * number, last only), or a text with one * inside or at an end ("report-*"). */
enum pattern_kind { PATTERN_TEXT, PATTERN_ONE, PATTERN_REST, PATTERN_GLOB };
struct pattern_segment {
    enum pattern_kind kind;
    struct slice text; /* TEXT; for GLOB what stands before the star; for ONE its name, or empty */
    struct slice tail; /* GLOB: what stands behind it */
};
struct pattern {
    struct slice text;
    struct pattern_segment *segments;
    uint32_t count;
};

/* A pattern that fits a path, in one reading of it. */
struct path_match {
    const struct pattern *pattern;
    const struct slice *segments; /* of the path, decoded; as many as the pattern asks for */
    bool is_cut;                  /* what stands behind a ";" is left out */
};

struct rule {
    /* What a decision names comes first. */
    struct slice id;
    int64_t expires_s;          /* from this second on the rule is not there; 0: it never expires */
    const struct slice *reason; /* baseline: what a refused person reads, by language; or NULL */
    const struct cel *when;     /* NULL: always */
    enum rule_effect effect;
    enum rule_remedy remedy;
    bool is_shadow;   /* mode: shadow: never decides */
    bool reads_path;  /* `when` names segments of the path */
    uint32_t methods; /* bits 1 << enum method; 0: all. METHOD_OTHER only through other_methods */
    struct slices other_methods;
    struct pattern *paths; /* none: all paths */
    uint32_t path_count;
    uint32_t line; /* where it stands */
    uint32_t column;
    uint32_t when_line; /* where its condition begins; 0: it has none */
    uint32_t when_column;
    struct slice when_text;
    struct slice owner;
    struct slice purpose; /* why there is this rule */
    int64_t review_by_s;  /* 0: not said */
};

struct rules; /* the compiled index: policy/compile.h */

/* How long somebody who signed in there in a browser stays signed in: without a request, and in any
 * case. */
struct session_limits {
    int64_t idle_s;
    int64_t absolute_s;
};
struct session_options {
    struct session_limits bound;   /* to a device's certificate */
    struct session_limits unbound; /* to none: shorter, since its cookie is good on any machine */
    bool allows_unbound;
};

struct application {
    struct slice id;
    struct slice entity;
    struct slice name[LANGUAGE_COUNT]; /* empty where none; the page then shows the id */
    struct slice host;
    enum device_mode device;
    bool needs_inventory; /* `inventory: required`: a device that is not listed is refused */
    bool wants_proof;     /* `dpop: required`: only tokens that are bound to a key (RFC 9449) */
    bool forward_token;   /* the verified Authorization goes upstream too */
    bool client_cert;     /* the verified certificate goes upstream in Client-Cert (RFC 9440) */
    bool websocket;       /* requests may become WebSockets */
    bool is_sign_in;      /* the entity's login host: it has no upstream and no rule */
    bool hsts_subdomains;
    bool hsts_preload;
    uint32_t upstream_count;
    struct upstream *upstreams; /* all over TLS, or none */
    struct upstream_tls tls;
    struct health health;
    const struct provider **providers;
    uint32_t provider_count;
    struct path_options paths;
    struct slices headers;   /* fields of a request that conditions may read, in lower case */
    struct slices origins;   /* whose pages may open one, beside https://HOST */
    uint64_t max_body_bytes; /* default 1 GiB + 1 MiB; 0 never means unlimited */
    int64_t connect_ms;      /* time limits, with defaults */
    int64_t first_byte_ms;
    int64_t idle_ms;
    int64_t total_ms;         /* 0: none */
    int64_t queue_ms;         /* for a free connection */
    uint32_t queue_length;    /* requests of a worker that wait for one; 0: none waits */
    uint32_t max_connections; /* per address of an upstream and worker; 0: the configuration's */
    uint32_t retries;         /* of one request; 0: none */
    struct session_options sessions;
    int64_t hsts_max_age_s; /* RFC 6797; 0: not said */
    struct rule *rule_list;
    uint32_t rule_count;
    uint64_t cost;             /* of all its conditions in the worst case, in steps */
    const struct rules *rules; /* filled by compile */
    struct place place;
};

/* Who has an identity of that provider, by a token or a session, may be somebody there. */
static inline bool application_takes_provider(const struct application *app, struct slice id)
{
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (slice_eq(app->providers[i]->id, id))
            return true;
    return false;
}

/* Some provider of it vouches for people, and not for services alone. */
static inline bool application_has_people(const struct application *app)
{
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (!app->providers[i]->trust_domain.len)
            return true;
    return false;
}

struct bundle {
    struct arena arena;
    struct slice entity;
    struct slice name; /* of the document (policy/serials.h) */
    bool is_shadow;    /* mode: shadow: never decides */
    int64_t serial;
    int64_t not_after_s;
    struct provider *providers;
    uint32_t provider_count;
    struct authority *authorities;
    uint32_t authority_count;
    struct application *applications;
    uint32_t application_count;        /* the login host among them, the last */
    const struct application *sign_in; /* NULL: nobody signs in in a browser */
    struct policy_test *tests;         /* policy/policy_test.h */
    uint32_t test_count;
};

/* NULL where there is any error; all errors of the text are in `out`, with file:line:column. `dir`:
 * where ca_file and jwks_file are looked up; empty: they are refused (a document from the store
 * holds its files' contents). */
struct bundle *bundle_load(struct slice text, const char *file, struct slice dir,
                           struct findings *out);
void bundle_free(struct bundle *b);
/* The text with each ca_file and jwks_file replaced by its content (ca_pem, jwks), all else
 * untouched: what is signed. The caller frees it with mem_slice_free. */
MUST_USE bool bundle_inline(struct slice text, const char *file, struct slice dir,
                            struct slice *out_text, struct findings *out);
