// SPDX-License-Identifier: EUPL-1.2
/* A provider that stands before OpenSSL's default one and shows less of it: of the kinds of key,
 * those that certificates and key exchanges may have; of the decoders, those of their public keys.
 * All else (ciphers, digests, signatures) is passed on. Private keys are read elsewhere, by the
 * whole library. */
#include "proxy/tls_library.h"

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "belfry/slice.h"

#define SHOWN_MAX 16

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *library;
static OSSL_PROVIDER *whole;
static OSSL_PROVIDER *shown;
static OSSL_ALGORITHM keys[SHOWN_MAX + 1]; /* each ends with a row of zeros */
static OSSL_ALGORITHM decoders[SHOWN_MAX + 1];

/* An algorithm has several names, "EC:id-ecPublicKey:1.2.840.10045.2.1": by the first. Each more
 * costs all handshakes: no DH, DSA, SM2, X448. HMAC is a kind of key to OpenSSL where it
 * checks a ticket's binder. */
static bool is_of_handshakes(const OSSL_ALGORITHM *a)
{
    static const char *const names[] = {"EC",    "RSA",  "RSA-PSS",    "X25519",        "ED25519",
                                        "ED448", "HMAC", "ML-KEM-768", "X25519MLKEM768"};
    struct slice all = slice_of(a->algorithm_names);
    const struct slice first = slice_cut(&all, ':');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq(first, slice_of(names[i])))
            return true;
    return false;
}

/* "provider=default,fips=yes,input=der,structure=SubjectPublicKeyInfo" */
static bool is_of_certificates(const OSSL_ALGORITHM *a)
{
    return is_of_handshakes(a) && strstr(a->property_definition, "input=der") &&
           strstr(a->property_definition, "structure=SubjectPublicKeyInfo");
}

static bool show(OSSL_ALGORITHM *out, int operation, bool (*is_shown)(const OSSL_ALGORITHM *))
{
    size_t count = 0;
    int is_not_kept = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(whole, operation, &is_not_kept);
    for (; all && all->algorithm_names && count < SHOWN_MAX; all++)
        if (is_shown(all))
            out[count++] = *all;
    return count > 0;
}

static const OSSL_ALGORITHM *query(void *provider, int operation, int *is_not_kept)
{
    (void)provider;
    if (operation != OSSL_OP_KEYMGMT && operation != OSSL_OP_DECODER)
        return OSSL_PROVIDER_query_operation(whole, operation, is_not_kept);
    *is_not_kept = 0;
    return operation == OSSL_OP_KEYMGMT ? keys : decoders;
}

static int capabilities(void *provider, const char *which, OSSL_CALLBACK *each, void *arg)
{
    (void)provider;
    return OSSL_PROVIDER_get_capabilities(whole, which, each, arg);
}

/* The functions that are shown are those of the default provider, so they get its context. */
static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **provider)
{
    static const OSSL_DISPATCH table[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))capabilities},
        {0, NULL}};
    (void)handle, (void)in;
    *out = table;
    *provider = OSSL_PROVIDER_get0_provider_ctx(whole);
    return 1;
}

/* Its random numbers lie in the memory for secrets, where nobody else looks for what they hold. */
static void library_free(void)
{
    (void)OSSL_PROVIDER_unload(shown);
    OSSL_LIB_CTX_free(library);
    (void)OSSL_PROVIDER_unload(whole);
}

static void library_make(void)
{
    whole = OSSL_PROVIDER_load(NULL, "default");
    library = OSSL_LIB_CTX_new();
    if (whole && library && show(keys, OSSL_OP_KEYMGMT, is_of_handshakes) &&
        show(decoders, OSSL_OP_DECODER, is_of_certificates) &&
        OSSL_PROVIDER_add_builtin(library, "handshakes", provider_init) == 1 &&
        (shown = OSSL_PROVIDER_load(library, "handshakes")) && OPENSSL_atexit(library_free) == 1)
        return;
    fprintf(stderr, "belfry: OpenSSL has no working default provider\n");
    abort();
}

OSSL_LIB_CTX *tls_library(void)
{
    (void)pthread_once(&once, library_make);
    return library;
}
