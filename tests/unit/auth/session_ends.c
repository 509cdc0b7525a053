// SPDX-License-Identifier: EUPL-1.2
/* The ends of sessions against a real store: each is told once, whoever looks, and why. Records are
 * written here, as old as they are wanted. */
#include "auth/session_ends.h"

#include <criterion/criterion.h>

#include "auth/session_desk.h"
#include "base/logger.h"
#include "shop.h"

static const struct slice finance = {"finance", 7};
static struct revocation_desk *revocations;
static struct session_desk *sessions;
static struct session_ends *gateways[2];
static int ended;
static char whys[1 << 17];
static char handles[1 << 17];

static void on_changed(void *owner, struct revocations *take)
{
    (void)owner;
    revocations_unref(take);
}

static void on_end(void *owner, const struct session *s, const char *why)
{
    (void)owner;
    const size_t whys_len = strlen(whys), handles_len = strlen(handles);
    (void)snprintf(whys + whys_len, sizeof whys - whys_len, "%s\n", why);
    (void)snprintf(handles + handles_len, sizeof handles - handles_len, "%.*s\n",
                   SLICE_ARG(s->handle));
    ended++;
}

static bool is_ready(void)
{
    return revocation_desk_is_whole(revocations, finance);
}

static void begin(void)
{
    const struct revocation_settings settings = {.max_stale_ms = 100000};
    logger_set_level(LOG_LEVEL_ERROR);
    shop_begin();
    revocations = revocation_desk_new(&shop.loop, shop.redis, shop.records, &settings,
                                      &shop.metrics, (struct revocation_hooks){on_changed, NULL});
    revocation_desk_follow(revocations, &finance, 1);
    shop_until(is_ready, "the list is read");
    sessions = session_desk_new(&shop.loop, shop.redis, shop.records, revocations, &shop.metrics);
    for (int i = 0; i < 2; i++) /* two gateways that look at one store */
        gateways[i] = session_ends_new(&shop.loop, shop.redis, shop.records, revocations, sessions,
                                       on_end, NULL);
}

static void end(void)
{
    shop_hang_up();
    for (int i = 0; i < 2; i++)
        session_ends_free(gateways[i]);
    session_desk_free(sessions);
    revocation_desk_free(revocations);
    shop_end();
}

TestSuite(session_ends, .init = begin, .fini = end, .timeout = 60);

static void tell_store(const struct slice *arguments, size_t count)
{
    freeReplyObject(shop_ask(arguments, count));
}

static struct slice number(char room[24], int64_t n)
{
    return slice_from(room, (size_t)snprintf(room, 24, "%lld", (long long)n));
}

/* Of the session with that number. */
static void name_of(int number, char name[VAULT_NAME_ROOM])
{
    char id[SESSION_ID_CHARS + 1];
    (void)snprintf(id, sizeof id, "%06d", number);
    memset(id + 6, 'A', SESSION_ID_CHARS - 6);
    id[SESSION_ID_CHARS] = '\0';
    cr_assert(session_name(shop.keys, finance, slice_of(id), name));
}

static void put_in_index(struct slice handle, int64_t due_s)
{
    char due[24];
    tell_store((struct slice[]){SLICE("ZADD"), SLICE(SESSION_INDEX), number(due, due_s), handle},
               4);
}

/* A session that began so long ago, with its place in the index. Its handle. */
static struct slice keep(struct arena *a, int number, int64_t ago_s, int64_t life_s)
{
    const struct identity who = {.provider = SLICE("fas"),
                                 .subject = SLICE("anna"),
                                 .session = SLICE("sid-1"),
                                 .client_id = SLICE("belfry"),
                                 .known_at = {1}};
    const struct facts_device laptop = {.id = SLICE("laptops:laptop-1"), .digest = {1, 2, 3}};
    const struct session_start start = {.entity = finance,
                                        .application = SLICE("tax"),
                                        .host = SLICE("tax.finance.localhost"),
                                        .identity = &who,
                                        .device = &laptop,
                                        .life_s = life_s,
                                        .idle_s = SESSION_IDLE_MIN_S};
    char name[VAULT_NAME_ROOM];
    struct buf plain, sealed;
    name_of(number, name);
    const struct slice handle =
        arena_copy(a, slice_skip(slice_of(name), sizeof SESSION_NAME_PREFIX - 1));
    struct session *s =
        session_begin(&start, handle, shop.keys, (struct wall){wall_now().s - ago_s});
    cr_assert_not_null(s);
    buf_init(&plain, SESSION_MAX_BYTES);
    buf_init(&sealed, RECORD_MAX_BYTES);
    cr_assert(session_print(s, &plain) && vault_seal(shop.keys, VAULT_SESSION, slice_of(name),
                                                     buf_slice(&plain), wall_now(), &sealed));
    tell_store((struct slice[]){SLICE("SET"), slice_of(name), buf_slice(&sealed)}, 3);
    put_in_index(handle, session_due(s, (struct wall){0}).s);
    session_unref(s);
    buf_fini(&plain);
    buf_fini(&sealed);
    return handle;
}

