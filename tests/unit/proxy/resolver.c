// SPDX-License-Identifier: EUPL-1.2
/* Names against a DNS server of our own on the same loop: a table of answers that tests change. */
#include "proxy/resolver.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/network.h"

#define NXDOMAIN 3
#define SERVFAIL 2
#define SILENT 255 /* nothing is answered at all */

/* What the server says of every name. */
struct answers {
    uint8_t rcode;
    const char *v4[3];
    const char *v6[3];
    uint32_t ttl;
};

static struct {
    struct loop loop;
    struct metrics metrics;
    struct resolver *resolver;
    int fd;
    ev_io io;
    ev_timer limit;
    struct answers says;
    uint32_t asked[2];   /* questions for A and for AAAA */
    char last_name[256]; /* as asked, with dots */
    uint32_t changes;
    uint32_t stop_after; /* so many changes */
} world;

static void add_record(uint8_t *out, size_t *len, uint16_t type, const char *text, uint32_t ttl)
{
    const uint8_t fixed[] = {0xc0,
                             12,
                             0,
                             (uint8_t)type,
                             0,
                             1,
                             0,
                             0,
                             (uint8_t)(ttl >> 8),
                             (uint8_t)ttl,
                             0,
                             type == 1 ? 4 : 16};
    memcpy(out + *len, fixed, sizeof fixed);
    *len += sizeof fixed;
    cr_assert_eq(inet_pton(type == 1 ? AF_INET : AF_INET6, text, out + *len), 1, "%s", text);
    *len += type == 1 ? 4 : 16;
}

static void on_question(EV_P_ ev_io *io, int events)
{
    uint8_t message[1024];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    const ssize_t got = recvfrom(io->fd, message, 512, 0, (struct sockaddr *)&from, &from_len);
    size_t len = 12, named = 0;
    (void)loop, (void)events;
    cr_assert_gt(got, 16);
    while (message[len]) {
        memcpy(world.last_name + named, message + len + 1, message[len]);
        named += message[len];
        world.last_name[named++] = '.';
        len += 1 + message[len];
    }
    world.last_name[named ? named - 1 : 0] = '\0';
    const uint16_t type = message[len + 2];
    len += 5;
    const char *const *texts = type == 1 ? world.says.v4 : world.says.v6;
    uint8_t count = 0;
    world.asked[type == 1 ? 0 : 1]++;
    if (world.says.rcode == SILENT)
        return;
    for (; !world.says.rcode && count < 3 && texts[count]; count++)
        add_record(message, &len, type, texts[count], world.says.ttl);
    message[2] = 0x81;
    message[3] = 0x80 | world.says.rcode;
    memset(message + 4, 0, 8);
    message[5] = 1;
    message[7] = count;
    (void)sendto(io->fd, message, len, 0, (struct sockaddr *)&from, from_len);
}

static void on_changed(void *owner)
{
    (void)owner;
    if (++world.changes >= world.stop_after)
        loop_stop(&world.loop);
}

static void on_limit(EV_P_ ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    loop_stop(&world.loop);
}

/* Until there were so many changes, or the time is over. */
static void run(uint32_t changes, double limit_s)
{
    world.stop_after = world.changes + changes;
    ev_timer_set(&world.limit, limit_s, 0.);
    ev_timer_start(world.loop.ev, &world.limit);
    loop_run(&world.loop);
    ev_timer_stop(world.loop.ev, &world.limit);
}

static void begin(int64_t max_stale_ms)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    static char server[32];
    static struct slice servers[1];
    struct fault why = {0};
    world.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(world.fd, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(getsockname(world.fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(address.sin_port));
    servers[0] = slice_of(server);
    ev_io_init(&world.io, on_question, world.fd, EV_READ);
    ev_io_start(world.loop.ev, &world.io);
    const struct resolver_settings settings = {{servers, 1}, max_stale_ms};
    world.resolver = resolver_new(&world.loop, &settings, &world.metrics,
                                  (struct resolver_hooks){on_changed, NULL}, &why);
    cr_assert(world.resolver, "%s", why.text);
}

static void setup(void)
{
    base_init();
    loop_init(&world.loop);
    ev_timer_init(&world.limit, on_limit, 0., 0.);
}

static void teardown(void)
{
    resolver_free(world.resolver);
    if (world.fd > 0) {
        ev_io_stop(world.loop.ev, &world.io);
        (void)close(world.fd);
    }
    loop_fini(&world.loop);
}

TestSuite(resolver, .init = setup, .fini = teardown, .timeout = 60);

static void follow(const char *host)
{
    const struct slice hosts[] = {slice_of(host), slice_of(host)};
    resolver_follow(world.resolver, hosts, 2);
}

/* "10.0.0.1 fd00::1": what a book says of the name. */
static const char *known(const char *host)
{
    static char text[512];
    struct address_book *b = address_book_new(1);
    size_t len = 0;
    resolver_write(world.resolver, b);
    const struct host_addresses *h = address_book_host(b, slice_of(host));
    text[0] = '\0';
    for (uint32_t i = 0; h && i < h->count; i++) {
        char one[INET6_ADDRSTRLEN];
        (void)address_text(one, (const struct sockaddr *)&h->at[i]);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? " " : "", one);
        cr_expect_eq(address_port((const struct sockaddr *)&h->at[i]), 0);
    }
    address_book_unref(b);
    return text;
}

