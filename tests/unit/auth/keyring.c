// SPDX-License-Identifier: EUPL-1.2
/* Which key of a ring is used when, and which folders are refused. */
#include "auth/keyring.h"

#include <criterion/criterion.h>

#include "auth/jwks.h"
#include "base/hash.h"
#include "keys.h"

static const struct wall now = {1800000000}; /* 2027-01-15 08:00:00 UTC */
static char dir[KEYS_PATH_MAX];

static void begin(void)
{
    base_init();
    keys_begin(dir);
}

static void end(void)
{
    keys_end(dir);
}

TestSuite(keyring, .init = begin, .fini = end);

Test(keyring, the_newest_whose_time_has_come_signs_and_all_are_published)
{
    struct fault fault;
    keys_assertion(dir, "finance/20260101000000.pem", false);
    keys_assertion(dir, "finance/20270115080000.pem", false);
    keys_assertion(dir, "finance/20270116000000.pem", false);
    keys_write(dir, "audit/finance/20260101000000.key", SLICE(KEYS_HEX), 0600);
    struct keyring *k = keyring_read(dir, now, &fault);
    cr_assert(k, "%s", fault.text);
    const struct slice finance = SLICE("finance");
    const struct keyring_signer *past = keyring_signer(k, finance, (struct wall){now.s - 1});
    const struct keyring_signer *present = keyring_signer(k, finance, now);
    const struct keyring_signer *future = keyring_signer(k, finance, (struct wall){now.s + 86400});
    cr_assert(past && present && future);
    cr_expect(past != present && present != future);
    cr_expect_null(keyring_signer(k, finance, (struct wall){1700000000}));
    cr_expect(keyring_has(k, finance));

    // The set is one that a reader of key sets takes, newest first, by the same names.
    struct key_set *set =
        key_set_parse(keyring_jwks(k, finance), 1u << ALGORITHM_ES256, now, &fault);
    cr_assert(set, "%s", fault.text);
    cr_assert_eq(set->count, 3);
    cr_expect(slice_eq(set->keys[0].kid, future->kid));
    cr_expect(slice_eq(set->keys[1].kid, present->kid));
    cr_expect_eq(EVP_PKEY_eq(set->keys[1].key.pkey, present->key.pkey), 1);
    cr_expect_eq(present->kid.len, 43);
    key_set_unref(set);
    keyring_unref(k);
}

Test(keyring, entities_have_nothing_of_each_other)
{
    struct fault fault;
    keys_assertion(dir, "finance/20260101000000.pem", false);
    keys_write(dir, "audit/customs/20260101000000.key", SLICE(KEYS_HEX), 0600);
    struct keyring *k = keyring_read(dir, now, &fault);
    cr_assert(k, "%s", fault.text);
    cr_expect_not(keyring_has(k, SLICE("finance")));
    cr_expect_not(keyring_has(k, SLICE("customs")));
    cr_expect_not(keyring_has(k, SLICE("nobody")));
    cr_expect_eq(keyring_audit_key(k, SLICE("finance")).len, 0);
    cr_expect_eq(keyring_audit_key(k, SLICE("customs")).len, 32);
    cr_expect_eq(keyring_jwks(k, SLICE("customs")).len, 0);
    cr_expect_null(keyring_signer(k, SLICE("customs"), now));
    keyring_unref(k);
}

Test(keyring, the_audit_key_is_the_newest_whose_time_has_come)
{
    struct fault fault;
    keys_write(dir, "audit/finance/20250101000000.key", SLICE(KEYS_HEX), 0600);
    keys_write(dir, "audit/finance/20260101000000.key", SLICE("ff" KEYS_HEX), 0600);
    keys_write(dir, "audit/finance/20280101000000.key", SLICE("ee" KEYS_HEX), 0600);
    struct keyring *k = keyring_read(dir, now, &fault);
    cr_assert(k, "%s", fault.text);
    cr_assert_eq(keyring_audit_key(k, SLICE("finance")).len, 33);
    cr_expect_eq((uint8_t)keyring_audit_key(k, SLICE("finance")).ptr[0], 0xff);
    keyring_unref(k);
}

Test(keyring, a_file_that_is_no_key_is_said)
{
    static const struct {
        const char *where;
        const char *content;
        unsigned mode;
    } cases[] = {
        {"assertion/finance/20260101000000.pem", "no key", 0600},
        {"assertion/finance/current.pem", "no key", 0600},
        {"audit/finance/20260101000000.key", "00112233", 0600},
        {"audit/finance/20260101000000.key", "zz" KEYS_HEX, 0600},
        {"audit/finance/20260101000000.key", KEYS_HEX, 0644},
        {"audit/finance/20260431000000.key", KEYS_HEX, 0600},
        {"audit/finance/20260101240000.key", KEYS_HEX, 0600},
        {"audit/finance/2026010100000.key", KEYS_HEX, 0600},
    };
    struct fault fault;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        keys_end(dir);
        keys_write(dir, cases[i].where, slice_of(cases[i].content), cases[i].mode);
        struct keyring *k = keyring_read(dir, now, &fault);
        cr_expect_null(k, "case %zu", i);
        keyring_unref(k);
    }
    keys_end(dir);
    keys_assertion(dir, "finance/20260101000000.pem", true);
    cr_expect_null(keyring_read(dir, now, &fault), "Ed25519 signs no assertion");
    keys_end(dir);
    cr_expect_null(keyring_read(dir, now, &fault), "no folder");
}
