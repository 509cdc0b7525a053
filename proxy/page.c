// SPDX-License-Identifier: EUPL-1.2
/* A small template: {{name}} is a value, escaped; {{?name}} ... {{/}} stands only where the value
 * is not empty. The template is ours and compiled in, so a mistake in it is a bug. */
#include "proxy/page.h"

#include <assert.h>
#include <stdio.h>

#include "base/escape.h"
#include "proxy/pages/pages.h"

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
enum label {
#define LABEL(NAME, nl, fr, de, en) LABEL_##NAME,
#define WORDS(fact, nl, fr, de, en)
#include "proxy/pages/messages.def"
#undef LABEL
    LABEL_COUNT
};
static const char *const labels[LABEL_COUNT][LANGUAGE_COUNT] = {
#define LABEL(NAME, nl, fr, de, en) [LABEL_##NAME] = {nl, fr, de, en},
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

struct slice language_tag(enum language language)
{
    static const struct slice tags[LANGUAGE_COUNT] = {[LANGUAGE_NL] = SLICE_INIT("nl"),
                                                      [LANGUAGE_FR] = SLICE_INIT("fr"),
                                                      [LANGUAGE_DE] = SLICE_INIT("de"),
                                                      [LANGUAGE_EN] = SLICE_INIT("en")};
    return tags[language];
}

static struct slice words_for(struct slice fact, enum language language)
{
    for (size_t i = 0; fact.len && i < sizeof facts / sizeof facts[0]; i++)
        if (slice_starts(fact, facts[i].fact))
            return slice_of(facts[i].words[language]);
    return (struct slice){0};
}

/* ---- the page ---- */

struct value {
    struct slice name;
    struct slice text;
    bool is_markup; /* ours, goes in as it is */
};

#define VALUE_MAX 24
struct values {
    struct value at[VALUE_MAX];
    size_t count;
};

static void value_add(struct values *v, const char *name, struct slice text)
{
    assert(v->count < VALUE_MAX);
    v->at[v->count++] = (struct value){.name = slice_of(name), .text = text};
}

static const struct value *value_named(const struct values *v, struct slice name)
{
    for (size_t i = 0; i < v->count; i++)
        if (slice_eq(v->at[i].name, name))
            return &v->at[i];
    assert(false && "a name in page.html that is not known");
    return NULL;
}

static bool value_print(struct buf *out, const struct value *v)
{
    char *at;

    if (v->is_markup)
        return buf_add(out, v->text);
    if (!buf_reserve(out, ESCAPE_ROOM(v->text.len), &at))
        return false;
    buf_grew(out, (size_t)(escape_html(at, v->text) - at));
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
            if (!value_named(v, slice_skip(name, 1))->text.len)
                rest = slice_skip(rest, find(rest, end) + end.len);
            continue;
        }
        if (!value_print(out, value_named(v, name)))
            return false;
    }
    return true;
}

static void labels_add(struct values *v, enum language language)
{
    static const struct {
        const char *name;
        enum label label;
    } used[] = {
        {"label_status", LABEL_STATUS},           {"label_todo", LABEL_TODO},
        {"label_details", LABEL_DETAILS},         {"label_reference", LABEL_REFERENCE},
        {"label_application", LABEL_APPLICATION}, {"label_rule", LABEL_RULE},
        {"label_missing", LABEL_MISSING},         {"label_level", LABEL_LEVEL},
        {"label_device", LABEL_DEVICE},           {"label_about", LABEL_ABOUT},
    };
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        value_add(v, used[i].name, slice_of(labels[used[i].label][language]));
}

bool page_print(struct buf *out, const struct page *p)
{
    const struct message *m = page_message(p->reason, p->language);
    struct values v = {0};
    char status[8];

    snprintf(status, sizeof status, "%u", p->status);
    value_add(&v, "language", language_tag(p->language));
    value_add(&v, "status", slice_of(status));
    value_add(&v, "heading", slice_of(m->heading));
    value_add(&v, "explanation", slice_of(m->explanation));
    value_add(&v, "remedy", slice_of(m->remedy));
    value_add(&v, "name", p->name.len ? p->name : slice_of(labels[LABEL_GATEWAY][p->language]));
    value_add(&v, "application", p->name);
    value_add(&v, "reference", p->reference);
    value_add(&v, "rule", p->rule);
    value_add(&v, "missing", p->missing);
    value_add(&v, "missing_words", words_for(p->missing, p->language));
    value_add(&v, "level", p->level);
    value_add(&v, "device", p->device);
    labels_add(&v, p->language);
    value_add(&v, "style", slice_from(page_css, page_css_len));
    v.at[v.count - 1].is_markup = true;
    return template_print(out, slice_from(page_html, page_html_len), &v);
}
