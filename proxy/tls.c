// SPDX-License-Identifier: EUPL-1.2
/* What happens inside a handshake, in its order: hello (the view is chosen), ticket (resumed or
 * not), verify (the certificate is judged), ALPN, ticket made. All callbacks are set on the
 * worker's context and on every view's: OpenSSL asks some of them of the one and some of the other,
 * and after SSL_set_SSL_CTX only the certificate and the names of authorities have moved; verify
 * mode and session id context are set by hand. */
#include "proxy/tls.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/secret.h"
#include "proxy/tls_library.h"

#define TICKET_LIFE_S 3600 /* a morning's reconnects; each use judges the certificate anyway */
#define TICKET_DATA_VERSION 2
#define RECORDS_WITHOUT_DATA_MAX 64 /* real clients send one key update in millions of records */
#define TICKET_CHAIN_MAX_BYTES 7168 /* certificates beyond this: no ticket that can be used */
#define SESSION_PEER_TAG 3          /* the certificate's place in OpenSSL's form of a session */

static int peer_slot = -1; /* the ex_data number of struct tls_peer; set once, before any thread */

static struct tls_peer *peer_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, peer_slot);
}

static void judged_fini(struct device_judged *j)
{
    vouch_unref(j->vouch);
    *j = (struct device_judged){0};
}

static void judged_set(struct device_judged *j, struct vouch *take)
{
    *j = (struct device_judged){.is_set = true,
                                .seen = take->answer.verdict == CHAIN_GOOD ? DEVICE_SEEN_GOOD
                                                                           : DEVICE_SEEN_BAD,
                                .detail = take->answer.detail,
                                .vouch = take};
}

/* 1. Hello. RFC 6066 §3: a list with one host_name. Anything else is no name. */
static bool sni_of_hello(SSL *ssl, struct slice *out)
{
    const unsigned char *p;
    size_t len;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len) || len < 5)
        return false;
    size_t list = (size_t)p[0] << 8 | p[1];
    size_t name = (size_t)p[3] << 8 | p[4];
    if (list != len - 2 || p[2] != TLSEXT_NAMETYPE_host_name || name != len - 5)
        return false;
    *out = slice_from(p + 5, name);
    return true;
}

static int refuse_hello(struct tls_peer *peer, int *alert, int with, const char *why)
{
    peer->refusal = why;
    *alert = with;
    return SSL_CLIENT_HELLO_ERROR;
}

static void take_view(SSL *ssl, struct tls_peer *peer, struct view *view)
{
    static const int modes[] = {
        [DEVICE_REQUIRED_BY_TLS] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        [DEVICE_REQUIRED] = SSL_VERIFY_PEER,
        [DEVICE_OPTIONAL] = SSL_VERIFY_PEER,
        [DEVICE_NONE] = SSL_VERIFY_NONE,
    };
    assert(view);
    if (peer->view != view) {
        view_unref(peer->view);
        peer->view = view_ref(view);
    }
    SSL_set_SSL_CTX(ssl, view->ctx);
    SSL_set_verify(ssl, modes[view->device], NULL);
}

/* A session is resumed only under the view and the name that it was made for. RFC 6066 §3: never
 * under another name. (TLS 1.3 would allow it; nobody needs it.) */
