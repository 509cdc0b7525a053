// SPDX-License-Identifier: EUPL-1.2
/* `identity_providers`: who may issue tokens for the applications of this entity, and what of a
 * token counts. Owns: the settings' digest, under which keys and verified tokens are kept: every
 * setting goes in. */
#include "base/hash.h"
#include "base/jtree.h"
#include "base/sign.h"
#include "policy/load_in.h"

#define HOUR_S 3600
#define DAY_S (24 * HOUR_S)

static void load_algorithms(struct loader *l, const struct yaml *map, struct provider *p)
{
    struct slice names[ALGORITHM_COUNT];
    struct slices words;
    p->algorithms = 1u << ALGORITHM_RS256 | 1u << ALGORITHM_ES256;
    if (!load_words(l, map, "algorithms", LOAD_OPTIONAL, &words))
        return;
    for (enum algorithm a = ALGORITHM_NONE + 1; a < ALGORITHM_COUNT; a++)
        names[a - 1] = algorithm_name(a);
    const struct yaml *list = yaml_get(map, SLICE("algorithms"));
    p->algorithms = 0;
    for (uint32_t i = 0; i < words.count; i++) {
        const enum algorithm a = algorithm_named(words.at[i]);
        if (a)
            p->algorithms |= 1u << a;
        else
            load_unknown(l, yaml_place(list), "the algorithm", words.at[i], names,
                         ALGORITHM_COUNT - 1);
    }
}

static bool is_type(struct slice type)
{
    for (size_t i = 0; i < type.len; i++) {
        const char c = type.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr("+-.", c))
            return false;
    }
    return true;
}

/* JWTs of another purpose, which the same issuer signs with the same keys (RFC 8725 §3.12). */
static bool is_foreign_type(struct slice type)
{
    static const struct slice foreign[] = {
        SLICE_INIT("logout+jwt"), SLICE_INIT("dpop+jwt"), SLICE_INIT("secevent+jwt"),
        SLICE_INIT("token-introspection+jwt"), SLICE_INIT("oauth-authz-req+jwt")};
    for (size_t i = 0; i < COUNT_OF(foreign); i++)
        if (slice_eq(type, foreign[i]))
            return true;
    return false;
}

static void load_token_types(struct loader *l, const struct yaml *map, struct provider *p)
{
    static const struct slice access_token = SLICE_INIT("at+jwt");
    p->token_types = (struct slices){&access_token, 1};
    if (!load_words(l, map, "token_types", LOAD_OPTIONAL, &p->token_types))
        return;
    for (uint32_t i = 0; i < p->token_types.count; i++)
        if (!is_type(p->token_types.at[i]) || is_foreign_type(p->token_types.at[i]))
            findings_error(
                l->out, load_word_place(yaml_get(map, SLICE("token_types")), p->token_types.at[i]),
                "wrong-token-type",
                "'%.*s' is no type of an access token; write it in lower case and without "
                "'application/', such as at+jwt or jwt",
                SLICE_ARG(p->token_types.at[i]));
}

static void load_claims(struct loader *l, const struct yaml *map, struct provider *p)
{
    static const struct slice keys[] = {SLICE_INIT("groups"), SLICE_INIT("acr")};
    static const struct slice acr[] = {SLICE_INIT("acr"), SLICE_INIT("amr")};
    p->groups_claim = SLICE("groups");
    p->acr_claims = (struct slices){acr, COUNT_OF(acr)};
    const struct yaml *claims = load_map(l, map, "claims", LOAD_OPTIONAL);
    if (!claims)
        return;
    (void)yaml_check_keys(claims, "claims", keys, COUNT_OF(keys), l->out);
    (void)load_text(l, claims, "groups", LOAD_OPTIONAL, &p->groups_claim);
    (void)load_word_or_words(l, claims, "acr", LOAD_OPTIONAL, &p->acr_claims);
}

/* A set of public keys: a private member in a document that everyone may read is the end of that
 * key. */
static void check_jwks(struct loader *l, const struct yaml *n, struct slice jwks)
{
    json_t *tree = jtree_parse(jwks), *key;
    const json_t *keys = json_object_get(tree, "keys");
    size_t i;
    if (!json_array_size(keys))
        findings_error(
            l->out, yaml_place(n), "wrong-jwks",
            "this must be a JSON object with 'keys', a list of at least one (RFC 7517 §5)");
    json_array_foreach(keys, i, key)
    {
        if (!json_is_object(key))
            findings_error(l->out, yaml_place(n), "wrong-jwks", "key %zu is no JSON object", i);
        else if (jtree_has(key, "d") || jtree_has(key, "k"))
            findings_error(l->out, yaml_place(n), "private-key",
                           "key %zu holds its private part; only public keys belong here, and that "
                           "one must be replaced",
                           i);
    }
    json_decref(tree);
}

