// SPDX-License-Identifier: EUPL-1.2
/* From RFC 7517's JSON to keys that verify. What we can't use is left out, as §5 wants it; what
 * must not be there at all (a private or symmetric key, one name for two keys) ends the whole set:
 * whoever publishes that has a problem which a half-used set would hide. */
#include "auth/jwks.h"

#include "base/codec.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/mem.h"

#define KID_MAX_BYTES 256     /* chosen by others and compared with tokens': real ones have 40 */
#define NUMBER_MAX_BYTES 1024 /* of RSA 8192, the largest that sign.h takes */
#define THUMBPRINT_TEXT_MAX (BASE64URL_LEN(NUMBER_MAX_BYTES) + 64)

/* RFC 7518 §6.2.2, §6.3.2, §6.4, RFC 8037 §2: where one of these is, a secret is. */
bool jwk_has_secret(const json_t *jwk)
{
    static const char *const members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (jtree_has(jwk, members[i]))
            return true;
    struct slice type;
    return jtree_string(jwk, "kty", &type) && slice_eq(type, SLICE("oct"));
}

/* RFC 7517 §4.2 and §4.3: for checking signatures, where it says what it is for. A trust domain's
 * key always says it, and has a name (SPIFFE Trust Domain and Bundle §4.2.2; JWT-SVID §5). */
static bool is_for(const json_t *jwk, enum key_use wanted)
{
    struct slice use = {"", 0};
    const bool has_use = jtree_has(jwk, "use");
    if (has_use && !jtree_string(jwk, "use", &use))
        return false;
    if (wanted == KEY_USE_JWT_SVID && (!slice_eq(use, SLICE("jwt-svid")) || !jtree_has(jwk, "kid")))
        return false;
    if (wanted == KEY_USE_SIGNATURES && has_use && !slice_eq(use, SLICE("sig")))
        return false;
    const json_t *operations = json_object_get(jwk, "key_ops");
    if (!operations)
        return true;
    for (size_t i = 0; i < json_array_size(operations); i++) {
        const char *operation = json_string_value(json_array_get(operations, i));
        if (operation && !strcmp(operation, "verify"))
            return true;
    }
    return false;
}

static bool number_read(const json_t *jwk, const char *member, uint8_t room[NUMBER_MAX_BYTES],
                        struct slice *out)
{
    struct slice text;
    size_t len = 0;
    if (!jtree_string(jwk, member, &text) || text.len > BASE64URL_LEN(NUMBER_MAX_BYTES) ||
        !base64url_decode(room, &len, text))
        return false;
    *out = slice_from(room, len);
    return true;
}

static bool rsa_read(struct public_key *out, enum algorithm algorithm, const json_t *jwk)
{
    uint8_t n_room[NUMBER_MAX_BYTES];
    uint8_t e_room[NUMBER_MAX_BYTES];
    struct slice n;
    struct slice e;
    return number_read(jwk, "n", n_room, &n) && number_read(jwk, "e", e_room, &e) &&
           public_key_rsa(out, algorithm, n, e, NULL);
}

static bool ec_read(struct public_key *out, enum algorithm algorithm, const json_t *jwk)
{
    uint8_t x_room[NUMBER_MAX_BYTES];
    uint8_t y_room[NUMBER_MAX_BYTES];
    struct slice x;
    struct slice y;
    return number_read(jwk, "x", x_room, &x) && number_read(jwk, "y", y_room, &y) &&
           public_key_ec(out, algorithm, x, y, NULL);
}

static bool ed25519_read(struct public_key *out, const json_t *jwk)
{
    uint8_t room[NUMBER_MAX_BYTES];
    struct slice x;
    return number_read(jwk, "x", room, &x) && public_key_ed25519(out, x, NULL);
}

static enum key_kind kind_of(const json_t *jwk)
{
    static const struct {
        struct slice kty;
        struct slice crv; /* empty: it has none */
        enum key_kind kind;
    } kinds[] = {{SLICE_INIT("RSA"), SLICE_INIT(""), KEY_KIND_RSA},
                 {SLICE_INIT("EC"), SLICE_INIT("P-256"), KEY_KIND_P256},
                 {SLICE_INIT("EC"), SLICE_INIT("P-384"), KEY_KIND_P384},
                 {SLICE_INIT("OKP"), SLICE_INIT("Ed25519"), KEY_KIND_ED25519}};
    struct slice kty;
    struct slice crv = {"", 0};
    if (!jtree_string(jwk, "kty", &kty) ||
        (!slice_eq(kty, kinds[0].kty) && !jtree_string(jwk, "crv", &crv)))
        return KEY_KIND_NONE;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (slice_eq(kinds[i].kty, kty) && slice_eq(kinds[i].crv, crv))
            return kinds[i].kind;
    return KEY_KIND_NONE;
}

/* A key is for one algorithm (RFC 8725 §3.1): the one that it names, or where it names none, the
 * first of its kind that the provider may use. */
static enum algorithm algorithm_of(const json_t *jwk, enum key_kind kind, uint32_t algorithms)
{
    struct slice name;
    enum algorithm named = ALGORITHM_NONE;
    if (jtree_has(jwk, "alg")) {
        if (!jtree_string(jwk, "alg", &name))
            return ALGORITHM_NONE;
        named = algorithm_named(name);
        algorithms &= named ? 1u << named : 0;
    }
    for (enum algorithm a = ALGORITHM_NONE + 1; a < ALGORITHM_COUNT; a++)
        if (algorithms & 1u << a && algorithm_kind(a) == kind)
            return a;
    return ALGORITHM_NONE;
}

