// SPDX-License-Identifier: EUPL-1.2
/* The one list of what does not pass. A field's name is folded (lower case, and all but letters
 * and digits is "-": some servers make one "_" of any of it, as CGI wants) before it is looked up,
 * so an alias fares as the field that it would become in a framework. */
#include "proxy/fields.h"

#define OWN_COOKIES "__Host-belfry"
#define NAME_MAX_FOLDED 64 /* longer than any name in the lists; a longer one is none of them */

/* Sorted by nothing: looked through only where the first letter fits. */
struct listed {
    struct slice name;
    enum removal removal;
    bool is_prefix;
};
#define HOP(n)                                                                                     \
    {                                                                                              \
        SLICE_INIT(n), FIELD_HOP_BY_HOP, false                                                     \
    }
#define FORGED(n)                                                                                  \
    {                                                                                              \
        SLICE_INIT(n), FIELD_FORGEABLE, false                                                      \
    }
#define FORGED_ALL(n)                                                                              \
    {                                                                                              \
        SLICE_INIT(n), FIELD_FORGEABLE, true                                                       \
    }
static const struct listed listed[] = {
    /* RFC 9110 §7.6.1; Content-Length and Transfer-Encoding are written anew from the framing that
       was judged. */
    HOP("connection"),
    HOP("keep-alive"),
    HOP("proxy-connection"),
    HOP("te"),
    HOP("trailer"),
    HOP("transfer-encoding"),
    HOP("content-length"),
    HOP("upgrade"),
    HOP("proxy-authenticate"),
    HOP("proxy-authorization"),
    HOP("proxy-authentication-info"),
    HOP("http2-settings"),
    HOP("expect"),
    HOP("host"),
    /* Who one is, and where one comes from: only the gateway says so. */
    FORGED_ALL("belfry-"),
    FORGED_ALL("x-belfry-"),
    FORGED("forwarded"),
    FORGED_ALL("x-forwarded"),
    FORGED("x-real-ip"),
    FORGED("x-client-ip"),
    FORGED("true-client-ip"),
    FORGED("cf-connecting-ip"),
    FORGED("fastly-client-ip"),
    FORGED("x-cluster-client-ip"),
    FORGED("x-original-forwarded-for"),
    FORGED("x-original-host"),
    FORGED("x-originating-ip"),
    FORGED("x-remote-ip"),
    FORGED("x-remote-addr"),
    FORGED("remote-addr"),
    FORGED_ALL("x-envoy-"),
    FORGED_ALL("client-cert"),
    FORGED_ALL("x-client-cert"),
    FORGED_ALL("ssl-client"),
    FORGED_ALL("x-ssl-"),
    FORGED_ALL("x-tls-client"),
    FORGED_ALL("x-arr-clientcert"),
    FORGED("x-spiffe-id"),
    FORGED("remote-user"),
    FORGED("x-remote-user"),
    FORGED("x-user"),
    FORGED("x-auth-user"),
    FORGED("x-authenticated-user"),
    FORGED("x-webauth-user"),
    FORGED_ALL("x-auth-request-"),
    FORGED("auth-user"),
    FORGED_ALL("remote-"),
    FORGED_ALL("oidc-"),
    FORGED_ALL("x-ms-client-principal"),
    FORGED_ALL("x-goog-"),
    FORGED_ALL("x-amzn-oidc-"),
    /* What makes a framework judge another request than the rules did. */
    FORGED("x-original-url"),
    FORGED("x-original-uri"),
    FORGED("x-rewrite-url"),
    FORGED("x-http-method"),
    FORGED("x-http-method-override"),
    FORGED("x-method-override"),
    FORGED("x-host"),
    FORGED("proxy"),
    FORGED("x-script-name"),
    FORGED("x-accel-redirect"),
    FORGED("x-sendfile"),
    FORGED("x-middleware-subrequest"),
    /* Made anew. */
    FORGED("traceparent"),
    FORGED("tracestate"),
};

