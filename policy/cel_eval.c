// SPDX-License-Identifier: EUPL-1.2
/* Values of conditions as typed JSON, in both directions, and as text. Owns: that format. */
#include "policy/cel_eval.h"

#include "base/buf.h"
#include "base/codec.h"
#include "base/escape.h"
#include "base/fault.h"
#include "base/network.h"
#include "policy/cel_in.h"

#define MAX_DEPTH 64

struct cel *cel_compile_any(struct arena *a, const struct cel_names *names, struct slice text,
                            struct place at, struct findings *out)
{
    return cel_compile_type(a, names, text, at, out, false);
}

/* --- JSON → values --- */

struct reader {
    struct arena *a;
    struct fault *f;
    unsigned depth;
};

static bool refuse(struct reader *r, const char *why)
{
    return fault_set(r->f, FAULT_SYNTAX, "%s", why);
}

static const struct cel_type *read_value(struct reader *r, const json_t *json,
                                         union cel_value *out);

static struct slice text_of(struct reader *r, const json_t *json)
{
    return arena_copy(r->a, slice_from(json_string_value(json), json_string_length(json)));
}

/* Elements `from`, `from` + `stride`, ...; one type for all of them, NULL where there is none. */
static const struct cel_type *read_elements(struct reader *r, const json_t *list, int part,
                                            union cel_value *out)
{
    const struct cel_type *all = cel_type_of(KIND_ANY);
    const size_t stride = part < 0 ? 1 : 2;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (part >= 0) {
            if (json_array_size(item) != 2) {
                (void)refuse(r, "an entry of a map is [VALUE, VALUE]");
                return NULL;
            }
            item = json_array_get(item, (size_t)part);
        }
        const struct cel_type *type = read_value(r, item, &out[i * stride + (part > 0 ? 1 : 0)]);
        if (!type || !(all = cel_type_unify(r->a, all, type))) {
            if (type)
                (void)refuse(r, "values of several types in one list or map");
            return NULL;
        }
    }
    return all;
}

static const struct cel_type *read_list(struct reader *r, const json_t *json, union cel_value *out)
{
    const size_t count = json_array_size(json);
    if (!json_is_array(json)) {
        (void)refuse(r, "a list is [VALUE, ...]");
        return NULL;
    }
    union cel_value *at = arena_array(r->a, union cel_value, count);
    const struct cel_type *element = read_elements(r, json, -1, at);
    out->list = (struct cel_list){at, count};
    return element ? cel_type_list(r->a, element) : NULL;
}

static const struct cel_type *read_map(struct reader *r, const json_t *json, union cel_value *out)
{
    const size_t count = json_array_size(json);
    if (!json_is_array(json)) {
        (void)refuse(r, "a map is [[VALUE, VALUE], ...]");
        return NULL;
    }
    union cel_value *at = arena_array(r->a, union cel_value, 2 * count);
    const struct cel_type *key = read_elements(r, json, 0, at);
    const struct cel_type *value = key ? read_elements(r, json, 1, at) : NULL;
    for (size_t i = 0; value && i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (cel_equal(at[2 * k], at[2 * i], key)) {
                (void)refuse(r, "a key stands in a map twice");
                return NULL;
            }
    out->list = (struct cel_list){at, count};
    return value ? cel_type_map(r->a, key, value) : NULL;
}

static bool read_bytes(struct reader *r, const json_t *json, union cel_value *out)
{
    const struct slice text = text_of(r, json);
    uint8_t *at = arena_alloc(r->a, text.len + 1);
    size_t len;
    if (!base64_decode(at, &len, text))
        return false;
    out->s = slice_from(at, len);
    return true;
}

/* Numbers may be texts, where JSON's own would not hold them. */
static bool read_uint(const json_t *json, uint64_t *out)
{
    if (json_is_string(json))
        return slice_u64(slice_of(json_string_value(json)), UINT64_MAX, out);
    *out = (uint64_t)json_integer_value(json);
    return json_is_integer(json) && json_integer_value(json) >= 0;
}

static bool read_scalar(struct reader *r, enum cel_kind kind, const json_t *json,
                        union cel_value *out)
{
    const struct slice text = json_is_string(json) ? text_of(r, json) : (struct slice){NULL, 0};
    enum cel_kind named;
    switch (kind) {
    case KIND_BOOL:
        out->b = json_is_true(json);
        return json_is_boolean(json);
    case KIND_INT:
        out->i = json_integer_value(json);
        return json_is_integer(json);
    case KIND_UINT:
        return read_uint(json, &out->u);
    case KIND_DOUBLE:
        out->d = json_number_value(json);
        return json_is_number(json) || cel_read_double(&out->d, text);
    case KIND_STRING:
        out->s = text;
        return text.ptr != NULL;
    case KIND_BYTES:
        return text.ptr && read_bytes(r, json, out);
    case KIND_NULL:
        return json_is_true(json);
    case KIND_TIMESTAMP:
        return cel_read_time(&out->time, text);
    case KIND_DURATION:
        return cel_read_duration(&out->i, text);
    case KIND_TYPE:
        if (!cel_kind_find(text, &named))
            return false;
        out->i = named;
        return true;
    case KIND_IP:
    case KIND_CIDR:
    case KIND_LIST:
    case KIND_MAP:
    case KIND_ANY:
        break;
    }
    return false;
}

static const struct {
    const char *key;
    enum cel_kind kind;
} keys[] = {
    {"bool", KIND_BOOL},
    {"int", KIND_INT},
    {"uint", KIND_UINT},
    {"double", KIND_DOUBLE},
    {"string", KIND_STRING},
    {"bytes", KIND_BYTES},
    {"null", KIND_NULL},
    {"list", KIND_LIST},
    {"map", KIND_MAP},
    {"timestamp", KIND_TIMESTAMP},
    {"duration", KIND_DURATION},
    {"type", KIND_TYPE},
    {"ip", KIND_IP},
    {"cidr", KIND_CIDR},
};

static const struct cel_type *read_value(struct reader *r, const json_t *json, union cel_value *out)
{
    const struct cel_type *type = NULL;
    *out = (union cel_value){.i = 0};
    if (r->depth == MAX_DEPTH || json_object_size(json) != 1) {
        (void)refuse(r, "a value is an object of one key, such as {\"int\": 1}");
        return NULL;
    }
    r->depth++;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = json_object_get(json, keys[i].key);
        if (!value)
            continue;
        if (keys[i].kind == KIND_LIST && json_is_array(value))
            type = read_list(r, value, out);
        else if (keys[i].kind == KIND_MAP && json_is_array(value))
            type = read_map(r, value, out);
        else if (read_scalar(r, keys[i].kind, value, out))
            type = cel_type_of(keys[i].kind);
        else
            (void)refuse(r, "a value is not of the type that its key says");
        r->depth--;
        return type;
    }
    (void)refuse(r, "a value is of bool, int, uint, double, string, bytes, null, list, map, "
                    "timestamp, duration or type");
    return NULL;
}

