// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>

#include "base/arena.h"

Test(arena, memory_is_aligned_zeroed_and_apart)
{
    struct arena a;
    arena_init(&a, NULL);
    unsigned char *blocks[400];
    for (size_t i = 0; i < 400; i++) {
        size_t bytes = 1 + i * 7 % 300;
        (void)arena_bytes(&a, i % 5); // puts the next one off its alignment
        blocks[i] = arena_alloc(&a, bytes);
        cr_assert_eq((uintptr_t)blocks[i] % 16, 0);
        for (size_t j = 0; j < bytes; j++)
            cr_assert_eq(blocks[i][j], 0);
        memset(blocks[i], (int)(i % 251) + 1, bytes);
    }
    for (size_t i = 0; i < 400; i++)
        for (size_t j = 0; j < 1 + i * 7 % 300; j++)
            cr_assert_eq(blocks[i][j], i % 251 + 1);
    arena_fini(&a);
}

Test(arena, what_is_larger_than_a_chunk_leaves_the_chunk_in_use)
{
    struct arena a;
    arena_init(&a, NULL);
    char *before = arena_bytes(&a, 10);
    char *large = arena_alloc(&a, 100000);
    char *after = arena_bytes(&a, 10);
    memset(large, 'x', 100000);
    cr_assert_eq(after, before + 10);
    arena_fini(&a);
}

Test(arena, a_large_block_can_come_first)
{
    struct arena a;
    arena_init(&a, NULL);
    memset(arena_alloc(&a, ARENA_CHUNK_BYTES), 1, ARENA_CHUNK_BYTES);
    char *small = arena_alloc(&a, 16);
    memset(small, 2, 16);
    arena_fini(&a);
}

Test(arena, a_reused_chunk_is_zeroed_again)
{
    struct chunk_store store = {.limit = 4};
    struct arena a;
    arena_init(&a, &store);
    void *first = arena_alloc(&a, 1000);
    memset(first, 0xff, 1000);
    arena_fini(&a);
    cr_assert_eq(store.count, 1);
    unsigned char *second = arena_alloc(&a, 1000);
    cr_assert_eq((void *)second, first);
    cr_assert_eq(store.count, 0);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(second[i], 0);
    arena_fini(&a);
    chunk_store_fini(&store);
}

Test(arena, the_store_keeps_no_more_than_its_limit_and_no_large_ones)
{
    struct chunk_store store = {.limit = 2};
    struct arena a;
    arena_init(&a, &store);
    for (size_t i = 0; i < 5; i++)
        (void)arena_bytes(&a, ARENA_CHUNK_BYTES / 2 + 1);
    (void)arena_bytes(&a, 1000000);
    cr_assert_geq(a.total_bytes, 1000000);
    arena_fini(&a);
    cr_assert_eq(store.count, 2);
    cr_assert_eq(a.total_bytes, 0);
    chunk_store_fini(&store);
    cr_assert_null(store.free);
}

Test(arena, of_secrets_nothing_is_left_for_who_takes_the_memory_next)
{
    static const char none[64];
    struct chunk_store store = {.limit = 1};
    struct arena a;
    arena_init(&a, &store);
    (void)arena_copy(&a, SLICE("a verifier that nobody else may know"));
    arena_wipe_fini(&a);
    cr_expect_eq(memcmp(arena_bytes(&a, sizeof none), none, sizeof none), 0);
    arena_fini(&a);
    chunk_store_fini(&store);
}

Test(arena, printf_and_copy_hold_their_text)
{
    struct arena a;
    arena_init(&a, NULL);
    char word[] = "word";
    struct slice copy = arena_copy(&a, slice_of(word));
    struct slice text = arena_printf(&a, "%s-%d-%0*d", word, 7, 9000, 1); // past one chunk
    word[0] = 'W';
    cr_assert(slice_eq(copy, SLICE("word")));
    cr_assert_eq(text.len, 7 + 9000);
    cr_assert(slice_starts(text, SLICE("word-7-000")) && slice_ends(text, SLICE("01")));
    cr_assert_eq(arena_copy(&a, (struct slice){NULL, 0}).len, 0);
    arena_fini(&a);
}

Test(arena, sized_it_holds_what_was_asked_for_in_one_block_and_grows_beyond)
{
    struct arena a;
    arena_init_sized(&a, 1000);
    char *first = arena_bytes(&a, 400);
    cr_expect_eq(arena_bytes(&a, 600), first + 400);
    cr_expect_eq(a.total_bytes, 1000);
    memset(arena_bytes(&a, 600), 1, 600);
    cr_expect_gt(a.total_bytes, 1600);
    arena_fini(&a);
}
