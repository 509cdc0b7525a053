// SPDX-License-Identifier: EUPL-1.2
/* The control thread, in the order of a gateway's life: start, news from the store, keys,
 * readiness, reload, drain. */
#include "proxy/control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit/seal.h"
#include "audit/writer.h"
#include "auth/introspection.h"
#include "auth/inventory_desk.h"
#include "auth/issuer.h"
#include "auth/oidc.h"
#include "auth/session_desk.h"
#include "auth/session_ends.h"
#include "auth/status_desk.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/secret.h"
#include "policy/store.h"
#include "proxy/admin.h"
#include "proxy/compiler.h"
#include "proxy/errand.h"
#include "proxy/event_of.h"
#include "proxy/health.h"
#include "proxy/listener.h"
#include "proxy/resolver.h"
#include "proxy/sandbox.h"
#include "proxy/supervisor.h"
#include "proxy/worker.h"

#define TOLD_RING_BYTES 1048576 /* ends of some 2,000 sessions at once */
/* By itself malloc gives back from 128 KiB on what is free at a heap's end: under uploads again and
 * again, and each page comes back by a fault. What a crowd leaves behind is given back in any case
 * (worker_connection_gone). */
#define HEAP_KEPT_BYTES 1048576
#define WATCH_S 1 /* how often ages are looked at */
#define RETRY_S 2 /* after what is new could not be activated: the disk may have room again */

struct control {
    struct loop loop;
    struct mailbox mailbox;
    struct metrics metrics;
    const struct config *config;   /* of the start: what workers use */
    const struct config *in_force; /* the last one that was taken over */
    struct config *reloading;      /* the compiler has it; NULL: none is under way */
    struct ticket_ring *tickets;   /* in the secrets' memory */
    struct worker **workers;
    uint32_t worker_count;
    uint32_t started;
    uint32_t gone; /* of the started: they have drained */
    struct compiler *compiler;
    struct store *store;
    struct desks desks;
    struct issuers *table; /* the keys that the desk has; NULL before the first edition */
    struct resolver *resolver;
    struct health_desk *health;
    uint64_t book_number; /* of the last address book */
    struct audit_writer *audit;
    struct audit_ring *told; /* what this thread tells the audit */
    struct session_ends *ends;
    struct admin *admin;
    struct supervisor supervisor;
    atomic_int alive; /* how many editions there are */
    uint32_t refused; /* documents of the store that are not active */
    struct mono activated_at;
    struct mono store_seen_at; /* when the store last answered */
    int64_t rebuild_at_s;      /* when a key or document comes into its time, or leaves it */
    int pid_fd;                /* locked while we live: one gateway a state_dir */
    ev_signal terminate;
    ev_signal interrupt;
    ev_signal hangup;
    ev_signal reopen;
    ev_timer watch;
    bool must_reload;  /* asked for while one was under way */
    bool is_following; /* the desk changes over: the table goes out with the edition */
    bool has_names;    /* once there was an answer for each: a new one is no reason to be away */
    bool is_stuck;     /* the last job came to nothing; it is tried again */
    bool is_store_connected;
    bool is_store_stale; /* away for longer than store.max_stale, and workers were told */
    bool is_draining;
};

/* --- Sockets and rights, before any thread. */

/* All that needs root is done when this returns; what comes after is done with what is left. */
static bool take_sockets(struct control *c, int **fds, struct fault *f)
{
    *fds = mem_array(int, (size_t)c->config->workers * c->config->listen_count);
    if (listeners_open(c->config, *fds, f) && sandbox_drop(c->config, f))
        return true;
    mem_free(*fds);
    *fds = NULL;
    return false;
}

static void make_workers(struct control *c, const int *take_fds)
{
    const uint32_t each = c->config->listen_count;
    c->workers = mem_array(struct worker *, c->config->workers);
    for (; c->worker_count < c->config->workers; c->worker_count++)
        c->workers[c->worker_count] = worker_new(c->worker_count, c->config, c->tickets, c,
                                                 take_fds + c->worker_count * each, each);
}

