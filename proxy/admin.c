// SPDX-License-Identifier: EUPL-1.2
/* Three small texts over HTTP/1.1. A visit reads a head, answers, and reads the next: never both at
 * once, so that it holds one head and one answer at most. When all places are taken, the visit that
 * has been served nothing for longest makes room: whoever only holds connections open shuts nobody
 * out. */
#include "proxy/admin.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/http_date.h"
#include "base/mem.h"
#include "base/network.h"
#include "proxy/h1_head.h"

#define HEAD_MAX_BYTES 8192        /* a scraper's is a few hundred */
#define ANSWER_MAX_BYTES (4 << 20) /* the metrics of many workers are some 100 KiB */
#define QUIET_MS 60000             /* more than scrapers usually leave between two requests */
#define PAUSE_MS 1000              /* when the process has no descriptor left */

struct admin {
    struct loop *loop;
    struct admin_hooks hooks;
    int fd;
    ev_io accepting;
    struct deadlines pauses;
    struct deadline pause;
    struct deadlines quiets;
    struct link visits; /* those that were served longest ago first */
    uint32_t count;
    struct http_date date;
};

struct visit {
    struct link link;
    struct admin *admin;
    int fd;
    ev_io io;
    struct deadline quiet;
    struct buf in;
    struct buf out;
    struct h1_scan scan;
    bool is_last; /* closed after the answer */
};

/* ---- answers ---- */

static void visit_end(struct visit *v)
{
    ev_io_stop(v->admin->loop->ev, &v->io);
    deadline_cancel(&v->quiet);
    link_remove(&v->link);
    v->admin->count--;
    close(v->fd);
    buf_fini(&v->in);
    buf_fini(&v->out);
    mem_free(v);
}

static void visit_watch(struct visit *v, int events)
{
    ev_io_stop(v->admin->loop->ev, &v->io);
    ev_io_set(&v->io, v->fd, events);
    ev_io_start(v->admin->loop->ev, &v->io);
}

/* False where it does not fit; the visit then ends without an answer. */
static bool answer(struct visit *v, const char *status, const char *extra, struct slice body,
                   bool to_head)
{
    const struct slice date = http_date(&v->admin->date, loop_wall(v->admin->loop));
    return buf_printf(&v->out,
                      "HTTP/1.1 %s\r\ndate: %.*s\r\ncontent-type: text/plain; version=0.0.4; "
                      "charset=utf-8\r\ncontent-length: %zu\r\ncache-control: no-store\r\n"
                      "x-content-type-options: nosniff\r\n%s%s\r\n",
                      status, SLICE_ARG(date), body.len, extra,
                      v->is_last ? "connection: close\r\n" : "") &&
           (to_head || buf_add(&v->out, body));
}

static bool answer_refused(struct visit *v, const char *status, const char *extra)
{
    v->is_last = true;
    return answer(v, status, extra, slice_of(status), false);
}

/* The answer to a whole head. */
static bool visit_serve(struct visit *v, const struct h1_head *head)
{
    const struct admin_hooks *hooks = &v->admin->hooks;
    const bool to_head = slice_eq(head->method, SLICE("HEAD"));
    const char *status = "200 OK";
    struct buf body;

    v->is_last = head->wants_close;
    if (head->framing != H1_NO_BODY && !(head->framing == H1_LENGTH && head->length == 0))
        return answer_refused(v, "400 Bad Request", "");
    if (!to_head && !slice_eq(head->method, SLICE("GET")))
        return answer_refused(v, "405 Method Not Allowed", "allow: GET, HEAD\r\n");
    buf_init(&body, ANSWER_MAX_BYTES);
    if (slice_eq(head->target, SLICE("/healthz"))) {
        if (!buf_add(&body, SLICE("ok\n")))
            status = "500 Internal Server Error";
    } else if (slice_eq(head->target, SLICE("/readyz"))) {
        if (!hooks->ready(hooks->owner, &body))
            status = "503 Service Unavailable";
    } else if (slice_eq(head->target, SLICE("/metrics"))) {
        hooks->metrics(hooks->owner, &body);
    } else {
        status = "404 Not Found";
    }
    const bool is_whole = answer(v, status, "", buf_slice(&body), to_head);
    buf_fini(&body);
    return is_whole;
}

/* ---- a visit ---- */

/* What was read so far: an answer to it in `out`, or nothing yet. False where the visit is to end.
 */
static bool visit_parse(struct visit *v)
{
    struct h1_head head;
    struct slice in = buf_slice(&v->in);

    if (!in.len)
        return true;
    switch (h1_request_parse(&head, &v->scan, v->in.ptr + v->in.from, in.len)) {
    case H1_MORE:
        return in.len < HEAD_MAX_BYTES ||
               answer_refused(v, "431 Request Header Fields Too Large", "");
    case H1_BAD:
        if (head.why == REASON_VERSION_REFUSED)
            return answer_refused(v, "505 HTTP Version Not Supported", "");
        return answer_refused(v, "400 Bad Request", "");
    case H1_DONE:
        break;
    }
    v->scan = (struct h1_scan){0};
    const bool is_served = visit_serve(v, &head);
    buf_skip(&v->in, head.bytes);
    return is_served;
}

