// SPDX-License-Identifier: EUPL-1.2
#include "proxy/answer.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/reason.h"
#include "proxy/form.h"
#include "proxy/page.h"

static const char *const tags[LANGUAGE_COUNT] = {
    [LANGUAGE_NL] = "nl", [LANGUAGE_FR] = "fr", [LANGUAGE_DE] = "de", [LANGUAGE_EN] = "en"};

/* What must never come out as it went in. */
#define EVIL "<script>\"'&\\\r\n\xff"

static const struct application evil_app = {.id = SLICE_INIT("a" EVIL),
                                            .name = {SLICE_INIT("n" EVIL), SLICE_INIT("f" EVIL),
                                                     SLICE_INIT("d" EVIL), SLICE_INIT("e" EVIL)}};
static const struct decision evil_decision = {.rule = SLICE_INIT("r" EVIL),
                                              .missing = SLICE_INIT("user.groups" EVIL),
                                              .needs_acr_level = 500};

static struct refusal refusal_of(enum reason reason, bool wants_html)
{
    return (struct refusal){.reason = reason,
                            .reference = SLICE("AAAA-BBBB-CCCC-DDDD"),
                            .wants_html = wants_html,
                            .language = LANGUAGE_EN};
}

static struct slice field_named(const struct answer *a, const char *name)
{
    for (uint32_t i = 0; i < a->field_count; i++)
        if (slice_eq(a->fields[i].name, slice_of(name)))
            return a->fields[i].value;
    return (struct slice){0};
}

