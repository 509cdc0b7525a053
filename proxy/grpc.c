// SPDX-License-Identifier: EUPL-1.2
/* The codes are those of gRPC's own table of HTTP statuses, but where the reason says more than its
 * status does. */
#include "proxy/grpc.h"

#include "base/reason.h"

enum {
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

bool grpc_is(const struct request *r)
{
    static const struct slice name = SLICE_INIT("application/grpc");
    if (r->protocol != PROTOCOL_H2) /* there is no gRPC over anything else */
        return false;
    for (uint32_t i = 0; i < r->field_count; i++) {
        struct slice value = r->fields[i].value;
        if (!slice_eq(r->fields[i].name, SLICE("content-type")))
            continue;
        return value.len >= name.len && slice_eq_nocase(slice_from(value.ptr, name.len), name) &&
               (value.len == name.len || value.ptr[name.len] == '+' || value.ptr[name.len] == ';');
    }
    return false;
}

/* TimeoutValue: 1 to 8 digits; TimeoutUnit: H M S m u n. What is finer than our clock is rounded
 * up: nobody's time ends early. */
enum grpc_timeout grpc_timeout(const struct request *r, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t times;
        int64_t parts;
    } units[] = {{'H', 3600000, 1}, {'M', 60000, 1}, {'S', 1000, 1},
                 {'m', 1, 1},       {'u', 1, 1000},  {'n', 1, 1000000}};
    struct slice text = {0};
    uint32_t count = 0;
    uint64_t value;
    for (uint32_t i = 0; i < r->field_count; i++) {
        if (!slice_eq(r->fields[i].name, SLICE("grpc-timeout")))
            continue;
        text = r->fields[i].value;
        count++;
    }
    if (!count)
        return GRPC_TIMEOUT_NONE;
    if (count > 1 || text.len < 2 || text.len > 9 ||
        !slice_u64(slice_from(text.ptr, text.len - 1), 99999999, &value))
        return GRPC_TIMEOUT_BAD;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (text.ptr[text.len - 1] != units[i].unit)
            continue;
        *ms = ((int64_t)value * units[i].times + units[i].parts - 1) / units[i].parts;
        return GRPC_TIMEOUT_GOOD;
    }
    return GRPC_TIMEOUT_BAD;
}

static unsigned code_of_status(uint16_t status)
{
    switch (status) {
    case 400:
    case 413:
    case 414:
    case 431:
        return GRPC_INVALID_ARGUMENT;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
    case 421:
        return GRPC_NOT_FOUND;
    case 408:
    case 504:
        return GRPC_DEADLINE_EXCEEDED;
    case 429:
        return GRPC_RESOURCE_EXHAUSTED;
    case 501:
        return GRPC_UNIMPLEMENTED;
    case 502:
    case 503:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_INTERNAL;
    }
}

unsigned grpc_code(enum reason why)
{
    if (why == REASON_ACCESS_WITHDRAWN)
        return GRPC_PERMISSION_DENIED;
    return code_of_status(reason_status(why));
}

uint32_t grpc_status(struct arena *a, enum reason why, const struct reference *reference,
                     struct field **out)
{
    struct field *f = arena_array(a, struct field, 3);
    f[0] = (struct field){SLICE("grpc-status"), arena_printf(a, "%u", grpc_code(why))};
    f[1] = (struct field){
        SLICE("grpc-message"),
        arena_printf(a, "%.*s (%.*s)", SLICE_ARG(reason_title(why)), SLICE_ARG(reason_name(why)))};
    f[2] = (struct field){SLICE("belfry-reference"),
                          arena_copy(a, slice_from(reference->text, REFERENCE_CHARS))};
    *out = f;
    return 3;
}
