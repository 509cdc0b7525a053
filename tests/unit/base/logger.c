// SPDX-License-Identifier: EUPL-1.2
#include <criterion/criterion.h>
#include <unistd.h>

#include "base/logger.h"
#include "belfry/slice.h"

/* What one call writes to stderr. */
static size_t caught(char *out, size_t room, const char *text, enum log_level level)
{
    int ends[2];
    int stderr_before = dup(STDERR_FILENO);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    logger_write(level, "room", "%s", text);
    (void)dup2(stderr_before, STDERR_FILENO);
    (void)close(stderr_before);
    (void)close(ends[1]);
    ssize_t n = read(ends[0], out, room);
    (void)close(ends[0]);
    return n < 0 ? 0 : (size_t)n;
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
