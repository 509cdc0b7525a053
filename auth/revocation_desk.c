// SPDX-License-Identifier: EUPL-1.2
/* The desk. For each entity one struct watched, with at most one reading and one writing under way:
 *
 *     read    head and entries behind the last one that we have, of one moment (a script);
 *             each entry proves that it stands behind the one before; then the head is compared
 *     vouch   the head again with the time of now, where nobody did within ten seconds
 *     restore what the store has lost               (these three: revocation_read.c)
 *     add     entry, head and event, where the head is still the one that we know; else read first
 *             (revocation_add.c)
 *
 * Owns: which entities are followed, what is wrong with them, the table. */
#include "auth/revocation_desk_in.h"

#include "base/logger.h"
#include "base/mem.h"

#define VOUCH_MS 10000

/* ---- what is handed out ---- */

void revocation_publish(struct revocation_desk *d)
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
    revocation_publish(container_of(self, struct revocation_desk, publish));
}

void revocation_alarm(struct watched *w, const char *what)
{
    if (w->alarm != what) {
        w->alarm = what;
        log_error("revocations", "of '%s': %s; what is known of them stays in force", w->entity,
                  what);
        loop_later(w->desk->loop, &w->desk->publish);
    }
    adds_give_up(w);
}

void revocation_is_well(struct watched *w)
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

struct watched *revocation_followed(const struct revocation_desk *d, struct slice entity)
{
    struct watched *w = map_get(&d->watched, entity);
    return w && w->is_followed ? w : NULL;
}

/* ---- life ---- */

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
        revocation_remember(w);
        adds_carry_on(w);
        revocation_read(w);
    }
    if (has_changed)
        revocation_publish(d);
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
        revocation_remember(w);
        adds_drop(w);
        known_free(w);
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
    w->list = revoked_list_new(revocation_entity(w));
    w->whole_at = loop_now(d->loop);
    (void)map_set(&d->watched, revocation_entity(w), w); /* new, as was seen */
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
        revocation_alarm(w, "the keys that it is read by are gone");
        return;
    }
    if (!w->is_recalled)
        revocation_recall(w);
    revocation_read(w);
}

void revocation_desk_follow(struct revocation_desk *d, const struct slice *entities, size_t count)
{
    const struct keyring *k = records_keys(d->records);
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));)
        ((struct watched *)it->value)->is_followed = false;
    for (size_t i = 0; i < count; i++)
        follow_one(d, k && vault_is_open(k) ? k : NULL, entities[i]);
    revocation_publish(d);
}

void revocation_desk_up(struct revocation_desk *d)
{
    size_t walk = 0;
    for (const struct map_entry *it; (it = map_next(&d->watched, &walk));) {
        struct watched *w = it->value;
        w->is_whole = false; /* to whom we speak is not known */
        revocation_read(w);
    }
}

void revocation_desk_news(struct revocation_desk *d, struct slice entity)
{
    struct watched *w = revocation_followed(d, entity);
    if (w)
        revocation_read(w);
}

const struct revocations *revocation_desk_table(const struct revocation_desk *d)
{
    return d->table;
}

bool revocation_desk_is_whole(const struct revocation_desk *d, struct slice entity)
{
    const struct watched *w = revocation_followed(d, entity);
    return w && w->is_whole && !w->alarm;
}

uint64_t revocation_desk_last(const struct revocation_desk *d, struct slice entity)
{
    const struct watched *w = revocation_followed(d, entity);
    return w ? w->last : 0;
}

const char *revocation_desk_alarm(const struct revocation_desk *d, struct slice entity)
{
    const struct watched *w = revocation_followed(d, entity);
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
    const struct watched *w = revocation_followed(d, entity);
    return w && at < w->count ? &w->kept[at]->e : NULL;
}
