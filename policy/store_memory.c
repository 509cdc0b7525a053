// SPDX-License-Identifier: EUPL-1.2
/* The gateway's own memory in state_dir: charter.signed, bundle-ENTITY.signed and serials.
 * Documents take their places before the serials: a crash between leaves a document that is newer
 * than its remembered serial, which is fine; the other way round the gateway could not start from
 * its own memory, and would wait for the store. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/store.h"

#define SERIALS_FILE "serials"
#define SERIALS_MAX_BYTES (512u << 10) /* DOCUMENTS_MAX lines of at most 170 bytes */
#define FILE_MODE 0600

static bool path_make(char out[PATH_MAX], const char *dir, const char *name, struct fault *f)
{
    const int len = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    return (len > 0 && len < PATH_MAX) ||
           fault_set(f, FAULT_CONFIG, "the path '%s' is too long", dir);
}

/* What is to be written, in its order: the documents, then the serials. */
struct writing {
    const char *dir;
    struct arena arena; // of the paths
    struct file_text *files;
    size_t count;
};

static bool add_file(struct writing *w, const char *name, struct slice bytes, struct fault *f)
{
    char path[PATH_MAX];
    if (!path_make(path, w->dir, name, f))
        return false;
    const struct slice kept = arena_copy(&w->arena, slice_from(path, strlen(path) + 1));
    w->files[w->count++] = (struct file_text){kept.ptr, bytes};
    return true;
}

static bool add_document(struct writing *w, const struct store_memory *m, struct serials *known,
                         struct fault *f)
{
    char name[DOCUMENT_NAME_MAX + 32];
    struct envelope e;
    if (m->entity.len && !document_name_is_valid(m->entity))
        return fault_set(f, FAULT_LIMIT, "'%.*s' is no entity's id", SLICE_ARG(m->entity));
    if (!envelope_open(&e, m->envelope, f))
        return false;
    (void)snprintf(name, sizeof(name), m->entity.len ? "bundle-%.*s.signed" : "charter.signed%.*s",
                   SLICE_ARG(m->entity)); // fits: the id was checked
    return serials_note(known, m->entity, m->serial, m->payload_digest, f) &&
           add_file(w, name, m->envelope, f);
}

static bool remember_all(struct writing *w, const struct serials *known, struct fault *f)
{
    struct buf text;
    buf_init(&text, SERIALS_MAX_BYTES);
    const bool is_kept =
        (serials_print(known, &text) ||
         fault_set(f, FAULT_LIMIT, "the list of serials passes %u bytes", SERIALS_MAX_BYTES)) &&
        add_file(w, SERIALS_FILE, buf_slice(&text), f) &&
        file_write_all(w->files, w->count, FILE_MODE, f);
    buf_fini(&text);
    return is_kept;
}

bool store_remember(const char *state_dir, struct serials *known,
                    const struct store_memory *memories, size_t count, struct wall now,
                    struct fault *f)
{
    struct serials next;
    struct writing w = {.dir = state_dir, .files = mem_array(struct file_text, count + 1)};
    arena_init(&w.arena, NULL);
    serials_copy(&next, known);
    serials_note_wall(&next, now);
    bool is_kept = true;
    for (size_t i = 0; i < count && is_kept; i++)
        is_kept = add_document(&w, &memories[i], &next, f);
    is_kept = is_kept && remember_all(&w, &next, f);
    mem_free(w.files);
    arena_fini(&w.arena);
    if (is_kept) {
        serials_fini(known);
        *known = next;
        return true;
    }
    serials_fini(&next);
    return fault_within(f, "cannot remember in '%s'", state_dir);
}

/* The entity whose bundle a file of this name holds. */
static bool name_is_bundle(const char *name, struct slice *entity)
{
    const struct slice prefix = SLICE("bundle-");
    const struct slice suffix = SLICE(".signed");
    struct slice s = slice_of(name);
    if (s.len < prefix.len + suffix.len || !slice_starts(s, prefix) || !slice_ends(s, suffix))
        return false;
    s.len -= suffix.len;
    *entity = slice_skip(s, prefix.len);
    return document_name_is_valid(*entity);
}

static bool recall_document(const char *dir, const char *name, struct slice entity,
                            struct document *out, struct fault *f)
{
    char path[PATH_MAX];
    struct slice bytes;
    if (!path_make(path, dir, name, f) || !file_read(&bytes, path, ENVELOPE_MAX_BYTES, f))
        return false;
    *out = (struct document){.blob = blob_new(bytes)};
    memcpy(out->entity, entity.ptr, entity.len);
    mem_slice_free(&bytes);
    return true;
}

static bool recall_documents(DIR *folder, const char *dir, struct document *at, uint32_t *count,
                             struct fault *f)
{
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct slice entity = {"", 0};
        if (strcmp(entry->d_name, "charter.signed") != 0 && !name_is_bundle(entry->d_name, &entity))
            continue;
        if (*count > DOCUMENTS_MAX)
            return fault_set(f, FAULT_LIMIT, "more than %d documents", DOCUMENTS_MAX);
        if (!recall_document(dir, entry->d_name, entity, &at[*count], f))
            return false;
        (*count)++;
    }
    return true;
}

static bool recall_serials(const char *dir, struct serials *known, struct fault *f)
{
    char path[PATH_MAX];
    struct slice text;
    if (!path_make(path, dir, SERIALS_FILE, f))
        return false;
    FILE *there = fopen(path, "re");
    if (!there)
        return errno == ENOENT || fault_errno(f, errno, "cannot open '%s'", path);
    (void)fclose(there); // only looked
    if (!file_read(&text, path, SERIALS_MAX_BYTES, f))
        return false;
    const bool is_read = serials_parse(known, text, f);
    mem_slice_free(&text);
    if (is_read && time(NULL) < known->wall.s)
        log_warning("store",
                    "the clock was set back: it shows %lld s less than when '%s' was "
                    "written, so what has expired since may pass as valid",
                    (long long)(known->wall.s - time(NULL)), path);
    return is_read;
}

bool store_recall(const char *state_dir, struct documents **out, struct serials *known,
                  struct fault *f)
{
    uint32_t count = 0;
    struct document *at = NULL;
    bool is_recalled = false;
    assert(!known->at);
    DIR *folder = opendir(state_dir);
    if (!folder) {
        if (errno != ENOENT)
            return fault_errno(f, errno, "cannot open '%s'", state_dir);
        *out = documents_new_take(NULL, 0);
        return true;
    }
    at = mem_array(struct document, DOCUMENTS_MAX + 1);
    if (!recall_documents(folder, state_dir, at, &count, f) ||
        !recall_serials(state_dir, known, f)) {
        (void)fault_within(f, "cannot recall from '%s'", state_dir);
        goto out;
    }
    *out = documents_new_take(at, count);
    is_recalled = true;
out:
    for (uint32_t i = 0; !is_recalled && i < count; i++)
        blob_unref(at[i].blob);
    mem_free(at);
    (void)closedir(folder); // was only read
    return is_recalled;
}
