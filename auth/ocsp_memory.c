// SPDX-License-Identifier: EUPL-1.2
/* How much may be written before the folder must be looked through is the thread's own; it begins
 * with nothing, so that the first file has it looked through. */
#include "auth/ocsp_memory.h"

#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

struct ocsp_memory {
    const char *state_dir;
    char *folder;
    struct status_room room; /* the thread's */
    struct aside *aside;
};

struct ocsp_memory *ocsp_memory_new(struct loop *l, const char *state_dir, struct fault *f)
{
    struct aside *aside = aside_start(l, "ocsp-files", f);
    if (!aside)
        return NULL;
    struct ocsp_memory *m = mem_new(struct ocsp_memory);
    m->state_dir = state_dir;
    m->folder = status_folder_path(state_dir, "ocsp");
    m->aside = aside;
    return m;
}

void ocsp_memory_free(struct ocsp_memory *m)
{
    if (!m)
        return;
    aside_stop(m->aside);
    mem_free(m->folder);
    mem_free(m);
}

char *ocsp_memory_path(const struct ocsp_memory *m, struct slice entity, struct slice authority,
                       const struct chain_link *certificate)
{
    const struct chain_serial *serial = &certificate->serial;
    const struct slice parts[] = {slice_from(certificate->issuer, sizeof certificate->issuer),
                                  slice_from(serial->bytes, serial->len)};
    uint8_t digest[SHA256_BYTES];
    sha256_parts(digest, parts, sizeof parts / sizeof *parts);
    return status_file_path(m->state_dir, "ocsp", entity, authority, digest);
}

/* ---- on the thread ---- */

static void make_room(struct ocsp_memory *m, size_t bytes)
{
    if (!m->room.files || m->room.bytes < bytes)
        m->room = status_files_tidy(m->folder, NULL,
                                    (struct status_room){OCSP_KEPT_MAX, OCSP_KEPT_MAX_BYTES});
    m->room.files--;
    m->room.bytes -= bytes;
}

static void job_run(struct aside_job *self)
{
    struct ocsp_job *j = container_of(self, struct ocsp_job, job);
    if (j->is_read) {
        if (access(j->path, F_OK) == 0)
            (void)!file_read(&j->bytes, j->path, OCSP_ANSWER_MAX_BYTES, &j->why);
        return;
    }
    make_room(j->memory, j->bytes.len);
    if (!dir_make(j->memory->folder, 0700, &j->why) ||
        !file_write(j->path, j->bytes, 0600, &j->why))
        (void)unlink(j->path);
}

/* ---- on the loop ---- */

static void job_free(struct letter *self)
{
    struct ocsp_job *j = container_of(self, struct ocsp_job, job.letter);
    mem_slice_free(&j->job.group);
    mem_slice_free(&j->bytes);
    mem_free(j->path);
    mem_free(j);
}

static void job_open(struct letter *self, void *owner)
{
    struct ocsp_job *j = container_of(self, struct ocsp_job, job.letter);
    (void)owner;
    if (j->owner)
        j->done(j->owner, j);
    job_free(self);
}

void ocsp_memory_do(struct ocsp_memory *m, struct ocsp_job *take)
{
    take->memory = m;
    take->job.letter = (struct letter){.open = job_open, .drop = job_free};
    take->job.run = job_run;
    aside_do(m->aside, &take->job);
}

void ocsp_memory_tidy(struct ocsp_memory *m, struct status_keep take_keep)
{
    status_files_tidy_aside(m->aside, m->state_dir, "ocsp", take_keep);
}
