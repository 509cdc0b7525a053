// SPDX-License-Identifier: EUPL-1.2
/* From top to bottom: taken apart, the key found and the signature checked, then what it says. The
 * table of kinds is what keeps them apart. Does not own: what the claims mean to a rule (claims.c),
 * the keys (jwks.c), the mathematics (base/sign.c). */
#include "auth/jws.h"

#include "base/codec.h"
#include "base/mem.h"

#include <jwt.h>

#define KEYS_TO_TRY 4 /* for a JWT that names no key: more would make one cheap request dear */
#define LOGOUT_EVENT "http://schemas.openid.net/event/backchannel-logout"
#define MALFORMED REASON_TOKEN_MALFORMED

/* Taking apart */

static json_t *json_part(struct slice encoded)
{
    uint8_t *text = mem_array(uint8_t, encoded.len + 1);
    size_t len = 0;
    json_t *tree =
        base64url_decode(text, &len, encoded) ? jtree_parse(slice_from(text, len)) : NULL;
    mem_free(text);
    return tree;
}

/* RFC 7515 §7.1: three parts of base64url, nothing else. A JWE has five (RFC 7516 §7.1). */
static bool split(struct jws *j, struct slice text)
{
    struct slice rest = text;
    size_t dots = 0;
    for (size_t i = 0; i < text.len; i++)
        dots += text.ptr[i] == '.';
    if (dots != 2 || text.len > JWS_MAX_BYTES)
        return false;
    const struct slice header = slice_cut(&rest, '.');
    j->payload = slice_cut(&rest, '.');
    j->signed_bytes = slice_from(text.ptr, header.len + 1 + j->payload.len);
    if (rest.len > BASE64URL_LEN(sizeof j->signature) ||
        !base64url_decode(j->signature, &j->signature_len, rest))
        return false;
    j->header = json_part(header);
    j->claims = j->header ? json_part(j->payload) : NULL;
    return j->claims != NULL;
}

/* RFC 7515 §4.1.9: "application/" may be left out, and case does not count. */
static struct slice type_name(struct slice type)
{
    const struct slice prefix = SLICE("application/");
    if (type.len > prefix.len && slice_eq_nocase(slice_from(type.ptr, prefix.len), prefix))
        return slice_skip(type, prefix.len);
    return type;
}

/* What the header may say: which of the keys, and what kind it is. It never brings a key along:
 * jku, x5u and x5c are not read at all, jwk in a DPoP proof alone (RFC 8725 §3.10). */
static enum reason header_read(struct jws *j)
{
    /* RFC 7519 §5.2: a JWT within a JWT. RFC 7516 §4.1: what only a JWE has; compression makes
     * readers differ. */
    static const char *const refused[] = {"cty", "enc", "zip", "epk"};
    struct slice name;
    /* We understand no extension, so one that must be understood ends it (RFC 7515 §4.1.11), and so
     * does an unencoded payload, which never comes without `crit` (RFC 7797 §6). */
    if (jtree_has(j->header, "crit") || jtree_has(j->header, "b64"))
        return REASON_TOKEN_CRITICAL;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (jtree_has(j->header, refused[i]))
            return MALFORMED;
    if (!jtree_string(j->header, "alg", &name) ||
        (jtree_has(j->header, "typ") && !jtree_string(j->header, "typ", &j->type)) ||
        (jtree_has(j->header, "kid") && !jtree_string(j->header, "kid", &j->kid)))
        return MALFORMED;
    j->has_kid = jtree_has(j->header, "kid");
    j->type = type_name(j->type);
    j->algorithm = algorithm_named(name);
    return j->algorithm ? REASON_PERMITTED : REASON_TOKEN_ALGORITHM;
}

enum reason jws_parse(struct jws *out, struct slice text)
{
    out->header = out->claims = NULL;
    out->signature_len = 0;
    out->kid = out->type = (struct slice){"", 0};
    out->algorithm = ALGORITHM_NONE;
    out->key = NULL;
    out->times = (struct jws_times){0};
    return split(out, text) ? header_read(out) : MALFORMED;
}

void jws_fini(struct jws *j)
{
    json_decref(j->header);
    json_decref(j->claims);
}

/* Kinds */

