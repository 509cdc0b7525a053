// SPDX-License-Identifier: EUPL-1.2
/* The store's list of one entity: read behind what is known, compared, and mended where the store
 * has lost of it. One reading and one writing are under way at most. A failed reading changes
 * nothing but the alarm; entries that are proven count at once. */
#include "auth/revocation_desk_in.h"

#include <assert.h>
#include <inttypes.h>

#include "base/logger.h"
#include "base/mem.h"

#define COMMAND_LIMIT_MS 5000
#define READ_AT_ONCE "256"  /* entries of one answer: half a megabyte at most */
#define RESTORE_AT_ONCE 256 /* the rest follows with the next reading */
#define WRITINGS_MAX 128    /* of heads, in one period; a restored list takes one for 248 entries */
#define CLOCKS_DIFFER_S 30  /* between gateways; and what a fail-over of the store may lose */
#define CLOCK_BROKEN_S 300  /* a head from so far in the future says nothing */

/* ---- replies ---- */

static struct slice reply_text(const redisReply *reply)
{
    return redis_is_text(reply) ? slice_from(reply->str, reply->len) : (struct slice){"", 0};
}

struct slice number_text(char room[24], uint64_t n)
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
    revocation_read(w);
}

static void vouch(struct watched *w)
{
    struct revoked_head h = w->head;
    struct buf bytes;
    if (!may_write(w))
        return;
    h.at = loop_wall(w->desk->loop);
    buf_init(&bytes, 256);
    w->is_writing =
        revoked_head_seal(records_keys(w->desk->records), revocation_entity(w), &h, &bytes) &&
        redis_send(w->desk->redis, COMMAND_LIMIT_MS, on_vouched, w,
                   (struct slice[]){
                       SLICE("EVAL"), slice_from(vouch_script, sizeof vouch_script - 1), SLICE("1"),
                       slice_of(w->head_name), buf_slice(&w->head_bytes), buf_slice(&bytes)},
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
    if (redis_is_one(reply)) {
        metric_add(w->desk->metrics, METRIC_REVOCATIONS_RESTORED_TOTAL, 1);
        log_warning("revocations", "of '%s': what the store had lost is there again", w->entity);
    }
    revocation_read(w);
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
    if (revoked_head_seal(records_keys(w->desk->records), revocation_entity(w), &h, &bytes)) {
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

/* The store's head says less than we have seen. */
static void is_shorter(struct watched *w, const struct revoked_head *there)
{
    uint8_t mac[32];
    const bool is_ours = !there || !there->last ||
                         (known_mac(w, there->last, mac) && !memcmp(mac, there->end, sizeof mac));
    revocation_alarm(w, "the store's list is shorter than what was seen");
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
        revocation_alarm(w, "the store has another list under the same numbers");
        return;
    }
    if (h->at.s + CLOCKS_DIFFER_S < w->head.at.s && w->head.at.s < now_s + CLOCK_BROKEN_S) {
        revocation_alarm(w, "the store's list is older than what was seen");
        vouch(w);
        return;
    }
    known_forget_before(w, h->first);
    known_head(w, h, head_bytes);
    if (is_late || !head_bytes.len)
        vouch(w); /* whole once the store has taken it */
    else
        revocation_is_well(w);
    adds_next(w);
}

static void on_list(void *owner, const redisReply *reply)
{
    struct watched *w = owner;
    struct revoked_head h = {.first = 1};
    const uint64_t before = w->last;
    w->is_reading = false;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || !reply->elements) {
        if (reply)
            revocation_alarm(w, "the store's answer has no meaning");
        adds_next(w); /* whoever waits is told that it is away */
        return;
    }
    const struct slice head_bytes = reply_text(reply->element[0]);
    const bool is_there = head_bytes.len != 0;
    buf_clear(&w->head_bytes);
    if (!buf_add(&w->head_bytes, head_bytes)) {
        revocation_alarm(w, "the head of the store's list is not ours");
        return;
    }
    if (is_there &&
        !revoked_head_open(records_keys(w->desk->records), revocation_entity(w), head_bytes, &h)) {
        revocation_alarm(w, "the head of the store's list is not ours");
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
           known_take(w, reply_text(reply->element[i])))
        i++;
    if (w->last != before) {
        known_list(w);
        revocation_publish(w->desk);
    }
    if (!w->must_read && w->last < h.last && w->last == before) {
        revocation_alarm(w, i < reply->elements ? "an entry of the store's list is not ours"
                                                : "a number is missing in the store's list");
        return;
    }
    if (w->must_read || w->last < h.last) {
        w->must_read = false;
        revocation_read(w);
        return;
    }
    settle(w, &h, head_bytes);
}

void revocation_read(struct watched *w)
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
