// SPDX-License-Identifier: EUPL-1.2
/* What responders say of the certificates that workers meet (OCSP): a question for each of them,
 * which lives as status_desk.c draws it, and before that:
 *
 *     met ──► READING the answer of the last start, where there is one ──► FETCHING
 *
 * Of questions there may be thousands: they are looked through once a second, and go out at most
 * QUESTIONS_AT_ONCE at a time for one authority.
 * Owns: the questions, their answers. Does not own: what an answer must be (ocsp.c), its file
 * (ocsp_memory.c). */
#include "auth/status_desk_in.h"
#include "auth/wish.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/mem.h"

#include <openssl/x509v3.h>

#define QUESTIONS_MAX 16384  /* of all authorities; some 300 bytes each */
#define QUESTIONS_AT_ONCE 16 /* to one authority's responder */
#define REST_MAX_S 3600      /* after an answer */
/* For reading the one of the last start, before the responder is asked. */
#define RECALL_LIMIT_S 2
#define SEEN_S 86400        /* a certificate that nobody has shown for a day is forgotten */
#define SEEN_AGAIN_S 3600   /* so often workers tell that one is in use */
#define COMPLAIN_EVERY_S 10 /* of one authority's responder */

static struct link *bucket_of(struct status_desk *d, const uint8_t key[32])
{
    return &d->buckets[((size_t)key[0] << 8 | key[1]) % STATUS_BUCKETS];
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
    if (q->job)
        q->job->owner = NULL;
    wishes_drop(&q->wishes);
    mem_slice_free(&q->unwritten);
    mem_free(q->path);
    mem_free(q->url);
    mem_free(q);
}

static void question_ended(struct question *q, bool is_worse)
{
    struct watched *w = q->watched;
    const int64_t now_s = loop_wall(w->desk->loop).s;
    const int64_t again_s = q->seen_s + SEEN_AGAIN_S;
    q->known.wanted_again_s = q->pause_s ? q->due_s : again_s > now_s ? again_s : now_s + 1;
    status_publish_later(w->desk, is_worse);
    list_move(&q->wishes, &w->desk->told);
}

static void complain(struct watched *w, const char *what, const struct fault *why)
{
    const int64_t now_s = loop_wall(w->desk->loop).s;
    if (now_s - w->complained_s < COMPLAIN_EVERY_S)
        return;
    w->complained_s = now_s;
    watched_complain(w, what, why);
}

