// SPDX-License-Identifier: EUPL-1.2
/* An entity's document, from text to the typed model, top to bottom: head, providers, authorities,
 * applications, tests, and what is there without use. Each part reads all it can and reports all it
 * finds; only a document without any error becomes a bundle. The parts are in load_*.c. */
#include "policy/bundle.h"

#include "base/mem.h"
#include "policy/load_in.h"

static void warn_unused_providers(struct loader *l, const struct yaml *list)
{
    const struct bundle *b = l->bundle;
    bool *is_used = arena_array(l->a, bool, b->provider_count + 1);
    for (uint32_t i = 0; i < b->application_count; i++)
        for (uint32_t k = 0; k < b->applications[i].provider_count; k++)
            is_used[b->applications[i].providers[k] - b->providers] = true;
    for (uint32_t i = 0; i < b->provider_count; i++)
        if (!is_used[i] && b->providers[i].id.len)
            findings_warn(l->out, yaml_place(yaml_item(list, i)), "unused",
                          "no application uses the identity provider '%.*s'",
                          SLICE_ARG(b->providers[i].id));
}

/* An authority has no list of applications: it counts wherever a certificate is asked for. */
static void warn_unused_authorities(struct loader *l, const struct yaml *list)
{
    const struct bundle *b = l->bundle;
    for (uint32_t i = 0; i < b->application_count; i++)
        if (b->applications[i].device != DEVICE_NONE)
            return;
    for (uint32_t i = 0; i < b->authority_count; i++)
        if (b->authorities[i].id.len)
            findings_warn(l->out, yaml_place(yaml_item(list, i)), "unused",
                          "no application asks for a certificate, so '%.*s' is not used",
                          SLICE_ARG(b->authorities[i].id));
}

static void load_mode(struct loader *l, const struct yaml *root)
{
    static const struct slice modes[] = {SLICE_INIT("shadow")};
    struct bundle *b = l->bundle;
    uint32_t choice;
    b->is_shadow = load_choice(l, root, "mode", LOAD_OPTIONAL, modes, COUNT_OF(modes), &choice);
    b->name = b->is_shadow ? arena_printf(l->a, "%.*s.shadow", SLICE_ARG(b->entity)) : b->entity;
}

static void load_bundle(struct loader *l, const struct yaml *root)
{
    static const struct slice keys[] = {SLICE_INIT("belfry"),
                                        SLICE_INIT("entity"),
                                        SLICE_INIT("serial"),
                                        SLICE_INIT("not_after"),
                                        SLICE_INIT("mode"),
                                        SLICE_INIT("identity_providers"),
                                        SLICE_INIT("device_authorities"),
                                        SLICE_INIT("sets"),
                                        SLICE_INIT("sign_in"),
                                        SLICE_INIT("applications"),
                                        SLICE_INIT("tests")};
    struct bundle *b = l->bundle;
    if (yaml_kind(root) != YAML_MAP) {
        findings_error(l->out, yaml_place(root), "wrong-kind", "a bundle must be a map");
        return;
    }
    if (!load_head(l, root, "entity/v1", &b->serial, &b->not_after_s))
        return; /* of a document of another kind every key would be wrong */
    (void)yaml_check_keys(root, "a bundle", keys, COUNT_OF(keys), l->out);
    (void)load_id(l, root, "entity", &b->entity);
    load_mode(l, root);
    load_sets(l, root);
    load_providers(l, root);
    load_authorities(l, root);
    load_applications(l, root);
    load_tests(l, root);
    warn_unused_providers(l, yaml_get(root, SLICE("identity_providers")));
    warn_unused_authorities(l, yaml_get(root, SLICE("device_authorities")));
}

struct bundle *bundle_load(struct slice text, const char *file, struct slice dir,
                           struct findings *out)
{
    const size_t errors = out->errors;
    struct yaml_doc *doc = yaml_parse(text, file, out);
    if (!doc)
        return NULL;
    struct bundle *b = mem_new(struct bundle);
    arena_init(&b->arena, NULL);
    struct loader l = {.a = &b->arena, .out = out, .text = text, .dir = dir, .bundle = b};
    map_init(&l.providers);
    load_bundle(&l, yaml_root(doc));
    map_fini(&l.providers);
    yaml_free(doc);
    if (out->errors == errors)
        return b;
    bundle_free(b);
    return NULL;
}

void bundle_free(struct bundle *b)
{
    if (!b)
        return;
    arena_fini(&b->arena);
    mem_free(b);
}
