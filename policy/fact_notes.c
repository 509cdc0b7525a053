// SPDX-License-Identifier: EUPL-1.2
/* version (1) ‖ whether something had no room (1) ‖ facts: length of the name (1) ‖ name ‖ form (1)
 * ‖ value. A text is its length (2) and bytes, a list its count (2) and texts, a map a list of keys
 * and values in turn, a number 8 bytes; all little-endian. */
#include "policy/fact_notes.h"

#include "policy/cel_in.h"
#include "policy/cel_time_in.h"
#include "policy/charter.h"
#include "policy/compile.h"

#include <endian.h>

#define VERSION 1
#define HEAD_BYTES 2
#define HEADER_PREFIX "request.headers."

enum form { FORM_MISSING, FORM_NO_ROOM, FORM_TEXT, FORM_TEXTS, FORM_NUMBER, FORM_NO_ROOT };

/* What the line itself holds, or what follows from it (audit/ecs.c). The parameters of a query are
 * read from the query. */
static const uint64_t held =
    CEL_BIT(user_provider) | CEL_BIT(user_acr_level) | CEL_BIT(device_id) |
    CEL_BIT(device_certificate) | CEL_BIT(device_authority) | CEL_BIT(device_trust) |
    CEL_BIT(device_serial) | CEL_BIT(service_id) | CEL_BIT(service_spiffe_id) |
    CEL_BIT(service_trust_domain) | CEL_BIT(app_id) | CEL_BIT(app_host) | CEL_BIT(app_entity) |
    CEL_BIT(request_method) | CEL_BIT(request_path) | CEL_BIT(request_segments) |
    CEL_BIT(request_host) | CEL_BIT(request_query_parameters) | CEL_BIT(request_client_address) |
    CEL_BIT(request_protocol) | CEL_BIT(request_time);

static const uint64_t of_session =
    CEL_BIT(session_age) | CEL_BIT(session_authentication_age) | CEL_BIT(session_methods);

/* ---- writing ---- */

struct pen {
    char *start;
    char *at;
    char *end;
};

static bool put(struct pen *p, const void *bytes, size_t len)
{
    if (len > (size_t)(p->end - p->at))
        return false;
    if (len)
        memcpy(p->at, bytes, len);
    p->at += len;
    return true;
}

/* Of texts in a list, or of bytes in a text. */
static bool put_count(struct pen *p, size_t count)
{
    const uint16_t wire = htole16((uint16_t)count);
    return count <= FACT_NOTES_MAX && put(p, &wire, sizeof wire);
}

static bool put_text(struct pen *p, struct slice text)
{
    return put_count(p, text.len) && put(p, text.ptr, text.len);
}

static bool put_texts(struct pen *p, struct cel_list list)
{
    bool ok = put_count(p, list.count);
    for (size_t i = 0; ok && i < list.count; i++)
        ok = put_text(p, list.at[i].s);
    return ok;
}

static bool put_name(struct pen *p, struct slice root, struct slice name)
{
    const uint8_t len = (uint8_t)(root.len + name.len);
    return root.len + name.len <= UINT8_MAX && put(p, &len, 1) && put(p, root.ptr, root.len) &&
           put(p, name.ptr, name.len);
}

static bool put_form(struct pen *p, enum form form)
{
    const uint8_t byte = (uint8_t)form;
    return put(p, &byte, 1);
}

static bool put_value(struct pen *p, enum cel_kind kind, union cel_value v)
{
    int64_t number;
    switch (kind) {
    case KIND_STRING:
        return put_form(p, FORM_TEXT) && put_text(p, v.s);
    case KIND_LIST:
        return put_form(p, FORM_TEXTS) && put_texts(p, v.list);
    case KIND_MAP:
        v.list.count *= 2;
        return put_form(p, FORM_TEXTS) && put_texts(p, v.list);
    case KIND_BOOL:
        number = v.b;
        break;
    case KIND_TIMESTAMP:
        number = v.time.s;
        break;
    default:
        number = v.i;
    }
    const uint64_t wire = htole64((uint64_t)number);
    return put_form(p, FORM_NUMBER) && put(p, &wire, sizeof wire);
}

