// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/findings.h"
#include "base/mem.h"

static char *printed(struct findings *f)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    findings_print(f, out);
    (void)fclose(out);
    return text;
}

Test(findings, are_printed_by_place_and_otherwise_as_they_came)
{
    struct findings f;
    findings_init(&f);
    findings_error(&f, (struct place){"b.yaml", 2, 1}, "c1", "five");
    findings_warn(&f, (struct place){"a.yaml", 10, 3}, "c2", "three");
    findings_error(&f, (struct place){"a.yaml", 9, 30}, "c3", "two");
    findings_error(&f, (struct place){"a.yaml", 10, 3}, "c4", "four of %d", 5);
    findings_error(&f, (struct place){"a.yaml", 0, 0}, "c5", "one");
    char *text = printed(&f);
    cr_assert_str_eq(text, "a.yaml: error: one [c5]\n"
                           "a.yaml:9:30: error: two [c3]\n"
                           "a.yaml:10:3: warning: three [c2]\n"
                           "a.yaml:10:3: error: four of 5 [c4]\n"
                           "b.yaml:2:1: error: five [c1]\n");
    cr_assert_eq(f.errors, 4);
    cr_assert_eq(f.warnings, 1);
    mem_free(text);
    findings_fini(&f);
}

Test(findings, beyond_the_limit_only_the_count_goes_on)
{
    struct findings f;
    findings_init(&f);
    for (uint32_t i = 0; i < FINDINGS_MAX + 50; i++)
        findings_error(&f, (struct place){"a.yaml", i + 1, 1}, "c", "x");
    cr_assert_eq(f.count, FINDINGS_MAX);
    cr_assert_eq(f.errors, FINDINGS_MAX + 50);
    char *text = printed(&f);
    cr_assert(slice_ends(slice_of(text), SLICE("\nand 50 more\n")));
    mem_free(text);
    findings_fini(&f);
}

Test(findings, a_quoted_text_cannot_steer_the_terminal_or_forge_a_line)
{
    struct findings f;
    findings_init(&f);
    findings_error(&f, (struct place){"a.yaml", 1, 1}, "c", "'%s'", "x\n\033[2Jb.yaml:1:1: error");
    char *text = printed(&f);
    cr_assert_null(strchr(text, '\033'));
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
    mem_free(text);
    findings_fini(&f);
}

static const struct {
    const char *word;
    const char *nearest;
} guesses[] = {
    {"hosst", "host"}, // one too many
    {"hsot", "host"},  // two changed places
    {"hot", "host"},   // one missing
    {"upstraems", "upstream"},
    {"method", "methods"},
    {"host", "host"},
    {"ab", ""},   // half of it would be guessed
    {"hxyt", ""}, // two of four
    {"completely-else", ""},
    {"", ""},
};

Test(findings, the_nearest_name_is_near)
{
    static const struct slice names[] = {SLICE_INIT("host"), SLICE_INIT("methods"),
                                         SLICE_INIT("upstream"), SLICE_INIT("a")};
    for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++) {
        struct slice got = nearest_name(slice_of(guesses[i].word), names, 4);
        cr_assert(slice_eq(got, slice_of(guesses[i].nearest)), "%s: %.*s", guesses[i].word,
                  SLICE_ARG(got));
    }
    char long_word[500];
    memset(long_word, 'h', sizeof long_word);
    cr_assert_eq(nearest_name(slice_from(long_word, sizeof long_word), names, 4).len, 0);
    struct slice long_name = slice_from(long_word, 66);
    cr_assert_eq(nearest_name(slice_from(long_word, 64), &long_name, 1).len, 0);
}
