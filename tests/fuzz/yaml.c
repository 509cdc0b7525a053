// SPDX-License-Identifier: EUPL-1.2
/* YAML from anybody. A document that is given has no errors, no deeper nesting than stated, a place
 * in each node that lies within the text, and no key twice; one that is not given has a finding. */
#include "base/yaml.h"

#include <assert.h>

#include "base/hash.h"
#include "tests/fuzz/yaml_leak.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct yaml *n, uint32_t depth, size_t size)
{
    assert(depth <= YAML_MAX_DEPTH + 1);
    const struct place place = yaml_place(n);
    assert(place.line >= 1 && place.line <= size + 2 && place.column >= 1);
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (yaml_kind(n) == YAML_LIST) {
            check(yaml_item(n, i), depth + 1, size);
            continue;
        }
        const struct yaml *key = yaml_key(n, i);
        assert(yaml_kind(key) == YAML_SCALAR);
        assert(yaml_get(n, yaml_text(key)) == yaml_value(n, i));
        check(yaml_value(n, i), depth + 1, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct findings findings;
    base_init();
    findings_init(&findings);
    struct yaml_doc *doc = yaml_parse(slice_from(data, size), "fuzz.yaml", &findings);
    assert((doc != NULL) == (findings.errors == 0));
    if (doc)
        check(yaml_root(doc), 1, size);
    yaml_free(doc);
    findings_fini(&findings);
    return 0;
}
