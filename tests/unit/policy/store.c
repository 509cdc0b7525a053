// SPDX-License-Identifier: EUPL-1.2
/* The store against a real redis-server on a socket in a folder of its own. Each test waits for
 * what it expects, at most ten seconds, and sleeps nowhere. */
#include "policy/store.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/logger.h"
#include "base/mem.h"
#include "policy/store_client.h"

#define PATIENCE_S 10.

static struct {
    char dir[64];
    char socket[96];
    pid_t server;
    struct redis_address address;
    struct loop loop;
    struct store *store;
    struct documents *documents; // the last handed over
    uint32_t handed;
    bool is_connected;
    bool (*is_enough)(void);
} world;

/* ---- the server ---- */

static redisContext *speak(void)
{
    for (int i = 0; i < 1000; i++) { // until it listens and has loaded
        redisContext *c = redisConnectUnix(world.socket);
        cr_assert_not_null(c);
        redisReply *reply = c->err ? NULL : redisCommand(c, "PING");
        const bool is_ready = reply && reply->type == REDIS_REPLY_STATUS;
        if (reply)
            freeReplyObject(reply);
        if (is_ready)
            return c;
        redisFree(c);
        (void)usleep(10000);
    }
    cr_assert_fail("redis-server does not come up");
    return NULL;
}

static void server_start(void)
{
    world.server = fork();
    cr_assert(world.server >= 0);
    if (world.server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", world.socket,
                     "--dir", world.dir, "--save", "", "--appendonly", "yes", "--appendfsync",
                     "always", NULL);
        _exit(127);
    }
    redisFree(speak());
}

static void server_kill(void)
{
    if (world.server <= 0)
        return;
    (void)kill(world.server, SIGKILL);
    (void)waitpid(world.server, NULL, 0);
    world.server = 0;
}

static void command(const char *text)
{
    redisContext *c = speak();
    redisReply *reply = redisCommand(c, text);
    cr_assert(reply && reply->type != REDIS_REPLY_ERROR, "%s", text);
    freeReplyObject(reply);
    redisFree(c);
}

static long long integer(const char *text)
{
    redisContext *c = speak();
    redisReply *reply = redisCommand(c, text);
    cr_assert(reply && reply->type == REDIS_REPLY_INTEGER, "%s", text);
    const long long value = reply->integer;
    freeReplyObject(reply);
    redisFree(c);
    return value;
}

static void setup(void)
{
    char url[160];
    struct fault f;
    base_init();
    logger_set_level(LOG_LEVEL_ERROR);
    (void)snprintf(world.dir, sizeof(world.dir), "/tmp/belfry-store-XXXXXX");
    cr_assert_not_null(mkdtemp(world.dir));
    (void)snprintf(world.socket, sizeof(world.socket), "%s/redis.sock", world.dir);
    (void)snprintf(url, sizeof(url), "redis+unix://%s", world.socket);
    cr_assert(redis_address_parse(&world.address, slice_of(url), &f));
    server_start();
    loop_init(&world.loop);
}

static void teardown(void)
{
    char text[128];
    store_free(world.store);
    documents_unref(world.documents);
    loop_fini(&world.loop);
    server_kill();
    (void)snprintf(text, sizeof(text), "rm -rf %s", world.dir);
    (void)!system(text);
}

TestSuite(store, .init = setup, .fini = teardown, .timeout = 60);

/* ---- the store ---- */

static void look(void)
{
    if (world.is_enough && world.is_enough())
        loop_stop(&world.loop);
}

static void on_documents(void *owner, struct documents *documents)
{
    (void)owner;
    documents_unref(world.documents);
    world.documents = documents_ref(documents);
    world.handed++;
    look();
}

static void on_connected(void *owner, bool is_connected)
{
    (void)owner;
    cr_expect_neq(is_connected, world.is_connected);
    world.is_connected = is_connected;
    look();
}

static uint32_t revoked;
static void on_revoked(void *owner, struct slice entity)
{
    (void)owner;
    revoked += slice_eq(entity, SLICE("finance"));
    look();
}