static bool start_audit(struct control *c, struct fault *f)
{
    struct audit_settings s = {.path = c->config->audit_file.ptr,
                               .rotate_bytes = c->config->audit_rotate_bytes,
                               .max_behind_ms = c->config->audit_max_behind_ms,
                               .is_synced = c->config->audit_synced,
                               .gateway = NULL};
    struct audit_ring **rings = mem_array(struct audit_ring *, c->worker_count + 1);
    char host[256] = "belfry";
    (void)gethostname(host, sizeof host - 1);
    s.gateway = host;
    for (uint32_t i = 0; i < c->worker_count; i++)
        rings[i] = c->workers[i]->audit;
    rings[c->worker_count] = c->told = audit_ring_new(TOLD_RING_BYTES, &c->metrics);
    c->audit = audit_writer_start(&s, rings, c->worker_count + 1, &c->metrics, f);
    mem_free(rings);
    return c->audit != NULL;
}

/* --- News: documents → compiler → edition → workers. */

static void on_records_up(void *owner)
{
    struct control *c = owner;
    revocation_desk_up(c->desks.revocations);
}

static void on_records_down(void *owner, const struct fault *why)
{
    (void)owner;
    log_debug("store", "records: %s", why->text);
}

static void on_documents(void *owner, struct documents *documents)
{
    struct control *c = owner;
    c->store_seen_at = loop_now(&c->loop);
    compiler_documents(c->compiler, documents_ref(documents));
}

static void on_revoked(void *owner, struct slice entity)
{
    struct control *c = owner;
    revocation_desk_news(c->desks.revocations, entity);
}

static void on_session_end(void *owner, const struct session *s, const char *why)
{
    struct control *c = owner;
    struct event event;
    struct arena a;
    arena_init(&a, NULL);
    event_of_session_end(s, why, &a, &event);
    if (!audit_publish(c->told, &event))
        metric_add(&c->metrics, METRIC_AUDIT_ENDS_DROPPED_TOTAL, 1);
    arena_fini(&a);
}

static void on_revocations(void *owner, struct revocations *take)
{
    struct control *c = owner;
    for (uint32_t i = 0; i < c->worker_count; i++)
        worker_post_revocations(c->workers[i], revocations_ref(take));
    revocations_unref(take);
}

static void on_store(void *owner, bool is_connected)
{
    struct control *c = owner;
    c->is_store_connected = is_connected;
    c->store_seen_at = loop_now(&c->loop);
    metric_set(&c->metrics, METRIC_STORE_CONNECTED, is_connected);
    if (is_connected)
        log_notice("store", "connected: rules are followed as they are published");
    else
        log_warning("store", "lost: decisions go on by the rules that are known");
}

/* The next moment at which time alone changes what is valid. */
static void look_ahead(int64_t *next, int64_t now, int64_t moment)
{
    if (moment >= now && moment < *next)
        *next = moment;
}

static int64_t next_change_s(const struct snapshot *s, int64_t now)
{
    int64_t next = INT64_MAX;
    const struct charter *charter = s->charter ? s->charter->charter : NULL;
    look_ahead(&next, now, s->charter ? s->not_after_s : INT64_MAX);
    for (uint32_t i = 0; i < s->bundle_count; i++)
        look_ahead(&next, now, snapshot_end(s, s->bundles[i]->bundle));
    for (uint32_t i = 0; charter && i < charter->entity_count; i++) {
        for (uint32_t j = 0; j < charter->entities[i].key_count; j++) {
            look_ahead(&next, now, charter->entities[i].keys[j].not_before_s);
            look_ahead(&next, now, charter->entities[i].keys[j].not_after_s);
        }
    }
    return next;
}

struct compiled_letter {
    struct letter letter;
    struct compiled compiled;
};

static void drop_compiled(struct letter *self)
{
    struct compiled_letter *l = container_of(self, struct compiled_letter, letter);
    edition_unref(l->compiled.edition);
    mem_free(l);
}

static void begin_reload(struct control *c);

