// SPDX-License-Identifier: EUPL-1.2
#include "proxy/cookie.h"

#include <criterion/criterion.h>

static struct request with(struct field *fields, uint32_t count)
{
    return (struct request){.fields = fields, .field_count = count};
}

Test(cookie, is_found_by_its_whole_name_in_any_of_the_fields)
{
    struct field fields[] = {
        {SLICE("cookie"), SLICE("a=1; __Host-belfry-language=nl;b=2")},
        {SLICE("accept"), SLICE("__Host-belfry=no")},
        {SLICE("cookie"), SLICE("X__Host-belfry=no; __Host-belfry=yes=")},
    };
    const struct request r = with(fields, 3);
    cr_expect(slice_eq(cookie_get(&r, SLICE(COOKIE_SESSION)), SLICE("yes=")));
    cr_expect(slice_eq(cookie_get(&r, SLICE(COOKIE_LANGUAGE)), SLICE("nl")));
    cr_expect_not(cookie_get(&r, SLICE("__Host-belf")).ptr);
}

Test(cookie, that_is_there_twice_is_none)
{
    struct field one[] = {{SLICE("cookie"), SLICE("__Host-belfry=a; __Host-belfry=b")}};
    struct field two[] = {{SLICE("cookie"), SLICE("__Host-belfry=a")},
                          {SLICE("cookie"), SLICE("__Host-belfry=a")}};
    const struct request r = with(one, 1), s = with(two, 2);
    cr_expect_not(cookie_get(&r, SLICE(COOKIE_SESSION)).ptr);
    cr_expect_not(cookie_get(&s, SLICE(COOKIE_SESSION)).ptr);
}

Test(cookie, odd_fields_are_walked_through_to_their_end)
{
    struct field fields[] = {{SLICE("cookie"), SLICE(";; ;=;=x; y ;z=1;")},
                             {SLICE("cookie"), SLICE("")}};
    const struct request r = with(fields, 2);
    struct cookie_walk walk = {0};
    struct slice name, value;
    uint32_t count = 0;
    while (cookie_next(&r, &walk, &name, &value))
        count++;
    cr_expect_eq(count, 3);
}

Test(cookie, is_for_this_host_and_for_no_script)
{
    struct arena a;
    arena_init(&a, NULL);
    cr_expect(slice_eq(cookie_set(&a, SLICE(COOKIE_SESSION), SLICE("x"), 0),
                       SLICE("__Host-belfry=x; Path=/; Secure; HttpOnly; SameSite=Lax")));
    cr_expect(slice_eq(cookie_end(&a, SLICE(COOKIE_SESSION)),
                       SLICE("__Host-belfry=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")));
    arena_fini(&a);
}
