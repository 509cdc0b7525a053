// SPDX-License-Identifier: EUPL-1.2
/* Values of single fields, from anywhere. The first byte chooses: "t" traceparent, "g"
 * grpc-timeout, "c" cookies, "l" Accept-Language. Properties: what we send on is of the one form
 * that the standard has, a deadline is no longer than gRPC's greatest, and a cookie that is found
 * is in the field. */
#include <assert.h>

#include "base/hash.h"
#include "base/trace.h"
#include "proxy/answer.h"
#include "proxy/cookie.h"
#include "proxy/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_trace(struct slice value)
{
    struct trace one, two;
    struct dice dice;
    dice_init(&dice);
    const bool is_taken = trace_make(&one, value, &dice);
    const struct slice text = slice_of(one.text);
    assert(text.len == TRACEPARENT_CHARS && slice_starts(text, SLICE("00-")));
    for (size_t i = 3; i < text.len; i++)
        assert((text.ptr[i] == '-') == (i == 35 || i == 52));
    if (is_taken)
        assert(slice_eq(trace_id(&one), slice_from(value.ptr + 3, 32)));
    assert(trace_make(&two, text, &dice) && slice_eq(trace_id(&one), trace_id(&two)));
}

static void try_grpc(const struct request *r)
{
    int64_t ms = -1;
    if (grpc_timeout(r, &ms) == GRPC_TIMEOUT_GOOD)
        assert(ms >= 0 && ms <= 99999999LL * 3600 * 1000);
}

static void try_cookies(const struct request *r)
{
    struct cookie_walk walk = {0};
    struct slice name, value;
    const struct slice field = r->fields[0].value;
    size_t ours = 0;
    while (cookie_next(r, &walk, &name, &value)) {
        assert(name.ptr >= field.ptr && value.ptr + value.len <= field.ptr + field.len);
        assert(name.ptr + name.len < value.ptr + 1);
        ours += slice_eq(name, SLICE(COOKIE_SESSION));
    }
    assert((ours == 1) == (cookie_get(r, SLICE(COOKIE_SESSION)).ptr != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    base_init();
    const struct slice value = slice_from(data + 1, size - 1);
    struct field field = {.name = SLICE("cookie"), .value = value};
    const struct request r = {.fields = &field, .field_count = 1};
    switch (data[0]) {
    case 't':
        try_trace(value);
        break;
    case 'g':
        field.name = SLICE("grpc-timeout");
        try_grpc(&r);
        break;
    case 'c':
        try_cookies(&r);
        break;
    case 'l':
        assert(answer_language(value) < LANGUAGE_COUNT);
        break;
    default:
        break;
    }
    return 0;
}
