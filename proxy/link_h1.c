// SPDX-License-Identifier: EUPL-1.2
/* HTTP/1.1 towards an application.
 *
 *   CONNECTING → BUSY ⇄ IDLE, and from each → CLOSED
 *
 *   CONNECTING  the socket is being opened; x waits for it
 *   BUSY        x's head and body go out, the answer's head and body come in, in any overlap
 *   IDLE        in the pool; a byte or an end that comes now closes it: nobody asked
 *   CLOSED      freed at the end of the turn
 *
 * What has arrived lies in one block and is decoded there; only when the client has taken it is
 * more read. */
#include "proxy/link_h1.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/fields.h"

#define OUT_CEILING                                                                                \
    131072 /* a head of H1_HEAD_MAX_BYTES with what is added, and one piece of body */
#define BODY_PIECE 16384
#define OUT_KEPT 8192 /* what a link at rest keeps: the next head fits without growing */

static void read_more(struct link_h1 *l);

static struct pool *pool_of(struct worker *w, const struct upstream *to)
{
    struct pool *p = w->last_pool;
    if (p && slice_eq(p->address.text, to->text))
        return p;
    p = map_get(&w->pools, to->text);
    if (p)
        return w->last_pool = p;
    p = mem_new(struct pool);
    p->worker = w;
    p->address = *to;
    p->address.text = mem_slice(to->text);
    list_init(&p->idle);
    (void)map_set(&w->pools, p->address.text, p);
    return w->last_pool = p;
}

static void bury(struct later *self)
{
    struct link_h1 *l = container_of(self, struct link_h1, bury);
    buf_fini(&l->out);
    worker_block_done(l->pool->worker, l->bytes);
    (void)close(l->fd);
    mem_free(l);
}

static void close_link(struct link_h1 *l)
{
    struct worker *w = l->pool->worker;
    if (l->state == LINK_CLOSED)
        return;
    l->state = LINK_CLOSED;
    l->x = NULL;
    link_remove(&l->in_pool);
    l->pool->open_count--;
    ev_io_stop(w->loop.ev, &l->readable);
    ev_io_stop(w->loop.ev, &l->writable);
    later_cancel(&l->flush);
    later_cancel(&l->again);
    deadline_cancel(&l->idle_limit);
    loop_later(&w->loop, &l->bury);
}

static void fail(struct link_h1 *l, enum reason why, const char *detail)
{
    struct exchange *x = l->x;
    if (x)
        exchange_upstream_failed(x, why, detail); /* releases this link */
    else
        close_link(l);
}

bool link_is_connected(const struct link_h1 *l)
{
    return l && l->state != LINK_CONNECTING;
}

bool link_wants_body(const struct link_h1 *l)
{
    return link_is_connected(l) && !l->body_ended && !l->write_failed && !buf_len(&l->out) &&
           !buf_len(&l->x->up);
}

/* Out. */
static bool put_body(struct link_h1 *l)
{
    struct exchange *x = l->x;
    struct slice piece = buf_slice(&x->up);
    if (l->body_ended || (!piece.len && !x->up_ended))
        return true;
    if (piece.len > BODY_PIECE)
        piece.len = BODY_PIECE;
    if (piece.len) {
        if (l->body_is_chunked ? !buf_printf(&l->out, "%zx\r\n", piece.len) ||
                                     !buf_add(&l->out, piece) || !buf_add(&l->out, SLICE("\r\n"))
                               : piece.len > l->body_left || !buf_add(&l->out, piece))
            return false;
        l->body_left -= l->body_is_chunked ? 0 : piece.len;
        flow_up_taken(x, piece.len);
    }
    if (x->up_ended && !buf_len(&x->up)) {
        if (l->body_is_chunked ? !buf_add(&l->out, SLICE("0\r\n\r\n")) : l->body_left != 0)
            return false;
        l->body_ended = true;
    }
    return true;
}

