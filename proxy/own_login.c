// SPDX-License-Identifier: EUPL-1.2
/* The login host: on the way to a provider, and back from it. It keeps no session; single sign-on
 * is the provider's. A browser is known again by a cookie of its own for each attempt, so that
 * nobody can have another's browser finish what theirs began. */
#include "proxy/own.h"

#include "base/codec.h"
#include "base/secret.h"
#include "proxy/cookie.h"
#include "proxy/own_page.h"
#include "proxy/sign_in_errand.h"

static bool cookie_value(struct exchange *x, struct slice id, struct slice *out)
{
    uint8_t mac[32];
    char *text = arena_bytes(&x->arena, BASE64URL_LEN(sizeof mac));
    if (!vault_mac(x->held->edition->keyring, VAULT_ATTEMPT,
                   arena_printf(&x->arena, "login cookie %.*s", SLICE_ARG(id)), mac))
        return false;
    *out = slice_from(text, base64url_encode(text, mac, sizeof mac));
    return true;
}

static struct slice cookie_name(struct exchange *x, struct slice id)
{
    char tag[ATTEMPT_TAG_CHARS + 1];
    attempt_tag(id, tag);
    return arena_printf(&x->arena, COOKIE_AT "%s", tag);
}

static struct slice here(struct exchange *x, struct arena *a, const char *path)
{
    return arena_printf(a, "https://%.*s%s", SLICE_ARG(x->request.authority), path);
}

/* The way back to where the attempt began. */
static void offer_again(struct exchange *x)
{
    const struct attempt *t = x->work ? &x->work->attempt : NULL;
    if (!t || !t->authority.len)
        return;
    const struct slice link = own_sign_in_link(x, t->to, t->acr_level);
    x->again =
        arena_printf(&x->arena, "https://%.*s%.*s", SLICE_ARG(t->authority), SLICE_ARG(link));
}

/* True: x->work has the answer, and it is good. False: *out is what to return. What has not come in
 * time is under way, and asked for again at `link`. */
static bool has_come(struct exchange *x, const struct form *f, struct slice link, enum next *out)
{
    const struct work *w = x->work;
    *out = WAIT;
    if (!errand_is_over(x, ERRAND_WORK))
        return false;
    if (w && w->reason == REASON_PERMITTED)
        return true;
    offer_again(x);
    *out = !w || w->is_pending ? own_wait(x, f, link) : refuse(x, w->reason, w->detail);
    return false;
}

static struct slice link_with(struct exchange *x, const char *path, struct slice id)
{
    return arena_printf(&x->arena, "%s%.*s", path, SLICE_ARG(id));
}

/* ---- to the provider ---- */

enum next own_login_begin(struct exchange *x)
{
    struct form form;
    struct slice id, value;
    enum next next;
    struct work *w;
    if (!own_form(x, &form) || !form_get(&form, SLICE("attempt"), &id) || !attempt_id_is_valid(id))
        return refuse(x, REASON_SIGN_IN_EXPIRED, "there is no attempt");
    if (has_come(x, &form, link_with(x, "/.belfry/begin?attempt=", id), &next)) {
        if (!cookie_value(x, id, &value))
            return refuse(x, REASON_INTERNAL, "there is no store key");
        own_add_cookie(x, cookie_set(&x->arena, cookie_name(x, id), value, ATTEMPT_LIFE_S));
        own_see_other(x, arena_copy(&x->arena, x->work->url));
        return NEXT;
    }
    if (next != WAIT || x->errand)
        return next;
    w = work_new(x);
    w->id = arena_copy(&w->arena, id);
    w->redirect_uri = here(x, &w->arena, "/.belfry/callback");
    work_send(x, w, WORK_LEAD, OWN_STORE_WAIT_MS);
    return WAIT;
}

/* ---- back from it ---- */

/* A parameter that is there twice has two readings (RFC 6749 §3.1). */
static bool read_response(const struct form *form, struct slice *state, struct oidc_response *out)
{
    return form_get(form, SLICE("state"), state) && form_get(form, SLICE("code"), &out->code) &&
           form_get(form, SLICE("iss"), &out->iss) && form_get(form, SLICE("error"), &out->error) &&
           form_get(form, SLICE("error_description"), &out->error_description) &&
           attempt_id_is_valid(*state);
}

static bool is_same_browser(struct exchange *x, struct slice id)
{
    const struct slice came = cookie_get(&x->request, cookie_name(x, id));
    struct slice value;
    return cookie_value(x, id, &value) && came.len == value.len &&
           secret_eq(came.ptr, value.ptr, value.len);
}

