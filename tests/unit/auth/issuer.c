// SPDX-License-Identifier: EUPL-1.2
/* Where keys come from, how often they are asked for, and where no bundle can make us go. */
#include "auth/issuer.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "idp.h"
#include "jose.h"
#include "pki.h"

static struct issuer_desk *desk;
static struct issuers *table;
static unsigned tables;  /* that the desk has given */
static unsigned answers; /* to wishes */
static char document[512];
static char *keys[2]; /* key sets: before and after a rotation */

static void on_changed(void *owner, struct issuers *take)
{
    (void)owner;
    issuers_unref(table);
    table = take;
    tables++;
    loop_stop(&idp.loop);
}

static void on_answered(void *owner)
{
    (void)owner;
    answers++;
    loop_stop(&idp.loop);
}

static char *set_of(const char *kid)
{
    EVP_PKEY *key = pki_key_make(PKI_P256);
    char *jwk = jose_jwk(key, kid, "");
    char *set = jose_set(&jwk, 1);
    mem_free(jwk);
    EVP_PKEY_free(key);
    return set;
}

static void begin(void)
{
    idp_begin(10.);
    keys[0] = set_of("old");
    keys[1] = set_of("new");
    (void)snprintf(document, sizeof document, "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}",
                   idp.issuer, idp.issuer);
    https_answer(idp.server, IDP_DISCOVERY, 200, document);
    https_answer(idp.server, "/keys", 200, keys[0]);
    idp.provider = (struct provider){.id = SLICE("staff"),
                                     .entity = SLICE("finance"),
                                     .issuer = slice_of(idp.issuer),
                                     .algorithms = 1u << ALGORITHM_ES256,
                                     .keys_max_stale_s = DAY_S,
                                     .digest = {7}};
    const struct issuer_settings settings = {.ca_file = https_ca(idp.server)};
    desk = issuer_desk_new(&idp.loop, &settings, &idp.metrics,
                           (struct issuer_hooks){.changed = on_changed});
}

static void end(void)
{
    issuer_desk_free(desk);
    issuers_unref(table);
    mem_free(keys[0]);
    mem_free(keys[1]);
    idp_end();
}

TestSuite(issuer, .init = begin, .fini = end);

static void run_until_tables(unsigned count)
{
    while (tables < count)
        loop_run(&idp.loop);
}

static void run_until_answers(unsigned count)
{
    while (answers < count)
        loop_run(&idp.loop);
}

static const struct key_set *set_now(void)
{
    return issuers_keys(table, &idp.provider, loop_wall(&idp.loop));
}

/* Follows, and waits for the first fetch to fail. */
static void follow_to_failure(void)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    issuer_desk_want(desk, idp.provider.digest, on_answered, NULL);
    run_until_answers(1);
    cr_expect(metric_get(&idp.metrics, METRIC_JWKS_FAILURES_TOTAL) >= 1);
    cr_expect_null(set_now());
    cr_expect_eq(issuer_desk_without_keys(desk), 1);
}

Test(issuer, keys_are_found_by_discovery)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    cr_expect_eq(tables, 1, "an empty table at once");
    cr_expect_null(set_now());
    cr_expect_eq(issuer_desk_without_keys(desk), 1);
    run_until_tables(2);
    cr_assert_not_null(set_now());
    cr_expect(slice_eq(set_now()->keys[0].kid, SLICE("old")));
    cr_expect_eq(issuer_desk_without_keys(desk), 0);
    cr_expect_eq(https_connections(idp.server), 2);
    cr_expect_eq(metric_get(&idp.metrics, METRIC_JWKS_FETCHES_TOTAL), 1);
}

static void want_often(int count)
{
    for (int i = 0; i < count; i++)
        issuer_desk_want(desk, idp.provider.digest, on_answered, NULL);
}

Test(issuer, an_unknown_kid_fetches_once_however_often_it_is_met)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    run_until_tables(2);
    https_answer(idp.server, "/keys", 200, keys[1]);
    want_often(100);
    cr_expect_eq(answers, 0, "they wait for the fetch");
    run_until_answers(100);
    cr_expect(slice_eq(set_now()->keys[0].kid, SLICE("new")));
    cr_expect_eq(https_requests(idp.server, "/keys"), 2);
}

