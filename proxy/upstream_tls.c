// SPDX-License-Identifier: EUPL-1.2
/* RFC 9525 towards upstreams: the chain ends in an authority that the entity's bundle names, never
 * in the system's, and the certificate names the reference identity as a DNS or IP subject
 * alternative name; a common name is no name. */
#include "proxy/upstream_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/secret.h"
#include "proxy/pem.h"

struct upstream_context *upstream_context_ref(struct upstream_context *u)
{
    if (u)
        atomic_fetch_add_explicit(&u->references, 1, memory_order_relaxed);
    return u;
}

void upstream_context_unref(struct upstream_context *u)
{
    if (!u || atomic_fetch_sub_explicit(&u->references, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(u->ctx);
    mem_free(u);
}

/* The reference identity of this connection's upstream. */
static bool set_identity(SSL *ssl, struct slice name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    unsigned char address[16];
    char text[256];
    if (!name.len || name.len >= sizeof text) /* without one there is nothing to verify by */
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1;
    return X509_VERIFY_PARAM_set1_host(param, name.ptr, name.len) == 1 &&
           SSL_set_tlsext_host_name(ssl, text) == 1;
}

static bool read_files(const char *keys_dir, struct slice entity, struct slice *chain,
                       struct secret *key, struct fault *f)
{
    char path[512];
    int n = snprintf(path, sizeof path, "%s/upstream/%.*s/cert.pem", keys_dir, SLICE_ARG(entity));
    if (n < 0 || (size_t)n >= sizeof path)
        return fault_set(f, FAULT_LIMIT, "the path of keys_dir is too long");
    if (!file_read(chain, path, PEM_CHAIN_MAX_BYTES, f))
        return false;
    (void)snprintf(path, sizeof path, "%s/upstream/%.*s/key.pem", keys_dir, SLICE_ARG(entity));
    return file_read_secret(key, path, PEM_CHAIN_MAX_BYTES, f);
}

static SSL_CTX *context_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        abort(); /* no memory: the one thing that it fails for */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    return ctx;
}

struct upstream_context *upstream_context_make(const struct application *app, const char *keys_dir,
                                               struct upstream_context *old, struct fault *f)
{
    const struct upstream_tls *tls = &app->tls;
    struct upstream_context *u = mem_new(struct upstream_context);
    struct slice chain = {0};
    struct secret key = {0};
    bool ok = false;
    atomic_init(&u->references, 1);
    if (tls->shows_certificate && !read_files(keys_dir, app->entity, &chain, &key, f)) {
        old = NULL;
        goto out;
    }
    const struct slice parts[] = {slice_from((const char *)tls->digest, sizeof tls->digest), chain,
                                  slice_from((const char *)key.bytes, key.len)};
    sha256_parts(u->digest, parts, sizeof parts / sizeof *parts);
    if (old && memcmp(old->digest, u->digest, sizeof u->digest) == 0)
        goto out;
    old = NULL;
    u->ctx = context_new();
    ok = pem_add_authorities(SSL_CTX_get_cert_store(u->ctx), tls->ca_pem, f) &&
         (!tls->shows_certificate ||
          (pem_use_chain(u->ctx, chain, f) && pem_use_key(u->ctx, &key, f)));
out:
    mem_slice_free(&chain);
    secret_fini(&key);
    if (ok)
        return u;
    upstream_context_unref(u);
    if (old)
        return upstream_context_ref(old);
    (void)fault_within(f, "upstreams of application '%.*s'", SLICE_ARG(app->id));
    return NULL;
}

SSL *upstream_ssl_new(const struct upstream_context *u, int fd, struct slice name,
                      struct slice alpn)
{
    unsigned char wire[16];
    SSL *ssl = SSL_new(u->ctx);
    if (!ssl || alpn.len >= sizeof wire)
        goto out;
    wire[0] = (unsigned char)alpn.len;
    memcpy(wire + 1, alpn.ptr, alpn.len);
    if (SSL_set_alpn_protos(ssl, wire, (unsigned)alpn.len + 1) != 0 || SSL_set_fd(ssl, fd) != 1 ||
        !set_identity(ssl, name))
        goto out;
    SSL_set_connect_state(ssl);
    return ssl;
out:
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}