/* A reload is answered: the new configuration is in force, or the old one stays. */
static void settle_reload(struct control *c, const struct compiled *made)
{
    const struct config *old = made->edition ? c->in_force : made->config;
    assert(made->config == c->reloading);
    c->reloading = NULL;
    supervisor_tell(&c->supervisor, "READY=1");
    if (made->edition) {
        c->in_force = made->config;
        oidc_desk_secrets(c->desks.oidc, made->config->secrets_dir.ptr);
        c->desks.secrets_dir = c->in_force->secrets_dir.ptr;
        logger_set_level(made->config->log_level);
        metric_add(&c->metrics, METRIC_RELOADS_TOTAL, 1);
        log_notice("control", "configuration taken over");
    } else {
        metric_add(&c->metrics, METRIC_RELOADS_REFUSED_TOTAL, 1);
        log_error("control", "configuration refused, the old one goes on: %s", made->why.text);
    }
    if (old != c->config && old != c->in_force)
        config_free((struct config *)(uintptr_t)old);
    if (c->must_reload)
        begin_reload(c);
}

/* --- Names and health: address books for the workers. */

static struct address_book *new_book(struct control *c)
{
    struct address_book *b = address_book_new(++c->book_number);
    resolver_write(c->resolver, b);
    return b;
}

static void post_book(struct control *c, struct address_book *take)
{
    health_desk_write(c->health, take);
    for (uint32_t i = 0; i < c->worker_count; i++)
        worker_post_addresses(c->workers[i], address_book_ref(take));
    address_book_unref(take);
}

static void on_names(void *owner)
{
    struct control *c = owner;
    struct address_book *b = new_book(c);
    health_desk_follow(c->health, c->desks.edition, b, c->in_force->keys_dir);
    post_book(c, b);
}

static void on_health(void *owner)
{
    struct control *c = owner;
    post_book(c, new_book(c));
}

static void follow_names(struct control *c)
{
    size_t room = 1, count = 0;
    struct slice *hosts;
    for (uint32_t i = 0; i < c->desks.edition->door_count; i++)
        room += c->desks.edition->doors[i].app->upstream_count;
    hosts = mem_array(struct slice, room);
    for (uint32_t i = 0; i < c->desks.edition->door_count; i++) {
        const struct application *app = c->desks.edition->doors[i].app;
        for (uint32_t k = 0; k < app->upstream_count; k++)
            if (app->upstreams[k].host.len)
                hosts[count++] = app->upstreams[k].host;
    }
    resolver_follow(c->resolver, hosts, count);
    mem_free(hosts);
    on_names(c);
}

/* --- An edition is in force. */

/* With the keys that records are sealed by, and for the entities that there are now. */
static void follow_records(struct control *c)
{
    const struct snapshot *s = c->desks.edition->snapshot;
    const struct charter *charter = s->charter ? s->charter->charter : NULL;
    const uint32_t count = charter ? charter->entity_count : 0;
    struct slice *entities = mem_array(struct slice, count + 1);
    for (uint32_t i = 0; i < count; i++)
        entities[i] = charter->entities[i].id;
    records_follow(c->desks.kept, c->desks.edition->keyring);
    revocation_desk_follow(c->desks.revocations, entities, count);
    mem_free(entities);
}

/* The audit's writer seals with the keys that workers hash with: new ones come with a reload. */
static void follow_keys(struct control *c, const struct edition *last, const struct edition *now)
{
    struct slice entity, key;
    size_t at = 0;
    if (!c->config->audit_holds_facts || (last && last->keyring == now->keyring))
        return;
    struct seals *seals = seals_new();
    while (keyring_next_audit_key(now->keyring, &at, &entity, &key))
        seals_add(seals, entity, key);
    audit_writer_seal(c->audit, seals);
}

