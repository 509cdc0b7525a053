// SPDX-License-Identifier: EUPL-1.2
/* See https.h. */
#include "https.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/mem.h"
#include "pki.h"

#define PATHS_MAX 8

struct https {
    int listener;
    uint16_t port;
    char ca[64];
    SSL_CTX *ctx;
    pthread_t thread;
    pthread_mutex_t lock; /* of what stands below */
    struct {
        const char *path;
        int status;
        const char *body;
        unsigned requests;
        char last[16384];
    } paths[PATHS_MAX];
    unsigned count;
    _Atomic unsigned connections;
};

/* Head and body are there, as far as Content-Length says. */
static bool is_whole(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n");
    const char *length = strstr(request, "Content-Length: ");
    return end && strlen(end + 4) >= (length ? strtoul(length + 16, NULL, 10) : 0);
}

static void answer(struct https *h, SSL *ssl)
{
    char request[16384] = "";
    char head[512];
    size_t len = 0;
    while (len + 1 < sizeof request && !is_whole(request)) {
        const int n = SSL_read(ssl, request + len, (int)(sizeof request - 1 - len));
        if (n <= 0)
            return;
        len += (size_t)n;
        request[len] = '\0';
    }
    struct slice rest = slice_of(request);
    (void)slice_cut(&rest, ' ');
    const struct slice path = slice_cut(&rest, ' ');
    int status = 404;
    const char *body = "";
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->count; i++) {
        if (!slice_eq(path, slice_of(h->paths[i].path)))
            continue;
        status = h->paths[i].status;
        body = h->paths[i].body;
        h->paths[i].requests++;
        memcpy(h->paths[i].last, request, len + 1);
    }
    pthread_mutex_unlock(&h->lock);
    const int head_len =
        snprintf(head, sizeof head,
                 "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n"
                 "Content-Type: application/%s\r\n"
                 "Location: https://idp.localhost:%u/keys\r\n"
                 "Connection: close\r\n\r\n",
                 status, strlen(body), *body == '{' ? "json" : "jwt", (unsigned)h->port);
    (void)SSL_write(ssl, head, head_len);
    if (*body)
        (void)SSL_write(ssl, body, (int)strlen(body));
    (void)SSL_shutdown(ssl);
}

static void *serve(void *owner)
{
    struct https *h = owner;
    for (int fd; (fd = accept(h->listener, NULL, NULL)) >= 0; close(fd)) {
        const struct timeval limit = {5, 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        h->connections++;
        SSL *ssl = SSL_new(h->ctx);
        if (ssl && SSL_set_fd(ssl, fd) && SSL_accept(ssl) == 1)
            answer(h, ssl);
        SSL_free(ssl);
    }
    return NULL;
}

static void certificate_use(struct https *h)
{
    const int64_t now = time(NULL); // the fetcher goes by the clock
    struct pki_end root = pki_make(&(struct pki_spec){.common_name = "Test",
                                                      .basic = "critical,CA:TRUE",
                                                      .usage = PKI_CA_USAGE,
                                                      .not_before_s = now - DAY_S,
                                                      .not_after_s = now + DAY_S});
    struct pki_end leaf = pki_make(&(struct pki_spec){.common_name = "idp",
                                                      .issuer = &root,
                                                      .usage = PKI_LEAF_USAGE,
                                                      .extended = "serverAuth",
                                                      .names = "DNS:idp.localhost",
                                                      .not_before_s = now - DAY_S,
                                                      .not_after_s = now + DAY_S});
    char *pem = NULL;
    pki_pem(&pem, root.certificate);
    (void)snprintf(h->ca, sizeof h->ca, "/tmp/belfry-ca-XXXXXX");
    const int fd = mkstemp(h->ca);
    assert(fd >= 0 && write(fd, pem, strlen(pem)) == (ssize_t)strlen(pem));
    close(fd);
    mem_free(pem);
    assert(SSL_CTX_use_certificate(h->ctx, leaf.certificate) &&
           SSL_CTX_use_PrivateKey(h->ctx, leaf.key));
    pki_end_fini(&leaf);
    pki_end_fini(&root);
}

struct https *https_new(void)
{
    (void)signal(SIGPIPE, SIG_IGN); // a client may hang up before it has its answer
    struct https *h = mem_new(struct https);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    h->ctx = SSL_CTX_new(TLS_server_method());
    assert(h->ctx);
    certificate_use(h);
    h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(h->listener >= 0 && !bind(h->listener, (struct sockaddr *)&address, len) &&
           !listen(h->listener, 16) &&
           !getsockname(h->listener, (struct sockaddr *)&address, &len));
    h->port = ntohs(address.sin_port);
    pthread_mutex_init(&h->lock, NULL);
    assert(!pthread_create(&h->thread, NULL, serve, h));
    return h;
}

void https_free(struct https *h)
{
    (void)shutdown(h->listener, SHUT_RDWR); // ends accept
    pthread_join(h->thread, NULL);
    close(h->listener);
    (void)unlink(h->ca);
    SSL_CTX_free(h->ctx);
    pthread_mutex_destroy(&h->lock);
    mem_free(h);
}

uint16_t https_port(const struct https *h)
{
    return h->port;
}

const char *https_ca(const struct https *h)
{
    return h->ca;
}

void https_answer(struct https *h, const char *path, int status, const char *body)
{
    unsigned at = 0;
    pthread_mutex_lock(&h->lock);
    while (at < h->count && strcmp(h->paths[at].path, path))
        at++;
    assert(at < PATHS_MAX);
    h->paths[at].path = path;
    h->paths[at].status = status;
    h->paths[at].body = body;
    h->count = at < h->count ? h->count : at + 1;
    pthread_mutex_unlock(&h->lock);
}

unsigned https_connections(const struct https *h)
{
    return h->connections;
}

unsigned https_requests(struct https *h, const char *path)
{
    unsigned requests = 0;
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->count; i++)
        if (!strcmp(h->paths[i].path, path))
            requests = h->paths[i].requests;
    pthread_mutex_unlock(&h->lock);
    return requests;
}

void https_last(struct https *h, const char *path, char out[16384])
{
    *out = '\0';
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->count; i++)
        if (!strcmp(h->paths[i].path, path))
            memcpy(out, h->paths[i].last, 16384);
    pthread_mutex_unlock(&h->lock);
}
