// SPDX-License-Identifier: EUPL-1.2
/* Whole files. A file that is judged (its mode, its size) is judged through the descriptor that is
 * then read, so that nobody can put another one in between. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/secret.h"

#define FILES_AT_ONCE 8 /* open, of many that are written together */

static int open_to_read(const char *path, struct stat *about, struct fault *f)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        fault_errno(f, errno, "cannot open '%s'", path);
        return -1;
    }
    if (fstat(fd, about) == 0)
        return fd;
    fault_errno(f, errno, "cannot look at '%s'", path);
    (void)close(fd); // nothing was written
    return -1;
}

/* Twice the room in new memory; the old one is wiped, since this may be a key. */
static void enlarge(char **bytes, size_t *room, size_t used)
{
    char *larger = mem_grow(NULL, 2, *room);
    memcpy(larger, *bytes, used);
    wipe(*bytes, used);
    mem_free(*bytes);
    *bytes = larger;
    *room *= 2;
}

/* From `fd`, which is closed. The size that the file said is where to begin, not what is believed:
 * pipes say 0, and files grow. */
static bool read_whole(char **out, size_t *out_len, int fd, const char *path, off_t size,
                       size_t max, struct fault *f)
{
    bool is_read = false;
    size_t len = 0;
    size_t room = size > 0 && (uintmax_t)size <= max ? (size_t)size + 2 : 4096;
    char *bytes = mem_grow(NULL, room, 1);
    for (;;) {
        if (len + 1 >= room)
            enlarge(&bytes, &room, len);
        ssize_t n = read(fd, bytes + len, room - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fault_errno(f, errno, "cannot read '%s'", path);
            goto out;
        }
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max) {
            fault_set(f, FAULT_LIMIT, "'%s' is larger than %zu bytes", path, max);
            goto out;
        }
    }
    bytes[len] = '\0';
    *out = bytes;
    *out_len = len;
    is_read = true;
out:
    (void)close(fd);
    if (!is_read) {
        wipe(bytes, len);
        mem_free(bytes);
    }
    return is_read;
}

bool file_read(struct slice *out, const char *path, size_t max, struct fault *f)
{
    struct stat about;
    char *bytes;
    size_t len;
    int fd = open_to_read(path, &about, f);
    if (fd < 0 || !read_whole(&bytes, &len, fd, path, about.st_size, max, f))
        return false;
    *out = (struct slice){bytes, len};
    return true;
}

bool file_read_secret(struct secret *out, const char *path, size_t max, struct fault *f)
{
    struct stat about;
    char *bytes;
    size_t len;
    int fd = open_to_read(path, &about, f);
    if (fd < 0)
        return false;
    // Others not at all; the group may read, which is how a service gets a key that root owns.
    if (about.st_mode & 077 & ~(mode_t)S_IRGRP) {
        (void)close(fd);
        return fault_set(f, FAULT_TRUST,
                         "'%s' holds a secret and has mode %03o: others may reach it; "
                         "chmod it to 600 or 640",
                         path, (unsigned)about.st_mode & 0777u);
    }
    if (!read_whole(&bytes, &len, fd, path, about.st_size, max, f))
        return false;
    secret_init(out, bytes, len);
    wipe(bytes, len);
    mem_free(bytes);
    return true;
}

static bool sync_folder(const char *path, struct fault *f)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        (void)snprintf(folder, sizeof folder, ".");
    else
        (void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path),
                       path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fault_errno(f, errno, "cannot open '%s'", folder);
    int error = fsync(fd) ? errno : 0;
    (void)close(fd);
    // Some file systems have no fsync of folders (EINVAL); their rename is what it is.
    return !error || error == EINVAL || fault_errno(f, error, "cannot sync '%s'", folder);
}

static bool write_whole(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = slice_skip(bytes, (size_t)n);
    }
    return true;
}

/* Of a file that was just made. The mode before the bytes: open's is cut by the umask. */
static bool fill(int fd, struct slice bytes, unsigned mode)
{
    return fchmod(fd, mode) == 0 && write_whole(fd, bytes);
}

/* 0, or why not; the close's own word counts too. */
static int sync_and_close(int fd)
{
    int error = fsync(fd) ? errno : 0;
    if (close(fd) && !error)
        error = errno;
    return error;
}

