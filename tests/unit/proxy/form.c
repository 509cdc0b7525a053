// SPDX-License-Identifier: EUPL-1.2
#include "proxy/form.h"

#include <criterion/criterion.h>

static bool parse(struct arena *a, const char *text, struct form *out)
{
    arena_init(a, NULL);
    return form_parse(a, slice_of(text), out);
}

Test(form, a_form_is_read_as_a_browser_writes_it)
{
    struct arena a;
    struct form f;
    struct slice v;
    cr_assert(parse(&a, "name=Anna+Peeters&text=50%25+%26+%C3%A9%0D%0Aend&empty=&bare", &f));
    cr_expect_eq(f.count, 4);
    cr_expect(form_get(&f, SLICE("name"), &v) && slice_eq(v, SLICE("Anna Peeters")));
    cr_expect(form_get(&f, SLICE("text"), &v) && slice_eq(v, SLICE("50% & \xC3\xA9\r\nend")));
    cr_expect(form_get(&f, SLICE("empty"), &v) && !v.len);
    cr_expect(form_get(&f, SLICE("nowhere"), &v) && !v.len);
    cr_expect(form_is_plain(&f));
    arena_fini(&a);
}

Test(form, what_has_two_readings_has_none)
{
    static const char *const bad[] = {"a=%",      "a=%4",        "a=%zz", "%=a",   "=a",   "&a=b",
                                      "a=b&",     "a=b&&c=d",    "a= b",  "a=\"",  "a=<",  "a=\x80",
                                      "a=%C3%28", "a=%ED%A0%80", "a=%00", "a=b#c", "a=[b]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena a;
        struct form f;
        cr_expect_not(parse(&a, bad[i], &f), "%s", bad[i]);
        arena_fini(&a);
    }
}

Test(form, a_field_that_is_there_twice_is_not_given)
{
    struct arena a;
    struct form f;
    struct slice v;
    cr_assert(parse(&a, "to=%2Fa&to=%2Fb&x=1", &f));
    cr_expect_not(form_get(&f, SLICE("to"), &v));
    cr_expect(form_get(&f, SLICE("x"), &v));
    arena_fini(&a);
}

Test(form, what_a_page_could_not_give_back_as_it_came_is_not_plain)
{
    static const char *const odd[] = {"a=%01",       "a=%7F", "a=%C2%80",
                                      "a=%E2%80%8E", "%1F=a", "a=%EF%BF%BD"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct arena a;
        struct form f;
        cr_expect(parse(&a, odd[i], &f), "%s", odd[i]);
        cr_expect_not(form_is_plain(&f), "%s", odd[i]);
        arena_fini(&a);
    }
}

Test(form, more_fields_than_a_person_fills_in_are_refused)
{
    char text[4 * FORM_MAX_FIELDS + 8];
    for (size_t count = FORM_MAX_FIELDS; count <= FORM_MAX_FIELDS + 1; count++) {
        struct arena a;
        struct form f;
        for (size_t i = 0; i < count; i++)
            memcpy(text + 4 * i, "a=b&", 4);
        text[4 * count - 1] = '\0';
        cr_expect_eq(parse(&a, text, &f), count == FORM_MAX_FIELDS);
        arena_fini(&a);
    }
}

Test(form, what_is_escaped_is_read_back)
{
    static const char all[] = "/a?b=c&d e+\xC3\xA9%~_-.";
    char text[3 * sizeof all + 8] = "x=";
    struct arena a;
    struct form f;
    struct slice v;
    *form_escape(text + 2, slice_of(all)) = '\0';
    cr_assert(parse(&a, text, &f));
    cr_expect(form_get(&f, SLICE("x"), &v) && slice_eq(v, slice_of(all)));
    arena_fini(&a);
}

Test(return_path, leads_to_this_host_and_past_our_own_pages)
{
    static const char *const good[] = {"/",          "/a/b?c=d&e=%2F", "/a/?x=//y",
                                       "/a..b",      "/...",           "/a%2Fb",
                                       "/x/.hidden", "/.belfr",        "/a/.belfry/sign-out"};
    static const char *const bad[] = {"",
                                      "a",
                                      "//evil",
                                      "/\\evil",
                                      "/.//evil",
                                      "/..//evil",
                                      "/a/../b",
                                      "/a/.",
                                      "/%2e//evil",
                                      "/%2E%2e/x",
                                      "/a b",
                                      "/a\tb",
                                      "/a\x7F",
                                      "/a#b",
                                      "/\"",
                                      "/a\\b",
                                      "https://a/",
                                      "/.belfry",
                                      "/.belfry/sign-out",
                                      "/.BELFRY/x",
                                      "/%2Ebelfry/x",
                                      "/.%62elfry/x",
                                      "/\xC3\xA9"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect(return_path_is_valid(slice_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(return_path_is_valid(slice_of(bad[i])), "%s", bad[i]);
}
