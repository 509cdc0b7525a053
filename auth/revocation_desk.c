// SPDX-License-Identifier: EUPL-1.2
/* For each entity one struct watched, with at most one reading and one writing under way:
 *
 *     read    head and entries behind the last one that we have, of one moment (a script);
 *             each entry proves that it stands behind the one before; then the head is compared
 *     vouch   the head again with the time of now, where nobody did within ten seconds
 *     add     entry, head and event, where the head is still the one that we know; else read first
 *     restore what the store has lost
 *
 * A failed reading changes nothing but `alarm`; entries that are proven count at once. */
#include "auth/revocation_desk.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/file.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/serials.h"

#define COMMAND_LIMIT_MS 5000
#define VOUCH_MS 10000
#define READ_AT_ONCE "256"  /* entries of one answer: half a megabyte at most */
#define RESTORE_AT_ONCE 256 /* the rest follows with the next reading */
#define PRUNE_AT_ONCE 256   /* entries that one addition may forget */
#define TRIES 8             /* of an addition that others overtake */
#define ADDS_MAX 1024       /* that wait for one entity's list; a sign-out waits for its turn */
#define WRITINGS_MAX 128    /* of heads, in one period; a restored list takes one for 248 entries */
#define CLOCKS_DIFFER_S 30  /* between gateways; and what a fail-over of the store may lose */
#define CLOCK_BROKEN_S 300  /* a head from so far in the future says nothing */
#define MEMORY_MAX_BYTES ((size_t)REVOKED_LIST_MAX * (REVOKED_ENTRY_MAX_BYTES + 4) + 4096)

struct kept {
    struct revoked_entry e;
    struct slice bytes; /* as they lie in the store; owned */
    uint8_t mac[32];
    struct arena arena;
};

struct adding {
    struct link link;
    struct watched *watched;
    struct revoked_entry e;
    struct arena arena;
    uint32_t tries;
    record_done *done;
    void *owner;
};

struct watched {
    struct revocation_desk *desk;
    char entity[ENTITY_ID_MAX + 1];
    char head_name[VAULT_NAME_ROOM];
    char list_name[VAULT_NAME_ROOM];
    struct kept **kept; /* the oldest first, numbers without gaps up to `last` */
    uint32_t count;
    uint32_t room;
    uint64_t last;            /* number and ... */
    uint8_t end[32];          /* ... MAC of the last entry that was proven */
    struct revoked_head head; /* as it was read, or written, last */
    struct buf head_bytes;    /* the store's own; empty: it has none */
    struct revoked_list *list;
    const char *alarm;    /* static text; NULL: all is well */
    struct mono whole_at; /* when it was last read whole, with a head not too old */
    struct link adds;
    uint32_t add_count;
    uint32_t writings; /* since the last tick */
    bool is_followed;
    bool can_read; /* there are keys for it */
    bool is_whole; /* since the connection came up */
    bool is_reading;
    bool is_writing;
    bool must_read; /* news came while one was under way */
    bool is_unknown;
    bool is_recalled;
    bool is_unsaved;
};

struct revocation_desk {
    struct loop *loop;
    struct redis *redis;
    struct records *records;
    struct revocation_settings settings;
    struct metrics *metrics;
    struct revocation_hooks hooks;
    struct map watched; /* entity → struct watched; none is ever removed */
    struct revocations *table;
    uint64_t number;
    ev_timer tick;
    struct later publish; /* of what changed without an entry: once a turn */
};

static void read_list(struct watched *w);
static void next_add(struct watched *w);
static void give_up_adds(struct watched *w);

/* ---- what is handed out ---- */

static void publish(struct revocation_desk *d)
{
    later_cancel(&d->publish);
    struct revocations *t = revocations_new(++d->number);
    const struct wall now = loop_wall(d->loop);
    int64_t count = 0;
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));) {
        const struct watched *w = it->value;
        if (!w->is_followed)
            continue;
        revocations_add(t, revoked_list_ref(w->list), w->is_unknown && d->settings.refuses);
        count += revoked_list_count(w->list, now);
    }
    metric_set(d->metrics, METRIC_REVOCATIONS, count);
    metric_set(d->metrics, METRIC_REVOCATION_ALARMS, revocation_desk_alarms(d));
    revocations_unref(d->table);
    d->table = t;
    d->hooks.changed(d->hooks.owner, revocations_ref(t));
}

