// SPDX-License-Identifier: EUPL-1.2
/* What nghttp2 allocates for each stream: some twenty small blocks, of few sizes, freed soon. A
 * worker keeps those that are free in one list a size, so that a request on a warm connection costs
 * no malloc. One thread. */
#pragma once

#include <nghttp2/nghttp2.h>

#define SMALL_SIZES 7 /* 64 to 4096 bytes, each twice the one before */

struct small_store {
    void *free[SMALL_SIZES];
    uint32_t count[SMALL_SIZES];
};

/* For nghttp2_session_server_new3; the store outlives the session. */
nghttp2_mem h2_memory(struct small_store *store);
void small_store_fini(struct small_store *store);
