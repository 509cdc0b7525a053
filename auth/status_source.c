// SPDX-License-Identifier: EUPL-1.2
/* The CRLs of an authority: those that its bundle names, those that it holds, and where it says so
 * those that certificates name. A source lives as status_desk.c draws it, and before that:
 *
 *     begun ──► is there one of the last start? ──► READING it ──► FETCHING
 *
 * A list is parsed, verified and kept by the reader's thread (crl_reader.c); here is only what
 * follows from it.
 * Owns: the sources, their lists. Does not own: what a list must be (crl.c), its file
 * (crl_memory.c). */
#include "auth/status_desk_in.h"
#include "auth/wish.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/mem.h"

#include <openssl/x509v3.h>

#define SOURCES_MAX 16 /* of one authority, with those that certificates name */

bool source_is_usable(const struct source *s, struct wall now)
{
    return s->crl && s->crl->next_update.s >= now.s;
}

bool source_is_unread(const struct source *s)
{
    return s->job && !s->crl && (s->is_recalling || !s->url);
}

static void rest(struct source *s, int64_t seconds)
{
    struct ev_loop *ev = s->watched->desk->loop->ev;
    ev_timer_stop(ev, &s->due);
    ev_timer_set(&s->due, (double)seconds, 0.);
    ev_timer_start(ev, &s->due);
}

/* ---- a list that was read ---- */

static void fetch_failed(struct source *s, const struct fault *why)
{
    watched_complain(s->watched, "a CRL", why);
    metric_add(s->watched->desk->metrics, METRIC_CRL_FAILURES_TOTAL, 1);
    s->pause_s = status_pause_longer(s->pause_s);
    rest(s, s->pause_s);
    wishes_answer(&s->wishes);
}

/* What the bundle holds is the whole truth: where it can't be read, nothing is known. */
static void text_failed(struct source *s, const struct fault *why)
{
    watched_complain(s->watched, "a CRL", why);
    metric_add(s->watched->desk->metrics, METRIC_CRL_FAILURES_TOTAL, 1);
    crl_unref(s->crl);
    s->crl = NULL;
    status_publish(s->watched->desk, true);
    wishes_answer(&s->wishes);
}

/* Who is on the new list may be inside; nobody is let in by it who was not known to be good. */
static void take_list(struct source *s, struct crl_job *job)
{
    crl_unref(s->crl);
    s->crl = job->crl;
    job->crl = NULL;
    s->is_kept = job->is_kept;
    status_publish(s->watched->desk, !job->is_same);
}

static void take_fetched(struct source *s, struct crl_job *job)
{
    metric_add(s->watched->desk->metrics, METRIC_CRL_FETCHES_TOTAL, 1);
    take_list(s, job);
    s->pause_s = 0;
    if (s->url)
        rest(s, status_rest(s->watched->desk, s->crl->next_update,
                            s->watched->authority->revocation.refresh_s));
    if (!job->is_kept)
        watched_complain(s->watched, "a CRL can't be remembered", &job->unkept);
    wishes_answer(&s->wishes);
}

static void source_begin(struct source *s);

/* Whoever waits goes on waiting for the list that is fetched now, unless this one is an answer. */
static void on_recalled(struct source *s, struct crl_job *job)
{
    s->is_recalling = false;
    if (job->crl)
        take_list(s, job);
    else
        watched_complain(s->watched, "a kept CRL", &job->why);
    if (source_is_usable(s, loop_wall(s->watched->desk->loop)))
        wishes_answer(&s->wishes);
    source_begin(s);
}

static void on_read(void *owner, struct crl_job *job)
{
    struct source *s = owner;
    s->job = NULL;
    if (job->is_recall)
        on_recalled(s, job);
    else if (job->crl)
        take_fetched(s, job);
    else if (s->url)
        fetch_failed(s, &job->why);
    else
        text_failed(s, &job->why);
}

/* ---- reading ---- */

