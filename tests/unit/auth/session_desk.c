// SPDX-License-Identifier: EUPL-1.2
/* Sessions against a real store: what a sign-in begins, what its limits, its end and two writers at
 * once do to it, and what a store that forges or brings back gets by it. */
#include "auth/session_desk.h"

#include <criterion/criterion.h>

#include "auth/session_cache.h"
#include "base/logger.h"
#include "shop.h"

static const struct slice finance = {"finance", 7};
static struct revocation_desk *revocations;
static struct session_desk *desk;
static struct revocations *table;
static struct arena arena;
static int answered;
static enum session_answer told;
static struct session *got;
static char id[SESSION_ID_CHARS + 1];
static struct slice groups[] = {SLICE_INIT("tax-officers"), SLICE_INIT("staff")};
static const struct facts_device laptop = {
    .id = SLICE_INIT("laptops:laptop-1"), .authority = SLICE_INIT("laptops"), .digest = {1, 2, 3}};

static void on_changed(void *owner, struct revocations *take)
{
    (void)owner;
    revocations_unref(table);
    table = take;
}

static bool is_ready(void)
{
    return revocation_desk_is_whole(revocations, finance);
}

static void open_desks(void)
{
    const struct revocation_settings settings = {.max_stale_ms = 100000};
    revocations = revocation_desk_new(&shop.loop, shop.redis, shop.records, &settings,
                                      &shop.metrics, (struct revocation_hooks){on_changed, NULL});
    revocation_desk_follow(revocations, (struct slice[]){finance, SLICE("health")}, 2);
    desk = session_desk_new(&shop.loop, shop.redis, shop.records, revocations, &shop.metrics);
    shop_until(is_ready, "the lists are read");
}

static void begin(void)
{
    logger_set_level(LOG_LEVEL_ERROR);
    shop_begin();
    arena_init(&arena, NULL);
    open_desks();
}

static void end(void)
{
    session_unref(got);
    shop_hang_up();
    session_desk_free(desk);
    revocation_desk_free(revocations);
    revocations_unref(table);
    arena_fini(&arena);
    shop_end();
}

TestSuite(session_desk, .init = begin, .fini = end, .timeout = 60);

static void on_answer(void *owner, enum session_answer answer, struct session *take)
{
    (void)owner;
    session_unref(got);
    answered++;
    told = answer;
    got = take;
}

static bool is_answered(void)
{
    return answered > 0;
}

static enum session_answer wait(void)
{
    shop_until(is_answered, "an answer");
    answered = 0;
    return told;
}

static struct identity anna(void)
{
    return (struct identity){.provider = SLICE("fas"),
                             .subject = SLICE("anna"),
                             .session = SLICE("sid-1"),
                             .client_id = SLICE("belfry"),
                             .groups = {groups, 2},
                             .acr_level = 400,
                             .known_at = loop_wall(&shop.loop),
                             .name = SLICE("Anna Peeters"),
                             .id_token = SLICE("eyJ.id.token"),
                             .refresh_token = SLICE("refresh-1")};
}

static enum session_answer create(const struct facts_device *device, int64_t life_s)
{
    const struct identity who = anna();
    const struct session_start start = {.entity = finance,
                                        .application = SLICE("tax"),
                                        .host = SLICE("tax.finance.localhost"),
                                        .identity = &who,
                                        .device = device,
                                        .life_s = life_s,
                                        .idle_s = SESSION_IDLE_MIN_S,
                                        .refresh_after_s = 600,
                                        .language = SLICE("nl"),
                                        .revoked_until =
                                            revocation_desk_last(revocations, finance)};
    session_desk_create(desk, &start, id, on_answer, NULL);
    return wait();
}

static enum session_answer load(void)
{
    session_desk_load(desk, finance, slice_of(id), on_answer, NULL);
    return wait();
}

Test(session_desk, what_a_sign_in_begins_is_found_by_its_cookie)
{
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    cr_assert(strlen(id) == SESSION_ID_CHARS);
    cr_assert(load() == SESSION_HERE);
    cr_expect(slice_eq(got->user.id, SLICE("fas:anna")));
    cr_expect(got->user.groups.count == 2 && slice_eq(got->user.groups.at[0], groups[0]));
    cr_expect(slice_eq(got->application, SLICE("tax")) && slice_eq(got->language, SLICE("nl")));
    cr_expect(slice_eq(got->identity->refresh_token, SLICE("refresh-1")));
    cr_expect(got->version == 1 && got->user.expires.s == got->ends.s);
    cr_expect(session_binding(got, &laptop, false) == SESSION_BOUND);
    session_desk_load(desk, SLICE("health"), slice_of(id), on_answer, NULL);
    cr_expect(wait() == SESSION_NONE, "another entity has none of that id");
    session_desk_load(desk, finance, SLICE("no id"), on_answer, NULL);
    cr_expect(wait() == SESSION_NONE);
}