static void activate(struct control *c, struct edition *take, uint32_t refused)
{
    bool was_ready = c->desks.edition && c->desks.edition->door_count;
    if (refused > c->refused)
        metric_add(&c->metrics, METRIC_BUNDLES_REFUSED_TOTAL, refused - c->refused);
    c->refused = refused;
    c->is_stuck = false;
    follow_keys(c, c->desks.edition, take);
    edition_unref(c->desks.edition);
    c->desks.edition = take;
    /* It got here only because it is remembered. */
    metric_set(&c->metrics, METRIC_TRUST_MEMORY, take->snapshot->charter != NULL);
    c->activated_at = loop_now(&c->loop);
    c->rebuild_at_s = next_change_s(take->snapshot, loop_wall(&c->loop).s);
    c->is_following = true;
    issuer_desk_follow(c->desks.issuers, take->snapshot);
    oidc_desk_follow(c->desks.oidc, take->snapshot);
    status_desk_follow(c->desks.statuses, take->snapshot);
    inventory_desk_follow(c->desks.inventories, take->keyring);
    introspection_desk_follow(c->desks.introspections, take->snapshot);
    c->is_following = false;
    follow_records(c); /* what is remembered as revoked is so for the first request already */
    for (uint32_t i = 0; i < c->worker_count; i++)
        worker_post_edition(c->workers[i], edition_ref(take), issuers_ref(c->table));
    follow_names(c);
    metric_set(&c->metrics, METRIC_SNAPSHOT, (int64_t)take->snapshot->number);
    log_info("control", "snapshot %llu is live: %u applications",
             (unsigned long long)take->snapshot->number, take->door_count);
    supervisor_tell(&c->supervisor, "STATUS=snapshot %llu: %u applications",
                    (unsigned long long)take->snapshot->number, take->door_count);
    if (!was_ready && take->door_count)
        log_notice("control", "ready on %.*s%s", SLICE_ARG(c->config->listen[0].address),
                   c->config->listen_count > 1 ? " and more" : "");
}

/* The store tells its news once: what could not be activated is tried again by ourselves. */
static void stay(struct control *c, const struct fault *why)
{
    if (!c->is_stuck)
        log_error("control", "%s; this is tried again every %d s", why->text, RETRY_S);
    c->is_stuck = true;
    c->rebuild_at_s = loop_wall(&c->loop).s + RETRY_S;
}

static void open_compiled(struct letter *self, void *owner)
{
    struct compiled_letter *l = container_of(self, struct compiled_letter, letter);
    struct control *c = owner;
    struct compiled *made = &l->compiled;
    if (made->is_reload)
        settle_reload(c, made);
    if (made->edition)
        activate(c, made->edition, made->refused);
    else if (!made->is_reload)
        stay(c, &made->why);
    made->edition = NULL;
    drop_compiled(self);
}

/* On the compiler's thread. */
static void on_compiled(void *owner, const struct compiled *made)
{
    struct control *c = owner;
    struct compiled_letter *l = mem_new(struct compiled_letter);
    l->letter.open = open_compiled;
    l->letter.drop = drop_compiled;
    l->compiled = *made;
    mailbox_post(&c->mailbox, &l->letter);
}

/* --- Errands, and the keys that some go for. */

struct mailbox *control_mailbox(struct control *c)
{
    return &c->mailbox;
}

struct desks *control_desks(struct control *c)
{
    return &c->desks;
}

static void on_issuers(void *owner, struct issuers *take)
{
    struct control *c = owner;
    issuers_unref(c->table);
    c->table = take;
    for (uint32_t i = 0; !c->is_following && i < c->worker_count; i++)
        worker_post_issuers(c->workers[i], issuers_ref(take));
}

/* With a new edition it goes out just before that: the edition has all judged again. */
static void on_statuses(void *owner, struct statuses *take, bool is_worse)
{
    struct control *c = owner;
    for (uint32_t i = 0; i < c->worker_count; i++)
        worker_post_statuses(c->workers[i], statuses_ref(take), is_worse && !c->is_following);
    statuses_unref(take);
}

static void on_inventory(void *owner, struct inventory *take, bool is_news)
{
    struct control *c = owner;
    for (uint32_t i = 0; i < c->worker_count; i++)
        worker_post_inventory(c->workers[i], inventory_ref(take), is_news);
    inventory_unref(take);
}

static void on_devices(void *owner, struct slice entity)
{
    struct control *c = owner;
    inventory_desk_news(c->desks.inventories, entity);
}

/* --- Readiness and metrics. */

