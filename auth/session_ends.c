// SPDX-License-Identifier: EUPL-1.2
/* Two walks over the index, a page at a time, each page with its records: of what is due, and of
 * all. What is found to be over is claimed (ZREM); whose claim takes it out tells. */
#include "auth/session_ends.h"

#include <inttypes.h>

#include "base/list.h"
#include "base/mem.h"

#define LOOK_EVERY_S 1. /* at what is due and at all of them in turns, where that is wanted */
#define LATE_S 10       /* of what is due: a gateway may just be writing that somebody was seen */
#define PAGE "100"
#define PAGES_MAX 10000 /* of one walk, whatever the store says */
#define PAGE_MAX 2048   /* texts of one page that are looked at; twice PAGE, and what ZSCAN adds */
#define COMMAND_LIMIT_MS 2000
#define WHY_ROOM 512

struct session_ends {
    struct loop *loop;
    struct redis *redis;
    struct records *records;
    struct revocation_desk *revocations;
    session_ended *ended;
    void *owner;
    ev_timer look;
    bool is_paging; /* one page at a time */
    bool is_walks_turn;
    uint64_t walked;  /* revocations_reach() as the last walk over all began */
    uint64_t walking; /* the same of the one under way */
    char cursor[24];  /* of that; empty: none is under way */
    uint32_t pages;
    struct link claims;
};

struct claim {
    struct link link;
    struct session_ends *ends;
    struct session *session;
    char why[WHY_ROOM]; /* empty: it was told, or is none of ours */
};

/* ---- why ---- */

/* False: it goes on. Empty: it was told. */
static bool find_end(const struct session_ends *e, const struct session *s, struct wall now,
                     char why[WHY_ROOM])
{
    const struct revoked_entry *entry;
    why[0] = '\0';
    if (now.s >= s->ends.s)
        (void)snprintf(why, WHY_ROOM, "its time was over");
    else if (session_is_over(s, now))
        (void)snprintf(why, WHY_ROOM, "nobody was there for too long");
    else if (!(entry = revocations_end_of(revocation_desk_table(e->revocations), s, now)))
        return false;
    else if (revoked_is_told(entry))
        return true;
    else if (slice_eq(entry->by, SLICE(REVOKED_BY_GATEWAY)))
        (void)snprintf(why, WHY_ROOM, "%.*s", SLICE_ARG(entry->reason));
    else
        (void)snprintf(why, WHY_ROOM, "revoked (%s) by %.*s", revoked_kind_name(entry->kind),
                       SLICE_ARG(entry->by));
    return true;
}

/* ---- claims ---- */

static void claim_free(struct claim *c)
{
    link_remove(&c->link);
    session_unref(c->session);
    mem_free(c);
}

static void on_claimed(void *owner, const redisReply *reply)
{
    struct claim *c = owner;
    const bool is_ours = redis_is_one(reply);
    if (is_ours && c->session && c->why[0])
        c->ends->ended(c->ends->owner, c->session, c->why);
    claim_free(c);
}

static void claim(struct session_ends *e, struct slice handle, struct session *take,
                  const char *why)
{
    struct claim *c = mem_new(struct claim);
    c->ends = e;
    c->session = take;
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    list_push(&e->claims, &c->link);
    if (!redis_send(e->redis, COMMAND_LIMIT_MS, on_claimed, c,
                    (struct slice[]){SLICE("ZREM"), SLICE(SESSION_INDEX), handle}, 3))
        claim_free(c); /* another look finds it again */
}

/* ---- pages ---- */

static void on_moved(void *owner, const redisReply *reply)
{
    (void)owner, (void)reply;
}

/* It goes on, so it stands too early in the index. */
static void move(struct session_ends *e, struct slice handle, const struct session *s)
{
    char due[24];
    const int len = snprintf(due, sizeof due, "%" PRId64, session_due(s).s);
    (void)!redis_send(e->redis, COMMAND_LIMIT_MS, on_moved, e,
                      (struct slice[]){SLICE("ZADD"), SLICE(SESSION_INDEX), SLICE("XX"),
                                       slice_from(due, (size_t)len), handle},
                      5);
}

/* A handle and its record. What is no session of ours is no session's end. */
static void look_at(struct session_ends *e, struct slice handle, struct slice record, bool is_due)
{
    char why[WHY_ROOM];
    char name[VAULT_NAME_ROOM];
    struct session *s = NULL;
    if (session_id_is_valid(handle) && /* they look alike */
        snprintf(name, sizeof name, SESSION_NAME_PREFIX "%.*s", SLICE_ARG(handle)) > 0)
        s = session_open(records_keys(e->records), name, record);
    if (!s) {
        claim(e, handle, NULL, "");
        return;
    }
    if (find_end(e, s, loop_wall(e->loop), why)) {
        claim(e, handle, s, why);
        return;
    }
    if (is_due)
        move(e, handle, s);
    session_unref(s);
}

