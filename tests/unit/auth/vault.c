// SPDX-License-Identifier: EUPL-1.2
/* What the store holds opens only by our keys, for its purpose and under its name. */
#include "auth/vault.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "keys.h"

#define OTHER_HEX "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static const struct wall now = {1800000000}; /* 2027-01-15 08:00:00 UTC */
static const struct slice finance = {"finance", 7};
static char dir[KEYS_PATH_MAX];
static struct buf sealed, plain;

static void begin(void)
{
    base_init();
    keys_begin(dir);
    buf_init(&sealed, 4096);
    buf_init(&plain, 4096);
}

static void end(void)
{
    buf_fini(&sealed);
    buf_fini(&plain);
    keys_end(dir);
}

TestSuite(vault, .init = begin, .fini = end);

static struct keyring *ring(void)
{
    struct fault fault;
    struct keyring *k = keyring_read(dir, now, &fault);
    cr_assert(k, "%s", fault.text);
    return k;
}

static struct keyring *usual_ring(void)
{
    keys_write(dir, "seal/20260101000000.key", SLICE(KEYS_HEX), 0600);
    keys_write(dir, "store/20260101000000.key", SLICE(KEYS_HEX), 0600);
    return ring();
}

static bool opens(struct keyring *k, enum vault_purpose purpose, const char *name,
                  struct slice bytes)
{
    buf_clear(&plain);
    return vault_open(k, purpose, slice_of(name), bytes, &plain);
}

Test(vault, what_is_sealed_opens)
{
    struct keyring *k = usual_ring();
    const struct slice said = SLICE("anna, tax-officers");
    cr_expect(vault_is_open(k));
    cr_assert(vault_seal(k, VAULT_SESSION, SLICE("a"), said, now, &sealed));
    cr_expect_eq(buf_len(&sealed), said.len + VAULT_OVERHEAD);
    cr_expect_null(memmem(sealed.ptr, buf_len(&sealed), "anna", 4));
    cr_assert(opens(k, VAULT_SESSION, "a", buf_slice(&sealed)));
    cr_expect(slice_eq(buf_slice(&plain), said));
    buf_clear(&sealed);
    cr_assert(vault_seal(k, VAULT_MARK, SLICE("b"), SLICE(""), now, &sealed));
    cr_expect(opens(k, VAULT_MARK, "b", buf_slice(&sealed)));
    keyring_unref(k);
}

Test(vault, a_record_is_of_its_purpose_and_name)
{
    struct keyring *k = usual_ring();
    cr_assert(vault_seal(k, VAULT_SESSION, SLICE("a"), SLICE("anna"), now, &sealed));
    cr_expect_not(opens(k, VAULT_ATTEMPT, "a", buf_slice(&sealed)));
    cr_expect_not(opens(k, VAULT_SESSION, "b", buf_slice(&sealed)));
    cr_expect_not(opens(k, VAULT_SESSION, "", buf_slice(&sealed)));
    keyring_unref(k);
}

Test(vault, every_changed_bit_and_every_cut_is_seen)
{
    struct keyring *k = usual_ring();
    cr_assert(vault_seal(k, VAULT_SESSION, SLICE("a"), SLICE("anna"), now, &sealed));
    for (size_t i = 0; i < 8 * buf_len(&sealed); i++) {
        sealed.ptr[sealed.from + i / 8] ^= (char)(1 << i % 8);
        cr_expect_not(opens(k, VAULT_SESSION, "a", buf_slice(&sealed)), "bit %zu", i);
        sealed.ptr[sealed.from + i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t len = 0; len < buf_len(&sealed); len++)
        cr_expect_not(opens(k, VAULT_SESSION, "a", slice_from(sealed.ptr + sealed.from, len)));
    cr_expect(opens(k, VAULT_SESSION, "a", buf_slice(&sealed)));
    keyring_unref(k);
}

Test(vault, a_rotation_seals_by_the_new_key_and_opens_by_the_old)
{
    struct keyring *before = usual_ring();
    cr_assert(vault_seal(before, VAULT_SESSION, SLICE("a"), SLICE("anna"), now, &sealed));
    keys_write(dir, "seal/20270115080000.key", SLICE(OTHER_HEX), 0600);
    struct keyring *after = ring();
    cr_expect(opens(after, VAULT_SESSION, "a", buf_slice(&sealed)));
    buf_clear(&sealed);
    cr_assert(vault_seal(after, VAULT_SESSION, SLICE("a"), SLICE("anna"), now, &sealed));
    cr_expect(opens(after, VAULT_SESSION, "a", buf_slice(&sealed)));
    cr_expect_not(opens(before, VAULT_SESSION, "a", buf_slice(&sealed)), "the key is another");
    buf_clear(&sealed);
    /* One whose time has not come seals nothing. */
    cr_assert(vault_seal(after, VAULT_SESSION, SLICE("a"), SLICE("anna"), (struct wall){now.s - 1},
                         &sealed));
    cr_expect(opens(before, VAULT_SESSION, "a", buf_slice(&sealed)));
    keyring_unref(before);
    keyring_unref(after);
}

Test(vault, a_key_has_its_length)
{
    struct fault fault;
    keys_write(dir, "seal/20270115080000.key", SLICE("00" OTHER_HEX), 0600);
    cr_expect_null(keyring_read(dir, now, &fault));
}

Test(vault, names_differ_by_purpose_entity_id_and_key)
{
    char names[5][VAULT_NAME_ROOM];
    struct keyring *k = usual_ring();
    cr_assert(vault_name(k, VAULT_SESSION, finance, SLICE("a"), names[0]));
    cr_assert(vault_name(k, VAULT_ATTEMPT, finance, SLICE("a"), names[1]));
    cr_assert(vault_name(k, VAULT_SESSION, SLICE("financ"), SLICE("ea"), names[2]));
    cr_assert(vault_name(k, VAULT_SESSION, finance, SLICE("b"), names[3]));
    keyring_unref(k);
    keys_write(dir, "store/20270101000000.key", SLICE(OTHER_HEX), 0600);
    k = ring();
    cr_assert(vault_name(k, VAULT_SESSION, finance, SLICE("a"), names[4]));
    keyring_unref(k);
    cr_expect_eq(strlen(names[0]), 15 + 43);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            cr_expect_str_neq(names[i], names[j], "%d %d", i, j);
}

Test(vault, without_keys_nothing_is_kept)
{
    char name[VAULT_NAME_ROOM];
    uint8_t mac[32];
    struct keyring *k = ring();
    cr_expect_not(vault_is_open(k));
    cr_expect_not(vault_name(k, VAULT_SESSION, finance, SLICE("a"), name));
    cr_expect_not(vault_mac(k, VAULT_REVOKED, SLICE("a"), mac));
    cr_expect_not(vault_seal(k, VAULT_SESSION, SLICE("a"), SLICE("anna"), now, &sealed));
    keyring_unref(k);
}
