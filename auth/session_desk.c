// SPDX-License-Identifier: EUPL-1.2
/* Every question is a struct asking, from its first command to its answer. A record is replaced
 * only where it still is, byte for byte, the one that was read: each sealing has a salt of its own,
 * so the bytes are the version. */
#include "auth/session_desk.h"

#include <inttypes.h>

#include "auth/recency.h"
#include "auth/session_ends.h"
#include "base/codec.h"
#include "base/entropy.h"
#include "base/mem.h"
#include "base/secret.h"
#include "policy/serials.h"

#define COMMAND_LIMIT_MS 2000 /* as in records.c */
#define TRIES 4               /* of a change that others overtake */
#define REFRESH_LOOK_MS 200   /* how often it is looked whether the other gateway is through */

struct session_desk {
    struct records *records;
    struct revocation_desk *revocations;
    struct loop *loop;
    struct redis *redis;
    struct metrics *metrics;
    struct recency *seen;  /* at this gateway: handle → when */
    struct link under_way; /* of struct asking */
};

struct asking {
    struct link link;
    struct session_desk *desk;
    char name[VAULT_NAME_ROOM];     /* of the record, or of what else is asked for */
    char entity[ENTITY_ID_MAX + 1]; /* whose it must be */
    struct session *session;        /* what is written, or ended, or refreshed */
    struct session_changed changed;
    struct facts_device device;
    struct arena arena; /* what `changed` points to */
    struct buf old;     /* the record as it was read */
    uint32_t tries;
    ev_timer look;
    struct mono until;
    session_done *done;
    session_list_done *list_done;
    void *owner;
};

struct session_desk *session_desk_new(struct loop *l, struct redis *redis, struct records *records,
                                      struct revocation_desk *revocations, struct metrics *m)
{
    struct session_desk *d = mem_new(struct session_desk);
    d->loop = l;
    d->redis = redis;
    d->records = records;
    d->revocations = revocations;
    d->metrics = m;
    d->seen = recency_new();
    list_init(&d->under_way);
    return d;
}

static void wipe_buf(struct buf *b)
{
    if (b->ptr)
        wipe(b->ptr, b->room);
    buf_fini(b);
}

static void asking_free(struct asking *a)
{
    ev_timer_stop(a->desk->loop->ev, &a->look);
    link_remove(&a->link);
    session_unref(a->session);
    arena_wipe_fini(&a->arena); /* the provider's tokens */
    buf_fini(&a->old);
    mem_free(a);
}

void session_desk_free(struct session_desk *d)
{
    if (!d)
        return;
    while (!list_is_empty(&d->under_way))
        asking_free(container_of(d->under_way.next, struct asking, link));
    recency_free(d->seen);
    mem_free(d);
}

static struct asking *ask(struct session_desk *d, struct slice entity, session_done *done,
                          void *owner)
{
    struct asking *a = mem_new(struct asking);
    a->desk = d;
    a->done = done;
    a->owner = owner;
    arena_init(&a->arena, NULL);
    buf_init(&a->old, RECORD_MAX_BYTES + VAULT_OVERHEAD);
    if (entity.len < sizeof a->entity)
        memcpy(a->entity, entity.ptr, entity.len);
    list_push(&d->under_way, &a->link);
    return a;
}

static void answer(struct asking *a, enum session_answer what, struct session *take)
{
    session_done *done = a->done;
    void *owner = a->owner;
    asking_free(a);
    done(owner, what, take);
}

static void send_or_say(struct asking *a, redis_done *on_reply, const struct slice *arguments,
                        size_t count)
{
    if (!redis_send(a->desk->redis, COMMAND_LIMIT_MS, on_reply, a, arguments, count))
        answer(a, SESSION_AWAY, NULL);
}

static bool is_ready(const struct session_desk *d)
{
    const struct keyring *k = records_keys(d->records);
    return k && vault_is_open(k) && redis_is_up(d->redis);
}

static struct slice handle_of(const char *name)
{
    return slice_skip(slice_of(name), sizeof SESSION_NAME_PREFIX - 1);
}

/* How long the store keeps the record from now on. Of who is idle only a gateway knows: the store
 * may be away from us for longer than that, and people go on meanwhile. */
