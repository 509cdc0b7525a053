// SPDX-License-Identifier: EUPL-1.2
/* One request, the same for HTTP/1.1 and HTTP/2. Made by proxy/h1 or proxy/h2 in the exchange's
 * arena, complete and valid when made but for `path` and `query` (the route phase, once the
 * application is known); read-only after, gone with the exchange. */
#pragma once

#include "belfry/slice.h"

enum protocol { PROTOCOL_H1, PROTOCOL_H2 };

/* Methods that a rule can name by enum; every other token is METHOD_OTHER and has only its name.
 * CONNECT and TRACE are never made into a request. */
enum method {
    METHOD_OTHER,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_COUNT
};

/* A header field as it came: the name in lower case, the value without white space at its ends. */
struct field {
    struct slice name;
    struct slice value;
};

/* A path in its one canonical form: what the rules, the audit and the upstream see is one value.
 * Made by policy/path.h. `canonical` begins with "/" and is what is forwarded; `segments` are its
 * parts, each decoded exactly once ("/" has none; a last empty segment stands for a trailing
 * slash). */
struct path {
    struct slice canonical;
    struct slice *segments;
    uint32_t segment_count;
    bool has_parameters; /* some segment held ";", which the application allows */
};

#define BODY_LENGTH_UNKNOWN UINT64_MAX

struct request {
    enum protocol protocol;
    enum method method;
    struct slice method_name; /* as it came: methods are case-sensitive (RFC 9110 §9.1) */
    struct slice host;        /* canonical (policy/host.h), without port */
    struct slice authority;   /* as it came */
    struct slice target; /* path and query as they came: what no rule and no upstream ever sees */
    struct path path; /* made from it in the exchange's route phase, by the application's options */
    struct slice decoded_path; /* made by target_parse: the decoded segments, each behind a "/"; "/"
                                * where there are none. What conditions call request.path; borrowed
                                * from the arena */
    struct slice query;        /* without "?", as it came; has_query tells "/a?" from "/a" */
    bool has_query;
    bool has_body;
    bool expects_continue;
    bool wants_websocket; /* RFC 6455 §4.1, or RFC 8441 §5; the method is GET, there is no body */
    bool accepts_trailers; /* TE: trailers */
    bool accepts_html;     /* a navigation of a browser: Accept names text/html */
    uint64_t body_length;  /* BODY_LENGTH_UNKNOWN where it has a body of no announced length */
    struct field *fields;  /* all but pseudo-headers and Host, in order, cookies as they came */
    uint32_t field_count;
};