/* Sends what is there to send. False where the visit is to end. */
static bool visit_send(struct visit *v)
{
    while (buf_len(&v->out)) {
        const struct slice rest = buf_slice(&v->out);
        const ssize_t n = send(v->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_skip(&v->out, (size_t)n);
    }
    buf_release(&v->out);
    /* Served: to the end of those that make room. */
    link_remove(&v->link);
    list_push(&v->admin->visits, &v->link);
    deadline_arm(&v->admin->quiets, &v->quiet);
    return !v->is_last;
}

static bool visit_receive(struct visit *v)
{
    char *at;

    if (!buf_reserve(&v->in, HEAD_MAX_BYTES - buf_len(&v->in), &at))
        return false;
    const ssize_t n = recv(v->fd, at, HEAD_MAX_BYTES - buf_len(&v->in), 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    buf_grew(&v->in, (size_t)n);
    return n > 0;
}

/* One answer after the other, for as long as there are whole heads and the peer takes the answers.
 */
static bool visit_go_on(struct visit *v, int events)
{
    if (events & EV_WRITE) {
        if (!visit_send(v))
            return false;
    } else if (!visit_receive(v)) {
        return false;
    }
    while (!buf_len(&v->out)) {
        if (!visit_parse(v))
            return false;
        if (!buf_len(&v->out)) {
            visit_watch(v, EV_READ);
            return true;
        }
        if (!visit_send(v))
            return false;
    }
    visit_watch(v, EV_WRITE);
    return true;
}

static void visit_ready(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev;
    struct visit *v = io->data;
    if (!visit_go_on(v, events))
        visit_end(v);
}

static void visit_quiet(struct deadline *quiet)
{
    visit_end(container_of(quiet, struct visit, quiet));
}

static void visit_begin(struct admin *a, int fd)
{
    if (a->count == ADMIN_MAX_CONNECTIONS)
        visit_end(container_of(a->visits.next, struct visit, link));
    struct visit *v = mem_new(struct visit);
    v->admin = a;
    v->fd = fd;
    v->quiet.passed = visit_quiet;
    buf_init(&v->in, HEAD_MAX_BYTES);
    buf_init(&v->out, ANSWER_MAX_BYTES + 1024);
    list_push(&a->visits, &v->link);
    a->count++;
    deadline_arm(&a->quiets, &v->quiet);
    ev_io_init(&v->io, visit_ready, fd, EV_READ);
    v->io.data = v;
    ev_io_start(a->loop->ev, &v->io);
}

/* ---- the listener ---- */

static void admin_accept(struct ev_loop *ev, ev_io *io, int events)
{
    (void)events;
    struct admin *a = io->data;
    const int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        visit_begin(a, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        /* The connection stays in the queue, and the socket would wake us without end. */
        ev_io_stop(ev, &a->accepting);
        deadline_arm(&a->pauses, &a->pause);
    }
}

static void admin_resume(struct deadline *pause)
{
    struct admin *a = container_of(pause, struct admin, pause);
    ev_io_start(a->loop->ev, &a->accepting);
}

static int listener_open(struct slice listen_on, struct fault *f)
{
    struct sockaddr_storage address;
    socklen_t len;

    if (!address_parse(&address, &len, listen_on)) {
        fault_set(f, FAULT_CONFIG, "'%.*s' is no address and port for the admin listener",
                  SLICE_ARG(listen_on));
        return -1;
    }
    const int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, len) != 0 ||
        listen(fd, ADMIN_MAX_CONNECTIONS) != 0) {
        fault_errno(f, errno, "cannot listen for admin on '%.*s'", SLICE_ARG(listen_on));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

struct admin *admin_new(struct loop *l, struct slice listen, struct admin_hooks hooks,
                        struct fault *f)
{
    const int fd = listener_open(listen, f);

    if (fd < 0)
        return NULL;
    struct admin *a = mem_new(struct admin);
    a->loop = l;
    a->hooks = hooks;
    a->fd = fd;
    a->pause.passed = admin_resume;
    list_init(&a->visits);
    deadlines_init(&a->pauses, l, PAUSE_MS);
    deadlines_init(&a->quiets, l, QUIET_MS);
    ev_io_init(&a->accepting, admin_accept, fd, EV_READ);
    a->accepting.data = a;
    ev_io_start(l->ev, &a->accepting);
    return a;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    while (!list_is_empty(&a->visits))
        visit_end(container_of(a->visits.next, struct visit, link));
    ev_io_stop(a->loop->ev, &a->accepting);
    deadlines_fini(&a->pauses);
    deadlines_fini(&a->quiets);
    close(a->fd);
    mem_free(a);
}
