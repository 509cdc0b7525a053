// SPDX-License-Identifier: EUPL-1.2
/* Where a browser is sent: to sign in at a provider, and to sign out there. */
#include "auth/oidc_in.h"

#include "auth/client_secret.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/secret.h"

/* ---- in ---- */

static bool scopes_add(struct buf *form, const struct sign_in *s)
{
    struct buf scopes;
    bool has_room = true;
    buf_init(&scopes, OIDC_URL_MAX_BYTES);
    for (uint32_t i = 0; has_room && i < s->scopes.count; i++)
        has_room = buf_printf(&scopes, "%s%.*s", i ? " " : "", SLICE_ARG(s->scopes.at[i]));
    has_room = has_room && form_add(form, "scope", buf_slice(&scopes));
    buf_fini(&scopes);
    return has_room;
}

/* All that are strong enough, the weakest first. */
static bool acr_values_add(struct buf *form, const struct sign_in *s, int64_t level)
{
    struct buf values;
    bool has_room = true;
    buf_init(&values, OIDC_URL_MAX_BYTES);
    for (uint32_t i = 0; level && has_room && i < s->acr_value_count; i++)
        if (s->acr_values[i].level >= level)
            has_room = buf_printf(&values, "%s%.*s", buf_len(&values) ? " " : "",
                                  SLICE_ARG(s->acr_values[i].value));
    if (has_room && buf_len(&values))
        has_room = form_add(form, "acr_values", buf_slice(&values));
    buf_fini(&values);
    return has_room;
}

/* RFC 7636 §4.2. A provider without PKCE does not look at it; then the nonce alone binds the ID
 * token to this browser. */
static bool challenge_add(struct buf *form, struct slice verifier)
{
    uint8_t digest[SHA256_BYTES];
    char challenge[BASE64URL_LEN(sizeof digest)];
    sha256(digest, verifier);
    const size_t len = base64url_encode(challenge, digest, sizeof digest);
    return form_add(form, "code_challenge", slice_from(challenge, len)) &&
           form_add(form, "code_challenge_method", SLICE("S256"));
}

static bool number_add(struct buf *form, const char *name, int64_t n)
{
    char text[24];
    const int len = snprintf(text, sizeof text, "%lld", (long long)n);
    return form_add(form, name, slice_from(text, (size_t)len));
}

/* RFC 6749 §3.1: an endpoint may have a query of its own, which stays. */
static enum step send_to(struct oidc_call *c, struct slice endpoint, const struct buf *query,
                         bool has_room)
{
    const char *separator = memchr(endpoint.ptr, '?', endpoint.len) ? "&" : "?";
    if (!has_room || endpoint.len + 1 + buf_len(query) > OIDC_URL_MAX_BYTES)
        return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_LIMIT,
                                 "the address to send a browser to is too long");
    c->answer.url = arena_printf(&c->arena, "%.*s%s%.*s", SLICE_ARG(endpoint), separator,
                                 SLICE_ARG(buf_slice(query)));
    return NEXT;
}

/* Core §3.1.2.1 */
enum step oidc_address(struct oidc_call *c)
{
    const struct sign_in *s = &c->provider->sign_in;
    const struct oidc_attempt *attempt = &c->attempt;
    const struct slice endpoint = c->known->document.authorization_endpoint;
    struct buf query;
    if (!endpoint.len)
        return oidc_over_because(c, REASON_PROVIDER_MISTAKEN, FAULT_SYNTAX,
                                 "the discovery document lacks authorization_endpoint");
    buf_init(&query, OIDC_URL_MAX_BYTES);
    bool has_room =
        form_add(&query, "response_type", SLICE("code")) &&
        form_add(&query, "client_id", s->client.id) &&
        form_add(&query, "redirect_uri", attempt->redirect_uri) && scopes_add(&query, s) &&
        form_add(&query, "state", attempt->state) && form_add(&query, "nonce", attempt->nonce) &&
        challenge_add(&query, attempt->verifier) && acr_values_add(&query, s, attempt->acr_level);
    if (has_room && attempt->max_age_s >= 0)
        has_room = number_add(&query, "max_age", attempt->max_age_s);
    if (has_room && attempt->language.len)
        has_room = form_add(&query, "ui_locales", attempt->language);
    const enum step step = send_to(c, endpoint, &query, has_room);
    buf_fini(&query);
    return step;
}

/* ---- out (RP-Initiated Logout §2) ---- */

static bool farewell_query(const struct oidc_call *c, struct buf *query, bool with_hint)
{
    const struct slice texts[] = {with_hint ? c->hint : SLICE(""), c->provider->sign_in.client.id,
                                  c->back_uri, c->attempt.state, c->attempt.language};
    static const char *const names[] = {"id_token_hint", "client_id", "post_logout_redirect_uri",
                                        "state", "ui_locales"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].len && !form_add(query, names[i], texts[i]))
            return false;
    return true;
}

enum step oidc_farewell(struct oidc_call *c)
{
    struct buf query;
    if (!c->provider->sign_in.has_logout || !c->known->document.end_session_endpoint.len)
        return NEXT; // the address stays empty
    const struct slice endpoint = c->known->document.end_session_endpoint;
    buf_init(&query, OIDC_URL_MAX_BYTES - DISCOVERY_URL_MAX_BYTES);
    bool has_room = farewell_query(c, &query, true);
    if (!has_room) { // a hint is only a hint
        wipe(query.ptr, query.room);
        buf_clear(&query);
        has_room = farewell_query(c, &query, false);
    }
    const enum step step = send_to(c, endpoint, &query, has_room);
    wipe(query.ptr, query.room);
    buf_fini(&query);
    return step;
}
