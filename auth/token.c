// SPDX-License-Identifier: EUPL-1.2
/* A token's way, top to bottom: found in the cache (and looked at again), or taken apart, its
 * provider chosen by `iss`, and judged by what that provider's settings demand. Owns: the cache and
 * whose token it is. Does not own: how a JWT is judged (jws.c), what the claims mean (claims.c),
 * the keys (issuer.c).
 *
 * The cache is a table of chains over a list in order of use. An entry is found by all bytes of the
 * token and by its provider, so that no entity profits from what another entity's provider has
 * vouched for. */
#include "auth/token.h"

#include "auth/claims_in.h"
#include "auth/identity.h"
#include "auth/spiffe.h"
#include "auth/statement.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"

struct token {
    uint32_t references;        /* the cache's and the exchanges' */
    struct token *next_in_slot; /* in the cache's table */
    struct link used;           /* in the cache's list, the one used last at the end */
    uint64_t hash;
    struct slice statement; /* token_statement() */
    uint64_t statement_hash;
    struct slice bytes;
    struct slice entity;
    uint8_t provider_digest[32];
    uint64_t generation;     /* of the key set in which `key` was seen last */
    struct public_key key;   /* what verified it; none: its provider has told of it */
    int64_t told_until_s;    /* so long what it told counts; then it is asked again */
    struct slice jti;        /* empty: none */
    uint64_t revocations_on; /* number of the table in which it was not found */
    struct claims claims;
    struct arena arena;
};

/* Beside the token's text, what it says and the statement made of that, each shorter than the text:
 * the names that they are put between. An arena's usual chunk would be three times as much. */
#define TOKEN_ROOM_BYTES 512
#define HASHED_BYTES 48 /* 36 bytes of signature in base64url */

struct token_cache {
    struct metrics *metrics;
    struct link used;
    uint32_t count;
    uint32_t limit;
    uint32_t mask; /* of the table: a power of two, less one */
    struct token **slots;
};

/* The cache */

static struct token *token_new(struct slice bytes, uint64_t hash)
{
    struct token *t = mem_new(struct token);
    t->references = 1;
    t->hash = hash;
    arena_init_sized(&t->arena, 3 * bytes.len + TOKEN_ROOM_BYTES);
    t->bytes = arena_copy(&t->arena, bytes);
    return t;
}

static void token_unref(struct token *t)
{
    if (--t->references)
        return;
    public_key_fini(&t->key);
    arena_fini(&t->arena);
    mem_free(t);
}

struct token_cache *token_cache_new(uint32_t entries, struct metrics *m)
{
    struct token_cache *c = mem_new(struct token_cache);
    uint32_t room = 1;
    while (room < entries && room < (1u << 24))
        room *= 2;
    c->metrics = m;
    c->limit = entries ? entries : 1;
    c->mask = room - 1;
    c->slots = mem_array(struct token *, room);
    list_init(&c->used);
    return c;
}

static void cache_drop(struct token_cache *c, struct token *t)
{
    struct token **at = &c->slots[t->hash & c->mask];
    while (*at != t)
        at = &(*at)->next_in_slot;
    *at = t->next_in_slot;
    link_remove(&t->used);
    c->count--;
    token_unref(t);
}

static void cache_add(struct token_cache *c, struct token *take)
{
    if (c->count == c->limit)
        cache_drop(c, container_of(c->used.next, struct token, used));
    struct token **slot = &c->slots[take->hash & c->mask];
    take->next_in_slot = *slot;
    *slot = take;
    list_push(&c->used, &take->used);
    c->count++;
}

void token_cache_free(struct token_cache *c)
{
    if (!c)
        return;
    while (!list_is_empty(&c->used))
        cache_drop(c, container_of(c->used.next, struct token, used));
    mem_free(c->slots);
    mem_free(c);
}

static bool is_of(const struct token *t, const struct provider *p)
{
    // The digest is over entity, id and all settings; the names beside it cost nothing and are
    // exact.
    return !memcmp(t->provider_digest, p->digest, sizeof p->digest) &&
           slice_eq(t->entity, p->entity) && slice_eq(t->claims.user.provider, p->id);
}

