// SPDX-License-Identifier: EUPL-1.2
/* A queue under a lock, as the compiler has a slot: neither side is on the way of a request. What
 * is done goes home as a letter. */
#include "auth/crl_reader.h"

#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"

struct crl_reader {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct letter *first; /* of those that wait; under the lock */
    struct letter **end;
    bool is_stopping; /* under the lock */
    struct mailbox home;
};

static void job_free(struct letter *self)
{
    struct crl_job *j = container_of(self, struct crl_job, letter);
    mem_slice_free(&j->bytes);
    sk_X509_pop_free(j->issuers, X509_free);
    crl_unref(j->last);
    crl_unref(j->crl);
    crl_memory_fini(&j->memory);
    mem_free(j);
}

static void job_open(struct letter *self, void *owner)
{
    struct crl_job *j = container_of(self, struct crl_job, letter);
    (void)owner;
    if (j->owner)
        j->done(j->owner, j);
    job_free(self);
}

static bool may_replace(const struct crl_job *j, const struct crl *c, struct fault *f)
{
    return crl_is_fresh(c, j->now, f) &&
           (!j->must_follow || !j->last || memcmp(c->issuer, j->last->issuer, sizeof c->issuer) ||
            crl_follows(c, j->last, f));
}

static struct crl *read_new(struct crl_job *j)
{
    struct crl *c = crl_parse(j->bytes, j->issuers, j->now, &j->why);
    if (!c || may_replace(j, c, &j->why))
        return c;
    crl_unref(c);
    return NULL;
}

/* The same one is not written again. */
static void keep(struct crl_job *j)
{
    const bool is_there = j->is_kept && j->is_same &&
                          j->last->this_update.s == j->crl->this_update.s &&
                          !memcmp(j->last->number, j->crl->number, sizeof j->crl->number);
    j->is_kept = is_there || crl_memory_write(&j->memory, j->crl, j->bytes, &j->unkept);
}

static void job_run(struct crl_job *j)
{
    j->crl = j->is_recall ? crl_memory_read(&j->memory, j->max_bytes, j->issuers, j->now, &j->why)
                          : read_new(j);
    if (!j->crl)
        return;
    j->is_same =
        j->last && j->last->count == j->crl->count &&
        !memcmp(j->last->serials, j->crl->serials, j->crl->count * sizeof *j->crl->serials);
    if (j->is_recall)
        j->is_kept = true;
    else
        keep(j);
}

static struct letter *take_first(struct crl_reader *r)
{
    struct letter *first = NULL;
    (void)pthread_mutex_lock(&r->lock);
    while (!r->first && !r->is_stopping)
        (void)pthread_cond_wait(&r->wake, &r->lock);
    if (!r->is_stopping) {
        first = r->first;
        r->first = first->next;
        if (!r->first)
            r->end = &r->first;
    }
    (void)pthread_mutex_unlock(&r->lock);
    return first;
}

static void *reader_main(void *arg)
{
    struct crl_reader *r = arg;
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    (void)pthread_setname_np(pthread_self(), "crl-reader");
    for (struct letter *one; (one = take_first(r));) {
        job_run(container_of(one, struct crl_job, letter));
        mailbox_post(&r->home, one);
    }
    return NULL;
}

struct crl_reader *crl_reader_start(struct loop *l, struct fault *f)
{
    struct crl_reader *r = mem_new(struct crl_reader);
    r->end = &r->first;
    mailbox_init(&r->home, l, r);
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->wake, NULL);
    const int error = pthread_create(&r->thread, NULL, reader_main, r);
    if (!error)
        return r;
    (void)fault_errno(f, error, "cannot start the thread that reads CRLs");
    mailbox_fini(&r->home);
    mem_free(r);
    return NULL;
}

void crl_reader_stop(struct crl_reader *r)
{
    if (!r)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->is_stopping = true;
    (void)pthread_cond_signal(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
    (void)pthread_join(r->thread, NULL);
    mailbox_fini(&r->home);
    for (struct letter *one = r->first, *next; one; one = next) {
        next = one->next;
        job_free(one);
    }
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_cond_destroy(&r->wake);
    mem_free(r);
}

void crl_reader_read(struct crl_reader *r, struct crl_job *take)
{
    take->letter = (struct letter){.open = job_open, .drop = job_free};
    (void)pthread_mutex_lock(&r->lock);
    *r->end = &take->letter;
    r->end = &take->letter.next;
    (void)pthread_cond_signal(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
}