struct kind {
    const char *types[4];     /* in lower case; "" is "none said". None here: the demand's */
    const char *required[8];  /* texts are not empty; `aud` is judged apart */
    const char *forbidden[8]; /* what makes it one of another kind */
};

/* What its type alone does not tell apart: many providers write "JWT" for everything. */
static const struct kind kinds[JWS_KIND_COUNT] = {
    [JWS_ACCESS_TOKEN] = {.required = {"iss", "sub", "exp"}},
    /* Core §2; §3.1.3.7 names what is checked. `events` is in logout tokens and other SETs. */
    [JWS_ID_TOKEN] = {{"", "jwt"}, {"iss", "sub", "exp", "iat"}, {"events", "htm", "htu"}},
    /* Back-Channel Logout §2.4 and §2.6: a nonce makes it an ID token. */
    [JWS_LOGOUT_TOKEN] = {{"logout+jwt", "", "jwt"},
                          {"iss", "iat", "exp", "jti", "events"},
                          {"nonce", "htm", "htu"}},
    [JWS_USERINFO] = {{"", "jwt"}, {"iss", "sub"}, {"events", "nonce", "at_hash", "htm", "htu"}},
    /* JWT-SVID §2.3 and §3 */
    [JWS_SVID] = {{"", "jwt", "jose"}, {"sub", "exp"}, {"events", "nonce", "htm", "htu"}},
    /* RFC 9449 §4.2 */
    [JWS_DPOP_PROOF] = {{"dpop+jwt"}, {"jti", "htm", "htu", "iat"}, {"events"}},
};
/* RFC 9068 §2.2, for what calls itself at+jwt. */
static const char *const access_token_required[] = {"iat", "jti", "client_id"};
/* In an access token of a weaker type: marks of an ID token, a logout token, a proof. */
static const char *const access_token_forbidden[] = {"nonce",  "at_hash", "c_hash", "s_hash",
                                                     "events", "htm",     "htu"};
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static bool is_type_wanted(const struct jws *j, const struct jws_demand *d)
{
    const char *const *types = kinds[d->kind].types;
    for (uint32_t i = 0; !types[0] && i < d->types.count; i++)
        if (slice_eq_nocase(d->types.at[i], j->type))
            return true;
    for (size_t i = 0; i < COUNT_OF(kinds->types) && types[i]; i++)
        if (slice_eq_nocase(slice_of(types[i]), j->type))
            return true;
    return false;
}

static bool is_said(const json_t *claims, const char *name)
{
    const json_t *value = json_object_get(claims, name);
    return value && (!json_is_string(value) || json_string_length(value));
}

static bool are_said(const json_t *claims, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count && names[i]; i++)
        if (!is_said(claims, names[i]))
            return false;
    return true;
}

static bool is_one_said(const json_t *claims, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count && names[i]; i++)
        if (jtree_has(claims, names[i]))
            return true;
    return false;
}

/* What must be text, wherever it is. */
static bool has_texts(const json_t *claims)
{
    static const char *const names[] = {"iss",       "sub", "jti", "sid",
                                        "client_id", "azp", "htm", "htu"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const json_t *value = json_object_get(claims, names[i]);
        if (value && !json_is_string(value))
            return false;
    }
    return true;
}

/* Back-Channel Logout §2.4: the event is an object, and somebody is meant. */
static bool is_logout(const json_t *claims)
{
    const json_t *event = json_object_get(json_object_get(claims, "events"), LOGOUT_EVENT);
    return json_is_object(event) && (is_said(claims, "sub") || is_said(claims, "sid"));
}

static enum reason kind_judge(const struct jws *j, enum jws_kind kind)
{
    const struct kind *k = &kinds[kind];
    if (is_one_said(j->claims, k->forbidden, COUNT_OF(k->forbidden)))
        return REASON_TOKEN_TYPE;
    if (!has_texts(j->claims) || !are_said(j->claims, k->required, COUNT_OF(k->required)))
        return MALFORMED;
    if (kind == JWS_LOGOUT_TOKEN && !is_logout(j->claims))
        return MALFORMED;
    if (kind != JWS_ACCESS_TOKEN)
        return REASON_PERMITTED;
    if (slice_eq_nocase(j->type, SLICE("at+jwt")))
        return are_said(j->claims, access_token_required, COUNT_OF(access_token_required))
                   ? REASON_PERMITTED
                   : MALFORMED;
    return is_one_said(j->claims, access_token_forbidden, COUNT_OF(access_token_forbidden))
               ? REASON_TOKEN_TYPE
               : REASON_PERMITTED;
}