static bool is_ready(void *owner, struct buf *out)
{
    struct control *c = owner;
    const struct snapshot *s = c->desks.edition ? c->desks.edition->snapshot : NULL;
    int64_t away_ms = c->is_store_connected ? 0 : loop_now(&c->loop).ms - c->store_seen_at.ms;
    bool is_over = s && s->charter && loop_wall(&c->loop).s > s->not_after_s;
    bool is_fine = s && s->charter && !is_over && c->desks.edition->door_count && !c->is_draining;
    bool ok = true;
    if (c->is_draining)
        ok &= buf_printf(out, "failed drain: the gateway is going down\n");
    if (!s || !s->charter)
        ok &= buf_printf(out, "failed policy: no charter is in force\n");
    else if (is_over)
        ok &= buf_printf(out, "failed policy: the charter's not_after has passed\n");
    else if (!c->desks.edition->door_count)
        ok &= buf_printf(out, "failed policy: no application can be reached\n");
    else
        ok &= buf_printf(out, "ok policy: snapshot %llu, %u applications\n",
                         (unsigned long long)s->number, c->desks.edition->door_count);
    if (c->refused)
        ok &= buf_printf(
            out, "degraded documents: %u in the store are not activated; the log says why\n",
            c->refused);
    if (c->is_stuck)
        ok &= buf_printf(out, "degraded activation: what is new is not active; the log says why\n");
    if (c->is_store_connected) {
        ok &= buf_printf(out, "ok store\n");
    } else if (away_ms <= c->config->store_max_stale_ms) {
        ok &= buf_printf(
            out, "degraded store: away for %lld s; decisions go on by the rules that are known\n",
            (long long)(away_ms / 1000));
    } else {
        ok &= buf_printf(out, "failed store: away for %lld s, longer than store.max_stale\n",
                         (long long)(away_ms / 1000));
        is_fine = false;
    }
    if (!c->has_names && c->desks.edition && resolver_waiting(c->resolver)) {
        ok &= buf_printf(out, "failed names: %u of upstreams have not been answered yet\n",
                         resolver_waiting(c->resolver));
        is_fine = false;
    } else if (c->desks.edition) {
        c->has_names = true;
    }
    if (resolver_failing(c->resolver))
        ok &= buf_printf(out,
                         "degraded names: %u of upstreams lead nowhere, or have no new answer; the "
                         "log says which\n",
                         resolver_failing(c->resolver));
    if (issuer_desk_without_keys(c->desks.issuers))
        ok &= buf_printf(out, "degraded keys: %u identity providers have no usable key set\n",
                         issuer_desk_without_keys(c->desks.issuers));
    if (status_desk_without_crl(c->desks.statuses))
        ok &= buf_printf(
            out,
            "degraded revocation: %u CRLs are missing or past their nextUpdate; the log says why\n",
            status_desk_without_crl(c->desks.statuses));
    if (revocation_desk_alarms(c->desks.revocations))
        ok &= buf_printf(out,
                         "degraded revocations: the lists of %u entities can't be relied on; the "
                         "log says why\n",
                         revocation_desk_alarms(c->desks.revocations));
    return is_fine && ok;
}

static void print_metrics(void *owner, struct buf *out)
{
    struct control *c = owner;
    struct metrics **all = mem_array(struct metrics *, c->worker_count + 1);
    for (uint32_t i = 0; i < c->worker_count; i++)
        all[i] = &c->workers[i]->metrics;
    all[c->worker_count] = &c->metrics;
    metric_set(&c->metrics, METRIC_SNAPSHOT_AGE_SECONDS,
               c->desks.edition ? (loop_now(&c->loop).ms - c->activated_at.ms) / 1000 : 0);
    metric_set(&c->metrics, METRIC_SNAPSHOTS_ALIVE,
               atomic_load_explicit(&c->alive, memory_order_relaxed));
    metric_set(&c->metrics, METRIC_CONTROL_BUSY_SECONDS, (int64_t)(loop_busy(&c->loop) * 1e6));
    metric_set(&c->metrics, METRIC_STORE_RESYNCS_TOTAL, (int64_t)store_resyncs(c->store));
    status_desk_measure(c->desks.statuses);
    metrics_print(out, all, c->worker_count + 1);
    mem_free(all);
}

/* --- Signals. */

static void begin_reload(struct control *c)
{
    struct findings found;
    struct config *next;
    c->must_reload = false;
    supervisor_tell(&c->supervisor, "RELOADING=1");
    findings_init(&found);
    next = config_read(c->in_force->path.ptr, &found);
    if (next) {
        struct slice fixed = config_fixed_difference(c->config, next);
        if (fixed.len) {
            findings_error(&found, (struct place){0}, "fixed", "'%.*s' changes only by a restart",
                           SLICE_ARG(fixed));
            config_free(next);
            next = NULL;
        }
    }
    if (!next) {
        metric_add(&c->metrics, METRIC_RELOADS_REFUSED_TOTAL, 1);
        supervisor_tell(&c->supervisor, "READY=1");
        log_error("control", "configuration refused, the old one goes on: %s",
                  found.count ? found.at[0].text : "it can't be read");
        findings_print(&found, stderr);
    } else {
        c->reloading = next;
        compiler_reload(c->compiler, next);
    }
    findings_fini(&found);
}