static redisReply *record_of(int number)
{
    char name[VAULT_NAME_ROOM];
    name_of(number, name);
    return shop_ask((struct slice[]){SLICE("GET"), slice_of(name)}, 2);
}

static int wanted;

static bool are_told(void)
{
    return ended >= wanted;
}

/* So many are told, so many are left in the index. */
static void expect_ends(int count, long long left)
{
    wanted = count;
    shop_until(are_told, "ends are told");
    cr_expect_eq(ended, count, "%d told", ended);
    cr_expect_eq(shop_number("ZCARD " SESSION_INDEX), left);
}

static void on_noted(void *owner, enum record_answer what, struct slice plain)
{
    (void)plain;
    *(bool *)owner = what == RECORD_DONE;
}

static bool is_noted;
static bool was_noted(void)
{
    return is_noted;
}

static void take_back(enum revoked_kind kind, struct slice subject, const char *by,
                      const char *reason)
{
    const struct wall now = wall_now();
    const struct revoked_entry e = {.kind = kind,
                                    .subject = subject,
                                    .at = now,
                                    .until = {now.s + 1000},
                                    .by = slice_of(by),
                                    .reason = slice_of(reason)};
    is_noted = false;
    revocation_desk_add(revocations, finance, &e, on_noted, &is_noted);
    shop_until(was_noted, "the list has it");
}

Test(session_ends, what_is_over_by_its_limits_is_told_once_and_what_goes_on_is_not)
{
    struct arena a;
    arena_init(&a, NULL);
    (void)keep(&a, 73, 400, 3600); /* nobody was there for 400 s */
    (void)keep(&a, 84, 200, 100);
    (void)keep(&a, 71, 100, 3600);
    expect_ends(2, 1);
    cr_expect(strstr(whys, "nobody was there for too long"));
    cr_expect(strstr(whys, "its time was over"));
    arena_fini(&a);
}

Test(session_ends, who_was_seen_later_than_the_index_says_goes_on)
{
    struct arena a;
    arena_init(&a, NULL);
    const struct slice handle = keep(&a, 71, 100, 3600);
    (void)keep(&a, 73, 400, 3600);
    put_in_index(handle, 1);
    expect_ends(1, 1);
    cr_expect_eq(shop_number("ZCOUNT " SESSION_INDEX " -inf 1"), 0, "it stands where it belongs");
    arena_fini(&a);
}