static int64_t life_ms(const struct session *s, struct wall now)
{
    return (s->ends.s - now.s + SESSION_AFTERLIFE_S) * 1000;
}

static struct slice number(char room[24], int64_t n)
{
    return slice_from(room, (size_t)snprintf(room, 24, "%" PRId64, n));
}

static bool seal(struct session_desk *d, const char *name, const struct session *s, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, SESSION_MAX_BYTES);
    const bool is_sealed = session_print(s, &plain) &&
                           vault_seal(records_keys(d->records), VAULT_SESSION, slice_of(name),
                                      buf_slice(&plain), loop_wall(d->loop), out);
    wipe_buf(&plain);
    return is_sealed;
}

struct wall session_desk_seen(const struct session_desk *d, const struct session *s)
{
    return (struct wall){recency_of(d->seen, s->handle)};
}

/* NULL: not ours, not whole, of another entity (where one is asked for), over, or revoked. */
static struct session *open_record(struct session_desk *d, const char *name, const char *entity,
                                   struct slice sealed)
{
    const struct wall now = loop_wall(d->loop);
    struct session *s = session_open(records_keys(d->records), name, sealed);
    if (!s || (slice_eq(s->entity, slice_of(entity)) &&
               !session_is_over(s, session_desk_seen(d, s), now) &&
               !revocations_session(revocation_desk_table(d->revocations), s, now)))
        return s;
    session_unref(s);
    return NULL;
}

/* ---- create ---- */

/* The record, its name in the list of the person's sessions, of which only so many are kept, and in
 * the index of all. */
static const char create_script[] =
    "if not redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return 0 end\n"
    "redis.call('ZADD', KEYS[3], ARGV[8], ARGV[5])\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])\n"
    "redis.call('ZADD', KEYS[2], ARGV[4], ARGV[5])\n"
    "redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[6]))\n"
    "redis.call('PEXPIRE', KEYS[2], ARGV[7])\n"
    "return 1\n";

static bool list_name(const struct session_desk *d, struct slice entity, struct slice user,
                      char out[VAULT_NAME_ROOM])
{
    char id[1024];
    const int len = snprintf(id, sizeof id, "user:%.*s", SLICE_ARG(user));
    return len > 0 && (size_t)len < sizeof id &&
           vault_name(records_keys(d->records), VAULT_SESSION, entity, slice_from(id, (size_t)len),
                      out);
}

static void on_created(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    if (!reply || reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) {
        answer(a, SESSION_AWAY, NULL);
        return;
    }
    metric_add(a->desk->metrics, METRIC_SESSIONS_CREATED_TOTAL, 1);
    answer(a, SESSION_HERE, session_ref(a->session));
}

static bool begin_session(struct asking *a, const struct session_start *start,
                          const char id[SESSION_ID_CHARS + 1])
{
    struct session_desk *d = a->desk;
    if (!is_ready(d) || !session_name(records_keys(d->records), start->entity,
                                      slice_from(id, SESSION_ID_CHARS), a->name))
        return false;
    a->session =
        session_begin(start, handle_of(a->name), records_keys(d->records), loop_wall(d->loop));
    if (a->session)
        a->session->revoked_until = start->revoked_until;
    return a->session != NULL;
}

void session_desk_create(struct session_desk *d, const struct session_start *start,
                         char id_out[SESSION_ID_CHARS + 1], session_done *done, void *owner)
{
    struct asking *a = ask(d, start->entity, done, owner);
    uint8_t random[SESSION_ID_BYTES];
    char list[VAULT_NAME_ROOM], life[24], now[24], ends[24], most[24], longest[24], due[24];
    struct buf sealed;
    entropy_bytes(random, sizeof random);
    id_out[base64url_encode(id_out, random, sizeof random)] = '\0';
    wipe(random, sizeof random);
    buf_init(&sealed, RECORD_MAX_BYTES + VAULT_OVERHEAD);
    const struct wall wall = loop_wall(d->loop);
    if (begin_session(a, start, id_out) && list_name(d, start->entity, a->session->user.id, list) &&
        seal(d, a->name, a->session, &sealed))
        send_or_say(
            a, on_created,
            (struct slice[]){SLICE("EVAL"), slice_from(create_script, sizeof create_script - 1),
                             SLICE("3"), slice_of(a->name), slice_of(list), SLICE(SESSION_INDEX),
                             buf_slice(&sealed), number(life, life_ms(a->session, wall)),
                             number(now, wall.s), number(ends, a->session->ends.s),
                             a->session->handle, number(most, SESSION_LIST_MAX),
                             number(longest, (int64_t)SESSION_LIFE_MAX_S * 1000),
                             number(due, session_due(a->session, (struct wall){0}).s)},
            14);
    else
        answer(a, SESSION_AWAY, NULL);
    buf_fini(&sealed);
}

