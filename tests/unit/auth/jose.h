// SPDX-License-Identifier: EUPL-1.2
/* A provider for the tests of this room: keys, key sets and tokens, also such as no provider makes.
 * What is returned as char * is freed with mem_free. Asserts where it can't do what is asked. */
#pragma once

#include <openssl/evp.h>

#include "belfry/slice.h"

/* The public key as a JWK's members, without braces: for tests to add to. kid may be NULL. */
char *jose_jwk(EVP_PKEY *key, const char *kid, const char *more);
/* A key set of these JWKs, each with its braces put around. */
char *jose_set(char *const *jwks, size_t count);

enum jose_signature {
    JOSE_RIGHT = 0, /* RS256 or ES256 by the key's kind */
    JOSE_DER,       /* ES256, but the signature as DER */
    JOSE_EMPTY,
    JOSE_SHORT,    /* one byte less */
    JOSE_LONG,     /* one byte more */
    JOSE_ZERO,     /* all bytes zero */
    JOSE_HMAC_PEM, /* HS256 with the key's public PEM as secret */
    JOSE_HMAC_DER, /* HS256 with the key's public DER as secret */
    JOSE_FLIPPED,  /* one bit */
};
/* header and payload are the JSON texts, by the letter. */
char *jose_token(const char *header, const char *payload, EVP_PKEY *key, enum jose_signature how);
