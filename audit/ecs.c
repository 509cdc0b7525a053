// SPDX-License-Identifier: EUPL-1.2
/* One event as a line of JSON with Elastic Common Schema names, flat ("event.action"). What has no
 * value has no key. The room for the worst case is taken first, so that the rest is copying without
 * a check. Text that a person outside can have put a national number into is redacted here and
 * nowhere else. */
#include "audit/writer.h"

#include "audit/redact.h"
#include "audit/seal.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/escape.h"
#include "base/reason.h"

/* More than all keys, all numbers and both digests together. */
#define FIXED_ROOM 4096
#define YEAR_10000_US 253402300800000000

#define TEXT(key, field, redacted)                                                                 \
    {                                                                                              \
        SLICE_INIT(",\"" key "\":\""), offsetof(struct event, field), redacted                     \
    }
static const struct {
    struct slice key; /* with all that stands before the value */
    size_t at;
    bool is_redacted;
} texts[] = {
    /* clang-format off */
    TEXT("rule.id",                              rule,             false),
    TEXT("organization.id",                      entity,           false),
    TEXT("service.name",                         application,      false),
    TEXT("device.id",                            device,           true),
    TEXT("tls.client.x509.serial_number",        device_serial,    false),
    TEXT("tls.cipher",                           tls_cipher,       false),
    TEXT("http.request.method",                  method,           true),
    TEXT("url.domain",                           host,             true),
    TEXT("url.path",                             path,             true),
    TEXT("trace.id",                             trace_id,         false),
    TEXT("belfry.missing",                       missing,          false),
    TEXT("rule.ruleset",                         ruleset,          false),
    TEXT("belfry.shadow.rule",                   shadow_rule,      false),
    TEXT("belfry.shadow.bundle_rule",            trial_rule,       false),
    TEXT("belfry.detail",                        detail,           true),
    TEXT("belfry.provider",                      user_provider,    false),
    TEXT("belfry.session",                       session,          false),
    TEXT("belfry.service",                       service,          true),
    TEXT("belfry.authority",                     device_authority, false),
    /* clang-format on */
};
#undef TEXT
#define TEXT_COUNT (sizeof texts / sizeof texts[0])

static struct slice text_of(const struct event *e, size_t i)
{
    return *(const struct slice *)(const void *)((const char *)e + texts[i].at);
}

static char *put(char *at, struct slice text)
{
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

#define PUT(literal) (at = put(at, SLICE(literal)))

/* At most INT64_MAX: more is no number to many who read JSON (a `long` of ECS). */
static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t from = sizeof digits;

    n = n > INT64_MAX ? INT64_MAX : n;
    do
        digits[--from] = (char)('0' + n % 10);
    while (n /= 10);
    return put(at, slice_from(digits + from, sizeof digits - from));
}

