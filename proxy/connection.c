// SPDX-License-Identifier: EUPL-1.2
/* One client connection, in the order of its life: accept, handshake, read, write, close.
 *
 *   (ANNOUNCED →) HANDSHAKE → OPEN → (closes_when_sent) → LINGER → buried
 *
 * Bytes in: as many SSL_read as the turn's share allows, each handed to the protocol. Bytes out:
 * once, at the end of the turn, the protocol fills the worker's buffer and it is written in full
 * records; only what the socket did not take is kept by the connection, so a quiet connection holds
 * no buffer. */
#include "proxy/connection.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/network.h"
#include "proxy/errand.h"
#include "proxy/h1.h"
#include "proxy/h2.h"
#include "proxy/proxy_protocol.h"

#define READ_SHARE_BYTES                                                                           \
    131072 /* a turn's share of one client, so that one fast sender starves nobody */
#define RECORD_BYTES 16384
#define RECORD_COST_BYTES 512 /* a record of one byte takes about as long as one of so many */
#define OUT_CEILING                                                                                \
    1048576 /* far above FILL_MARK and one frame, which is all that a turn fills                   \
             */
#define UNSENT_BYTES                                                                               \
    131072 /* the kernel's share of what a client does not take; it would keep megabytes */
#define LINGER_MS 2000
#define STATUS_AWAITED_MS 1000 /* a responder's answer, for who was let in by an earlier one */
/* While draining, for who had just come: a request is sent in the same breath as the handshake's
 * last words, and takes one way. */
#define FIRST_REQUEST_MS 1000
#define LINGER_MAX_BYTES 16777216 /* more than the sockets' buffers of both sides hold */

/* What a balancer says of its client, while it comes in. */
struct announcement {
    uint32_t len;
    char bytes[PROXY_HEADER_MAX_BYTES];
};

static struct connection *connection_of(void *data)
{
    struct connection *c = data;
    assert(c->magic == CONNECTION_MAGIC);
    return c;
}

/* Frees; runs at the end of the turn in which the connection was closed. */
static void bury(struct later *self)
{
    struct connection *c = container_of(self, struct connection, bury);
    SSL_free(c->ssl);
    tls_peer_fini(&c->peer);
    device_unref(c->device);
    mem_slice_free(&c->certificate);
    buf_fini(&c->out);
    mem_free(c->announcement);
    (void)close(c->fd);
    c->magic = 0;
    mem_free(c);
}

void connection_close(struct connection *c)
{
    struct worker *w = c->worker;
    if (c->is_closed)
        return;
    c->is_closed = true;
    if (c->ops)
        c->ops->end(c);
    ev_io_stop(w->loop.ev, &c->readable);
    ev_io_stop(w->loop.ev, &c->writable);
    deadline_cancel(&c->deadline);
    later_cancel(&c->flush);
    later_cancel(&c->again);
    link_remove(&c->in_worker);
    limits_leave(&w->limits, &c->limited);
    worker_connection_gone(w);
    w->connection_count--;
    metric_set(&w->metrics, METRIC_CONNECTIONS_OPEN, w->connection_count);
    if (w->is_draining && !w->connection_count)
        loop_stop(&w->loop);
    loop_later(&w->loop, &c->bury);
}

void connection_limit(struct connection *c, int64_t ms)
{
    deadline_arm(worker_deadlines(c->worker, ms), &c->deadline);
}

void connection_kick(struct connection *c)
{
    if (!c->is_closed)
        loop_later(&c->worker->loop, &c->flush);
}

void connection_pause(struct connection *c)
{
    c->is_reading_paused = true;
    ev_io_stop(c->worker->loop.ev, &c->readable);
}

void connection_go_on(struct connection *c)
{
    if (!c->is_reading_paused || c->is_closed)
        return;
    c->is_reading_paused = false;
    ev_io_start(c->worker->loop.ev, &c->readable);
    loop_next(&c->worker->loop,
              &c->again); /* OpenSSL may hold bytes that the socket won't tell of */
}

