// SPDX-License-Identifier: EUPL-1.2
/* A folder is read whole when it is tidied, and never otherwise. */
#include "auth/status_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/mem.h"
#include "policy/serials.h"

#define LISTED_MAX 65536 /* of one folder; a file above that goes at once */

struct listed {
    char *name;
    uint64_t bytes;
    struct timespec written;
};

struct listing {
    struct listed *at;
    uint32_t count;
    uint64_t bytes;
};

char *status_file_path(const char *state_dir, const char *folder, struct slice entity,
                       struct slice authority, const uint8_t digest[STATUS_DIGEST_BYTES])
{
    char name[2 * STATUS_DIGEST_BYTES];
    struct buf path;
    char *text = NULL;
    hex_encode(name, digest, STATUS_DIGEST_BYTES);
    buf_init(&path, PATH_MAX);
    if (state_dir && buf_printf(&path, "%s/%s/%.*s.%.*s.%.*s", state_dir, folder, SLICE_ARG(entity),
                                SLICE_ARG(authority), (int)sizeof name, name))
        text = mem_text(buf_slice(&path));
    buf_fini(&path);
    return text;
}

char *status_folder_path(const char *state_dir, const char *folder)
{
    struct buf path;
    buf_init(&path, PATH_MAX);
    const bool fits = buf_printf(&path, "%s/%s", state_dir, folder);
    char *text = mem_text(fits ? buf_slice(&path) : SLICE(""));
    buf_fini(&path);
    return text;
}

/* ---- which stay ---- */

void status_keep_add(struct status_keep *k, char *take_name)
{
    k->names = mem_grow(k->names, (size_t)k->count + 1, sizeof *k->names);
    k->names[k->count++] = take_name;
}

void status_keep_fini(struct status_keep *k)
{
    for (uint32_t i = 0; i < k->count; i++)
        mem_free(k->names[i]);
    mem_free(k->names);
}

static bool is_ours(struct slice name)
{
    uint8_t digest[STATUS_DIGEST_BYTES];
    const struct slice entity = slice_cut(&name, '.');
    const struct slice authority = slice_cut(&name, '.');
    const struct slice hex = slice_cut(&name, '.');
    return entity_id_is_valid(entity) && entity_id_is_valid(authority) &&
           hex.len == sizeof digest * 2 && hex_decode(digest, hex) &&
           (!name.len || slice_eq(name, SLICE("tmp")));
}

static bool stays(const struct status_keep *k, struct slice name)
{
    if (slice_ends(name, SLICE(".tmp")))
        return false;
    for (uint32_t i = 0; k && i < k->count; i++) {
        const struct slice kept = slice_of(k->names[i]);
        if (slice_ends(kept, SLICE(".")) ? slice_starts(name, kept) : slice_eq(name, kept))
            return true;
    }
    return !k;
}

/* ---- what there is ---- */

static void list(DIR *folder, const struct status_keep *keep, struct listing *out)
{
    const int fd = dirfd(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        const struct slice name = slice_of(entry->d_name);
        struct stat about;
        if (!is_ours(name))
            continue;
        if (!stays(keep, name) || out->count >= LISTED_MAX) {
            (void)unlinkat(fd, entry->d_name, 0);
            continue;
        }
        if (fstatat(fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (!(out->count & (out->count - 1)))
            out->at = mem_grow(out->at, out->count ? (size_t)out->count * 2 : 1, sizeof *out->at);
        out->at[out->count++] =
            (struct listed){mem_text(name), (uint64_t)about.st_size, about.st_mtim};
        out->bytes += (uint64_t)about.st_size;
    }
}

static int by_age(const void *a, const void *b)
{
    const struct timespec *x = &((const struct listed *)a)->written;
    const struct timespec *y = &((const struct listed *)b)->written;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static void drop_oldest(DIR *folder, struct listing *l, struct status_room most)
{
    uint32_t gone = 0;
    if (l->count < most.files && l->bytes < most.bytes)
        return;
    qsort(l->at, l->count, sizeof *l->at, by_age);
    while (gone < l->count &&
           (l->count - gone > most.files / 8 * 7 || l->bytes > most.bytes / 8 * 7)) {
        (void)unlinkat(dirfd(folder), l->at[gone].name, 0);
        l->bytes -= l->at[gone].bytes;
        mem_free(l->at[gone++].name);
    }
    l->count -= gone;
    memmove(l->at, l->at + gone, l->count * sizeof *l->at);
}

struct status_room status_files_tidy(const char *folder, const struct status_keep *keep,
                                     struct status_room most)
{
    struct listing l = {0};
    DIR *open = opendir(folder);
    if (!open)
        return most;
    list(open, keep, &l);
    drop_oldest(open, &l, most);
    for (uint32_t i = 0; i < l.count; i++)
        mem_free(l.at[i].name);
    mem_free(l.at);
    (void)closedir(open);
    return (struct status_room){most.files - l.count, most.bytes - l.bytes};
}

/* ---- beside the control thread ---- */

struct tidy_job {
    struct aside_job job;
    char *folder;
    struct status_keep keep;
};

static void tidy_free(struct letter *self)
{
    struct tidy_job *j = container_of(self, struct tidy_job, job.letter);
    status_keep_fini(&j->keep);
    mem_free(j->folder);
    mem_free(j);
}

static void tidy_open(struct letter *self, void *owner)
{
    (void)owner;
    tidy_free(self);
}

static void tidy_run(struct aside_job *self)
{
    struct tidy_job *j = container_of(self, struct tidy_job, job);
    (void)status_files_tidy(j->folder, &j->keep, (struct status_room){UINT64_MAX, UINT64_MAX});
}

void status_files_tidy_aside(struct aside *a, const char *state_dir, const char *folder,
                             struct status_keep take_keep)
{
    struct tidy_job *j = mem_new(struct tidy_job);
    j->folder = status_folder_path(state_dir, folder);
    j->keep = take_keep;
    j->job = (struct aside_job){.letter = {.open = tidy_open, .drop = tidy_free}, .run = tidy_run};
    aside_do(a, &j->job);
}
