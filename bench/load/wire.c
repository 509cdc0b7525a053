// SPDX-License-Identifier: EUPL-1.2
/* The bytes of one client connection. The answers' heads are read by Belfry's own parser for
 * HTTP/1.1 and by nghttp2's HPACK decoder for HTTP/2. What a server may do and none of those
 * measured does (CONTINUATION, push, a trailer) ends the connection as a failure, so that it is
 * seen. */
#include "bench/load/wire_in.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/h1_chunked.h"
#include "proxy/h1_head.h"

#define IN_MAX (1u << 18)
#define OUT_MAX (1u << 20)
#define READ_BYTES 65536
#define WRITE_BYTES (64u << 10) /* bodies are framed no further ahead than this */
#define FRAME_HEAD 9
#define FRAME_MAX 16384
#define STREAM_WINDOW (2u << 20) /* more than the largest answer */
#define WINDOW (16u << 20)       /* browsers give the connection as much */
#define DEFAULT_WINDOW 65535
#define ECHO_BYTES 64 /* of a WebSocket message */

enum frame {
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8
};
enum flag { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };

static bool fail(struct wire *w, const char *why)
{
    if (!w->why)
        w->why = why;
    return false;
}

static uint32_t read_be(const uint8_t *p, size_t bytes)
{
    uint32_t n = 0;
    while (bytes--)
        n = n << 8 | *p++;
    return n;
}

static const struct buf *next_token(struct wire_plan *plan)
{
    if (!plan->token_count)
        return NULL;
    const size_t at = plan->token_next % plan->token_count;
    plan->token_next += plan->is_each;
    return &plan->token_fields[at];
}

/* ---- HTTP/2 ---------------------------------------------------------------------------------- */

static void add_frame(struct wire *w, enum frame type, unsigned flags, uint32_t stream, size_t len)
{
    const char head[FRAME_HEAD] = {(char)(len >> 16),    (char)(len >> 8),    (char)len,
                                   (char)type,           (char)flags,         (char)(stream >> 24),
                                   (char)(stream >> 16), (char)(stream >> 8), (char)stream};
    add(&w->out, slice_from(head, sizeof(head)));
}

static void add_u32(struct buf *b, uint32_t n)
{
    add(b, slice_from((char[]){(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n}, 4));
}

static void h2_begin(struct wire *w)
{
    add(&w->out, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    add_frame(w, SETTINGS, 0, 0, 12);
    add(&w->out, SLICE("\0\2"
                       "\0\0\0\0")); /* ENABLE_PUSH 0 */
    add(&w->out, SLICE("\0\4"));     /* INITIAL_WINDOW_SIZE */
    add_u32(&w->out, STREAM_WINDOW);
    add_frame(w, WINDOW_UPDATE, 0, 0, 4);
    add_u32(&w->out, WINDOW - DEFAULT_WINDOW);
}

static void h2_ask(struct wire *w, struct wire_ask *ask)
{
    struct wire_plan *plan = w->plan;
    const bool may_index = w->has_asked && !w->has_no_table;
    const struct buf *head = may_index ? &plan->head_later : &plan->head_first;
    const struct buf *token = next_token(plan);
    struct slice field = token ? buf_slice(token) : SLICE("");
    if (token && may_index && plan->is_indexed)
        field = SLICE("\xbe");
    ask->stream = w->next_stream;
    ask->window = w->start_window;
    w->next_stream += 2;
    add_frame(w, HEADERS, END_HEADERS | (plan->body ? 0 : END_STREAM), ask->stream,
              w->has_no_table + buf_len(head) + field.len);
    if (w->has_no_table)
        add_byte(&w->out, 0x20); /* table size 0 (RFC 7541 §6.3) */
    add(&w->out, buf_slice(head));
    add(&w->out, field);
    w->has_asked = true;
}

static const char zeros[FRAME_MAX];

/* Frames what bodies the windows let through, up to WRITE_BYTES ahead. */
static void h2_bodies(struct wire *w)
{
    for (uint32_t i = 0; i < w->under_way; i++) {
        struct wire_ask *ask = &w->asks[i];
        while (ask->body_left && ask->window > 0 && w->window > 0 &&
               buf_len(&w->out) < WRITE_BYTES) {
            size_t n = ask->body_left < FRAME_MAX ? ask->body_left : FRAME_MAX;
            n = (int64_t)n < ask->window ? n : (size_t)ask->window;
            n = (int64_t)n < w->window ? n : (size_t)w->window;
            ask->body_left -= n;
            ask->window -= (int64_t)n;
            w->window -= (int64_t)n;
            add_frame(w, DATA, ask->body_left ? 0 : END_STREAM, ask->stream, n);
            add(&w->out, slice_from(zeros, n));
        }
    }
}

static struct wire_ask *ask_of(struct wire *w, uint32_t stream)
{
    for (uint32_t i = 0; i < w->under_way; i++)
        if (w->asks[i].stream == stream)
            return &w->asks[i];
    return NULL;
}

static void finish(struct wire *w, struct wire_ask *ask)
{
    const struct wire_ask done = *ask;
    *ask = w->asks[--w->under_way];
    w->plan->answered(w, done.status, done.due_ns);
}

/* Reads the field block for its status; 0 where it has none or can't be read. */
static uint16_t h2_status(struct wire *w, const uint8_t *block, size_t len)
{
    uint64_t status = 0;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        const ssize_t n = nghttp2_hd_inflate_hd2(w->inflater, &nv, &flags, block, len, 1);
        if (n < 0)
            return 0;
        block += n;
        len -= (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) && nv.namelen == 7 && !memcmp(nv.name, ":status", 7))
            if (!slice_u64(slice_from(nv.value, nv.valuelen), 999, &status))
                return 0;
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && len == 0)
            return 0;
    }
    nghttp2_hd_inflate_end_headers(w->inflater);
    return (uint16_t)status;
}

