// SPDX-License-Identifier: EUPL-1.2
/* One command of Redis each. What is under way lies in a list, so that the end of the desk ends it
 * without a callback; answers that come for it afterwards come to nobody, since the connection is
 * gone first. */
#include "auth/records.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/secret.h"

#define COMMAND_LIMIT_MS                                                                           \
    2000 /* an exchange waits three seconds; a store that is slower is away                        \
          */

struct records {
    struct loop *loop;
    struct redis *redis;
    struct keyring *keys;
    struct link under_way; /* of struct asked */
};

/* One question to the store. */
struct asked {
    struct link link;
    struct records *records;
    enum vault_purpose purpose;
    char name[VAULT_NAME_ROOM];
    record_done *done;
    void *owner;
};

struct records *records_new(struct loop *l, struct redis *redis)
{
    struct records *r = mem_new(struct records);
    r->loop = l;
    r->redis = redis;
    list_init(&r->under_way);
    return r;
}

static void asked_free(struct asked *a)
{
    link_remove(&a->link);
    mem_free(a);
}

void records_free(struct records *r)
{
    if (!r)
        return;
    while (!list_is_empty(&r->under_way))
        asked_free(container_of(r->under_way.next, struct asked, link));
    keyring_unref(r->keys);
    mem_free(r);
}

void records_follow(struct records *r, struct keyring *k)
{
    keyring_ref(k);
    keyring_unref(r->keys);
    r->keys = k;
}

struct keyring *records_keys(const struct records *r)
{
    return r->keys;
}

/* Says it, and forgets the question: the callback may ask the next. */
static void answer(struct asked *a, enum record_answer answer, struct slice plain)
{
    record_done *done = a->done;
    void *owner = a->owner;
    asked_free(a);
    done(owner, answer, plain);
}

static struct asked *ask(struct records *r, enum vault_purpose purpose, record_done *done,
                         void *owner)
{
    struct asked *a = mem_new(struct asked);
    a->records = r;
    a->purpose = purpose;
    a->done = done;
    a->owner = owner;
    list_push(&r->under_way, &a->link);
    return a;
}

/* The command is sent, or the answer is that the store is away. */
static void send_or_say(struct asked *a, redis_done *on_reply, const struct slice *arguments,
                        size_t count)
{
    if (!redis_send(a->records->redis, COMMAND_LIMIT_MS, on_reply, a, arguments, count))
        answer(a, RECORD_AWAY, SLICE(""));
}

static bool name_it(struct asked *a, struct slice entity, struct slice id)
{
    return a->records->keys && redis_is_up(a->records->redis) &&
           vault_name(a->records->keys, a->purpose, entity, id, a->name);
}

/* ---- writing ---- */

/* SET ... NX says OK, or nil where there is one. */
static void on_set(void *owner, const redisReply *reply)
{
    struct asked *a = owner;
    const bool is_written = reply && reply->type == REDIS_REPLY_STATUS;
    const bool was_there = reply && reply->type == REDIS_REPLY_NIL;
    answer(a, is_written ? RECORD_DONE : was_there ? RECORD_NONE : RECORD_AWAY, SLICE(""));
}

static void set_new(struct asked *a, struct slice value, int64_t life_ms)
{
    char ms[24];
    const int len = snprintf(ms, sizeof ms, "%" PRId64, life_ms);
    send_or_say(a, on_set,
                (struct slice[]){SLICE("SET"), slice_of(a->name), value, SLICE("PX"),
                                 slice_from(ms, (size_t)len), SLICE("NX")},
                6);
}

void record_put(struct records *r, enum vault_purpose purpose, struct slice entity, struct slice id,
                struct slice plain, int64_t life_ms, record_done *done, void *owner)
{
    struct asked *a = ask(r, purpose, done, owner);
    struct buf sealed;
    buf_init(&sealed, RECORD_MAX_BYTES + VAULT_OVERHEAD);
    if (name_it(a, entity, id) && life_ms > 0 &&
        vault_seal(r->keys, purpose, slice_of(a->name), plain, loop_wall(r->loop), &sealed))
        set_new(a, buf_slice(&sealed), life_ms);
    else
        answer(a, RECORD_AWAY, SLICE(""));
    buf_fini(&sealed);
}

void record_mark(struct records *r, struct slice entity, struct slice id, int64_t life_ms,
                 record_done *done, void *owner)
{
    struct asked *a = ask(r, VAULT_MARK, done, owner);
    if (name_it(a, entity, id) && life_ms > 0)
        set_new(a, SLICE("1"), life_ms);
    else
        answer(a, RECORD_AWAY, SLICE(""));
}

/* ---- reading ---- */

static void on_read(void *owner, const redisReply *reply)
{
    struct asked *a = owner;
    struct buf plain;
    if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_NIL)) {
        answer(a, RECORD_AWAY, SLICE(""));
        return;
    }
    buf_init(&plain, RECORD_MAX_BYTES);
    if (reply->type == REDIS_REPLY_STRING &&
        vault_open(a->records->keys, a->purpose, slice_of(a->name),
                   slice_from(reply->str, reply->len), &plain))
        answer(a, RECORD_DONE, buf_slice(&plain));
    else
        answer(a, RECORD_NONE, SLICE(""));
    if (plain.ptr)
        wipe(plain.ptr, plain.room);
    buf_fini(&plain);
}

static void read_by(struct records *r, struct slice command, enum vault_purpose purpose,
                    struct slice entity, struct slice id, record_done *done, void *owner)
{
    struct asked *a = ask(r, purpose, done, owner);
    if (name_it(a, entity, id))
        send_or_say(a, on_read, (struct slice[]){command, slice_of(a->name)}, 2);
    else
        answer(a, RECORD_AWAY, SLICE(""));
}

void record_get(struct records *r, enum vault_purpose purpose, struct slice entity, struct slice id,
                record_done *done, void *owner)
{
    read_by(r, SLICE("GET"), purpose, entity, id, done, owner);
}

void record_take(struct records *r, enum vault_purpose purpose, struct slice entity,
                 struct slice id, record_done *done, void *owner)
{
    read_by(r, SLICE("GETDEL"), purpose, entity, id, done, owner);
}
