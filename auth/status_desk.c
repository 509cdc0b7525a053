// SPDX-License-Identifier: EUPL-1.2
/* The desk. Each authority of the snapshot that asks for it is `watched`; it has sources of CRLs
 * (status_source.c) and the certificates that its responder was asked about (status_question.c).
 * A source and a question live alike:
 *
 *     begun ──► FETCHING ──good──► RESTING (until half of its life) ──► FETCHING
 *                  │  ▲
 *                bad  └── PAUSING (1 s, doubled up to 60 s; the last good one stays)
 *                  └──────────►
 *
 * Owns: which authorities are followed, the table, where a fetch may lead. Does not own: HTTP
 * (base/fetch), what a list or an answer must be (crl.c, ocsp.c), what follows from it
 * (status.c). */
#include "auth/status_desk_in.h"
#include "auth/wish.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/delegation.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define FETCH_LIMIT_MS 5000
#define PAUSE_MAX_S 60
#define TIDY_AFTER_S 5. /* after the last new snapshot, and again */
#define TIDY_EVERY_S 3600.

/* ---- the table ---- */

static void authority_write(const struct watched *w, struct status_authority *out, struct wall now)
{
    const struct revocation *r = &w->authority->revocation;
    *out = (struct status_authority){.is_checked = r->is_checked,
                                     .has_ocsp = r->ocsp.len || r->ocsp_of_certificate,
                                     .follows_certificates = r->from_certificate,
                                     .allow_for_s = r->allow_for_s,
                                     .since_s = w->since_s};
    memcpy(out->digest, w->authority->digest, sizeof out->digest);
    out->crls = mem_array(struct crl *, (size_t)w->source_count + 1);
    list_each (at, &w->sources) {
        const struct source *s = container_of(at, struct source, link);
        out->lacks_crl |= !source_is_usable(s, now);
        if (source_is_unread(s))
            out->allow_for_s = 0;
        if (s->crl)
            out->crls[out->crl_count++] = s->crl;
    }
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

void status_publish(struct status_desk *d, bool is_worse)
{
    const struct wall now = loop_wall(d->loop);
    is_worse |= d->is_worse;
    d->is_worse = false;
    later_cancel(&d->publish);
    uint32_t count = 0;
    uint32_t answers = 0;
    list_each (at, &d->watched)
        count++;
    struct status_authority *all = mem_array(struct status_authority, (size_t)count + 1);
    struct status_ocsp *known = mem_array(struct status_ocsp, (size_t)d->question_count + 1);
    count = 0;
    list_each (at, &d->watched) {
        const struct watched *w = container_of(at, struct watched, link);
        authority_write(w, &all[count++], now);
        list_each (q, &w->questions)
            known[answers++] = container_of(q, struct question, link)->known;
    }
    qsort(known, answers, sizeof *known, by_key);
    struct statuses *table = statuses_new(++d->number, all, count, known, answers);
    for (uint32_t i = 0; i < count; i++)
        mem_free(all[i].crls);
    mem_free(all);
    mem_free(known);
    metric_set(d->metrics, METRIC_OCSP_ANSWERS, answers);
    d->hooks.changed(d->hooks.owner, table, is_worse);
    wishes_answer(&d->told);
}

static void on_publish(struct later *later)
{
    status_publish(container_of(later, struct status_desk, publish), false);
}

void status_publish_later(struct status_desk *d, bool is_worse)
{
    d->is_worse |= is_worse;
    loop_later(d->loop, &d->publish);
}

/* ---- where a fetch may lead ---- */

static const struct charter_entity *entity_of(const struct watched *w)
{
    return snapshot_entity(w->desk->snapshot, w->authority->entity);
}

bool watched_may_connect(const struct watched *w, const struct sockaddr *address)
{
    const struct charter_entity *entity = entity_of(w);
    for (uint32_t i = 0; entity && i < entity->fetch_network_count; i++)
        if (network_has(&entity->fetch_networks[i], address))
            return true;
    return false;
}

bool watched_may_fetch(const struct watched *w, struct slice url, struct fault *f)
{
    const struct charter_entity *entity = entity_of(w);
    return entity ? delegation_has_status_url(entity, url, f)
                  : fault_set(f, FAULT_TRUST, "the charter does not name this entity");
}

struct fetch *watched_fetch(const struct watched *w, const char *url, struct fetch_request request)
{
    const struct slice text = slice_of(url);
    request.url = text;
    request.protocol = slice_starts(text, SLICE("http://")) ? FETCH_HTTP_1 : FETCH_HTTPS;
    request.ca_file = w->desk->ca_file;
    request.limit_ms = FETCH_LIMIT_MS;
    return fetch_start(w->desk->fetcher, &request);
}

int64_t status_pause_longer(int64_t pause_s)
{
    return !pause_s ? 1 : pause_s * 2 < PAUSE_MAX_S ? pause_s * 2 : PAUSE_MAX_S;
}

int64_t status_rest(struct status_desk *d, struct wall until, int64_t most_s)
{
    const int64_t half_s = (until.s - loop_wall(d->loop).s) / 2;
    const int64_t whole_s = half_s < most_s ? half_s : most_s;
    const int64_t less_s = whole_s >= 10 ? (int64_t)(dice_next(&d->dice) % (whole_s / 10 + 1)) : 0;
    return whole_s - less_s < STATUS_REST_MIN_S ? STATUS_REST_MIN_S : whole_s - less_s;
}

void watched_complain(const struct watched *w, const char *what, const struct fault *why)
{
    struct fault fault = *why;
    fault_within(&fault, "%s of device authority '%.*s' of '%.*s'", what,
                 SLICE_ARG(w->authority->id), SLICE_ARG(w->authority->entity));
    log_fault(LOG_LEVEL_WARNING, "auth", &fault);
}

static void on_tick(struct ev_loop *ev, ev_timer *tick, int events)
{
    struct status_desk *d = tick->data;
    (void)ev, (void)events;
    list_each (at, &d->watched) {
        struct watched *w = container_of(at, struct watched, link);
        questions_age(w);
        questions_begin(w);
    }
}

/* ---- what is kept ---- */

static char *name_of(struct slice entity, struct slice authority)
{
    struct buf b;
    buf_init(&b, 2 * ENTITY_ID_MAX + 2);
    const bool fits = authority.len
                          ? buf_printf(&b, "%.*s.%.*s.", SLICE_ARG(entity), SLICE_ARG(authority))
                          : buf_printf(&b, "%.*s.", SLICE_ARG(entity));
    char *name = mem_text(fits ? buf_slice(&b) : SLICE("."));
    buf_fini(&b);
    return name;
}

/* Of an entity that the charter names and whose bundle is not at hand nothing is known: its files
 * all stay. */
static void keep_unloaded(const struct snapshot *s, struct status_keep *keep)
{
    const struct charter *charter = s->charter->charter;
    for (uint32_t i = 0; i < charter->entity_count; i++)
        if (!snapshot_bundle(s, charter->entities[i].id))
            status_keep_add(keep, name_of(charter->entities[i].id, (struct slice){0}));
}

static void on_tidy(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct status_desk *d = timer->data;
    struct status_keep crls = {0};
    struct status_keep answers = {0};
    (void)ev, (void)events;
    if (!d->memory || !d->snapshot->charter)
        return;
    keep_unloaded(d->snapshot, &crls);
    keep_unloaded(d->snapshot, &answers);
    list_each (at, &d->watched) {
        const struct watched *w = container_of(at, struct watched, link);
        const struct authority *a = w->authority;
        sources_keep(w, &crls);
        if (a->revocation.from_certificate) // a list may be asked for again that is not now
            status_keep_add(&crls, name_of(a->entity, a->id));
        if (a->revocation.ocsp.len || a->revocation.ocsp_of_certificate)
            status_keep_add(&answers, name_of(a->entity, a->id));
    }
    status_files_tidy_aside(d->reader, d->state_dir, "crl", crls);
    ocsp_memory_tidy(d->memory, answers);
}

/* ---- what workers ask ---- */

static struct watched *watched_find(const struct status_desk *d, const uint8_t digest[32])
{
    list_each (at, &d->watched) {
        struct watched *w = container_of(at, struct watched, link);
        if (!memcmp(w->authority->digest, digest, sizeof w->authority->digest))
            return w;
    }
    return NULL;
}

void status_desk_want(struct status_desk *d, const uint8_t authority_digest[32], struct slice leaf,
                      const struct chain_link *link, void (*answered)(void *owner), void *owner)
{
    const uint8_t *at = (const uint8_t *)leaf.ptr;
    struct watched *w = watched_find(d, authority_digest);
    X509 *certificate = w ? d2i_X509(NULL, &at, (long)leaf.len) : NULL;
    bool waits = false;
    if (certificate) {
        const struct revocation *r = &w->authority->revocation;
        const bool has_ocsp = r->ocsp.len || r->ocsp_of_certificate;
        waits = sources_want(w, certificate, answered, owner);
        if (has_ocsp && !waits)
            waits = questions_want(w, certificate, link, answered, owner);
    }
    X509_free(certificate);
    ERR_clear_error();
    if (!waits && link_is_in(&d->publish.link))
        wish_add(&d->told, answered, owner);
    else if (!waits)
        answered(owner);
}

/* ---- which authorities ---- */

X509 *watched_issuer(const struct watched *w, const uint8_t issuer[32])
{
    uint8_t id[32];
    for (int i = 0; i < sk_X509_num(w->issuers); i++)
        if (chain_id(id, sk_X509_value(w->issuers, i)) && !memcmp(id, issuer, sizeof id))
            return sk_X509_value(w->issuers, i);
    return NULL;
}

static bool is_same_responder(const struct revocation *a, const struct revocation *b)
{
    return slice_eq(a->ocsp, b->ocsp) && a->ocsp_of_certificate == b->ocsp_of_certificate;
}

static struct watched *watched_new(struct status_desk *d, const struct authority *authority)
{
    struct watched *w = mem_new(struct watched);
    struct fault fault;
    w->desk = d;
    w->authority = authority;
    w->issuers = sk_X509_new_null();
    w->since_s = loop_wall(d->loop).s;
    w->has_new_text = true;
    list_init(&w->sources);
    list_init(&w->questions);
    if (!w->issuers || !chain_read_pem(w->issuers, authority->ca_pem, &fault))
        log_warning("auth", "the certificates of device authority '%.*s' can't be read",
                    SLICE_ARG(authority->id));
    return w;
}

static void watched_free(struct watched *w)
{
    questions_forget(w);
    sources_forget(w);
    link_remove(&w->link);
    sk_X509_pop_free(w->issuers, X509_free);
    mem_free(w);
}

static void follow_one(struct status_desk *d, struct link *before,
                       const struct authority *authority)
{
    struct watched *w = NULL;
    list_each (at, before) {
        struct watched *old = container_of(at, struct watched, link);
        if (memcmp(old->authority->digest, authority->digest, sizeof authority->digest) != 0)
            continue;
        w = old;
        break;
    }
    if (w) {
        link_remove(&w->link);
        w->has_new_text =
            !slice_eq(w->authority->revocation.crl_pem, authority->revocation.crl_pem);
        if (!is_same_responder(&w->authority->revocation, &authority->revocation))
            questions_forget(w);
        w->authority = authority;
        sources_settle(w);
    } else {
        w = watched_new(d, authority);
        sources_settle(w);
        sources_inherit(w, before);
    }
    list_push(&d->watched, &w->link);
}

void status_desk_follow(struct status_desk *d, struct snapshot *s)
{
    struct snapshot *last = d->snapshot;
    struct link before;
    list_init(&before);
    while (!list_is_empty(&d->watched)) {
        struct link *first = d->watched.next;
        link_remove(first);
        list_push(&before, first);
    }
    d->snapshot = snapshot_ref(s);
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle *bundle = s->bundles[i]->bundle;
        for (uint32_t k = 0; k < bundle->authority_count; k++)
            follow_one(d, &before, &bundle->authorities[k]);
    }
    while (!list_is_empty(&before))
        watched_free(container_of(before.next, struct watched, link));
    list_each (at, &d->watched)
        sources_begin(container_of(at, struct watched, link));
    status_publish(d, true);
    snapshot_unref(last); // those that are gone pointed into it
    ev_timer_stop(d->loop->ev, &d->tidy);
    ev_timer_set(&d->tidy, TIDY_AFTER_S, TIDY_EVERY_S);
    ev_timer_start(d->loop->ev, &d->tidy);
}