static void on_publish(struct later *self)
{
    publish(container_of(self, struct revocation_desk, publish));
}

static void raise_alarm(struct watched *w, const char *what)
{
    if (w->alarm != what) {
        w->alarm = what;
        log_error("revocations", "of '%s': %s; what is known of them stays in force", w->entity,
                  what);
        loop_later(w->desk->loop, &w->desk->publish);
    }
    give_up_adds(w);
}

static void all_is_well(struct watched *w)
{
    const bool was_different = w->alarm || w->is_unknown || !w->is_whole;
    if (w->alarm)
        log_notice("revocations", "of '%s': the list is whole again", w->entity);
    w->alarm = NULL;
    w->is_unknown = false;
    w->is_whole = true;
    w->whole_at = loop_now(w->desk->loop);
    if (was_different)
        loop_later(w->desk->loop, &w->desk->publish);
}

/* ---- entries ---- */

static struct slice entity_of(const struct watched *w)
{
    return slice_of(w->entity);
}

static void kept_free(struct kept *k)
{
    if (!k)
        return;
    mem_slice_free(&k->bytes);
    arena_fini(&k->arena);
    mem_free(k);
}

/* The entry behind the last, if that is what it is. */
static bool take_entry(struct watched *w, struct slice bytes)
{
    struct kept *k = mem_new(struct kept);
    arena_init(&k->arena, NULL);
    if (w->count >= 2 * REVOKED_LIST_MAX ||
        !revoked_entry_open(records_keys(w->desk->records), entity_of(w), w->last + 1, w->end,
                            bytes, &k->arena, &k->e, k->mac)) {
        kept_free(k);
        return false;
    }
    k->bytes = mem_slice(bytes);
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 16;
        w->kept = mem_grow(w->kept, w->room, sizeof *w->kept);
    }
    w->kept[w->count++] = k;
    w->last = k->e.n;
    memcpy(w->end, k->mac, sizeof w->end);
    w->is_unsaved = true;
    return true;
}

static void forget_before(struct watched *w, uint64_t first)
{
    uint32_t gone = 0;
    while (gone < w->count && w->kept[gone]->e.n < first)
        kept_free(w->kept[gone++]);
    if (!gone)
        return;
    w->count -= gone;
    memmove(w->kept, w->kept + gone, w->count * sizeof *w->kept);
    w->is_unsaved = true;
}

static void make_list(struct watched *w)
{
    struct revoked_list *l = revoked_list_new(entity_of(w));
    const struct wall now = loop_wall(w->desk->loop);
    for (uint32_t i = 0; i < w->count; i++)
        if (w->kept[i]->e.until.s > now.s ||
            revoked_list_find(l, w->kept[i]->e.kind, w->kept[i]->e.subject, now))
            revoked_list_add(l, &w->kept[i]->e);
    revoked_list_unref(w->list);
    w->list = l;
}

/* Over, lifted, or said again by a later entry. */
static bool may_go(const struct watched *w, const struct kept *k)
{
    const struct revoked_entry *now =
        revoked_list_find(w->list, k->e.kind, k->e.subject, loop_wall(w->desk->loop));
    return !now || now->n != k->e.n;
}

static uint64_t first_to_keep(const struct watched *w)
{
    uint32_t i = 0;
    while (i < w->count && i < PRUNE_AT_ONCE && may_go(w, w->kept[i]))
        i++;
    return i < w->count ? w->kept[i]->e.n : w->last + 1;
}

/* ---- replies ---- */

static struct slice reply_text(const redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_STRING ? slice_from(reply->str, reply->len)
                                                      : (struct slice){"", 0};
}

static bool is_one(const redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
}

static void keep_head(struct watched *w, const struct revoked_head *h, struct slice bytes)
{
    w->head = *h;
    buf_clear(&w->head_bytes);
    const bool has_room = buf_add(&w->head_bytes, bytes);
    assert(has_room); /* it was opened, so it has the one length */
    w->is_unsaved = true;
}