static void question_failed(struct question *q, const struct fault *why)
{
    struct watched *w = q->watched;
    const int64_t now_s = loop_wall(w->desk->loop).s;
    complain(w, "an OCSP answer", why);
    metric_add(w->desk->metrics, METRIC_OCSP_FAILURES_TOTAL, 1);
    q->pause_s = status_pause_longer(q->pause_s);
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

/* ---- what is kept ---- */

static void on_kept(void *owner, struct ocsp_job *job);

static void send_job(struct question *q, struct ocsp_job *job)
{
    job->job.group = mem_slice(q->watched->authority->entity);
    job->path = mem_text(slice_of(q->path));
    job->owner = q;
    job->done = on_kept;
    q->job = job;
    ocsp_memory_do(q->watched->desk->memory, job);
}

/* Until it is read nobody is let in because nothing is known. */
static void recall(struct question *q)
{
    struct ocsp_job *job = mem_new(struct ocsp_job);
    job->is_read = true;
    q->known.is_unread = true;
    q->due_s = loop_wall(q->watched->desk->loop).s + RECALL_LIMIT_S;
    send_job(q, job);
    status_publish_later(q->watched->desk, false);
}

/* One at a time: on a disk that hangs nothing piles up. */
static void keep(struct question *q, struct slice bytes)
{
    if (!q->path || (q->kept.verdict == q->known.answer.verdict &&
                     q->kept.this_update.s == q->known.answer.this_update.s))
        return;
    q->kept = q->known.answer;
    mem_slice_free(&q->unwritten);
    if (q->job) {
        q->unwritten = mem_slice(bytes);
        return;
    }
    struct ocsp_job *job = mem_new(struct ocsp_job);
    job->bytes = mem_slice(bytes);
    send_job(q, job);
}

/* One that is over tells who is revoked, and from when allow_for counts. Whatever it says, the
 * responder is asked: who waits goes on waiting for that, unless this one is an answer. */
static void recalled(struct question *q, const struct ocsp_job *job)
{
    struct watched *w = q->watched;
    struct fault fault = job->why;
    struct ocsp_answer answer = {0};
    if (q->known.is_unread)
        q->due_s = 0;
    q->known.is_unread = false;
    if (job->bytes.len && question_read(q, job->bytes, &answer, &fault))
        q->known.answer = q->kept = answer;
    else if (job->bytes.len || fault.code)
        complain(w, "a kept OCSP answer", &fault);
    if (answer.verdict == OCSP_REVOKED ||
        (answer.verdict && ocsp_is_fresh(&answer, loop_wall(w->desk->loop), &fault)))
        question_ended(q, answer.verdict != OCSP_GOOD);
    else
        status_publish_later(w->desk, false);
    questions_begin(w);
}

static void on_kept(void *owner, struct ocsp_job *job)
{
    struct question *q = owner;
    q->job = NULL;
    if (job->is_read) {
        recalled(q, job);
    } else if (job->why.code) {
        q->kept = (struct ocsp_answer){0};
        complain(q->watched, "an OCSP answer can't be remembered", &job->why);
    }
    if (!q->unwritten.len)
        return;
    struct ocsp_job *next = mem_new(struct ocsp_job);
    next->bytes = q->unwritten;
    q->unwritten = (struct slice){0};
    send_job(q, next);
}

/* ---- fetching ---- */

static void question_take(struct question *q, const struct ocsp_answer *answer, struct slice bytes)
{
    struct status_desk *d = q->watched->desk;
    /* Before, it may have been let in by a CRL, or by allow_for. */
    const bool is_worse =
        answer->verdict != OCSP_GOOD && answer->verdict != q->known.answer.verdict;
    q->known.answer = *answer;
    q->known.is_unread = false;
    q->pause_s = 0;
    q->due_s = loop_wall(d->loop).s + status_rest(d, answer->next_update, REST_MAX_S);
    metric_add(d->metrics, METRIC_OCSP_FETCHES_TOTAL, 1);
    keep(q, bytes);
    question_ended(q, is_worse);
}

static bool may_connect(void *owner, const struct sockaddr *address)
{
    const struct question *q = owner;
    return watched_may_connect(q->watched, address);
}

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
    } else if (question_read(q, answer->body, &read, &fault) &&
               ocsp_is_fresh(&read, loop_wall(w->desk->loop), &fault))
        question_take(q, &read, answer->body);
    else
        question_failed(q, &fault);
    questions_begin(w);
}

static void question_begin(struct question *q)
{
    struct watched *w = q->watched;
    struct fault fault;
    if (!watched_may_fetch(w, slice_of(q->url), &fault)) {
        question_failed(q, &fault);
        return;
    }
    w->asking++;
    q->fetch = watched_fetch(w, q->url,
                             (struct fetch_request){.max_bytes = OCSP_ANSWER_MAX_BYTES,
                                                    .may_connect = may_connect,
                                                    .done = on_answer,
                                                    .owner = q});
}

/* Those that are due, first of all the ones that somebody waits for. */
void questions_begin(struct watched *w)
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

void questions_age(struct watched *w)
{
    const int64_t now_s = loop_wall(w->desk->loop).s;
    for (struct link *it = w->questions.next, *next; it != &w->questions; it = next) {
        struct question *q = container_of(it, struct question, link);
        next = it->next;
        if (!q->fetch && now_s - q->seen_s > SEEN_S)
            question_free(q);
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
    X509 *issuer = watched_issuer(w, link->issuer);
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
    if (d->memory)
        q->path = ocsp_memory_path(d->memory, w->authority->entity, w->authority->id, link);
    if (q->path)
        recall(q);
    return q;
}

bool questions_want(struct watched *w, X509 *leaf, const struct chain_link *link,
                    void (*answered)(void *owner), void *owner)
{
    const int64_t now_s = loop_wall(w->desk->loop).s;
    uint8_t key[32];
    status_key(key, w->authority->digest, link);
    struct question *q = question_find(w->desk, key);
    if (!q && !(q = question_new(w, key, leaf, link)))
        return false;
    q->seen_s = now_s;
    if (!q->fetch && !q->known.is_unread &&
        q->due_s > now_s) { // asked lately: the table has what there is
        if (q->known.wanted_again_s <= now_s)
            question_ended(q, false);
        return false;
    }
    wish_add(&q->wishes, answered, owner);
    questions_begin(w);
    return true;
}

void questions_forget(struct watched *w)
{
    while (!list_is_empty(&w->questions)) {
        struct question *q = container_of(w->questions.next, struct question, link);
        wishes_answer(&q->wishes);
        question_free(q);
    }
}
