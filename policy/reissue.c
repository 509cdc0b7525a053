// SPDX-License-Identifier: EUPL-1.2
/* See the header. Both keys stand at the root; each value is one word in the source. */
#include "policy/reissue.h"

#include "base/mem.h"
#include "policy/edit_in.h"

static void replace(struct loader *l, const struct yaml *root, const char *key, struct slice with,
                    struct edits *edits)
{
    const struct yaml *n = load_member(l, root, key, LOAD_REQUIRED);
    if (!n)
        return;
    const struct slice source = load_source_at(l, yaml_place(n).line, yaml_place(n).column);
    const size_t len = edit_scalar_len(source, n);
    if (!len) {
        findings_error(l->out, yaml_place(n), "inline", "write this as '%s: VALUE' on one line",
                       key);
        return;
    }
    const size_t at = (size_t)(source.ptr - l->text.ptr);
    edits_add(edits, (struct edit){at, at + len, with});
}

bool document_reissue(struct slice text, const char *file, int64_t serial, struct slice not_after,
                      struct slice *out, struct findings *f)
{
    const size_t errors = f->errors;
    struct yaml_doc *doc = yaml_parse(text, file, f);
    struct arena a;
    if (!doc)
        return false;
    arena_init(&a, NULL);
    struct loader l = {.a = &a, .out = f, .text = text};
    struct edits edits = {(struct edit[2]){{0}}, 0};
    replace(&l, yaml_root(doc), "serial", arena_printf(&a, "%lld", (long long)serial), &edits);
    if (not_after.len)
        replace(&l, yaml_root(doc), "not_after", not_after, &edits);
    struct buf made;
    buf_init(&made, YAML_MAX_BYTES);
    bool is_good = f->errors == errors;
    if (is_good && !edits_apply(text, &edits, &made)) {
        findings_error(f, yaml_place(yaml_root(doc)), "too-large", "larger than %u bytes",
                       YAML_MAX_BYTES);
        is_good = false;
    }
    if (is_good)
        *out = mem_slice(buf_slice(&made));
    buf_fini(&made);
    arena_fini(&a);
    yaml_free(doc);
    return is_good;
}
