// SPDX-License-Identifier: EUPL-1.2
/* Tables of any bytes: every row ends, every value lies in plain text, and what was read and is
 * written again in quotes reads as the same. */
#include <assert.h>
#include <string.h>

#include "base/csv.h"

#define ROOM 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(struct arena *a, const struct slice *values, uint32_t count)
{
    struct slice again[ROOM];
    struct fault f;
    uint32_t again_count = 0;
    size_t room = 4;
    for (uint32_t i = 0; i < count; i++)
        room += 2 * values[i].len + 3;
    char *text = arena_bytes(a, room);
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++) {
        text[len++] = '"';
        for (size_t k = 0; k < values[i].len; k++) {
            if (values[i].ptr[k] == '"')
                text[len++] = '"';
            text[len++] = values[i].ptr[k];
        }
        text[len++] = '"';
        text[len++] = i + 1 < count ? ',' : '\n';
    }
    struct csv c = {.rest = slice_from(text, len)};
    assert(csv_next(&c, a, again, ROOM, &again_count, &f) == CSV_ROW);
    assert(again_count == count);
    for (uint32_t i = 0; i < count; i++)
        assert(slice_eq(values[i], again[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct csv c = {.rest = slice_from(data, size)};
    struct slice values[ROOM];
    struct fault f;
    uint32_t count;
    uint32_t rows = 0;
    enum csv_step step;
    arena_init(&a, NULL);
    while ((step = csv_next(&c, &a, values, ROOM, &count, &f)) != CSV_END) {
        assert(++rows <= size + 1);
        if (step == CSV_ROW)
            check_again(&a, values, count);
    }
    arena_fini(&a);
    return 0;
}
