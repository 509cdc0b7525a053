// SPDX-License-Identifier: EUPL-1.2
/* Publishing, for the command line: one script, one answer. The script is the only writer of
 * documents; it changes the object, its serial and the event together, or nothing. */
#include <inttypes.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "policy/store_client.h"

/* The event's number is taken and the event added before the document: should the stream's key be
 * of a wrong type, the script ends there, and what gateways see is a gap, which makes them read all
 * again. What only people work with comes last, and may fail. */
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
    "redis.pcall('HDEL', KEYS[6], ARGV[1])\n"
    "redis.pcall('LPUSH', KEYS[7], ARGV[3])\n"
    "redis.pcall('LTRIM', KEYS[7], 0, ARGV[7] - 1)\n"
    "return n\n";

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

bool store_publish(struct store_client *c, enum document_kind kind, struct slice entity,
                   int64_t serial, struct slice envelope, uint64_t *n, struct fault *f)
{
    uint8_t random[16];
    char epoch[32], object[STORE_KEY_MAX], history[STORE_KEY_MAX], field[STORE_KEY_MAX];
    char number[24], most[12];
    if (kind == DOCUMENT_CHARTER ? entity.len != 0 : !document_name_is_valid(entity))
        return fault_set(f, FAULT_CONFIG, "'%.*s' is no entity's id", SLICE_ARG(entity));
    if (serial < 1 || serial > SERIAL_MAX)
        return fault_set(f, FAULT_CONFIG, "a serial must be from 1 to 2^53");
    if (!envelope.len || envelope.len > ENVELOPE_MAX_BYTES)
        return fault_set(f, FAULT_LIMIT, "a document of more than %u bytes", DOCUMENT_MAX_BYTES);
    entropy_bytes(random, sizeof(random));
    hex_encode(epoch, random, sizeof(random));
    const int number_len = snprintf(number, sizeof(number), "%" PRId64, serial);
    const int most_len = snprintf(most, sizeof(most), "%d", STORE_HISTORY);
    const struct slice arguments[] = {
        SLICE("EVAL"),
        slice_from(script, sizeof(script) - 1),
        SLICE("7"),
        store_key(object, "belfry:", entity),
        SLICE("belfry:serials"),
        SLICE("belfry:epoch"),
        SLICE("belfry:count"),
        SLICE("belfry:events"),
        SLICE("belfry:drafts"),
        store_key(history, "belfry:history:", entity),
        store_key(field, "", entity),
        slice_from(number, (size_t)number_len),
        envelope,
        slice_from(epoch, sizeof(epoch)),
        kind == DOCUMENT_CHARTER ? SLICE("charter") : SLICE("bundle"),
        entity.len ? entity : SLICE(""),
        slice_from(most, (size_t)most_len),
    };
    redisReply *reply = store_ask(c, arguments, sizeof(arguments) / sizeof(arguments[0]), f);
    const bool is_published = reply && take_answer(reply, serial, n, f);
    if (reply)
        freeReplyObject(reply);
    return is_published;
}