/* The newest counts: one that is being read for a text that has changed since is for nobody. */
static void read_list(struct source *s, struct crl_job *job)
{
    const struct watched *w = s->watched;
    job->issuers = X509_chain_up_ref(w->issuers);
    job->last = s->crl ? crl_ref(s->crl) : NULL;
    job->memory = crl_memory_copy(&s->memory);
    job->job.group = mem_slice(w->authority->entity);
    job->now = loop_wall(w->desk->loop);
    job->max_bytes = (size_t)w->authority->revocation.crl_max_bytes;
    job->must_follow = s->url != NULL;
    job->is_kept = s->is_kept;
    job->owner = s;
    job->done = on_read;
    if (s->job)
        s->job->owner = NULL;
    s->job = job;
    crl_reader_read(w->desk->reader, job);
}

static void read_bytes(struct source *s, struct slice bytes)
{
    struct crl_job *job = mem_new(struct crl_job);
    job->bytes = mem_slice(bytes);
    read_list(s, job);
}

/* Until it is read nobody is let in because nothing is known. */
static void recall(struct source *s)
{
    struct crl_job *job = mem_new(struct crl_job);
    job->is_recall = true;
    s->is_recalling = true;
    read_list(s, job);
    status_publish_later(s->watched->desk, false);
}

/* ---- fetching ---- */

static void on_crl(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    struct source *s = owner;
    struct fault fault;
    s->fetch = NULL;
    if (answer->status == 200) {
        read_bytes(s, answer->body);
        return;
    }
    if (answer->status)
        fault_set(&fault, FAULT_IO, "'%s' was answered with status %d", s->url, answer->status);
    fetch_failed(s, answer->status ? &fault : why);
}

static bool may_connect(void *owner, const struct sockaddr *address)
{
    const struct source *s = owner;
    return watched_may_connect(s->watched, address);
}

static void source_begin(struct source *s)
{
    struct fault fault;
    if (s->fetch || s->job || !s->url)
        return;
    ev_timer_stop(s->watched->desk->loop->ev, &s->due);
    const bool has_memory = !s->is_recalled && !s->crl && crl_memory_is_there(&s->memory);
    s->is_recalled = true;
    if (has_memory) {
        recall(s);
        return;
    }
    if (!watched_may_fetch(s->watched, slice_of(s->url), &fault)) {
        fetch_failed(s, &fault);
        return;
    }
    s->fetch =
        watched_fetch(s->watched, s->url,
                      (struct fetch_request){
                          .max_bytes = (uint32_t)s->watched->authority->revocation.crl_max_bytes,
                          .may_connect = may_connect,
                          .done = on_crl,
                          .owner = s});
}

static void on_due(struct ev_loop *ev, ev_timer *due, int events)
{
    (void)ev, (void)events;
    source_begin(due->data);
}

/* ---- which there are ---- */

static struct source *source_new(struct watched *w, struct slice url)
{
    struct source *s = mem_new(struct source);
    s->watched = w;
    list_init(&s->wishes);
    ev_init(&s->due, on_due);
    s->due.data = s;
    if (url.len) {
        s->url = mem_text(url);
        crl_memory_init(&s->memory, w->desk->state_dir, w->authority->entity, w->authority->id,
                        url);
    }
    list_push(&w->sources, &s->link);
    w->source_count++;
    return s;
}