/* Exactly `width` digits. */
static char *put_padded(char *at, uint64_t n, int width)
{
    for (int i = width; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    return at + width;
}

/* Escaped, with each national number replaced. "[redacted]" is shorter than any of them. */
static char *put_redacted(char *at, struct slice text)
{
    size_t from = 0;
    size_t start;
    size_t end;

    while (redact_next(text, from, &start, &end)) {
        at = escape_json(at, slice_from(text.ptr + from, start - from));
        PUT("[redacted]");
        from = end;
    }
    return escape_json(at, slice_skip(text, from));
}

struct day {
    uint64_t year;
    uint64_t month; /* from 1 */
    uint64_t day;   /* from 1 */
};

/* The date `days` after 1970-01-01. Years begin with March, so that the leap day is their last; 400
 * of them are 146,097 days. gmtime_r() looks for the time zone's file each time, and each line has
 * a time. */
static struct day day_of(uint64_t days)
{
    const uint64_t since = days + 719468; /* 0000-03-01 */
    const uint64_t in_era = since % 146097;
    const uint64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const uint64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    const uint64_t march = (5 * in_year + 2) / 153; /* 0: March */
    const bool is_next = march >= 10;               /* January and February */
    return (struct day){.year = since / 146097 * 400 + year + is_next,
                        .month = is_next ? march - 9 : march + 3,
                        .day = in_year - (153 * march + 2) / 5 + 1};
}

/* What can't be told in four digits of a year is told as the beginning of time. */
static char *put_time(char *at, int64_t time_us)
{
    const bool is_sane = time_us >= 0 && time_us < YEAR_10000_US;
    const uint64_t us = is_sane ? (uint64_t)time_us : 0;
    const uint64_t s = us / 1000000;
    const struct day day = day_of(s / 86400);

    at = put_padded(at, day.year, 4);
    *at++ = '-';
    at = put_padded(at, day.month, 2);
    *at++ = '-';
    at = put_padded(at, day.day, 2);
    *at++ = 'T';
    at = put_padded(at, s / 3600 % 24, 2);
    *at++ = ':';
    at = put_padded(at, s / 60 % 60, 2);
    *at++ = ':';
    at = put_padded(at, s % 60, 2);
    *at++ = '.';
    at = put_padded(at, us % 1000000, 6);
    *at++ = 'Z';
    return at;
}

static char *put_hex(char *at, const uint8_t digest[32])
{
    hex_encode(at, digest, 32);
    return at + 64;
}

static char *put_kind(char *at, const struct event *e)
{
    switch (e->kind) {
    case EVENT_DECISION:
        if (e->is_permit)
            return PUT("\"access\",\"allowed\"],\"event.action\":\"access-decision\"");
        return PUT("\"access\",\"denied\"],\"event.action\":\"access-decision\"");
    case EVENT_END:
        return PUT("\"access\",\"end\"],\"event.action\":\"access-end\"");
    case EVENT_SESSION:
        if (slice_eq(e->action, SLICE("sign-in")))
            PUT("\"start\"],\"event.action\":\"");
        else if (slice_eq(e->action, SLICE("session-move")))
            PUT("\"change\"],\"event.action\":\"");
        else
            PUT("\"end\"],\"event.action\":\"");
        at = put(at, e->action);
        return PUT("\"");
    case EVENT_REFUSAL:
        break;
    }
    return PUT("\"access\",\"denied\"],\"event.action\":\"access-refused\"");
}

static struct slice reference_of(const struct event *e)
{
    return slice_from(e->reference.text, strnlen(e->reference.text, sizeof e->reference.text));
}

static char *put_event(char *at, const struct event *e, uint64_t sequence)
{
    PUT("{\"@timestamp\":\"");
    at = put_time(at, e->time_us);
    PUT("\",\"ecs.version\":\"8.11.0\",\"event.kind\":\"event\",\"event.category\":[");
    if (e->kind == EVENT_SESSION)
        PUT("\"authentication\",\"session\"],\"event.type\":[");
    else
        PUT("\"network\",\"web\"],\"event.type\":[");
    at = put_kind(at, e);
    PUT(",\"event.outcome\":\"");
    at = put(at, reason_outcome(e->reason));
    PUT("\",\"event.reason\":\"");
    at = escape_json(at, reason_title(e->reason));
    PUT("\",\"belfry.reason_code\":\"");
    at = put(at, reason_name(e->reason));
    if (e->reference.text[0]) {
        PUT("\",\"event.id\":\"");
        at = escape_json(at, reference_of(e));
    }
    PUT("\",\"event.dataset\":\"belfry.access\",\"event.sequence\":");
    return put_number(at, sequence);
}

static char *put_user(char *at, const struct event *e)
{
    if (e->user_hash) {
        PUT(",\"user.hash\":\"");
        at = put_hex(at, e->user_hash);
        PUT("\"");
    }
    if (e->user_roles.len) {
        struct slice rest = e->user_roles;
        PUT(",\"user.roles\":[\"");
        while (rest.len) {
            at = put_redacted(at, slice_cut(&rest, ','));
            if (rest.len)
                PUT("\",\"");
        }
        PUT("\"]");
    }
    if (e->acr_level > 0) {
        PUT(",\"belfry.acr_level\":");
        at = put_number(at, (uint64_t)e->acr_level);
    }
    return at;
}

/* An address is client.ip; the network of a counted event is none, and has a name of ours. */
static char *put_client(char *at, struct slice address)
{
    if (!address.len)
        return at;
    if (memchr(address.ptr, '/', address.len))
        PUT(",\"belfry.client_network\":\"");
    else
        PUT(",\"client.ip\":\"");
    at = escape_json(at, address);
    return PUT("\"");
}

static char *put_tls(char *at, const struct event *e)
{
    const struct slice prefix = SLICE("TLSv");

    if (e->device_digest) {
        PUT(",\"tls.client.hash.sha256\":\"");
        at = put_hex(at, e->device_digest);
        PUT("\"");
    }
    if (e->tls_version.len) {
        /* ECS wants the number alone; OpenSSL says "TLSv1.3". */
        PUT(",\"tls.version\":\"");
        at = escape_json(at, slice_starts(e->tls_version, prefix)
                                 ? slice_skip(e->tls_version, prefix.len)
                                 : e->tls_version);
        PUT("\"");
    }
    return at;
}

static char *put_http(char *at, const struct event *e)
{
    if (e->http_major == 1)
        PUT(",\"http.version\":\"1.1\"");
    else if (e->http_major == 2)
        PUT(",\"http.version\":\"2\"");
    if (e->status) {
        PUT(",\"http.response.status_code\":");
        at = put_number(at, e->status);
    }
    return at;
}

static char *put_end(char *at, const struct event *e)
{
    PUT(",\"belfry.bytes_in\":");
    at = put_number(at, e->bytes_in);
    PUT(",\"belfry.bytes_out\":");
    at = put_number(at, e->bytes_out);
    PUT(",\"event.duration\":");
    return put_number(at, e->duration_us < UINT64_MAX / 1000 ? e->duration_us * 1000 : UINT64_MAX);
}

/* What rules asked for, and the path where the line shows less of it: its length, itself, the
 * facts. Of a person more often than not, so always sealed. */
static char *put_facts(char *at, const struct event *e, const struct ecs_context *c)
{
    size_t start, end;
    const bool has_more = redact_next(e->path, 0, &start, &end);
    const struct slice path = has_more ? e->path : SLICE("");
    const uint8_t len[] = {(uint8_t)(path.len >> 8), (uint8_t)path.len};
    const struct slice parts[] = {slice_from(len, sizeof len), path, e->facts};
    const struct slice key = SLICE(",\"belfry.facts\":\"");

    if (!c->seals || !e->was_judged || !(has_more || e->facts.len))
        return at;
    const size_t sealed = seals_put(c->seals, e->entity, reference_of(e), parts, 3, at + key.len);
    if (!sealed)
        return at;
    at = put(at, key) + sealed;
    PUT("\"");
    return e->facts_are_cut ? PUT(",\"belfry.facts_cut\":true") : at;
}

static size_t room_of(const struct event *e, struct slice gateway)
{
    size_t len = gateway.len + e->user_roles.len + e->client_address.len + e->tls_version.len;

    for (size_t i = 0; i < TEXT_COUNT; i++)
        len += text_of(e, i).len;
    return FIXED_ROOM + ESCAPE_ROOM(len) + SEALED_ROOM(e->path.len + e->facts.len);
}

bool ecs_print(struct buf *out, const struct event *e, const struct ecs_context *c)
{
    const struct slice name = slice_of(c->gateway);
    char *line;

    if (!buf_reserve(out, room_of(e, name), &line))
        return false;
    char *at = put_event(line, e, c->sequence);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const struct slice text = text_of(e, i);
        if (!text.len)
            continue;
        at = put(at, texts[i].key);
        at = texts[i].is_redacted ? put_redacted(at, text) : escape_json(at, text);
        PUT("\"");
    }
    at = put_user(at, e);
    at = put_client(at, e->client_address);
    at = put_tls(at, e);
    at = put_http(at, e);
    if (e->snapshot) {
        PUT(",\"belfry.snapshot\":");
        at = put_number(at, e->snapshot);
    }
    if (e->trial_serial) {
        PUT(",\"belfry.shadow.bundle\":");
        at = put_number(at, e->trial_serial);
    }
    if (e->count) {
        PUT(",\"belfry.count\":");
        at = put_number(at, e->count);
    }
    if (e->kind == EVENT_END)
        at = put_end(at, e);
    at = put_facts(at, e, c);
    PUT(",\"observer.name\":\"");
    at = escape_json(at, name);
    PUT("\",\"observer.type\":\"proxy\",\"observer.product\":\"Belfry\"}\n");
    buf_grew(out, (size_t)(at - line));
    return true;
}
