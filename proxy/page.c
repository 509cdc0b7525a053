// SPDX-License-Identifier: EUPL-1.2
/* A small template: {{name}} is a value, escaped; {{?name}} ... {{/}} stands only where the value
 * is not empty. The template is ours and compiled in, so a mistake in it is a bug. */
#include "proxy/page.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include "base/escape.h"
#include "base/reason.h"

/* ---- the texts ---- */

/* That nothing is missing is checked here, by the compiler: each message has its four languages,
 * once each, each with three texts that are not empty; each reason is there, once. */
#define WHOLE(h, e, r, bit) (sizeof(h) > 1 && sizeof(e) > 1 && sizeof(r) > 1 ? 1 << (bit) : 0)
#define NL(h, e, r) WHOLE(h, e, r, LANGUAGE_NL)
#define FR(h, e, r) WHOLE(h, e, r, LANGUAGE_FR)
#define DE(h, e, r) WHOLE(h, e, r, LANGUAGE_DE)
#define EN(h, e, r) WHOLE(h, e, r, LANGUAGE_EN)
#define MESSAGE(NAME, a, b, c, d)                                                                  \
    _Static_assert((a) + (b) + (c) + (d) == (1 << LANGUAGE_COUNT) - 1, "a text of " #NAME);
#define SAME(NAME, OTHER)
#define LABEL(NAME, nl, fr, de, en)                                                                \
    _Static_assert(sizeof(nl) > 1 && sizeof(fr) > 1 && sizeof(de) > 1 && sizeof(en) > 1,           \
                   "a label " #NAME);
#define WORDS(fact, nl, fr, de, en)                                                                \
    _Static_assert(sizeof(nl) > 1 && sizeof(fr) > 1 && sizeof(de) > 1 && sizeof(en) > 1,           \
                   "words for " fact);
#include "proxy/pages/messages.def"
#undef NL
#undef FR
#undef DE
#undef EN
#undef MESSAGE
#undef SAME
#undef LABEL
#undef WORDS

#define LABEL(NAME, nl, fr, de, en)
#define WORDS(fact, nl, fr, de, en)
enum text {
#define MESSAGE(NAME, a, b, c, d) TEXT_##NAME,
#define SAME(NAME, OTHER)
#include "proxy/pages/messages.def"
#undef MESSAGE
#undef SAME
    TEXT_COUNT
};
enum {
#define MESSAGE(NAME, a, b, c, d) COVERED_##NAME,
#define SAME(NAME, OTHER) COVERED_##NAME,
#include "proxy/pages/messages.def"
#undef MESSAGE
#undef SAME
    COVERED_COUNT
};
_Static_assert((int)COVERED_COUNT == (int)REASON_COUNT,
               "each reason of reason.def has its message");

static const enum text text_of_reason[REASON_COUNT] = {
#define MESSAGE(NAME, a, b, c, d) [REASON_##NAME] = TEXT_##NAME,
#define SAME(NAME, OTHER) [REASON_##NAME] = TEXT_##OTHER,
#include "proxy/pages/messages.def"
#undef MESSAGE
#undef SAME
};

static const struct message messages[TEXT_COUNT][LANGUAGE_COUNT] = {
#define NL(h, e, r) [LANGUAGE_NL] = {h, e, r}
#define FR(h, e, r) [LANGUAGE_FR] = {h, e, r}
#define DE(h, e, r) [LANGUAGE_DE] = {h, e, r}
#define EN(h, e, r) [LANGUAGE_EN] = {h, e, r}
#define MESSAGE(NAME, a, b, c, d) [TEXT_##NAME] = {a, b, c, d},
#define SAME(NAME, OTHER)
#include "proxy/pages/messages.def"
#undef MESSAGE
#undef SAME
#undef LABEL
#undef WORDS
};

#define MESSAGE(NAME, a, b, c, d)
#define SAME(NAME, OTHER)
#define WORDS(fact, nl, fr, de, en)
static const struct {
    struct slice name;
    const char *words[LANGUAGE_COUNT];
} labels[LABEL_COUNT] = {
#define LABEL(NAME, nl, fr, de, en) [LABEL_##NAME] = {SLICE_INIT(#NAME), {nl, fr, de, en}},
#include "proxy/pages/messages.def"
#undef LABEL
#undef WORDS
};
static const struct {
    struct slice fact;
    const char *words[LANGUAGE_COUNT];
} facts[] = {
#define LABEL(NAME, nl, fr, de, en)
#define WORDS(fact, nl, fr, de, en) {SLICE_INIT(fact), {nl, fr, de, en}},
#include "proxy/pages/messages.def"
#undef LABEL
#undef WORDS
#undef MESSAGE
#undef SAME
};

const struct message *page_message(enum reason reason, enum language language)
{
    assert(reason < REASON_COUNT && language < LANGUAGE_COUNT);
    return &messages[text_of_reason[reason]][language];
}

struct slice page_label(enum label label, enum language language)
{
    assert(label < LABEL_COUNT && language < LANGUAGE_COUNT);
    return slice_of(labels[label].words[language]);
}

struct slice language_tag(enum language language)
{
    static const struct slice tags[LANGUAGE_COUNT] = {[LANGUAGE_NL] = SLICE_INIT("nl"),
                                                      [LANGUAGE_FR] = SLICE_INIT("fr"),
                                                      [LANGUAGE_DE] = SLICE_INIT("de"),
                                                      [LANGUAGE_EN] = SLICE_INIT("en")};
    return tags[language];
}

enum language language_named(struct slice tag)
{
    const struct slice primary = slice_cut(&tag, '-');
    enum language l = LANGUAGE_NL;
    while (l < LANGUAGE_COUNT && !slice_eq_nocase(primary, language_tag(l)))
        l++;
    return l;
}

static struct slice words_for(struct slice fact, enum language language)
{
    for (size_t i = 0; fact.len && i < sizeof facts / sizeof facts[0]; i++)
        if (slice_starts(fact, facts[i].fact))
            return slice_of(facts[i].words[language]);
    return (struct slice){0};
}

/* ---- a template ---- */

#define P(NAME, file)                                                                              \
    case PAGE_##NAME:                                                                              \
        return slice_from(page_##file##_html, page_##file##_html_len);
static struct slice template_of(enum page_kind kind)
{
    switch (kind) {
        PAGES(P)
    case PAGE_COUNT:
        break;
    }
    assert(false && "a page that is none");
    return (struct slice){0};
}
#undef P

struct values {
    const struct page_value *at;
    size_t count;
    enum language language;
};

static struct page_value label_named(struct slice name, enum language language)
{
    for (size_t i = 0; i < LABEL_COUNT; i++)
        if (slice_eq_nocase(labels[i].name, name))
            return (struct page_value){NULL, slice_of(labels[i].words[language]), false};
    assert(false && "a label in a page that is not in the catalogue");
    return (struct page_value){0};
}

static struct page_value value_named(const struct values *v, struct slice name)
{
    if (slice_starts(name, SLICE("label_")))
        return label_named(slice_skip(name, sizeof "label_" - 1), v->language);
    for (size_t i = 0; i < v->count; i++)
        if (slice_eq(slice_of(v->at[i].name), name))
            return v->at[i];
    assert(false && "a name in a page that is not known");
    return (struct page_value){0};
}

/* Line ends stay: a person's text goes back into a form as it came. */
bool page_escape(struct buf *out, struct slice text)
{
    char *at;
    while (text.len) {
        size_t plain = 0;
        while (plain < text.len && !memchr("\r\n\t", text.ptr[plain], 3))
            plain++;
        if (!buf_reserve(out, ESCAPE_ROOM(plain), &at))
            return false;
        buf_grew(out, (size_t)(escape_html(at, slice_from(text.ptr, plain)) - at));
        text = slice_skip(text, plain);
        if (text.len && !buf_printf(out, "&#%d;", text.ptr[0]))
            return false;
        text = slice_skip(text, 1);
    }
    return true;
}

static bool value_print(struct buf *out, struct page_value v)
{
    return v.is_markup ? buf_add(out, v.text) : page_escape(out, v.text);
}

bool page_hidden(struct buf *out, const struct form *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (!buf_add(out, SLICE("<input type=\"hidden\" name=\"")) ||
            !page_escape(out, f->fields[i].name) || !buf_add(out, SLICE("\" value=\"")) ||
            !page_escape(out, f->fields[i].value) || !buf_add(out, SLICE("\">\n")))
            return false;
    return true;
}

/* Where `mark` begins in the text; its end where it is not there. */
static size_t find(struct slice text, struct slice mark)
{
    const char *at = text.len ? memmem(text.ptr, text.len, mark.ptr, mark.len) : NULL;
    return at ? (size_t)(at - text.ptr) : text.len;
}

static bool template_print(struct buf *out, struct slice rest, const struct values *v)
{
    const struct slice open = SLICE("{{");
    const struct slice shut = SLICE("}}");
    const struct slice end = SLICE("{{/}}");

    while (rest.len) {
        const size_t plain = find(rest, open);
        if (!buf_add(out, slice_from(rest.ptr, plain)))
            return false;
        rest = slice_skip(rest, plain + open.len);
        if (!rest.len)
            return true;
        struct slice name = {rest.ptr, find(rest, shut)};
        rest = slice_skip(rest, name.len + shut.len);
        if (slice_eq(name, SLICE("/")))
            continue;
        if (slice_starts(name, SLICE("?"))) {
            if (!value_named(v, slice_skip(name, 1)).text.len)
                rest = slice_skip(rest, find(rest, end) + end.len);
            continue;
        }
        if (!value_print(out, value_named(v, name)))
            return false;
    }
    return true;
}

bool page_part(struct buf *out, enum page_kind kind, enum language language,
               const struct page_value *values, size_t count)
{
    return template_print(out, template_of(kind), &(struct values){values, count, language});
}

/* ---- the frame ---- */

/* Each in its own tongue; the one that is used is no button. */
static bool languages_print(struct buf *out, enum language now)
{
    static const char *const names[LANGUAGE_COUNT] = {[LANGUAGE_NL] = "Nederlands",
                                                      [LANGUAGE_FR] = "Français",
                                                      [LANGUAGE_DE] = "Deutsch",
                                                      [LANGUAGE_EN] = "English"};
    for (enum language l = LANGUAGE_NL; l < LANGUAGE_COUNT; l++) {
        const char *tag = language_tag(l).ptr;
        const bool ok =
            l == now
                ? buf_printf(out, "<span aria-current=\"true\">%s</span>", names[l])
                : buf_printf(out, "<button name=\"language\" value=\"%s\" lang=\"%s\">%s</button>",
                             tag, tag, names[l]);
        if (!ok)
            return false;
    }
    return true;
}

bool page_make(struct buf *out, enum page_kind kind, const struct page_frame *frame,
               const struct page_value *values, size_t count)
{
    struct buf main, languages;
    bool ok;
    buf_init(&main, out->ceiling);
    buf_init(&languages, 1024);
    ok = page_part(&main, kind, frame->language, values, count) &&
         languages_print(&languages, frame->language);
    if (ok) {
        const struct slice css = slice_from(page_css, page_css_len);
        const struct slice none = {0};
        const struct page_value outer[] = {
            {"language", language_tag(frame->language), false},
            {"title", frame->title, false},
            {"name", frame->name.len ? frame->name : page_label(LABEL_GATEWAY, frame->language),
             false},
            {"choice", frame->back.len ? frame->back : frame->memo, false},
            {"choice_name", frame->back.len ? SLICE("to") : SLICE("page"), false},
            {"sheet", frame->has_sheet ? slice_of(page_css_path) : none, false},
            {"style", frame->has_sheet ? none : css, true},
            {"languages", buf_slice(&languages), true},
            {"main", buf_slice(&main), true},
        };
        ok = page_part(out, PAGE_FRAME, frame->language, outer, sizeof outer / sizeof *outer);
    }
    buf_fini(&main);
    buf_fini(&languages);
    return ok;
}

/* ---- refused ---- */

static struct slice why_of(const struct page *p)
{
    const enum language l = p->frame.language;
    return p->why[l].len ? p->why[l] : slice_of(page_message(p->reason, l)->explanation);
}

bool page_print(struct buf *out, const struct page *p)
{
    const enum language l = p->frame.language;
    const struct message *m = page_message(p->reason, l);
    const bool was_in = p->reason != REASON_IDENTITY_REQUIRED;
    struct page_frame frame = p->frame;
    char status[8];

    snprintf(status, sizeof status, "%u", reason_status(p->reason));
    frame.title = slice_of(m->heading);
    const struct page_value values[] = {
        {"status", slice_of(status), false},
        {"code", reason_name(p->reason), false},
        {"heading", slice_of(m->heading), false},
        {"explanation", why_of(p), false},
        {"remedy", slice_of(m->remedy), false},
        {"application", p->frame.name, false},
        {"reference", p->reference, false},
        {"rule", p->rule, false},
        {"missing", p->missing, false},
        {"missing_words", words_for(p->missing, l), false},
        {"level", p->level, false},
        {"device", p->device, false},
        {"person", p->person, false},
        {"again", p->again, false},
        {"again_label", page_label(was_in ? LABEL_SIGN_IN_AGAIN : LABEL_SIGN_IN, l), false},
    };
    return page_make(out, PAGE_REFUSED, &frame, values, sizeof values / sizeof *values);
}

/* ---- and remembered ---- */

static const struct {
    struct slice name;
    size_t at;
} texts[] = {
    {SLICE_INIT("why-nl"), offsetof(struct page, why[LANGUAGE_NL])},
    {SLICE_INIT("why-fr"), offsetof(struct page, why[LANGUAGE_FR])},
    {SLICE_INIT("why-de"), offsetof(struct page, why[LANGUAGE_DE])},
    {SLICE_INIT("why-en"), offsetof(struct page, why[LANGUAGE_EN])},
    {SLICE_INIT("reference"), offsetof(struct page, reference)},
    {SLICE_INIT("rule"), offsetof(struct page, rule)},
    {SLICE_INIT("missing"), offsetof(struct page, missing)},
    {SLICE_INIT("level"), offsetof(struct page, level)},
    {SLICE_INIT("device"), offsetof(struct page, device)},
    {SLICE_INIT("person"), offsetof(struct page, person)},
    {SLICE_INIT("again"), offsetof(struct page, again)},
};
#define TEXTS_COUNT (sizeof texts / sizeof *texts)

void page_say(struct arena *a, const struct page *p, struct form *out)
{
    *out = (struct form){.fields = arena_array(a, struct form_field, TEXTS_COUNT + 2)};
    out->fields[out->count++] = (struct form_field){SLICE("page"), SLICE("refused")};
    out->fields[out->count++] = (struct form_field){SLICE("reason"), reason_name(p->reason)};
    for (size_t i = 0; i < TEXTS_COUNT; i++)
        out->fields[out->count++] = (struct form_field){
            texts[i].name, *(const struct slice *)((const char *)p + texts[i].at)};
}

bool page_said(struct page *out, const struct form *said)
{
    struct slice name;
    *out = (struct page){0};
    if (!form_get(said, SLICE("reason"), &name))
        return false;
    while (out->reason < REASON_COUNT && !slice_eq(reason_name(out->reason), name))
        out->reason++;
    for (size_t i = 0; i < TEXTS_COUNT; i++)
        if (!form_get(said, texts[i].name, (struct slice *)((char *)out + texts[i].at)))
            return false;
    return out->reason < REASON_COUNT;
}
