// SPDX-License-Identifier: EUPL-1.2
/* What a fetch refuses, and who may end it when. Answers over TLS are the behaviour tests' part. */
#include "base/fetch.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/network.h"

static struct {
    struct loop loop;
    struct fetcher *fetcher;
    int listening; // accepts nobody: a fetch hangs in the handshake
    char url[64];
    bool may_connect;
    uint32_t asked;
    uint32_t ended;
    struct fault why;
    struct fetch *cancel_in_done;
    bool free_in_done;
} world;

static bool may_connect(void *owner, const struct sockaddr *address)
{
    (void)owner;
    cr_expect(address_is_loopback(address));
    world.asked++;
    return world.may_connect;
}

static void done(void *owner, const struct fetch_answer *answer, const struct fault *why)
{
    (void)owner;
    cr_expect_eq(answer->status, 0);
    cr_expect_eq(answer->body.len, 0);
    cr_expect_eq(answer->max_age_s, -1);
    cr_assert_not_null(why);
    world.why = *why;
    world.ended++;
    fetch_cancel(world.cancel_in_done);
    world.cancel_in_done = NULL;
    if (world.free_in_done) {
        fetcher_free(world.fetcher);
        world.fetcher = NULL;
    }
    loop_stop(&world.loop);
}

static struct fetch *start(const char *url, int64_t limit_ms)
{
    const uint32_t ended = world.ended;
    const struct fetch_request request = {
        .url = slice_of(url), .limit_ms = limit_ms, .may_connect = may_connect, .done = done};
    struct fetch *fetch = fetch_start(world.fetcher, &request);
    cr_expect_eq(world.ended, ended, "told inside fetch_start");
    return fetch;
}

static void setup(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    base_init();
    loop_init(&world.loop);
    world.fetcher = fetcher_new(&world.loop);
    world.listening = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(world.listening, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(world.listening, 5), 0);
    cr_assert_eq(getsockname(world.listening, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(world.url, sizeof(world.url), "https://127.0.0.1:%u/keys",
                   ntohs(address.sin_port));
    world.may_connect = true;
}

static void teardown(void)
{
    fetcher_free(world.fetcher);
    loop_fini(&world.loop);
    (void)close(world.listening);
}

TestSuite(fetch, .init = setup, .fini = teardown, .timeout = 30);

Test(fetch, connects_to_no_address_that_its_owner_refuses)
{
    world.may_connect = false;
    (void)start(world.url, 5000);
    loop_run(&world.loop);
    cr_expect_eq(world.ended, 1);
    cr_expect_geq(world.asked, 1);
    cr_expect_eq(world.why.code, FAULT_TRUST);
}

Test(fetch, speaks_https_and_nothing_else)
{
    static const char *const urls[] = {"http://127.0.0.1:1/",
                                       "file:///etc/passwd",
                                       "gopher://127.0.0.1:1/_x",
                                       "dict://127.0.0.1:1/d",
                                       "ftp://127.0.0.1:1/",
                                       "127.0.0.1:1",
                                       "redis://127.0.0.1:1/x",
                                       "",
                                       "https://"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        (void)start(urls[i], 5000);
        loop_run(&world.loop);
        cr_expect_eq(world.ended, i + 1, "%s", urls[i]);
    }
    cr_expect_eq(world.asked, 0, "a socket was opened");
}

Test(fetch, ends_in_time_where_nobody_answers)
{
    (void)start(world.url, 100);
    loop_run(&world.loop);
    cr_expect_eq(world.ended, 1);
    cr_expect_eq(world.why.code, FAULT_IO);
}

Test(fetch, tells_nothing_after_cancel)
{
    fetch_cancel(start(world.url, 50));
    fetch_cancel(start("gopher://x", 50));
    struct fetch *hanging = start(world.url, 20000);
    (void)start(world.url, 100);
    world.cancel_in_done = hanging;
    loop_run(&world.loop);
    cr_expect_eq(world.ended, 1);
}

Test(fetch, the_fetcher_may_be_freed_from_an_answer)
{
    (void)start(world.url, 20000);
    (void)start(world.url, 100);
    world.free_in_done = true;
    loop_run(&world.loop);
    cr_expect_eq(world.ended, 1);
    cr_expect_null(world.fetcher);
}

Test(fetch, the_fetcher_may_be_freed_from_a_refusal)
{
    (void)start(world.url, 20000);
    (void)start("gopher://x", 100);
    world.free_in_done = true;
    loop_run(&world.loop);
    cr_expect_eq(world.ended, 1);
    cr_expect_null(world.fetcher);
}