/* The end of a token is its signature's, which nobody chooses; only verified tokens are kept, and
 * the whole is compared afterwards. So its last bytes spread entries as well as all of them. */
static uint64_t bytes_hash(struct slice bytes)
{
    return table_hash(slice_skip(bytes, bytes.len > HASHED_BYTES ? bytes.len - HASHED_BYTES : 0));
}

static struct token *cache_find(const struct token_cache *c, const struct token_question *q,
                                uint64_t hash, const struct provider **provider)
{
    for (struct token *t = c->slots[hash & c->mask]; t; t = t->next_in_slot) {
        if (t->hash != hash || !slice_eq(t->bytes, q->bytes))
            continue;
        for (uint32_t i = 0; i < q->app->provider_count; i++) {
            if (is_of(t, q->app->providers[i])) {
                *provider = q->app->providers[i];
                return t;
            }
        }
    }
    return NULL;
}

/* Is the key that verified it still one of the provider's? Looked up only where the set is another
 * one. */
static bool has_key_still(struct token *t, const struct key_set *set)
{
    if (t->generation == set->generation)
        return true;
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->keys[i].key.algorithm != t->key.algorithm ||
            EVP_PKEY_eq(set->keys[i].key.pkey, t->key.pkey) != 1)
            continue;
        t->generation = set->generation;
        return true;
    }
    return false;
}

/* RFC 8705 §3: a bound token is worth something only from the certificate that it names. RFC 9449
 * §7.1: one that is bound to a key comes with a proof of that key, and no other does. */
static bool is_bound_elsewhere(const struct claims *claims, const struct token_question *q)
{
    if (claims->is_proof_bound != q->is_with_proof)
        return true;
    return claims->is_bound && (!q->device || memcmp(claims->certificate, q->device->digest,
                                                     sizeof q->device->digest) != 0);
}

/* Verifying */

/* `iss` is not believed here: it only says whose keys have to prove it. Nor is the trust domain of
 * a JWT-SVID, which seldom has one. A provider without audiences signs people in, and its tokens
 * are nobody's here. */
static const struct provider *provider_choose(const struct application *app, const json_t *payload)
{
    struct slice issuer, id, domain = {"", 0};
    if (!jtree_string(payload, "iss", &issuer))
        issuer = (struct slice){"", 0};
    if (jtree_string(payload, "sub", &id) && !spiffe_id_read(id, &domain))
        domain = (struct slice){"", 0};
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (issuer.len && slice_eq(app->providers[i]->issuer, issuer))
            return app->providers[i];
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (domain.len && slice_eq(app->providers[i]->trust_domain, domain))
            return app->providers[i];
    return NULL;
}

/* RFC 6750 §2.1: the letters of a token. */
static bool is_opaque(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        const char lower = ascii_lower(bytes.ptr[i]);
        if (!(lower >= 'a' && lower <= 'z') && !(lower >= '0' && lower <= '9') &&
            !(bytes.ptr[i] && strchr("-._~+/=", bytes.ptr[i])))
            return false;
    }
    return bytes.len != 0;
}

/* What is no JWT may be a token that its provider alone can read. An application has one such
 * provider at most. */
static const struct provider *provider_to_ask(const struct token_question *q)
{
    for (uint32_t i = 0; i < q->app->provider_count; i++)
        if (q->app->providers[i]->introspection.endpoint.len && is_opaque(q->bytes))
            return q->app->providers[i];
    return NULL;
}

/* An entry of what is proven and read; NULL with the reason. */
static struct token *token_read(const json_t *claims, const struct jws_times *times,
                                const struct token_question *q, const struct provider *provider,
                                uint64_t hash, enum reason *why)
{
    struct slice jti;
    struct token *t = token_new(q->bytes, hash);
    *why = claims_read(&t->claims, &t->arena, claims, provider, times);
    if (*why != REASON_PERMITTED) {
        token_unref(t);
        return NULL;
    }
    t->entity = arena_copy(&t->arena, provider->entity);
    memcpy(t->provider_digest, provider->digest, sizeof t->provider_digest);
    user_mark(&t->claims.user, t->entity, q->hash_key);
    if (jtree_string(claims, "jti", &jti))
        t->jti = arena_copy(&t->arena, jti);
    user_statement(&t->arena, &t->claims.user, &t->statement, &t->statement_hash);
    return t;
}

