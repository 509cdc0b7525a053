// SPDX-License-Identifier: EUPL-1.2
/* Publishing, for the command line: one connection, one script, one answer. The script is the only
 * writer of documents; it changes the object, its serial and the event together, or nothing. */
#include <inttypes.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "policy/store.h"

#define LIMIT_S 5

/* The event's number is taken and the event added before the document: should the stream's key be
 * of a wrong type, the script ends there, and what gateways see is a gap, which makes them read all
 * again. */
static const char script[] =
    "local serial = tonumber(ARGV[2])\n"
    "local old = redis.call('HGET', KEYS[2], ARGV[1])\n"
    "if old and not (tonumber(old) and serial > tonumber(old)) then return 'old ' .. old end\n"
    "redis.call('SET', KEYS[3], ARGV[4], 'NX')\n"
    "local epoch = redis.call('GET', KEYS[3])\n"
    "local n = redis.call('INCR', KEYS[4])\n"
    "redis.call('XADD', KEYS[5], 'MAXLEN', '1000', '*', 'epoch', epoch, 'n', n,\n"
    "           'kind', ARGV[5], 'entity', ARGV[6], 'serial', ARGV[2])\n"
    "redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])\n"
    "redis.call('SET', KEYS[1], ARGV[3])\n"
    "return n\n";

static redisContext *open_connection(const struct redis_address *a, struct fault *f)
{
    const struct timeval limit = {.tv_sec = LIMIT_S};
    redisContext *c = a->path[0] ? redisConnectUnixWithTimeout(a->path, limit)
                                 : redisConnectWithTimeout(a->host, a->port, limit);
    if (!c) {
        (void)fault_set(f, FAULT_INTERNAL, "no memory for a connection");
        return NULL;
    }
    if (!c->err && redisSetTimeout(c, limit) == REDIS_OK)
        return c;
    (void)fault_set(f, FAULT_IO, "cannot connect to the store: %s", c->errstr);
    redisFree(c);
    return NULL;
}

/* The reply, or NULL with a fault where there is none or it is an error. */
static redisReply *ask(redisContext *c, const struct slice *arguments, int count, struct fault *f)
{
    const char *text[16];
    size_t len[16];
    for (int i = 0; i < count; i++) {
        text[i] = arguments[i].ptr;
        len[i] = arguments[i].len;
    }
    redisReply *reply = redisCommandArgv(c, count, text, len);
    if (!reply) {
        (void)fault_set(f, FAULT_IO, "the store does not answer: %s", c->errstr);
        return NULL;
    }
    if (reply->type != REDIS_REPLY_ERROR)
        return reply;
    (void)fault_set(f, FAULT_IO, "the store refuses: %.*s", (int)reply->len, reply->str);
    freeReplyObject(reply);
    return NULL;
}

static bool tell(redisContext *c, const struct slice *arguments, int count, struct fault *f)
{
    redisReply *reply = ask(c, arguments, count, f);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

static bool greet(redisContext *c, const struct redis_address *a, struct fault *f)
{
    char database[16];
    const int len = snprintf(database, sizeof(database), "%" PRIu32, a->database);
    if (a->username.len &&
        !tell(c, (struct slice[]){SLICE("AUTH"), a->username, a->password}, 3, f))
        return false;
    if (!a->username.len && a->password.len &&
        !tell(c, (struct slice[]){SLICE("AUTH"), a->password}, 2, f))
        return false;
    return !a->database ||
           tell(c, (struct slice[]){SLICE("SELECT"), slice_from(database, (size_t)len)}, 2, f);
}

static bool take_answer(const redisReply *reply, int64_t serial, uint64_t *n, struct fault *f)
{
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer > 0) {
        *n = (uint64_t)reply->integer;
        return true;
    }
    if (reply->type == REDIS_REPLY_STRING && slice_starts(slice_of(reply->str), SLICE("old ")))
        return fault_set(f, FAULT_TRUST,
                         "serial %" PRId64 " is not higher than the one in the store, '%s'", serial,
                         reply->str + 4);
    return fault_set(f, FAULT_IO, "the store gives an answer that has no meaning");
}

static bool publish(redisContext *c, enum document_kind kind, struct slice entity, int64_t serial,
                    struct slice envelope, uint64_t *n, struct fault *f)
{
    uint8_t random[16];
    char epoch[32];
    char key[ENTITY_ID_MAX + 32];
    char number[24];
    entropy_bytes(random, sizeof(random));
    hex_encode(epoch, random, sizeof(random));
    const struct slice field_prefix = SLICE("belfry:");
    const bool is_charter = kind == DOCUMENT_CHARTER;
    const int key_len =
        snprintf(key, sizeof(key), is_charter ? "belfry:charter%.*s" : "belfry:bundle:%.*s",
                 SLICE_ARG(entity));
    const int number_len = snprintf(number, sizeof(number), "%" PRId64, serial);
    const struct slice object = slice_from(key, (size_t)key_len);
    const struct slice arguments[] = {
        SLICE("EVAL"),
        slice_from(script, sizeof(script) - 1),
        SLICE("5"),
        object,
        SLICE("belfry:serials"),
        SLICE("belfry:epoch"),
        SLICE("belfry:count"),
        SLICE("belfry:events"),
        slice_skip(object, field_prefix.len),
        slice_from(number, (size_t)number_len),
        envelope,
        slice_from(epoch, sizeof(epoch)),
        is_charter ? SLICE("charter") : SLICE("bundle"),
        entity,
    };
    redisReply *reply = ask(c, arguments, sizeof(arguments) / sizeof(arguments[0]), f);
    const bool is_published = reply && take_answer(reply, serial, n, f);
    if (reply)
        freeReplyObject(reply);
    return is_published;
}

bool store_publish(const struct redis_address *address, enum document_kind kind,
                   struct slice entity, int64_t serial, struct slice envelope, uint64_t *n,
                   struct fault *f)
{
    if (kind == DOCUMENT_CHARTER ? entity.len != 0 : !entity_id_is_valid(entity))
        return fault_set(f, FAULT_CONFIG, "'%.*s' is no entity's id", SLICE_ARG(entity));
    if (serial < 1 || serial > SERIAL_MAX)
        return fault_set(f, FAULT_CONFIG, "a serial must be from 1 to 2^53");
    if (!envelope.len || envelope.len > ENVELOPE_MAX_BYTES)
        return fault_set(f, FAULT_LIMIT, "a document of more than %u bytes", DOCUMENT_MAX_BYTES);
    if (!entity.len)
        entity = SLICE("");
    redisContext *c = open_connection(address, f);
    if (!c)
        return false;
    const bool is_published =
        greet(c, address, f) && publish(c, kind, entity, serial, envelope, n, f);
    redisFree(c);
    return is_published;
}
