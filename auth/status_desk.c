// SPDX-License-Identifier: EUPL-1.2
/* The desk. Each authority of the snapshot that asks for it is `watched`; it has sources of CRLs
 * and the certificates that its responder was asked about. A source and a question live alike:
 *
 *     begun ──► FETCHING ──good──► RESTING (until half of its life) ──► FETCHING
 *                  │  ▲
 *                bad  └── PAUSING (1 s, doubled up to 60 s; the last good one stays)
 *                  └──────────►
 *
 * A source's timer is its own; questions, of which there may be thousands, are looked through once
 * a second, and go out at most QUESTIONS_AT_ONCE at a time for one authority.
 * Owns: what is known, when it is asked for, where it may lead. Does not own: HTTP (base/fetch),
 * what a list or an answer must be (crl.c, ocsp.c), what follows from it (status.c). */
#include "auth/status_desk.h"

#include "auth/status_in.h"
#include "auth/wish.h"
#include "base/fault.h"
#include "base/fetch.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/delegation.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define FETCH_LIMIT_MS 5000
#define PAUSE_MAX_S 60
#define SOURCES_MAX 16         /* of one authority, with those that certificates name */
#define QUESTIONS_MAX 16384    /* of all authorities; some 300 bytes each */
#define QUESTIONS_AT_ONCE 16   /* to one authority's responder */
#define ANSWER_MAX_BYTES 65536 /* of OCSP: a few KiB in practice */
#define ANSWER_LIFE_MIN_S 5    /* asked again at half of its life, within these */
#define ANSWER_LIFE_MAX_S 3600
#define SEEN_S 86400        /* a certificate that nobody has shown for a day is forgotten */
#define SEEN_AGAIN_S 3600   /* so often workers tell that one is in use */
#define COMPLAIN_EVERY_S 10 /* of one authority's responder */

#define BUCKETS 1024

struct status_desk {
    struct loop *loop;
    struct fetcher *fetcher;
    struct metrics *metrics;
    struct status_hooks hooks;
    char *ca_file;
    struct snapshot *snapshot; /* what the watched point into; NULL before the first */
    struct link watched;
    ev_timer tick;
    uint64_t number;              /* of the last table */
    struct later publish;         /* of answers: once a turn */
    bool is_worse;                /* ... since the last table */
    struct link told;             /* wishes that wait for the table alone */
    struct link buckets[BUCKETS]; /* of questions, by their keys */
    uint32_t question_count;
};

struct watched {
    struct link link;
    struct status_desk *desk;
    const struct authority *authority; /* of the desk's snapshot */
    STACK_OF(X509) * issuers;          /* its certificates */
    struct link sources;
    uint32_t source_count;
    struct link questions;
    uint32_t asking; /* questions under way */
    int64_t since_s;
    int64_t complained_s;
    bool has_new_text; /* the lists in the bundle itself are to be read */
};

struct source {
    struct link link;
    struct watched *watched;
    char *url;       /* NULL: the bundle holds the list itself */
    struct crl *crl; /* NULL: none yet */
    struct fetch *fetch;
    ev_timer due;
    int64_t pause_s; /* after the last failure; 0: the last fetch was good */
    struct link wishes;
};

struct question {
    struct link link;
    struct link in_bucket;
    struct watched *watched;
    X509 *issuer; /* one of the watched's */
    struct chain_serial serial;
    char *url;
    struct status_ocsp known;
    struct fetch *fetch;
    int64_t due_s;
    int64_t pause_s;
    int64_t seen_s;
    struct link wishes;
};

/* ---- the table ---- */

static bool is_usable(const struct source *s, struct wall now)
{
    return s->crl && s->crl->next_update.s >= now.s;
}

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
        out->lacks_crl |= !is_usable(s, now);
        if (s->crl)
            out->crls[out->crl_count++] = s->crl;
    }
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static void publish(struct status_desk *d, bool is_worse)
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
    publish(container_of(later, struct status_desk, publish), false);
}

/* ---- where a fetch may lead ---- */

static const struct charter_entity *entity_of(const struct watched *w)
{
    return snapshot_entity(w->desk->snapshot, w->authority->entity);
}

static bool is_inside(const struct watched *w, const struct sockaddr *address)
{
    const struct charter_entity *entity = entity_of(w);
    for (uint32_t i = 0; entity && i < entity->fetch_network_count; i++)
        if (network_has(&entity->fetch_networks[i], address))
            return true;
    return false;
}

