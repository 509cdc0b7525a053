// SPDX-License-Identifier: EUPL-1.2
/* Any bytes as a condition: compiling ends in a condition or in a finding, never in both or
 * neither; a second time gives the same; and what compiles runs, the same way twice, within its
 * cost and without telling of anything missing unless the outcome is an error. */
#include <assert.h>

#include "policy/bundle.h"
#include "policy/cel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct compiled {
    struct arena arena;
    struct findings findings;
    struct cel *cel;
};

static void compiled_init(struct compiled *c, struct slice text)
{
    arena_init(&c->arena, NULL);
    findings_init(&c->findings);
    c->cel = cel_compile(&c->arena, text, (struct place){.file = "f", .line = 1, .column = 1},
                         &c->findings);
    assert((c->cel != NULL) == (c->findings.errors == 0));
}

static void compiled_fini(struct compiled *c)
{
    findings_fini(&c->findings);
    arena_fini(&c->arena);
}

static void check_same(const struct compiled *a, const struct compiled *b)
{
    assert(!a->cel == !b->cel);
    assert(a->findings.count == b->findings.count && a->findings.errors == b->findings.errors);
    for (size_t i = 0; i < a->findings.count; i++) {
        const struct finding *x = &a->findings.at[i];
        const struct finding *y = &b->findings.at[i];
        assert(strcmp(x->text, y->text) == 0 && strcmp(x->code, y->code) == 0);
        assert(x->place.line == y->place.line && x->place.column == y->place.column);
    }
}

static void run_both(const struct compiled *a, const struct compiled *b, const struct facts *facts)
{
    struct cel_run x = {.assume_acr_level = false};
    struct cel_run y = {.assume_acr_level = false};
    const enum cel_outcome outcome = cel_test(a->cel, facts, &x);
    assert(outcome == cel_test(b->cel, facts, &y));
    assert(slice_eq(x.missing, y.missing));
    assert(x.lacks_user == y.lacks_user && x.lacks_device == y.lacks_device);
    // Nothing but a missing fact is an error in this subset.
    assert((outcome == CEL_IS_ERROR) == (x.missing.len > 0));
    assert(facts->user || outcome != CEL_IS_ERROR || x.missing.ptr[0] != 'u' || x.lacks_user);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct slice groups[] = {SLICE_INIT("a"), SLICE_INIT("tax-officers")};
    static struct slice segments[] = {SLICE_INIT("a"), SLICE_INIT("b")};
    const struct facts_user user = {.id = SLICE("fas:u"),
                                    .subject = SLICE("u"),
                                    .provider = SLICE("fas"),
                                    .groups = {groups, 2},
                                    .acr_level = 400};
    const struct facts_device device = {.id = SLICE("laptops:L"), .trust = SLICE("managed")};
    const struct application app = {.id = SLICE("tax-desk"), .entity = SLICE("finance")};
    const struct request request = {.method_name = SLICE("GET"),
                                    .host = SLICE("tax.localhost"),
                                    .decoded_path = SLICE("/a/b"),
                                    .path = {.segments = segments, .segment_count = 2}};
    struct facts facts = {.user = &user, .device = &device, .app = &app, .request = &request};
    const struct slice text = slice_from(data, size);
    struct compiled first;
    struct compiled second;
    compiled_init(&first, text);
    compiled_init(&second, text);
    check_same(&first, &second);
    if (first.cel) {
        assert(cel_cost(first.cel) >= 1 && cel_cost(first.cel) <= CEL_MAX_COST);
        assert(cel_cost(first.cel) == cel_cost(second.cel));
        run_both(&first, &second, &facts);
        facts.user = NULL;
        facts.device = NULL;
        run_both(&first, &second, &facts);
    }
    compiled_fini(&second);
    compiled_fini(&first);
    return 0;
}
