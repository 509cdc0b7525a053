// SPDX-License-Identifier: EUPL-1.2
/* Signing in, on the application's host: it begins here and comes back here. In between the browser
 * is at the login host (own_login.c) and at the provider.
 * Owns: what a browser is known again by (a cookie for each attempt, so that tabs don't overwrite
 * each other's), and what becomes of a form that was posted without a session. */
#include "proxy/own.h"

#include <assert.h>

#include "base/hash.h"
#include "base/secret.h"
#include "proxy/cookie.h"
#include "proxy/own_page.h"
#include "proxy/sign_in_errand.h"

#define TRIES_MAX 32 /* cookies of attempts; the oldest go */

/* ---- what is asked for ---- */

struct wish {
    struct slice to;
    struct slice provider; /* id; empty: not chosen */
    struct slice kept;     /* the form that waits to be sent again */
    int64_t level;         /* a step-up to this; 0: none */
};

static bool read_wish(struct exchange *x, const struct form *form, struct wish *out)
{
    struct form kept;
    struct slice level;
    uint64_t number = 0;
    if (!form_get(form, SLICE("to"), &out->to) ||
        !form_get(form, SLICE("provider"), &out->provider) ||
        !form_get(form, SLICE("level"), &level) || !form_get(form, SLICE("kept"), &out->kept) ||
        (level.len && !slice_u64(level, 9999, &number)))
        return false;
    /* A link can't put words into somebody's form: only a page of ours brings one. */
    if (x->request.method != METHOD_POST)
        out->kept = (struct slice){0};
    if (out->kept.len > ATTEMPT_MAX_FORM_BYTES || !form_parse(&x->arena, out->kept, &kept))
        return false;
    out->level = (int64_t)number;
    if (!return_path_is_valid(out->to) && !slice_eq(out->to, SLICE("/.belfry/whoami")) &&
        !slice_eq(out->to, SLICE("/.belfry/sessions")))
        out->to = SLICE("/");
    return true;
}

static const struct provider *chosen(const struct application *app, struct slice id)
{
    const struct provider *only = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < app->provider_count; i++) {
        const struct provider *p = app->providers[i];
        if (!p->sign_in.client.id.len)
            continue;
        if (id.len && slice_eq(p->id, id))
            return p;
        only = p;
        count++;
    }
    return count == 1 ? only : NULL;
}

/* ---- which provider? ---- */

static struct slice name_of(const struct provider *p, enum language l)
{
    return p->sign_in.name[l].len ? p->sign_in.name[l] : p->id;
}

static struct slice level_of(struct exchange *x, int64_t level)
{
    return level ? arena_printf(&x->arena, "%lld", (long long)level) : (struct slice){0};
}

/* A link; or a button, where what was posted goes along. */
static bool print_choice(struct exchange *x, const struct wish *wish, const struct provider *p,
                         enum language l, struct buf *out)
{
    const struct slice link = own_sign_in_link(x, wish->to, wish->level);
    const struct slice href =
        arena_printf(&x->arena, "%.*s&provider=%.*s", SLICE_ARG(link), SLICE_ARG(p->id));
    const struct slice none = {0};
    const struct page_value values[] = {
        {"href", wish->kept.len ? none : href, false},
        {"id", wish->kept.len ? p->id : none, false},
        {"provider", name_of(p, l), false},
    };
    return page_part(out, PAGE_CHOICE, l, values, sizeof values / sizeof *values);
}

static void show_choices(struct exchange *x, const struct wish *wish)
{
    const struct application *app = x->facts.app;
    const enum language l = own_language(x);
    struct form_field says[] = {{SLICE("page"), SLICE("choose")},
                                {SLICE("to"), wish->to},
                                {SLICE("level"), level_of(x, wish->level)},
                                {SLICE("kept"), wish->kept}};
    const struct slice none = {0};
    struct buf choices;
    bool is_whole = true;
    buf_init(&choices, 1 << 20);
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (app->providers[i]->sign_in.client.id.len)
            is_whole = is_whole && print_choice(x, wish, app->providers[i], l, &choices);
    assert(is_whole); /* 32 providers, each with a path of 4 KiB */
    const struct page_value values[] = {
        {"to", wish->kept.len ? wish->to : none, false},
        {"level", level_of(x, wish->level), false},
        {"kept", wish->kept, false},
        {"choices", arena_copy(&x->arena, buf_slice(&choices)), true},
        {"reference", slice_of(x->reference.text), false},
    };
    buf_fini(&choices);
    own_remember(x, &(struct form){says, sizeof says / sizeof *says});
    own_page(x, 200, PAGE_CHOOSE, page_label(LABEL_CHOOSE, l), values,
             sizeof values / sizeof *values);
}

