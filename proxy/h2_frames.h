// SPDX-License-Identifier: EUPL-1.2
/* Where the frames of an HTTP/2 connection begin (RFC 9113 §4.1), read beside nghttp2: of some
 * frames that break a rule it says nothing, and so the heads are seen before it sees them. Pure. */
#pragma once

#include "belfry/slice.h"

#define H2_PREFACE_BYTES 24
#define H2_FRAME_HEAD_BYTES 9

/* Zeroed at the start of a connection. */
struct h2_frames {
    uint32_t preface; /* bytes of it that have come */
    uint32_t have;    /* bytes of the head that is coming */
    uint32_t left;    /* bytes of the payload still to come */
    uint8_t head[H2_FRAME_HEAD_BYTES];
};

struct h2_frame_head {
    uint32_t length;
    uint32_t stream_id; /* without its reserved bit */
    uint8_t type;
    uint8_t flags;
};

/* Cuts off the front of `rest`, which is not empty, what belongs to one frame: never nothing. True:
 * the frame's head has become whole with it, and is in *head. */
bool h2_frames_next(struct h2_frames *f, struct slice *rest, struct slice *piece,
                    struct h2_frame_head *head);
