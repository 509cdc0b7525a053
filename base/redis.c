// SPDX-License-Identifier: EUPL-1.2
/* One connection to Redis. Of hiredis only the reply reader is used: its asynchronous context has
 * no time limits, no bound on a reply, and asserts when a server answers what was not asked; the
 * store is not trusted, so none of that will do. The rest is a socket, a buffer and a list.
 *
 *   PAUSING --timer--> CONNECTING --writable--> GREETING --PONG--> UP
 *      ^------------------- any failure: lost() ----------------------'
 *
 * Holds: fd < 0 exactly while PAUSING or GONE; `sent` is empty while PAUSING, CONNECTING or GONE;
 * the answers come in the order of `sent`. */
#include "base/redis.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/secret.h"

#define REPLY_MAX_BYTES (32u << 20) /* the largest document (8 MiB) and much of anything else */
#define REPLY_MAX_ELEMENTS 65536    /* the whole stream at its trimmed length is a fifth of this */
#define QUEUE_MAX_BYTES (16u << 20) /* of commands not yet written */
#define GREETING_LIMIT_MS 5000      /* connect, AUTH, SELECT and PING together */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 5000
#define READ_BYTES 65536

enum state { PAUSING, CONNECTING, GREETING, UP, GONE };

struct command {
    struct link link;
    struct redis *redis;
    ev_timer limit;
    redis_done *done;
    void *owner;
};

struct redis {
    struct loop *loop;
    struct redis_address address;
    struct secret username;
    struct secret password;
    struct redis_hooks hooks;
    enum state state;
    int fd;
    ev_io readable;
    ev_io writable;
    ev_timer timer; // of the pause or of the greeting
    redisReader *reader;
    redisReplyObjectFunctions makers;
    void *(*make_array)(const redisReadTask *, int);
    struct buf out;
    struct link sent;
    size_t reply_bytes; // fed to the reader since the last whole reply
    size_t reply_elements;
    uint32_t greetings; // answers still to come before UP
    int64_t pause_ms;
    struct dice dice;
    uint32_t depth; // callbacks of ours on the stack: redis_free waits for them
};

/* ---- the address ---- */

static bool parse_user_info(struct redis_address *out, struct slice info, struct fault *f)
{
    if (memchr(info.ptr, '%', info.len))
        return fault_set(f, FAULT_CONFIG, "the store's user and password cannot hold '%%'");
    out->username = slice_cut(&info, ':');
    out->password = info;
    if (!info.len)
        return fault_set(f, FAULT_CONFIG, "the store's address has a user but no password");
    return true;
}

static bool parse_host(struct redis_address *out, struct slice *rest, struct fault *f)
{
    struct slice host = {NULL, 0};
    if (slice_starts(*rest, SLICE("[")) && memchr(rest->ptr, ']', rest->len)) {
        *rest = slice_skip(*rest, 1);
        host = slice_cut(rest, ']');
    } else if (!slice_starts(*rest, SLICE("["))) {
        size_t len = 0;
        while (len < rest->len && rest->ptr[len] != ':' && rest->ptr[len] != '/')
            len++;
        host = slice_from(rest->ptr, len);
        *rest = slice_skip(*rest, len);
    }
    if (!host.len || host.len >= sizeof(out->host) || memchr(host.ptr, '\0', host.len))
        return fault_set(f, FAULT_CONFIG, "the store's address names no host");
    memcpy(out->host, host.ptr, host.len);
    return true;
}