static struct slice number_text(char room[24], uint64_t n)
{
    return slice_from(room, (size_t)snprintf(room, 24, "%" PRIu64, n));
}

/* A store that does not keep what it is given costs us a few writings a period, not all our time.
 */
static bool may_write(struct watched *w)
{
    if (w->is_writing || w->writings >= WRITINGS_MAX)
        return false;
    w->writings++;
    return true;
}

/* ---- vouching: nobody hides a list's end for longer than a head lives ---- */

static const char vouch_script[] = "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then\n"
                                   "    return 0\n"
                                   "end\n"
                                   "redis.call('SET', KEYS[1], ARGV[2])\n"
                                   "return 1\n";

static void on_vouched(void *owner, const redisReply *reply)
{
    struct watched *w = owner;
    (void)reply; /* what is there now is read again: that proves that the store keeps it */
    w->is_writing = false;
    read_list(w);
}

static void vouch(struct watched *w)
{
    struct revoked_head h = w->head;
    struct buf bytes;
    if (!may_write(w))
        return;
    h.at = loop_wall(w->desk->loop);
    buf_init(&bytes, 256);
    w->is_writing = revoked_head_seal(records_keys(w->desk->records), entity_of(w), &h, &bytes) &&
                    redis_send(w->desk->redis, COMMAND_LIMIT_MS, on_vouched, w,
                               (struct slice[]){SLICE("EVAL"),
                                                slice_from(vouch_script, sizeof vouch_script - 1),
                                                SLICE("1"), slice_of(w->head_name),
                                                buf_slice(&w->head_bytes), buf_slice(&bytes)},
                               6);
    buf_fini(&bytes);
}

/* ---- restoring ---- */

/* ARGV: the head that is there, the head that belongs there, then number and entry in turns. */
static const char restore_script[] = "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then\n"
                                     "    return 0\n"
                                     "end\n"
                                     "for i = 3, #ARGV, 2 do\n"
                                     "    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])\n"
                                     "end\n"
                                     "redis.call('SET', KEYS[1], ARGV[2])\n"
                                     "return 1\n";

static void on_restored(void *owner, const redisReply *reply)
{
    struct watched *w = owner;
    w->is_writing = false;
    if (is_one(reply)) {
        metric_add(w->desk->metrics, METRIC_REVOCATIONS_RESTORED_TOTAL, 1);
        log_warning("revocations", "of '%s': what the store had lost is there again", w->entity);
    }
    read_list(w);
}

/* The store's list ends before ours, and so far it is ours: the rest is put behind it, a piece at a
 * time. `there` is the store's head; NULL where it has none. */
static void restore(struct watched *w, const struct revoked_head *there)
{
    struct slice arguments[6 + 2 * RESTORE_AT_ONCE];
    char numbers[RESTORE_AT_ONCE][24];
    struct revoked_head h = {.first = w->count ? w->kept[0]->e.n : w->last + 1, .last = w->last};
    struct buf bytes;
    uint32_t i = 0, n = 7;
    if (!may_write(w))
        return;
    if (there) {
        h.first = there->first;
        memcpy(h.before_first, there->before_first, sizeof h.before_first);
        while (i < w->count && w->kept[i]->e.n <= there->last)
            i++;
    } else {
        memcpy(h.before_first, w->head.before_first, sizeof h.before_first);
        h.first = w->head.first;
        while (i < w->count && w->kept[i]->e.n < h.first)
            i++;
    }
    arguments[0] = SLICE("EVAL");
    arguments[1] = slice_from(restore_script, sizeof restore_script - 1);
    arguments[2] = SLICE("2");
    arguments[3] = slice_of(w->head_name);
    arguments[4] = slice_of(w->list_name);
    arguments[5] = buf_slice(&w->head_bytes);
    for (uint32_t k = 0; i < w->count && k + 8 < RESTORE_AT_ONCE; i++, k++) {
        arguments[n++] = number_text(numbers[k], w->kept[i]->e.n);
        arguments[n++] = w->kept[i]->bytes;
        h.last = w->kept[i]->e.n;
        memcpy(h.end, w->kept[i]->mac, sizeof h.end);
    }
    if (n == 7)
        memcpy(h.end, w->end, sizeof h.end);
    h.at = loop_wall(w->desk->loop);
    buf_init(&bytes, 256);
    if (revoked_head_seal(records_keys(w->desk->records), entity_of(w), &h, &bytes)) {
        arguments[6] = buf_slice(&bytes);
        w->is_writing = redis_send(w->desk->redis, COMMAND_LIMIT_MS, on_restored, w, arguments, n);
    }
    buf_fini(&bytes);
}

