// SPDX-License-Identifier: EUPL-1.2
/* Names by hand: strftime would ask the locale. */
#include "base/http_date.h"

static void write_date(char text[HTTP_DATE_CHARS + 1], struct wall at)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)at.s;
    struct tm t = {.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
    (void)gmtime_r(&seconds, &t);
    (void)snprintf(text, HTTP_DATE_CHARS + 1, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                   days[t.tm_wday % 7], (unsigned)t.tm_mday % 100, months[t.tm_mon % 12],
                   (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
                   (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
}

struct slice http_date(struct http_date *d, struct wall at)
{
    if (!d->text[0] || d->at.s != at.s) {
        write_date(d->text, at);
        d->at = at;
    }
    return (struct slice){d->text, HTTP_DATE_CHARS};
}