static bool h2_headers(struct wire *w, unsigned flags, uint32_t stream, const uint8_t *at,
                       size_t len)
{
    const size_t front = (flags & PADDED ? 1u : 0u) + (flags & PRIORITY ? 5u : 0u);
    const size_t behind = flags & PADDED && len ? at[0] : 0;
    struct wire_ask *ask = ask_of(w, stream);
    if (!(flags & END_HEADERS) || front + behind > len)
        return fail(w, "a head that this generator does not read");
    const uint16_t status = h2_status(w, at + front, len - front - behind);
    if (!status || !ask || ask->has_head)
        return fail(w, "a head where none can be");
    if (status < 200)
        return true;
    ask->has_head = true;
    ask->status = status;
    if (flags & END_STREAM)
        finish(w, ask);
    return true;
}

static bool h2_data(struct wire *w, unsigned flags, uint32_t stream, size_t len)
{
    struct wire_ask *ask = ask_of(w, stream);
    w->unsaid += (uint32_t)len;
    if (w->unsaid > WINDOW / 2) {
        add_frame(w, WINDOW_UPDATE, 0, 0, 4);
        add_u32(&w->out, w->unsaid);
        w->unsaid = 0;
    }
    if (!ask || !ask->has_head)
        return fail(w, "data before a head");
    if (flags & END_STREAM)
        finish(w, ask);
    return true;
}

static bool h2_settings(struct wire *w, unsigned flags, const uint8_t *at, size_t len)
{
    if (flags & ACK)
        return true;
    for (; len >= 6; at += 6, len -= 6) {
        const uint32_t value = read_be(at + 2, 4);
        switch (read_be(at, 2)) {
        case NGHTTP2_SETTINGS_HEADER_TABLE_SIZE:
            w->has_no_table = value < DEFAULT_TABLE;
            break;
        case NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE:
            for (uint32_t i = 0; i < w->under_way; i++)
                w->asks[i].window += (int64_t)value - w->start_window;
            w->start_window = value;
            break;
        }
    }
    add_frame(w, SETTINGS, ACK, 0, 0);
    return true;
}

static bool h2_frame(struct wire *w, const uint8_t *at, size_t len)
{
    const unsigned flags = at[4];
    const uint32_t stream = read_be(at + 5, 4);
    const uint8_t *payload = at + FRAME_HEAD;
    struct wire_ask *ask;
    switch (at[3]) {
    case DATA:
        return h2_data(w, flags, stream, len);
    case HEADERS:
        return h2_headers(w, flags, stream, payload, len);
    case RST_STREAM:
        ask = ask_of(w, stream);
        if (ask && ask->has_head && len == 4 && read_be(payload, 4) == NGHTTP2_NO_ERROR)
            ask->body_left = 0; /* RFC 9113 §8.1: it has answered and wants no more of the body */
        else if (ask)
            return fail(w, "a stream was reset");
        return true;
    case SETTINGS:
        return h2_settings(w, flags, payload, len);
    case PING:
        if (!(flags & ACK) && len == 8) {
            add_frame(w, PING, ACK, 0, 8);
            add(&w->out, slice_from(payload, 8));
        }
        return true;
    case GOAWAY:
        w->is_leaving = true;
        return true;
    case WINDOW_UPDATE:
        if (len != 4)
            return fail(w, "a frame of the wrong size");
        ask = ask_of(w, stream);
        if (!stream)
            w->window += read_be(payload, 4);
        else if (ask)
            ask->window += read_be(payload, 4);
        return true;
    default:
        return true;
    }
}

