// SPDX-License-Identifier: EUPL-1.2
#include "base/strength.h"

#include <openssl/core_names.h>
#include <string.h>

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192 /* a signature of 16384 bits keeps a thread for a millisecond */

static const char *curve_weakness(EVP_PKEY *key)
{
    static const char *const curves[] = {"prime256v1", "secp384r1", "secp521r1"};
    char group[64] = "";
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                       NULL) == 1)
        for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
            if (!strcmp(group, curves[i]))
                return NULL;
    return "an EC key on another curve than P-256, P-384 and P-521";
}

const char *key_weakness(EVP_PKEY *key)
{
    switch (key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE) {
    case EVP_PKEY_NONE:
        return "a key that can't be read";
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        return EVP_PKEY_get_bits(key) < RSA_MIN_BITS   ? "an RSA key of less than 2048 bits"
               : EVP_PKEY_get_bits(key) > RSA_MAX_BITS ? "an RSA key of more than 8192 bits"
                                                       : NULL;
    case EVP_PKEY_EC:
        return curve_weakness(key);
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        return NULL;
    default:
        return "a key that is none of RSA, EC, Ed25519 and Ed448";
    }
}
