// SPDX-License-Identifier: EUPL-1.2
/* HTTP/1.1 towards an application.
 *
 *   CONNECTING → BUSY ⇄ IDLE, and from each → CLOSED
 *
 *   CONNECTING  the socket is being opened; x waits for it
 *   BUSY        x's head and body go out, the answer's head and body come in, in any overlap
 *   IDLE        at its endpoint; a byte or an end that comes now closes it: nobody asked
 *   CLOSED      freed at the end of the turn
 *
 * What has arrived lies in one block and is decoded there; only when the client has taken it is
 * more read. */
#include "proxy/link_h1.h"

#include <assert.h>

#include "base/mem.h"
#include "proxy/fields.h"

#define OUT_CEILING                                                                                \
    131072 /* a head of H1_HEAD_MAX_BYTES with what is added, and one piece of body */
#define BODY_PIECE 16384
#define OUT_KEPT 8192 /* what a link at rest keeps: the next head fits without growing */

static void read_more(struct link_h1 *l);

static struct link_h1 *link_of(struct uplink *u)
{
    return container_of(u, struct link_h1, up);
}

static const struct link_h1 *const_link_of(const struct uplink *u)
{
    return (const struct link_h1 *)(const void *)((const char *)u - offsetof(struct link_h1, up));
}

static struct worker *worker_of(const struct link_h1 *l)
{
    return l->transport.worker;
}

static void bury(struct later *self)
{
    struct link_h1 *l = container_of(self, struct link_h1, bury);
    buf_fini(&l->out);
    worker_block_done(worker_of(l), l->bytes);
    mem_free(l);
}

static void close_link(struct link_h1 *l)
{
    struct endpoint *e = l->up.endpoint;
    if (l->state == LINK_CLOSED)
        return;
    l->state = LINK_CLOSED;
    l->up.x = NULL;
    l->up.endpoint = NULL;
    link_remove(&l->in_idle);
    transport_close(&l->transport);
    later_cancel(&l->flush);
    later_cancel(&l->again);
    deadline_cancel(&l->idle_limit);
    loop_later(&worker_of(l)->loop, &l->bury);
    endpoint_connection_closed(e);
}

static void fail(struct link_h1 *l, enum reason why, const char *detail)
{
    if (l->up.x)
        exchange_upstream_failed(l->up.x, why, detail); /* releases this link */
    else
        close_link(l);
}

static bool wants_body(const struct uplink *u)
{
    const struct link_h1 *l = const_link_of(u);
    return u->is_connected && !l->body_ended && !l->write_failed && l->tunnel == TUNNEL_NONE &&
           !buf_len(&l->out) && !buf_len(&u->x->up);
}

/* Out. Nothing goes before the upstream has agreed (RFC 6455 §4.1); then bytes as they are. */
static bool put_tunnel(struct link_h1 *l)
{
    struct exchange *x = l->up.x;
    struct slice piece = buf_slice(&x->up);
    if (l->tunnel == TUNNEL_ASKED)
        return true;
    if (piece.len > BODY_PIECE)
        piece.len = BODY_PIECE;
    if (piece.len) {
        if (!buf_add(&l->out, piece))
            return false;
        flow_up_taken(x, piece.len);
    }
    l->body_ended = x->up_ended && !buf_len(&x->up);
    return true;
}

static bool put_trailers(struct link_h1 *l)
{
    const struct exchange *x = l->up.x;
    if (!buf_add(&l->out, SLICE("0\r\n")))
        return false;
    for (uint32_t i = 0; i < x->up_trailer_count; i++)
        if (!buf_add(&l->out, x->up_trailers[i].name) || !buf_add(&l->out, SLICE(": ")) ||
            !buf_add(&l->out, x->up_trailers[i].value) || !buf_add(&l->out, SLICE("\r\n")))
            return false;
    return buf_add(&l->out, SLICE("\r\n"));
}

static bool put_body(struct link_h1 *l)
{
    struct exchange *x = l->up.x;
    struct slice piece = buf_slice(&x->up);
    if (l->body_ended || (!piece.len && !x->up_ended))
        return true;
    if (l->tunnel != TUNNEL_NONE)
        return put_tunnel(l);
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
        if (l->body_is_chunked ? !put_trailers(l) : l->body_left != 0)
            return false;
        l->body_ended = true;
    }
    return true;
}

