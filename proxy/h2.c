// SPDX-License-Identifier: EUPL-1.2
/* nghttp2's callbacks and nothing of the story: a header block becomes a request (h2_request.c),
 * DATA goes into the exchange, and what the exchange has to say becomes frames when the connection
 * asks for bytes.
 *
 * Windows: the connection's is opened at receipt, a stream's only when the upstream took the bytes,
 * so one stalled upload stops nobody else and a connection holds at most streams × window. What
 * nghttp2 would silently drop (an invalid field) resets the stream: what is refused over h1 is
 * refused over h2. */
#include "proxy/h2.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>

#include "base/mem.h"
#include "proxy/exchange.h"
#include "proxy/h1_chunked.h"
#include "proxy/h2_frames.h"
#include "proxy/h2_request.h"

#define H2_HEADER_LIST_MAX 65536 /* like H1_HEAD_MAX_BYTES, counted as RFC 9113 §6.5.2 says */
/* A head that unpacks to so much is looked at no further. Nobody has so many cookies. */
#define H2_BOMB_BYTES (2 * H2_HEADER_LIST_MAX)
#define UNWANTED_BODY_MS 1000 /* of it is read and dropped behind a whole answer */
#define REST_AFTER_MS 500
#define LAST_CALL_MS 1000 /* between the two GOAWAYs, for a client that answers no PING */
#define H2_CONNECTION_WINDOW 16777216
/* Of frames that a good client sends rarely; a flood is far above. */
#define H2_GLITCHES_PER_S 100
#define H2_GLITCHES_BURST 1000
/* Two are usual: of the stream and of the connection. */
#define WINDOW_UPDATES_A_FRAME 4
#define WINDOW_UPDATES_SAVED 400
/* A frame is smaller than this by the client's window only where the client means it so. */
#define SMALL_FRAME_BYTES 1024
/* With a date a second, the compressor's table holds an entry for about so many answers of a slow
 * client, and for many more of a fast one. */
#define REFERENCES_A_NAME 50
/* A client that takes so much of others within timeouts.stalled does read. */
#define DOES_READ_BYTES 16384

struct h2 {
    struct connection *connection;
    nghttp2_session *session;
    struct link streams;  /* not needed to find one, only to end all */
    struct link to_begin; /* whose heads came with what is read in this moment */
    uint32_t stream_count;
    struct h2_frames frames;
    uint32_t last_id;          /* of a stream that the client has begun */
    uint32_t last_reset_id;    /* the highest that we ended before the client did */
    bool is_draining;          /* the first GOAWAY is out: one more will come */
    bool is_closed_to_new;     /* the second is */
    struct deadline last_call; /* from the one to the other */
    struct deadline rest;      /* since its last stream ended, or one shortly before */
    bool is_broken; /* nothing more is read; what nghttp2 has to say (GOAWAY) is still sent */
    int64_t glitches;
    uint32_t references;    /* said in answers */
    uint64_t sent_bytes;    /* of all bodies */
    int64_t window_updates; /* that the client may still send for what it got */
    int64_t glitches_at_ms;
    struct buf *target;         /* during fill */
    struct deadline head_limit; /* while a head is coming: until then no exchange has a deadline */
    struct later bury;
};

/* A stream while its exchange lives; in the exchange's arena. */
struct stream {
    struct link in_session;
    struct link to_begin;
    struct exchange *x;
    struct h2_request head;
    size_t list_bytes;
    struct field *trailers;
    uint32_t trailer_count;
    size_t trailer_bytes;
    bool has_head; /* which is whole */
    bool has_body;
    bool has_begun;
    bool is_deferred;
    bool has_priority; /* by a PRIORITY_UPDATE, which replaces what the head said */
    nghttp2_extpri priority;
    uint64_t sent_before;     /* the connection's sent_bytes when this one was last found waiting */
    struct deadline unwanted; /* the answer is out, the request's body still comes */
};

static struct h2 *h2_of(void *data)
{
    return data;
}

static const struct client_ops h2_client;

static struct stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static struct h2 *h2_under(const struct exchange *x)
{
    return x->connection->protocol;
}

