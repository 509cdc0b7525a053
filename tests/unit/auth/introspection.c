// SPDX-License-Identifier: EUPL-1.2
/* The desk beside a crowd that invents tokens. What an answer means is token.c's. */
#include "auth/introspection.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/logger.h"
#include "base/mem.h"
#include "https.h"
#include "keys.h"

#define INVENTED (INTROSPECTION_ENTRIES + 100)

static struct loop loop;
static struct https *server;
static struct metrics metrics;
static struct introspection_desk *desk;
static char issuer[64], endpoint[96];
static char secrets[KEYS_PATH_MAX];
static struct slice hosts[] = {SLICE_INIT("idp.localhost")};
static struct network networks[2];
static struct charter_entity entity = {.id = SLICE_INIT("finance"),
                                       .fetch_hosts = {hosts, 1},
                                       .fetch_networks = networks,
                                       .fetch_network_count = 2};
static struct charter charter = {.entities = &entity, .entity_count = 1};
static struct charter_ref charter_holder = {.references = 1, .charter = &charter};
static struct provider provider;
static struct bundle bundle = {
    .entity = SLICE_INIT("finance"), .providers = &provider, .provider_count = 1};
static struct bundle_ref bundle_holder = {.references = 1, .bundle = &bundle};
static struct bundle_ref *bundles[] = {&bundle_holder};
static struct snapshot snapshot = {
    .references = 1, .charter = &charter_holder, .bundles = bundles, .bundle_count = 1};
static unsigned good, refused;

static void on_answer(void *owner, enum reason reason, struct slice body)
{
    (void)owner, (void)body;
    good += reason == REASON_PERMITTED;
    refused += reason != REASON_PERMITTED;
}

static void ask(const char *token)
{
    introspection_desk_ask(desk,
                           &(struct introspection_question){.provider_digest = provider.digest,
                                                            .token = slice_of(token),
                                                            .secrets_dir = secrets,
                                                            .answered = on_answer});
}

static void wait_for(unsigned count)
{
    for (int turns = 0; good + refused < count && turns < 100000; turns++)
        ev_run(loop.ev, EVRUN_ONCE);
    cr_assert_eq(good + refused, count);
}

static void begin(void)
{
    base_init();
    logger_set_level(LOG_LEVEL_ERROR);
    loop_init(&loop);
    server = https_new();
    keys_begin(secrets);
    keys_write(secrets, "finance/own", SLICE("secret\n"), 0600);
    cr_assert(network_parse(&networks[0], SLICE("127.0.0.0/8")));
    cr_assert(network_parse(&networks[1], SLICE("::1/128")));
    (void)snprintf(issuer, sizeof issuer, "https://idp.localhost:%u", https_port(server));
    (void)snprintf(endpoint, sizeof endpoint, "%s/introspect", issuer);
    https_answer(server, "/introspect", 200, "{\"active\":true}");
    provider = (struct provider){
        .id = SLICE("own"),
        .entity = SLICE("finance"),
        .issuer = slice_of(issuer),
        .digest = {7},
        .introspection = {.endpoint = slice_of(endpoint),
                          .client = {.id = SLICE("belfry"), .secret = SLICE("own")},
                          .max_age_s = 600}};
    map_init(&snapshot.entities);
    map_set(&snapshot.entities, bundle.entity, &bundle_holder);
    desk = introspection_desk_new(&loop, https_ca(server), &metrics);
    introspection_desk_follow(desk, &snapshot);
}

static void end(void)
{
    introspection_desk_free(desk);
    map_fini(&snapshot.entities);
    loop_fini(&loop);
    https_free(server);
    keys_end(secrets);
}

TestSuite(introspection, .init = begin, .fini = end, .timeout = 60);

Test(introspection, a_crowd_that_invents_tokens_takes_no_place_of_one_that_is_known)
{
    char token[24];
    ask("honest");
    wait_for(1);
    cr_assert_eq(good, 1);
    for (unsigned i = 0; i < INVENTED; i++) {
        (void)snprintf(token, sizeof token, "invented-%u", i);
        ask(token);
    }
    cr_expect_eq(refused, INVENTED - INTROSPECTION_AT_ONCE, "%u", refused);
    wait_for(1 + INVENTED);
    const unsigned before = https_requests(server, "/introspect");
    cr_expect_eq(before, 1 + INTROSPECTION_AT_ONCE, "%u", before);
    ask("honest");
    wait_for(2 + INVENTED);
    cr_expect_eq(https_requests(server, "/introspect"), before, "it is asked about again");
}
