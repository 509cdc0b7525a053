// SPDX-License-Identifier: EUPL-1.2
/* How the gateway's own addresses answer: pages, redirections, JSON; each with the fields that keep
 * it out of caches, frames and other people's hands. All lies in the exchange's arena. */
#pragma once

#include "proxy/exchange.h"
#include "proxy/memo.h"
#include "proxy/page.h"

/* Chosen on a page (a cookie), else what the person has told the provider, else what the browser
 * says. */
enum language own_language(const struct exchange *x);
/* A path where the same page is seen again, for the choice of a language; empty: there is none. */
struct slice own_back(const struct exchange *x);
/* Where what a page says is remembered for. Once there is an edition; returns `out`. */
const struct memo_place *own_place(const struct exchange *x, struct memo_place *out);
/* What the next page says; only where it has no address. */
void own_remember(struct exchange *x, const struct form *says);
/* The application's name in that language; empty: it has none to show. */
struct slice own_name(const struct exchange *x, enum language l);

/* Each adds a field to the answer to come, before it is made. */
void own_add(struct exchange *x, struct slice name, struct slice value);
void own_add_cookie(struct exchange *x, struct slice value);

void own_page(struct exchange *x, uint16_t status, enum page_kind kind, struct slice title,
              const struct page_value *values, size_t count);
/* A heading and a text, and a way on where there is one: `url` may be empty. */
void own_note(struct exchange *x, enum label heading, enum label why, struct slice url,
              enum label url_label);
void own_see_other(struct exchange *x, struct slice url); /* 303 */

/* A page from which the browser goes on by itself, as a new navigation. */
enum onward {
    ONWARD_SIGN_IN,    /* on the way to another host after a form */
    ONWARD_SIGNED_OUT, /* here, and on the way to the provider to do so there */
    ONWARD_MOMENT      /* what it asks for is under way: `url`, on this host, asks again */
};
void own_onward(struct exchange *x, enum onward which, struct slice url);

/* Pages that were remembered, once more. False: that is none of them. */
MUST_USE bool own_refused_again(struct exchange *x, const struct form *said);
MUST_USE bool own_onward_again(struct exchange *x, const struct form *said);

void own_body(struct exchange *x, uint16_t status, struct slice type, struct slice cache,
              struct slice body);
void own_no_body(struct exchange *x, uint16_t status);
