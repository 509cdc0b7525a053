// SPDX-License-Identifier: EUPL-1.2
#include "proxy/grpc.h"

#include <criterion/criterion.h>

static enum grpc_timeout timeout_of(const char *text, int64_t *ms)
{
    struct field fields[] = {{SLICE("te"), SLICE("trailers")},
                             {SLICE("grpc-timeout"), slice_from(text, strlen(text))}};
    const struct request r = {.fields = fields, .field_count = 2};
    *ms = -1;
    return grpc_timeout(&r, ms);
}

Test(grpc, each_unit_of_a_timeout_is_read_and_what_is_finer_is_rounded_up)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"1H", 3600000}, {"2M", 120000},      {"3S", 3000},
                {"4m", 4},       {"5u", 1},           {"6n", 1},
                {"1000u", 1},    {"1001u", 2},        {"0S", 0},
                {"0n", 0},       {"00000001S", 1000}, {"99999999H", 359999996400000}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t ms;
        cr_assert_eq(timeout_of(good[i].text, &ms), GRPC_TIMEOUT_GOOD, "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s", good[i].text);
    }
}

Test(grpc, what_is_no_timeout_is_refused)
{
    static const char *const bad[] = {"",    "S",   "1",   "1s",         "1h",
                                      "-1S", "+1S", "1 S", "1.5S",       "0x1S",
                                      "1SS", " 1S", "S1",  "100000000S", "1\xc2S"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms;
        cr_assert_eq(timeout_of(bad[i], &ms), GRPC_TIMEOUT_BAD, "%s", bad[i]);
    }
}

Test(grpc, no_timeout_is_none_and_two_are_bad)
{
    struct field fields[] = {{SLICE("grpc-timeout"), SLICE("1S")},
                             {SLICE("grpc-timeout"), SLICE("1S")}};
    struct request r = {.fields = fields};
    int64_t ms;
    cr_assert_eq(grpc_timeout(&r, &ms), GRPC_TIMEOUT_NONE);
    r.field_count = 2;
    cr_assert_eq(grpc_timeout(&r, &ms), GRPC_TIMEOUT_BAD);
}

Test(grpc, only_its_own_media_type_over_http2_is_grpc)
{
    static const struct {
        struct slice type;
        bool is;
    } cases[] = {
        {SLICE_INIT("application/grpc"), true},      {SLICE_INIT("application/grpc+proto"), true},
        {SLICE_INIT("Application/GRPC; a=b"), true}, {SLICE_INIT("application/grpc-web"), false},
        {SLICE_INIT("application/grpcx"), false},    {SLICE_INIT("application/grp"), false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct field type = {SLICE("content-type"), cases[i].type};
        struct request r = {.protocol = PROTOCOL_H2, .fields = &type, .field_count = 1};
        cr_assert_eq(grpc_is(&r), cases[i].is, "%.*s", SLICE_ARG(cases[i].type));
        r.protocol = PROTOCOL_H1;
        cr_assert_not(grpc_is(&r));
    }
}

Test(grpc, a_reason_has_the_code_that_a_client_acts_on)
{
    cr_assert_eq(grpc_code(REASON_DENIED), 7);
    cr_assert_eq(grpc_code(REASON_DEVICE_REQUIRED), 7);
    cr_assert_eq(grpc_code(REASON_ACCESS_WITHDRAWN), 7);
    cr_assert_eq(grpc_code(REASON_IDENTITY_REQUIRED), 16);
    cr_assert_eq(grpc_code(REASON_TOKEN_EXPIRED), 16);
    cr_assert_eq(grpc_code(REASON_UPSTREAM_REFUSED), 14);
    cr_assert_eq(grpc_code(REASON_UPSTREAM_TIMEOUT), 4);
    cr_assert_eq(grpc_code(REASON_BODY_TOO_LARGE), 3);
}
