// SPDX-License-Identifier: EUPL-1.2
/* Every fact that notes hold comes back as it was, and what had no room is not guessed. */
#include "policy/fact_notes.h"

#include <criterion/criterion.h>

#include "base/hash.h"
#include "policy/bundle.h"
#include "policy/cel_in.h"
#include "policy/compile.h"

static struct arena arena;
static struct slice list[] = {SLICE_INIT("a"), SLICE_INIT(""), SLICE_INIT("b\0c")};
static struct slice pairs[] = {SLICE_INIT("room"), SLICE_INIT("B12"), SLICE_INIT("stage"),
                               SLICE_INIT("1")};
static struct slice header = SLICE_INIT("x-case");
static struct field fields[] = {{SLICE_INIT("X_Case"), SLICE_INIT("12")},
                                {SLICE_INIT("x-other"), SLICE_INIT("no")}};
static struct facts_user user;
static struct facts_device device;
static struct facts_session session;
static struct request request;
static struct rules rules;
static struct application app;
static struct facts facts;
static bool lacks_session; /* as read back */

static void begin(void)
{
    const struct slices texts = {list, 3};
    base_init();
    arena_init(&arena, NULL);
    user = (struct facts_user){.id = SLICE("fas:anna"),
                               .subject = SLICE("anna"),
                               .client_id = SLICE("portal"),
                               .acr = SLICE("urn:x"),
                               .groups = texts,
                               .scopes = texts,
                               .amr = texts};
    device = (struct facts_device){.common_name = SLICE("pc"),
                                   .issuer = SLICE("CN=x"),
                                   .subject = texts,
                                   .organizational_units = texts,
                                   .dns_names = texts,
                                   .uris = texts,
                                   .emails = texts,
                                   .key_type = SLICE("EC"),
                                   .key_bits = 256,
                                   .not_after = {1800000000},
                                   .owner = SLICE("anna"),
                                   .model = SLICE("m"),
                                   .compliant = SAID_NO,
                                   .last_seen = {1700000000},
                                   .attributes = {pairs, 2}};
    session = (struct facts_session){.began = {900}, .authenticated_at = {400}, .methods = texts};
    request = (struct request){
        .query = SLICE("a=b"), .has_query = true, .fields = fields, .field_count = 2};
    rules = (struct rules){.reads = ~0ull, .headers = {&header, 1}};
    app = (struct application){.rules = &rules};
    facts = (struct facts){.user = &user,
                           .device = &device,
                           .session = &session,
                           .request = &request,
                           .app = &app,
                           .now = {1000}};
}

static void end(void)
{
    arena_fini(&arena);
}

TestSuite(fact_notes, .init = begin, .fini = end);

static struct slice written(bool has_groups)
{
    char *room = arena_bytes(&arena, FACT_NOTES_MAX);
    rules.reads &= CEL_BIT_HEADERS | (CEL_BIT_HEADERS - 1);
    return slice_from(room, fact_notes_write(room, NULL, &facts, NULL, has_groups));
}

/* Read into facts of their own: whether all of them are the same as those that were written. */
static uint64_t read_back(struct slice notes, uint64_t *same, struct slices *headers)
{
    static struct facts_user u;
    static struct facts_device d;
    static struct facts_session s;
    static struct request r;
    u = (struct facts_user){.id = SLICE("")};
    d = (struct facts_device){.id = SLICE("")};
    r = (struct request){.query = SLICE("")};
    s = (struct facts_session){.began = {0}};
    lacks_session = false;
    const struct wall now = {5000}; /* by another clock: ages are as old */
    const struct fact_parts into = {&u, &d, &r, &s, &lacks_session, now};
    const struct facts back = {
        .user = &u, .device = &d, .session = &s, .request = &r, .app = &app, .now = now};
    const uint64_t known = fact_notes_read(notes, &into, headers, &arena);
    *same = 0;
    for (uint32_t i = 0; i < CEL_FACT_COUNT; i++) {
        union cel_value a, b;
        if (!(known >> i & 1))
            continue;
        const bool has = cel_fact_has_root(&facts, (enum cel_fact)i) &&
                         cel_fact_read(&facts, (enum cel_fact)i, &a);
        if (has == cel_fact_read(&back, (enum cel_fact)i, &b) &&
            (!has || cel_equal(a, b, cel_fact_type((enum cel_fact)i))))
            *same |= 1ull << i;
    }
    return known;
}