Test(session_ends, what_was_taken_back_is_told_with_who_did_it)
{
    static const struct {
        enum revoked_kind kind;
        const char *subject, *by, *reason, *why;
    } table[] = {
        {REVOKED_DEVICE, "laptops:laptop-1", "jan", "stolen", "revoked (device) by jan\n"},
        {REVOKED_AUTHORITY, "laptops", "jan", "", "revoked (authority) by jan\n"},
        {REVOKED_USER, "fas:anna", "jan", "", "revoked (user) by jan\n"},
        {REVOKED_SIGN_IN, "fas:sid-1", "gateway", "signed out at the provider",
         "signed out at the provider\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct arena a;
        arena_init(&a, NULL);
        ended = 0;
        whys[0] = '\0';
        (void)keep(&a, (int)i, 100, 3600);
        take_back(table[i].kind, slice_of(table[i].subject), table[i].by, table[i].reason);
        expect_ends(1, 0);
        cr_expect_str_eq(whys, table[i].why);
        if (i < 3) { /* lifted again, for the next */
            const struct wall now = wall_now();
            const struct revoked_entry e = {.kind = table[i].kind,
                                            .subject = slice_of(table[i].subject),
                                            .at = now,
                                            .until = now,
                                            .by = SLICE("jan")};
            is_noted = false;
            revocation_desk_add(revocations, finance, &e, on_noted, &is_noted);
            shop_until(was_noted, "it is lifted");
        }
        arena_fini(&a);
    }
}

Test(session_ends, a_sign_out_was_told_by_who_did_it)
{
    struct arena a;
    arena_init(&a, NULL);
    const struct slice out = keep(&a, 66, 100, 3600), replaced = keep(&a, 67, 100, 3600);
    take_back(REVOKED_SESSION, out, REVOKED_BY_GATEWAY, REVOKED_SIGNED_OUT);
    take_back(REVOKED_SESSION, replaced, REVOKED_BY_GATEWAY, "replaced by a newer sign-in");
    expect_ends(1, 0);
    cr_expect_str_eq(whys, "replaced by a newer sign-in\n");
    arena_fini(&a);
}

Test(session_ends, what_a_store_invents_is_no_session)
{
    struct arena a;
    arena_init(&a, NULL);
    const char *const members[] = {"x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    tell_store((struct slice[]){SLICE("SET"), SLICE(SESSION_NAME_PREFIX "x"), SLICE("?")}, 3);
    for (size_t i = 0; i < 2; i++)
        tell_store(
            (struct slice[]){SLICE("ZADD"), SLICE(SESSION_INDEX), SLICE("1"), slice_of(members[i])},
            4);
    (void)keep(&a, 73, 400, 3600);
    expect_ends(1, 0);
    arena_fini(&a);
}

/* ---- what a store forgets, hides, or shows again ---- */

static void on_answer(void *owner, enum session_answer answer, struct session *take)
{
    (void)answer;
    session_unref(take);
    *(bool *)owner = true;
}

static long long in_index(void)
{
    return shop_number("ZCARD " SESSION_INDEX);
}

static bool is_index_empty(void)
{
    return !in_index();
}

static bool was_moved(void)
{
    return shop_number("ZCOUNT " SESSION_INDEX " -inf 1") == 0;
}

Test(session_ends, whom_the_telling_ends_comes_back_no_more)
{
    struct arena a;
    arena_init(&a, NULL);
    (void)keep(&a, 1, 400, 3600);
    expect_ends(1, 0);
    redisReply *record = record_of(1);
    cr_expect_eq(record->type, REDIS_REPLY_NIL);
    freeReplyObject(record);
    arena_fini(&a);
}

Test(session_ends, who_was_seen_here_goes_on_though_the_store_shows_an_older_record)
{
    struct arena a;
    char name[VAULT_NAME_ROOM];
    arena_init(&a, NULL);
    const struct slice handle = keep(&a, 1, 400, 3600);
    (void)keep(&a, 2, 400, 3600);
    name_of(1, name);
    redisReply *record = record_of(1);
    const struct slice old = slice_from(record->str, record->len);
    struct session *s = session_open(shop.keys, name, old);
    cr_assert_not_null(s);
    is_noted = false;
    session_desk_change(sessions, s,
                        &(struct session_changed){.what = SESSION_SEEN, .at = wall_now()},
                        on_answer, &is_noted);
    shop_until(was_noted, "it is written");
    tell_store((struct slice[]){SLICE("SET"), slice_of(name), old}, 3);
    put_in_index(handle, 1);
    expect_ends(1, 1);
    shop_until(was_moved, "it stands where it belongs");
    session_unref(s);
    freeReplyObject(record);
    arena_fini(&a);
}

Test(session_ends, who_seems_idle_since_the_store_was_away_has_as_long_again)
{
    struct arena a;
    arena_init(&a, NULL);
    (void)keep(&a, 1, 400, 3600);
    expect_ends(1, 0); /* both have seen the store */
    shop_stop_server();
    struct mono until = {loop_now(&shop.loop).ms + 1500};
    while (loop_now(&shop.loop).ms < until.ms) /* they look, and it is away */
        ev_run(shop.loop.ev, EVRUN_ONCE);
    shop_start_server();
    (void)keep(&a, 2, 400, 3600);
    (void)keep(&a, 3, 200, 100);
    expect_ends(2, 1);
    cr_expect(strstr(whys, "its time was over"));
    shop_until(was_moved, "it stands where it belongs");
    arena_fini(&a);
}

Test(session_ends, what_a_store_shows_again_is_told_once_by_each_gateway)
{
    struct arena a;
    arena_init(&a, NULL);
    const struct slice handle = keep(&a, 1, 400, 3600);
    expect_ends(1, 0);
    for (int i = 0; i < 4; i++) {
        (void)keep(&a, 1, 400, 3600);
        put_in_index(handle, 1);
        shop_until(is_index_empty, "it is looked at");
    }
    cr_expect_leq(ended, 2);
    const int before = ended;
    (void)keep(&a, 2, 90000, 3600); /* of another day */
    shop_until(is_index_empty, "it is looked at");
    cr_expect_eq(ended, before);
    arena_fini(&a);
}

/* ---- many, and all the time ---- */

Test(session_ends, many_that_end_at_once_are_told_soon)
{
    struct arena a;
    arena_init(&a, NULL);
    for (int i = 0; i < 500; i++)
        (void)keep(&a, i, 400, 3600);
    expect_ends(500, 0);
    arena_fini(&a);
}

Test(session_ends, a_walk_that_never_comes_to_its_end_holds_up_no_limit)
{
    struct arena a;
    arena_init(&a, NULL);
    tell_store((struct slice[]){SLICE("ACL"), SLICE("SETUSER"), SLICE("default"), SLICE("-zscan")},
               4);
    take_back(REVOKED_USER, SLICE("fas:bart"), "jan", ""); /* so one is wanted */
    (void)keep(&a, 1, 400, 3600);
    (void)keep(&a, 2, 200, 100);
    expect_ends(2, 0);
    arena_fini(&a);
}
