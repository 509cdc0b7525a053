// SPDX-License-Identifier: EUPL-1.2
/* The checks in the order of Core §3.1.3.7; those that every kind of JWT shares are jws.c's. Then
 * the claims of ID token and userinfo become one set, and claims.c reads it as it reads a token's,
 * with the same bounds. */
#include "auth/id_token.h"

#include "auth/claims_in.h"
#include "base/codec.h"
#include "base/fault.h"
#include "base/reason.h"
#include "base/secret.h"

#define NAME_MAX_BYTES 256
#define LOCALE_MAX_BYTES 35 /* RFC 5646 §4.4.1 */

static enum reason mistaken(struct fault *why, const char *what)
{
    fault_set(why, FAULT_TRUST, "%s", what);
    return REASON_PROVIDER_MISTAKEN;
}

static bool are_keys_missing(enum reason reason)
{
    return reason == REASON_TOKEN_KEY_UNKNOWN || reason == REASON_KEYS_UNAVAILABLE;
}

/* §3.1.3.6 and §3.3.2.11: the left half of the digest. Absent is fine, in the code flow both are
 * optional; of another type or value is not. */
static bool is_hash_right(const struct jws *j, const char *claim, struct slice of)
{
    uint8_t digest[ALGORITHM_DIGEST_MAX_BYTES];
    char half[BASE64URL_LEN(sizeof digest / 2)];
    struct slice said;
    if (!jtree_has(j->claims, claim))
        return true;
    const size_t len = algorithm_digest(j->algorithm, of, digest);
    const size_t half_len = base64url_encode(half, digest, len / 2);
    return of.len && jtree_string(j->claims, claim, &said) &&
           slice_eq(said, slice_from(half, half_len));
}

/* §3.1.3.7, 11: the one of the attempt, which nobody else has. Of a refresh (§12.2): none, or that
 * of the ID token before. */
static bool is_nonce_right(const struct jws *j, const struct id_token_demand *d)
{
    struct slice nonce;
    const bool is_said = jtree_has(j->claims, "nonce");
    if (is_said && !jtree_string(j->claims, "nonce", &nonce))
        return false;
    if (!d->before)
        return is_said && nonce.len && nonce.len == d->nonce.len &&
               secret_eq(nonce.ptr, d->nonce.ptr, nonce.len);
    if (!is_said)
        return true;
    struct jws old;
    struct slice first;
    const bool is_same = jws_parse(&old, d->before->id_token) == REASON_PERMITTED &&
                         jtree_string(old.claims, "nonce", &first) && slice_eq(first, nonce);
    jws_fini(&old);
    return is_same;
}

/* §3.1.3.7, 13. What was asked counts from the moment of asking: who then reads a page for a minute
 * has not proven themselves too long ago. */
static bool is_auth_time_right(const struct jws *j, const struct id_token_demand *d)
{
    int64_t at;
    const int64_t leeway_s = d->provider->leeway_s;
    if (!jtree_has(j->claims, "auth_time"))
        return d->max_age_s < 0;
    if (!jtree_date(j->claims, "auth_time", &at) || at > d->now.s + leeway_s)
        return false;
    if (d->before) // §12.2: it is about the first sign-in
        return !d->before->authenticated_at.s || at == d->before->authenticated_at.s;
    return d->max_age_s < 0 || at >= d->begun_at.s - d->max_age_s - leeway_s;
}

enum reason id_token_judge(struct jws *j, const struct id_token_demand *d, struct metrics *m,
                           struct fault *why)
{
    const struct provider *p = d->provider;
    const struct jws_demand demand = {.kind = JWS_ID_TOKEN,
                                      .algorithms = p->algorithms,
                                      .keys = d->keys,
                                      .issuer = p->issuer,
                                      .audiences = {&p->sign_in.client.id, 1},
                                      .leeway_s = p->leeway_s,
                                      .now = d->now};
    struct slice subject;
    const enum reason reason = jws_judge(j, &demand, m);
    if (are_keys_missing(reason))
        return reason;
    if (reason != REASON_PERMITTED) {
        fault_set(why, FAULT_TRUST, "the ID token is refused: %.*s",
                  SLICE_ARG(reason_name(reason)));
        return REASON_PROVIDER_MISTAKEN;
    }
    if (j->times.iat_s < d->begun_at.s - p->leeway_s) // §3.1.3.7, 10
        return mistaken(why, "the ID token is older than this sign-in");
    if (!is_nonce_right(j, d))
        return mistaken(why, "the ID token's nonce is not that of this sign-in");
    if (!is_auth_time_right(j, d))
        return mistaken(why, "the ID token's auth_time does not fit max_age, or is no time");
    if (!is_hash_right(j, "at_hash", d->access_token))
        return mistaken(why, "the ID token's at_hash is not of this access token");
    if (!is_hash_right(j, "c_hash", d->code))
        return mistaken(why, "the ID token's c_hash is not of this code");
    if (d->before &&
        (!jtree_string(j->claims, "sub", &subject) || !slice_eq(subject, d->before->subject)))
        return mistaken(why, "the ID token of a refresh is about somebody else");
    return REASON_PERMITTED;
}

