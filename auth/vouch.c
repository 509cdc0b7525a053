// SPDX-License-Identifier: EUPL-1.2
/* A table in which each key has one place; who comes later takes it. So it has a bound, and an
 * attacker without a good certificate can't touch it: only good verdicts are kept. */
#include "auth/vouch.h"

#include "base/hash.h"
#include "base/mem.h"

#include <openssl/err.h>

#define PLACES                                                                                     \
    1024 /* devices that come back within an hour or so to one worker; some 3 KiB each             \
          */

struct vouches {
    struct vouch *at[PLACES];
};

struct vouches *vouches_new(void)
{
    return mem_new(struct vouches);
}

void vouches_forget(struct vouches *v)
{
    for (size_t i = 0; i < PLACES; i++) {
        vouch_unref(v->at[i]);
        v->at[i] = NULL;
    }
}

void vouches_free(struct vouches *v)
{
    if (!v)
        return;
    vouches_forget(v);
    mem_free(v);
}

void vouch_unref(struct vouch *d)
{
    if (!d || --d->references)
        return;
    device_unref(d->device);
    chain_trust_unref(d->trust);
    mem_slice_free(&d->chain);
    mem_free(d);
}

static struct vouch **place_of(struct vouches *v, const uint8_t key[32])
{
    return &v->at[((size_t)key[0] << 8 | key[1]) % PLACES];
}

/* A moment before it was made: the clock was set back, and a certificate may not be valid yet. */
static bool still_holds(const struct vouch *d, const uint8_t key[32], struct wall now)
{
    return memcmp(d->key, key, sizeof d->key) == 0 && d->made.s <= now.s &&
           now.s <= d->answer.until.s;
}

static void key_of(uint8_t key[32], const struct chain_trust *trust, struct slice chain)
{
    const struct slice parts[] = {slice_from(chain_trust_digest(trust), SHA256_BYTES), chain};
    sha256_parts(key, parts, sizeof parts / sizeof *parts);
}

static struct vouch *recall(struct vouches *v, const uint8_t key[32], struct wall now)
{
    struct vouch *d = *place_of(v, key);
    if (!d || !still_holds(d, key, now))
        return NULL;
    d->references++;
    return d;
}

static struct vouch *find_out(struct chain_trust *trust, X509 *leaf, STACK_OF(X509) * sent,
                              struct wall now)
{
    struct fault unnamed = {0}; /* a device without a name is said by its absence */
    struct vouch *d = mem_new(struct vouch);
    d->references = 1;
    d->made = now;
    d->trust = chain_trust_ref(trust);
    chain_judge(trust, leaf, sent, now, &d->answer);
    if (d->answer.verdict == CHAIN_GOOD)
        d->device = device_new(leaf, d->answer.authority, &unnamed);
    return d;
}

static struct vouch *remember(struct vouches *v, struct vouch *d, const uint8_t key[32],
                              struct slice chain)
{
    memcpy(d->key, key, sizeof d->key);
    d->chain = mem_slice(chain);
    if (d->answer.verdict != CHAIN_GOOD)
        return d;
    struct vouch **place = place_of(v, key);
    vouch_unref(*place);
    *place = d;
    d->references++;
    return d;
}

static bool chain_add(uint8_t *out, size_t *len, X509 *certificate)
{
    const int der = i2d_X509(certificate, NULL);
    if (der <= 0 || der > UINT16_MAX || (size_t)der + 2 > VOUCH_CHAIN_MAX_BYTES - *len)
        return false;
    uint8_t *at = out + *len;
    *at++ = (uint8_t)(der >> 8);
    *at++ = (uint8_t)der;
    *len += 2 + (size_t)der;
    return i2d_X509(certificate, &at) == der;
}

static bool chain_write(uint8_t *out, size_t *len, X509 *leaf, STACK_OF(X509) * sent)
{
    *len = 0;
    if (!chain_add(out, len, leaf))
        return false;
    for (int i = 0; i < sk_X509_num(sent); i++)
        if (sk_X509_value(sent, i) != leaf && !chain_add(out, len, sk_X509_value(sent, i)))
            return false;
    return true;
}

struct vouch *vouch_of(struct vouches *v, struct chain_trust *trust, X509 *leaf,
                       STACK_OF(X509) * sent, struct wall now)
{
    uint8_t bytes[VOUCH_CHAIN_MAX_BYTES];
    uint8_t key[SHA256_BYTES];
    size_t len;
    if (!chain_write(bytes, &len, leaf, sent))
        return find_out(trust, leaf, sent, now);
    const struct slice chain = slice_from(bytes, len);
    key_of(key, trust, chain);
    struct vouch *known = recall(v, key, now);
    return known ? known : remember(v, find_out(trust, leaf, sent, now), key, chain);
}

struct slice vouch_leaf(const struct vouch *d)
{
    const uint8_t *p = (const uint8_t *)d->chain.ptr;
    const size_t len = d->chain.len >= 2 ? (size_t)p[0] << 8 | p[1] : 0;
    return slice_from(p + (len ? 2 : 0), len);
}

/* All certificates of the chain, leaf first; NULL where it is not what chain_write writes. */
static STACK_OF(X509) * chain_read(struct slice chain)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    while (all && chain.len) {
        const uint8_t *p = (const uint8_t *)chain.ptr;
        const size_t len = chain.len >= 2 ? (size_t)p[0] << 8 | p[1] : 0;
        const uint8_t *at = p + 2;
        X509 *x = len && len <= chain.len - 2 ? d2i_X509(NULL, &at, (long)len) : NULL;
        if (!x || at != p + 2 + len || !sk_X509_push(all, x)) {
            X509_free(x);
            sk_X509_pop_free(all, X509_free);
            return NULL;
        }
        chain = slice_skip(chain, 2 + len);
    }
    return all;
}

struct vouch *vouch_of_chain(struct vouches *v, struct chain_trust *trust, struct slice chain,
                             struct wall now)
{
    uint8_t key[SHA256_BYTES];
    key_of(key, trust, chain);
    struct vouch *known = recall(v, key, now);
    if (known)
        return known;
    STACK_OF(X509) *all = chain_read(chain);
    ERR_clear_error();
    X509 *leaf = sk_X509_shift(all);
    if (leaf)
        known = remember(v, find_out(trust, leaf, all, now), key, chain);
    X509_free(leaf);
    sk_X509_pop_free(all, X509_free);
    return known;
}