/* Where the value has no room, its name may still. */
static void give_up(struct pen *p, char *value)
{
    p->start[1] = true;
    p->at = value;
    if (!put_form(p, FORM_NO_ROOM))
        p->end = p->at;
}

static void note_fact(struct pen *p, const struct facts *facts, enum cel_fact fact)
{
    union cel_value v;
    char *const before = p->at;
    const bool has_root = cel_fact_has_root(facts, fact);
    if (!has_root && (!facts->user || !(of_session >> fact & 1)))
        return; /* the line says that there is none; of sessions it says nothing */
    if (!put_name(p, SLICE(""), cel_fact_name(fact))) {
        p->start[1] = true;
        p->at = before;
        return;
    }
    char *const value = p->at;
    const bool ok = !has_root                        ? put_form(p, FORM_NO_ROOT)
                    : cel_fact_read(facts, fact, &v) ? put_value(p, cel_fact_type(fact)->kind, v)
                                                     : put_form(p, FORM_MISSING);
    if (!ok)
        give_up(p, value);
}

static bool put_fields(struct pen *p, const struct request *r, struct slice name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->field_count; i++)
        count += cel_is_field(&r->fields[i], name);
    bool ok = put_form(p, FORM_TEXTS) && put_count(p, count);
    for (uint32_t i = 0; ok && i < r->field_count; i++)
        if (cel_is_field(&r->fields[i], name))
            ok = put_text(p, r->fields[i].value);
    return ok;
}

static void note_header(struct pen *p, const struct request *r, struct slice name)
{
    char *const before = p->at;
    if (!put_name(p, SLICE(HEADER_PREFIX), name)) {
        p->start[1] = true;
        p->at = before;
        return;
    }
    char *const value = p->at;
    if (!put_fields(p, r, name))
        give_up(p, value);
}

static void note_headers(struct pen *p, const struct facts *facts, const struct application *app)
{
    for (uint32_t i = 0; i < app->rules->headers.count; i++)
        note_header(p, facts->request, app->rules->headers.at[i]);
}

size_t fact_notes_write(char room[FACT_NOTES_MAX], const struct snapshot *s,
                        const struct facts *facts, const struct application *also, bool has_groups)
{
    uint64_t bits =
        rules_read(s ? s->baseline : NULL, facts->app) | (also ? also->rules->reads : 0);
    if (bits & CEL_BIT(request_query_parameters))
        bits |= CEL_BIT(request_query);
    bits &= ~(held | (has_groups ? CEL_BIT(user_groups) : 0));
    if (!bits)
        return 0;
    struct pen p = {.start = room, .at = room + HEAD_BYTES, .end = room + FACT_NOTES_MAX};
    room[0] = VERSION;
    room[1] = false;
    for (uint64_t rest = bits & ~CEL_BIT_HEADERS; rest; rest &= rest - 1)
        note_fact(&p, facts, (enum cel_fact)__builtin_ctzll(rest));
    note_headers(&p, facts, facts->app);
    if (also)
        note_headers(&p, facts, also);
    return p.at > room + HEAD_BYTES || room[1] ? (size_t)(p.at - room) : 0;
}

bool fact_notes_are_cut(struct slice notes)
{
    return notes.len >= HEAD_BYTES && notes.ptr[1];
}

/* ---- reading ---- */

uint64_t fact_notes_alone(const struct facts *facts)
{
    uint64_t bits = CEL_BIT(request_query_parameters) | CEL_BIT_HEADERS;
    for (uint32_t i = 0; i < CEL_FACT_COUNT; i++)
        if (!(held >> i & 1) && cel_fact_has_root(facts, (enum cel_fact)i))
            bits |= 1ull << i;
    return bits;
}

struct note {
    struct slice name;
    enum form form;
    struct slice text;
    struct slices texts;
    int64_t number;
};

static bool take(struct slice *rest, void *out, size_t len)
{
    if (rest->len < len)
        return false;
    memcpy(out, rest->ptr, len);
    *rest = slice_skip(*rest, len);
    return true;
}