static void write_out(struct link_h1 *l)
{
    struct ev_loop *ev = l->pool->worker->loop.ev;
    for (;;) {
        struct slice bytes;
        /* The request's end may come after the whole answer: then nothing more is sent. */
        if (buf_len(&l->out) < BODY_PIECE && l->x && !put_body(l)) {
            fail(l, REASON_REQUEST_MALFORMED, "the body is not as long as announced");
            return;
        }
        bytes = buf_slice(&l->out);
        if (!bytes.len)
            break;
        ssize_t n = send(l->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            ev_io_start(ev, &l->writable);
            return;
        }
        if (n < 0) {
            /* It may have answered and closed without reading all: what it said is worth hearing.
             */
            ev_io_stop(ev, &l->writable);
            buf_clear(&l->out);
            l->wants_close = l->write_failed = true;
            read_more(l);
            return;
        }
        buf_skip(&l->out, (size_t)n);
        if (l->x)
            exchange_upstream_progress(l->x);
    }
    ev_io_stop(ev, &l->writable);
    if (l->out.room > OUT_KEPT)
        buf_release(&l->out);
}

static void on_flush(struct later *self)
{
    struct link_h1 *l = container_of(self, struct link_h1, flush);
    if (l->state == LINK_BUSY && !l->write_failed)
        write_out(l);
}

void link_kick(struct link_h1 *l)
{
    if (l->state == LINK_BUSY)
        loop_later(&l->pool->worker->loop, &l->flush);
}

/* In. How much of the body at `from` can be taken; decodes chunk framing on the way. */
static bool find_ready(struct link_h1 *l)
{
    size_t have = l->to - l->from;
    struct slice data;
    if (l->ready || l->has_ended)
        return true;
    switch (l->framing) {
    case H1_NO_BODY:
        l->has_ended = true;
        return true;
    case H1_LENGTH:
        l->ready = have < l->left ? have : (size_t)l->left;
        return true;
    case H1_UNTIL_CLOSE:
        l->ready = have;
        l->has_ended = l->is_eof && !have;
        return true;
    case H1_CHUNKED: {
        size_t used = chunked_next(&l->chunked, slice_from(l->bytes + l->from, have), &data);
        l->from += used - data.len;
        l->ready = data.len;
        l->has_ended = l->chunked.state == CHUNKED_END;
        return l->chunked.state != CHUNKED_BAD;
    }
    }
    return false;
}

struct slice link_peek(struct link_h1 *l)
{
    return l->has_head ? slice_from(l->bytes + l->from, l->ready) : (struct slice){0};
}

bool link_is_ended(const struct link_h1 *l)
{
    return l->has_head && l->has_ended && !l->ready;
}

bool link_ends_after(const struct link_h1 *l, size_t n)
{
    if (!l->has_head || l->ready != n)
        return false;
    return l->has_ended || (l->framing == H1_LENGTH && l->left == n);
}

/* The connection has ended before the answer has. What is there and not yet taken does not change
 * that. */
static bool is_truncated(const struct link_h1 *l)
{
    size_t have = l->to - l->from;
    if (!l->is_eof || l->has_ended)
        return false;
    return (l->framing == H1_LENGTH && have < l->left) ||
           (l->framing == H1_CHUNKED && !l->ready && !have);
}

void link_take(struct link_h1 *l, size_t n)
{
    struct ev_loop *ev = l->pool->worker->loop.ev;
    assert(n <= l->ready);
    l->from += n;
    l->ready -= n;
    if (l->framing == H1_LENGTH) {
        l->left -= n;
        l->has_ended = !l->left;
    }
    if (l->from == l->to)
        l->from = l->to = 0;
    if (!find_ready(l) || is_truncated(l)) {
        l->is_broken = true; /* told at the next turn: the client is in the middle of pulling */
        loop_later(&l->pool->worker->loop, &l->again);
        return;
    }
    if (!l->has_ended && !l->is_eof)
        ev_io_start(ev, &l->readable);
}

static void on_again(struct later *self)
{
    struct link_h1 *l = container_of(self, struct link_h1, again);
    if (l->state == LINK_BUSY && l->is_broken)
        fail(l, REASON_UPSTREAM_BROKEN, "its answer's body is broken");
}

/* Looks for the response's head; 1xx are passed over. True where the story can go on with the body.
 */
static bool take_head(struct link_h1 *l)
{
    struct worker *w = l->pool->worker;
    struct h1_head *head = &w->head;
    for (;;) {
        switch (h1_response_parse(head, &l->scan, l->bytes + l->from, l->to - l->from,
                                  l->x->request.method == METHOD_HEAD)) {
        case H1_MORE:
            if (l->is_eof)
                fail(l, REASON_UPSTREAM_BROKEN, "it closed before its answer");
            return false;
        case H1_BAD:
            fail(l, REASON_UPSTREAM_BROKEN, head->detail);
            return false;
        case H1_DONE:
            break;
        }
        l->from += head->bytes;
        l->scan = (struct h1_scan){0};
        if (head->status == 101) { /* we have asked for no other protocol */
            fail(l, REASON_UPSTREAM_BROKEN, "it changed the protocol");
            return false;
        }
        if (head->status >= 200)
            break;
    }
    l->has_head = true;
    l->framing = head->framing;
    l->left = head->length;
    l->wants_close |= head->wants_close;
    if (!find_ready(l)) {
        fail(l, REASON_UPSTREAM_BROKEN, "its chunked coding is broken");
        return false;
    }
    exchange_upstream_head(l->x, head);
    return l->state == LINK_BUSY && l->x;
}

