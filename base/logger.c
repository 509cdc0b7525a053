// SPDX-License-Identifier: EUPL-1.2
/* The own log. Owns the level and where it goes: settings of the whole process that have no other
 * home. */
#include "base/logger.h"

#include "base/escape.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES 2048 /* below PIPE_BUF: a write to a pipe is not torn */

static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
static _Atomic(enum log_level) threshold = LOG_LEVEL_NOTICE;
/* sd-daemon(3): the journal's words for them. */
static const char *const marks[] = {"<3>", "<4>", "<5>", "<6>", "<7>"};
static bool is_journal; // set before there is a second thread

/* systemd.exec(5): the variable outlives a redirection, so it is compared with what is there. */
void logger_begin(void)
{
    const char *told = getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat st;
    if (!told || fstat(STDERR_FILENO, &st) != 0)
        return;
    (void)snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    is_journal = strcmp(told, ours) == 0;
}

const char *logger_mark(enum log_level level)
{
    return is_journal ? marks[level] : "";
}

void logger_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

bool logger_level_named(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* A log that cannot be written is not worth a stop: what must be kept goes through the audit. */
static void write_all(const char *line, size_t len)
{
    while (len) {
        ssize_t n = write(STDERR_FILENO, line, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        line += n;
        len -= (size_t)n;
    }
}

static size_t head(char *out, size_t room, enum log_level level, const char *about)
{
    struct timespec now;
    struct tm utc;
    if (is_journal) {
        int n = snprintf(out, room, "%s%.32s: ", marks[level], about);
        return n < 0 ? 0 : (size_t)n;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(out, room, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(out + len, room - len, ".%03ldZ %s %.32s: ", now.tv_nsec / 1000000,
                        names[level], about);
    return more < 0 ? len : len + (size_t)more;
}

void logger_write(enum log_level level, const char *room, const char *format, ...)
{
    if (level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    int error = errno; // logging on the way out of a failure must not hide it
    char line[LINE_BYTES];
    size_t len = head(line, sizeof line, level, room);
    size_t left = sizeof line - len;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line + len, left, format, arguments);
    va_end(arguments);
    if (n > 0) {
        size_t text = (size_t)n < left ? (size_t)n : left - 1;
        // One event, one line: what came from outside can't begin a line or steer a terminal.
        escape_controls(line + len, text);
        len += text;
    }
    line[len] = '\n'; // where the NUL is, at most the last byte
    write_all(line, len + 1);
    errno = error;
}

void log_fault(enum log_level level, const char *room, const struct fault *f)
{
    const char *at = f->at ? f->at : "unknown";
    if (f->place.file[0])
        logger_write(level, room, "%s:%u:%u: %s (%s)", f->place.file, f->place.line,
                     f->place.column, f->text, at);
    else
        logger_write(level, room, "%s (%s)", f->text, at);
}