/* Its end: said once, and nothing more is read. */
static void flood(struct h2 *h, const char *what)
{
    if (h->is_broken)
        return;
    h->is_broken = true;
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    connection_refused(h->connection, REASON_FLOOD, what);
    connection_kick(h->connection);
}

/* One leaky bucket for all that costs us and brings nothing. RFC 9113 §10.5. */
static void glitch(struct h2 *h, int64_t weight, const char *what)
{
    int64_t now = loop_now(&h->connection->worker->loop).ms;
    int64_t leaked = (now - h->glitches_at_ms) * H2_GLITCHES_PER_S / 1000;
    if (leaked > 0) {
        h->glitches = h->glitches > leaked ? h->glitches - leaked : 0;
        h->glitches_at_ms = now;
    }
    h->glitches += weight;
    if (h->glitches > H2_GLITCHES_BURST)
        flood(h, what);
}

/* A stream ends. */
static void stream_fini(struct h2 *h, struct stream *s)
{
    struct connection *c = h->connection;
    deadline_cancel(&s->unwanted);
    link_remove(&s->in_session);
    h->stream_count--;
    if (!h->stream_count) {
        connection_limit(c, c->worker->config->keepalive_ms);
        if (!link_is_in(&h->rest.link))
            deadline_arm(worker_deadlines(c->worker, REST_AFTER_MS), &h->rest);
    }
    exchange_let_go(s->x);
}

static void note_reset(struct h2 *h, int32_t id)
{
    if ((uint32_t)id > h->last_reset_id)
        h->last_reset_id = (uint32_t)id;
}

/* What nghttp2 will answer by a reset. A refused stream (RFC 9113 §5.1.2) was never there for it,
 * and its reset is not yet out. The others are weighed here, since many can come before one reset
 * is sent (MadeYouReset, CVE-2025-8671). */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *data)
{
    struct stream *s = stream_of(session, frame->hd.stream_id);
    note_reset(h2_of(data), frame->hd.stream_id);
    if (s)
        link_remove(&s->to_begin);
    if (error != NGHTTP2_ERR_REFUSED_STREAM)
        glitch(h2_of(data), 10, "frames that break the rules");
    return 0;
}

/* RFC 9113 §5.1: HEADERS or DATA on a stream that the client has ended, or passed over, end the
 * connection. nghttp2 would have to keep all closed streams to see it. To a stream that we reset,
 * or did not take when draining, they may have been under way. */
static bool is_to_ended_stream(struct h2 *h, const struct h2_frame_head *head)
{
    bool is_clients = head->stream_id & 1; /* else nghttp2 refuses it */
    if ((head->type != NGHTTP2_HEADERS && head->type != NGHTTP2_DATA) || !is_clients)
        return false;
    if (head->stream_id > h->last_id) {
        if (head->type == NGHTTP2_HEADERS)
            h->last_id = head->stream_id;
        return false;
    }
    return head->stream_id > h->last_reset_id && !h->is_closed_to_new &&
           !nghttp2_session_find_stream(h->session, (int32_t)head->stream_id);
}

/* Headers in. */
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct h2 *h = h2_of(data);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct exchange *x = exchange_new(h->connection, &h2_client);
    struct stream *s = arena_new(&x->arena, struct stream);
    s->x = x;
    x->stream_id = frame->hd.stream_id;
    x->client_stream = s;
    list_push(&h->streams, &s->in_session);
    if (!h->stream_count++)
        deadline_cancel(&h->connection->deadline);
    deadline_arm(worker_deadlines(x->worker, x->worker->config->head_ms), &h->head_limit);
    if (nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return 0;
}