bool file_write_new(const char *path, struct slice bytes, unsigned mode, struct fault *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return fault_set(f, FAULT_CONFIG, "'%s' is there already and is not overwritten", path);
    if (fd < 0)
        return fault_errno(f, errno, "cannot make '%s'", path);
    int error = fill(fd, bytes, mode) ? 0 : errno;
    const int late = sync_and_close(fd);
    if (error || late) {
        error = error ? error : late;
        (void)unlink(path); // half a key is none
        return fault_errno(f, error, "cannot write '%s'", path);
    }
    return sync_folder(path, f);
}

/* Where PATH is written before it is PATH. */
static bool path_beside(char out[PATH_MAX], const char *path, struct fault *f)
{
    int len = snprintf(out, PATH_MAX, "%s.tmp", path);
    return (len >= 0 && len < PATH_MAX) ||
           fault_set(f, FAULT_LIMIT, "the path '%.100s...' is too long", path);
}

/* A new file beside `path`, with its bytes but not yet synced: its descriptor, or -1. */
static int write_beside(const struct file_text *file, unsigned mode, struct fault *f)
{
    char beside[PATH_MAX];
    if (!path_beside(beside, file->path, f))
        return -1;
    // Left by a crash, or a link laid by somebody: not written through.
    if (unlink(beside) && errno != ENOENT) {
        (void)fault_errno(f, errno, "cannot remove '%s'", beside);
        return -1;
    }
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        (void)fault_errno(f, errno, "cannot create '%s'", beside);
    else if (!fill(fd, file->bytes, mode)) {
        (void)fault_errno(f, errno, "cannot write '%s'", file->path);
        (void)close(fd); // the fault is already known
        fd = -1;
    }
    return fd;
}

/* All are written before the first is synced: a file system with a journal then writes that once.
 */
static bool write_some(const struct file_text *files, size_t count, unsigned mode, struct fault *f)
{
    int fds[FILES_AT_ONCE];
    size_t open_count = 0;
    bool is_written = true;
    while (is_written && open_count < count) {
        fds[open_count] = write_beside(&files[open_count], mode, f);
        is_written = fds[open_count] >= 0;
        open_count += is_written;
    }
    for (size_t i = 0; i < open_count; i++) {
        const int error = sync_and_close(fds[i]);
        if (error && is_written)
            is_written = fault_errno(f, error, "cannot write '%s'", files[i].path);
    }
    return is_written;
}

static bool put_in_place(const struct file_text *file, struct fault *f)
{
    char beside[PATH_MAX];
    return path_beside(beside, file->path, f) &&
           (rename(beside, file->path) == 0 ||
            fault_errno(f, errno, "cannot write '%s'", file->path));
}

bool file_write_all(const struct file_text *files, size_t count, unsigned mode, struct fault *f)
{
    char beside[PATH_MAX];
    size_t written = 0, placed = 0;
    bool is_written = true;
    while (is_written && written < count) {
        const size_t left = count - written;
        const size_t some = left < FILES_AT_ONCE ? left : FILES_AT_ONCE;
        is_written = write_some(files + written, some, mode, f);
        written += some;
    }
    while (is_written && placed < count) {
        is_written = put_in_place(&files[placed], f);
        placed += is_written;
    }
    if (is_written)
        return !count || sync_folder(files[0].path, f);
    struct fault ignored; // the first is told
    for (size_t i = placed; i < written; i++)
        if (path_beside(beside, files[i].path, &ignored))
            (void)unlink(beside); // the next write removes it too
    return false;
}

bool file_write(const char *path, struct slice bytes, unsigned mode, struct fault *f)
{
    return file_write_all(&(struct file_text){path, bytes}, 1, mode, f);
}

static bool make_one(const char *path, unsigned mode, struct fault *f)
{
    struct stat about;
    if (mkdir(path, mode) == 0)
        return true;
    int error = errno; // on a read-only mount it is EROFS even where the folder is there
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
        return true;
    return fault_errno(f, error, "cannot make the folder '%s'", path);
}

bool dir_make(const char *path, unsigned mode, struct fault *f)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (!len || len >= sizeof part)
        return fault_set(f, FAULT_CONFIG, "'%.100s' is no path for a folder", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!make_one(part, mode, f))
            return false;
    }
    return true;
}
