// SPDX-License-Identifier: EUPL-1.2
/* The allocator below nghttp2: blocks of all sizes are whole, aligned and their own, whether they
 * are new or were at rest. */
#include "proxy/h2_memory.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

static struct small_store store;
static nghttp2_mem memory;

static void begin(void)
{
    store = (struct small_store){0};
    memory = h2_memory(&store);
}

static void end(void)
{
    small_store_fini(&store);
}

TestSuite(h2_memory, .init = begin, .fini = end);

static bool is_filled(const unsigned char *bytes, size_t len, unsigned char with)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != with)
            return false;
    return true;
}

Test(h2_memory, no_block_reaches_into_another_of_any_size)
{
    static const size_t sizes[] = {1,     63,    64,    65,    96,    97,    128,  129,
                                   1024,  1536,  2049,  2928,  3072,  3073,  4096, 4097,
                                   16384, 16385, 16394, 17000, 17361, 20480, 40000};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    unsigned char *blocks[COUNT];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = memory.malloc(sizes[i], memory.mem_user_data);
            cr_assert_eq((uintptr_t)blocks[i] % 16, 0);
            memset(blocks[i], (int)i + 1, sizes[i]);
        }
        for (size_t i = 0; i < COUNT; i++)
            cr_expect(is_filled(blocks[i], sizes[i], (unsigned char)(i + 1)), "%zu", sizes[i]);
        for (size_t i = 0; i < COUNT; i++)
            memory.free(blocks[round % 2 ? COUNT - 1 - i : i], memory.mem_user_data);
    }
}

Test(h2_memory, a_block_that_grows_keeps_what_it_holds)
{
    unsigned char *block = NULL;
    size_t filled = 0;
    for (size_t len = 10; len < 50000; len = len * 3 / 2) {
        block = memory.realloc(block, len, memory.mem_user_data);
        cr_assert(is_filled(block, filled, 'x'), "%zu", len);
        memset(block, 'x', len);
        filled = len;
    }
    memory.free(block, memory.mem_user_data);
}

Test(h2_memory, what_is_asked_for_in_zeros_is_zero_though_it_was_used_before)
{
    for (size_t len = 16; len < 30000; len *= 2) {
        unsigned char *block = memory.malloc(len, memory.mem_user_data);
        memset(block, 'x', len);
        memory.free(block, memory.mem_user_data);
        block = memory.calloc(1, len, memory.mem_user_data);
        cr_expect(is_filled(block, len, 0), "%zu", len);
        memory.free(block, memory.mem_user_data);
    }
}

Test(h2_memory, the_places_of_many_sessions_come_back)
{
    enum { SESSIONS = 300 };
    void *sessions[SESSIONS];
    void *frames[SESSIONS];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < SESSIONS; i++) {
            sessions[i] = memory.calloc(1, 2928, memory.mem_user_data);
            frames[i] = memory.malloc(16394, memory.mem_user_data);
            memset(frames[i], 'x', 16394);
        }
        for (size_t i = 0; i < SESSIONS; i++) {
            memory.free(frames[i], memory.mem_user_data);
            memory.free(sessions[i], memory.mem_user_data);
        }
        cr_expect_eq(store.place_count, store.place_total);
    }
    cr_expect_lt(store.place_total, SESSIONS + 51);
}

/* Under a sanitizer there are no places. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TABLE_BYTES 4096

static bool is_resident(void *page)
{
    unsigned char answer = 0;
    cr_assert_eq(mincore(page, TABLE_BYTES, &answer), 0);
    return answer & 1;
}

Test(h2_memory, a_session_at_rest_gives_its_table_back_and_only_where_that_is_empty)
{
    void *session = memory.calloc(1, 2928, memory.mem_user_data);
    unsigned char *table = memory.calloc(256, TABLE_BYTES / 256, memory.mem_user_data);
    unsigned char *frame = memory.malloc(16394, memory.mem_user_data);
    memset(frame, 'x', 16394);
    table[TABLE_BYTES - 1] = 1;
    h2_memory_rest(session);
    cr_expect_eq(table[TABLE_BYTES - 1], 1);
    table[TABLE_BYTES - 1] = 0;
    cr_assert(is_resident(table));
    h2_memory_rest(session);
    cr_expect_not(is_resident(table));
    cr_expect(is_filled(table, TABLE_BYTES, 0) && is_filled(frame, 16394, 'x'));
    unsigned char *larger = memory.realloc(table, 2 * TABLE_BYTES, memory.mem_user_data);
    cr_expect(is_filled(larger, TABLE_BYTES, 0));
    memory.free(larger, memory.mem_user_data);
    memory.free(frame, memory.mem_user_data);
    memory.free(session, memory.mem_user_data);
    cr_expect_eq(store.place_count, store.place_total);
}
#endif