static void follow(int64_t reconcile_ms, struct documents *start)
{
    const struct store_settings settings = {
        .address = world.address, .reconcile_ms = reconcile_ms, .start = start};
    world.store =
        store_new(&world.loop, &settings,
                  (struct store_hooks){
                      .documents = on_documents, .connected = on_connected, .revoked = on_revoked});
}

static void out_of_patience(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)timer;
    (void)events;
    loop_stop(&world.loop);
}

static void wait_for(bool (*is_enough)(void), const char *what)
{
    ev_timer guard;
    if (is_enough())
        return;
    world.is_enough = is_enough;
    ev_timer_init(&guard, out_of_patience, PATIENCE_S, 0.);
    ev_timer_start(world.loop.ev, &guard);
    loop_run(&world.loop);
    ev_timer_stop(world.loop.ev, &guard);
    world.is_enough = NULL;
    cr_assert(is_enough(), "waited in vain for %s", what);
}
#define WAIT_FOR(condition) wait_for((condition), #condition)

static bool connected(void)
{
    return world.is_connected && world.documents;
}

static bool away(void)
{
    return !world.is_connected;
}

static bool has(const char *entity, const char *text)
{
    const struct blob *b =
        world.documents ? documents_get(world.documents, slice_of(entity)) : NULL;
    return b && slice_eq(b->bytes, slice_of(text));
}

static bool try_to_publish(enum document_kind kind, const char *entity, int64_t serial,
                           const char *text, uint64_t *n, struct fault *f)
{
    struct store_client *c = store_open(&world.address, f);
    cr_assert(c, "%s", f->text);
    const bool is_published =
        store_publish(c, kind, slice_of(entity), serial, slice_of(text), n, f);
    store_close(c);
    return is_published;
}

static uint64_t publish(const char *entity, int64_t serial, const char *text)
{
    struct fault f;
    uint64_t n = 0;
    cr_assert(
        try_to_publish(*entity ? DOCUMENT_BUNDLE : DOCUMENT_CHARTER, entity, serial, text, &n, &f),
        "%s", f.text);
    return n;
}

static bool has_finance_2(void)
{
    return has("finance", "finance two");
}

static bool has_finance_3(void)
{
    return has("finance", "finance three");
}

static bool has_health(void)
{
    return has("health", "health one");
}

/* ---- */

Test(store, hands_over_what_is_there_and_then_each_change)
{
    publish("", 1, "the charter");
    publish("finance", 1, "finance one");
    follow(600000, NULL); // only the stream can tell
    WAIT_FOR(connected);
    cr_expect(has("", "the charter"));
    cr_expect(has("finance", "finance one"));
    cr_expect_eq(world.handed, 1);
    const struct blob *charter = documents_get(world.documents, SLICE(""));

    cr_expect_eq(publish("finance", 2, "finance two"), 3);
    WAIT_FOR(has_finance_2);
    cr_expect_eq(world.handed, 2);
    cr_expect_eq(documents_get(world.documents, SLICE("")), charter, "not shared");
    publish("health", 7, "health one");
    WAIT_FOR(has_health);
    cr_expect(has_finance_2());
    cr_expect_eq(store_resyncs(world.store), 1);
}

Test(store, an_empty_store_is_a_set_of_nothing)
{
    follow(600000, NULL);
    WAIT_FOR(connected);
    cr_expect_eq(world.documents->count, 0);
    publish("finance", 2, "finance two");
    WAIT_FOR(has_finance_2);
}

Test(store, a_gap_in_the_numbers_reads_all_again)
{
    publish("finance", 1, "finance one");
    follow(600000, NULL);
    WAIT_FOR(connected);
    /* Written behind the script's back; the event that should tell of it is lost. */
    command("SET belfry:bundle:finance \"x\"");
    redisContext *c = speak();
    redisReply *reply = redisCommand(c, "SET belfry:bundle:finance %s", "finance two");
    freeReplyObject(reply);
    redisFree(c);
    command("HSET belfry:serials bundle:finance 2");
    command("INCR belfry:count");
    publish("health", 1, "health one");
    WAIT_FOR(has_health);
    WAIT_FOR(has_finance_2);
    cr_expect_eq(store_resyncs(world.store), 2);
}

