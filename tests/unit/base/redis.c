// SPDX-License-Identifier: EUPL-1.2
/* The connection to Redis, against a server that says what the test tells it to: the store is not
 * trusted, so what it may answer is anything. */
#include "base/redis.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

static struct {
    char dir[64];
    struct loop loop;
    struct redis *redis;
    int listening;
    int peer; // the server's end of the last connection
    ev_io accepting;
    ev_io hearing;
    struct slice answers; // sent behind the greeting's +PONG, at the first command
    uint32_t commands;    // reads of the server
    uint32_t ups;
    uint32_t downs;
    uint32_t replies;
    uint32_t nulls;
    bool free_in_reply;
    bool free_in_down;
} world;

static void on_hear(struct ev_loop *ev, ev_io *io, int events)
{
    char bytes[4096];
    (void)ev;
    (void)events;
    const ssize_t n = read(io->fd, bytes, sizeof(bytes));
    if (n <= 0) {
        ev_io_stop(world.loop.ev, io);
        (void)close(io->fd);
        world.peer = -1;
        return;
    }
    const struct slice answer = world.commands++ == 0 ? SLICE("+PONG\r\n") : world.answers;
    if (answer.len)
        (void)!send(io->fd, answer.ptr, answer.len, MSG_NOSIGNAL);
}

static void on_accept(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev;
    (void)events;
    world.peer = accept(io->fd, NULL, NULL);
    world.commands = 0;
    ev_io_init(&world.hearing, on_hear, world.peer, EV_READ);
    ev_io_start(world.loop.ev, &world.hearing);
}

static void done(void *owner, const redisReply *reply)
{
    (void)owner;
    if (reply)
        world.replies++;
    else
        world.nulls++;
    if (world.free_in_reply && world.redis) {
        redis_free(world.redis);
        world.redis = NULL;
    }
    loop_stop(&world.loop);
}

static void ask(int64_t limit_ms)
{
    const struct slice get[] = {SLICE("GET"), SLICE("x")};
    cr_assert(redis_send(world.redis, limit_ms, done, NULL, get, 2));
}

static void on_up(void *owner)
{
    (void)owner;
    world.ups++;
    loop_stop(&world.loop);
}

static void on_down(void *owner, const struct fault *why)
{
    (void)owner;
    cr_expect(why->text[0]);
    world.downs++;
    if (world.free_in_down) {
        redis_free(world.redis);
        world.redis = NULL;
    }
    loop_stop(&world.loop);
}

