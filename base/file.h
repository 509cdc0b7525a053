// SPDX-License-Identifier: EUPL-1.2
/* Whole files: read with a limit, written so that either the old or the new is there. Any thread;
 * blocks, so never on a worker's loop. */
#pragma once

#include "belfry/fault.h"
#include "belfry/secret.h"
#include "belfry/slice.h"

/* The whole file, NUL behind; the caller frees with mem_slice_free. More than `max` is FAULT_LIMIT.
 */
MUST_USE bool file_read(struct slice *out, const char *path, size_t max, struct fault *f);
/* The same for keys: refuses a file that others can read (mode & 077 beyond group read). */
MUST_USE bool file_read_secret(struct secret *out, const char *path, size_t max, struct fault *f);
/* Writes PATH.tmp, fsync, rename, fsync of the folder. */
MUST_USE bool file_write(const char *path, struct slice bytes, unsigned mode, struct fault *f);
/* Several files of one folder, as one: all are on the disk before the first takes its place; they
 * do so in their order, and the folder is synced once. A crash leaves the first few of them new,
 * where the file system keeps the order of renames, as those with a journal do. */
struct file_text {
    const char *path;
    struct slice bytes;
};
MUST_USE bool file_write_all(const struct file_text *files, size_t count, unsigned mode,
                             struct fault *f);
/* As file_write, only where nothing is there: a key that is overwritten is a key that is lost. */
MUST_USE bool file_write_new(const char *path, struct slice bytes, unsigned mode, struct fault *f);
MUST_USE bool dir_make(const char *path, unsigned mode,
                       struct fault *f); /* with parents; fine when there */
