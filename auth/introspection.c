// SPDX-License-Identifier: EUPL-1.2
/* The desk: a table of what was asked, in order of use. An entry is under way (`fetch` is set,
 * those who wait are in `waiting`) or answered (until its time is over). Owns: the questions and
 * their answers. Does not own: HTTP (base/fetch), the client's secret (client_secret.c). */
#include "auth/introspection.h"

#include "auth/client_secret.h"
#include "base/fault.h"
#include "base/fetch.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/delegation.h"

#define SLOTS 4096 /* a power of two */
#define ANSWER_MAX_BYTES 65536
#define TROUBLE_S 1 /* a provider that has trouble is not asked about one token more often */

struct introspection_desk {
    struct loop *loop;
    struct fetcher *fetcher;
    struct metrics *metrics;
    char *ca_file;
    struct snapshot *snapshot;
    struct link used;   /* the one used last at the end */
    struct link asking; /* those that are under way, again: a few */
    uint32_t count;
    struct entry *slots[SLOTS];
};

struct entry {
    struct link used;
    struct link asking;
    struct entry *next_in_slot;
    struct introspection_desk *desk;
    struct snapshot *snapshot;       /* held while it is under way, with the provider in it */
    const struct provider *provider; /* only compared once it is answered */
    struct fetch *fetch;
    struct link waiting;
    uint8_t key[32];
    enum reason reason;
    struct slice body; /* owned */
    int64_t until_ms;  /* of the loop's time */
};

struct waiter {
    struct link link;
    void (*answered)(void *owner, enum reason reason, struct slice body);
    void *owner;
};

static struct entry **slot_of(struct introspection_desk *d, const uint8_t key[32])
{
    uint32_t at;
    memcpy(&at, key, sizeof at); // a digest: as good as any hash
    return &d->slots[at & (SLOTS - 1)];
}

static void entry_free(struct entry *e)
{
    struct entry **at = slot_of(e->desk, e->key);
    while (*at != e)
        at = &(*at)->next_in_slot;
    *at = e->next_in_slot;
    link_remove(&e->used);
    link_remove(&e->asking);
    e->desk->count--;
    fetch_cancel(e->fetch);
    while (!list_is_empty(&e->waiting)) {
        struct waiter *w = container_of(e->waiting.next, struct waiter, link);
        link_remove(&w->link);
        mem_free(w);
    }
    snapshot_unref(e->snapshot);
    mem_slice_free(&e->body);
    mem_free(e);
}

struct introspection_desk *introspection_desk_new(struct loop *l, const char *ca_file,
                                                  struct metrics *m)
{
    struct introspection_desk *d = mem_new(struct introspection_desk);
    d->loop = l;
    d->fetcher = fetcher_new(l);
    d->metrics = m;
    d->ca_file = ca_file ? mem_text(slice_of(ca_file)) : NULL;
    list_init(&d->used);
    list_init(&d->asking);
    return d;
}

void introspection_desk_free(struct introspection_desk *d)
{
    if (!d)
        return;
    while (!list_is_empty(&d->used))
        entry_free(container_of(d->used.next, struct entry, used));
    fetcher_free(d->fetcher);
    snapshot_unref(d->snapshot);
    mem_free(d->ca_file);
    mem_free(d);
}

void introspection_desk_follow(struct introspection_desk *d, struct snapshot *s)
{
    struct snapshot *last = d->snapshot;
    d->snapshot = snapshot_ref(s);
    snapshot_unref(last);
}

static const struct provider *provider_find(const struct snapshot *s, const uint8_t digest[32])
{
    for (uint32_t i = 0; s && i < s->bundle_count; i++) {
        const struct bundle *b = s->bundles[i]->bundle;
        for (uint32_t k = 0; k < b->provider_count; k++)
            if (!memcmp(b->providers[k].digest, digest, 32))
                return &b->providers[k];
    }
    return NULL;
}

/* Where a question may lead: as for key sets. */
static bool may_connect(void *owner, const struct sockaddr *address)
{
    const struct entry *e = owner;
    const struct charter_entity *entity = snapshot_entity(e->snapshot, e->provider->entity);
    for (uint32_t i = 0; entity && i < entity->fetch_network_count; i++)
        if (network_has(&entity->fetch_networks[i], address))
            return true;
    return false;
}

static uint32_t under_way(const struct introspection_desk *d, const struct provider *p)
{
    uint32_t count = 0;
    list_each (at, &d->asking) {
        const struct entry *e = container_of(at, struct entry, asking);
        count += !memcmp(e->provider->digest, p->digest, sizeof p->digest);
    }
    return count;
}

/* Everybody who asked hears of it; whoever asks again in their answer finds the entry answered. */
static void answer(struct entry *e, enum reason reason, struct slice body, int64_t life_s)
{
    struct link now;
    e->fetch = NULL;
    link_remove(&e->asking);
    e->reason = reason;
    e->body = mem_slice(body);
    e->until_ms = loop_now(e->desk->loop).ms + life_s * 1000;
    list_init(&now);
    while (!list_is_empty(&e->waiting)) {
        struct link *first = e->waiting.next;
        link_remove(first);
        list_push(&now, first);
    }
    while (!list_is_empty(&now)) {
        struct waiter *w = container_of(now.next, struct waiter, link);
        link_remove(&w->link);
        w->answered(w->owner, e->reason, e->body);
        mem_free(w);
    }
    snapshot_unref(e->snapshot);
    e->snapshot = NULL;
    e->provider = NULL;
}