static bool was_revoked(void)
{
    return revoked == 1;
}

Test(store, revocations_are_told_and_kinds_that_are_not_known_only_count)
{
    publish("health", 1, "health one");
    follow(600000, NULL);
    WAIT_FOR(connected);
    redisContext *c = speak();
    redisReply *reply = redisCommand(
        c, "EVAL %s 0",
        "for _, kind in ipairs({'of tomorrow', 'revocation', 'of tomorrow'}) do\n"
        "    redis.call('XADD', 'belfry:events', '*', 'epoch', redis.call('GET', 'belfry:epoch'),\n"
        "               'n', redis.call('INCR', 'belfry:count'), 'kind', kind,\n"
        "               'entity', 'finance', 'serial', 1)\n"
        "end\n");
    cr_assert(reply && reply->type != REDIS_REPLY_ERROR, "%s", reply ? reply->str : "");
    freeReplyObject(reply);
    redisFree(c);
    WAIT_FOR(was_revoked);
    publish("finance", 2, "finance two");
    WAIT_FOR(has_finance_2);
    cr_expect_eq(store_resyncs(world.store), 1);
}

Test(store, serials_of_nobody_make_one_line_of_log_and_not_thousands)
{
    char log[128];
    struct fault f;
    struct slice text;
    int lines = 0;
    publish("finance", 1, "finance one");
    redisContext *c = speak();
    freeReplyObject(
        redisCommand(c, "EVAL %s 0",
                     "for i = 1, 3000 do redis.call('HSET', 'belfry:serials', 'x' .. i, i) end"));
    redisFree(c);
    (void)snprintf(log, sizeof(log), "%s/log", world.dir);
    cr_assert_not_null(freopen(log, "w", stderr));
    logger_set_level(LOG_LEVEL_WARNING);
    follow(50, NULL);
    WAIT_FOR(connected);
    publish("finance", 2, "finance two");
    WAIT_FOR(has_finance_2);
    cr_assert(file_read(&text, log, 1 << 20, &f), "%s", f.text);
    for (struct slice rest = text; rest.len;)
        lines +=
            slice_starts(slice_skip(slice_cut(&rest, '\n'), 25), SLICE("warning store: 3000 "));
    cr_expect_eq(lines, 1, "%.*s", SLICE_ARG(text));
    mem_slice_free(&text);
}

Test(store, the_timer_finds_what_no_event_told)
{
    publish("finance", 1, "finance one");
    follow(100, NULL);
    WAIT_FOR(connected);
    redisContext *c = speak();
    freeReplyObject(redisCommand(c, "SET belfry:bundle:finance %s", "finance two"));
    redisFree(c);
    command("HSET belfry:serials bundle:finance 2");
    WAIT_FOR(has_finance_2);
}

Test(store, another_epoch_reads_all_again)
{
    publish("finance", 1, "finance one");
    follow(100, NULL);
    WAIT_FOR(connected);
    /* The same serial and count, and yet another store. */
    redisContext *c = speak();
    freeReplyObject(redisCommand(c, "SET belfry:bundle:finance %s", "finance two"));
    redisFree(c);
    command("SET belfry:epoch other");
    WAIT_FOR(has_finance_2);
    cr_expect_eq(store_resyncs(world.store), 2);
    publish("finance", 3, "finance three");
    WAIT_FOR(has_finance_3);
}

Test(store, comes_back_after_a_restart_of_redis)
{
    publish("finance", 1, "finance one");
    follow(600000, NULL);
    WAIT_FOR(connected);
    server_kill();
    WAIT_FOR(away);
    cr_expect_not(world.is_connected);
    server_start();
    publish("finance", 2, "finance two"); // while we are away
    WAIT_FOR(has_finance_2);
    WAIT_FOR(connected);
    publish("finance", 3, "finance three");
    WAIT_FOR(has_finance_3);
}

Test(store, waits_for_a_redis_that_is_not_there_yet)
{
    server_kill();
    (void)unlink(world.socket);
    follow(600000, NULL);
    for (int i = 0; i < 20; i++)
        ev_run(world.loop.ev, EVRUN_NOWAIT);
    cr_expect_not(world.is_connected);
    server_start();
    publish("finance", 2, "finance two");
    WAIT_FOR(has_finance_2);
}

