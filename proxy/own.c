// SPDX-License-Identifier: EUPL-1.2
/* Which addresses are the gateway's own, and what each asks before it is answered.
 * Owns: the table, the form that comes with a request, the checks that it comes from a page of
 * ours, and the small answers. Does not own: signing in (own_sign_in.c, own_login.c), nor what is
 * done about sessions (own_session.c). */
#include "proxy/own.h"

#include "base/codec.h"
#include "base/hash.h"
#include "base/secret.h"
#include "proxy/cookie.h"
#include "proxy/own_page.h"
#include "proxy/sign_in_errand.h"

#define GET (1u << METHOD_GET)
#define READ (1u << METHOD_GET | 1u << METHOD_HEAD)
#define POST (1u << METHOD_POST)
#define YEAR_S 31536000

/* ---- small answers ---- */

/* RFC 7517: the public keys under which this entity's assertions are signed. */
static enum next jwks(struct exchange *x)
{
    own_body(x, 200, SLICE("application/jwk-set+json"), SLICE("public, max-age=300"),
             keyring_jwks(x->held->edition->keyring, x->facts.app->entity));
    return NEXT;
}

/* Under its digest: whoever has it needs never ask again. */
static enum next style_sheet(struct exchange *x)
{
    own_body(x, 200, SLICE("text/css; charset=utf-8"), SLICE("public, max-age=31536000, immutable"),
             slice_from(page_css, page_css_len));
    return NEXT;
}

/* The login host's own front page. */
static enum next home(struct exchange *x)
{
    own_note(x, LABEL_HOME, LABEL_HOME_WHY, (struct slice){0}, LABEL_SIGN_IN);
    return NEXT;
}

/* ---- another language ---- */

/* Who shows a page again that has no address of its own, by what its memo calls it. */
static const struct {
    struct slice page;
    bool (*show)(struct exchange *x, const struct form *said);
} remembered[] = {
    {SLICE_INIT("refused"), own_refused_again}, {SLICE_INIT("onward"), own_onward_again},
    {SLICE_INIT("choose"), own_choose_again},   {SLICE_INIT("kept"), own_kept_again},
    {SLICE_INIT("resend"), own_resend_again},
};

static bool show_again(struct exchange *x, struct slice memo)
{
    struct memo_place place;
    struct form said;
    struct slice page;
    if (!memo_read(&x->arena, own_place(x, &place), memo, &said) ||
        !form_get(&said, SLICE("page"), &page))
        return false;
    for (size_t i = 0; i < sizeof remembered / sizeof *remembered; i++)
        if (slice_eq(remembered[i].page, page))
            return remembered[i].show(x, &said);
    return false;
}

static enum next choose_language(struct exchange *x)
{
    struct form form;
    struct slice tag, to, memo;
    if (!own_form(x, &form) || !form_get(&form, SLICE("language"), &tag) ||
        !form_get(&form, SLICE("to"), &to) || !form_get(&form, SLICE("page"), &memo) ||
        language_named(tag) == LANGUAGE_COUNT)
        return refuse(x, REASON_REQUEST_MALFORMED, "no language was chosen");
    x->language = language_tag(language_named(tag));
    own_add_cookie(x, cookie_set(&x->arena, SLICE(COOKIE_LANGUAGE), x->language, YEAR_S));
    if (memo.len)
        return show_again(x, memo) ? NEXT
                                   : refuse(x, REASON_CROSS_SITE, "that is no page of this host");
    own_see_other(x, return_path_is_valid(to) || own_page_is_at(to) ? to : SLICE("/"));
    return NEXT;
}

/* ---- the table ---- */