static void answer_trouble(struct entry *e, const struct fault *why)
{
    struct fault fault = *why;
    fault_within(&fault, "introspection at '%.*s' of '%.*s'", SLICE_ARG(e->provider->id),
                 SLICE_ARG(e->provider->entity));
    log_fault(LOG_LEVEL_WARNING, "auth", &fault);
    metric_add(e->desk->metrics, METRIC_INTROSPECTION_FAILURES_TOTAL, 1);
    answer(e, REASON_PROVIDER_UNAVAILABLE, SLICE(""), TROUBLE_S);
}

static void on_answer(void *owner, const struct fetch_answer *got, const struct fault *why)
{
    struct entry *e = owner;
    struct fault fault;
    json_t *tree = NULL;
    e->fetch = NULL;
    if (!got->status)
        fault = *why;
    else if (got->status != 200)
        fault_set(&fault, FAULT_IO, "the question was answered with status %d", got->status);
    else if (got->body.len > ANSWER_MAX_BYTES || !(tree = jtree_parse(got->body)) ||
             !json_is_boolean(json_object_get(tree, "active")))
        fault_set(&fault, FAULT_SYNTAX, "the answer is no introspection response (RFC 7662 §2.2)");
    else {
        const bool is_active = json_is_true(json_object_get(tree, "active"));
        answer(e, REASON_PERMITTED, got->body,
               is_active ? e->provider->introspection.max_age_s : INTROSPECTION_NO_S);
        json_decref(tree);
        return;
    }
    json_decref(tree);
    answer_trouble(e, &fault);
}

static bool fetch_begin(struct entry *e, const struct introspection_question *q, struct fault *f)
{
    const struct provider *p = e->provider;
    const struct charter_entity *entity = snapshot_entity(e->snapshot, p->entity);
    struct secret field;
    struct buf form;
    if (!entity)
        return fault_set(f, FAULT_TRUST, "the charter does not name this entity");
    if (!delegation_has_url(entity, p->introspection.endpoint, f))
        return false;
    buf_init(&form, ANSWER_MAX_BYTES);
    const bool is_made = form_add(&form, "token", q->token) &&
                         form_add(&form, "token_type_hint", SLICE("access_token")) &&
                         client_prove(&p->introspection.client, q->secrets_dir, p->entity,
                                      p->issuer, loop_wall(e->desk->loop), &field, &form, f);
    if (is_made) {
        const char *const fields[] = {"Content-Type: application/x-www-form-urlencoded",
                                      "Accept: application/json",
                                      field.len ? (const char *)field.bytes : NULL, NULL};
        e->fetch = fetch_start(e->desk->fetcher,
                               &(struct fetch_request){.url = p->introspection.endpoint,
                                                       .ca_file = e->desk->ca_file,
                                                       .limit_ms = INTROSPECTION_LIMIT_MS,
                                                       .is_post = true,
                                                       .body = buf_slice(&form),
                                                       .fields = fields,
                                                       .may_connect = may_connect,
                                                       .done = on_answer,
                                                       .owner = e});
        list_push(&e->desk->asking, &e->asking);
        metric_add(e->desk->metrics, METRIC_INTROSPECTIONS_TOTAL, 1);
        secret_fini(&field);
    }
    wipe(form.ptr, form.ptr ? form.to : 0);
    buf_fini(&form);
    return is_made;
}

static struct entry *entry_new(struct introspection_desk *d, const uint8_t key[32])
{
    if (d->count == INTROSPECTION_ENTRIES) {
        list_each (at, &d->used) {
            struct entry *old = container_of(at, struct entry, used);
            if (old->fetch)
                continue; // at most some hundred: somebody waits for it
            entry_free(old);
            break;
        }
    }
    struct entry *e = mem_new(struct entry);
    struct entry **slot = slot_of(d, key);
    e->desk = d;
    memcpy(e->key, key, sizeof e->key);
    list_init(&e->waiting);
    e->next_in_slot = *slot;
    *slot = e;
    list_push(&d->used, &e->used);
    d->count++;
    return e;
}

static void wait_for(struct entry *e, const struct introspection_question *q)
{
    struct waiter *w = mem_new(struct waiter);
    w->answered = q->answered;
    w->owner = q->owner;
    list_push(&e->waiting, &w->link);
}

void introspection_desk_ask(struct introspection_desk *d, const struct introspection_question *q)
{
    const struct provider *p = provider_find(d->snapshot, q->provider_digest);
    uint8_t key[32];
    struct fault fault;
    if (!p || !p->introspection.endpoint.len) {
        q->answered(q->owner, REASON_PROVIDER_UNAVAILABLE, SLICE(""));
        return;
    }
    // The digest is over entity and all settings of the provider.
    const struct slice parts[] = {slice_from(p->digest, sizeof p->digest), q->token};
    sha256_parts(key, parts, 2);
    struct entry *e = *slot_of(d, key);
    while (e && memcmp(e->key, key, sizeof key) != 0)
        e = e->next_in_slot;
    if (e && !e->fetch && e->until_ms <= loop_now(d->loop).ms) {
        entry_free(e);
        e = NULL;
    }
    if (e && !e->fetch) {
        link_remove(&e->used);
        list_push(&d->used, &e->used);
        q->answered(q->owner, e->reason, e->body);
        return;
    }
    if (e) {
        wait_for(e, q);
        return;
    }
    // Whoever invents tokens takes no place of one that is known, and no line of the log.
    if (under_way(d, p) >= INTROSPECTION_AT_ONCE) {
        metric_add(d->metrics, METRIC_INTROSPECTION_FAILURES_TOTAL, 1);
        q->answered(q->owner, REASON_PROVIDER_UNAVAILABLE, SLICE(""));
        return;
    }
    e = entry_new(d, key);
    e->snapshot = snapshot_ref(d->snapshot);
    e->provider = p;
    wait_for(e, q);
    if (!fetch_begin(e, q, &fault))
        answer_trouble(e, &fault);
}