static void load_keys(struct loader *l, const struct yaml *map, struct provider *p)
{
    const struct yaml *file = load_member(l, map, "jwks_file", LOAD_OPTIONAL);
    const struct yaml *text = yaml_get(map, SLICE("jwks"));
    const bool has_url = load_url(l, map, "jwks_uri", LOAD_OPTIONAL, true, &p->jwks_uri);
    if ((file != NULL) + (text != NULL) + has_url > 1)
        findings_error(l->out, yaml_place(map), "conflict",
                       "only one of jwks_uri, jwks_file and jwks can say where the keys are");
    if (file ? load_file(l, file, &p->jwks)
             : load_long_text(l, map, "jwks", LOAD_OPTIONAL, &p->jwks))
        check_jwks(l, file ? file : text, p->jwks);
}

static void load_introspection(struct loader *l, const struct yaml *map, struct introspection *out)
{
    static const struct slice keys[] = {SLICE_INIT("endpoint"),
                                        SLICE_INIT("client_id"),
                                        SLICE_INIT("client_secret"),
                                        SLICE_INIT("private_key"),
                                        SLICE_INIT("private_key_algorithm"),
                                        SLICE_INIT("max_age")};
    const struct yaml *n = load_map(l, map, "introspection", LOAD_OPTIONAL);
    if (!n)
        return;
    (void)yaml_check_keys(n, "introspection", keys, COUNT_OF(keys), l->out);
    (void)load_url(l, n, "endpoint", LOAD_REQUIRED, true, &out->endpoint);
    (void)load_client(l, n, &out->client);
    out->max_age_s = 60;
    (void)load_duration_s(l, n, "max_age", 1, HOUR_S, &out->max_age_s);
}

/* A list as parts of a digest: how many, then each. */
static size_t add_parts(struct loader *l, struct slice *parts, size_t at, struct slices list)
{
    parts[at++] = arena_printf(l->a, "%u", list.count);
    for (uint32_t i = 0; i < list.count; i++)
        parts[at++] = list.at[i];
    return at;
}

static size_t add_sign_in(struct loader *l, struct slice *parts, size_t at, const struct sign_in *s)
{
    parts[at++] = s->client.id;
    parts[at++] = s->client.secret;
    parts[at++] =
        arena_printf(l->a, "%d %u %d %d %lld %lld %u", (int)s->client.auth, s->client.key_algorithm,
                     s->has_userinfo, s->has_logout, (long long)s->refresh_after_s,
                     (long long)s->refresh_grace_s, s->acr_value_count);
    for (uint32_t i = 0; i < s->acr_value_count; i++)
        parts[at++] = arena_printf(l->a, "%lld %.*s", (long long)s->acr_values[i].level,
                                   SLICE_ARG(s->acr_values[i].value));
    for (size_t i = 0; i < LANGUAGE_COUNT; i++)
        parts[at++] = s->name[i];
    return add_parts(l, parts, at, s->scopes);
}

/* JWT-SVIDs say nothing of people, and no provider speaks OpenID for them (JWT-SVID §3). */
static void load_spiffe(struct loader *l, const struct yaml *map, struct provider *p)
{
    static const struct slice foreign[] = {SLICE_INIT("issuer"), SLICE_INIT("token_types"),
                                           SLICE_INIT("claims"), SLICE_INIT("sign_in"),
                                           SLICE_INIT("introspection")};
    if (!load_trust_domain(l, map, &p->trust_domain))
        return;
    for (size_t i = 0; i < COUNT_OF(foreign); i++)
        if (yaml_get(map, foreign[i]))
            findings_error(l->out, yaml_place(yaml_get(map, foreign[i])), "conflict",
                           "'%.*s' is not for a SPIFFE trust domain, whose tokens are JWT-SVIDs",
                           SLICE_ARG(foreign[i]));
    if (!p->jwks_uri.len && !p->jwks.len)
        findings_error(l->out, yaml_place(map), "missing-key",
                       "a trust domain's keys are not found by discovery: 'jwks_uri', 'jwks_file' "
                       "or 'jwks' is missing");
}