/* ---- load ---- */

/* HERE with a session, or NONE, or AWAY. */
static enum session_answer read_reply(struct asking *a, const redisReply *reply,
                                      struct session **out)
{
    *out = NULL;
    if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_NIL))
        return SESSION_AWAY;
    if (reply->type == REDIS_REPLY_STRING)
        *out = open_record(a->desk, a->name, a->entity, slice_from(reply->str, reply->len));
    return *out ? SESSION_HERE : SESSION_NONE;
}

static void on_found(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    struct session *s;
    const enum session_answer what = read_reply(a, reply, &s);
    answer(a, what, s);
}

static void on_loaded(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    struct session *s;
    const enum session_answer what = read_reply(a, reply, &s);
    if (what == SESSION_NONE && reply->type == REDIS_REPLY_STRING)
        s = session_open(records_keys(a->desk->records), a->name,
                         slice_from(reply->str, reply->len));
    if (s && !slice_eq(s->entity, slice_of(a->entity))) {
        session_unref(s);
        s = NULL;
    }
    answer(a, what, s);
}

static void get(struct asking *a, redis_done *on_reply)
{
    send_or_say(a, on_reply, (struct slice[]){SLICE("GET"), slice_of(a->name)}, 2);
}

void session_desk_load(struct session_desk *d, struct slice entity, struct slice id,
                       session_done *done, void *owner)
{
    struct asking *a = ask(d, entity, done, owner);
    metric_add(d->metrics, METRIC_SESSION_LOADS_TOTAL, 1);
    if (!session_id_is_valid(id))
        answer(a, SESSION_NONE, NULL);
    else if (is_ready(d) && session_name(records_keys(d->records), entity, id, a->name))
        get(a, on_loaded);
    else
        answer(a, SESSION_AWAY, NULL);
}

/* Handles look like ids, and their names are made of them. */
static bool name_of_handle(struct asking *a, struct slice handle)
{
    return session_id_is_valid(handle) &&
           snprintf(a->name, sizeof a->name, SESSION_NAME_PREFIX "%.*s", SLICE_ARG(handle)) > 0;
}

void session_desk_find(struct session_desk *d, struct slice entity, struct slice handle,
                       session_done *done, void *owner)
{
    struct asking *a = ask(d, entity, done, owner);
    if (!name_of_handle(a, handle))
        answer(a, SESSION_NONE, NULL);
    else if (is_ready(d))
        get(a, on_found);
    else
        answer(a, SESSION_AWAY, NULL);
}

/* ---- change ---- */

