// SPDX-License-Identifier: EUPL-1.2
/* The compiled index held to the plain loop on generated policies. */
#include "decide_world.h"

static uint64_t draw(uint64_t *seed, uint64_t below)
{
    /* splitmix64: the same on every machine. */
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}
#define PICK(seed, table) (table)[draw((seed), sizeof(table) / sizeof(*(table)))]

static const char *const some_paths[] = {
    NULL,        "/",           "/**",         "/a",       "/a/**",     "/a/b",
    "/A/{x}",    "/*/b",        "/a/*/**",     "/x-*",     "/*-1/b",    "/a/x-*/c",
    "/{x}/{y}",  "/b /a/",      "/a/b/c /b",   "/**  /a",  "/\xc3\xa9", "/a;p /b;p/**",
    "/a/b /a/b", "/{x}/b /a/*", "/{x}/{y}/**", "/*;p /*b", "/a/{x} /**"};
static const char *const some_conditions[] = {
    NULL,
    NULL,
    "'tax' in user.groups",
    "'suspended' in user.groups",
    "device.trust == 'managed'",
    "'tax' in user.groups && device.trust == 'managed'",
    "user.acr_level >= 400",
    "user.acr_level >= 450 && 'tax' in user.groups",
    "user.acr == 'high' || user.acr_level == 500",
    "user.acr == 'high'",
    "has(user.acr) && device.common_name == 'x'",
    "service.id == 'robot'",
    "user.acr_level < 400 || device.trust == 'managed'",
    "session.age < duration('60s')",
    "'otp' in session.methods || user.acr_level >= 400",
    "false",
};
static const char *const some_segments[] = {"a",  "b",        "A",        "c",    "x-1",
                                            "",   "\xc3\xa9", "\xc3\x89", "a;p",  "x-1;a=b",
                                            ";p", "z-1",      "a/b",      "b//;p"};
/* Such as an index can find by the texts of a fact. */
static const char *const found_conditions[] = {
    "'tax' in user.groups",
    "'suspended' in user.groups",
    "'nobody' in user.groups",
    "'tax' in user.groups || 'suspended' in user.groups",
    "'suspended' in user.groups && device.trust == 'managed' && user.acr_level >= 400",
    "user.acr_level >= 400 && 'tax' in user.groups",
    "user.id in ['fas:1', 'fas:2']",
    "user.id == 'fas:1' && request.method == 'GET'",
    "device.trust == 'managed'",
    "'managed' == device.trust && user.acr_level >= 450",
    "'x' in device.organizational_units || 'finance' in device.organizational_units",
    "service.id == 'robot'",
    "'read' in user.scopes && has(user.acr)",
    "!('tax' in user.groups)",
    "'tax' in user.groups || device.trust == 'managed'",
};
#define SPECS_MAX 40
static const char *const some_ids[SPECS_MAX] = {
    "r0",  "r1",  "r2",  "r3",  "r4",  "r5",  "r6",  "r7",  "r8",  "r9",
    "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19",
    "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29",
    "r30", "r31", "r32", "r33", "r34", "r35", "r36", "r37", "r38", "r39"};

static void draw_spec(uint64_t *seed, struct spec *out, const char *id)
{
    static const uint32_t methods[] = {ANY, ANY, GET, POST, GET | POST, 1u << METHOD_OTHER};
    *out = (struct spec){.id = id,
                         .effect = draw(seed, 4) ? RULE_PERMIT : RULE_FORBID,
                         .methods = PICK(seed, methods),
                         .other_method = draw(seed, 5) ? NULL : "PROPFIND",
                         .paths = PICK(seed, some_paths),
                         .when = PICK(seed, some_conditions),
                         .remedy = draw(seed, 2) ? REMEDY_NONE : REMEDY_STEP_UP,
                         .is_shadow = !draw(seed, 8),
                         .expires_s = draw(seed, 6) ? 0 : 100 * (int64_t)draw(seed, 3)};
}

/* Mostly a few rules all over the paths; now and then so many on one that they are found by what
 * they ask for. */
static uint32_t draw_specs(uint64_t *seed, struct spec *out)
{
    const bool is_crowd = !draw(seed, 4);
    const char *path = PICK(seed, some_paths);
    const bool has_forbids = draw(seed, 2);
    uint32_t count = (uint32_t)draw(seed, is_crowd ? SPECS_MAX + 1 : 13);
    for (uint32_t i = 0; i < count; i++) {
        draw_spec(seed, &out[i], some_ids[i]);
        if (!is_crowd)
            continue;
        out[i].paths = draw(seed, 8) ? path : out[i].paths;
        out[i].when = draw(seed, 10) ? PICK(seed, found_conditions) : out[i].when;
        out[i].effect = has_forbids ? out[i].effect : RULE_PERMIT;
    }
    return count;
}

static uint32_t draw_baseline(uint64_t *seed, struct spec *out)
{
    static const char *const ids[] = {"b0", "b1", "b2", "b3"};
    uint32_t count = draw(seed, 2) ? 0 : (uint32_t)draw(seed, 5);
    for (uint32_t i = 0; i < count; i++) {
        draw_spec(seed, &out[i], ids[i]);
        out[i].effect = RULE_FORBID;
        if (draw(seed, 2))
            continue;
        out[i].effect = RULE_REQUIRE;
        out[i].methods = ANY;
        out[i].other_method = out[i].paths = NULL;
        out[i].when = out[i].when ? out[i].when : "user.acr_level >= 200";
    }
    return count;
}

