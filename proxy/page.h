// SPDX-License-Identifier: EUPL-1.2
/* The page of a refused caller, and the texts of every reason in four languages. The texts are in
 * proxy/pages/messages.def, the page in proxy/pages/page.html; both are compiled in. Pure, any
 * thread. */
#pragma once

#include "base/buf.h"
#include "belfry/reason.h"
#include "policy/bundle.h"

struct message {
    const char *heading;
    const char *explanation;
    const char *remedy; /* what to do */
};
/* Static text, not escaped. */
const struct message *page_message(enum reason reason, enum language language);

/* Slices may hold anything: all are escaped. Empty ones leave their row out. */
struct page {
    enum reason reason;
    enum language language;
    uint16_t status;
    struct slice name; /* of the application, in that language */
    struct slice reference;
    struct slice rule;
    struct slice missing; /* the fact */
    struct slice level;
    struct slice device; /* what is wrong with the certificate */
};
/* Appends it; false where `out` has no room for all of it. */
MUST_USE bool page_print(struct buf *out, const struct page *p);

struct slice language_tag(enum language language);