static const char change_script[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
                                    "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])\n"
                                    "redis.call('ZADD', KEYS[2], ARGV[4], ARGV[5])\n"
                                    "return 1\n";

static void read_to_change(struct asking *a);
static void unlock(struct session_desk *d, const struct session *s);

static void on_changed(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    const bool is_told = reply && reply->type == REDIS_REPLY_INTEGER;
    if (is_told && reply->integer == 1) {
        if (a->changed.what == SESSION_REFRESHED || a->changed.what == SESSION_NOT_REFRESHED)
            unlock(a->desk, a->session);
        answer(a, a->changed.what == SESSION_REFRESHING ? SESSION_OURS : SESSION_HERE,
               session_ref(a->session));
    } else if (is_told && ++a->tries < TRIES) {
        read_to_change(a);
    } else {
        answer(a, SESSION_AWAY, NULL);
    }
}

static void write_change(struct asking *a, struct session *take)
{
    char life[24], due[24];
    struct buf sealed;
    buf_init(&sealed, RECORD_MAX_BYTES + VAULT_OVERHEAD);
    session_unref(a->session);
    a->session = take;
    if (seal(a->desk, a->name, take, &sealed))
        send_or_say(a, on_changed,
                    (struct slice[]){
                        SLICE("EVAL"), slice_from(change_script, sizeof change_script - 1),
                        SLICE("2"), slice_of(a->name), SLICE(SESSION_INDEX), buf_slice(&a->old),
                        buf_slice(&sealed), number(life, life_ms(take, loop_wall(a->desk->loop))),
                        number(due, session_due(take, session_desk_seen(a->desk, take)).s),
                        take->handle},
                    10);
    else
        answer(a, SESSION_AWAY, NULL);
    buf_fini(&sealed);
}

static void on_read_to_change(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    struct session *s;
    const enum session_answer what = read_reply(a, reply, &s);
    if (what != SESSION_HERE) {
        answer(a, what, NULL);
        return;
    }
    buf_clear(&a->old);
    if (!buf_add(&a->old, slice_from(reply->str, reply->len))) {
        session_unref(s);
        answer(a, SESSION_NONE, NULL);
        return;
    }
    struct session *next = session_with(s, &a->changed, records_keys(a->desk->records));
    const bool is_no_change = a->changed.what == SESSION_SEEN && a->changed.at.s <= s->seen.s;
    if (is_no_change) {
        session_unref(next);
        answer(a, SESSION_HERE, s);
        return;
    }
    session_unref(s);
    if (next)
        write_change(a, next);
    else
        answer(a, SESSION_NONE, NULL);
}

static void read_to_change(struct asking *a)
{
    get(a, on_read_to_change);
}

void session_desk_change(struct session_desk *d, const struct session *s,
                         const struct session_changed *changed, session_done *done, void *owner)
{
    struct asking *a = ask(d, s->entity, done, owner);
    if (changed->what == SESSION_SEEN) /* whatever the store does with it */
        recency_note(d->seen, s->handle, changed->at.s);
    a->changed = *changed;
    a->changed.language = arena_copy(&a->arena, changed->language);
    a->changed.refresh_token = arena_copy(&a->arena, changed->refresh_token);
    if (changed->device) {
        a->device = *changed->device;
        a->device.id = arena_copy(&a->arena, changed->device->id);
        a->changed.device = &a->device; /* of which session_with looks at id and digest */
    }
    if (changed->identity)
        a->changed.identity = session_identity_copy(&a->arena, changed->identity);
    if (is_ready(d) && name_of_handle(a, s->handle))
        read_to_change(a);
    else
        answer(a, SESSION_AWAY, NULL);
}

/* ---- refresh, one at a time ---- */

static bool lock_name(const struct session_desk *d, const struct session *s,
                      char out[VAULT_NAME_ROOM])
{
    char id[16 + SESSION_HANDLE_CHARS];
    const int len = snprintf(id, sizeof id, "refresh:%.*s", SLICE_ARG(s->handle));
    return len > 0 && vault_name(records_keys(d->records), VAULT_MARK, s->entity,
                                 slice_from(id, (size_t)len), out);
}

static void on_unlocked(void *owner, const redisReply *reply)
{
    (void)owner, (void)reply; /* else it ends by itself */
}

static void unlock(struct session_desk *d, const struct session *s)
{
    char name[VAULT_NAME_ROOM];
    if (is_ready(d) && lock_name(d, s, name))
        (void)!redis_send(d->redis, COMMAND_LIMIT_MS, on_unlocked, d,
                          (struct slice[]){SLICE("DEL"), slice_of(name)}, 2);
}

void session_desk_refresh_lost(struct session_desk *d, const struct session *s)
{
    unlock(d, s);
}

static void try_lock(struct asking *a);

static void on_look(EV_P_ ev_timer *timer, int events)
{
    (void)loop, (void)events;
    try_lock(timer->data);
}

/* The record, once it is known who has the lock: it may be new already. */
static void on_looked(struct asking *a, const redisReply *reply, bool is_ours)
{
    struct session *s;
    const enum session_answer what = read_reply(a, reply, &s);
    const bool is_new = s && s->identity->known_at.s > a->session->identity->known_at.s;
    if (what != SESSION_HERE || is_new) {
        if (is_ours)
            unlock(a->desk, a->session);
        answer(a, what, s);
        return;
    }
    session_unref(s);
    if (is_ours) { /* that it is asked is written down before */
        a->changed = (struct session_changed){.what = SESSION_REFRESHING};
        on_read_to_change(a, reply);
        return;
    }
    if (loop_now(a->desk->loop).ms >= a->until.ms) {
        answer(a, SESSION_AWAY, NULL);
        return;
    }
    ev_timer_set(&a->look, (double)REFRESH_LOOK_MS / 1000, 0);
    ev_timer_start(a->desk->loop->ev, &a->look);
}

static void on_looked_ours(void *owner, const redisReply *reply)
{
    on_looked(owner, reply, true);
}

static void on_looked_theirs(void *owner, const redisReply *reply)
{
    on_looked(owner, reply, false);
}

static void on_locked(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    if (!reply || (reply->type != REDIS_REPLY_STATUS && reply->type != REDIS_REPLY_NIL))
        answer(a, SESSION_AWAY, NULL);
    else
        get(a, reply->type == REDIS_REPLY_STATUS ? on_looked_ours : on_looked_theirs);
}

static void try_lock(struct asking *a)
{
    char name[VAULT_NAME_ROOM], life[24];
    if (!is_ready(a->desk) || !lock_name(a->desk, a->session, name)) {
        answer(a, SESSION_AWAY, NULL);
        return;
    }
    send_or_say(a, on_locked,
                (struct slice[]){SLICE("SET"), slice_of(name), SLICE("1"), SLICE("PX"),
                                 number(life, SESSION_REFRESH_MS), SLICE("NX")},
                6);
}

void session_desk_refresh(struct session_desk *d, struct session *s, session_done *done,
                          void *owner)
{
    struct asking *a = ask(d, s->entity, done, owner);
    a->session = session_ref(s);
    a->until = (struct mono){loop_now(d->loop).ms + SESSION_REFRESH_MS};
    ev_timer_init(&a->look, on_look, 0., 0.);
    a->look.data = a;
    if (name_of_handle(a, s->handle))
        try_lock(a);
    else
        answer(a, SESSION_NONE, NULL);
}

/* ---- end ---- */

static void forget(struct session_desk *d, const struct slice *arguments, size_t count)
{
    (void)!redis_send(d->redis, COMMAND_LIMIT_MS, on_unlocked, d, arguments, count);
}

/* The entry is what ends it; that the record goes too is order. */
static void on_end_noted(void *owner, enum record_answer what, struct slice plain)
{
    struct asking *a = owner;
    (void)plain;
    if (what != RECORD_DONE) {
        answer(a, SESSION_AWAY, NULL);
        return;
    }
    metric_add(a->desk->metrics, METRIC_SESSIONS_ENDED_TOTAL, 1);
    if (a->name[0]) {
        forget(a->desk, (struct slice[]){SLICE("DEL"), slice_of(a->name)}, 2);
        forget(a->desk, (struct slice[]){SLICE("ZREM"), SLICE(SESSION_INDEX), handle_of(a->name)},
               3);
    }
    answer(a, SESSION_HERE, NULL);
}

static struct revoked_entry entry_of(const struct session_desk *d, const struct session *s,
                                     struct slice why)
{
    return (struct revoked_entry){.kind = REVOKED_SESSION,
                                  .subject = s->handle,
                                  .at = loop_wall(d->loop),
                                  .until = {s->ends.s + SESSION_AFTERLIFE_S},
                                  .by = SLICE(REVOKED_BY_GATEWAY),
                                  .reason = why};
}

void session_desk_end(struct session_desk *d, const struct session *s, session_done *done,
                      void *owner)
{
    struct asking *a = ask(d, s->entity, done, owner);
    const struct revoked_entry e = entry_of(d, s, SLICE(REVOKED_SIGNED_OUT));
    if (name_of_handle(a, s->handle))
        revocation_desk_add(d->revocations, s->entity, &e, on_end_noted, a);
    else
        answer(a, SESSION_NONE, NULL);
}

/* Its record stays, for its end to be told. */
void session_desk_take_back(struct session_desk *d, const struct session *s, struct slice why,
                            session_done *done, void *owner)
{
    struct asking *a = ask(d, s->entity, done, owner);
    const struct revoked_entry e = entry_of(d, s, why);
    revocation_desk_add(d->revocations, s->entity, &e, on_end_noted, a);
}

void session_desk_end_all(struct session_desk *d, struct slice entity, struct slice provider,
                          struct slice sid, struct slice user, session_done *done, void *owner)
{
    struct asking *a = ask(d, entity, done, owner);
    const struct wall now = loop_wall(d->loop);
    const struct revoked_entry e = {
        .kind = sid.len ? REVOKED_SIGN_IN : REVOKED_SESSIONS,
        .subject = sid.len
                       ? arena_printf(&a->arena, "%.*s:%.*s", SLICE_ARG(provider), SLICE_ARG(sid))
                       : user,
        .at = now,
        .until = {now.s + SESSION_LIFE_MAX_S + SESSION_AFTERLIFE_S},
        .by = SLICE(REVOKED_BY_GATEWAY),
        .reason = sid.len ? SLICE("signed out at the provider")
                          : SLICE("all sessions of the person were ended")};
    revocation_desk_add(d->revocations, entity, &e, on_end_noted, a);
}

/* ---- list ---- */

static void answer_list(struct asking *a, enum session_answer what, struct session *const *at,
                        uint32_t count)
{
    session_list_done *done = a->list_done;
    void *owner = a->owner;
    asking_free(a);
    done(owner, what, at, count);
}

static const char list_script[] =
    "local handles = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', ARGV[1], 'LIMIT', 0, "
    "ARGV[2])\n"
    "local all = {}\n"
    "for _, handle in ipairs(handles) do\n"
    "    local record = redis.call('GET', '" SESSION_NAME_PREFIX "' .. handle)\n"
    "    if record then all[#all + 1] = handle all[#all + 1] = record end\n"
    "end\n"
    "return all\n";

static void sort_by_age(struct session **at, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = i; k > 0 && at[k]->created.s > at[k - 1]->created.s; k--) {
            struct session *s = at[k];
            at[k] = at[k - 1];
            at[k - 1] = s;
        }
}