/* Checked by nghttp2 like any field; as many, and as much, as over HTTP/1.1. */
static int take_trailer(struct h2 *h, struct stream *s, struct slice name, struct slice value)
{
    struct arena *a = &s->x->arena;
    s->trailer_bytes += name.len + value.len + 4; /* ": " and CRLF */
    if (s->trailer_count == CHUNKED_TRAILER_LINES || s->trailer_bytes > CHUNKED_TRAILER_MAX) {
        glitch(h, 10, "trailers that are too large");
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM */
    }
    if (!s->trailers)
        s->trailers = arena_array(a, struct field, CHUNKED_TRAILER_LINES);
    s->trailers[s->trailer_count++] = (struct field){arena_copy(a, name), arena_copy(a, value)};
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *data)
{
    struct stream *s = stream_of(session, frame->hd.stream_id);
    (void)flags;
    if (s && s->has_head)
        return take_trailer(h2_of(data), s, slice_from(name, name_len),
                            slice_from(value, value_len));
    if (!s || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    s->list_bytes += name_len + value_len + 32;
    if (s->list_bytes > (size_t)s->x->worker->config->head_bytes) {
        if (!s->head.is_too_large)
            glitch(h2_of(data), 10, "heads that are too large");
        s->head.is_too_large = true;
        if (s->list_bytes <= H2_BOMB_BYTES)
            return 0;
        /* A byte of HPACK can stand for 4 KiB, and nghttp2 looks at all of them, while everybody
         * waits: one such head ends the connection, not the twentieth. */
        flood(h2_of(data), "a head that unpacks to far too much");
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    h2_request_add(&s->head, &s->x->arena, s->x->worker->config->max_fields,
                   slice_from(name, name_len), slice_from(value, value_len));
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *data)
{
    (void)session, (void)frame, (void)name, (void)value, (void)flags;
    glitch(h2_of(data), 10, "fields that break the rules");
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM */
}

/* The block is whole. Its exchange begins when all is read that came with it: who takes it back in
 * the same breath (CVE-2023-44487), or breaks its stream (CVE-2025-8671), had us read a head. */
static void take_head(struct h2 *h, struct stream *s, bool has_body)
{
    deadline_cancel(&h->head_limit);
    s->has_head = true;
    s->has_body = has_body;
    h2_request_take(&s->head, has_body, &s->x->request);
    list_push(&h->to_begin, &s->to_begin);
}

/* The request, or why it is none. */
static void begin(struct stream *s)
{
    const char *detail = NULL;
    const enum reason early = h2_request_judge(&s->head, &s->x->request, s->has_body, &detail);
    link_remove(&s->to_begin);
    s->has_begun = true;
    exchange_begin(s->x, early, early == REASON_PERMITTED ? NULL : detail);
}

/* Something comes behind its head. False: it will never begin. */
static bool begin_now(struct stream *s)
{
    if (link_is_in(&s->to_begin))
        begin(s);
    return s->has_begun;
}

static void take_end(struct stream *s)
{
    if (!begin_now(s))
        return;
    if (s->trailer_count)
        exchange_receive_trailers(s->x, s->trailers, s->trailer_count);
    exchange_receive_end(s->x);
}

/* RFC 9113 §6.8: the first GOAWAY names no stream, so that those under way to us are served; this
 * one, a round trip later, names the last. */
static void close_to_new(struct h2 *h)
{
    if (h->is_closed_to_new)
        return;
    h->is_closed_to_new = true;
    deadline_cancel(&h->last_call);
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    connection_kick(h->connection);
}

static void rest(struct deadline *self)
{
    const struct h2 *h = container_of(self, struct h2, rest);
    if (!h->stream_count)
        h2_memory_rest(h->session);
}

static void last_call_is_over(struct deadline *self)
{
    close_to_new(container_of(self, struct h2, last_call));
}

/* The parameters of RFC 9218 §4 that are there; whatever else stands there is passed over (§4.3.1).
 */
static void take_priority(nghttp2_extpri *p, struct slice value)
{
    struct slice item;
    while (list_next(&value, &item)) {
        struct slice member = slice_trim(slice_cut(&item, ';'));
        if (member.len == 3 && slice_starts(member, SLICE("u=")) && member.ptr[2] >= '0' &&
            member.ptr[2] <= '7')
            p->urgency = (uint32_t)(member.ptr[2] - '0');
        else if (slice_eq(member, SLICE("i")) || slice_eq(member, SLICE("i=?1")))
            p->inc = 1;
        else if (slice_eq(member, SLICE("i=?0")))
            p->inc = 0;
    }
}

static const nghttp2_extpri default_priority = {NGHTTP2_EXTPRI_DEFAULT_URGENCY, 0};

/* nghttp2 has done what it says; here it is kept for what the answer may say about it. */
static void priority_updated(nghttp2_session *session, const nghttp2_ext_priority_update *update)
{
    struct stream *s = stream_of(session, update->stream_id);
    if (!s)
        return;
    s->has_priority = true;
    s->priority = default_priority;
    take_priority(&s->priority, slice_from(update->field_value, update->field_value_len));
}

static bool is_of_this_turn(const struct h2 *h, const struct stream *s)
{
    return s && (!s->has_begun || s->x->began_us == h->connection->worker->loop.turn_began_us);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct h2 *h = h2_of(data);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct stream *s;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        s = stream_of(session, frame->hd.stream_id);
        if (frame->hd.type == NGHTTP2_DATA && !frame->hd.length && !ends)
            glitch(h, 2, "empty DATA");
        if (!s)
            return 0;
        if (!s->has_head)
            take_head(h, s, !ends);
        else if (ends)
            take_end(s);
        return 0;
    case NGHTTP2_RST_STREAM:
        s = stream_of(session, frame->hd.stream_id);
        /* A browser that leaves a page cancels all its streams at once; but nobody who wanted an
         * answer cancels in the turn in which he asked (CVE-2023-44487). */
        glitch(h, is_of_this_turn(h, s) ? 20 : 2, "RST_STREAM");
        return 0;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK && h->is_draining && !h->is_closed_to_new) {
            close_to_new(h);
            return 0;
        }
        glitch(h, 10, "PING");
        return 0;
    case NGHTTP2_SETTINGS:
        glitch(h, 10, "SETTINGS");
        return 0;
    case NGHTTP2_PRIORITY_UPDATE:
        priority_updated(session, frame->ext.payload);
        glitch(h, 5, "PRIORITY_UPDATE");
        return 0;
    case NGHTTP2_WINDOW_UPDATE:
        if (h->window_updates)
            h->window_updates--;
        else
            glitch(h, 1, "WINDOW_UPDATE");
        return 0;
    default:
        return 0;
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *data)
{
    struct stream *s = stream_of(session, id);
    (void)flags, (void)data;
    (void)nghttp2_session_consume_connection(session, len);
    if (s && begin_now(s) && exchange_wants_body(s->x))
        exchange_receive(s->x, slice_from(bytes, len));
    else
        (void)nghttp2_session_consume_stream(session, id, len);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
    struct h2 *h = h2_of(data);
    struct stream *s = stream_of(session, id);
    if (!s)
        return 0;
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    if (!s->has_head) { /* RFC 9113 §8.1.1: nghttp2 has refused the head, or we one of its fields */
        deadline_cancel(&h->head_limit);
        exchange_refused_by_protocol(s->x, REASON_REQUEST_MALFORMED,
                                     "the head breaks the rules of HTTP/2");
    } else if (!s->has_begun) {
        link_remove(&s->to_begin);
        exchange_refused_by_protocol(s->x, REASON_CLIENT_GONE, "taken back as it came");
    } else if (error == NGHTTP2_NO_ERROR && s->x->is_end_sent)
        exchange_sent(s->x);
    else
        exchange_client_gone(s->x, REASON_CLIENT_GONE);
    stream_fini(h, s);
    return 0;
}

/* The answer is whole and the request's body still comes. RFC 9113 §8.1: a reset without error says
 * that it is not wanted. Some clients (curl 7.88) lose the answer over it, so first there is a
 * moment to end by itself. */
static void body_is_over(struct deadline *self)
{
    struct stream *s = container_of(self, struct stream, unwanted);
    (void)nghttp2_submit_rst_stream(h2_under(s->x)->session, NGHTTP2_FLAG_NONE, s->x->stream_id,
                                    NGHTTP2_NO_ERROR);
    connection_kick(s->x->connection);
}

/* Cut for what the client has not brought about. */
static bool is_cut_by_others(const struct stream *s)
{
    return s && s->x->is_cut &&
           (s->x->reason == REASON_ACCESS_WITHDRAWN || s->x->reason == REASON_UPSTREAM_BROKEN);
}

/* A stream that we reset is as dear as one that the client resets (MadeYouReset, CVE-2025-8671). */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    bool ends = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    struct stream *s = ends ? stream_of(session, frame->hd.stream_id) : NULL;
    struct h2 *h = h2_of(data);
    if (s)
        exchange_sent(s->x);
    if (s && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
        s->unwanted.passed = body_is_over;
        deadline_arm(worker_deadlines(s->x->worker, UNWANTED_BODY_MS), &s->unwanted);
    }
    if (frame->hd.type == NGHTTP2_GOAWAY &&
        !h2_of(data)->is_closed_to_new)                              /* behind it, not before */
        (void)nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, NULL); /* its answer: a round trip */
    if (frame->hd.type != NGHTTP2_RST_STREAM)
        return 0;
    note_reset(h, frame->hd.stream_id);
    if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
        !is_cut_by_others(stream_of(session, frame->hd.stream_id)))
        glitch(h, 10, "what makes us reset streams");
    return 0;
}

