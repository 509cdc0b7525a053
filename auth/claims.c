// SPDX-License-Identifier: EUPL-1.2
/* Reads each claim once, by its type. There is no second guess: a claim of another type than its
 * specification gives makes the token malformed, since whoever wrote it meant something else. */
#include "auth/claims_in.h"

#include "auth/spiffe.h"
#include "base/codec.h"

#define TEXT_MAX_BYTES 256  /* of sub, client_id, acr and the like */
#define GROUP_MAX_BYTES 128 /* of a group, scope or method: rules and the audit repeat them */
#define MALFORMED REASON_TOKEN_MALFORMED

bool claim_is_plain(struct slice text, size_t max)
{
    if (!text.len || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return true;
}

/* An absent claim is fine and gives an empty text. */
static bool text_read(struct arena *a, const json_t *payload, const char *claim, struct slice *out)
{
    struct slice text;
    *out = (struct slice){"", 0};
    if (!jtree_has(payload, claim))
        return true;
    if (!jtree_string(payload, claim, &text) || !claim_is_plain(text, TEXT_MAX_BYTES))
        return false;
    *out = arena_copy(a, text);
    return true;
}

/* One string, or an array of them; absent is fine and gives an empty list. */
static bool list_read(struct arena *a, const json_t *value, size_t max, struct slices *out)
{
    *out = (struct slices){NULL, 0};
    if (!value)
        return true;
    const bool is_one = json_is_string(value);
    if (!is_one && !json_is_array(value))
        return false;
    const size_t count = is_one ? 1 : json_array_size(value);
    if (count > CEL_LIST_BOUND)
        return false;
    struct slice *texts = arena_array(a, struct slice, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = is_one ? value : json_array_get(value, i);
        const struct slice text = slice_from(json_string_value(item), json_string_length(item));
        if (!json_is_string(item) || !claim_is_plain(text, max))
            return false;
        texts[i] = arena_copy(a, text);
    }
    *out = (struct slices){texts, (uint32_t)count};
    return true;
}

static const json_t *claim_of(const json_t *payload, struct slice name)
{
    return json_object_getn(payload, name.ptr, name.len);
}

static int64_t later_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Belgium's federal authentication service: "urn:be:fedict:iam:fas:[citizen:|enterprise:]LevelNNN".
 * 0 where it is another text. */
static int64_t fas_level(struct slice text)
{
    static const struct slice contexts[] = {SLICE_INIT("citizen:"), SLICE_INIT("enterprise:")};
    const struct slice prefix = SLICE("urn:be:fedict:iam:fas:");
    uint64_t level = 0;
    if (!slice_starts(text, prefix))
        return 0;
    text = slice_skip(text, prefix.len);
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        if (slice_starts(text, contexts[i])) {
            text = slice_skip(text, contexts[i].len);
            break;
        }
    }
    if (text.len != 8 || !slice_starts(text, SLICE("Level")) ||
        !slice_u64(slice_skip(text, 5), 999, &level))
        return 0;
    return (int64_t)level;
}

/* Also what the bundle says that this provider calls a level. */
static int64_t level_of(const struct provider *provider, struct slice text)
{
    const struct sign_in *s = &provider->sign_in;
    int64_t level = fas_level(text);
    for (uint32_t i = 0; i < s->acr_value_count; i++)
        if (slice_eq(s->acr_values[i].value, text))
            level = later_of(level, s->acr_values[i].level);
    return level;
}

/* The highest level of the first claim that has one: acr speaks for this sign-in, amr may only
 * repeat. */
static bool acr_level_read(struct claims *out, struct arena *a, const json_t *payload,
                           const struct provider *provider)
{
    for (uint32_t i = 0; i < provider->acr_claims.count; i++) {
        struct slices values;
        if (!list_read(a, claim_of(payload, provider->acr_claims.at[i]), TEXT_MAX_BYTES, &values))
            return false;
        for (uint32_t k = 0; k < values.count; k++)
            out->user.acr_level = later_of(out->user.acr_level, level_of(provider, values.at[k]));
        if (out->user.acr_level)
            return true;
    }
    return true;
}