static bool parse_tcp(struct redis_address *out, struct slice rest, struct fault *f)
{
    uint64_t number = 6379;
    const char *at = memrchr(rest.ptr, '@', rest.len);
    if (at) {
        const size_t len = (size_t)(at - rest.ptr);
        if (!parse_user_info(out, slice_from(rest.ptr, len), f))
            return false;
        rest = slice_skip(rest, len + 1);
    }
    if (!parse_host(out, &rest, f))
        return false;
    if (slice_starts(rest, SLICE(":"))) {
        rest = slice_skip(rest, 1);
        size_t len = 0;
        while (len < rest.len && rest.ptr[len] != '/')
            len++;
        if (!slice_u64(slice_from(rest.ptr, len), UINT16_MAX, &number) || !number)
            return fault_set(f, FAULT_CONFIG, "the store's port is not from 1 to 65535");
        rest = slice_skip(rest, len);
    }
    out->port = (uint16_t)number;
    if (!rest.len || slice_eq(rest, SLICE("/")))
        return true;
    if (!slice_starts(rest, SLICE("/")) || !slice_u64(slice_skip(rest, 1), UINT16_MAX, &number))
        return fault_set(f, FAULT_CONFIG, "the store's database is not a number");
    out->database = (uint32_t)number;
    return true;
}

static bool parse_unix(struct redis_address *out, struct slice rest, struct fault *f)
{
    const struct slice path = slice_cut(&rest, '?');
    if (!slice_starts(path, SLICE("/")) || path.len >= sizeof(out->path) ||
        memchr(path.ptr, '\0', path.len))
        return fault_set(f, FAULT_CONFIG,
                         "the store's socket must be an absolute path of at most %zu bytes",
                         sizeof(out->path) - 1);
    memcpy(out->path, path.ptr, path.len);
    uint64_t database = 0;
    if (rest.len && (!slice_starts(rest, SLICE("db=")) ||
                     !slice_u64(slice_skip(rest, 3), UINT16_MAX, &database)))
        return fault_set(f, FAULT_CONFIG, "behind the store's socket only ?db=N may stand");
    out->database = (uint32_t)database;
    return true;
}

bool redis_address_parse(struct redis_address *out, struct slice url, struct fault *f)
{
    struct redis_address address = {.host = ""};
    bool is_fine = false;
    if (slice_starts(url, SLICE("rediss://")))
        return fault_set(f, FAULT_CONFIG,
                         "rediss:// is not spoken: this system's hiredis has no TLS; let stunnel "
                         "listen on loopback and name that with redis://");
    if (slice_starts(url, SLICE("redis+unix://")))
        is_fine = parse_unix(&address, slice_skip(url, 13), f);
    else if (slice_starts(url, SLICE("redis://")))
        is_fine = parse_tcp(&address, slice_skip(url, 8), f);
    else // the address may hold a password: it is not repeated
        return fault_set(f, FAULT_CONFIG,
                         "the store's address begins with neither redis:// nor redis+unix://");
    if (is_fine)
        *out = address;
    return is_fine;
}

/* ---- the end of a connection ---- */

static void on_pause_over(struct ev_loop *ev, ev_timer *timer, int events);

static void command_free(struct command *take)
{
    ev_timer_stop(take->redis->loop->ev, &take->limit);
    link_remove(&take->link);
    mem_free(take);
}

static void socket_close(struct redis *r)
{
    ev_io_stop(r->loop->ev, &r->readable);
    ev_io_stop(r->loop->ev, &r->writable);
    ev_timer_stop(r->loop->ev, &r->timer);
    if (r->fd >= 0)
        (void)close(r->fd); // nothing of ours can be lost by its failure
    r->fd = -1;
    if (r->reader)
        redisReaderFree(r->reader);
    r->reader = NULL;
    buf_clear(&r->out);
    buf_release(&r->out);
}

/* Calls out: afterwards the state may be GONE. */
static void lost(struct redis *r, const struct fault *why)
{
    socket_close(r);
    r->state = PAUSING;
    while (!list_is_empty(&r->sent)) {
        struct command *c = container_of(r->sent.next, struct command, link);
        redis_done *done = c->done;
        void *owner = c->owner;
        command_free(c);
        done(owner, NULL);
        if (r->state == GONE)
            return;
    }
    /* Between half and the whole of the pause, so that gateways do not all come back at once. */
    const int64_t half = r->pause_ms / 2;
    const int64_t pause = half + (int64_t)(dice_next(&r->dice) % (uint64_t)(half + 1));
    r->pause_ms = r->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : r->pause_ms * 2;
    ev_timer_init(&r->timer, on_pause_over, (double)pause / 1000., 0.);
    ev_timer_start(r->loop->ev, &r->timer);
    if (r->hooks.down)
        r->hooks.down(r->hooks.owner, why);
}

