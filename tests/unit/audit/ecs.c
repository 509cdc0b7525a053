// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <jansson.h>

#include "audit/record.h"
#include "audit/seal.h"
#include "audit/writer.h"
#include "base/buf.h"
#include "base/hash.h"

static struct ecs_context usual = {.gateway = "gateway-1", .sequence = 7};

static json_t *printed(const struct event *e)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    cr_assert(ecs_print(&b, e, &usual));
    const struct slice line = buf_slice(&b);
    cr_assert_eq(memchr(line.ptr, '\n', line.len), line.ptr + line.len - 1, "one line");
    json_error_t error;
    json_t *json = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(json, "%s: %.*s", error.text, SLICE_ARG(line));
    buf_fini(&b);
    return json;
}

static const char *text_at(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "(absent)";
}

Test(ecs, says_everything_of_a_decision)
{
    static const char *const want[][2] = {
        {"@timestamp", "2026-11-24T05:51:38.000042Z"},
        {"event.kind", "event"},
        {"event.action", "access-decision"},
        {"event.outcome", "failure"},
        {"event.reason", "No rule permits this"},
        {"event.id", "AAAA-BBBB-CCCC-DDDD"},
        {"event.dataset", "belfry.access"},
        {"belfry.reason_code", "denied"},
        {"rule.id", "rule-1"},
        {"organization.id", "finance"},
        {"service.name", "portal"},
        {"user.hash", "01000000000000000000000000000000000000000000000000000000000000ff"},
        {"tls.client.hash.sha256",
         "0200000000000000000000000000000000000000000000000000000000000000"},
        {"tls.client.x509.serial_number", "0a"},
        {"client.ip", "192.0.2.7"},
        {"device.id", "laptops:LT-1"},
        {"tls.version", "1.3"},
        {"tls.cipher", "TLS_AES_128_GCM_SHA256"},
        {"http.request.method", "GET"},
        {"http.version", "2"},
        {"url.domain", "portal.finance.example"},
        {"url.path", "/persons/[redacted]/x"},
        {"observer.name", "gateway-1"},
        {"observer.type", "proxy"},
        {"observer.product", "Belfry"},
        {"trace.id", "0123456789abcdef0123456789abcdef"},
        {"belfry.missing", "user.groups"},
        {"rule.ruleset", "baseline"},
        {"belfry.shadow.rule", "rule-2"},
        {"belfry.detail", "for [redacted]"},
        {"belfry.provider", "fas"},
        {"belfry.service", "spiffe://finance.example/batch"},
        {"belfry.authority", "laptops"},
    };
    const uint8_t hash[32] = {1, [31] = 255};
    const uint8_t digest[32] = {2};
    const struct event e = {.kind = EVENT_DECISION,
                            .reason = REASON_DENIED,
                            .reference = {"AAAA-BBBB-CCCC-DDDD"},
                            .time_us = 1795499498000042,
                            .entity = SLICE("finance"),
                            .application = SLICE("portal"),
                            .rule = SLICE("rule-1"),
                            .missing = SLICE("user.groups"),
                            .ruleset = SLICE("baseline"),
                            .shadow_rule = SLICE("rule-2"),
                            .method = SLICE("GET"),
                            .host = SLICE("portal.finance.example"),
                            .path = SLICE("/persons/85073003328/x"),
                            .client_address = SLICE("192.0.2.7"),
                            .user_provider = SLICE("fas"),
                            .user_hash = hash,
                            .user_roles = SLICE("officers,leads"),
                            .service = SLICE("spiffe://finance.example/batch"),
                            .device = SLICE("laptops:LT-1"),
                            .device_digest = digest,
                            .device_authority = SLICE("laptops"),
                            .device_serial = SLICE("0a"),
                            .detail = SLICE("for 85.07.30-033.28"),
                            .trace_id = SLICE("0123456789abcdef0123456789abcdef"),
                            .acr_level = 500,
                            .snapshot = 12,
                            .status = 403,
                            .http_major = 2,
                            .tls_version = SLICE("TLSv1.3"),
                            .tls_cipher = SLICE("TLS_AES_128_GCM_SHA256")};
    json_t *json = printed(&e);

    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        cr_expect_str_eq(text_at(json, want[i][0]), want[i][1], "%s", want[i][0]);
    cr_expect_eq(json_integer_value(json_object_get(json, "event.sequence")), 7);
    cr_expect_eq(json_integer_value(json_object_get(json, "http.response.status_code")), 403);
    cr_expect_eq(json_integer_value(json_object_get(json, "belfry.acr_level")), 500);
    cr_expect_eq(json_integer_value(json_object_get(json, "belfry.snapshot")), 12);
    const json_t *roles = json_object_get(json, "user.roles");
    cr_expect_eq(json_array_size(roles), 2);
    cr_expect_str_eq(json_string_value(json_array_get(roles, 1)), "leads");
    const json_t *type = json_object_get(json, "event.type");
    cr_expect_str_eq(json_string_value(json_array_get(type, 1)), "denied");
    cr_expect_null(json_object_get(json, "event.duration"));
    cr_expect_null(json_object_get(json, "belfry.count"));
    json_decref(json);
}

