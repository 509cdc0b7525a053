// SPDX-License-Identifier: EUPL-1.2
#include "proxy/admin.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_ready = true;

static bool ready(void *owner, struct buf *out)
{
    (void)owner;
    return buf_add(out, is_ready ? SLICE("ok policy\n") : SLICE("failed policy: none\n")) &&
           is_ready;
}

static void metrics(void *owner, struct buf *out)
{
    (void)owner;
    /* More than a socket takes at once. */
    for (int i = 0; i < 200000; i++)
        if (!buf_add(out, SLICE("belfry_a 1\n")))
            return;
}

static struct loop loop;
static struct admin *admin;
static struct sockaddr_in address = {.sin_family = AF_INET};

static void set_up(void)
{
    struct fault f = {0};
    char text[32];
    socklen_t len = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0); /* finds a free port */

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = 0;
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    loop_init(&loop);
    admin = admin_new(&loop, slice_of(text), (struct admin_hooks){ready, metrics, NULL}, &f);
    cr_assert_not_null(admin, "%s", f.text);
}

static void tear_down(void)
{
    admin_free(admin);
    loop_fini(&loop);
}

TestSuite(admin, .init = set_up, .fini = tear_down, .timeout = 60);

static int visit(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Turns the loop and reads, until the text ends in `end`, or the peer closes (end NULL). */
static size_t hear(int fd, char *out, size_t room, const char *end)
{
    size_t len = 0;
    for (int i = 0; i < 20000 && len < room - 1; i++) {
        ev_run(loop.ev, EVRUN_NOWAIT);
        const ssize_t n = recv(fd, out + len, room - 1 - len, 0);
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
        if (n < 0)
            usleep(50);
        if (end && len && slice_ends(slice_from(out, len), slice_of(end)))
            break;
    }
    out[len] = '\0';
    return len;
}

static void say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

#define REST " HTTP/1.1\r\nHost: localhost\r\n"

Test(admin, answers_what_it_knows_and_refuses_the_rest)
{
    static const struct {
        const char *request;
        const char *status;
    } table[] = {
        {"GET /healthz" REST "Connection: close\r\n\r\n", "HTTP/1.1 200 "},
        {"GET /readyz" REST "Connection: close\r\n\r\n", "HTTP/1.1 200 "},
        {"GET /else" REST "Connection: close\r\n\r\n", "HTTP/1.1 404 "},
        {"GET /healthz/" REST "Connection: close\r\n\r\n", "HTTP/1.1 404 "},
        {"POST /healthz" REST "\r\n", "HTTP/1.1 405 "},
        {"GET /healthz" REST "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 400 "},
        {"GET /healthz" REST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 505 "},
        {"GET  /healthz" REST "\r\n", "HTTP/1.1 400 "},
        {"\x16\x03\x01\x02\r\n\r\n", "HTTP/1.1 400 "},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[4096];
        const int fd = visit();
        say(fd, table[i].request);
        hear(fd, text, sizeof text, NULL); /* until closed: each of them is the last */
        cr_expect(slice_starts(slice_of(text), slice_of(table[i].status)), "%s: %s",
                  table[i].request, text);
        close(fd);
    }
}

Test(admin, says_when_it_is_not_ready)
{
    char text[4096];
    const int fd = visit();
    is_ready = false;
    say(fd, "GET /readyz" REST "\r\n");
    hear(fd, text, sizeof text, "failed policy: none\n");
    cr_expect(slice_starts(slice_of(text), SLICE("HTTP/1.1 503 ")));
    close(fd);
}

Test(admin, keeps_a_connection_and_answers_in_order)
{
    char text[8192];
    const int fd = visit();
    say(fd, "HEAD /healthz" REST "\r\nGET /readyz" REST "\r\n");
    hear(fd, text, sizeof text, "ok policy\n");
    const char *first = strstr(text, "\r\n\r\n");
    cr_assert_not_null(first);
    cr_expect(slice_starts(slice_of(first + 4), SLICE("HTTP/1.1 200 ")), "HEAD has no body");
    say(fd, "GET /heal");
    for (int i = 0; i < 20; i++)
        ev_run(loop.ev, EVRUN_NOWAIT);
    say(fd, "thz" REST "\r\n");
    hear(fd, text, sizeof text, "\r\n\r\nok\n");
    cr_expect(slice_starts(slice_of(text), SLICE("HTTP/1.1 200 ")));
    close(fd);
}

Test(admin, sends_what_a_socket_does_not_take_at_once)
{
    static char text[4 << 20];
    const int fd = visit();
    say(fd, "GET /metrics" REST "Connection: close\r\n\r\n");
    const size_t len = hear(fd, text, sizeof text, NULL);
    const char *body = strstr(text, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_expect_eq(len - (size_t)(body + 4 - text), 200000 * strlen("belfry_a 1\n"));
    close(fd);
}

Test(admin, has_an_end_to_its_patience_with_a_head)
{
    char text[4096];
    const int fd = visit();
    say(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: ");
    for (int i = 0; i < 200; i++)
        say(fd, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    hear(fd, text, sizeof text, NULL);
    cr_expect(slice_starts(slice_of(text), SLICE("HTTP/1.1 431 ")), "%s", text);
    close(fd);
}

Test(admin, connections_that_only_stay_open_shut_nobody_out)
{
    int fds[ADMIN_MAX_CONNECTIONS + 20];
    char text[4096];
    const size_t count = sizeof fds / sizeof fds[0];

    for (size_t i = 0; i < count; i++) {
        fds[i] = visit();
        for (int turn = 0; turn < 5; turn++)
            ev_run(loop.ev, EVRUN_NOWAIT);
    }
    const int fd = visit();
    say(fd, "GET /healthz" REST "\r\n");
    hear(fd, text, sizeof text, "ok\n");
    cr_expect(slice_starts(slice_of(text), SLICE("HTTP/1.1 200 ")));
    cr_expect_eq(recv(fds[0], text, 1, 0), 0, "the oldest made room");
    cr_expect_eq(recv(fds[count - 1], text, 1, 0), -1);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    close(fd);
}

Test(admin, does_not_listen_where_it_can_not)
{
    static const char *const table[] = {"localhost:9000", "127.0.0.1", "", "192.0.2.1:9000"};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fault f = {0};
        cr_expect_null(admin_new(&loop, slice_of(table[i]), (struct admin_hooks){0}, &f));
        cr_expect_neq(f.code, FAULT_UNSET);
    }
}
