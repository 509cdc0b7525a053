// SPDX-License-Identifier: EUPL-1.2
/* The list of an entity, against a real store and a hostile hand in it: what is taken back stays
 * so, and every play with the list is found out. */
#include "auth/revocation_desk.h"

#include <criterion/criterion.h>

#include "base/file.h"
#include "base/logger.h"
#include "belfry/facts.h"
#include "shop.h"

static const struct slice finance = {"finance", 7};
static const struct slice health = {"health", 6};
static struct revocation_desk *desk;
static struct revocations *table;
static int answered, told; /* of additions: how many, and the last answer */
static char state[KEYS_PATH_MAX + 16];

static void on_changed(void *owner, struct revocations *take)
{
    (void)owner;
    revocations_unref(table);
    table = take;
}

static struct revocation_desk *open_desk(const char *state_dir)
{
    const struct revocation_settings settings = {
        .state_dir = state_dir, .max_stale_ms = 1500, .vouch_ms = 100, .refuses = true};
    struct revocation_desk *d =
        revocation_desk_new(&shop.loop, shop.redis, shop.records, &settings, &shop.metrics,
                            (struct revocation_hooks){on_changed, NULL});
    revocation_desk_follow(d, (struct slice[]){finance, health}, 2);
    return d;
}

static bool is_whole(void)
{
    return revocation_desk_is_whole(desk, finance) && revocation_desk_is_whole(desk, health);
}

static bool is_alarmed(void)
{
    return revocation_desk_alarm(desk, finance) != NULL;
}

static bool is_answered(void)
{
    return answered > 0;
}

static void begin(void)
{
    struct fault f;
    logger_set_level(LOG_LEVEL_ERROR);
    shop_begin();
    answered = 0;
    (void)snprintf(state, sizeof state, "%s/state", shop.dir);
    cr_assert(dir_make(state, 0700, &f));
    desk = open_desk(NULL);
    shop_until(is_whole, "both lists are read");
}

static void close_desk(void)
{
    shop_hang_up();
    revocation_desk_free(desk);
    shop_forget();
    revocations_unref(table);
    desk = NULL;
    table = NULL;
}

static void end(void)
{
    close_desk();
    shop_end();
}

TestSuite(revocation_desk, .init = begin, .fini = end, .timeout = 60);

static void on_added(void *owner, enum record_answer answer, struct slice plain)
{
    (void)owner, (void)plain;
    answered++;
    told = (int)answer;
}

static enum record_answer add_for(struct slice entity, const char *subject, int64_t life_s)
{
    const struct wall now = loop_wall(&shop.loop);
    answered = 0;
    revocation_desk_add(desk, entity,
                        &(struct revoked_entry){.kind = REVOKED_DEVICE,
                                                .subject = slice_of(subject),
                                                .at = now,
                                                .until = {now.s + life_s},
                                                .by = SLICE("els"),
                                                .reason = SLICE("lost")},
                        on_added, NULL);
    shop_until(is_answered, "an answer");
    return (enum record_answer)told;
}

static void add(const char *subject)
{
    cr_assert(add_for(finance, subject, 3600) == RECORD_DONE);
}

static bool is_revoked_at(struct slice entity, const char *subject)
{
    const struct facts_device device = {.id = slice_of(subject), .authority = SLICE("laptops")};
    return revocations_device(table, entity, &device, loop_wall(&shop.loop));
}

static bool is_revoked(const char *subject)
{
    return is_revoked_at(finance, subject);
}

/* Another gateway, that has seen nothing yet. */
static void newcomer(void)
{
    close_desk();
    shop_connect();
    desk = open_desk(NULL);
}

static void name_of(struct slice entity, const char *what, char out[VAULT_NAME_ROOM])
{
    cr_assert(vault_name(shop.keys, VAULT_REVOKED, entity, slice_of(what), out));
}

static redisReply *raw(struct slice command, struct slice entity, const char *what,
                       struct slice third, struct slice fourth)
{
    char name[VAULT_NAME_ROOM];
    const struct slice arguments[] = {command, {0}, third, fourth};
    struct slice all[4];
    name_of(entity, what, name);
    memcpy(all, arguments, sizeof all);
    all[1] = slice_of(name);
    return shop_ask(all, fourth.ptr ? 4 : third.ptr ? 3 : 2);
}

static void hand(struct slice command, const char *what, struct slice third, struct slice fourth)
{
    freeReplyObject(raw(command, finance, what, third, fourth));
}

Test(revocation_desk, what_is_added_counts_at_once_and_for_newcomers)
{
    cr_expect(!is_revoked("laptops:1"));
    add("laptops:1");
    cr_expect(is_revoked("laptops:1"));
    cr_expect(!is_revoked("laptops:2"));
    cr_expect(!is_revoked_at(health, "laptops:1"), "each entity's own");
    newcomer();
    shop_until(is_whole, "the newcomer has read it");
    cr_expect(is_revoked("laptops:1"));
    const struct revoked_entry *e = revocation_desk_entry(desk, finance, 0);
    cr_assert(e);
    cr_expect(slice_eq(e->by, SLICE("els")) && slice_eq(e->reason, SLICE("lost")) && e->n == 1);
}