bool jwk_read(struct public_key *out, const json_t *jwk, uint32_t algorithms)
{
    const enum key_kind kind = kind_of(jwk);
    const enum algorithm algorithm = algorithm_of(jwk, kind, algorithms);
    if (!algorithm || jwk_has_secret(jwk))
        return false;
    switch (kind) {
    case KEY_KIND_NONE:
        return false;
    case KEY_KIND_RSA:
        return rsa_read(out, algorithm, jwk);
    case KEY_KIND_P256:
    case KEY_KIND_P384:
        return ec_read(out, algorithm, jwk);
    case KEY_KIND_ED25519:
        return ed25519_read(out, jwk);
    }
    return false;
}

/* False where the key is not one of ours; nothing is owned then. */
static bool key_read(struct provider_key *out, const json_t *jwk, uint32_t algorithms,
                     enum key_use use)
{
    struct slice kid = {"", 0};
    struct public_key key;
    if (!is_for(jwk, use) ||
        (jtree_has(jwk, "kid") && (!jtree_string(jwk, "kid", &kid) || kid.len > KID_MAX_BYTES)) ||
        !jwk_read(&key, jwk, algorithms))
        return false;
    *out = (struct provider_key){.kid = mem_slice(kid), .key = key};
    return true;
}

static bool is_double(const struct key_set *s, const struct provider_key *key)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (key->kid.len && s->keys[i].key.algorithm == key->key.algorithm &&
            slice_eq(s->keys[i].kid, key->kid))
            return true;
    return false;
}

static bool key_add(struct key_set *s, const json_t *jwk, uint32_t algorithms, enum key_use use,
                    struct fault *f)
{
    if (!json_is_object(jwk))
        return fault_set(f, FAULT_SYNTAX, "a key of the set is no JSON object");
    if (jwk_has_secret(jwk))
        return fault_set(f, FAULT_TRUST, "the set holds a private or symmetric key");
    struct provider_key *key = &s->keys[s->count];
    if (!key_read(key, jwk, algorithms, use)) {
        s->skipped++;
        return true;
    }
    const bool was_there = is_double(s, key);
    s->count++; // owned by the set from here on
    return !was_there || fault_set(f, FAULT_TRUST, "two keys of the set have one kid");
}

/* One required member after the other in the order of their names, without white space. The values
 * are base64url and names of curves: nothing in them is escaped. */
bool jwk_thumbprint(uint8_t out[32], const json_t *jwk)
{
    static const char *const members[][5] = {
        [KEY_KIND_NONE] = {NULL},
        [KEY_KIND_RSA] = {"e", "kty", "n", NULL},
        [KEY_KIND_P256] = {"crv", "kty", "x", "y", NULL},
        [KEY_KIND_P384] = {"crv", "kty", "x", "y", NULL},
        [KEY_KIND_ED25519] = {"crv", "kty", "x", NULL},
    };
    char text[THUMBPRINT_TEXT_MAX];
    size_t len = 0;
    const char *const *names = members[kind_of(jwk)];
    if (!*names)
        return false;
    for (; *names; names++) {
        struct slice value;
        if (!jtree_string(jwk, *names, &value))
            return false;
        const int n = snprintf(text + len, sizeof text - len, "%c\"%s\":\"%.*s\"", len ? ',' : '{',
                               *names, SLICE_ARG(value));
        if (n < 0 || (size_t)n >= sizeof text - len - 1)
            return false;
        len += (size_t)n;
    }
    text[len++] = '}';
    sha256(out, slice_from(text, len));
    return true;
}

static uint64_t next_generation(void)
{
    // The process's only count of sets: a number must not come back in another thread or provider.
    static _Atomic uint64_t last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

struct key_set *key_set_parse(struct slice json, uint32_t algorithms, struct wall now,
                              struct fault *f)
{
    return key_set_parse_for(KEY_USE_SIGNATURES, json, algorithms, now, f);
}

struct key_set *key_set_parse_for(enum key_use use, struct slice json, uint32_t algorithms,
                                  struct wall now, struct fault *f)
{
    struct key_set *s = NULL;
    json_t *tree = jtree_parse(json);
    const json_t *list = json_object_get(tree, "keys");
    if (!json_is_array(list)) {
        fault_set(f, FAULT_SYNTAX, "this is no key set: a JSON object with 'keys'");
        goto out;
    }
    const size_t count = json_array_size(list);
    if (count > KEY_SET_MAX_KEYS) {
        fault_set(f, FAULT_LIMIT, "the set has %zu keys, more than %d", count, KEY_SET_MAX_KEYS);
        goto out;
    }
    s = mem_new(struct key_set);
    atomic_init(&s->references, 1);
    s->generation = next_generation();
    s->fetched_at = now;
    s->keys = mem_array(struct provider_key, count + 1);
    bool is_good = true;
    for (size_t i = 0; is_good && i < count; i++)
        is_good = key_add(s, json_array_get(list, i), algorithms, use, f);
    if (is_good && !s->count)
        is_good = fault_set(f, FAULT_TRUST, "the set has no key that can be used");
    if (!is_good) {
        key_set_unref(s);
        s = NULL;
    }
out:
    json_decref(tree);
    return s;
}

struct key_set *key_set_ref(struct key_set *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void key_set_unref(struct key_set *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        public_key_fini(&s->keys[i].key);
        mem_slice_free(&s->keys[i].kid);
    }
    mem_free(s->keys);
    mem_free(s);
}