/* What goes out next. A body that needs no framing goes straight from where it waits, but for a
 * first piece behind the head: one system call for as much as there is, and no copy. */
static bool next_bytes(struct link_h1 *l, struct slice *bytes, bool *is_body)
{
    const struct exchange *x = l->up.x; /* NULL: the request's end may come after the whole answer,
                                           and then nothing more is sent */
    const bool is_plain = x && !l->body_is_chunked && l->tunnel == TUNNEL_NONE && !l->body_ended;
    *is_body = is_plain && !buf_len(&l->out) && buf_len(&x->up) && buf_len(&x->up) <= l->body_left;
    if (*is_body) {
        *bytes = buf_slice(&x->up);
        return true;
    }
    if (buf_len(&l->out) < BODY_PIECE && x && !put_body(l))
        return false;
    *bytes = buf_slice(&l->out);
    return true;
}

/* `n` bytes of the body are with the upstream. */
static void body_went(struct link_h1 *l, size_t n)
{
    struct exchange *x = l->up.x;
    l->body_left -= n;
    flow_up_taken(x, n);
    l->body_ended = !l->body_left && x->up_ended && !buf_len(&x->up);
}

static void write_out(struct link_h1 *l)
{
    for (;;) {
        struct slice bytes;
        bool is_body;
        ssize_t n;
        if (!next_bytes(l, &bytes, &is_body)) {
            fail(l, REASON_REQUEST_MALFORMED, "the body is not as long as announced");
            return;
        }
        if (!bytes.len)
            break;
        n = transport_write(&l->transport, bytes);
        if (n == TRANSPORT_NOT_NOW)
            return;
        if (n == TRANSPORT_BROKEN) {
            /* It may have answered and closed without reading all: what it said is worth hearing.
             */
            buf_clear(&l->out);
            l->wants_close = l->write_failed = true;
            read_more(l);
            return;
        }
        if (is_body)
            body_went(l, (size_t)n);
        else
            buf_skip(&l->out, (size_t)n);
        if (l->up.x)
            exchange_upstream_progress(l->up.x);
    }
    if (l->tunnel == TUNNEL_OPEN && l->body_ended)
        transport_end(&l->transport);
    if (l->out.room > OUT_KEPT)
        buf_release(&l->out);
}

static void on_flush(struct later *self)
{
    struct link_h1 *l = container_of(self, struct link_h1, flush);
    if (l->state == LINK_BUSY && !l->write_failed)
        write_out(l);
}

static void kick(struct uplink *u)
{
    struct link_h1 *l = link_of(u);
    if (l->state == LINK_BUSY)
        loop_later(&worker_of(l)->loop, &l->flush);
}

static void hand_over_trailers(struct link_h1 *l)
{
    struct field *fields = NULL;
    uint32_t count = chunked_trailers(&l->chunked, &fields);
    exchange_upstream_trailers(l->up.x, fields, count);
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
        if (l->has_ended && l->chunked.trailer_count)
            hand_over_trailers(l);
        return l->chunked.state != CHUNKED_BAD;
    }
    }
    return false;
}

static struct slice peek(struct uplink *u)
{
    const struct link_h1 *l = link_of(u);
    return l->has_head ? slice_from(l->bytes + l->from, l->ready) : (struct slice){0};
}

static bool is_ended(const struct uplink *u)
{
    const struct link_h1 *l = const_link_of(u);
    return l->has_head && l->has_ended && !l->ready;
}

static bool ends_after(const struct uplink *u, size_t n)
{
    const struct link_h1 *l = const_link_of(u);
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

static void take(struct uplink *u, size_t n)
{
    struct link_h1 *l = link_of(u);
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
        loop_later(&worker_of(l)->loop, &l->again);
        return;
    }
    if (!l->has_ended && !l->is_eof)
        transport_read_on(&l->transport);
}

static void on_again(struct later *self)
{
    struct link_h1 *l = container_of(self, struct link_h1, again);
    if (l->state == LINK_BUSY && l->is_broken)
        fail(l, REASON_UPSTREAM_BROKEN, "its answer's body is broken");
}