static bool source_may_connect(void *owner, const struct sockaddr *address)
{
    const struct source *s = owner;
    return is_inside(s->watched, address);
}

static bool question_may_connect(void *owner, const struct sockaddr *address)
{
    const struct question *q = owner;
    return is_inside(q->watched, address);
}

/* Of every URL, also those that a certificate brings. */
static bool is_url_allowed(const struct watched *w, struct slice url, struct fault *f)
{
    const struct charter_entity *entity = entity_of(w);
    return entity ? delegation_has_status_url(entity, url, f)
                  : fault_set(f, FAULT_TRUST, "the charter does not name this entity");
}

static struct fetch *get(const struct watched *w, const char *url, struct fetch_request request)
{
    const struct slice text = slice_of(url);
    request.url = text;
    request.protocol = slice_starts(text, SLICE("http://")) ? FETCH_HTTP_1 : FETCH_HTTPS;
    request.ca_file = w->desk->ca_file;
    request.limit_ms = FETCH_LIMIT_MS;
    return fetch_start(w->desk->fetcher, &request);
}

static int64_t longer(int64_t pause_s)
{
    return !pause_s ? 1 : pause_s * 2 < PAUSE_MAX_S ? pause_s * 2 : PAUSE_MAX_S;
}

static void complain(const struct watched *w, const char *what, const struct fault *why)
{
    struct fault fault = *why;
    fault_within(&fault, "%s of device authority '%.*s' of '%.*s'", what,
                 SLICE_ARG(w->authority->id), SLICE_ARG(w->authority->entity));
    log_fault(LOG_LEVEL_WARNING, "auth", &fault);
}

/* ---- CRLs ---- */

static void source_rest(struct source *s, int64_t seconds)
{
    struct ev_loop *ev = s->watched->desk->loop->ev;
    ev_timer_stop(ev, &s->due);
    ev_timer_set(&s->due, (double)seconds, 0.);
    ev_timer_start(ev, &s->due);
}

static void source_failed(struct source *s, const struct fault *why)
{
    complain(s->watched, "a CRL", why);
    metric_add(s->watched->desk->metrics, METRIC_CRL_FAILURES_TOTAL, 1);
    s->pause_s = longer(s->pause_s);
    if (s->url)
        source_rest(s, s->pause_s);
    wishes_answer(&s->wishes);
}

/* Ahead of nextUpdate, so that one failure leaves time for the next try. */
static int64_t refresh_after(const struct source *s)
{
    const int64_t left_s = s->crl->next_update.s - loop_wall(s->watched->desk->loop).s;
    const int64_t most_s = s->watched->authority->revocation.refresh_s;
    const int64_t half_s = left_s / 2 > 1 ? left_s / 2 : 1;
    return half_s < most_s ? half_s : most_s;
}

/* Who is on the new list may be inside; nobody is let in by it who was not known to be good. */
static void source_take(struct source *s, struct crl *take)
{
    const bool is_same =
        s->crl && s->crl->count == take->count &&
        !memcmp(s->crl->serials, take->serials, take->count * sizeof *take->serials);
    crl_unref(s->crl);
    s->crl = take;
    s->pause_s = 0;
    metric_add(s->watched->desk->metrics, METRIC_CRL_FETCHES_TOTAL, 1);
    if (s->url)
        source_rest(s, refresh_after(s));
    publish(s->watched->desk, !is_same);
    wishes_answer(&s->wishes);
}

static void source_read(struct source *s, struct slice bytes)
{
    struct fault fault;
    struct crl *crl =
        crl_parse(bytes, s->watched->issuers, loop_wall(s->watched->desk->loop), &fault);
    if (crl && s->crl && !memcmp(crl->issuer, s->crl->issuer, sizeof crl->issuer) &&
        !crl_follows(crl, s->crl, &fault)) {
        crl_unref(crl);
        crl = NULL;
    }
    if (crl)
        source_take(s, crl);
    else
        source_failed(s, &fault);
}

static void on_crl(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct source *s = owner;
    struct fault fault;
    s->fetch = NULL;
    if (answer->status == 200) {
        source_read(s, answer->body);
        return;
    }
    if (answer->status)
        fault_set(&fault, FAULT_IO, "'%s' was answered with status %d", s->url, answer->status);
    source_failed(s, answer->status ? &fault : why);
}