void connection_close_when_sent(struct connection *c)
{
    c->closes_when_sent = true;
    connection_kick(c);
}

/* The time is over: of the handshake, of a head, of a quiet connection, of a client that takes
 * nothing. */
static void time_is_over(struct deadline *self)
{
    struct connection *c = container_of(self, struct connection, deadline);
    if (c->ops && !c->closes_when_sent && c->ops->is_quiet(c) && !buf_len(&c->out)) {
        c->is_late = true;
        connection_drain(c);
        return;
    }
    c->is_stalled = buf_len(&c->out) > 0;
    connection_close(c);
}

/* Our alert is out. The client may have sent its first request already (TLS 1.3 lets it): closing
 * over unread bytes would reset the connection, and the reset can overtake the alert. */
static void linger_after_alert(struct connection *c)
{
    c->is_lingering = true;
    ev_io_stop(c->worker->loop.ev, &c->writable);
    (void)shutdown(c->fd, SHUT_WR);
    connection_limit(c, LINGER_MS);
}

static void tell(struct worker *w, struct event *e)
{
    e->kind = EVENT_REFUSAL;
    e->time_us = loop_wall(&w->loop).s * 1000000;
    reference_make(&w->dice, &e->reference);
    metric_answer(&w->metrics, e->reason);
    audit_refusal(w->audit, e);
}

void connection_refused(struct connection *c, enum reason why, const char *detail)
{
    struct event e = {.reason = why,
                      .detail = slice_of(detail),
                      .host = slice_from(c->peer.sni, c->peer.sni_len),
                      .client_address = slice_from(c->address, c->address_len)};
    if (c->device) {
        e.device = c->device->device.id;
        e.device_authority = c->device->device.authority;
    }
    tell(c->worker, &e);
}

/* A failed handshake has an audit event too: who, which name, why. */
static void handshake_failed(struct connection *c, int ssl_error)
{
    const char *detail = c->peer.refusal;
    if (!detail)
        detail = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    metric_add(&c->worker->metrics, METRIC_HANDSHAKES_FAILED_TOTAL, 1);
    connection_refused(c, REASON_HANDSHAKE_FAILED, detail ? detail : "the client went away");
    if (ssl_error == SSL_ERROR_SSL)
        linger_after_alert(c);
    else
        connection_close(c);
}

/* What the handshake has shown of the device becomes facts. */
static void device_arrives(struct connection *c)
{
    const struct device_judged *j = &c->peer.device;
    c->status_on = 0;
    c->device_seen = j->seen;
    c->device_detail = j->detail;
    if (j->seen != DEVICE_SEEN_GOOD)
        return;
    if (j->vouch->device) {
        c->device = device_ref(j->vouch->device);
        return;
    }
    c->device_seen = DEVICE_SEEN_BAD;
    c->device_detail = "the certificate lacks the name that its authority gives";
}

/* Counted once, under the entity whose name was asked for. */
static bool device_has_room(struct connection *c)
{
    struct worker *w = c->worker;
    const struct door *door =
        edition_door(w->held->edition, slice_from(c->peer.sni, c->peer.sni_len));
    if (!c->device || !door)
        return true;
    enum reason why =
        limits_device(&w->limits, &c->limited, door->app->entity, c->device->device.id);
    if (why == REASON_PERMITTED)
        return true;
    connection_refused(c, why, NULL);
    connection_close(c);
    return false;
}

