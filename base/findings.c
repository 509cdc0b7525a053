// SPDX-License-Identifier: EUPL-1.2
/* Collecting and printing findings, and the guess of what a misspelt word was to be. */
#include "base/findings.h"

#include <stdarg.h>

#include "base/escape.h"
#include "base/logger.h"
#include "base/mem.h"

void findings_init(struct findings *f)
{
    *f = (struct findings){0};
}

void findings_fini(struct findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        mem_free(f->at[i].text);
    mem_free(f->at);
    findings_init(f);
}

static void __attribute__((format(printf, 5, 0)))
add(struct findings *f, bool is_error, struct place place, const char *code, const char *format,
    va_list arguments)
{
    char text[1024]; // longer is nothing that a person reads; its end is cut
    *(is_error ? &f->errors : &f->warnings) += 1;
    if (f->count == FINDINGS_MAX)
        return;
    if (!f->at)
        f->at = mem_array(struct finding, FINDINGS_MAX);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    // Texts quote foreign files, and are read on a terminal.
    escape_controls(text, strlen(text));
    escape_controls(place.file, strlen(place.file));
    f->at[f->count++] = (struct finding){
        .is_error = is_error, .code = code, .place = place, .text = mem_text(slice_of(text))};
}

void findings_error(struct findings *f, struct place place, const char *code, const char *format,
                    ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(f, true, place, code, format, arguments);
    va_end(arguments);
}

void findings_warn(struct findings *f, struct place place, const char *code, const char *format,
                   ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(f, false, place, code, format, arguments);
    va_end(arguments);
}

static bool is_before(const struct place *a, const struct place *b)
{
    int order = strcmp(a->file, b->file);
    if (order)
        return order < 0;
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

/* By insertion: stable, so that findings at one place stay in the order in which they were made;
 * and they are mostly sorted already. */
static void sort(struct findings *f)
{
    for (size_t i = 1; i < f->count; i++) {
        struct finding one = f->at[i];
        size_t to = i;
        for (; to && is_before(&one.place, &f->at[to - 1].place); to--)
            f->at[to] = f->at[to - 1];
        f->at[to] = one;
    }
}

void findings_print(struct findings *f, FILE *out)
{
    sort(f);
    for (size_t i = 0; i < f->count; i++) {
        const struct finding *one = &f->at[i];
        if (out == stderr)
            fputs(logger_mark(one->is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING), out);
        if (one->place.file[0])
            fprintf(out, "%s:", one->place.file);
        if (one->place.line)
            fprintf(out, "%u:", one->place.line);
        if (one->place.line && one->place.column)
            fprintf(out, "%u:", one->place.column);
        fprintf(out, "%s%s: %s [%s]\n", one->place.file[0] || one->place.line ? " " : "",
                one->is_error ? "error" : "warning", one->text, one->code);
    }
    if (f->errors + f->warnings > f->count)
        fprintf(out, "and %zu more\n", f->errors + f->warnings - f->count);
}

#define NAME_MAX_CHARS 64 /* no name of ours is longer */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`; both are
 * at most NAME_MAX_CHARS long. */
static size_t distance(struct slice a, struct slice b)
{
    size_t rows[3][NAME_MAX_CHARS + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1,
                           above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]));
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

struct slice nearest_name(struct slice word, const struct slice *names, size_t count)
{
    struct slice nearest = SLICE_INIT("");
    size_t best = 3;
    if (word.len > NAME_MAX_CHARS)
        return nearest;
    for (size_t i = 0; i < count; i++) {
        if (names[i].len > NAME_MAX_CHARS || names[i].len > word.len + 2 ||
            word.len > names[i].len + 2)
            continue;
        size_t far = distance(word, names[i]);
        if (far < best && far * 2 < word.len) {
            best = far;
            nearest = names[i];
        }
    }
    return nearest;
}
