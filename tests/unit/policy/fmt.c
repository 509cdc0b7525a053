// SPDX-License-Identifier: EUPL-1.2
/* Lines set alike, and nothing else changed: each text here is compared as a whole, and setting it
 * again changes nothing. */
#include "policy/fmt.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"

static const struct {
    const char *in, *out;
} table[] = {
    {"a: 1", "a: 1\n"},
    {"a: 1  \r\nb: 2\t\r\n\r\n\r\n\r\nc: 3\r\n\r\n", "a: 1\nb: 2\n\nc: 3\n"},
    {"\n\n# head\n\n\n# more\na: 1\n", "# head\n\n# more\na: 1\n"},
    /* Indentation, and the comments that go with it. */
    {"a:\n    b:\n          c: 1\n          # of d\n          d: 2\n    e: 3\n",
     "a:\n  b:\n    c: 1\n    # of d\n    d: 2\n  e: 3\n"},
    {"a:\n- x\n- y\nb: 1\n", "a:\n  - x\n  - y\nb: 1\n"},
    {"a:\n-   id: x\n    k: 1\n    # of l\n    l:\n    - 1\n\n-   id: y\n",
     "a:\n  - id: x\n    k: 1\n    # of l\n    l:\n      - 1\n\n  - id: y\n"},
    {"a:\n     -\n        id: x\n        k: 1\n", NULL},
    {"- - x\n  - y\n- z\n", "- - x\n  - y\n- z\n"},
    {"a:   # why\n      b: 1 # because  \n", "a:   # why\n  b: 1 # because\n"},
    /* Flows and texts of several lines move, and stay what they are. */
    {"a:\n      b: { x: 1,\n           y: [2,\n               3] }\n",
     "a:\n  b: { x: 1,\n       y: [2,\n           3] }\n"},
    {"a:\n    b: 'one  \n\n\n      two'\n    c: 1\n", "a:\n  b: 'one\n\n\n    two'\n  c: 1\n"},
    {"a:\n    b: \"one\n      # two\n      'three\"  \n    c: 1\n",
     "a:\n  b: \"one\n    # two\n    'three\"  \n  c: 1\n"},
    {"a:\n    b: |\n        one  \n          # two\n\n\n        three\n    # of c\n    c: 1\n",
     "a:\n  b: |\n      one  \n        # two\n\n\n      three\n  # of c\n  c: 1\n"},
    {"a:\n    b: >-\n      one\n      two\n\n\n    c: 1\n", NULL},
    {"a:\n    b: one\n      two\n      three\n    c: 1\n",
     "a:\n  b: one\n    two\n    three\n  c: 1\n"},
    {"a:\n    'b\"': \"x'\"\n", "a:\n  'b\"': \"x'\"\n"},
    {"a:\n    # at the end\n", NULL},
    {"naam: Financi\xc3\xabn   # \xc3\xa9\xc3\xa9n\nb: \"\xc3\xab\"  \n",
     "naam: Financi\xc3\xabn   # \xc3\xa9\xc3\xa9n\nb: \"\xc3\xab\"\n"},
};

static bool fmt(struct slice in, struct slice *out)
{
    struct findings f;
    findings_init(&f);
    const bool is_made = policy_fmt(in, "x", out, &f);
    if (!is_made)
        findings_print(&f, stderr);
    findings_fini(&f);
    return is_made;
}

Test(fmt, sets_lines_alike_and_changes_nothing_else, .init = base_init)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct slice once, twice;
        if (!fmt(slice_of(table[i].in), &once)) {
            cr_expect(!table[i].out, "row %zu", i);
            continue;
        }
        if (table[i].out)
            cr_expect(slice_eq(once, slice_of(table[i].out)), "row %zu:\n%.*s", i, SLICE_ARG(once));
        cr_assert(fmt(once, &twice), "row %zu", i);
        cr_expect(slice_eq(once, twice), "row %zu, the second time:\n%.*s\n%.*s", i,
                  SLICE_ARG(once), SLICE_ARG(twice));
        mem_slice_free(&once);
        mem_slice_free(&twice);
    }
}

Test(fmt, leaves_alone_what_is_no_good_yaml, .init = base_init)
{
    static const char *const bad[] = {"a: [1", "a: 1\na: 2\n", "a: &x 1\n", "\tb: 1\n", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct slice out;
        struct findings f;
        findings_init(&f);
        cr_expect_not(policy_fmt(slice_of(bad[i]), "x", &out, &f), "row %zu", i);
        cr_expect(f.errors);
        findings_fini(&f);
    }
}
