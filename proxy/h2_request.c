// SPDX-License-Identifier: EUPL-1.2
/* See the header. What is refused over HTTP/1.1 is refused here, for the same reasons. */
#include "proxy/h2_request.h"

#include "base/method.h"
#include "proxy/h1_head.h"
#include "proxy/websocket.h"

/* What a browser sends; all of H1_MAX_FIELDS would be 4 KiB to clear for each request. */
#define FEW_FIELDS 24

static void take_pseudo(struct h2_request *h, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE(":method")))
        h->method = value;
    else if (slice_eq(name, SLICE(":scheme")))
        h->scheme = value;
    else if (slice_eq(name, SLICE(":protocol")))
        h->protocol = value;
    else if (slice_eq(name, SLICE(":authority")))
        h->authority = value;
    else if (slice_eq(name, SLICE(":path")))
        h->path = value;
}

static bool more_fields(struct h2_request *h, struct arena *a)
{
    struct field *more;
    if (h->field_room == H1_MAX_FIELDS)
        return false;
    more = arena_array(a, struct field, h->field_room ? H1_MAX_FIELDS : FEW_FIELDS);
    if (h->field_count)
        memcpy(more, h->fields, h->field_count * sizeof *more);
    h->field_room = h->field_room ? H1_MAX_FIELDS : FEW_FIELDS;
    h->fields = more;
    return true;
}

static void take_field(struct h2_request *h, struct arena *a, int64_t max_fields, struct slice name,
                       struct slice value)
{
    if (slice_eq(name, SLICE("host"))) {
        h->hosts++;
        h->host = value;
        return;
    }
    if (slice_eq(name, SLICE("expect"))) {
        h->expects_continue = slice_eq_nocase(value, SLICE("100-continue"));
        h->has_unknown_expectation |= !h->expects_continue;
    }
    if (slice_eq(name, SLICE("content-length"))) /* nghttp2 has checked that it is one number */
        h->has_length = slice_u64(value, INT64_MAX, &h->announced);
    if (h->field_count == max_fields || (h->field_count == h->field_room && !more_fields(h, a))) {
        h->is_too_large = true;
        return;
    }
    h->fields[h->field_count++] = (struct field){name, value};
}

void h2_request_add(struct h2_request *h, struct arena *a, int64_t max_fields, struct slice name,
                    struct slice value)
{
    const struct slice n = arena_copy(a, name);
    const struct slice v = arena_copy(a, value);
    if (n.ptr[0] == ':')
        take_pseudo(h, n, v);
    else
        take_field(h, a, max_fields, n, v);
}

/* RFC 8441 §5: an extended CONNECT for WebSocket is to the rules the GET that it is over HTTP/1.1.
 * Any other CONNECT stays one, and is not carried. */
static void take_websocket(const struct h2_request *h, struct request *r)
{
    if (!slice_eq(h->method, SLICE("CONNECT")) || !slice_eq(h->protocol, SLICE("websocket")))
        return;
    r->wants_websocket = true;
    r->method_name = SLICE("GET");
    r->method = METHOD_GET;
    r->has_body = r->expects_continue = false;
    r->body_length = 0;
}

void h2_request_take(const struct h2_request *h, bool has_body, struct request *out)
{
    out->protocol = PROTOCOL_H2;
    out->method_name = h->method;
    out->method = method_of(h->method);
    out->authority = h->authority.len ? h->authority : h->host;
    out->target = h->path;
    out->fields = h->fields;
    out->field_count = h->field_count;
    out->has_body = has_body;
    out->expects_continue = h->expects_continue && has_body;
    out->body_length = !has_body ? 0 : h->has_length ? h->announced : BODY_LENGTH_UNKNOWN;
    take_websocket(h, out);
}

enum reason h2_request_judge(const struct h2_request *h, const struct request *r, bool has_body,
                             const char **detail)
{
    if (h->is_too_large) {
        *detail = "the header fields are too large";
        return REASON_HEADERS_TOO_LARGE;
    }
    if (h->hosts > 1 || (h->hosts && h->authority.len && !slice_eq_nocase(h->host, h->authority))) {
        *detail = "Host and :authority differ"; /* RFC 9113 §8.3.1 */
        return REASON_REQUEST_AMBIGUOUS;
    }
    if (!slice_eq(h->scheme, SLICE("https"))) {
        *detail = "the scheme is not https";
        return REASON_REQUEST_MALFORMED;
    }
    if (r->method_name.len > H1_METHOD_MAX_BYTES) {
        *detail = "the method is too long";
        return REASON_REQUEST_MALFORMED;
    }
    if (r->target.len > H1_TARGET_MAX_BYTES) {
        *detail = "the target is too long";
        return REASON_URI_TOO_LONG;
    }
    if (h->has_unknown_expectation) {
        *detail = "an expectation other than 100-continue";
        return REASON_EXPECTATION_REFUSED;
    }
    if (!r->wants_websocket)
        return REASON_PERMITTED;
    *detail = "the handshake of WebSocket is malformed";
    return has_body ? websocket_judge(r->fields, r->field_count, false) : REASON_REQUEST_MALFORMED;
}
