// SPDX-License-Identifier: EUPL-1.2
/* Asked at the worker, answered at the control thread, put into the worker's cache. */
#include "proxy/session_errand.h"

#include "auth/session_cache.h"
#include "base/mem.h"
#include "base/secret.h"
#include "policy/serials.h"
#include "proxy/live.h"

struct session_errand {
    struct errand errand;
    char entity[ENTITY_ID_MAX + 1];
    char id[SESSION_ID_CHARS];
    size_t id_len;
    struct session *session; /* to change; NULL: to load */
    struct session_changed changed;
    struct arena arena;
    enum session_answer answer;
    struct session *found;
};

static struct session_errand *own(struct errand *self)
{
    return container_of(self, struct session_errand, errand);
}

static void on_answer(void *owner, enum session_answer answer, struct session *take)
{
    struct session_errand *e = owner;
    e->answer = answer;
    e->found = take;
    errand_done(&e->errand);
}

static void run(struct errand *self, struct desks *desks)
{
    struct session_errand *e = own(self);
    const struct slice id = slice_from(e->id, e->id_len);
    if (e->session)
        session_desk_change(desks->sessions, e->session, &e->changed, on_answer, e);
    else
        session_desk_load(desks->sessions, slice_of(e->entity), id, on_answer, e);
}

static void back(struct errand *self, struct exchange *x)
{
    struct session_errand *e = own(self);
    struct session_cache *cache = self->worker->sessions;
    const struct slice id = slice_from(e->id, e->id_len);
    if (x)
        x->session_answer = e->answer;
    if (e->answer == SESSION_AWAY && e->session)
        session_cache_touch_failed(cache, slice_of(e->entity), id);
    if (e->answer != SESSION_HERE) {
        if (e->answer == SESSION_NONE)
            session_cache_drop(cache, slice_of(e->entity), id);
        if (e->answer == SESSION_NONE && e->session) /* its streams do not ask */
            live_end_session(self->worker, e->session->entity, e->session->handle);
        if (x)
            exchange_take_past(x, e->found);
        else
            session_unref(e->found);
    } else if (e->found) {
        session_cache_add(cache, id, e->found);
    }
    e->found = NULL;
}

static void drop(struct errand *self)
{
    struct session_errand *e = own(self);
    session_unref(e->session);
    session_unref(e->found);
    arena_fini(&e->arena);
    wipe(e->id, sizeof e->id);
    mem_free(e);
}

static struct session_errand *errand_new(enum errand_kind kind, struct slice entity,
                                         struct slice id)
{
    struct session_errand *e = mem_new(struct session_errand);
    e->errand = (struct errand){.kind = kind, .run = run, .back = back, .drop = drop};
    arena_init(&e->arena, NULL);
    if (entity.len < sizeof e->entity)
        memcpy(e->entity, entity.ptr, entity.len);
    e->id_len = id.len < sizeof e->id ? id.len : sizeof e->id;
    memcpy(e->id, id.ptr, e->id_len);
    return e;
}

struct errand *errand_for_session(struct slice entity, struct slice id)
{
    return &errand_new(ERRAND_SESSION, entity, id)->errand;
}

struct errand *errand_for_session_change(struct slice id, struct session *s,
                                         const struct session_changed *changed)
{
    struct session_errand *e = errand_new(ERRAND_SESSION_CHANGE, s->entity, id);
    e->session = session_ref(s);
    e->changed = *changed;
    e->changed.language = arena_copy(&e->arena, changed->language);
    e->changed.identity = NULL; /* a worker has none to give */
    if (changed->device) {      /* of which id and digest count (session_with) */
        struct facts_device *device = arena_new(&e->arena, struct facts_device);
        device->id = arena_copy(&e->arena, changed->device->id);
        memcpy(device->digest, changed->device->digest, sizeof device->digest);
        e->changed.device = device;
    }
    return &e->errand;
}

void session_touch(struct worker *w, struct slice id, struct session *s)
{
    const struct wall now = loop_wall(&w->loop);
    if (session_cache_may_touch(w->sessions, s->entity, id, now))
        errand_post(w, errand_for_session_change(
                           id, s, &(struct session_changed){.what = SESSION_SEEN, .at = now}));
}
