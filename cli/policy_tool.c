// SPDX-License-Identifier: EUPL-1.2
/* See the header. */
#include "cli/policy_tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/escape.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/method.h"
#include "cli/policy_in.h"
#include "policy/compile.h"
#include "policy/envelope.h"

#define WIDTH_DEFAULT 100
#define WIDTH_MIN 60

/* ---- documents ---- */

static int read_bundle(struct ground *g, const char *path)
{
    struct envelope envelope = {.payload = SLICE("")};
    struct findings findings;
    struct fault f;
    struct slice dir = policy_folder(path);
    if (!file_read(&g->text, path, ENVELOPE_MAX_BYTES, &f))
        return policy_trouble(&f);
    envelope.payload = g->text;
    if (slice_starts(g->text, SLICE("belfry-signed/"))) {
        dir = SLICE("");
        if (!envelope_open(&envelope, g->text, &f)) {
            (void)fault_within(&f, "%s", path);
            return policy_trouble(&f);
        }
    }
    findings_init(&findings);
    g->bundle = bundle_load(envelope.payload, path, dir, &findings);
    if (g->bundle) {
        findings_fini(&findings); /* warnings are for `check` */
        bundle_compile(g->bundle);
        return EXIT_OK;
    }
    (void)policy_conclude(&findings, stderr);
    return EXIT_TROUBLE;
}

static int read_charter(struct ground *g, const char *path)
{
    struct findings findings;
    struct fault f;
    findings_init(&findings);
    g->charter = policy_read_charter(path, &g->charter_text, &findings, &f);
    if (!g->charter) {
        (void)policy_conclude(&findings, stderr);
        (void)policy_trouble(&f);
        return EXIT_TROUBLE;
    }
    findings_fini(&findings);
    charter_compile(g->charter);
    g->snapshot.baseline = &g->charter->baseline;
    return EXIT_OK;
}

int ground_read(struct ground *g, const char *path, const char *charter_path)
{
    *g = (struct ground){.bundle = NULL};
    int code = read_bundle(g, path);
    if (code == EXIT_OK && charter_path)
        code = read_charter(g, charter_path);
    if (code == EXIT_OK)
        return code;
    ground_free(g);
    return EXIT_TROUBLE;
}

void ground_free(struct ground *g)
{
    bundle_free(g->bundle);
    charter_free(g->charter);
    mem_slice_free(&g->text);
    mem_slice_free(&g->charter_text);
    *g = (struct ground){.bundle = NULL};
}

const struct application *ground_application(const struct ground *g, const char *name)
{
    const struct slice wanted = slice_of(name);
    for (uint32_t i = 0; i < g->bundle->application_count; i++) {
        const struct application *app = &g->bundle->applications[i];
        if (slice_eq(app->id, wanted) || slice_eq(app->host, wanted))
            return app;
    }
    (void)fprintf(stderr, "belfry policy: the bundle has no application '%s'; it has", name);
    for (uint32_t i = 0; i < g->bundle->application_count; i++)
        (void)fprintf(stderr, "%s %.*s", i ? "," : "", SLICE_ARG(g->bundle->applications[i].id));
    (void)fputc('\n', stderr);
    return NULL;
}

/* ---- the screen ---- */

struct screen screen_of(FILE *out)
{
    struct screen s = {.out = out, .width = WIDTH_DEFAULT};
    struct winsize size;
    const char *no_colour = getenv("NO_COLOR");
    const char *columns = getenv("COLUMNS");
    uint64_t told;
    const bool is_terminal = isatty(fileno(out));
    s.has_colour = is_terminal && (!no_colour || !*no_colour);
    if (columns && slice_u64(slice_of(columns), 10000, &told))
        s.width = (unsigned)told;
    else if (is_terminal && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col)
        s.width = size.ws_col;
    s.width = s.width < WIDTH_MIN ? WIDTH_MIN : s.width;
    return s;
}