struct status_desk *status_desk_new(struct loop *l, const struct status_settings *settings,
                                    struct metrics *m, struct status_hooks hooks, struct fault *f)
{
    struct status_desk *d = mem_new(struct status_desk);
    d->loop = l;
    dice_init(&d->dice);
    d->fetcher = fetcher_new(l);
    d->metrics = m;
    d->hooks = hooks;
    d->ca_file = settings->ca_file ? mem_text(slice_of(settings->ca_file)) : NULL;
    d->state_dir = settings->state_dir ? mem_text(slice_of(settings->state_dir)) : NULL;
    d->reader = aside_start(l, "crl-reader", f);
    d->memory = d->reader && d->state_dir ? ocsp_memory_new(l, d->state_dir, f) : NULL;
    d->publish.run = on_publish;
    list_init(&d->watched);
    list_init(&d->told);
    for (size_t i = 0; i < STATUS_BUCKETS; i++)
        list_init(&d->buckets[i]);
    ev_timer_init(&d->tick, on_tick, 1., 1.);
    ev_init(&d->tidy, on_tidy);
    d->tick.data = d->tidy.data = d;
    if (d->reader && (d->memory || !d->state_dir)) {
        ev_timer_start(l->ev, &d->tick);
        return d;
    }
    status_desk_free(d);
    return NULL;
}