/* What the bytes that have just come, or the end, mean. */
static void digest(struct link_h1 *l, bool has_new)
{
    bool was_waiting = !l->ready && !l->has_ended;
    if (!l->has_head) {
        if (!take_head(l))
            return;
    } else if (!find_ready(l)) {
        fail(l, REASON_UPSTREAM_BROKEN, "its chunked coding is broken");
        return;
    }
    if (is_truncated(l)) {
        fail(l, REASON_UPSTREAM_BROKEN, "it closed in the middle of its answer");
        return;
    }
    if ((has_new && was_waiting) || l->has_ended)
        exchange_upstream_ready(l->x);
}

static void read_more(struct link_h1 *l)
{
    struct worker *w = l->pool->worker;
    ssize_t n;
    if (!l->bytes)
        l->bytes = worker_block(w);
    if (l->from && l->to == WORKER_BLOCK_BYTES) {
        memmove(l->bytes, l->bytes + l->from, l->to - l->from);
        l->to -= l->from;
        l->from = 0;
    }
    if (l->to == WORKER_BLOCK_BYTES) { /* full: the client takes first */
        ev_io_stop(w->loop.ev, &l->readable);
        return;
    }
    do
        n = recv(l->fd, l->bytes + l->to, WORKER_BLOCK_BYTES - l->to, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        if (l->write_failed && l->state == LINK_BUSY)
            fail(l, REASON_UPSTREAM_BROKEN, "it closed while it was sent the request");
        return;
    }
    if (n <= 0) {
        l->is_eof = l->wants_close = true;
        ev_io_stop(w->loop.ev, &l->readable);
        if (n < 0) {
            fail(l, REASON_UPSTREAM_BROKEN, "it reset the connection");
            return;
        }
    } else {
        l->has_answered = true;
        l->to += (size_t)n;
    }
    digest(l, n > 0);
}

static void on_readable(EV_P_ ev_io *io, int events)
{
    struct link_h1 *l = io->data;
    (void)loop, (void)events;
    if (l->state == LINK_IDLE) {
        close_link(l); /* its end, or bytes that nobody asked for (RFC 9112 §9.2) */
        return;
    }
    if (l->state == LINK_BUSY)
        read_more(l);
}

static void connected(struct link_h1 *l)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
        fail(l, REASON_UPSTREAM_REFUSED,
             error == ECONNREFUSED ? "connection refused" : "it can't be reached");
        return;
    }
    l->state = LINK_BUSY;
    ev_io_start(l->pool->worker->loop.ev, &l->readable);
    exchange_upstream_connected(l->x);
    if (l->state == LINK_BUSY)
        write_out(l);
}

static void on_writable(EV_P_ ev_io *io, int events)
{
    struct link_h1 *l = io->data;
    (void)loop, (void)events;
    if (l->state == LINK_CONNECTING)
        connected(l);
    else if (l->state == LINK_BUSY)
        write_out(l);
}

static void idle_is_over(struct deadline *self)
{
    close_link(container_of(self, struct link_h1, idle_limit));
}

