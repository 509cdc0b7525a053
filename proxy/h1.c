// SPDX-License-Identifier: EUPL-1.2
/* HTTP/1.1 with a client, one exchange at a time.
 *
 *   HEAD (waiting for one) → EXCHANGE (body in, answer out, in any overlap) → HEAD, or the end of
 * the connection
 *
 * An exchange that becomes a tunnel (101) is the last: from then on all that comes is its body, and
 * so is all that goes.
 *
 * What arrives behind the request under way waits in `in`; past its mark nothing is read. Anything
 * odd about a request ends the connection after its answer: where one message ends is then no
 * longer certain. */
#include "proxy/h1.h"

#include <assert.h>

#include "base/mem.h"
#include "base/method.h"
#include "proxy/exchange.h"
#include "proxy/h1_chunked.h"

#define IN_MARK 65536        /* beyond this the socket waits */
#define UPLOAD_MARK 65536    /* of a body, on its way to the upstream; the same */
#define EARLY_CEILING 131072 /* of 1xx that wait for their turn: two heads of an upstream */

struct h1 {
    struct connection *connection;
    struct buf in;
    struct h1_scan scan;
    struct exchange *x; /* NULL: between requests */
    /* The request's body. */
    enum h1_framing framing;
    uint64_t left;
    struct chunked chunked;
    bool has_body_ended;
    /* The answer. */
    struct buf early; /* 1xx */
    bool owes_head;
    bool is_body_due; /* head is out, body follows */
    bool is_chunked_out;
    bool is_cut;
    bool closes;       /* after this answer */
    struct later next; /* looks for the next request, outside of fill */
};

static const struct client_ops h1_client;

/* The request's fields out of the parser's view of `in`, into the arena. */
static void copy_head(struct exchange *x, const struct h1_head *head)
{
    struct request *r = &x->request;
    r->protocol = PROTOCOL_H1;
    r->method_name = arena_copy(&x->arena, head->method);
    r->method = method_of(r->method_name);
    r->authority = arena_copy(&x->arena, head->host);
    r->target = arena_copy(&x->arena, head->target);
    r->fields = arena_array(&x->arena, struct field, head->field_count);
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (slice_eq(head->fields[i].name, SLICE("host")))
            continue;
        r->fields[r->field_count].name = arena_copy(&x->arena, head->fields[i].name);
        r->fields[r->field_count++].value = arena_copy(&x->arena, head->fields[i].value);
    }
    r->has_body = head->framing != H1_NO_BODY;
    r->body_length = head->framing == H1_CHUNKED ? BODY_LENGTH_UNKNOWN : head->length;
    r->expects_continue = head->expects_continue && r->has_body;
    /* RFC 9110 §7.8: other protocols, and this one with other methods, are an offer that need not
     * be taken. */
    r->wants_websocket = head->is_websocket && r->method == METHOD_GET;
}

/* RFC 6455 §4.2.1. */
static enum reason judge_websocket(const struct request *r, const char **detail)
{
    enum reason why =
        r->has_body ? REASON_REQUEST_MALFORMED : websocket_judge(r->fields, r->field_count, true);
    if (why == REASON_REQUEST_MALFORMED)
        *detail = "the handshake of WebSocket is malformed";
    return why;
}

static void begin(struct h1 *h, const struct h1_head *head, bool is_bad)
{
    struct connection *c = h->connection;
    enum reason early = REASON_PERMITTED;
    const char *detail = NULL;
    struct exchange *x = exchange_new(c, &h1_client);
    x->client_stream = h;
    h->x = x;
    deadline_cancel(&c->deadline);
    h->owes_head = h->is_body_due = h->is_chunked_out = h->is_cut = false;
    buf_clear(&h->early);
    h->chunked = (struct chunked){.arena = &x->arena};
    if (is_bad) {
        h->framing = H1_NO_BODY;
        h->has_body_ended = true;
        h->closes = true;
        exchange_begin(x, head->why, head->detail);
        return;
    }
    copy_head(x, head);
    if ((int64_t)head->bytes > c->worker->config->head_bytes ||
        head->field_count > c->worker->config->max_fields)
        early = REASON_HEADERS_TOO_LARGE;
    h->framing = head->framing;
    h->left = head->length;
    h->has_body_ended = head->framing == H1_NO_BODY;
    h->closes |= head->wants_close;
    buf_skip(&h->in, head->bytes);
    h->scan = (struct h1_scan){0};
    if (early == REASON_PERMITTED && x->request.wants_websocket)
        early = judge_websocket(&x->request, &detail);
    exchange_begin(x, early, detail);
}

