// SPDX-License-Identifier: EUPL-1.2
/* What is asked of a list that comes, and that it is kept. */
#include "auth/crl_reader.h"

#include <string.h>

#include "base/mem.h"

static struct crl_job *job_of(struct letter *self)
{
    return container_of(self, struct crl_job, job.letter);
}

static void job_free(struct letter *self)
{
    struct crl_job *j = job_of(self);
    mem_slice_free(&j->job.group);
    mem_slice_free(&j->bytes);
    sk_X509_pop_free(j->issuers, X509_free);
    crl_unref(j->last);
    crl_unref(j->crl);
    crl_memory_fini(&j->memory);
    mem_free(j);
}

static void job_open(struct letter *self, void *owner)
{
    struct crl_job *j = job_of(self);
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

static void job_run(struct aside_job *self)
{
    struct crl_job *j = container_of(self, struct crl_job, job);
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

void crl_reader_read(struct aside *a, struct crl_job *take)
{
    take->job.letter = (struct letter){.open = job_open, .drop = job_free};
    take->job.run = job_run;
    aside_do(a, &take->job);
}