bool own_choose_again(struct exchange *x, const struct form *said)
{
    struct wish wish = {0};
    if (!read_wish(x, said, &wish))
        return false;
    show_choices(x, &wish);
    return true;
}

/* ---- an attempt begins ---- */

/* Of more than TRIES_MAX - 1 cookies of earlier attempts the first, which are the oldest. */
static void end_oldest_tries(struct exchange *x)
{
    struct cookie_walk walk = {0};
    struct slice name, value;
    uint32_t count = 0;
    while (cookie_next(&x->request, &walk, &name, &value))
        count += slice_starts(name, SLICE(COOKIE_TRY));
    walk = (struct cookie_walk){0};
    for (uint32_t ended = 0; count >= TRIES_MAX && ended < TRIES_MAX &&
                             cookie_next(&x->request, &walk, &name, &value);) {
        if (!slice_starts(name, SLICE(COOKIE_TRY)) || name.len > 64)
            continue;
        own_add_cookie(x, cookie_end(&x->arena, name));
        count--;
        ended++;
    }
}

static struct slice make_id(struct arena *a)
{
    char id[ATTEMPT_ID_CHARS + 1];
    attempt_make_id(id);
    return arena_copy(a, slice_from(id, ATTEMPT_ID_CHARS));
}

static void begin_attempt(struct exchange *x, const struct wish *wish, const struct provider *p)
{
    struct work *w = work_new(x);
    struct arena *a = &w->arena;
    char tag[ATTEMPT_TAG_CHARS + 1];
    const struct slice cookie = make_id(&x->arena);
    w->id = make_id(a);
    attempt_tag(w->id, tag);
    w->attempt = (struct attempt){.application = arena_copy(a, x->facts.app->id),
                                  .authority = arena_copy(a, x->request.authority),
                                  .to = arena_copy(a, wish->to),
                                  .provider = arena_copy(a, p->id),
                                  .tag = arena_copy(a, slice_from(tag, ATTEMPT_TAG_CHARS)),
                                  .nonce = make_id(a),
                                  .verifier = make_id(a),
                                  .language = language_tag(own_language(x)),
                                  .form = arena_copy(a, wish->kept),
                                  .acr_level = wish->level,
                                  .max_age_s = wish->level ? 0 : -1,
                                  .begun_at = x->facts.now};
    sha256(w->attempt.cookie, cookie);
    if (x->facts.device)
        memcpy(w->attempt.device, x->facts.device->digest, sizeof w->attempt.device);
    x->try_cookie = cookie;
    work_send(x, w, WORK_KEEP, OWN_STORE_WAIT_MS);
}

/* Posted to: the answer must not lead to another host, which the page's form-action would forbid.
 */
static void go_on_to_login(struct exchange *x)
{
    const struct work *w = x->work;
    const struct slice url =
        own_login_url(x, arena_printf(&x->arena, "/.belfry/begin?attempt=%.*s", SLICE_ARG(w->id)));
    end_oldest_tries(x);
    own_add_cookie(x,
                   cookie_set(&x->arena,
                              arena_printf(&x->arena, COOKIE_TRY "%.*s", SLICE_ARG(w->attempt.tag)),
                              x->try_cookie, ATTEMPT_LIFE_S));
    if (x->request.method == METHOD_POST)
        own_onward(x, ONWARD_SIGN_IN, url);
    else
        own_see_other(x, url);
}

enum next own_sign_in(struct exchange *x)
{
    struct form form;
    struct wish wish = {0};
    const struct provider *p;
    enum next next;
    if (own_has_come(x, &next)) {
        go_on_to_login(x);
        return NEXT;
    }
    if (next == REFUSE || x->errand)
        return next;
    if (!own_form(x, &form) || !read_wish(x, &form, &wish))
        return refuse(x, REASON_REQUEST_MALFORMED, "what is asked of the sign-in");
    if (!own_has_sign_in(x))
        return refuse(x, x->facts.device ? REASON_NOT_FOUND : REASON_DEVICE_REQUIRED, NULL);
    p = chosen(x->facts.app, wish.provider);
    if (!p) {
        show_choices(x, &wish);
        return NEXT;
    }
    begin_attempt(x, &wish, p);
    return WAIT;
}

/* ---- it comes back ---- */

/* All of ours, "NAME=VALUE;" each. */
static struct slice gather_cookies(struct exchange *x, struct arena *a)
{
    struct cookie_walk walk = {0};
    struct slice name, value;
    size_t len = 0;
    char *at;
    while (cookie_next(&x->request, &walk, &name, &value))
        len += slice_starts(name, SLICE(COOKIE_TRY)) ? name.len + value.len + 2 : 0;
    at = arena_bytes(a, len + 1);
    len = 0;
    walk = (struct cookie_walk){0};
    while (cookie_next(&x->request, &walk, &name, &value)) {
        if (!slice_starts(name, SLICE(COOKIE_TRY)))
            continue;
        memcpy(at + len, name.ptr, name.len);
        len += name.len;
        at[len++] = '=';
        memcpy(at + len, value.ptr, value.len);
        len += value.len;
        at[len++] = ';';
    }
    return slice_from(at, len);
}