static struct slice fold(struct slice name, char room[NAME_MAX_FOLDED])
{
    size_t n = name.len < NAME_MAX_FOLDED ? name.len : NAME_MAX_FOLDED;
    for (size_t i = 0; i < n; i++) {
        char c = ascii_lower(name.ptr[i]);
        room[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
    }
    return (struct slice){room, n};
}

enum removal field_removal(struct slice name)
{
    char room[NAME_MAX_FOLDED];
    struct slice folded = fold(name, room);
    for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
        const struct listed *l = &listed[i];
        if (!folded.len || l->name.ptr[0] != folded.ptr[0])
            continue; /* most end here: names differ by their first letter */
        if (l->is_prefix ? slice_starts(folded, l->name)
                         : name.len <= NAME_MAX_FOLDED && slice_eq(folded, l->name))
            return l->removal;
    }
    return FIELD_STAYS;
}

/* RFC 9110 §7.6.1: what a Connection field names goes no further; there may be several of them. */
static bool is_named(const struct field *fields, uint32_t count, struct slice name)
{
    char a[NAME_MAX_FOLDED];
    char b[NAME_MAX_FOLDED];
    struct slice folded = fold(name, a);
    for (uint32_t i = 0; i < count; i++) {
        struct slice rest = fields[i].value;
        struct slice item;
        if (!slice_eq(fields[i].name, SLICE("connection")))
            continue;
        while (list_next(&rest, &item))
            if (item.len == name.len && slice_eq(fold(item, b), folded))
                return true;
    }
    return false;
}

static bool has_connection(const struct field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq(fields[i].name, SLICE("connection")))
            return true;
    return false;
}

static bool add_field(struct buf *out, struct slice name, struct slice value)
{
    char *at;
    size_t len = name.len + value.len + 4;
    if (!buf_reserve(out, len, &at))
        return false;
    memcpy(at, name.ptr, name.len);
    at += name.len;
    *at++ = ':';
    *at++ = ' ';
    memcpy(at, value.ptr, value.len);
    at += value.len;
    *at++ = '\r';
    *at = '\n';
    buf_grew(out, len);
    return true;
}

/* Cookies pass, but for the gateway's own (RFC 6265 §4.2.1). RFC 9113 §8.2.3: crumbs are one field
 * in HTTP/1.1. */
static bool add_cookies(const struct request *r, struct buf *out)
{
    bool is_first = true;
    for (uint32_t i = 0; i < r->field_count; i++) {
        struct slice rest = r->fields[i].value;
        bool is_ours = slice_eq(r->fields[i].name, SLICE("cookie")) &&
                       memmem(rest.ptr, rest.len, OWN_COOKIES, sizeof OWN_COOKIES - 1);
        if (!slice_eq(r->fields[i].name, SLICE("cookie")))
            continue;
        while (rest.len) {
            struct slice pair = is_ours ? slice_trim(slice_cut(&rest, ';')) : rest;
            if (!is_ours)
                rest.len = 0;
            if (!pair.len || slice_starts(pair, SLICE(OWN_COOKIES)))
                continue;
            if (!buf_add(out, is_first ? SLICE("cookie: ") : SLICE("; ")) || !buf_add(out, pair))
                return false;
            is_first = false;
        }
    }
    return is_first || buf_add(out, SLICE("\r\n"));
}

/* Authorization that Belfry has verified is spent here, unless the application asks for it. What
 * would authenticate the pooled connection (RFC 4559) never passes: the next person would inherit
 * it. */
static bool passes_authorization(const struct exchange *x, struct slice value)
{
    struct slice scheme = auth_scheme_cut(&value);
    bool is_token =
        slice_eq_nocase(scheme, SLICE("bearer")) || slice_eq_nocase(scheme, SLICE("dpop"));
    if (slice_eq_nocase(scheme, SLICE("ntlm")) || slice_eq_nocase(scheme, SLICE("negotiate")))
        return false;
    return !is_token || (x->token && x->facts.app->forward_token);
}

