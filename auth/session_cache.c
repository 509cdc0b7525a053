// SPDX-License-Identifier: EUPL-1.2
/* As the tokens' cache: chains over a list in order of use. The id is kept as it is, since it must
 * be compared by all bytes, and wiped when it goes. */
#include "auth/session_cache.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/secret.h"

#define TOUCH_AGAIN_S 3 /* while the store is away */

struct known {
    struct known *next_in_slot;
    struct link used; /* the one used last at the end */
    uint64_t hash;
    char id[SESSION_ID_CHARS];
    struct session *session;
    bool is_untold;      /* the store did not take it: it is said again soon */
    uint64_t judged_on;  /* number of the table of revocations that it was looked up in */
    int64_t touched_s;   /* somebody was there, and that was sent off: maybe to no store */
    int64_t deferred_s;  /* until then nobody asks its provider again */
    struct slice entity; /* the session's */
};

struct session_cache {
    struct link used;
    uint32_t count;
    uint32_t limit;
    uint32_t mask;
    struct known **slots;
};

struct session_cache *session_cache_new(uint32_t entries)
{
    struct session_cache *c = mem_new(struct session_cache);
    uint32_t room = 1;
    while (room < entries && room < (1u << 24))
        room *= 2;
    c->limit = entries ? entries : 1;
    c->mask = room - 1;
    c->slots = mem_array(struct known *, room);
    list_init(&c->used);
    return c;
}

static void drop(struct session_cache *c, struct known *k)
{
    struct known **at = &c->slots[k->hash & c->mask];
    while (*at != k)
        at = &(*at)->next_in_slot;
    *at = k->next_in_slot;
    link_remove(&k->used);
    c->count--;
    session_unref(k->session);
    wipe(k->id, sizeof k->id);
    mem_free(k);
}

void session_cache_forget(struct session_cache *c)
{
    while (!list_is_empty(&c->used))
        drop(c, container_of(c->used.next, struct known, used));
}

void session_cache_free(struct session_cache *c)
{
    if (!c)
        return;
    session_cache_forget(c);
    mem_free(c->slots);
    mem_free(c);
}

/* Of the same id two entities have two sessions: the record's name is of both. */
static struct known *find(const struct session_cache *c, struct slice entity, struct slice id,
                          uint64_t hash)
{
    for (struct known *k = c->slots[hash & c->mask]; k; k = k->next_in_slot)
        if (k->hash == hash && id.len == sizeof k->id && secret_eq(k->id, id.ptr, sizeof k->id) &&
            slice_eq(k->entity, entity))
            return k;
    return NULL;
}

/* A table that it was looked up in need not be asked again: only time ends entries. */
static bool is_revoked(struct known *k, const struct revocations *revoked, struct wall now)
{
    if (!revoked || k->judged_on == revoked->number)
        return false;
    if (revocations_session(revoked, k->session, now))
        return true;
    k->judged_on = revoked->number;
    return false;
}

struct session *session_cache_find(struct session_cache *c, struct slice entity,
                                   struct slice application, struct slice id,
                                   const struct revocations *revoked, struct wall now)
{
    struct known *k = find(c, entity, id, table_hash(id));
    if (!k)
        return NULL;
    if (session_is_over(k->session, (struct wall){k->touched_s}, now) ||
        is_revoked(k, revoked, now)) {
        drop(c, k);
        return NULL;
    }
    link_remove(&k->used);
    list_push(&c->used, &k->used);
    return slice_eq(k->session->application, application) ? k->session : NULL;
}

bool session_cache_may_touch(struct session_cache *c, struct slice entity, struct slice id,
                             struct wall now)
{
    struct known *k = find(c, entity, id, table_hash(id));
    if (!k)
        return true;
    if (now.s - k->touched_s < (k->is_untold ? TOUCH_AGAIN_S : SESSION_SEEN_EVERY_S))
        return false;
    k->touched_s = now.s;
    k->is_untold = false;
    return true;
}

void session_cache_touch_failed(struct session_cache *c, struct slice entity, struct slice id)
{
    struct known *k = find(c, entity, id, table_hash(id));
    if (k)
        k->is_untold = true;
}

bool session_cache_is_deferred(struct session_cache *c, struct slice entity, struct slice id,
                               struct wall now)
{
    const struct known *k = find(c, entity, id, table_hash(id));
    return k && now.s < k->deferred_s;
}

void session_cache_defer(struct session_cache *c, struct slice entity, struct slice id,
                         struct wall until)
{
    struct known *k = find(c, entity, id, table_hash(id));
    if (k)
        k->deferred_s = until.s;
}

void session_cache_add(struct session_cache *c, struct slice id, struct session *take)
{
    const uint64_t hash = table_hash(id);
    struct known *k = find(c, take->entity, id, hash);
    if (id.len != sizeof k->id || (k && k->session->version > take->version)) {
        session_unref(take);
        return;
    }
    if (k) {
        session_unref(k->session);
    } else {
        if (c->count == c->limit)
            drop(c, container_of(c->used.next, struct known, used));
        k = mem_new(struct known);
        k->hash = hash;
        memcpy(k->id, id.ptr, sizeof k->id);
        k->next_in_slot = c->slots[hash & c->mask];
        c->slots[hash & c->mask] = k;
        list_push(&c->used, &k->used);
        c->count++;
    }
    k->session = take;
    k->entity = take->entity;
    k->judged_on = 0;
}

void session_cache_drop(struct session_cache *c, struct slice entity, struct slice id)
{
    struct known *k = find(c, entity, id, table_hash(id));
    if (k)
        drop(c, k);
}