static int64_t metric(enum metric which)
{
    return metric_get(&world.metrics, which);
}

Test(resolver, both_families_are_asked_for_just_that_name)
{
    begin(1000);
    world.says = (struct answers){.v4 = {"10.0.0.2", "10.0.0.1"}, .v6 = {"fd00::1"}, .ttl = 60};
    follow("backend");
    run(2, 2);
    cr_expect_str_eq(known("backend"), "10.0.0.1 10.0.0.2 fd00::1");
    cr_expect_str_eq(world.last_name, "backend", "no search domain");
    cr_expect(world.asked[0] == 1 && world.asked[1] == 1);
    cr_expect_str_eq(known("other.example"), "");
    cr_expect_eq(metric(METRIC_DNS_NAMES_FAILING), 0);
}

Test(resolver, a_name_is_asked_again_when_its_time_to_live_is_over_and_not_before)
{
    begin(60000);
    world.says = (struct answers){.v4 = {"10.0.0.1"}, .ttl = 6};
    follow("backend.example");
    run(1, 2);
    cr_expect_str_eq(known("backend.example"), "10.0.0.1");
    world.says.v4[0] = "169.254.169.254"; /* what it is worth is judged at the connection */
    const int64_t began_ms = loop_now(&world.loop).ms;
    run(1, 12);
    cr_expect_str_eq(known("backend.example"), "169.254.169.254");
    cr_expect_geq(loop_now(&world.loop).ms - began_ms, 5500);
    cr_expect_eq(world.asked[0], 2);
}

Test(resolver, the_same_addresses_in_another_order_are_no_news)
{
    begin(60000);
    world.says = (struct answers){.v4 = {"10.0.0.1", "10.0.0.2", "10.0.0.1"}, .ttl = 0};
    follow("backend.example");
    run(1, 2);
    cr_expect_str_eq(known("backend.example"), "10.0.0.1 10.0.0.2");
    world.says.v4[0] = "10.0.0.2";
    world.says.v4[1] = "10.0.0.1";
    const uint32_t changes = world.changes;
    run(1, 6.5);
    cr_expect_eq(world.changes, changes);
    cr_expect_eq(world.asked[0], 2, "a time to live of 0 is %d ms here", RESOLVER_LEAST_MS);
}

Test(resolver, while_no_server_answers_the_last_good_answer_goes_on_for_its_time)
{
    begin(1000);
    world.says = (struct answers){.v4 = {"10.0.0.1"}, .ttl = 5};
    follow("backend.example");
    run(1, 2);
    world.says.rcode = SERVFAIL;
    run(1, 5.6);
    cr_expect_str_eq(known("backend.example"), "10.0.0.1");
    cr_expect_geq(metric(METRIC_DNS_FAILURES_TOTAL), 1);
    cr_expect_eq(metric(METRIC_DNS_NAMES_FAILING), 1);
    run(1, 3);
    cr_expect_str_eq(known("backend.example"), "", "given up after max_stale");
    world.says.rcode = 0;
    run(1, 10);
    cr_expect_str_eq(known("backend.example"), "10.0.0.1");
}

Test(resolver, that_there_is_no_such_name_counts_at_once)
{
    begin(3600000);
    world.says = (struct answers){.v4 = {"10.0.0.1"}, .ttl = 5};
    follow("backend.example");
    run(1, 2);
    world.says.rcode = NXDOMAIN;
    run(1, 8);
    cr_expect_str_eq(known("backend.example"), "");
    cr_expect_eq(metric(METRIC_DNS_FAILURES_TOTAL), 0);
    cr_expect_eq(metric(METRIC_DNS_NAMES_FAILING), 1);
}

Test(resolver, names_below_localhost_are_this_machine_and_asked_of_nobody)
{
    begin(1000);
    world.says = (struct answers){.v4 = {"10.0.0.1"}, .ttl = 60};
    follow("backend.localhost");
    run(1, 2);
    cr_expect_str_eq(known("backend.localhost"), "127.0.0.1 ::1");
    cr_expect(!world.asked[0] && !world.asked[1]);
}

Test(resolver, a_name_that_is_not_followed_any_more_is_forgotten_even_while_it_is_asked)
{
    begin(1000);
    world.says = (struct answers){.v4 = {"10.0.0.1"}, .ttl = 60};
    follow("a.example");
    run(1, 2);
    world.says.rcode = SILENT;
    follow("b.example");
    run(1, 0.3);
    cr_expect_str_eq(known("a.example"), "");
    resolver_follow(world.resolver, NULL, 0);
    run(1, 0.1);
    follow("b.example");
    run(1, 0.1);
    cr_expect_str_eq(world.last_name, "b.example");
}

Test(resolver, a_server_that_is_no_address_is_a_fault)
{
    const struct slice servers[] = {SLICE("nobody.example")};
    const struct resolver_settings settings = {{servers, 1}, 0};
    struct fault why = {0};
    cr_expect_null(resolver_new(&world.loop, &settings, &world.metrics,
                                (struct resolver_hooks){on_changed, NULL}, &why));
    cr_expect_eq(why.code, FAULT_CONFIG);
}
