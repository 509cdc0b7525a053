// SPDX-License-Identifier: EUPL-1.2
/* What a refused caller gets: JSON problem details (RFC 9457) for services, a page for browsers.
 * Pure. The same reference stands in the answer and in the audit line. Never the reason why a token
 * was bad: a prober learns nothing. */
#pragma once

#include "base/arena.h"
#include "belfry/decision.h"
#include "belfry/id.h"
#include "belfry/request.h"
#include "policy/bundle.h"
#include "proxy/memo.h"

struct refusal {
    enum reason reason;
    const struct application *app;   /* NULL: none known */
    const struct decision *decision; /* NULL: none made; rule and what was missing come from it */
    const char *device_detail;       /* with DEVICE_INVALID: chain_answer.detail; may be NULL */
    struct slice reference;
    bool wants_html;
    enum language language;
    struct slice back;              /* where the same page is seen again (page_frame) */
    const struct memo_place *place; /* else it is remembered for there; NULL: it can't be */
    struct slice again;             /* where to sign in (again); may be empty */
    struct slice person; /* who is signed in, whom their page then tells how to sign out */
    bool has_sheet;      /* page_frame */
    bool had_token;      /* 401: invalid_token rather than a bare challenge */
    bool had_proof;      /* its scheme was DPoP */
};

#define ANSWER_MAX_FIELDS 16
struct answer {
    uint16_t status;
    struct field fields[ANSWER_MAX_FIELDS]; /* names in lower case; content-length included */
    uint32_t field_count;
    struct slice body; /* in the arena or static */
};
/* What goes with every page: its language, and what keeps it from being framed, mixed with anything
 * from elsewhere, or told of. */
void answer_page_fields(struct arena *a, enum language language, bool has_sheet, void *owner,
                        void (*add)(void *owner, struct slice name, struct slice value));
void answer_make(struct arena *a, const struct refusal *r, struct answer *out);
/* The page in which language: the best of nl, fr, de, en by Accept-Language (RFC 9110 §12.5.4); en
 * where none fits. */
enum language answer_language(struct slice accept_language);