static bool has(struct slice text, const char *part)
{
    return text.len && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static bool is_answered(enum reason reason)
{
    return reason_status(reason) >= 400;
}

static void check_common(const struct answer *out, enum reason reason)
{
    char length[24];
    snprintf(length, sizeof length, "%zu", out->body.len);
    cr_expect_eq(out->status, reason_status(reason));
    cr_expect(slice_eq(field_named(out, "content-length"), slice_of(length)));
    cr_expect(slice_eq(field_named(out, "cache-control"), SLICE("no-store")));
    cr_expect(slice_eq(field_named(out, "x-content-type-options"), SLICE("nosniff")));
    cr_expect(slice_eq(field_named(out, "belfry-reference"), SLICE("AAAA-BBBB-CCCC-DDDD")));
    cr_expect_eq(field_named(out, "www-authenticate").len > 0,
                 out->status == 401 || reason == REASON_ASSURANCE_TOO_LOW);
    cr_expect_eq(field_named(out, "retry-after").len > 0, out->status == 503 || out->status == 429);
    cr_expect_eq(has(field_named(out, "proxy-status"), "belfry; error="),
                 (out->status == 502 && reason != REASON_PROVIDER_MISTAKEN) || out->status == 504 ||
                     reason == REASON_UPSTREAM_BUSY || reason == REASON_UPSTREAM_DOWN);
    for (uint32_t i = 0; i < out->field_count; i++)
        for (size_t at = 0; at < out->fields[i].value.len; at++)
            cr_expect(out->fields[i].value.ptr[at] >= 0x20 && out->fields[i].value.ptr[at] < 0x7F,
                      "%.*s", SLICE_ARG(out->fields[i].name));
}

Test(answer, every_reason_is_a_problem_that_parses)
{
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        struct arena a;
        struct answer out;
        struct refusal r = refusal_of(reason, false);
        if (!is_answered(reason))
            continue;
        r.app = &evil_app;
        r.decision = &evil_decision;
        r.device_detail = "d" EVIL;
        arena_init(&a, NULL);
        answer_make(&a, &r, &out);
        check_common(&out, reason);
        cr_expect(slice_eq(field_named(&out, "content-type"), SLICE("application/problem+json")));
        json_t *json = json_loadb(out.body.ptr, out.body.len, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(json, "%.*s", SLICE_ARG(out.body));
        cr_expect_eq(json_integer_value(json_object_get(json, "status")), out.status);
        cr_expect_str_eq(json_string_value(json_object_get(json, "reference")),
                         "AAAA-BBBB-CCCC-DDDD");
        cr_expect(slice_starts(slice_of(json_string_value(json_object_get(json, "type"))),
                               SLICE("urn:belfry:problem:")));
        cr_expect_gt(json_string_length(json_object_get(json, "title")), 0);
        cr_expect_gt(json_string_length(json_object_get(json, "detail")), 0);
        cr_expect_gt(json_string_length(json_object_get(json, "remedy")), 0);
        json_decref(json);
        arena_fini(&a);
    }
}

Test(answer, every_reason_is_a_page_in_every_language)
{
    for (enum reason reason = 0; reason < REASON_COUNT; reason++)
        for (enum language language = 0; language < LANGUAGE_COUNT; language++) {
            struct arena a;
            struct answer out;
            char mark[32];
            struct refusal r = refusal_of(reason, true);
            if (!is_answered(reason))
                continue;
            r.app = &evil_app;
            r.decision = &evil_decision;
            r.device_detail = "d" EVIL;
            r.person = SLICE("p" EVIL);
            r.language = (enum language)language;
            arena_init(&a, NULL);
            answer_make(&a, &r, &out);
            check_common(&out, reason);
            snprintf(mark, sizeof mark, "<html lang=\"%s\">", tags[language]);
            cr_expect(has(out.body, mark), "%s", mark);
            cr_expect(slice_eq(field_named(&out, "content-language"), slice_of(tags[language])));
            cr_expect(has(out.body, "AAAA-BBBB-CCCC-DDDD"));
            cr_expect(has(out.body, "&lt;script&gt;&quot;&#39;&amp;\\"), "the name, escaped");
            cr_expect_not(has(out.body, "<script"));
            cr_expect_not(has(out.body, " style="));
            cr_expect_not(has(out.body, "{{"));
            cr_expect_not(has(out.body, "\xff"));
            cr_expect_lt(out.body.len, 8000);
            arena_fini(&a);
        }
}

Test(answer, who_is_signed_in_is_told_as_whom_and_how_to_sign_out)
{
    struct arena a;
    struct answer out;
    struct refusal r = refusal_of(REASON_DENIED, true);
    arena_init(&a, NULL);
    answer_make(&a, &r, &out);
    cr_expect_not(has(out.body, "/.belfry/sign-out"));
    r.person = SLICE("Bart Lambert");
    answer_make(&a, &r, &out);
    cr_expect(has(out.body, "You are signed in as <strong>Bart Lambert</strong>"));
    cr_expect(has(out.body, "<a href=\"/.belfry/sign-out\">"));
    arena_fini(&a);
}

Test(answer, a_page_has_room_for_the_longest_addresses)
{
    static char back[RETURN_MAX_BYTES], again[3 * RETURN_MAX_BYTES + 400];
    for (const char *c = "&\"%"; *c; c++) {
        struct arena a;
        struct answer out;
        struct refusal r = refusal_of(REASON_DENIED, true);
        memset(back, *c, sizeof back);
        memset(again, *c == '%' ? '%' : 'a', sizeof again);
        r.back = slice_from(back, sizeof back);
        r.again = slice_from(again, sizeof again);
        r.person = SLICE("p" EVIL);
        arena_init(&a, NULL);
        answer_make(&a, &r, &out);
        cr_expect(has(out.body, "</html>"));
        arena_fini(&a);
    }
}

Test(answer, the_baseline_says_why_in_its_own_words)
{
    static const struct slice words[LANGUAGE_COUNT] = {
        SLICE_INIT("Meld u eerst aan <bij ons>."), [LANGUAGE_EN] = SLICE_INIT("Sign in first.")};
    static const struct decision by_baseline = {
        .rule = SLICE_INIT("nobody-unknown"), .is_baseline = true, .explanations = words};
    struct arena a;
    struct answer out;
    struct refusal r = refusal_of(REASON_DENIED, true);
    r.decision = &by_baseline;
    r.language = LANGUAGE_NL;
    arena_init(&a, NULL);
    answer_make(&a, &r, &out);
    cr_expect(has(out.body, "Meld u eerst aan &lt;bij ons&gt;."));
    cr_expect_not(has(out.body, "Geen enkele regel"));
    r.language = LANGUAGE_FR;
    answer_make(&a, &r, &out);
    cr_expect(has(out.body, "Aucune règle"), "they say nothing in French");
    r.wants_html = false;
    answer_make(&a, &r, &out);
    cr_expect(has(out.body, "\"detail\":\"Sign in first.\""));
    arena_fini(&a);
}

Test(answer, what_a_page_says_is_said_again)
{
    const struct page p = {.reason = REASON_ASSURANCE_TOO_LOW,
                           .why = {[LANGUAGE_DE] = SLICE_INIT("Warum")},
                           .reference = SLICE("r"),
                           .rule = SLICE("u"),
                           .missing = SLICE("m"),
                           .level = SLICE("l"),
                           .device = SLICE("d"),
                           .person = SLICE("p"),
                           .again = SLICE("a")};
    struct arena a;
    struct form says;
    struct page again;
    arena_init(&a, NULL);
    page_say(&a, &p, &says);
    cr_assert(page_said(&again, &says));
    cr_expect_eq(memcmp(&again, &p, sizeof p), 0);
    says.fields[1].value = SLICE("no_such_reason");
    cr_expect_not(page_said(&again, &says));
    arena_fini(&a);
}

Test(answer, the_policy_allows_the_style_of_the_page_and_nothing_else)
{
    struct arena a;
    struct answer out;
    uint8_t digest[32];
    char want[300];
    char text[BASE64_LEN(32) + 1] = "";
    const struct refusal r = refusal_of(REASON_DENIED, true);

    base_init();
    arena_init(&a, NULL);
    answer_make(&a, &r, &out);
    const char *from = memmem(out.body.ptr, out.body.len, "<style>", 7);
    const char *to = memmem(out.body.ptr, out.body.len, "</style>", 8);
    cr_assert(from && to && from < to);
    sha256(digest, slice_from(from + 7, (size_t)(to - from) - 7));
    base64_encode(text, digest, 32);
    snprintf(want, sizeof want,
             "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'self'; "
             "frame-ancestors 'none'",
             text);
    cr_expect(slice_eq(field_named(&out, "content-security-policy"), slice_of(want)), "%s", want);
    arena_fini(&a);
}

/* All of the answer as one text. */
static struct slice whole(struct arena *a, enum reason reason, bool wants_html, bool had_token)
{
    struct answer out;
    struct refusal r = refusal_of(reason, wants_html);
    struct slice text;

    r.app = &evil_app;
    r.decision = &evil_decision;
    r.had_token = had_token;
    answer_make(a, &r, &out);
    text = arena_printf(a, "%u\n", out.status);
    for (uint32_t i = 0; i < out.field_count; i++)
        text = arena_printf(a, "%.*s%.*s: %.*s\n", SLICE_ARG(text), SLICE_ARG(out.fields[i].name),
                            SLICE_ARG(out.fields[i].value));
    return arena_printf(a, "%.*s\n%.*s", SLICE_ARG(text), SLICE_ARG(out.body));
}

Test(answer, all_bad_tokens_look_the_same)
{
    struct arena a;
    arena_init(&a, NULL);
    for (int html = 0; html < 2; html++) {
        const struct slice first = whole(&a, REASON_TOKEN_MALFORMED, html, true);
        cr_expect(has(first, "error=\"invalid_token\""));
        cr_expect(html || has(first, "urn:belfry:problem:invalid_token"));
        int count = 0;
        for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
            if (!slice_starts(reason_name(reason), SLICE("token_")))
                continue;
            count++;
            cr_expect(slice_eq(whole(&a, reason, html, true), first), "%.*s",
                      SLICE_ARG(reason_name(reason)));
            cr_expect(slice_eq(whole(&a, reason, html, false), first));
        }
        cr_expect_eq(count, 13);
    }
    arena_fini(&a);
}

