// SPDX-License-Identifier: EUPL-1.2
/* HTTP/2 towards an application.
 *
 *   CONNECTING → OPEN → CLOSED, and CONNECTING → CLOSED
 *
 *   CONNECTING  streams are begun, and wait in nghttp2
 *   OPEN        listed at its endpoint while it takes new streams; when it takes none (GOAWAY, the
 *               endpoint is gone, the worker drains) it ends with its last one
 *   CLOSED      nothing more comes or goes; freed when the last of the answers that were whole is
 *               taken
 *
 * nghttp2's callbacks may end exchanges, and these their streams: whatever was known of a stream is
 * asked for again after each call of the exchange's. nghttp2 itself is neither freed nor entered
 * anew inside of a callback: what it has to say is written at the end of the turn.
 *
 * Windows: the connection's is opened at receipt, a stream's only when the client took the bytes.
 * So one client that does not read stops nobody else, and what a stream holds is one block. */
#include "proxy/link_h2.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>

#include "base/mem.h"
#include "proxy/h2_head.h"
#include "proxy/transport.h"

#define STREAMS_MAX 100            /* ours, whatever the upstream allows: then another connection */
#define STREAM_WINDOW 65535        /* what WORKER_BLOCK_BYTES hold */
#define CONNECTION_WINDOW 16777216 /* it stands for no memory: streams hold, and few */
#define RECORD_BYTES 16384         /* one frame, one TLS record */
#define OUT_CEILING 262144         /* a head, behind what one fill has put */
#define OUT_KEPT 8192              /* what a connection at rest keeps */
#define NO_WEBSOCKET "it offers no WebSocket over HTTP/2"
/* Of frames that bring no answer further. Their cost is about a hundredth of a core; the pings of
 * one that measures its round trips are far below. */
#define GLITCHES_PER_S 10000
#define FRAME_HEAD_BYTES 9
/* A byte of HPACK can stand for 4 KiB, and nghttp2 looks at all of them, while everybody waits. */
#define HEAD_BOMB_BYTES (2 * H2_HEAD_IN_MAX)

struct session_h2 {
    struct link in_endpoint; /* while it takes new streams */
    struct endpoint *endpoint;
    enum { CONNECTING, OPEN, CLOSED } state;
    struct transport transport;
    nghttp2_session *session;
    struct link streams;
    uint32_t stream_count;
    uint32_t inside;   /* nghttp2 is: it can't be entered anew */
    bool is_settled;   /* the upstream's first SETTINGS have come */
    bool is_ending;    /* takes no new streams */
    bool write_failed; /* what it has to say is read, nothing more is sent */
    int64_t heard_us;  /* when something came last */
    int64_t glitches_from_ms;
    uint32_t glitches;
    struct buf out;
    struct later flush;
    struct later bury;
    struct deadline limit;    /* to connect, or idle */
    struct h2_head_in in;     /* the head that is coming */
    struct h2_head_out asked; /* the one that is being put together */
};

struct stream {
    struct uplink up;
    struct session_h2 *session;
    struct link in_session;
    int32_t id;       /* 0: waits for the upstream's first SETTINGS */
    bool is_closed;   /* nghttp2 knows it no more */
    bool is_deferred; /* its body waits for more of x->up */
    bool has_head;
    bool has_ended;    /* END_STREAM has come */
    bool has_sent_end; /* and ours has gone */
    bool was_reset;    /* by the upstream; else nghttp2 did it, for what the upstream sent */
    enum { TUNNEL_NONE, TUNNEL_ASKED, TUNNEL_OPEN } tunnel;
    char *bytes; /* WORKER_BLOCK_BYTES; [from, to) have come and not been taken */
    size_t from;
    size_t to;
};

static struct stream *stream_of(struct uplink *u)
{
    return container_of(u, struct stream, up);
}

static const struct stream *const_stream_of(const struct uplink *u)
{
    return (const struct stream *)(const void *)((const char *)u - offsetof(struct stream, up));
}

static struct worker *worker_of(const struct session_h2 *h)
{
    return h->transport.worker;
}

static struct session_h2 *session_of(void *data)
{
    return data;
}