#define AT(text) .path = SLICE_INIT(text)
static const struct own_endpoint endpoints[] = {
    {AT("/.belfry/jwks.json"), READ, .run = jwks},
    {AT("/.well-known/belfry/jwks.json"), READ, .run = jwks},
    {AT("/.belfry/language"), POST, .is_of_both = true, .run = choose_language},

    {AT("/.belfry/sign-in"), GET, .after = OWN_AFTER_DEVICE, .run = own_sign_in},
    {AT("/.belfry/sign-in"), POST, .after = OWN_AFTER_DEVICE, .run = own_sign_in},
    {AT("/.belfry/callback"), GET, .after = OWN_AFTER_DEVICE, .has_no_back = true,
     .run = own_come_back},
    {AT("/.belfry/wait"), GET, .after = OWN_AFTER_IDENTITY, .has_no_back = true,
     .run = own_moment_over},
    {AT("/.belfry/whoami"), READ, .after = OWN_AFTER_IDENTITY, .run = own_whoami},
    {AT("/.belfry/sessions"), READ, .after = OWN_AFTER_IDENTITY, .run = own_sessions},
    {AT("/.belfry/sessions"), POST, .after = OWN_AFTER_IDENTITY, .run = own_sessions},
    {AT("/.belfry/sign-out"), READ, .after = OWN_AFTER_IDENTITY, .run = own_sign_out},
    {AT("/.belfry/sign-out"), POST, .after = OWN_AFTER_IDENTITY, .run = own_sign_out},
    {AT("/.belfry/signed-out"), READ, .after = OWN_AFTER_IDENTITY, .run = own_signed_out},

    {AT("/"), READ, .is_of_login = true, .run = home},
    {AT("/.belfry/begin"), GET, .is_of_login = true, .after = OWN_AFTER_DEVICE, .has_no_back = true,
     .run = own_login_begin},
    {AT("/.belfry/callback"), GET, .is_of_login = true, .after = OWN_AFTER_DEVICE,
     .has_no_back = true, .run = own_login_back},
    {AT("/.belfry/wait"), GET, .is_of_login = true, .after = OWN_AFTER_DEVICE, .has_no_back = true,
     .run = own_login_wait},
    {AT("/.belfry/signed-out"), READ, .is_of_login = true, .run = own_signed_out},
    /* What a provider posts is judged by its signature. */
    {AT("/.belfry/backchannel-logout"), POST, .is_of_login = true, .after = OWN_AFTER_DEVICE,
     .is_from_elsewhere = true, .run = own_login_logout},
};
static const struct own_endpoint assets = {.methods = READ, .run = style_sheet};
static const struct own_endpoint lead = {.methods = GET | POST, .run = own_lead};
static const struct own_endpoint moment = {.methods = GET, .has_no_back = true, .run = own_moment};

bool own_is(const struct exchange *x)
{
    const struct path *p = &x->request.path;
    if (!x->facts.app)
        return false;
    if (x->facts.app->is_sign_in ||
        (p->segment_count && slice_eq_nocase(p->segments[0], SLICE(".belfry"))))
        return true;
    /* RFC 8615: all else that is well known is the application's. */
    return p->segment_count > 1 && slice_eq_nocase(p->segments[0], SLICE(".well-known")) &&
           slice_eq_nocase(p->segments[1], SLICE("belfry"));
}

static bool is_here(const struct own_endpoint *e, const struct exchange *x)
{
    return (e->is_of_both || e->is_of_login == x->facts.app->is_sign_in) &&
           (e->methods & 1u << x->request.method);
}

const struct own_endpoint *own_find(const struct exchange *x)
{
    const struct slice path = x->request.path.canonical;
    if (slice_eq(path, slice_of(page_css_path)))
        return assets.methods & 1u << x->request.method ? &assets : NULL;
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
        if (slice_eq(endpoints[i].path, path) && is_here(&endpoints[i], x))
            return &endpoints[i];
    return NULL;
}

bool own_page_is_at(struct slice target)
{
    const struct slice path = slice_cut(&target, '?');
    if (target.len > RETURN_MAX_BYTES)
        return false;
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= 0x20 || target.ptr[i] >= 0x7F)
            return false;
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
        if (slice_eq(endpoints[i].path, path) && endpoints[i].methods & GET &&
            !endpoints[i].has_no_back)
            return true;
    return false;
}

/* ---- what comes with a request ---- */