static void on_hangup(EV_P_ ev_signal *signal, int events)
{
    struct control *c = signal->data;
    (void)loop, (void)events;
    audit_writer_reopen(c->audit);
    if (c->reloading)
        c->must_reload = true; /* the file may have changed since it was read */
    else
        begin_reload(c);
}

static void on_terminate(EV_P_ ev_signal *signal, int events)
{
    struct control *c = signal->data;
    (void)loop, (void)events;
    if (c->is_draining)
        return;
    c->is_draining = true;
    supervisor_tell(&c->supervisor, "STOPPING=1");
    log_notice("control", "going down: requests under way have %lld s",
               (long long)(c->config->drain_ms / 1000));
    for (uint32_t i = 0; i < c->worker_count; i++)
        worker_post_drain(c->workers[i]); /* the last one that is gone ends our loop */
}

static void drop_gone(struct letter *self)
{
    mem_free(self);
}

static void open_gone(struct letter *self, void *owner)
{
    struct control *c = owner;
    mem_free(self);
    if (++c->gone == c->started)
        loop_stop(&c->loop);
}

void control_worker_gone(struct control *c)
{
    struct letter *l = mem_new(struct letter);
    l->open = open_gone;
    l->drop = drop_gone;
    mailbox_post(&c->mailbox, l);
}

static void on_reopen(EV_P_ ev_signal *signal, int events)
{
    struct control *c = signal->data;
    (void)loop, (void)events;
    audit_writer_reopen(c->audit);
}

/* Sessions that workers know go on for so long; then the store must be asked, which can't be. */
static void look_at_store(struct control *c)
{
    const bool is_stale =
        loop_now(&c->loop).ms - c->store_seen_at.ms > c->config->store_max_stale_ms;
    for (uint32_t i = 0; is_stale && !c->is_store_stale && i < c->worker_count; i++)
        worker_post_store_stale(c->workers[i]);
    c->is_store_stale = is_stale;
}

static void on_watch(EV_P_ ev_timer *timer, int events)
{
    struct control *c = timer->data;
    (void)loop, (void)events;
    if (c->is_store_connected)
        c->store_seen_at = loop_now(&c->loop);
    look_at_store(c);
    if (loop_wall(&c->loop).s > c->rebuild_at_s) {
        c->rebuild_at_s = INT64_MAX;
        compiler_again(c->compiler);
    }
}

static void watch_signals(struct control *c)
{
    struct ev_loop *ev = c->loop.ev;
    ev_signal_init(&c->terminate, on_terminate, SIGTERM);
    ev_signal_init(&c->interrupt, on_terminate, SIGINT);
    ev_signal_init(&c->hangup, on_hangup, SIGHUP);
    ev_signal_init(&c->reopen, on_reopen, SIGUSR1);
    ev_timer_init(&c->watch, on_watch, WATCH_S, WATCH_S);
    c->terminate.data = c->interrupt.data = c->hangup.data = c->reopen.data = c->watch.data = c;
    ev_signal_start(ev, &c->terminate);
    ev_signal_start(ev, &c->interrupt);
    ev_signal_start(ev, &c->hangup);
    ev_signal_start(ev, &c->reopen);
    ev_timer_start(ev, &c->watch);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* --- Life. */

/* Also where `belfry reload` finds us. */
static bool take_state_dir(struct control *c, struct fault *f)
{
    char path[600];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!dir_make(c->config->state_dir.ptr, 0700, f))
        return false;
    (void)snprintf(path, sizeof path, "%s/belfry.pid", c->config->state_dir.ptr);
    c->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (c->pid_fd < 0)
        return fault_errno(f, errno, "cannot open '%s'", path);
    if (fcntl(c->pid_fd, F_SETLK, &lock) != 0)
        return fault_set(f, FAULT_CONFIG, "another gateway uses state_dir '%s'; each has its own",
                         c->config->state_dir.ptr);
    if (ftruncate(c->pid_fd, 0) != 0 || dprintf(c->pid_fd, "%ld\n", (long)getpid()) < 0)
        return fault_errno(f, errno, "cannot write '%s'", path);
    return true;
}

