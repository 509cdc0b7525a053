// SPDX-License-Identifier: EUPL-1.2
/* Where frames begin, whatever the pieces in which they come. */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "proxy/h2_frames.h"

/* The preface, SETTINGS without payload, DATA of three bytes with the reserved bit set, and a head
 * of the largest length that there is. */
static const char wire[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                           "\0\0\0\4\0\0\0\0\0"
                           "\0\0\3\0\1\x80\0\0\5abc"
                           "\xff\xff\xff\x9\4\x7f\xff\xff\xff"
                           "xyz";
static const struct h2_frame_head expected[] = {
    {0, 0, 4, 0}, {3, 5, 0, 1}, {0xffffff, 0x7fffffff, 9, 4}};

/* Feeds the wire in two parts, each in a block of exactly its length; the pieces are the wire. */
static void check(size_t split)
{
    struct h2_frames f = {0};
    size_t seen = 0;
    size_t at = 0;
    for (size_t part = 0; part < 2; part++) {
        const size_t len = part ? sizeof wire - 1 - split : split;
        char *bytes = mem_array(char, len ? len : 1);
        struct slice rest = {bytes, len};
        if (len)
            memcpy(bytes, wire + (part ? split : 0), len);
        while (rest.len) {
            struct slice piece;
            struct h2_frame_head head;
            if (h2_frames_next(&f, &rest, &piece, &head)) {
                cr_assert(seen < 3 && head.length == expected[seen].length);
                cr_assert(head.stream_id == expected[seen].stream_id);
                cr_assert(head.type == expected[seen].type && head.flags == expected[seen].flags);
                seen++;
            }
            cr_assert(piece.len && memcmp(piece.ptr, wire + at, piece.len) == 0);
            at += piece.len;
        }
        mem_free(bytes);
    }
    cr_assert(seen == 3 && at == sizeof wire - 1);
    cr_assert(f.left == 0xffffff - 3);
}

Test(h2_frames, heads_are_seen_in_every_split)
{
    for (size_t split = 0; split < sizeof wire; split++)
        check(split);
}

Test(h2_frames, a_whole_frame_is_one_piece)
{
    struct h2_frames f = {.preface = H2_PREFACE_BYTES};
    struct h2_frame_head head;
    struct slice rest = slice_from("\0\0\2\0\0\0\0\0\1abNEXT", 15);
    struct slice piece;
    cr_assert(h2_frames_next(&f, &rest, &piece, &head));
    cr_assert(piece.len == 11 && slice_eq(rest, SLICE("NEXT")));
}