/* NULL: it was released, or never ours. */
static struct stream *find(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void flush_later(struct session_h2 *h)
{
    if (h->state != CLOSED)
        loop_later(&worker_of(h)->loop, &h->flush);
}

/* --- A connection's end. */

static void bury(struct later *self)
{
    struct session_h2 *h = container_of(self, struct session_h2, bury);
    h2_head_clear(&h->in);
    nghttp2_session_del(h->session);
    buf_fini(&h->out);
    mem_free(h);
}

static void take_no_more(struct session_h2 *h)
{
    h->is_ending = true;
    link_remove(&h->in_endpoint);
}

/* Nothing more is read nor written. */
static void close_transport(struct session_h2 *h)
{
    if (h->state == CLOSED)
        return;
    h->state = CLOSED;
    take_no_more(h);
    transport_close(&h->transport);
    later_cancel(&h->flush);
    deadline_cancel(&h->limit);
}

static void close_session(struct session_h2 *h)
{
    assert(!h->stream_count);
    close_transport(h);
    if (link_is_in(&h->bury.link))
        return;
    loop_later(&worker_of(h)->loop, &h->bury);
    endpoint_connection_closed(h->endpoint);
}

static struct stream *first_unfinished(const struct session_h2 *h)
{
    list_each (it, &h->streams) {
        struct stream *s = container_of(it, struct stream, in_session);
        if (!s->has_ended)
            return s;
    }
    return NULL;
}

/* Those whose answer is not whole are told, and release their streams; the others have all that
 * they need. */
static void fail(struct session_h2 *h, enum reason why, const char *detail)
{
    struct endpoint *e = h->endpoint;
    struct stream *s;
    close_transport(h);
    endpoint_begins(e); /* so that it outlives its streams */
    h->stream_count++;  /* and this its last one */
    while ((s = first_unfinished(h)))
        exchange_upstream_failed(s->up.x, why, detail);
    if (!--h->stream_count)
        close_session(h);
    endpoint_ends(e);
}

/* --- Out. */

static void read_more(struct session_h2 *h);

/* Puts into `out` what nghttp2 has to say, up to the mark. */
static bool fill(struct session_h2 *h)
{
    while (h->state == OPEN && buf_len(&h->out) < FILL_MARK) {
        const uint8_t *bytes;
        size_t before = buf_len(&h->out);
        h->inside++;
        ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
        h->inside--;
        if (n < 0 || (n > 0 && !buf_add(&h->out, slice_from((const char *)bytes, (size_t)n))))
            return false;
        if (n == 0 && buf_len(&h->out) == before)
            break;
    }
    return true;
}

static void write_out(struct session_h2 *h)
{
    while (h->state == OPEN && !h->write_failed) {
        struct slice bytes;
        ssize_t n;
        if (!fill(h)) {
            fail(h, REASON_UPSTREAM_BROKEN, "there is no room for what it must be told");
            return;
        }
        bytes = buf_slice(&h->out);
        if (!bytes.len || h->state != OPEN)
            break;
        n = transport_write(&h->transport, bytes);
        if (n == TRANSPORT_NOT_NOW)
            return;
        if (n == TRANSPORT_BROKEN) { /* what it said before is worth hearing */
            buf_clear(&h->out);
            h->write_failed = true;
            read_more(h);
            return;
        }
        buf_skip(&h->out, (size_t)n);
    }
    if (h->state == OPEN && !nghttp2_session_want_read(h->session) &&
        !nghttp2_session_want_write(h->session))
        fail(h, REASON_UPSTREAM_BROKEN, "it breaks the rules of HTTP/2");
    if (h->out.room > OUT_KEPT)
        buf_release(&h->out);
}

/* RFC 9113 §9.1: it is told, where there is somebody to tell. */
static void end_gently(struct session_h2 *h)
{
    if (h->state == OPEN && !h->write_failed) {
        (void)nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
        if (fill(h) && transport_write(&h->transport, buf_slice(&h->out)) > 0)
            transport_end(&h->transport);
    }
    close_session(h);
}

static void on_flush(struct later *self)
{
    struct session_h2 *h = container_of(self, struct session_h2, flush);
    if (h->is_ending && !h->stream_count) {
        end_gently(h);
        return;
    }
    if (h->state == OPEN)
        write_out(h);
}

static int put_trailers(nghttp2_session *session, const struct exchange *x, int32_t id)
{
    nghttp2_nv nv[H1_MAX_FIELDS];
    uint32_t count = x->up_trailer_count < H1_MAX_FIELDS ? x->up_trailer_count : H1_MAX_FIELDS;
    for (uint32_t i = 0; i < count; i++)
        nv[i] = h2_head_pair(x->up_trailers[i].name, x->up_trailers[i].value);
    return nghttp2_submit_trailer(session, id, nv, count);
}

static ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *unused, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *data)
{
    struct stream *s = find(session, id);
    struct exchange *x = s ? s->up.x : NULL;
    struct slice ready;
    (void)unused, (void)source, (void)data;
    if (!x)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    ready = buf_slice(&x->up);
    if (s->tunnel == TUNNEL_ASKED || (!ready.len && !x->up_ended)) {
        s->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (ready.len > room)
        return (ssize_t)room;
    if (!x->up_ended)
        return (ssize_t)ready.len;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (x->up_trailer_count) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (put_trailers(session, x, id) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)ready.len;
}

static int body_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t len, nghttp2_data_source *source, void *data)
{
    struct session_h2 *h = session_of(data);
    struct stream *s = find(session, frame->hd.stream_id);
    struct exchange *x = s ? s->up.x : NULL;
    (void)source;
    if (!x)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    assert(buf_len(&x->up) >= len && !frame->data.padlen); /* nothing came between */
    if (!buf_add(&h->out, slice_from((const char *)head, FRAME_HEAD_BYTES)) ||
        !buf_add(&h->out, (struct slice){buf_slice(&x->up).ptr, len}))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (len) {
        flow_up_taken(x, len);
        exchange_upstream_progress(x);
    }
    return buf_len(&h->out) >= FILL_MARK ? NGHTTP2_ERR_PAUSE : 0;
}

