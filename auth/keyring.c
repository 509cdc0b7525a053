// SPDX-License-Identifier: EUPL-1.2
/* Reads the folders of keys. A file that is there and is not a key is a mistake of the operator's,
 * and is said: passing it over would let an old key sign on. */
#include "auth/keyring.h"

#include "base/arena.h"
#include "base/codec.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/secret.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <sys/stat.h>

#define RING_MAX_KEYS 16       /* of one entity: a rotation has two or three */
#define KEY_FILE_MAX 16384     /* the PEM of a P-256 key has 300 bytes */
#define AUDIT_KEY_MIN_BYTES 32 /* as long as the HMAC's digest (RFC 2104 §3) */
#define P256_BYTES 32

struct assertion_key {
    struct keyring_signer signer;
    int64_t from_s;
    char x[BASE64URL_LEN(P256_BYTES)];
    char y[BASE64URL_LEN(P256_BYTES)];
};

struct ring {
    struct slice entity;
    struct assertion_key keys[RING_MAX_KEYS]; /* newest first */
    uint32_t count;
    bool may_sign; /* one key's time had come when it was read */
    struct slice jwks;
    struct secret audit_key;
    int64_t audit_from_s;
};

/* Keys of the gateways' own. */
struct own_ring {
    struct keyring_key keys[RING_MAX_KEYS]; /* newest first */
    uint32_t count;
};

struct keyring {
    _Atomic uint32_t references;
    struct arena arena; /* rings and their texts; secrets are not in it */
    struct map rings;   /* entity → struct ring */
    int64_t read_at_s;
    struct own_ring seal;
    struct own_ring store;
};

/* A file of a ring, and what to do with it. */
typedef bool (*file_handler)(struct keyring *k, void *ring, const char *path, int64_t from_s,
                             struct wall now, struct fault *f);

static struct ring *ring_of(struct keyring *k, struct slice entity)
{
    struct ring *ring = map_get(&k->rings, entity);
    if (ring)
        return ring;
    ring = arena_new(&k->arena, struct ring);
    ring->entity = arena_copy(&k->arena, entity);
    map_set(&k->rings, ring->entity, ring);
    return ring;
}

static int64_t two_digits(const char *at)
{
    return (at[0] - '0') * 10 + (at[1] - '0');
}

/* "20260131235900" in UTC; only times that exist. */
static bool time_parse(struct slice text, int64_t *out_s)
{
    uint64_t number;
    if (text.len != 14 || !slice_u64(text, UINT64_MAX, &number))
        return false;
    struct tm time = {
        .tm_year = (int)(two_digits(text.ptr) * 100 + two_digits(text.ptr + 2)) - 1900,
        .tm_mon = (int)two_digits(text.ptr + 4) - 1,
        .tm_mday = (int)two_digits(text.ptr + 6),
        .tm_hour = (int)two_digits(text.ptr + 8),
        .tm_min = (int)two_digits(text.ptr + 10),
        .tm_sec = (int)two_digits(text.ptr + 12),
    };
    const struct tm asked = time;
    const int64_t s = timegm(&time);
    // timegm carries the 31st of April over to May: then it was no time.
    if (s < 0 || time.tm_mon != asked.tm_mon || time.tm_mday != asked.tm_mday ||
        time.tm_hour != asked.tm_hour || time.tm_min != asked.tm_min || time.tm_sec != asked.tm_sec)
        return false;
    *out_s = s;
    return true;
}

/* RFC 7638: the digest of the required members in order, without white space. */
static struct slice thumbprint(struct arena *a, const struct assertion_key *key)
{
    uint8_t digest[SHA256_BYTES];
    const struct slice text =
        arena_printf(a, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%.*s\",\"y\":\"%.*s\"}",
                     (int)sizeof key->x, key->x, (int)sizeof key->y, key->y);
    sha256(digest, text);
    char *out = arena_bytes(a, BASE64URL_LEN(SHA256_BYTES));
    return slice_from(out, base64url_encode(out, digest, SHA256_BYTES));
}

