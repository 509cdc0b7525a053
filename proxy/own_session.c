// SPDX-License-Identifier: EUPL-1.2
/* Who am I here, where am I signed in, and out with me.
 * Owns: these pages. All that changes something is posted by a page of this very host, with a token
 * that only this session's pages have. */
#include "proxy/own.h"

#include <assert.h>

#include "base/escape.h"
#include "proxy/cookie.h"
#include "proxy/own_page.h"
#include "proxy/sign_in_errand.h"

/* Without a script nobody knows the person's time zone: so long ago, or in so long. */
static struct slice span(struct exchange *x, enum label how, int64_t s, enum language l)
{
    struct slice after = page_label(how, l);
    const struct slice before = slice_cut(&after, '%');
    const long long minutes = s > 0 ? s / 60 : 0;
    if (how == LABEL_AGO && minutes == 0)
        return page_label(LABEL_JUST_NOW, l);
    struct slice text =
        arena_printf(&x->arena, "%lld %.*s", minutes % 60, SLICE_ARG(page_label(LABEL_MINUTES, l)));
    if (minutes >= 60)
        text = arena_printf(&x->arena, "%lld %.*s %.*s", minutes / 60,
                            SLICE_ARG(page_label(LABEL_HOURS, l)), SLICE_ARG(text));
    return arena_printf(&x->arena, "%.*s%.*s%.*s", SLICE_ARG(before), SLICE_ARG(text),
                        SLICE_ARG(after));
}

static struct slice joined(struct exchange *x, struct slices list)
{
    const struct slice comma = SLICE(", ");
    size_t room = 0;
    for (uint32_t i = 0; i < list.count; i++)
        room += list.at[i].len + comma.len;
    if (!room)
        return SLICE("");
    char *text = arena_bytes(&x->arena, room), *at = text;
    for (uint32_t i = 0; i < list.count; i++) {
        memcpy(at, list.at[i].ptr, list.at[i].len);
        memcpy(at + list.at[i].len, comma.ptr, comma.len);
        at += list.at[i].len + comma.len;
    }
    return slice_from(text, room - comma.len);
}

/* ---- whoami ---- */

static struct slice provider_name(const struct exchange *x, struct slice id, enum language l)
{
    const struct application *app = x->facts.app;
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (slice_eq(app->providers[i]->id, id) && app->providers[i]->sign_in.name[l].len)
            return app->providers[i]->sign_in.name[l];
    return id;
}

static void whoami_page(struct exchange *x)
{
    const enum language l = own_language(x);
    const struct facts_user *u = x->facts.user;
    const struct facts_device *d = x->facts.device;
    const struct session *s = x->session;
    const struct slice none = {0};
    const int64_t now = x->facts.now.s;
    const struct page_value values[] = {
        {"person", s ? s->identity->name : none, false},
        {"user", u ? u->id : none, false},
        {"provider", u ? provider_name(x, u->provider, l) : none, false},
        {"groups", u && u->groups.count ? joined(x, u->groups) : page_label(LABEL_NO_GROUPS, l),
         false},
        {"level", u ? arena_printf(&x->arena, "%lld", (long long)u->acr_level) : none, false},
        {"methods", u ? joined(x, u->amr) : none, false},
        {"since", s ? span(x, LABEL_AGO, now - s->created.s, l) : none, false},
        {"until", s ? span(x, LABEL_IN, s->ends.s - now, l) : none, false},
        {"device", d ? d->id : page_label(LABEL_NO_DEVICE, l), false},
        {"trust", d ? d->trust : none, false},
        {"reference", slice_of(x->reference.text), false},
    };
    own_page(x, 200, PAGE_WHOAMI, page_label(LABEL_WHOAMI, l), values,
             sizeof values / sizeof *values);
}

static bool print_text(struct buf *out, const char *before, struct slice text)
{
    char *at;
    if (!buf_printf(out, "%s\"", before) || !buf_reserve(out, ESCAPE_ROOM(text.len), &at))
        return false;
    buf_grew(out, (size_t)(escape_json(at, text) - at));
    return buf_add(out, SLICE("\""));
}

static bool print_list(struct buf *out, const char *before, struct slices list)
{
    bool ok = buf_printf(out, "%s[", before);
    for (uint32_t i = 0; ok && i < list.count; i++)
        ok = print_text(out, i ? "," : "", list.at[i]);
    return ok && buf_add(out, SLICE("]"));
}