static void source_free(struct source *s)
{
    wishes_answer(&s->wishes);
    link_remove(&s->link);
    s->watched->source_count--;
    fetch_cancel(s->fetch);
    if (s->job)
        s->job->owner = NULL;
    ev_timer_stop(s->watched->desk->loop->ev, &s->due);
    crl_unref(s->crl);
    crl_memory_fini(&s->memory);
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

/* The nth of those that the bundle holds. */
static struct source *text_find(const struct watched *w, uint32_t n)
{
    list_each (at, &w->sources) {
        struct source *s = container_of(at, struct source, link);
        if (!s->url && !n--)
            return s;
    }
    return NULL;
}

static bool names_url(const struct revocation *r, const char *url)
{
    for (uint32_t i = 0; i < r->crl.count; i++)
        if (slice_eq(r->crl.at[i], slice_of(url)))
            return true;
    return false;
}

void sources_settle(struct watched *w)
{
    const struct revocation *r = &w->authority->revocation;
    for (struct link *it = w->sources.next, *next; it != &w->sources; it = next) {
        struct source *s = container_of(it, struct source, link);
        next = it->next;
        if (s->url && !names_url(r, s->url) && !r->from_certificate) {
            crl_memory_forget(&s->memory);
            source_free(s);
        }
    }
    for (uint32_t i = 0; i < r->crl.count; i++)
        if (!source_find(w, r->crl.at[i]))
            (void)source_new(w, r->crl.at[i]);
}

/* Those of the bundle's text count until that is read again. */
static void inherit(struct watched *w, const struct source *s)
{
    struct source *mine = s->url ? source_find(w, slice_of(s->url)) : NULL;
    if (!s->crl || !watched_issuer(w, s->crl->issuer))
        return;
    if (!s->url && w->source_count < SOURCES_MAX)
        mine = source_new(w, (struct slice){0});
    if (!mine || mine->crl)
        return;
    mine->crl = crl_ref(s->crl);
    mine->is_kept = s->is_kept;
}

void sources_inherit(struct watched *w, const struct link *before)
{
    list_each (at, before) {
        const struct watched *old = container_of(at, struct watched, link);
        if (!slice_eq(old->authority->entity, w->authority->entity) ||
            !slice_eq(old->authority->id, w->authority->id))
            continue;
        list_each (it, &old->sources)
            inherit(w, container_of(it, struct source, link));
    }
}

/* Of the same place in the text the one before stays until the new one is read, so that nobody is
 * cut off in between. */
static void read_texts(struct watched *w)
{
    const struct slice end = SLICE("-----END X509 CRL-----");
    struct slice rest_of = w->authority->revocation.crl_pem;
    uint32_t count = 0;
    for (const char *found; rest_of.len && count < SOURCES_MAX &&
                            (found = memmem(rest_of.ptr, rest_of.len, end.ptr, end.len));) {
        const size_t len = (size_t)(found - rest_of.ptr) + end.len;
        struct slice one = {rest_of.ptr, len};
        while (one.len && one.ptr[0] != '-') // what stands between the blocks
            one = slice_skip(one, 1);
        struct source *s = text_find(w, count++);
        read_bytes(s ? s : source_new(w, (struct slice){0}), one);
        rest_of = slice_skip(rest_of, len);
    }
    for (struct source *s; (s = text_find(w, count));)
        source_free(s);
}

void sources_begin(struct watched *w)
{
    if (w->has_new_text)
        read_texts(w);
    w->has_new_text = false;
    // Also those that pause: the charter may allow now what it did not.
    for (struct link *it = w->sources.next, *next; it != &w->sources; it = next) {
        struct source *s = container_of(it, struct source, link);
        next = it->next;
        if (!s->crl || !ev_is_active(&s->due))
            source_begin(s);
    }
}

void sources_forget(struct watched *w)
{
    while (!list_is_empty(&w->sources))
        source_free(container_of(w->sources.next, struct source, link));
}

void sources_keep(const struct watched *w, struct status_keep *keep)
{
    list_each (at, &w->sources) {
        const struct source *s = container_of(at, struct source, link);
        if (s->memory.path)
            status_keep_add(keep, mem_text(slice_of(strrchr(s->memory.path, '/') + 1)));
    }
}

/* ---- what certificates say ---- */

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

/* The first one, and the first after one that is over, which was of the last start, or is over
 * since the clock was set: it is asked for at once. Later ones keep nobody waiting. */
static bool is_coming(struct source *s)
{
    if (source_is_usable(s, loop_wall(s->watched->desk->loop)) || (s->crl && s->pause_s))
        return false;
    if (s->crl)
        source_begin(s);
    return s->fetch || s->job;
}

bool sources_want(struct watched *w, X509 *leaf, void (*answered)(void *owner), void *owner)
{
    if (w->authority->revocation.from_certificate)
        follow_points(w, leaf);
    list_each (at, &w->sources) {
        struct source *s = container_of(at, struct source, link);
        if (!is_coming(s))
            continue;
        wish_add(&s->wishes, answered, owner);
        return true;
    }
    return false;
}