static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t id,
                            int32_t connection_window, int32_t stream_window, uint32_t frame_max,
                            void *data)
{
    (void)session, (void)type, (void)id, (void)connection_window, (void)stream_window, (void)data;
    return frame_max < RECORD_BYTES ? frame_max : RECORD_BYTES;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct stream *s = find(session, frame->hd.stream_id);
    (void)data;
    if (s && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
        s->has_sent_end |= (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    return 0;
}

/* --- In. */

/* RFC 9113 §10.5: what costs us and brings nothing. */
static void glitch(struct session_h2 *h)
{
    int64_t now_ms = loop_now(&worker_of(h)->loop).ms;
    if (now_ms - h->glitches_from_ms > 1000) {
        h->glitches_from_ms = now_ms;
        h->glitches = 0;
    }
    if (++h->glitches == GLITCHES_PER_S)
        (void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *data)
{
    bool is_of_stream =
        hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_WINDOW_UPDATE ||
        hd->type == NGHTTP2_RST_STREAM ||
        (hd->type == NGHTTP2_DATA && (hd->length || (hd->flags & NGHTTP2_FLAG_END_STREAM)));
    if (!is_of_stream || (hd->type == NGHTTP2_RST_STREAM && !find(session, hd->stream_id)))
        glitch(session_of(data));
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct stream *s = find(session, frame->hd.stream_id);
    h2_head_clear(&session_of(data)->in);
    if (s)
        s->up.has_answered = true;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *data)
{
    struct h2_head_in *in = &session_of(data)->in;
    (void)session, (void)frame, (void)flags;
    h2_head_add(in, name, value);
    /* RST_STREAM: what follows is unpacked, and looked at by nobody. */
    return in->bytes > HEAD_BOMB_BYTES ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

/* What nghttp2 would silently drop is refused, as over HTTP/1.1. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *data)
{
    (void)session, (void)frame, (void)name, (void)value, (void)flags, (void)data;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM */
}

/* What the upstream has said to it is of no use, nor would it be another time. */
static void fail_stream(struct stream *s, enum reason why, const char *detail)
{
    s->up.has_answered = true;
    exchange_upstream_failed(s->up.x, why, detail);
}

static void take_head(struct stream *s, struct upstream_head *head)
{
    struct exchange *x = s->up.x;
    bool has_length = head->length != BODY_LENGTH_UNKNOWN;
    bool is_bodiless =
        x->request.method == METHOD_HEAD || head->status == 204 || head->status == 304;
    s->has_head = true;
    head->is_h2 = true;
    if (s->tunnel == TUNNEL_ASKED) /* RFC 8441 §5: any 2xx opens it */
        s->tunnel = head->status < 300 ? TUNNEL_OPEN : TUNNEL_NONE;
    head->is_tunnel = s->tunnel == TUNNEL_OPEN;
    head->has_body = !s->has_ended && !is_bodiless;
    head->keeps_length = has_length && head->status != 204 && !head->is_tunnel;
    if (!head->has_body || head->is_tunnel)
        head->length = head->has_body ? BODY_LENGTH_UNKNOWN : 0;
    exchange_upstream_head(x, head);
}

static void kick(struct uplink *u);

/* A block of fields is whole: an interim answer, the answer's head, or what trails it. */
static void take_fields(struct session_h2 *h, int32_t id, bool ends)
{
    struct stream *s = find(h->session, id);
    struct upstream_head head = {0};
    if (!s)
        return;
    if (h->in.is_too_large || !h2_head_read(&h->in, worker_of(h)->head.fields, &head)) {
        fail_stream(s, REASON_UPSTREAM_BROKEN,
                    h->in.is_too_large ? "its header fields are too large" : "its head is broken");
        return;
    }
    if (!s->has_head && head.status < 200) {
        exchange_upstream_early(s->up.x, &head);
        return;
    }
    s->has_ended = ends;
    if (s->has_head)
        exchange_upstream_trailers(s->up.x, head.fields, head.field_count);
    else
        take_head(s, &head);
    s = find(h->session, id);
    if (!s)
        return;
    if (s->up.x->request.wants_websocket)
        kick(&s->up); /* it has waited for this; or ends, being none */
    if (ends)
        exchange_upstream_ready(s->up.x);
}

static bool submit(struct stream *s, enum reason *why);
static bool offers_websocket(const struct session_h2 *h);

/* Also those that asked for what only SETTINGS can offer. */
static void settle(struct session_h2 *h)
{
    struct link waiting;
    enum reason why;
    h->endpoint->streams_allowed =
        nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (h->is_settled)
        return;
    h->is_settled = true;
    list_init(&waiting);
    for (struct link *it = h->streams.next, *next; it != &h->streams; it = next) {
        next = it->next;
        if (container_of(it, struct stream, in_session)->id)
            continue;
        link_remove(it);
        list_push(&waiting, it);
    }
    while (!list_is_empty(&waiting)) {
        struct stream *s = container_of(waiting.next, struct stream, in_session);
        link_remove(&s->in_session);
        list_push(&h->streams, &s->in_session);
        if (!offers_websocket(h))
            fail_stream(s, REASON_UPSTREAM_BROKEN, NO_WEBSOCKET);
        else if (!submit(s, &why))
            fail_stream(s, why, NULL);
    }
}

/* RFC 9113 §6.8: those above the last it speaks of were not handled, also what nghttp2 has not sent
 * yet. */
static void goes_away(struct session_h2 *h, int32_t last_id)
{
    take_no_more(h);
    for (struct link *it = h->streams.next; it != &h->streams;) {
        struct stream *s = container_of(it, struct stream, in_session);
        it = it->next;
        if (s->id && s->id <= last_id)
            continue;
        s->up.was_not_handled = true;
        exchange_upstream_failed(s->up.x, REASON_UPSTREAM_BROKEN, "it is going away");
        it = h->streams.next; /* whatever has become of the others */
    }
    flush_later(h);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct session_h2 *h = session_of(data);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct stream *s;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        take_fields(h, frame->hd.stream_id, ends);
        break;
    case NGHTTP2_DATA:
        s = find(session, frame->hd.stream_id);
        if (s && ends) {
            s->has_ended = true;
            exchange_upstream_ready(s->up.x);
        }
        break;
    case NGHTTP2_RST_STREAM:
        s = find(session, frame->hd.stream_id);
        if (s)
            s->was_reset = true;
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            settle(h);
        break;
    case NGHTTP2_GOAWAY:
        goes_away(h, frame->goaway.last_stream_id);
        break;
    default:
        break;
    }
    return 0;
}

static bool keep_bytes(struct stream *s, const uint8_t *bytes, size_t len)
{
    struct worker *w = worker_of(s->session);
    if (!s->bytes)
        s->bytes = worker_block(w);
    if (s->from && s->to + len > WORKER_BLOCK_BYTES) {
        memmove(s->bytes, s->bytes + s->from, s->to - s->from);
        s->to -= s->from;
        s->from = 0;
    }
    if (s->to + len > WORKER_BLOCK_BYTES) /* nghttp2 holds it to its window, which is smaller */
        return false;
    memcpy(s->bytes + s->to, bytes, len);
    s->to += len;
    return true;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *data)
{
    struct stream *s = find(session, id);
    bool was_empty;
    (void)flags, (void)data;
    (void)nghttp2_session_consume_connection(session, len);
    if (!s) {
        (void)nghttp2_session_consume_stream(session, id, len);
        return 0;
    }
    was_empty = s->from == s->to;
    if (!keep_bytes(s, bytes, len))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (was_empty && s->has_head)
        exchange_upstream_ready(s->up.x);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
    struct stream *s = find(session, id);
    (void)data;
    if (!s)
        return 0;
    s->is_closed = true;
    if (s->has_ended)
        return 0; /* what is left of it is taken by and by; RFC 9113 §8.1: a reset behind the whole
                     answer means that the rest of the request is not wanted */
    s->up.is_reused = false; /* its connection lives */
    s->up.was_not_handled = error == NGHTTP2_REFUSED_STREAM;
    exchange_upstream_failed(s->up.x, REASON_UPSTREAM_BROKEN,
                             s->up.was_not_handled ? "it refused the stream"
                             : s->was_reset        ? "it reset the stream"
                                                   : "its answer breaks the rules of HTTP/2");
    return 0;
}

static void read_end(struct session_h2 *h, bool is_broken)
{
    fail(h, REASON_UPSTREAM_BROKEN,
         is_broken ? "it reset the connection" : "it closed the connection");
}

static void digest(struct session_h2 *h, const char *bytes, size_t len)
{
    h->heard_us = worker_of(h)->loop.turn_began_us;
    h->inside++;
    ssize_t used = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes, len);
    h->inside--;
    if (used < 0)
        fail(h, REASON_UPSTREAM_BROKEN, "it breaks the rules of HTTP/2");
    else
        flush_later(h);
}

static void read_more(struct session_h2 *h)
{
    struct worker *w = worker_of(h);
    char *bytes = worker_block(w);
    ssize_t n = transport_read(&h->transport, bytes, WORKER_BLOCK_BYTES);
    if (n > 0) {
        digest(h, bytes, (size_t)n);
        if (h->state == OPEN) /* TLS may hold more than the socket tells of */
            transport_read_on(&h->transport);
    } else if (n != TRANSPORT_NOT_NOW)
        read_end(h, n < 0);
    else if (h->write_failed)
        fail(h, REASON_UPSTREAM_BROKEN, "it closed while it was sent a request");
    worker_block_done(w, bytes);
}

/* --- The transport's side. */

static struct session_h2 *session_over(struct transport *t)
{
    return container_of(t, struct session_h2, transport);
}

static void opened(struct transport *t)
{
    struct session_h2 *h = session_over(t);
    struct link told;
    h->state = OPEN;
    deadline_cancel(&h->limit);
    list_init(&told);
    while (!list_is_empty(&h->streams)) {
        struct stream *s = container_of(h->streams.next, struct stream, in_session);
        link_remove(&s->in_session);
        list_push(&told, &s->in_session);
        s->up.is_connected = true;
        exchange_upstream_connected(s->up.x);
    }
    while (!list_is_empty(&told)) {
        struct link *l = told.next;
        link_remove(l);
        list_push(&h->streams, l);
    }
    flush_later(h);
}

static void failed(struct transport *t, enum reason why, const char *detail)
{
    fail(session_over(t), why, detail);
}

static void readable(struct transport *t)
{
    if (session_over(t)->state == OPEN)
        read_more(session_over(t));
}

static void writable(struct transport *t)
{
    if (session_over(t)->state == OPEN)
        write_out(session_over(t));
}

static const struct transport_ops transport_ops = {opened, failed, readable, writable};

/* --- The exchange's side. */

static void kick(struct uplink *u)
{
    struct stream *s = stream_of(u);
    if (s->is_deferred && s->tunnel != TUNNEL_ASKED && !s->is_closed) {
        s->is_deferred = false;
        (void)nghttp2_session_resume_data(s->session->session, s->id);
    }
    flush_later(s->session);
}

static struct slice peek(struct uplink *u)
{
    const struct stream *s = stream_of(u);
    return s->has_head && s->to > s->from ? slice_from(s->bytes + s->from, s->to - s->from)
                                          : (struct slice){0};
}

static void take(struct uplink *u, size_t n)
{
    struct stream *s = stream_of(u);
    assert(n <= s->to - s->from);
    s->from += n;
    if (s->from == s->to) {
        s->from = s->to = 0;
        worker_block_done(worker_of(s->session), s->bytes);
        s->bytes = NULL;
    }
    if (s->is_closed || s->has_ended)
        return;
    (void)nghttp2_session_consume_stream(s->session->session, s->id, n);
    flush_later(s->session);
}

static bool is_ended(const struct uplink *u)
{
    const struct stream *s = const_stream_of(u);
    return s->has_head && s->has_ended && s->from == s->to;
}

static bool ends_after(const struct uplink *u, size_t n)
{
    const struct stream *s = const_stream_of(u);
    return s->has_head && s->has_ended && s->to - s->from == n;
}

static bool wants_body(const struct uplink *u)
{
    const struct stream *s = const_stream_of(u);
    return u->is_connected && s->is_deferred && s->tunnel == TUNNEL_NONE && !buf_len(&u->x->up) &&
           !buf_len(&s->session->out);
}

/* A connection without streams: at rest, or ended. */
static void rest(struct session_h2 *h)
{
    struct worker *w = worker_of(h);
    if (h->state == CLOSED) {
        close_session(h);
        return;
    }
    if (h->state == CONNECTING || w->is_draining || !h->endpoint->origin)
        take_no_more(h);
    if (!h->is_ending)
        deadline_arm(worker_deadlines(w, w->config->upstream_idle_ms), &h->limit);
}

static void release(struct uplink *u)
{
    struct stream *s = stream_of(u);
    struct session_h2 *h = s->session;
    struct endpoint *e = u->endpoint;
    link_remove(&s->in_session);
    h->stream_count--;
    if (s->id && !s->is_closed) {
        (void)nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
        if (!s->has_ended || !s->has_sent_end)
            (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    }
    worker_block_done(worker_of(h), s->bytes);
    s->bytes = NULL;
    if (u->is_for_nobody)
        take_no_more(h);
    u->x = NULL;
    flush_later(h);
    if (!h->stream_count)
        rest(h);
    endpoint_ends(e);
}

static const struct uplink_ops uplink_ops = {kick,       peek,       take,   is_ended,
                                             ends_after, wants_body, release};

/* --- Connections. */

static void limit_is_over(struct deadline *self)
{
    struct session_h2 *h = container_of(self, struct session_h2, limit);
    if (h->state == CONNECTING)
        fail(h, REASON_UPSTREAM_CONNECT_TIMEOUT, NULL);
    else
        end_gently(h);
}

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, body_send);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frame_length);
    return cb;
}

