// SPDX-License-Identifier: EUPL-1.2
/* Timestamps and durations of the condition language: their texts, and the parts of a moment in a
 * time zone. Owns: their ranges (cel-spec, langdef, "Overflow"): the years 1 to 9999, and what
 * fits 64 bits of nanoseconds. */
#include "policy/calendar.h"
#include "policy/cel_in.h"
#include "policy/cel_time_in.h"
#include "policy/zone.h"

#define DAY 86400

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool take(struct slice *s, char c)
{
    if (!s->len || s->ptr[0] != c)
        return false;
    *s = slice_skip(*s, 1);
    return true;
}

/* Exactly so many digits. */
static bool take_digits(struct slice *s, size_t count, int64_t *out)
{
    *out = 0;
    if (s->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(s->ptr[i]))
            return false;
        *out = *out * 10 + (s->ptr[i] - '0');
    }
    *s = slice_skip(*s, count);
    return true;
}

/* The digits behind a point, of which nine count. */
static bool take_fraction(struct slice *s, int32_t *ns)
{
    int32_t scale = 100000000;
    size_t len = 0;
    *ns = 0;
    for (; len < s->len && is_digit(s->ptr[len]); len++) {
        *ns += (s->ptr[len] - '0') * scale;
        scale /= 10;
    }
    *s = slice_skip(*s, len);
    return len > 0;
}

/* RFC 3339 §5.6: Z, or +hh:mm. */
static bool take_offset(struct slice *s, int64_t *out)
{
    int64_t hours, minutes;
    *out = 0;
    if (take(s, 'Z') || take(s, 'z'))
        return true;
    const bool is_negative = take(s, '-');
    if ((!is_negative && !take(s, '+')) || !take_digits(s, 2, &hours) || hours > 23 ||
        !take(s, ':') || !take_digits(s, 2, &minutes) || minutes > 59)
        return false;
    *out = (hours * 60 + minutes) * (is_negative ? -60 : 60);
    return true;
}

bool cel_time_is_valid(struct cel_time t)
{
    return t.s >= CEL_TIME_MIN_S && t.s <= CEL_TIME_MAX_S;
}

bool cel_read_time(struct cel_time *out, struct slice s)
{
    int64_t year, month, day, hour, minute, second, offset;
    struct cel_time t = {.ns = 0};
    if (!take_digits(&s, 4, &year) || !take(&s, '-') || !take_digits(&s, 2, &month) ||
        !take(&s, '-') || !take_digits(&s, 2, &day) || (!take(&s, 'T') && !take(&s, 't')) ||
        !take_digits(&s, 2, &hour) || !take(&s, ':') || !take_digits(&s, 2, &minute) ||
        !take(&s, ':') || !take_digits(&s, 2, &second))
        return false;
    if ((take(&s, '.') && !take_fraction(&s, &t.ns)) || !take_offset(&s, &offset) || s.len)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, (unsigned)month) ||
        hour > 23 || minute > 59 || second > 59)
        return false;
    t.s = days_from_civil(year, (unsigned)month, (unsigned)day) * DAY + hour * 3600 + minute * 60 +
          second - offset;
    *out = t;
    return cel_time_is_valid(t);
}

/* The nanoseconds of a unit at the front of *s; 0 where there is none. */
static int64_t take_unit(struct slice *s)
{
    static const struct {
        struct slice name;
        int64_t ns;
    } units[] = {{SLICE_INIT("ns"), 1},           {SLICE_INIT("us"), 1000},
                 {SLICE_INIT("\xc2\xb5s"), 1000}, {SLICE_INIT("ms"), 1000000},
                 {SLICE_INIT("s"), CEL_NS},       {SLICE_INIT("m"), 60 * CEL_NS},
                 {SLICE_INIT("h"), 3600 * CEL_NS}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (slice_starts(*s, units[i].name)) {
            *s = slice_skip(*s, units[i].name.len);
            return units[i].ns;
        }
    }
    return 0;
}