Test(store, takes_nothing_away_that_the_store_hides)
{
    struct document start[] = {{.entity = "finance", .blob = blob_new(SLICE("finance two"))}};
    struct documents *documents = documents_new_take(start, 1);
    follow(100, documents);
    documents_unref(documents);
    WAIT_FOR(connected);
    cr_expect(has_finance_2());
    publish("health", 1, "health one");
    WAIT_FOR(has_health);
    command("FLUSHALL");
    publish("finance", 1, "finance three");
    WAIT_FOR(has_finance_3);
    cr_expect(has_health());
}

Test(store, names_from_the_store_are_not_trusted)
{
    command("HSET belfry:serials bundle:../x 1 bundle:A 1 bundle: 1 other 1 bundle:finance nine");
    publish("health", 1, "health one");
    follow(600000, NULL);
    WAIT_FOR(connected);
    cr_expect_eq(world.documents->count, 1);
    cr_expect(has_health());
}

Test(store, what_is_too_large_is_left_out)
{
    publish("finance", 1, "finance one");
    publish("health", 1, "health one");
    command("SETRANGE belfry:bundle:finance 9000000 x");
    follow(600000, NULL);
    WAIT_FOR(connected);
    cr_expect(has_health());
    cr_expect_null(documents_get(world.documents, SLICE("finance")));
}

Test(store, a_serial_that_is_not_higher_is_refused)
{
    static const int64_t old[] = {1, 8, 9};
    publish("finance", 9, "finance nine");
    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        struct fault f = {.code = FAULT_UNSET};
        uint64_t n = 0;
        cr_expect_not(try_to_publish(DOCUMENT_BUNDLE, "finance", old[i], "x", &n, &f));
        cr_expect_eq(f.code, FAULT_TRUST);
        cr_expect_not_null(strstr(f.text, "'9'"), "%s", f.text);
    }
    cr_expect_eq(publish("finance", 10, "finance ten"), 2, "a refusal makes no event");
    cr_expect_eq(publish("health", 1, "health one"), 3);
}

Test(store, keeps_the_last_thousand_events)
{
    for (int64_t i = 1; i <= 1010; i++)
        publish("finance", i, "finance");
    cr_expect_eq(integer("XLEN belfry:events"), 1000);
}

Test(store, publishes_no_name_and_no_serial_that_is_none)
{
    static const struct {
        enum document_kind kind;
        const char *entity;
        int64_t serial;
    } table[] = {{DOCUMENT_BUNDLE, "", 1},   {DOCUMENT_BUNDLE, "../x", 1},
                 {DOCUMENT_CHARTER, "x", 1}, {DOCUMENT_BUNDLE, "x", 0},
                 {DOCUMENT_BUNDLE, "x", -1}, {DOCUMENT_BUNDLE, "x", SERIAL_MAX + 1}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct fault f;
        uint64_t n = 0;
        cr_expect_not(try_to_publish(table[i].kind, table[i].entity, table[i].serial, "x", &n, &f));
    }
    cr_expect_eq(integer("DBSIZE"), 0);
}

/* ---- what people work with ---- */

static struct store_client *client(void)
{
    struct fault f;
    struct store_client *c = store_open(&world.address, &f);
    cr_assert(c, "%s", f.text);
    return c;
}

static void expect_on(struct store_client *c, enum store_shelf shelf, const char *entity,
                      const char *text)
{
    struct slice got;
    struct fault f;
    cr_assert(store_get(c, shelf, slice_of(entity), &got, &f), "%s", f.text);
    cr_expect(slice_eq(got, slice_of(text)), "'%.*s'", SLICE_ARG(got));
    mem_slice_free(&got);
}