/* RFC 9110 §7.6.3: ours behind those that were there. It can't be named away: that would hide a
 * loop. */
static bool add_via(const struct request *r, struct buf *out)
{
    struct slice ours =
        r->protocol == PROTOCOL_H2 ? SLICE("2 belfry\r\n") : SLICE("1.1 belfry\r\n");
    if (!buf_add(out, SLICE("via: ")))
        return false;
    for (uint32_t i = 0; i < r->field_count; i++)
        if (slice_eq(r->fields[i].name, SLICE("via")) &&
            (!buf_add(out, r->fields[i].value) || !buf_add(out, SLICE(", "))))
            return false;
    return buf_add(out, ours);
}

static bool add_passing(const struct exchange *x, struct buf *out)
{
    const struct request *r = &x->request;
    bool has_names = has_connection(r->fields, r->field_count);
    bool has_cookies = false;
    for (uint32_t i = 0; i < r->field_count; i++) {
        const struct field *f = &r->fields[i];
        if (slice_eq(f->name, SLICE("cookie"))) {
            has_cookies = true;
            continue;
        }
        if (slice_eq(f->name, SLICE("via")) || field_removal(f->name) != FIELD_STAYS)
            continue;
        if (has_names && is_named(r->fields, r->field_count, f->name))
            continue;
        if (slice_eq(f->name, SLICE("authorization")) && !passes_authorization(x, f->value))
            continue;
        if (!add_field(out, f->name, f->value))
            return false;
    }
    if (!has_cookies || (has_names && is_named(r->fields, r->field_count, SLICE("cookie"))))
        return true;
    return add_cookies(r, out);
}

static bool add_framing(const struct request *r, struct buf *out)
{
    if (r->has_body && r->body_length == BODY_LENGTH_UNKNOWN)
        return buf_add(out, SLICE("transfer-encoding: chunked\r\n"));
    if (r->has_body || r->method == METHOD_POST || r->method == METHOD_PUT ||
        r->method == METHOD_PATCH)
        return buf_printf(out, "content-length: %llu\r\n", (unsigned long long)r->body_length);
    return true;
}

/* RFC 7239 §4: v6 addresses in brackets and quotes. `by` is obfuscated (§6.3). */
static bool add_forwarded(const struct exchange *x, struct buf *out)
{
    struct slice from = x->facts.client_address;
    bool is_v6 = memchr(from.ptr, ':', from.len) != NULL;
    return buf_add(out, is_v6 ? SLICE("forwarded: for=\"[") : SLICE("forwarded: for=")) &&
           buf_add(out, from) && buf_add(out, is_v6 ? SLICE("]\";host=") : SLICE(";host=")) &&
           buf_add(out, x->request.host) && buf_add(out, SLICE(";proto=https;by=_belfry\r\n"));
}

bool fields_request(const struct exchange *x, struct slice assertion, struct buf *out)
{
    const struct request *r = &x->request;
    if (!buf_add(out, r->method_name) || !buf_add(out, SLICE(" ")) ||
        !buf_add(out, r->path.canonical) ||
        (r->has_query && (!buf_add(out, SLICE("?")) || !buf_add(out, r->query))) ||
        !buf_add(out, SLICE(" HTTP/1.1\r\n")))
        return false;
    if (!add_field(out, SLICE("host"), r->host) || !add_passing(x, out) || !add_framing(r, out) ||
        !add_forwarded(x, out))
        return false;
    return add_via(r, out) &&
           add_field(out, SLICE("traceparent"), slice_from(x->trace.text, TRACEPARENT_CHARS)) &&
           (!x->tracestate.len || add_field(out, SLICE("tracestate"), x->tracestate)) &&
           add_field(out, SLICE("belfry-reference"),
                     slice_from(x->reference.text, REFERENCE_CHARS)) &&
           add_field(out, SLICE("belfry-assertion"), assertion) && buf_add(out, SLICE("\r\n"));
}

