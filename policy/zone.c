// SPDX-License-Identifier: EUPL-1.2
/* tzdata's compiled files (TZif, RFC 9636): the moments at which the offset changed, and for what
 * comes after the last of them a rule in the form of POSIX's TZ. Owns: where they are on the disk.
 * What can't be read is no zone, never UTC by mistake. */
#include "policy/zone.h"

#include "base/codec.h"
#include "base/file.h"
#include "base/findings.h"
#include "base/mem.h"
#include "policy/calendar.h"

#define ZONE_FOLDER "/usr/share/zoneinfo/"
#define ZONE_MAX_BYTES (256u << 10)
#define ZONE_MAX_NAMES 1024
#define DAY 86400

/* A day of each year and a moment of it, in local time: Mm.w.d, Jn or n. */
struct zone_date {
    enum { DATE_WEEKDAY, DATE_NO_LEAP, DATE_PLAIN } kind;
    uint32_t month;
    uint32_t week; /* 5: the last */
    uint32_t day;
    int32_t time_s;
};

struct zone_rule {
    int32_t standard;
    int32_t summer;
    bool has_summer;
    struct zone_date begin;
    struct zone_date end;
};

struct zone {
    int32_t first; /* before any change */
    uint32_t count;
    const int64_t *moments;
    const int32_t *offsets; /* from that moment on */
    bool has_rule;
    struct zone_rule rule;
    struct slice name;
};

/* --- the rule behind the last change --- */

static bool take(struct slice *s, char c)
{
    if (!s->len || s->ptr[0] != c)
        return false;
    *s = slice_skip(*s, 1);
    return true;
}

static bool take_number(struct slice *s, uint32_t max, uint32_t *out)
{
    size_t len = 0;
    uint64_t n = 0;
    while (len < s->len && len < 4 && s->ptr[len] >= '0' && s->ptr[len] <= '9')
        n = n * 10 + (uint64_t)(s->ptr[len++] - '0');
    *s = slice_skip(*s, len);
    *out = (uint32_t)n;
    return len && n <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct slice *s, int32_t *out)
{
    const bool is_negative = take(s, '-');
    uint32_t part = 0;
    int32_t time_s;
    if (!is_negative)
        (void)take(s, '+');
    if (!take_number(s, 167, &part))
        return false;
    time_s = (int32_t)part * 3600;
    if (take(s, ':')) {
        if (!take_number(s, 59, &part))
            return false;
        time_s += (int32_t)part * 60;
        if (take(s, ':')) {
            if (!take_number(s, 59, &part))
                return false;
            time_s += (int32_t)part;
        }
    }
    *out = is_negative ? -time_s : time_s;
    return true;
}

/* "CEST" or "<+03>": of no interest. */
static bool take_abbreviation(struct slice *s)
{
    const bool is_quoted = take(s, '<');
    size_t len = 0;
    while (len < s->len &&
           (is_quoted ? s->ptr[len] != '>'
                      : ascii_lower(s->ptr[len]) >= 'a' && ascii_lower(s->ptr[len]) <= 'z'))
        len++;
    *s = slice_skip(*s, len);
    return len && (!is_quoted || take(s, '>'));
}

static bool take_date(struct slice *s, struct zone_date *out)
{
    *out = (struct zone_date){.kind = DATE_PLAIN, .time_s = 7200};
    bool is_good;
    if (take(s, 'M')) {
        out->kind = DATE_WEEKDAY;
        is_good = take_number(s, 12, &out->month) && out->month && take(s, '.') &&
                  take_number(s, 5, &out->week) && out->week && take(s, '.') &&
                  take_number(s, 6, &out->day);
    } else {
        out->kind = take(s, 'J') ? DATE_NO_LEAP : DATE_PLAIN;
        is_good = take_number(s, 365, &out->day) && (out->day || out->kind == DATE_PLAIN);
    }
    return is_good && (!take(s, '/') || take_time(s, &out->time_s));
}