Test(revocation_desk, the_last_entry_of_a_subject_counts)
{
    add("laptops:1");
    cr_assert(add_for(finance, "laptops:1", 0) == RECORD_DONE);
    cr_expect(!is_revoked("laptops:1"), "it was lifted");
    add("laptops:1");
    cr_expect(is_revoked("laptops:1"));
}

Test(revocation_desk, an_entry_that_is_missing_is_an_alarm)
{
    add("laptops:1"), add("laptops:2"), add("laptops:3");
    hand(SLICE("HDEL"), "list", SLICE("2"), (struct slice){0});
    newcomer();
    shop_until(is_alarmed, "an alarm");
    cr_expect(is_revoked("laptops:1"), "what is proven counts");
    cr_expect(add_for(finance, "laptops:9", 3600) == RECORD_AWAY, "nothing is added to it");
}

Test(revocation_desk, entries_in_another_order_are_an_alarm)
{
    add("laptops:1"), add("laptops:2"), add("laptops:3");
    redisReply *two = raw(SLICE("HGET"), finance, "list", SLICE("2"), (struct slice){0});
    redisReply *three = raw(SLICE("HGET"), finance, "list", SLICE("3"), (struct slice){0});
    hand(SLICE("HSET"), "list", SLICE("2"), slice_from(three->str, three->len));
    hand(SLICE("HSET"), "list", SLICE("3"), slice_from(two->str, two->len));
    freeReplyObject(two);
    freeReplyObject(three);
    newcomer();
    shop_until(is_alarmed, "an alarm");
}

Test(revocation_desk, another_entitys_list_is_an_alarm)
{
    cr_assert(add_for(health, "laptops:1", 3600) == RECORD_DONE);
    redisReply *head = raw(SLICE("GET"), health, "head", (struct slice){0}, (struct slice){0});
    redisReply *entry = raw(SLICE("HGET"), health, "list", SLICE("1"), (struct slice){0});
    hand(SLICE("HSET"), "list", SLICE("1"), slice_from(entry->str, entry->len));
    hand(SLICE("SET"), "head", slice_from(head->str, head->len), (struct slice){0});
    freeReplyObject(head);
    freeReplyObject(entry);
    shop_until(is_alarmed, "an alarm");
    cr_expect(!is_revoked("laptops:1"));
}

Test(revocation_desk, another_entitys_entry_under_our_head_is_an_alarm)
{
    cr_assert(add_for(health, "laptops:8", 3600) == RECORD_DONE);
    add("laptops:1");
    redisReply *entry = raw(SLICE("HGET"), health, "list", SLICE("1"), (struct slice){0});
    hand(SLICE("HSET"), "list", SLICE("1"), slice_from(entry->str, entry->len));
    freeReplyObject(entry);
    newcomer();
    shop_until(is_alarmed, "an alarm");
    cr_expect(!is_revoked("laptops:8"));
}

Test(revocation_desk, forged_entries_and_heads_are_an_alarm)
{
    add("laptops:1");
    redisReply *entry = raw(SLICE("HGET"), finance, "list", SLICE("1"), (struct slice){0});
    for (size_t at = 0; at < entry->len; at += 7) {
        entry->str[at] ^= 1;
        hand(SLICE("HSET"), "list", SLICE("1"), slice_from(entry->str, entry->len));
        newcomer();
        shop_until(is_alarmed, "an alarm");
        cr_expect(!is_revoked("laptops:1"));
        entry->str[at] ^= 1;
    }
    hand(SLICE("HSET"), "list", SLICE("1"), slice_from(entry->str, entry->len));
    freeReplyObject(entry);
    newcomer();
    shop_until(is_whole, "it is whole again");
    hand(SLICE("SET"), "head", SLICE("no head at all"), (struct slice){0});
    shop_until(is_alarmed, "an alarm");
    cr_expect(is_revoked("laptops:1"), "what was known stays");
}

Test(revocation_desk, an_older_list_takes_nothing_away_and_is_made_whole)
{
    add("laptops:1");
    redisReply *head = raw(SLICE("GET"), finance, "head", (struct slice){0}, (struct slice){0});
    add("laptops:2");
    hand(SLICE("SET"), "head", slice_from(head->str, head->len), (struct slice){0});
    hand(SLICE("HDEL"), "list", SLICE("2"), (struct slice){0});
    freeReplyObject(head);
    shop_until(is_alarmed, "an alarm");
    cr_expect(is_revoked("laptops:2"));
    shop_until(is_whole, "it is written back");
    cr_expect(metric_get(&shop.metrics, METRIC_REVOCATIONS_RESTORED_TOTAL) == 1);
    newcomer();
    shop_until(is_whole, "a newcomer reads it");
    cr_expect(is_revoked("laptops:1") && is_revoked("laptops:2"));
}