/* ---- reading ---- */

static const char read_script[] =
    "local all = {redis.call('GET', KEYS[1])}\n"
    "for n = tonumber(ARGV[1]), tonumber(ARGV[1]) + " READ_AT_ONCE " - 1 do\n"
    "    local e = redis.call('HGET', KEYS[2], string.format('%.0f', n))\n"
    "    if not e then break end\n"
    "    all[#all + 1] = e\n"
    "end\n"
    "return all\n";

/* The MAC of entry n, which is one that we have. */
static bool mac_of(const struct watched *w, uint64_t n, uint8_t out[32])
{
    if (n == w->last) {
        memcpy(out, w->end, 32);
        return true;
    }
    for (uint32_t i = w->count; i-- > 0;) {
        if (w->kept[i]->e.n != n)
            continue;
        memcpy(out, w->kept[i]->mac, 32);
        return true;
    }
    return false;
}

/* The store's head says less than we have seen. */
static void is_shorter(struct watched *w, const struct revoked_head *there)
{
    uint8_t mac[32];
    const bool is_ours = !there || !there->last ||
                         (mac_of(w, there->last, mac) && !memcmp(mac, there->end, sizeof mac));
    raise_alarm(w, "the store's list is shorter than what was seen");
    if (is_ours)
        restore(w, there);
}

/* What was read is whole: it is compared, and the next thing is begun. */
static void settle(struct watched *w, const struct revoked_head *h, struct slice head_bytes)
{
    const int64_t now_s = loop_wall(w->desk->loop).s;
    const bool is_late =
        (now_s - h->at.s) * 1000 >= w->desk->settings.vouch_ms || h->at.s > now_s + CLOCK_BROKEN_S;
    if (memcmp(h->end, w->end, sizeof w->end) != 0) {
        raise_alarm(w, "the store has another list under the same numbers");
        return;
    }
    if (h->at.s + CLOCKS_DIFFER_S < w->head.at.s && w->head.at.s < now_s + CLOCK_BROKEN_S) {
        raise_alarm(w, "the store's list is older than what was seen");
        vouch(w);
        return;
    }
    forget_before(w, h->first);
    keep_head(w, h, head_bytes);
    if (is_late || !head_bytes.len)
        vouch(w); /* whole once the store has taken it */
    else
        all_is_well(w);
    next_add(w);
}

static void on_list(void *owner, const redisReply *reply)
{
    struct watched *w = owner;
    struct revoked_head h = {.first = 1};
    const uint64_t before = w->last;
    w->is_reading = false;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || !reply->elements) {
        if (reply)
            raise_alarm(w, "the store's answer has no meaning");
        next_add(w); /* whoever waits is told that it is away */
        return;
    }
    const struct slice head_bytes = reply_text(reply->element[0]);
    const bool is_there = head_bytes.len != 0;
    buf_clear(&w->head_bytes);
    if (!buf_add(&w->head_bytes, head_bytes)) {
        raise_alarm(w, "the head of the store's list is not ours");
        return;
    }
    if (is_there &&
        !revoked_head_open(records_keys(w->desk->records), entity_of(w), head_bytes, &h)) {
        raise_alarm(w, "the head of the store's list is not ours");
        return;
    }
    if (h.last < w->last) {
        is_shorter(w, is_there ? &h : NULL);
        return;
    }
    if (h.first > w->last + 1) { /* what we have not seen of it is over, and forgotten by all */
        w->last = h.first - 1;
        memcpy(w->end, h.before_first, sizeof w->end);
        w->must_read = true;
    }
    size_t i = 1;
    while (!w->must_read && i < reply->elements && w->last < h.last &&
           take_entry(w, reply_text(reply->element[i])))
        i++;
    if (w->last != before) {
        make_list(w);
        publish(w->desk);
    }
    if (!w->must_read && w->last < h.last && w->last == before) {
        raise_alarm(w, i < reply->elements ? "an entry of the store's list is not ours"
                                           : "a number is missing in the store's list");
        return;
    }
    if (w->must_read || w->last < h.last) {
        w->must_read = false;
        read_list(w);
        return;
    }
    settle(w, &h, head_bytes);
}

