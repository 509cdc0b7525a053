// SPDX-License-Identifier: EUPL-1.2
/* What may come behind a body, and in front of an answer. */
#include "proxy/fields.h"

#include <criterion/criterion.h>

static const struct {
    struct slice name;
    bool may_trail;
} trailers[] = {
    {SLICE_INIT("grpc-status"), true},
    {SLICE_INIT("grpc-message"), true},
    {SLICE_INIT("grpc-status-details-bin"), true},
    {SLICE_INIT("server-timing"), true},
    {SLICE_INIT("etag"), true},
    {SLICE_INIT("digest"), true},
    {SLICE_INIT("x-checksum"), true},
    /* framing and routing (RFC 9110 §6.5.1) */
    {SLICE_INIT("transfer-encoding"), false},
    {SLICE_INIT("content-length"), false},
    {SLICE_INIT("content_length"), false},
    {SLICE_INIT("content-type"), false},
    {SLICE_INIT("content-encoding"), false},
    {SLICE_INIT("content-range"), false},
    {SLICE_INIT("host"), false},
    {SLICE_INIT(":status"), false},
    {SLICE_INIT(":path"), false},
    {SLICE_INIT(""), false},
    /* of one connection */
    {SLICE_INIT("connection"), false},
    {SLICE_INIT("keep-alive"), false},
    {SLICE_INIT("trailer"), false},
    {SLICE_INIT("te"), false},
    {SLICE_INIT("upgrade"), false},
    {SLICE_INIT("proxy-connection"), false},
    {SLICE_INIT("http2-settings"), false},
    /* what asks for more than it is, or says who asks */
    {SLICE_INIT("expect"), false},
    {SLICE_INIT("range"), false},
    {SLICE_INIT("if-match"), false},
    {SLICE_INIT("if_none_match"), false},
    {SLICE_INIT("max-forwards"), false},
    {SLICE_INIT("authorization"), false},
    {SLICE_INIT("proxy-authorization"), false},
    {SLICE_INIT("proxy-authenticate"), false},
    {SLICE_INIT("www-authenticate"), false},
    {SLICE_INIT("cookie"), false},
    {SLICE_INIT("set-cookie"), false},
    {SLICE_INIT("set_cookie"), false},
    {SLICE_INIT("origin"), false},
    {SLICE_INIT("forwarded"), false},
    {SLICE_INIT("x-forwarded-for"), false},
    {SLICE_INIT("x_forwarded.host"), false},
    {SLICE_INIT("client-cert"), false},
    {SLICE_INIT("belfry-assertion"), false},
    {SLICE_INIT("belfry_reference"), false},
    {SLICE_INIT("sec-websocket-accept"), false},
    {SLICE_INIT("access-control-allow-origin"), false},
    {SLICE_INIT("strict-transport-security"), false},
    /* how an answer is handled */
    {SLICE_INIT("cache-control"), false},
    {SLICE_INIT("age"), false},
    {SLICE_INIT("expires"), false},
    {SLICE_INIT("pragma"), false},
    {SLICE_INIT("warning"), false},
    {SLICE_INIT("retry-after"), false},
    {SLICE_INIT("date"), false},
    {SLICE_INIT("location"), false},
    {SLICE_INIT("vary"), false},
    {SLICE_INIT("via"), false},
};

Test(fields, what_tells_how_to_read_a_message_or_whom_to_trust_never_trails)
{
    for (size_t i = 0; i < sizeof trailers / sizeof *trailers; i++) {
        const struct field given[] = {{SLICE("first"), SLICE("1")},
                                      {trailers[i].name, SLICE("value")},
                                      {SLICE("last"), SLICE("2")}};
        struct arena a;
        struct field *out = NULL;
        arena_init(&a, NULL);
        uint32_t count = fields_trailers(&a, given, 3, &out);
        cr_expect_eq(count, trailers[i].may_trail ? 3 : 2, "'%.*s'", SLICE_ARG(trailers[i].name));
        cr_expect(slice_eq(out[0].name, SLICE("first")) &&
                  slice_eq(out[count - 1].value, SLICE("2")));
        arena_fini(&a);
    }
}

Test(fields, trailers_are_copies)
{
    char name[] = "x-sum";
    char value[] = "1234";
    const struct field given = {slice_of(name), slice_of(value)};
    struct arena a;
    struct field *out = NULL;
    arena_init(&a, NULL);
    cr_assert_eq(fields_trailers(&a, &given, 1, &out), 1);
    memset(name, 'z', sizeof name - 1);
    memset(value, 'z', sizeof value - 1);
    cr_expect(slice_eq(out[0].name, SLICE("x-sum")) && slice_eq(out[0].value, SLICE("1234")));
    cr_expect_eq(fields_trailers(&a, NULL, 0, &out), 0);
    arena_fini(&a);
}

Test(fields, an_early_hint_says_nothing_that_is_ours_or_of_one_connection)
{
    const struct field given[] = {{SLICE("link"), SLICE("</a.css>; rel=preload")},
                                  {SLICE("connection"), SLICE("x-private, link-2")},
                                  {SLICE("x-private"), SLICE("1")},
                                  {SLICE("content-length"), SLICE("5")},
                                  {SLICE("transfer-encoding"), SLICE("chunked")},
                                  {SLICE("belfry-assertion"), SLICE("forged")},
                                  {SLICE("set-cookie"), SLICE("__Host-belfry=stolen")},
                                  {SLICE("strict-transport-security"), SLICE("max-age=0")},
                                  {SLICE("x-kept"), SLICE("yes")}};
    const struct upstream_head head = {
        .status = 103, .fields = given, .field_count = sizeof given / sizeof *given};
    struct arena a;
    struct field *out = NULL;
    arena_init(&a, NULL);
    cr_assert_eq(fields_early(&a, &head, &out), 2);
    cr_expect(slice_eq(out[0].name, SLICE("link")) && slice_eq(out[1].name, SLICE("x-kept")));
    arena_fini(&a);
}