static nghttp2_option *options_new(void)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        abort();
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_max_continuations(o, 8);
    nghttp2_option_set_max_outbound_ack(o, 1000);
    nghttp2_option_set_peer_max_concurrent_streams(o, STREAMS_MAX);
    nghttp2_option_set_max_send_header_block_length(o, H2_HEAD_OUT_MAX);
    return o;
}

static void start_session(struct session_h2 *h)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEAD_IN_MAX},
    };
    nghttp2_session_callbacks *cb = callbacks_new();
    nghttp2_option *o = options_new();
    nghttp2_mem memory = h2_memory(&worker_of(h)->small);
    if (nghttp2_session_client_new3(&h->session, cb, h, o, &memory) != 0)
        abort(); /* no memory: the one thing that it fails for */
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    (void)nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                                  sizeof settings / sizeof *settings);
    (void)nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                CONNECTION_WINDOW);
}

static struct session_h2 *open_session(struct endpoint *e, const struct exchange *x)
{
    struct session_h2 *h = mem_new(struct session_h2);
    h->endpoint = e;
    h->state = CONNECTING;
    h->transport.ops = &transport_ops;
    h->flush.run = on_flush;
    h->bury.run = bury;
    h->limit.passed = limit_is_over;
    list_init(&h->streams);
    if (!transport_open(&h->transport, e, SLICE("h2"))) {
        mem_free(h);
        return NULL;
    }
    buf_init(&h->out, OUT_CEILING);
    start_session(h);
    list_push(&e->sessions, &h->in_endpoint);
    deadline_arm(worker_deadlines(e->worker, x->facts.app->connect_ms), &h->limit);
    endpoint_connection_opened(e);
    return h;
}