static void read_list(struct watched *w)
{
    char from[24];
    if (w->is_reading) {
        w->must_read = true;
        return;
    }
    w->must_read = false;
    if (!w->is_followed || !w->can_read || !redis_is_up(w->desk->redis))
        return;
    w->is_reading =
        redis_send(w->desk->redis, COMMAND_LIMIT_MS, on_list, w,
                   (struct slice[]){SLICE("EVAL"), slice_from(read_script, sizeof read_script - 1),
                                    SLICE("2"), slice_of(w->head_name), slice_of(w->list_name),
                                    number_text(from, w->last + 1)},
                   6);
}

/* ---- adding ---- */

static const char add_script[] =
    "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end\n"
    "redis.call('SET', KEYS[3], ARGV[6], 'NX')\n"
    "local epoch = redis.call('GET', KEYS[3])\n"
    "local n = redis.call('INCR', KEYS[4])\n"
    "redis.call('XADD', KEYS[5], 'MAXLEN', '1000', '*', 'epoch', epoch, 'n', n,\n"
    "           'kind', 'revocation', 'entity', ARGV[5], 'serial', ARGV[3])\n"
    "redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])\n"
    "for i = tonumber(ARGV[7]), tonumber(ARGV[8]) - 1 do\n"
    "    redis.call('HDEL', KEYS[2], string.format('%.0f', i))\n"
    "end\n"
    "redis.call('SET', KEYS[1], ARGV[2])\n"
    "return 1\n";

static void adding_end(struct adding *a, enum record_answer answer)
{
    record_done *done = a->done;
    void *owner = a->owner;
    link_remove(&a->link);
    a->watched->add_count--;
    arena_fini(&a->arena);
    mem_free(a);
    if (done)
        done(owner, answer, SLICE(""));
}

static struct adding *first_add(struct watched *w)
{
    return container_of(w->adds.next, struct adding, link);
}

static void give_up_adds(struct watched *w)
{
    while (!list_is_empty(&w->adds))
        adding_end(first_add(w), RECORD_AWAY);
}

static void on_added(void *owner, const redisReply *reply)
{
    struct watched *w = owner;
    w->is_writing = false;
    if (!is_one(reply) && (!reply || list_is_empty(&w->adds) || first_add(w)->tries >= TRIES)) {
        give_up_adds(w);
        return;
    }
    read_list(w); /* ours is among what is new, or another's that was quicker */
}

/* What waits first goes off; it is done when it is read back. */
static void write_add(struct watched *w, struct adding *a)
{
    const struct keyring *k = records_keys(w->desk->records);
    struct revoked_head h = w->head;
    struct buf entry, head;
    char n[24], first[24], until[24], epoch[32];
    uint8_t mac[32], random[16];
    const uint64_t keep = first_to_keep(w);
    a->tries++;
    a->e.n = w->last + 1;
    buf_init(&entry, REVOKED_ENTRY_MAX_BYTES);
    buf_init(&head, 256);
    entropy_bytes(random, sizeof random);
    hex_encode(epoch, random, sizeof random);
    h.last = a->e.n;
    if (keep > h.first) {
        h.first = keep;
        (void)mac_of(w, keep - 1, h.before_first); /* the last of those that go, which we have */
    }
    h.at = loop_wall(w->desk->loop);
    bool is_sent = revoked_entry_seal(k, entity_of(w), &a->e, w->end, h.at, &entry, mac);
    if (is_sent) {
        memcpy(h.end, mac, sizeof mac);
        is_sent =
            revoked_head_seal(k, entity_of(w), &h, &head) &&
            redis_send(w->desk->redis, COMMAND_LIMIT_MS, on_added, w,
                       (struct slice[]){
                           SLICE("EVAL"), slice_from(add_script, sizeof add_script - 1), SLICE("5"),
                           slice_of(w->head_name), slice_of(w->list_name), SLICE("belfry:epoch"),
                           SLICE("belfry:count"), SLICE("belfry:events"), buf_slice(&w->head_bytes),
                           buf_slice(&head), number_text(n, a->e.n), buf_slice(&entry),
                           entity_of(w), slice_from(epoch, sizeof epoch),
                           number_text(first, w->head.first), number_text(until, h.first)},
                       16);
    }
    w->is_writing = is_sent;
    buf_fini(&entry);
    buf_fini(&head);
    if (!is_sent)
        adding_end(a, RECORD_AWAY);
}

