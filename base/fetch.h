// SPDX-License-Identifier: EUPL-1.2
/* Outbound HTTP by libcurl's multi interface on the loop that it is given: to identity providers,
 * and to ask upstreams how they are. Never a worker's. https only where nothing else is said, no
 * redirects, no proxy from the environment, at most FETCH_MAX_BYTES and a time limit; the address
 * is checked against `may_connect` when the socket is opened, so that no name can lead to a network
 * that was not delegated (SSRF). */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "belfry/fault.h"
#include "belfry/slice.h"

#define FETCH_MAX_BYTES (1u << 20)

struct fetcher;
struct fetch; /* one under way */

enum fetch_protocol {
    FETCH_HTTPS,       /* HTTP/1.1 or HTTP/2 over TLS, as the two agree */
    FETCH_HTTPS_H2,    /* HTTP/2 over TLS only */
    FETCH_HTTP_1,      /* HTTP/1.1 without TLS */
    FETCH_HTTP_2_PRIOR /* HTTP/2 without TLS, by prior knowledge */
};

/* Borrowed for the call. */
struct fetch_answer {
    int status; /* 0: failed */
    struct slice body;
    struct slice content_type; /* as it came; empty where it was not said */
    int64_t max_age_s;         /* -1 where not said */
    bool was_sent;             /* the server may have it, and may have done what it asks */
};

/* Texts are copied by fetch_start. */
struct fetch_request {
    struct slice url;
    const char *ca_file; /* PEM of extra authorities, or NULL: the system's */
    int64_t limit_ms;
    /* All zero for key sets. */
    enum fetch_protocol protocol;
    struct slice ca_pem;          /* the only authorities that count; in place of ca_file */
    const char *certificate_file; /* PEM, shown where the server asks; with key_file */
    const char *key_file;
    const char *connect_to; /* "10.0.0.1:8443", "[::1]:80": whatever the URL's host is */
    const char *host_field; /* "Host: NAME", in place of the URL's */
    bool wants_status_only; /* the body is not read */
    uint32_t max_bytes;     /* of the answer; 0: FETCH_MAX_BYTES */
    bool is_post;           /* with `body`, which may be empty; else a GET */
    struct slice body;
    const char *const *fields; /* "Name: value", up to a NULL; beside host_field. NULL: none */
    bool (*may_connect)(void *owner, const struct sockaddr *address); /* false refuses */
    /* Once, unless cancelled. Status 0: failed, `why` says so; else `why` is NULL. */
    void (*done)(void *owner, const struct fetch_answer *answer, const struct fault *why);
    void *owner;
};

struct fetcher *fetcher_new(struct loop *l);
void fetcher_free(struct fetcher *fetcher); /* cancels all */
struct fetch *fetch_start(
    struct fetcher *fetcher,
    const struct fetch_request *request); /* never NULL; done is called later, never from here */
void fetch_cancel(struct fetch *take);
