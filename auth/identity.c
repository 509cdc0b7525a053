// SPDX-License-Identifier: EUPL-1.2
/* An identity's way into a record and out of it, and into facts. What is parsed here lay in the
 * store, sealed by a gateway: another form is an older or newer gateway's, and is not guessed at.
 */
#include "auth/identity.h"

#include "base/hash.h"
#include "base/jtree.h"

/* The texts of an identity and their names in a record: one table for both ways. */
static const struct {
    const char *name;
    size_t at;
} texts[] = {
    {"provider", offsetof(struct identity, provider)},
    {"subject", offsetof(struct identity, subject)},
    {"session", offsetof(struct identity, session)},
    {"client_id", offsetof(struct identity, client_id)},
    {"acr", offsetof(struct identity, acr)},
    {"name", offsetof(struct identity, name)},
    {"locale", offsetof(struct identity, locale)},
    {"id_token", offsetof(struct identity, id_token)},
    {"refresh_token", offsetof(struct identity, refresh_token)},
};
static const struct {
    const char *name;
    size_t at;
} lists[] = {
    {"amr", offsetof(struct identity, amr)},
    {"groups", offsetof(struct identity, groups)},
    {"scopes", offsetof(struct identity, scopes)},
};
static const struct {
    const char *name;
    size_t at;
} numbers[] = {
    {"acr_level", offsetof(struct identity, acr_level)},
    {"authenticated_at", offsetof(struct identity, authenticated_at.s)},
    {"known_at", offsetof(struct identity, known_at.s)},
};
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define MEMBER(i, type, place) ((type *)(void *)((char *)(i) + (place)))
#define MEMBER_OF(i, type, place) ((const type *)(const void *)((const char *)(i) + (place)))

static json_t *text_tree(struct slice text)
{
    return json_stringn(text.ptr ? text.ptr : "", text.len);
}

static json_t *list_tree(struct slices list)
{
    json_t *tree = json_array();
    for (uint32_t k = 0; k < list.count; k++)
        (void)json_array_append_new(tree, text_tree(list.at[k]));
    return tree;
}

bool identity_print(const struct identity *i, struct buf *out)
{
    json_t *tree = json_object();
    char *at;
    for (size_t k = 0; k < COUNT_OF(texts); k++)
        (void)json_object_set_new(tree, texts[k].name,
                                  text_tree(*MEMBER_OF(i, struct slice, texts[k].at)));
    for (size_t k = 0; k < COUNT_OF(lists); k++)
        (void)json_object_set_new(tree, lists[k].name,
                                  list_tree(*MEMBER_OF(i, struct slices, lists[k].at)));
    for (size_t k = 0; k < COUNT_OF(numbers); k++)
        (void)json_object_set_new(tree, numbers[k].name,
                                  json_integer(*MEMBER_OF(i, int64_t, numbers[k].at)));
    // Into the buffer itself: a copy of jansson's would hold the tokens, and nobody would wipe it.
    const size_t size = json_dumpb(tree, NULL, 0, JSON_COMPACT);
    const bool has_room = size && buf_reserve(out, size, &at);
    if (has_room)
        buf_grew(out, json_dumpb(tree, at, size, JSON_COMPACT));
    json_decref(tree);
    return has_room;
}

static bool list_parse(struct slices *out, struct arena *a, const json_t *tree)
{
    if (!json_is_array(tree) || json_array_size(tree) > IDENTITY_MAX_BYTES)
        return false;
    const size_t count = json_array_size(tree);
    struct slice *list = arena_array(a, struct slice, count + 1);
    for (size_t k = 0; k < count; k++) {
        const json_t *item = json_array_get(tree, k);
        if (!json_is_string(item))
            return false;
        list[k] = arena_copy(a, slice_from(json_string_value(item), json_string_length(item)));
    }
    *out = (struct slices){list, (uint32_t)count};
    return true;
}

static bool tree_parse(struct identity *out, struct arena *a, const json_t *tree)
{
    if (json_object_size(tree) != COUNT_OF(texts) + COUNT_OF(lists) + COUNT_OF(numbers))
        return false;
    for (size_t k = 0; k < COUNT_OF(texts); k++) {
        struct slice text;
        if (!jtree_string(tree, texts[k].name, &text))
            return false;
        *MEMBER(out, struct slice, texts[k].at) = arena_copy(a, text);
    }
    for (size_t k = 0; k < COUNT_OF(lists); k++)
        if (!list_parse(MEMBER(out, struct slices, lists[k].at), a,
                        json_object_get(tree, lists[k].name)))
            return false;
    for (size_t k = 0; k < COUNT_OF(numbers); k++)
        if (!jtree_date(tree, numbers[k].name, MEMBER(out, int64_t, numbers[k].at)))
            return false;
    return out->provider.len && out->subject.len;
}

bool identity_parse(struct identity *out, struct arena *a, struct slice json)
{
    json_t *tree = json.len <= IDENTITY_MAX_BYTES ? jtree_parse(json) : NULL;
    struct identity parsed = {0};
    const bool is_parsed = tree && tree_parse(&parsed, a, tree);
    json_decref(tree);
    if (is_parsed)
        *out = parsed;
    return is_parsed;
}

void user_mark(struct facts_user *u, struct slice entity, struct slice hash_key)
{
    char text[64 + 1 + 256]; // no id of a provider and no subject is longer
    const size_t len = u->provider.len + 1 + u->subject.len;
    u->key = table_hash(entity) ^ (table_hash(u->id) << 1);
    if (!hash_key.len || len > sizeof text)
        return;
    // The NUL keeps "a" "bc" apart from "ab" "c": neither part can hold one.
    memcpy(text, u->provider.ptr, u->provider.len);
    text[u->provider.len] = '\0';
    memcpy(text + u->provider.len + 1, u->subject.ptr, u->subject.len);
    hmac_sha256(u->hash, hash_key, slice_from(text, len));
}

void identity_user(struct facts_user *out, struct arena *a, const struct identity *i,
                   struct slice entity, struct slice hash_key)
{
    *out = (struct facts_user){.subject = i->subject,
                               .provider = i->provider,
                               .client_id = i->client_id,
                               .acr = i->acr,
                               .groups = i->groups,
                               .amr = i->amr,
                               .scopes = i->scopes,
                               .acr_level = i->acr_level,
                               .authenticated_at = i->authenticated_at};
    out->id = arena_printf(a, "%.*s:%.*s", SLICE_ARG(i->provider), SLICE_ARG(i->subject));
    user_mark(out, entity, hash_key);
}