Test(answer, challenges_as_the_caller_can_use_it)
{
    static const struct application app = {.id = SLICE_INIT("portal")};
    static const struct {
        enum reason reason;
        bool had_token;
        int64_t level;
        const char *want;
    } table[] = {
        {REASON_IDENTITY_REQUIRED, false, 0, "Bearer realm=\"portal\""},
        {REASON_IDENTITY_REQUIRED, true, 0, "Bearer realm=\"portal\", error=\"invalid_token\""},
        {REASON_TOKEN_EXPIRED, true, 0, "Bearer realm=\"portal\", error=\"invalid_token\""},
        {REASON_ASSURANCE_TOO_LOW, true, 450,
         "Bearer error=\"insufficient_user_authentication\", "
         "acr_values=\"urn:be:fedict:iam:fas:Level450\""},
        {REASON_ASSURANCE_TOO_LOW, true, 0, ""},
        {REASON_DENIED, true, 500, ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct arena a;
        struct answer out;
        const struct decision d = {.needs_acr_level = table[i].level};
        struct refusal r = refusal_of(table[i].reason, false);
        r.app = &app;
        r.decision = &d;
        r.had_token = table[i].had_token;
        arena_init(&a, NULL);
        answer_make(&a, &r, &out);
        cr_expect(slice_eq(field_named(&out, "www-authenticate"), slice_of(table[i].want)), "%s",
                  table[i].want);
        arena_fini(&a);
    }
}

Test(answer, tells_rule_and_lack_only_where_a_rule_decided)
{
    static const struct decision d = {.rule = SLICE_INIT("rule-7"),
                                      .missing = SLICE_INIT("user.groups")};
    for (enum reason reason = 0; reason < REASON_COUNT; reason++)
        for (int html = 0; html < 2; html++) {
            struct arena a;
            struct answer out;
            struct refusal r = refusal_of(reason, html);
            r.decision = &d;
            arena_init(&a, NULL);
            answer_make(&a, &r, &out);
            const bool is_told = reason == REASON_DENIED || reason == REASON_FORBIDDEN ||
                                 reason == REASON_ASSURANCE_TOO_LOW ||
                                 reason == REASON_DEVICE_REQUIRED;
            cr_expect_eq(has(out.body, "rule-7"), is_told);
            cr_expect_eq(has(out.body, "user.groups"), is_told);
            if (is_told && html)
                cr_expect(has(out.body, "a group that you are not in"), "in words too");
            arena_fini(&a);
        }
}

Test(answer, holds_whatever_length_a_name_has)
{
    static char text[100000];
    struct arena a;
    struct answer out;
    memset(text, '"', sizeof text);
    const struct slice any = slice_from(text, sizeof text);
    const struct application app = {.id = any};
    const struct decision d = {.rule = any, .missing = any};
    for (int html = 0; html < 2; html++)
        for (int i = 0; i < 2; i++) {
            struct refusal r = refusal_of(i ? REASON_DENIED : REASON_IDENTITY_REQUIRED, html);
            r.app = &app;
            r.decision = &d;
            arena_init(&a, NULL);
            answer_make(&a, &r, &out);
            cr_expect_lt(out.body.len, 16000);
            arena_fini(&a);
        }
}

Test(answer, a_refusal_without_status_is_a_fault_of_ours)
{
    struct arena a;
    struct answer out;
    const struct refusal r = refusal_of(REASON_PERMITTED, false);
    arena_init(&a, NULL);
    answer_make(&a, &r, &out);
    cr_expect_eq(out.status, 500);
    arena_fini(&a);
}

Test(answer, speaks_the_best_of_the_languages_asked_for)
{
    static const struct {
        const char *text;
        enum language want;
    } table[] = {
        {"", LANGUAGE_EN},
        {"nl", LANGUAGE_NL},
        {"nl-BE,nl;q=0.9,en;q=0.8", LANGUAGE_NL},
        {"FR-be", LANGUAGE_FR},
        {"de-Latn-BE-1996", LANGUAGE_DE},
        {"en;q=0.5, fr;q=0.9, nl;q=0.7", LANGUAGE_FR},
        {"pt, de;q=0.1", LANGUAGE_DE},
        {"pt, es", LANGUAGE_EN},
        {"fr, nl", LANGUAGE_FR},
        {"nl, fr", LANGUAGE_NL},
        {"*", LANGUAGE_EN},
        {"*, fr;q=0.5", LANGUAGE_EN},
        {"en;q=0, *;q=0.3", LANGUAGE_NL},
        {"fr;q=0.2, *;q=0.3, en;q=0", LANGUAGE_NL},
        {"nl;q=0, fr;q=0, de;q=0, en;q=0", LANGUAGE_EN},
        {"fr;q=0.001,nl;q=0.002", LANGUAGE_NL},
        {"fr;q=1.000,nl;q=0.999", LANGUAGE_FR},
        {"fr \t; \tq=0.8 , nl ; Q=0.9", LANGUAGE_NL},
        {", ,,fr,", LANGUAGE_FR},
        {"nl;q=0.1,nl-BE", LANGUAGE_NL},
        /* what is no element counts for nothing */
        {"nl;q=1.001,fr;q=0.1", LANGUAGE_FR},
        {"nl;q=2,fr;q=0.1", LANGUAGE_FR},
        {"nl;q=,fr;q=0.1", LANGUAGE_FR},
        {"nl;q=.9,fr;q=0.1", LANGUAGE_FR},
        {"nl;q=0.9999,fr;q=0.1", LANGUAGE_FR},
        {"nl;q=0x1,fr;q=0.1", LANGUAGE_FR},
        {"nl;q=-1,fr;q=0.1", LANGUAGE_FR},
        {"nl;q= 1,fr;q=0.1", LANGUAGE_FR},
        {"nl;,fr;q=0.1", LANGUAGE_FR},
        {"nl;q=1;q=1,fr;q=0.1", LANGUAGE_FR},
        {"nl;level=1,fr;q=0.1", LANGUAGE_FR},
        {"nl-,fr;q=0.1", LANGUAGE_FR},
        {"nl--BE,fr;q=0.1", LANGUAGE_FR},
        {"nl_BE,fr;q=0.1", LANGUAGE_FR},
        {"nl-toolongsubtag,fr;q=0.1", LANGUAGE_FR},
        {"nl BE,fr;q=0.1", LANGUAGE_FR},
        {"*-BE,fr;q=0.1", LANGUAGE_FR},
        {"nld", LANGUAGE_EN},
        {"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,fr", LANGUAGE_EN},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        cr_expect_eq(answer_language(slice_of(table[i].text)), table[i].want, "%s", table[i].text);
    cr_expect_eq(answer_language(slice_from("nl\0", 3)), LANGUAGE_EN);
}