static void destroy(struct redis *r)
{
    secret_fini(&r->username);
    secret_fini(&r->password);
    buf_fini(&r->out);
    mem_free(r);
}

/* Every way in from the loop: what runs between may call redis_free. */
static void enter(struct redis *r)
{
    r->depth++;
}

static void leave(struct redis *r)
{
    if (--r->depth == 0 && r->state == GONE)
        destroy(r);
}

/* ---- reading ---- */

/* Refuses a reply of more parts than any honest one: the reader would make room for them all. */
static void *make_array(const redisReadTask *task, int elements)
{
    struct redis *r = task->privdata;
    if (elements > 0)
        r->reply_elements += (size_t)elements;
    return r->reply_elements > REPLY_MAX_ELEMENTS ? NULL : r->make_array(task, elements);
}

static redisReader *reader_new(struct redis *r)
{
    redisReader *reader = redisReaderCreate();
    if (!reader)
        abort(); // no memory, as in base/mem
    r->makers = *reader->fn;
    r->make_array = r->makers.createArray;
    r->makers.createArray = make_array;
    reader->fn = &r->makers;
    reader->privdata = r;
    return reader;
}

/* True while there is a connection to go on with. */
static bool deliver(struct redis *r, redisReply *reply)
{
    r->reply_bytes = r->reply_elements = 0;
    if (list_is_empty(&r->sent)) {
        struct fault f;
        (void)fault_set(&f, FAULT_IO, "the store answered what was not asked");
        freeReplyObject(reply);
        lost(r, &f);
        return false;
    }
    struct command *c = container_of(r->sent.next, struct command, link);
    redis_done *done = c->done;
    void *owner = c->owner;
    command_free(c);
    done(owner, reply);
    freeReplyObject(reply);
    return r->fd >= 0;
}

static bool deliver_all(struct redis *r)
{
    struct fault f;
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
            (void)fault_set(&f, FAULT_IO, "the store's answer cannot be read: %s",
                            r->reader->errstr);
            lost(r, &f);
            return false;
        }
        if (!reply)
            break;
        if (!deliver(r, reply))
            return false;
    }
    if (r->reply_bytes <= REPLY_MAX_BYTES)
        return true;
    (void)fault_set(&f, FAULT_LIMIT, "an answer of the store passes %u bytes", REPLY_MAX_BYTES);
    lost(r, &f);
    return false;
}

static void read_some(struct redis *r)
{
    char bytes[READ_BYTES];
    struct fault f;
    const ssize_t n = recv(r->fd, bytes, sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (n < 0)
            (void)fault_errno(&f, errno, "cannot read from the store");
        else
            (void)fault_set(&f, FAULT_IO, "the store closed the connection");
        lost(r, &f);
        return;
    }
    r->reply_bytes += (size_t)n;
    if (redisReaderFeed(r->reader, bytes, (size_t)n) != REDIS_OK)
        abort(); // no memory
    (void)deliver_all(r);
}

static void on_readable(struct ev_loop *ev, ev_io *io, int events)
{
    struct redis *r = io->data;
    (void)ev;
    (void)events;
    enter(r);
    read_some(r);
    leave(r);
}

/* ---- writing ---- */

static void on_limit(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct command *c = timer->data;
    struct redis *r = c->redis;
    struct fault f;
    (void)ev;
    (void)events;
    enter(r);
    // Answers come in order: one that is given up takes the connection with it.
    (void)fault_set(&f, FAULT_IO, "the store did not answer in time");
    lost(r, &f);
    leave(r);
}

