// SPDX-License-Identifier: EUPL-1.2
/* The writer's thread: rings → lines → file, a batch at a time.
 *
 * Holds: `batch` begins with a whole line, of which `torn` bytes are in the file already (after a
 * write that stopped in its midst); a file is only left at the end of a line. `in time` is granted
 * to the rings after a pass in which everything that was there at its beginning has been written,
 * and taken back when a write fails. A writer that hangs, or whose pipe nobody reads, grants
 * nothing, and what it granted runs out. It wakes by itself: a worker that had to wake it would pay
 * a system call a request. */
#include "audit/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/record_in.h"
#include "audit/seal.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/logger.h"
#include "base/mem.h"

#define BATCH_BYTES (1 << 20) /* four times the longest line possible, some thousand usual ones */
#define WAKE_NS 20000000      /* what an event waits at most on a quiet gateway */
#define WAKE_BUSY_NS 5000000  /* while lines come in number: some hundred KiB a write */
#define BUSY_BYTES 65536      /* lines of one pass that make it busy */
#define GIVE_UP_MS 2000       /* how long a stop waits for a disk that takes nothing */
#define STREAM_WAIT_MS 100    /* how long a pipe is waited for in one go */
#define ROTATE_PAUSE_MS 60000 /* after a rotation that failed: each one says so in the log */

struct audit_writer {
    char *path;
    char *gateway;
    bool is_stdout;
    bool is_stream; /* a pipe, a terminal: takes a little at a time, or hangs */
    bool is_synced;
    int64_t rotate_bytes;
    int64_t max_behind_ms;
    struct audit_ring **rings;
    uint32_t count;
    struct metrics *metrics;
    pthread_t thread;
    atomic_bool must_stop;
    atomic_bool must_reopen;
    _Atomic(struct seals *) next_seals; /* the thread takes them */
    /* The thread's own. */
    int fd;
    int64_t size; /* of the file */
    struct seals *seals;
    struct buf batch;
    uint64_t lines; /* in the batch */
    size_t torn;
    bool is_unsynced;
    bool is_failing;
    uint64_t sequence;
    int64_t rotate_again_ms; /* monotonic: not before, after one that failed */
    int64_t folds_second;
    int64_t caught_up_ms; /* monotonic: when everything had been written last */
};

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void grant_until(struct audit_writer *w, int64_t until_ms)
{
    for (uint32_t i = 0; i < w->count; i++)
        atomic_store_explicit(&w->rings[i]->in_time_until_ms, until_ms, memory_order_relaxed);
}

/* ---- the file ---- */

/* Opens the file at its end. A line that a crash left without its end gets one, so that it spoils
 * no other. */
static bool file_open(const char *path, int *fd, int64_t *size, struct fault *f)
{
    struct stat st;
    char last = '\n';

    *fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (*fd < 0)
        return fault_errno(f, errno, "cannot open the audit file '%s'", path);
    if (fstat(*fd, &st) != 0)
        st.st_size = 0;
    *size = st.st_size;
    if (S_ISREG(st.st_mode) && st.st_size > 0 && pread(*fd, &last, 1, st.st_size - 1) == 1 &&
        last != '\n' && write(*fd, "\n", 1) == 1)
        (*size)++;
    return true;
}

static bool is_stream(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
}

static bool writer_failed(struct audit_writer *w, int error, const char *what)
{
    grant_until(w, INT64_MIN);
    if (!w->is_failing)
        log_error("audit", "cannot %s '%s': %s; nobody is let in until it works again", what,
                  w->path, strerror(error));
    w->is_failing = true;
    return false;
}

/* Takes `n` more bytes as written: whole lines leave the batch. */
static void writer_wrote(struct audit_writer *w, size_t n)
{
    const struct slice done = {buf_slice(&w->batch).ptr, w->torn + n};
    const char *end = memrchr(done.ptr, '\n', done.len);
    const size_t whole = end ? (size_t)(end - done.ptr) + 1 : 0;

    w->size += (int64_t)n;
    w->torn = done.len - whole;
    w->is_unsynced = true;
    buf_skip(&w->batch, whole);
}

static bool writer_sync(struct audit_writer *w)
{
    if (!w->is_synced || !w->is_unsynced)
        return true;
    /* A pipe or a terminal can't be synced, and says so by EINVAL. */
    if (fdatasync(w->fd) != 0 && errno != EINVAL && errno != EROFS)
        return writer_failed(w, errno, "sync");
    w->is_unsynced = false;
    return true;
}

/* One write(2). Never hangs in a pipe: that takes PIPE_BUF bytes without waiting once it polls as
 * writable. 0: it takes nothing now. */