static bool assertion_key_read(struct keyring *k, void *of, const char *path, int64_t from_s,
                               struct wall now, struct fault *f)
{
    struct ring *ring = of;
    struct secret pem = {0};
    uint8_t raw[2 * P256_BYTES];
    size_t len = sizeof raw;
    if (ring->count == RING_MAX_KEYS)
        return fault_set(f, FAULT_LIMIT, "there are more than %d keys", RING_MAX_KEYS);
    if (!file_read_secret(&pem, path, KEY_FILE_MAX, f))
        return false;
    struct assertion_key key = {.from_s = from_s};
    bool is_read = private_key_read(&key.signer.key, slice_from(pem.bytes, pem.len), f);
    secret_fini(&pem);
    if (is_read && key.signer.key.algorithm != ALGORITHM_ES256)
        is_read = fault_set(f, FAULT_CONFIG, "'%s' is not a P-256 key", path);
    if (!is_read || !private_key_public_raw(&key.signer.key, raw, &len, f)) {
        private_key_fini(&key.signer.key);
        return false;
    }
    base64url_encode(key.x, raw, P256_BYTES);
    base64url_encode(key.y, raw + P256_BYTES, P256_BYTES);
    key.signer.kid = thumbprint(&k->arena, &key);
    uint32_t at = ring->count++;
    for (; at && ring->keys[at - 1].from_s < from_s; at--)
        ring->keys[at] = ring->keys[at - 1];
    ring->keys[at] = key;
    ring->may_sign = ring->may_sign || from_s <= now.s;
    return true;
}

/* A file of min to max bytes in hex. */
static bool hex_key_read(struct secret *out, const char *path, size_t min, size_t max,
                         struct fault *f)
{
    struct secret text = {0};
    uint8_t bytes[KEY_FILE_MAX / 2];
    if (!file_read_secret(&text, path, KEY_FILE_MAX, f))
        return false;
    struct slice hex = slice_from(text.bytes, text.len);
    while (hex.len && (hex.ptr[hex.len - 1] == '\n' || hex.ptr[hex.len - 1] == '\r'))
        hex.len--;
    const bool is_key =
        hex.len >= 2 * min && hex.len <= 2 * max && hex.len % 2 == 0 && hex_decode(bytes, hex);
    if (is_key)
        secret_init(out, bytes, hex.len / 2);
    wipe(bytes, sizeof bytes);
    secret_fini(&text);
    return is_key || fault_set(f, FAULT_CONFIG, "'%s' does not hold %s%zu bytes in hex", path,
                               min < max ? "at least " : "", min);
}

bool keyring_read_audit_key(struct secret *out, const char *path, struct fault *f)
{
    return hex_key_read(out, path, AUDIT_KEY_MIN_BYTES, KEY_FILE_MAX / 2, f);
}

static bool audit_key_read(struct keyring *k, void *of, const char *path, int64_t from_s,
                           struct wall now, struct fault *f)
{
    struct ring *ring = of;
    struct secret key = {0};
    (void)k;
    if (!keyring_read_audit_key(&key, path, f))
        return false;
    // The newest whose time has come.
    if (from_s > now.s || (ring->audit_key.len && from_s <= ring->audit_from_s)) {
        secret_fini(&key);
        return true;
    }
    secret_fini(&ring->audit_key);
    ring->audit_key = key;
    ring->audit_from_s = from_s;
    return true;
}

static bool own_key_read(struct keyring *k, void *of, const char *path, int64_t from_s,
                         struct wall now, struct fault *f)
{
    struct own_ring *ring = of;
    struct keyring_key key = {.from_s = from_s};
    uint8_t digest[SHA256_BYTES];
    (void)k, (void)now;
    if (ring->count == RING_MAX_KEYS)
        return fault_set(f, FAULT_LIMIT, "there are more than %d keys beside '%s'", RING_MAX_KEYS,
                         path);
    if (!hex_key_read(&key.key, path, KEYRING_OWN_BYTES, KEYRING_OWN_BYTES, f))
        return false;
    sha256(digest, slice_from(key.key.bytes, key.key.len));
    memcpy(key.id, digest, sizeof key.id);
    uint32_t at = ring->count++;
    for (; at && ring->keys[at - 1].from_s < from_s; at--)
        ring->keys[at] = ring->keys[at - 1];
    ring->keys[at] = key;
    return true;
}

