// SPDX-License-Identifier: EUPL-1.2
/* What is the gateway's own: all below /.belfry/ on every application's host, and the whole of an
 * entity's login host. Never an application's, never judged by rules. One table says which
 * addresses there are, by which method, and what is known of the caller before each is answered. */
#pragma once

#include "proxy/exchange_in.h"
#include "proxy/form.h"

/* For the store, or a provider; no answer takes a second because it is away. And for a client's
 * body. */
#define OWN_STORE_WAIT_MS 900
#define OWN_BODY_WAIT_MS 8000
/* So often a browser is told to wait for a provider: some ten seconds, which is more than a
 * provider is given (OIDC_LIMIT_MS). */
#define OWN_MOMENTS_MAX 5

/* How much of the story an address needs before it is answered. */
enum own_after {
    OWN_AFTER_ROUTE,   /* anybody: upstreams, providers, a page's style sheet */
    OWN_AFTER_DEVICE,  /* where the application wants a device, that device */
    OWN_AFTER_IDENTITY /* and whoever is signed in */
};

struct own_endpoint {
    struct slice path;
    uint32_t methods; /* bits 1 << enum method */
    bool is_of_login; /* of the login host; else of the applications' hosts */
    bool is_of_both;
    enum own_after after;
    bool is_from_elsewhere; /* POST: else a page of this very host has sent it */
    bool has_no_back;       /* its address is good once */
    enum next (*run)(struct exchange *x);
};

bool own_is(const struct exchange *x); /* after the path is canonical */
/* NULL: there is nothing of that name, or not by that method. */
const struct own_endpoint *own_find(const struct exchange *x);
/* Answers: NEXT once x->response is there. */
enum next own_run(struct exchange *x);

/* A person whom the rules refuse for that, but who could sign in (again), is led there: what is
 * answered instead. NULL: the refusal. */
const struct own_endpoint *own_instead(struct exchange *x, enum reason why);

/* Is one of our pages at that target, so that one can go back there? */
bool own_page_is_at(struct slice target);

/* ---- what the parts share ---- */

/* A provider has not answered yet: a page asks again at `link` (with a query) and "&n=" how often
 * it has, which `f` says of this time. REFUSE: often enough. */
enum next own_wait(struct exchange *x, const struct form *f, struct slice link);

/* True: x->work has the answer, and it is good. False: *out is what to return. */
bool own_has_come(struct exchange *x, enum next *out);
/* Waits until all of the body is in x->form; REFUSE: it is too large for a form. */
enum next own_take_body(struct exchange *x);
bool own_is_form(const struct exchange *x);      /* by its Content-Type */
bool own_is_from_here(const struct exchange *x); /* a page of this very host has sent it */
/* The form that was posted; read from the query where there is no body. */
MUST_USE bool own_form(struct exchange *x, struct form *out);
/* May somebody sign in here, as they stand? */
bool own_has_sign_in(const struct exchange *x);
struct slice own_escaped(struct exchange *x, struct slice text); /* as a value in a query */
/* "/.belfry/sign-in?to=...": a link on this host. `level` 0: none asked. */
struct slice own_sign_in_link(struct exchange *x, struct slice to, int64_t level);
/* "https://HOST[:PORT]/.belfry/NAME" on the login host, with the port that the browser uses here.
 */
struct slice own_login_url(struct exchange *x, struct slice path);
/* What a form on a page of ours proves its origin by: of the session's cookie, so that it is worth
 * nothing with another one. */
struct slice own_token(struct exchange *x);
bool own_token_is_good(struct exchange *x, struct slice token);
/* The path that this request asked for, where it can be gone back to; else "/". */
struct slice own_wanted(struct exchange *x);

/* proxy/own_sign_in.c */
enum next own_sign_in(struct exchange *x);
enum next own_come_back(struct exchange *x);
enum next own_lead(struct exchange *x);
enum next own_moment(struct exchange *x);
enum next own_moment_over(struct exchange *x);
/* Their pages that were remembered, once more. False: that is none of them. */
MUST_USE bool own_choose_again(struct exchange *x, const struct form *said);
MUST_USE bool own_kept_again(struct exchange *x, const struct form *said);
MUST_USE bool own_resend_again(struct exchange *x, const struct form *said);
/* proxy/own_login.c */
enum next own_login_begin(struct exchange *x);
enum next own_login_back(struct exchange *x);
enum next own_login_wait(struct exchange *x);
enum next own_login_logout(struct exchange *x);
/* proxy/own_session.c */
enum next own_whoami(struct exchange *x);
enum next own_sessions(struct exchange *x);
enum next own_sign_out(struct exchange *x);
enum next own_signed_out(struct exchange *x); /* the page, on either host */