static bool read_rule(struct slice s, struct zone_rule *out)
{
    int32_t west;
    if (!take_abbreviation(&s) || !take_time(&s, &west))
        return false;
    out->standard = -west;
    if (!s.len)
        return true;
    out->has_summer = true;
    out->summer = out->standard + 3600;
    if (!take_abbreviation(&s))
        return false;
    if (s.len && s.ptr[0] != ',') {
        if (!take_time(&s, &west))
            return false;
        out->summer = -west;
    }
    return take(&s, ',') && take_date(&s, &out->begin) && take(&s, ',') &&
           take_date(&s, &out->end) && !s.len;
}

/* The moment, in local time, of `date` in `year`. */
static int64_t date_in(const struct zone_date *date, int64_t year)
{
    int64_t days;
    if (date->kind == DATE_WEEKDAY) {
        const int64_t first = days_from_civil(year, date->month, 1);
        uint32_t day = (date->day + 7 - weekday_of(first)) % 7 + (date->week - 1) * 7;
        while (day >= days_of_month(year, date->month))
            day -= 7;
        days = first + day;
    } else {
        days = days_from_civil(year, 1, 1) + date->day;
        if (date->kind == DATE_NO_LEAP) // 1 is the first of January, 60 always the first of March
            days += (is_leap_year(year) && date->day >= 60) - 1;
    }
    return days * DAY + date->time_s;
}

static int64_t floor_days(int64_t s)
{
    return s >= 0 ? s / DAY : (s - DAY + 1) / DAY;
}

static int32_t offset_by_rule(const struct zone_rule *r, int64_t s)
{
    if (!r->has_summer)
        return r->standard;
    const int64_t year = civil_from_days(floor_days(s + r->standard)).year;
    const int64_t begin = date_in(&r->begin, year) - r->standard;
    const int64_t end = date_in(&r->end, year) - r->summer;
    const bool is_summer = begin < end ? s >= begin && s < end : s >= begin || s < end;
    return is_summer ? r->summer : r->standard;
}

int32_t zone_offset(const struct zone *z, int64_t s)
{
    uint32_t from = 0;
    uint32_t to = z->count; // how many changes were before
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (z->moments[middle] <= s)
            from = middle + 1;
        else
            to = middle;
    }
    if (from == z->count && z->has_rule)
        return offset_by_rule(&z->rule, s);
    return from ? z->offsets[from - 1] : z->first;
}

/* --- the file --- */

static uint64_t load_be(const char *at, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | (unsigned char)at[i];
    return n;
}

struct counts {
    size_t utc, standard, leaps, times, types, letters;
};

/* The head of a part; false where it is none. Its body follows. */
static bool read_head(struct slice *s, struct counts *c)
{
    if (s->len < 44 || !slice_starts(*s, SLICE("TZif")) || s->ptr[4] < '2')
        return false;
    size_t *const all[] = {&c->utc, &c->standard, &c->leaps, &c->times, &c->types, &c->letters};
    for (size_t i = 0; i < 6; i++)
        if ((*all[i] = load_be(s->ptr + 20 + 4 * i, 4)) > ZONE_MAX_BYTES)
            return false;
    *s = slice_skip(*s, 44);
    return true;
}

static size_t body_bytes(const struct counts *c, size_t time_bytes)
{
    return c->times * (time_bytes + 1) + c->types * 6 + c->letters + c->leaps * (time_bytes + 4) +
           c->standard + c->utc;
}

/* Seconds of more than a day are no offset (RFC 9636 §3.2). */
static bool read_offset(const char *types, size_t type, const struct counts *c, int32_t *out)
{
    if (type >= c->types)
        return false;
    *out = (int32_t)(uint32_t)load_be(types + type * 6, 4);
    return *out > -26 * 3600 && *out < 26 * 3600;
}