Test(ecs, tells_a_permit_an_end_and_counted_refusals_apart)
{
    struct event e = {.kind = EVENT_DECISION, .is_permit = true, .reason = REASON_PERMITTED};
    json_t *json = printed(&e);
    cr_expect_str_eq(text_at(json, "event.outcome"), "success");
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(json, "event.type"), 1)),
                     "allowed");
    cr_expect_null(json_object_get(json, "user.hash"));
    cr_expect_null(json_object_get(json, "rule.id"), "no value, no key");
    json_decref(json);

    e = (struct event){.kind = EVENT_END,
                       .reason = REASON_CLIENT_GONE,
                       .bytes_in = 5,
                       .bytes_out = 6,
                       .duration_us = 1500,
                       .http_major = 1};
    json = printed(&e);
    cr_expect_str_eq(text_at(json, "event.action"), "access-end");
    cr_expect_str_eq(text_at(json, "event.outcome"), "unknown");
    cr_expect_str_eq(text_at(json, "http.version"), "1.1");
    cr_expect_eq(json_integer_value(json_object_get(json, "event.duration")), 1500000);
    cr_expect_eq(json_integer_value(json_object_get(json, "belfry.bytes_in")), 5);
    cr_expect_eq(json_integer_value(json_object_get(json, "belfry.bytes_out")), 6);
    json_decref(json);

    e = (struct event){.kind = EVENT_REFUSAL,
                       .reason = REASON_HOST_UNKNOWN,
                       .count = 900,
                       .client_address = SLICE("192.0.2.0/24")};
    json = printed(&e);
    cr_expect_str_eq(text_at(json, "event.action"), "access-refused");
    cr_expect_eq(json_integer_value(json_object_get(json, "belfry.count")), 900);
    cr_expect_str_eq(text_at(json, "belfry.client_network"), "192.0.2.0/24");
    cr_expect_null(json_object_get(json, "client.ip"), "a network is no address");
    json_decref(json);
}