static bool is_in(const struct watched *w, const struct adding *a)
{
    for (uint32_t i = w->count; a->e.n && i-- > 0 && w->kept[i]->e.n >= a->e.n;) {
        const struct revoked_entry *e = &w->kept[i]->e;
        if (e->n == a->e.n)
            return e->kind == a->e.kind && slice_eq(e->subject, a->e.subject) &&
                   e->at.s == a->e.at.s && e->until.s == a->e.until.s && slice_eq(e->by, a->e.by);
    }
    return false;
}

/* Between readings: what is in is told, and the next goes off. */
static void next_add(struct watched *w)
{
    while (!list_is_empty(&w->adds) && !w->is_writing && !w->is_reading) {
        struct adding *a = first_add(w);
        if (is_in(w, a))
            adding_end(a, RECORD_DONE);
        else if (!redis_is_up(w->desk->redis) || !w->is_whole || w->alarm)
            adding_end(a, RECORD_AWAY);
        else if (w->last + 1 - first_to_keep(w) >= REVOKED_LIST_MAX)
            adding_end(a, RECORD_NONE);
        else
            write_add(w, a);
    }
}

static struct watched *watched_of(const struct revocation_desk *d, struct slice entity)
{
    struct watched *w = map_get(&d->watched, entity);
    return w && w->is_followed ? w : NULL;
}

void revocation_desk_add(struct revocation_desk *d, struct slice entity,
                         const struct revoked_entry *e, record_done *done, void *owner)
{
    struct watched *w = watched_of(d, entity);
    if (!w || !e->subject.len || e->subject.len > REVOKED_SUBJECT_MAX ||
        e->reason.len > REVOKED_REASON_MAX || e->by.len > REVOKED_BY_MAX ||
        e->until.s - e->at.s > REVOKED_LIFE_MAX_S || w->add_count >= ADDS_MAX) {
        done(owner, RECORD_NONE, SLICE(""));
        return;
    }
    struct adding *a = mem_new(struct adding);
    arena_init(&a->arena, NULL);
    a->watched = w;
    a->e = *e;
    a->e.n = 0;
    a->e.subject = arena_copy(&a->arena, e->subject);
    a->e.by = arena_copy(&a->arena, e->by);
    a->e.reason = arena_copy(&a->arena, e->reason);
    a->done = done;
    a->owner = owner;
    list_push(&w->adds, &a->link);
    w->add_count++;
    if (w->is_whole)
        next_add(w);
    else if (!w->can_read || !redis_is_up(d->redis))
        give_up_adds(w);
    else
        read_list(w);
}

/* ---- memory: the head and the entries, each with its length before it ---- */

static bool memory_path(const struct watched *w, char out[PATH_MAX])
{
    const int len =
        snprintf(out, PATH_MAX, "%s/revoked-%s", w->desk->settings.state_dir, w->entity);
    return len > 0 && len < PATH_MAX;
}

static bool piece_add(struct buf *out, struct slice bytes)
{
    const uint8_t len[2] = {(uint8_t)(bytes.len >> 8), (uint8_t)bytes.len};
    return buf_add(out, slice_from(len, sizeof len)) && buf_add(out, bytes);
}

static bool piece_cut(struct slice *rest, struct slice *out)
{
    const uint8_t *at = (const uint8_t *)rest->ptr;
    const size_t len = rest->len >= 2 ? (size_t)at[0] << 8 | at[1] : 0;
    if (rest->len < 2 || len > rest->len - 2)
        return false;
    *out = slice_from(at + 2, len);
    *rest = slice_skip(*rest, 2 + len);
    return true;
}