/* Claims */

static bool is_among(struct slice text, struct slices list)
{
    for (uint32_t i = 0; i < list.count; i++)
        if (slice_eq(list.at[i], text))
            return true;
    return false;
}

/* RFC 7519 §4.1.3 */
enum reason jws_judge_audience(const json_t *claims, struct slices audiences)
{
    const json_t *aud = json_object_get(claims, "aud");
    const bool is_one = json_is_string(aud);
    bool is_ours = false;
    if (!aud)
        return REASON_TOKEN_AUDIENCE;
    if (!is_one && !json_is_array(aud))
        return MALFORMED;
    const size_t count = is_one ? 1 : json_array_size(aud);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = is_one ? aud : json_array_get(aud, i);
        if (!json_is_string(item))
            return MALFORMED;
        is_ours = is_ours || is_among(slice_from(json_string_value(item), json_string_length(item)),
                                      audiences);
    }
    return is_ours ? REASON_PERMITTED : REASON_TOKEN_AUDIENCE;
}

/* OpenID Connect Core §3.1.3.7, 3 to 5: of several audiences, the one that it was issued to says
 * so; and if it says, that must be us. */
static enum reason party_judge(const json_t *claims, struct slices audiences)
{
    struct slice party;
    if (!jtree_string(claims, "azp", &party))
        return json_array_size(json_object_get(claims, "aud")) > 1 ? REASON_TOKEN_AUDIENCE
                                                                   : REASON_PERMITTED;
    return is_among(party, audiences) ? REASON_PERMITTED : REASON_TOKEN_AUDIENCE;
}

/* An absent date is fine and gives 0; *has says whether it was there. */
static bool date_read(const json_t *claims, const char *claim, int64_t *out, bool *has)
{
    *out = 0;
    *has = jtree_has(claims, claim);
    return !*has || jtree_date(claims, claim, out);
}

/* Dates are at most 2^53, so that no sum here overflows. */
enum reason jws_judge_times(struct jws_times *out, const json_t *claims, const struct jws_demand *d)
{
    int64_t nbf;
    bool has_exp;
    bool has_nbf;
    bool has_iat;
    *out = (struct jws_times){.usable_until_s = INT64_MAX};
    if (!date_read(claims, "exp", &out->exp_s, &has_exp) ||
        !date_read(claims, "nbf", &nbf, &has_nbf) ||
        !date_read(claims, "iat", &out->iat_s, &has_iat))
        return MALFORMED;
    out->usable_from_s = (nbf > out->iat_s ? nbf : out->iat_s) - d->leeway_s;
    if (has_exp)
        out->usable_until_s = out->exp_s + d->leeway_s;
    if (d->max_age_s) {
        // Without iat the age is counted from now: it may not be good for longer than that.
        const int64_t born = has_iat ? out->iat_s : d->now.s;
        const int64_t oldest = born + d->max_age_s;
        if (has_exp && out->exp_s > oldest)
            return REASON_TOKEN_EXPIRED; // its time is over before it began: too long-lived
        if (out->usable_until_s > oldest + d->leeway_s)
            out->usable_until_s = oldest + d->leeway_s;
    }
    return jws_timely(out, d->now);
}

enum reason jws_timely(const struct jws_times *t, struct wall now)
{
    if (now.s >= t->usable_until_s)
        return REASON_TOKEN_EXPIRED;
    return now.s < t->usable_from_s ? REASON_TOKEN_NOT_YET_VALID : REASON_PERMITTED;
}

/* Verifying */

/* The key that made the signature, or NULL with the reason. */
static const struct public_key *key_prove(const struct jws *j, const struct key_set *set,
                                          struct metrics *m, enum reason *why)
{
    const struct slice signature = slice_from(j->signature, j->signature_len);
    const struct public_key *candidates[KEYS_TO_TRY];
    uint32_t count = 0;
    *why = REASON_TOKEN_KEY_UNKNOWN;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct provider_key *key = &set->keys[i];
        if (key->key.algorithm != j->algorithm || (j->has_kid && !slice_eq(key->kid, j->kid)))
            continue;
        if (count == KEYS_TO_TRY)
            return NULL;
        candidates[count++] = &key->key;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (m)
            metric_add(m, METRIC_TOKEN_VERIFICATIONS_TOTAL, 1);
        if (signature_holds(candidates[i], j->signed_bytes, signature))
            return candidates[i];
        *why = REASON_TOKEN_SIGNATURE;
    }
    return NULL;
}