static bool bind_sessions(SSL *ssl, const struct tls_peer *peer)
{
    uint8_t context[32];
    const struct slice parts[] = {slice_from(peer->view->digest, sizeof peer->view->digest),
                                  slice_from(peer->sni, peer->sni_len)};
    sha256_parts(context, parts, sizeof parts / sizeof *parts);
    return SSL_set_session_id_context(ssl, context, sizeof context) == 1;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    struct tls_peer *peer = peer_of(ssl);
    struct slice text;
    struct slice host;
    char canonical[HOST_MAX];
    uint16_t port;
    const struct door *door;
    (void)arg;
    if (!sni_of_hello(ssl, &text))
        return refuse_hello(peer, alert, SSL_AD_UNRECOGNIZED_NAME, "no server name");
    if (!host_parse(text, canonical, &host, &port) || port)
        return refuse_hello(peer, alert, SSL_AD_UNRECOGNIZED_NAME, "malformed server name");
    /* After a HelloRetryRequest there is a second hello; OpenSSL does not compare the names. */
    if (peer->view && !slice_eq(host, slice_from(peer->sni, peer->sni_len)))
        return refuse_hello(peer, alert, SSL_AD_ILLEGAL_PARAMETER,
                            "a second hello names another host");
    door = edition_door(peer->edition, host);
    if (!door)
        return refuse_hello(peer, alert, SSL_AD_UNRECOGNIZED_NAME, "unknown server name");
    memcpy(peer->sni, host.ptr, host.len);
    peer->sni_len = host.len;
    take_view(ssl, peer, door->view);
    if (!bind_sessions(ssl, peer))
        return refuse_hello(peer, alert, SSL_AD_INTERNAL_ERROR, "session id context");
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* 2. Ticket. Its data is: version, view digest, 1 or 0 for a device or none, then the device's
 * chain. A session of a bad certificate holds nothing, and is never resumed. */
#define TICKET_HEAD_BYTES (1 + 32 + 1)
struct ticket_data {
    uint8_t bytes[TICKET_HEAD_BYTES + TICKET_CHAIN_MAX_BYTES];
    size_t len;
};

static void ticket_write(struct ticket_data *d, const struct tls_peer *peer,
                         const struct device_judged *j)
{
    const struct slice chain = j->vouch ? j->vouch->chain : (struct slice){0};
    d->len = 0;
    if (!peer->view || (j->is_set && j->seen != DEVICE_SEEN_GOOD))
        return;
    if (chain.len > TICKET_CHAIN_MAX_BYTES || (j->vouch && !chain.len))
        return; /* not at hand later: no resumption */
    d->bytes[0] = TICKET_DATA_VERSION;
    memcpy(d->bytes + 1, peer->view->digest, 32);
    d->bytes[TICKET_HEAD_BYTES - 1] = chain.len != 0;
    if (chain.len)
        memcpy(d->bytes + TICKET_HEAD_BYTES, chain.ptr, chain.len);
    d->len = TICKET_HEAD_BYTES + chain.len;
}

/* Takes the certificate out of DER: SEQUENCE { ..., [3] certificate, ... }. 0 where there is none.
 * What is left begins at *start. */
static size_t session_cut(unsigned char *der, size_t len, unsigned char **start)
{
    const unsigned char *at = der;
    long room;
    int tag;
    int class;
    if (ASN1_get_object(&at, &room, &tag, &class, (long)len) & 0x80 || tag != V_ASN1_SEQUENCE)
        return 0;
    unsigned char *const body = der + (at - der);
    const unsigned char *const end = at + room;
    while (at < end) {
        unsigned char *const part = der + (at - der);
        if (ASN1_get_object(&at, &room, &tag, &class, end - at) & 0x80)
            return 0;
        at += room;
        if (tag != SESSION_PEER_TAG || class != V_ASN1_CONTEXT_SPECIFIC)
            continue;
        const size_t cut = (size_t)(at - part);
        const size_t left = (size_t)(end - body) - cut;
        memmove(part, at, (size_t)(end - at));
        const int head = ASN1_object_size(1, (int)left, V_ASN1_SEQUENCE) - (int)left;
        unsigned char *put = *start = body - head; /* a shorter length takes no more bytes */
        ASN1_put_object(&put, 1, (int)left, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
        return left + (size_t)head;
    }
    return 0;
}

/* The chain is in the ticket's own data. OpenSSL 3.0 would put the certificate into the ticket once
 * more, and parses it twice on the way: as much work as all of the handshake's signatures. In TLS
 * 1.3 nothing asks for it after this. Where it can't be taken out the ticket is as good. */
static void session_forget_certificate(SSL_SESSION *session)
{
    unsigned char *der = NULL;
    unsigned char *start = NULL;
    const int len = i2d_SSL_SESSION(session, &der);
    const size_t left = len > 0 ? session_cut(der, (size_t)len, &start) : 0;
    const unsigned char *from = start;
    if (left)
        (void)d2i_SSL_SESSION(&session, &from, (long)left);
    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    ERR_clear_error();
}

static int on_ticket_made(SSL *ssl, void *arg)
{
    struct tls_peer *peer = peer_of(ssl);
    struct ticket_data d;
    SSL_SESSION *session = SSL_get_session(ssl);
    (void)arg;
    ticket_write(&d, peer, SSL_session_reused(ssl) ? &peer->ticket : &peer->handshake);
    if (SSL_SESSION_get0_peer(session) && SSL_version(ssl) == TLS1_3_VERSION)
        session_forget_certificate(session);
    return SSL_SESSION_set1_ticket_appdata(session, d.bytes, d.len);
}

/* In a handshake nothing can be waited for: what is not known yet is asked for in the first
 * request.
 */
static const char *is_known_bad(const struct tls_worker *w, const struct vouch *v)
{
    struct status_answer status;
    statuses_judge(w->statuses, &v->answer, wall_now(), &status);
    const bool is_bad = status.is_known && status.reason != REASON_PERMITTED &&
                        status.reason != REASON_REVOCATION_UNKNOWN;
    return is_bad ? status.detail : NULL;
}

/* By the entity whose host was asked for: each takes back only what is its own. */
static const char *is_taken_back(const struct tls_peer *peer, const struct vouch *v)
{
    const struct revocations *t = peer->worker->revocations;
    const struct door *door =
        t && t->lists.count ? edition_door(peer->edition, slice_from(peer->sni, peer->sni_len))
                            : NULL;
    const bool is_revoked =
        door && v->device &&
        revocations_device(t, door->app->entity, &v->device->device, wall_now());
    return is_revoked ? "the device has been revoked" : NULL;
}

/* May this session be resumed at this view, now? Fills peer->ticket where it may. */
static bool ticket_holds(struct tls_peer *peer, SSL_SESSION *session)
{
    void *bytes = NULL;
    size_t len = 0;
    struct device_judged *j = &peer->ticket;
    judged_fini(j);
    if (!peer->view || SSL_SESSION_get0_ticket_appdata(session, &bytes, &len) != 1 ||
        len < TICKET_HEAD_BYTES)
        return false;
    const struct slice data = slice_from(bytes, len);
    const struct slice chain = slice_skip(data, TICKET_HEAD_BYTES);
    if (data.ptr[0] != TICKET_DATA_VERSION || memcmp(data.ptr + 1, peer->view->digest, 32) != 0)
        return false;
    if (!data.ptr[TICKET_HEAD_BYTES - 1]) {
        *j = (struct device_judged){.is_set = true, .seen = DEVICE_SEEN_NONE};
        return !chain.len && peer->view->device != DEVICE_REQUIRED_BY_TLS;
    }
    if (!chain.len || !peer->view->trust)
        return false;
    struct vouch *vouch =
        vouch_of_chain(peer->worker->vouches, peer->view->trust, chain, wall_now());
    if (!vouch)
        return false;
    judged_set(j, vouch);
    return j->seen == DEVICE_SEEN_GOOD && !is_known_bad(peer->worker, vouch) &&
           !is_taken_back(peer, vouch);
}

static SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                          size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    struct tls_peer *peer = peer_of(ssl);
    (void)name, (void)name_len, (void)arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!ticket_holds(peer, session)) {
        judged_fini(&peer->ticket);
        peer->ticket_refused = true;
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    /* RFC 8446 §C.4: in TLS 1.3 clients use a ticket once, so each visit brings the next. */
    return status == SSL_TICKET_SUCCESS && SSL_version(ssl) != TLS1_3_VERSION
               ? SSL_TICKET_RETURN_USE
               : SSL_TICKET_RETURN_USE_RENEW;
}

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int enc)
{
    const struct ticket_ring *ring = peer_of(ssl)->worker->ring;
    const struct ticket_key *key = NULL;
    OSSL_PARAM params[3];
    if (enc) {
        key = &ring->keys[0];
        memcpy(name, key->name, sizeof key->name);
        entropy_bytes(iv, 16);
    } else {
        for (uint32_t i = 0; i < ring->count && !key; i++)
            if (memcmp(ring->keys[i].name, name, sizeof key->name) == 0)
                key = &ring->keys[i];
        if (!key)
            return 0; /* not ours: a full handshake */
    }
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac,
                                                  sizeof key->hmac);
    params[1] =
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0);
    params[2] = OSSL_PARAM_construct_end();
    if (EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv, enc) != 1)
        return -1;
    return enc || key == &ring->keys[0] ? 1 : 2; /* 2: opened by an older key, seal a new ticket */
}

