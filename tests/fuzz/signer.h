// SPDX-License-Identifier: EUPL-1.2
/* What fuzzers of signed things share: a provider's key with its key set, tokens signed rightly,
 * and what is so of every list that came out of one. */
#pragma once

#include <assert.h>
#include <stdio.h>

#include "auth/jwks.h"
#include "base/codec.h"
#include "base/mem.h"
#include "base/sign.h"
#include "policy/cel.h"

#define SIGNER_HEADER SLICE("{\"alg\":\"ES256\",\"kid\":\"k\"}")

/* A new P-256 key, and the key set "k" of it, for those algorithms. */
static inline struct key_set *signer_make(struct private_key *key, uint32_t algorithms)
{
    struct fault fault;
    uint8_t raw[64];
    size_t len = sizeof raw;
    char x[BASE64URL_LEN(32)], y[BASE64URL_LEN(32)], json[512];
    assert(private_key_make(key, ALGORITHM_ES256, &fault));
    assert(private_key_public_raw(key, raw, &len, &fault));
    base64url_encode(x, raw, 32);
    base64url_encode(y, raw + 32, 32);
    (void)snprintf(json, sizeof json,
                   "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"%.*s\","
                   "\"y\":\"%.*s\"}]}",
                   (int)sizeof x, x, (int)sizeof y, y);
    struct key_set *keys =
        key_set_parse(slice_of(json), algorithms, (struct wall){1800000000}, &fault);
    assert(keys);
    return keys;
}

/* HEADER.PAYLOAD.SIGNATURE; its owner frees it with mem_slice_free. */
static inline struct slice signer_sign(const struct private_key *key, struct slice header,
                                       struct slice payload)
{
    uint8_t signature[64];
    struct fault fault;
    char *token = mem_array(char, BASE64URL_LEN(header.len) + BASE64URL_LEN(payload.len) +
                                      BASE64URL_LEN(sizeof signature) + 2);
    size_t len = base64url_encode(token, header.ptr, header.len);
    token[len++] = '.';
    len += base64url_encode(token + len, payload.ptr, payload.len);
    assert(signature_make(key, slice_from(token, len), signature, &fault));
    token[len++] = '.';
    len += base64url_encode(token + len, signature, sizeof signature);
    return slice_from(token, len);
}

static inline void signer_check_list(struct slices list)
{
    assert(list.count <= CEL_LIST_BOUND);
    for (uint32_t i = 0; i < list.count; i++) {
        assert(list.at[i].len && list.at[i].len <= 256);
        for (size_t k = 0; k < list.at[i].len; k++)
            assert((uint8_t)list.at[i].ptr[k] >= 0x20);
    }
}
