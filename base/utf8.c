// SPDX-License-Identifier: EUPL-1.2
/* See the header: what is refused here is text to nobody in the house. */
#include "base/utf8.h"

size_t utf8_next_long(struct slice s, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t lead = (uint8_t)s.ptr[0];
    const size_t len = lead < 0x80   ? 1
                       : lead < 0xc2 ? 0
                       : lead < 0xe0 ? 2
                       : lead < 0xf0 ? 3
                       : lead < 0xf5 ? 4
                                     : 0;
    if (!len || len > s.len)
        return 0;
    uint32_t point = len == 1 ? lead : lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        const uint8_t byte = (uint8_t)s.ptr[i];
        if ((byte & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (byte & 0x3fu);
    }
    if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *out = point;
    return len;
}

bool utf8_is(struct slice s)
{
    uint64_t eight;
    uint32_t point;
    while (s.len) {
        size_t len = sizeof eight;
        if (s.len >= len)
            memcpy(&eight, s.ptr, len);
        if (s.len < len || eight & 0x8080808080808080u) // not eight of ASCII
            len = utf8_next(s, &point);
        if (!len)
            return false;
        s = slice_skip(s, len);
    }
    return true;
}
