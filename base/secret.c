// SPDX-License-Identifier: EUPL-1.2
/* Keeping and losing secrets. A NUL that is not counted stands behind the bytes, for libraries that
 * want text. */
#include "base/secret.h"

#include <openssl/crypto.h>

#include "base/mem.h"

void secret_init(struct secret *s, const void *bytes, size_t len)
{
    *s = (struct secret){(uint8_t *)mem_text(slice_from(bytes, len)), len};
}

void secret_fini(struct secret *s)
{
    if (s->bytes)
        wipe(s->bytes, s->len);
    mem_free(s->bytes);
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