static void send_trailers(struct exchange *x);

/* What a client may say about windows is bounded by what it was sent. A frame that its own tiny
 * window has cut small earns nothing: else it would have all answers in drops. */
static void earn_window_updates(struct h2 *h)
{
    h->window_updates += WINDOW_UPDATES_A_FRAME;
    if (h->window_updates > WINDOW_UPDATES_SAVED)
        h->window_updates = WINDOW_UPDATES_SAVED;
}

/* Out: nghttp2 asks how much of the body there is, and then has it put behind the frame's head. */
static ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *unused, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *data)
{
    struct stream *s = source->ptr;
    struct slice ready = flow_down_peek(s->x);
    (void)session, (void)id, (void)unused;
    if (!ready.len && !flow_down_is_ended(s->x)) {
        s->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (ready.len <= room || room >= SMALL_FRAME_BYTES)
        earn_window_updates(h2_of(data));
    if (ready.len > room)
        ready.len = room;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (flow_down_ends_after(s->x, ready.len)) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        s->x->is_end_sent = true;
        if (s->x->response.trailer_count) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            send_trailers(s->x);
        }
    }
    return (ssize_t)ready.len;
}

static int body_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t len, nghttp2_data_source *source, void *data)
{
    struct h2 *h = h2_of(data);
    struct stream *s = source->ptr;
    struct slice ready = flow_down_peek(s->x);
    (void)session;
    assert(ready.len >= len && !frame->data.padlen); /* we never pad, and nothing came between */
    if (!buf_add(h->target, slice_from(head, 9)) ||
        !buf_add(h->target, (struct slice){ready.ptr, len}))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    flow_down_take(s->x, len);
    h->sent_bytes += len;
    /* Without a pause one nghttp2_session_mem_send would put here all that all streams have. */
    return buf_len(h->target) >= FILL_MARK ? NGHTTP2_ERR_PAUSE : 0;
}

