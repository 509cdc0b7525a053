// SPDX-License-Identifier: EUPL-1.2
/* By hand: strftime would ask the locale for the names. */
#include "base/http_date.h"

struct slice http_date(struct arena *a, struct wall at)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)at.s;
    struct tm t;
    if (!gmtime_r(&seconds, &t))
        return SLICE("Thu, 01 Jan 1970 00:00:00 GMT");
    return arena_printf(a, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday,
                        months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}
