// SPDX-License-Identifier: EUPL-1.2
/* The proleptic Gregorian calendar, by days since 1970-01-01. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct civil {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
};

/* Era by era of 400 years, with years that begin in March, so that the leap day is the last. */
static inline int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static inline struct civil civil_from_days(int64_t days)
{
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t march_month = (5 * day_of_year + 2) / 153;
    const unsigned month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    return (struct civil){year_of_era + era * 400 + (month <= 2), month,
                          (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1)};
}

static inline bool is_leap_year(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static inline unsigned days_of_month(int64_t year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap_year(year) ? 29 : days[month - 1];
}

/* 0 is Sunday. */
static inline unsigned weekday_of(int64_t days)
{
    const int64_t rest = (days + 4) % 7;
    return (unsigned)(rest < 0 ? rest + 7 : rest);
}
