// SPDX-License-Identifier: EUPL-1.2
/* What the two files of `belfry key` share. */
#pragma once

#include "base/sign.h"

#define KEY_MODE 0600

/* Whether a new key lies under a passphrase, and where that comes from (NULL: the terminal). */
struct key_lock {
    bool is_wanted;
    const char *passphrase_path;
};

int key_trouble(const struct fault *f);
/* A new key of that kind in a new file; what is public of it as PEM's owner sees it in *out_public
 * (32 bytes; NULL: not asked, and for Ed25519 only). */
MUST_USE bool key_write(const char *path, enum algorithm algorithm, const struct key_lock *lock,
                        uint8_t *out_public, struct fault *f);
int key_ring(int argc, char **argv); /* `new` or `rotate`, and a folder */
