// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <errno.h>

#include "base/fault.h"

Test(fault, context_stands_in_front_and_the_place_stays)
{
    struct fault f;
    cr_assert_not(fault_set(&f, FAULT_TRUST, "serial %d is old", 7));
    const char *at = f.at;
    cr_assert_not(fault_within(&f, "entity '%s'", "fps"));
    cr_assert_str_eq(f.text, "entity 'fps': serial 7 is old");
    cr_assert_eq(f.code, FAULT_TRUST);
    cr_assert_eq(f.at, at);
    cr_assert(strstr(f.at, "fault.c:"));
}

Test(fault, texts_that_are_too_long_are_cut_not_overrun)
{
    struct fault f;
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    (void)fault_set(&f, FAULT_IO, "%s", long_text);
    cr_assert_eq(strlen(f.text), sizeof f.text - 1);
    (void)fault_within(&f, "in '%s'", "a");
    cr_assert_eq(strlen(f.text), sizeof f.text - 1);
    cr_assert(strncmp(f.text, "in 'a': xxx", 11) == 0);
    (void)fault_within(&f, "%s", long_text);
    cr_assert_eq(strlen(f.text), sizeof f.text - 1);
    (void)fault_errno(&f, ENOENT, "%s", long_text);
    cr_assert_eq(strlen(f.text), sizeof f.text - 1);
}

Test(fault, nobody_needs_to_listen)
{
    cr_assert_not(fault_set(NULL, FAULT_IO, "x"));
    cr_assert_not(fault_within(NULL, "x"));
    cr_assert_not(fault_errno(NULL, EIO, "x"));
}

Test(fault, errno_is_said_in_words)
{
    struct fault f;
    (void)fault_errno(&f, ENOENT, "cannot open '%s'", "/x");
    cr_assert_str_eq(f.text, "cannot open '/x': No such file or directory");
    cr_assert_eq(f.code, FAULT_IO);
}