/* True: all of the body is in x->form. */
static bool has_all(struct exchange *x)
{
    const struct slice bytes = buf_slice(&x->up);
    if (bytes.len > FORM_MAX_BYTES - buf_len(&x->form) || !buf_add(&x->form, bytes)) {
        (void)refuse(x, REASON_BODY_TOO_LARGE, NULL);
        return true;
    }
    if (bytes.len)
        flow_up_taken(x, bytes.len);
    return x->up_ended;
}

/* Waits for the body. REFUSE: it is too large. */
enum next own_take_body(struct exchange *x)
{
    if (x->request.has_body && x->request.body_length != BODY_LENGTH_UNKNOWN &&
        x->request.body_length > FORM_MAX_BYTES)
        return refuse(x, REASON_BODY_TOO_LARGE, NULL);
    if (x->request.expects_continue && !x->continue_said) {
        x->continue_said = true;
        x->client->say(x, 100, NULL, 0);
    }
    if (!has_all(x)) {
        deadline_arm(worker_deadlines(x->worker, OWN_BODY_WAIT_MS), &x->deadline);
        return WAIT;
    }
    if (!x->errand)
        deadline_cancel(&x->deadline); /* of the body */
    return x->reason == REASON_BODY_TOO_LARGE ? REFUSE : NEXT;
}

bool own_is_form(const struct exchange *x)
{
    struct slice type = exchange_field(x, SLICE("content-type"));
    return exchange_count_fields(x, SLICE("content-type")) == 1 &&
           slice_eq_nocase(slice_trim(slice_cut(&type, ';')),
                           SLICE("application/x-www-form-urlencoded"));
}

/* It comes from a page of this very host: the browser says so, in the one field or the other, and
 * no page can make it say something else (Fetch Metadata §2.3, RFC 6454 §7). Who says nothing of
 * it is refused: every browser says something. */
bool own_is_from_here(const struct exchange *x)
{
    const struct slice site = exchange_field(x, SLICE("sec-fetch-site"));
    struct slice origin = exchange_field(x, SLICE("origin"));
    if (exchange_count_fields(x, SLICE("sec-fetch-site")) > 1 ||
        exchange_count_fields(x, SLICE("origin")) > 1 || (!site.ptr && !origin.ptr) ||
        (site.ptr && !slice_eq(site, SLICE("same-origin"))))
        return false;
    return !origin.ptr || (slice_starts(origin, SLICE("https://")) &&
                           slice_eq_nocase(slice_skip(origin, 8), x->request.authority));
}

bool own_has_come(struct exchange *x, enum next *out)
{
    *out = WAIT;
    if (!errand_is_over(x, ERRAND_WORK))
        return false;
    if (x->work && x->work->reason == REASON_PERMITTED)
        return true;
    *out = refuse(x, x->work ? x->work->reason : REASON_STORE_UNAVAILABLE,
                  x->work ? x->work->detail : "no answer in time");
    return false;
}

bool own_form(struct exchange *x, struct form *out)
{
    const bool is_posted = x->request.method == METHOD_POST;
    return form_parse(&x->arena, is_posted ? buf_slice(&x->form) : x->request.query, out);
}

enum next own_wait(struct exchange *x, const struct form *f, struct slice link)
{
    struct slice said;
    uint64_t n = 0;
    if (!form_get(f, SLICE("n"), &said) || (said.len && !slice_u64(said, OWN_MOMENTS_MAX, &n)) ||
        n == OWN_MOMENTS_MAX)
        return refuse(x, REASON_PROVIDER_UNAVAILABLE, "no answer in time");
    own_onward(x, ONWARD_MOMENT,
               arena_printf(&x->arena, "%.*s&n=%u", SLICE_ARG(link), (unsigned)n + 1));
    return NEXT;
}

enum next own_run(struct exchange *x)
{
    const bool is_posted = x->request.method == METHOD_POST;
    enum next next;
    if (x->own == &lead)
        return own_lead(x);
    if (is_posted && !x->own->is_from_elsewhere && !own_is_from_here(x))
        return refuse(x, REASON_CROSS_SITE, NULL);
    if (is_posted && !own_is_form(x))
        return refuse(x, REASON_REQUEST_MALFORMED, "no form was posted");
    if (is_posted && (next = own_take_body(x)) != NEXT)
        return next;
    return x->own->run(x);
}