static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t id,
                            int32_t connection_window, int32_t stream_window, uint32_t frame_max,
                            void *data)
{
    (void)session, (void)type, (void)id, (void)connection_window, (void)stream_window, (void)data;
    return frame_max < 16384 ? frame_max : 16384; /* one frame, one TLS record */
}

static nghttp2_nv pair(struct slice name, struct slice value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static struct slice status_text(struct arena *a, uint16_t status)
{
    char *digits = arena_bytes(a, 3);
    digits[0] = (char)('0' + status / 100 % 10);
    digits[1] = (char)('0' + status / 10 % 10);
    digits[2] = (char)('0' + status % 10);
    return (struct slice){digits, 3};
}

/* What is another in each answer would only push out of the compressor's table what comes again;
 * and nghttp2 looks through all of a name's entries for the value (RFC 7541 §7.1.3: never indexed).
 * But now and then one goes in, for its name: to those behind it that is one byte. */
static uint8_t indexing(struct h2 *h, struct slice name)
{
    if (!slice_eq(name, SLICE("belfry-reference")) || h->references++ % REFERENCES_A_NAME == 0)
        return 0;
    return NGHTTP2_NV_FLAG_NO_INDEX;
}

/* The fields lie in the exchange's arena, which lives until the stream is closed: no copies. */
static nghttp2_nv *head_pairs(struct exchange *x, uint16_t status, const struct field *fields,
                              uint32_t count)
{
    nghttp2_nv *nv = arena_array(&x->arena, nghttp2_nv, count + 1);
    nv[0] = pair(SLICE(":status"), status_text(&x->arena, status));
    for (uint32_t i = 0; i < count; i++) {
        nv[i + 1] = pair(fields[i].name, fields[i].value);
        nv[i + 1].flags |= indexing(h2_under(x), fields[i].name);
    }
    return nv;
}

static void say(struct exchange *x, uint16_t status, const struct field *fields, uint32_t count)
{
    (void)nghttp2_submit_headers(h2_under(x)->session, NGHTTP2_FLAG_NONE, x->stream_id, NULL,
                                 head_pairs(x, status, fields, count), count + 1, NULL);
    connection_kick(x->connection);
}

/* RFC 9218 §8: where the application has a word in it, that stands over the client's. */
static void merge_priority(struct exchange *x)
{
    const struct response *r = &x->response;
    const struct stream *s = x->client_stream;
    nghttp2_extpri p = s->has_priority ? s->priority : default_priority;
    uint32_t at = 0;
    while (at < r->field_count && !slice_eq(r->fields[at].name, SLICE("priority")))
        at++;
    if (at == r->field_count)
        return;
    if (!s->has_priority)
        take_priority(&p, exchange_field(x, SLICE("priority")));
    take_priority(&p, r->fields[at].value);
    (void)nghttp2_session_change_extpri_stream_priority(h2_under(x)->session, x->stream_id, &p, 0);
}

/* Behind it the end of the stream; nghttp2 copies what it is given. */
static void send_trailers(struct exchange *x)
{
    const struct response *r = &x->response;
    nghttp2_nv *nv = arena_array(&x->arena, nghttp2_nv, r->trailer_count);
    for (uint32_t i = 0; i < r->trailer_count; i++)
        nv[i] = pair(r->trailers[i].name, r->trailers[i].value);
    (void)nghttp2_submit_trailer(h2_under(x)->session, x->stream_id, nv, r->trailer_count);
}

static void send_head(struct exchange *x)
{
    nghttp2_session *session = h2_under(x)->session;
    const struct response *r = &x->response;
    const bool only_trailers = !r->has_body && r->trailer_count;
    /* RFC 8441 §5: what is 101 over HTTP/1.1 is 200 here. */
    nghttp2_nv *nv = head_pairs(x, x->is_tunnel ? 200 : r->status, r->fields, r->field_count);
    nghttp2_data_provider body = {.source.ptr = x->client_stream, .read_callback = body_read};
    int failed;
    merge_priority(x);
    x->is_end_sent = !r->has_body;
    if (only_trailers)
        failed = nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, x->stream_id, NULL, nv,
                                        r->field_count + 1, NULL);
    else
        failed = nghttp2_submit_response(session, x->stream_id, nv, r->field_count + 1,
                                         r->has_body ? &body : NULL);
    if (failed)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, x->stream_id,
                                        NGHTTP2_INTERNAL_ERROR);
    else if (only_trailers)
        send_trailers(x);
    connection_kick(x->connection);
}