/* "1.5h" and the like, once; added to *sum. What is finer than a nanosecond is cut off. */
static bool take_amount(struct slice *s, int64_t *sum)
{
    int64_t whole = 0;
    int64_t part = 0;
    double scale = 1;
    size_t digits = 0;
    for (; s->len && is_digit(s->ptr[0]); *s = slice_skip(*s, 1), digits++)
        if (__builtin_mul_overflow(whole, (int64_t)10, &whole) ||
            __builtin_add_overflow(whole, (int64_t)(s->ptr[0] - '0'), &whole))
            return false;
    if (take(s, '.')) {
        for (; s->len && is_digit(s->ptr[0]); *s = slice_skip(*s, 1), digits++) {
            if (scale >= 1e15)
                continue;
            part = part * 10 + (s->ptr[0] - '0');
            scale *= 10;
        }
    }
    const int64_t unit = digits ? take_unit(s) : 0;
    return unit && !__builtin_mul_overflow(whole, unit, &whole) &&
           !__builtin_add_overflow(whole, (int64_t)((double)part * ((double)unit / scale)),
                                   &whole) &&
           !__builtin_add_overflow(*sum, whole, sum);
}

bool cel_read_duration(int64_t *out, struct slice s)
{
    int64_t ns = 0;
    const bool is_negative = take(&s, '-');
    if (!is_negative)
        (void)take(&s, '+');
    if (slice_eq(s, SLICE("0"))) {
        *out = 0;
        return true;
    }
    if (!s.len)
        return false;
    while (s.len)
        if (!take_amount(&s, &ns))
            return false;
    *out = is_negative ? -ns : ns;
    return true;
}

/* ".5" of 500000000; nothing of 0. */
static size_t print_fraction(char *out, size_t room, int64_t ns)
{
    if (!ns)
        return 0;
    size_t len = (size_t)snprintf(out, room, ".%09lld", (long long)ns);
    while (out[len - 1] == '0')
        len--;
    return len;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

size_t cel_print_time(char out[64], struct cel_time t)
{
    const int64_t days = floor_div(t.s, DAY);
    const int64_t s = t.s - days * DAY;
    const struct civil c = civil_from_days(days);
    size_t len = (size_t)snprintf(out, 64, "%04lld-%02u-%02uT%02lld:%02lld:%02lld",
                                  (long long)c.year, c.month, c.day, (long long)(s / 3600),
                                  (long long)(s / 60 % 60), (long long)(s % 60));
    len += print_fraction(out + len, 64 - len, t.ns);
    out[len] = 'Z';
    return len + 1;
}

size_t cel_print_duration(char out[64], int64_t ns)
{
    const int64_t s = ns / CEL_NS;
    const int64_t rest = ns % CEL_NS;
    size_t len = (size_t)snprintf(out, 64, "%s%lld", !s && rest < 0 ? "-" : "", (long long)s);
    len += print_fraction(out + len, 64 - len, rest < 0 ? -rest : rest);
    out[len] = 's';
    return len + 1;
}

int64_t cel_time_part(struct cel_time time, const struct zone *zone, enum cel_time_field field)
{
    const int64_t local = time.s + (zone ? zone_offset(zone, time.s) : 0);
    const int64_t days = floor_div(local, DAY);
    const int64_t s = local - days * DAY;
    switch (field) {
    case TIME_HOURS:
        return s / 3600;
    case TIME_MINUTES:
        return s / 60 % 60;
    case TIME_SECONDS:
        return s % 60;
    case TIME_MILLISECONDS:
        return time.ns / 1000000;
    case TIME_DAY_OF_WEEK:
        return weekday_of(days);
    case TIME_DATE:
        return civil_from_days(days).day;
    case TIME_DAY_OF_MONTH: // from 0, unlike the date
        return civil_from_days(days).day - 1;
    case TIME_MONTH:
        return civil_from_days(days).month - 1;
    case TIME_FULL_YEAR:
        return civil_from_days(days).year;
    case TIME_DAY_OF_YEAR:
        return days - days_from_civil(civil_from_days(days).year, 1, 1);
    }
    return 0;
}

/* t + ns, which may be negative; false past the range. */
bool cel_time_add(struct cel_time t, int64_t ns, struct cel_time *out)
{
    const int64_t s = floor_div(ns, CEL_NS);
    const int64_t sum = t.ns + (ns - s * CEL_NS);
    *out = (struct cel_time){t.s + s + sum / CEL_NS, (int32_t)(sum % CEL_NS)};
    return cel_time_is_valid(*out);
}

/* a - b in nanoseconds; false past the range. */
bool cel_time_between(struct cel_time a, struct cel_time b, int64_t *out)
{
    return !__builtin_mul_overflow(a.s - b.s, CEL_NS, out) &&
           !__builtin_add_overflow(*out, (int64_t)a.ns - b.ns, out);
}