static bool shake_hands(struct connection *c)
{
    struct worker *w = c->worker;
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    ERR_clear_error();
    int done = SSL_accept(c->ssl);
    if (done != 1) {
        int why = SSL_get_error(c->ssl, done);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
            if (why == SSL_ERROR_WANT_WRITE)
                ev_io_start(w->loop.ev, &c->writable);
            else /* else a socket with room would wake us without end */
                ev_io_stop(w->loop.ev, &c->writable);
            return false;
        }
        handshake_failed(c, why);
        return false;
    }
    ev_io_stop(w->loop.ev, &c->writable);
    tls_peer_settle(&c->peer, c->ssl);
    metric_add(&w->metrics, METRIC_HANDSHAKES_TOTAL, 1);
    if (SSL_session_reused(c->ssl))
        metric_add(&w->metrics, METRIC_HANDSHAKES_RESUMED_TOTAL, 1);
    if (c->peer.ticket_refused)
        metric_add(&w->metrics, METRIC_RESUMPTIONS_REFUSED_TOTAL, 1);
    device_arrives(c);
    if (!device_has_room(c))
        return false;
    SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_len);
    bool is_h2 = slice_eq(slice_from(alpn, alpn_len), SLICE("h2"));
    c->http_major = is_h2 ? 2 : 1;
    c->ops = is_h2 ? &h2_protocol : &h1_protocol;
    c->is_established = true;
    c->ops->start(c);
    if (w->is_draining)
        connection_drain(c);
    return !c->is_closed;
}

/* The client's rest after our answer: read and dropped, so that no reset overtakes the answer. */
static void linger(struct connection *c, size_t n)
{
    c->lingered += (uint32_t)n;
    if (c->lingered > LINGER_MAX_BYTES)
        connection_close(c);
}

/* The same after a failed handshake, when there is no TLS to read it by. */
static void drop_rest(struct connection *c)
{
    ssize_t n = recv(c->fd, c->worker->scratch, WORKER_BLOCK_BYTES, 0);
    if (n > 0)
        linger(c, (size_t)n);
    else if (!n || (errno != EAGAIN && errno != EINTR))
        connection_close(c);
}

static void read_ended(struct connection *c, int result)
{
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return;
    case SSL_ERROR_WANT_WRITE:
        ev_io_start(c->worker->loop.ev, &c->writable);
        return;
    case SSL_ERROR_ZERO_RETURN: /* close_notify: our side may still be open (RFC 8446 §6.1) */
        if (!c->is_lingering && c->ops->ended(c))
            return;
        connection_close(c);
        return;
    default: /* an end without it, or an error: nothing more comes */
        connection_close(c);
    }
}

static void read_what_is_there(struct connection *c)
{
    struct worker *w = c->worker;
    size_t share = READ_SHARE_BYTES;
    while (!c->is_closed && !c->is_reading_paused && share) {
        ERR_clear_error();
        int n = SSL_read(c->ssl, w->scratch, RECORD_BYTES);
        if (n <= 0) {
            read_ended(c, n);
            return;
        }
        size_t cost = (size_t)c->peer.records * RECORD_COST_BYTES;
        cost = cost > (size_t)n ? cost : (size_t)n;
        share -= cost < share ? cost : share;
        c->peer.records = 0;
        c->has_spoken = true;
        if (c->is_lingering || c->has_read_all)
            linger(c, (size_t)n);
        else if (!c->ops->receive(c, w->scratch, (size_t)n))
            c->has_read_all = true;
        if (w->is_draining && !c->is_closed && !c->ops->is_quiet(c))
            c->ops->drain(c);
        /* Less than a record and nothing behind it: the socket was empty, and epoll says when it is
         * no longer. To ask it here would be a system call more for each small request. */
        if (n < RECORD_BYTES && !c->is_closed && !SSL_has_pending(c->ssl))
            return;
    }
    if (!c->is_closed && !share)
        loop_next(&w->loop, &c->again);
}

/* Nobody is told why: behind the balancer stands a client that can't be spoken to yet. */
static void refuse_announcement(struct connection *c, const char *why)
{
    connection_refused(c, REASON_PROXY_REFUSED, why);
    connection_close(c);
}

