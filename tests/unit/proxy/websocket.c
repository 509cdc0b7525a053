// SPDX-License-Identifier: EUPL-1.2
/* The opening handshake field by field, and frames cut anywhere. */
#include <criterion/criterion.h>

#include "base/codec.h"
#include "proxy/websocket.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

Test(websocket, the_accept_value_is_that_of_the_rfc)
{
    char out[WEBSOCKET_ACCEPT_CHARS]; /* RFC 6455 §1.3 */
    websocket_accept(out, SLICE(KEY));
    cr_expect(slice_eq(slice_from(out, sizeof out), SLICE("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}

Test(websocket, a_key_of_ours_is_sixteen_bytes_and_never_the_same)
{
    struct dice d;
    char a[WEBSOCKET_KEY_CHARS];
    char b[WEBSOCKET_KEY_CHARS];
    struct field f[] = {{SLICE("sec-websocket-key"), {a, sizeof a}},
                        {SLICE("sec-websocket-version"), SLICE("13")}};
    dice_init(&d);
    websocket_key_make(&d, a);
    websocket_key_make(&d, b);
    cr_expect_eq(websocket_judge(f, 2, true), REASON_PERMITTED);
    cr_expect(memcmp(a, b, sizeof a) != 0);
}

static const struct {
    struct slice key;
    struct slice second_key;
    struct slice version;
    struct slice second_version;
    bool has_key;
    enum reason judged;
} handshakes[] = {
    {SLICE_INIT(KEY), {0}, SLICE_INIT("13"), {0}, true, REASON_PERMITTED},
    {{0}, {0}, SLICE_INIT("13"), {0}, false, REASON_PERMITTED},
    {SLICE_INIT(KEY), {0}, SLICE_INIT("8"), {0}, true, REASON_WEBSOCKET_VERSION},
    {SLICE_INIT(KEY), {0}, SLICE_INIT("013"), {0}, true, REASON_WEBSOCKET_VERSION},
    {{0}, {0}, SLICE_INIT("14"), {0}, false, REASON_WEBSOCKET_VERSION},
    {SLICE_INIT(KEY), {0}, {0}, {0}, true, REASON_REQUEST_MALFORMED},
    {SLICE_INIT(KEY), {0}, SLICE_INIT("13"), SLICE_INIT("13"), true, REASON_REQUEST_MALFORMED},
    {SLICE_INIT(KEY), SLICE_INIT(KEY), SLICE_INIT("13"), {0}, true, REASON_REQUEST_MALFORMED},
    {{0}, {0}, SLICE_INIT("13"), {0}, true, REASON_REQUEST_MALFORMED},
    {SLICE_INIT(KEY), {0}, SLICE_INIT("13"), {0}, false, REASON_REQUEST_MALFORMED},
    {SLICE_INIT("dGhlIHNhbXBsZSBub25jZQ"),
     {0},
     SLICE_INIT("13"),
     {0},
     true,
     REASON_REQUEST_MALFORMED},
    {SLICE_INIT("dGhlIHNhbXBsZSBub25jZQA="),
     {0},
     SLICE_INIT("13"),
     {0},
     true,
     REASON_REQUEST_MALFORMED},
    {SLICE_INIT("dGhlIHNhbXBsZSBub25jZ!=="),
     {0},
     SLICE_INIT("13"),
     {0},
     true,
     REASON_REQUEST_MALFORMED},
    {SLICE_INIT("dGhlIHNhbXBsZSBub25jZR=="),
     {0},
     SLICE_INIT("13"),
     {0},
     true,
     REASON_REQUEST_MALFORMED},
};

Test(websocket, a_handshake_has_one_key_and_one_version)
{
    for (size_t i = 0; i < sizeof handshakes / sizeof *handshakes; i++) {
        const struct slice name[] = {SLICE("sec-websocket-key"), SLICE("sec-websocket-key"),
                                     SLICE("sec-websocket-version"),
                                     SLICE("sec-websocket-version")};
        const struct slice value[] = {handshakes[i].key, handshakes[i].second_key,
                                      handshakes[i].version, handshakes[i].second_version};
        struct field f[4];
        uint32_t n = 0;
        for (size_t j = 0; j < 4; j++)
            if (value[j].ptr)
                f[n++] = (struct field){name[j], value[j]};
        cr_expect_eq(websocket_judge(f, n, handshakes[i].has_key), handshakes[i].judged, "row %zu",
                     i);
    }
}

Test(websocket, a_close_is_one_short_frame_without_a_mask)
{
    char out[WEBSOCKET_CLOSE_MAX];
    char long_reason[300];
    size_t n = websocket_close(out, WEBSOCKET_POLICY_VIOLATION, SLICE("denied"));
    cr_expect(slice_eq(slice_from(out, n), SLICE("\x88\x08\x03\xf0"
                                                 "denied")));
    memset(long_reason, 'x', sizeof long_reason);
    n = websocket_close(out, WEBSOCKET_GOING_AWAY, slice_from(long_reason, sizeof long_reason));
    cr_expect_eq(n, WEBSOCKET_CLOSE_MAX);
    cr_expect_eq((uint8_t)out[1], 125);
}

/* After how many bytes of `in` one may insert, as a bit each; bit 0: at the start. */
static uint64_t gaps(struct slice in, size_t step)
{
    struct websocket_track t = {0};
    uint64_t found = websocket_may_insert(&t);
    for (size_t at = 0; at < in.len; at += step) {
        size_t n = in.len - at < step ? in.len - at : step;
        websocket_track(&t, slice_from(in.ptr + at, n));
        found |= (uint64_t)websocket_may_insert(&t) << (at + n);
    }
    return found;
}

Test(websocket, frames_end_where_their_length_says)
{
    /* Text "Hi"; an empty ping; text of one byte under a mask; the same with a long length. */
    const struct slice in = SLICE("\x81\x02Hi"
                                  "\x89\x00"
                                  "\x01\x81maskx"
                                  "\x80\x7e\x00\x01x"
                                  "\x82\x7f\0\0\0\0\0\0\0\x02xx");
    cr_expect_eq(gaps(in, 1), 1 | 1 << 4 | 1 << 6 | 1 << 13 | 1 << 18 | 1ull << 30);
    for (size_t step = 2; step <= in.len; step++)
        cr_expect_eq(gaps(in, step) & ~gaps(in, 1), 0, "in steps of %zu", step);
}

Test(websocket, a_length_of_sixty_four_bits_is_read_whole)
{
    struct websocket_track t = {0};
    websocket_track(&t, SLICE("\x82\x7f\x00\x00\x01\x02\x03\x04\x05\x06xyz"));
    cr_expect_eq(t.left, 0x010203040506 - 3);
    cr_expect_not(websocket_may_insert(&t));
}

Test(websocket, behind_a_close_and_behind_what_is_no_frame_nothing_is_inserted)
{
    struct websocket_track closed = {0};
    struct websocket_track lost = {0};
    websocket_track(&closed, SLICE("\x88\x02\x03\xe8"));
    cr_expect_not(websocket_may_insert(&closed));
    websocket_track(&lost, SLICE("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"));
    websocket_track(&lost, SLICE("\x81\x02Hi"));
    cr_expect(lost.is_lost);
    cr_expect_not(websocket_may_insert(&lost));
}