/* Userinfo */

static bool is_media_type(struct slice type, struct slice wanted)
{
    return slice_eq_nocase(slice_trim(slice_cut(&type, ';')), wanted);
}

static json_t *userinfo_jwt(struct slice body, const struct id_token_demand *d, struct metrics *m,
                            enum reason *reason, struct fault *why)
{
    struct jws j;
    json_t *claims = NULL;
    const struct provider *p = d->provider;
    *reason = jws_parse(&j, body);
    if (*reason == REASON_PERMITTED) {
        struct jws_demand demand = {.kind = JWS_USERINFO,
                                    .algorithms = p->algorithms,
                                    .keys = d->keys,
                                    .issuer = p->issuer,
                                    .leeway_s = p->leeway_s,
                                    .now = d->now};
        if (jtree_has(j.claims, "aud")) // it should be there, and then it must be us
            demand.audiences = (struct slices){&p->sign_in.client.id, 1};
        *reason = jws_judge(&j, &demand, m);
    }
    if (*reason == REASON_PERMITTED) {
        claims = json_incref(j.claims);
    } else if (!are_keys_missing(*reason)) {
        fault_set(why, FAULT_TRUST, "the userinfo is refused: %.*s",
                  SLICE_ARG(reason_name(*reason)));
        *reason = REASON_PROVIDER_MISTAKEN;
    }
    jws_fini(&j);
    return claims;
}

json_t *userinfo_read(struct slice body, struct slice content_type, struct slice subject,
                      const struct id_token_demand *d, struct metrics *m, enum reason *reason,
                      struct fault *why)
{
    json_t *claims = NULL;
    struct slice said;
    *reason = REASON_PROVIDER_MISTAKEN;
    if (is_media_type(content_type, SLICE("application/jwt")))
        claims = userinfo_jwt(body, d, m, reason, why);
    else if (!is_media_type(content_type, SLICE("application/json")))
        fault_set(why, FAULT_SYNTAX, "userinfo is neither JSON nor a JWT");
    else if (!(claims = jtree_parse(body)))
        fault_set(why, FAULT_SYNTAX, "userinfo is no JSON object");
    // §5.3.2: else somebody's ID token would be dressed with another's groups.
    if (claims && (!jtree_string(claims, "sub", &said) || !slice_eq(said, subject))) {
        *reason = mistaken(why, "userinfo is about somebody else");
        json_decref(claims);
        return NULL;
    }
    if (claims)
        *reason = REASON_PERMITTED;
    return claims;
}

/* The identity */

/* Userinfo adds what the ID token does not say, and its groups are the newer ones. What tells of
 * the sign-in itself is never taken from it where the ID token speaks. */
static json_t *merge(const struct provider *p, const json_t *claims, const json_t *userinfo)
{
    json_t *all = json_object();
    json_t *value;
    const char *key;
    (void)json_object_update_missing(all, (json_t *)(uintptr_t)claims); // borrowed as const
    json_object_foreach((json_t *)(uintptr_t)userinfo, key, value)
    {
        const bool is_groups = slice_eq(slice_of(key), p->groups_claim);
        if (is_groups || !jtree_has(all, key))
            (void)json_object_set(all, key, value);
    }
    return all;
}

/* For display: what does not fit is not there. */
static struct slice display_read(struct arena *a, const json_t *all, const char *claim, size_t max)
{
    struct slice text;
    if (!jtree_string(all, claim, &text) || !claim_is_plain(text, max))
        return (struct slice){"", 0};
    return arena_copy(a, text);
}

/* Providers without `name` have its parts: `given_name` and `family_name` by OpenID Connect,
 * `givenName` and `surname` by Belgium's federal authentication service. */
