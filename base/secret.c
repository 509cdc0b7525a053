// SPDX-License-Identifier: EUPL-1.2
/* Keeping and losing secrets. A NUL that is not counted stands behind the bytes, for libraries that
 * want text. */
#include "base/secret.h"

#include <openssl/crypto.h>

#include "base/fault.h"
#include "base/mem.h"

#define SMALLEST_BYTES                                                                             \
    32 /* an Ed25519 or X25519 key; OpenSSL hands out powers of two from here on */

bool secret_memory(size_t bytes, struct fault *f)
{
    size_t room = 1u << 16;
    while (room < bytes)
        room *= 2; // OpenSSL wants a power of two
    switch (CRYPTO_secure_malloc_init(room, SMALLEST_BYTES)) {
    case 1:
        return true;
    case 2: // it is there, with its guards, but something was refused
        return fault_set(f, FAULT_LIMIT,
                         "%zu KiB for keys can't be locked in memory: raise the limit of locked "
                         "memory (LimitMEMLOCK=, ulimit -l)",
                         room / 1024);
    default:
        return fault_set(f, FAULT_LIMIT, "there is no memory of their own for keys");
    }
}

void *secret_new(size_t size)
{
    void *ptr = OPENSSL_secure_zalloc(size);
    /* Full of other secrets: better in common memory than not at all. Wiped it is all the same. */
    return ptr ? ptr : mem_zero(1, size);
}

void secret_free(void *ptr, size_t size)
{
    OPENSSL_secure_clear_free(ptr, size); // of common memory it knows, too
}

void secret_init(struct secret *s, const void *bytes, size_t len)
{
    size_t room;
    bool is_too_long = __builtin_add_overflow(len, 1u, &room);
    *s = (struct secret){secret_new(is_too_long ? SIZE_MAX : room), len};
    if (len)
        memcpy(s->bytes, bytes, len);
}

void secret_fini(struct secret *s)
{
    secret_free(s->bytes, s->len + 1);
    *s = (struct secret){0};
}

bool secret_eq(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void wipe(void *ptr, size_t len)
{
    OPENSSL_cleanse(ptr, len);
}
