// SPDX-License-Identifier: EUPL-1.2
/* See the header. A context of OpenSSL keeps a key's schedule: per line there is a nonce and one
 * pass. What can fail there is a lack of memory. */
#include "audit/seal.h"

#include <endian.h>
#include <openssl/evp.h>

#include "base/entropy.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/secret.h"

#define VERSION 1
#define ID_BYTES 8
#define SALT_BYTES 16
#define COUNT_BYTES 8
#define TAG_BYTES 16
#define HEAD_BYTES (1 + ID_BYTES + SALT_BYTES + COUNT_BYTES)
#define KEY_BYTES 32
#define NONCE_BYTES 12
#define SEALED_MAX (1u << 20) /* of what is read: far more than is ever written */
#define CIPHERS_MAX 1024      /* kept by a reader; a gateway has a salt a start, a forger many */
_Static_assert(HEAD_BYTES + TAG_BYTES == SEAL_OVERHEAD, "as the header says");

static void id_of(uint8_t out[ID_BYTES], struct slice key)
{
    uint8_t digest[SHA256_BYTES];
    sha256(digest, key);
    memcpy(out, digest, ID_BYTES);
}

/* NULL without memory. */
static EVP_CIPHER_CTX *cipher_of(struct slice key, struct slice salt, int is_sealing)
{
    uint8_t derived[KEY_BYTES];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    hkdf_sha256(derived, sizeof derived, key, salt, SLICE("belfry-facts/v1"));
    if (ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, derived, NULL, is_sealing) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    wipe(derived, sizeof derived);
    return ctx;
}

/* The nonce, and what the text is bound to: the lengths keep two of them apart. */
static bool begin(EVP_CIPHER_CTX *ctx, const char head[HEAD_BYTES], struct slice entity,
                  struct slice reference)
{
    uint8_t nonce[NONCE_BYTES] = {0};
    const uint64_t lengths[] = {htole64(entity.len), htole64(reference.len)};
    int ignored;
    memcpy(nonce + NONCE_BYTES - COUNT_BYTES, head + HEAD_BYTES - COUNT_BYTES, COUNT_BYTES);
    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &ignored, (const uint8_t *)lengths, sizeof lengths) == 1 &&
           EVP_CipherUpdate(ctx, NULL, &ignored, (const uint8_t *)entity.ptr, (int)entity.len) ==
               1 &&
           EVP_CipherUpdate(ctx, NULL, &ignored, (const uint8_t *)reference.ptr,
                            (int)reference.len) == 1;
}

/* ---- the gateway's side ---- */

struct seal {
    struct slice entity;
    uint8_t id[ID_BYTES];
    EVP_CIPHER_CTX *ctx;
};

struct seals {
    struct arena arena;
    struct map by_entity; /* → struct seal */
    uint8_t salt[SALT_BYTES];
    uint64_t count; /* of all entities together: more than enough of a nonce */
    uint8_t *room;  /* the sealed bytes before they are text */
    size_t room_bytes;
};

struct seals *seals_new(void)
{
    struct seals *s = mem_new(struct seals);
    arena_init(&s->arena, NULL);
    map_init(&s->by_entity);
    entropy_bytes(s->salt, sizeof s->salt);
    return s;
}

void seals_free(struct seals *s)
{
    size_t at = 0;
    if (!s)
        return;
    for (const struct map_entry *e; (e = map_next(&s->by_entity, &at));)
        EVP_CIPHER_CTX_free(((struct seal *)e->value)->ctx);
    map_fini(&s->by_entity);
    arena_fini(&s->arena);
    mem_free(s->room);
    mem_free(s);
}

void seals_add(struct seals *s, struct slice entity, struct slice key)
{
    if (map_get(&s->by_entity, entity))
        return;
    struct seal *own = arena_new(&s->arena, struct seal);
    own->entity = arena_copy(&s->arena, entity);
    own->ctx = cipher_of(key, slice_from(s->salt, sizeof s->salt), 1);
    id_of(own->id, key);
    (void)map_set(&s->by_entity, own->entity, own);
}

static void put_head(struct seals *s, const struct seal *own, uint8_t *out)
{
    const uint64_t count = htobe64(s->count++);
    out[0] = VERSION;
    memcpy(out + 1, own->id, ID_BYTES);
    memcpy(out + 1 + ID_BYTES, s->salt, SALT_BYTES);
    memcpy(out + HEAD_BYTES - COUNT_BYTES, &count, COUNT_BYTES);
}

static uint8_t *room_for(struct seals *s, size_t bytes)
{
    if (bytes > s->room_bytes) {
        mem_free(s->room);
        s->room = mem_array(uint8_t, bytes);
        s->room_bytes = bytes;
    }
    return s->room;
}