static struct slice name_read(struct arena *a, const json_t *all)
{
    static const char *const parts[][2] = {{"given_name", "family_name"}, {"givenName", "surname"}};
    struct slice name = display_read(a, all, "name", NAME_MAX_BYTES);
    for (size_t i = 0; !name.len && i < sizeof parts / sizeof *parts; i++) {
        const struct slice first = display_read(a, all, parts[i][0], NAME_MAX_BYTES / 2);
        const struct slice last = display_read(a, all, parts[i][1], NAME_MAX_BYTES / 2 - 1);
        name = first.len && last.len
                   ? arena_printf(a, "%.*s %.*s", SLICE_ARG(first), SLICE_ARG(last))
               : first.len ? first
                           : last;
    }
    return name;
}

static struct slice locale_read(struct arena *a, const json_t *all)
{
    static const char *const claims[] = {"locale", "prefLanguage"};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        const struct slice locale = display_read(a, all, claims[i], LOCALE_MAX_BYTES);
        bool is_tag = locale.len > 1;
        for (size_t k = 0; k < locale.len; k++) {
            const char c = ascii_lower(locale.ptr[k]);
            is_tag = is_tag && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
        }
        if (is_tag)
            return locale;
    }
    return (struct slice){"", 0};
}

static void keep_text(struct arena *a, struct slice *text, struct slice before)
{
    if (!text->len)
        *text = arena_copy(a, before);
}

static void keep_list(struct arena *a, struct slices *list, struct slices before)
{
    if (list->count)
        return;
    struct slice *copy = arena_array(a, struct slice, (size_t)before.count + 1);
    for (uint32_t i = 0; i < before.count; i++)
        copy[i] = arena_copy(a, before.at[i]);
    *list = (struct slices){copy, before.count};
}

/* What a refresh says nothing of has not changed. */
static void keep(struct identity *out, struct arena *a, const struct identity *before,
                 const json_t *all)
{
    if (!out->acr.len && !out->amr.count)
        out->acr_level = before->acr_level;
    keep_text(a, &out->acr, before->acr);
    keep_list(a, &out->amr, before->amr);
    keep_text(a, &out->session, before->session);
    keep_text(a, &out->name, before->name);
    keep_text(a, &out->locale, before->locale);
    if (!jtree_has(all, "scope"))
        keep_list(a, &out->scopes, before->scopes);
    if (!out->authenticated_at.s)
        out->authenticated_at = before->authenticated_at;
}

static enum reason make_from(struct identity *out, struct arena *a, const struct provider *p,
                             const json_t *all, struct fault *why)
{
    const struct jws_times times = {0};
    struct claims read;
    struct slice session = {"", 0};
    if (claims_read(&read, a, all, p, &times) != REASON_PERMITTED ||
        (jtree_has(all, "sid") &&
         (!jtree_string(all, "sid", &session) || !claim_is_plain(session, NAME_MAX_BYTES))))
        return mistaken(why, "a claim is of the wrong type, or has too much in it");
    *out = (struct identity){.provider = read.user.provider,
                             .subject = read.user.subject,
                             .session = arena_copy(a, session),
                             .client_id = arena_copy(a, p->sign_in.client.id),
                             .acr = read.user.acr,
                             .amr = read.user.amr,
                             .groups = read.user.groups,
                             .scopes = read.user.scopes,
                             .acr_level = read.user.acr_level,
                             .authenticated_at = read.user.authenticated_at,
                             .name = name_read(a, all),
                             .locale = locale_read(a, all)};
    return REASON_PERMITTED;
}

enum reason identity_make(struct identity *out, struct arena *a, const struct provider *provider,
                          const json_t *claims, const json_t *userinfo, struct slice scope,
                          const struct identity *before, struct wall now, struct fault *why)
{
    json_t *all = merge(provider, claims, userinfo);
    (void)json_object_del(all, "scope"); // RFC 6749 §5.1: the token endpoint says what was granted
    if (scope.len)
        (void)json_object_set_new(all, "scope", json_stringn(scope.ptr, scope.len));
    const bool has_groups =
        json_object_getn(all, provider->groups_claim.ptr, provider->groups_claim.len) != NULL;
    enum reason reason = make_from(out, a, provider, all, why);
    if (reason == REASON_PERMITTED && before) {
        if (!has_groups && before->groups.count) {
            fault_set(why, FAULT_IO, "nothing new is said of the groups");
            reason = REASON_IDENTITY_REQUIRED;
        }
        keep(out, a, before, all);
    }
    json_decref(all);
    out->known_at = now;
    return reason;
}
