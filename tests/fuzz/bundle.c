// SPDX-License-Identifier: EUPL-1.2
/* Bundles from anywhere, as they come from the store. Properties: one without findings of error
 * loads and one with does not; what loaded names no files, so it is inlined to itself; and what
 * must hold of every model does. */
#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"
#include "policy/bundle.h"
#include "policy/host.h"
#include "tests/fuzz/yaml_leak.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rule(const struct rule *rule)
{
    assert(rule->id.len && (rule->when || !rule->when_text.len));
    assert(rule->other_methods.count == 0 || rule->methods & 1u << METHOD_OTHER);
    for (uint32_t i = 0; i < rule->path_count; i++) {
        const struct pattern *p = &rule->paths[i];
        for (uint32_t k = 0; k < p->count; k++)
            assert(p->segments[k].kind != PATTERN_REST || k + 1 == p->count);
    }
}

static void check_upstream(const struct application *app, const struct upstream *u)
{
    assert(u->text.len && u->port);
    assert(!u->host.len == (u->address_len > 0)); /* a name or an address, never both */
    assert(upstream_is_tls(u) == (app->tls.ca_pem.len > 0));
    assert(!upstream_is_tls(u) || app->tls.name.len || u->host.len);
}

static void check_application(const struct application *app)
{
    char room[HOST_MAX];
    struct slice host;
    uint16_t port;
    assert(host_parse(app->host, room, &host, &port) && slice_eq(host, app->host) && !port);
    assert(app->upstream_count && app->max_body_bytes);
    for (uint32_t i = 0; i < app->upstream_count; i++)
        check_upstream(app, &app->upstreams[i]);
    for (uint32_t i = 0; i < app->rule_count; i++)
        check_rule(&app->rule_list[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct findings f;
    struct slice text = slice_from(data, size), inlined;
    base_init();
    findings_init(&f);
    struct bundle *b = bundle_load(text, "fuzz.yaml", SLICE(""), &f);
    assert((b != NULL) == (f.errors == 0));
    if (b) {
        assert(b->entity.len && b->serial >= 1);
        for (uint32_t i = 0; i < b->application_count; i++)
            check_application(&b->applications[i]);
        assert(bundle_inline(text, "fuzz.yaml", SLICE(""), &inlined, &f) &&
               slice_eq(inlined, text));
        mem_slice_free(&inlined);
    }
    findings_fini(&f);
    bundle_free(b);
    return 0;
}
