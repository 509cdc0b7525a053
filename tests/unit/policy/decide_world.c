// SPDX-License-Identifier: EUPL-1.2
/* See decide_world.h. */
#include "decide_world.h"

#include "base/hash.h"
#include "policy/compile.h"

static const struct slice tax_groups[] = {SLICE_INIT("tax"), SLICE_INIT("all")};
const struct facts_user tax_officer = {.id = SLICE_INIT("fas:1"),
                                       .subject = SLICE_INIT("1"),
                                       .provider = SLICE_INIT("fas"),
                                       .groups = {tax_groups, 2},
                                       .acr_level = 300};
const struct facts_device laptop = {.id = SLICE_INIT("laptops:7"),
                                    .authority = SLICE_INIT("laptops"),
                                    .trust = SLICE_INIT("managed")};

static struct pattern make_pattern(struct arena *a, struct slice text)
{
    struct pattern p = {.text = text, .segments = arena_array(a, struct pattern_segment, 64)};
    struct slice rest = slice_skip(text, 1);
    if (text.len == 1)
        return p;
    for (bool more = true; more;) {
        more = memchr(rest.ptr, '/', rest.len) != NULL;
        struct slice s = slice_cut(&rest, '/');
        const char *star = s.len ? memchr(s.ptr, '*', s.len) : NULL;
        struct pattern_segment *out = &p.segments[p.count++];
        if (slice_eq(s, SLICE("**")))
            out->kind = PATTERN_REST;
        else if (slice_eq(s, SLICE("*")) || (s.len && s.ptr[0] == '{'))
            out->kind = PATTERN_ONE;
        else if (star)
            *out = (struct pattern_segment){PATTERN_GLOB, slice_from(s.ptr, star - s.ptr),
                                            slice_skip(s, star - s.ptr + 1)};
        else
            *out = (struct pattern_segment){PATTERN_TEXT, s, {0}};
    }
    return p;
}

static void make_rule(struct arena *a, struct rule *out, const struct spec *spec)
{
    struct findings findings;
    findings_init(&findings);
    *out = (struct rule){.id = slice_of(spec->id),
                         .effect = spec->effect,
                         .methods = spec->methods,
                         .remedy = spec->remedy,
                         .is_shadow = spec->is_shadow,
                         .expires_s = spec->expires_s,
                         .reason = arena_array(a, struct slice, LANGUAGE_COUNT),
                         .when_text = slice_of(spec->when)};
    if (spec->other_method) {
        struct slice *name = arena_new(a, struct slice);
        *name = slice_of(spec->other_method);
        out->other_methods = (struct slices){name, 1};
    }
    if (spec->paths) {
        struct slice rest = slice_of(spec->paths);
        out->paths = arena_array(a, struct pattern, 8);
        while (rest.len)
            out->paths[out->path_count++] = make_pattern(a, slice_cut(&rest, ' '));
    }
    if (spec->when) {
        out->when = cel_compile(a, out->when_text, (struct place){.line = 1}, &findings);
        if (!out->when)
            findings_print(&findings, stderr);
        cr_assert(out->when, "%s", spec->when);
    }
    findings_fini(&findings);
}

void world_init(struct world *w, const struct spec *specs, uint32_t count,
                struct path_options options)
{
    base_init();
    *w = (struct world){0};
    arena_init(&w->bundle.arena, NULL);
    w->app = (struct application){.id = SLICE("desk"),
                                  .host = SLICE("desk.localhost"),
                                  .paths = options,
                                  .rule_list = arena_array(&w->bundle.arena, struct rule, count),
                                  .rule_count = count};
    for (uint32_t i = 0; i < count; i++)
        make_rule(&w->bundle.arena, &w->app.rule_list[i], &specs[i]);
    w->bundle.applications = &w->app;
    w->bundle.application_count = 1;
    bundle_compile(&w->bundle);
    w->facts = (struct facts){.app = &w->app, .request = &w->request};
}

void world_charter(struct world *w, const struct spec *specs, uint32_t count)
{
    struct baseline *b = &w->charter.baseline;
    arena_init(&w->charter.arena, NULL);
    b->requirements = arena_array(&w->charter.arena, struct rule, count);
    b->forbids = arena_array(&w->charter.arena, struct rule, count);
    for (uint32_t i = 0; i < count; i++)
        make_rule(&w->charter.arena,
                  specs[i].effect == RULE_REQUIRE ? &b->requirements[b->requirement_count++]
                                                  : &b->forbids[b->forbid_count++],
                  &specs[i]);
    charter_compile(&w->charter);
    w->snapshot = (struct snapshot){.number = 7, .baseline = b};
}

void world_fini(struct world *w)
{
    arena_fini(&w->bundle.arena);
    arena_fini(&w->charter.arena);
}

void ask_for(struct world *w, enum method method, const char *target)
{
    w->request =
        (struct request){.method = method, .method_name = SLICE("PROPFIND"), .host = w->app.host};
    cr_assert_eq(target_parse(&w->request, slice_of(target), w->app.paths, &w->bundle.arena),
                 REASON_PERMITTED, "%s", target);
}

bool decisions_eq(const struct decision *a, const struct decision *b)
{
    return a->verdict == b->verdict && a->reason == b->reason && slice_eq(a->rule, b->rule) &&
           a->named == b->named && slice_eq(a->missing, b->missing) && a->is_fault == b->is_fault &&
           slice_eq(a->faulty_rule, b->faulty_rule) && a->needs_acr_level == b->needs_acr_level &&
           a->snapshot == b->snapshot && a->is_baseline == b->is_baseline &&
           a->explanations == b->explanations && a->valid_until_s == b->valid_until_s &&
           a->shadow.differs == b->shadow.differs && a->shadow.verdict == b->shadow.verdict &&
           slice_eq(a->shadow.rule, b->shadow.rule);
}

struct decision decided(const struct world *w)
{
    struct decision quick, slow;
    memset(&quick, 0xff, sizeof(quick));
    memset(&slow, 0xff, sizeof(slow));
    decide(&w->snapshot, &w->facts, &quick);
    decide_slowly(&w->snapshot, &w->facts, &slow);
    cr_assert(decisions_eq(&quick, &slow));
    return quick;
}