/* Looks for a head; false while there is none. */
static bool take_head(struct h1 *h)
{
    struct connection *c = h->connection;
    struct h1_head *head = &c->worker->head;
    bool is_first = h->scan.seen == 0; /* its time runs from its first byte, not from its latest */
    switch (h1_request_parse(head, &h->scan, h->in.ptr + h->in.from, buf_len(&h->in))) {
    case H1_MORE:
        if (!link_is_in(&c->deadline.link) || is_first)
            connection_limit(c, c->worker->config->head_ms);
        return false;
    case H1_DONE:
        begin(h, head, false);
        return true;
    case H1_BAD:
        begin(h, head, true);
        buf_clear(&h->in);
        c->has_read_all = true;
        return true;
    }
    return false;
}

static void body_is_broken(struct h1 *h)
{
    struct exchange *x = h->x;
    h->has_body_ended = h->closes = true;
    buf_clear(&h->in);
    h->connection->has_read_all = true;
    exchange_body_broken(x, "the chunked coding is broken");
}

static void take_end(struct h1 *h)
{
    struct field *trailers = NULL;
    uint32_t count = chunked_trailers(&h->chunked, &trailers);
    if (count)
        exchange_receive_trailers(h->x, trailers, count);
    exchange_receive_end(h->x);
}

/* Hands over what is there of the body; false where it waits for more, or for room. */
static bool take_body(struct h1 *h)
{
    struct exchange *x = h->x;
    struct slice bytes = buf_slice(&h->in);
    struct slice data = bytes;
    size_t used;
    if (!bytes.len)
        return false;
    if (!exchange_wants_body(x)) { /* refused: the rest is not read, and the connection ends */
        h->closes = true;
        buf_clear(&h->in);
        return false;
    }
    if (buf_len(&x->up) >= UPLOAD_MARK) {
        connection_pause(h->connection);
        return false;
    }
    if (data.len > UPLOAD_MARK)
        data.len = UPLOAD_MARK;
    if (h->framing == H1_LENGTH) {
        data.len = data.len < h->left ? data.len : (size_t)h->left;
        used = data.len;
        h->left -= used;
        h->has_body_ended = !h->left;
    } else if (h->framing == H1_UNTIL_CLOSE) { /* a tunnel */
        used = data.len;
    } else {
        used = chunked_next(&h->chunked, data, &data);
        if (h->chunked.state == CHUNKED_BAD) {
            body_is_broken(h);
            return false;
        }
        h->has_body_ended = h->chunked.state == CHUNKED_END;
    }
    if (data.len)
        exchange_receive(x, data);
    buf_skip(&h->in, used);
    if (h->has_body_ended && h->x)
        take_end(h);
    return !h->has_body_ended;
}

static void advance(struct h1 *h)
{
    struct connection *c = h->connection;
    if (!h->x && !h->closes && buf_len(&h->in) && !take_head(h))
        return;
    while (h->x && !h->has_body_ended && take_body(h))
        ;
    if (buf_len(&h->in) > IN_MARK)
        connection_pause(c);
    if (!buf_len(&h->in))
        buf_release(&h->in);
}

static bool receive(struct connection *c, char *bytes, size_t len)
{
    struct h1 *h = c->protocol;
    if (h->closes && !h->x)
        return false;
    if (!buf_add(&h->in, slice_from(bytes, len))) {
        connection_close(c); /* can't be: reading pauses long before */
        return false;
    }
    advance(h);
    return true;
}

/* The client's side of an exchange. */
static struct h1 *h1_under(const struct exchange *x)
{
    return x->client_stream;
}

static bool put_fields(struct buf *out, const struct field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!buf_add(out, fields[i].name) || !buf_add(out, SLICE(": ")) ||
            !buf_add(out, fields[i].value) || !buf_add(out, SLICE("\r\n")))
            return false;
    return true;
}