static enum reason verify(struct token_cache *c, const struct token_question *q, uint64_t hash,
                          struct jws *j, struct token_answer *out)
{
    enum reason reason = jws_parse(j, q->bytes);
    if (reason == REASON_TOKEN_MALFORMED && !j->claims)
        out->asked = provider_to_ask(q);
    if (reason != REASON_PERMITTED)
        return reason;
    const struct provider *provider = provider_choose(q->app, j->claims);
    if (!provider)
        return REASON_TOKEN_ISSUER;
    const struct key_set *set = issuers_keys(q->issuers, provider, q->now);
    const struct jws_demand demand = {.kind =
                                          provider->trust_domain.len ? JWS_SVID : JWS_ACCESS_TOKEN,
                                      .types = provider->token_types,
                                      .algorithms = provider->algorithms,
                                      .keys = set,
                                      .issuer = provider->issuer,
                                      .audiences = provider->audiences,
                                      .leeway_s = provider->leeway_s,
                                      .max_age_s = provider->max_token_age_s,
                                      .now = q->now};
    reason = jws_judge(j, &demand, c->metrics);
    if (reason == REASON_TOKEN_KEY_UNKNOWN || reason == REASON_KEYS_UNAVAILABLE)
        out->wanted = provider;
    if (reason != REASON_PERMITTED)
        return reason;
    struct token *t = token_read(j->claims, &j->times, q, provider, hash, &reason);
    if (!t)
        return reason;
    EVP_PKEY_up_ref(j->key->pkey);
    t->key = (struct public_key){.algorithm = j->key->algorithm, .pkey = j->key->pkey};
    t->generation = set->generation;
    cache_add(c, t);
    // A token that is bound elsewhere stays known: it is good for whom it belongs to.
    if (is_bound_elsewhere(&t->claims, q))
        return REASON_TOKEN_BINDING;
    t->references++;
    out->token = t;
    return REASON_PERMITTED;
}

/* What was verified before is looked at again for what can change: time, keys, and who brings it.
 */
static enum reason recall(struct token_cache *c, const struct token_question *q, struct token *t,
                          struct token_answer *out)
{
    const enum reason reason = jws_timely(&t->claims.times, q->now);
    if (reason == REASON_TOKEN_EXPIRED)
        cache_drop(c, t);
    if (reason != REASON_PERMITTED)
        return reason;
    if (is_bound_elsewhere(&t->claims, q))
        return REASON_TOKEN_BINDING;
    metric_add(c->metrics, METRIC_TOKEN_CACHE_HITS_TOTAL, 1);
    link_remove(&t->used);
    list_push(&c->used, &t->used);
    t->references++;
    out->token = t;
    return REASON_PERMITTED;
}

/* RFC 7662 §2.2: what the answer says of itself. A refresh token is active, too, and is no access
 * token: only those have a type (RFC 6749 §5.1). */
static enum reason told_judge(const json_t *claims, const struct provider *provider)
{
    struct slice text;
    if (!json_is_true(json_object_get(claims, "active")))
        return REASON_TOKEN_INACTIVE;
    if (!jtree_string(claims, "token_type", &text) ||
        (!slice_eq_nocase(text, SLICE("bearer")) && !slice_eq_nocase(text, SLICE("dpop"))))
        return REASON_TOKEN_TYPE;
    if (jtree_has(claims, "iss") &&
        (!jtree_string(claims, "iss", &text) || !slice_eq(text, provider->issuer)))
        return REASON_TOKEN_ISSUER;
    return jws_judge_audience(claims, provider->audiences);
}