static bool take_bytes(struct slice *rest, size_t len, struct slice *out)
{
    if (rest->len < len)
        return false;
    *out = slice_from(rest->ptr, len);
    *rest = slice_skip(*rest, len);
    return true;
}

static bool take_text(struct slice *rest, struct slice *out)
{
    uint16_t len;
    return take(rest, &len, sizeof len) && take_bytes(rest, le16toh(len), out);
}

static bool take_texts(struct slice *rest, struct slices *out, struct arena *a)
{
    uint16_t count;
    if (!take(rest, &count, sizeof count) || (count = le16toh(count)) > rest->len / sizeof count)
        return false;
    struct slice *at = arena_array(a, struct slice, count);
    for (uint16_t i = 0; i < count; i++)
        if (!take_text(rest, &at[i]))
            return false;
    *out = (struct slices){at, count};
    return true;
}

static bool take_note(struct slice *rest, struct note *out, struct arena *a)
{
    uint8_t len, form;
    *out = (struct note){.form = FORM_MISSING};
    if (!take(rest, &len, 1) || !take_bytes(rest, len, &out->name) || !take(rest, &form, 1))
        return false;
    out->form = (enum form)form;
    switch (out->form) {
    case FORM_MISSING:
    case FORM_NO_ROOM:
    case FORM_NO_ROOT:
        return true;
    case FORM_TEXT:
        return take_text(rest, &out->text);
    case FORM_TEXTS:
        return take_texts(rest, &out->texts, a);
    case FORM_NUMBER:
        if (!take(rest, &out->number, sizeof out->number))
            return false;
        out->number = (int64_t)le64toh((uint64_t)out->number);
        return true;
    }
    return false;
}

static enum form form_of(enum cel_kind kind)
{
    return kind == KIND_STRING                     ? FORM_TEXT
           : kind == KIND_LIST || kind == KIND_MAP ? FORM_TEXTS
                                                   : FORM_NUMBER;
}

/* False: it is not a fact that notes hold. A missing one leaves the zero that is there. */
static bool set_user(struct facts_user *u, enum cel_fact fact, const struct note *n)
{
    switch (fact) {
    case CEL_FACT_user_id:
        u->id = n->text;
        return true;
    case CEL_FACT_user_subject:
        u->subject = n->text;
        return true;
    case CEL_FACT_user_client_id:
        u->client_id = n->text;
        return true;
    case CEL_FACT_user_acr:
        u->acr = n->text;
        return true;
    case CEL_FACT_user_groups:
        u->groups = n->texts;
        return true;
    case CEL_FACT_user_scopes:
        u->scopes = n->texts;
        return true;
    case CEL_FACT_user_amr:
        u->amr = n->texts;
        return true;
    default:
        return false;
    }
}

static bool set_device(struct facts_device *d, enum cel_fact fact, const struct note *n)
{
    switch (fact) {
    case CEL_FACT_device_common_name:
        d->common_name = n->text;
        return true;
    case CEL_FACT_device_subject:
        d->subject = n->texts;
        return true;
    case CEL_FACT_device_organizational_units:
        d->organizational_units = n->texts;
        return true;
    case CEL_FACT_device_issuer:
        d->issuer = n->text;
        return true;
    case CEL_FACT_device_dns_names:
        d->dns_names = n->texts;
        return true;
    case CEL_FACT_device_uris:
        d->uris = n->texts;
        return true;
    case CEL_FACT_device_emails:
        d->emails = n->texts;
        return true;
    case CEL_FACT_device_key_type:
        d->key_type = n->text;
        return true;
    case CEL_FACT_device_key_bits:
        d->key_bits = n->number;
        return true;
    case CEL_FACT_device_not_after:
        d->not_after.s = n->number;
        return true;
    case CEL_FACT_device_compliant:
        d->compliant = n->form == FORM_MISSING ? SAID_NOTHING : n->number ? SAID_YES : SAID_NO;
        return true;
    case CEL_FACT_device_owner:
        d->owner = n->text;
        return true;
    case CEL_FACT_device_model:
        d->model = n->text;
        return true;
    case CEL_FACT_device_last_seen:
        d->last_seen.s = n->number;
        return true;
    case CEL_FACT_device_attributes:
        d->attributes = (struct slices){n->texts.at, n->texts.count / 2};
        return true;
    default:
        return false;
    }
}