static bool scopes_read(struct arena *a, const json_t *payload, struct slices *out)
{
    struct slice rest;
    *out = (struct slices){NULL, 0};
    if (!jtree_has(payload, "scope"))
        return true;
    if (!jtree_string(payload, "scope", &rest))
        return false;
    rest = arena_copy(a, rest);
    size_t room = 1;
    for (size_t i = 0; i < rest.len && room < CEL_LIST_BOUND; i++)
        room += rest.ptr[i] == ' ';
    struct slice *scopes = arena_array(a, struct slice, room);
    uint32_t count = 0;
    while (rest.len) {
        const struct slice scope = slice_cut(&rest, ' ');
        if (!scope.len)
            continue;
        if (count == room || !claim_is_plain(scope, GROUP_MAX_BYTES))
            return false;
        scopes[count++] = scope;
    }
    *out = (struct slices){scopes, count};
    return true;
}

static bool user_read(struct claims *out, struct arena *a, const json_t *payload,
                      const struct provider *provider)
{
    struct facts_user *user = &out->user;
    struct slice azp;
    user->expires.s = out->times.exp_s;
    if (jtree_has(payload, "auth_time") &&
        !jtree_date(payload, "auth_time", &user->authenticated_at.s))
        return false;
    if (!text_read(a, payload, "sub", &user->subject) || !user->subject.len ||
        !text_read(a, payload, "client_id", &user->client_id) ||
        !text_read(a, payload, "azp", &azp) || !text_read(a, payload, "acr", &user->acr) ||
        !list_read(a, claim_of(payload, provider->groups_claim), GROUP_MAX_BYTES, &user->groups) ||
        !list_read(a, json_object_get(payload, "amr"), TEXT_MAX_BYTES, &user->amr) ||
        !scopes_read(a, payload, &user->scopes) || !acr_level_read(out, a, payload, provider))
        return false;
    if (!user->client_id.len)
        user->client_id = azp;
    user->provider = arena_copy(a, provider->id);
    user->id = arena_printf(a, "%.*s:%.*s", SLICE_ARG(provider->id), SLICE_ARG(user->subject));
    return true;
}

/* A digest as base64url; an absent one is fine. */
static bool digest_read(const json_t *cnf, const char *member, bool *has, uint8_t out[32])
{
    struct slice text;
    uint8_t digest[BASE64URL_LEN(32)];
    size_t len = 0;
    *has = jtree_has(cnf, member);
    if (!*has)
        return true;
    if (!jtree_string(cnf, member, &text) || text.len != sizeof digest ||
        !base64url_decode(digest, &len, text) || len != 32)
        return false;
    memcpy(out, digest, 32);
    return true;
}

/* RFC 7800, RFC 8705 §3.1, RFC 9449 §6.1. A token that is bound to something else is not taken as a
 * bearer's: then nothing would be left of the binding. */
static enum reason binding_read(struct claims *out, const json_t *payload)
{
    const json_t *cnf = json_object_get(payload, "cnf");
    if (!cnf)
        return REASON_PERMITTED;
    if (!json_is_object(cnf) || !digest_read(cnf, "x5t#S256", &out->is_bound, out->certificate) ||
        !digest_read(cnf, "jkt", &out->is_proof_bound, out->proof_key))
        return MALFORMED;
    const size_t known = (size_t)out->is_bound + out->is_proof_bound;
    return known && known == json_object_size(cnf) ? REASON_PERMITTED : REASON_TOKEN_BINDING;
}

/* JWT-SVID §3: `sub` is the service's id, of that trust domain. */
static bool service_read(struct claims *out, struct arena *a, const json_t *payload,
                         const struct provider *provider)
{
    struct slice id, domain;
    if (!jtree_string(payload, "sub", &id) || !spiffe_id_read(id, &domain) ||
        !slice_eq(domain, provider->trust_domain))
        return false;
    id = arena_copy(a, id);
    out->is_service = true;
    out->service = (struct facts_service){id, id, arena_copy(a, domain)};
    out->user = (struct facts_user){.subject = id, .provider = arena_copy(a, provider->id)};
    out->user.id = arena_printf(a, "%.*s:%.*s", SLICE_ARG(provider->id), SLICE_ARG(id));
    out->user.expires.s = out->times.exp_s;
    return true;
}

enum reason claims_read(struct claims *out, struct arena *a, const json_t *payload,
                        const struct provider *provider, const struct jws_times *times)
{
    *out = (struct claims){.times = *times};
    if (provider->trust_domain.len ? !service_read(out, a, payload, provider)
                                   : !user_read(out, a, payload, provider))
        return MALFORMED;
    return binding_read(out, payload);
}