static enum reason told(struct token_cache *c, const struct token_question *q,
                        const struct provider *provider, const json_t *claims,
                        struct token_answer *out)
{
    const struct jws_demand demand = {
        .leeway_s = provider->leeway_s, .max_age_s = provider->max_token_age_s, .now = q->now};
    struct jws_times times;
    enum reason reason = told_judge(claims, provider);
    if (reason == REASON_PERMITTED)
        reason = jws_judge_times(&times, claims, &demand);
    if (reason != REASON_PERMITTED)
        return reason;
    struct token *t = token_read(claims, &times, q, provider, bytes_hash(q->bytes), &reason);
    if (!t)
        return reason;
    t->told_until_s = q->now.s + provider->introspection.max_age_s;
    if (!t->claims.user.expires.s) // it does not say: then it is known for as long as the answer
        t->claims.user.expires.s = t->told_until_s;
    cache_add(c, t);
    if (is_bound_elsewhere(&t->claims, q))
        return REASON_TOKEN_BINDING;
    t->references++;
    out->token = t;
    return REASON_PERMITTED;
}

enum reason token_told(struct token_cache *c, const struct token_question *q,
                       const struct provider *provider, struct slice body, struct token_answer *out)
{
    json_t *claims = jtree_parse(body);
    *out = (struct token_answer){NULL, NULL, NULL};
    const enum reason reason = claims ? told(c, q, provider, claims, out) : REASON_TOKEN_MALFORMED;
    json_decref(claims);
    return reason;
}

/* An opaque token that is known: while what its provider told still counts, and for a request that
 * has begun with it, to its end. */
static bool is_told_still(const struct token *t, const struct token_question *q)
{
    return q->now.s < t->told_until_s || t == q->held;
}

enum reason token_judge(struct token_cache *c, const struct token_question *q,
                        struct token_answer *out)
{
    const struct provider *provider = NULL;
    *out = (struct token_answer){NULL, NULL, NULL};
    if (!q->bytes.len || q->bytes.len > TOKEN_MAX_BYTES)
        return REASON_TOKEN_MALFORMED;
    const uint64_t hash = bytes_hash(q->bytes);
    struct token *known = cache_find(c, q, hash, &provider);
    if (known && !known->key.pkey) {
        if (is_told_still(known, q))
            return recall(c, q, known, out);
        cache_drop(c, known);
    } else if (known) {
        const struct key_set *set = issuers_keys(q->issuers, provider, q->now);
        if (!set) {
            out->wanted = provider;
            return REASON_KEYS_UNAVAILABLE;
        }
        if (has_key_still(known, set))
            return recall(c, q, known, out);
        cache_drop(c, known); // and verified like a new one, so that the reason is exact
    }
    struct jws jws;
    const enum reason reason = verify(c, q, hash, &jws, out);
    jws_fini(&jws);
    return reason;
}

const struct facts_user *token_user(const struct token *t)
{
    return &t->claims.user;
}

const struct facts_service *token_service(const struct token *t)
{
    return t->claims.is_service ? &t->claims.service : NULL;
}

struct slice token_statement(const struct token *t)
{
    return t->statement;
}

uint64_t token_statement_hash(const struct token *t)
{
    return t->statement_hash;
}

struct wall token_good_until(const struct token *t)
{
    return (struct wall){t->claims.times.usable_until_s};
}

bool token_is_revoked(const struct token *t, const struct revocations *revoked, struct wall now)
{
    uint8_t digest[SHA256_BYTES];
    struct revocable_token is = {.user = t->claims.user.id,
                                 .provider = t->claims.user.provider,
                                 .jti = t->jti,
                                 .digest = digest,
                                 .issued_at = {t->claims.times.iat_s}};
    if (!revoked || t->revocations_on == revoked->number)
        return false;
    if (revocations_has_tokens(revoked, t->entity)) {
        sha256(digest, t->bytes);
        if (revocations_token(revoked, t->entity, &is, now))
            return true;
    }
    ((struct token *)(uintptr_t)t)->revocations_on = revoked->number; // const is for the readers
    return false;
}

const uint8_t *token_proof_key(const struct token *t)
{
    return t->claims.is_proof_bound ? t->claims.proof_key : NULL;
}

void token_release(const struct token *t)
{
    if (t)
        token_unref((struct token *)(uintptr_t)t); // const is for the readers
}