/* 3. Verify. Returns 1 on hosts that only ask: the verdict is kept and said in HTTP. */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_peer *peer = peer_of(ssl);
    struct device_judged *j = &peer->handshake;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    (void)arg;
    judged_fini(j);
    X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    if (!peer->view || !peer->view->trust || !leaf)
        return 0; /* nobody was asked */
    judged_set(j, vouch_of(peer->worker->vouches, peer->view->trust, leaf,
                           X509_STORE_CTX_get0_untrusted(store), wall_now()));
    X509_STORE_CTX_set_error(store, j->vouch->answer.x509_error);
    if (j->seen != DEVICE_SEEN_GOOD && peer->view->device == DEVICE_REQUIRED_BY_TLS) {
        peer->refusal = j->detail;
        return 0;
    }
    /* Elsewhere a person is told so in words. */
    if (j->seen == DEVICE_SEEN_GOOD && peer->view->device == DEVICE_REQUIRED_BY_TLS &&
        ((peer->refusal = is_known_bad(peer->worker, j->vouch)) ||
         (peer->refusal = is_taken_back(peer, j->vouch)))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
        return 0;
    }
    return 1;
}

/* 4. ALPN (RFC 7301 §3.2): h2 where it is offered, else http/1.1; no overlap is an alert. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl, (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* One SSL_read reads as many records without data (key updates, and hellos that we only say no to)
 * as the client sends: it could hold a worker for ever. RFC 8446 §4.6.3 sets no limit, so we do. */
