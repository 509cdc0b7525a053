// SPDX-License-Identifier: EUPL-1.2
#include "proxy/h2_frames.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static uint32_t number(const uint8_t *bytes, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        n = n << 8 | bytes[i];
    return n;
}

static struct slice cut(struct slice *rest, size_t len)
{
    struct slice piece = {rest->ptr, len};
    *rest = slice_skip(*rest, len);
    return piece;
}

bool h2_frames_next(struct h2_frames *f, struct slice *rest, struct slice *piece,
                    struct h2_frame_head *head)
{
    size_t n;
    if (f->preface < H2_PREFACE_BYTES) {
        *piece = cut(rest, least(H2_PREFACE_BYTES - f->preface, rest->len));
        f->preface += (uint32_t)piece->len;
        return false;
    }
    if (f->left) {
        *piece = cut(rest, least(f->left, rest->len));
        f->left -= (uint32_t)piece->len;
        return false;
    }
    n = least(H2_FRAME_HEAD_BYTES - f->have, rest->len);
    memcpy(f->head + f->have, rest->ptr, n);
    f->have += (uint32_t)n;
    if (f->have < H2_FRAME_HEAD_BYTES) {
        *piece = cut(rest, n);
        return false;
    }
    *head = (struct h2_frame_head){.length = number(f->head, 3),
                                   .type = f->head[3],
                                   .flags = f->head[4],
                                   .stream_id = number(f->head + 5, 4) & 0x7fffffff};
    *piece = cut(rest, n + least(head->length, rest->len - n));
    f->left = head->length - (uint32_t)(piece->len - n);
    f->have = 0;
    return true;
}