static bool format(struct buf *out, const struct slice *arguments, size_t count)
{
    char *room = NULL;
    size_t bytes = 32;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(bytes, arguments[i].len, &bytes) ||
            __builtin_add_overflow(bytes, (size_t)32, &bytes))
            return false;
    if (!buf_reserve(out, bytes, &room))
        return false; // all or nothing: half a command would shift every answer
    bool is_fine = buf_printf(out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        is_fine = is_fine && buf_printf(out, "$%zu\r\n", arguments[i].len) &&
                  buf_add(out, arguments[i]) && buf_add(out, SLICE("\r\n"));
    assert(is_fine); // the room was reserved
    return true;
}

static bool send_command(struct redis *r, int64_t limit_ms, redis_done *done, void *owner,
                         const struct slice *arguments, size_t count)
{
    if (!format(&r->out, arguments, count))
        return false;
    struct command *c = mem_new(struct command);
    c->redis = r;
    c->done = done;
    c->owner = owner;
    ev_timer_init(&c->limit, on_limit, (double)limit_ms / 1000., 0.);
    c->limit.data = c;
    ev_timer_start(r->loop->ev, &c->limit);
    list_push(&r->sent, &c->link);
    ev_io_start(r->loop->ev, &r->writable);
    return true;
}

static void write_some(struct redis *r)
{
    const struct slice bytes = buf_slice(&r->out);
    const ssize_t n = bytes.len ? send(r->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        struct fault f;
        (void)fault_errno(&f, errno, "cannot write to the store");
        lost(r, &f);
        return;
    }
    if (n > 0)
        buf_skip(&r->out, (size_t)n);
    if (buf_len(&r->out) == 0)
        ev_io_stop(r->loop->ev, &r->writable);
}

/* ---- coming up ---- */

static void greeted(void *owner, const redisReply *reply)
{
    struct redis *r = owner;
    if (!reply)
        return; // the connection ended: lost() is at work
    if (reply->type == REDIS_REPLY_ERROR) {
        struct fault f;
        (void)fault_set(&f, FAULT_IO, "the store refuses us: %.*s", (int)reply->len, reply->str);
        lost(r, &f);
        return;
    }
    if (--r->greetings)
        return;
    ev_timer_stop(r->loop->ev, &r->timer);
    r->state = UP;
    r->pause_ms = PAUSE_MIN_MS;
    if (r->hooks.up)
        r->hooks.up(r->hooks.owner);
}

static bool greet_one(struct redis *r, const struct slice *arguments, size_t count)
{
    r->greetings++;
    return send_command(r, GREETING_LIMIT_MS, greeted, r, arguments, count);
}

static bool greet(struct redis *r)
{
    const struct slice password = slice_from(r->password.bytes, r->password.len);
    const struct slice username = slice_from(r->username.bytes, r->username.len);
    char database[16];
    const int len = snprintf(database, sizeof(database), "%u", r->address.database);
    r->greetings = 0;
    if (username.len && !greet_one(r, (struct slice[]){SLICE("AUTH"), username, password}, 3))
        return false;
    if (!username.len && password.len &&
        !greet_one(r, (struct slice[]){SLICE("AUTH"), password}, 2))
        return false;
    if (r->address.database &&
        !greet_one(r, (struct slice[]){SLICE("SELECT"), slice_from(database, (size_t)len)}, 2))
        return false;
    // A server that is still loading its data answers PING with an error: we come back later.
    return greet_one(r, (struct slice[]){SLICE("PING")}, 1);
}

static void connected(struct redis *r)
{
    int error = 0;
    socklen_t len = sizeof(error);
    struct fault f;
    if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error) {
        (void)fault_errno(&f, error, "cannot connect to the store");
        lost(r, &f);
        return;
    }
    r->state = GREETING;
    r->reader = reader_new(r);
    r->reply_bytes = r->reply_elements = 0;
    ev_io_start(r->loop->ev, &r->readable);
    if (!greet(r)) {
        (void)fault_set(&f, FAULT_LIMIT, "the store's password is too long");
        lost(r, &f);
    }
}

static void on_writable(struct ev_loop *ev, ev_io *io, int events)
{
    struct redis *r = io->data;
    (void)ev;
    (void)events;
    enter(r);
    if (r->state == CONNECTING)
        connected(r);
    else
        write_some(r);
    leave(r);
}

