// SPDX-License-Identifier: EUPL-1.2
/* Two walks over the index, a page at a time, each page with its records: of what is due, and of
 * all. What is found to be over is claimed (ZREM); whose claim takes it out tells. Between two
 * pages there is a rest, so that the walks together have a small share of the thread, however many
 * sessions there are; and they take turns, so that neither holds up the other. */
#include "auth/session_ends.h"

#include <inttypes.h>

#include "auth/recency.h"
#include "base/list.h"
#include "base/mem.h"

#define LOOK_EVERY_S 1. /* while there is nothing more to look at */
#define REST_TIMES 4.   /* what a page took, until the next: a fifth of the thread at most */
#define REST_MIN_S 0.005
#define LATE_S 10 /* of what is due: a gateway may just be writing that somebody was seen */
#define PAGE "50" /* some 2 ms; what opens and judges fifty sessions */
#define PAGE_SESSIONS 50
#define PAGES_MAX 20000 /* of one walk, whatever the store says */
#define PAGE_MAX 1024   /* texts of one page that are looked at; twice PAGE, and what ZSCAN adds */
/* Past its end it has gone from the store by itself: what then shows it is a store of another day.
 */
#define TOLD_WITHIN_S (SESSION_AFTERLIFE_S + SESSION_SEEN_EVERY_S)
#define COMMAND_LIMIT_MS 2000
#define WHY_ROOM 512

