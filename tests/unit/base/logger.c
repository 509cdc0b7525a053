// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logger.h"
#include "belfry/slice.h"

/* What one call writes to stderr; where `is_journal`, the environment says that this is a
 * journal's.
 */
static size_t written(char *out, size_t room, const char *text, enum log_level level,
                      bool is_journal)
{
    int ends[2];
    int stderr_before = dup(STDERR_FILENO);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    if (is_journal) {
        char name[64];
        struct stat st;
        (void)fstat(STDERR_FILENO, &st);
        (void)snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        (void)setenv("JOURNAL_STREAM", name, 1);
        logger_begin();
    }
    logger_write(level, "room", "%s", text);
    (void)dup2(stderr_before, STDERR_FILENO);
    (void)close(stderr_before);
    (void)close(ends[1]);
    ssize_t n = read(ends[0], out, room);
    (void)close(ends[0]);
    return n < 0 ? 0 : (size_t)n;
}

static size_t caught(char *out, size_t room, const char *text, enum log_level level)
{
    return written(out, room, text, level, false);
}

Test(logger, a_text_from_outside_stays_within_its_line)
{
    char out[8192];
    size_t len = caught(out, sizeof out, "a\nforged\r\033[2J", LOG_LEVEL_ERROR);
    cr_assert(slice_ends(slice_from(out, len), SLICE("Z error room: a?forged??[2J\n")));
    cr_assert_eq((const void *)memchr(out, '\n', len), out + len - 1);
}

Test(logger, a_line_that_is_too_long_is_cut_and_ends)
{
    char out[8192], text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    size_t len = caught(out, sizeof out, text, LOG_LEVEL_ERROR);
    cr_assert_eq(len, 2048);
    cr_assert_eq(out[len - 1], '\n');
}

Test(logger, what_is_below_the_level_is_not_written)
{
    char out[256];
    enum log_level level;
    cr_assert(logger_level_named("warning", &level));
    logger_set_level(level);
    cr_assert_eq(caught(out, sizeof out, "x", LOG_LEVEL_NOTICE), 0);
    cr_assert_neq(caught(out, sizeof out, "x", LOG_LEVEL_WARNING), 0);
    cr_assert_not(logger_level_named("loud", &level));
}

Test(logger, a_journal_is_told_the_level_and_no_time)
{
    char out[256];
    size_t len = written(out, sizeof out, "x\ny", LOG_LEVEL_WARNING, true);
    cr_assert(slice_eq(slice_from(out, len), SLICE("<4>room: x?y\n")));
    cr_assert_str_eq(logger_mark(LOG_LEVEL_ERROR), "<3>");
}

Test(logger, what_leads_elsewhere_than_to_the_journal_is_told_the_time)
{
    char out[256];
    (void)setenv("JOURNAL_STREAM", "1:1", 1);
    logger_begin();
    size_t len = caught(out, sizeof out, "x", LOG_LEVEL_ERROR);
    cr_assert(slice_ends(slice_from(out, len), SLICE("Z error room: x\n")));
    cr_assert_str_eq(logger_mark(LOG_LEVEL_ERROR), "");
}
