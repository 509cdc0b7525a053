// SPDX-License-Identifier: EUPL-1.2
/* One thread, one slot for the next job. A lock is fine here: neither side is on the way of a
 * request. */
#include "proxy/compiler.h"

#include <pthread.h>
#include <signal.h>

#include "base/fault.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/store.h"

struct compiler {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct documents *remembered;
    struct documents *next;
    const struct config *reload;
    bool is_again;
    bool is_stopping;
    /* The thread's own. */
    const struct config *config;
    struct documents *documents;
    struct serials known;
    struct edition *last;
    struct keyring *keyring;
    struct compiler_hook hook;
    atomic_int *alive;
    uint8_t
        told[32]; /* digest of the refusals last logged, so that a reconcile does not repeat them */
};

static void host_is_missing(void *owner, const struct fault *why)
{
    (void)owner;
    log_fault(LOG_LEVEL_WARNING, "compiler", why);
}

static struct snapshot *build(struct compiler *c, const struct config *config)
{
    uint32_t count = c->documents ? c->documents->count : 0;
    struct snapshot_document *at = mem_array(struct snapshot_document, count ? count : 1);
    struct snapshot_input input = {.federation_keys = config->federation_keys,
                                   .federation_key_count = config->federation_key_count,
                                   .min_charter_serial = config->min_charter_serial,
                                   .documents = at,
                                   .document_count = count,
                                   .known = &c->known,
                                   .last = c->last ? c->last->snapshot : NULL,
                                   .now = {time(NULL)}};
    struct snapshot *s;
    for (uint32_t i = 0; i < count; i++)
        at[i] = (struct snapshot_document){slice_of(c->documents->at[i].entity),
                                           c->documents->at[i].blob->bytes};
    s = snapshot_build(&input);
    mem_free(at);
    return s;
}

static uint32_t tell_refusals(struct compiler *c, const struct snapshot *s)
{
    uint32_t refused = 0;
    struct buf all;
    uint8_t digest[32];
    buf_init(&all, 1u << 20);
    for (uint32_t i = 0; i < s->status_count; i++) {
        const struct document_status *d = &s->status[i];
        if (d->fate != FATE_REFUSED && d->fate != FATE_EXPIRED)
            continue;
        refused++;
        if (!buf_add(&all, d->entity) || !buf_add(&all, slice_of(d->why.text)))
            break; /* 1,000 refusals of a line each stay below the ceiling */
    }
    sha256(digest, buf_slice(&all));
    buf_fini(&all);
    if (memcmp(digest, c->told, sizeof digest) == 0)
        return refused;
    memcpy(c->told, digest, sizeof digest);
    for (uint32_t i = 0; i < s->status_count; i++) {
        const struct document_status *d = &s->status[i];
        if (d->fate == FATE_REFUSED || d->fate == FATE_EXPIRED)
            log_error("compiler", "%s%.*s is not activated: %s",
                      d->entity.len ? "bundle of " : "charter", SLICE_ARG(d->entity), d->why.text);
    }
    return refused;
}

/* The envelope that is active now for an entity (the charter where empty): what state_dir is to
 * hold. */
static bool add_memory(struct compiler *c, struct store_memory *m, struct slice entity,
                       int64_t serial, const struct sealed *sealed)
{
    const struct serial *known = serials_find(&c->known, entity);
    if (known && known->serial == serial && memcmp(known->digest, sealed->payload_digest, 32) == 0)
        return false;
    *m = (struct store_memory){entity, sealed->bytes, serial, sealed->payload_digest};
    return true;
}

static bool remember(struct compiler *c, const struct config *config, const struct snapshot *s,
                     struct fault *f)
{
    struct store_memory *m = mem_array(struct store_memory, s->bundle_count + s->shadow_count + 1);
    size_t count = 0;
    bool ok = true;
    if (s->charter)
        count +=
            add_memory(c, &m[count], SLICE(""), s->charter->charter->serial, &s->charter->sealed);
    for (uint32_t i = 0; i < s->bundle_count; i++) {
        const struct bundle_ref *b = s->bundles[i];
        count += add_memory(c, &m[count], b->bundle->name, b->bundle->serial, &b->sealed);
    }
    for (uint32_t i = 0; i < s->shadow_count; i++) {
        const struct bundle_ref *b = s->shadows[i];
        count += add_memory(c, &m[count], b->bundle->name, b->bundle->serial, &b->sealed);
    }
    if (count)
        ok = store_remember(config->state_dir.ptr, &c->known, m, count, (struct wall){time(NULL)},
                            f);
    mem_free(m);
    return ok;
}

