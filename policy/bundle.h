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

/* An issuer of tokens, one entity's. Two bundles with one `issuer` have two providers. */
struct provider {
    struct slice id;
    struct slice entity;
    struct slice issuer;   /* exact */
    struct slice jwks_uri; /* https; empty: found by discovery at issuer +
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

struct authority {
    struct slice id;
    struct slice trust;
    bool identifies_service; /* `identifies: service`; its certificates are services, not devices of
                                staff */
    struct slice trust_domain; /* SPIFFE: ids of this domain only; empty: not SPIFFE */
    enum device_name name;
    struct slice ca_pem; /* one or more certificates: roots, and intermediates below them */
    uint8_t digest[32];
};

struct upstream_address {
    struct slice text; /* "http://127.0.0.1:9001" */
    struct sockaddr_storage address;
    socklen_t address_len;
};

enum rule_effect { RULE_PERMIT, RULE_FORBID };
enum rule_remedy { REMEDY_NONE, REMEDY_STEP_UP };

/* One segment of a path pattern: text, {name} (any one segment), * (the same, unnamed), ** (any
 * number, last only), or a text with one * inside or at an end ("report-*"). */
enum pattern_kind { PATTERN_TEXT, PATTERN_ONE, PATTERN_REST, PATTERN_GLOB };
struct pattern_segment {
    enum pattern_kind kind;
    struct slice text; /* TEXT; for GLOB what stands before the star */
    struct slice tail; /* GLOB: what stands behind it */
};
struct pattern {
    struct slice text;
    struct pattern_segment *segments;
    uint32_t count;
};

struct rule {
    struct slice id;
    struct slice owner;
    enum rule_effect effect;
    bool is_shadow;   /* mode: shadow: never decides */
    uint32_t methods; /* bits 1 << enum method; 0: all. METHOD_OTHER only through other_methods */
    struct slices other_methods;
    struct pattern *paths; /* none: all paths */
    uint32_t path_count;
    const struct cel *when; /* NULL: always */
    struct slice when_text;
    enum rule_remedy remedy;
    struct place place;
};

struct rules; /* the compiled index: policy/compile.h */

struct application {
    struct slice id;
    struct slice entity;
    struct slice name[LANGUAGE_COUNT]; /* empty where none; the page then shows the id */
    struct slice host;
    enum device_mode device;
    struct upstream_address *upstreams;
    uint32_t upstream_count;
    const struct provider **providers;
    uint32_t provider_count;
    struct path_options paths;
    bool forward_token;      /* the verified Authorization goes upstream too */
    uint64_t max_body_bytes; /* default 1 GiB + 1 MiB; 0 never means unlimited */
    int64_t connect_ms;      /* time limits, with defaults */
    int64_t first_byte_ms;
    int64_t idle_ms;
    struct rule *rule_list;
    uint32_t rule_count;
    uint64_t cost;             /* of all its conditions in the worst case, in steps */
    const struct rules *rules; /* filled by compile */
    struct place place;
};

struct bundle {
    struct arena arena;
    struct slice entity;
    int64_t serial;
    int64_t not_after_s;
    struct provider *providers;
    uint32_t provider_count;
    struct authority *authorities;
    uint32_t authority_count;
    struct application *applications;
    uint32_t application_count;
    struct policy_test *tests; /* policy/policy_test.h */
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
