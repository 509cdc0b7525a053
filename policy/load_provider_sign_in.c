// SPDX-License-Identifier: EUPL-1.2
/* `identity_providers.sign_in`: that people sign in at this provider in a browser, as which client,
 * and what is asked of it. Where its endpoints are stands in no bundle: discovery says so. */
#include "policy/load_in.h"

#define MINUTE_S 60
#define DAY_S (24 * 60 * MINUTE_S)

/* Belgium's federal authentication service calls its levels so. */
static struct acr_value fas_levels[] = {
    {100, SLICE_INIT("urn:be:fedict:iam:fas:Level100")},
    {200, SLICE_INIT("urn:be:fedict:iam:fas:Level200")},
    {300, SLICE_INIT("urn:be:fedict:iam:fas:Level300")},
    {400, SLICE_INIT("urn:be:fedict:iam:fas:Level400")},
    {450, SLICE_INIT("urn:be:fedict:iam:fas:Level450")},
    {500, SLICE_INIT("urn:be:fedict:iam:fas:Level500")},
};

/* OpenID Connect Core §3.1.2.1: values stand side by side with spaces between them. */
static bool is_acr_value(struct slice value)
{
    return value.len <= 256 && !memchr(value.ptr, ' ', value.len);
}

static bool load_acr_value(struct loader *l, const struct yaml *key, const struct yaml *n,
                           int64_t least, struct acr_value *out)
{
    uint64_t level = 0;
    if (!slice_u64(yaml_text(key), 999, &level) || (int64_t)level <= least) {
        findings_error(l->out, yaml_place(key), "wrong-value",
                       "'%.*s' is no level: 1 to 999, the lowest first, each once",
                       SLICE_ARG(yaml_text(key)));
        return false;
    }
    out->level = (int64_t)level;
    if (!load_word(l, n, "acr_values", &out->value))
        return false;
    if (is_acr_value(out->value))
        return true;
    findings_error(l->out, yaml_place(n), "wrong-value",
                   "what the provider calls a level has no space and at most 256 bytes");
    return false;
}

static void load_acr_values(struct loader *l, const struct yaml *map, struct sign_in *s)
{
    const struct yaml *levels = load_map(l, map, "acr_values", LOAD_OPTIONAL);
    s->acr_values = fas_levels;
    s->acr_value_count = COUNT_OF(fas_levels);
    if (!levels)
        return;
    const size_t count = yaml_count(levels);
    s->acr_value_count = 0;
    if (count > LOAD_MAX_ITEMS) {
        findings_error(l->out, yaml_place(levels), "too-many", "acr_values must have at most %d",
                       LOAD_MAX_ITEMS);
        return;
    }
    s->acr_values = arena_array(l->a, struct acr_value, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct acr_value *out = &s->acr_values[s->acr_value_count];
        const int64_t least = s->acr_value_count ? out[-1].level : 0;
        if (load_acr_value(l, yaml_key(levels, i), yaml_value(levels, i), least, out))
            s->acr_value_count++;
    }
}

/* RFC 6749 §3.3 */
static bool is_scope(struct slice scope)
{
    for (size_t i = 0; i < scope.len; i++)
        if (scope.ptr[i] <= ' ' || scope.ptr[i] > '~' || scope.ptr[i] == '"' ||
            scope.ptr[i] == '\\')
            return false;
    return true;
}

static void load_scopes(struct loader *l, const struct yaml *map, struct sign_in *s)
{
    static const struct slice usual[] = {SLICE_INIT("openid"), SLICE_INIT("profile")};
    bool has_openid = false;
    s->scopes = (struct slices){usual, COUNT_OF(usual)};
    if (!load_words(l, map, "scopes", LOAD_OPTIONAL, &s->scopes))
        return;
    const struct place place = yaml_place(yaml_get(map, SLICE("scopes")));
    for (uint32_t i = 0; i < s->scopes.count; i++) {
        const struct slice scope = s->scopes.at[i];
        has_openid = has_openid || slice_eq(scope, SLICE("openid"));
        if (!is_scope(scope))
            findings_error(l->out, place, "wrong-value", "'%.*s' is no scope", SLICE_ARG(scope));
    }
    if (!has_openid)
        findings_error(l->out, place, "wrong-value",
                       "'openid' must be among the scopes: without it nobody says who signed in");
}

void load_provider_sign_in(struct loader *l, const struct yaml *map, struct sign_in *s)
{
    static const struct slice keys[] = {
        SLICE_INIT("client_id"),     SLICE_INIT("client_secret"),
        SLICE_INIT("private_key"),   SLICE_INIT("private_key_algorithm"),
        SLICE_INIT("name"),          SLICE_INIT("scopes"),
        SLICE_INIT("acr_values"),    SLICE_INIT("userinfo"),
        SLICE_INIT("logout"),        SLICE_INIT("refresh_after"),
        SLICE_INIT("refresh_grace"),
    };
    static const struct slice logouts[] = {SLICE_INIT("provider"), SLICE_INIT("local")};
    uint32_t logout = 0;
    const struct yaml *n = load_map(l, map, "sign_in", LOAD_OPTIONAL);
    if (!n)
        return;
    (void)yaml_check_keys(n, "sign_in", keys, COUNT_OF(keys), l->out);
    (void)load_client(l, n, &s->client);
    load_languages(l, n, "name", "name", s->name);
    load_scopes(l, n, s);
    load_acr_values(l, n, s);
    const struct yaml *userinfo = load_member(l, n, "userinfo", LOAD_OPTIONAL);
    if (userinfo)
        (void)yaml_bool(userinfo, "userinfo", &s->has_userinfo, l->out);
    (void)load_choice(l, n, "logout", LOAD_OPTIONAL, logouts, COUNT_OF(logouts), &logout);
    s->has_logout = logout == 0;
    s->refresh_after_s = 15 * MINUTE_S;
    (void)load_duration_s(l, n, "refresh_after", MINUTE_S, 7 * DAY_S, &s->refresh_after_s);
    s->refresh_grace_s = 60 * MINUTE_S;
    (void)load_duration_s(l, n, "refresh_grace", 0, 7 * DAY_S, &s->refresh_grace_s);
}
