// SPDX-License-Identifier: EUPL-1.2
/* Makes TLS views. The digests decide what may share: a ticket, a connection, a whole view. What a
 * handshake does with a view is in tls.c. */
#include "proxy/view.h"

#include <openssl/x509v3.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/secret.h"
#include "proxy/pem.h"
#include "proxy/tls.h"

static void digest_of(const struct view_settings *s, struct chain_trust *trust, uint8_t out[32])
{
    static const char modes[] = "trdn"; /* one letter an enum device_mode, in its order */
    struct slice parts[] = {
        SLICE("belfry view 1"),
        s->app->entity,
        {&modes[s->app->device], 1},
        trust ? slice_from(chain_trust_digest(trust), 32) : SLICE("none"),
    };
    sha256_parts(out, parts, sizeof parts / sizeof *parts);
}

static void build_of(const struct view *v, struct slice host, struct slice chain, struct slice key,
                     uint8_t out[32])
{
    struct slice parts[] = {slice_from(v->digest, 32), host, chain, key};
    sha256_parts(out, parts, sizeof parts / sizeof *parts);
}

/* The chain into the context; checks that it names the host. */
static bool use_chain(struct view *v, struct slice pem, const char *host, struct fault *f)
{
    X509 *leaf;
    if (!pem_use_chain(v->ctx, pem, f))
        return false;
    leaf = SSL_CTX_get0_certificate(v->ctx);
    return X509_check_host(leaf, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1 ||
           fault_set(f, FAULT_CONFIG, "the certificate does not name '%s'", host);
}

static bool read_files(const struct view_settings *s, struct slice *chain, struct secret *key,
                       struct fault *f)
{
    char path[512];
    int n = snprintf(path, sizeof path, "%s/%.*s/fullchain.pem", s->certificates_dir,
                     SLICE_ARG(s->app->host));
    if (n < 0 || (size_t)n >= sizeof path)
        return fault_set(f, FAULT_LIMIT, "the path of certificates_dir is too long");
    if (!file_read(chain, path, PEM_CHAIN_MAX_BYTES, f))
        return false;
    (void)snprintf(path, sizeof path, "%s/%.*s/key.pem", s->certificates_dir,
                   SLICE_ARG(s->app->host));
    return file_read_secret(key, path, PEM_CHAIN_MAX_BYTES, f);
}

struct view *view_make(const struct view_settings *s, struct view *const *old, uint32_t old_count,
                       struct fault *f)
{
    struct view *v = mem_new(struct view);
    struct view *equal = NULL;
    struct slice chain = {0};
    struct secret key = {0};
    bool ok = false;
    char *host = mem_text(s->app->host);
    atomic_init(&v->references, 1);
    v->device = s->app->device;
    if (v->device != DEVICE_NONE) {
        v->trust = s->trust ? chain_trust_ref(s->trust)
                            : chain_trust_new(s->authorities, s->authority_count, f);
        if (!v->trust)
            goto out;
    }
    digest_of(s, v->trust, v->digest);
    if (s->last && memcmp(s->last->digest, v->digest, sizeof v->digest) == 0) {
        equal = view_ref(s->last);
        goto out;
    }
    if (!read_files(s, &chain, &key, f))
        goto out;
    build_of(v, s->app->host, chain, slice_from(key.bytes, key.len), v->build);
    for (uint32_t i = 0; i < old_count && !equal; i++)
        if (memcmp(old[i]->build, v->build, sizeof v->build) == 0)
            equal = view_ref(old[i]);
    if (equal)
        goto out;
    v->ctx = tls_view_context();
    if (v->trust)
        SSL_CTX_set0_CA_list(v->ctx, SSL_dup_CA_list(chain_trust_names(v->trust)));
    ok = use_chain(v, chain, host, f) && pem_use_key(v->ctx, &key, f);
out:
    mem_slice_free(&chain);
    secret_fini(&key);
    mem_free(host);
    if (ok)
        return v;
    view_unref(v);
    if (!equal)
        (void)fault_within(f, "host '%.*s'", SLICE_ARG(s->app->host));
    return equal;
}

struct view *view_ref(struct view *v)
{
    if (v)
        atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed);
    return v;
}

void view_unref(struct view *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel) != 1)
        return;
    chain_trust_unref(v->trust);
    SSL_CTX_free(v->ctx);
    mem_free(v);
}