/* What the provider gave; or, without, what has become of it. */
static void bring_back(struct exchange *x, struct slice id, const struct oidc_response *r)
{
    struct work *w = work_new(x);
    struct arena *a = &w->arena;
    w->id = arena_copy(a, id);
    if (r) {
        w->redirect_uri = here(x, a, "/.belfry/callback");
        w->response =
            (struct oidc_response){.code = arena_copy(a, r->code),
                                   .iss = arena_copy(a, r->iss),
                                   .error = arena_copy(a, r->error),
                                   .error_description = arena_copy(a, r->error_description)};
    }
    work_send(x, w, r ? WORK_REDEEM : WORK_AWAIT, OWN_STORE_WAIT_MS);
}

/* To the same browser alone. What takes its time is looked for without the code. */
static enum next go_back(struct exchange *x, const struct form *form, struct slice id,
                         const struct oidc_response *response)
{
    enum next next;
    if (has_come(x, form, link_with(x, "/.belfry/wait?state=", id), &next)) {
        own_add_cookie(x, cookie_end(&x->arena, cookie_name(x, id)));
        own_see_other(x, arena_copy(&x->arena, x->work->url));
        return NEXT;
    }
    if (next != WAIT || x->errand)
        return next;
    if (!is_same_browser(x, id))
        return refuse(x, REASON_SIGN_IN_ELSEWHERE, "another browser began this sign-in");
    bring_back(x, id, response);
    return WAIT;
}

enum next own_login_back(struct exchange *x)
{
    struct form form;
    struct slice id;
    struct oidc_response response;
    if (!own_form(x, &form) || !read_response(&form, &id, &response))
        return refuse(x, REASON_SIGN_IN_EXPIRED, "what the provider gave is not readable");
    return go_back(x, &form, id, &response);
}

/* The code is at the provider, and its browser asks what has become of it. */
enum next own_login_wait(struct exchange *x)
{
    struct form form;
    struct slice id;
    if (!own_form(x, &form) || !form_get(&form, SLICE("state"), &id) || !attempt_id_is_valid(id))
        return refuse(x, REASON_SIGN_IN_EXPIRED, "there is no attempt");
    return go_back(x, &form, id, NULL);
}

/* ---- signed out at the provider ---- */

/* Whose sessions the provider has ended, as far as it says. */
static void tell_logout(struct exchange *x)
{
    const struct identity *i = &x->work->identity;
    const struct slice entity = x->facts.app->entity;
    struct facts_user *user = arena_new(&x->arena, struct facts_user);
    user->provider = i->provider;
    user->subject = i->subject;
    user->id = arena_printf(&x->arena, "%.*s:%.*s", SLICE_ARG(i->provider), SLICE_ARG(i->subject));
    user_mark(user, entity, keyring_audit_key(x->held->edition->keyring, entity));
    if (i->subject.len) /* else only which of their sign-ins it was */
        x->facts.user = user;
    x->deed = SLICE("provider-logout");
}

/* OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8. What can't be judged or done in time goes on
 * beside, and is answered as no fault of the provider's, so that it says it again: 400 would tell
 * it that there is nothing to repeat. */
enum next own_login_logout(struct exchange *x)
{
    struct form form;
    struct slice token;
    struct work *w;
    if (errand_is_over(x, ERRAND_WORK)) {
        if (!x->work)
            return refuse(x, REASON_PROVIDER_UNAVAILABLE, "no answer in time");
        if (x->work->reason == REASON_STORE_UNAVAILABLE ||
            x->work->reason == REASON_PROVIDER_UNAVAILABLE)
            return refuse(x, x->work->reason, x->work->detail);
        if (x->work->reason == REASON_PERMITTED) {
            tell_logout(x);
            own_no_body(x, 200);
        } else {
            own_body(x, 400, SLICE("application/json"), SLICE("no-store"),
                     SLICE("{\"error\":\"invalid_request\"}"));
        }
        return NEXT;
    }
    if (x->errand)
        return WAIT;
    if (!own_form(x, &form) || !form_get(&form, SLICE("logout_token"), &token) || !token.len)
        return refuse(x, REASON_REQUEST_MALFORMED, "there is no logout token");
    w = work_new(x);
    w->token = arena_copy(&w->arena, token);
    work_send(x, w, WORK_LOGOUT, OWN_STORE_WAIT_MS);
    return WAIT;
}