static bool take_handover(struct exchange *x)
{
    struct form form;
    struct slice id;
    struct work *w;
    const struct slice session = cookie_get(&x->request, SLICE(COOKIE_SESSION));
    if (!own_form(x, &form) || !form_get(&form, SLICE("handover"), &id) || !attempt_id_is_valid(id))
        return false;
    w = work_new(x);
    w->id = arena_copy(&w->arena, id);
    w->cookies = gather_cookies(x, &w->arena);
    if (session_id_is_valid(session))
        w->token = arena_copy(&w->arena, session);
    work_send(x, w, WORK_COME_BACK, OWN_STORE_WAIT_MS);
    return true;
}

/* Nothing is sent by itself: the person says whether it still should be. False: what was kept is
 * no form. */
static bool show_resend(struct exchange *x, struct slice to, struct slice kept,
                        struct slice reference)
{
    const enum language l = own_language(x);
    struct form_field says[] = {{SLICE("page"), SLICE("resend")},
                                {SLICE("to"), to},
                                {SLICE("kept"), kept},
                                {SLICE("reference"), reference}};
    struct form form;
    struct buf fields;
    if (!form_parse(&x->arena, kept, &form))
        return false;
    buf_init(&fields, 1 << 20);
    const bool is_whole = page_hidden(&fields, &form);
    assert(is_whole); /* ATTEMPT_MAX_FORM_BYTES of it */
    const struct page_value values[] = {
        {"to", to, false},
        {"count", arena_printf(&x->arena, "%u", form.count), false},
        {"fields", arena_copy(&x->arena, buf_slice(&fields)), true},
        {"reference", reference, false},
    };
    if (fields.ptr)
        wipe(fields.ptr, fields.room);
    buf_fini(&fields);
    own_remember(x, &(struct form){says, sizeof says / sizeof *says});
    own_page(x, 200, PAGE_RESEND, page_label(LABEL_RESEND, l), values,
             sizeof values / sizeof *values);
    return true;
}

bool own_resend_again(struct exchange *x, const struct form *said)
{
    struct slice to, kept, reference;
    return form_get(said, SLICE("to"), &to) && form_get(said, SLICE("kept"), &kept) &&
           form_get(said, SLICE("reference"), &reference) && show_resend(x, to, kept, reference);
}

static enum next arrive(struct exchange *x)
{
    const struct work *w = x->work;
    const struct attempt *t = &w->attempt;
    if (t->tag.len) /* whatever came of it, this attempt is over */
        own_add_cookie(x, cookie_end(&x->arena, arena_printf(&x->arena, COOKIE_TRY "%.*s",
                                                             SLICE_ARG(t->tag))));
    if (w->reason != REASON_PERMITTED) {
        x->response = (struct response){0};
        x->again = own_sign_in_link(x, t->to.len ? t->to : SLICE("/"), t->acr_level);
        return refuse(x, w->reason, w->detail);
    }
    if (w->new_id[0])
        own_add_cookie(x, cookie_set(&x->arena, SLICE(COOKIE_SESSION), slice_of(w->new_id), 0));
    x->session = session_ref(w->session);
    x->facts.user = &x->session->user;
    x->facts.session = &x->session->facts;
    if (w->new_id[0]) {
        x->deed = SLICE("sign-in");
        x->deed_session = x->session->handle;
    }
    if (!t->form.len)
        own_see_other(x, arena_copy(&x->arena, t->to));
    else if (!show_resend(x, t->to, t->form, slice_of(x->reference.text)))
        return refuse(x, REASON_INTERNAL, "what was kept is no form");
    return NEXT;
}

enum next own_come_back(struct exchange *x)
{
    if (errand_is_over(x, ERRAND_WORK)) {
        if (x->work)
            return arrive(x);
        return refuse(x, REASON_STORE_UNAVAILABLE, "no answer in time");
    }
    if (x->errand || take_handover(x))
        return WAIT;
    x->again = own_sign_in_link(x, SLICE("/"), 0);
    return refuse(x, REASON_SIGN_IN_EXPIRED, "there is no hand-over");
}

/* ---- somebody is led to it ---- */

/* What was posted can wait: a form of a page of this host, small, and read as we will write it. */
static bool can_be_kept(struct exchange *x)
{
    struct form form;
    return return_path_is_valid(x->request.target) && own_is_form(x) && own_is_from_here(x) &&
           buf_len(&x->form) <= ATTEMPT_MAX_FORM_BYTES &&
           form_parse(&x->arena, buf_slice(&x->form), &form) && form.count && form_is_plain(&form);
}