/* ---- who is to be led to a sign-in ---- */

bool own_has_sign_in(const struct exchange *x)
{
    const struct application *app = x->facts.app;
    const struct edition *e = x->held->edition;
    const struct bundle *b = snapshot_bundle(e->snapshot, app->entity);
    if (!b || !b->sign_in || !edition_door(e, b->sign_in->host) || !vault_is_open(e->keyring) ||
        (!x->facts.device && !app->sessions.allows_unbound))
        return false;
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (app->providers[i]->sign_in.client.id.len)
            return true;
    return false;
}

static bool says(const struct exchange *x, struct slice name, struct slice value)
{
    const struct slice said = exchange_field(x, name);
    return !said.ptr || slice_eq(said, value); /* older browsers say nothing */
}

/* A page that is opened, not a script's request or a frame. */
static bool is_navigation(const struct exchange *x)
{
    const enum method m = x->request.method;
    return (m == METHOD_GET || m == METHOD_POST) && x->request.accepts_html &&
           says(x, SLICE("sec-fetch-mode"), SLICE("navigate")) &&
           says(x, SLICE("sec-fetch-dest"), SLICE("document")) &&
           !exchange_field(x, SLICE("authorization")).ptr;
}

const struct own_endpoint *own_instead(struct exchange *x, enum reason why)
{
    const int64_t level = x->decision.needs_acr_level;
    if (!is_navigation(x) || !own_has_sign_in(x))
        return NULL;
    if (why == REASON_IDENTITY_REQUIRED || why == REASON_SESSION_ENDED)
        return &lead;
    /* Not answered yet; else the provider has said that it can't. */
    if (why == REASON_PROVIDER_UNAVAILABLE && !x->work && x->request.method == METHOD_GET)
        return &moment;
    /* Once: who comes back from there and still has not enough, stays refused. */
    if (why == REASON_ASSURANCE_TOO_LOW && x->session && x->session->asked_acr_level < level)
        return &lead;
    return NULL;
}

/* ---- links and tokens ---- */

struct slice own_wanted(struct exchange *x)
{
    return return_path_is_valid(x->request.target) ? x->request.target : SLICE("/");
}

struct slice own_escaped(struct exchange *x, struct slice text)
{
    char *at = arena_bytes(&x->arena, 3 * text.len);
    return slice_from(at, (size_t)(form_escape(at, text) - at));
}

struct slice own_sign_in_link(struct exchange *x, struct slice to, int64_t level)
{
    const struct slice escaped = own_escaped(x, to);
    if (!level)
        return arena_printf(&x->arena, "/.belfry/sign-in?to=%.*s", SLICE_ARG(escaped));
    return arena_printf(&x->arena, "/.belfry/sign-in?to=%.*s&level=%lld", SLICE_ARG(escaped),
                        (long long)level);
}

struct slice own_login_url(struct exchange *x, struct slice path)
{
    const struct bundle *b = snapshot_bundle(x->held->edition->snapshot, x->facts.app->entity);
    struct slice rest = x->request.authority;
    (void)slice_cut(&rest, ':');
    return arena_printf(&x->arena, "https://%.*s%s%.*s%.*s", SLICE_ARG(b->sign_in->host),
                        rest.len ? ":" : "", SLICE_ARG(rest), SLICE_ARG(path));
}

struct slice own_token(struct exchange *x)
{
    const struct slice parts[] = {SLICE("belfry form token"),
                                  cookie_get(&x->request, SLICE(COOKIE_SESSION))};
    uint8_t digest[SHA256_BYTES];
    char *text = arena_bytes(&x->arena, BASE64URL_LEN(SHA256_BYTES));
    sha256_parts(digest, parts, sizeof parts / sizeof *parts);
    return slice_from(text, base64url_encode(text, digest, sizeof digest));
}

bool own_token_is_good(struct exchange *x, struct slice token)
{
    const struct slice good = own_token(x);
    return token.len == good.len && secret_eq(token.ptr, good.ptr, good.len);
}
