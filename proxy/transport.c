// SPDX-License-Identifier: EUPL-1.2
/* CONNECTING → (SHAKING →) OPEN → CLOSED. */
#include "proxy/transport.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/upstream_tls.h"

#define RECORD_BYTES 16384

static struct ev_loop *loop_of(const struct transport *t)
{
    return t->worker->loop.ev;
}

void transport_close(struct transport *t)
{
    if (t->state == TRANSPORT_CLOSED)
        return;
    t->state = TRANSPORT_CLOSED;
    ev_io_stop(loop_of(t), &t->in);
    ev_io_stop(loop_of(t), &t->out);
    later_cancel(&t->held);
    SSL_free(t->ssl);
    t->ssl = NULL;
    worker_close_later(t->worker, t->fd);
}

static void opened(struct transport *t)
{
    t->state = TRANSPORT_OPEN;
    ev_io_stop(loop_of(t), &t->out);
    ev_io_start(loop_of(t), &t->in);
    t->ops->opened(t);
}

/* What an operator can act on, out of what OpenSSL says. */
static const char *why_refused(const struct transport *t)
{
    long verdict = SSL_get_verify_result(t->ssl);
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
        return "its certificate does not name it";
    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    return "the TLS handshake failed";
}

static void shake_hands(struct transport *t)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    ERR_clear_error();
    int done = SSL_connect(t->ssl);
    if (done == 1) {
        SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_len);
        /* No choice at all is HTTP/1.1: many servers have never heard of ALPN. RFC 9113 §3.3 leaves
         * h2 no such way. */
        if (t->needs_alpn && !alpn_len) {
            t->ops->failed(t, REASON_UPSTREAM_TLS, "it does not speak the protocol asked for");
            return;
        }
        opened(t);
        return;
    }
    switch (SSL_get_error(t->ssl, done)) {
    case SSL_ERROR_WANT_READ:
        ev_io_stop(loop_of(t), &t->out);
        ev_io_start(loop_of(t), &t->in);
        return;
    case SSL_ERROR_WANT_WRITE:
        ev_io_start(loop_of(t), &t->out);
        return;
    default:
        t->ops->failed(t, REASON_UPSTREAM_TLS, why_refused(t));
        ERR_clear_error();
    }
}

static void connected(struct transport *t)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
        t->ops->failed(t, REASON_UPSTREAM_REFUSED,
                       error == ECONNREFUSED ? "connection refused" : "it can't be reached");
        return;
    }
    if (!t->ssl) {
        opened(t);
        return;
    }
    t->state = TRANSPORT_SHAKING;
    shake_hands(t);
}

static void on_readable(EV_P_ ev_io *io, int events)
{
    struct transport *t = io->data;
    (void)loop, (void)events;
    if (t->state == TRANSPORT_SHAKING)
        shake_hands(t);
    else if (t->state == TRANSPORT_OPEN) {
        bool was_blocked = t->is_read_blocked;
        t->is_read_blocked = false;
        t->ops->readable(t);
        if (was_blocked && t->state == TRANSPORT_OPEN)
            t->ops->writable(t);
    }
}

static void on_writable(EV_P_ ev_io *io, int events)
{
    struct transport *t = io->data;
    (void)loop, (void)events;
    if (t->state == TRANSPORT_CONNECTING)
        connected(t);
    else if (t->state == TRANSPORT_SHAKING)
        shake_hands(t);
    else if (t->state == TRANSPORT_OPEN) {
        ev_io_stop(loop_of(t), &t->out);
        t->ops->writable(t);
    }
}

static void on_held(struct later *self)
{
    struct transport *t = container_of(self, struct transport, held);
    if (t->state == TRANSPORT_OPEN && ev_is_active(&t->in))
        t->ops->readable(t);
}