/* RFC 6455 §4.1: an upstream that changes the protocol must have read our key. */
static bool is_asked_for(const struct link_h1 *l, const struct h1_head *head)
{
    struct slice accept = {0};
    char wanted[WEBSOCKET_ACCEPT_CHARS];
    for (uint32_t i = 0; i < head->field_count; i++)
        if (slice_eq(head->fields[i].name, SLICE("sec-websocket-accept")))
            accept = head->fields[i].value;
    websocket_accept(wanted, slice_from(l->key, sizeof l->key));
    return l->tunnel == TUNNEL_ASKED && head->is_websocket &&
           slice_eq(accept, slice_from(wanted, sizeof wanted));
}

/* One head of those that an answer may have. True: it is the last, or the tunnel is open. */
static bool is_final(struct link_h1 *l, const struct h1_head *head)
{
    struct upstream_head early = {
        .status = head->status, .fields = head->fields, .field_count = head->field_count};
    if (head->status >= 200)
        return true;
    if (head->status == 101 && is_asked_for(l, head)) {
        l->tunnel = TUNNEL_OPEN;
        return true;
    }
    if (head->status == 101)
        fail(l, REASON_UPSTREAM_BROKEN, "it changed the protocol");
    else
        exchange_upstream_early(l->up.x, &early);
    return false;
}

/* Looks for the response's head; 1xx are passed on. True where the story can go on with the body.
 */