static enum reason signature_judge(struct jws *j, const struct jws_demand *d, struct metrics *m)
{
    enum reason why = REASON_TOKEN_SIGNATURE;
    if (!d->key && !d->keys)
        return REASON_KEYS_UNAVAILABLE;
    if (!d->key)
        j->key = key_prove(j, d->keys, m, &why);
    else if (d->key->algorithm == j->algorithm &&
             signature_holds(d->key, j->signed_bytes, slice_from(j->signature, j->signature_len)))
        j->key = d->key;
    return j->key ? REASON_PERMITTED : why;
}

static bool is_same_text(const char *theirs, const json_t *claims, const char *name)
{
    struct slice ours;
    if (!jtree_string(claims, name, &ours))
        return !theirs;
    return theirs && slice_eq(slice_of(theirs), ours);
}

/* The second reader: libjwt must see the same iss, sub and exp as jtree. It gets the payload as it
 * came, under a header of ours, because it knows no typ but "JWT" and we have the header already.
 * No key: the signature has been checked, and libjwt is asked about structure and claims only. */
static bool libjwt_agrees(const struct jws *j)
{
    static const char head[] = "eyJhbGciOiJSUzI1NiJ9."; // {"alg":"RS256"}
    static const char tail[] = ".AAAA";
    char *text = mem_array(char, sizeof head + j->payload.len + sizeof tail);
    jwt_t *jwt = NULL;
    memcpy(text, head, sizeof head - 1);
    memcpy(text + sizeof head - 1, j->payload.ptr, j->payload.len);
    memcpy(text + sizeof head - 1 + j->payload.len, tail, sizeof tail);
    const bool is_read = !jwt_decode(&jwt, text, NULL, 0);
    mem_free(text);
    const bool agrees =
        is_read && is_same_text(jwt_get_grant(jwt, "iss"), j->claims, "iss") &&
        is_same_text(jwt_get_grant(jwt, "sub"), j->claims, "sub") &&
        (!jtree_has(j->claims, "exp") || jwt_get_grant_int(jwt, "exp") == j->times.exp_s);
    jwt_free(jwt);
    return agrees;
}

/* What it says, once it is known who said it. */
static enum reason claims_judge(struct jws *j, const struct jws_demand *d)
{
    struct slice issuer;
    enum reason why = kind_judge(j, d->kind);
    if (why != REASON_PERMITTED)
        return why;
    if (d->issuer.len && (!jtree_string(j->claims, "iss", &issuer) || !slice_eq(issuer, d->issuer)))
        return REASON_TOKEN_ISSUER;
    if (d->audiences.count || (d->kind != JWS_USERINFO && d->kind != JWS_DPOP_PROOF))
        why = jws_judge_audience(j->claims, d->audiences);
    if (why == REASON_PERMITTED && d->kind == JWS_ID_TOKEN)
        why = party_judge(j->claims, d->audiences);
    if (why == REASON_PERMITTED)
        why = jws_judge_times(&j->times, j->claims, d);
    if (why == REASON_PERMITTED && !libjwt_agrees(j))
        why = MALFORMED;
    return why;
}

enum reason jws_judge(struct jws *j, const struct jws_demand *d, struct metrics *m)
{
    /* JWT-SVID §2.1: the algorithms of RFC 7518 alone. */
    const uint32_t foreign = d->kind == JWS_SVID ? 1u << ALGORITHM_ED25519 : 0;
    if (!(d->algorithms & ~foreign & 1u << j->algorithm))
        return REASON_TOKEN_ALGORITHM;
    if (!is_type_wanted(j, d))
        return REASON_TOKEN_TYPE;
    enum reason why = signature_judge(j, d, m);
    if (why == REASON_PERMITTED)
        why = claims_judge(j, d);
    if (why != REASON_PERMITTED)
        j->key = NULL;
    return why;
}
