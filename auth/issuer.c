// SPDX-License-Identifier: EUPL-1.2
/* The desk: one `followed` for each provider of the snapshot in force, each in one of these states.
 *
 *     follow ──► FETCHING ──good──► RESTING (until 3/4 of the set's life) ──► FETCHING
 *                   │  ▲
 *                 bad  └─── PAUSING (1 s, doubled up to 60 s; the last good set stays)
 *                   └────────────►
 *
 * A wish cuts RESTING short (ISSUER_REFETCH_MS after the last fetch's beginning) and PAUSING
 * (ISSUER_AWAY_MS); one that comes while FETCHING has the next fetch, where there is a set already.
 *
 *     FETCHING  `fetch` is set; the timer rests. Discovery first where there is no jwks_uri.
 *     others    `fetch` is NULL; the timer runs. Where the bundle holds the keys there is none.
 *
 * Owns: the sets, when they are asked for, and where a URL may lead. Does not own: HTTP
 * (base/fetch), the form of a set (jwks.c). All on the control thread's loop. */
#include "auth/issuer.h"

#include "auth/discovery.h"
#include "auth/issuers_in.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/delegation.h"

#define FETCH_LIMIT_MS 5000
#define LIFE_DEFAULT_S 600 /* of a set whose answer says nothing */
#define LIFE_MIN_S 60
#define LIFE_MAX_S 3600
#define PAUSE_MAX_S 60

struct issuer_desk {
    struct loop *loop;
    struct fetcher *fetcher;
    struct metrics *metrics;
    struct issuer_hooks hooks;
    char *ca_file;
    struct snapshot *snapshot; /* what the followed point into; NULL before the first */
    struct link followed;
};

struct followed {
    struct link link;
    struct issuer_desk *desk;
    const struct provider *provider; /* of the desk's snapshot */
    struct key_set *set;             /* NULL: none yet */
    struct fetch *fetch;
    ev_timer due;
    int64_t pause_s;      /* after the last failure; 0: the last fetch was good */
    struct mono begun_at; /* the last fetch */
    struct link wishes;   /* the fetch that is under way, or comes next, answers them */
    struct link late;     /* came while one was: what it brings may be older than their key */
};

/* Somebody who waits for the end of a fetch. */
struct issuer_wish {
    struct link link;
    void (*answered)(void *owner);
    void *owner;
};

static void fetch_begin(struct followed *p);

/* The table */

static void publish(struct issuer_desk *d)
{
    uint32_t count = 0;
    list_each (at, &d->followed)
        count++;
    struct issuers_entry *entries = mem_array(struct issuers_entry, (size_t)count + 1);
    count = 0;
    list_each (at, &d->followed) {
        const struct followed *p = container_of(at, struct followed, link);
        if (!p->set)
            continue;
        memcpy(entries[count].provider_digest, p->provider->digest,
               sizeof entries[count].provider_digest);
        entries[count++].set = p->set;
    }
    struct issuers *table = issuers_new(entries, count);
    mem_free(entries);
    d->hooks.changed(d->hooks.owner, table);
}

static void wishes_answer(struct followed *p)
{
    // Whoever is answered may wish again: that is for the next time.
    struct link now;
    list_init(&now);
    list_move(&p->wishes, &now);
    while (!list_is_empty(&now)) {
        struct issuer_wish *wish = container_of(now.next, struct issuer_wish, link);
        link_remove(&wish->link);
        wish->answered(wish->owner);
        mem_free(wish);
    }
}

/* Where a fetch may lead */

static const struct charter_entity *entity_of(const struct followed *p)
{
    return snapshot_entity(p->desk->snapshot, p->provider->entity);
}

/* Of every address that a name turned out to be: only the entity's own networks (no network: none),
 * so that no name leads to this machine, to the store or to another entity. */
static bool may_connect(void *owner, const struct sockaddr *address)
{
    const struct charter_entity *entity = entity_of(owner);
    for (uint32_t i = 0; entity && i < entity->fetch_network_count; i++)
        if (network_has(&entity->fetch_networks[i], address))
            return true;
    return false;
}

/* Of every URL, also those that a discovery document brings. */
static bool is_url_allowed(const struct followed *p, struct slice url, struct fault *f)
{
    const struct charter_entity *entity = entity_of(p);
    return entity ? delegation_has_url(entity, url, f)
                  : fault_set(f, FAULT_TRUST, "the charter does not name this entity");
}

