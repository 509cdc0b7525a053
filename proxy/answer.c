// SPDX-License-Identifier: EUPL-1.2
/* A refusal in the caller's form. What an answer says is decided here once for both forms, in
 * `struct telling`: what may be told depends on the reason alone, so that all bad tokens get one
 * answer, byte for byte but for the reference. */
#include "proxy/answer.h"

#include <assert.h>
#include <stdio.h>

#include "auth/dpop.h"
#include "base/buf.h"
#include "base/escape.h"
#include "base/reason.h"
#include "proxy/form.h"
#include "proxy/page.h"

#define BODY_MAX_BYTES 524288
#define TEXT_MAX 256 /* of a name that is not ours: enough for any that makes sense */
/* What is not clipped: where to sign in again, with a return path in it whose every byte may have
 * become three, and what the page says of itself. The rest has a charter's own words as its longest
 * text, of 2 KiB. */
_Static_assert(ESCAPE_ROOM(3 * RETURN_MAX_BYTES + 1024 + MEMO_MAX_CHARS) + 65536 <= BODY_MAX_BYTES,
               "it has room");
#define RETRY_AFTER "10"     /* seconds, of a 503: nobody knows better */
#define RETRY_AFTER_RATE "1" /* of a 429: the bucket fills all the time */

/* What the caller is told, apart from how. */
struct telling {
    enum reason reason; /* TOKEN_MALFORMED for every bad token */
    uint16_t status;
    bool is_token;
    bool is_proof; /* the proof of possession, not the token, is what is wrong */
    struct slice type;
    struct slice title;
    struct slice detail; /* with JSON */
    struct slice rule;
    struct slice missing;
    struct slice device;
    const struct slice *why; /* the rule's own words, by language; or NULL */
    int64_t acr_level;
};

static struct slice clipped(struct slice text)
{
    return text.len > TEXT_MAX ? slice_from(text.ptr, TEXT_MAX) : text;
}

static bool is_token(enum reason reason)
{
    return reason >= REASON_TOKEN_MALFORMED && reason <= REASON_TOKEN_BINDING;
}

/* Refusals by the rules say which rule, and what was missing; others have no business with it. */
static bool is_by_rule(enum reason reason)
{
    return reason == REASON_DENIED || reason == REASON_FORBIDDEN ||
           reason == REASON_ASSURANCE_TOO_LOW || reason == REASON_DEVICE_REQUIRED;
}

static struct telling telling_of(struct arena *a, const struct refusal *r)
{
    /* What has no status has no answer either: should one be asked for, it is our fault. */
    const enum reason reason = reason_status(r->reason) < 400 ? REASON_INTERNAL : r->reason;
    struct telling t = {.reason = reason,
                        .status = reason_status(reason),
                        .type = reason_name(reason),
                        .title = reason_title(reason),
                        .detail = slice_of(page_message(reason, LANGUAGE_EN)->explanation)};

    if (is_token(reason)) {
        t.reason = REASON_TOKEN_MALFORMED;
        t.is_token = true;
        t.type = SLICE("invalid_token");
        t.title = reason_title(REASON_TOKEN_MALFORMED);
        t.detail = SLICE("invalid token");
    }
    if (reason == REASON_DPOP_PROOF || reason == REASON_DPOP_REPLAYED) {
        t.reason = REASON_DPOP_PROOF;
        t.is_proof = true;
        t.type = SLICE("invalid_dpop_proof");
        t.detail = SLICE("invalid proof of possession");
    }
    if (is_by_rule(reason) && r->decision) {
        t.rule = clipped(r->decision->rule);
        t.missing = clipped(r->decision->missing);
        t.why = r->decision->explanations;
        if (t.why && t.why[LANGUAGE_EN].len)
            t.detail = t.why[LANGUAGE_EN];
    }
    if (reason == REASON_ASSURANCE_TOO_LOW && r->decision)
        t.acr_level = r->decision->needs_acr_level;
    if (reason == REASON_DEVICE_INVALID && r->device_detail) {
        t.device = clipped(slice_of(r->device_detail));
        t.detail = arena_printf(a, "%.*s (%.*s)", SLICE_ARG(t.detail), SLICE_ARG(t.device));
    }
    return t;
}