static void on_list(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    struct session *at[SESSION_LIST_MAX] = {NULL};
    uint32_t count = 0;
    if (!reply || reply->type != REDIS_REPLY_ARRAY) {
        answer_list(a, SESSION_AWAY, NULL, 0);
        return;
    }
    const char *user = a->old.ptr; /* whose list it is */
    for (size_t i = 0; i + 1 < reply->elements && count < SESSION_LIST_MAX; i += 2) {
        const redisReply *handle = reply->element[i], *record = reply->element[i + 1];
        if (!redis_is_text(handle) || !redis_is_text(record) ||
            !name_of_handle(a, slice_from(handle->str, handle->len)))
            continue;
        struct session *s =
            open_record(a->desk, a->name, a->entity, slice_from(record->str, record->len));
        if (s && slice_eq(s->user.id, slice_from(user, buf_len(&a->old))))
            at[count++] = s;
        else
            session_unref(s);
    }
    sort_by_age(at, count);
    answer_list(a, SESSION_HERE, at, count);
    for (uint32_t i = 0; i < count; i++)
        session_unref(at[i]);
}

void session_desk_list(struct session_desk *d, struct slice entity, struct slice user,
                       session_list_done *done, void *owner)
{
    struct asking *a = ask(d, entity, NULL, owner);
    char list[VAULT_NAME_ROOM], now[24], most[24];
    a->list_done = done;
    if (!is_ready(d) || !buf_add(&a->old, user) || !list_name(d, entity, user, list) ||
        !redis_send(d->redis, COMMAND_LIMIT_MS, on_list, a,
                    (struct slice[]){SLICE("EVAL"), slice_from(list_script, sizeof list_script - 1),
                                     SLICE("1"), slice_of(list), number(now, loop_wall(d->loop).s),
                                     number(most, SESSION_LIST_MAX)},
                    6))
        answer_list(a, SESSION_AWAY, NULL, 0);
}
