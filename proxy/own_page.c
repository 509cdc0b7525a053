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
    enum language l = language_named(
        x->language.len ? x->language : cookie_get(&x->request, SLICE(COOKIE_LANGUAGE)));
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

const struct memo_place *own_place(const struct exchange *x, struct memo_place *out)
{
    *out = (struct memo_place){
        .keyring = x->held->edition->keyring, .host = x->request.authority, .now = x->facts.now};
    return out;
}

void own_remember(struct exchange *x, const struct form *says)
{
    struct memo_place place;
    if (!own_back(x).len)
        x->memo = memo_write(&x->arena, own_place(x, &place), says);
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

static struct page_frame frame_of(const struct exchange *x)
{
    const enum language l = own_language(x);
    return (struct page_frame){.language = l,
                               .name = own_name(x, l),
                               .back = own_back(x),
                               .memo = x->memo,
                               .has_sheet = true};
}

static void send_page(struct exchange *x, uint16_t status, const struct buf *page)
{
    answer_page_fields(&x->arena, own_language(x), true, x, add_field);
    own_body(x, status, SLICE("text/html; charset=utf-8"), SLICE("no-store"),
             arena_copy(&x->arena, buf_slice(page)));
}

void own_page(struct exchange *x, uint16_t status, enum page_kind kind, struct slice title,
              const struct page_value *values, size_t count)
{
    struct page_frame frame = frame_of(x);
    struct buf page;
    bool is_whole;
    frame.title = title;
    buf_init(&page, PAGE_MAX_BYTES);
    is_whole = page_make(&page, kind, &frame, values, count);
    assert(is_whole); /* all that goes in has its bounds */
    send_page(x, status, &page);
    buf_fini(&page);
}

void own_note(struct exchange *x, enum label heading, enum label why, struct slice url,
              enum label url_label)
{
    const enum language l = own_language(x);
    const struct page_value values[] = {
        {"heading", page_label(heading, l), false},
        {"why", page_label(why, l), false},
        {"url", url, false},
        {"url_label", page_label(url_label, l), false},
        {"reference", slice_of(x->reference.text), false},
    };
    own_page(x, 200, PAGE_NOTE, values[0].text, values, sizeof values / sizeof *values);
}

/* ---- pages that go on by themselves ---- */

static const struct {
    struct slice name;
    uint16_t status;
    int after_s;
    enum label heading;
    enum label why;
} onwards[] = {
    [ONWARD_SIGN_IN] = {SLICE_INIT("sign-in"), 200, 0, LABEL_ONWARD, LABEL_ONWARD_WHY},
    [ONWARD_SIGNED_OUT] = {SLICE_INIT("signed-out"), 200, 0, LABEL_SIGNED_OUT, LABEL_ONWARD_WHY},
    [ONWARD_MOMENT] = {SLICE_INIT("moment"), 202, 1, LABEL_MOMENT, LABEL_MOMENT_WHY},
};

static void show_onward(struct exchange *x, enum onward which, struct slice url,
                        struct slice reference)
{
    const enum language l = own_language(x);
    struct form_field says[] = {{SLICE("page"), SLICE("onward")},
                                {SLICE("which"), onwards[which].name},
                                {SLICE("url"), url},
                                {SLICE("reference"), reference}};
    const struct page_value values[] = {
        {"heading", page_label(onwards[which].heading, l), false},
        {"why", page_label(onwards[which].why, l), false},
        {"url", url, false},
        {"reference", reference, false},
    };
    own_remember(x, &(struct form){says, sizeof says / sizeof *says});
    own_add(x, SLICE("refresh"),
            arena_printf(&x->arena, "%d;url=%.*s", onwards[which].after_s, SLICE_ARG(url)));
    own_page(x, onwards[which].status, PAGE_ONWARD, values[0].text, values,
             sizeof values / sizeof *values);
}

void own_onward(struct exchange *x, enum onward which, struct slice url)
{
    show_onward(x, which, url, slice_of(x->reference.text));
}

/* ---- pages once more ---- */

bool own_onward_again(struct exchange *x, const struct form *said)
{
    struct slice which, url, reference;
    if (!form_get(said, SLICE("which"), &which) || !form_get(said, SLICE("url"), &url) ||
        !form_get(said, SLICE("reference"), &reference))
        return false;
    for (size_t i = 0; i < sizeof onwards / sizeof *onwards; i++) {
        if (!slice_eq(onwards[i].name, which))
            continue;
        show_onward(x, (enum onward)i, url, reference);
        return true;
    }
    return false;
}

bool own_refused_again(struct exchange *x, const struct form *said)
{
    struct page p;
    struct buf page;
    bool is_whole;
    if (!page_said(&p, said))
        return false;
    own_remember(x, said);
    p.frame = frame_of(x);
    buf_init(&page, PAGE_MAX_BYTES);
    is_whole = page_print(&page, &p);
    assert(is_whole); /* its texts are as short as when it was shown first */
    send_page(x, 200, &page);
    buf_fini(&page);
    return true;
}