static void source_begin(struct source *s)
{
    struct fault fault;
    if (s->fetch || !s->url)
        return;
    ev_timer_stop(s->watched->desk->loop->ev, &s->due);
    if (!is_url_allowed(s->watched, slice_of(s->url), &fault)) {
        source_failed(s, &fault);
        return;
    }
    s->fetch = get(s->watched, s->url,
                   (struct fetch_request){
                       .max_bytes = (uint32_t)s->watched->authority->revocation.crl_max_bytes,
                       .may_connect = source_may_connect,
                       .done = on_crl,
                       .owner = s});
}

static void on_due(struct ev_loop *ev, ev_timer *due, int events)
{
    (void)ev, (void)events;
    source_begin(due->data);
}

static struct source *source_new(struct watched *w, struct slice url)
{
    struct source *s = mem_new(struct source);
    s->watched = w;
    s->url = url.len ? mem_text(url) : NULL;
    list_init(&s->wishes);
    ev_init(&s->due, on_due);
    s->due.data = s;
    list_push(&w->sources, &s->link);
    w->source_count++;
    return s;
}

static void source_free(struct source *s)
{
    link_remove(&s->link);
    s->watched->source_count--;
    fetch_cancel(s->fetch);
    ev_timer_stop(s->watched->desk->loop->ev, &s->due);
    wishes_drop(&s->wishes);
    crl_unref(s->crl);
    mem_free(s->url);
    mem_free(s);
}

static struct source *source_find(const struct watched *w, struct slice url)
{
    list_each (at, &w->sources) {
        struct source *s = container_of(at, struct source, link);
        if (s->url && slice_eq(slice_of(s->url), url))
            return s;
    }
    return NULL;
}

/* ---- OCSP ---- */

static struct link *bucket_of(struct status_desk *d, const uint8_t key[32])
{
    return &d->buckets[((size_t)key[0] << 8 | key[1]) % BUCKETS];
}

static struct question *question_find(struct status_desk *d, const uint8_t key[32])
{
    list_each (at, bucket_of(d, key)) {
        struct question *q = container_of(at, struct question, in_bucket);
        if (!memcmp(q->known.key, key, sizeof q->known.key))
            return q;
    }
    return NULL;
}

static void question_free(struct question *q)
{
    struct watched *w = q->watched;
    link_remove(&q->link);
    link_remove(&q->in_bucket);
    w->desk->question_count--;
    w->asking -= q->fetch != NULL;
    fetch_cancel(q->fetch);
    wishes_drop(&q->wishes);
    mem_free(q->url);
    mem_free(q);
}

static void question_ended(struct question *q, bool is_worse)
{
    struct watched *w = q->watched;
    const int64_t now_s = loop_wall(w->desk->loop).s;
    const int64_t again_s = q->seen_s + SEEN_AGAIN_S;
    q->known.wanted_again_s = q->pause_s ? q->due_s : again_s > now_s ? again_s : now_s + 1;
    w->desk->is_worse |= is_worse;
    loop_later(w->desk->loop, &w->desk->publish);
    list_move(&q->wishes, &w->desk->told);
}

static void question_failed(struct question *q, const struct fault *why)
{
    struct watched *w = q->watched;
    const int64_t now_s = loop_wall(w->desk->loop).s;
    if (now_s - w->complained_s >= COMPLAIN_EVERY_S) {
        w->complained_s = now_s;
        complain(w, "an OCSP answer", why);
    }
    metric_add(w->desk->metrics, METRIC_OCSP_FAILURES_TOTAL, 1);
    q->pause_s = longer(q->pause_s);
    q->due_s = now_s + q->pause_s;
    question_ended(q, false);
}

static bool question_read(struct question *q, struct slice bytes, struct ocsp_answer *out,
                          struct fault *f)
{
    const struct watched *w = q->watched;
    struct crl **crls = mem_array(struct crl *, (size_t)w->source_count + 1);
    uint32_t count = 0;
    list_each (at, &w->sources)
        if (container_of(at, struct source, link)->crl)
            crls[count++] = container_of(at, struct source, link)->crl;
    const bool is_read =
        ocsp_read(bytes, q->issuer, &q->serial, crls, count, loop_wall(w->desk->loop), out, f);
    mem_free(crls);
    if (is_read && out->this_update.s < q->known.answer.this_update.s)
        return fault_set(f, FAULT_TRUST, "it is older than the one before");
    return is_read;
}