static bool has_room(const struct session_h2 *h)
{
    uint32_t theirs = h->endpoint->streams_allowed;
    return h->stream_count < STREAMS_MAX && (!theirs || h->stream_count < theirs) &&
           nghttp2_session_get_next_stream_id(h->session) < INT32_MAX - 2 * STREAMS_MAX;
}

/* A connection at rest may have ended, and its end be waiting to be read. */
static bool is_alive(struct session_h2 *h)
{
    if (h->state == OPEN && !h->stream_count && !h->inside && !transport_is_silent(&h->transport))
        read_more(h);
    return h->state != CLOSED && !h->is_ending;
}

/* One that was silent since a request that failed had begun may be as dead as that one's. */
static bool is_fit(const struct session_h2 *h, const struct exchange *x)
{
    return has_room(h) && (x->tries < 2 || h->state == CONNECTING || h->heard_us > x->began_us);
}

static struct session_h2 *session_with_room(struct endpoint *e, const struct exchange *x)
{
    for (struct link *it = e->sessions.next, *next; it != &e->sessions; it = next) {
        struct session_h2 *h = container_of(it, struct session_h2, in_endpoint);
        next = it->next;
        if (is_fit(h, x) && is_alive(h))
            return h;
    }
    return NULL;
}

void link_h2_close_idle(struct endpoint *e)
{
    for (struct link *it = e->sessions.next, *next; it != &e->sessions; it = next) {
        struct session_h2 *h = container_of(it, struct session_h2, in_endpoint);
        next = it->next;
        if (h->stream_count)
            continue;
        take_no_more(h);
        if (h->inside)
            flush_later(h);
        else
            end_gently(h);
    }
}