/* All files of that ending in a folder. */
static bool folder_read(struct keyring *k, const char *dir, void *ring, struct slice ending,
                        file_handler handle, struct wall now, struct fault *f)
{
    char path[PATH_MAX];
    bool is_read = true;
    DIR *folder = opendir(dir);
    if (!folder)
        return fault_errno(f, errno, "cannot open '%s'", dir);
    for (struct dirent *entry; is_read && (entry = readdir(folder));) {
        const struct slice name = slice_of(entry->d_name);
        int64_t from_s;
        if (name.ptr[0] == '.' || !slice_ends(name, ending))
            continue;
        const int len = snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (len < 0 || (size_t)len >= sizeof path)
            is_read = fault_set(f, FAULT_LIMIT, "the name of a key in '%s' is too long", dir);
        else if (!time_parse(slice_from(name.ptr, name.len - ending.len), &from_s))
            is_read = fault_set(f, FAULT_CONFIG,
                                "the name of '%s' is no time; name it YYYYmmddHHMMSS%.*s", path,
                                SLICE_ARG(ending));
        else
            is_read = handle(k, ring, path, from_s, now, f);
    }
    closedir(folder);
    return is_read;
}

/* All entities of keys_dir/purpose. A purpose that is not there has no keys. */
static bool purpose_read(struct keyring *k, const char *keys_dir, const char *purpose,
                         struct slice ending, file_handler handle, struct wall now, struct fault *f)
{
    char dir[PATH_MAX];
    char path[PATH_MAX];
    struct stat status;
    bool is_read = true;
    int len = snprintf(dir, sizeof dir, "%s/%s", keys_dir, purpose);
    if (len < 0 || (size_t)len >= sizeof dir)
        return fault_set(f, FAULT_LIMIT, "the name of the keys' folder is too long");
    DIR *folder = opendir(dir);
    if (!folder)
        return errno == ENOENT || fault_errno(f, errno, "cannot open '%s'", dir);
    for (struct dirent *entry; is_read && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        len = snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (len < 0 || (size_t)len >= sizeof path)
            is_read = fault_set(f, FAULT_LIMIT, "the name of a folder in '%s' is too long", dir);
        else if (!stat(path, &status) && S_ISDIR(status.st_mode))
            is_read =
                folder_read(k, path, ring_of(k, slice_of(entry->d_name)), ending, handle, now, f);
    }
    closedir(folder);
    return is_read;
}

/* Of the gateways' own; none are needed where nobody signs in. */
static bool own_read(struct keyring *k, const char *keys_dir, const char *purpose,
                     struct own_ring *ring, struct wall now, struct fault *f)
{
    char dir[PATH_MAX];
    struct stat status;
    const int len = snprintf(dir, sizeof dir, "%s/%s", keys_dir, purpose);
    if (len < 0 || (size_t)len >= sizeof dir)
        return fault_set(f, FAULT_LIMIT, "the name of the keys' folder is too long");
    if (stat(dir, &status) && errno == ENOENT)
        return true;
    return folder_read(k, dir, ring, SLICE(".key"), own_key_read, now, f);
}

static json_t *jwk_of(const struct assertion_key *key)
{
    return json_pack("{s:s, s:s, s:s%, s:s%, s:s, s:s, s:s%}", "kty", "EC", "crv", "P-256", "x",
                     key->x, sizeof key->x, "y", key->y, sizeof key->y, "use", "sig", "alg",
                     "ES256", "kid", key->signer.kid.ptr, key->signer.kid.len);
}

static bool jwks_make(struct keyring *k, struct ring *ring, struct fault *f)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < ring->count; i++)
        json_array_append_new(list, jwk_of(&ring->keys[i]));
    json_t *set = json_pack("{s:o}", "keys", list);
    char *text = json_dumps(set, JSON_COMPACT);
    const bool is_made = text && json_array_size(json_object_get(set, "keys")) == ring->count;
    if (is_made)
        ring->jwks = arena_copy(&k->arena, slice_of(text));
    free(text); // jansson's
    json_decref(set);
    return is_made || fault_set(f, FAULT_INTERNAL, "cannot print a key set");
}