static void question_take(struct question *q, const struct ocsp_answer *answer)
{
    const int64_t now_s = loop_wall(q->watched->desk->loop).s;
    const int64_t half_s = (answer->next_update.s - now_s) / 2;
    /* Before, it may have been let in by a CRL, or by allow_for. */
    const bool is_worse =
        answer->verdict != OCSP_GOOD && answer->verdict != q->known.answer.verdict;
    q->known.answer = *answer;
    q->pause_s = 0;
    q->due_s = now_s + (half_s < ANSWER_LIFE_MIN_S   ? ANSWER_LIFE_MIN_S
                        : half_s > ANSWER_LIFE_MAX_S ? ANSWER_LIFE_MAX_S
                                                     : half_s);
    metric_add(q->watched->desk->metrics, METRIC_OCSP_FETCHES_TOTAL, 1);
    question_ended(q, is_worse);
}

static void questions_begin(struct watched *w);

static void on_answer(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct question *q = owner;
    struct watched *w = q->watched;
    struct ocsp_answer read;
    struct fault fault;
    q->fetch = NULL;
    w->asking--;
    if (!answer->status)
        question_failed(q, why);
    else if (answer->status != 200) {
        fault_set(&fault, FAULT_IO, "the responder answered with status %d", answer->status);
        question_failed(q, &fault);
    } else if (question_read(q, answer->body, &read, &fault))
        question_take(q, &read);
    else
        question_failed(q, &fault);
    questions_begin(w);
}

static void question_begin(struct question *q)
{
    struct watched *w = q->watched;
    struct fault fault;
    if (!is_url_allowed(w, slice_of(q->url), &fault)) {
        question_failed(q, &fault);
        return;
    }
    w->asking++;
    q->fetch = get(w, q->url,
                   (struct fetch_request){.max_bytes = ANSWER_MAX_BYTES,
                                          .may_connect = question_may_connect,
                                          .done = on_answer,
                                          .owner = q});
}

/* Those that are due, first of all the ones that somebody waits for. */
static void questions_begin(struct watched *w)
{
    const int64_t now_s = loop_wall(w->desk->loop).s;
    for (int is_refresh = 0; is_refresh < 2; is_refresh++)
        list_each (at, &w->questions) {
            struct question *q = container_of(at, struct question, link);
            if (w->asking >= QUESTIONS_AT_ONCE)
                return;
            if (!q->fetch && q->due_s <= now_s && (is_refresh || !list_is_empty(&q->wishes)))
                question_begin(q);
        }
}

/* The one that was seen longest ago makes room. Only when there are QUESTIONS_MAX. */
static void question_make_room(struct status_desk *d)
{
    struct question *oldest = NULL;
    list_each (at, &d->watched) {
        const struct watched *w = container_of(at, struct watched, link);
        list_each (it, &w->questions) {
            struct question *q = container_of(it, struct question, link);
            if (!q->fetch && (!oldest || q->seen_s < oldest->seen_s))
                oldest = q;
        }
    }
    if (oldest) {
        wishes_answer(&oldest->wishes);
        question_free(oldest);
    }
}

static void on_tick(struct ev_loop *ev, ev_timer *tick, int events)
{
    struct status_desk *d = tick->data;
    const int64_t now_s = loop_wall(d->loop).s;
    (void)ev, (void)events;
    list_each (at, &d->watched) {
        struct watched *w = container_of(at, struct watched, link);
        for (struct link *it = w->questions.next, *next; it != &w->questions; it = next) {
            struct question *q = container_of(it, struct question, link);
            next = it->next;
            if (!q->fetch && now_s - q->seen_s > SEEN_S)
                question_free(q);
        }
        questions_begin(w);
    }
}

/* ---- what certificates say ---- */

static X509 *issuer_of(const struct watched *w, const struct chain_link *link)
{
    uint8_t id[32];
    for (int i = 0; i < sk_X509_num(w->issuers); i++)
        if (chain_id(id, sk_X509_value(w->issuers, i)) && !memcmp(id, link->issuer, sizeof id))
            return sk_X509_value(w->issuers, i);
    return NULL;
}

/* RFC 5280 §4.2.1.13: points of some reasons, or with an issuer of their own, are none of ours. */
static void follow_points(struct watched *w, X509 *leaf)
{
    STACK_OF(DIST_POINT) *points = X509_get_ext_d2i(leaf, NID_crl_distribution_points, NULL, NULL);
    for (int i = 0; i < sk_DIST_POINT_num(points); i++) {
        const DIST_POINT *point = sk_DIST_POINT_value(points, i);
        if (point->reasons || point->CRLissuer || !point->distpoint || point->distpoint->type != 0)
            continue;
        const GENERAL_NAMES *names = point->distpoint->name.fullname;
        for (int k = 0; k < sk_GENERAL_NAME_num(names); k++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, k);
            if (name->type != GEN_URI || w->source_count >= SOURCES_MAX)
                continue;
            const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
            const struct slice url =
                slice_from(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
            if ((slice_starts(url, SLICE("http://")) || slice_starts(url, SLICE("https://"))) &&
                !memchr(url.ptr, '\0', url.len) && !source_find(w, url))
                source_begin(source_new(w, url));
        }
    }
    CRL_DIST_POINTS_free(points);
}