Test(store, a_draft_is_changed_by_who_saw_its_last_state_and_ends_with_the_publication)
{
    struct store_client *c = client();
    struct fault f;
    const struct slice entity = SLICE("finance");
    expect_on(c, STORE_DRAFT, "finance", "");
    cr_expect(store_put_draft(c, entity, SLICE(""), SLICE("one"), &f));
    cr_expect_not(store_put_draft(c, entity, SLICE(""), SLICE("mine"), &f));
    cr_expect_eq(f.code, FAULT_TRUST);
    cr_expect(store_put_draft(c, entity, SLICE("one"), SLICE("two"), &f));
    expect_on(c, STORE_DRAFT, "finance", "two");
    cr_expect(store_put_draft(c, SLICE(""), SLICE(""), SLICE("of the charter"), &f));
    publish("finance", 1, "finance one");
    expect_on(c, STORE_DRAFT, "finance", "");
    expect_on(c, STORE_DRAFT, "", "of the charter");
    expect_on(c, STORE_DOCUMENT, "finance", "finance one");
    store_close(c);
}

Test(store, the_last_publications_are_kept_and_no_more)
{
    struct store_client *c = client();
    struct fault f;
    struct slice got;
    char text[32];
    for (int i = 1; i <= STORE_HISTORY + 5; i++) {
        (void)snprintf(text, sizeof(text), "finance %d", i);
        publish("finance", i, text);
    }
    cr_expect_eq(integer("LLEN belfry:history:bundle:finance"), STORE_HISTORY);
    for (uint32_t i = 0; i < STORE_HISTORY; i++) {
        (void)snprintf(text, sizeof(text), "finance %d", (int)(STORE_HISTORY + 5 - i));
        cr_assert(store_get_old(c, SLICE("finance"), i, &got, &f), "%s", f.text);
        cr_expect(slice_eq(got, slice_of(text)));
        mem_slice_free(&got);
    }
    cr_assert(store_get_old(c, SLICE("finance"), STORE_HISTORY, &got, &f));
    cr_expect_eq(got.len, 0);
    mem_slice_free(&got);
    store_close(c);
}

Test(store, drafts_and_history_of_a_wrong_type_do_not_keep_a_document_from_being_published)
{
    command("SET belfry:drafts x");
    command("SET belfry:history:bundle:finance x");
    publish("finance", 1, "finance one");
    cr_expect_eq(integer("XLEN belfry:events"), 1);
}

Test(store, who_has_a_document_or_a_draft_is_listed_once_and_by_name)
{
    struct store_client *c = client();
    struct store_names names;
    struct fault f;
    publish("", 1, "charter");
    publish("health", 1, "health one");
    cr_expect(store_put_draft(c, SLICE("finance"), SLICE(""), SLICE("x"), &f));
    cr_expect(store_put_draft(c, SLICE("health"), SLICE(""), SLICE("x"), &f));
    command("HSET belfry:serials bundle:../x 1 surplus 2");
    cr_assert(store_list(c, &names, &f), "%s", f.text);
    cr_assert_eq(names.count, 2);
    cr_expect_str_eq(names.at[0], "finance");
    cr_expect_str_eq(names.at[1], "health");
    mem_free(names.at);
    store_close(c);
}

/* ---- state_dir ---- */

static struct buf sealed(const char *text)
{
    struct private_key key;
    struct fault f;
    struct buf out;
    cr_assert(private_key_make(&key, ALGORITHM_ED25519, &f));
    buf_init(&out, ENVELOPE_MAX_BYTES);
    const struct envelope_signer signer = {SLICE("a"), &key};
    cr_assert(envelope_seal(&out, DOCUMENT_BUNDLE, slice_of(text), &signer, 1, &f));
    private_key_fini(&key);
    return out;
}

static void digest_of(uint8_t out[SHA256_BYTES], const char *text)
{
    sha256(out, slice_of(text));
}