/* True once it is there, so that TLS may begin. Never a byte more is read than it has. */
static bool hear_announcement(struct connection *c)
{
    struct announcement *a = c->announcement;
    struct proxy_announced said;
    const char *why = NULL;
    size_t wanted = 0;
    enum reason refused = REASON_PERMITTED;
    enum proxy_step step;
    while ((step = proxy_header_read(&said, slice_from(a->bytes, a->len), &wanted, &why)) ==
           PROXY_MORE) {
        ssize_t n = recv(c->fd, a->bytes + a->len, wanted - a->len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (n <= 0) {
            refuse_announcement(c, "the balancer went away before it had announced a client");
            return false;
        }
        a->len += (uint32_t)n;
    }
    if (step == PROXY_REFUSED) {
        refuse_announcement(c, why);
        return false;
    }
    if (!said.is_local) {
        c->address_len = (uint32_t)address_text(c->address, (const struct sockaddr *)&said.client);
        c->announced_port = said.port;
        refused = limits_address(&c->worker->limits, &c->limited,
                                 (const struct sockaddr *)&said.client, loop_now(&c->worker->loop));
    }
    mem_free(a);
    c->announcement = NULL;
    if (refused == REASON_PERMITTED)
        return true;
    connection_refused(c, refused, NULL);
    connection_close(c);
    return false;
}

static void on_readable(EV_P_ ev_io *io, int events)
{
    struct connection *c = connection_of(io->data);
    (void)loop, (void)events;
    if (c->is_closed || (c->announcement && !hear_announcement(c)))
        return;
    if (!c->is_established && c->is_lingering) {
        drop_rest(c);
        return;
    }
    /* The socket stays readable, so the next turn comes back to it. */
    if (!c->is_established && (!worker_may_shake(c->worker) || !shake_hands(c)))
        return;
    read_what_is_there(c);
}

/* Who was accepted and has not said anything yet has been promised an answer, and gets it: its
 * handshake goes on, and one request may follow. */
void connection_drain(struct connection *c)
{
    if (!c->ops)
        return;
    if (!c->is_reading_paused && !c->is_lingering)
        read_what_is_there(c); /* a request that has arrived is under way */
    if (c->is_closed)
        return;
    if (!c->has_spoken && !c->is_late) {
        connection_limit(c, FIRST_REQUEST_MS); /* its request, if one comes, is the last */
        return;
    }
    c->ops->drain(c);
    if (c->ops->is_quiet(c))
        connection_close_when_sent(c);
    connection_kick(c);
}

static void on_again(struct later *self)
{
    struct connection *c = container_of(self, struct connection, again);
    if (!c->is_closed && c->is_established && !c->is_reading_paused)
        read_what_is_there(c);
}

/* All is sent that was there: the end of a connection that has said so. */
static void all_sent(struct connection *c)
{
    ev_io_stop(c->worker->loop.ev, &c->writable);
    buf_release(&c->out);
    if (c->is_lingering)
        return;
    if (!c->closes_when_sent) {
        if (!c->ops->is_quiet(c))
            deadline_cancel(&c->deadline); /* it was for a client that takes nothing */
        return;
    }
    c->is_lingering = true;
    c->is_reading_paused = false;
    (void)SSL_shutdown(c->ssl);
    (void)shutdown(c->fd, SHUT_WR);
    ev_io_start(c->worker->loop.ev, &c->readable);
    connection_limit(c, LINGER_MS);
}

/* Writes from `out` while it has `least` bytes or more (true), or until the socket is full or
 * broken (false). */
static bool write_out(struct connection *c, struct buf *out, size_t least)
{
    while (buf_len(out) >= least) {
        struct slice bytes = buf_slice(out);
        ERR_clear_error();
        int n =
            SSL_write(c->ssl, bytes.ptr, bytes.len < RECORD_BYTES ? (int)bytes.len : RECORD_BYTES);
        if (n > 0) {
            buf_skip(out, (size_t)n);
            continue;
        }
        int why = SSL_get_error(c->ssl, n);
        if (why == SSL_ERROR_WANT_WRITE) {
            ev_io_start(c->worker->loop.ev, &c->writable);
            if (!c->deadline.at_ms || !link_is_in(&c->deadline.link))
                connection_limit(c, c->worker->config->stalled_ms);
        } else if (why != SSL_ERROR_WANT_READ) {
            connection_close(c);
        }
        return false;
    }
    return true;
}

static void on_flush(struct later *self)
{
    struct connection *c = container_of(self, struct connection, flush);
    struct buf *shared = &c->worker->out;
    size_t share = READ_SHARE_BYTES * 2;
    if (c->is_closed || !c->ops || c->is_lingering)
        return;
    if (!write_out(c, &c->out, 1))
        return;
    for (;;) {
        bool has_more = c->ops->fill(c, shared);
        size_t filled = buf_len(shared);
        if (c->is_closed)
            break;
        if (!filled) {
            all_sent(c);
            return;
        }
        /* Where more follows at once, what is no whole record waits for it. */
        if (!write_out(c, shared, has_more && share > filled ? RECORD_BYTES : 1) && !c->is_closed) {
            if (!buf_add(&c->out, buf_slice(shared)))
                connection_close(c);
            break;
        }
        if (c->is_closed)
            break;
        share -= filled < share ? filled : share;
        if (has_more && !share) { /* others first; the socket will say that it has room */
            ev_io_start(c->worker->loop.ev, &c->writable);
            break;
        }
    }
    buf_clear(shared);
}

static void on_writable(EV_P_ ev_io *io, int events)
{
    struct connection *c = connection_of(io->data);
    (void)loop, (void)events;
    if (c->is_closed)
        return;
    if (!c->is_established) {
        on_readable(EV_A_ & c->readable, events);
        return;
    }
    ev_io_stop(c->worker->loop.ev, &c->writable);
    if (!c->is_lingering && buf_len(&c->out))
        connection_limit(c, c->worker->config->stalled_ms); /* it does take some */
    connection_kick(c);
}

/* The view under which the edition now in force judges the device. */
static struct view *view_now(const struct connection *c, const struct edition *e)
{
    struct view *old = c->peer.view;
    const struct door *door = edition_door(e, slice_from(c->peer.sni, c->peer.sni_len));
    if (!door || memcmp(door->view->digest, old->digest, sizeof old->digest) == 0)
        return old;
    /* A certificate that was not asked for can't be judged: the old view stays, and requests get
     * 421. */
    if (old->device == DEVICE_NONE || door->view->device == DEVICE_NONE)
        return old;
    return door->view;
}

/* RFC 8446 and ours: what was judged once is judged again whenever rules or authorities have
 * changed, and when a certificate of its chain has ended (an issuer's may end before the leaf's).
 */
void connection_judge_again(struct connection *c, struct held *now)
{
    const struct wall wall = loop_wall(&c->worker->loop);
    const bool is_over = c->device && c->peer.device.vouch->answer.until.s < wall.s;
    struct view *view = c->peer.view;
    if (c->judged_on != now->number)
        view = view_now(c, now->edition);
    c->judged_on = now->number;
    if (view == c->peer.view && !is_over)
        return;
    tls_peer_judge_again(&c->peer, view, wall);
    if (c->device_seen == DEVICE_SEEN_NONE)
        return;
    device_unref(c->device);
    c->device = NULL;
    mem_slice_free(&c->certificate);
    device_arrives(c);
}

/* What is known but should be asked for again soon is asked for here: nobody waits for it. */
const struct status_answer *connection_status(struct connection *c)
{
    const struct statuses *table = c->worker->tls.statuses;
    const struct wall now = loop_wall(&c->worker->loop);
    const struct vouch *vouch = c->peer.device.vouch;
    if (c->status_on && c->status_on == statuses_number(table) && now.s <= c->status.until.s)
        return &c->status;
    statuses_judge(table, &vouch->answer, now, &c->status);
    c->status_on = statuses_number(table);
    if (c->status.is_known) {
        c->status_asked_ms = 0;
        if (c->status.wants)
            errand_post(c->worker, errand_for_status(vouch));
    }
    return &c->status;
}

bool connection_awaits_status(struct connection *c)
{
    const int64_t now_ms = loop_now(&c->worker->loop).ms;
    if (!c->status_asked_ms) {
        c->status_asked_ms = now_ms;
        errand_post(c->worker, errand_for_status(c->peer.device.vouch));
    }
    return now_ms - c->status_asked_ms < STATUS_AWAITED_MS;
}

struct slice connection_certificate(struct connection *c)
{
    if (c->certificate.len || !c->device)
        return c->certificate;
    const struct slice der = vouch_leaf(c->peer.device.vouch);
    char *text = mem_array(char, BASE64_LEN(der.len) + 2);
    text[0] = ':';
    const size_t chars = base64_encode(text + 1, der.ptr, der.len);
    text[chars + 1] = ':';
    c->certificate = slice_from(text, chars + 2);
    return c->certificate;
}

static bool is_among(const struct config_listener *l, const struct sockaddr *from)
{
    for (uint32_t i = 0; i < l->proxy_count; i++)
        if (network_has(&l->proxies[i], from))
            return true;
    return false;
}

/* Before a byte is read or allocated: this is what a flood of connections costs. */
static void turn_away(struct worker *w, int take_fd, const struct sockaddr *from, enum reason why)
{
    char address[INET6_ADDRSTRLEN];
    struct event e = {.reason = why};
    (void)close(take_fd);
    e.client_address = slice_from(address, address_text(address, from));
    tell(w, &e);
}

void connection_accept(struct listener *l, int take_fd, const struct sockaddr *from)
{
    struct worker *w = l->worker;
    struct limits_of who;
    struct connection *c;
    int one = 1;
    int unsent = UNSENT_BYTES;
    enum reason why = limits_enter(&w->limits, &who);
    bool is_in = why == REASON_PERMITTED;
    if (is_in && !l->settings->proxy_count)
        why = limits_address(&w->limits, &who, from, loop_now(&w->loop));
    if (why != REASON_PERMITTED) {
        if (is_in)
            limits_leave(&w->limits, &who);
        turn_away(w, take_fd, from, why);
        return;
    }
    c = mem_new(struct connection);
    c->limited = who;
    c->magic = CONNECTION_MAGIC;
    c->worker = w;
    c->fd = take_fd;
    c->deadline.passed = time_is_over;
    c->flush.run = on_flush;
    c->bury.run = bury;
    c->again.run = on_again;
    c->address_len = (uint32_t)address_text(c->address, from);
    buf_init(&c->out, OUT_CEILING);
    (void)setsockopt(take_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(take_fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    list_push(&w->connections, &c->in_worker);
    w->connection_count++;
    metric_add(&w->metrics, METRIC_CONNECTIONS_TOTAL, 1);
    metric_set(&w->metrics, METRIC_CONNECTIONS_OPEN, w->connection_count);
    ev_io_init(&c->readable, on_readable, take_fd, EV_READ);
    ev_io_init(&c->writable, on_writable, take_fd, EV_WRITE);
    c->readable.data = c->writable.data = c;
    if (l->settings->proxy_count) {
        if (!is_among(l->settings, from)) {
            refuse_announcement(c, "the address is none of proxy_protocol_from");
            return;
        }
        c->announcement = mem_new(struct announcement);
    }
    c->ssl = tls_accept(&w->tls, &c->peer, edition_ref(w->held->edition), take_fd);
    if (!c->ssl) {
        connection_close(c);
        return;
    }
    ev_io_start(w->loop.ev, &c->readable);
    connection_limit(c, w->config->handshake_ms);
}
