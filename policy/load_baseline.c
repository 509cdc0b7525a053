// SPDX-License-Identifier: EUPL-1.2
/* `baseline` of a charter: what the federation demands and forbids everywhere.
 * Owns: its two lists. A requirement holds for every request of everybody, so it has a condition
 * and neither methods nor paths; a forbid is one of a bundle without the word 'forbid' around it.
 * There is no permit: a baseline that could open a door would be a way around its owner. */
#include "policy/charter.h"
#include "policy/load_in.h"

#define MAX_RULES 1000
#define MAX_COST 1000000 /* steps of every request, whatever it is for */

static void load_reason(struct loader *l, const struct yaml *map, struct rule *rule)
{
    struct slice *reason = arena_array(l->a, struct slice, LANGUAGE_COUNT);
    load_languages(l, map, "reason", "a reason", reason);
    rule->reason = reason;
}

static void load_requirement(struct loader *l, const struct yaml *map, struct rule *rule,
                             struct map *seen)
{
    static const struct slice keys[] = {
        SLICE_INIT("id"),        SLICE_INIT("owner"),   SLICE_INIT("purpose"),
        SLICE_INIT("review_by"), SLICE_INIT("expires"), SLICE_INIT("mode"),
        SLICE_INIT("when"),      SLICE_INIT("reason"),  SLICE_INIT("remedy")};
    rule->effect = RULE_REQUIRE;
    if (!load_rule_head(l, map, rule, seen))
        return;
    (void)yaml_check_keys(map, "a requirement", keys, COUNT_OF(keys), l->out);
    if (!yaml_get(map, SLICE("when")))
        findings_error(l->out, yaml_place(map), "missing-key", "the key 'when' is missing");
    load_when(l, map, rule);
    load_remedy(l, map, rule);
    load_reason(l, map, rule);
}

static void load_forbid(struct loader *l, const struct yaml *map, struct rule *rule,
                        struct map *seen)
{
    static const struct slice keys[] = {
        SLICE_INIT("id"),      SLICE_INIT("owner"), SLICE_INIT("purpose"), SLICE_INIT("review_by"),
        SLICE_INIT("expires"), SLICE_INIT("mode"),  SLICE_INIT("methods"), SLICE_INIT("paths"),
        SLICE_INIT("when"),    SLICE_INIT("reason")};
    rule->effect = RULE_FORBID;
    if (!load_rule_head(l, map, rule, seen))
        return;
    (void)yaml_check_keys(map, "a forbid of the baseline", keys, COUNT_OF(keys), l->out);
    load_reach(l, map, rule, (struct path_options){.allow_encoded_slash = false});
    load_when(l, map, rule);
    load_reason(l, map, rule);
    if (!yaml_get(map, SLICE("when")) && !yaml_get(map, SLICE("paths")) &&
        !yaml_get(map, SLICE("methods")))
        findings_error(l->out, yaml_place(map), "forbids-all",
                       "this forbids every request of everybody; say which by methods, paths or "
                       "when");
}

static struct rule *load_list_of(struct loader *l, const struct yaml *map, const char *key,
                                 void (*load_one)(struct loader *, const struct yaml *,
                                                  struct rule *, struct map *),
                                 struct map *seen, uint32_t *out_count)
{
    const struct yaml *list = load_list(l, map, key, LOAD_OPTIONAL);
    const size_t count = yaml_count(list);
    if (!list)
        return NULL;
    if (!count || count > MAX_RULES) {
        findings_error(l->out, yaml_place(list), count ? "too-many" : "empty-list",
                       "%s must have from 1 to %d entries; leave the key out for none", key,
                       MAX_RULES);
        return NULL;
    }
    struct rule *rules = arena_array(l->a, struct rule, count);
    for (uint32_t i = 0; i < count; i++)
        load_one(l, yaml_item(list, i), &rules[i], seen);
    *out_count = (uint32_t)count;
    return rules;
}

static uint64_t cost_of(const struct rule *rules, uint32_t count)
{
    uint64_t cost = 0;
    for (uint32_t i = 0; i < count; i++)
        cost += rules[i].when ? cel_cost(rules[i].when) : 0;
    return cost;
}

void load_baseline(struct loader *l, const struct yaml *root, struct baseline *out)
{
    static const struct slice keys[] = {SLICE_INIT("require"), SLICE_INIT("forbid")};
    const struct yaml *map = load_map(l, root, "baseline", LOAD_OPTIONAL);
    struct map seen;
    if (!map)
        return;
    (void)yaml_check_keys(map, "the baseline", keys, COUNT_OF(keys), l->out);
    map_init(&seen);
    out->requirements =
        load_list_of(l, map, "require", load_requirement, &seen, &out->requirement_count);
    out->forbids = load_list_of(l, map, "forbid", load_forbid, &seen, &out->forbid_count);
    map_fini(&seen);
    const uint64_t cost = cost_of(out->requirements, out->requirement_count) +
                          cost_of(out->forbids, out->forbid_count);
    if (cost > MAX_COST)
        findings_error(l->out, yaml_place(map), "too-costly",
                       "these conditions together may take %llu steps for every request, more "
                       "than %d",
                       (unsigned long long)cost, MAX_COST);
}