/* At which they are, or were. */
static struct slice provider_known(const struct exchange *x)
{
    const struct session *s = x->session ? x->session : x->past;
    return s ? s->user.provider : (struct slice){0};
}

/* `wish` holds what was posted; where that can't be kept, nothing. */
static void show_kept(struct exchange *x, uint16_t status, const struct wish *wish,
                      struct slice reference)
{
    const enum language l = own_language(x);
    const bool is_kept = wish->kept.len;
    const struct slice none = {0};
    const struct slice level = level_of(x, wish->level);
    struct form_field says[] = {
        {SLICE("page"), SLICE("kept")},      {SLICE("to"), wish->to},
        {SLICE("kept"), wish->kept},         {SLICE("level"), level},
        {SLICE("provider"), wish->provider}, {SLICE("reference"), reference}};
    const struct slice heading = page_label(wish->level ? LABEL_STEP_UP : LABEL_KEPT, l);
    const struct slice why =
        page_label(wish->level ? is_kept ? LABEL_STEP_UP_KEPT_WHY : LABEL_STEP_UP_LOST_WHY
                   : is_kept   ? LABEL_KEPT_WHY
                               : LABEL_LOST_WHY,
                   l);
    const struct page_value values[] = {
        {"heading", heading, false},
        {"why", why, false},
        {"to", is_kept ? wish->to : none, false},
        {"kept", wish->kept, false},
        {"level", level, false},
        {"provider", wish->provider, false},
        {"again", is_kept ? none : own_sign_in_link(x, SLICE("/"), wish->level), false},
        {"reference", reference, false},
    };
    own_remember(x, &(struct form){says, sizeof says / sizeof *says});
    own_page(x, status, PAGE_KEPT, heading, values, sizeof values / sizeof *values);
}

bool own_kept_again(struct exchange *x, const struct form *said)
{
    struct wish wish = {0};
    struct slice reference;
    if (!read_wish(x, said, &wish) || !form_get(said, SLICE("reference"), &reference))
        return false;
    show_kept(x, 200, &wish, reference);
    return true;
}

static int64_t wanted_level(const struct exchange *x)
{
    return x->reason == REASON_ASSURANCE_TOO_LOW ? x->decision.needs_acr_level : 0;
}

/* Their session's provider knows them; only where there is none they choose. */
static void lead_there(struct exchange *x)
{
    const struct slice provider = provider_known(x);
    struct slice link = own_sign_in_link(x, own_wanted(x), wanted_level(x));
    if (provider.len)
        link = arena_printf(&x->arena, "%.*s&provider=%.*s", SLICE_ARG(link), SLICE_ARG(provider));
    own_see_other(x, link);
}

enum next own_lead(struct exchange *x)
{
    if (x->request.method == METHOD_GET) {
        lead_there(x);
        return NEXT;
    }
    const bool is_small = x->request.has_body && x->request.body_length <= ATTEMPT_MAX_FORM_BYTES;
    if (is_small && own_is_form(x) && own_take_body(x) == WAIT)
        return WAIT;
    struct wish wish = {.level = wanted_level(x), .provider = provider_known(x)};
    if (is_small && can_be_kept(x)) {
        wish.to = x->request.target;
        wish.kept = buf_slice(&x->form);
    }
    show_kept(x, wish.level ? 403 : 401, &wish, slice_of(x->reference.text));
    return NEXT;
}

/* ---- somebody waits for their provider ---- */

static bool asks_again(const struct exchange *x)
{
    return slice_eq(x->request.path.canonical, SLICE("/.belfry/wait"));
}

/* What is known of them is too old, and their provider has not said more yet: they wait, and are
 * back where they wanted to be as soon as it has. */
enum next own_moment(struct exchange *x)
{
    struct form form = {0};
    struct slice to = x->request.target;
    if (asks_again(x) && (!own_form(x, &form) || !form_get(&form, SLICE("to"), &to)))
        return refuse(x, REASON_REQUEST_MALFORMED, "what is waited for");
    if (!return_path_is_valid(to) && !own_page_is_at(to))
        to = SLICE("/");
    return own_wait(
        x, &form, arena_printf(&x->arena, "/.belfry/wait?to=%.*s", SLICE_ARG(own_escaped(x, to))));
}

enum next own_moment_over(struct exchange *x)
{
    struct form form;
    struct slice to;
    if (!own_form(x, &form) || !form_get(&form, SLICE("to"), &to))
        return refuse(x, REASON_REQUEST_MALFORMED, "what is waited for");
    own_see_other(x, return_path_is_valid(to) || own_page_is_at(to) ? to : SLICE("/"));
    return NEXT;
}