size_t seals_put(struct seals *s, struct slice entity, struct slice reference,
                 const struct slice *parts, size_t count, char *out)
{
    const struct seal *own = map_get(&s->by_entity, entity);
    size_t len = 0;
    int more = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    if (!own || !own->ctx || len > SEALED_MAX)
        return 0;
    uint8_t *const room = room_for(s, len + SEAL_OVERHEAD);
    uint8_t *at = room + HEAD_BYTES;
    put_head(s, own, room);
    bool ok = begin(own->ctx, (const char *)room, entity, reference);
    for (size_t i = 0; ok && i < count; i++) {
        ok = EVP_CipherUpdate(own->ctx, at, &more, (const uint8_t *)parts[i].ptr,
                              (int)parts[i].len) == 1;
        at += more;
    }
    ok = ok && EVP_CipherFinal_ex(own->ctx, at, &more) == 1 &&
         EVP_CIPHER_CTX_ctrl(own->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, at) == 1;
    return ok ? base64url_encode(out, room, len + SEAL_OVERHEAD) : 0;
}

/* ---- the reader's side ---- */

struct unseal_key {
    uint8_t id[ID_BYTES];
    struct secret key;
};

struct unseals {
    struct unseal_key *keys;
    uint32_t count;
    struct arena arena; /* of the ciphers' names */
    struct map ciphers; /* by id and salt → EVP_CIPHER_CTX; at most CIPHERS_MAX */
};

struct unseals *unseals_new(void)
{
    struct unseals *u = mem_new(struct unseals);
    arena_init(&u->arena, NULL);
    map_init(&u->ciphers);
    return u;
}

static void drop_ciphers(struct unseals *u)
{
    size_t at = 0;
    for (const struct map_entry *e; (e = map_next(&u->ciphers, &at));)
        EVP_CIPHER_CTX_free(e->value);
    map_fini(&u->ciphers);
    arena_fini(&u->arena);
}

void unseals_free(struct unseals *u)
{
    if (!u)
        return;
    drop_ciphers(u);
    for (uint32_t i = 0; i < u->count; i++)
        secret_fini(&u->keys[i].key);
    mem_free(u->keys);
    mem_free(u);
}

void unseals_add(struct unseals *u, struct slice key)
{
    u->keys = mem_grow(u->keys, u->count + 1, sizeof(*u->keys));
    struct unseal_key *own = &u->keys[u->count++];
    id_of(own->id, key);
    secret_init(&own->key, key.ptr, key.len);
}

/* The cipher of that key and salt; NULL where the key is not there. */
static EVP_CIPHER_CTX *cipher_for(struct unseals *u, struct slice id_and_salt)
{
    EVP_CIPHER_CTX *ctx = map_get(&u->ciphers, id_and_salt);
    for (uint32_t i = 0; !ctx && i < u->count; i++) {
        const struct unseal_key *own = &u->keys[i];
        if (memcmp(own->id, id_and_salt.ptr, ID_BYTES) != 0)
            continue;
        if (u->ciphers.count == CIPHERS_MAX)
            drop_ciphers(u); // those that are needed again are made again
        ctx = cipher_of(slice_from(own->key.bytes, own->key.len), slice_skip(id_and_salt, ID_BYTES),
                        0);
        if (ctx)
            (void)map_set(&u->ciphers, arena_copy(&u->arena, id_and_salt), ctx);
    }
    return ctx;
}

bool unseals_open(struct unseals *u, struct slice entity, struct slice reference,
                  struct slice sealed, struct arena *a, struct slice *out)
{
    size_t len;
    int got = 0, more = 0;
    if (sealed.len > SEALED_ROOM(SEALED_MAX))
        return false;
    uint8_t *const bytes = (uint8_t *)arena_bytes(a, sealed.len + 1);
    if (!base64url_decode(bytes, &len, sealed) || len < SEAL_OVERHEAD || bytes[0] != VERSION)
        return false;
    EVP_CIPHER_CTX *ctx = cipher_for(u, slice_from(bytes + 1, ID_BYTES + SALT_BYTES));
    const size_t plain = len - SEAL_OVERHEAD;
    uint8_t *const at = bytes + HEAD_BYTES; /* in place */
    const bool ok = ctx && begin(ctx, (const char *)bytes, entity, reference) &&
                    EVP_CipherUpdate(ctx, at, &got, at, (int)plain) == 1 &&
                    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, at + plain) == 1 &&
                    EVP_CipherFinal_ex(ctx, at + got, &more) == 1;
    *out = slice_from(at, ok ? plain : 0);
    return ok;
}
