// SPDX-License-Identifier: EUPL-1.2
/* Values of the condition language: when two are equal, which is less, how they are found in lists
 * and maps. Types are known from elsewhere and the same on both sides. */
#include "policy/cel_in.h"

#include <stdlib.h>

#include "base/network.h"

/* By code points, which is by bytes in UTF-8 (RFC 3629 §1). */
static int compare_text(struct slice a, struct slice b)
{
    const size_t len = a.len < b.len ? a.len : b.len;
    const int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

#define ORDER(a, b)                                                                                \
    ((a) < (b) ? ORDER_LESS : (a) > (b) ? ORDER_GREATER : (a) == (b) ? ORDER_EQUAL : ORDER_NONE)

int cel_compare(union cel_value a, union cel_value b, enum cel_kind kind)
{
    switch (kind) {
    case KIND_BOOL:
        return ORDER(a.b, b.b);
    case KIND_INT:
    case KIND_DURATION:
    case KIND_TYPE:
        return ORDER(a.i, b.i);
    case KIND_UINT:
        return ORDER(a.u, b.u);
    case KIND_DOUBLE:
        return ORDER(a.d, b.d);
    case KIND_STRING:
    case KIND_BYTES:
        return ORDER(compare_text(a.s, b.s), 0);
    case KIND_TIMESTAMP:
        return a.time.s != b.time.s ? ORDER(a.time.s, b.time.s) : ORDER(a.time.ns, b.time.ns);
    case KIND_NULL:
        return ORDER_EQUAL;
    case KIND_IP:
        return ORDER(memcmp(a.ip, b.ip, sizeof a.ip), 0);
    case KIND_CIDR:
        return a.cidr->prefix == b.cidr->prefix &&
                       memcmp(a.cidr->address, b.cidr->address, sizeof a.cidr->address) == 0
                   ? ORDER_EQUAL
                   : ORDER_NONE;
    case KIND_LIST:
    case KIND_MAP:
    case KIND_ANY:
        break;
    }
    return ORDER_NONE;
}

static bool equal_lists(struct cel_list a, struct cel_list b, const struct cel_type *element)
{
    if (a.count != b.count)
        return false;
    for (size_t i = 0; i < a.count; i++)
        if (!cel_equal(a.at[i], b.at[i], element))
            return false;
    return true;
}

/* Keys are not repeated, so as many that are found again are all. */
static bool equal_maps(struct cel_list a, struct cel_list b, const struct cel_type *type)
{
    if (a.count != b.count)
        return false;
    for (size_t i = 0; i < a.count; i++) {
        const union cel_value *other = cel_lookup(b, a.at[2 * i], type);
        if (!other || !cel_equal(a.at[2 * i + 1], *other, type->element))
            return false;
    }
    return true;
}

bool cel_equal(union cel_value a, union cel_value b, const struct cel_type *type)
{
    switch (type->kind) {
    case KIND_STRING:
    case KIND_BYTES:
        return slice_eq(a.s, b.s);
    case KIND_LIST:
        return equal_lists(a.list, b.list, type->element);
    case KIND_MAP:
        return equal_maps(a.list, b.list, type);
    default:
        return cel_compare(a, b, type->kind) == ORDER_EQUAL;
    }
}

const union cel_value *cel_lookup(struct cel_list map, union cel_value key,
                                  const struct cel_type *type)
{
    for (size_t i = 0; i < map.count; i++)
        if (cel_equal(map.at[2 * i], key, type->key))
            return map.at + 2 * i + 1;
    return NULL;
}

/* The order of sorted lists: any that is total will do, so texts go by length first. */
static int compare_sorted(const union cel_value *a, const union cel_value *b, enum cel_kind kind)
{
    if (kind == KIND_UINT)
        return (a->u > b->u) - (a->u < b->u);
    if (kind != KIND_STRING)
        return (a->i > b->i) - (a->i < b->i);
    if (a->s.len != b->s.len)
        return a->s.len < b->s.len ? -1 : 1;
    return a->s.len ? memcmp(a->s.ptr, b->s.ptr, a->s.len) : 0;
}

static int compare_void(const void *a, const void *b, void *kind)
{
    return compare_sorted(a, b, *(const enum cel_kind *)kind);
}

void cel_sort(union cel_value *at, size_t count, enum cel_kind kind)
{
    if (count)
        qsort_r(at, count, sizeof(*at), compare_void, &kind);
}

void cel_set_sort(struct slice *members, uint32_t count)
{
    // A value begins with the slice that it may be, and is no larger (see cel_in.h).
    cel_sort((union cel_value *)(void *)members, count, KIND_STRING);
}

bool cel_in_sorted(struct cel_list list, const union cel_value *value, enum cel_kind kind)
{
    size_t from = 0;
    size_t to = list.count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        const int order = compare_sorted(value, &list.at[middle], kind);
        if (order == 0)
            return true;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return false;
}