static void body_ready(struct exchange *x)
{
    struct stream *s = x->client_stream;
    if (s->is_deferred) {
        s->is_deferred = false;
        (void)nghttp2_session_resume_data(h2_under(x)->session, x->stream_id);
    }
    connection_kick(x->connection);
}

static void body_taken(struct exchange *x, size_t n)
{
    (void)nghttp2_session_consume_stream(h2_under(x)->session, x->stream_id, n);
    connection_kick(x->connection);
}

static void cut(struct exchange *x)
{
    (void)nghttp2_submit_rst_stream(h2_under(x)->session, NGHTTP2_FLAG_NONE, x->stream_id,
                                    x->reason == REASON_CLIENT_GONE ||
                                            x->reason == REASON_ACCESS_WITHDRAWN
                                        ? NGHTTP2_CANCEL
                                        : NGHTTP2_INTERNAL_ERROR);
    connection_kick(x->connection);
}

/* RFC 9218 §10: one answer after the other, so the last of many may wait for long. */
static bool is_in_line(struct exchange *x)
{
    struct h2 *h = h2_under(x);
    struct stream *s = x->client_stream;
    bool does_read = h->sent_bytes - s->sent_before >= DOES_READ_BYTES;
    s->sent_before = h->sent_bytes;
    return does_read && nghttp2_session_get_stream_remote_window_size(h->session, x->stream_id) > 0;
}

