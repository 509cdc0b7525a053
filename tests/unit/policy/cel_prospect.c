// SPDX-License-Identifier: EUPL-1.2
/* What a review says of conditions: what can't be true is found, and whatever is said is so on all
 * facts that were tried: generated conditions over few facts with few values, so that most of what
 * is generated comes near to its own limits. The seed is fixed. */
#include <criterion/criterion.h>

#include "base/buf.h"
#include "belfry/request.h"
#include "policy/cel.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CONDITIONS 20000
#define TRIALS 60

static struct cel *compile(struct arena *a, const char *text)
{
    struct findings f;
    findings_init(&f);
    struct cel *c = cel_compile(a, slice_of(text), (struct place){0}, &f);
    if (!c)
        findings_print(&f, stderr);
    findings_fini(&f);
    return c;
}

static const struct {
    const char *text;
    enum cel_prospect prospect;
    const char *about;
} table[] = {
    {"user.acr_level >= 400 && user.acr_level < 300", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"400 <= user.acr_level && user.acr_level < 400", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"user.acr_level > 3 && user.acr_level < 4", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"user.acr_level != 3 && user.acr_level == 3", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"user.acr_level in [1, 2] && user.acr_level > 2", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"user.acr_level > 9223372036854775807", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"!(user.acr_level < 300) && !(user.acr_level >= 300)", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"user.id == \"a\" && user.id == \"b\"", CEL_IS_NEVER_TRUE, "user.id"},
    {"user.id == \"a\" && user.id != \"a\"", CEL_IS_NEVER_TRUE, "user.id"},
    {"user.id in [\"a\", \"b\"] && !(user.id in [\"b\", \"a\", \"c\"])", CEL_IS_NEVER_TRUE,
     "user.id"},
    {"(user.id == \"a\" || user.id == \"b\") && user.id == \"c\"", CEL_IS_NEVER_TRUE, "user.id"},
    {"user.id in []", CEL_IS_NEVER_TRUE, "user.id"},
    {"user.acr_level in []", CEL_IS_NEVER_TRUE, "user.acr_level"},
    {"\"a\" in user.groups && !(\"a\" in user.groups)", CEL_IS_NEVER_TRUE, "user.groups"},
    {"user.acr == \"x\" && !has(user.acr)", CEL_IS_NEVER_TRUE, "user.acr"},
    {"request.time.getHours() >= 24", CEL_IS_NEVER_TRUE, "request.time"},
    {"request.time.getDayOfWeek(\"Europe/Brussels\") == 7", CEL_IS_NEVER_TRUE, "request.time"},
    {"request.time < timestamp(\"2026-01-01T00:00:00Z\") && "
     "request.time > timestamp(\"2027-01-01T00:00:00Z\")",
     CEL_IS_NEVER_TRUE, "request.time"},
    {"size(user.groups) < 0", CEL_IS_NEVER_TRUE, "user.groups"},
    {"user.acr_level > 4 ? user.acr_level < 3 : user.acr_level > 5", CEL_IS_NEVER_TRUE,
     "user.acr_level"},
    {"device.compliant && device.compliant == false", CEL_IS_NEVER_TRUE, "device.compliant"},
    {"1 > 2", CEL_IS_NEVER_TRUE, ""},
    {"size(user.groups) >= 0", CEL_IS_NEVER_FALSE, "user.groups"},
    {"user.acr_level < 400 || user.acr_level >= 300", CEL_IS_NEVER_FALSE, "user.acr_level"},
    {"!(user.id in [])", CEL_IS_NEVER_FALSE, "user.id"},
    {"user.acr_level >= 300 && user.acr_level < 400", CEL_CAN_BE_EITHER, NULL},
    {"user.acr_level >= 400 || user.acr_level < 300", CEL_CAN_BE_EITHER, NULL},
    {"user.acr_level >= 400 && device.key_bits < 300", CEL_CAN_BE_EITHER, NULL},
    {"user.id == \"a\" || user.id == \"b\"", CEL_CAN_BE_EITHER, NULL},
    {"user.id != \"a\" && user.id != \"b\"", CEL_CAN_BE_EITHER, NULL},
    {"user.id == \"a\" && user.subject == \"b\"", CEL_CAN_BE_EITHER, NULL},
    {"\"a\" in user.groups && \"b\" in user.groups", CEL_CAN_BE_EITHER, NULL},
    {"user.groups.exists(g, g == \"a\") && user.groups.exists(g, g == \"b\")", CEL_CAN_BE_EITHER,
     NULL},
    {"has(user.acr) == false", CEL_CAN_BE_EITHER, NULL},
    {"has(user.acr) && user.acr == \"x\"", CEL_CAN_BE_EITHER, NULL},
    {"request.time.getHours() >= 7 && request.time.getHours(\"+02:00\") < 7", CEL_CAN_BE_EITHER,
     NULL},
    {"request.time > timestamp(\"2026-01-01T00:00:00Z\") && "
     "request.time < timestamp(\"2026-01-01T00:00:00.5Z\")",
     CEL_CAN_BE_EITHER, NULL},
};