static void say(struct exchange *x, uint16_t status, const struct field *fields, uint32_t count)
{
    struct h1 *h = h1_under(x);
    size_t size = sizeof "HTTP/1.1 100 Continue\r\n\r\n";
    for (uint32_t i = 0; i < count; i++)
        size += fields[i].name.len + fields[i].value.len + 4;
    if (h->owes_head || h->is_body_due || size > EARLY_CEILING - buf_len(&h->early))
        return; /* RFC 9110 §15.2: the client can do without */
    bool fits =
        buf_printf(&h->early, "HTTP/1.1 %u %s\r\n", status, status == 100 ? "Continue" : "") &&
        put_fields(&h->early, fields, count) && buf_add(&h->early, SLICE("\r\n"));
    assert(fits);
    connection_kick(x->connection);
}

static void send_head(struct exchange *x)
{
    h1_under(x)->owes_head = true;
    connection_kick(x->connection);
}

static void body_ready(struct exchange *x)
{
    connection_kick(x->connection);
}

static void body_taken(struct exchange *x, size_t n)
{
    struct h1 *h = h1_under(x);
    (void)n;
    if (buf_len(&x->up) >= UPLOAD_MARK / 2)
        return;
    loop_later(&x->worker->loop, &h->next);
    connection_go_on(x->connection);
}

static void cut(struct exchange *x)
{
    h1_under(x)->is_cut = true;
    connection_kick(x->connection);
}

static bool is_in_line(struct exchange *x)
{
    (void)x;
    return false;
}

static const struct client_ops h1_client = {say,        send_head, body_ready,
                                            body_taken, cut,       is_in_line};