static void remember(struct watched *w)
{
    char path[PATH_MAX];
    struct fault f = {0};
    struct buf text, head;
    if (!w->is_unsaved || !w->can_read || !w->desk->settings.state_dir || !w->last)
        return;
    buf_init(&text, MEMORY_MAX_BYTES);
    buf_init(&head, 256);
    bool is_kept =
        revoked_head_seal(records_keys(w->desk->records), entity_of(w), &w->head, &head) &&
        piece_add(&text, buf_slice(&head));
    for (uint32_t i = 0; is_kept && i < w->count; i++)
        is_kept = piece_add(&text, w->kept[i]->bytes);
    if (is_kept && memory_path(w, path) && file_write(path, buf_slice(&text), 0600, &f))
        w->is_unsaved = false;
    else
        log_warning("revocations", "of '%s' can't be remembered: %s", w->entity, f.text);
    buf_fini(&text);
    buf_fini(&head);
}

/* As far as it is ours: it is judged like what the store says. */
static void recall(struct watched *w)
{
    char path[PATH_MAX];
    struct fault f;
    struct slice text = {0}, piece;
    struct revoked_head h;
    w->is_recalled = true;
    if (!w->desk->settings.state_dir || !memory_path(w, path) ||
        !file_read(&text, path, MEMORY_MAX_BYTES, &f))
        return; /* none yet; or none that can be read, and then the store's is taken */
    struct slice rest = text;
    if (piece_cut(&rest, &piece) &&
        revoked_head_open(records_keys(w->desk->records), entity_of(w), piece, &h)) {
        w->head = h;
        w->last = h.first - 1;
        memcpy(w->end, h.before_first, sizeof w->end);
        while (w->last < h.last && piece_cut(&rest, &piece) && take_entry(w, piece))
            ;
    }
    if (w->last)
        make_list(w);
    else
        log_warning("revocations", "'%s' is not what was written there", path);
    w->is_unsaved = false;
    mem_slice_free(&text);
}

/* ---- life ---- */

/* What lies at the front, long-lived, keeps what is over behind it from being forgotten: it is said
 * once more at the end. */
static void carry_on(struct watched *w)
{
    const uint32_t alive = revoked_list_count(w->list, loop_wall(w->desk->loop));
    if (w->count < 64 || w->count < 2 * alive + 64 || !list_is_empty(&w->adds) || !w->is_whole ||
        w->alarm)
        return;
    const uint64_t first = first_to_keep(w);
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->kept[i]->e.n != first)
            continue;
        struct adding *a = mem_new(struct adding);
        arena_init(&a->arena, NULL);
        a->watched = w;
        a->e = w->kept[i]->e;
        a->e.n = 0;
        a->e.subject = arena_copy(&a->arena, a->e.subject);
        a->e.by = arena_copy(&a->arena, a->e.by);
        a->e.reason = arena_copy(&a->arena, a->e.reason);
        list_push(&w->adds, &a->link);
        w->add_count++;
        next_add(w);
        return;
    }
}

static void on_tick(EV_P_ ev_timer *timer, int events)
{
    struct revocation_desk *d = timer->data;
    size_t walk = 0;
    bool has_changed = false;
    (void)loop, (void)events;
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));) {
        struct watched *w = it->value;
        if (!w->is_followed)
            continue;
        const bool is_unknown = loop_now(d->loop).ms - w->whole_at.ms > d->settings.max_stale_ms;
        has_changed |= is_unknown != w->is_unknown;
        w->is_unknown = is_unknown;
        w->writings = 0;
        remember(w);
        carry_on(w);
        read_list(w);
    }
    if (has_changed)
        publish(d);
}

struct revocation_desk *revocation_desk_new(struct loop *l, struct redis *redis,
                                            struct records *records,
                                            const struct revocation_settings *settings,
                                            struct metrics *m, struct revocation_hooks hooks)
{
    struct revocation_desk *d = mem_new(struct revocation_desk);
    d->loop = l;
    d->redis = redis;
    d->records = records;
    d->settings = *settings;
    if (!d->settings.vouch_ms)
        d->settings.vouch_ms = VOUCH_MS;
    d->metrics = m;
    d->hooks = hooks;
    d->publish.run = on_publish;
    d->table = revocations_new(++d->number);
    map_init(&d->watched);
    const double period = (double)d->settings.vouch_ms / 1000.;
    ev_timer_init(&d->tick, on_tick, period, period);
    d->tick.data = d;
    ev_timer_start(l->ev, &d->tick);
    return d;
}