Test(revocation_desk, a_store_that_was_emptied_gets_the_list_back)
{
    for (int i = 0; i < 600; i++) { /* more than one piece */
        char subject[32];
        (void)snprintf(subject, sizeof subject, "laptops:%d", i);
        add(subject);
    }
    freeReplyObject(shop_ask((struct slice[]){SLICE("FLUSHALL")}, 1));
    shop_until(is_alarmed, "an alarm");
    shop_until(is_whole, "it is written back");
    newcomer();
    shop_until(is_whole, "a newcomer reads it");
    cr_expect(is_revoked("laptops:0") && is_revoked("laptops:599"));
}

static bool is_unknown(void)
{
    return revocations_unknown(table, finance);
}

Test(revocation_desk, a_store_that_stays_silent_makes_what_is_new_unknown)
{
    add("laptops:1");
    cr_expect(!is_unknown());
    shop_stop_server();
    shop_until(is_unknown, "max_stale passes");
    cr_expect(is_revoked("laptops:1"), "what was known stays");
    cr_expect(add_for(finance, "laptops:2", 3600) == RECORD_AWAY);
}

/* Rolled back by a minute, under the same numbers. */
Test(revocation_desk, an_older_head_of_the_same_list_is_an_alarm)
{
    struct revoked_head h = {.first = 1};
    struct buf bytes;
    buf_init(&bytes, 256);
    h.at = (struct wall){loop_wall(&shop.loop).s - 60};
    cr_assert(revoked_head_seal(shop.keys, finance, &h, &bytes));
    hand(SLICE("SET"), "head", buf_slice(&bytes), (struct slice){0});
    buf_fini(&bytes);
    shop_until(is_alarmed, "an alarm");
}

Test(revocation_desk, a_flood_of_strangers_in_the_list_is_not_read)
{
    add("laptops:1");
    for (int i = 2; i < 3000; i++) {
        char n[24];
        const int len = snprintf(n, sizeof n, "%d", i);
        hand(SLICE("HSET"), "list", slice_from(n, (size_t)len), SLICE("a stranger"));
    }
    newcomer();
    shop_until(is_whole, "the list ends where its head says");
    for (int i = 0; i < 3000; i++)
        revocation_desk_news(desk, finance);
    add("laptops:2"); /* takes the place of a stranger */
    cr_expect(is_revoked("laptops:1") && is_revoked("laptops:2"));
}

Test(revocation_desk, what_is_over_is_forgotten_and_what_lives_is_carried_on)
{
    add("laptops:stays");
    for (int i = 0; i < 300; i++)
        cr_assert(add_for(finance, "laptops:over", 0) == RECORD_DONE);
    uint32_t kept = 0;
    for (int i = 0; i < 30; i++) {
        add("laptops:again");
        ev_run(shop.loop.ev, EVRUN_ONCE);
    }
    while (revocation_desk_entry(desk, finance, kept))
        kept++;
    cr_expect(kept < 150, "%u", kept);
    cr_expect(is_revoked("laptops:stays"));
    newcomer();
    shop_until(is_whole, "a newcomer reads what is left");
    cr_expect(is_revoked("laptops:stays") && is_revoked("laptops:again"));
}

Test(revocation_desk, a_gateway_remembers_while_the_store_forgets)
{
    close_desk();
    shop_connect();
    desk = open_desk(state);
    shop_until(is_whole, "it is read");
    add("laptops:1");
    close_desk(); /* the gateway goes, and the store is emptied before it comes back */
    shop_stop_server();
    shop_start_server();
    shop_connect();
    desk = open_desk(state);
    cr_expect(is_revoked("laptops:1"), "before the store has said a word");
    shop_until(is_whole, "it is written back");
    newcomer();
    shop_until(is_whole, "a newcomer reads it");
    cr_expect(is_revoked("laptops:1"));
}

Test(revocation_desk, keys_that_are_gone_let_nobody_back_in)
{
    struct fault f;
    struct keyring *none = keyring_read(state, loop_wall(&shop.loop), &f);
    cr_assert(none);
    add("laptops:1");
    records_follow(shop.records, none);
    revocation_desk_follow(desk, (struct slice[]){finance, health}, 2);
    cr_expect(is_revoked("laptops:1"));
    cr_expect(is_alarmed(), "and somebody hears of it");
    cr_expect(add_for(finance, "laptops:2", 3600) != RECORD_DONE);
    records_follow(shop.records, shop.keys);
    revocation_desk_follow(desk, (struct slice[]){finance, health}, 2);
    shop_until(is_whole, "both lists are read again");
    add("laptops:2");
    cr_expect(is_revoked("laptops:1") && is_revoked("laptops:2"));
    keyring_unref(none);
}