static ssize_t writer_write(struct audit_writer *w, struct slice rest)
{
    struct pollfd p = {.fd = w->fd, .events = POLLOUT};

    if (w->is_stream) {
        if (poll(&p, 1, STREAM_WAIT_MS) == 0)
            return 0;
        rest.len = rest.len < PIPE_BUF ? rest.len : PIPE_BUF;
    }
    return write(w->fd, rest.ptr, rest.len);
}

/* The batch into the file. False where something of it is left; the next try goes on at that byte.
 */
static bool writer_flush(struct audit_writer *w)
{
    while (buf_len(&w->batch)) {
        const struct slice rest = slice_skip(buf_slice(&w->batch), w->torn);
        const ssize_t n = writer_write(w, rest);
        if (n == 0)
            return false; /* what was granted runs out by itself */
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return writer_failed(w, errno, "write to");
        writer_wrote(w, (size_t)n);
    }
    if (!writer_sync(w))
        return false;
    metric_add(w->metrics, METRIC_AUDIT_EVENTS_TOTAL, (int64_t)w->lines);
    w->lines = 0;
    return true;
}

/* On to another file under the same name. A line that is in the old one by half is taken out there
 * and written whole in the new one. Where the new one can't be opened, the old one stays. */
static void writer_reopen(struct audit_writer *w)
{
    struct fault f = {0};
    int64_t size = 0;
    int fd = -1;

    if (w->is_stdout)
        return;
    if (!file_open(w->path, &fd, &size, &f)) {
        log_fault(LOG_LEVEL_ERROR, "audit", &f);
        return;
    }
    if (w->torn && ftruncate(w->fd, w->size - (int64_t)w->torn) != 0)
        log_warning("audit", "a line of the old audit file stays torn: %s", strerror(errno));
    w->torn = 0;
    close(w->fd);
    w->fd = fd;
    w->size = size;
    w->is_stream = is_stream(fd);
}

/* At the end of a batch, so at the end of a line. */
static void writer_rotate(struct audit_writer *w)
{
    char old[4096];
    char stamp[32];
    const time_t now = time(NULL);
    struct tm tm;

    if (w->is_stdout || w->rotate_bytes <= 0 || w->size < w->rotate_bytes ||
        mono_ms() < w->rotate_again_ms || !gmtime_r(&now, &tm))
        return;
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    if (snprintf(old, sizeof old, "%s.%s", w->path, stamp) >= (int)sizeof old)
        return;
    /* Two within a second: the second one waits, rather than take the other's place. */
    if (renameat2(AT_FDCWD, w->path, AT_FDCWD, old, RENAME_NOREPLACE) != 0) {
        const int error = errno;
        if (error == EEXIST)
            return;
        if (error != ENOENT) {
            log_error("audit", "cannot rotate '%s': %s", w->path, strerror(error));
            w->rotate_again_ms = mono_ms() + ROTATE_PAUSE_MS;
            return;
        }
    }
    writer_reopen(w);
    if (w->size >= w->rotate_bytes) /* the old one still: the new one can't be opened */
        w->rotate_again_ms = mono_ms() + ROTATE_PAUSE_MS;
}

/* ---- from the rings ---- */

static bool writer_line(struct audit_writer *w, const struct event *e)
{
    const struct ecs_context c = {w->gateway, w->sequence + 1, w->seals};

    if (!ecs_print(&w->batch, e, &c)) {
        if (!writer_flush(w) || !ecs_print(&w->batch, e, &c))
            return false;
    }
    w->sequence++;
    w->lines++;
    return true;
}

static bool writer_drain(struct audit_writer *w, struct ring *r)
{
    const size_t mark = ring_mark(r);
    struct slice record;
    struct event e;

    while (ring_peek(r, mark, &record)) {
        record_read(record, &e);
        if (!writer_line(w, &e))
            return false;
        ring_release(r, record);
    }
    return true;
}

/* The table leaves the worker's hands only where there is room for what it holds, so that a disk
 * that fails in between loses none of it. */
static bool writer_folds(struct audit_writer *w, struct audit_ring *r)
{
    char network[FOLD_NETWORK_ROOM];
    struct event e;
    uint32_t at = 0;

    if (!writer_flush(w))
        return false;
    struct folds *t = audit_folds_take(r);
    if (!t)
        return true;
    while (folds_next(t, &at, &e, network))
        if (!writer_line(w, &e))
            log_error("audit", "a count of %ju refusals is lost", (uintmax_t)e.count);
    audit_folds_done(r, t);
    return true;
}