/* Where its responder is: as the bundle says, or as the certificate does (RFC 5280 §4.2.2.1). */
static char *responder_of(const struct watched *w, X509 *leaf, X509 *issuer,
                          const struct chain_serial *serial)
{
    struct arena a;
    struct slice url = w->authority->revocation.ocsp;
    STACK_OF(OPENSSL_STRING) *named = url.len ? NULL : X509_get1_ocsp(leaf);
    arena_init(&a, NULL);
    if (!url.len && sk_OPENSSL_STRING_num(named) > 0)
        url = slice_of(sk_OPENSSL_STRING_value(named, 0));
    const struct slice whole = url.len ? ocsp_url(&a, url, issuer, serial) : url;
    char *text = whole.len ? mem_text(whole) : NULL;
    X509_email_free(named);
    arena_fini(&a);
    return text;
}

static struct question *question_new(struct watched *w, const uint8_t key[32], X509 *leaf,
                                     const struct chain_link *link)
{
    struct status_desk *d = w->desk;
    X509 *issuer = issuer_of(w, link);
    char *url = issuer ? responder_of(w, leaf, issuer, &link->serial) : NULL;
    if (!url)
        return NULL;
    if (d->question_count >= QUESTIONS_MAX)
        question_make_room(d);
    struct question *q = mem_new(struct question);
    q->watched = w;
    q->issuer = issuer;
    q->serial = link->serial;
    q->url = url;
    memcpy(q->known.key, key, sizeof q->known.key);
    list_init(&q->wishes);
    list_push(&w->questions, &q->link);
    list_push(bucket_of(d, key), &q->in_bucket);
    d->question_count++;
    return q;
}

static bool want_answer(struct watched *w, X509 *leaf, const struct chain_link *link,
                        void (*answered)(void *owner), void *owner)
{
    const int64_t now_s = loop_wall(w->desk->loop).s;
    uint8_t key[32];
    status_key(key, w->authority->digest, link);
    struct question *q = question_find(w->desk, key);
    if (!q && !(q = question_new(w, key, leaf, link)))
        return false;
    q->seen_s = now_s;
    if (!q->fetch && q->due_s > now_s) { // asked lately: the table has what there is
        if (q->known.wanted_again_s <= now_s)
            question_ended(q, false);
        return false;
    }
    wish_add(&q->wishes, answered, owner);
    questions_begin(w);
    return true;
}

/* The list that may be its issuer's, and is being fetched for the first time. */
static bool want_list(struct watched *w, X509 *leaf, void (*answered)(void *owner), void *owner)
{
    if (w->authority->revocation.from_certificate)
        follow_points(w, leaf);
    list_each (at, &w->sources) {
        struct source *s = container_of(at, struct source, link);
        if (s->fetch && !s->crl) {
            wish_add(&s->wishes, answered, owner);
            return true;
        }
    }
    return false;
}

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
        waits = want_list(w, certificate, answered, owner);
        if (has_ocsp && !waits)
            waits = want_answer(w, certificate, link, answered, owner);
    }
    X509_free(certificate);
    ERR_clear_error();
    if (!waits && link_is_in(&d->publish.link))
        wish_add(&d->told, answered, owner);
    else if (!waits)
        answered(owner);
}

/* ---- which authorities ---- */

static void read_inlined(struct watched *w)
{
    const struct slice pem = w->authority->revocation.crl_pem;
    const struct slice end = SLICE("-----END X509 CRL-----");
    struct slice rest = pem;
    for (struct link *it = w->sources.next, *next; it != &w->sources; it = next) {
        next = it->next;
        if (!container_of(it, struct source, link)->url)
            source_free(container_of(it, struct source, link));
    }
    while (rest.len && w->source_count < SOURCES_MAX) {
        const char *found = memmem(rest.ptr, rest.len, end.ptr, end.len);
        if (!found)
            return;
        const size_t len = (size_t)(found - rest.ptr) + end.len;
        struct slice one = {rest.ptr, len};
        while (one.len && one.ptr[0] != '-') // what stands between the blocks
            one = slice_skip(one, 1);
        source_read(source_new(w, (struct slice){0}), one);
        rest = slice_skip(rest, len);
    }
}