/* ---- fields ---- */

static void field_add(struct answer *out, struct slice name, struct slice value)
{
    assert(out->field_count < ANSWER_MAX_FIELDS);
    out->fields[out->field_count++] = (struct field){name, value};
}

/* The error types of RFC 9209 §2.3; empty where the fault is not the application's. */
static struct slice proxy_error(enum reason reason)
{
    if (reason == REASON_UPSTREAM_REFUSED)
        return SLICE("connection_refused");
    if (reason == REASON_UPSTREAM_CONNECT_TIMEOUT)
        return SLICE("connection_timeout");
    if (reason == REASON_UPSTREAM_TIMEOUT)
        return SLICE("http_response_timeout");
    if (reason == REASON_UPSTREAM_BROKEN || reason == REASON_CONNECTION_AUTH)
        return SLICE("http_protocol_error");
    if (reason == REASON_UPSTREAM_TLS)
        return SLICE("tls_certificate_error");
    if (reason == REASON_UPSTREAM_UNRESOLVED)
        return SLICE("dns_error");
    if (reason == REASON_UPSTREAM_OUTSIDE)
        return SLICE("destination_ip_prohibited");
    if (reason == REASON_UPSTREAM_DOWN)
        return SLICE("destination_unavailable");
    if (reason == REASON_UPSTREAM_BUSY)
        return SLICE("connection_limit_reached");
    return (struct slice){0};
}

/* A quoted-string (RFC 9110 §5.6.4) of the text, without what could not stand in a field. */
static struct slice quoted(struct arena *a, struct slice text)
{
    char *out = arena_bytes(a, 2 * TEXT_MAX + 2);
    size_t len = 0;

    text = clipped(text);
    out[len++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        if (c < 0x20 || c == 0x7F) /* controls, and all that is not ASCII */
            continue;
        if (c == '"' || c == '\\')
            out[len++] = '\\';
        out[len++] = c;
    }
    out[len++] = '"';
    return slice_from(out, len);
}

/* RFC 9449 §7.1 where the application wants a proof or one was tried; RFC 6750 §3 and, for a
 * sign-in that is too weak, RFC 9470 §3. */
static void challenge_add(struct arena *a, const struct refusal *r, const struct telling *t,
                          struct answer *out)
{
    const struct slice name = SLICE("www-authenticate");

    if (t->status == 401) {
        const struct slice realm = quoted(a, r->app ? r->app->id : SLICE("belfry"));
        const bool is_invalid = t->is_token || r->had_token;
        const bool is_dpop = t->is_proof || r->had_proof || (r->app && r->app->wants_proof);
        field_add(out, name,
                  arena_printf(a, "%s realm=%.*s%s%s", is_dpop ? "DPoP" : "Bearer",
                               SLICE_ARG(realm),
                               t->is_proof  ? ", error=\"invalid_dpop_proof\""
                               : is_invalid ? ", error=\"invalid_token\""
                                            : "",
                               is_dpop ? ", algs=\"" DPOP_ALGORITHMS "\"" : ""));
    } else if (t->acr_level > 0) {
        field_add(out, name,
                  arena_printf(a,
                               "Bearer error=\"insufficient_user_authentication\", "
                               "acr_values=\"urn:be:fedict:iam:fas:Level%03jd\"",
                               (intmax_t)t->acr_level));
    }
}

static void fields_make(struct arena *a, const struct refusal *r, const struct telling *t,
                        struct answer *out)
{
    const struct slice error = proxy_error(t->reason);

    field_add(out, SLICE("content-length"), arena_printf(a, "%zu", out->body.len));
    field_add(out, SLICE("cache-control"), SLICE("no-store"));
    field_add(out, SLICE("x-content-type-options"), SLICE("nosniff"));
    field_add(out, SLICE("belfry-reference"), arena_copy(a, clipped(r->reference)));
    challenge_add(a, r, t, out);
    if (t->status == 503)
        field_add(out, SLICE("retry-after"), SLICE(RETRY_AFTER));
    if (t->reason == REASON_WEBSOCKET_VERSION) /* RFC 6455 §4.4 */
        field_add(out, SLICE("sec-websocket-version"), SLICE("13"));
    if (t->status == 429) /* RFC 6585 §4 */
        field_add(out, SLICE("retry-after"), SLICE(RETRY_AFTER_RATE));
    if (error.len)
        field_add(out, SLICE("proxy-status"),
                  arena_printf(a, "belfry; error=%.*s", SLICE_ARG(error)));
}