Test(issuer, a_flood_of_unknown_kids_keeps_a_new_key_from_nobody_and_has_two_fetches_a_second)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    run_until_tables(2);
    const struct mono began = loop_now(&idp.loop);
    for (unsigned i = 1; i <= 4; i++) { // each round as soon as the one before has its answer
        want_often(100);
        cr_expect_eq(answers, (i - 1) * 100, "nobody is told before it was looked");
        if (i == 4)
            https_answer(idp.server, "/keys", 200, keys[1]);
        run_until_answers(i * 100);
    }
    cr_expect(slice_eq(set_now()->keys[0].kid, SLICE("new")), "who asked in the flood's midst");
    const int64_t took_ms = loop_now(&idp.loop).ms - began.ms;
    cr_expect(took_ms >= 3 * ISSUER_REFETCH_MS, "%lld ms", (long long)took_ms);
    cr_expect_eq(https_requests(idp.server, "/keys"), 5);
}

Test(issuer, what_was_under_way_before_a_wish_is_no_answer_to_it)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    run_until_tables(2);
    want_often(1);
    while (https_requests(idp.server, "/keys") < 2) // its request is there, with the old keys
        ev_run(idp.loop.ev, EVRUN_ONCE);
    https_answer(idp.server, "/keys", 200, keys[1]);
    want_often(1);
    run_until_answers(1);
    cr_expect_eq(answers, 1, "the late one waits on");
    run_until_answers(2);
    cr_expect(slice_eq(set_now()->keys[0].kid, SLICE("new")));
    cr_expect_eq(https_requests(idp.server, "/keys"), 3);
}

Test(issuer, the_last_good_set_stays_when_a_fetch_fails)
{
    static const struct {
        int status;
        const char *body;
    } bad[] = {{500, "{}"}, {200, "{\"keys\":[]}"}};
    char uri[96];
    (void)snprintf(uri, sizeof uri, "%s/keys", idp.issuer);
    idp.provider.jwks_uri = slice_of(uri);
    issuer_desk_follow(desk, &idp.snapshots[0]);
    run_until_tables(2);
    // The first by a wish; the second by the desk itself, after its first pause of 1 s.
    for (int i = 0; i < 2; i++) {
        https_answer(idp.server, "/keys", bad[i].status, bad[i].body);
        issuer_desk_want(desk, idp.provider.digest, on_answered, NULL);
        while (metric_get(&idp.metrics, METRIC_JWKS_FAILURES_TOTAL) <= i)
            ev_run(idp.loop.ev, EVRUN_ONCE);
        cr_assert_not_null(set_now());
        cr_expect(slice_eq(set_now()->keys[0].kid, SLICE("old")));
    }
    cr_expect_eq(tables, 2);
    cr_expect_eq(https_requests(idp.server, "/keys"), 3);
    cr_expect_eq(https_requests(idp.server, IDP_DISCOVERY), 0,
                 "the bundle says where the keys are");
}

Test(issuer, a_redirect_is_not_followed)
{
    https_answer(idp.server, IDP_DISCOVERY, 302, "");
    follow_to_failure();
    cr_expect_eq(https_requests(idp.server, "/keys"), 0);
}

Test(issuer, a_discovery_document_about_another_issuer_is_not_used)
{
    char text[512];
    (void)snprintf(text, sizeof text, "{\"issuer\":\"%s/\",\"jwks_uri\":\"%s/keys\"}", idp.issuer,
                   idp.issuer);
    https_answer(idp.server, IDP_DISCOVERY, 200, text);
    follow_to_failure();
    cr_expect_eq(https_requests(idp.server, IDP_DISCOVERY), 1);
    cr_expect_eq(https_requests(idp.server, "/keys"), 0);
}

Test(issuer, a_discovery_document_leads_nowhere_outside)
{
    static const char *const uris[] = {"http://idp.localhost/keys",
                                       "https://other.localhost/keys",
                                       "https://idp.localhost@other.localhost/keys",
                                       "file:///etc/x",
                                       "https://127.0.0.1/keys",
                                       "//idp.localhost/keys",
                                       ""};
    char text[sizeof uris / sizeof uris[0]][512];
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        (void)snprintf(text[i], sizeof text[i], "{\"issuer\":\"%s\",\"jwks_uri\":\"%s\"}",
                       idp.issuer, uris[i]);
        https_answer(idp.server, IDP_DISCOVERY, 200, text[i]);
        idp.provider.digest[1] = (uint8_t)i; // another provider each time
        answers = 0;
        issuer_desk_follow(desk, &idp.snapshots[1]);
        follow_to_failure();
    }
    cr_expect_eq(https_requests(idp.server, "/keys"), 0);
    cr_expect_eq(https_connections(idp.server), sizeof uris / sizeof uris[0]);
}

Test(issuer, an_address_outside_the_entitys_networks_is_never_connected_to)
{
    cr_assert(network_parse(&idp.networks[0], SLICE("192.0.2.0/24")));
    cr_assert(network_parse(&idp.networks[1], SLICE("2001:db8::/32")));
    follow_to_failure();
    cr_expect_eq(https_connections(idp.server), 0);
}

