// SPDX-License-Identifier: EUPL-1.2
/* Adding to an entity's list: entry, head and event in one script, where the head is still the one
 * that we know; else it is read first, and tried again. An addition is done when it is read back.
 */
#include "auth/revocation_desk_in.h"

#include <inttypes.h>

#include "base/codec.h"
#include "base/entropy.h"
#include "base/mem.h"

#define COMMAND_LIMIT_MS 5000
#define TRIES 8       /* of an addition that others overtake */
#define ADDS_MAX 1024 /* that wait for one entity's list; a sign-out waits for its turn */

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

void adds_give_up(struct watched *w)
{
    while (!list_is_empty(&w->adds))
        adding_end(first_add(w), RECORD_AWAY);
}

void adds_drop(struct watched *w)
{
    while (!list_is_empty(&w->adds)) {
        struct adding *a = first_add(w);
        link_remove(&a->link);
        arena_fini(&a->arena);
        mem_free(a);
    }
}

static void on_added(void *owner, const redisReply *reply)
{
    struct watched *w = owner;
    w->is_writing = false;
    if (!redis_is_one(reply) &&
        (!reply || list_is_empty(&w->adds) || first_add(w)->tries >= TRIES)) {
        adds_give_up(w);
        return;
    }
    revocation_read(w); /* ours is among what is new, or another's that was quicker */
}

/* What waits first goes off; it is done when it is read back. */
static void write_add(struct watched *w, struct adding *a)
{
    const struct keyring *k = records_keys(w->desk->records);
    struct revoked_head h = w->head;
    struct buf entry, head;
    char n[24], first[24], until[24], epoch[32];
    uint8_t mac[32], random[16];
    const uint64_t keep = known_first_to_keep(w);
    a->tries++;
    a->e.n = w->last + 1;
    buf_init(&entry, REVOKED_ENTRY_MAX_BYTES);
    buf_init(&head, 256);
    entropy_bytes(random, sizeof random);
    hex_encode(epoch, random, sizeof random);
    h.last = a->e.n;
    if (keep > h.first) {
        h.first = keep;
        (void)known_mac(w, keep - 1, h.before_first); /* the last of those that go, which we have */
    }
    h.at = loop_wall(w->desk->loop);
    bool is_sent = revoked_entry_seal(k, revocation_entity(w), &a->e, w->end, h.at, &entry, mac);
    if (is_sent) {
        memcpy(h.end, mac, sizeof mac);
        is_sent =
            revoked_head_seal(k, revocation_entity(w), &h, &head) &&
            redis_send(w->desk->redis, COMMAND_LIMIT_MS, on_added, w,
                       (struct slice[]){
                           SLICE("EVAL"), slice_from(add_script, sizeof add_script - 1), SLICE("5"),
                           slice_of(w->head_name), slice_of(w->list_name), SLICE("belfry:epoch"),
                           SLICE("belfry:count"), SLICE("belfry:events"), buf_slice(&w->head_bytes),
                           buf_slice(&head), number_text(n, a->e.n), buf_slice(&entry),
                           revocation_entity(w), slice_from(epoch, sizeof epoch),
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
void adds_next(struct watched *w)
{
    while (!list_is_empty(&w->adds) && !w->is_writing && !w->is_reading) {
        struct adding *a = first_add(w);
        if (is_in(w, a))
            adding_end(a, RECORD_DONE);
        else if (!redis_is_up(w->desk->redis) || !w->is_whole || w->alarm)
            adding_end(a, RECORD_AWAY);
        else if (w->last + 1 - known_first_to_keep(w) >= REVOKED_LIST_MAX)
            adding_end(a, RECORD_NONE);
        else
            write_add(w, a);
    }
}

void revocation_desk_add(struct revocation_desk *d, struct slice entity,
                         const struct revoked_entry *e, record_done *done, void *owner)
{
    struct watched *w = revocation_followed(d, entity);
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
        adds_next(w);
    else if (!w->can_read || !redis_is_up(d->redis))
        adds_give_up(w);
    else
        revocation_read(w);
}

/* What lies at the front, long-lived, keeps what is over behind it from being forgotten: it is said
 * once more at the end. */
void adds_carry_on(struct watched *w)
{
    const uint32_t alive = revoked_list_count(w->list, loop_wall(w->desk->loop));
    if (w->count < 64 || w->count < 2 * alive + 64 || !list_is_empty(&w->adds) || !w->is_whole ||
        w->alarm)
        return;
    const uint64_t first = known_first_to_keep(w);
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
        adds_next(w);
        return;
    }
}