Test(store_memory, recalls_what_was_remembered, .init = base_init)
{
    char dir[] = "/tmp/belfry-memory-XXXXXX";
    struct serials known = {.at = NULL};
    struct serials back = {.at = NULL};
    struct documents *documents = NULL;
    uint8_t digest[SHA256_BYTES];
    struct fault f;
    struct stat st;
    char path[64];
    cr_assert_not_null(mkdtemp(dir));
    cr_assert(store_recall(dir, &documents, &back, &f));
    cr_expect_eq(documents->count, 0);
    documents_unref(documents);

    struct buf charter = sealed("charter");
    struct buf finance = sealed("finance");
    uint8_t charters[SHA256_BYTES];
    digest_of(charters, "charter");
    digest_of(digest, "finance");
    const struct store_memory memories[] = {{SLICE(""), buf_slice(&charter), 3, charters},
                                            {SLICE("finance"), buf_slice(&finance), 9, digest}};
    cr_assert(store_remember(dir, &known, memories, 2, (struct wall){1000}, &f), "%s", f.text);
    cr_assert(store_recall(dir, &documents, &back, &f), "%s", f.text);
    cr_expect_eq(documents->count, 2);
    cr_expect(slice_eq(documents_get(documents, SLICE(""))->bytes, buf_slice(&charter)));
    cr_expect(slice_eq(documents_get(documents, SLICE("finance"))->bytes, buf_slice(&finance)));
    cr_expect_eq(back.wall.s, 1000);
    cr_expect_eq(serials_judge(&back, SLICE("finance"), 9, digest), SERIAL_SAME);
    cr_expect_eq(serials_judge(&known, SLICE("finance"), 9, digest), SERIAL_SAME);
    (void)snprintf(path, sizeof(path), "%s/serials", dir);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);

    /* Damage is a fault, and no empty memory. */
    serials_fini(&back);
    documents_unref(documents);
    cr_assert(file_write(path, SLICE("belfry-serials/v1\nwall 1\ncharter"), 0600, &f));
    cr_expect_not(store_recall(dir, &documents, &back, &f));
    serials_fini(&known);
    buf_fini(&charter);
    buf_fini(&finance);
    (void)snprintf(path, sizeof(path), "rm -rf %s", dir);
    (void)!system(path);
}

Test(store_memory, what_is_not_on_disk_is_not_known, .init = base_init)
{
    struct serials known = {.at = NULL};
    struct buf finance = sealed("finance");
    uint8_t digest[SHA256_BYTES];
    digest_of(digest, "finance");
    const struct store_memory good = {SLICE("finance"), buf_slice(&finance), 9, digest};
    const struct store_memory outside = {SLICE("../finance"), buf_slice(&finance), 9, digest};
    const struct store_memory unsigned_one = {SLICE("finance"), SLICE("finance"), 9, digest};
    struct fault f;
    cr_expect_not(store_remember("/nowhere/at/all", &known, &good, 1, (struct wall){1}, &f));
    cr_expect_not(store_remember("/tmp", &known, &outside, 1, (struct wall){1}, &f));
    cr_expect_not(store_remember("/tmp", &known, &unsigned_one, 1, (struct wall){1}, &f));
    cr_expect_eq(known.count, 0);
    cr_expect_eq(known.wall.s, 0);
    buf_fini(&finance);
}

Test(store_memory, a_clock_that_was_set_back_is_told, .init = base_init)
{
    static const int ahead_s[] = {-5, 3600};
    for (size_t i = 0; i < sizeof ahead_s / sizeof *ahead_s; i++) {
        char dir[] = "/tmp/belfry-memory-XXXXXX";
        char path[64];
        struct serials known = {.at = NULL};
        struct serials back = {.at = NULL};
        struct documents *documents = NULL;
        struct slice text;
        struct fault f;
        cr_assert_not_null(mkdtemp(dir));
        (void)snprintf(path, sizeof(path), "%s/log", dir);
        cr_assert_not_null(freopen(path, "w", stderr));
        cr_assert(store_remember(dir, &known, NULL, 0, (struct wall){time(NULL) + ahead_s[i]}, &f));
        cr_assert(store_recall(dir, &documents, &back, &f));
        cr_assert(file_read(&text, path, 4096, &f));
        cr_expect_eq(strstr(text.ptr, "the clock was set back") != NULL, ahead_s[i] > 0);
        mem_slice_free(&text);
        documents_unref(documents);
        serials_fini(&known);
        serials_fini(&back);
        (void)snprintf(path, sizeof(path), "rm -rf %s", dir);
        (void)!system(path);
    }
}
