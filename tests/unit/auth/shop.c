// SPDX-License-Identifier: EUPL-1.2
/* See shop.h. */
#include "shop.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"

#define PATIENCE_S 10.

struct shop shop;

static void connect_side(void)
{
    for (int i = 0; i < 1000; i++) { /* until it listens and has loaded */
        shop.side = redisConnectUnix(shop.socket);
        redisReply *reply = shop.side && !shop.side->err ? redisCommand(shop.side, "PING") : NULL;
        const bool is_ready = reply && reply->type == REDIS_REPLY_STATUS;
        if (reply)
            freeReplyObject(reply);
        if (is_ready)
            return;
        redisFree(shop.side);
        (void)usleep(10000);
    }
    cr_assert_fail("redis-server does not come up");
}

void shop_start_server(void)
{
    shop.server = fork();
    cr_assert(shop.server >= 0);
    if (shop.server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", shop.socket,
                     "--dir", shop.dir, "--save", "", NULL);
        _exit(127);
    }
    connect_side();
}

void shop_stop_server(void)
{
    if (shop.server <= 0)
        return;
    redisFree(shop.side);
    shop.side = NULL;
    (void)kill(shop.server, SIGKILL);
    (void)waitpid(shop.server, NULL, 0);
    shop.server = 0;
}

static bool is_up(void)
{
    return redis_is_up(shop.redis);
}

void shop_begin(void)
{
    struct fault f;
    base_init();
    keys_begin(shop.dir);
    (void)snprintf(shop.socket, sizeof shop.socket, "%s/redis.sock", shop.dir);
    cr_assert(strlen(shop.socket) < sizeof shop.address.path);
    memcpy(shop.address.path, shop.socket, strlen(shop.socket) + 1);
    keys_write(shop.dir, "seal/20260101000000.key", SLICE(KEYS_HEX), 0600);
    keys_write(shop.dir, "store/20260101000000.key", SLICE(KEYS_HEX), 0600);
    loop_init(&shop.loop);
    shop.keys = keyring_read(shop.dir, loop_wall(&shop.loop), &f);
    cr_assert(shop.keys, "%s", f.text);
    shop_start_server();
    shop_connect();
}

void shop_connect(void)
{
    shop.redis = redis_new(&shop.loop, &shop.address, (struct redis_hooks){0});
    shop.records = records_new(&shop.loop, shop.redis);
    records_follow(shop.records, shop.keys);
    shop_until(is_up, "a connection to the store");
}

void shop_hang_up(void)
{
    redis_free(shop.redis);
    shop.redis = NULL;
}

void shop_forget(void)
{
    records_free(shop.records);
    shop.records = NULL;
}

void shop_end(void)
{
    shop_hang_up();
    shop_forget();
    shop_stop_server();
    keyring_unref(shop.keys);
    loop_fini(&shop.loop);
    keys_end(shop.dir);
}

void shop_until(bool (*is_so)(void), const char *what)
{
    const double end = ev_time() + PATIENCE_S;
    while (!is_so()) {
        cr_assert(ev_time() < end, "in vain: %s", what);
        ev_run(shop.loop.ev, EVRUN_ONCE); /* the loop's own tick wakes it */
    }
}

redisReply *shop_ask(const struct slice *arguments, size_t count)
{
    const char *text[16];
    size_t len[16];
    for (size_t i = 0; i < count; i++) {
        text[i] = arguments[i].ptr;
        len[i] = arguments[i].len;
    }
    redisReply *reply = redisCommandArgv(shop.side, (int)count, text, len);
    cr_assert(reply && reply->type != REDIS_REPLY_ERROR, "%s", reply ? reply->str : "no answer");
    return reply;
}

long long shop_number(const char *command)
{
    redisReply *reply = redisCommand(shop.side, command);
    cr_assert(reply && reply->type == REDIS_REPLY_INTEGER, "%s", command);
    const long long n = reply->integer;
    freeReplyObject(reply);
    return n;
}