/* A cookie without a name comes back from some browsers as its value alone: "=__Host-belfry=x" is
 * ours too. */
static bool sets_ours(struct slice value)
{
    struct slice rest = value;
    if (!slice_trim(slice_cut(&rest, '=')).len)
        value = rest;
    value = slice_trim(value);
    return value.len >= sizeof OWN_COOKIES - 1 &&
           slice_eq_nocase(slice_from(value.ptr, sizeof OWN_COOKIES - 1), SLICE(OWN_COOKIES));
}

/* Of an answer, only what is between two hops, and what would set our own names, is removed. */
static bool answer_field_stays(const struct field *f, bool keeps_length)
{
    static const struct slice hop[] = {
        SLICE_INIT("connection"), SLICE_INIT("keep-alive"),        SLICE_INIT("proxy-connection"),
        SLICE_INIT("te"),         SLICE_INIT("trailer"),           SLICE_INIT("transfer-encoding"),
        SLICE_INIT("upgrade"),    SLICE_INIT("proxy-authenticate")};
    char room[NAME_MAX_FOLDED];
    if (slice_eq(f->name, SLICE("content-length")))
        return keeps_length;
    for (size_t i = 0; i < sizeof hop / sizeof *hop; i++)
        if (slice_eq(f->name, hop[i]))
            return false;
    if (slice_eq(f->name, SLICE("set-cookie")) && sets_ours(f->value))
        return false;
    return !slice_starts(fold(f->name, room), SLICE("belfry-"));
}

/* NTLM and Negotiate authenticate the pooled connection: the next person would inherit it. */
static bool authenticates_connection(const struct field *f)
{
    struct slice rest = f->value;
    struct slice item;
    if (!slice_eq(f->name, SLICE("www-authenticate")))
        return false;
    while (list_next(&rest, &item)) {
        struct slice scheme = auth_scheme_cut(&item);
        if (slice_eq_nocase(scheme, SLICE("ntlm")) || slice_eq_nocase(scheme, SLICE("negotiate")))
            return true;
    }
    return false;
}

enum reason fields_response(struct exchange *x, const struct h1_head *head)
{
    struct arena *a = &x->arena;
    bool has_names = has_connection(head->fields, head->field_count);
    /* A 204 has no length, whatever it says (RFC 9110 §8.6); nor has what comes chunked or until
     * the end. */
    bool keeps_length =
        head->framing == H1_LENGTH || (head->framing == H1_NO_BODY && head->status != 204);
    struct response *out = &x->response;
    bool has_date = false;
    out->fields = arena_array(a, struct field, head->field_count + 3);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct field *f = &head->fields[i];
        if (authenticates_connection(f))
            return REASON_CONNECTION_AUTH;
        /* Its length is our framing with the client: Connection has no say in it. */
        if (!answer_field_stays(f, keeps_length) ||
            (has_names && !slice_eq(f->name, SLICE("content-length")) &&
             is_named(head->fields, head->field_count, f->name)))
            continue;
        has_date |= slice_eq(f->name, SLICE("date"));
        out->fields[out->field_count++] =
            (struct field){arena_copy(a, f->name), arena_copy(a, f->value)};
    }
    if (!has_date) /* RFC 9110 §6.6.1: whoever passes on an answer without one adds it */
        out->fields[out->field_count++] = (struct field){SLICE("date"), worker_date(x->worker, a)};
    out->fields[out->field_count++] = (struct field){SLICE("via"), SLICE("1.1 belfry")};
    out->fields[out->field_count++] =
        (struct field){SLICE("belfry-reference"), slice_from(x->reference.text, REFERENCE_CHARS)};
    return REASON_PERMITTED;
}
