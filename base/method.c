// SPDX-License-Identifier: EUPL-1.2
/* One table of the methods that rules can name. */
#include "base/method.h"

static const struct {
    struct slice name;
    bool is_idempotent;
} methods[METHOD_COUNT] = {
    [METHOD_OTHER] = {SLICE_INIT(""), false},      [METHOD_GET] = {SLICE_INIT("GET"), true},
    [METHOD_HEAD] = {SLICE_INIT("HEAD"), true},    [METHOD_POST] = {SLICE_INIT("POST"), false},
    [METHOD_PUT] = {SLICE_INIT("PUT"), true},      [METHOD_DELETE] = {SLICE_INIT("DELETE"), true},
    [METHOD_PATCH] = {SLICE_INIT("PATCH"), false}, [METHOD_OPTIONS] = {SLICE_INIT("OPTIONS"), true},
};

enum method method_of(struct slice name)
{
    for (enum method m = METHOD_GET; m < METHOD_COUNT; m++)
        if (slice_eq(methods[m].name, name))
            return m;
    return METHOD_OTHER;
}

struct slice method_name(enum method m)
{
    return methods[m].name;
}

bool method_is_carried(struct slice name)
{
    return !slice_eq(name, SLICE("CONNECT")) && !slice_eq(name, SLICE("TRACE"));
}

bool method_is_idempotent(enum method m)
{
    return methods[m].is_idempotent;
}
