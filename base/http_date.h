// SPDX-License-Identifier: EUPL-1.2
/* A moment as HTTP writes it (IMF-fixdate, RFC 9110 §5.6.7). */
#pragma once

#include "belfry/slice.h"
#include "belfry/wall.h"

#define HTTP_DATE_CHARS 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* The text of a second, made once a second: zeroed at birth, one thread's. The slice lies in it. */
struct http_date {
    struct wall at;
    char text[HTTP_DATE_CHARS + 1];
};
struct slice http_date(struct http_date *d, struct wall at);
