// SPDX-License-Identifier: EUPL-1.2
/* A proof, check by check in the order of RFC 9449 §4.3; behind it the cache of those that were
 * seen. */
#include "auth/dpop.h"

#include "auth/jws.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/secret.h"
#include "policy/host.h"

#define JTI_MAX_BYTES 256
#define HTTPS_PORT 443
#define WAYS 4

static bool digest_is(const json_t *claims, const char *name, const uint8_t digest[SHA256_BYTES])
{
    char text[BASE64URL_LEN(SHA256_BYTES)];
    struct slice said;
    const size_t len = base64url_encode(text, digest, SHA256_BYTES);
    return jtree_string(claims, name, &said) && said.len == len && secret_eq(said.ptr, text, len);
}

/* Both as canonical host and port; the usual port may be said or not (RFC 3986 §6.2.3). */
static bool is_same_authority(struct slice a, struct slice b)
{
    char rooms[2][HOST_MAX];
    struct slice hosts[2];
    uint16_t ports[2];
    if (!host_parse(a, rooms[0], &hosts[0], &ports[0]) ||
        !host_parse(b, rooms[1], &hosts[1], &ports[1]))
        return false;
    return slice_eq(hosts[0], hosts[1]) &&
           (ports[0] ? ports[0] : HTTPS_PORT) == (ports[1] ? ports[1] : HTTPS_PORT);
}

/* `htu`, without query and fragment, is where this request went (RFC 9449 §4.3, 9); both normalised
 * as RFC 3986 §6.2.2 and §6.2.3 say, by the functions that made what the rules judge. */
static bool is_here(struct slice htu, const struct dpop_question *q, struct arena *a)
{
    const struct slice scheme = SLICE("https://");
    struct request there = {0};
    size_t end = scheme.len;
    size_t stop;
    if (htu.len <= scheme.len || !slice_eq_nocase(slice_from(htu.ptr, scheme.len), scheme))
        return false;
    while (end < htu.len && !strchr("/?#", htu.ptr[end]))
        end++;
    const struct slice authority = slice_from(htu.ptr + scheme.len, end - scheme.len);
    for (stop = end; stop < htu.len && htu.ptr[stop] != '?' && htu.ptr[stop] != '#';)
        stop++;
    const struct slice path = stop > end ? slice_from(htu.ptr + end, stop - end) : SLICE("/");
    return is_same_authority(authority, q->request->authority) &&
           target_parse(&there, path, q->paths, a) == REASON_PERMITTED &&
           slice_eq(there.path.canonical, q->request->path.canonical);
}

static void mark_make(struct dpop_answer *out, struct slice jti)
{
    const struct slice parts[] = {slice_from(out->thumbprint, sizeof out->thumbprint), jti};
    sha256_parts(out->mark, parts, 2);
}

/* What it says, once its own key has vouched for it. */
static const char *claims_judge(const struct jws *j, const struct dpop_question *q, struct arena *a,
                                struct dpop_answer *out)
{
    uint8_t digest[SHA256_BYTES];
    struct slice text;
    int64_t iat;
    if (!jtree_string(j->claims, "htm", &text) || !slice_eq(text, q->request->method_name))
        return "the proof is for another method";
    if (!jtree_string(j->claims, "htu", &text) || !is_here(text, q, a))
        return "the proof is for another address";
    if (!jtree_date(j->claims, "iat", &iat) || iat > q->now.s + DPOP_AHEAD_S ||
        iat + DPOP_WINDOW_S < q->now.s)
        return "the proof is too old, or of the future";
    sha256(digest, q->token);
    if (!digest_is(j->claims, "ath", digest))
        return "the proof is for another token";
    if (!jtree_string(j->claims, "jti", &text) || text.len > JTI_MAX_BYTES)
        return "the proof has no usable jti";
    mark_make(out, text);
    out->until_s = iat + DPOP_WINDOW_S + 1;
    return NULL;
}

/* §4.3, 3 to 7: a JWT of that type, by the public key that stands in it. */
static const char *proof_judge(struct jws *j, const struct dpop_question *q, struct arena *a,
                               struct dpop_answer *out)
{
    const char *detail = NULL;
    struct public_key key = {0};
    if (q->proof.len > DPOP_MAX_BYTES || jws_parse(j, q->proof) != REASON_PERMITTED)
        return "the proof is no JWT";
    const json_t *jwk = json_object_get(j->header, "jwk");
    if (!jwk_read(&key, jwk, 1u << j->algorithm) || !jwk_thumbprint(out->thumbprint, jwk))
        detail = "the proof's key is not usable";
    const struct jws_demand demand = {.kind = JWS_DPOP_PROOF,
                                      .algorithms = 1u << j->algorithm,
                                      .key = &key,
                                      .leeway_s = DPOP_AHEAD_S,
                                      .now = q->now};
    if (!detail && jws_judge(j, &demand, NULL) != REASON_PERMITTED)
        detail = "the proof does not hold";
    public_key_fini(&key);
    return detail ? detail : claims_judge(j, q, a, out);
}

enum reason dpop_judge(const struct dpop_question *q, struct arena *a, struct dpop_answer *out,
                       const char **detail)
{
    struct jws jws = {0};
    *out = (struct dpop_answer){0};
    *detail = proof_judge(&jws, q, a, out);
    jws_fini(&jws);
    return *detail ? REASON_DPOP_PROOF : REASON_PERMITTED;
}

/* The cache: sets of a few places; who is new takes the place that ends first. A proof that lost
 * its place too early is still known to the store. */

struct seen {
    uint8_t mark[32];
    int64_t until_s; /* 0: free */
};

struct dpop_cache {
    struct seen sets[DPOP_CACHE_ENTRIES / WAYS][WAYS];
};

struct dpop_cache *dpop_cache_new(void)
{
    return mem_new(struct dpop_cache);
}

void dpop_cache_free(struct dpop_cache *c)
{
    mem_free(c);
}

bool dpop_cache_note(struct dpop_cache *c, const struct dpop_answer *proof, struct wall now)
{
    uint32_t at;
    memcpy(&at, proof->mark, sizeof at); // a digest: as good as any hash
    struct seen *set = c->sets[at % (DPOP_CACHE_ENTRIES / WAYS)];
    struct seen *place = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].until_s > now.s && !memcmp(set[i].mark, proof->mark, sizeof proof->mark))
            return false;
        if (set[i].until_s < place->until_s)
            place = &set[i];
    }
    memcpy(place->mark, proof->mark, sizeof place->mark);
    place->until_s = proof->until_s;
    return true;
}
