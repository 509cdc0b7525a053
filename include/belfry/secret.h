// SPDX-License-Identifier: EUPL-1.2
/* Bytes that must not be seen: no printf form, wiped at the end, compared in constant time. The
 * functions are in base/secret.h. Owned by whoever made it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct secret {
    uint8_t *bytes;
    size_t len;
};
