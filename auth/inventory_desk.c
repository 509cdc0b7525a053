// SPDX-License-Identifier: EUPL-1.2
/* One `known` for each device that a worker has met within a day. What the store does not answer
 * stays as it was; what it gives is opened (auth/vault.h), must be about this very device, and is
 * never older than what is known.
 * Owns: what is known, when it is asked for. Does not own: the form of a record, nor the seal. */
#include "auth/inventory_desk.h"

#include "auth/wish.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/secret.h"

#define COMMAND_LIMIT_MS 800 /* an exchange waits a little longer */
#define KNOWN_MAX 16384
#define KNOWN_S 86400    /* since a worker asked for it */
#define AGAIN_S 30       /* without any news: a change whose event was lost is seen by then */
#define AGAIN_A_TICK 256 /* so many in a second */
#define ASKED_AT_ONCE 64 /* more are not opened in time, and what is late ends the connection */
#define BUCKETS 1024

struct inventory_desk {
    struct loop *loop;
    struct redis *redis;
    struct metrics *metrics;
    struct inventory_hooks hooks;
    struct keyring *keys; /* NULL before the first */
    struct link all;      /* the ones asked for longest ago first */
    struct link buckets[BUCKETS];
    uint32_t count;
    ev_timer tick;
    uint64_t number;
    struct later publish; /* once a turn: an import tells of thousands */
    bool has_news;
    struct link told; /* wishes that wait for the table alone */
    struct link due;  /* those that are to be asked about; who is waited for comes first */
    uint32_t asked;   /* questions under way */
};

struct known {
    struct link link;
    struct link in_bucket;
    struct link due;
    struct inventory_desk *desk;
    uint8_t key[32];
    char *entity;
    char *id;
    enum inventory_answer answer;
    struct inventory_record *record; /* with LISTED */
    int64_t version;                 /* the highest that was seen */
    bool is_asking;                  /* or due */
    bool must_ask_again;             /* news came while it was under way */
    int64_t asked_s;
    int64_t wanted_s;
    struct link wishes;
};

static void ask(struct known *k);
static void ask_due(struct inventory_desk *d);

/* Who waits for it hears of it when the table is out. */
static void wishes_tell(struct inventory_desk *d, struct link *wishes)
{
    if (!link_is_in(&d->publish.link)) {
        wishes_answer(wishes);
        return;
    }
    list_move(wishes, &d->told);
}

static void known_free(struct known *k)
{
    link_remove(&k->link);
    link_remove(&k->in_bucket);
    link_remove(&k->due);
    k->desk->count--;
    wishes_drop(&k->wishes);
    inventory_record_unref(k->record);
    mem_free(k->entity);
    mem_free(k->id);
    mem_free(k);
}

static void publish(struct later *later)
{
    struct inventory_desk *d = container_of(later, struct inventory_desk, publish);
    const bool is_news = d->has_news;
    struct inventory_entry *entries = mem_array(struct inventory_entry, (size_t)d->count + 1);
    uint32_t count = 0;
    list_each (at, &d->all) {
        const struct known *k = container_of(at, struct known, link);
        if (k->answer == INVENTORY_UNKNOWN)
            continue;
        memcpy(entries[count].key, k->key, sizeof k->key);
        entries[count++].record = k->record;
    }
    struct inventory *table = inventory_new(++d->number, entries, count);
    mem_free(entries);
    metric_set(d->metrics, METRIC_INVENTORY_KNOWN, count);
    d->has_news = false;
    d->hooks.changed(d->hooks.owner, table, is_news);
    wishes_answer(&d->told);
}

static void learn(struct known *k, enum inventory_answer answer, struct inventory_record *take)
{
    const bool was_known = k->answer != INVENTORY_UNKNOWN;
    const bool is_same = answer == k->answer && (!take || take->version == k->record->version);
    if (is_same) {
        inventory_record_unref(take);
        return;
    }
    inventory_record_unref(k->record);
    k->record = take;
    k->answer = answer;
    if (take)
        k->version = take->version;
    k->desk->has_news |= was_known;
    loop_later(k->desk->loop, &k->desk->publish);
}

/* NULL: it is none of ours, is about another device, or is an earlier one. */
static struct inventory_record *open_record(const struct known *k, struct slice sealed)
{
    char name[VAULT_NAME_ROOM];
    struct buf plain;
    struct inventory_record *r = NULL;
    buf_init(&plain, INVENTORY_RECORD_MAX_BYTES);
    if (inventory_field_name(k->desk->keys, slice_of(k->entity), slice_of(k->id), name) &&
        vault_open(k->desk->keys, VAULT_DEVICE, slice_of(name), sealed, &plain))
        r = inventory_record_parse(buf_slice(&plain));
    if (r && (!slice_eq(r->id, slice_of(k->id)) || r->version < k->version)) {
        inventory_record_unref(r);
        r = NULL;
    }
    buf_fini(&plain);
    if (!r)
        log_warning("store",
                    "the inventory's record of device '%s' of '%s' is not ours, or an earlier one: "
                    "it does not count",
                    k->id, k->entity);
    return r;
}

static void on_reply(void *owner, const redisReply *reply)
{
    struct known *k = owner;
    const bool must_ask_again = k->must_ask_again;
    k->is_asking = k->must_ask_again = false;
    k->desk->asked--;
    if (reply && reply->type == REDIS_REPLY_NIL) {
        learn(k, INVENTORY_UNLISTED, NULL);
    } else if (reply && reply->type == REDIS_REPLY_STRING) {
        struct inventory_record *r = open_record(k, slice_from(reply->str, (size_t)reply->len));
        if (r)
            learn(k, INVENTORY_LISTED, r);
    }
    if (must_ask_again)
        ask(k);
    if (!k->is_asking)
        wishes_tell(k->desk, &k->wishes);
    ask_due(k->desk);
}