bool cel_variables_read(struct arena *a, const json_t *object, struct cel_names *out,
                        struct fault *f)
{
    struct reader r = {.a = a, .f = f};
    const size_t count = json_object_size(object);
    if (!json_is_object(object))
        return refuse(&r, "\"vars\" is an object of values by name");
    struct cel_variable *variables = arena_array(a, struct cel_variable, count);
    uint32_t read = 0;
    for (void *i = json_object_iter((json_t *)(uintptr_t)object); i;
         i = json_object_iter_next((json_t *)(uintptr_t)object, i)) {
        struct cel_variable *v = &variables[read++];
        v->name = arena_copy(a, slice_of(json_object_iter_key(i)));
        v->type = read_value(&r, json_object_iter_value(i), &v->value);
        if (!v->type)
            return false;
    }
    out->variables = variables;
    out->variable_count = read;
    return true;
}

/* --- values → text --- */

#define TEXT_MAX_BYTES (16u << 20) /* every byte of the scratch as an escape, many times over */

struct writer {
    struct buf out;
    bool is_json;
};

static void put(struct writer *w, struct slice text)
{
    if (!buf_add(&w->out, text))
        return; // past the ceiling, which nothing that fits the scratch reaches
}

static void put_scalar(struct writer *w, const char *text, size_t len)
{
    put(w, (struct slice){text, len});
}

/* In quotes; JSON's escapes are CEL's too. */
static void put_quoted(struct writer *w, struct slice text)
{
    char *at;
    if (!buf_reserve(&w->out, ESCAPE_ROOM(text.len) + 2, &at))
        return;
    char *end = at;
    *end++ = '"';
    end = escape_json(end, text);
    *end++ = '"';
    buf_grew(&w->out, (size_t)(end - at));
}

static void put_bytes(struct writer *w, struct slice bytes)
{
    static const char hex[] = "0123456789abcdef";
    char *at;
    if (!buf_reserve(&w->out, BASE64_LEN(bytes.len) + bytes.len * 4 + 3, &at))
        return;
    char *end = at;
    if (w->is_json) {
        *end++ = '"';
        end += base64_encode(end, bytes.ptr, bytes.len);
    } else {
        *end++ = 'b';
        *end++ = '"';
        for (size_t i = 0; i < bytes.len; i++) {
            const unsigned char c = (unsigned char)bytes.ptr[i];
            *end++ = '\\';
            *end++ = 'x';
            *end++ = hex[c >> 4];
            *end++ = hex[c & 15];
        }
    }
    *end++ = '"';
    buf_grew(&w->out, (size_t)(end - at));
}

static void put_value(struct writer *w, const struct cel_type *type, union cel_value v);

static void put_list(struct writer *w, const struct cel_type *type, struct cel_list list)
{
    put(w, SLICE("["));
    for (size_t i = 0; i < list.count; i++) {
        put(w, i ? SLICE(", ") : SLICE(""));
        put_value(w, type->element, list.at[i]);
    }
    put(w, SLICE("]"));
}