static bool read_changes(struct arena *a, struct slice body, const struct counts *c, struct zone *z)
{
    const char *indexes = body.ptr + c->times * 8;
    const char *types = indexes + c->times;
    int64_t *moments = arena_array(a, int64_t, c->times);
    int32_t *offsets = arena_array(a, int32_t, c->times);
    for (size_t i = 0; i < c->times; i++) {
        moments[i] = (int64_t)load_be(body.ptr + i * 8, 8);
        if ((i && moments[i] <= moments[i - 1]) ||
            !read_offset(types, (unsigned char)indexes[i], c, &offsets[i]))
            return false;
    }
    z->moments = moments;
    z->offsets = offsets;
    z->count = (uint32_t)c->times;
    return read_offset(types, 0, c, &z->first);
}

/* The second part, of 64 bits, and the rule behind it; the first is for readers of old. */
static bool read_zone(struct arena *a, struct slice s, struct zone *z)
{
    struct counts c;
    if (!read_head(&s, &c) || s.len < body_bytes(&c, 4))
        return false;
    s = slice_skip(s, body_bytes(&c, 4));
    if (!read_head(&s, &c) || s.len < body_bytes(&c, 8) || !read_changes(a, s, &c, z))
        return false;
    s = slice_skip(s, body_bytes(&c, 8));
    if (!take(&s, '\n'))
        return false;
    const struct slice rule = slice_cut(&s, '\n');
    z->has_rule = rule.len > 0;
    return !rule.len || read_rule(rule, &z->rule);
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const bool is_alnum =
            (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9');
        if (!is_alnum && (!c || !strchr("_-+/", c))) // no dot: no way out of the folder
            return false;
    }
    return name.len && name.len < 64 && name.ptr[0] != '/';
}

/* [+-]hh:mm */
static bool read_fixed(struct slice name, int32_t *out)
{
    const bool is_negative = take(&name, '-');
    if (!is_negative)
        (void)take(&name, '+');
    if (name.len != 5 || name.ptr[2] != ':')
        return false;
    uint32_t hours, minutes;
    struct slice head = slice_cut(&name, ':');
    if (!take_number(&head, 23, &hours) || head.len || !take_number(&name, 59, &minutes) ||
        name.len)
        return false;
    *out = (int32_t)(hours * 3600 + minutes * 60);
    *out = is_negative ? -*out : *out;
    return true;
}

const struct zone *zone_load(struct arena *a, struct slice name)
{
    struct zone *z = arena_new(a, struct zone);
    char path[sizeof ZONE_FOLDER + 64];
    struct slice text;
    struct fault fault;
    z->name = arena_copy(a, name);
    if (slice_eq(name, SLICE("UTC")) || read_fixed(name, &z->first))
        return z;
    if (!is_name(name))
        return NULL;
    (void)snprintf(path, sizeof path, ZONE_FOLDER "%.*s", SLICE_ARG(name));
    if (!file_read(&text, path, ZONE_MAX_BYTES, &fault))
        return NULL;
    const bool is_good = read_zone(a, text, z);
    mem_slice_free(&text);
    return is_good ? z : NULL;
}

struct slice zone_name(const struct zone *z)
{
    return z->name;
}

struct slice zone_nearest(struct arena *a, struct slice name)
{
    struct slice text, rest, near = SLICE("");
    struct fault fault;
    struct slice *names = mem_array(struct slice, ZONE_MAX_NAMES);
    size_t count = 0;
    if (file_read(&text, ZONE_FOLDER "tzdata.zi", 1u << 20, &fault)) {
        /* "Z NAME ..." begins a zone, "L ZONE NAME" is another name of one. */
        for (rest = text; rest.len && count < ZONE_MAX_NAMES;) {
            struct slice line = slice_cut(&rest, '\n');
            const struct slice kind = slice_cut(&line, ' ');
            if (slice_eq(kind, SLICE("L")))
                (void)slice_cut(&line, ' ');
            else if (!slice_eq(kind, SLICE("Z")))
                continue;
            names[count++] = slice_cut(&line, ' ');
        }
        near = arena_copy(a, nearest_name(name, names, count));
        mem_slice_free(&text);
    }
    mem_free(names);
    return near;
}
