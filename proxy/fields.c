// SPDX-License-Identifier: EUPL-1.2
/* What passes, and what is put in the place of what does not (base/field_name.h has the list). */
#include "proxy/fields.h"

#include <assert.h>

#define OWN_COOKIES "__Host-belfry"
#define OWN_FIELDS 4 /* date, via, strict-transport-security, belfry-reference */

/* RFC 9110 §7.6.1: what a Connection field names goes no further; there may be several of them. */
static bool is_named(const struct field *fields, uint32_t count, struct slice name)
{
    char a[FIELD_NAME_MAX_FOLDED];
    char b[FIELD_NAME_MAX_FOLDED];
    struct slice folded = field_fold(name, a);
    for (uint32_t i = 0; i < count; i++) {
        struct slice rest = fields[i].value;
        struct slice item;
        if (!slice_eq(fields[i].name, SLICE("connection")))
            continue;
        while (list_next(&rest, &item))
            if (item.len == name.len && slice_eq(field_fold(item, b), folded))
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

bool fields_hide(const struct request *r, struct slices names)
{
    if (!names.count || !has_connection(r->fields, r->field_count))
        return false;
    for (uint32_t i = 0; i < names.count; i++)
        if (is_named(r->fields, r->field_count, names.at[i]))
            return true;
    return false;
}

static bool put(const struct field_sink *out, struct slice name, struct slice value)
{
    return out->put(out->owner, name, value);
}

/* What is put together for this one head. */
static struct arena *arena_of(const struct exchange *x)
{
    return (struct arena *)(uintptr_t)&x->arena;
}

/* One value out of several, each with `between` in front but the first. */
struct joined {
    char *at;
    size_t len;
    size_t room;
};

static struct joined joined_new(const struct exchange *x, size_t room)
{
    return (struct joined){.at = arena_bytes(arena_of(x), room), .room = room};
}

static void join(struct joined *j, struct slice between, struct slice text)
{
    assert(between.len + text.len <= j->room - j->len); /* whoever made it has counted */
    if (j->len) {
        memcpy(j->at + j->len, between.ptr, between.len);
        j->len += between.len;
    }
    memcpy(j->at + j->len, text.ptr, text.len);
    j->len += text.len;
}

static size_t length_of_all(const struct request *r, struct slice name)
{
    size_t len = 0;
    for (uint32_t i = 0; i < r->field_count; i++)
        if (slice_eq(r->fields[i].name, name))
            len += r->fields[i].value.len + 2;
    return len;
}

static bool holds_ours(struct slice cookies)
{
    return memmem(cookies.ptr, cookies.len, OWN_COOKIES, sizeof OWN_COOKIES - 1) != NULL;
}

/* Cookies pass, but for the gateway's own (RFC 6265 §4.2.1). RFC 9113 §8.2.3: crumbs are one field
 * in what is not HTTP/2, and may be one in HTTP/2. */
static bool put_cookies(const struct exchange *x, uint32_t count, const struct field_sink *out)
{
    const struct request *r = &x->request;
    struct joined j = {0};
    for (uint32_t i = 0; i < r->field_count; i++) {
        struct slice rest = r->fields[i].value;
        if (!slice_eq(r->fields[i].name, SLICE("cookie")))
            continue;
        bool has_ours = holds_ours(rest);
        if (count == 1 && !has_ours) /* nearly always */
            return put(out, SLICE("cookie"), rest);
        if (!j.at) /* "a;b" becomes "a; b", so it may grow by half */
            j = joined_new(x, 2 * length_of_all(r, SLICE("cookie")));
        while (rest.len) {
            struct slice pair = has_ours ? slice_trim(slice_cut(&rest, ';')) : rest;
            if (!has_ours)
                rest.len = 0;
            if (pair.len && !slice_starts(pair, SLICE(OWN_COOKIES)))
                join(&j, SLICE("; "), pair);
        }
    }
    return !j.len || put(out, SLICE("cookie"), slice_from(j.at, j.len));
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
static bool put_via(const struct exchange *x, const struct field_sink *out)
{
    const struct request *r = &x->request;
    struct slice ours = r->protocol == PROTOCOL_H2 ? SLICE("2 belfry") : SLICE("1.1 belfry");
    size_t others = length_of_all(r, SLICE("via"));
    if (!others)
        return put(out, SLICE("via"), ours);
    struct joined j = joined_new(x, others + ours.len + 2);
    for (uint32_t i = 0; i < r->field_count; i++)
        if (slice_eq(r->fields[i].name, SLICE("via")))
            join(&j, SLICE(", "), r->fields[i].value);
    join(&j, SLICE(", "), ours);
    return put(out, SLICE("via"), slice_from(j.at, j.len));
}

/* RFC 6455 §11.3: these speak of one connection, and of ours the link speaks; which protocols and
 * extensions are offered is between the two ends. */
static bool is_of_handshake(struct slice name)
{
    return slice_eq(name, SLICE("sec-websocket-key")) ||
           slice_eq(name, SLICE("sec-websocket-accept"));
}

static bool put_passing(const struct exchange *x, const struct field_sink *out)
{
    const struct request *r = &x->request;
    bool has_names = has_connection(r->fields, r->field_count);
    uint32_t cookies = 0;
    for (uint32_t i = 0; i < r->field_count; i++) {
        const struct field *f = &r->fields[i];
        if (slice_eq(f->name, SLICE("cookie"))) {
            cookies++;
            continue;
        }
        if (slice_eq(f->name, SLICE("via")) || field_removal(f->name) != FIELD_STAYS)
            continue;
        if (has_names && is_named(r->fields, r->field_count, f->name))
            continue;
        if (slice_eq(f->name, SLICE("authorization")) && !passes_authorization(x, f->value))
            continue;
        if (slice_eq(f->name, SLICE("dpop")) && !x->facts.app->forward_token)
            continue; /* spent here, with its token */
        if (r->wants_websocket && is_of_handshake(f->name))
            continue;
        if (!put(out, f->name, f->value))
            return false;
    }
    if (!cookies || (has_names && is_named(r->fields, r->field_count, SLICE("cookie"))))
        return true;
    return put_cookies(x, cookies, out);
}

/* RFC 7239 §4: v6 addresses in brackets and quotes. `by` is obfuscated (§6.3). */
static bool put_forwarded(const struct exchange *x, const struct field_sink *out)
{
    struct slice from = x->facts.client_address;
    bool is_v6 = memchr(from.ptr, ':', from.len) != NULL;
    const struct slice parts[] = {is_v6 ? SLICE("for=\"[") : SLICE("for="), from,
                                  is_v6 ? SLICE("]\";host=") : SLICE(";host="), x->request.host,
                                  SLICE(";proto=https;by=_belfry")};
    struct joined j = joined_new(x, from.len + x->request.host.len + 48);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        join(&j, SLICE(""), parts[i]);
    return put(out, SLICE("forwarded"), slice_from(j.at, j.len));
}

bool fields_request(const struct exchange *x, const struct field_sink *out)
{
    struct slice certificate = (struct slice){0};
    if (x->facts.app->client_cert && x->facts.device)
        certificate = connection_certificate(x->connection);
    return put_passing(x, out) && put_forwarded(x, out) && put_via(x, out) &&
           put(out, SLICE("traceparent"), slice_from(x->trace.text, TRACEPARENT_CHARS)) &&
           (!x->tracestate.len || put(out, SLICE("tracestate"), x->tracestate)) &&
           (!certificate.len || put(out, SLICE("client-cert"), certificate)) &&
           put(out, SLICE("belfry-reference"), slice_from(x->reference.text, REFERENCE_CHARS)) &&
           put(out, SLICE("belfry-assertion"), x->assertion);
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
    char room[FIELD_NAME_MAX_FOLDED];
    if (slice_eq(f->name, SLICE("content-length")))
        return keeps_length;
    for (size_t i = 0; i < sizeof hop / sizeof *hop; i++)
        if (slice_eq(f->name, hop[i]))
            return false;
    if (slice_eq(f->name, SLICE("strict-transport-security"))) /* of the door, which is ours */
        return false;
    if (slice_eq(f->name, SLICE("set-cookie")) && sets_ours(f->value))
        return false;
    return f->name.len < sizeof "belfry-" - 1 || ascii_lower(f->name.ptr[0]) != 'b' ||
           !slice_starts(field_fold(f->name, room), SLICE("belfry-"));
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

enum reason fields_response(struct exchange *x, const struct upstream_head *head)
{
    struct arena *a = &x->arena;
    bool has_names = has_connection(head->fields, head->field_count);
    struct response *out = &x->response;
    bool has_date = false;
    out->field_count = 0;
    out->fields = arena_array(a, struct field, head->field_count + OWN_FIELDS);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct field *f = &head->fields[i];
        if (authenticates_connection(f))
            return REASON_CONNECTION_AUTH;
        /* Its length is our framing with the client: Connection has no say in it. */
        if (!answer_field_stays(f, head->keeps_length) ||
            (has_names && !slice_eq(f->name, SLICE("content-length")) &&
             is_named(head->fields, head->field_count, f->name)) ||
            (head->is_tunnel && is_of_handshake(f->name)))
            continue;
        has_date |= slice_eq(f->name, SLICE("date"));
        out->fields[out->field_count++] =
            (struct field){arena_copy(a, f->name), arena_copy(a, f->value)};
    }
    if (!has_date) /* RFC 9110 §6.6.1: whoever passes on an answer without one adds it */
        out->fields[out->field_count++] = (struct field){SLICE("date"), worker_date(x->worker, a)};
    out->fields[out->field_count++] =
        (struct field){SLICE("via"), head->is_h2 ? SLICE("2 belfry") : SLICE("1.1 belfry")};
    if (x->door->hsts.len) /* copied: the edition may end before the client has taken the head */
        out->fields[out->field_count++] =
            (struct field){SLICE("strict-transport-security"), arena_copy(a, x->door->hsts)};
    out->fields[out->field_count++] =
        (struct field){SLICE("belfry-reference"), slice_from(x->reference.text, REFERENCE_CHARS)};
    return REASON_PERMITTED;
}

uint32_t fields_early(struct arena *a, const struct upstream_head *head, struct field **out)
{
    bool has_names = has_connection(head->fields, head->field_count);
    struct field *to = arena_array(a, struct field, head->field_count ? head->field_count : 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct field *f = &head->fields[i];
        if (!answer_field_stays(f, false) ||
            (has_names && is_named(head->fields, head->field_count, f->name)))
            continue;
        to[count++] = (struct field){arena_copy(a, f->name), arena_copy(a, f->value)};
    }
    *out = to;
    return count;
}

/* RFC 9110 §6.5.1: what tells how to read, route, trust or answer a message can't come behind it.
 */
static bool may_trail(struct slice name)
{
    static const struct slice never[] = {
        SLICE_INIT("authorization"), SLICE_INIT("cookie"),
        SLICE_INIT("set-cookie"),    SLICE_INIT("cache-control"),
        SLICE_INIT("age"),           SLICE_INIT("expires"),
        SLICE_INIT("pragma"),        SLICE_INIT("warning"),
        SLICE_INIT("retry-after"),   SLICE_INIT("max-forwards"),
        SLICE_INIT("range"),         SLICE_INIT("www-authenticate"),
        SLICE_INIT("via"),           SLICE_INIT("origin"),
        SLICE_INIT("date"),          SLICE_INIT("location"),
        SLICE_INIT("vary"),          SLICE_INIT("strict-transport-security")};
    static const struct slice never_so[] = {SLICE_INIT("content-"), SLICE_INIT("if-"),
                                            SLICE_INIT("access-control-"), SLICE_INIT("sec-")};
    char room[FIELD_NAME_MAX_FOLDED];
    struct slice folded = field_fold(name, room);
    if (!name.len || name.ptr[0] == ':' || field_removal(name) != FIELD_STAYS)
        return false;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (slice_eq(folded, never[i]))
            return false;
    for (size_t i = 0; i < sizeof never_so / sizeof *never_so; i++)
        if (slice_starts(folded, never_so[i]))
            return false;
    return true;
}

uint32_t fields_trailers(struct arena *a, const struct field *fields, uint32_t count,
                         struct field **out)
{
    struct field *to = arena_array(a, struct field, count ? count : 1);
    uint32_t passed = 0;
    for (uint32_t i = 0; i < count; i++)
        if (may_trail(fields[i].name))
            to[passed++] =
                (struct field){arena_copy(a, fields[i].name), arena_copy(a, fields[i].value)};
    *out = to;
    return passed;
}