static const struct client_ops h2_client = {say,        send_head, body_ready,
                                            body_taken, cut,       is_in_line};

/* The connection's side. */
static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
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
    /* Behind our own limits, which say why: they end a connection without a word. */
    nghttp2_option_set_stream_reset_rate_limit(o, 2000, 200);
    nghttp2_option_set_max_outbound_ack(o, 2000);
    nghttp2_option_set_max_continuations(o, 8);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_builtin_recv_extension_type(o, NGHTTP2_PRIORITY_UPDATE);
    /* What an upstream's head may hold, and what is added: past it nghttp2 drops an answer
     * silently. */
    nghttp2_option_set_max_send_header_block_length(o, 2 * H2_HEADER_LIST_MAX);
    return o;
}

/* RFC 9113 §4.3: nothing may stand between the frames of a head, so the whole connection waits. */
static void head_is_late(struct deadline *self)
{
    connection_close(container_of(self, struct h2, head_limit)->connection);
}

static void bury(struct later *self)
{
    struct h2 *h = container_of(self, struct h2, bury);
    nghttp2_session_del(h->session);
    mem_free(h);
}

static void start(struct connection *c)
{
    const struct config *config = c->worker->config;
    nghttp2_session_callbacks *cb = callbacks_new();
    nghttp2_option *o = options_new();
    struct h2 *h = mem_new(struct h2);
    nghttp2_mem memory = h2_memory(&c->worker->small);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)config->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)config->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)config->head_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}, /* RFC 8441 §3 */
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},   /* RFC 9218 §2.1 */
    };
    h->connection = c;
    h->window_updates = WINDOW_UPDATES_SAVED;
    h->bury.run = bury;
    h->head_limit.passed = head_is_late;
    h->last_call.passed = last_call_is_over;
    h->rest.passed = rest;
    list_init(&h->streams);
    list_init(&h->to_begin);
    c->protocol = h;
    if (nghttp2_session_server_new3(&h->session, cb, h, o, &memory) != 0)
        abort(); /* no memory: the one thing that it fails for */
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    (void)nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                                  sizeof settings / sizeof *settings);
    (void)nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                H2_CONNECTION_WINDOW);
    connection_limit(c, config->head_ms);
    connection_kick(c);
}

/* nghttp2 passes over these frames unread since SETTINGS_NO_RFC7540_PRIORITIES: their rules (RFC
 * 9113 §6.3; RFC 7540 §5.3.1 for a stream that depends on itself) and their number are watched
 * here. `payload` is empty where it is not yet whole. */
static bool is_bad_priority(struct h2 *h, const struct h2_frame_head *head, struct slice payload)
{
    const uint8_t *p = (const uint8_t *)payload.ptr;
    if (head->type != NGHTTP2_PRIORITY)
        return false;
    glitch(h, 5, "PRIORITY");
    return !head->stream_id ||
           (payload.len == 5 && head->stream_id == ((p[0] & 0x7fu) << 24 | (uint32_t)p[1] << 16 |
                                                    (uint32_t)p[2] << 8 | p[3]));
}