static void on_record(int is_ours, int version, int type, const void *bytes, size_t len, SSL *ssl,
                      void *arg)
{
    struct tls_peer *peer = peer_of(ssl);
    (void)version, (void)bytes, (void)len, (void)arg;
    if (is_ours || type != SSL3_RT_HEADER || !peer->device.is_set)
        return;
    if (++peer->records > RECORDS_WITHOUT_DATA_MAX)
        SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN); /* the read ends before the next record */
}

static SSL_CTX *context_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(tls_library(), NULL, TLS_server_method());
    /* RFC 9113 §9.2.2 and RFC 9325: forward secrecy and AEAD only in TLS 1.2. */
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx,
                                "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305") != 1) {
        fprintf(stderr, "belfry: OpenSSL can't make a TLS context\n");
        abort();
    }
    /* The hybrid where OpenSSL has it (3.5). X25519 costs a sixth of P-256, whose points it checks;
     * larger curves are for those who have nothing else. */
    if (SSL_CTX_set1_groups_list(ctx, "X25519MLKEM768:X25519:P-256:P-384") != 1)
        (void)SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384");
    ERR_clear_error();
    SSL_CTX_set_security_level(ctx, 2); /* 112 bits, whatever the system's openssl.cnf says */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_timeout(ctx, TICKET_LIFE_S);
    (void)SSL_CTX_set_max_early_data(ctx, 0);
    (void)SSL_CTX_set_num_tickets(ctx, 1);           /* two are the default; one is used */
    SSL_CTX_set_max_cert_list(ctx, CHAIN_MAX_BYTES); /* of strangers; three times as many else */
    SSL_CTX_set_msg_callback(ctx, on_record);
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    (void)SSL_CTX_set_session_ticket_cb(ctx, on_ticket_made, on_ticket_opened, NULL);
    return ctx;
}

void tls_worker_init(struct tls_worker *w, const struct ticket_ring *ring)
{
    if (peer_slot < 0)
        peer_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    *w = (struct tls_worker){.ctx = context_new(), .ring = ring, .vouches = vouches_new()};
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(w->ctx, on_ticket_key);
    SSL_CTX_set_read_ahead(w->ctx, 1); /* one read(2) for several records */
}

void tls_worker_fini(struct tls_worker *w)
{
    SSL_CTX_free(w->ctx);
    vouches_free(w->vouches);
    statuses_unref(w->statuses);
    revocations_unref(w->revocations);
    *w = (struct tls_worker){0};
}

SSL_CTX *tls_view_context(void)
{
    return context_new();
}