static bool names_url(const struct revocation *r, const char *url)
{
    for (uint32_t i = 0; i < r->crl.count; i++)
        if (slice_eq(r->crl.at[i], slice_of(url)))
            return true;
    return false;
}

static bool is_same_responder(const struct revocation *a, const struct revocation *b)
{
    return slice_eq(a->ocsp, b->ocsp) && a->ocsp_of_certificate == b->ocsp_of_certificate;
}

static void questions_forget(struct watched *w)
{
    while (!list_is_empty(&w->questions)) {
        struct question *q = container_of(w->questions.next, struct question, link);
        wishes_answer(&q->wishes);
        question_free(q);
    }
}

/* What is listed, and nothing that is listed no longer. */
static void settle_sources(struct watched *w)
{
    const struct revocation *r = &w->authority->revocation;
    for (struct link *it = w->sources.next, *next; it != &w->sources; it = next) {
        struct source *s = container_of(it, struct source, link);
        next = it->next;
        if (s->url && !names_url(r, s->url) && !r->from_certificate) {
            wishes_answer(&s->wishes);
            source_free(s);
        }
    }
    for (uint32_t i = 0; i < r->crl.count; i++)
        if (!source_find(w, r->crl.at[i]))
            (void)source_new(w, r->crl.at[i]);
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
    while (!list_is_empty(&w->sources)) {
        struct source *s = container_of(w->sources.next, struct source, link);
        wishes_answer(&s->wishes);
        source_free(s);
    }
    link_remove(&w->link);
    sk_X509_pop_free(w->issuers, X509_free);
    mem_free(w);
}

/* An authority of which a certificate was added or taken away: lists of those that stay stay, so
 * that a rotation cuts nobody off. */
static void inherit(struct watched *w, const struct link *before)
{
    list_each (at, before) {
        const struct watched *old = container_of(at, struct watched, link);
        if (!slice_eq(old->authority->entity, w->authority->entity) ||
            !slice_eq(old->authority->id, w->authority->id))
            continue;
        list_each (it, &old->sources) {
            const struct source *s = container_of(it, struct source, link);
            struct source *mine = s->url ? source_find(w, slice_of(s->url)) : NULL;
            struct chain_link issuer;
            if (!mine || !s->crl)
                continue;
            memcpy(issuer.issuer, s->crl->issuer, sizeof issuer.issuer);
            if (issuer_of(w, &issuer))
                mine->crl = crl_ref(s->crl);
        }
    }
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
        settle_sources(w);
    } else {
        w = watched_new(d, authority);
        settle_sources(w);
        inherit(w, before);
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
    list_each (at, &d->watched) {
        struct watched *w = container_of(at, struct watched, link);
        if (w->has_new_text)
            read_inlined(w);
        w->has_new_text = false;
        // Also those that pause: the charter may allow now what it did not.
        for (struct link *it = w->sources.next, *next; it != &w->sources; it = next) {
            struct source *source = container_of(it, struct source, link);
            next = it->next;
            if (!source->crl || !ev_is_active(&source->due))
                source_begin(source);
        }
    }
    publish(d, true);
    snapshot_unref(last); // those that are gone pointed into it
}

struct status_desk *status_desk_new(struct loop *l, const struct status_settings *settings,
                                    struct metrics *m, struct status_hooks hooks)
{
    struct status_desk *d = mem_new(struct status_desk);
    d->loop = l;
    d->fetcher = fetcher_new(l);
    d->metrics = m;
    d->hooks = hooks;
    d->ca_file = settings->ca_file ? mem_text(slice_of(settings->ca_file)) : NULL;
    d->publish.run = on_publish;
    list_init(&d->watched);
    list_init(&d->told);
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&d->buckets[i]);
    ev_timer_init(&d->tick, on_tick, 1., 1.);
    d->tick.data = d;
    ev_timer_start(l->ev, &d->tick);
    return d;
}

void status_desk_free(struct status_desk *d)
{
    if (!d)
        return;
    ev_timer_stop(d->loop->ev, &d->tick);
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
    fetcher_free(d->fetcher);
    snapshot_unref(d->snapshot);
    mem_free(d->ca_file);
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
            count += !is_usable(container_of(it, struct source, link), now);
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
