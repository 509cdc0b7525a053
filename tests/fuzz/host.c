// SPDX-License-Identifier: EUPL-1.2
/* Hosts and patterns from anywhere. Properties: what comes out is a fixed point, and matches
 * itself; printed with its port again it is read the same; nothing in it could end a line or an
 * authority. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "policy/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void comes_back(struct slice host, uint16_t port)
{
    char text[HOST_MAX + 8];
    char room[HOST_MAX];
    struct slice again;
    uint16_t port_again = 0;
    int len = port ? snprintf(text, sizeof text, "%.*s:%u", SLICE_ARG(host), (unsigned)port)
                   : snprintf(text, sizeof text, "%.*s", SLICE_ARG(host));
    assert(host_parse(slice_from(text, (size_t)len), room, &again, &port_again));
    assert(slice_eq(host, again) && port == port_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_from(data, size), once, twice;
    char room[HOST_MAX], other[HOST_MAX];
    uint16_t port = 0, none = 1;
    if (host_parse(text, room, &once, &port)) {
        assert(host_parse(once, other, &twice, &none) && slice_eq(once, twice) && none == 0);
        assert(host_matches(once, once) && host_overlaps(once, once));
        assert(once.len && once.len <= HOST_MAX);
        for (size_t i = 0; i < once.len; i++)
            assert(strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", once.ptr[i]) && once.ptr[i]);
        comes_back(once, port);
    }
    if (host_pattern_parse(text, room, &once)) {
        assert(host_pattern_parse(once, other, &twice) && slice_eq(once, twice));
        assert(host_overlaps(once, once));
    }
    return 0;
}
