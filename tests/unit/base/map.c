// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/map.h"

#define KEYS 500

/* Beside a naive model: an array of what each key should have. The generator is fixed, so a failure
 * comes again; the process's table key is not, so runs differ in their collisions. */
Test(map, agrees_with_an_array_through_many_sets, .init = base_init)
{
    static char names[KEYS][16];
    static void *model[KEYS];
    static char values[64];
    struct map m;
    uint64_t state = 12345;
    size_t count = 0;
    map_init(&m);
    for (size_t i = 0; i < KEYS; i++)
        (void)snprintf(names[i], sizeof names[i], "key-%zu", i);
    for (size_t turn = 0; turn < 20000; turn++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t which = (size_t)(state >> 33) % KEYS;
        struct slice key = slice_of(names[which]);
        void *value = &values[(state >> 50) % sizeof values];
        cr_assert_eq(map_set(&m, key, value), model[which]);
        count += !model[which];
        model[which] = value;
        cr_assert_eq(m.count, count);
        size_t other = (size_t)(state >> 20) % KEYS;
        cr_assert_eq(map_get(&m, slice_of(names[other])), model[other]);
    }
    size_t seen = 0, at = 0;
    for (const struct map_entry *e; (e = map_next(&m, &at)); seen++)
        cr_assert_eq(map_get(&m, e->key), e->value);
    cr_assert_eq(seen, count);
    for (size_t i = 0; i < KEYS; i++)
        cr_assert_eq(map_get(&m, slice_of(names[i])), model[i]);
    map_fini(&m);
}

Test(map, keys_are_bytes_and_an_empty_key_is_one, .init = base_init)
{
    struct map m;
    int a, b, c;
    map_init(&m);
    cr_assert_null(map_get(&m, SLICE("")));
    cr_assert_null(map_set(&m, SLICE("x\0y"), &a));
    cr_assert_null(map_set(&m, SLICE("x\0z"), &b));
    cr_assert_null(map_set(&m, SLICE(""), &c));
    cr_assert_eq(map_get(&m, SLICE("x\0y")), &a);
    cr_assert_eq(map_get(&m, SLICE("x\0z")), &b);
    cr_assert_eq(map_get(&m, (struct slice){NULL, 0}), &c);
    cr_assert_null(map_get(&m, SLICE("x")));
    map_fini(&m);
}

Test(map, a_key_that_is_there_keeps_its_bytes, .init = base_init)
{
    struct map m;
    int a, b;
    size_t at = 0;
    char first[] = "host", second[] = "host";
    map_init(&m);
    (void)map_set(&m, slice_of(first), &a);
    cr_assert_eq(map_set(&m, slice_of(second), &b), &a);
    cr_assert_eq((const void *)map_next(&m, &at)->key.ptr, first);
    map_fini(&m);
}
