// SPDX-License-Identifier: EUPL-1.2
/* What is known of one request, for the rules and for the audit. Filled by proxy/exchange from
 * auth/; borrowed slices live as long as the exchange, or longer (connection, token cache). A part
 * that is not present is *missing*, which is not the same as empty: a condition that asks for it
 * can't be evaluated. The list of facts that conditions can name is policy/fact.def. */
#pragma once

#include "belfry/slice.h"
#include "belfry/wall.h"

/* A claim that may be missing. */
enum said { SAID_NOTHING = 0, SAID_NO, SAID_YES };

struct slices {
    const struct slice *at;
    uint32_t count;
};

/* From a token (or, with browsers, a session). Made by auth/token; all slices point into its entry.
 */
struct facts_user {
    struct slice id;       /* "PROVIDER:SUB": unique within the entity */
    struct slice subject;  /* the provider's `sub` */
    struct slice provider; /* id of the bundle's identity provider */
    struct slice client_id;
    struct slice acr;
    struct slices groups;
    struct slices amr;
    struct slices scopes;
    int64_t acr_level;            /* FAS level, 0 when unknown */
    struct wall authenticated_at; /* auth_time; s == 0 is missing */
    struct wall expires;          /* the credential's own */
    uint64_t key;     /* of entity and id: what this user's requests are counted under */
    uint8_t hash[32]; /* HMAC of subject under the entity's audit key, for user.hash */
};

/* From a client certificate that was verified for the entity of the host. */
struct facts_device {
    struct slice id;          /* AUTHORITY:NAME, where the authority says which name it gives */
    struct slice certificate; /* SHA-256 of the DER, lower-case hex */
    struct slice authority;   /* id of the bundle's device authority */
    struct slice trust;       /* that authority's word: "managed", ... */
    struct slice common_name; /* first CN; empty when there is none */
    struct slice serial;      /* lower-case hex */
    struct slice issuer;      /* RFC 2253 text */
    struct slices subject;    /* every attribute, in order, as "TYPE=VALUE": "OU=Laptops" */
    struct slices organizational_units; /* every OU, in order */
    struct slices dns_names;
    struct slices uris;
    struct slices emails;
    struct slice key_type; /* RSA, EC, Ed25519, Ed448 */
    int64_t key_bits;
    struct wall not_after;
    uint8_t digest[32]; /* SHA-256 of the DER */
    /* What the entity's inventory has of it (auth/inventory.h): nothing, where it is not listed. */
    struct slice owner; /* empty: nobody */
    struct slice model;
    enum said compliant;
    struct wall last_seen;    /* 0: not said */
    struct slices attributes; /* a map: names and values in turn, `count` pairs; NULL: missing */
};

/* From a client certificate of an authority that says `identifies: service`. */
struct facts_service {
    struct slice id;           /* the SPIFFE id, or the name by the authority's device_name */
    struct slice spiffe_id;    /* empty when it is none */
    struct slice trust_domain; /* of the SPIFFE id */
};

/* Of a browser's session; a token has none. Made by auth/session. */
struct facts_session {
    struct wall began;            /* this sign-in */
    struct wall authenticated_at; /* the provider's auth_time; s == 0 is missing */
    struct slices methods;        /* the provider's amr */
};

/* A map as conditions read it (policy/cel_in.h): keys and values in turn, `count` pairs. */
union cel_value;
struct facts_map {
    const union cel_value *at; /* NULL: missing */
    uint32_t count;
};

struct request;
struct application;
struct path_match; /* policy/bundle.h */

struct facts {
    const struct facts_user *user;       /* NULL: no identity */
    const struct facts_device *device;   /* NULL: no device */
    const struct facts_service *service; /* NULL: no service */
    const struct facts_session *session; /* NULL: no session; never there without a user */
    const struct application *app;
    const struct request *request;
    struct slice client_address; /* text of the peer's address */
    struct wall now;
    /* Set by the judgement itself, for one condition: what its rule's pattern calls the segments of
     * the path. NULL: nothing. */
    const struct path_match *match;
    struct facts_map parameters; /* of the query: made where some rule asks (policy/query.h) */
    bool has_read_parameters;    /* which may have left them missing; asked but once */
};
