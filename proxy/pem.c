// SPDX-License-Identifier: EUPL-1.2
/* All of a text is read, or it is refused: a certificate that does not parse is not the end of it.
 */
#include "proxy/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>

/* So that nobody is asked for a password on a terminal. */
static int no_password(char *buffer, int size, int writing, void *owner)
{
    (void)buffer, (void)size, (void)writing, (void)owner;
    return -1;
}

/* Whether all of the text was read: its end is "no start line" to OpenSSL, and anything else is a
 * certificate that does not parse. */
static bool has_ended(void)
{
    const unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

bool pem_use_chain(SSL_CTX *ctx, struct slice chain, struct fault *f)
{
    bool ok = false;
    BIO *bio = BIO_new_mem_buf(chain.ptr, (int)chain.len);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    if (!leaf) {
        (void)fault_set(f, FAULT_SYNTAX, "no certificate in it");
        goto out;
    }
    if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0) { /* 0: it is no time */
        (void)fault_set(f, FAULT_TRUST, "the certificate has expired");
        goto out;
    }
    if (SSL_CTX_use_certificate(ctx, leaf) != 1) {
        (void)fault_set(f, FAULT_CONFIG, "OpenSSL does not take the certificate");
        goto out;
    }
    for (X509 *next; (next = PEM_read_bio_X509(bio, NULL, no_password, NULL));) {
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
            X509_free(next);
            (void)fault_set(f, FAULT_CONFIG, "OpenSSL does not take a certificate of the chain");
            goto out;
        }
    }
    if (!has_ended()) {
        (void)fault_set(f, FAULT_SYNTAX, "a certificate of the chain does not parse");
        goto out;
    }
    ok = true;
out:
    ERR_clear_error();
    X509_free(leaf);
    BIO_free(bio);
    return ok;
}

bool pem_use_key(SSL_CTX *ctx, const struct secret *pem, struct fault *f)
{
    BIO *bio = BIO_new_mem_buf(pem->bytes, (int)pem->len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return ok || fault_set(f, FAULT_CONFIG, "the key does not fit the certificate");
}

bool pem_add_authorities(X509_STORE *store, struct slice certificates, struct fault *f)
{
    BIO *bio = BIO_new_mem_buf(certificates.ptr, (int)certificates.len);
    uint32_t count = 0;
    bool ok = bio != NULL;
    for (X509 *x; ok && (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)); count++) {
        ok = X509_STORE_add_cert(store, x) == 1;
        X509_free(x);
    }
    ok = ok && count && has_ended();
    ERR_clear_error();
    BIO_free(bio);
    return ok || fault_set(f, FAULT_SYNTAX, "the authorities are no certificates");
}