static bool take_head(struct link_h1 *l)
{
    struct h1_head *head = &worker_of(l)->head;
    struct upstream_head answer;
    do {
        switch (h1_response_parse(head, &l->scan, l->bytes + l->from, l->to - l->from,
                                  l->up.x->request.method == METHOD_HEAD)) {
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
        if (is_final(l, head))
            break;
    } while (l->state == LINK_BUSY && l->up.x);
    if (l->state != LINK_BUSY || !l->up.x)
        return false;
    l->has_head = true;
    l->chunked.arena = &l->up.x->arena;
    l->framing = l->tunnel == TUNNEL_OPEN ? H1_UNTIL_CLOSE : head->framing;
    l->left = head->length;
    l->wants_close |= head->wants_close || l->tunnel == TUNNEL_OPEN;
    if (l->tunnel == TUNNEL_ASKED) { /* it was refused: an ordinary answer */
        l->tunnel = TUNNEL_NONE;
        l->body_ended = l->wants_close = true;
    }
    if (!find_ready(l)) {
        fail(l, REASON_UPSTREAM_BROKEN, "its chunked coding is broken");
        return false;
    }
    answer = (struct upstream_head){
        .status = head->status,
        .fields = head->fields,
        .field_count = head->field_count,
        .has_body = l->framing != H1_NO_BODY,
        .length = l->framing == H1_LENGTH ? head->length : BODY_LENGTH_UNKNOWN,
        .is_tunnel = l->tunnel == TUNNEL_OPEN,
        /* A 204 has no length, whatever it says (RFC 9110 §8.6); nor has what comes chunked or
         * until the end. */
        .keeps_length =
            l->framing == H1_LENGTH || (l->framing == H1_NO_BODY && head->status != 204)};
    exchange_upstream_head(l->up.x, &answer);
    return l->state == LINK_BUSY && l->up.x;
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
        exchange_upstream_ready(l->up.x);
}

/* The end, or the breaking, of what the upstream says. */
static void read_end(struct link_h1 *l, bool is_broken)
{
    l->is_eof = l->wants_close = true;
    transport_read_off(&l->transport);
    if (is_broken) {
        fail(l, REASON_UPSTREAM_BROKEN, "it reset the connection");
        return;
    }
    digest(l, false);
}

static void read_more(struct link_h1 *l)
{
    struct worker *w = worker_of(l);
    ssize_t n;
    if (!l->bytes)
        l->bytes = worker_block(w);
    if (l->from && l->to == WORKER_BLOCK_BYTES) {
        memmove(l->bytes, l->bytes + l->from, l->to - l->from);
        l->to -= l->from;
        l->from = 0;
    }
    if (l->to == WORKER_BLOCK_BYTES) { /* full: the client takes first */
        transport_read_off(&l->transport);
        return;
    }
    n = transport_read(&l->transport, l->bytes + l->to, WORKER_BLOCK_BYTES - l->to);
    if (n == TRANSPORT_NOT_NOW) {
        if (l->write_failed && l->state == LINK_BUSY)
            fail(l, REASON_UPSTREAM_BROKEN, "it closed while it was sent the request");
        return;
    }
    if (n <= 0) {
        read_end(l, n < 0);
        return;
    }
    l->up.has_answered = true;
    l->to += (size_t)n;
    if (ev_is_active(&l->transport.in)) /* TLS may hold more than the socket tells of */
        transport_read_on(&l->transport);
    digest(l, true);
}

static void readable(struct transport *t)
{
    struct link_h1 *l = container_of(t, struct link_h1, transport);
    if (l->state == LINK_IDLE) {
        if (!transport_is_silent(t))
            close_link(l); /* its end, or bytes that nobody asked for (RFC 9112 §9.2) */
        return;
    }
    if (l->state == LINK_BUSY)
        read_more(l);
}

static void writable(struct transport *t)
{
    struct link_h1 *l = container_of(t, struct link_h1, transport);
    if (l->state == LINK_BUSY && !l->write_failed)
        write_out(l);
}

static void opened(struct transport *t)
{
    struct link_h1 *l = container_of(t, struct link_h1, transport);
    l->state = LINK_BUSY;
    l->up.is_connected = true;
    exchange_upstream_connected(l->up.x);
    if (l->state == LINK_BUSY)
        write_out(l);
}

static void failed(struct transport *t, enum reason why, const char *detail)
{
    fail(container_of(t, struct link_h1, transport), why, detail);
}

static const struct transport_ops transport_ops = {opened, failed, readable, writable};

static void idle_is_over(struct deadline *self)
{
    close_link(container_of(self, struct link_h1, idle_limit));
}

static void release(struct uplink *u)
{
    struct link_h1 *l = link_of(u);
    struct endpoint *e = u->endpoint;
    struct worker *w = worker_of(l);
    bool is_clean = l->state == LINK_BUSY && l->has_head && l->has_ended && !l->ready &&
                    l->from == l->to && l->body_ended && !buf_len(&l->out) && !l->wants_close &&
                    !l->is_eof && !u->is_for_nobody;
    u->x = NULL;
    if (!is_clean || w->is_draining || !e->origin) {
        close_link(l);
        endpoint_ends(e);
        return;
    }
    l->state = LINK_IDLE;
    l->rested_us = w->loop.turn_began_us;
    l->has_head = l->has_ended = u->has_answered = false;
    l->from = l->to = 0;
    l->scan = (struct h1_scan){0};
    l->chunked = (struct chunked){0};
    worker_block_done(w, l->bytes);
    l->bytes = NULL;
    list_push(&e->idle, &l->in_idle);
    transport_read_on(&l->transport);
    deadline_arm(worker_deadlines(w, w->config->upstream_idle_ms), &l->idle_limit);
    endpoint_ends(e);
}

static const struct uplink_ops uplink_ops = {kick,       peek,       take,   is_ended,
                                             ends_after, wants_body, release};

static struct link_h1 *open_link(struct endpoint *e)
{
    struct link_h1 *l = mem_new(struct link_h1);
    l->up.ops = &uplink_ops;
    l->up.endpoint = e;
    l->transport.ops = &transport_ops;
    l->state = LINK_CONNECTING;
    l->flush.run = on_flush;
    l->bury.run = bury;
    l->again.run = on_again;
    l->idle_limit.passed = idle_is_over;
    buf_init(&l->out, OUT_CEILING);
    if (!transport_open(&l->transport, e, SLICE("http/1.1"))) {
        buf_fini(&l->out);
        mem_free(l);
        return NULL;
    }
    endpoint_connection_opened(e);
    return l;
}

/* RFC 9112 §9.2: what has come before the request is no answer to it. Each poll of the loop is a
 * look at all that rest: what had come by then ends the link, or is pending still. What comes
 * behind it in this turn could as well come behind a look of ours, since the request leaves at the
 * end of the turn. One that came to rest in this very turn has not been polled, and is looked at.
 */
static bool is_silent(struct link_h1 *l)
{
    return transport_was_silent(&l->transport, l->rested_us) || transport_is_silent(&l->transport);
}

static struct link_h1 *idle_link(struct endpoint *e)
{
    struct link_h1 *l;
    do {
        if (list_is_empty(&e->idle))
            return NULL;
        l = container_of(e->idle.prev, struct link_h1,
                         in_idle); /* the one used last is the likeliest to live */
        if (!is_silent(l))
            close_link(l);
    } while (l->state == LINK_CLOSED);
    link_remove(&l->in_idle);
    deadline_cancel(&l->idle_limit);
    l->state = LINK_BUSY;
    l->up.is_reused = true;
    metric_add(&e->worker->metrics, METRIC_UPSTREAM_REUSED_TOTAL, 1);
    return l;
}

void link_h1_close_idle(struct endpoint *e)
{
    close_link(container_of(e->idle.next, struct link_h1, in_idle));
}

static bool put_field(void *owner, struct slice name, struct slice value)
{
    struct buf *out = owner;
    char *at;
    size_t len = name.len + value.len + 4;
    if (!buf_reserve(out, len, &at))
        return false;
    memcpy(at, name.ptr, name.len);
    at += name.len;
    *at++ = ':';
    *at++ = ' ';
    memcpy(at, value.ptr, value.len);
    at += value.len;
    *at++ = '\r';
    *at = '\n';
    buf_grew(out, len);
    return true;
}

/* RFC 9110 §7.6.1: what is said of this connection alone is named in Connection. */
static bool put_connection(struct link_h1 *l, const struct request *r)
{
    if (r->wants_websocket) {
        websocket_key_make(&worker_of(l)->dice, l->key);
        return buf_add(&l->out, SLICE("connection: upgrade\r\nupgrade: websocket\r\n")) &&
               put_field(&l->out, SLICE("sec-websocket-key"), slice_from(l->key, sizeof l->key));
    }
    return !r->accepts_trailers || buf_add(&l->out, SLICE("connection: te\r\nte: trailers\r\n"));
}

static bool put_framing(struct link_h1 *l, const struct request *r)
{
    if (l->body_is_chunked)
        return buf_add(&l->out, SLICE("transfer-encoding: chunked\r\n"));
    if (r->has_body || r->method == METHOD_POST || r->method == METHOD_PUT ||
        r->method == METHOD_PATCH)
        return buf_printf(&l->out, "content-length: %llu\r\n", (unsigned long long)r->body_length);
    return true;
}

static bool put_head(struct link_h1 *l, const struct exchange *x)
{
    const struct request *r = &x->request;
    const struct field_sink sink = {put_field, &l->out};
    return buf_add(&l->out, r->method_name) && buf_add(&l->out, SLICE(" ")) &&
           buf_add(&l->out, r->path.canonical) &&
           (!r->has_query || (buf_add(&l->out, SLICE("?")) && buf_add(&l->out, r->query))) &&
           buf_add(&l->out, SLICE(" HTTP/1.1\r\n")) && put_field(&l->out, SLICE("host"), r->host) &&
           fields_request(x, &sink) && put_connection(l, r) && put_framing(l, r) &&
           buf_add(&l->out, SLICE("\r\n"));
}

bool link_h1_begin(struct endpoint *e, struct exchange *x, enum reason *why)
{
    /* A request that failed on a pooled connection gets a new one, in the place of the oldest: the
     * others may be as stale. */
    struct link_h1 *l = x->tries > 1 ? NULL : idle_link(e);
    const struct request *r = &x->request;
    if (x->tries > 1 && !list_is_empty(&e->idle))
        link_h1_close_idle(e);
    if (!l)
        l = open_link(e);
    if (!l) {
        *why = REASON_UPSTREAM_REFUSED;
        return false;
    }
    l->body_is_chunked = r->has_body && r->body_length == BODY_LENGTH_UNKNOWN;
    l->body_left = l->body_is_chunked ? 0 : r->body_length;
    l->body_ended = !r->has_body && !r->wants_websocket;
    l->tunnel = r->wants_websocket ? TUNNEL_ASKED : TUNNEL_NONE;
    if (!put_head(l, x)) {
        *why = REASON_HEADERS_TOO_LARGE;
        close_link(l);
        return false;
    }
    l->up.x = x;
    x->link = &l->up;
    endpoint_begins(e);
    if (l->state == LINK_BUSY) {
        exchange_upstream_connected(x);
        kick(&l->up);
    }
    return true;
}
