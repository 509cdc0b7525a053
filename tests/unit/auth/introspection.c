// SPDX-License-Identifier: EUPL-1.2
/* The desk beside a crowd that invents tokens. What an answer means is token.c's. */
#include "auth/introspection.h"

#include <criterion/criterion.h>

#include "base/logger.h"
#include "base/mem.h"
#include "idp.h"
#include "keys.h"

#define INVENTED (INTROSPECTION_ENTRIES + 100)

static struct introspection_desk *desk;
static char endpoint[96];
static char secrets[KEYS_PATH_MAX];
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
                           &(struct introspection_question){.provider_digest = idp.provider.digest,
                                                            .token = slice_of(token),
                                                            .secrets_dir = secrets,
                                                            .answered = on_answer});
}

static void wait_for(unsigned count)
{
    for (int turns = 0; good + refused < count && turns < 100000; turns++)
        ev_run(idp.loop.ev, EVRUN_ONCE);
    cr_assert_eq(good + refused, count);
}

static void begin(void)
{
    idp_begin(0);
    logger_set_level(LOG_LEVEL_ERROR);
    keys_begin(secrets);
    keys_write(secrets, "finance/own", SLICE("secret\n"), 0600);
    (void)snprintf(endpoint, sizeof endpoint, "%s/introspect", idp.issuer);
    https_answer(idp.server, "/introspect", 200, "{\"active\":true}");
    idp.provider = (struct provider){
        .id = SLICE("own"),
        .entity = SLICE("finance"),
        .issuer = slice_of(idp.issuer),
        .digest = {7},
        .introspection = {.endpoint = slice_of(endpoint),
                          .client = {.id = SLICE("belfry"), .secret = SLICE("own")},
                          .max_age_s = 600}};
    desk = introspection_desk_new(&idp.loop, https_ca(idp.server), &idp.metrics);
    introspection_desk_follow(desk, &idp.snapshots[0]);
}

static void end(void)
{
    introspection_desk_free(desk);
    keys_end(secrets);
    idp_end();
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
    const unsigned before = https_requests(idp.server, "/introspect");
    cr_expect_eq(before, 1 + INTROSPECTION_AT_ONCE, "%u", before);
    ask("honest");
    wait_for(2 + INVENTED);
    cr_expect_eq(https_requests(idp.server, "/introspect"), before, "it is asked about again");
}