Test(cel_prospect, what_no_facts_make_true_is_seen)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct arena a;
        struct slice about;
        arena_init(&a, NULL);
        const struct cel *c = compile(&a, table[i].text);
        cr_assert(c, "%s", table[i].text);
        const enum cel_prospect said = cel_prospect(c, &a, &about);
        cr_expect_eq(said, table[i].prospect, "%s: %d", table[i].text, said);
        if (table[i].about)
            cr_expect(slice_eq(about, slice_of(table[i].about)), "%s: about '%.*s'", table[i].text,
                      SLICE_ARG(about));
        arena_fini(&a);
    }
}

Test(cel_prospect, a_condition_has_its_questions_as_parts)
{
    struct arena a;
    const struct cel *const *parts;
    arena_init(&a, NULL);
    const struct cel *c =
        compile(&a, "user.id == \"a\" && !(user.acr_level < 3 || has(user.acr) ? true : false)");
    cr_expect_eq(cel_parts(c, &a, &parts), 5);
    arena_fini(&a);
}

/* ---- generated ---- */

static uint64_t seed = 20261124;
static uint32_t dice(uint32_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % sides;
}

static const char *one_of(const char *const *words, size_t count)
{
    return words[dice((uint32_t)count)];
}
#define ONE_OF(...)                                                                                \
    one_of((const char *const[]){__VA_ARGS__}, COUNT_OF(((const char *const[]){__VA_ARGS__})))

static void add(struct buf *out, const char *text)
{
    cr_assert(buf_add(out, slice_of(text)));
}

static void add_list(struct buf *out, bool is_text)
{
    const uint32_t count = dice(12); /* from 9 on it is searched by halves */
    add(out, "[");
    for (uint32_t i = 0; i < count; i++) {
        add(out, i ? ", " : "");
        add(out, is_text ? ONE_OF("\"a\"", "\"b\"", "\"c\"", "\"\"") : ONE_OF("-1", "0", "1", "2"));
    }
    add(out, "]");
}

static void add_question(struct buf *out)
{
    const char *number =
        ONE_OF("user.acr_level", "size(user.groups)", "size(user.id)", "request.time.getHours()",
               "request.time.getHours(\"+01:00\")", "(user.acr_level + 1)");
    const char *text = ONE_OF("user.id", "user.acr", "request.method");
    switch (dice(10)) {
    case 0:
    case 1:
        add(out, number);
        add(out, ONE_OF(" == ", " != ", " < ", " <= ", " > ", " >= "));
        add(out, ONE_OF("-1", "0", "1", "2", "3", "23", "24"));
        break;
    case 2:
        add(out, ONE_OF("-1", "0", "1", "2", "3"));
        add(out, ONE_OF(" == ", " != ", " < ", " <= ", " > ", " >= "));
        add(out, number);
        break;
    case 3:
        add(out, text);
        add(out, ONE_OF(" == ", " != "));
        add(out, ONE_OF("\"a\"", "\"b\"", "\"GET\"", "user.id"));
        break;
    case 4:
        add(out, text);
        add(out, " in ");
        add_list(out, true);
        break;
    case 5:
        add(out, number);
        add(out, " in ");
        add_list(out, false);
        break;
    case 6:
        add(out, ONE_OF("\"a\" in user.groups", "\"b\" in user.groups", "has(user.acr)",
                        "has(user.client_id)", "user.id < \"b\"", "user.id.startsWith(\"a\")"));
        break;
    case 7:
        add(out, "request.time");
        add(out, ONE_OF(" == ", " != ", " < ", " <= ", " > ", " >= "));
        add(out, ONE_OF("timestamp(0)", "timestamp(1)", "timestamp(\"1970-01-01T00:00:00.5Z\")",
                        "timestamp(86400)"));
        break;
    case 8:
        add(out, ONE_OF("(has(user.acr) == false)", "(has(user.acr) != false)", "(1 < 2)",
                        "(\"a\" == \"b\")", "true", "false", "(user.id == \"a\") == true"));
        break;
    default:
        add(out, "(request.time - timestamp(0)");
        add(out, ONE_OF(" < ", " > ", " == ", " != "));
        add(out, ONE_OF("duration(\"0s\"))", "duration(\"1s\"))", "duration(\"24h\"))"));
    }
}