static void print_shown(FILE *out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void print_shown(FILE *out, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (len <= 0)
        return;
    char *text = mem_array(char, (size_t)len + 1);
    (void)vsnprintf(text, (size_t)len + 1, format, args);
    const bool ends_line = slice_ends(slice_of(format), SLICE("\n"));
    escape_controls(text, (size_t)len - ends_line);
    (void)fwrite(text, 1, (size_t)len, out);
    mem_free(text);
}

void screen_print(FILE *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_shown(out, format, args);
    va_end(args);
}

void screen_put(const struct screen *s, enum paint paint, const char *format, ...)
{
    static const char *const codes[] = {
        [PAINT_NONE] = "",          [PAINT_GOOD] = "\033[32m", [PAINT_BAD] = "\033[31m",
        [PAINT_DOUBT] = "\033[33m", [PAINT_DIM] = "\033[2m",   [PAINT_STRONG] = "\033[1m",
    };
    const bool is_painted = s->has_colour && paint != PAINT_NONE;
    va_list args;
    if (is_painted)
        (void)fputs(codes[paint], s->out);
    va_start(args, format);
    print_shown(s->out, format, args);
    va_end(args);
    if (is_painted)
        (void)fputs("\033[0m", s->out);
}

static unsigned columns_of(struct slice word)
{
    unsigned count = 0;
    for (size_t i = 0; i < word.len; i++)
        count += ((unsigned char)word.ptr[i] & 0xc0) != 0x80;
    return count;
}

void screen_words(const struct screen *s, unsigned at, unsigned margin, struct slice text)
{
    bool is_first = true;
    while (text.len) {
        const struct slice word = slice_cut(&text, ' ');
        const unsigned columns = columns_of(word);
        if (!word.len)
            continue;
        if (!is_first && at + 1 + columns > s->width) {
            (void)fprintf(s->out, "\n%*s", (int)margin, "");
            at = margin;
        } else if (!is_first) {
            (void)fputc(' ', s->out);
            at++;
        }
        screen_print(s->out, "%.*s", SLICE_ARG(word));
        at += columns;
        is_first = false;
    }
    (void)fputc('\n', s->out);
}

/* ---- JSON ---- */

json_t *json_text(struct slice text)
{
    json_t *made = json_stringn(text.len ? text.ptr : "", text.len);
    if (made)
        return made;
    char *room = mem_array(char, ESCAPE_ROOM(text.len) + 2);
    json_error_t why;
    char *end = room;
    *end++ = '"';
    end = escape_json(end, text);
    *end++ = '"';
    made = json_loadb(room, (size_t)(end - room), JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    mem_free(room);
    return made;
}

json_t *json_texts(struct slices texts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < texts.count; i++)
        (void)json_array_append_new(list, json_text(texts.at[i]));
    return list;
}

void json_print(json_t *take)
{
    (void)json_dumpf(take, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    (void)putchar('\n');
    json_decref(take);
}

/* ---- words ---- */

struct slice effect_word(const struct rule *r)
{
    switch (r->effect) {
    case RULE_PERMIT:
        return SLICE("permit");
    case RULE_FORBID:
        return SLICE("forbid");
    case RULE_REQUIRE:
        break;
    }
    return SLICE("require");
}

struct slice mark_word(enum mark m)
{
    switch (m) {
    case MARK_ELSEWHERE:
        return SLICE("elsewhere");
    case MARK_EXPIRED:
        return SLICE("expired");
    case MARK_MISS:
        return SLICE("miss");
    case MARK_MAY:
        return SLICE("may");
    case MARK_UNKNOWN:
        return SLICE("unknown");
    case MARK_HIT:
        break;
    }
    return SLICE("hit");
}

#define LIST_MAX_BYTES (1u << 20)

static void add_word(struct buf *list, struct slice word)
{
    if (!buf_printf(list, "%s%.*s", buf_len(list) ? ", " : "", SLICE_ARG(word)))
        return; /* past a megabyte nobody reads on */
}

static struct slice take_list(struct arena *a, struct buf *list, struct slice if_empty)
{
    const struct slice text = buf_len(list) ? arena_copy(a, buf_slice(list)) : if_empty;
    buf_fini(list);
    return text;
}

struct slice rule_methods(struct arena *a, const struct rule *r)
{
    struct buf list;
    buf_init(&list, LIST_MAX_BYTES);
    for (enum method m = METHOD_OTHER + 1; m < METHOD_COUNT; m++)
        if (r->methods >> m & 1)
            add_word(&list, method_name(m));
    for (uint32_t i = 0; i < r->other_methods.count; i++)
        add_word(&list, r->other_methods.at[i]);
    return take_list(a, &list, SLICE("any method"));
}

struct slice rule_paths(struct arena *a, const struct rule *r)
{
    struct buf list;
    buf_init(&list, LIST_MAX_BYTES);
    for (uint32_t i = 0; i < r->path_count; i++)
        add_word(&list, r->paths[i].text);
    return take_list(a, &list, SLICE("any path"));
}

struct slice account_why(struct arena *a, const struct account *c)
{
    const struct slice missing = c->missing.len ? c->missing : slice_of(c->error ? c->error : "");
    switch (c->mark) {
    case MARK_ELSEWHERE:
        return arena_printf(a, "is for %.*s of %.*s", SLICE_ARG(rule_methods(a, c->rule)),
                            SLICE_ARG(rule_paths(a, c->rule)));
    case MARK_EXPIRED:
        return SLICE("is no longer there");
    case MARK_MAY:
        return c->needs_level ? arena_printf(a, "at a higher level: %.*s", SLICE_ARG(c->failed))
               : c->lacks_user
                   ? arena_printf(a, "once signed in: %.*s is missing", SLICE_ARG(missing))
                   : arena_printf(a, "with a device: %.*s is missing", SLICE_ARG(missing));
    case MARK_UNKNOWN:
        return arena_printf(a, "hangs on %.*s, which is not known", SLICE_ARG(missing));
    case MARK_MISS:
        if (c->failed.len)
            return arena_printf(a, "not so: %.*s", SLICE_ARG(c->failed));
        return c->missing.len ? arena_printf(a, "%.*s is missing", SLICE_ARG(missing)) : missing;
    case MARK_HIT:
        break;
    }
    if (missing.len && c->rule->effect == RULE_FORBID)
        return arena_printf(a, "can't be evaluated, so it forbids: %.*s", SLICE_ARG(missing));
    return c->rule->when ? cel_text(a, c->rule->when) : SLICE("always");
}