static bool print_user(struct buf *out, const struct facts_user *u)
{
    return print_text(out, ",\"user\":{\"id\":", u->id) &&
           print_text(out, ",\"provider\":", u->provider) &&
           print_list(out, ",\"groups\":", u->groups) &&
           buf_printf(out, ",\"acr_level\":%lld", (long long)u->acr_level) &&
           print_list(out, ",\"amr\":", u->amr) && buf_add(out, SLICE("}"));
}

static void whoami_json(struct exchange *x)
{
    const struct facts *f = &x->facts;
    struct buf out;
    bool ok;
    buf_init(&out, 1 << 20);
    ok = print_text(&out, "{\"application\":", f->app->id) &&
         (!f->user || print_user(&out, f->user)) &&
         (!f->service || print_text(&out, ",\"service\":", f->service->id)) &&
         (!f->device ||
          (print_text(&out, ",\"device\":{\"id\":", f->device->id) &&
           print_text(&out, ",\"trust\":", f->device->trust) && buf_add(&out, SLICE("}")))) &&
         (!x->session ||
          buf_printf(&out, ",\"session\":{\"created\":%lld,\"ends\":%lld}",
                     (long long)x->session->created.s, (long long)x->session->ends.s)) &&
         buf_add(&out, SLICE("}\n"));
    assert(ok); /* tokens and identities have their bounds */
    own_body(x, 200, SLICE("application/json"), SLICE("no-store"),
             arena_copy(&x->arena, buf_slice(&out)));
    buf_fini(&out);
}

enum next own_whoami(struct exchange *x)
{
    own_add(x, SLICE("vary"), SLICE("Accept"));
    if (x->request.accepts_html)
        whoami_page(x);
    else
        whoami_json(x);
    return NEXT;
}

/* ---- what the others need ---- */

/* Nobody is signed in: to the sign-in, and back to this page. */
static enum next sign_in_first(struct exchange *x)
{
    if (!x->request.accepts_html || !own_has_sign_in(x))
        return refuse(x, REASON_IDENTITY_REQUIRED, NULL);
    own_see_other(x, own_sign_in_link(x, x->request.path.canonical, 0));
    return NEXT;
}

static bool has_good_token(struct exchange *x, struct form *form)
{
    struct slice token;
    return own_form(x, form) && form_get(form, SLICE("token"), &token) &&
           own_token_is_good(x, token);
}

static struct work *work_on_session(struct exchange *x)
{
    struct work *w = work_new(x);
    w->session = session_ref(x->session);
    return w;
}

/* `only`: the provider was to be told, and could not be. */
static void sign_out_here(struct exchange *x, struct slice provider_url, bool only)
{
    own_add_cookie(x, cookie_end(&x->arena, SLICE(COOKIE_SESSION)));
    if (provider_url.len)
        own_onward(x, ONWARD_SIGNED_OUT, arena_copy(&x->arena, provider_url));
    else
        own_see_other(x,
                      only ? SLICE("/.belfry/signed-out?only=here") : SLICE("/.belfry/signed-out"));
}

/* ---- my sessions ---- */

static bool is_this(const struct exchange *x, const struct session *s)
{
    return slice_eq(s->handle, x->session->handle);
}

static bool print_session(struct exchange *x, const struct session *s, uint32_t number,
                          enum language l, struct buf *out)
{
    const struct edition *e = x->held->edition;
    const struct door *door = edition_door(e, s->host);
    const bool is_known = door && slice_eq(door->app->id, s->application);
    const struct slice name =
        is_known && door->app->name[l].len ? door->app->name[l] : s->application;
    const int64_t now = x->facts.now.s;
    const struct page_value values[] = {
        {"number", arena_printf(&x->arena, "%u", number), false},
        {"application", name, false},
        {"is_this", is_this(x, s) ? SLICE("1") : (struct slice){0}, false},
        {"device", s->device, false},
        {"since", span(x, LABEL_AGO, now - s->created.s, l), false},
        {"seen", span(x, LABEL_AGO, now - s->seen.s, l), false},
        {"until", span(x, LABEL_IN, s->ends.s - now, l), false},
        {"token", own_token(x), false},
        {"handle", s->handle, false},
    };
    return page_part(out, PAGE_SESSION, l, values, sizeof values / sizeof *values);
}

