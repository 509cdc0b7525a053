// SPDX-License-Identifier: EUPL-1.2
#include "auth/sigalg.h"

#include <openssl/rsa.h>

static bool is_strong_digest(int digest)
{
    return digest == NID_sha256 || digest == NID_sha384 || digest == NID_sha512;
}

/* RFC 8017 §A.2.3: the digest is a parameter, and SHA-1 where there is none. */
static bool is_strong_pss(const X509_ALGOR *algorithm)
{
    RSA_PSS_PARAMS *pss =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter);
    const bool is_strong =
        pss && pss->hashAlgorithm && is_strong_digest(OBJ_obj2nid(pss->hashAlgorithm->algorithm));
    RSA_PSS_PARAMS_free(pss);
    return is_strong;
}

bool sigalg_is_strong(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object = NULL;
    int digest = NID_undef;
    int key = NID_undef;
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    const int signature = OBJ_obj2nid(object);
    if (signature == NID_ED25519 || signature == NID_ED448)
        return true;
    if (signature == NID_rsassaPss)
        return is_strong_pss(algorithm);
    return OBJ_find_sigid_algs(signature, &digest, &key) == 1 && is_strong_digest(digest);
}