/* RFC 6455 §4.2.2. */
static bool put_switch(const struct exchange *x, struct buf *out)
{
    char accept[WEBSOCKET_ACCEPT_CHARS];
    websocket_accept(accept, exchange_field(x, SLICE("sec-websocket-key")));
    return buf_add(out, SLICE("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                              "upgrade: websocket\r\nsec-websocket-accept: ")) &&
           buf_add(out, slice_from(accept, sizeof accept)) && buf_add(out, SLICE("\r\n"));
}

/* From here on all that the client sends is for the other end, what waits in `in` first. */
static void open_tunnel(struct h1 *h)
{
    h->framing = H1_UNTIL_CLOSE;
    h->has_body_ended = false;
    h->closes = true;
    loop_later(&h->connection->worker->loop, &h->next);
    connection_go_on(h->connection);
}

/* An upstream over HTTP/2 may end an answer with its head and say no length: here it must be said
 * (RFC 9112 §6.3). */
static bool needs_length(const struct exchange *x)
{
    const struct response *r = &x->response;
    if (r->has_body || r->status == 204 || r->status == 304 || x->request.method == METHOD_HEAD)
        return false;
    for (uint32_t i = 0; i < r->field_count; i++)
        if (slice_eq(r->fields[i].name, SLICE("content-length")))
            return false;
    return true;
}

static bool put_framing(const struct h1 *h, struct buf *out)
{
    const struct exchange *x = h->x;
    if (x->is_tunnel)
        return true;
    if (needs_length(x) && !buf_add(out, SLICE("content-length: 0\r\n")))
        return false;
    /* RFC 9110 §15.5.22: which protocol it would have to be. */
    if (x->reason == REASON_WEBSOCKET_VERSION &&
        !buf_add(out, SLICE("connection: upgrade\r\nupgrade: websocket\r\n")))
        return false;
    if (h->is_chunked_out && !buf_add(out, SLICE("transfer-encoding: chunked\r\n")))
        return false;
    return !h->closes || buf_add(out, SLICE("connection: close\r\n"));
}

static bool put_head(struct h1 *h, struct buf *out)
{
    const struct exchange *x = h->x;
    const struct response *r = &x->response;
    /* An answer before the end of the request's body ends the connection: what follows is not read.
     * So does a refused question for a tunnel: bytes that were meant for it may be on their way. */
    h->closes |= !h->has_body_ended || h->connection->worker->is_draining ||
                 (x->request.wants_websocket && !x->is_tunnel);
    h->is_chunked_out = r->has_body && r->length == BODY_LENGTH_UNKNOWN && !x->is_tunnel;
    if (!(x->is_tunnel ? put_switch(x, out)
                       : buf_printf(out, "HTTP/1.1 %u \r\n", (unsigned)r->status)) ||
        !put_fields(out, r->fields, r->field_count) || !put_framing(h, out) ||
        !buf_add(out, SLICE("\r\n")))
        return false;
    h->owes_head = false;
    h->is_body_due = true;
    if (x->is_tunnel)
        open_tunnel(h);
    return true;
}

/* One piece of the body; false where nothing is ready. */
static bool put_body(struct h1 *h, struct buf *out)
{
    struct slice ready = flow_down_peek(h->x);
    if (!ready.len)
        return false;
    if (ready.len > FILL_MARK / 2)
        ready.len = FILL_MARK / 2;
    if (h->is_chunked_out && !buf_printf(out, "%zx\r\n", ready.len))
        return false;
    if (!buf_add(out, ready) || (h->is_chunked_out && !buf_add(out, SLICE("\r\n"))))
        return false;
    flow_down_take(h->x, ready.len);
    return true;
}

static void let_go(struct h1 *h)
{
    struct exchange *x = h->x;
    h->x = NULL;
    exchange_let_go(x);
    if (h->closes) {
        connection_close_when_sent(h->connection);
        return;
    }
    connection_limit(h->connection, h->connection->worker->config->keepalive_ms);
    connection_go_on(h->connection);
    loop_later(&h->connection->worker->loop, &h->next);
}

static void answer_is_out(struct h1 *h)
{
    h->closes |= !h->has_body_ended;
    h->x->is_end_sent = true;
    exchange_sent(h->x);
    let_go(h);
}

static bool put_early(struct h1 *h, struct buf *out)
{
    if (!buf_len(&h->early))
        return true;
    if (!buf_add(out, buf_slice(&h->early)))
        return false;
    buf_clear(&h->early);
    buf_release(&h->early);
    return true;
}

static bool put_last_chunk(const struct exchange *x, struct buf *out)
{
    return buf_add(out, SLICE("0\r\n")) &&
           put_fields(out, x->response.trailers, x->response.trailer_count) &&
           buf_add(out, SLICE("\r\n"));
}

static bool fill(struct connection *c, struct buf *out)
{
    struct h1 *h = c->protocol;
    struct exchange *x = h->x;
    if (!x)
        return false;
    if (h->is_cut) { /* RFC 9112 §8: the missing last chunk or bytes tell the client */
        h->closes = true;
        let_go(h);
        return false;
    }
    if (!put_early(h, out) || (h->owes_head && !put_head(h, out))) {
        connection_close(c);
        return false;
    }
    if (!h->is_body_due)
        return false;
    while (x->response.has_body && buf_len(out) < FILL_MARK && put_body(h, out))
        ;
    if (x->response.has_body && !flow_down_is_ended(x))
        return buf_len(out) >= FILL_MARK;
    if (h->is_chunked_out && !put_last_chunk(x, out)) {
        connection_close(c);
        return false;
    }
    answer_is_out(h);
    return false;
}

static void on_next(struct later *self)
{
    struct h1 *h = container_of(self, struct h1, next);
    if (!h->connection->is_closed)
        advance(h);
}

static void start(struct connection *c)
{
    struct h1 *h = mem_new(struct h1);
    h->connection = c;
    h->next.run = on_next;
    buf_init(&h->in, IN_MARK + 4 * 16384);
    buf_init(&h->early, EARLY_CEILING);
    c->protocol = h;
    connection_limit(c, c->worker->config->head_ms);
}

/* In a tunnel one side may end while the other still has something to say. */
static bool ended(struct connection *c)
{
    struct h1 *h = c->protocol;
    if (!h->x || h->framing != H1_UNTIL_CLOSE)
        return false;
    connection_pause(c);
    if (!h->has_body_ended) {
        h->has_body_ended = true;
        exchange_receive_end(h->x);
    }
    return true;
}

static bool is_quiet(const struct connection *c)
{
    return !((const struct h1 *)c->protocol)->x;
}

static void drain(struct connection *c)
{
    struct h1 *h = c->protocol;
    h->closes = true;
}

static void end(struct connection *c)
{
    struct h1 *h = c->protocol;
    if (h->x) {
        struct exchange *x = h->x;
        h->x = NULL;
        exchange_client_gone(x, c->is_stalled ? REASON_CLIENT_STALLED : REASON_CLIENT_GONE);
        exchange_let_go(x);
    }
    later_cancel(&h->next);
    buf_fini(&h->in);
    buf_fini(&h->early);
    mem_free(h);
    c->protocol = NULL;
    c->ops = NULL;
}

const struct protocol_ops h1_protocol = {start, receive, ended, fill, is_quiet, drain, end};
