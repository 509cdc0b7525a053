// SPDX-License-Identifier: EUPL-1.2
/* Active checks against servers of our own on the same loop, over HTTP/1.1 without TLS; the other
 * protocols are the behaviour tests' part. Editions are made by hand. */
#include "proxy/health.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/network.h"

/* One server, which answers one request a connection. */
struct server {
    ev_io io;
    struct sockaddr_in address;
    char text[64]; /* "http://127.0.0.1:PORT" */
    int status;    /* 0: takes the request and says nothing */
    uint32_t asked;
    char seen[2048]; /* the last request */
};

/* A client of a server: its one request comes in one piece. */
struct peer {
    ev_io io;
    struct server *server;
};

static struct {
    struct loop loop;
    struct metrics metrics;
    struct health_desk *desk;
    struct server servers[2];
    struct peer peers[256];
    uint32_t peer_count;
    ev_timer tick;
    uint32_t changes;
    struct network loopback;
    struct application apps[3];
    struct upstream upstreams[3][2];
    struct door doors[3];
    struct edition edition;
} world;

static void on_request(EV_P_ ev_io *io, int events)
{
    struct peer *peer = container_of(io, struct peer, io);
    struct server *s = peer->server;
    char answer[256];
    const ssize_t got = recv(io->fd, s->seen, sizeof s->seen - 1, 0);
    (void)events;
    s->seen[got > 0 ? got : 0] = '\0';
    if (got > 0 && s->status) {
        const int len =
            snprintf(answer, sizeof answer,
                     "HTTP/1.1 %d X\r\ncontent-length: 5\r\nlocation: /x\r\n\r\nhello", s->status);
        (void)!write(io->fd, answer, (size_t)len);
    }
    if (got > 0) {
        s->asked++;
        if (!s->status)
            return; /* curl gives up, and then there is its end to read */
    }
    ev_io_stop(loop, io);
    (void)close(io->fd);
}

static void on_client(EV_P_ ev_io *io, int events)
{
    struct peer *peer = &world.peers[world.peer_count++];
    const int fd = accept(io->fd, NULL, NULL);
    (void)events;
    cr_assert(world.peer_count <= 256 && fd >= 0);
    peer->server = container_of(io, struct server, io);
    ev_io_init(&peer->io, on_request, fd, EV_READ);
    ev_io_start(loop, &peer->io);
}

static void serve(struct server *s)
{
    socklen_t len = sizeof s->address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    s->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cr_assert_eq(bind(fd, (struct sockaddr *)&s->address, len), 0);
    cr_assert_eq(listen(fd, 50), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&s->address, &len), 0);
    (void)snprintf(s->text, sizeof s->text, "http://127.0.0.1:%u", ntohs(s->address.sin_port));
    s->status = 200;
    ev_io_init(&s->io, on_client, fd, EV_READ);
    ev_io_start(world.loop.ev, &s->io);
}

static void on_changed(void *owner)
{
    (void)owner;
    world.changes++;
}

/* No turn of the loop is longer than this timer's. */
static void on_tick(EV_P_ ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
}

/* Turns of the loop until it is so; fails after 10 s. */
static void run_until(bool (*is_so)(void))
{
    const int64_t began_ms = loop_now(&world.loop).ms;
    while (!is_so()) {
        cr_assert_lt(loop_now(&world.loop).ms - began_ms, 10000);
        ev_run(world.loop.ev, EVRUN_ONCE);
    }
}

static void setup(void)
{
    base_init();
    loop_init(&world.loop);
    ev_timer_init(&world.tick, on_tick, 0.02, 0.02);
    ev_timer_start(world.loop.ev, &world.tick);
    serve(&world.servers[0]);
    serve(&world.servers[1]);
    cr_assert(network_parse(&world.loopback, SLICE("127.0.0.1/32")));
    world.desk =
        health_desk_new(&world.loop, &world.metrics, (struct health_hooks){on_changed, NULL});
    atomic_init(&world.edition.references, 100); /* never freed */
    world.edition.doors = world.doors;
}

static void teardown(void)
{
    health_desk_free(world.desk);
    for (size_t i = 0; i < 2; i++) {
        ev_io_stop(world.loop.ev, &world.servers[i].io);
        (void)close(world.servers[i].io.fd);
    }
    ev_timer_stop(world.loop.ev, &world.tick);
    loop_fini(&world.loop);
}

TestSuite(health, .init = setup, .fini = teardown, .timeout = 60);

/* An application on both servers' addresses; without a path it has no checks. */
static struct application *add_application(const char *id, const char *path)
{
    const uint32_t n = world.edition.door_count++;
    struct application *app = &world.apps[n];
    app->id = app->host = slice_of(id);
    app->entity = SLICE("e");
    app->health = (struct health){slice_of(path), 500, 400, 2, 2};
    app->upstreams = world.upstreams[n];
    app->upstream_count = 2;
    for (size_t i = 0; i < 2; i++) {
        struct upstream *u = &world.upstreams[n][i];
        u->text = slice_of(world.servers[i].text);
        u->port = ntohs(world.servers[i].address.sin_port);
        memcpy(&u->address, &world.servers[i].address, sizeof world.servers[i].address);
        u->address_len = sizeof world.servers[i].address;
    }
    world.doors[n] = (struct door){.app = app, .networks = &world.loopback, .network_count = 1};
    return app;
}

