// SPDX-License-Identifier: EUPL-1.2
/* Tries each place where digits begin. A number must stand free of other digits at both ends. */
#include "audit/redact.h"

#define DIGITS 11

static bool is_digit(struct slice text, size_t at)
{
    return at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9';
}

/* Bytes of the separator that stands there, or 0. */
static size_t separator_at(struct slice text, size_t at)
{
    if (at >= text.len)
        return 0;
    if (text.ptr[at] == '.' || text.ptr[at] == '-' || text.ptr[at] == ' ')
        return 1;
    return slice_starts(slice_skip(text, at), SLICE("%20")) ? 3 : 0;
}

static bool check_holds(uint64_t number)
{
    const uint64_t body = number / 100;
    const uint64_t check = number % 100;

    /* Those born from 2000 on have a 2 in front of the nine digits when the check is made. */
    return check == 97 - body % 97 || check == 97 - (body + 2000000000u) % 97;
}

static bool number_at(struct slice text, size_t start, size_t *end)
{
    uint64_t number = 0;
    size_t at = start;

    for (int i = 0; i < DIGITS; i++) {
        if (i == 2 || i == 4 || i == 6 || i == 9)
            at += separator_at(text, at);
        if (!is_digit(text, at))
            return false;
        number = number * 10 + (uint64_t)(text.ptr[at++] - '0');
    }
    *end = at;
    return !is_digit(text, at) && check_holds(number);
}

bool redact_next(struct slice text, size_t from, size_t *start, size_t *end)
{
    for (size_t at = from; at + DIGITS <= text.len; at++) {
        if (text.ptr[at] < '0' || text.ptr[at] > '9')
            continue;
        /* The "20" of an escaped space is no part of a number. */
        const bool is_free = at == 0 || !is_digit(text, at - 1) ||
                             (at >= 3 && slice_eq(slice_from(text.ptr + at - 3, 3), SLICE("%20")));
        if (is_free && number_at(text, at, end)) {
            *start = at;
            return true;
        }
    }
    return false;
}
