// SPDX-License-Identifier: EUPL-1.2
/* `sets` of a bundle: lists of texts by name, for conditions. Members are kept sorted, so that a
 * condition finds one by halves, and each once. */
#include "policy/load_in.h"

#define SETS_MAX 256
#define SET_MAX_MEMBERS 10000

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const char lower = ascii_lower(c);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return name.len > 0 && name.len <= 64;
}

static void warn_repeated(struct loader *l, const struct yaml *list, const struct cel_set *set)
{
    for (uint32_t i = 1; i < set->members.count; i++)
        if (slice_eq(set->members.at[i - 1], set->members.at[i]))
            findings_warn(l->out, yaml_place(list), "repeated", "'%.*s' is repeated in set '%.*s'",
                          SLICE_ARG(set->members.at[i]), SLICE_ARG(set->name));
}

static void load_set(struct loader *l, const struct yaml *key, const struct yaml *list,
                     struct cel_set *set)
{
    const size_t count = yaml_count(list);
    set->name = arena_copy(l->a, yaml_text(key));
    if (!is_name(set->name)) {
        findings_error(l->out, yaml_place(key), "wrong-id",
                       "'%.*s' is no name of a set; allowed are 1 to 64 letters, digits, '_' and "
                       "'-'",
                       SLICE_ARG(set->name));
        return;
    }
    if (yaml_kind(list) != YAML_LIST) {
        findings_error(l->out, yaml_place(yaml_kind(list) == YAML_MISSING ? key : list),
                       "wrong-kind", "set '%.*s' must be a list of texts", SLICE_ARG(set->name));
        return;
    }
    if (count > SET_MAX_MEMBERS) {
        findings_error(l->out, yaml_place(list), "too-many", "a set has at most %d members",
                       SET_MAX_MEMBERS);
        return;
    }
    struct slice *members = arena_array(l->a, struct slice, count);
    uint32_t good = 0;
    for (size_t i = 0; i < count; i++)
        good += load_word(l, yaml_item(list, i), "a member of a set", &members[good]);
    cel_set_sort(members, good);
    set->members = (struct slices){members, good};
    warn_repeated(l, list, set);
}

void load_sets(struct loader *l, const struct yaml *root)
{
    const struct yaml *map = load_map(l, root, "sets", LOAD_OPTIONAL);
    const size_t count = yaml_count(map);
    if (count > SETS_MAX) {
        findings_error(l->out, yaml_place(map), "too-many", "a bundle has at most %d sets",
                       SETS_MAX);
        return;
    }
    struct cel_set *sets = arena_array(l->a, struct cel_set, count);
    for (size_t i = 0; i < count; i++)
        load_set(l, yaml_key(map, i), yaml_value(map, i), &sets[i]);
    l->names.sets = sets;
    l->names.set_count = (uint32_t)count;
}
