// SPDX-License-Identifier: EUPL-1.2
/* nghttp2 has checked what comes: names and values, the order of pseudo-headers, Content-Length
 * against the body (RFC 9113 §8.1.1, §8.2, §8.3). What goes out was checked when it came in, and
 * fields.c has removed what is of one connection. */
#include "proxy/h2_head.h"

#include "proxy/fields.h"

/* --- Out. */

nghttp2_nv h2_head_pair(struct slice name, struct slice value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, NGHTTP2_NV_FLAG_NONE};
}

/* RFC 7541 §7.1.3: what is a person's secret, or never comes twice, stays out of the table that all
 * requests of the connection share. */
static bool stays_out(struct slice name)
{
    return slice_eq(name, SLICE("authorization")) || slice_eq(name, SLICE("cookie")) ||
           slice_eq(name, SLICE("traceparent")) || slice_eq(name, SLICE("belfry-reference"));
}

static bool put(void *owner, struct slice name, struct slice value)
{
    struct h2_head_out *list = owner;
    list->bytes += name.len + value.len + 32;
    if (list->count == H2_HEAD_OUT_FIELDS || list->bytes > H2_HEAD_OUT_MAX)
        return false;
    list->at[list->count] = h2_head_pair(name, value);
    if (stays_out(name))
        list->at[list->count].flags = NGHTTP2_NV_FLAG_NO_INDEX;
    list->count++;
    return true;
}

static struct slice target_of(struct exchange *x)
{
    const struct request *r = &x->request;
    if (!r->has_query)
        return r->path.canonical;
    return arena_printf(&x->arena, "%.*s?%.*s", SLICE_ARG(r->path.canonical), SLICE_ARG(r->query));
}

static bool put_length(struct h2_head_out *list, struct exchange *x)
{
    const struct request *r = &x->request;
    if (!r->has_body || r->body_length == BODY_LENGTH_UNKNOWN)
        return true;
    return put(list, SLICE("content-length"),
               arena_printf(&x->arena, "%llu", (unsigned long long)r->body_length));
}

/* RFC 9113 §8.3.1; RFC 8441 §4. */
bool h2_head_put(struct h2_head_out *out, struct exchange *x, bool is_tls)
{
    const struct request *r = &x->request;
    const struct field_sink sink = {put, out};
    out->count = 0;
    out->bytes = 0;
    return put(out, SLICE(":method"), r->wants_websocket ? SLICE("CONNECT") : r->method_name) &&
           (!r->wants_websocket || put(out, SLICE(":protocol"), SLICE("websocket"))) &&
           put(out, SLICE(":scheme"), is_tls ? SLICE("https") : SLICE("http")) &&
           put(out, SLICE(":authority"), r->host) && put(out, SLICE(":path"), target_of(x)) &&
           (!r->accepts_trailers || put(out, SLICE("te"), SLICE("trailers"))) &&
           put_length(out, x) && fields_request(x, &sink);
}

/* --- In. */

void h2_head_clear(struct h2_head_in *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        nghttp2_rcbuf_decref(in->names[i]);
        nghttp2_rcbuf_decref(in->values[i]);
    }
    in->count = 0;
    in->bytes = 0;
    in->is_too_large = false;
}

void h2_head_add(struct h2_head_in *in, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
    in->bytes += nghttp2_rcbuf_get_buf(name).len + nghttp2_rcbuf_get_buf(value).len + 32;
    if (in->bytes > H2_HEAD_IN_MAX || in->count == H1_MAX_FIELDS) {
        in->is_too_large = true;
        return;
    }
    nghttp2_rcbuf_incref(name);
    nghttp2_rcbuf_incref(value);
    in->names[in->count] = name;
    in->values[in->count++] = value;
}

static struct slice text_of(nghttp2_rcbuf *b)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(b);
    return (struct slice){(const char *)v.base, v.len};
}

bool h2_head_read(const struct h2_head_in *in, struct field *fields, struct upstream_head *out)
{
    uint64_t status = 0;
    out->fields = fields;
    out->length = BODY_LENGTH_UNKNOWN;
    for (uint32_t i = 0; i < in->count; i++) {
        struct field f = {text_of(in->names[i]), text_of(in->values[i])};
        if (slice_eq(f.name, SLICE(":status"))) {
            if (!slice_u64(f.value, 999, &status) || status < 100)
                return false;
            continue;
        }
        if (slice_eq(f.name, SLICE("content-length")) &&
            !slice_u64(f.value, INT64_MAX, &out->length))
            return false;
        fields[out->field_count++] = f;
    }
    out->status = (uint16_t)status;
    return true;
}
