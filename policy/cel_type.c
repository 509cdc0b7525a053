// SPDX-License-Identifier: EUPL-1.2
/* The types of the condition language: how they are called, and when two of them are one. */
#include "policy/cel_in.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct cel_type scalars[] = {
    {KIND_BOOL, NULL, NULL},   {KIND_INT, NULL, NULL},       {KIND_UINT, NULL, NULL},
    {KIND_DOUBLE, NULL, NULL}, {KIND_STRING, NULL, NULL},    {KIND_BYTES, NULL, NULL},
    {KIND_NULL, NULL, NULL},   {KIND_TIMESTAMP, NULL, NULL}, {KIND_DURATION, NULL, NULL},
    {KIND_TYPE, NULL, NULL},   {KIND_IP, NULL, NULL},        {KIND_CIDR, NULL, NULL},
    {KIND_ANY, NULL, NULL},
};

static const struct {
    struct slice cel;   /* as an expression or a value says it */
    const char *person; /* as a message says it */
} names[] = {
    [KIND_BOOL] = {SLICE_INIT("bool"), "bool"},
    [KIND_INT] = {SLICE_INIT("int"), "int"},
    [KIND_UINT] = {SLICE_INIT("uint"), "uint"},
    [KIND_DOUBLE] = {SLICE_INIT("double"), "double"},
    [KIND_STRING] = {SLICE_INIT("string"), "string"},
    [KIND_BYTES] = {SLICE_INIT("bytes"), "bytes"},
    [KIND_NULL] = {SLICE_INIT("null_type"), "null"},
    [KIND_TIMESTAMP] = {SLICE_INIT("google.protobuf.Timestamp"), "timestamp"},
    [KIND_DURATION] = {SLICE_INIT("google.protobuf.Duration"), "duration"},
    [KIND_TYPE] = {SLICE_INIT("type"), "type"},
    [KIND_IP] = {SLICE_INIT("net.IP"), "ip"},
    [KIND_CIDR] = {SLICE_INIT("net.CIDR"), "cidr"},
    [KIND_LIST] = {SLICE_INIT("list"), "list"},
    [KIND_MAP] = {SLICE_INIT("map"), "map"},
    [KIND_ANY] = {SLICE_INIT("dyn"), "anything"},
};

const struct cel_type *cel_type_of(enum cel_kind scalar)
{
    for (size_t i = 0; i < COUNT_OF(scalars); i++)
        if (scalars[i].kind == scalar)
            return &scalars[i];
    return NULL;
}

const struct cel_type *cel_type_list(struct arena *a, const struct cel_type *element)
{
    struct cel_type *type = arena_new(a, struct cel_type);
    *type = (struct cel_type){KIND_LIST, NULL, element};
    return type;
}

const struct cel_type *cel_type_map(struct arena *a, const struct cel_type *key,
                                    const struct cel_type *value)
{
    struct cel_type *type = arena_new(a, struct cel_type);
    *type = (struct cel_type){KIND_MAP, key, value};
    return type;
}

/* As deep as the tree of the condition, which is bounded. */
const struct cel_type *cel_type_unify(struct arena *a, const struct cel_type *x,
                                      const struct cel_type *y)
{
    if (x == y || y->kind == KIND_ANY)
        return x;
    if (x->kind == KIND_ANY)
        return y;
    if (x->kind != y->kind)
        return NULL;
    if (x->kind != KIND_LIST && x->kind != KIND_MAP)
        return x;
    const struct cel_type *element = cel_type_unify(a, x->element, y->element);
    if (!element)
        return NULL;
    if (x->kind == KIND_LIST)
        return element == x->element ? x : cel_type_list(a, element);
    const struct cel_type *key = cel_type_unify(a, x->key, y->key);
    return key ? cel_type_map(a, key, element) : NULL;
}

const char *cel_type_name(struct arena *a, const struct cel_type *type)
{
    if (type->kind == KIND_LIST)
        return arena_printf(a, "list of %s%c", cel_type_name(a, type->element), '\0').ptr;
    if (type->kind == KIND_MAP)
        return arena_printf(a, "map of %s to %s%c", cel_type_name(a, type->key),
                            cel_type_name(a, type->element), '\0')
            .ptr;
    return names[type->kind].person;
}

const char *cel_a_type(struct arena *a, const struct cel_type *type)
{
    const char *name = cel_type_name(a, type);
    if (type->kind == KIND_NULL || type->kind == KIND_BYTES)
        return name;
    return arena_printf(a, "%s %s%c", strchr("ai", name[0]) ? "an" : "a", name, '\0').ptr;
}

struct slice cel_kind_name(enum cel_kind kind)
{
    return names[kind].cel;
}

bool cel_kind_find(struct slice name, enum cel_kind *out)
{
    static const enum cel_kind named[] = {KIND_BOOL,   KIND_INT,   KIND_UINT, KIND_DOUBLE,
                                          KIND_STRING, KIND_BYTES, KIND_NULL, KIND_TYPE,
                                          KIND_LIST,   KIND_MAP};
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        if (slice_eq(name, names[named[i]].cel)) {
            *out = named[i];
            return true;
        }
    }
    return false;
}