struct session_ends {
    struct loop *loop;
    struct redis *redis;
    struct records *records;
    struct revocation_desk *revocations;
    const struct session_desk *sessions;
    session_ended *ended;
    void *owner;
    ev_timer look;
    struct recency *told; /* handle → when: once each, whatever a store shows again */
    bool was_up;
    bool was_ever_up;
    struct wall back_at; /* the store was away until then; 0: never since it was first there */
    bool is_walks_turn;
    bool is_due_long; /* the last page of what is due was full */
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

/* When somebody was there, as far as is known beside the record. */
static struct wall seen(const struct session_ends *e, const struct session *s)
{
    const struct wall here = session_desk_seen(e->sessions, s);
    return s->seen.s < e->back_at.s && here.s < e->back_at.s ? e->back_at : here;
}

enum end { GOES_ON = 0, IS_IDLE, IS_OVER, IS_TOLD };

static enum end find_end(const struct session_ends *e, const struct session *s, char why[WHY_ROOM])
{
    const struct wall now = loop_wall(e->loop);
    const struct wall due = session_due(s, seen(e, s));
    const struct revoked_entry *entry =
        revocations_end_of(revocation_desk_table(e->revocations), s, now);
    if (entry && revoked_is_told(entry))
        return IS_TOLD;
    if (!entry && now.s < due.s + LATE_S)
        return GOES_ON;
    if (recency_of(e->told, s->handle) || now.s > s->ends.s + TOLD_WITHIN_S)
        return IS_TOLD;
    if (entry && slice_eq(entry->by, SLICE(REVOKED_BY_GATEWAY)))
        (void)snprintf(why, WHY_ROOM, "%.*s", SLICE_ARG(entry->reason));
    else if (entry)
        (void)snprintf(why, WHY_ROOM, "revoked (%s) by %.*s", revoked_kind_name(entry->kind),
                       SLICE_ARG(entry->by));
    else
        (void)snprintf(why, WHY_ROOM, "%s",
                       now.s >= s->ends.s ? "its time was over" : "nobody was there for too long");
    return entry || now.s >= s->ends.s ? IS_OVER : IS_IDLE;
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
    struct session_ends *e = c->ends;
    const bool is_ours = redis_is_one(reply);
    if (is_ours && c->session && c->why[0] && !recency_of(e->told, c->session->handle)) {
        recency_note(e->told, c->session->handle, loop_wall(e->loop).s);
        e->ended(e->owner, c->session, c->why);
    }
    claim_free(c);
}

/* Another look finds again what could not be claimed. */
static void claim(struct session_ends *e, struct session *take, const char *why,
                  const struct slice *arguments, size_t count)
{
    struct claim *c = mem_new(struct claim);
    c->ends = e;
    c->session = take;
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    list_push(&e->claims, &c->link);
    if (!redis_send(e->redis, COMMAND_LIMIT_MS, on_claimed, c, arguments, count))
        claim_free(c);
}

static void claim_over(struct session_ends *e, struct slice handle, struct session *take,
                       const char *why)
{
    claim(e, take, why, (struct slice[]){SLICE("ZREM"), SLICE(SESSION_INDEX), handle}, 3);
}

/* Somebody may be seen this very moment: then the record is another one, and it goes on. */
static const char idle_script[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
                                  "redis.call('DEL', KEYS[1])\n"
                                  "return redis.call('ZREM', KEYS[2], ARGV[2])\n";

static void claim_idle(struct session_ends *e, const char *name, struct slice record,
                       struct session *take, const char *why)
{
    claim(e, take, why,
          (struct slice[]){SLICE("EVAL"), slice_from(idle_script, sizeof idle_script - 1),
                           SLICE("2"), slice_of(name), SLICE(SESSION_INDEX), record, take->handle},
          7);
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
    const int len = snprintf(due, sizeof due, "%" PRId64, session_due(s, seen(e, s)).s);
    (void)!redis_send(e->redis, COMMAND_LIMIT_MS, on_moved, e,
                      (struct slice[]){SLICE("ZADD"), SLICE(SESSION_INDEX), SLICE("XX"),
                                       slice_from(due, (size_t)len), handle},
                      5);
}

/* A handle and its record. What is no session of ours is no session's end. */
static void look_at(struct session_ends *e, struct slice handle, struct slice record, bool is_due)
{
    char why[WHY_ROOM] = "";
    char name[VAULT_NAME_ROOM];
    struct session *s = NULL;
    if (session_id_is_valid(handle) && /* they look alike */
        snprintf(name, sizeof name, SESSION_NAME_PREFIX "%.*s", SLICE_ARG(handle)) > 0)
        s = session_open(records_keys(e->records), name, record);
    if (!s) {
        claim_over(e, handle, NULL, why);
        return;
    }
    switch (find_end(e, s, why)) {
    case GOES_ON:
        if (is_due)
            move(e, handle, s);
        session_unref(s);
        return;
    case IS_IDLE:
        claim_idle(e, name, record, s, why);
        return;
    case IS_OVER:
    case IS_TOLD:
        claim_over(e, handle, s, why);
        return;
    }
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

/* Until the next page: as the last one took, so that others have the most of the thread. */
static void rest(struct session_ends *e, double took_s)
{
    const bool has_more = e->cursor[0] || e->is_due_long;
    double s = REST_TIMES * took_s;
    if (!has_more || s > LOOK_EVERY_S)
        s = LOOK_EVERY_S;
    else if (s < REST_MIN_S)
        s = REST_MIN_S;
    ev_timer_set(&e->look, s, 0.);
    ev_timer_start(e->loop->ev, &e->look);
}

static void look_and_rest(struct session_ends *e, const redisReply *page, size_t from, bool is_due)
{
    const double began_s = ev_time();
    look_at_all(e, page, from, is_due);
    rest(e, ev_time() - began_s);
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
    const bool is_page = reply && reply->type == REDIS_REPLY_ARRAY;
    e->is_due_long = is_page && reply->elements >= 2 * PAGE_SESSIONS;
    if (is_page)
        look_and_rest(e, reply, 0, true);
    else
        rest(e, 0);
}

static bool ask_for_due(struct session_ends *e)
{
    char until[24];
    const int len = snprintf(until, sizeof until, "%" PRId64, loop_wall(e->loop).s - LATE_S);
    return redis_send(e->redis, COMMAND_LIMIT_MS, on_due, e,
                      (struct slice[]){SLICE("EVAL"), slice_from(due_script, sizeof due_script - 1),
                                       SLICE("1"), SLICE(SESSION_INDEX),
                                       slice_from(until, (size_t)len), SLICE(PAGE)},
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

static void on_page(void *owner, const redisReply *reply)
{
    struct session_ends *e = owner;
    const redisReply *next =
        reply && reply->type == REDIS_REPLY_ARRAY && reply->elements ? reply->element[0] : NULL;
    e->cursor[0] = '\0';
    if (!redis_is_text(next) || next->len >= sizeof e->cursor || ++e->pages > PAGES_MAX) {
        if (e->pages > PAGES_MAX) /* all over again, later; but not one that has no end */
            e->walked = e->walking;
        rest(e, 0);
        return;
    }
    if (!slice_eq(slice_from(next->str, next->len), SLICE("0")))
        memcpy(e->cursor, next->str, next->len + 1);
    else
        e->walked = e->walking;
    look_and_rest(e, reply, 1, false);
}

static bool ask_for_more(struct session_ends *e)
{
    return redis_send(e->redis, COMMAND_LIMIT_MS, on_page, e,
                      (struct slice[]){SLICE("EVAL"),
                                       slice_from(walk_script, sizeof walk_script - 1), SLICE("1"),
                                       SLICE(SESSION_INDEX), slice_of(e->cursor), SLICE(PAGE)},
                      6);
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
}

/* ---- life ---- */

static bool is_ready(struct session_ends *e)
{
    const struct keyring *k = records_keys(e->records);
    const bool is_up = redis_is_up(e->redis);
    if (is_up && !e->was_up && e->was_ever_up)
        e->back_at = loop_wall(e->loop);
    e->was_up = is_up;
    e->was_ever_up |= is_up;
    return is_up && k && vault_is_open(k);
}

/* One page; when it has come, and after a rest, the next. */
static void on_look(EV_P_ ev_timer *timer, int events)
{
    struct session_ends *e = timer->data;
    bool is_asked = false;
    (void)loop, (void)events;
    if (is_ready(e)) {
        e->is_walks_turn = !e->is_walks_turn; /* whoever signs out all the time holds up no limit */
        if (e->is_walks_turn && !e->cursor[0] && wants_walk(e))
            begin_walk(e);
        is_asked = e->is_walks_turn && e->cursor[0] ? ask_for_more(e) : ask_for_due(e);
    }
    if (is_asked)
        return;
    e->cursor[0] = '\0';
    e->is_due_long = false;
    rest(e, 0);
}

struct session_ends *session_ends_new(struct loop *l, struct redis *redis, struct records *records,
                                      struct revocation_desk *revocations,
                                      const struct session_desk *sessions, session_ended *ended,
                                      void *owner)
{
    struct session_ends *e = mem_new(struct session_ends);
    e->loop = l;
    e->redis = redis;
    e->records = records;
    e->revocations = revocations;
    e->sessions = sessions;
    e->told = recency_new();
    e->ended = ended;
    e->owner = owner;
    list_init(&e->claims);
    ev_timer_init(&e->look, on_look, 0., 0.);
    e->look.data = e;
    rest(e, 0);
    return e;
}

void session_ends_free(struct session_ends *e)
{
    if (!e)
        return;
    ev_timer_stop(e->loop->ev, &e->look);
    while (!list_is_empty(&e->claims))
        claim_free(container_of(e->claims.next, struct claim, link));
    recency_free(e->told);
    mem_free(e);
}