/* --- A request. */

/* What is put together is copied by nghttp2. */
static bool submit(struct stream *s, enum reason *why)
{
    struct session_h2 *h = s->session;
    struct exchange *x = s->up.x;
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = body_read};
    bool has_stream = x->request.has_body || x->request.wants_websocket;
    if (!h2_head_put(&h->asked, x, s->up.endpoint->tls != NULL)) {
        *why = REASON_HEADERS_TOO_LARGE;
        return false;
    }
    s->id = nghttp2_submit_request(h->session, NULL, h->asked.at, h->asked.count,
                                   has_stream ? &body : NULL, s);
    if (s->id > 0)
        return true;
    s->id = 0;
    take_no_more(h);
    *why = REASON_UPSTREAM_REFUSED;
    return false;
}

static bool offers_websocket(const struct session_h2 *h)
{
    return nghttp2_session_get_remote_settings(h->session,
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

/* Now, or when the upstream's SETTINGS have said whether it can be asked (RFC 8441 §3). */
static bool ask(struct stream *s, enum reason *why)
{
    struct exchange *x = s->up.x;
    if (!x->request.wants_websocket)
        return submit(s, why);
    s->tunnel = TUNNEL_ASKED;
    if (!s->session->is_settled) {
        x->assertion = arena_copy(&x->arena, x->assertion);
        return true;
    }
    if (offers_websocket(s->session))
        return submit(s, why);
    *why = REASON_UPSTREAM_BROKEN;
    x->detail = NO_WEBSOCKET;
    return false;
}

bool link_h2_begin(struct endpoint *e, struct exchange *x, enum reason *why)
{
    struct session_h2 *h = session_with_room(e, x);
    struct stream *s = arena_new(&x->arena, struct stream);
    s->up.is_reused = h && h->state == OPEN;
    if (!h)
        h = open_session(e, x);
    if (!h) {
        *why = REASON_UPSTREAM_REFUSED;
        return false;
    }
    s->up.ops = &uplink_ops;
    s->up.x = x;
    s->up.endpoint = e;
    s->session = h;
    if (!ask(s, why)) {
        flush_later(h);
        if (!h->stream_count)
            rest(h);
        return false;
    }
    list_push(&h->streams, &s->in_session);
    h->stream_count++;
    x->link = &s->up;
    endpoint_begins(e);
    if (s->up.is_reused)
        metric_add(&e->worker->metrics, METRIC_UPSTREAM_REUSED_TOTAL, 1);
    if (h->state == OPEN) {
        deadline_cancel(&h->limit);
        s->up.is_connected = true;
        exchange_upstream_connected(x);
        flush_later(h);
    }
    return true;
}
