// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/codec.h"
#include "base/hash.h"

static void expect(const uint8_t digest[SHA256_BYTES], const char *hex)
{
    char text[2 * SHA256_BYTES];
    hex_encode(text, digest, SHA256_BYTES);
    cr_assert(slice_eq(slice_from(text, sizeof text), slice_of(hex)), "%.64s", text);
}

Test(hash, sha256_is_that_of_fips_180, .init = base_init)
{
    uint8_t out[SHA256_BYTES];
    sha256(out, SLICE(""));
    expect(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256(out, SLICE("abc"));
    expect(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(hash, hmac_is_that_of_rfc_4231, .init = base_init)
{
    uint8_t out[SHA256_BYTES];
    char key[131];
    memset(key, 0xaa, sizeof key);
    hmac_sha256(out, SLICE("Jefe"), SLICE("what do ya want for nothing?"));
    expect(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_sha256(out, slice_from(key, sizeof key),
                SLICE("Test Using Larger Than Block-Size Key - Hash Key First"));
    expect(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    // An empty key is a key, not the one from before.
    hmac_sha256(out, (struct slice){NULL, 0}, SLICE(""));
    expect(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

Test(hash, parts_that_are_cut_elsewhere_have_another_digest, .init = base_init)
{
    static const struct slice a[] = {SLICE_INIT("ab"), SLICE_INIT("c")};
    static const struct slice b[] = {SLICE_INIT("a"), SLICE_INIT("bc")};
    static const struct slice c[] = {SLICE_INIT("ab"), SLICE_INIT("c"), SLICE_INIT("")};
    uint8_t out[4][SHA256_BYTES];
    sha256_parts(out[0], a, 2);
    sha256_parts(out[1], b, 2);
    sha256_parts(out[2], c, 3);
    sha256_parts(out[3], a, 2);
    cr_assert_neq(memcmp(out[0], out[1], SHA256_BYTES), 0);
    cr_assert_neq(memcmp(out[0], out[2], SHA256_BYTES), 0);
    cr_assert_eq(memcmp(out[0], out[3], SHA256_BYTES), 0);
}

Test(hash, siphash_is_siphash_1_3)
{
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    static const uint64_t expected[] = {0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d,
                                        0x8bf80ab8e7ddf7fb, 0xcf75576088d38328, 0xdef9d52f49533b67,
                                        0xc50d2b50c59f22a7, 0xd3927d989bb11140, 0x369095118d299a8e,
                                        0x25a48eb36c063de4};
    static const char bytes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_assert_eq(siphash(key, slice_from(bytes, i)), expected[i], "length %zu", i);
}

static void *digest_much(void *unused)
{
    (void)unused;
    uint8_t out[SHA256_BYTES];
    for (int i = 0; i < 2000; i++)
        sha256(out, SLICE("abc"));
    return (void *)(uintptr_t)out[0];
}

Test(hash, threads_come_and_go_with_contexts_of_their_own, .init = base_init)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, digest_much, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *out;
        cr_assert_eq(pthread_join(threads[i], &out), 0);
        cr_assert_eq((uintptr_t)out, 0xba);
    }
}