Test(issuer, a_host_that_is_not_delegated_is_not_asked)
{
    idp.hosts[0] = SLICE("*.idp.localhost");
    follow_to_failure();
    cr_expect_eq(https_connections(idp.server), 0);
}

Test(issuer, keys_that_the_bundle_holds_are_there_at_once_and_never_fetched)
{
    idp.provider.jwks = slice_of(keys[0]);
    idp.provider.keys_max_stale_s = 0;
    issuer_desk_follow(desk, &idp.snapshots[0]);
    cr_expect_eq(tables, 1);
    cr_assert_not_null(issuers_keys(table, &idp.provider, (struct wall){INT64_MAX}));
    issuer_desk_want(desk, idp.provider.digest, on_answered, NULL);
    cr_expect_eq(answers, 1);
    cr_expect_eq(https_connections(idp.server), 0);
}

Test(issuer, a_provider_that_is_gone_is_forgotten_and_who_waits_is_told)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    issuer_desk_want(desk, idp.provider.digest, on_answered, NULL);
    cr_expect_eq(answers, 0);
    issuer_desk_follow(desk, &idp.snapshots[1]);
    cr_expect_eq(answers, 1);
    issuer_desk_want(desk, idp.provider.digest, on_answered, NULL);
    cr_expect_eq(answers, 2);
    cr_expect_eq(issuer_desk_without_keys(desk), 0);
}

Test(issuer, a_set_stays_while_its_provider_is_unchanged)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    run_until_tables(2);
    const struct key_set *set = set_now();
    struct snapshot newer = idp.snapshots[0];
    newer.references = 2;
    issuer_desk_follow(desk, &newer);
    cr_expect_eq(tables, 2, "no other table");
    cr_expect_eq(set_now(), set);
    cr_expect_eq(https_connections(idp.server), 2);
    issuer_desk_follow(desk, &idp.snapshots[0]);
}

Test(issuer, other_settings_of_a_provider_change_without_a_moment_without_keys)
{
    struct provider changed = idp.provider;
    struct bundle other = idp.bundle;
    struct bundle_ref holder = {.references = 1, .bundle = &other};
    struct bundle_ref *list[] = {&holder};
    struct snapshot newer = idp.snapshots[0];
    newer.bundles = list;
    newer.references = 2;
    other.providers = &changed;
    changed.leeway_s = 1;
    memset(changed.digest, 7, sizeof changed.digest);
    issuer_desk_follow(desk, &idp.snapshots[0]);
    run_until_tables(2);
    const struct key_set *set = set_now();
    https_answer(idp.server, IDP_DISCOVERY, 500, "{}"); // it is away
    issuer_desk_follow(desk, &newer);
    cr_expect_eq(tables, 3);
    cr_expect_null(set_now());
    while (!metric_get(&idp.metrics, METRIC_JWKS_FAILURES_TOTAL)) // and is asked even so
        ev_run(idp.loop.ev, EVRUN_ONCE);
    cr_expect_eq(issuers_keys(table, &changed, loop_wall(&idp.loop)), set);
    issuer_desk_follow(desk, &idp.snapshots[0]);
}

Test(issuer, keys_from_another_place_are_not_taken_over)
{
    struct provider changed = idp.provider;
    struct bundle other = idp.bundle;
    struct bundle_ref holder = {.references = 1, .bundle = &other};
    struct bundle_ref *list[] = {&holder};
    struct snapshot newer = idp.snapshots[0];
    newer.bundles = list;
    newer.references = 3;
    other.providers = &changed;
    memset(changed.digest, 7, sizeof changed.digest);
    for (int i = 0; i < 2; i++) {
        changed.issuer = i ? idp.provider.issuer : SLICE("https://other.example");
        changed.algorithms = i ? 1u << ALGORITHM_RS256 : idp.provider.algorithms;
        issuer_desk_follow(desk, &idp.snapshots[0]);
        while (!set_now())
            loop_run(&idp.loop);
        issuer_desk_follow(desk, &newer);
        cr_expect_null(issuers_keys(table, &changed, loop_wall(&idp.loop)));
    }
    issuer_desk_follow(desk, &idp.snapshots[0]);
}

Test(issuer, nothing_is_called_after_the_end)
{
    issuer_desk_follow(desk, &idp.snapshots[0]);
    issuer_desk_want(desk, idp.provider.digest, on_answered, NULL);
    issuer_desk_free(desk);
    desk = NULL;
    for (int i = 0; i < 5; i++)
        ev_run(idp.loop.ev, EVRUN_NOWAIT);
    cr_expect_eq(answers, 0);
    cr_expect_eq(tables, 1);
}