static void add_condition(struct buf *out, uint32_t depth)
{
    const uint32_t form = depth ? dice(5) : 4;
    if (form == 4) {
        add(out, "(");
        add_question(out);
        add(out, ")");
        return;
    }
    add(out, form == 3 ? "!(" : "(");
    add_condition(out, depth - 1);
    for (uint32_t i = dice(3); form < 2 && i < 3; i++) {
        add(out, form ? " || " : " && ");
        add_condition(out, depth - 1);
    }
    if (form == 2) {
        add(out, " ? ");
        add_condition(out, depth - 1);
        add(out, " : ");
        add_condition(out, depth - 1);
    }
    add(out, ")");
}

static enum cel_outcome try_on_some_facts(const struct cel *c)
{
    static struct slice texts[] = {SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("c")};
    const struct request request = {.method_name = dice(2) ? SLICE("GET") : SLICE("a")};
    const struct facts_user user = {.id = texts[dice(3)],
                                    .acr = dice(2) ? texts[dice(3)] : SLICE(""),
                                    .groups = {texts, dice(4)},
                                    .acr_level = (int64_t)dice(6) - 2};
    const int64_t times[] = {0, 1, 2, 3600, 82800, 86399, 86400};
    const struct facts facts = {
        .user = dice(8) ? &user : NULL, .request = &request, .now = {times[dice(COUNT_OF(times))]}};
    struct cel_run run = {0};
    return cel_test(c, &facts, &run);
}

static uint32_t told;

static void hold(const struct cel *c, struct arena *a, struct slice text)
{
    struct slice about;
    const enum cel_prospect said = cel_prospect(c, a, &about);
    const enum cel_outcome never = said == CEL_IS_NEVER_TRUE ? CEL_IS_TRUE : CEL_IS_FALSE;
    told += said != CEL_CAN_BE_EITHER;
    for (uint32_t i = 0; said != CEL_CAN_BE_EITHER && i < TRIALS; i++)
        cr_assert(try_on_some_facts(c) != never, "never %s? %.*s",
                  never == CEL_IS_TRUE ? "true" : "false", SLICE_ARG(text));
}

Test(cel_prospect, what_is_said_holds_on_all_facts_that_were_tried)
{
    for (uint32_t i = 0; i < CONDITIONS; i++) {
        struct arena a;
        struct buf text;
        const struct cel *const *parts;
        arena_init(&a, NULL);
        buf_init(&text, CEL_MAX_TEXT_BYTES);
        add_condition(&text, 3);
        cr_assert(buf_add(&text, slice_from("", 1)));
        const struct cel *c = compile(&a, buf_slice(&text).ptr);
        cr_assert(c, "%s", buf_slice(&text).ptr);
        hold(c, &a, buf_slice(&text));
        const uint32_t count = cel_parts(c, &a, &parts);
        for (uint32_t k = 0; k < count; k++)
            hold(parts[k], &a, buf_slice(&text));
        buf_fini(&text);
        arena_fini(&a);
    }
    cr_expect_gt(told, CONDITIONS / 2); /* else nothing was tried */
}
