// SPDX-License-Identifier: EUPL-1.2
/* The pages that people see, and the texts of every reason, in four languages. The texts are in
 * proxy/pages/messages.def, the pages in proxy/pages/NAME.html; both are compiled in. Pure, any
 * thread. */
#pragma once

#include "base/buf.h"
#include "belfry/reason.h"
#include "policy/bundle.h"
#include "proxy/form.h"
#include "proxy/pages/pages.h"

struct message {
    const char *heading;
    const char *explanation;
    const char *remedy; /* what to do */
};
/* Static text, not escaped. */
const struct message *page_message(enum reason reason, enum language language);

/* LABEL(NAME) of the catalogue. */
enum label {
#define MESSAGE(NAME, a, b, c, d)
#define SAME(NAME, OTHER)
#define WORDS(fact, nl, fr, de, en)
#define LABEL(NAME, nl, fr, de, en) LABEL_##NAME,
#include "proxy/pages/messages.def"
#undef MESSAGE
#undef SAME
#undef WORDS
#undef LABEL
    LABEL_COUNT
};
struct slice page_label(enum label label, enum language language);

/* What there is to print. FRAME goes around all of them. */
enum page_kind {
#define P(NAME, file) PAGE_##NAME,
    PAGES(P)
#undef P
        PAGE_COUNT
};

struct page_value {
    const char *name; /* in the template: {{name}} */
    struct slice text;
    bool is_markup; /* ours, goes in as it is; all else is escaped */
};

/* What the frame says. */
struct page_frame {
    enum language language;
    struct slice title;
    struct slice name; /* of the application, in that language; empty: the gateway's */
    struct slice back; /* a path at which the same is seen again: the choice of a language leads
                          there */
    struct slice memo; /* without such a path: the page itself (proxy/memo.h). Neither: no language
                          can be chosen */
    bool has_sheet;    /* the style sheet is to be had from here; else it is in the page */
};
/* Appends it; false where `out` has no room for all of it. All names of the template are there. */
MUST_USE bool page_make(struct buf *out, enum page_kind kind, const struct page_frame *frame,
                        const struct page_value *values, size_t count);
/* A piece of one, without a frame. */
MUST_USE bool page_part(struct buf *out, enum page_kind kind, enum language language,
                        const struct page_value *values, size_t count);

/* The page of a refused caller. Slices may hold anything. Empty ones leave their row out. */
struct page {
    enum reason reason;
    struct page_frame frame;          /* but for its title */
    struct slice why[LANGUAGE_COUNT]; /* in the rule's own words; empty: in those of the reason */
    struct slice reference;
    struct slice rule;
    struct slice missing; /* the fact */
    struct slice level;
    struct slice device; /* what is wrong with the certificate */
    struct slice person; /* who is signed in here; may be empty */
    struct slice again;  /* where one can sign in (again), which would help; may be empty */
};
/* Text of an attribute or element of a piece that is put together by the caller. */
MUST_USE bool page_escape(struct buf *out, struct slice text);
MUST_USE bool page_print(struct buf *out, const struct page *p);
/* All of it but its frame, for a memo; values are borrowed. */
void page_say(struct arena *a, const struct page *p, struct form *out);
/* What was said; the frame is the caller's. False: it is no page of a refused caller. */
MUST_USE bool page_said(struct page *out, const struct form *said);
/* The fields of a form that nobody sees. */
MUST_USE bool page_hidden(struct buf *out, const struct form *f);

struct slice language_tag(enum language language);
/* The language of that tag: "nl-BE" is nl. LANGUAGE_COUNT: none of ours. */
enum language language_named(struct slice tag);
