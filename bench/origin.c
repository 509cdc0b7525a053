// SPDX-License-Identifier: EUPL-1.2
/* The application behind the gateways that are compared: HTTP/1.1, kept alive, one thread.
 *   GET /ANY/N        N bytes          POST /ANY/N   takes the body, answers N bytes
 *   a WebSocket       sends each message back, on any path
 *   anything else     404
 * `bench_origin PORT` serves on the loopback address until it is ended. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proxy/h1_chunked.h"
#include "proxy/h1_head.h"
#include "proxy/websocket.h"

#define BODY_MAX (1u << 20)
#define IN_MAX (1u << 18)
#define READ_BYTES 131072
#define OUT_MAX 65536

struct visitor {
    int fd;
    struct buf in;
    struct buf out;   /* heads and echoes that wait to be written */
    size_t body_left; /* of the answer under way, behind `out` */
    struct h1_scan scan;
    enum h1_framing framing; /* of the request's body under way; H1_NO_BODY: a head comes next */
    uint64_t left;
    struct chunked chunked;
    bool is_echo;
    bool is_closing;
    bool waits_out;
};

struct origin {
    int epoll;
    int listener;
    char body[BODY_MAX];
};

static void visitor_free(struct visitor *v)
{
    close(v->fd);
    buf_fini(&v->in);
    buf_fini(&v->out);
    mem_free(v);
}

