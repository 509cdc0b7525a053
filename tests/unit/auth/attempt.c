// SPDX-License-Identifier: EUPL-1.2
#include "auth/attempt.h"

#include "base/hash.h"

#include <criterion/criterion.h>

static struct attempt example(void)
{
    return (struct attempt){.application = SLICE("tax-desk"),
                            .authority = SLICE("tax.finance.localhost:8443"),
                            .to = SLICE("/declarations/12?year=2026"),
                            .provider = SLICE("fas"),
                            .tag = SLICE("0123456789"),
                            .nonce = SLICE("n"),
                            .verifier = SLICE("v"),
                            .language = SLICE("nl"),
                            .form = SLICE("a=%22&b=%0D%0A"),
                            .cookie = {1, 2, 3},
                            .device = {4, 5, 6},
                            .acr_level = 400,
                            .max_age_s = -1,
                            .begun_at = {1800000000},
                            .revoked_until = 7};
}

Test(attempt, comes_back_as_it_was_printed)
{
    const struct attempt t = example();
    struct attempt back;
    struct arena a;
    struct buf b;
    arena_init(&a, NULL);
    buf_init(&b, ATTEMPT_MAX_BYTES);
    cr_assert(attempt_print(&t, &b));
    cr_assert(attempt_parse(&back, &a, buf_slice(&b)));
    cr_expect(slice_eq(back.to, t.to) && slice_eq(back.form, t.form) && slice_eq(back.tag, t.tag));
    cr_expect(slice_eq(back.authority, t.authority) && slice_eq(back.verifier, t.verifier));
    cr_expect_arr_eq(back.cookie, t.cookie, 32);
    cr_expect_arr_eq(back.device, t.device, 32);
    cr_expect(back.acr_level == 400 && back.max_age_s == -1 && back.begun_at.s == 1800000000);
    cr_expect(back.revoked_until == 7);
    buf_fini(&b);
    arena_fini(&a);
}

Test(attempt, that_lacks_anything_is_none)
{
    static const char *const bad[] = {"", "{}", "[]", "{\"application\":\"x\"}"};
    const struct attempt t = example();
    struct attempt back;
    struct arena a;
    struct buf b;
    arena_init(&a, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(attempt_parse(&back, &a, slice_of(bad[i])));
    buf_init(&b, ATTEMPT_MAX_BYTES);
    cr_assert(attempt_print(&t, &b));
    cr_expect_not(attempt_parse(&back, &a, slice_from(buf_slice(&b).ptr, buf_len(&b) - 1)));
    buf_fini(&b);
    arena_fini(&a);
}

Test(attempt, with_a_form_past_the_ceiling_is_not_printed)
{
    static char form[ATTEMPT_MAX_BYTES];
    struct attempt t = example();
    struct buf b;
    memset(form, 'a', sizeof form);
    t.form = slice_from(form, sizeof form);
    buf_init(&b, ATTEMPT_MAX_BYTES);
    cr_expect_not(attempt_print(&t, &b));
    buf_fini(&b);
}

Test(attempt, ids_are_not_guessed_and_tags_tell_nothing_of_them)
{
    char one[ATTEMPT_ID_CHARS + 1], two[ATTEMPT_ID_CHARS + 1], tag[ATTEMPT_TAG_CHARS + 1];
    base_init();
    attempt_make_id(one);
    attempt_make_id(two);
    attempt_tag(slice_of(one), tag);
    cr_expect(attempt_id_is_valid(slice_of(one)) && strcmp(one, two) != 0);
    cr_expect_eq(strlen(tag), ATTEMPT_TAG_CHARS);
    cr_expect_null(strstr(one, tag));
    cr_expect_not(attempt_id_is_valid(SLICE("x")));
    one[ATTEMPT_ID_CHARS - 1] = 'B'; /* bits left over */
    cr_expect_not(attempt_id_is_valid(slice_of(one)));
}