/* Notes have ages in nanoseconds. */
static bool set_session(struct facts_session *s, enum cel_fact fact, const struct note *n,
                        struct wall now)
{
    const struct wall since = {n->form == FORM_MISSING ? 0 : now.s - n->number / CEL_NS};
    switch (fact) {
    case CEL_FACT_session_age:
        s->began = since;
        return true;
    case CEL_FACT_session_authentication_age:
        s->authenticated_at = since;
        return true;
    case CEL_FACT_session_methods:
        s->methods = n->texts;
        return true;
    default:
        return false;
    }
}

static uint64_t set_fact(const struct fact_parts *into, enum cel_fact fact, const struct note *n)
{
    if (n->form == FORM_NO_ROOT && into->session && of_session >> fact & 1) {
        *into->lacks_session = true;
        return of_session;
    }
    if (n->form != FORM_MISSING && n->form != form_of(cel_fact_type(fact)->kind))
        return 0;
    if (into->user && set_user(into->user, fact, n))
        return 1ull << fact;
    if (into->device && set_device(into->device, fact, n))
        return 1ull << fact;
    if (into->session && set_session(into->session, fact, n, into->now))
        return 1ull << fact;
    if (fact != CEL_FACT_request_query || !into->request)
        return 0;
    into->request->query = n->text;
    into->request->has_query = n->form != FORM_MISSING;
    return CEL_BIT(request_query) | CEL_BIT(request_query_parameters);
}

static void add_fields(struct request *r, struct slice name, struct slices values, struct arena *a)
{
    struct field *fields = arena_array(a, struct field, r->field_count + values.count);
    if (r->field_count)
        memcpy(fields, r->fields, r->field_count * sizeof *fields);
    for (uint32_t i = 0; i < values.count; i++)
        fields[r->field_count++] = (struct field){name, values.at[i]};
    r->fields = fields;
}

/* An application and another one may both have noted it. */
static void add_header(const struct fact_parts *into, struct slices *headers, struct slice name,
                       struct slices values, struct arena *a)
{
    for (uint32_t i = 0; i < headers->count; i++)
        if (slice_eq(headers->at[i], name))
            return;
    struct slice *names = arena_array(a, struct slice, headers->count + 1);
    if (headers->count)
        memcpy(names, headers->at, headers->count * sizeof *names);
    names[headers->count] = name;
    *headers = (struct slices){names, headers->count + 1};
    add_fields(into->request, name, values, a);
}

static bool find_fact(struct slice name, enum cel_fact *out)
{
    for (uint32_t i = 0; i < CEL_FACT_COUNT; i++)
        if (slice_eq(cel_fact_name((enum cel_fact)i), name)) {
            *out = (enum cel_fact)i;
            return true;
        }
    return false;
}

uint64_t fact_notes_read(struct slice notes, const struct fact_parts *into, struct slices *headers,
                         struct arena *a)
{
    const struct slice prefix = SLICE(HEADER_PREFIX);
    struct slice rest = notes;
    uint64_t known = 0;
    enum cel_fact fact;
    struct note n;
    *headers = (struct slices){NULL, 0};
    if (notes.len < HEAD_BYTES || notes.ptr[0] != VERSION)
        return 0;
    rest = slice_skip(rest, HEAD_BYTES);
    while (rest.len && take_note(&rest, &n, a)) {
        if (n.form == FORM_NO_ROOM)
            continue;
        if (slice_starts(n.name, prefix)) {
            if (into->request && n.form == FORM_TEXTS)
                add_header(into, headers, slice_skip(n.name, prefix.len), n.texts, a);
        } else if (find_fact(n.name, &fact)) {
            known |= set_fact(into, fact, &n);
        }
    }
    return known;
}
