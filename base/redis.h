// SPDX-License-Identifier: EUPL-1.2
/* One connection to Redis, asynchronous on the loop it is given (hiredis). Reconnects by itself
 * with growing, jittered pauses; each command has a time limit of its own, since hiredis 0.14 has
 * none. No callback after redis_free; a command that was sent when the connection ended gets a NULL
 * reply. */
#pragma once

#include <hiredis/hiredis.h>

#include "base/loop.h"
#include "belfry/fault.h"
#include "belfry/slice.h"

struct redis;

struct redis_address {
    char host[256]; /* empty for a unix socket */
    char path[108]; /* of a unix socket */
    uint16_t port;
    uint32_t database;
    struct slice username; /* borrowed from the caller's copy; empty where none */
    struct slice password;
};

/* redis://[user:password@]host[:port][/db], redis+unix:///path/to.sock[?db=N]. rediss:// is refused
 * with the reason (Debian 12's hiredis has no TLS) and the way out (stunnel on loopback). */
MUST_USE bool redis_address_parse(struct redis_address *out, struct slice url, struct fault *f);

struct redis_hooks {
    void (*up)(void *owner);                            /* connected and authenticated */
    void (*down)(void *owner, const struct fault *why); /* was up, or could not come up */
    void *owner;
};

struct redis *redis_new(struct loop *l, const struct redis_address *address,
                        struct redis_hooks hooks);
void redis_free(struct redis *r); /* pending commands are dropped without a callback */
bool redis_is_up(const struct redis *r);
/* Sends one command (argument by argument, binary-safe). `done` gets the reply (NULL: failed or
 * timed out), borrowed for the call. False, and no callback, where the connection is not up. */
typedef void redis_done(void *owner, const redisReply *reply);
MUST_USE bool redis_send(struct redis *r, int64_t limit_ms, redis_done *done, void *owner,
                         const struct slice *arguments, size_t count);

/* What a reply is; NULL is none of them. */
static inline bool redis_is_text(const redisReply *r)
{
    return r && r->type == REDIS_REPLY_STRING;
}
static inline bool redis_is_one(const redisReply *r)
{
    return r && r->type == REDIS_REPLY_INTEGER && r->integer == 1;
}