void status_desk_free(struct status_desk *d)
{
    if (!d)
        return;
    ev_timer_stop(d->loop->ev, &d->tick);
    ev_timer_stop(d->loop->ev, &d->tidy);
    later_cancel(&d->publish);
    wishes_drop(&d->told);
    list_each (at, &d->watched) {
        struct watched *w = container_of(at, struct watched, link);
        list_each (it, &w->sources)
            wishes_drop(&container_of(it, struct source, link)->wishes);
        list_each (it, &w->questions)
            wishes_drop(&container_of(it, struct question, link)->wishes);
    }
    while (!list_is_empty(&d->watched))
        watched_free(container_of(d->watched.next, struct watched, link));
    aside_stop(d->reader);
    ocsp_memory_free(d->memory);
    fetcher_free(d->fetcher);
    snapshot_unref(d->snapshot);
    mem_free(d->ca_file);
    mem_free(d->state_dir);
    mem_free(d);
}

/* ---- what operators see ---- */

uint32_t status_desk_without_crl(const struct status_desk *d)
{
    const struct wall now = loop_wall(d->loop);
    uint32_t count = 0;
    list_each (at, &d->watched) {
        const struct watched *w = container_of(at, struct watched, link);
        list_each (it, &w->sources)
            count += !source_is_usable(container_of(it, struct source, link), now);
    }
    return count;
}

void status_desk_measure(struct status_desk *d)
{
    const int64_t now_s = loop_wall(d->loop).s;
    int64_t crl_s = now_s;
    int64_t ocsp_s = now_s;
    list_each (at, &d->watched) {
        const struct watched *w = container_of(at, struct watched, link);
        list_each (it, &w->sources) {
            const struct source *s = container_of(it, struct source, link);
            if (s->crl && s->crl->this_update.s < crl_s)
                crl_s = s->crl->this_update.s;
        }
        list_each (it, &w->questions) {
            const struct question *q = container_of(it, struct question, link);
            if (q->known.answer.verdict && q->known.answer.this_update.s < ocsp_s)
                ocsp_s = q->known.answer.this_update.s;
        }
    }
    metric_set(d->metrics, METRIC_CRL_AGE_SECONDS, now_s - crl_s);
    metric_set(d->metrics, METRIC_OCSP_AGE_SECONDS, now_s - ocsp_s);
    metric_set(d->metrics, METRIC_CRL_MISSING, status_desk_without_crl(d));
}
