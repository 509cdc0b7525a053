// SPDX-License-Identifier: EUPL-1.2
/* version (1) ‖ id of the seal key (8) ‖ salt (32) ‖ ciphertext ‖ tag (16).
 * Key and nonce come from the salt, which is random and long enough never to repeat. */
#include "auth/vault.h"

#include "base/codec.h"
#include "base/entropy.h"
#include "base/hash.h"
#include "base/secret.h"

#include <openssl/evp.h>
#include <stdio.h>

#define VERSION 1
#define ID_BYTES 8
#define SALT_BYTES 32
#define TAG_BYTES 16
#define HEAD_BYTES (1 + ID_BYTES + SALT_BYTES)
#define KEY_BYTES 32
#define NONCE_BYTES 12
_Static_assert(HEAD_BYTES + TAG_BYTES == VAULT_OVERHEAD, "as the header says");

static const char *const purposes[VAULT_PURPOSE_COUNT] = {
    [VAULT_SESSION] = "session", [VAULT_ATTEMPT] = "attempt", [VAULT_HANDOVER] = "handover",
    [VAULT_DEVICE] = "device",   [VAULT_REVOKED] = "revoked", [VAULT_MARK] = "mark",
    [VAULT_PAGE] = "page",
};

bool vault_is_open(const struct keyring *k)
{
    uint32_t count;
    (void)keyring_seal_keys(k, &count);
    return count && keyring_store_key(k);
}

bool vault_mac(const struct keyring *k, enum vault_purpose purpose, struct slice bytes,
               uint8_t out[32])
{
    const struct keyring_key *own = keyring_store_key(k);
    uint8_t key[KEY_BYTES];
    if (!own)
        return false;
    hkdf_sha256(key, sizeof key, slice_from(own->key.bytes, own->key.len), SLICE("belfry-mac/v1"),
                slice_of(purposes[purpose]));
    hmac_sha256(out, slice_from(key, sizeof key), bytes);
    wipe(key, sizeof key);
    return true;
}

bool vault_name(const struct keyring *k, enum vault_purpose purpose, struct slice entity,
                struct slice id, char out[VAULT_NAME_ROOM])
{
    const struct slice parts[] = {SLICE("belfry-name/v1"), entity, id};
    uint8_t digest[SHA256_BYTES];
    uint8_t mac[SHA256_BYTES];
    sha256_parts(digest, parts, 3);
    if (!vault_mac(k, purpose, slice_from(digest, sizeof digest), mac))
        return false;
    const int len = snprintf(out, VAULT_NAME_ROOM, "belfry:%s:", purposes[purpose]);
    out[len + (int)base64url_encode(out + len, mac, sizeof mac)] = '\0';
    return true;
}

/* One record's cipher, with its key, nonce, purpose and name. NULL: not in that state of the world,
 * or without memory. */
static EVP_CIPHER_CTX *cipher_for(const struct keyring_key *own, const char *salt,
                                  enum vault_purpose purpose, struct slice name, int is_sealing)
{
    uint8_t digest[SHA256_BYTES];
    uint8_t derived[KEY_BYTES + NONCE_BYTES];
    const struct slice parts[] = {SLICE("belfry-sealed/v1"), slice_of(purposes[purpose]), name};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len;
    sha256_parts(digest, parts, 3);
    hkdf_sha256(derived, sizeof derived, slice_from(own->key.bytes, own->key.len),
                slice_from(salt, SALT_BYTES), slice_from(digest, sizeof digest));
    if (ctx && (EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, derived, derived + KEY_BYTES,
                                  is_sealing) != 1 ||
                EVP_CipherUpdate(ctx, NULL, &len, digest, sizeof digest) != 1)) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    wipe(derived, sizeof derived);
    return ctx;
}

bool vault_seal(const struct keyring *k, enum vault_purpose purpose, struct slice name,
                struct slice plain, struct wall now, struct buf *out)
{
    uint32_t count, i = 0;
    const struct keyring_key *keys = keyring_seal_keys(k, &count);
    char *at;
    int len = 0, more = 0;
    while (i < count && keys[i].from_s > now.s)
        i++;
    if (i == count || plain.len > INT32_MAX - VAULT_OVERHEAD ||
        !buf_reserve(out, plain.len + VAULT_OVERHEAD, &at))
        return false;
    at[0] = VERSION;
    memcpy(at + 1, keys[i].id, ID_BYTES);
    entropy_bytes(at + 1 + ID_BYTES, SALT_BYTES);
    EVP_CIPHER_CTX *ctx = cipher_for(&keys[i], at + 1 + ID_BYTES, purpose, name, 1);
    uint8_t *body = (uint8_t *)at + HEAD_BYTES;
    const bool is_sealed =
        ctx && EVP_CipherUpdate(ctx, body, &len, (const uint8_t *)plain.ptr, (int)plain.len) == 1 &&
        EVP_CipherFinal_ex(ctx, body + len, &more) == 1 && (size_t)(len + more) == plain.len &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, body + plain.len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (is_sealed)
        buf_grew(out, plain.len + VAULT_OVERHEAD);
    return is_sealed;
}

static const struct keyring_key *key_of(const struct keyring *k, const char *id)
{
    uint32_t count;
    const struct keyring_key *keys = keyring_seal_keys(k, &count);
    for (uint32_t i = 0; i < count; i++)
        if (!memcmp(keys[i].id, id, ID_BYTES))
            return &keys[i];
    return NULL;
}

bool vault_open(const struct keyring *k, enum vault_purpose purpose, struct slice name,
                struct slice sealed, struct buf *out)
{
    char *at;
    int len = 0, more = 0;
    if (sealed.len < VAULT_OVERHEAD || sealed.len > INT32_MAX || sealed.ptr[0] != VERSION)
        return false;
    const struct keyring_key *own = key_of(k, sealed.ptr + 1);
    const size_t plain = sealed.len - VAULT_OVERHEAD;
    const uint8_t *body = (const uint8_t *)sealed.ptr + HEAD_BYTES;
    uint8_t tag[TAG_BYTES];
    if (!own || !buf_reserve(out, plain + 1, &at))
        return false;
    memcpy(tag, body + plain, TAG_BYTES);
    EVP_CIPHER_CTX *ctx = cipher_for(own, sealed.ptr + 1 + ID_BYTES, purpose, name, 0);
    const bool is_opened = ctx &&
                           EVP_CipherUpdate(ctx, (uint8_t *)at, &len, body, (int)plain) == 1 &&
                           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
                           EVP_CipherFinal_ex(ctx, (uint8_t *)at + len, &more) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (is_opened)
        buf_grew(out, plain);
    else
        wipe(at, plain); /* GCM writes before it knows */
    return is_opened;
}