/* ---- bodies ---- */

static bool text_print(struct buf *out, const char *key, struct slice text)
{
    char *at;

    if (!text.len)
        return true;
    if (!buf_printf(out, ",\"%s\":\"", key) || !buf_reserve(out, ESCAPE_ROOM(text.len), &at))
        return false;
    buf_grew(out, (size_t)(escape_json(at, text) - at));
    return buf_add(out, SLICE("\""));
}

/* RFC 9457 §3. The first members are ours and need no escape. */
static bool problem_print(struct buf *out, const struct refusal *r, const struct telling *t)
{
    const char *remedy = page_message(t->reason, LANGUAGE_EN)->remedy;

    return buf_printf(out, "{\"type\":\"urn:belfry:problem:%.*s\",\"status\":%u",
                      SLICE_ARG(t->type), t->status) &&
           text_print(out, "title", t->title) && text_print(out, "detail", t->detail) &&
           text_print(out, "reference", clipped(r->reference)) &&
           text_print(out, "rule", t->rule) && text_print(out, "missing", t->missing) &&
           text_print(out, "remedy", slice_of(remedy)) && buf_add(out, SLICE("}\n"));
}

static struct slice remembered(struct arena *a, const struct refusal *r, const struct page *p)
{
    struct form says;
    if (r->back.len || !r->place)
        return (struct slice){0};
    page_say(a, p, &says);
    return memo_write(a, r->place, &says);
}

static bool html_print(struct arena *a, struct buf *out, const struct refusal *r,
                       const struct telling *t, enum language language)
{
    char level[24] = "";

    if (t->acr_level > 0)
        snprintf(level, sizeof level, "%jd", (intmax_t)t->acr_level);
    struct page p = {
        .reason = t->reason,
        .frame = {.language = language,
                  .name = !r->app || r->app->is_sign_in ? (struct slice){0}
                          : r->app->name[language].len  ? clipped(r->app->name[language])
                                                        : clipped(r->app->id),
                  .back = r->back,
                  .has_sheet = r->has_sheet},
        .person = clipped(r->person),
        .again = r->again,
        .reference = clipped(r->reference),
        .rule = t->rule,
        .missing = t->missing,
        .level = slice_of(level),
        .device = t->device,
    };
    if (t->why)
        memcpy(p.why, t->why, sizeof p.why);
    p.frame.memo = remembered(a, r, &p);
    return page_print(out, &p);
}

void answer_page_fields(struct arena *a, enum language language, bool has_sheet, void *owner,
                        void (*add)(void *owner, struct slice name, struct slice value))
{
    const struct slice style =
        has_sheet ? SLICE("'self'") : arena_printf(a, "'sha256-%s'", page_css_sha256);
    add(owner, SLICE("content-language"), language_tag(language));
    add(owner, SLICE("content-security-policy"),
        arena_printf(a,
                     "default-src 'none'; style-src %.*s; base-uri 'none'; form-action 'self'; "
                     "frame-ancestors 'none'",
                     SLICE_ARG(style)));
    /* Not "no-referrer": a form's Origin would then be "null" (Fetch §3.1), which nobody can be
     * known by. */
    add(owner, SLICE("referrer-policy"), SLICE("strict-origin"));
    add(owner, SLICE("cross-origin-opener-policy"), SLICE("same-origin"));
    add(owner, SLICE("cross-origin-resource-policy"), SLICE("same-origin"));
}

static void add_to_answer(void *owner, struct slice name, struct slice value)
{
    field_add(owner, name, value);
}

void answer_make(struct arena *a, const struct refusal *r, struct answer *out)
{
    const struct telling t = telling_of(a, r);
    const enum language language = r->language;
    struct buf body;

    *out = (struct answer){.status = t.status};
    buf_init(&body, BODY_MAX_BYTES);
    const bool is_whole =
        r->wants_html ? html_print(a, &body, r, &t, language) : problem_print(&body, r, &t);
    assert(is_whole); /* every text in it is clipped, or a return path */
    out->body = arena_copy(a, buf_slice(&body));
    buf_fini(&body);
    if (r->wants_html) {
        field_add(out, SLICE("content-type"), SLICE("text/html; charset=utf-8"));
        answer_page_fields(a, language, r->has_sheet, out, add_to_answer);
    } else {
        field_add(out, SLICE("content-type"), SLICE("application/problem+json"));
    }
    fields_make(a, r, &t, out);
}

