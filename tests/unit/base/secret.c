// SPDX-License-Identifier: EUPL-1.2
#include "base/secret.h"

#include <criterion/criterion.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/hash.h"
#include "base/sign.h"

/* The flags of the mapping that an address lies in, as /proc/self/smaps has them. */
static void flags_of(const void *address, char out[256])
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool is_inside = false;
    out[0] = '\0';
    cr_assert(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from = 0;
        unsigned long to = 0;
        char *rest = line;
        from = strtoul(line, &rest, 16);
        if (*rest == '-') {
            to = strtoul(rest + 1, NULL, 16);
            is_inside = from <= (unsigned long)address && (unsigned long)address < to;
        } else if (is_inside && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(out, 256, "%.200s", line + 8);
        }
    }
    (void)fclose(maps);
}

Test(secret, lies_in_locked_memory_that_no_dump_holds)
{
    struct fault f = {0};
    struct secret s;
    char flags[256];
    cr_assert(secret_memory(1 << 20, &f), "%s", f.text);
    secret_init(&s, "the key", 7);
    cr_assert(CRYPTO_secure_allocated(s.bytes));
    cr_assert_str_eq((char *)s.bytes, "the key");
    flags_of(s.bytes, flags);
    cr_expect(strstr(flags, " lo") && strstr(flags, " dd"), "'%s'", flags);
    secret_fini(&s);
    cr_expect_eq(CRYPTO_secure_used(), 0);
}

Test(secret, the_private_number_of_a_key_lies_there_too, .init = base_init)
{
    struct fault f = {0};
    cr_assert(secret_memory(1 << 20, &f), "%s", f.text);
    struct private_key made;
    cr_assert(private_key_make(&made, ALGORITHM_ES256, &f)); // OpenSSL's own chance begins there
    private_key_fini(&made);
    for (enum algorithm a = ALGORITHM_ES256; a <= ALGORITHM_ED25519; a++) {
        const size_t before = CRYPTO_secure_used();
        struct private_key again;
        struct secret pem;
        cr_assert(private_key_make(&made, a, &f) && private_key_print(&made, &pem, &f));
        private_key_fini(&made);
        cr_assert(private_key_read(&again, slice_from(pem.bytes, pem.len), &f), "%s", f.text);
        secret_fini(&pem);
        cr_expect_geq(CRYPTO_secure_used(), before + 32, "algorithm %d", (int)a);
        private_key_fini(&again);
        cr_expect_eq(CRYPTO_secure_used(), before, "algorithm %d", (int)a);
    }
}

Test(secret, what_does_not_fit_is_kept_in_common_memory_and_wiped_all_the_same)
{
    struct fault f = {0};
    struct secret s[4];
    cr_assert(secret_memory(1, &f), "%s", f.text); // 64 KiB are the least
    static char bytes[40000];
    for (int i = 0; i < 4; i++)
        secret_init(&s[i], bytes, sizeof bytes);
    cr_expect(CRYPTO_secure_allocated(s[0].bytes) && !CRYPTO_secure_allocated(s[3].bytes));
    for (int i = 0; i < 4; i++)
        secret_fini(&s[i]);
}

Test(secret, without_that_memory_it_is_kept_as_well)
{
    struct secret s;
    secret_init(&s, NULL, 0);
    cr_expect(s.bytes && s.bytes[0] == '\0');
    secret_fini(&s);
    secret_fini(&s); // the zeroed one
}
