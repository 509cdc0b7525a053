// SPDX-License-Identifier: EUPL-1.2
/* Documents from anybody, set alike. What comes out is YAML that says the same, by a comparison of
 * our own here; has every comment's sign that the text had, at least as lines begin with it; ends
 * with one line's end; and doing it again comes to an end. What can't be set has a finding. */
#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "policy/fmt.h"
#include "tests/fuzz/yaml_leak.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct yaml *a, const struct yaml *b)
{
    assert(yaml_kind(a) == yaml_kind(b) && yaml_count(a) == yaml_count(b));
    if (yaml_kind(a) == YAML_SCALAR)
        assert(slice_eq(yaml_text(a), yaml_text(b)) && yaml_is_plain(a) == yaml_is_plain(b));
    for (size_t i = 0; yaml_kind(a) == YAML_LIST && i < yaml_count(a); i++)
        compare(yaml_item(a, i), yaml_item(b, i));
    for (size_t i = 0; yaml_kind(a) == YAML_MAP && i < yaml_count(a); i++) {
        compare(yaml_key(a, i), yaml_key(b, i));
        compare(yaml_value(a, i), yaml_value(b, i));
    }
}

/* Lines that begin with the sign of a comment, also those that are part of a text. */
static size_t count_comments(struct slice text)
{
    size_t count = 0;
    while (text.len) {
        const struct slice line = slice_trim(slice_cut(&text, '\n'));
        count += line.len && line.ptr[0] == '#';
    }
    return count;
}

static void check(struct slice in, struct slice out)
{
    struct findings f;
    struct slice again, third;
    findings_init(&f);
    struct yaml_doc *a = yaml_parse(in, "in", &f);
    struct yaml_doc *b = yaml_parse(out, "out", &f);
    assert(a && b);
    compare(yaml_root(a), yaml_root(b));
    assert(count_comments(in) == count_comments(out));
    assert(out.len && out.ptr[out.len - 1] == '\n');
    const bool is_good = policy_fmt(out, "again", &again, &f);
    assert(is_good);
    if (!slice_eq(out, again)) { /* the blanks of a text that is empty go the second time */
        const bool is_settled = policy_fmt(again, "a third time", &third, &f);
        assert(is_settled && slice_eq(again, third));
        mem_slice_free(&third);
    }
    mem_slice_free(&again);
    yaml_free(a);
    yaml_free(b);
    findings_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice in = slice_from(data, size);
    struct findings f;
    struct slice out;
    base_init();
    findings_init(&f);
    const bool is_made = policy_fmt(in, "fuzz.yaml", &out, &f);
    assert(is_made == (f.errors == 0));
    findings_fini(&f);
    if (is_made) {
        check(in, out);
        mem_slice_free(&out);
    }
    return 0;
}
