// SPDX-License-Identifier: EUPL-1.2
/* Puts the content of named files into a bundle's text, so that what is signed is whole. Only
 * the form `ca_file: NAME` on one line is edited. */
#include "base/buf.h"
#include "base/mem.h"
#include "policy/edit_in.h"

/* A text of one line in double quotes (YAML 1.2.2 §5.7): it may stand anywhere, also in a flow map.
 */
static struct slice quoted(struct arena *a, struct slice text)
{
    char *out = arena_bytes(a, text.len * 4 + 2);
    size_t len = 0;
    out[len++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = (uint8_t)text.ptr[i];
        if (c == '"' || c == '\\') {
            out[len++] = '\\';
            out[len++] = (char)c;
        } else if (c == '\n') {
            out[len++] = '\\';
            out[len++] = 'n';
        } else if (c < 0x20 || c == 0x7f) {
            out[len++] = '\\';
            out[len++] = 'x';
            out[len++] = "0123456789ABCDEF"[c >> 4];
            out[len++] = "0123456789ABCDEF"[c & 15];
        } else {
            out[len++] = (char)c;
        }
    }
    out[len++] = '"';
    return (struct slice){out, len};
}

/* The member `from` of a map becomes the member `to`, with the file's content. */
static void inline_member(struct loader *l, const struct yaml *map, const char *from,
                          const char *to, struct edits *edits)
{
    for (size_t i = 0; i < yaml_count(map); i++) {
        const struct yaml *key = yaml_key(map, i), *value = yaml_value(map, i);
        struct slice content;
        if (!slice_eq(yaml_text(key), slice_of(from)))
            continue;
        const struct slice key_source =
            load_source_at(l, yaml_place(key).line, yaml_place(key).column);
        const struct slice source =
            load_source_at(l, yaml_place(value).line, yaml_place(value).column);
        const size_t key_len = edit_scalar_len(key_source, key),
                     len = edit_scalar_len(source, value);
        if (!load_file(l, value, &content))
            return;
        if (!key_len || !len || source.ptr < key_source.ptr + key_len) {
            findings_error(l->out, yaml_place(key), "inline",
                           "write this as '%s: NAME' on one line", from);
            return;
        }
        const size_t key_at = (size_t)(key_source.ptr - l->text.ptr),
                     at = (size_t)(source.ptr - l->text.ptr);
        const size_t quote = yaml_is_plain(key) ? 0 : 1; /* quotes stay: {"a":b} needs them */
        edits_add(edits, (struct edit){key_at + quote, key_at + key_len - quote, slice_of(to)});
        edits_add(edits, (struct edit){at, at + len, quoted(l->a, content)});
        return;
    }
}

static void inline_list(struct loader *l, const struct yaml *list, const char *from, const char *to,
                        struct edits *edits)
{
    for (size_t i = 0; i < yaml_count(list); i++)
        if (yaml_kind(yaml_item(list, i)) == YAML_MAP)
            inline_member(l, yaml_item(list, i), from, to, edits);
}

static bool inline_files(struct loader *l, const struct yaml_doc *doc, struct slice *out_text)
{
    const size_t errors = l->out->errors;
    const struct yaml *providers = yaml_get(yaml_root(doc), SLICE("identity_providers"));
    const struct yaml *authorities = yaml_get(yaml_root(doc), SLICE("device_authorities"));
    const struct yaml *applications = yaml_get(yaml_root(doc), SLICE("applications"));
    const size_t most =
        2 * (yaml_count(providers) + 2 * yaml_count(authorities) + yaml_count(applications));
    struct edits edits = {arena_array(l->a, struct edit, most + 1), 0};
    inline_list(l, providers, "jwks_file", "jwks", &edits);
    inline_list(l, authorities, "ca_file", "ca_pem", &edits);
    for (size_t i = 0; i < yaml_count(authorities); i++)
        inline_member(l, yaml_get(yaml_item(authorities, i), SLICE("revocation")), "crl_file",
                      "crl_pem", &edits);
    for (size_t i = 0; i < yaml_count(applications); i++)
        inline_member(l, yaml_get(yaml_item(applications, i), SLICE("upstream_tls")), "ca_file",
                      "ca_pem", &edits);
    if (l->out->errors != errors)
        return false;
    struct buf buf;
    buf_init(&buf, YAML_MAX_BYTES);
    const bool is_good = edits_apply(l->text, &edits, &buf);
    if (is_good)
        *out_text = mem_slice(buf_slice(&buf));
    else
        findings_error(l->out, yaml_place(yaml_root(doc)), "too-large",
                       "with its files' contents it is larger than %u bytes", YAML_MAX_BYTES);
    buf_fini(&buf);
    return is_good;
}

bool bundle_inline(struct slice text, const char *file, struct slice dir, struct slice *out_text,
                   struct findings *out)
{
    struct yaml_doc *doc = yaml_parse(text, file, out);
    struct arena a;
    if (!doc)
        return false;
    arena_init(&a, NULL);
    struct loader l = {.a = &a, .out = out, .text = text, .dir = dir};
    const bool is_good = inline_files(&l, doc, out_text);
    arena_fini(&a);
    yaml_free(doc);
    return is_good;
}
