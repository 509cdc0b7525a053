// SPDX-License-Identifier: EUPL-1.2
/* See the header. What comes back is foreign: each answer has one type that is taken, and each size
 * its limit. */
#include "policy/store_client.h"

#include <assert.h>
#include <inttypes.h>

#include "base/fault.h"
#include "base/map.h"
#include "base/mem.h"

#define LIMIT_S 5
#define DRAFTS "belfry:drafts"

struct store_client {
    redisContext *redis;
};

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

redisReply *store_ask(struct store_client *c, const struct slice *arguments, int count,
                      struct fault *f)
{
    const char *text[STORE_ARGUMENTS_MAX];
    size_t len[STORE_ARGUMENTS_MAX];
    assert(count <= STORE_ARGUMENTS_MAX);
    for (int i = 0; i < count; i++) {
        text[i] = arguments[i].ptr;
        len[i] = arguments[i].len;
    }
    redisReply *reply = redisCommandArgv(c->redis, count, text, len);
    if (!reply) {
        (void)fault_set(f, FAULT_IO, "the store does not answer: %s", c->redis->errstr);
        return NULL;
    }
    if (reply->type != REDIS_REPLY_ERROR)
        return reply;
    (void)fault_set(f, FAULT_IO, "the store refuses: %.*s", (int)reply->len, reply->str);
    freeReplyObject(reply);
    return NULL;
}

static bool tell(struct store_client *c, const struct slice *arguments, int count, struct fault *f)
{
    redisReply *reply = store_ask(c, arguments, count, f);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

static bool greet(struct store_client *c, const struct redis_address *a, struct fault *f)
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

struct store_client *store_open(const struct redis_address *address, struct fault *f)
{
    redisContext *redis = open_connection(address, f);
    if (!redis)
        return NULL;
    struct store_client *c = mem_new(struct store_client);
    c->redis = redis;
    if (greet(c, address, f))
        return c;
    store_close(c);
    return NULL;
}

void store_close(struct store_client *c)
{
    if (!c)
        return;
    redisFree(c->redis);
    mem_free(c);
}

struct slice store_key(char room[STORE_KEY_MAX], const char *prefix, struct slice entity)
{
    const int len = entity.len
                        ? snprintf(room, STORE_KEY_MAX, "%sbundle:%.*s", prefix, SLICE_ARG(entity))
                        : snprintf(room, STORE_KEY_MAX, "%scharter", prefix);
    return slice_from(room, (size_t)len);
}

static bool take_envelope(redisReply *reply, struct slice *out, struct fault *f)
{
    bool is_taken = true;
    if (!reply)
        return false;
    if (reply->type == REDIS_REPLY_NIL)
        *out = mem_slice(SLICE(""));
    else if (reply->type == REDIS_REPLY_STRING && reply->len <= ENVELOPE_MAX_BYTES)
        *out = mem_slice(slice_from(reply->str, reply->len));
    else
        is_taken = fault_set(f, FAULT_TRUST, "the store holds something that is no document");
    freeReplyObject(reply);
    return is_taken;
}

bool store_get(struct store_client *c, enum store_shelf shelf, struct slice entity,
               struct slice *out, struct fault *f)
{
    char room[STORE_KEY_MAX];
    if (shelf == STORE_DOCUMENT)
        return take_envelope(
            store_ask(c, (struct slice[]){SLICE("GET"), store_key(room, "belfry:", entity)}, 2, f),
            out, f);
    return take_envelope(
        store_ask(c, (struct slice[]){SLICE("HGET"), SLICE(DRAFTS), store_key(room, "", entity)}, 3,
                  f),
        out, f);
}

bool store_get_old(struct store_client *c, struct slice entity, uint32_t i, struct slice *out,
                   struct fault *f)
{
    char room[STORE_KEY_MAX], number[16];
    const struct slice key = store_key(room, "belfry:history:", entity);
    const int len = snprintf(number, sizeof(number), "%" PRIu32, i);
    return take_envelope(
        store_ask(c, (struct slice[]){SLICE("LINDEX"), key, slice_from(number, (size_t)len)}, 3, f),
        out, f);
}

/* Two who sign at one time must not undo each other. */
static const char put_script[] =
    "if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end\n"
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])\n"
    "return 1\n";

bool store_put_draft(struct store_client *c, struct slice entity, struct slice old,
                     struct slice draft, struct fault *f)
{
    char room[STORE_KEY_MAX];
    redisReply *reply =
        store_ask(c,
                  (struct slice[]){SLICE("EVAL"), slice_from(put_script, sizeof(put_script) - 1),
                                   SLICE("1"), SLICE(DRAFTS), store_key(room, "", entity),
                                   old.len ? old : SLICE(""), draft},
                  7, f);
    if (!reply)
        return false;
    const bool is_put = (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) ||
                        fault_set(f, FAULT_TRUST, "somebody else changed the draft: look again");
    freeReplyObject(reply);
    return is_put;
}

static void note_name(struct map *seen, struct store_names *names, struct slice field)
{
    const struct slice prefix = SLICE("bundle:");
    const struct slice entity = slice_skip(field, prefix.len);
    if (!slice_starts(field, prefix) || !document_name_is_valid(entity) || map_get(seen, entity) ||
        names->count == DOCUMENTS_MAX)
        return;
    memcpy(names->at[names->count], entity.ptr, entity.len);
    (void)map_set(seen, slice_of(names->at[names->count]), names);
    names->count++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool note_names(struct store_client *c, struct slice hash, struct map *seen,
                       struct store_names *out, struct fault *f)
{
    redisReply *reply = store_ask(c, (struct slice[]){SLICE("HKEYS"), hash}, 2, f);
    if (!reply)
        return false;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_STRING)
            note_name(seen, out, slice_from(reply->element[i]->str, reply->element[i]->len));
    freeReplyObject(reply);
    return true;
}

bool store_list(struct store_client *c, struct store_names *out, struct fault *f)
{
    struct map seen;
    struct store_names names = {.at = mem_zero(DOCUMENTS_MAX, sizeof(*out->at))};
    map_init(&seen);
    const bool is_listed = note_names(c, SLICE("belfry:serials"), &seen, &names, f) &&
                           note_names(c, SLICE(DRAFTS), &seen, &names, f);
    map_fini(&seen);
    if (!is_listed) {
        mem_free(names.at);
        return false;
    }
    qsort(names.at, names.count, sizeof(*names.at), by_name);
    *out = names;
    return true;
}
