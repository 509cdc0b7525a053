// SPDX-License-Identifier: EUPL-1.2
/* What nghttp2 allocates for each stream: some twenty small blocks, of few sizes, freed soon. A
 * worker keeps those that are free in one list a size, so that a request on a warm connection costs
 * no malloc. A session itself and its buffer for a frame, 16 KiB of which it nearly always needs
 * the beginning, share a page: they lie in regions of their own, so that the rest never becomes
 * memory. Its table of streams has a page of its own there, for a quiet session to give back. One
 * thread. */
#pragma once

#include <nghttp2/nghttp2.h>

#define SMALL_SIZES 13 /* 64, 96, 128, 192, ... 4096 bytes */

struct small_store {
    void *free[SMALL_SIZES];
    uint32_t count[SMALL_SIZES];
    struct session_region *regions; /* of places for a session and its frame buffer */
    struct session_place **places;  /* those at rest; has room for all */
    uint32_t place_count;
    uint32_t place_total;
    struct session_place *begun; /* has its session, and not yet its frame buffer */
};

/* For nghttp2_session_server_new3; the store outlives the session. */
nghttp2_mem h2_memory(struct small_store *store);
/* A session without streams gives back the page of its table of them, 4 KiB, until it has one
 * again: that takes two page faults, so it is for a session that has been quiet for a while. */
void h2_memory_rest(const nghttp2_session *session);
void small_store_fini(struct small_store *store);