/* One fetch, from its beginning to its end */

static void rest_for_ms(struct followed *p, int64_t ms)
{
    ev_timer_stop(p->desk->loop->ev, &p->due);
    ev_timer_set(&p->due, (double)ms / 1000, 0.);
    ev_timer_start(p->desk->loop->ev, &p->due);
}

static void rest_for(struct followed *p, int64_t seconds)
{
    rest_for_ms(p, seconds * 1000);
}

/* Of ISSUER_REFETCH_MS or the like, counted from the last fetch's beginning: what is left. */
static int64_t left_ms(const struct followed *p, int64_t of_ms)
{
    return p->begun_at.ms + of_ms - loop_now(p->desk->loop).ms;
}

/* Of wishes, while the provider answers. */
static void rest_until_slot(struct followed *p)
{
    const int64_t ms = left_ms(p, ISSUER_REFETCH_MS);
    rest_for_ms(p, ms > 0 ? ms : 0);
}

static void end_bad(struct followed *p, const struct fault *why)
{
    struct fault fault = *why;
    fault_within(&fault, "keys of identity provider '%.*s' of '%.*s'", SLICE_ARG(p->provider->id),
                 SLICE_ARG(p->provider->entity));
    log_fault(LOG_LEVEL_WARNING, "auth", &fault);
    metric_add(p->desk->metrics, METRIC_JWKS_FAILURES_TOTAL, 1);
    p->pause_s = !p->pause_s ? 1 : p->pause_s * 2 < PAUSE_MAX_S ? p->pause_s * 2 : PAUSE_MAX_S;
    rest_for(p, p->pause_s);
    list_move(&p->late, &p->wishes);
    wishes_answer(p);
}

static int64_t life_of(int64_t max_age_s)
{
    if (max_age_s < 0)
        return LIFE_DEFAULT_S;
    return max_age_s < LIFE_MIN_S ? LIFE_MIN_S : max_age_s > LIFE_MAX_S ? LIFE_MAX_S : max_age_s;
}

static void end_good(struct followed *p, struct key_set *take, int64_t max_age_s)
{
    key_set_unref(p->set);
    p->set = take;
    p->pause_s = 0;
    metric_add(p->desk->metrics, METRIC_JWKS_FETCHES_TOTAL, 1);
    rest_for(p, life_of(max_age_s) * 3 / 4);
    publish(p->desk);
    wishes_answer(p);
    list_move(&p->late, &p->wishes);
    if (!p->fetch && !list_is_empty(&p->wishes))
        rest_until_slot(p);
}

static struct key_set *keys_read(const struct followed *p, struct slice text, struct fault *f)
{
    const enum key_use use = p->provider->trust_domain.len ? KEY_USE_JWT_SVID : KEY_USE_SIGNATURES;
    return key_set_parse_for(use, text, p->provider->algorithms, loop_wall(p->desk->loop), f);
}

static void on_keys(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct followed *p = owner;
    struct fault fault;
    struct key_set *set = NULL;
    p->fetch = NULL;
    if (!answer->status)
        fault = *why;
    else if (answer->status != 200)
        fault_set(&fault, FAULT_IO, "the key set was answered with status %d", answer->status);
    else
        set = keys_read(p, answer->body, &fault);
    if (set)
        end_good(p, set, answer->max_age_s);
    else
        end_bad(p, &fault);
}

static bool get(struct followed *p, struct slice url,
                void (*done)(void *, const struct fetch_answer *, const struct fault *),
                struct fault *f)
{
    if (!is_url_allowed(p, url, f))
        return false;
    p->fetch = fetch_start(p->desk->fetcher, &(struct fetch_request){.url = url,
                                                                     .ca_file = p->desk->ca_file,
                                                                     .limit_ms = FETCH_LIMIT_MS,
                                                                     .may_connect = may_connect,
                                                                     .done = done,
                                                                     .owner = p});
    return true;
}