Test(session_desk, nothing_of_a_session_can_be_read_in_the_store)
{
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    redisReply *keys = shop_ask((struct slice[]){SLICE("KEYS"), SLICE("*")}, 2);
    for (size_t i = 0; i < keys->elements; i++) {
        const struct slice key = slice_of(keys->element[i]->str);
        cr_expect(!memmem(key.ptr, key.len, id, SESSION_ID_CHARS));
        if (!slice_starts(key, SLICE("belfry:session:")))
            continue;
        redisReply *value = redisCommand(shop.side, "GET %s", key.ptr);
        if (value->type == REDIS_REPLY_STRING) {
            cr_expect(!memmem(value->str, value->len, "anna", 4));
            cr_expect(!memmem(value->str, value->len, id, SESSION_ID_CHARS));
            redisReply *left = redisCommand(shop.side, "PTTL %s", key.ptr);
            cr_expect(left->integer > 0 && left->integer <= 4200000, "%lld", left->integer);
            freeReplyObject(left);
        }
        freeReplyObject(value);
    }
    freeReplyObject(keys);
}

static void name_of(char out[VAULT_NAME_ROOM])
{
    cr_assert(session_name(shop.keys, finance, slice_of(id), out));
}

Test(session_desk, an_ended_session_that_the_store_brings_back_is_none)
{
    char name[VAULT_NAME_ROOM];
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    name_of(name);
    redisReply *record = shop_ask((struct slice[]){SLICE("GET"), slice_of(name)}, 2);
    session_desk_end(desk, got, on_answer, NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_expect(load() == SESSION_NONE);
    freeReplyObject(shop_ask(
        (struct slice[]){SLICE("SET"), slice_of(name), slice_from(record->str, record->len)}, 3));
    freeReplyObject(record);
    cr_expect(load() == SESSION_NONE);
}

Test(session_desk, a_record_under_another_name_or_changed_is_none)
{
    char one[VAULT_NAME_ROOM], two[VAULT_NAME_ROOM];
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    name_of(one);
    redisReply *record = shop_ask((struct slice[]){SLICE("GET"), slice_of(one)}, 2);
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    name_of(two);
    freeReplyObject(shop_ask(
        (struct slice[]){SLICE("SET"), slice_of(two), slice_from(record->str, record->len)}, 3));
    cr_expect(load() == SESSION_NONE, "it is another's");
    record->str[record->len / 2] ^= 1;
    freeReplyObject(shop_ask(
        (struct slice[]){SLICE("SET"), slice_of(one), slice_from(record->str, record->len)}, 3));
    freeReplyObject(record);
    session_desk_find(desk, finance, slice_skip(slice_of(one), sizeof "belfry:session:" - 1),
                      on_answer, NULL);
    cr_expect(wait() == SESSION_NONE, "it is not what was sealed");
}

Test(session_desk, an_unbound_session_and_a_renewed_device)
{
    const struct facts_device renewed = {.id = laptop.id, .digest = {9, 9, 9}};
    const struct facts_device other = {.id = SLICE("laptops:laptop-2"), .digest = {7}};
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    cr_expect(session_binding(got, &renewed, true) == SESSION_RENEWED);
    cr_expect(session_binding(got, &other, true) == SESSION_ELSEWHERE);
    cr_expect(session_binding(got, NULL, true) == SESSION_ELSEWHERE);
    struct session *s = session_ref(got);
    session_desk_change(desk, s, &(struct session_changed){.what = SESSION_MOVED, .device = &other},
                        on_answer, NULL);
    cr_expect(wait() == SESSION_NONE, "it moves to its own device only");
    session_desk_change(desk, s,
                        &(struct session_changed){.what = SESSION_MOVED, .device = &renewed},
                        on_answer, NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_expect(got->version == 2 && session_binding(got, &renewed, false) == SESSION_BOUND);
    cr_expect(session_binding(got, &laptop, false) == SESSION_RENEWED);
    session_unref(s);
    cr_assert(create(NULL, 3600) == SESSION_HERE);
    cr_expect(session_binding(got, NULL, true) == SESSION_BOUND);
    cr_expect(session_binding(got, &laptop, false) == SESSION_ELSEWHERE);
}

static int many;
static void on_many(void *owner, enum session_answer answer, struct session *take)
{
    (void)owner;
    many += answer == SESSION_HERE;
    answered++;
    session_unref(take);
}

static bool are_all_answered(void)
{
    return answered == 3;
}

Test(session_desk, of_writers_at_once_none_is_lost)
{
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    struct session *s = session_ref(got);
    const struct wall later = {s->seen.s + 100};
    const struct session_changed changes[] = {
        {.what = SESSION_SEEN, .at = later},
        {.what = SESSION_ASKED, .acr_level = 500, .at = later},
        {.what = SESSION_SPOKEN, .language = SLICE("fr")}};
    for (int i = 0; i < 3; i++)
        session_desk_change(desk, s, &changes[i], on_many, NULL);
    shop_until(are_all_answered, "all are through");
    answered = 0;
    cr_expect(many == 3);
    cr_assert(load() == SESSION_HERE);
    cr_expect(got->version == 4 && got->seen.s == later.s && got->asked_acr_level == 500 &&
              slice_eq(got->language, SLICE("fr")));
    session_desk_change(desk, s, &(struct session_changed){.what = SESSION_SEEN, .at = {1}},
                        on_answer, NULL);
    cr_expect(wait() == SESSION_HERE && got->version == 4, "an earlier moment changes nothing");
    session_unref(s);
}

Test(session_desk, one_gateway_refreshes_and_the_others_read)
{
    struct identity newer = anna();
    struct slice fewer[] = {SLICE("staff")};
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    struct session *s = session_ref(got);
    session_desk_refresh(desk, s, on_answer, NULL);
    cr_assert(wait() == SESSION_OURS && got->refreshes_asked == 1, "we do");
    session_desk_refresh(desk, s, on_answer, NULL); /* another gateway, while we ask */
    newer.known_at.s += 700;
    newer.groups = (struct slices){fewer, 1};
    newer.refresh_token = SLICE("refresh-2");
    newer.id_token = SLICE("");
    session_desk_change(desk, s,
                        &(struct session_changed){.what = SESSION_REFRESHED, .identity = &newer},
                        on_many, NULL);
    many = 0;
    while (!many)
        ev_run(shop.loop.ev, EVRUN_ONCE);
    answered = told == SESSION_HERE && got ? 1 : 0;
    cr_assert(wait() == SESSION_HERE && got, "the other has what we got");
    cr_expect(got->user.groups.count == 1 &&
              slice_eq(got->identity->refresh_token, SLICE("refresh-2")) &&
              slice_eq(got->identity->id_token, SLICE("eyJ.id.token")) && !got->refreshes_asked);
    newer.subject = SLICE("bob");
    session_desk_change(desk, s,
                        &(struct session_changed){.what = SESSION_REFRESHED, .identity = &newer},
                        on_answer, NULL);
    cr_expect(wait() == SESSION_NONE, "nobody becomes another");
    session_unref(s);
}

Test(session_desk, the_record_knows_of_a_refresh_whose_answer_was_never_kept)
{
    struct session_changed changed = {.what = SESSION_NOT_REFRESHED};
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    struct session *s = session_ref(got);
    session_desk_refresh(desk, s, on_answer, NULL);
    cr_assert(wait() == SESSION_OURS && !session_lost_refresh(got));
    session_desk_refresh_lost(desk, s);
    session_desk_refresh(desk, s, on_answer, NULL);
    cr_assert(wait() == SESSION_OURS && session_lost_refresh(got));
    session_desk_change(desk, s, &changed, on_answer, NULL);
    cr_assert(wait() == SESSION_HERE && got->refreshes_asked == 1, "but the first is still lost");
    session_desk_refresh(desk, s, on_answer, NULL);
    cr_assert(wait() == SESSION_OURS && session_lost_refresh(got));
    changed.refresh_token = SLICE("refresh-2");
    session_desk_change(desk, s, &changed, on_answer, NULL);
    cr_assert(wait() == SESSION_HERE && !got->refreshes_asked);
    cr_expect(slice_eq(got->identity->refresh_token, SLICE("refresh-2")) &&
              got->identity->known_at.s == s->identity->known_at.s && got->user.groups.count == 2);
    session_unref(s);
}

Test(session_desk, what_was_taken_back_still_says_at_which_provider_it_was)
{
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    struct session *s = session_ref(got);
    session_desk_take_back(desk, s, SLICE("a reason"), on_answer, NULL);
    cr_assert(wait() == SESSION_HERE && !got);
    cr_assert(load() == SESSION_NONE && got && slice_eq(got->user.provider, SLICE("fas")));
    session_desk_find(desk, finance, s->handle, on_answer, NULL);
    cr_assert(wait() == SESSION_NONE && !got);
    session_unref(s);
}

Test(session_desk, all_of_a_person_or_of_one_sign_in_end_at_once)
{
    char first[SESSION_ID_CHARS + 1];
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    memcpy(first, id, sizeof first);
    cr_assert(create(NULL, 3600) == SESSION_HERE);
    session_desk_end_all(desk, finance, SLICE("fas"), SLICE("sid-1"), SLICE(""), on_answer, NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_expect(load() == SESSION_NONE);
    memcpy(id, first, sizeof first);
    cr_expect(load() == SESSION_NONE);
}

Test(session_desk, a_sign_in_right_after_the_end_of_all_stands_and_none_before_it_does)
{
    char first[SESSION_ID_CHARS + 1], second[SESSION_ID_CHARS + 1];
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    memcpy(first, id, sizeof first);
    session_desk_end_all(desk, finance, SLICE("fas"), SLICE(""), SLICE("fas:anna"), on_answer,
                         NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    memcpy(second, id, sizeof second);
    cr_expect(load() == SESSION_HERE, "in the same second, but made after the end");
    memcpy(id, first, sizeof first);
    cr_expect(load() == SESSION_NONE);
    session_desk_end_all(desk, finance, SLICE("fas"), SLICE("sid-1"), SLICE(""), on_answer, NULL);
    cr_assert(wait() == SESSION_HERE);
    memcpy(id, second, sizeof second);
    cr_expect(load() == SESSION_NONE);
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    cr_expect(load() == SESSION_HERE);
}

/* A gateway whose clock is ahead, and one that has not read of the end, make no session live. */
Test(session_desk, between_clocks_that_differ_a_little_the_order_of_the_list_says_which_was_first)
{
    struct revocations *t = revocations_new(1);
    struct revoked_list *l = revoked_list_new(finance);
    static const struct {
        int64_t created;
        uint64_t revoked_until;
        bool is_over;
    } cases[] = {
        {10000, 6, true},  {10000, 7, false}, {10001, 6, true}, {10030, 6, true},  {9970, 7, false},
        {10121, 6, false}, {9879, 7, true},   {9000, 6, true},  {20000, 0, false},
    };
    revoked_list_add(l, &(struct revoked_entry){.kind = REVOKED_SESSIONS,
                                                .subject = SLICE("fas:anna"),
                                                .at = {10000},
                                                .until = {99999},
                                                .n = 7});
    revocations_add(t, l, false);
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        got->created.s = cases[i].created;
        got->revoked_until = cases[i].revoked_until;
        cr_expect(revocations_session(t, got, (struct wall){20000}) == cases[i].is_over, "%zu", i);
    }
    revocations_unref(t);
}

static uint32_t listed;
static char newest[SESSION_HANDLE_CHARS + 1];
static void on_list(void *owner, enum session_answer answer, struct session *const *at,
                    uint32_t count)
{
    (void)owner;
    told = answer;
    listed = count;
    answered++;
    if (count)
        memcpy(newest, at[0]->handle.ptr, SESSION_HANDLE_CHARS);
}

Test(session_desk, a_person_sees_their_sessions_and_ends_one)
{
    for (int i = 0; i < 70; i++)
        cr_assert(create(&laptop, 3600 + i) == SESSION_HERE);
    session_desk_list(desk, finance, SLICE("fas:anna"), on_list, NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_expect(listed == SESSION_LIST_MAX, "%u", listed);
    session_desk_find(desk, finance, slice_from(newest, SESSION_HANDLE_CHARS), on_answer, NULL);
    cr_assert(wait() == SESSION_HERE);
    struct session *s = session_ref(got);
    session_desk_find(desk, SLICE("health"), s->handle, on_answer, NULL);
    cr_expect(wait() == SESSION_NONE, "of another entity no handle opens anything");
    session_desk_end(desk, s, on_answer, NULL);
    cr_assert(wait() == SESSION_HERE);
    session_desk_list(desk, finance, SLICE("fas:anna"), on_list, NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_expect(listed == SESSION_LIST_MAX - 1);
    session_desk_list(desk, finance, SLICE("fas:bob"), on_list, NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_expect(listed == 0);
    session_unref(s);
}

Test(session_desk, without_a_store_nobody_is_signed_out)
{
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    struct session *s = session_ref(got);
    shop_stop_server();
    cr_expect(load() == SESSION_AWAY);
    session_desk_end(desk, s, on_answer, NULL);
    cr_expect(wait() == SESSION_AWAY);
    cr_expect(create(&laptop, 3600) == SESSION_AWAY);
    session_unref(s);
}

Test(session_desk, the_cache_gives_what_is_good_now_to_whom_it_belongs)
{
    struct session_cache *c = session_cache_new(2);
    const struct slice tax = SLICE("tax");
    struct wall now = loop_wall(&shop.loop);
    cr_assert(create(&laptop, 3600) == SESSION_HERE);
    session_cache_add(c, slice_from(id, SESSION_ID_CHARS), session_ref(got));
#define FIND(entity, app) session_cache_find(c, entity, app, slice_from(id, 43), table, now)
    cr_expect(FIND(finance, tax) == got);
    cr_expect(!FIND(SLICE("health"), tax));
    cr_expect(!FIND(finance, SLICE("claims")));
    cr_expect(session_cache_may_touch(c, finance, slice_from(id, 43), now));
    cr_expect(!session_cache_may_touch(c, finance, slice_from(id, 43), now));
    now.s += SESSION_IDLE_MIN_S - 1;
    cr_expect(FIND(finance, tax) == got);
    cr_expect(session_cache_may_touch(c, finance, slice_from(id, 43), now));
    now.s += SESSION_IDLE_MIN_S - 1;
    cr_expect(FIND(finance, tax) == got, "seen here, though the store may not know it");
    now.s += 1;
    cr_expect(!FIND(finance, tax), "idle for too long");
    now.s -= 2 * SESSION_IDLE_MIN_S - 1;
    session_cache_add(c, slice_from(id, 43), session_ref(got));
    cr_expect(FIND(finance, tax) == got);
    struct session *s = session_ref(got);
    session_desk_end(desk, s, on_answer, NULL);
    cr_assert(wait() == SESSION_HERE);
    cr_expect(!FIND(finance, tax), "ended");
    session_cache_add(c, slice_from(id, 43), s);
    session_cache_forget(c);
    cr_expect(!FIND(finance, tax));
    session_cache_free(c);
}

static enum record_answer record_told;
static char record_bytes[64];
static void on_record(void *owner, enum record_answer answer, struct slice plain)
{
    (void)owner;
    record_told = answer;
    memcpy(record_bytes, plain.ptr, plain.len);
    record_bytes[plain.len] = '\0';
    answered++;
}

static enum record_answer record_wait(void)
{
    (void)wait();
    return record_told;
}

Test(session_desk, records_are_taken_once_and_marks_made_once)
{
    const struct slice one = SLICE("code-1");
    record_put(shop.records, VAULT_HANDOVER, finance, one, SLICE("anna"), 60000, on_record, NULL);
    cr_assert(record_wait() == RECORD_DONE);
    record_put(shop.records, VAULT_HANDOVER, finance, one, SLICE("bob"), 60000, on_record, NULL);
    cr_expect(record_wait() == RECORD_NONE, "it stays as it is");
    record_get(shop.records, VAULT_ATTEMPT, finance, one, on_record, NULL);
    cr_expect(record_wait() == RECORD_NONE, "for another purpose there is none");
    record_take(shop.records, VAULT_HANDOVER, finance, one, on_record, NULL);
    cr_expect(record_wait() == RECORD_DONE && !strcmp(record_bytes, "anna"));
    record_take(shop.records, VAULT_HANDOVER, finance, one, on_record, NULL);
    cr_expect(record_wait() == RECORD_NONE);
    record_mark(shop.records, finance, SLICE("jti:fas:1"), 60000, on_record, NULL);
    cr_expect(record_wait() == RECORD_DONE);
    record_mark(shop.records, finance, SLICE("jti:fas:1"), 60000, on_record, NULL);
    cr_expect(record_wait() == RECORD_NONE);
    record_mark(shop.records, SLICE("health"), SLICE("jti:fas:1"), 60000, on_record, NULL);
    cr_expect(record_wait() == RECORD_DONE, "each entity has marks of its own");
    shop_stop_server();
    record_mark(shop.records, finance, SLICE("jti:fas:2"), 60000, on_record, NULL);
    cr_expect(record_wait() == RECORD_AWAY);
}