/* As many connections as the system lets us have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Room for the private keys of a thousand hosts, twice as a reload needs it, and for the
 * handshake's own key, which OpenSSL keeps with each connection. */
#define SECRETS_OF_HOSTS_BYTES 4194304
#define SECRETS_OF_CONNECTION_BYTES 64
#define SECRETS_MAX_BYTES 67108864 /* a million connections; locked memory is taken from others */

static void lock_secrets(struct control *c)
{
    const int64_t connections = c->config->max_connections * c->config->workers;
    const int64_t bytes = SECRETS_OF_HOSTS_BYTES + connections * SECRETS_OF_CONNECTION_BYTES;
    struct fault why;
    if (!secret_memory(bytes < SECRETS_MAX_BYTES ? (size_t)bytes : SECRETS_MAX_BYTES, &why))
        log_warning("control", "%s", why.text);
    c->tickets = secret_new(sizeof *c->tickets);
}

static bool start(struct control *c, struct fault *f)
{
    struct documents *remembered = NULL;
    struct serials known = {0};
    struct store_settings store = {.address = c->config->store};
    struct issuer_settings issuers = {
        .ca_file = c->config->fetch_ca_file.len ? c->config->fetch_ca_file.ptr : NULL};
    const struct resolver_settings names = {.servers = c->config->dns_servers,
                                            .max_stale_ms = c->config->dns_max_stale_ms};
    const struct revocation_settings revoked = {.state_dir = c->config->state_dir.ptr,
                                                .max_stale_ms = c->config->store_max_stale_ms,
                                                .refuses = c->config->refuses_unknown};
    int *fds = NULL;
    bool ok = false;
    raise_file_limit();
    lock_secrets(c);
    if (!take_sockets(c, &fds, f))
        goto out;
    if (!take_state_dir(c, f) || !ticket_ring_read(c->tickets, c->config->keys_dir.ptr, f))
        goto out;
    make_workers(c, fds);
    if (!start_audit(c, f) || !store_recall(c->config->state_dir.ptr, &remembered, &known, f))
        goto out;
    metric_set(&c->metrics, METRIC_TRUST_MEMORY, known.count > 0);
    if (!known.count)
        log_warning("control",
                    "no serials are remembered in %s: until the first documents are verified, only "
                    "trust.min_charter_serial and not_after keep old ones out",
                    c->config->state_dir.ptr);
    c->desks.issuers =
        issuer_desk_new(&c->loop, &issuers, &c->metrics, (struct issuer_hooks){on_issuers, c});
    c->desks.statuses =
        status_desk_new(&c->loop,
                        &(struct status_settings){.ca_file = issuers.ca_file,
                                                  .state_dir = c->config->state_dir.ptr},
                        &c->metrics, (struct status_hooks){on_statuses, c}, f);
    if (!c->desks.statuses)
        goto out;
    c->desks.oidc = oidc_desk_new(&c->loop,
                                  &(struct oidc_settings){.ca_file = issuers.ca_file,
                                                          .secrets_dir = c->config->secrets_dir.ptr,
                                                          .issuers = c->desks.issuers},
                                  &c->metrics);
    c->desks.introspections = introspection_desk_new(&c->loop, issuers.ca_file, &c->metrics);
    c->health = health_desk_new(&c->loop, &c->metrics, (struct health_hooks){on_health, c});
    c->resolver =
        resolver_new(&c->loop, &names, &c->metrics, (struct resolver_hooks){on_names, c}, f);
    if (!c->resolver)
        goto out;
    c->compiler =
        compiler_start(c->config, &known, &c->alive, (struct compiler_hook){on_compiled, c}, f);
    if (!c->compiler)
        goto out;
    for (; c->started < c->worker_count; c->started++)
        if (!worker_start(c->workers[c->started], f))
            goto out;
    if (c->config->admin_listen.len) {
        c->admin = admin_new(&c->loop, c->config->admin_listen,
                             (struct admin_hooks){is_ready, print_metrics, c}, f);
        if (!c->admin)
            goto out;
    }
    /* What is remembered decides until the store has spoken; it is verified like anything else. */
    if (remembered && remembered->count)
        compiler_remembered(c->compiler, documents_ref(remembered));
    store.start = remembered;
    c->store_seen_at = loop_now(&c->loop);
    c->desks.records = redis_new(&c->loop, &c->config->store,
                                 (struct redis_hooks){on_records_up, on_records_down, c});
    c->desks.kept = records_new(&c->loop, c->desks.records);
    c->desks.revocations =
        revocation_desk_new(&c->loop, c->desks.records, c->desks.kept, &revoked, &c->metrics,
                            (struct revocation_hooks){on_revocations, c});
    c->desks.sessions = session_desk_new(&c->loop, c->desks.records, c->desks.kept,
                                         c->desks.revocations, &c->metrics);
    c->ends = session_ends_new(&c->loop, c->desks.records, c->desks.kept, c->desks.revocations,
                               c->desks.sessions, on_session_end, c);
    c->desks.inventories = inventory_desk_new(&c->loop, c->desks.records, &c->metrics,
                                              (struct inventory_hooks){on_inventory, c});
    c->store = store_new(&c->loop, &store,
                         (struct store_hooks){.documents = on_documents,
                                              .connected = on_store,
                                              .revoked = on_revoked,
                                              .devices = on_devices,
                                              .owner = c});
    ok = sandbox_close(c->config, f);
out:
    mem_free(fds);
    documents_unref(remembered);
    serials_fini(&known);
    return ok;
}

