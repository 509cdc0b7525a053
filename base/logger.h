// SPDX-License-Identifier: EUPL-1.2
/* The gateway's own log: one line each to stderr, "time level room: text"; where that is the
 * journal, which keeps both by itself, "<level>room: text". Never a token, cookie, key or national
 * number. Any thread; one write(2) a line, so lines don't mix. */
#pragma once

#include <stdbool.h>

#include "belfry/fault.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/* Looks where stderr leads. Before the first thread; without it no journal is known. */
void logger_begin(void);
/* What is to stand in front of a line of that level that is printed to stderr by other means. */
const char *logger_mark(enum log_level level);
void logger_set_level(enum log_level level);
bool logger_level_named(const char *name, enum log_level *out);
void logger_write(enum log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define log_error(room, ...) logger_write(LOG_LEVEL_ERROR, (room), __VA_ARGS__)
#define log_warning(room, ...) logger_write(LOG_LEVEL_WARNING, (room), __VA_ARGS__)
#define log_notice(room, ...) logger_write(LOG_LEVEL_NOTICE, (room), __VA_ARGS__)
#define log_info(room, ...) logger_write(LOG_LEVEL_INFO, (room), __VA_ARGS__)
#define log_debug(room, ...) logger_write(LOG_LEVEL_DEBUG, (room), __VA_ARGS__)
void log_fault(enum log_level level, const char *room, const struct fault *f);