static void on_discovery(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct followed *p = owner;
    struct fault fault;
    struct arena arena;
    struct discovery said;
    p->fetch = NULL; // the keys' own answer says how long they live
    bool is_good = false;
    arena_init(&arena, NULL);
    if (!answer->status)
        fault = *why;
    else if (answer->status != 200)
        fault_set(&fault, FAULT_IO, "discovery was answered with status %d", answer->status);
    else
        is_good = discovery_read(&said, &arena, answer->body, p->provider->issuer, &fault) &&
                  get(p, said.jwks_uri, on_keys, &fault);
    arena_fini(&arena);
    if (!is_good)
        end_bad(p, &fault);
}

static bool discovery_begin(struct followed *p, struct fault *f)
{
    struct arena arena;
    arena_init(&arena, NULL);
    const bool has_begun = get(p, discovery_url(&arena, p->provider->issuer), on_discovery, f);
    arena_fini(&arena);
    return has_begun;
}

static void fetch_begin(struct followed *p)
{
    struct fault fault;
    if (p->fetch || p->provider->jwks.len)
        return;
    ev_timer_stop(p->desk->loop->ev, &p->due);
    p->begun_at = loop_now(p->desk->loop);
    const bool has_begun = p->provider->jwks_uri.len
                               ? get(p, p->provider->jwks_uri, on_keys, &fault)
                               : discovery_begin(p, &fault);
    if (!has_begun)
        end_bad(p, &fault);
}

static void on_due(struct ev_loop *ev, ev_timer *due, int events)
{
    (void)ev;
    (void)events;
    fetch_begin(due->data);
}

/* Which providers */

static struct followed *followed_find(const struct issuer_desk *d, const uint8_t digest[32])
{
    list_each (at, &d->followed) {
        struct followed *p = container_of(at, struct followed, link);
        if (!memcmp(p->provider->digest, digest, sizeof p->provider->digest))
            return p;
    }
    return NULL;
}

static struct followed *followed_new(struct issuer_desk *d, const struct provider *provider)
{
    struct followed *p = mem_new(struct followed);
    struct fault fault;
    p->desk = d;
    p->provider = provider;
    list_init(&p->wishes);
    list_init(&p->late);
    ev_init(&p->due, on_due);
    p->due.data = p;
    if (!provider->jwks.len)
        return p;
    p->set = keys_read(p, provider->jwks, &fault);
    if (!p->set) {
        fault_within(&fault, "keys of identity provider '%.*s' of '%.*s'", SLICE_ARG(provider->id),
                     SLICE_ARG(provider->entity));
        log_fault(LOG_LEVEL_WARNING, "auth", &fault);
    }
    return p;
}

/* Wishes end unanswered; to answer them is the caller's part. */
static void followed_free(struct followed *p)
{
    link_remove(&p->link);
    fetch_cancel(p->fetch);
    ev_timer_stop(p->desk->loop->ev, &p->due);
    list_move(&p->late, &p->wishes);
    while (!list_is_empty(&p->wishes)) {
        struct issuer_wish *wish = container_of(p->wishes.next, struct issuer_wish, link);
        link_remove(&wish->link);
        mem_free(wish);
    }
    key_set_unref(p->set);
    mem_free(p);
}

struct issuer_desk *issuer_desk_new(struct loop *l, const struct issuer_settings *settings,
                                    struct metrics *m, struct issuer_hooks hooks)
{
    struct issuer_desk *d = mem_new(struct issuer_desk);
    d->loop = l;
    d->fetcher = fetcher_new(l);
    d->metrics = m;
    d->hooks = hooks;
    d->ca_file = settings->ca_file ? mem_text(slice_of(settings->ca_file)) : NULL;
    list_init(&d->followed);
    return d;
}

void issuer_desk_free(struct issuer_desk *d)
{
    if (!d)
        return;
    while (!list_is_empty(&d->followed))
        followed_free(container_of(d->followed.next, struct followed, link));
    fetcher_free(d->fetcher);
    snapshot_unref(d->snapshot);
    mem_free(d->ca_file);
    mem_free(d);
}

/* Whether both have their keys from the same place, read by the same rules. */
static bool is_same_source(const struct provider *a, const struct provider *b)
{
    return !a->jwks.len && !b->jwks.len && slice_eq(a->entity, b->entity) &&
           slice_eq(a->id, b->id) && slice_eq(a->issuer, b->issuer) &&
           slice_eq(a->trust_domain, b->trust_domain) && slice_eq(a->jwks_uri, b->jwks_uri) &&
           a->algorithms == b->algorithms;
}