static bool ask_now(struct known *k)
{
    struct inventory_desk *d = k->desk;
    char hash[VAULT_NAME_ROOM];
    char field[VAULT_NAME_ROOM];
    const struct slice entity = slice_of(k->entity);
    k->asked_s = loop_wall(d->loop).s;
    if (!d->keys || !inventory_hash_name(d->keys, entity, hash) ||
        !inventory_field_name(d->keys, entity, slice_of(k->id), field))
        return false;
    const struct slice command[] = {SLICE("HGET"), slice_of(hash), slice_of(field)};
    return redis_send(d->redis, COMMAND_LIMIT_MS, on_reply, k, command, 3);
}

static void ask_due(struct inventory_desk *d)
{
    while (d->asked < ASKED_AT_ONCE && !list_is_empty(&d->due)) {
        struct known *k = container_of(d->due.next, struct known, due);
        link_remove(&k->due);
        if (ask_now(k)) {
            d->asked++;
            continue;
        }
        k->is_asking = false;
        wishes_tell(d, &k->wishes);
    }
}

static void ask(struct known *k)
{
    struct inventory_desk *d = k->desk;
    if (k->is_asking) {
        k->must_ask_again = !link_is_in(&k->due);
        return;
    }
    k->is_asking = true;
    list_push(k->answer == INVENTORY_UNKNOWN ? d->due.next : &d->due, &k->due);
    ask_due(d);
}

static struct link *bucket_of(struct inventory_desk *d, const uint8_t key[32])
{
    return &d->buckets[((size_t)key[0] << 8 | key[1]) % BUCKETS];
}

static struct known *find(struct inventory_desk *d, const uint8_t key[32])
{
    list_each (at, bucket_of(d, key)) {
        struct known *k = container_of(at, struct known, in_bucket);
        if (!memcmp(k->key, key, sizeof k->key))
            return k;
    }
    return NULL;
}

/* Nothing is under way for it: Redis's answer would come to nobody. */
static void forget_one(struct inventory_desk *d)
{
    list_each (at, &d->all) {
        struct known *k = container_of(at, struct known, link);
        if (k->is_asking)
            continue;
        known_free(k);
        return;
    }
}

static struct known *known_new(struct inventory_desk *d, const uint8_t key[32], struct slice entity,
                               struct slice id)
{
    struct known *k = mem_new(struct known);
    if (d->count >= KNOWN_MAX)
        forget_one(d);
    k->desk = d;
    memcpy(k->key, key, sizeof k->key);
    k->entity = mem_text(entity);
    k->id = mem_text(id);
    list_init(&k->wishes);
    list_push(&d->all, &k->link);
    list_push(bucket_of(d, key), &k->in_bucket);
    d->count++;
    return k;
}

void inventory_desk_want(struct inventory_desk *d, struct slice entity, struct slice id,
                         void (*answered)(void *owner), void *owner)
{
    uint8_t key[32];
    inventory_key(key, entity, id);
    struct known *k = find(d, key);
    if (!k)
        k = known_new(d, key, entity, id);
    k->wanted_s = loop_wall(d->loop).s;
    link_remove(&k->link);
    list_push(&d->all, &k->link);
    if (!k->is_asking && k->answer == INVENTORY_UNKNOWN)
        ask(k);
    if (k->is_asking)
        wish_add(&k->wishes, answered, owner);
    else if (link_is_in(&d->publish.link))
        wish_add(&d->told, answered, owner);
    else
        answered(owner);
}

void inventory_desk_news(struct inventory_desk *d, struct slice entity)
{
    list_each (at, &d->all) {
        struct known *k = container_of(at, struct known, link);
        if (slice_eq(slice_of(k->entity), entity))
            ask(k);
    }
}

static void on_tick(struct ev_loop *ev, ev_timer *tick, int events)
{
    struct inventory_desk *d = tick->data;
    const int64_t now_s = loop_wall(d->loop).s;
    uint32_t asked = 0;
    (void)ev, (void)events;
    for (struct link *at = d->all.next, *next; at != &d->all; at = next) {
        struct known *k = container_of(at, struct known, link);
        next = at->next;
        if (k->is_asking)
            continue;
        if (now_s - k->wanted_s > KNOWN_S)
            known_free(k);
        else if (now_s - k->asked_s >= AGAIN_S && asked < AGAIN_A_TICK && ++asked)
            ask(k);
    }
}

void inventory_desk_follow(struct inventory_desk *d, struct keyring *k)
{
    (void)keyring_ref(k);
    keyring_unref(d->keys);
    d->keys = k;
}

struct inventory_desk *inventory_desk_new(struct loop *l, struct redis *redis, struct metrics *m,
                                          struct inventory_hooks hooks)
{
    struct inventory_desk *d = mem_new(struct inventory_desk);
    d->loop = l;
    d->redis = redis;
    d->metrics = m;
    d->hooks = hooks;
    d->publish.run = publish;
    list_init(&d->all);
    list_init(&d->told);
    list_init(&d->due);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&d->buckets[i]);
    ev_timer_init(&d->tick, on_tick, 1., 1.);
    d->tick.data = d;
    ev_timer_start(l->ev, &d->tick);
    return d;
}

void inventory_desk_free(struct inventory_desk *d)
{
    if (!d)
        return;
    ev_timer_stop(d->loop->ev, &d->tick);
    later_cancel(&d->publish);
    wishes_drop(&d->told);
    while (!list_is_empty(&d->all))
        known_free(container_of(d->all.next, struct known, link));
    keyring_unref(d->keys);
    mem_free(d);
}
