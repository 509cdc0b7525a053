// SPDX-License-Identifier: EUPL-1.2
/* The folders `crl` and `ocsp` of state_dir: what was fetched, for the next start, in files named
 * ENTITY.AUTHORITY.DIGEST. Each of them may be gone at any time, which is as if nothing had been
 * kept. Files of one folder are written and tidied by one thread. */
#pragma once

#include "base/aside.h"
#include "policy/bundle.h"

#define STATUS_DIGEST_BYTES 16

/* NULL without a state_dir, or where the path would be too long. */
char *status_file_path(const char *state_dir, const char *folder, struct slice entity,
                       struct slice authority, const uint8_t digest[STATUS_DIGEST_BYTES]);
char *status_folder_path(const char *state_dir, const char *folder);

struct status_room {
    uint64_t files;
    uint64_t bytes;
};

/* Which files stay; NULL: all. One that ends in a dot stands for all names that begin with it. */
struct status_keep {
    char **names; /* owned */
    uint32_t count;
};
void status_keep_add(struct status_keep *k, char *take_name);
void status_keep_fini(struct status_keep *k);

/* Removes what is not to stay, and what a crash has left half-written; then, where more than `most`
 * is left, what was written longest ago until there is an eighth of it to spare. Returns what may
 * be written before `most` is reached. Files of other kinds are not touched. Blocks. */
struct status_room status_files_tidy(const char *folder, const struct status_keep *keep,
                                     struct status_room most);
/* The same on that thread, without a limit. */
void status_files_tidy_aside(struct aside *a, const char *state_dir, const char *folder,
                             struct status_keep take_keep);