static void put_map(struct writer *w, const struct cel_type *type, struct cel_list map)
{
    put(w, w->is_json ? SLICE("[") : SLICE("{"));
    for (size_t i = 0; i < map.count; i++) {
        put(w, i ? SLICE(", ") : SLICE(""));
        put(w, w->is_json ? SLICE("[") : SLICE(""));
        put_value(w, type->key, map.at[2 * i]);
        put(w, w->is_json ? SLICE(", ") : SLICE(": "));
        put_value(w, type->element, map.at[2 * i + 1]);
        put(w, w->is_json ? SLICE("]") : SLICE(""));
    }
    put(w, w->is_json ? SLICE("]") : SLICE("}"));
}

/* A double that looks like an int has ".0" behind it in CEL. */
static void put_double(struct writer *w, double d)
{
    char text[64];
    const size_t len = cel_print_double(text, d);
    text[len] = '\0';
    if (w->is_json) {
        put_quoted(w, (struct slice){text, len});
        return;
    }
    put_scalar(w, text, len);
    put(w, strspn(text, "-0123456789") == len ? SLICE(".0") : SLICE(""));
}

/* timestamp("...") and its like; in JSON the text alone. */
static void put_called(struct writer *w, const char *function, const char *text, size_t len)
{
    if (!w->is_json) {
        put(w, slice_of(function));
        put(w, SLICE("("));
    }
    put_quoted(w, (struct slice){text, len});
    put(w, w->is_json ? SLICE("") : SLICE(")"));
}

static void put_inner(struct writer *w, const struct cel_type *type, union cel_value v)
{
    char text[64];
    switch (type->kind) {
    case KIND_BOOL:
        put(w, v.b ? SLICE("true") : SLICE("false"));
        return;
    case KIND_INT:
        put_scalar(w, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v.i));
        return;
    case KIND_UINT:
        put_scalar(w, text,
                   (size_t)snprintf(text, sizeof text, "%llu%s", (unsigned long long)v.u,
                                    w->is_json ? "" : "u"));
        return;
    case KIND_DOUBLE:
        put_double(w, v.d);
        return;
    case KIND_STRING:
        put_quoted(w, v.s);
        return;
    case KIND_BYTES:
        put_bytes(w, v.s);
        return;
    case KIND_TIMESTAMP:
        put_called(w, "timestamp", text, cel_print_time(text, v.time));
        return;
    case KIND_DURATION:
        put_called(w, "duration", text, cel_print_duration(text, v.i));
        return;
    case KIND_TYPE:
        put(w, w->is_json ? SLICE("\"") : SLICE(""));
        put(w, cel_kind_name((enum cel_kind)v.i));
        put(w, w->is_json ? SLICE("\"") : SLICE(""));
        return;
    case KIND_IP:
        put_called(w, "ip", text, cel_print_ip(text, v.ip));
        return;
    case KIND_CIDR:
        put_called(w, "cidr", text, cel_print_cidr(text, v.cidr));
        return;
    case KIND_LIST:
        put_list(w, type, v.list);
        return;
    case KIND_MAP:
        put_map(w, type, v.list);
        return;
    case KIND_NULL:
    case KIND_ANY:
        put(w, w->is_json ? SLICE("true") : SLICE("null"));
        return;
    }
}

static void put_value(struct writer *w, const struct cel_type *type, union cel_value v)
{
    if (!w->is_json) {
        put_inner(w, type, v);
        return;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (keys[i].kind != type->kind)
            continue;
        put(w, SLICE("{"));
        put_quoted(w, slice_of(keys[i].key));
        put(w, SLICE(": "));
        put_inner(w, type, v);
        put(w, SLICE("}"));
    }
}

static struct slice written(struct arena *a, const struct cel_type *type, union cel_value v,
                            bool is_json)
{
    struct writer w = {.is_json = is_json};
    buf_init(&w.out, TEXT_MAX_BYTES);
    put_value(&w, type, v);
    const struct slice text = arena_copy(a, buf_slice(&w.out));
    buf_fini(&w.out);
    return text;
}

struct slice cel_value_text(struct arena *a, const struct cel_type *type, union cel_value v)
{
    return written(a, type, v, false);
}

bool cel_eval(struct arena *a, const struct cel *c, const struct facts *facts, struct cel_run *run,
              struct slice *json, struct slice *text)
{
    union cel_value value;
    if (!cel_run_value(c, facts, a, run, &value))
        return false;
    *json = written(a, c->type, value, true);
    *text = written(a, c->type, value, false);
    return true;
}

static struct slice type_text(struct arena *a, const struct cel_type *type)
{
    if (type->kind == KIND_LIST)
        return arena_printf(a, "list(%.*s)", SLICE_ARG(type_text(a, type->element)));
    if (type->kind == KIND_MAP)
        return arena_printf(a, "map(%.*s, %.*s)", SLICE_ARG(type_text(a, type->key)),
                            SLICE_ARG(type_text(a, type->element)));
    return slice_of(cel_type_name(a, type));
}

struct slice cel_type_text(struct arena *a, const struct cel *c)
{
    return type_text(a, c->type);
}
