// SPDX-License-Identifier: EUPL-1.2
/* The desk of statuses where many devices are met at once. What lists and answers must be is told
 * by behaviour tests, against real ones. */
#include "auth/status_desk_in.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <openssl/pem.h>

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
static struct statuses *last;           /* the newest table */
static unsigned tables, answers, early; /* answered before there was a table for them */
static bool is_waiting;

static void on_changed(void *owner, struct statuses *take, bool is_worse)
{
    (void)owner, (void)is_worse;
    statuses_unref(last);
    last = take;
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

static void run_for(struct loop *loop, double seconds)
{
    ev_timer idle;
    ev_timer_init(&idle, on_idle, seconds, 0.);
    idle.data = loop;
    ev_timer_start(loop->ev, &idle);
    loop_run(loop);
}

Test(status_desk, many_devices_whose_responder_may_not_be_asked_are_one_table)
{
    struct loop loop;
    struct metrics metrics = {0};
    struct pki_end root;
    struct pki_end leaf;
    struct chain_link link;
    struct fault fault;
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
    run_for(&loop, 0.05);
    cr_expect_eq(answers, DEVICES, "%u", answers);
    cr_expect_eq(early, 0, "%u", early);
    cr_expect(tables <= 2, "%u tables", tables);
    status_desk_free(desk);
    statuses_unref(last);
    map_fini(&snapshot.entities);
    OPENSSL_free(der);
    mem_free(pem);
    pki_end_fini(&leaf);
    pki_end_fini(&root);
    loop_fini(&loop);
}

Test(status_desk, a_source_rests_for_half_of_what_is_left_and_never_less_than_five_seconds)
{
    struct loop loop;
    struct metrics metrics = {0};
    struct fault fault;
    int64_t least_s = INT64_MAX, most_s = 0;
    loop_init(&loop);
    struct status_desk *desk =
        status_desk_new(&loop, &(struct status_settings){0}, &metrics,
                        (struct status_hooks){.changed = on_changed, .owner = NULL}, &fault);
    cr_assert(desk);
    const int64_t now_s = loop_wall(&loop).s;
    for (int64_t left_s = -10; left_s < 12; left_s++)
        cr_expect_eq(status_rest(desk, (struct wall){now_s + left_s}, 3600), STATUS_REST_MIN_S);
    cr_expect_eq(status_rest(desk, (struct wall){now_s + 86400}, 1), STATUS_REST_MIN_S);
    for (int i = 0; i < 1000; i++) {
        const int64_t rest_s = status_rest(desk, (struct wall){now_s + 4000}, 3600);
        least_s = rest_s < least_s ? rest_s : least_s;
        most_s = rest_s > most_s ? rest_s : most_s;
    }
    cr_expect(least_s >= 1798 && least_s < 1830, "%" PRId64, least_s);
    cr_expect(most_s <= 2000 && most_s > 1970, "%" PRId64, most_s);
    cr_expect_leq(status_rest(desk, (struct wall){now_s + 86400}, 3600), 3600);
    status_desk_free(desk);
    loop_fini(&loop);
}

/* ---- lists ---- */

#define SOURCES 16

/* In PEM, of that root, with one number on it. The caller frees. */
static char *list_make(const struct pki_end *root, long serial)
{
    X509_CRL *list = X509_CRL_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, time(NULL) - 60);
    ASN1_TIME *to = ASN1_TIME_set(NULL, time(NULL) + 3600);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    cr_assert(ASN1_INTEGER_set(number, serial) && X509_REVOKED_set_serialNumber(entry, number) &&
              X509_REVOKED_set_revocationDate(entry, from));
    cr_assert(X509_CRL_set_version(list, X509_CRL_VERSION_2) &&
              X509_CRL_set_issuer_name(list, X509_get_subject_name(root->certificate)) &&
              X509_CRL_set1_lastUpdate(list, from) && X509_CRL_set1_nextUpdate(list, to) &&
              X509_CRL_add0_revoked(list, entry) && X509_CRL_sign(list, root->key, EVP_sha256()) &&
              PEM_write_bio_X509_CRL(bio, list));
    const long len = BIO_get_mem_data(bio, &text);
    char *pem = mem_text(slice_from(text, (size_t)len));
    BIO_free(bio);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_INTEGER_free(number);
    X509_CRL_free(list);
    return pem;
}

static enum reason judge(const struct pki_end *root, uint8_t serial)
{
    struct status_answer out;
    struct chain_answer chain = {
        .verdict = CHAIN_GOOD, .authority = &authority, .link_count = 1, .until = {INT64_MAX}};
    chain.links[0].serial = (struct chain_serial){.len = 1, .bytes = {serial}};
    cr_assert(chain_id(chain.links[0].issuer, root->certificate));
    statuses_judge(last, &chain, (struct wall){time(NULL)}, &out);
    return out.reason;
}

/* Whatever stands beside it: what a bundle brings itself has no need of the network. */
Test(status_desk, a_list_in_the_bundle_counts_beside_as_many_urls_as_there_may_be)
{
    struct loop loop;
    struct metrics metrics = {0};
    struct fault fault;
    struct slice urls[SOURCES];
    char room[SOURCES][40];
    char *pem = NULL;
    base_init();
    logger_set_level(LOG_LEVEL_ERROR);
    loop_init(&loop);
    struct pki_end root = pki_root("r");
    pki_pem(&pem, root.certificate);
    char *list = list_make(&root, 5);
    for (int i = 0; i < SOURCES; i++) {
        (void)snprintf(room[i], sizeof room[i], "https://crl.example/%d", i);
        urls[i] = slice_of(room[i]);
    }
    authority.ca_pem = slice_of(pem);
    authority.revocation = (struct revocation){.is_checked = true,
                                               .crl = {urls, SOURCES},
                                               .crl_pem = slice_of(list),
                                               .crl_max_bytes = 65536,
                                               .refresh_s = 3600};
    map_init(&snapshot.entities);
    map_set(&snapshot.entities, bundle.entity, &bundle_holder);
    struct status_desk *desk =
        status_desk_new(&loop, &(struct status_settings){0}, &metrics,
                        (struct status_hooks){.changed = on_changed, .owner = NULL}, &fault);
    cr_assert(desk);
    status_desk_follow(desk, &snapshot);
    for (int i = 0; i < 400 && judge(&root, 5) != REASON_DEVICE_REVOKED; i++)
        run_for(&loop, 0.01);
    cr_expect_eq(judge(&root, 5), REASON_DEVICE_REVOKED);
    cr_expect_eq(judge(&root, 6), REASON_PERMITTED);
    status_desk_free(desk);
    statuses_unref(last);
    map_fini(&snapshot.entities);
    mem_free(list);
    mem_free(pem);
    pki_end_fini(&root);
    loop_fini(&loop);
}