/* Everything that is there now, into the file. False where it could not be written. */
static bool writer_pass(struct audit_writer *w, bool is_last)
{
    const int64_t began_us = wall_us();
    const int64_t began_ms = mono_ms();
    const bool has_folds = is_last || began_us / 1000000 != w->folds_second;

    struct seals *seals = atomic_exchange(&w->next_seals, NULL);

    if (seals) {
        seals_free(w->seals);
        w->seals = seals;
    }
    if (atomic_exchange(&w->must_reopen, false))
        writer_reopen(w);
    if (!writer_flush(w))
        return false;
    /* Decisions of all workers before any refusal. */
    for (uint32_t i = 0; i < w->count; i++)
        if (!writer_drain(w, &w->rings[i]->decisions))
            return false;
    for (uint32_t i = 0; i < w->count; i++) {
        if (!writer_drain(w, &w->rings[i]->refusals))
            return false;
        if (has_folds && !writer_folds(w, w->rings[i]))
            return false;
    }
    if (!writer_flush(w))
        return false;
    if (w->is_failing)
        log_notice("audit", "'%s' is written to again", w->path);
    w->is_failing = false;
    w->folds_second = began_us / 1000000;
    w->caught_up_ms = began_ms;
    if (!is_last)
        grant_until(w, began_ms + w->max_behind_ms);
    writer_rotate(w);
    return true;
}

static void writer_finish(struct audit_writer *w)
{
    const int64_t until_ms = mono_ms() + GIVE_UP_MS;

    grant_until(w, INT64_MIN);
    while (!writer_pass(w, true)) {
        if (mono_ms() >= until_ms) {
            log_error("audit", "'%s' takes nothing: events are lost", w->path);
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = WAKE_NS}, NULL);
    }
}

static void *writer_run(void *own)
{
    struct audit_writer *w = own;

    while (!atomic_load(&w->must_stop)) {
        const int64_t size_before = w->size;
        writer_pass(w, false);
        metric_set(w->metrics, METRIC_AUDIT_LAG_SECONDS, (mono_ms() - w->caught_up_ms) / 1000);
        const bool is_busy = w->size - size_before > BUSY_BYTES;
        nanosleep(&(struct timespec){.tv_nsec = is_busy ? WAKE_BUSY_NS : WAKE_NS}, NULL);
    }
    writer_finish(w);
    return NULL;
}

/* ---- its life ---- */

static void writer_free(struct audit_writer *w)
{
    if (!w->is_stdout && w->fd >= 0)
        close(w->fd);
    seals_free(w->seals);
    seals_free(atomic_load(&w->next_seals));
    buf_fini(&w->batch);
    mem_free(w->rings);
    mem_free(w->path);
    mem_free(w->gateway);
    mem_free(w);
}

/* With all signals blocked: they are the control thread's, and a closed pipe is an answer of
 * write(2). */
static int writer_spawn(struct audit_writer *w)
{
    sigset_t all;
    sigset_t old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int error = pthread_create(&w->thread, NULL, writer_run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}

struct audit_writer *audit_writer_start(const struct audit_settings *s,
                                        struct audit_ring *const *rings, uint32_t count,
                                        struct metrics *m, struct fault *f)
{
    struct audit_writer *w = mem_new(struct audit_writer);

    w->is_stdout = slice_eq(slice_of(s->path), SLICE("-"));
    w->path = mem_text(slice_of(w->is_stdout ? "standard output" : s->path));
    w->gateway = mem_text(slice_of(s->gateway));
    w->is_synced = s->is_synced;
    w->rotate_bytes = s->rotate_bytes;
    w->max_behind_ms = s->max_behind_ms > 0 ? s->max_behind_ms : 1000;
    w->metrics = m;
    w->count = count;
    w->rings = mem_array(struct audit_ring *, count ? count : 1);
    for (uint32_t i = 0; i < count; i++)
        w->rings[i] = rings[i];
    buf_init(&w->batch, BATCH_BYTES);
    w->fd = w->is_stdout ? STDOUT_FILENO : -1;
    if (!w->is_stdout && !file_open(s->path, &w->fd, &w->size, f)) {
        writer_free(w);
        return NULL;
    }
    w->is_stream = is_stream(w->fd);
    w->caught_up_ms = mono_ms();
    grant_until(w, mono_ms() + w->max_behind_ms);
    const int error = writer_spawn(w);
    if (error) {
        grant_until(w, INT64_MIN);
        fault_errno(f, error, "cannot start the audit writer");
        writer_free(w);
        return NULL;
    }
    return w;
}

void audit_writer_reopen(struct audit_writer *w)
{
    atomic_store(&w->must_reopen, true);
}

void audit_writer_seal(struct audit_writer *w, struct seals *take)
{
    seals_free(atomic_exchange(&w->next_seals, take));
}

void audit_writer_stop(struct audit_writer *w)
{
    if (!w)
        return;
    atomic_store(&w->must_stop, true);
    pthread_join(w->thread, NULL);
    writer_free(w);
}