bool transport_open(struct transport *t, const struct endpoint *to, struct slice alpn)
{
    struct worker *w = to->worker;
    int one = 1;
    int fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    t->state = TRANSPORT_CLOSED;
    if (fd < 0)
        return false;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    t->ssl = to->tls ? upstream_ssl_new(to->tls, fd, to->name, alpn) : NULL;
    if ((to->tls && !t->ssl) ||
        (connect(fd, (const struct sockaddr *)&to->address, to->address_len) != 0 &&
         errno != EINPROGRESS)) {
        SSL_free(t->ssl);
        t->ssl = NULL;
        (void)close(fd);
        return false;
    }
    t->worker = w;
    t->fd = fd;
    t->needs_alpn = to->tls && slice_eq(alpn, SLICE("h2"));
    t->state = TRANSPORT_CONNECTING;
    t->is_read_blocked = false;
    t->held.run = on_held;
    ev_io_init(&t->in, on_readable, fd, EV_READ);
    ev_io_init(&t->out, on_writable, fd, EV_WRITE);
    t->in.data = t->out.data = t;
    ev_io_start(w->loop.ev, &t->out);
    return true;
}

static ssize_t read_tls(struct transport *t, char *bytes, size_t room)
{
    ERR_clear_error();
    int n = SSL_read(t->ssl, bytes, room < INT_MAX ? (int)room : INT_MAX);
    if (n > 0)
        return n;
    switch (SSL_get_error(t->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return TRANSPORT_NOT_NOW;
    case SSL_ERROR_WANT_WRITE:
        ev_io_start(loop_of(t), &t->out);
        return TRANSPORT_NOT_NOW;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default: /* also an end without close_notify: somebody may have cut it short (RFC 8446 §6.1) */
        ERR_clear_error();
        return TRANSPORT_BROKEN;
    }
}

ssize_t transport_read(struct transport *t, char *bytes, size_t room)
{
    ssize_t n;
    if (t->ssl)
        return read_tls(t, bytes, room);
    do
        n = recv(t->fd, bytes, room, 0);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? TRANSPORT_NOT_NOW : TRANSPORT_BROKEN;
}

static ssize_t write_tls(struct transport *t, struct slice bytes)
{
    ERR_clear_error();
    int n = SSL_write(t->ssl, bytes.ptr, bytes.len < RECORD_BYTES ? (int)bytes.len : RECORD_BYTES);
    if (n > 0)
        return n;
    switch (SSL_get_error(t->ssl, n)) {
    case SSL_ERROR_WANT_WRITE:
        ev_io_start(loop_of(t), &t->out);
        return TRANSPORT_NOT_NOW;
    case SSL_ERROR_WANT_READ:
        t->is_read_blocked = true;
        ev_io_start(loop_of(t), &t->in);
        return TRANSPORT_NOT_NOW;
    default:
        ERR_clear_error();
        return TRANSPORT_BROKEN;
    }
}

ssize_t transport_write(struct transport *t, struct slice bytes)
{
    ssize_t n;
    if (t->ssl)
        return write_tls(t, bytes);
    do
        n = send(t->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        return TRANSPORT_BROKEN;
    ev_io_start(loop_of(t), &t->out);
    return TRANSPORT_NOT_NOW;
}

void transport_read_on(struct transport *t)
{
    ev_io_start(loop_of(t), &t->in);
    if (t->ssl && SSL_pending(t->ssl) > 0)
        loop_next(&t->worker->loop, &t->held);
}

void transport_read_off(struct transport *t)
{
    if (!t->is_read_blocked)
        ev_io_stop(loop_of(t), &t->in);
}

bool transport_is_silent(struct transport *t)
{
    char byte;
    if (!t->ssl)
        return recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
               (errno == EAGAIN || errno == EWOULDBLOCK);
    ERR_clear_error(); /* session tickets may wait, and are no bytes of the application's */
    int n = SSL_peek(t->ssl, &byte, 1);
    return n <= 0 && SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ;
}

bool transport_was_silent(struct transport *t, int64_t rested_us)
{
    const bool was_polled = rested_us != t->worker->loop.turn_began_us;
    return was_polled && !ev_is_pending(&t->in) && !(t->ssl && SSL_has_pending(t->ssl));
}

void transport_end(struct transport *t)
{
    if (t->ssl)
        (void)SSL_shutdown(t->ssl);
    (void)shutdown(t->fd, SHUT_WR);
}