/* The edition, or NULL with `why`: then nothing has changed, neither here nor on disk. */
static struct edition *make(struct compiler *c, const struct config *config, bool is_reload,
                            uint32_t *refused, struct fault *why)
{
    struct edition_settings settings = {.certificates_dir = config->certificates_dir.ptr,
                                        .keys_dir = config->keys_dir.ptr,
                                        .alive = c->alive,
                                        .reads_again = is_reload};
    struct keyring *keyring =
        is_reload || !c->keyring
            ? keyring_read(config->keys_dir.ptr, (struct wall){time(NULL)}, why)
            : keyring_ref(c->keyring);
    struct snapshot *s;
    if (!keyring)
        return NULL;
    s = build(c, config);
    *refused = tell_refusals(c, s);
    if (!remember(c, config, s, why)) {
        (void)fault_within(why, "nothing new is activated, since it can't be remembered");
        snapshot_unref(s);
        keyring_unref(keyring);
        return NULL;
    }
    keyring_unref(c->keyring);
    c->keyring = keyring;
    c->config = config;
    return edition_make(s, keyring_ref(keyring), &settings, c->last, host_is_missing, c);
}

/* False where nothing new came of it. */
static bool work(struct compiler *c, const struct config *config, bool is_reload)
{
    struct compiled out = {.is_reload = is_reload, .config = config};
    bool is_made;
    out.edition = make(c, config, is_reload, &out.refused, &out.why);
    is_made = out.edition != NULL;
    if (is_made) {
        edition_unref(c->last);
        c->last = edition_ref(out.edition);
    }
    c->hook.made(c->hook.owner, &out);
    return is_made;
}

static void *compiler_main(void *arg)
{
    struct compiler *c = arg;
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    (void)pthread_setname_np(pthread_self(), "compiler");
    (void)pthread_mutex_lock(&c->lock);
    while (!c->is_stopping) {
        struct documents *documents = c->remembered ? c->remembered : c->next;
        const struct config *reload = c->reload;
        bool is_due = documents || c->is_again; /* whatever becomes of the reload */
        if (!is_due && !reload) {
            (void)pthread_cond_wait(&c->wake, &c->lock);
            continue;
        }
        if (c->remembered)
            c->remembered = NULL;
        else
            c->next = NULL;
        c->reload = NULL;
        c->is_again = false;
        (void)pthread_mutex_unlock(&c->lock);
        if (documents) {
            documents_unref(c->documents);
            c->documents = documents;
        }
        if (!(reload && work(c, reload, true)) && is_due)
            (void)work(c, c->config, false);
        (void)pthread_mutex_lock(&c->lock);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

struct compiler *compiler_start(const struct config *config, struct serials *take_known,
                                atomic_int *alive, struct compiler_hook hook, struct fault *f)
{
    struct compiler *c = mem_new(struct compiler);
    int error;
    c->config = config;
    c->known = *take_known;
    *take_known = (struct serials){0};
    c->hook = hook;
    c->alive = alive;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->wake, NULL);
    error = pthread_create(&c->thread, NULL, compiler_main, c);
    if (!error)
        return c;
    (void)fault_errno(f, error, "cannot start the compiler's thread");
    serials_fini(&c->known);
    mem_free(c);
    return NULL;
}

void compiler_remembered(struct compiler *c, struct documents *take)
{
    (void)pthread_mutex_lock(&c->lock);
    c->remembered = take;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
}

void compiler_documents(struct compiler *c, struct documents *take)
{
    (void)pthread_mutex_lock(&c->lock);
    documents_unref(c->next);
    c->next = take;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
}

void compiler_reload(struct compiler *c, const struct config *config)
{
    (void)pthread_mutex_lock(&c->lock);
    c->reload = config;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
}

void compiler_again(struct compiler *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->is_again = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
}

void compiler_stop(struct compiler *c)
{
    if (!c)
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->is_stopping = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
    (void)pthread_join(c->thread, NULL);
    (void)pthread_mutex_destroy(&c->lock);
    (void)pthread_cond_destroy(&c->wake);
    documents_unref(c->remembered);
    documents_unref(c->next);
    documents_unref(c->documents);
    serials_fini(&c->known);
    edition_unref(c->last);
    keyring_unref(c->keyring);
    mem_free(c);
}
