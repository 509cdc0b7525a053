// SPDX-License-Identifier: EUPL-1.2
/* Paths: a table of what gateways and frameworks have been seen to read in two ways, and two
 * properties: the canonical form is a fixed point, and every spelling of the same segments decodes
 * to them. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "policy/path.h"

#define OK REASON_PERMITTED
#define AMBIGUOUS REASON_PATH_AMBIGUOUS
#define MALFORMED REASON_REQUEST_MALFORMED

#define STRICT                                                                                     \
    {                                                                                              \
        0                                                                                          \
    }
#define SLASH                                                                                      \
    {                                                                                              \
        .allow_encoded_slash = true                                                                \
    }
#define PERCENT                                                                                    \
    {                                                                                              \
        .allow_percent = true                                                                      \
    }
#define PARAMETERS                                                                                 \
    {                                                                                              \
        .allow_parameters = true                                                                   \
    }
#define EMPTY                                                                                      \
    {                                                                                              \
        .allow_empty_segments = true                                                               \
    }
#define ALL                                                                                        \
    {                                                                                              \
        true, true, true, true, false                                                              \
    }

static const struct row {
    const char *target;
    struct path_options options;
    enum reason reason;
    const char *canonical; /* with OK */
    const char *segments;  /* joined by newlines, one behind each */
} rows[] = {
    /* What is fine, and its one spelling. */
    {"/", STRICT, OK, "/", ""},
    {"/a", STRICT, OK, "/a", "a\n"},
    {"/a/", STRICT, OK, "/a/", "a\n\n"},
    {"/a/b/c", STRICT, OK, "/a/b/c", "a\nb\nc\n"},
    {"/a?b", STRICT, OK, "/a", "a\n"},
    {"/a?b/../c?d", STRICT, OK, "/a", "a\n"},
    {"/%61dmin/x", STRICT, OK, "/admin/x", "admin\nx\n"},
    {"/adm%69n", STRICT, OK, "/admin", "admin\n"},
    {"/%41%5A%61%7a%30%39", STRICT, OK, "/AZaz09", "AZaz09\n"},
    {"/%2D%2E%5F%7E", STRICT, OK, "/-._~", "-._~\n"},
    {"/-._~", STRICT, OK, "/-._~", "-._~\n"},
    {"/!$&'()*+,=:@", STRICT, OK, "/!$&'()*+,=:@", "!$&'()*+,=:@\n"},
    {"/a%3db", STRICT, OK, "/a%3Db", "a=b\n"},
    {"/a%2bb", STRICT, OK, "/a%2Bb", "a+b\n"},
    {"/%40%3a", STRICT, OK, "/%40%3A", "@:\n"},
    {"/a%20b", STRICT, OK, "/a%20b", "a b\n"},
    {"/a%23b%3fc", STRICT, OK, "/a%23b%3Fc", "a#b?c\n"},
    {"/%22%3c%3E%60%7b%7c%7D%5b%5D%5e", STRICT, OK, "/%22%3C%3E%60%7B%7C%7D%5B%5D%5E",
     "\"<>`{|}[]^\n"},
    {"/caf%c3%a9", STRICT, OK, "/caf%C3%A9", "caf\303\251\n"},
    {"/%e2%82%ac", STRICT, OK, "/%E2%82%AC", "\342\202\254\n"},
    {"/%F0%9F%94%94", STRICT, OK, "/%F0%9F%94%94", "\360\237\224\224\n"},
    {"/%f4%8f%bf%bf", STRICT, OK, "/%F4%8F%BF%BF", "\364\217\277\277\n"},
    {"/admin%2e", STRICT, OK, "/admin.", "admin.\n"},
    {"/...", STRICT, OK, "/...", "...\n"},
    {"/..a/.b/c..", STRICT, OK, "/..a/.b/c..", "..a\n.b\nc..\n"},
    {"/100%25", STRICT, OK, "/100%25", "100%\n"},
    {"/100%25x", STRICT, OK, "/100%25x", "100%x\n"},
    {"/100%256", STRICT, OK, "/100%256", "100%6\n"},
    {"/100%25/41", STRICT, OK, "/100%25/41", "100%\n41\n"},
    {"/%25%25", STRICT, OK, "/%25%25", "%%\n"},
    {"/A/b", STRICT, OK, "/A/b", "A\nb\n"},
    {"/http://x", EMPTY, OK, "/http://x", "http:\n\nx\n"},
    /* Dot segments, in every dress. */
    {"/.", STRICT, AMBIGUOUS, NULL, NULL},
    {"/..", STRICT, AMBIGUOUS, NULL, NULL},
    {"/./", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/./b", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/../b", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/..", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/%2e%2e/b", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/.%2E/b", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/%2e./b", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/%2e", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/..", ALL, AMBIGUOUS, NULL, NULL},
    {"/a/..;/b", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a/..;/b", PARAMETERS, AMBIGUOUS, NULL, NULL},
    {"/a/..;x=1/b", ALL, AMBIGUOUS, NULL, NULL},
    {"/a/.;/b", PARAMETERS, AMBIGUOUS, NULL, NULL},
    {"/a/%2e%2e%3bx/b", PARAMETERS, AMBIGUOUS, NULL, NULL},
    {"/a%2f..%2fb", SLASH, AMBIGUOUS, NULL, NULL},
    {"/a%2f%2e%2e", SLASH, AMBIGUOUS, NULL, NULL},
    {"/..%2fb", SLASH, AMBIGUOUS, NULL, NULL},
    {"/a%2f..;x%2fb", ALL, AMBIGUOUS, NULL, NULL},
    /* Empty segments. */
    {"//", STRICT, AMBIGUOUS, NULL, NULL},
    {"//a", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a//b", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a//", STRICT, AMBIGUOUS, NULL, NULL},
    {"//evil.example/a", STRICT, AMBIGUOUS, NULL, NULL},
    {"//", EMPTY, OK, "//", "\n\n"},
    {"/a//b", EMPTY, OK, "/a//b", "a\n\nb\n"},
    {"/;x/b", PARAMETERS, AMBIGUOUS, NULL, NULL},
    {"/a/;x", PARAMETERS, OK, "/a/;x", "a\n;x\n"},
    /* Slashes inside. */
    {"/a%2fb", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%2Fb", PERCENT, AMBIGUOUS, NULL, NULL},
    {"/a%2fb", SLASH, OK, "/a%2Fb", "a/b\n"},
    {"/group%2Fproject/x", SLASH, OK, "/group%2Fproject/x", "group/project\nx\n"},
    {"/%2f", SLASH, AMBIGUOUS, NULL, NULL},
    {"/%2fb", SLASH, AMBIGUOUS, NULL, NULL},
    {"/a%2f/b", SLASH, AMBIGUOUS, NULL, NULL},
    {"/a%2f", SLASH, OK, "/a%2F", "a/\n"},
    {"/a%2f%2fb", SLASH, AMBIGUOUS, NULL, NULL},
    {"/a%5cb", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%5Cb", ALL, AMBIGUOUS, NULL, NULL},
    {"/a%5c..%5cb", ALL, AMBIGUOUS, NULL, NULL},
    {"/a\\b", STRICT, MALFORMED, NULL, NULL},
    {"/a\\..\\b", ALL, MALFORMED, NULL, NULL},
    /* Decoded twice. */
    {"/%252e%252e/", STRICT, AMBIGUOUS, NULL, NULL},
    {"/%2561dmin", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%252fb", SLASH, AMBIGUOUS, NULL, NULL},
    {"/%25%36%31", STRICT, AMBIGUOUS, NULL, NULL},
    {"/%2500", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%2fb%2541", SLASH, AMBIGUOUS, NULL, NULL},
    {"/%2561dmin", PERCENT, OK, "/%2561dmin", "%61dmin\n"},
    {"/%25%36%31", PERCENT, OK, "/%2561", "%61\n"},
    {"/%25252e", PERCENT, OK, "/%25252e", "%252e\n"},
    /* Parameters. */
    {"/admin;x=1/y", STRICT, AMBIGUOUS, NULL, NULL},
    {"/admin;", STRICT, AMBIGUOUS, NULL, NULL},
    {"/admin%3bx", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a;x=1/y", PARAMETERS, OK, "/a;x=1/y", "a;x=1\ny\n"},
    {"/a%3bx/y", PARAMETERS, OK, "/a%3Bx/y", "a;x\ny\n"},
    /* Controls. */
    {"/a%00", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%00.png", ALL, AMBIGUOUS, NULL, NULL},
    {"/a%0d%0aX:y", ALL, AMBIGUOUS, NULL, NULL},
    {"/a%09", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%1f", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%7f", STRICT, AMBIGUOUS, NULL, NULL},
    {"/a%c2%85", STRICT, AMBIGUOUS, NULL, NULL},
    /* Not UTF-8, or not its shortest form. */
    {"/%c0%ae%c0%ae/", STRICT, MALFORMED, NULL, NULL},
    {"/%c0%af", STRICT, MALFORMED, NULL, NULL},
    {"/%c1%9c", STRICT, MALFORMED, NULL, NULL},
    {"/%e0%80%af", STRICT, MALFORMED, NULL, NULL},
    {"/%f0%80%80%af", STRICT, MALFORMED, NULL, NULL},
    {"/%ed%a0%80", STRICT, MALFORMED, NULL, NULL},
    {"/%f4%90%80%80", STRICT, MALFORMED, NULL, NULL},
    {"/%f8%88%80%80%80", STRICT, MALFORMED, NULL, NULL},
    {"/%ff", STRICT, MALFORMED, NULL, NULL},
    {"/%80", STRICT, MALFORMED, NULL, NULL},
    {"/%c3", STRICT, MALFORMED, NULL, NULL},
    {"/%c3/%a9", STRICT, MALFORMED, NULL, NULL},
    {"/%e2%82", STRICT, MALFORMED, NULL, NULL},
    {"/%c3a", STRICT, MALFORMED, NULL, NULL},
    /* No URI, or not one in origin-form. */
    {"", STRICT, MALFORMED, NULL, NULL},
    {"*", STRICT, MALFORMED, NULL, NULL},
    {"a", STRICT, MALFORMED, NULL, NULL},
    {"?a", STRICT, MALFORMED, NULL, NULL},
    {"http://a.example/", STRICT, MALFORMED, NULL, NULL},
    {"a.example:443", STRICT, MALFORMED, NULL, NULL},
    {"/a#b", STRICT, MALFORMED, NULL, NULL},
    {"/a?b#c", STRICT, MALFORMED, NULL, NULL},
    {"/a b", STRICT, MALFORMED, NULL, NULL},
    {"/a\tb", STRICT, MALFORMED, NULL, NULL},
    {"/a\r\nb", STRICT, MALFORMED, NULL, NULL},
    {"/a\177", STRICT, MALFORMED, NULL, NULL},
    {"/caf\303\251", STRICT, MALFORMED, NULL, NULL},
    {"/a\"b", STRICT, MALFORMED, NULL, NULL},
    {"/a<b>", STRICT, MALFORMED, NULL, NULL},
    {"/a[b]", STRICT, MALFORMED, NULL, NULL},
    {"/a{b}", STRICT, MALFORMED, NULL, NULL},
    {"/a|b", STRICT, MALFORMED, NULL, NULL},
    {"/a^b`c", STRICT, MALFORMED, NULL, NULL},
    {"/%", STRICT, MALFORMED, NULL, NULL},
    {"/%4", STRICT, MALFORMED, NULL, NULL},
    {"/%4g", STRICT, MALFORMED, NULL, NULL},
    {"/%/41", STRICT, MALFORMED, NULL, NULL},
    {"/%u002e", STRICT, MALFORMED, NULL, NULL},
    {"/%4?1", STRICT, MALFORMED, NULL, NULL},
    /* Queries. */
    {"/?a=[1]|{2}^`'\"", STRICT, MALFORMED, NULL, NULL},
    {"/?a=[1]|{2}^`'", STRICT, OK, "/", ""},
    {"/?a=b&c=%c3%28;d:@/?", STRICT, OK, "/", ""},
    {"/?a=<b>", STRICT, MALFORMED, NULL, NULL},
    {"/?a=b c", STRICT, MALFORMED, NULL, NULL},
    {"/?a=\\", STRICT, MALFORMED, NULL, NULL},
    {"/?a=\303\251", STRICT, MALFORMED, NULL, NULL},
    {"/?100%", STRICT, MALFORMED, NULL, NULL},
};

static struct slice joined(struct arena *a, const struct path *path)
{
    struct slice text = SLICE("");
    for (uint32_t i = 0; i < path->segment_count; i++)
        text = arena_printf(a, "%.*s%.*s\n", SLICE_ARG(text), SLICE_ARG(path->segments[i]));
    return text;
}

Test(path, each_target_has_one_reading_or_none)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct arena a;
        struct request request = {.query = SLICE("untouched")};
        arena_init(&a, NULL);
        enum reason reason = target_parse(&request, slice_of(row->target), row->options, &a);
        cr_expect_eq(reason, row->reason, "'%s': %d", row->target, (int)reason);
        if (reason == OK && row->canonical) {
            cr_expect(slice_eq(request.path.canonical, slice_of(row->canonical)),
                      "'%s' became '%.*s'", row->target, SLICE_ARG(request.path.canonical));
            struct slice segments = joined(&a, &request.path);
            cr_expect(slice_eq(segments, slice_of(row->segments)), "'%s' has '%.*s'", row->target,
                      SLICE_ARG(segments));
        } else {
            cr_expect(slice_eq(request.query, SLICE("untouched")) && !request.path.segment_count,
                      "'%s' was refused and still filled in", row->target);
        }
        arena_fini(&a);
    }
}

static enum reason parse(struct request *request, struct slice target, struct arena *a)
{
    static const struct path_options strict = {0};
    *request = (struct request){0};
    return target_parse(request, target, strict, a);
}

Test(path, the_query_is_what_stands_behind_the_first_question_mark)
{
    struct arena a;
    struct request request;
    arena_init(&a, NULL);
    cr_assert_eq(parse(&request, SLICE("/a?b=%2e?c"), &a), OK);
    cr_expect(request.has_query && slice_eq(request.query, SLICE("b=%2e?c")));
    cr_assert_eq(parse(&request, SLICE("/a?"), &a), OK);
    cr_expect(request.has_query && request.query.len == 0);
    cr_assert_eq(parse(&request, SLICE("/a"), &a), OK);
    cr_expect(!request.has_query && request.query.len == 0);
    arena_fini(&a);
}

Test(path, a_nul_byte_is_no_end)
{
    struct arena a;
    struct request request;
    arena_init(&a, NULL);
    cr_expect_eq(parse(&request, SLICE("/a\0/../b"), &a), MALFORMED);
    cr_expect_eq(parse(&request, SLICE("/a?b\0c"), &a), MALFORMED);
    arena_fini(&a);
}

Test(path, parameters_are_said_however_they_were_spelt)
{
    static const struct path_options open = PARAMETERS;
    struct arena a;
    struct request request = {0};
    arena_init(&a, NULL);
    cr_assert_eq(target_parse(&request, SLICE("/a%3Bx/b"), open, &a), OK);
    cr_expect(request.path.has_parameters);
    cr_assert_eq(target_parse(&request, SLICE("/a;x/b"), open, &a), OK);
    cr_expect(request.path.has_parameters);
    cr_assert_eq(target_parse(&request, SLICE("/a/b?c;d"), open, &a), OK);
    cr_expect_not(request.path.has_parameters);
    arena_fini(&a);
}

Test(path, more_segments_than_the_limit_are_too_long)
{
    char text[2 * PATH_MAX_SEGMENTS + 2];
    struct arena a;
    struct request request;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? 'a' : '/';
    arena_init(&a, NULL);
    cr_expect_eq(parse(&request, slice_from(text, 2 * PATH_MAX_SEGMENTS), &a), OK);
    cr_expect_eq(request.path.segment_count, PATH_MAX_SEGMENTS);
    cr_expect_eq(parse(&request, slice_from(text, sizeof text), &a), REASON_URI_TOO_LONG);
    arena_fini(&a);
}

/* A generator of our own, so that a failure comes again. */
static uint32_t dice(uint64_t *state, uint32_t sides)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % sides;
}

/* A character of a segment that the strict form lets through, in UTF-8. */
static struct slice any_character(uint64_t *state)
{
    static const char *const wide[] = {"\303\251", "\342\202\254", "\360\237\224\224", "\302\240"};
    static const char narrow[] = "abcxyzABCXYZ0189-._~!$&'()*+,=:@ \"<>^`{|}[]#?";
    uint32_t n = dice(state, sizeof narrow + 3);
    return n < sizeof narrow - 1 ? slice_from(narrow + n, 1) : slice_of(wide[n % 4]);
}

static bool must_be_escaped(char c)
{
    return (uint8_t)c >= 0x80 || strchr(" \"<>^`{|}[]#?", c) != NULL;
}

Test(path, every_spelling_of_the_same_segments_decodes_to_them)
{
    uint64_t state = 20240531;
    for (int round = 0; round < 5000; round++) {
        char plain[512] = {0}, spelt[1536] = {0};
        size_t plain_len = 0, spelt_len = 0;
        for (uint32_t segments = 1 + dice(&state, 5); segments--;) {
            spelt[spelt_len++] = '/';
            plain[plain_len++] = 'x'; /* no dot segment, no empty one */
            spelt[spelt_len++] = 'x';
            for (uint32_t n = dice(&state, 12); n--;) {
                struct slice c = any_character(&state);
                for (size_t i = 0; i < c.len; i++) {
                    plain[plain_len++] = c.ptr[i];
                    if (must_be_escaped(c.ptr[i]) || dice(&state, 3) == 0)
                        spelt_len += (size_t)snprintf(spelt + spelt_len, 4,
                                                      dice(&state, 2) ? "%%%02x" : "%%%02X",
                                                      (unsigned)(uint8_t)c.ptr[i]);
                    else
                        spelt[spelt_len++] = c.ptr[i];
                }
            }
            plain[plain_len++] = '\n';
        }
        struct arena a;
        struct request once, twice;
        arena_init(&a, NULL);
        cr_assert_eq(parse(&once, slice_from(spelt, spelt_len), &a), OK, "'%s'", spelt);
        cr_assert(slice_eq(joined(&a, &once.path), slice_from(plain, plain_len)), "'%s'", spelt);
        cr_assert_eq(parse(&twice, once.path.canonical, &a), OK, "'%s'", spelt);
        cr_assert(slice_eq(twice.path.canonical, once.path.canonical), "'%s'", spelt);
        cr_assert(slice_eq(joined(&a, &twice.path), joined(&a, &once.path)), "'%s'", spelt);
        arena_fini(&a);
    }
}
