// SPDX-License-Identifier: EUPL-1.2
/* What gateways learn of devices, from a real store: right, and not dear when it is much. */
#include "auth/inventory_desk.h"

#include <criterion/criterion.h>

#include "base/logger.h"
#include "shop.h"

#define DEVICES 1000

static const struct slice finance = {"finance", 7};
static struct inventory_desk *desk;
static struct inventory *table;
static unsigned tables, answers, early; /* answered before the table had it */
static char names[DEVICES][24];

static void on_changed(void *owner, struct inventory *take, bool is_news)
{
    (void)owner, (void)is_news;
    inventory_unref(table);
    table = take;
    tables++;
}

static void begin(void)
{
    logger_set_level(LOG_LEVEL_ERROR);
    shop_begin();
    tables = answers = early = 0;
    for (int i = 0; i < DEVICES; i++)
        (void)snprintf(names[i], sizeof names[i], "laptops:%d", i);
    desk = inventory_desk_new(&shop.loop, shop.redis, &shop.metrics,
                              (struct inventory_hooks){on_changed, NULL});
    inventory_desk_follow(desk, shop.keys);
}

static void end(void)
{
    shop_hang_up();
    inventory_desk_free(desk);
    shop_forget();
    inventory_unref(table);
    table = NULL;
    shop_end();
}

TestSuite(inventory_desk, .init = begin, .fini = end, .timeout = 60);

static void keep_all(int64_t version)
{
    for (int i = 0; i < DEVICES; i++) {
        char hash[VAULT_NAME_ROOM], field[VAULT_NAME_ROOM];
        struct arena a;
        struct buf sealed;
        struct inventory_record *r = inventory_record_new(slice_of(names[i]), version);
        arena_init(&a, NULL);
        buf_init(&sealed, INVENTORY_RECORD_MAX_BYTES + VAULT_OVERHEAD);
        cr_assert(inventory_hash_name(shop.keys, finance, hash));
        cr_assert(inventory_field_name(shop.keys, finance, slice_of(names[i]), field));
        cr_assert(vault_seal(shop.keys, VAULT_DEVICE, slice_of(field),
                             inventory_record_print(r, &a), loop_wall(&shop.loop), &sealed));
        freeReplyObject(shop_ask(
            (struct slice[]){SLICE("HSET"), slice_of(hash), slice_of(field), buf_slice(&sealed)},
            4));
        buf_fini(&sealed);
        arena_fini(&a);
        inventory_record_unref(r);
    }
}

static const struct inventory_record *record_of(const char *name)
{
    const struct inventory_record *r;
    return inventory_find(table, finance, slice_of(name), &r) == INVENTORY_LISTED ? r : NULL;
}

static void on_answer(void *owner)
{
    answers++;
    early += !record_of(owner);
}

static bool are_answered(void)
{
    return answers == DEVICES;
}

static bool are_new(void)
{
    for (int i = 0; i < DEVICES; i++) {
        const struct inventory_record *r = record_of(names[i]);
        if (!r || r->version != 2)
            return false;
    }
    return true;
}

Test(inventory_desk, an_import_of_many_devices_is_a_few_tables_and_nobody_hears_before_theirs)
{
    keep_all(1);
    for (int i = 0; i < DEVICES; i++)
        inventory_desk_want(desk, finance, slice_of(names[i]), on_answer, names[i]);
    shop_until(are_answered, "all are answered");
    cr_expect_eq(early, 0, "%u", early);
    cr_expect(tables < DEVICES / 10, "%u tables", tables);
    tables = 0;
    keep_all(2);
    inventory_desk_news(desk, finance);
    shop_until(are_new, "all are read again");
    cr_expect(tables < DEVICES / 10, "%u tables", tables);
}
