// SPDX-License-Identifier: EUPL-1.2
/* Randomness. `entropy_bytes` for secrets (the system's); `struct dice` for what must be unique but
 * not secret, such as references and trace ids: a worker's own, no syscall. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "belfry/id.h"

void entropy_bytes(void *out, size_t len); /* aborts where the system gives none */

struct dice {
    uint64_t state[4];
};
void dice_init(struct dice *d); /* seeded by entropy_bytes */
uint64_t dice_next(struct dice *d);
void reference_make(struct dice *d, struct reference *out);