static bool h2_read(struct wire *w)
{
    while (buf_len(&w->in) >= FRAME_HEAD) {
        const uint8_t *at = (const uint8_t *)buf_slice(&w->in).ptr;
        const size_t len = read_be(at, 3);
        if (len > FRAME_MAX)
            return fail(w, "a frame that is too long");
        if (buf_len(&w->in) < FRAME_HEAD + len)
            break;
        if (!h2_frame(w, at, len))
            return false;
        buf_skip(&w->in, FRAME_HEAD + len);
    }
    return true;
}

/* ---- HTTP/1.1 and WebSocket ------------------------------------------------------------------ */

static void h1_ask(struct wire *w, struct wire_ask *ask)
{
    const struct buf *token = next_token(w->plan);
    add(&w->out, buf_slice(&w->plan->head_first));
    if (token)
        add(&w->out, buf_slice(token));
    add(&w->out, SLICE("\r\n"));
    ask->window = INT64_MAX;
}

static void h1_bodies(struct wire *w)
{
    struct wire_ask *ask = &w->asks[0];
    while (w->under_way && ask->body_left && buf_len(&w->out) < WRITE_BYTES) {
        const size_t n = ask->body_left < FRAME_MAX ? ask->body_left : FRAME_MAX;
        add(&w->out, slice_from(zeros, n));
        ask->body_left -= n;
    }
}

static bool h1_head(struct wire *w, struct wire_ask *ask)
{
    struct h1_head head;
    struct h1_scan scan = {w->scanned};
    switch (h1_response_parse(&head, &scan, w->in.ptr + w->in.from, buf_len(&w->in), false)) {
    case H1_BAD:
        return fail(w, "a head that is none");
    case H1_MORE:
        w->scanned = scan.seen;
        return true;
    case H1_DONE:
        break;
    }
    w->scanned = 0;
    buf_skip(&w->in, head.bytes);
    w->is_open = head.status == 101;
    if (head.status < 200 && !w->is_open)
        return true;
    if (head.framing == H1_CHUNKED || head.framing == H1_UNTIL_CLOSE)
        if (!w->is_open)
            return fail(w, "a body without a length");
    w->is_leaving = head.wants_close && !w->is_open;
    w->body_in = head.framing == H1_LENGTH ? head.length : 0;
    ask->has_head = true;
    ask->status = head.status;
    return true;
}

static bool h1_read(struct wire *w)
{
    struct wire_ask *ask = &w->asks[0];
    while (w->under_way && buf_len(&w->in)) {
        const size_t before = buf_len(&w->in);
        if (!ask->has_head && !h1_head(w, ask))
            return false;
        if (!ask->has_head && before == buf_len(&w->in))
            return true;
        const size_t n = buf_len(&w->in) < w->body_in ? buf_len(&w->in) : (size_t)w->body_in;
        buf_skip(&w->in, n);
        w->body_in -= n;
        if (ask->has_head && !w->body_in)
            finish(w, ask);
    }
    return !buf_len(&w->in) || w->under_way || w->is_open || fail(w, "bytes that nobody asked for");
}

/* A masked text message; the key is zero, which the sender may not choose but the receiver must
 * take (RFC 6455 §5.3). */
static void echo_ask(struct wire *w)
{
    add(&w->out, slice_from((char[]){(char)0x81, (char)(0x80 | ECHO_BYTES), 0, 0, 0, 0}, 6));
    for (int i = 0; i < ECHO_BYTES; i++)
        add_byte(&w->out, 'e');
}

static bool echo_read(struct wire *w)
{
    static const char head[] = {(char)0x81, ECHO_BYTES};
    while (buf_len(&w->in) >= 2) {
        if (memcmp(buf_slice(&w->in).ptr, head, 2) != 0 || !w->under_way)
            return fail(w, "not the message that was sent");
        if (buf_len(&w->in) < 2 + ECHO_BYTES)
            break;
        buf_skip(&w->in, 2 + ECHO_BYTES);
        w->asks[0].status = 200;
        finish(w, &w->asks[0]);
    }
    return true;
}

/* ---- the connection -------------------------------------------------------------------------- */