Test(fact_notes, give_back_every_fact_that_only_they_can_hold)
{
    struct slices headers;
    uint64_t same;
    const uint64_t known = read_back(written(false), &same, &headers);
    cr_expect_eq(known | CEL_BIT_HEADERS, fact_notes_alone(&facts), "%llx",
                 (unsigned long long)(known ^ fact_notes_alone(&facts)));
    cr_expect_eq(known & ~same & ~CEL_BIT(request_query_parameters), 0);
    cr_assert_eq(headers.count, 1);
    cr_expect(slice_eq(headers.at[0], header));
}

Test(fact_notes, tell_what_was_missing)
{
    struct slices headers;
    uint64_t same;
    user.acr = SLICE("");
    device.compliant = SAID_NOTHING;
    session.authenticated_at.s = 0;
    device.attributes = (struct slices){NULL, 0};
    request = (struct request){.field_count = 0};
    const uint64_t known = read_back(written(false), &same, &headers);
    cr_expect_eq(known | CEL_BIT_HEADERS, fact_notes_alone(&facts));
    cr_expect_eq(known & ~same & ~CEL_BIT(request_query_parameters), 0);
    cr_expect_eq(headers.count, 1, "the header was looked for");
}

Test(fact_notes, tell_that_there_was_no_session)
{
    struct slices headers;
    uint64_t same;
    const uint64_t of_session =
        CEL_BIT(session_age) | CEL_BIT(session_authentication_age) | CEL_BIT(session_methods);
    rules.headers.count = 0;
    rules.reads = CEL_BIT(session_age);
    (void)read_back(written(true), &same, &headers);
    cr_expect_not(lacks_session);
    facts.session = NULL;
    cr_expect_eq(read_back(written(true), &same, &headers), of_session);
    cr_expect(lacks_session);
    facts.user = NULL;
    cr_expect_eq(written(true).len, 0, "the line says that there is nobody");
}

Test(fact_notes, hold_what_rules_name_and_nothing_else)
{
    struct slices headers;
    uint64_t same;
    rules.headers.count = 0;
    rules.reads =
        CEL_BIT(user_provider) | CEL_BIT(device_id) | CEL_BIT(request_path) | CEL_BIT(user_groups);
    cr_expect_eq(written(true).len, 0, "the line has all of that");
    rules.reads = CEL_BIT(user_scopes) | CEL_BIT(request_query_parameters) | CEL_BIT(user_groups);
    cr_expect_eq(read_back(written(true), &same, &headers),
                 CEL_BIT(user_scopes) | CEL_BIT(request_query) | CEL_BIT(request_query_parameters));
    facts.user = NULL;
    rules.reads = CEL_BIT(user_scopes);
    cr_expect_eq(written(true).len, 0, "the line says that there is nobody");
}

Test(fact_notes, say_what_had_no_room_and_go_on)
{
    struct slices headers;
    uint64_t same;
    static char large[FACT_NOTES_MAX];
    memset(large, 'x', sizeof large);
    user.client_id = slice_from(large, sizeof large);
    rules.reads = CEL_BIT(user_client_id) | CEL_BIT(user_scopes);
    rules.headers.count = 0;
    const struct slice notes = written(true);
    cr_expect(fact_notes_are_cut(notes));
    cr_expect_eq(read_back(notes, &same, &headers), CEL_BIT(user_scopes));
    user.client_id = SLICE("portal");
    cr_expect_not(fact_notes_are_cut(written(true)));
}

Test(fact_notes, that_are_cut_or_strange_say_no_more_than_they_hold)
{
    struct slices headers;
    uint64_t same;
    const struct slice notes = written(false);
    uint64_t before = 0;
    for (size_t len = 0; len <= notes.len; len++) {
        char *exact = arena_bytes(&arena, len + 1);
        memcpy(exact, notes.ptr, len);
        const uint64_t known = read_back(slice_from(exact, len), &same, &headers);
        cr_expect_eq(known & before, before, "%zu bytes", len);
        cr_expect_eq(known & ~same & ~CEL_BIT(request_query_parameters), 0, "%zu bytes", len);
        before = known;
    }
    char *other = arena_bytes(&arena, notes.len);
    memcpy(other, notes.ptr, notes.len);
    other[0] = 2;
    cr_expect_eq(read_back(slice_from(other, notes.len), &same, &headers), 0);
}
