// SPDX-License-Identifier: EUPL-1.2
/* How the gateway's own addresses answer: pages, redirections, JSON; each with the fields that keep
 * it out of caches, frames and other people's hands. All lies in the exchange's arena. */
#pragma once

#include "proxy/exchange.h"
#include "proxy/page.h"

/* Chosen on a page (a cookie), else what the person has told the provider, else what the browser
 * says. */
enum language own_language(const struct exchange *x);
/* A path where the same page is seen again, for the choice of a language; empty: there is none. */
struct slice own_back(const struct exchange *x);
/* The application's name in that language; empty: it has none to show. */
struct slice own_name(const struct exchange *x, enum language l);

/* Each adds a field to the answer to come, before it is made. */
void own_add(struct exchange *x, struct slice name, struct slice value);
void own_add_cookie(struct exchange *x, struct slice value);

void own_page(struct exchange *x, uint16_t status, enum page_kind kind, struct slice title,
              const struct page_value *values, size_t count);
void own_see_other(struct exchange *x, struct slice url); /* 303 */
/* On the way to another host after a form: the browser goes by itself, as a new navigation. */
void own_onward(struct exchange *x, struct slice heading, struct slice url);
/* What it asks for is under way: a page says so, and asks again by itself at `url`, on this host.
 */
void own_one_moment(struct exchange *x, struct slice url);
void own_body(struct exchange *x, uint16_t status, struct slice type, struct slice cache,
              struct slice body);
void own_no_body(struct exchange *x, uint16_t status);