static bool start_connect(struct redis *r, const struct sockaddr *address, socklen_t len,
                          struct fault *f)
{
    r->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->fd < 0)
        return fault_errno(f, errno, "cannot make a socket");
    if (connect(r->fd, address, len) < 0 && errno != EINPROGRESS)
        return fault_errno(f, errno, "cannot connect to the store at '%s'",
                           r->address.path[0] ? r->address.path : r->address.host);
    return true;
}

static bool start_unix(struct redis *r, struct fault *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _Static_assert(sizeof(address.sun_path) >= sizeof(r->address.path), "a path fits");
    memcpy(address.sun_path, r->address.path, sizeof(r->address.path));
    return start_connect(r, (const struct sockaddr *)&address, sizeof(address), f);
}

/* A name is looked up here and now. The store is on loopback or a name of /etc/hosts; and this is
 * the thread that may wait. */
static bool start_tcp(struct redis *r, struct fault *f)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", r->address.port); // at most five digits
    const int error = getaddrinfo(r->address.host, port, &hints, &found);
    if (error)
        return fault_set(f, FAULT_IO, "cannot find the store's host '%s': %s", r->address.host,
                         gai_strerror(error));
    const bool is_fine = start_connect(r, found->ai_addr, found->ai_addrlen, f);
    freeaddrinfo(found);
    return is_fine;
}

static void on_greeting_late(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct redis *r = timer->data;
    struct fault f;
    (void)ev;
    (void)events;
    enter(r);
    (void)fault_set(&f, FAULT_IO, "the store did not answer in time");
    lost(r, &f);
    leave(r);
}

static void begin(struct redis *r)
{
    struct fault f;
    if (!(r->address.path[0] ? start_unix(r, &f) : start_tcp(r, &f))) {
        lost(r, &f);
        return;
    }
    r->state = CONNECTING;
    ev_io_set(&r->readable, r->fd, EV_READ);
    ev_io_set(&r->writable, r->fd, EV_WRITE);
    ev_io_start(r->loop->ev, &r->writable);
    ev_timer_init(&r->timer, on_greeting_late, GREETING_LIMIT_MS / 1000., 0.);
    ev_timer_start(r->loop->ev, &r->timer);
}

static void on_pause_over(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct redis *r = timer->data;
    (void)ev;
    (void)events;
    enter(r);
    begin(r);
    leave(r);
}

/* ---- the doors ---- */

struct redis *redis_new(struct loop *l, const struct redis_address *address,
                        struct redis_hooks hooks)
{
    struct redis *r = mem_new(struct redis);
    r->loop = l;
    r->address = *address;
    secret_init(&r->username, address->username.ptr, address->username.len);
    secret_init(&r->password, address->password.ptr, address->password.len);
    r->address.username = r->address.password = (struct slice){NULL, 0}; // the caller's end
    r->hooks = hooks;
    r->fd = -1;
    r->pause_ms = PAUSE_MIN_MS;
    buf_init(&r->out, QUEUE_MAX_BYTES);
    list_init(&r->sent);
    dice_init(&r->dice);
    ev_io_init(&r->readable, on_readable, -1, EV_READ);
    ev_io_init(&r->writable, on_writable, -1, EV_WRITE);
    ev_timer_init(&r->timer, on_pause_over, 0., 0.); // now, but not inside this call
    r->readable.data = r->writable.data = r->timer.data = r;
    ev_timer_start(l->ev, &r->timer);
    return r;
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    assert(r->state != GONE);
    socket_close(r);
    while (!list_is_empty(&r->sent))
        command_free(container_of(r->sent.next, struct command, link));
    r->state = GONE;
    if (!r->depth)
        destroy(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->state == UP;
}

bool redis_send(struct redis *r, int64_t limit_ms, redis_done *done, void *owner,
                const struct slice *arguments, size_t count)
{
    return r->state == UP && send_command(r, limit_ms, done, owner, arguments, count);
}
