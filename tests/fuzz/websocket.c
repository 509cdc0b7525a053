// SPDX-License-Identifier: EUPL-1.2
/* Frames from anywhere. Properties: in pieces they are followed as at once; and between frames
 * means that a Close put there is seen as a Close, by this reader and by a slow one that has it
 * all. */
#include <assert.h>

#include "proxy/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the last whole frame ends; SIZE_MAX where a length is none. */
static size_t last_end(const uint8_t *data, size_t size, bool *has_closed)
{
    size_t at = 0;
    while (size - at >= 2) {
        uint64_t length = data[at + 1] & 0x7f;
        size_t head = 2;
        *has_closed |= (data[at] & 0x0f) == 8;
        if (length >= 126) {
            size_t bytes = length == 126 ? 2 : 8;
            if (size - at < 2 + bytes)
                return at;
            for (length = 0; bytes; bytes--)
                length = length << 8 | data[at + head++];
        }
        if (length > INT64_MAX)
            return SIZE_MAX;
        length += data[at + 1] & 0x80 ? 4 : 0;
        if (size - at - head < length)
            return at;
        at += head + (size_t)length;
    }
    if (size > at)
        *has_closed |= (data[at] & 0x0f) == 8;
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct websocket_track once = {0};
    struct websocket_track stepped = {0};
    char close[WEBSOCKET_CLOSE_MAX];
    bool has_closed = false;
    size_t end = last_end(data, size, &has_closed);
    websocket_track(&once, slice_from(data, size));
    for (size_t at = 0; at < size; at++)
        websocket_track(&stepped, slice_from(data + at, 1));
    assert(once.left == stepped.left && once.head == stepped.head);
    assert(once.is_lost == stepped.is_lost && once.has_closed == stepped.has_closed);
    assert(once.is_lost == (end == SIZE_MAX));
    assert(websocket_may_insert(&once) == (end == size && !has_closed));
    if (!websocket_may_insert(&once))
        return 0;
    websocket_track(&once, slice_from(close, websocket_close(close, WEBSOCKET_POLICY_VIOLATION,
                                                             slice_from(data, size))));
    assert(once.has_closed && !once.left && !once.head && !once.is_lost);
    return 0;
}