static void stop(struct control *c)
{
    for (uint32_t i = 0; i < c->started; i++) {
        worker_post_drain(c->workers[i]);
        worker_join(c->workers[i]);
    }
    compiler_stop(c->compiler);
    store_free(c->store);
    redis_free(c->desks.records);
    session_ends_free(c->ends);
    session_desk_free(c->desks.sessions);
    revocation_desk_free(c->desks.revocations);
    records_free(c->desks.kept);
    admin_free(c->admin);
    health_desk_free(c->health);
    resolver_free(c->resolver);
    mailbox_fini(&c->mailbox); /* before the desk: letters may wait for its keys */
    oidc_desk_free(c->desks.oidc);
    issuer_desk_free(c->desks.issuers);
    status_desk_free(c->desks.statuses);
    inventory_desk_free(c->desks.inventories);
    introspection_desk_free(c->desks.introspections);
    errands_drop_all(&c->desks);
    if (c->audit)
        audit_writer_stop(c->audit);
    audit_ring_free(c->told);
    for (uint32_t i = 0; i < c->worker_count; i++)
        worker_free(c->workers[i]);
    mem_free(c->workers);
    edition_unref(c->desks.edition);
    issuers_unref(c->table);
    secret_free(c->tickets, sizeof *c->tickets);
    if (c->pid_fd >= 0)
        (void)close(c->pid_fd);
    supervisor_fini(&c->supervisor);
    config_free(c->reloading);
    if (c->in_force != c->config)
        config_free((struct config *)(uintptr_t)c->in_force);
    config_free((struct config *)(uintptr_t)c->config);
    loop_fini(&c->loop);
    mem_free(c);
}

int gateway_run(struct config *take)
{
    struct control *c = mem_new(struct control);
    struct fault fault = {0};
    bool ok;
    c->config = c->in_force = take;
    c->desks.secrets_dir = take->secrets_dir.ptr;
    logger_set_level(take->log_level);
    c->pid_fd = -1;
    c->rebuild_at_s = INT64_MAX;
    list_init(&c->desks.under_way);
    c->desks.loop = &c->loop;
    c->desks.metrics = &c->metrics;
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    loop_init(&c->loop);
    mailbox_init(&c->mailbox, &c->loop, c);
    watch_signals(c);
    supervisor_find(&c->supervisor);
    ok = start(c, &fault);
    if (ok) {
        supervisor_tell(&c->supervisor, "READY=1");
        loop_run(&c->loop);
    } else {
        log_fault(LOG_LEVEL_ERROR, "control", &fault);
    }
    stop(c);
    if (ok)
        log_notice("control", "gone");
    return ok ? 0 : 3;
}
