// SPDX-License-Identifier: EUPL-1.2
/* What is sealed into a line opens by its entity's key, and there alone. */
#include "audit/seal.h"

#include <criterion/criterion.h>

#include "base/hash.h"

static const struct slice key = SLICE_INIT("0123456789abcdef0123456789abcdef");
static struct arena arena;
static struct seals *seals;
static struct unseals *keys;

static void begin(void)
{
    base_init();
    arena_init(&arena, NULL);
    seals = seals_new();
    seals_add(seals, SLICE("finance"), key);
    keys = unseals_new();
    unseals_add(keys, SLICE("another"));
    unseals_add(keys, key);
}

static void end(void)
{
    seals_free(seals);
    unseals_free(keys);
    arena_fini(&arena);
}

TestSuite(seal, .init = begin, .fini = end);

static struct slice sealed_of(const char *reference, const char *text)
{
    const struct slice parts[] = {SLICE("x"), SLICE(""), slice_of(text)};
    char *out = arena_bytes(&arena, SEALED_ROOM(strlen(text) + 1));
    return slice_from(out, seals_put(seals, SLICE("finance"), slice_of(reference), parts, 3, out));
}

static bool opens(struct slice sealed, const char *entity, const char *reference,
                  struct slice *plain)
{
    return unseals_open(keys, slice_of(entity), slice_of(reference), sealed, &arena, plain);
}

Test(seal, gives_back_the_parts_as_one)
{
    struct slice plain;
    const struct slice sealed = sealed_of("R1", "anna, officers");
    cr_assert_eq(sealed.len, SEALED_ROOM(15));
    cr_assert(opens(sealed, "finance", "R1", &plain));
    cr_expect(slice_eq(plain, SLICE("xanna, officers")));
    cr_assert(opens(sealed_of("R2", ""), "finance", "R2", &plain));
    cr_expect(slice_eq(plain, SLICE("x")));
}

Test(seal, opens_for_its_entity_and_reference_only)
{
    struct slice plain;
    const struct slice sealed = sealed_of("R1", "anna");
    cr_expect_not(opens(sealed, "finance", "R2", &plain));
    cr_expect_not(opens(sealed, "health", "R1", &plain));
    cr_expect_not(opens(sealed, "financeR", "1", &plain), "lengths count");
    unseals_free(keys);
    keys = unseals_new();
    unseals_add(keys, SLICE("another"));
    cr_expect_not(opens(sealed, "finance", "R1", &plain));
}

Test(seal, of_the_same_twice_never_looks_the_same)
{
    cr_expect_not(slice_eq(sealed_of("R1", "anna"), sealed_of("R1", "anna")));
}

Test(seal, that_was_changed_anywhere_does_not_open)
{
    struct slice plain;
    const struct slice sealed = sealed_of("R1", "anna");
    char *bytes = arena_bytes(&arena, sealed.len);
    for (size_t i = 0; i < sealed.len; i++) {
        memcpy(bytes, sealed.ptr, sealed.len);
        bytes[i] = bytes[i] == 'A' ? 'B' : 'A';
        cr_expect_not(opens(slice_from(bytes, sealed.len), "finance", "R1", &plain), "byte %zu", i);
        cr_expect_not(opens(slice_from(sealed.ptr, i), "finance", "R1", &plain), "%zu bytes", i);
    }
}

Test(seal, without_a_key_writes_nothing)
{
    char out[SEALED_ROOM(4)];
    const struct slice text = SLICE("anna");
    cr_expect_eq(seals_put(seals, SLICE("health"), SLICE("R1"), &text, 1, out), 0);
}

Test(seal, counts_the_first_key_of_an_entity)
{
    struct slice plain;
    seals_add(seals, SLICE("finance"), SLICE("another"));
    cr_expect(opens(sealed_of("R1", "anna"), "finance", "R1", &plain));
}

#define MANY_SALTS 3000 /* more than a reader keeps ciphers of */

/* Each start of a gateway has a salt of its own; a forged log may have one in each line. */
Test(seal, of_more_salts_than_are_remembered_opens_all_the_same)
{
    struct slice plain;
    const struct slice first = sealed_of("R1", "anna");
    for (int i = 0; i < MANY_SALTS; i++) {
        seals_free(seals);
        seals = seals_new();
        seals_add(seals, SLICE("finance"), key);
        cr_assert(opens(sealed_of("R2", "berta"), "finance", "R2", &plain));
        cr_assert(slice_eq(plain, SLICE("xberta")));
    }
    cr_assert(opens(first, "finance", "R1", &plain));
    cr_expect(slice_eq(plain, SLICE("xanna")));
}