static struct link_h1 *open_link(struct pool *p, enum reason *why)
{
    struct worker *w = p->worker;
    struct link_h1 *l;
    int one = 1;
    int fd;
    if (p->address.scheme != UPSTREAM_HTTP || !p->address.address_len) {
        *why = REASON_UPSTREAM_REFUSED; /* neither TLS nor names are spoken here */
        return NULL;
    }
    if (p->open_count >= w->config->max_upstream_connections) {
        *why = REASON_UPSTREAM_BUSY;
        return NULL;
    }
    fd = socket(p->address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *why = REASON_UPSTREAM_BUSY;
        return NULL;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)&p->address.address, p->address.address_len) != 0 &&
        errno != EINPROGRESS) {
        (void)close(fd);
        *why = REASON_UPSTREAM_REFUSED;
        return NULL;
    }
    l = mem_new(struct link_h1);
    l->pool = p;
    l->fd = fd;
    l->state = LINK_CONNECTING;
    l->flush.run = on_flush;
    l->bury.run = bury;
    l->again.run = on_again;
    l->idle_limit.passed = idle_is_over;
    buf_init(&l->out, OUT_CEILING);
    ev_io_init(&l->readable, on_readable, fd, EV_READ);
    ev_io_init(&l->writable, on_writable, fd, EV_WRITE);
    l->readable.data = l->writable.data = l;
    ev_io_start(w->loop.ev, &l->writable);
    p->open_count++;
    metric_add(&w->metrics, METRIC_UPSTREAM_CONNECTS_TOTAL, 1);
    return l;
}

/* RFC 9112 §9.2: what has come before the question is no answer to it. The event that tells of it
 * may stand behind the one that brought the request. */
static bool is_silent(const struct link_h1 *l)
{
    char byte;
    return recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

static struct link_h1 *idle_link(struct pool *p)
{
    struct link_h1 *l;
    do {
        if (list_is_empty(&p->idle))
            return NULL;
        l = container_of(p->idle.prev, struct link_h1,
                         in_pool); /* the one used last is the likeliest to live */
        if (!is_silent(l))
            close_link(l);
    } while (l->state == LINK_CLOSED);
    link_remove(&l->in_pool);
    deadline_cancel(&l->idle_limit);
    l->state = LINK_BUSY;
    l->is_reused = true;
    metric_add(&p->worker->metrics, METRIC_UPSTREAM_REUSED_TOTAL, 1);
    return l;
}

bool link_begin(struct exchange *x, const struct upstream *to, enum reason *why)
{
    struct worker *w = x->worker;
    struct pool *p = pool_of(w, to);
    /* A request that failed on a pooled connection gets a new one: the others may be as stale. */
    struct link_h1 *l = x->tries > 1 ? NULL : idle_link(p);
    struct slice assertion;
    if (!l)
        l = open_link(p, why);
    if (!l)
        return false;
    assertion = assertion_for(w->assertions, x->held->edition->keyring, &x->facts, x->token);
    if (!assertion.len || !fields_request(x, assertion, &l->out)) {
        *why = assertion.len ? REASON_HEADERS_TOO_LARGE : REASON_INTERNAL;
        close_link(l);
        return false;
    }
    l->x = x;
    x->link = l;
    l->body_is_chunked = x->request.has_body && x->request.body_length == BODY_LENGTH_UNKNOWN;
    l->body_left = l->body_is_chunked ? 0 : x->request.body_length;
    l->body_ended = !x->request.has_body;
    if (l->state == LINK_BUSY) {
        exchange_upstream_connected(x);
        link_kick(l);
    }
    return true;
}

void link_release(struct link_h1 *take)
{
    struct link_h1 *l = take;
    struct pool *p = l->pool;
    struct worker *w = p->worker;
    bool is_clean = l->state == LINK_BUSY && l->has_head && l->has_ended && !l->ready &&
                    l->from == l->to && l->body_ended && !buf_len(&l->out) && !l->wants_close &&
                    !l->is_eof;
    l->x = NULL;
    if (!is_clean || w->is_draining) {
        close_link(l);
        return;
    }
    l->state = LINK_IDLE;
    l->has_head = l->has_ended = l->has_answered = false;
    l->from = l->to = 0;
    l->scan = (struct h1_scan){0};
    l->chunked = (struct chunked){0};
    worker_block_done(w, l->bytes);
    l->bytes = NULL;
    list_push(&p->idle, &l->in_pool);
    ev_io_start(w->loop.ev, &l->readable);
    deadline_arm(worker_deadlines(w, w->config->upstream_idle_ms), &l->idle_limit);
}

void pools_close(struct worker *w)
{
    size_t at = 0;
    for (const struct map_entry *e; (e = map_next(&w->pools, &at));) {
        struct pool *p = e->value;
        while (!list_is_empty(&p->idle))
            close_link(container_of(p->idle.next, struct link_h1, in_pool));
    }
}

void pools_free(struct worker *w)
{
    size_t at = 0;
    for (const struct map_entry *e; (e = map_next(&w->pools, &at));) {
        struct pool *p = e->value;
        mem_slice_free(&p->address.text);
        mem_free(p);
    }
    map_fini(&w->pools);
}
