// SPDX-License-Identifier: EUPL-1.2
/* The desk of statuses where many devices are met at once. What lists and answers must be is told
 * by behaviour tests, against real ones. */
#include "auth/status_desk.h"

#include <criterion/criterion.h>
#include <openssl/x509.h>

#include "base/hash.h"
#include "base/logger.h"
#include "base/mem.h"
#include "pki.h"

#define DEVICES 500

static struct charter_entity entity = {.id = SLICE_INIT("finance")}; /* may fetch nowhere */
static struct charter charter = {.entities = &entity, .entity_count = 1};
static struct charter_ref charter_holder = {.references = 1, .charter = &charter};
static struct authority authority = {
    .id = SLICE_INIT("laptops"),
    .entity = SLICE_INIT("finance"),
    .revocation = {.is_checked = true, .ocsp = SLICE_INIT("https://ocsp.example/")},
    .digest = {7}};
static struct bundle bundle = {
    .entity = SLICE_INIT("finance"), .authorities = &authority, .authority_count = 1};
static struct bundle_ref bundle_holder = {.references = 1, .bundle = &bundle};
static struct bundle_ref *bundles[] = {&bundle_holder};
static struct snapshot snapshot = {
    .references = 1, .charter = &charter_holder, .bundles = bundles, .bundle_count = 1};
static unsigned tables, answers, early; /* answered before there was a table for them */
static bool is_waiting;

static void on_changed(void *owner, struct statuses *take, bool is_worse)
{
    (void)owner, (void)is_worse;
    statuses_unref(take);
    tables++;
    is_waiting = false;
}

static void on_answer(void *owner)
{
    (void)owner;
    answers++;
    early += is_waiting;
}

static void on_idle(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev, (void)events;
    loop_stop(timer->data);
}

Test(status_desk, many_devices_whose_responder_may_not_be_asked_are_one_table)
{
    struct loop loop;
    struct metrics metrics = {0};
    struct pki_end root;
    struct pki_end leaf;
    struct chain_link link;
    struct fault fault;
    ev_timer idle;
    char *pem = NULL;
    uint8_t *der = NULL;
    base_init();
    logger_set_level(LOG_LEVEL_ERROR);
    loop_init(&loop);
    root = pki_root("r");
    leaf = pki_device("d", &root);
    pki_pem(&pem, root.certificate);
    authority.ca_pem = slice_of(pem);
    map_init(&snapshot.entities);
    map_set(&snapshot.entities, bundle.entity, &bundle_holder);
    const int len = i2d_X509(leaf.certificate, &der);
    cr_assert(len > 0 && chain_id(link.issuer, root.certificate));
    struct status_desk *desk =
        status_desk_new(&loop, &(struct status_settings){0}, &metrics,
                        (struct status_hooks){.changed = on_changed, .owner = NULL}, &fault);
    cr_assert(desk);
    status_desk_follow(desk, &snapshot);
    tables = 0;
    is_waiting = true;
    for (int i = 0; i < DEVICES; i++) {
        link.serial = (struct chain_serial){.len = 3, .bytes = {1, (uint8_t)(i >> 8), (uint8_t)i}};
        status_desk_want(desk, authority.digest, slice_from(der, (size_t)len), &link, on_answer,
                         NULL);
    }
    ev_timer_init(&idle, on_idle, 0.05, 0.);
    idle.data = &loop;
    ev_timer_start(loop.ev, &idle);
    loop_run(&loop);
    cr_expect_eq(answers, DEVICES, "%u", answers);
    cr_expect_eq(early, 0, "%u", early);
    cr_expect(tables <= 2, "%u tables", tables);
    status_desk_free(desk);
    map_fini(&snapshot.entities);
    OPENSSL_free(der);
    mem_free(pem);
    pki_end_fini(&leaf);
    pki_end_fini(&root);
    loop_fini(&loop);
}