static void digest_provider(struct loader *l, struct provider *p)
{
    const size_t room = 24 + LANGUAGE_COUNT + p->audiences.count + p->token_types.count +
                        p->acr_claims.count + p->sign_in.scopes.count + p->sign_in.acr_value_count;
    struct slice *parts = arena_array(l->a, struct slice, room);
    size_t count = 0;
    parts[count++] = SLICE("belfry provider 1");
    parts[count++] = p->entity;
    parts[count++] = p->id;
    parts[count++] = p->issuer;
    parts[count++] = p->trust_domain;
    parts[count++] = p->jwks_uri;
    parts[count++] = p->jwks;
    parts[count++] = p->groups_claim;
    parts[count++] = arena_printf(l->a, "%u %lld %lld %lld", p->algorithms, (long long)p->leeway_s,
                                  (long long)p->max_token_age_s, (long long)p->keys_max_stale_s);
    parts[count++] = p->introspection.endpoint;
    parts[count++] = p->introspection.client.id;
    parts[count++] = p->introspection.client.secret;
    parts[count++] =
        arena_printf(l->a, "%u %u %lld", (unsigned)p->introspection.client.auth,
                     p->introspection.client.key_algorithm, (long long)p->introspection.max_age_s);
    count = add_parts(l, parts, count, p->audiences);
    count = add_parts(l, parts, count, p->token_types);
    count = add_parts(l, parts, count, p->acr_claims);
    count = add_sign_in(l, parts, count, &p->sign_in);
    sha256_parts(p->digest, parts, count);
}

static void load_provider(struct loader *l, const struct yaml *map, struct provider *p)
{
    static const struct slice keys[] = {
        SLICE_INIT("id"),         SLICE_INIT("issuer"),        SLICE_INIT("jwks_uri"),
        SLICE_INIT("jwks_file"),  SLICE_INIT("jwks"),          SLICE_INIT("audiences"),
        SLICE_INIT("algorithms"), SLICE_INIT("token_types"),   SLICE_INIT("claims"),
        SLICE_INIT("leeway"),     SLICE_INIT("max_token_age"), SLICE_INIT("keys_max_stale"),
        SLICE_INIT("sign_in"),    SLICE_INIT("introspection"), SLICE_INIT("trust_domain"),
    };
    *p = (struct provider){.entity = l->bundle->entity,
                           .leeway_s = 30,
                           .max_token_age_s = DAY_S,
                           .keys_max_stale_s = DAY_S};
    if (yaml_kind(map) != YAML_MAP) {
        findings_error(l->out, yaml_place(map), "wrong-kind", "an identity provider must be a map");
        return;
    }
    (void)yaml_check_keys(map, "an identity provider", keys, COUNT_OF(keys), l->out);
    if (load_id(l, map, "id", &p->id))
        (void)load_unique(l, &l->providers, p->id, map, p);
    if (!yaml_get(map, SLICE("trust_domain")))
        (void)load_url(l, map, "issuer", LOAD_REQUIRED, false, &p->issuer);
    load_provider_sign_in(l, map, &p->sign_in);
    // People may sign in at one whose tokens are nobody's here.
    (void)load_words(l, map, "audiences",
                     yaml_get(map, SLICE("sign_in")) ? LOAD_OPTIONAL : LOAD_REQUIRED,
                     &p->audiences);
    load_algorithms(l, map, p);
    load_token_types(l, map, p);
    load_claims(l, map, p);
    load_keys(l, map, p);
    load_introspection(l, map, &p->introspection);
    load_spiffe(l, map, p);
    (void)load_duration_s(l, map, "leeway", 0, 60, &p->leeway_s);
    (void)load_duration_s(l, map, "max_token_age", 60, 30 * DAY_S, &p->max_token_age_s);
    (void)load_duration_s(l, map, "keys_max_stale", 60, 30 * DAY_S, &p->keys_max_stale_s);
    digest_provider(l, p);
}

void load_providers(struct loader *l, const struct yaml *root)
{
    const struct yaml *list = load_list(l, root, "identity_providers", LOAD_OPTIONAL);
    const uint32_t count = (uint32_t)yaml_count(list);
    if (!count)
        return;
    l->bundle->providers = arena_array(l->a, struct provider, count);
    l->bundle->provider_count = count;
    for (uint32_t i = 0; i < count; i++)
        load_provider(l, yaml_item(list, i), &l->bundle->providers[i]);
}
