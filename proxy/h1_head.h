// SPDX-License-Identifier: EUPL-1.2
/* Heads of HTTP/1.1 messages (RFC 9112), parsed strictly and in place: what has two readings is
 * refused, not repaired. Names are made lower-case where they stand. Pure; everything points into
 * the caller's bytes. */
#pragma once

#include "belfry/reason.h"
#include "belfry/request.h"

#define H1_MAX_FIELDS 128
#define H1_HEAD_MAX_BYTES                                                                          \
    65536 /* browsers with many cookies stay below 16 KiB; SPNEGO tokens reach 48 */
#define H1_TARGET_MAX_BYTES 16384 /* longer is 414 */
#define H1_METHOD_MAX_BYTES 32    /* the longest registered one has 17 (UPDATEREDIRECTREF) */

enum h1_progress {
    H1_MORE, /* not yet whole, and nothing wrong so far */
    H1_DONE,
    H1_BAD, /* why and detail say what */
};

enum h1_framing { H1_NO_BODY, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE };

struct h1_head {
    /* A request's. */
    struct slice method;
    struct slice target;
    struct slice host; /* the Host field, as it came */
    bool expects_continue;
    /* A response's. */
    uint16_t status;
    bool is_http10;
    /* Both. */
    struct field fields[H1_MAX_FIELDS];
    uint32_t field_count;
    enum h1_framing framing;
    uint64_t length;
    bool is_websocket;  /* Upgrade: websocket, and Connection says so (RFC 9110 §7.8) */
    bool wants_close;   /* Connection: close; HTTP/1.0 without keep-alive; no end but the close */
    size_t bytes;       /* of the head, the empty line included */
    enum reason why;    /* with H1_BAD */
    const char *detail; /* with H1_BAD: static text */
};

/* How far the search for the empty line has come, so that no byte is looked at twice. Zero at a new
 * head. */
struct h1_scan {
    size_t seen;
};

/* `bytes` is what has arrived, and may be longer than the head. A request of another version than
 * HTTP/1.1 is VERSION_REFUSED; Transfer-Encoding beside Content-Length, two Hosts, a bare LF, an
 * empty line in front and the like are BAD. */
enum h1_progress h1_request_parse(struct h1_head *out, struct h1_scan *scan, char *bytes,
                                  size_t len);
/* `to_head`: the request was HEAD, so no body follows. A 1xx has none either; one that announces a
 * body is BAD, like a 204. */
enum h1_progress h1_response_parse(struct h1_head *out, struct h1_scan *scan, char *bytes,
                                   size_t len, bool to_head);
/* RFC 9110 §5.6.2: one or more token characters. */
bool h1_is_token(struct slice s);
/* Takes the scheme off the front of credentials or a challenge (RFC 9110 §11.1): it ends where the
 * token does, since servers take other separators than the space for one too. */
struct slice auth_scheme_cut(struct slice *rest);
/* The next element of a comma-separated list, trimmed, empty ones skipped; false at the end. */
bool list_next(struct slice *rest, struct slice *item);
