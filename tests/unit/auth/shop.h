// SPDX-License-Identifier: EUPL-1.2
/* A real redis-server on a socket in a folder of its own, with keys and a loop: where records are
 * kept. One a test. */
#pragma once

#include "auth/records.h"
#include "base/metric.h"
#include "keys.h"

struct shop {
    char dir[KEYS_PATH_MAX];
    char socket[KEYS_PATH_MAX + 16];
    pid_t server;
    struct redis_address address;
    struct loop loop;
    struct redis *redis;
    struct records *records;
    struct keyring *keys;
    struct metrics metrics;
    redisContext *side; /* a hostile hand, or one that looks */
};

extern struct shop shop;

void shop_begin(void);
void shop_end(void);
/* A gateway's end, and its beginning: the connection, then the desks on it, then the records. */
void shop_hang_up(void);
void shop_forget(void);
void shop_connect(void);
void shop_stop_server(void); /* its data is gone */
void shop_start_server(void);
/* Runs the loop until it is so, at most ten seconds. */
void shop_until(bool (*is_so)(void), const char *what);
/* One command by the side connection, binary-safe; the caller frees the reply. */
redisReply *shop_ask(const struct slice *arguments, size_t count);
long long shop_number(const char *command); /* of a command that answers with one */
