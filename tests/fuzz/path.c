// SPDX-License-Identifier: EUPL-1.2
/* Targets from anywhere; the first byte chooses the options. Properties: the canonical form is a
 * fixed point with the same segments, what the strict form accepts the open form reads alike, no
 * segment is a dot segment, and what goes upstream (the canonical form and the query) is read the
 * same again and holds no byte that could end a request line. */
#include <assert.h>
#include <string.h>

#include "policy/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct path *a, const struct path *b)
{
    assert(slice_eq(a->canonical, b->canonical));
    assert(a->segment_count == b->segment_count && a->has_parameters == b->has_parameters);
    for (uint32_t i = 0; i < a->segment_count; i++)
        assert(slice_eq(a->segments[i], b->segments[i]));
}

static void check_sent(const struct request *r, struct path_options options, struct arena *a)
{
    struct request again = {0};
    size_t len = r->path.canonical.len + (r->has_query ? 1 + r->query.len : 0);
    char *text = arena_bytes(a, len);
    memcpy(text, r->path.canonical.ptr, r->path.canonical.len);
    if (r->has_query) {
        text[r->path.canonical.len] = '?';
        if (r->query.len)
            memcpy(text + r->path.canonical.len + 1, r->query.ptr, r->query.len);
    }
    for (size_t i = 0; i < len; i++)
        assert(text[i] > ' ' && text[i] < 0x7f && text[i] != '#');
    assert(target_parse(&again, slice_from(text, len), options, a) == REASON_PERMITTED);
    check_same(&r->path, &again.path);
    assert(slice_eq(r->decoded_path, again.decoded_path));
    assert(r->has_query == again.has_query && slice_eq(r->query, again.query));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct path_options open = {true, true, true, true, false};
    struct request once = {0}, twice = {0};
    struct arena a;
    if (!size)
        return 0;
    struct path_options options = {data[0] & 1, data[0] & 2, data[0] & 4, data[0] & 8, false};
    arena_init(&a, NULL);
    if (target_parse(&once, slice_from(data + 1, size - 1), options, &a) == REASON_PERMITTED) {
        assert(once.path.canonical.len <= size - 1 && once.path.canonical.ptr[0] == '/');
        for (uint32_t i = 0; i < once.path.segment_count; i++)
            assert(!slice_eq(once.path.segments[i], SLICE(".")) &&
                   !slice_eq(once.path.segments[i], SLICE("..")));
        check_sent(&once, options, &a);
        assert(target_parse(&twice, once.path.canonical, options, &a) == REASON_PERMITTED);
        check_same(&once.path, &twice.path);
        assert(target_parse(&twice, once.path.canonical, open, &a) == REASON_PERMITTED);
        check_same(&once.path, &twice.path);
    }
    arena_fini(&a);
    return 0;
}
