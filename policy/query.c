// SPDX-License-Identifier: EUPL-1.2
/* A query → names with lists of values, as the URL Standard reads a form (§5.1,
 * application/x-www-form-urlencoded): split at "&", "+" is a space, each escape decoded once. Where
 * applications read otherwise there are no parameters at all: they would be judged by one list and
 * served by another. Such are a bare ";" (some servers split there), a byte of no UTF-8, an escape
 * that is none, and NUL, which ends a text in C. */
#include "policy/query.h"

#include "base/codec.h"
#include "base/utf8.h"
#include "policy/cel_in.h"
#include "policy/charter.h"
#include "policy/compile.h"

struct parameters {
    struct slice names[QUERY_MAX_PARAMETERS];
    struct slice values[QUERY_MAX_PARAMETERS];
    uint32_t count;
};

static bool is_good(struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t point = 0;
        const size_t len = utf8_next(slice_skip(text, i), &point);
        if (!len || !point)
            return false;
        i += len;
    }
    return true;
}

/* Into *at, which goes behind it: it never grows. */
static bool decode(struct slice raw, char **at, struct slice *out)
{
    *out = (struct slice){*at, 0};
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i] == '+' ? ' ' : raw.ptr[i];
        if (c == '%') {
            const int high = i + 2 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
            const int low = i + 2 < raw.len ? hex_value(raw.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        *(*at)++ = c;
    }
    out->len = (size_t)(*at - out->ptr);
    return is_good(*out);
}

static bool split(struct slice query, struct arena *a, struct parameters *out)
{
    out->count = 0;
    if (query.len > QUERY_MAX_BYTES || (query.len && memchr(query.ptr, ';', query.len)))
        return false;
    char *at = arena_bytes(a, query.len);
    while (query.len) {
        struct slice value = slice_cut(&query, '&');
        if (!value.len)
            continue;
        if (out->count == QUERY_MAX_PARAMETERS)
            return false;
        const struct slice name = slice_cut(&value, '=');
        if (!decode(name, &at, &out->names[out->count]) ||
            !decode(value, &at, &out->values[out->count]))
            return false;
        out->count++;
    }
    return true;
}

static bool is_first(const struct parameters *p, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (slice_eq(p->names[k], p->names[i]))
            return false;
    return true;
}

/* All values of one name, in order. */
static struct cel_list values_of(const struct parameters *p, uint32_t first, union cel_value *room)
{
    struct cel_list list = {room, 0};
    for (uint32_t i = first; i < p->count; i++)
        if (slice_eq(p->names[i], p->names[first]))
            room[list.count++].s = p->values[i];
    return list;
}

static struct facts_map gather(const struct parameters *p, struct arena *a)
{
    union cel_value *pairs = arena_array(a, union cel_value, 2 * (size_t)p->count + 1);
    union cel_value *room = arena_array(a, union cel_value, p->count);
    struct facts_map map = {pairs, 0};
    for (uint32_t i = 0; i < p->count; i++) {
        if (!is_first(p, i))
            continue;
        const struct cel_list list = values_of(p, i, room);
        room += list.count;
        pairs[2 * map.count].s = p->names[i];
        pairs[2 * map.count++ + 1].list = list;
    }
    return map;
}

void query_read(struct facts *facts, struct arena *a)
{
    struct parameters parameters __attribute__((uninitialized)); /* count says what is written */
    const struct request *r = facts->request;
    facts->has_read_parameters = true;
    if (split(r->has_query ? r->query : SLICE(""), a, &parameters))
        facts->parameters = gather(&parameters, a);
}

void query_read_for_rules(const struct snapshot *s, struct facts *facts, struct arena *a)
{
    const struct rules *own = facts->app->rules;
    const struct baseline *b = s ? s->baseline : NULL;
    const struct rules *forbids = b ? b->rules[facts->app->paths.fold_case] : NULL;
    if (facts->has_read_parameters ||
        !((own && own->reads_query) || (b && b->reads_query) || (forbids && forbids->reads_query)))
        return;
    query_read(facts, a);
}