MUST_USE static bool answer(struct visitor *v, const struct h1_head *head)
{
    struct slice rest = slice_skip(head->target, 1);
    uint64_t size;
    v->is_closing = head->wants_close;
    (void)slice_cut(&rest, '/');
    if (!slice_u64(rest, BODY_MAX, &size))
        return buf_printf(&v->out, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    v->body_left = (size_t)size;
    return buf_printf(&v->out,
                      "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                      "cache-control: no-store\r\ncontent-length: %zu\r\n\r\n",
                      v->body_left);
}

MUST_USE static bool open_echo(struct visitor *v, const struct h1_head *head)
{
    char accept[WEBSOCKET_ACCEPT_CHARS];
    struct slice key = SLICE("");
    for (uint32_t i = 0; i < head->field_count; i++)
        if (slice_eq(head->fields[i].name, SLICE("sec-websocket-key")))
            key = head->fields[i].value;
    websocket_accept(accept, key);
    v->is_echo = true;
    return buf_printf(&v->out,
                      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                      "upgrade: websocket\r\nsec-websocket-accept: %.*s\r\n\r\n",
                      (int)sizeof(accept), accept);
}

/* Short masked messages come back unmasked (RFC 6455 §5.2); a Close, or what is longer, ends it. */
MUST_USE static bool echo(struct visitor *v)
{
    while (buf_len(&v->in) >= 6) {
        const uint8_t *at = (const uint8_t *)buf_slice(&v->in).ptr;
        const size_t len = at[1] & 0x7f;
        char *out;
        if (!(at[1] & 0x80) || len > 125 || (at[0] & 0x0f) == 8)
            return false;
        if (buf_len(&v->in) < 6 + len)
            break;
        if (!buf_reserve(&v->out, 2 + len, &out))
            return false;
        out[0] = (char)at[0];
        out[1] = (char)len;
        for (size_t i = 0; i < len; i++)
            out[2 + i] = (char)(at[6 + i] ^ at[2 + i % 4]);
        buf_grew(&v->out, 2 + len);
        buf_skip(&v->in, 6 + len);
    }
    return true;
}

/* True when the request's body has come whole; *ok false where it is malformed. */
static bool take_body(struct visitor *v, bool *ok)
{
    if (v->framing == H1_LENGTH) {
        const size_t n = buf_len(&v->in) < v->left ? buf_len(&v->in) : (size_t)v->left;
        buf_skip(&v->in, n);
        v->left -= n;
        return !v->left;
    }
    while (v->framing == H1_CHUNKED && buf_len(&v->in) && v->chunked.state < CHUNKED_END) {
        struct slice data;
        buf_skip(&v->in, chunked_next(&v->chunked, buf_slice(&v->in), &data));
    }
    *ok = v->chunked.state != CHUNKED_BAD;
    return v->framing == H1_NO_BODY || v->chunked.state == CHUNKED_END;
}

/* Takes what has come, up to one request whose answer is then under way. */
MUST_USE static bool take(struct visitor *v)
{
    bool ok = true;
    if (v->is_echo)
        return echo(v);
    if (v->framing == H1_NO_BODY) {
        struct h1_head head;
        if (!buf_len(&v->in))
            return true;
        switch (h1_request_parse(&head, &v->scan, v->in.ptr + v->in.from, buf_len(&v->in))) {
        case H1_BAD:
            return false;
        case H1_MORE:
            return true;
        case H1_DONE:
            break;
        }
        if (!(head.is_websocket ? open_echo(v, &head) : answer(v, &head)))
            return false;
        v->scan = (struct h1_scan){0};
        v->framing = head.framing;
        v->left = head.length;
        v->chunked = (struct chunked){0};
        buf_skip(&v->in, head.bytes);
    }
    if (take_body(v, &ok))
        v->framing = H1_NO_BODY;
    return ok;
}

/* Writes what there is; false where the visitor has gone. */
MUST_USE static bool give(struct origin *o, struct visitor *v)
{
    while (buf_len(&v->out) || v->body_left) {
        const struct slice out = buf_slice(&v->out);
        const struct iovec parts[] = {{(void *)(uintptr_t)out.ptr, out.len},
                                      {o->body, v->body_left}};
        const ssize_t n = writev(v->fd, parts, 2);
        if (n < 0 && errno == EAGAIN) {
            v->waits_out = true;
            return true;
        }
        if (n < 0)
            return false;
        const size_t front = (size_t)n < out.len ? (size_t)n : out.len;
        buf_skip(&v->out, front);
        v->body_left -= (size_t)n - front;
    }
    return !v->is_closing;
}

/* An answer is written when its request's body has come; a request waits for the answer before. */
MUST_USE static bool go_on(struct origin *o, struct visitor *v)
{
    v->waits_out = false;
    for (;;) {
        char *at;
        if (v->framing == H1_NO_BODY && !give(o, v))
            return false;
        if (v->waits_out)
            return true;
        const size_t before = buf_len(&v->in);
        if (!take(v))
            return false;
        if (v->framing == H1_NO_BODY && (buf_len(&v->out) || v->body_left))
            continue;
        if (before != buf_len(&v->in) && buf_len(&v->in))
            continue;
        if (!buf_reserve(&v->in, READ_BYTES, &at))
            return false;
        const ssize_t n = read(v->fd, at, READ_BYTES);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        buf_grew(&v->in, (size_t)n);
    }
}

static void watch(struct origin *o, struct visitor *v, int how)
{
    struct epoll_event e = {.events = v->waits_out ? EPOLLOUT : EPOLLIN, .data.ptr = v};
    epoll_ctl(o->epoll, how, v->fd, &e);
}

static void let_in(struct origin *o)
{
    for (;;) {
        const int fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct visitor *v = mem_new(struct visitor);
        v->fd = fd;
        buf_init(&v->in, IN_MAX);
        buf_init(&v->out, OUT_MAX);
        watch(o, v, EPOLL_CTL_ADD);
    }
}

static void serve(struct origin *o)
{
    struct epoll_event events[128];
    const int n = epoll_wait(o->epoll, events, 128, -1);
    for (int i = 0; i < n; i++) {
        struct visitor *v = events[i].data.ptr;
        const bool waited = v && v->waits_out;
        if (!v)
            let_in(o);
        else if (!go_on(o, v))
            visitor_free(v);
        else if (waited != v->waits_out)
            watch(o, v, EPOLL_CTL_MOD);
    }
}

int main(int argc, char **argv)
{
    static struct origin o;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event e = {.events = EPOLLIN};
    uint64_t port;
    if (argc != 2 || !slice_u64(slice_of(argv[1]), 65535, &port)) {
        fprintf(stderr, "usage: bench_origin PORT\n");
        return 2;
    }
    base_init();
    signal(SIGPIPE, SIG_IGN);
    memset(o.body, 'b', sizeof(o.body));
    at.sin_port = htons((uint16_t)port);
    o.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(o.listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    o.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (bind(o.listener, (struct sockaddr *)&at, sizeof(at)) || listen(o.listener, 4096) ||
        epoll_ctl(o.epoll, EPOLL_CTL_ADD, o.listener, &e)) {
        perror("bench_origin");
        return 1;
    }
    for (;;)
        serve(&o);
}
