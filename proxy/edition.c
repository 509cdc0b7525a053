// SPDX-License-Identifier: EUPL-1.2
/* Puts snapshot, views and keys together. Views that did not change are taken from the last
 * edition, so that what a publish costs is about its own entity's hosts, not about all. */
#include "proxy/edition.h"

#include "base/fault.h"
#include "base/mem.h"
#include "policy/policy_test.h"

static struct view **views_of(const struct edition *e)
{
    struct view **views = mem_array(struct view *, e && e->door_count ? e->door_count : 1);
    for (uint32_t i = 0; e && i < e->door_count; i++)
        views[i] = e->doors[i].view;
    return views;
}

static int64_t good_until(const struct snapshot *s, const struct bundle *b)
{
    return b && snapshot_end(s, b) < s->not_after_s ? snapshot_end(s, b) : s->not_after_s;
}

/* Authorities are parsed once for all hosts of an entity, which follow one another. Where they
 * don't parse, view_make says so of each host. */
static void trust_of(struct view_settings *view, const struct bundle *bundle)
{
    struct fault why;
    if (view->authorities != bundle->authorities || !view->trust) {
        view->authorities = bundle->authorities;
        view->authority_count = bundle->authority_count;
        chain_trust_unref(view->trust);
        view->trust = chain_trust_new(bundle->authorities, bundle->authority_count, &why);
    }
}

/* RFC 6797 §6.1. */
static struct slice hsts_of(const struct application *app, struct arena *a)
{
    if (!app->hsts_max_age_s)
        return (struct slice){0};
    return arena_printf(a, "max-age=%lld%s%s", (long long)app->hsts_max_age_s,
                        app->hsts_subdomains ? "; includeSubDomains" : "",
                        app->hsts_preload ? "; preload" : "");
}

struct edition *edition_make(struct snapshot *take_snapshot, struct keyring *take_keyring,
                             const struct edition_settings *s, const struct edition *last,
                             void (*missing)(void *owner, const struct fault *why), void *owner)
{
    struct edition *e = mem_new(struct edition);
    struct view **old = views_of(last);
    struct view_settings view = {.certificates_dir = s->certificates_dir};
    atomic_init(&e->references, 1);
    e->alive = s->alive;
    atomic_fetch_add_explicit(e->alive, 1, memory_order_relaxed);
    e->snapshot = take_snapshot;
    e->keyring = take_keyring;
    e->doors =
        mem_array(struct door, e->snapshot->application_count ? e->snapshot->application_count : 1);
    map_init(&e->hosts);
    arena_init(&e->arena, NULL);
    for (uint32_t i = 0; i < e->snapshot->application_count; i++) {
        const struct application *app = e->snapshot->applications[i];
        const struct bundle *bundle = snapshot_bundle(e->snapshot, app->entity);
        struct fault why = {0};
        const struct door *was = edition_door(last, app->host);
        struct view *made;
        view.last = was && !s->reads_again ? was->view : NULL;
        if (view.last && was->app == app) { /* the last edition holds it: the bundle is the same */
            made = view_ref(view.last);
        } else {
            view.app = app;
            trust_of(&view, bundle);
            made = view_make(&view, old, last ? last->door_count : 0, &why);
        }
        if (made && !keyring_has(e->keyring, app->entity)) {
            view_unref(made);
            made = NULL;
            (void)fault_set(&why, FAULT_CONFIG,
                            "entity '%.*s' has no keys; make them with: belfry key ring new "
                            "KEYS_DIR/assertion/%.*s and KEYS_DIR/audit/%.*s",
                            SLICE_ARG(app->entity), SLICE_ARG(app->entity), SLICE_ARG(app->entity));
        }
        if (!made) {
            missing(owner, &why);
            continue;
        }
        const struct bundle *shadow = snapshot_shadow(e->snapshot, app->entity);
        const struct charter_entity *entity =
            charter_entity(e->snapshot->charter->charter, app->entity);
        e->doors[e->door_count] =
            (struct door){.app = app,
                          .bundle = bundle,
                          .view = made,
                          .shadow = shadow,
                          .shadow_app = shadow ? policy_application_of(shadow, app->host) : NULL,
                          .shadow_until_s = shadow ? good_until(e->snapshot, shadow) : 0,
                          .good_until_s = good_until(e->snapshot, bundle),
                          .networks = entity ? entity->upstream_networks : NULL,
                          .network_count = entity ? entity->upstream_network_count : 0,
                          .hsts = hsts_of(app, &e->arena)};
        if (app->upstream_count && upstream_is_tls(&app->upstreams[0])) {
            e->doors[e->door_count].upstream_tls =
                upstream_context_make(app, s->keys_dir, was ? was->upstream_tls : NULL, &why);
            if (!e->doors[e->door_count].upstream_tls)
                missing(owner, &why);
        }
        (void)map_set(&e->hosts, app->host, &e->doors[e->door_count]);
        e->door_count++;
    }
    chain_trust_unref(view.trust);
    mem_free(old);
    return e;
}

struct edition *edition_ref(struct edition *e)
{
    if (e)
        atomic_fetch_add_explicit(&e->references, 1, memory_order_relaxed);
    return e;
}

void edition_unref(struct edition *e)
{
    if (!e || atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < e->door_count; i++) {
        view_unref(e->doors[i].view);
        upstream_context_unref(e->doors[i].upstream_tls);
    }
    map_fini(&e->hosts);
    arena_fini(&e->arena);
    mem_free(e->doors);
    snapshot_unref(e->snapshot);
    keyring_unref(e->keyring);
    atomic_fetch_sub_explicit(e->alive, 1, memory_order_relaxed);
    mem_free(e);
}

const struct door *edition_door(const struct edition *e, struct slice host)
{
    return e ? map_get(&e->hosts, host) : NULL;
}