static void setup(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct redis_address where = {.port = 0};
    base_init();
    loop_init(&world.loop);
    (void)snprintf(world.dir, sizeof(world.dir), "/tmp/belfry-redis-XXXXXX");
    cr_assert_not_null(mkdtemp(world.dir));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", world.dir);
    (void)snprintf(where.path, sizeof(where.path), "%s/sock", world.dir);
    world.listening = socket(AF_UNIX, SOCK_STREAM, 0);
    world.peer = -1;
    cr_assert_eq(bind(world.listening, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(world.listening, 5), 0);
    ev_io_init(&world.accepting, on_accept, world.listening, EV_READ);
    ev_io_start(world.loop.ev, &world.accepting);
    world.redis = redis_new(&world.loop, &where, (struct redis_hooks){on_up, on_down, NULL});
    cr_assert_eq(world.ups + world.downs, 0, "called back inside redis_new");
    loop_run(&world.loop);
    cr_assert_eq(world.ups, 1);
}

static void teardown(void)
{
    char path[96];
    redis_free(world.redis);
    (void)close(world.listening);
    ev_io_stop(world.loop.ev, &world.accepting);
    ev_io_stop(world.loop.ev, &world.hearing);
    loop_fini(&world.loop);
    (void)snprintf(path, sizeof(path), "%s/sock", world.dir);
    (void)unlink(path);
    (void)rmdir(world.dir);
}

TestSuite(redis, .init = setup, .fini = teardown, .timeout = 30);

Test(redis, gives_each_answer_to_its_command)
{
    world.answers = SLICE("$3\r\none\r\n*2\r\n:1\r\n$-1\r\n");
    ask(5000);
    ask(5000);
    while (world.replies < 2)
        loop_run(&world.loop);
    cr_expect_eq(world.downs, 0);
}

Test(redis, nonsense_ends_the_connection_and_every_command_hears_of_it)
{
    static const struct slice table[] = {
        SLICE_INIT("nonsense\r\n"),
        SLICE_INIT("$99999999999999999999\r\n"),
        SLICE_INIT("*99999999\r\n"),              // more parts than any answer of ours
        SLICE_INIT("*65000\r\n*65000\r\n:1\r\n"), // and so in sum
        SLICE_INIT("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
        SLICE_INIT("$-2\r\n"),
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        world.answers = table[i];
        world.nulls = world.downs = world.ups = 0;
        ask(5000);
        ask(5000);
        while (!world.downs && !world.ups)
            loop_run(&world.loop);
        cr_expect_eq(world.nulls, 2, "%zu: %u", i, world.nulls);
        cr_expect_eq(world.downs, 1, "%zu", i);
        cr_expect_not(redis_is_up(world.redis));
        const struct slice get[] = {SLICE("GET")};
        cr_expect_not(redis_send(world.redis, 5000, done, NULL, get, 1));
        while (!world.ups) // and it comes back by itself
            loop_run(&world.loop);
    }
}

Test(redis, an_answer_to_no_question_ends_the_connection)
{
    world.answers = SLICE("+one\r\n+two\r\n");
    ask(5000);
    while (!world.downs)
        loop_run(&world.loop);
    cr_expect_eq(world.replies, 1);
    cr_expect_eq(world.nulls, 0);
}

Test(redis, a_command_that_is_not_answered_in_time_ends_the_connection)
{
    ask(50);
    ask(5000);
    while (!world.downs)
        loop_run(&world.loop);
    cr_expect_eq(world.nulls, 2);
}

Test(redis, may_be_freed_from_a_reply)
{
    world.answers = SLICE("+one\r\n+two\r\n");
    world.free_in_reply = true;
    ask(5000);
    ask(5000);
    loop_run(&world.loop);
    cr_expect_eq(world.replies, 1);
    cr_expect_eq(world.nulls, 0);
    cr_expect_null(world.redis);
}

Test(redis, may_be_freed_from_a_reply_that_tells_of_the_end)
{
    world.answers = SLICE("nonsense\r\n");
    world.free_in_reply = true;
    ask(5000);
    ask(5000);
    loop_run(&world.loop);
    cr_expect_eq(world.nulls, 1);
    cr_expect_eq(world.downs, 0);
}

Test(redis, may_be_freed_from_the_news_of_its_end)
{
    world.free_in_down = true;
    (void)shutdown(world.peer, SHUT_RDWR);
    while (!world.downs)
        loop_run(&world.loop);
    cr_expect_null(world.redis);
}

Test(redis, commands_pass_binary_and_large_arguments)
{
    char *large = mem_array(char, 3 << 20);
    const struct slice set[] = {SLICE("SET"), SLICE("a\r\n\0b"), slice_from(large, 3 << 20)};
    cr_assert(redis_send(world.redis, 5000, done, NULL, set, 3));
    const struct slice many[] = {slice_from(large, 3 << 20), slice_from(large, 3 << 20),
                                 slice_from(large, 3 << 20), slice_from(large, 3 << 20),
                                 slice_from(large, 3 << 20), slice_from(large, 3 << 20)};
    cr_expect_not(redis_send(world.redis, 5000, done, NULL, many, 6), "no ceiling");
    mem_free(large);
    world.answers = SLICE("+OK\r\n");
    while (!world.replies)
        loop_run(&world.loop);
}

Test(redis_address, is_read_strictly)
{
    static const struct {
        const char *url;
        const char *host; // NULL: refused
        const char *path;
        uint16_t port;
        uint32_t database;
        const char *username;
        const char *password;
    } table[] = {
        {"redis://127.0.0.1", "127.0.0.1", "", 6379, 0, "", ""},
        {"redis://127.0.0.1:7000/3", "127.0.0.1", "", 7000, 3, "", ""},
        {"redis://[::1]:7000/", "::1", "", 7000, 0, "", ""},
        {"redis://belfry:s3cret:x@store.localhost", "store.localhost", "", 6379, 0, "belfry",
         "s3cret:x"},
        {"redis://:s3cret@localhost", "localhost", "", 6379, 0, "", "s3cret"},
        {"redis://u:p@ss@localhost", "localhost", "", 6379, 0, "u", "p@ss"},
        {"redis+unix:///run/redis.sock", "", "/run/redis.sock", 0, 0, "", ""},
        {"redis+unix:///run/redis.sock?db=2", "", "/run/redis.sock", 0, 2, "", ""},
        {"rediss://localhost", NULL, NULL, 0, 0, NULL, NULL},
        {"http://localhost", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://:1", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://localhost:0", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://localhost:65536", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://localhost:x", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://localhost/x", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://user@localhost", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://u:%41@localhost", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://[::1", NULL, NULL, 0, 0, NULL, NULL},
        {"redis://[::1]x", NULL, NULL, 0, 0, NULL, NULL},
        {"redis+unix://run/redis.sock", NULL, NULL, 0, 0, NULL, NULL},
        {"redis+unix:///run/redis.sock?x=2", NULL, NULL, 0, 0, NULL, NULL},
        {"redis+unix:///run/redis.sock?db=", NULL, NULL, 0, 0, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct redis_address a;
        struct fault f;
        const bool is_read = redis_address_parse(&a, slice_of(table[i].url), &f);
        cr_expect_eq(is_read, table[i].host != NULL, "%s", table[i].url);
        if (!is_read || !table[i].host)
            continue;
        cr_expect_str_eq(a.host, table[i].host);
        cr_expect_str_eq(a.path, table[i].path);
        cr_expect_eq(a.port, table[i].port);
        cr_expect_eq(a.database, table[i].database);
        cr_expect(slice_eq(a.username, slice_of(table[i].username)), "%s", table[i].url);
        cr_expect(slice_eq(a.password, slice_of(table[i].password)), "%s", table[i].url);
    }
}
