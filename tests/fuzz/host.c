// SPDX-License-Identifier: EUPL-1.2
/* Hosts and patterns from anywhere. Property: what comes out is a fixed point, and matches itself.
 */
#include <assert.h>

#include "policy/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_from(data, size), once, twice;
    char room[HOST_MAX], other[HOST_MAX];
    uint16_t port = 0, none = 1;
    if (host_parse(text, room, &once, &port)) {
        assert(host_parse(once, other, &twice, &none) && slice_eq(once, twice) && none == 0);
        assert(host_matches(once, once) && host_overlaps(once, once));
        assert(once.len <= HOST_MAX && !memchr(once.ptr, ':', once.len));
    }
    if (host_pattern_parse(text, room, &once)) {
        assert(host_pattern_parse(once, other, &twice) && slice_eq(once, twice));
        assert(host_overlaps(once, once));
    }
    return 0;
}
