// SPDX-License-Identifier: EUPL-1.2
/* A folder of keys, made for a test and removed after it. */
#pragma once

#include "belfry/slice.h"

#define KEYS_PATH_MAX 256
void keys_begin(char dir[KEYS_PATH_MAX]);
void keys_end(const char *dir);
/* dir/purpose/entity/name with this content and mode. */
void keys_write(const char *dir, const char *where, struct slice content, unsigned mode);
/* A new P-256 (or, where so asked, Ed25519) key as dir/assertion/`where`. */
void keys_assertion(const char *dir, const char *where, bool is_ed25519);
#define KEYS_HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