SSL *tls_accept(const struct tls_worker *worker, struct tls_peer *peer, struct edition *take,
                int fd)
{
    SSL *ssl = SSL_new(worker->ctx);
    *peer = (struct tls_peer){.edition = take, .worker = worker};
    if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_set_ex_data(ssl, peer_slot, peer) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

void tls_peer_fini(struct tls_peer *peer)
{
    judged_fini(&peer->handshake);
    judged_fini(&peer->ticket);
    judged_fini(&peer->device);
    view_unref(peer->view);
    edition_unref(peer->edition);
    peer->view = NULL;
    peer->edition = NULL;
}

void tls_peer_settle(struct tls_peer *peer, const SSL *ssl)
{
    struct device_judged *counts = SSL_session_reused(ssl) ? &peer->ticket : &peer->handshake;
    peer->device = *counts;
    *counts = (struct device_judged){0};
    if (!peer->device.is_set) {
        /* A resumption that no ticket callback judged can't be: then there is no good device. */
        peer->device.seen = SSL_session_reused(ssl) ? DEVICE_SEEN_BAD : DEVICE_SEEN_NONE;
        peer->device.detail = "resumed without a verdict";
        peer->device.is_set = true;
    }
    judged_fini(&peer->handshake);
    judged_fini(&peer->ticket);
    /* The ticket is out: its data would lie with the connection as long as that lives. */
    (void)SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), NULL, 0);
    edition_unref(peer->edition);
    peer->edition = NULL;
}

void tls_peer_judge_again(struct tls_peer *peer, struct view *view, struct wall now)
{
    struct vouch *old = peer->device.vouch;
    struct view *old_view = peer->view;
    peer->view = view_ref(view);
    /* Without its bytes it was too large, and is so under any view. */
    struct vouch *again = old && old->chain.len && view->trust
                              ? vouch_of_chain(peer->worker->vouches, view->trust, old->chain, now)
                              : NULL;
    if (again) {
        judged_set(&peer->device, again);
        vouch_unref(old);
    } else if (old) {
        peer->device.seen = DEVICE_SEEN_BAD;
    }
    view_unref(old_view);
}

static int by_name_down(const void *a, const void *b)
{
    return strcmp(*(char *const *)b, *(char *const *)a);
}

static bool ticket_key_read(struct ticket_key *out, const char *path, struct fault *f)
{
    struct secret text = {0};
    uint8_t raw[80];
    bool ok;
    if (!file_read_secret(&text, path, 4096, f))
        return false;
    struct slice hex = slice_from(text.bytes, text.len);
    while (hex.len && (hex.ptr[hex.len - 1] == '\n' || hex.ptr[hex.len - 1] == '\r'))
        hex.len--;
    ok = hex.len == 2 * sizeof raw && hex_decode(raw, hex);
    if (ok) {
        memcpy(out->name, raw, 16);
        memcpy(out->aes, raw + 16, 32);
        memcpy(out->hmac, raw + 48, 32);
    }
    wipe(raw, sizeof raw);
    secret_fini(&text);
    return ok ||
           fault_set(f, FAULT_SYNTAX, "'%s' is no ticket key: 160 hex digits are wanted", path);
}

bool ticket_ring_read(struct ticket_ring *out, const char *keys_dir, struct fault *f)
{
    char dir[400];
    char path[700];
    char *names[64];
    size_t count = 0;
    bool ok = true;
    DIR *d;
    *out = (struct ticket_ring){0};
    if ((size_t)snprintf(dir, sizeof dir, "%s/ticket", keys_dir) >= sizeof dir)
        return fault_set(f, FAULT_LIMIT, "the path of keys_dir is too long");
    d = opendir(dir);
    if (!d && errno != ENOENT)
        return fault_set(f, FAULT_IO, "cannot read '%s': %s", dir, strerror(errno));
    if (!d) {
        out->count = 1;
        entropy_bytes(&out->keys[0], sizeof out->keys[0]);
        return true;
    }
    for (struct dirent *e; ok && (e = readdir(d));) {
        if (!slice_ends(slice_of(e->d_name), SLICE(".key")))
            continue;
        ok = count < sizeof names / sizeof *names; /* else the newest might not be among them */
        if (ok)
            names[count++] = mem_text(slice_of(e->d_name));
        else
            (void)fault_set(f, FAULT_LIMIT, "there are more than %zu keys in '%s'", count, dir);
    }
    closedir(d);
    qsort(names, count, sizeof *names, by_name_down);
    for (size_t i = 0; i < count; i++) {
        if (ok && out->count < TICKET_RING_MAX) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
            ok = ticket_key_read(&out->keys[out->count], path, f);
            out->count += ok;
        }
        mem_free(names[i]);
    }
    if (ok && !out->count)
        return fault_set(f, FAULT_CONFIG, "no *.key in '%s'; make one with: belfry key ring new %s",
                         dir, dir);
    return ok;
}

void ticket_ring_wipe(struct ticket_ring *r)
{
    wipe(r, sizeof *r);
}