struct keyring *keyring_read(const char *keys_dir, struct wall now, struct fault *f)
{
    struct keyring *k = mem_new(struct keyring);
    struct stat status;
    size_t at = 0;
    bool is_read = false;
    atomic_init(&k->references, 1);
    arena_init(&k->arena, NULL);
    map_init(&k->rings);
    if (stat(keys_dir, &status) || !S_ISDIR(status.st_mode))
        fault_set(f, FAULT_CONFIG, "there is no folder of keys '%s'", keys_dir);
    else
        is_read =
            purpose_read(k, keys_dir, "assertion", SLICE(".pem"), assertion_key_read, now, f) &&
            purpose_read(k, keys_dir, "audit", SLICE(".key"), audit_key_read, now, f) &&
            own_read(k, keys_dir, "seal", &k->seal, now, f) &&
            own_read(k, keys_dir, "store", &k->store, now, f);
    k->read_at_s = now.s;
    for (const struct map_entry *entry; is_read && (entry = map_next(&k->rings, &at));) {
        struct ring *ring = entry->value;
        is_read = !ring->count || jwks_make(k, ring, f);
    }
    if (is_read)
        return k;
    keyring_unref(k);
    return NULL;
}

struct keyring *keyring_ref(struct keyring *k)
{
    atomic_fetch_add_explicit(&k->references, 1, memory_order_relaxed);
    return k;
}

static void own_fini(struct own_ring *ring)
{
    for (uint32_t i = 0; i < ring->count; i++)
        secret_fini(&ring->keys[i].key);
}

void keyring_unref(struct keyring *k)
{
    size_t at = 0;
    if (!k || atomic_fetch_sub_explicit(&k->references, 1, memory_order_acq_rel) != 1)
        return;
    for (const struct map_entry *entry; (entry = map_next(&k->rings, &at));) {
        struct ring *ring = entry->value;
        for (uint32_t i = 0; i < ring->count; i++)
            private_key_fini(&ring->keys[i].signer.key);
        secret_fini(&ring->audit_key);
    }
    own_fini(&k->seal);
    own_fini(&k->store);
    map_fini(&k->rings);
    arena_fini(&k->arena);
    mem_free(k);
}

bool keyring_has(const struct keyring *k, struct slice entity)
{
    const struct ring *ring = map_get(&k->rings, entity);
    return ring && ring->may_sign && ring->audit_key.len;
}

struct slice keyring_audit_key(const struct keyring *k, struct slice entity)
{
    const struct ring *ring = map_get(&k->rings, entity);
    return ring && ring->audit_key.len ? slice_from(ring->audit_key.bytes, ring->audit_key.len)
                                       : (struct slice){"", 0};
}

bool keyring_next_audit_key(const struct keyring *k, size_t *at, struct slice *entity,
                            struct slice *key)
{
    for (const struct map_entry *entry; (entry = map_next(&k->rings, at));) {
        *entity = entry->key;
        *key = keyring_audit_key(k, *entity);
        if (key->len)
            return true;
    }
    return false;
}

struct slice keyring_jwks(const struct keyring *k, struct slice entity)
{
    const struct ring *ring = map_get(&k->rings, entity);
    return ring ? ring->jwks : (struct slice){"", 0};
}

const struct keyring_signer *keyring_signer(const struct keyring *k, struct slice entity,
                                            struct wall now)
{
    const struct ring *ring = map_get(&k->rings, entity);
    for (uint32_t i = 0; ring && i < ring->count; i++)
        if (ring->keys[i].from_s <= now.s)
            return &ring->keys[i].signer;
    return NULL;
}

const struct keyring_key *keyring_seal_keys(const struct keyring *k, uint32_t *count)
{
    *count = k->seal.count;
    return k->seal.keys;
}

const struct keyring_key *keyring_store_key(const struct keyring *k)
{
    for (uint32_t i = 0; i < k->store.count; i++)
        if (k->store.keys[i].from_s <= k->read_at_s)
            return &k->store.keys[i];
    return NULL;
}
