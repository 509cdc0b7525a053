// SPDX-License-Identifier: EUPL-1.2
/* See idp.h. */
#include "idp.h"

#include <criterion/criterion.h>

#include "base/hash.h"

struct idp idp;

static struct charter charter = {.entities = &idp.entity, .entity_count = 1};
static struct charter_ref charter_holder = {.references = 1, .charter = &charter};
static struct bundle_ref bundle_holder = {.references = 1, .bundle = &idp.bundle};
static struct bundle_ref *bundles[] = {&bundle_holder};
static ev_timer alarm_timer;

static void on_alarm(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev, (void)timer, (void)events;
    cr_assert_fail("nothing happens");
}

static void make_snapshots(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct snapshot *s = &idp.snapshots[i];
        *s = (struct snapshot){.references = 1, // ours: they are never freed
                               .charter = &charter_holder,
                               .bundles = bundles,
                               .bundle_count = 1 - i};
        map_init(&s->entities);
        (void)map_set(&s->entities, idp.bundle.entity, &bundle_holder);
    }
}

void idp_begin(double patience_s)
{
    base_init();
    idp.server = https_new();
    loop_init(&idp.loop);
    ev_timer_init(&alarm_timer, on_alarm, patience_s, 0.);
    if (patience_s > 0)
        ev_timer_start(idp.loop.ev, &alarm_timer);
    (void)snprintf(idp.issuer, sizeof idp.issuer, "https://idp.localhost:%u",
                   https_port(idp.server));
    cr_assert(network_parse(&idp.networks[0], SLICE("127.0.0.0/8")));
    cr_assert(network_parse(&idp.networks[1], SLICE("::1/128")));
    idp.hosts[0] = SLICE("idp.localhost");
    idp.entity = (struct charter_entity){.id = SLICE("finance"),
                                         .fetch_hosts = {idp.hosts, 1},
                                         .fetch_networks = idp.networks,
                                         .fetch_network_count = 2};
    idp.bundle = (struct bundle){
        .entity = SLICE("finance"), .providers = &idp.provider, .provider_count = 1};
    make_snapshots();
}

void idp_end(void)
{
    ev_timer_stop(idp.loop.ev, &alarm_timer);
    loop_fini(&idp.loop);
    https_free(idp.server);
    for (uint32_t i = 0; i < 2; i++)
        map_fini(&idp.snapshots[i].entities);
}
