// SPDX-License-Identifier: EUPL-1.2
/* Puts the gateway's own answers together. */
#include "proxy/own_page.h"

#include <assert.h>

#include "proxy/answer.h"
#include "proxy/cookie.h"
#include "proxy/own.h"

#define FIELDS_MAX 64             /* a dozen of ours, and an end for each cookie of a try */
#define PAGE_MAX_BYTES (1u << 20) /* a kept form of 16 KiB, escaped twice */

enum language own_language(const struct exchange *x)
{
    enum language l = language_named(cookie_get(&x->request, SLICE(COOKIE_LANGUAGE)));
    if (l == LANGUAGE_COUNT && x->session)
        l = language_named(x->session->identity->locale);
    return l < LANGUAGE_COUNT ? l : answer_language(exchange_field(x, SLICE("accept-language")));
}

struct slice own_back(const struct exchange *x)
{
    const enum method m = x->request.method;
    if ((m != METHOD_GET && m != METHOD_HEAD) || (x->own && x->own->has_no_back))
        return (struct slice){0};
    if (own_is(x) ? x->request.target.len <= RETURN_MAX_BYTES
                  : return_path_is_valid(x->request.target))
        return x->request.target;
    return (struct slice){0};
}

struct slice own_name(const struct exchange *x, enum language l)
{
    const struct application *app = x->facts.app;
    if (!app || app->is_sign_in)
        return (struct slice){0};
    return app->name[l].len ? app->name[l] : app->id;
}

void own_add(struct exchange *x, struct slice name, struct slice value)
{
    struct response *r = &x->response;
    if (!r->fields)
        r->fields = arena_array(&x->arena, struct field, FIELDS_MAX);
    assert(r->field_count < FIELDS_MAX);
    r->fields[r->field_count++] = (struct field){name, value};
}

void own_add_cookie(struct exchange *x, struct slice value)
{
    own_add(x, SLICE("set-cookie"), value);
}

/* What every answer of ours has. */
static void finish(struct exchange *x, uint16_t status, struct slice body)
{
    const bool has_body = x->request.method != METHOD_HEAD;
    own_add(x, SLICE("x-content-type-options"), SLICE("nosniff"));
    own_add(x, SLICE("belfry-reference"), slice_from(x->reference.text, REFERENCE_CHARS));
    own_add(x, SLICE("content-length"), arena_printf(&x->arena, "%zu", body.len));
    own_add(x, SLICE("date"), worker_date(x->worker, &x->arena));
    if (x->door && x->door->hsts.len)
        own_add(x, SLICE("strict-transport-security"), arena_copy(&x->arena, x->door->hsts));
    x->response.status = status;
    x->response.has_body = has_body && body.len;
    x->response.length = body.len;
    x->answer = x->response.has_body ? body : (struct slice){0};
    x->up_stopped = true;
}

void own_body(struct exchange *x, uint16_t status, struct slice type, struct slice cache,
              struct slice body)
{
    own_add(x, SLICE("content-type"), type);
    own_add(x, SLICE("cache-control"), cache);
    finish(x, status, body);
}

void own_no_body(struct exchange *x, uint16_t status)
{
    own_add(x, SLICE("cache-control"), SLICE("no-store"));
    finish(x, status, (struct slice){0});
}

void own_see_other(struct exchange *x, struct slice url)
{
    own_add(x, SLICE("location"), url);
    own_add(x, SLICE("referrer-policy"), SLICE("no-referrer"));
    own_no_body(x, 303);
}

static void add_field(void *owner, struct slice name, struct slice value)
{
    own_add(owner, name, value);
}

void own_page(struct exchange *x, uint16_t status, enum page_kind kind, struct slice title,
              const struct page_value *values, size_t count)
{
    const enum language l = own_language(x);
    const struct page_frame frame = {.language = l,
                                     .title = title,
                                     .name = own_name(x, l),
                                     .back = own_back(x),
                                     .has_sheet = true};
    struct buf page;
    bool is_whole;
    buf_init(&page, PAGE_MAX_BYTES);
    is_whole = page_make(&page, kind, &frame, values, count);
    assert(is_whole); /* all that goes in has its bounds */
    answer_page_fields(&x->arena, l, true, x, add_field);
    own_body(x, status, SLICE("text/html; charset=utf-8"), SLICE("no-store"),
             arena_copy(&x->arena, buf_slice(&page)));
    buf_fini(&page);
}

static void go_on_by_itself(struct exchange *x, uint16_t status, int after_s, struct slice heading,
                            enum label why, struct slice url)
{
    const struct page_value values[] = {
        {"heading", heading, false},
        {"why", page_label(why, own_language(x)), false},
        {"url", url, false},
        {"reference", slice_of(x->reference.text), false},
    };
    own_add(x, SLICE("refresh"), arena_printf(&x->arena, "%d;url=%.*s", after_s, SLICE_ARG(url)));
    own_page(x, status, PAGE_ONWARD, heading, values, sizeof values / sizeof *values);
}

void own_onward(struct exchange *x, struct slice heading, struct slice url)
{
    go_on_by_itself(x, 200, 0, heading, LABEL_ONWARD_WHY, url);
}

void own_one_moment(struct exchange *x, struct slice url)
{
    go_on_by_itself(x, 202, 1, page_label(LABEL_MOMENT, own_language(x)), LABEL_MOMENT_WHY, url);
}
