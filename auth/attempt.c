// SPDX-License-Identifier: EUPL-1.2
/* The form of attempts and hand-overs in the store. The seal has shown that a gateway wrote them;
 * they are read strictly all the same. */
#include "auth/attempt.h"

#include "base/codec.h"
#include "base/entropy.h"
#include "base/hash.h"
#include "base/jtree.h"

#include <stdlib.h>

void attempt_make_id(char out[ATTEMPT_ID_CHARS + 1])
{
    uint8_t bytes[32];
    entropy_bytes(bytes, sizeof bytes);
    out[base64url_encode(out, bytes, sizeof bytes)] = '\0';
    explicit_bzero(bytes, sizeof bytes);
}

bool attempt_id_is_valid(struct slice id)
{
    uint8_t bytes[33];
    size_t len;
    return id.len == ATTEMPT_ID_CHARS && base64url_decode(bytes, &len, id) && len == 32;
}

void attempt_tag(struct slice id, char out[ATTEMPT_TAG_CHARS + 1])
{
    const struct slice parts[] = {SLICE("belfry attempt tag"), id};
    uint8_t digest[SHA256_BYTES];
    char text[BASE64URL_LEN(SHA256_BYTES)];
    sha256_parts(digest, parts, sizeof parts / sizeof *parts);
    (void)base64url_encode(text, digest, sizeof digest);
    memcpy(out, text, ATTEMPT_TAG_CHARS);
    out[ATTEMPT_TAG_CHARS] = '\0';
}

/* ---- texts ---- */

struct text {
    const char *name;
    struct slice *at;
};
#define TEXTS(t)                                                                                   \
    {                                                                                              \
        {"application", &(t)->application}, {"authority", &(t)->authority}, {"to", &(t)->to},      \
            {"provider", &(t)->provider}, {"tag", &(t)->tag}, {"nonce", &(t)->nonce},              \
            {"verifier", &(t)->verifier}, {"language", &(t)->language}, {"form", &(t)->form},      \
    }

static bool set(json_t *o, const char *name, json_t *take)
{
    return json_object_set_new(o, name, take) == 0;
}

static bool set_digest(json_t *o, const char *name, const uint8_t digest[32])
{
    char hex[64];
    hex_encode(hex, digest, 32);
    return set(o, name, json_stringn(hex, sizeof hex));
}

bool attempt_print(const struct attempt *t, struct buf *out)
{
    struct attempt copy = *t;
    const struct text texts[] = TEXTS(&copy);
    json_t *o = json_object();
    bool ok = set_digest(o, "cookie", t->cookie) && set_digest(o, "device", t->device) &&
              set(o, "acr_level", json_integer(t->acr_level)) &&
              set(o, "max_age", json_integer(t->max_age_s)) &&
              set(o, "begun_at", json_integer(t->begun_at.s)) &&
              set(o, "revoked_until", json_integer((json_int_t)t->revoked_until));
    char *text = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ok = ok && set(o, texts[i].name,
                       json_stringn(texts[i].at->ptr ? texts[i].at->ptr : "", texts[i].at->len));
    if (ok)
        text = json_dumps(o, JSON_COMPACT);
    ok = text && buf_add(out, slice_of(text));
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    json_decref(o);
    return ok;
}

static bool get_digest(const json_t *o, const char *name, uint8_t out[32])
{
    struct slice hex;
    return jtree_string(o, name, &hex) && hex.len == 64 && hex_decode(out, hex);
}

static bool get_number(const json_t *o, const char *name, int64_t *out)
{
    const json_t *n = json_object_get(o, name);
    *out = json_integer_value(n);
    return json_is_integer(n);
}

bool attempt_parse(struct attempt *out, struct arena *a, struct slice json)
{
    struct attempt t = {0};
    int64_t revoked_until;
    const struct text texts[] = TEXTS(&t);
    json_t *o = jtree_parse(json);
    bool ok = o && get_digest(o, "cookie", t.cookie) && get_digest(o, "device", t.device) &&
              get_number(o, "acr_level", &t.acr_level) && get_number(o, "max_age", &t.max_age_s) &&
              get_number(o, "begun_at", &t.begun_at.s) &&
              get_number(o, "revoked_until", &revoked_until) && revoked_until >= 0;
    for (size_t i = 0; ok && i < sizeof texts / sizeof *texts; i++) {
        ok = jtree_string(o, texts[i].name, texts[i].at);
        *texts[i].at = arena_copy(a, *texts[i].at);
    }
    json_decref(o);
    if (ok) {
        t.revoked_until = (uint64_t)revoked_until;
        *out = t;
    }
    return ok;
}

/* ---- both ---- */

/* JSON as jansson writes it compactly has no line end. */
bool handover_print(const struct attempt *t, const struct identity *i, struct buf *out)
{
    return attempt_print(t, out) && buf_add(out, SLICE("\n")) && identity_print(i, out);
}

bool handover_parse(struct attempt *t, struct identity *i, struct arena *a, struct slice text)
{
    struct slice attempt = slice_cut(&text, '\n');
    return attempt_parse(t, a, attempt) && identity_parse(i, a, text);
}