/* What nghttp2 lets pass, by the code of its GOAWAY. */
static uint32_t broken_rule(struct h2 *h, const struct h2_frame_head *head, struct slice payload)
{
    if (is_to_ended_stream(h, head))
        return NGHTTP2_STREAM_CLOSED;
    return is_bad_priority(h, head, payload) ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_NO_ERROR;
}

/* At most one frame off the front of `rest`. */
static void take_frame(struct h2 *h, struct slice *rest)
{
    struct h2_frame_head head;
    struct slice piece;
    if (h2_frames_next(&h->frames, rest, &piece, &head)) {
        struct slice payload = {0};
        uint32_t code;
        if (!h->frames.left)
            payload = slice_skip(piece, piece.len - head.length);
        if (head.type > NGHTTP2_CONTINUATION && head.type != NGHTTP2_PRIORITY_UPDATE)
            glitch(h, 5, "frames of other types"); /* nghttp2 passes over them unseen */
        code = broken_rule(h, &head, payload);
        if (code != NGHTTP2_NO_ERROR && !h->is_broken)
            (void)nghttp2_session_terminate_session(h->session, code);
        h->is_broken |= code != NGHTTP2_NO_ERROR;
        if (h->is_broken)
            return;
    }
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)piece.ptr, piece.len);
    if (n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS || n == NGHTTP2_ERR_FLOODED)
        flood(h, nghttp2_strerror((int)n));
    h->is_broken |= n < 0;
}

static bool receive(struct connection *c, char *bytes, size_t len)
{
    struct h2 *h = c->protocol;
    struct slice rest = {bytes, len};
    while (rest.len && !h->is_broken)
        take_frame(h, &rest);
    while (!list_is_empty(&h->to_begin) && !h->is_broken)
        begin(container_of(h->to_begin.next, struct stream, to_begin));
    connection_kick(c);
    if (!h->is_broken)
        return true;
    connection_close_when_sent(c);
    return false;
}

/* RFC 9113 §9.1: each stream ends on its own; one that is open could not be read to its end. */
static bool ended(struct connection *c)
{
    (void)c;
    return false;
}

static bool fill(struct connection *c, struct buf *out)
{
    struct h2 *h = c->protocol;
    h->target = out;
    while (buf_len(out) < FILL_MARK) {
        const uint8_t *bytes;
        size_t before = buf_len(out);
        ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
        if (n < 0 || (n > 0 && !buf_add(out, slice_from(bytes, (size_t)n)))) {
            connection_close(c);
            return false;
        }
        if (n == 0 && buf_len(out) == before) {
            if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
                connection_close_when_sent(c);
            return false;
        }
    }
    return true;
}

/* In between the two GOAWAYs a request may be under way to us. */
static bool is_quiet(const struct connection *c)
{
    const struct h2 *h = c->protocol;
    return !h->stream_count && h->is_draining == h->is_closed_to_new;
}

static void drain(struct connection *c)
{
    struct h2 *h = c->protocol;
    if (h->is_draining)
        return;
    h->is_draining = true;
    (void)nghttp2_submit_shutdown_notice(h->session);
    deadline_arm(worker_deadlines(c->worker, LAST_CALL_MS), &h->last_call);
}

static void end(struct connection *c)
{
    struct h2 *h = c->protocol;
    deadline_cancel(&h->head_limit);
    deadline_cancel(&h->last_call);
    deadline_cancel(&h->rest);
    while (!list_is_empty(&h->streams)) {
        struct stream *s = container_of(h->streams.next, struct stream, in_session);
        if (s->has_begun)
            exchange_client_gone(s->x, c->is_stalled ? REASON_CLIENT_STALLED : REASON_CLIENT_GONE);
        else
            exchange_refused_by_protocol(s->x, REASON_CLIENT_GONE,
                                         s->has_head ? "its connection broke as it came"
                                                     : "in the middle of a head");
        link_remove(&s->to_begin);
        deadline_cancel(&s->unwanted);
        link_remove(&s->in_session);
        exchange_let_go(s->x);
    }
    loop_later(&c->worker->loop, &h->bury);
    c->ops = NULL;
}

const struct protocol_ops h2_protocol = {start, receive, ended, fill, is_quiet, drain, end};
