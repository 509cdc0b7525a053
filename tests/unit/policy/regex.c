// SPDX-License-Identifier: EUPL-1.2
/* Patterns: what each construct fits, what is refused, and that no pattern takes longer than its
 * size times that of the text. */
#include "policy/regex.h"

#include <criterion/criterion.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* 1 and 0: a match or none; -1: refused. */
static int search(const char *pattern, struct slice text, const char **why)
{
    struct arena a;
    size_t at;
    arena_init(&a, NULL);
    const struct regex *r = regex_compile(&a, slice_of(pattern), why, &at);
    const int found = r ? regex_search(r, text, arena_alloc(&a, regex_room(r))) : -1;
    arena_fini(&a);
    return found;
}

Test(regex, finds_what_re2_finds)
{
    static const struct {
        const char *pattern;
        const char *text;
        int found;
    } rows[] = {
        {"", "", 1},
        {"", "x", 1},
        {"a", "bab", 1},
        {"a", "", 0},
        {"^a", "ba", 0},
        {"a$", "ab", 0},
        {"^$", "", 1},
        {"a.c", "a\nc", 0},
        {"(?s)a.c", "a\nc", 1},
        {"a|b|", "c", 1},
        {"^(a|bc)+$", "abcbca", 1},
        {"^(a|bc)+$", "abcb", 0},
        {"^(?:ab)*?$", "abab", 1},
        {"^a{2}$", "aa", 1},
        {"^a{2}$", "aaa", 0},
        {"^a{2,}$", "aaaa", 1},
        {"^a{2,}$", "a", 0},
        {"^a{0,2}$", "", 1},
        {"^a{0,2}$", "aaa", 0},
        {"^a{0}b$", "b", 1},
        {"^(ab){2,3}$", "ababab", 1},
        {"^(ab){2,3}$", "abababab", 0},
        {"^((a{1,2}){2}){2}$", "aaaaaaaa", 1},
        {"^((a{1,2}){2}){2}$", "aaa", 0},
        {"a{x", "a{x", 1},
        {"^[a-c]+$", "abc", 1},
        {"^[^a-c]+$", "xyé", 1},
        {"^[^a-c]+$", "xb", 0},
        {"^[]a]+$", "]a", 1},
        {"^[a-]+$", "-a", 1},
        {"^[\\w.-]+$", "a_9.-", 1},
        {"^[[:alpha:][:digit:]]+$", "a9", 1},
        {"^[[:^alpha:]]+$", "9-", 1},
        {"^\\d+\\s\\w+$", "42 is_it", 1},
        {"^\\D\\S\\W$", "a.-", 1},
        {"^é.$", "éö", 1},
        {"^[à-ü]$", "é", 1},
        {"^\\x41\\x{e9}\\101$", "AéA", 1},
        {"(?i)^straÉe$", "STRAéE", 1},
        {"(?i)^[a-c]$", "B", 1},
        {"^(?i:a)b$", "Ab", 1},
        {"^(?i:a)b$", "AB", 0},
        {"^(?i:a(?-i:b))$", "AB", 0},
        {"(?m)^b$", "a\nb\nc", 1},
        {"^b$", "a\nb\nc", 0},
        {"\\bcat\\b", "a cat.", 1},
        {"\\bcat\\b", "concat", 0},
        {"\\Bcat", "concat", 1},
        {"\\Aab\\z", "ab", 1},
        {"(?P<year>\\d{4})-(?P<n>\\d+)", "2026-17", 1},
        {"^\\.\\*\\\\$", ".*\\", 1},
        {"(a*)*b", "aaaaaaaa", 0},
        {"(a|a)*$", "aaaa", 1},
        {"(|a)+", "", 1},
        {"^(a?){3}a{3}$", "aaa", 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *why = NULL;
        const int found = search(rows[i].pattern, slice_of(rows[i].text), &why);
        cr_expect_eq(found, rows[i].found, "%s in %s: %d %s", rows[i].pattern, rows[i].text, found,
                     why ? why : "");
    }
}

Test(regex, refuses_by_name_what_it_does_not_carry)
{
    static const struct {
        const char *pattern;
        const char *says;
    } rows[] = {
        {"(a", "without ')'"},
        {"a)", "without '('"},
        {"[a", "without ']'"},
        {"*a", "repeats nothing"},
        {"a**", "is repeated"},
        {"a{2}{3}", "is repeated"},
        {"a{1001}", "1000"},
        {"a{3,2}", "less than"},
        {"[b-a]", "backwards"},
        {"[[:foo:]]", "class"},
        {"(a)\\1", "reference"},
        {"\\pL", "Unicode"},
        {"\\Qa\\E", "\\Q"},
        {"a\\", "backslash"},
        {"\\y", "not known"},
        {"\\x4", "hex"},
        {"\\x{110000}", "point"},
        {"(?=a)", "(?"},
        {"(?<n", "(?"},
        {"(?i)я", "Latin-1"},
        {"((a{100}){100}){100}", "too large"},
        {"\xff", "UTF-8"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *why = NULL;
        cr_expect_eq(search(rows[i].pattern, SLICE("a"), &why), -1, "%s", rows[i].pattern);
        cr_expect(why && strstr(why, rows[i].says), "%s: %s", rows[i].pattern, why ? why : "-");
    }
}

Test(regex, what_is_no_utf8_is_one_strange_character_a_byte)
{
    const char *why;
    cr_expect_eq(search("^..$", SLICE("\xff\xc3"), &why), 1);
    cr_expect_eq(search("^\\x{fffd}b$",
                        SLICE("\xff"
                              "b"),
                        &why),
                 1);
}

Test(regex, the_worst_patterns_end_at_once)
{
    /* Each of these takes a backtracking matcher longer than the world has time. */
    static const char *const patterns[] = {"^(a+)+$", "^(a|aa)+$", "(a*)*(a*)*b", "(.*)(.*)(.*)x",
                                           "^(a?){100}a{100}$"};
    struct arena a;
    arena_init(&a, NULL);
    char *text = arena_bytes(&a, REGEX_MAX_TEXT);
    memset(text, 'a', REGEX_MAX_TEXT);
    text[REGEX_MAX_TEXT - 1] = '!';
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        const char *why;
        cr_expect_eq(search(patterns[i], (struct slice){text, REGEX_MAX_TEXT}, &why), 0, "%s",
                     patterns[i]);
    }
    arena_fini(&a);
}