static void follow(void)
{
    health_desk_follow(world.desk, &world.edition, NULL, SLICE("/nowhere"));
}

static bool is_down(size_t server)
{
    struct address_book *b = address_book_new(1);
    health_desk_write(world.desk, b);
    const bool down = address_book_is_down(b, slice_of(world.servers[server].text),
                                           (const struct sockaddr *)&world.servers[server].address);
    address_book_unref(b);
    return down;
}

static bool both_are_asked(void)
{
    return world.servers[0].asked && world.servers[1].asked &&
           metric_get(&world.metrics, METRIC_HEALTH_CHECKS_TOTAL) >= 2;
}
static bool the_first_is_down(void)
{
    return is_down(0);
}
static bool the_first_is_up(void)
{
    return !is_down(0);
}
static bool one_change(void)
{
    return world.changes == 1;
}
static bool two_changes(void)
{
    return world.changes == 2;
}
static bool four_failures(void)
{
    return metric_get(&world.metrics, METRIC_HEALTH_FAILURES_TOTAL) >= 4;
}
static bool eight_checks(void)
{
    return metric_get(&world.metrics, METRIC_HEALTH_CHECKS_TOTAL) >= 8;
}

Test(health, each_address_is_asked_with_the_hosts_name_and_nothing_of_anybody)
{
    (void)add_application("a.example", "/health?full=1");
    follow();
    run_until(both_are_asked);
    cr_expect(strstr(world.servers[0].seen, "GET /health?full=1 HTTP/1.1\r\n"), "%s",
              world.servers[0].seen);
    cr_expect(strstr(world.servers[0].seen, "Host: a.example\r\n"));
    cr_expect_null(strstr(world.servers[0].seen, "Authorization"));
    cr_expect(!is_down(0) && !is_down(1) && !world.changes);
    cr_expect_eq(metric_get(&world.metrics, METRIC_UPSTREAMS_CHECKED), 2);
}

Test(health, so_many_failures_take_an_address_down_and_so_many_successes_bring_it_back)
{
    (void)add_application("a.example", "/");
    world.servers[0].status = 500;
    follow();
    run_until(the_first_is_down);
    cr_expect_geq(world.servers[0].asked, 2, "one failure is none");
    cr_expect_not(is_down(1));
    run_until(one_change);
    cr_expect_eq(metric_get(&world.metrics, METRIC_UPSTREAMS_DOWN), 1);
    const uint32_t asked = world.servers[0].asked;
    world.servers[0].status = 204;
    run_until(the_first_is_up);
    cr_expect_geq(world.servers[0].asked, asked + 2);
    run_until(two_changes);
}

Test(health, a_redirect_is_well_and_is_not_followed)
{
    (void)add_application("a.example", "/");
    world.servers[0].status = world.servers[1].status = 302;
    follow();
    run_until(eight_checks);
    cr_expect(!is_down(0) && !is_down(1));
    cr_expect(strstr(world.servers[0].seen, "GET / HTTP"), "never /x");
}

Test(health, who_takes_the_question_and_says_nothing_is_down)
{
    (void)add_application("a.example", "/");
    world.servers[0].status = 0;
    follow();
    run_until(the_first_is_down);
    cr_expect_not(is_down(1));
}

Test(health, an_address_outside_of_the_networks_is_never_asked)
{
    (void)add_application("a.example", "/");
    (void)add_application("b.example", "/");
    world.doors[0].network_count = 0;
    world.upstreams[1][1].address_len = 0; /* a name that the book does not know */
    world.upstreams[1][1].host = SLICE("c.example");
    follow();
    cr_expect_eq(metric_get(&world.metrics, METRIC_UPSTREAMS_CHECKED), 1);
}

Test(health, one_applications_check_is_no_verdict_over_anothers)
{
    struct application *a = add_application("a.example", "/");
    (void)add_application("b.example", "");
    world.servers[0].status = 500;
    follow();
    run_until(four_failures);
    cr_expect_not(is_down(0), "b has this upstream and does not check it");
    cr_expect_eq(metric_get(&world.metrics, METRIC_UPSTREAMS_DOWN), 1);
    world.apps[1].health = a->health;
    follow();
    cr_expect_not(is_down(0));
    run_until(the_first_is_down);
    cr_expect_not(is_down(1));
}

Test(health, what_is_known_stays_with_another_edition_and_goes_with_another_check)
{
    struct application *a = add_application("a.example", "/");
    world.servers[0].status = 500;
    follow();
    run_until(the_first_is_down);
    struct edition first = world.edition;
    static struct door doors[1];
    static struct application copy;
    doors[0] = world.doors[0];
    copy = *a;
    doors[0].app = &copy;
    static struct edition second; /* the desk holds it until its end */
    second = first;
    second.doors = doors;
    health_desk_follow(world.desk, &second, NULL, SLICE("/nowhere"));
    cr_expect(is_down(0));
    copy.health.path = SLICE("/other");
    health_desk_follow(world.desk, &second, NULL, SLICE("/nowhere"));
    cr_expect_not(is_down(0));
    second.door_count = 0;
    health_desk_follow(world.desk, &second, NULL, SLICE("/nowhere"));
    cr_expect_eq(metric_get(&world.metrics, METRIC_UPSTREAMS_CHECKED), 0);
}
