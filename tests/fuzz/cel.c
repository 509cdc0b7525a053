// SPDX-License-Identifier: EUPL-1.2
/* Any bytes as a condition: compiling ends in a condition or in a finding, never in both or
 * neither; a second time gives the same; and what compiles runs, the same way twice, within its
 * cost and without telling of anything wrong unless the outcome is an error. As an expression of
 * any type its value is printed, read again, and printed the same. */
#include <assert.h>

#include "policy/bundle.h"
#include "policy/cel_eval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice members[] = {SLICE_INIT("a"), SLICE_INIT("b")};
static const struct cel_set sets[] = {{SLICE_INIT("ab"), {members, 2}}};
static const struct cel_names names = {.sets = sets, .set_count = 1};

struct compiled {
    struct arena arena;
    struct findings findings;
    struct cel *cel;
};

static void compiled_init(struct compiled *c, struct slice text)
{
    arena_init(&c->arena, NULL);
    findings_init(&c->findings);
    c->cel = cel_compile_with(&c->arena, &names, text,
                              (struct place){.file = "f", .line = 1, .column = 1}, &c->findings);
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
    assert((outcome == CEL_IS_ERROR) == (x.missing.len > 0 || x.error));
    assert(x.error == y.error);
    assert(facts->user || !x.missing.len || x.missing.ptr[0] != 'u' || x.lacks_user);
}

/* What is printed is an expression of that value again, but for what CEL has no word for. */
static void print_and_read(struct slice text, const struct facts *facts)
{
    const struct place at = {.file = "f", .line = 1, .column = 1};
    struct slice json, printed, again_json, again;
    struct cel_run run = {.assume_acr_level = false};
    struct findings findings;
    struct arena a;
    arena_init(&a, NULL);
    findings_init(&findings);
    const struct cel *c = cel_compile_any(&a, &names, text, at, &findings);
    if (c && cel_eval(&a, c, facts, &run, &json, &printed)) {
        const struct slice type = cel_type_text(&a, c);
        const bool has_word = !memmem(printed.ptr, printed.len, "NaN", 3) &&
                              !memmem(printed.ptr, printed.len, "Infinity", 8) &&
                              !memmem(printed.ptr, printed.len, "google", 6) &&
                              !memmem(printed.ptr, printed.len, "net.", 4) &&
                              !memmem(type.ptr, type.len, "anything", 8) &&
                              printed.len <= CEL_MAX_TEXT_BYTES;
        const struct cel *d = has_word ? cel_compile_any(&a, &names, printed, at, &findings) : NULL;
        /* A deep or wide value may be more than a condition may say. */
        if (d && slice_eq(cel_type_text(&a, d), type)) {
            assert(cel_eval(&a, d, facts, &run, &again_json, &again));
            assert(slice_eq(json, again_json) && slice_eq(printed, again));
        }
    }
    findings_fini(&findings);
    arena_fini(&a);
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
    struct facts facts = {.user = &user,
                          .device = &device,
                          .app = &app,
                          .request = &request,
                          .client_address = SLICE("10.1.2.3"),
                          .now = {1774996215}};
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
    facts.user = &user;
    facts.device = &device;
    print_and_read(text, &facts);
    compiled_fini(&second);
    compiled_fini(&first);
    return 0;
}