Test(ecs, keeps_foreign_bytes_inside_their_string)
{
    static const struct {
        struct slice in;
        const char *want;
    } table[] = {
        {SLICE_INIT("\",\"event.outcome\":\"success"), "\",\"event.outcome\":\"success"},
        {SLICE_INIT("a\\"), "a\\"},
        {SLICE_INIT("a\nb\r\t\x01\x7f"), "a\nb\r\t\x01\x7f"},
        {SLICE_INIT("\xff\xfe"), "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {SLICE_INIT("\xc0\xaf"), "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {SLICE_INIT("caf\xc3\xa9"), "caf\xc3\xa9"},
        {SLICE_INIT("caf\xc3"), "caf\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct event e = {.kind = EVENT_REFUSAL,
                                .reason = REASON_NOT_FOUND,
                                .path = table[i].in,
                                .user_roles = table[i].in,
                                .client_address = table[i].in,
                                .tls_version = table[i].in};
        json_t *json = printed(&e);
        cr_expect_str_eq(text_at(json, "url.path"), table[i].want, "%zu", i);
        cr_expect_str_eq(text_at(json, "event.outcome"), "failure", "%zu", i);
        json_decref(json);
    }
}

Test(ecs, holds_the_worst_line_in_the_room_that_it_takes)
{
    static char text[AUDIT_FIELD_MAX];
    memset(text, 1, sizeof text);
    const struct slice worst = slice_from(text, sizeof text);
    const uint8_t hash[32] = {0};
    const struct event e = {.kind = EVENT_END,
                            .reference = {"AAAA-BBBB-CCCC-DDDD"},
                            .time_us = INT64_MAX,
                            .entity = worst,
                            .application = worst,
                            .rule = worst,
                            .missing = worst,
                            .method = worst,
                            .host = worst,
                            .path = worst,
                            .client_address = worst,
                            .user_provider = worst,
                            .user_hash = hash,
                            .user_roles = worst,
                            .service = worst,
                            .device = worst,
                            .device_digest = hash,
                            .device_authority = worst,
                            .device_serial = worst,
                            .detail = worst,
                            .trace_id = worst,
                            .acr_level = INT64_MAX,
                            .snapshot = UINT64_MAX,
                            .status = UINT16_MAX,
                            .http_major = 1,
                            .tls_version = worst,
                            .tls_cipher = worst,
                            .count = UINT64_MAX,
                            .bytes_in = UINT64_MAX,
                            .bytes_out = UINT64_MAX,
                            .duration_us = UINT64_MAX};
    json_decref(printed(&e));
    memset(text, ',', sizeof text);
    json_decref(printed(&e));

    struct buf small;
    buf_init(&small, 8192);
    cr_expect_not(ecs_print(&small, &e, &usual));
    cr_expect_eq(buf_len(&small), 0, "a line is there whole or not at all");
    buf_fini(&small);
}

/* What is in the line, unsealed; empty where there is nothing. */
static struct slice unsealed(const struct event *e, struct arena *a)
{
    struct unseals *keys = unseals_new();
    struct slice plain = SLICE("");
    json_t *line = printed(e);
    const char *sealed = json_string_value(json_object_get(line, "belfry.facts"));
    unseals_add(keys, SLICE("key"));
    if (sealed)
        cr_assert(unseals_open(keys, e->entity, slice_of(e->reference.text), slice_of(sealed), a,
                               &plain));
    cr_expect_eq(json_is_true(json_object_get(line, "belfry.facts_cut")),
                 sealed && e->facts_are_cut);
    json_decref(line);
    unseals_free(keys);
    return plain;
}

Test(ecs, seals_what_the_rules_asked_for_and_the_path_that_is_redacted)
{
    static char worst[AUDIT_FIELD_MAX];
    struct arena a;
    struct event e = {.kind = EVENT_DECISION, .was_judged = true, .entity = SLICE("finance")};
    base_init();
    arena_init(&a, NULL);
    memset(worst, '\1', sizeof worst);
    memcpy(worst + 1024, "85073003328", 11);
    usual.seals = seals_new();
    seals_add(usual.seals, SLICE("finance"), SLICE("key"));
    cr_expect_eq(unsealed(&e, &a).len, 0, "there is nothing to say");
    e.facts = SLICE("some facts");
    e.facts_are_cut = true;
    cr_expect(slice_eq(unsealed(&e, &a), SLICE("\0\0some facts")));
    e.path = SLICE("/p/85073003328");
    cr_expect(slice_eq(unsealed(&e, &a), SLICE("\0\016/p/85073003328some facts")));
    e.facts = e.path = slice_from(worst, sizeof worst);
    cr_expect_eq(unsealed(&e, &a).len, 2 + 2 * sizeof worst);
    e.was_judged = false;
    cr_expect_eq(unsealed(&e, &a).len, 0, "no rule had a word in it");
    e.was_judged = true;
    e.entity = SLICE("health");
    cr_expect_eq(unsealed(&e, &a).len, 0, "there is no key");
    seals_free(usual.seals);
    usual.seals = NULL;
    arena_fini(&a);
}

/* Each day of four centuries, which is all that the calendar has, and the last that can be told. */
Test(ecs, tells_the_time_as_the_calendar_does)
{
    static const int64_t odd[] = {0, -1, INT64_MIN, INT64_MAX, 253402300799, 253402300800};
    struct buf b;
    buf_init(&b, 1 << 16);
    for (int64_t i = -(int64_t)(sizeof odd / sizeof *odd); i < 146097 + 366; i++) {
        const int64_t s = i < 0 ? odd[-i - 1] : i * 86400 + i % 86400;
        const int64_t us = s == INT64_MIN || s == INT64_MAX ? s : s * 1000000 + (s < 0 ? 0 : 42);
        const time_t told = s < 0 || s >= 253402300800 ? 0 : (time_t)s;
        const struct event e = {.kind = EVENT_REFUSAL, .time_us = us};
        struct tm tm;
        char expected[64];
        gmtime_r(&told, &tm);
        strftime(expected, sizeof expected, "{\"@timestamp\":\"%Y-%m-%dT%H:%M:%S.", &tm);
        cr_assert(ecs_print(&b, &e, &usual));
        cr_assert(slice_starts(buf_slice(&b), slice_of(expected)), "%jd: %.60s", (intmax_t)s,
                  buf_slice(&b).ptr);
        buf_clear(&b);
    }
    buf_fini(&b);
}