/* ---- Accept-Language ---- */

#define RANGES_MAX 32 /* a person's list has a handful */

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* qvalue of RFC 9110 §12.4.2 in thousandths: "0" or "1", then "." and at most three digits; none
 * above 1. */
static bool weight_parse(struct slice text, uint32_t *out)
{
    if (!text.len || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
        (text.len > 1 && text.ptr[1] != '.'))
        return false;
    uint32_t weight = text.ptr[0] == '1' ? 1000 : 0;
    uint32_t unit = 100;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        weight += (uint32_t)(text.ptr[i] - '0') * unit;
    }
    if (weight > 1000)
        return false;
    *out = weight;
    return true;
}

/* language-range of RFC 4647 §2.1: "*", or 1 to 8 letters and then subtags of 1 to 8 letters or
 * digits. */
static bool range_is_valid(struct slice range)
{
    if (slice_eq(range, SLICE("*")))
        return true;
    for (bool is_first = true; is_first || range.len; is_first = false) {
        const bool has_more = range.len && memchr(range.ptr, '-', range.len);
        const struct slice part = slice_cut(&range, '-');
        if (part.len < 1 || part.len > 8 || (has_more && !range.len))
            return false;
        for (size_t i = 0; i < part.len; i++)
            if (!is_alpha(part.ptr[i]) && (is_first || part.ptr[i] < '0' || part.ptr[i] > '9'))
                return false;
    }
    return true;
}

/* One element of the list. False where it is not one: it is then as if it were not there. */
static bool element_parse(struct slice element, struct slice *range, uint32_t *weight)
{
    const bool has_weight = element.len && memchr(element.ptr, ';', element.len);

    *range = slice_trim(slice_cut(&element, ';'));
    *weight = 1000;
    if (!range_is_valid(*range))
        return false;
    element = slice_trim(element);
    if (!has_weight)
        return true;
    return element.len > 2 && ascii_lower(element.ptr[0]) == 'q' && element.ptr[1] == '=' &&
           weight_parse(slice_skip(element, 2), weight);
}

enum language answer_language(struct slice accept_language)
{
    static const enum language by_default[] = {LANGUAGE_EN, LANGUAGE_NL, LANGUAGE_FR, LANGUAGE_DE};
    uint32_t weights[LANGUAGE_COUNT] = {0};
    uint32_t places[LANGUAGE_COUNT];
    bool is_named[LANGUAGE_COUNT] = {false};
    uint32_t others = 0; /* what "*" gives to those that are not named */
    enum language best = LANGUAGE_EN;

    for (uint32_t l = 0; l < LANGUAGE_COUNT; l++)
        places[l] = RANGES_MAX;
    for (uint32_t place = 0; accept_language.len && place < RANGES_MAX; place++) {
        struct slice range;
        uint32_t weight;
        if (!element_parse(slice_cut(&accept_language, ','), &range, &weight))
            continue;
        if (slice_eq(range, SLICE("*")))
            others = weight;
        const struct slice primary = slice_cut(&range, '-'); /* nl-BE is answered in nl */
        for (uint32_t l = 0; l < LANGUAGE_COUNT; l++) {
            if (!slice_eq_nocase(primary, language_tag((enum language)l)))
                continue;
            if (!is_named[l] || weight > weights[l]) {
                weights[l] = weight;
                places[l] = place;
            }
            is_named[l] = true;
        }
    }
    uint32_t best_weight = 0;
    for (uint32_t i = 0; i < LANGUAGE_COUNT; i++) {
        const enum language l = by_default[i];
        const uint32_t weight = is_named[l] ? weights[l] : others;
        if (weight > best_weight ||
            (weight == best_weight && weight > 0 && places[l] < places[best])) {
            best = l;
            best_weight = weight;
        }
    }
    return best;
}