/* A provider of which other settings changed begins with the keys that it had, and asks for them
 * again at once: that a bundle names another claim cuts nobody off while the provider is away. */
static void inherit(struct followed *p, const struct link *before)
{
    list_each (at, before) {
        const struct followed *old = container_of(at, struct followed, link);
        if (!old->set || !is_same_source(old->provider, p->provider))
            continue;
        p->set = key_set_ref(old->set);
        rest_for(p, 0);
        return;
    }
}

/* Takes it over from those that were followed, or begins with it. True where the table has another
 * set. */
static bool follow_one(struct issuer_desk *d, struct link *before, const struct provider *provider)
{
    list_each (at, before) {
        struct followed *p = container_of(at, struct followed, link);
        if (memcmp(p->provider->digest, provider->digest, sizeof provider->digest) != 0)
            continue;
        link_remove(&p->link);
        p->provider = provider; // the same in a newer snapshot
        list_push(&d->followed, &p->link);
        return false;
    }
    struct followed *p = followed_new(d, provider);
    inherit(p, before);
    list_push(&d->followed, &p->link);
    return p->set != NULL;
}

void issuer_desk_follow(struct issuer_desk *d, struct snapshot *s)
{
    struct snapshot *last = d->snapshot;
    struct link before;
    bool is_changed = !last; // the first table, be it empty
    list_init(&before);
    list_move(&d->followed, &before);
    d->snapshot = snapshot_ref(s);
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle *bundle = s->bundles[i]->bundle;
        for (uint32_t k = 0; k < bundle->provider_count; k++)
            if (follow_one(d, &before, &bundle->providers[k]))
                is_changed = true;
    }
    list_each (at, &before)
        is_changed |= container_of(at, struct followed, link)->set != NULL;
    if (is_changed)
        publish(d);
    // Also those that pause: the charter may allow now what it did not.
    list_each (at, &d->followed) {
        struct followed *p = container_of(at, struct followed, link);
        if (!p->set)
            fetch_begin(p);
    }
    while (!list_is_empty(&before)) {
        struct followed *p = container_of(before.next, struct followed, link);
        list_move(&p->late, &p->wishes);
        wishes_answer(p);
        followed_free(p);
    }
    snapshot_unref(last); // those that are gone pointed into it
}

struct issuer_wish *issuer_desk_want(struct issuer_desk *d, const uint8_t provider_digest[32],
                                     void (*answered)(void *owner), void *owner)
{
    struct followed *p = followed_find(d, provider_digest);
    const bool is_late = p && p->fetch && p->set;
    if (p && !p->fetch && left_ms(p, p->pause_s ? ISSUER_AWAY_MS : ISSUER_REFETCH_MS) <= 0)
        fetch_begin(p);
    if (!p || p->provider->jwks.len || (!p->fetch && p->pause_s)) {
        answered(owner);
        return NULL;
    }
    if (!p->fetch)
        rest_until_slot(p);
    struct issuer_wish *wish = mem_new(struct issuer_wish);
    wish->answered = answered;
    wish->owner = owner;
    list_push(is_late ? &p->late : &p->wishes, &wish->link);
    return wish;
}

bool issuer_desk_is_current(const struct issuer_desk *d, const uint8_t provider_digest[32])
{
    const struct followed *p = followed_find(d, provider_digest);
    return p && p->set && !p->fetch && !p->pause_s;
}

void issuer_desk_unwant(struct issuer_wish *take)
{
    if (!take)
        return;
    link_remove(&take->link);
    mem_free(take);
}

const struct key_set *issuer_desk_keys(const struct issuer_desk *d, const struct provider *p)
{
    const struct followed *followed = followed_find(d, p->digest);
    if (!followed || !followed->set)
        return NULL;
    const bool is_stale =
        !p->jwks.len && loop_wall(d->loop).s - followed->set->fetched_at.s > p->keys_max_stale_s;
    return is_stale ? NULL : followed->set;
}

uint32_t issuer_desk_without_keys(const struct issuer_desk *d)
{
    const struct wall now = loop_wall(d->loop);
    uint32_t count = 0;
    list_each (at, &d->followed) {
        const struct followed *p = container_of(at, struct followed, link);
        count += !p->set || (!p->provider->jwks.len &&
                             now.s - p->set->fetched_at.s > p->provider->keys_max_stale_s);
    }
    return count;
}