/* Segments are set without the parser: the rules may rely on nothing that it refuses. */
static void draw_request(uint64_t *seed, struct world *w, struct slice *segments)
{
    static const enum method methods[] = {METHOD_GET, METHOD_POST, METHOD_OTHER, METHOD_HEAD};
    w->request = (struct request){.method = PICK(seed, methods),
                                  .method_name = draw(seed, 2) ? SLICE("PROPFIND") : SLICE("X"),
                                  .host = w->app.host,
                                  .decoded_path = SLICE("/"),
                                  .path = {.canonical = SLICE("/"), .segments = segments}};
    w->request.path.segment_count = (uint32_t)draw(seed, 5);
    for (uint32_t i = 0; i < w->request.path.segment_count; i++) {
        segments[i] = slice_of(PICK(seed, some_segments));
        w->request.path.has_parameters |= memchr(segments[i].ptr, ';', segments[i].len) != NULL;
    }
}

/* More than have room. */
static const struct slice many_groups[300] = {[7] = SLICE_INIT("tax"), [200] = SLICE_INIT("x")};

static void draw_people(uint64_t *seed, struct world *w)
{
    static const struct slice groups[] = {SLICE_INIT("tax"), SLICE_INIT("suspended")};
    static const int64_t levels[] = {0, 300, 400, 450, 500};
    static const struct slice units[] = {SLICE_INIT("finance")}, scopes[] = {SLICE_INIT("read")};
    static const struct facts_service robot = {.id = SLICE_INIT("robot")};
    static const struct slice methods[] = {SLICE_INIT("otp")};
    static const struct facts_session session = {.began = {40}, .methods = {methods, 1}};
    w->user = tax_officer;
    w->user.groups = (struct slices){groups, (uint32_t)draw(seed, 3)};
    if (!draw(seed, 20))
        w->user.groups = (struct slices){many_groups, draw(seed, 2) ? 300 : 256};
    w->user.acr_level = PICK(seed, levels);
    w->user.acr = draw(seed, 2) ? SLICE("high") : SLICE("");
    w->device = laptop;
    w->device.trust = draw(seed, 2) ? SLICE("managed") : SLICE("private");
    w->device.organizational_units = (struct slices){units, (uint32_t)draw(seed, 2)};
    w->user.scopes = (struct slices){scopes, (uint32_t)draw(seed, 2)};
    w->facts.service = draw(seed, 3) ? NULL : &robot;
    w->facts.user = draw(seed, 3) ? &w->user : NULL;
    w->facts.session = w->facts.user && draw(seed, 2) ? &session : NULL;
    w->facts.device = draw(seed, 3) ? &w->device : NULL;
    w->facts.now.s = 99 + (int64_t)draw(seed, 3);
}

Test(decide, says_what_the_plain_loop_says_on_generated_policies, .timeout = 300)
{
    uint64_t seed = 20260101;
    uint32_t seen[REASON_COUNT] = {0}, differing = 0;
    for (int policy = 0; policy < 5000; policy++) {
        struct spec specs[SPECS_MAX], reversed[SPECS_MAX], baseline[4];
        uint32_t count = draw_specs(&seed, specs);
        struct path_options options = {.fold_case = !draw(&seed, 3),
                                       .allow_encoded_slash = !draw(&seed, 3)};
        for (uint32_t i = 0; i < count; i++)
            reversed[i] = specs[count - 1 - i];
        struct world w, back;
        world_init(&w, specs, count, options);
        world_init(&back, reversed, count, options);
        world_charter(&w, baseline, draw_baseline(&seed, baseline));
        for (int i = 0; i < 20; i++) {
            struct slice segments[8];
            draw_request(&seed, &w, segments);
            draw_people(&seed, &w);
            struct decision quick, slow, turned;
            decide(&w.snapshot, &w.facts, &quick);
            decide_slowly(&w.snapshot, &w.facts, &slow);
            cr_assert(decisions_eq(&quick, &slow),
                      "policy %d, request %d: %d by %.*s, not %d by %.*s", policy, i, quick.reason,
                      SLICE_ARG(quick.rule), slow.reason, SLICE_ARG(slow.rule));
            /* The order of the rules never matters. */
            back.facts = w.facts;
            back.facts.app = &back.app;
            decide(&w.snapshot, &back.facts, &turned);
            cr_assert(turned.verdict == quick.verdict && turned.reason == quick.reason &&
                      turned.shadow.differs == quick.shadow.differs);
            seen[quick.reason]++;
            differing += quick.shadow.differs;
        }
        world_fini(&w);
        world_fini(&back);
    }
    /* The draw is worth something: every outcome came often. */
    cr_expect_geq(differing, 200, "%u", differing);
    static const enum reason all[] = {REASON_PERMITTED,       REASON_DENIED,
                                      REASON_FORBIDDEN,       REASON_IDENTITY_REQUIRED,
                                      REASON_DEVICE_REQUIRED, REASON_ASSURANCE_TOO_LOW};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        cr_expect_geq(seen[all[i]], 200, "reason %d: %u times", all[i], seen[all[i]]);
}