static void sessions_page(struct exchange *x)
{
    const enum language l = own_language(x);
    struct buf rows;
    bool is_whole = true;
    buf_init(&rows, 1 << 20);
    for (int others = 0; others < 2; others++) /* this one, then the others, the newest first */
        for (uint32_t i = 0; i < x->work->count; i++)
            if (is_this(x, x->work->list[i]) == !others)
                is_whole = is_whole && print_session(x, x->work->list[i], i, l, &rows);
    assert(is_whole); /* SESSION_LIST_MAX of them */
    const struct page_value values[] = {
        {"rows", arena_copy(&x->arena, buf_slice(&rows)), true},
        {"token", own_token(x), false},
    };
    buf_fini(&rows);
    own_page(x, 200, PAGE_SESSIONS, page_label(LABEL_SESSIONS, l), values,
             sizeof values / sizeof *values);
}

static enum next list_sessions(struct exchange *x)
{
    enum next next;
    if (own_has_come(x, &next)) {
        sessions_page(x);
        return NEXT;
    }
    if (next == WAIT && !x->errand)
        work_send(x, work_on_session(x), WORK_LIST, OWN_STORE_WAIT_MS);
    return next;
}

static enum next end_sessions(struct exchange *x)
{
    struct form form;
    struct slice which;
    struct work *w;
    enum next next;
    if (!has_good_token(x, &form))
        return refuse(x, REASON_CROSS_SITE, "the form is not of this session's pages");
    if (!form_get(&form, SLICE("end"), &which) || !which.len)
        return refuse(x, REASON_REQUEST_MALFORMED, "no session is named");
    if (own_has_come(x, &next)) {
        const bool is_all = !x->work->handle.len;
        if (is_all || x->work->count) /* else it was no session of theirs */
            x->deed = is_all ? SLICE("sessions-end") : SLICE("session-end");
        x->deed_session = x->work->handle;
        if (is_all || slice_eq(which, x->session->handle))
            sign_out_here(x, (struct slice){0}, false);
        else
            own_see_other(x, SLICE("/.belfry/sessions"));
        return NEXT;
    }
    if (next == REFUSE || x->errand)
        return next;
    w = work_on_session(x);
    if (!slice_eq(which, SLICE("all")))
        w->handle = arena_copy(&w->arena, which);
    work_send(x, w, WORK_END, OWN_STORE_WAIT_MS);
    return WAIT;
}

enum next own_sessions(struct exchange *x)
{
    if (!x->session)
        return sign_in_first(x);
    return x->request.method == METHOD_POST ? end_sessions(x) : list_sessions(x);
}

/* ---- out ---- */

static void sign_out_page(struct exchange *x)
{
    const struct page_value values[] = {{"token", own_token(x), false}};
    own_page(x, 200, PAGE_SIGN_OUT, page_label(LABEL_SIGN_OUT_ASK, own_language(x)), values, 1);
}

enum next own_sign_out(struct exchange *x)
{
    struct form form;
    struct work *w;
    enum next next;
    if (!x->session) { /* it has ended before */
        sign_out_here(x, (struct slice){0}, false);
        return NEXT;
    }
    if (x->request.method != METHOD_POST) {
        sign_out_page(x);
        return NEXT;
    }
    if (!has_good_token(x, &form))
        return refuse(x, REASON_CROSS_SITE, "the form is not of this session's pages");
    if (own_has_come(x, &next)) {
        x->deed = SLICE("sign-out");
        x->deed_session = x->session->handle;
        sign_out_here(x, x->work->url, x->work->detail != NULL);
        return NEXT;
    }
    if (next == REFUSE || x->errand)
        return next;
    w = work_on_session(x);
    w->back_uri = arena_copy(&w->arena, own_login_url(x, SLICE("/.belfry/signed-out")));
    w->attempt.language = language_tag(own_language(x));
    work_send(x, w, WORK_SIGN_OUT, OWN_STORE_WAIT_MS);
    return WAIT;
}

enum next own_signed_out(struct exchange *x)
{
    const bool is_login = x->facts.app->is_sign_in;
    struct form form;
    struct slice only;
    const bool is_only_here = own_form(x, &form) && form_get(&form, SLICE("only"), &only) &&
                              slice_eq(only, SLICE("here"));
    if (x->session) /* again, since */
        own_see_other(x, SLICE("/.belfry/sign-out"));
    else
        own_note(x, is_only_here ? LABEL_SIGNED_OUT_HERE : LABEL_SIGNED_OUT,
                 is_only_here ? LABEL_SIGNED_OUT_HERE_WHY : LABEL_SIGNED_OUT_WHY,
                 is_login ? (struct slice){0} : own_sign_in_link(x, SLICE("/"), 0),
                 LABEL_SIGN_IN_AGAIN);
    return NEXT;
}