void revocation_desk_free(struct revocation_desk *d)
{
    size_t walk = 0;
    if (!d)
        return;
    ev_timer_stop(d->loop->ev, &d->tick);
    later_cancel(&d->publish);
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));) {
        struct watched *w = it->value;
        remember(w);
        while (!list_is_empty(&w->adds)) {
            struct adding *a = first_add(w);
            link_remove(&a->link);
            arena_fini(&a->arena);
            mem_free(a);
        }
        for (uint32_t i = 0; i < w->count; i++)
            kept_free(w->kept[i]);
        mem_free(w->kept);
        buf_fini(&w->head_bytes);
        revoked_list_unref(w->list);
        mem_free(w);
    }
    map_fini(&d->watched);
    revocations_unref(d->table);
    mem_free(d);
}

static struct watched *watched_new(struct revocation_desk *d, struct slice entity)
{
    struct watched *w = mem_new(struct watched);
    w->desk = d;
    memcpy(w->entity, entity.ptr, entity.len);
    w->head.first = 1;
    buf_init(&w->head_bytes, 256);
    list_init(&w->adds);
    w->list = revoked_list_new(entity_of(w));
    w->whole_at = loop_now(d->loop);
    (void)map_set(&d->watched, entity_of(w), w); /* new, as was seen */
    return w;
}

/* Keys that are gone, by a mistake at a reload, take back nothing of what was read by them. */
static void follow_one(struct revocation_desk *d, const struct keyring *k, struct slice entity)
{
    struct watched *w = map_get(&d->watched, entity);
    if (!w && k && entity_id_is_valid(entity))
        w = watched_new(d, entity);
    if (!w)
        return;
    w->is_followed = true;
    w->can_read = k && vault_name(k, VAULT_REVOKED, entity, SLICE("head"), w->head_name) &&
                  vault_name(k, VAULT_REVOKED, entity, SLICE("list"), w->list_name);
    if (!w->can_read) {
        w->is_whole = false;
        raise_alarm(w, "the keys that it is read by are gone");
        return;
    }
    if (!w->is_recalled)
        recall(w);
    read_list(w);
}

void revocation_desk_follow(struct revocation_desk *d, const struct slice *entities, size_t count)
{
    const struct keyring *k = records_keys(d->records);
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));)
        ((struct watched *)it->value)->is_followed = false;
    for (size_t i = 0; i < count; i++)
        follow_one(d, k && vault_is_open(k) ? k : NULL, entities[i]);
    publish(d);
}

void revocation_desk_up(struct revocation_desk *d)
{
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));) {
        struct watched *w = it->value;
        w->is_whole = false; /* to whom we speak is not known */
        read_list(w);
    }
}

void revocation_desk_news(struct revocation_desk *d, struct slice entity)
{
    struct watched *w = watched_of(d, entity);
    if (w)
        read_list(w);
}

const struct revocations *revocation_desk_table(const struct revocation_desk *d)
{
    return d->table;
}

bool revocation_desk_is_whole(const struct revocation_desk *d, struct slice entity)
{
    const struct watched *w = watched_of(d, entity);
    return w && w->is_whole && !w->alarm;
}

uint64_t revocation_desk_last(const struct revocation_desk *d, struct slice entity)
{
    const struct watched *w = watched_of(d, entity);
    return w ? w->last : 0;
}

const char *revocation_desk_alarm(const struct revocation_desk *d, struct slice entity)
{
    const struct watched *w = watched_of(d, entity);
    return w ? w->alarm : NULL;
}

uint32_t revocation_desk_alarms(const struct revocation_desk *d)
{
    uint32_t count = 0;
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));) {
        const struct watched *w = it->value;
        count += w->is_followed && w->alarm;
    }
    return count;
}

const struct revoked_entry *revocation_desk_entry(const struct revocation_desk *d,
                                                  struct slice entity, uint32_t at)
{
    const struct watched *w = watched_of(d, entity);
    return w && at < w->count ? &w->kept[at]->e : NULL;
}