static void look_at_all(struct session_ends *e, const redisReply *page, size_t from, bool is_due)
{
    for (size_t i = from; i + 1 < page->elements && i < PAGE_MAX; i += 2) {
        const redisReply *handle = page->element[i], *record = page->element[i + 1];
        if (redis_is_text(handle) && redis_is_text(record))
            look_at(e, slice_from(handle->str, handle->len), slice_from(record->str, record->len),
                    is_due);
    }
}

/* ---- those that are due ---- */

/* What has no record any more has nothing left to tell. */
static const char due_script[] =
    "local all = {}\n"
    "for _, h in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, "
    "ARGV[2])) "
    "do\n"
    "    local record = redis.call('GET', '" SESSION_NAME_PREFIX "' .. h)\n"
    "    if record then all[#all + 1] = h all[#all + 1] = record\n"
    "    else redis.call('ZREM', KEYS[1], h) end\n"
    "end\n"
    "return all\n";

static void on_due(void *owner, const redisReply *reply)
{
    struct session_ends *e = owner;
    e->is_paging = false;
    if (reply && reply->type == REDIS_REPLY_ARRAY)
        look_at_all(e, reply, 0, true);
}

static void ask_for_due(struct session_ends *e)
{
    char until[24];
    const int len = snprintf(until, sizeof until, "%" PRId64, loop_wall(e->loop).s - LATE_S);
    e->is_paging = redis_send(
        e->redis, COMMAND_LIMIT_MS, on_due, e,
        (struct slice[]){SLICE("EVAL"), slice_from(due_script, sizeof due_script - 1), SLICE("1"),
                         SLICE(SESSION_INDEX), slice_from(until, (size_t)len), SLICE(PAGE)},
        6);
}

/* ---- all ---- */

static const char walk_script[] =
    "local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])\n"
    "local all = {page[1]}\n"
    "for i = 1, #page[2], 2 do\n"
    "    local record = redis.call('GET', '" SESSION_NAME_PREFIX "' .. page[2][i])\n"
    "    if record then all[#all + 1] = page[2][i] all[#all + 1] = record end\n"
    "end\n"
    "return all\n";

static void ask_for_more(struct session_ends *e);

static void on_page(void *owner, const redisReply *reply)
{
    struct session_ends *e = owner;
    const redisReply *next =
        reply && reply->type == REDIS_REPLY_ARRAY && reply->elements ? reply->element[0] : NULL;
    e->is_paging = false;
    if (!redis_is_text(next) || next->len >= sizeof e->cursor || ++e->pages > PAGES_MAX) {
        e->cursor[0] = '\0'; /* all over again, later; but not one that has no end */
        if (e->pages > PAGES_MAX)
            e->walked = e->walking;
        return;
    }
    look_at_all(e, reply, 1, false);
    memcpy(e->cursor, next->str, next->len + 1);
    if (strcmp(e->cursor, "0") != 0) {
        ask_for_more(e);
        return;
    }
    e->cursor[0] = '\0';
    e->walked = e->walking;
}

static void ask_for_more(struct session_ends *e)
{
    e->is_paging = redis_send(
        e->redis, COMMAND_LIMIT_MS, on_page, e,
        (struct slice[]){SLICE("EVAL"), slice_from(walk_script, sizeof walk_script - 1), SLICE("1"),
                         SLICE(SESSION_INDEX), slice_of(e->cursor), SLICE(PAGE)},
        6);
    if (!e->is_paging)
        e->cursor[0] = '\0';
}

static bool wants_walk(const struct session_ends *e)
{
    return revocations_reach(revocation_desk_table(e->revocations)) != e->walked;
}

static void begin_walk(struct session_ends *e)
{
    e->walking = revocations_reach(revocation_desk_table(e->revocations));
    e->pages = 0;
    memcpy(e->cursor, "0", 2);
    ask_for_more(e);
}

/* ---- life ---- */

static void on_look(EV_P_ ev_timer *timer, int events)
{
    struct session_ends *e = timer->data;
    const struct keyring *k = records_keys(e->records);
    (void)loop, (void)events;
    if (e->is_paging || !k || !vault_is_open(k) || !redis_is_up(e->redis))
        return;
    e->is_walks_turn = !e->is_walks_turn; /* whoever signs out all the time holds up no limit */
    if (e->is_walks_turn && wants_walk(e))
        begin_walk(e);
    else
        ask_for_due(e);
}

struct session_ends *session_ends_new(struct loop *l, struct redis *redis, struct records *records,
                                      struct revocation_desk *revocations, session_ended *ended,
                                      void *owner)
{
    struct session_ends *e = mem_new(struct session_ends);
    e->loop = l;
    e->redis = redis;
    e->records = records;
    e->revocations = revocations;
    e->ended = ended;
    e->owner = owner;
    list_init(&e->claims);
    ev_timer_init(&e->look, on_look, LOOK_EVERY_S, LOOK_EVERY_S);
    e->look.data = e;
    ev_timer_start(l->ev, &e->look);
    return e;
}

void session_ends_free(struct session_ends *e)
{
    if (!e)
        return;
    ev_timer_stop(e->loop->ev, &e->look);
    while (!list_is_empty(&e->claims))
        claim_free(container_of(e->claims.next, struct claim, link));
    mem_free(e);
}
