// SPDX-License-Identifier: EUPL-1.2
/* JSON that two readers would read differently is refused. */
#include "base/jtree.h"

#include <criterion/criterion.h>

#include "base/mem.h"

Test(jtree, takes_one_object_and_nothing_ambiguous)
{
    static const struct {
        struct slice text;
        bool is_taken;
    } table[] = {
        {SLICE_INIT("{}"), true},
        {SLICE_INIT(" {\"a\": [1, {\"a\": null}]}\n"), true},
        {SLICE_INIT("{\"a\":1,\"a\":1}"), false},
        {SLICE_INIT("{\"a\":1,\"\\u0061\":2}"), false},
        {SLICE_INIT("{\"b\":{\"a\":1,\"a\":1}}"), false},
        {SLICE_INIT("[]"), false},
        {SLICE_INIT("\"a\""), false},
        {SLICE_INIT(""), false},
        {SLICE_INIT("{} {}"), false},
        {SLICE_INIT("{}\0"), false},
        {SLICE_INIT("{\"a\":\"b\\u0000\"}"), false},
        {SLICE_INIT("{\"a\":\"b\0\"}"), false},
        {SLICE_INIT("{\"a\\u0000\":1}"), false},
        {SLICE_INIT("{\"a\":\"\xff\"}"), false},
        {SLICE_INIT("{\"a\":\"\\ud800\"}"), false},
        {SLICE_INIT("{\"a\":1,}"), false},
        {SLICE_INIT("{'a':1}"), false},
        {SLICE_INIT("{\"a\":01}"), false},
        {SLICE_INIT("{\"a\":1e999}"), false},
        {SLICE_INIT("{\"a\":99999999999999999999}"), false},
        {SLICE_INIT("{\"a\":NaN}"), false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        json_t *tree = jtree_parse(table[i].text);
        cr_expect_eq(tree != NULL, table[i].is_taken, "%zu: %s", i, table[i].text.ptr);
        json_decref(tree);
    }
}

Test(jtree, bounds_depth_and_size)
{
    char *deep = mem_array(char, 40000);
    memset(deep, '[', 10000);
    memcpy(deep, "{\"a\":", 5);
    cr_expect_null(jtree_parse(slice_from(deep, 10000)));
    mem_free(deep);
    char *large = mem_array(char, JTREE_MAX_BYTES + 2);
    memset(large, ' ', JTREE_MAX_BYTES + 1);
    memcpy(large, "{}", 2);
    json_t *tree = jtree_parse(slice_from(large, JTREE_MAX_BYTES));
    cr_expect_not_null(tree);
    json_decref(tree);
    cr_expect_null(jtree_parse(slice_from(large, JTREE_MAX_BYTES + 1)));
    mem_free(large);
}

Test(jtree, a_date_is_a_whole_number_of_seconds)
{
    static const struct {
        const char *value;
        int64_t date; // -1: refused
    } table[] = {
        {"0", 0},
        {"1795499329", 1795499329},
        {"9007199254740992", (int64_t)1 << 53},
        {"9007199254740993", -1},
        {"-1", -1},
        {"1.0", -1},
        {"1e3", -1},
        {"\"1\"", -1},
        {"true", -1},
        {"null", -1},
        {"[1]", -1},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char text[64];
        int64_t date = -1;
        (void)snprintf(text, sizeof(text), "{\"exp\":%s}", table[i].value);
        json_t *tree = jtree_parse(slice_of(text));
        cr_assert_not_null(tree);
        cr_expect_eq(jtree_date(tree, "exp", &date), table[i].date >= 0, "%s", text);
        cr_expect_eq(date, table[i].date, "%s", text);
        cr_expect_not(jtree_date(tree, "nbf", &date));
        json_decref(tree);
    }
}
