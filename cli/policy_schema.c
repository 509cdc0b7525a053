// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy schema`: the keys of charter and bundle as a JSON Schema (draft 2020-12), for
 * editors that check and complete YAML. It says what may stand where; what it means is for `check`.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "cli/policy_in.h"

enum kind {
    TEXT,
    TEXTS,
    TEXT_OR_TEXTS,
    TEXT_BY_TEXT, /* a map whose keys are the author's */
    TEXTS_BY_TEXT,
    ID,
    INT,
    TIME,
    DURATION,
    SIZE,
    BOOL,
    WORD,
    OBJECT,
    OBJECTS,
    OBJECT_OR_WORD,
    ANYTHING
};

static const struct key {
    const char *path;
    enum kind kind;
    bool is_required;
    const char *words;
} keys[] = {
#define KEY(path, kind, is_required, words) {path, kind, is_required, words},
#include "policy/schema.def"
#undef KEY
};

static json_t *text(const char *pattern)
{
    return pattern ? json_pack("{s:s, s:s}", "type", "string", "pattern", pattern)
                   : json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
}

static json_t *list_of(json_t *item)
{
    return json_pack("{s:s, s:o, s:i}", "type", "array", "items", item, "minItems", 1);
}

static json_t *words(const char *all)
{
    json_t *list = json_array();
    struct slice rest = slice_of(all);
    while (rest.len) {
        const struct slice word = slice_cut(&rest, '|');
        (void)json_array_append_new(list, json_stringn(word.ptr, word.len));
    }
    return json_pack("{s:o}", "enum", list);
}

static json_t *object(void)
{
    return json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);
}

/* What is told of a value. `*inside` is where keys below it go; NULL where there are none. */
static json_t *value_of(const struct key *k, json_t **inside)
{
    *inside = NULL;
    switch (k->kind) {
    case TEXT:
        return text(NULL);
    case TEXTS:
        return list_of(text(NULL));
    case TEXT_OR_TEXTS:
        return json_pack("{s:[o, o]}", "anyOf", text(NULL), list_of(text(NULL)));
    case TEXT_BY_TEXT:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", text(NULL));
    case TEXTS_BY_TEXT:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
                         list_of(text(NULL)));
    case ID:
        return text("^[a-z0-9-]{1,64}$");
    case INT:
        return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
    case TIME:
        return text("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$");
    case DURATION:
        return text("^[0-9]+(ms|s|m|h|d)$");
    case SIZE:
        return json_pack("{s:[o, {s:s}]}", "anyOf", text("^[0-9]+(KiB|MiB|GiB)$"), "type",
                         "integer");
    case BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case WORD:
        return words(k->words);
    case OBJECT:
        return *inside = object();
    case OBJECTS:
        *inside = object();
        return json_pack("{s:s, s:o}", "type", "array", "items", *inside);
    case OBJECT_OR_WORD:
        *inside = object();
        return json_pack("{s:[o, o]}", "anyOf", words(k->words), *inside);
    case ANYTHING:
        return json_object();
    }
    return NULL;
}

static void add_key(struct map *objects, const struct key *k)
{
    const char *name = strrchr(k->path, '.') + 1;
    const struct slice parent = {k->path, (size_t)(name - 1 - k->path)};
    json_t *at = map_get(objects, parent), *inside;
    if (!at)
        return; // no row of the table's: its test would have said so
    (void)json_object_set_new(json_object_get(at, "properties"), name, value_of(k, &inside));
    if (inside)
        (void)map_set(objects, slice_of(k->path), inside);
    if (!k->is_required)
        return;
    if (!json_object_get(at, "required"))
        (void)json_object_set_new(at, "required", json_array());
    (void)json_array_append_new(json_object_get(at, "required"), json_string(name));
}

int verb_schema(int argc, char **argv)
{
    (void)argv;
    if (argc)
        return policy_usage("schema");
    struct map objects;
    json_t *charter = object(), *bundle = object();
    map_init(&objects);
    (void)map_set(&objects, SLICE("charter"), charter);
    (void)map_set(&objects, SLICE("bundle"), bundle);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        add_key(&objects, &keys[i]);
    map_fini(&objects);
    /* One of the two by what it says it is, so that an editor explains that one's mistakes. */
    json_t *all =
        json_pack("{s:s, s:s, s:{s:{s:{s:s}}, s:[s]}, s:o, s:o}", "$schema",
                  "https://json-schema.org/draft/2020-12/schema", "title",
                  "Belfry policy: a charter or a bundle", "if", "properties", "belfry", "const",
                  "charter/v1", "required", "belfry", "then", charter, "else", bundle);
    const bool is_printed = all && json_dumpf(all, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0;
    json_decref(all);
    return is_printed ? EXIT_OK : EXIT_TROUBLE;
}