struct wire *wire_new(struct wire_plan *plan)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (const struct sockaddr *)&plan->address, sizeof(plan->address)) &&
        errno != EINPROGRESS) {
        close(fd);
        return NULL;
    }
    struct wire *w = mem_new(struct wire);
    w->plan = plan;
    w->fd = fd;
    w->ssl = SSL_new(plan->ctx);
    if (!w->ssl)
        abort();
    SSL_set_fd(w->ssl, fd);
    SSL_set_connect_state(w->ssl);
    SSL_set_tlsext_host_name(w->ssl, plan->host);
    SSL_set1_host(w->ssl, plan->host);
    SSL_set_app_data(w->ssl, plan);
    if (plan->is_resumed && plan->session) {
        /* Of its own: OpenSSL spoils the session of a connection that gets a new ticket. */
        SSL_SESSION *session = SSL_SESSION_dup(plan->session);
        SSL_set_session(w->ssl, session);
        SSL_SESSION_free(session);
    }
    buf_init(&w->in, IN_MAX);
    buf_init(&w->out, OUT_MAX);
    w->next_stream = 1;
    w->window = w->start_window = DEFAULT_WINDOW;
    if (plan->kind != WIRE_H2)
        return w;
    if (nghttp2_hd_inflate_new(&w->inflater))
        abort();
    h2_begin(w);
    return w;
}

void wire_free(struct wire *w)
{
    if (!w)
        return;
    if (w->is_ready && !w->why)
        SSL_shutdown(w->ssl);
    else
        SSL_set_shutdown(w->ssl, SSL_SENT_SHUTDOWN); /* else OpenSSL forgets the session */
    SSL_free(w->ssl);
    close(w->fd);
    nghttp2_hd_inflate_del(w->inflater);
    buf_fini(&w->in);
    buf_fini(&w->out);
    mem_free(w);
}

uint32_t wire_room(const struct wire *w)
{
    return w->is_leaving || w->why || w->under_way >= w->plan->streams
               ? 0
               : w->plan->streams - w->under_way;
}

void wire_ask(struct wire *w, int64_t due_ns)
{
    struct wire_ask *ask = &w->asks[w->under_way++];
    *ask = (struct wire_ask){.due_ns = due_ns, .body_left = w->plan->body};
    if (w->plan->kind == WIRE_H2)
        h2_ask(w, ask);
    else if (w->is_open)
        echo_ask(w);
    else
        h1_ask(w, ask);
}

/* True where it may go on now or later; EPOLLOUT is asked for where that is what it waits for. */
static bool later(struct wire *w, int result, const char *why)
{
    switch (SSL_get_error(w->ssl, result)) {
    case SSL_ERROR_WANT_WRITE:
        w->wants_out = true;
        return true;
    case SSL_ERROR_WANT_READ:
        return true;
    default:
        return fail(w, why);
    }
}

static bool shake_hands(struct wire *w)
{
    const int done = SSL_do_handshake(w->ssl);
    const unsigned char *name;
    unsigned len;
    if (done != 1)
        return later(w, done, "the handshake failed");
    SSL_get0_alpn_selected(w->ssl, &name, &len);
    const struct slice want = w->plan->kind == WIRE_H2 ? SLICE("h2") : SLICE("http/1.1");
    if (!slice_eq(slice_from(name, len), want))
        return fail(w, "another protocol was chosen");
    w->is_ready = true;
    return true;
}

static bool read_all(struct wire *w)
{
    for (;;) {
        char *at;
        if (!buf_reserve(&w->in, READ_BYTES, &at))
            return fail(w, "more than there is room for");
        const int n = SSL_read(w->ssl, at, READ_BYTES);
        if (n <= 0)
            return later(w, n, "the server hung up");
        buf_grew(&w->in, (size_t)n);
        const bool ok = w->plan->kind == WIRE_H2 ? h2_read(w)
                        : w->is_open             ? echo_read(w)
                                                 : h1_read(w);
        if (!ok)
            return false;
    }
}

static bool write_all(struct wire *w)
{
    for (;;) {
        if (w->plan->kind == WIRE_H2)
            h2_bodies(w);
        else
            h1_bodies(w);
        if (!buf_len(&w->out))
            return true;
        const struct slice bytes = buf_slice(&w->out);
        const int n = SSL_write(w->ssl, bytes.ptr, (int)bytes.len);
        if (n <= 0)
            return later(w, n, "the server takes nothing");
        buf_skip(&w->out, (size_t)n);
    }
}

bool wire_go_on(struct wire *w)
{
    w->wants_out = false;
    if (!w->is_ready && !shake_hands(w))
        return false;
    if (!w->is_ready)
        return true;
    return read_all(w) && write_all(w);
}
