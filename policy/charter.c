// SPDX-License-Identifier: EUPL-1.2
/* The federation's document, from text to the typed model.
 * Owns: what may be delegated, and that no host is delegated to two. One place where a mistake
 * opens a door for others: so nothing has a default that gives more. */
#include "policy/charter.h"

#include "base/codec.h"
#include "base/mem.h"
#include "policy/compile.h"
#include "policy/host.h"
#include "policy/load_in.h"
#include "policy/serials.h"

#define MAX_KEYS ENVELOPE_SIGNATURES_MAX /* more could never sign together */
#define MAX_GRACE_S (30 * 24 * 3600)     /* what goes on for longer has no end at all */

/* ---- hosts ---- */

static bool load_patterns(struct loader *l, const struct yaml *map, const char *key, enum need need,
                          struct slices *out)
{
    struct slices words;
    bool is_good = true;
    if (!load_words(l, map, key, need, &words))
        return false;
    for (uint32_t i = 0; i < words.count; i++) {
        const struct place at = load_word_place(yaml_get(map, slice_of(key)), words.at[i]);
        char room[HOST_MAX];
        struct slice pattern;
        const bool is_host = host_pattern_parse(words.at[i], room, &pattern);
        if (is_host && slice_eq(pattern, words.at[i]))
            continue;
        is_good = false;
        if (is_host)
            findings_error(l->out, at, "wrong-host",
                           "a host is written in lower case and without last dot: '%.*s'",
                           SLICE_ARG(pattern));
        else
            findings_error(l->out, at, "wrong-host",
                           "'%.*s' is no host; allowed is a name such as tax.finance.example or "
                           "*.finance.example",
                           SLICE_ARG(words.at[i]));
    }
    if (is_good)
        *out = words;
    return is_good;
}

static void check_owner(struct loader *l, const struct map *owners, const struct charter_entity *e,
                        struct place at, struct slice pattern, struct slice other)
{
    const struct charter_entity *owner = map_get(owners, other);
    if (owner && owner != e)
        findings_error(l->out, at, "overlapping-hosts",
                       "'%.*s' overlaps with '%.*s' of the entity '%.*s'", SLICE_ARG(pattern),
                       SLICE_ARG(other), SLICE_ARG(owner->id));
}

/* Two patterns overlap where they are equal, or one is the other with its first label starred
 * (host_overlaps): so two look-ups find what a comparison of all pairs would. */
static void check_host(struct loader *l, const struct map *owners, const struct charter_entity *e,
                       const struct yaml *map, struct slice pattern)
{
    const struct place at = load_word_place(yaml_get(map, SLICE("hosts")), pattern);
    struct slice rest = pattern;
    (void)slice_cut(&rest, '.');
    check_owner(l, owners, e, at, pattern, pattern);
    if (!slice_starts(pattern, SLICE("*.")))
        check_owner(l, owners, e, at, pattern, arena_printf(l->a, "*.%.*s", SLICE_ARG(rest)));
}

/* In two rounds, since a wildcard may stand behind the host that it covers. A pattern is its first
 * writer's. */
static void check_overlaps(struct loader *l, const struct charter *c, const struct yaml *list)
{
    struct map owners;
    map_init(&owners);
    for (uint32_t i = 0; i < c->entity_count; i++) {
        struct charter_entity *e = &c->entities[i];
        for (uint32_t k = 0; k < e->hosts.count; k++)
            if (!map_get(&owners, e->hosts.at[k]))
                (void)map_set(&owners, e->hosts.at[k], e);
    }
    for (uint32_t i = 0; i < c->entity_count; i++)
        for (uint32_t k = 0; k < c->entities[i].hosts.count; k++)
            check_host(l, &owners, &c->entities[i], yaml_item(list, i), c->entities[i].hosts.at[k]);
    map_fini(&owners);
}

/* ---- networks and keys ---- */

static void load_networks(struct loader *l, const struct yaml *map, const char *key,
                          struct network **out, uint32_t *out_count)
{
    struct slices words;
    if (!load_words(l, map, key, LOAD_OPTIONAL, &words))
        return;
    *out = arena_array(l->a, struct network, words.count);
    for (uint32_t i = 0; i < words.count; i++)
        if (!network_parse(&(*out)[i], words.at[i]))
            findings_error(l->out, load_word_place(yaml_get(map, slice_of(key)), words.at[i]),
                           "wrong-network",
                           "'%.*s' is no network; allowed is an address, '/' and the bits that "
                           "count, the rest being zero, "
                           "such as 10.1.0.0/16 or fd00::/8",
                           SLICE_ARG(words.at[i]));
    *out_count = words.count;
}

static void load_public(struct loader *l, const struct yaml *n, struct public_key *out)
{
    uint8_t raw[ED25519_KEY_BYTES + 2];
    size_t len = 0;
    struct slice text;
    struct fault fault;
    if (!n || !load_word(l, n, "a public key", &text))
        return;
    const struct place at = yaml_place(n);
    if (text.len != BASE64_LEN(ED25519_KEY_BYTES) || !base64_decode(raw, &len, text) ||
        len != ED25519_KEY_BYTES)
        findings_error(l->out, at, "wrong-key",
                       "public must be the %d bytes of an Ed25519 public key in base64",
                       ED25519_KEY_BYTES);
    else if (!public_key_ed25519(out, slice_from(raw, len), &fault))
        findings_error(l->out, at, "wrong-key", "%s", fault.text);
}

static void load_key(struct loader *l, const struct yaml *map, struct charter_key *k)
{
    static const struct slice keys[] = {SLICE_INIT("id"), SLICE_INIT("public"), SLICE_INIT("owner"),
                                        SLICE_INIT("not_before"), SLICE_INIT("not_after")};
    const struct yaml *n;
    k->not_after_s = INT64_MAX;
    if (yaml_kind(map) != YAML_MAP) {
        findings_error(l->out, yaml_place(map), "wrong-kind", "a key must be a map");
        return;
    }
    (void)yaml_check_keys(map, "a key", keys, COUNT_OF(keys), l->out);
    if (load_text(l, map, "id", LOAD_REQUIRED, &k->key.id) && !key_id_is_valid(k->key.id))
        findings_error(
            l->out, yaml_place(yaml_get(map, SLICE("id"))), "wrong-id",
            "'%.*s' is no key id; allowed are 1 to %d of letters, digits, '.', '_' and '-'",
            SLICE_ARG(k->key.id), KEY_ID_MAX);
    load_public(l, load_member(l, map, "public", LOAD_REQUIRED), &k->key.key);
    (void)load_text(l, map, "owner", LOAD_OPTIONAL, &k->key.owner);
    if ((n = load_member(l, map, "not_before", LOAD_OPTIONAL)))
        (void)yaml_time(n, "not_before", &k->not_before_s, l->out);
    if ((n = load_member(l, map, "not_after", LOAD_OPTIONAL)) &&
        yaml_time(n, "not_after", &k->not_after_s, l->out) && k->not_after_s <= k->not_before_s)
        findings_error(l->out, yaml_place(n), "never-valid",
                       "not_after must be later than not_before");
}

/* One key under two ids would be two approvals by one hand. */
static void check_distinct(struct loader *l, const struct yaml *list,
                           const struct charter_entity *e, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        const struct envelope_key *a = &e->keys[k].key, *b = &e->keys[i].key;
        if (b->id.len && slice_eq(a->id, b->id))
            findings_error(l->out, yaml_place(yaml_item(list, i)), "duplicate-id",
                           "the id '%.*s' stands here a second time", SLICE_ARG(b->id));
        if (a->key.pkey && b->key.pkey && EVP_PKEY_eq(a->key.pkey, b->key.pkey) == 1)
            findings_error(l->out, yaml_place(yaml_item(list, i)), "duplicate-key",
                           "this is the key of '%.*s' again", SLICE_ARG(a->id));
    }
}

static void load_keys(struct loader *l, const struct yaml *map, struct charter_entity *e)
{
    const struct yaml *list = load_list(l, map, "keys", LOAD_REQUIRED);
    const size_t count = yaml_count(list);
    if (!list)
        return;
    if (!count || count > MAX_KEYS) {
        findings_error(l->out, yaml_place(list), count ? "too-many" : "empty-list",
                       "keys must have from 1 to %d entries", MAX_KEYS);
        return;
    }
    e->keys = arena_array(l->a, struct charter_key, count);
    e->key_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        load_key(l, yaml_item(list, i), &e->keys[i]);
        check_distinct(l, list, e, i);
    }
}

/* How many could approve: an owner with several keys is one. */
static uint32_t count_hands(const struct charter_entity *e)
{
    uint32_t hands = 0;
    for (uint32_t i = 0; i < e->key_count; i++) {
        uint32_t k = 0;
        while (k < i &&
               !(e->keys[i].key.owner.len && slice_eq(e->keys[k].key.owner, e->keys[i].key.owner)))
            k++;
        hands += k == i;
    }
    return hands;
}

static void load_approvals(struct loader *l, const struct yaml *map, struct charter_entity *e)
{
    const struct yaml *n = load_member(l, map, "approvals", LOAD_OPTIONAL);
    const uint32_t hands = count_hands(e);
    int64_t approvals = 1;
    if (n && yaml_int(n, "approvals", 1, MAX_KEYS, &approvals, l->out) &&
        approvals > (int64_t)hands)
        findings_error(l->out, yaml_place(n), "too-many",
                       "%lld approvals need keys of as many owners, but there are %u",
                       (long long)approvals, hands);
    e->approvals = (uint32_t)approvals;
}

static void load_limits(struct loader *l, const struct yaml *map, struct charter_entity *e)
{
    static const struct slice keys[] = {SLICE_INIT("applications"), SLICE_INIT("rules")};
    const struct yaml *limits = load_map(l, map, "limits", LOAD_OPTIONAL);
    int64_t applications = UINT32_MAX, rules = UINT32_MAX;
    if (limits) {
        const struct yaml *n;
        (void)yaml_check_keys(limits, "limits", keys, COUNT_OF(keys), l->out);
        if ((n = load_member(l, limits, "applications", LOAD_OPTIONAL)))
            (void)yaml_int(n, "limits.applications", 0, UINT32_MAX, &applications, l->out);
        if ((n = load_member(l, limits, "rules", LOAD_OPTIONAL)))
            (void)yaml_int(n, "limits.rules", 0, UINT32_MAX, &rules, l->out);
    }
    e->max_applications = (uint32_t)applications;
    e->max_rules = (uint32_t)rules;
}

/* ---- revoked keys ---- */

static void load_revoked(struct loader *l, const struct yaml *root, struct charter *c)
{
    const struct yaml *list = load_list(l, root, "revoked_keys", LOAD_OPTIONAL);
    const size_t count = yaml_count(list);
    if (!list)
        return;
    if (!count || count > LOAD_MAX_ITEMS) {
        findings_error(l->out, yaml_place(list), count ? "too-many" : "empty-list",
                       "revoked_keys must have from 1 to %d entries; leave the key out for none",
                       LOAD_MAX_ITEMS);
        return;
    }
    c->revoked_keys = arena_array(l->a, struct public_key, count);
    c->revoked_key_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++)
        load_public(l, yaml_item(list, i), &c->revoked_keys[i]);
}

bool charter_revokes(const struct charter *c, const struct public_key *k)
{
    for (uint32_t i = 0; i < c->revoked_key_count; i++)
        if (EVP_PKEY_eq(c->revoked_keys[i].pkey, k->pkey) == 1)
            return true;
    return false;
}

/* A key that is given to somebody and taken from all is a slip in one of both places. */
static void check_revoked(struct loader *l, const struct charter *c, const struct yaml *entities)
{
    for (uint32_t i = 0; i < c->entity_count; i++)
        for (uint32_t k = 0; k < c->entities[i].key_count; k++)
            if (c->entities[i].keys[k].key.key.pkey &&
                charter_revokes(c, &c->entities[i].keys[k].key.key))
                findings_error(
                    l->out,
                    yaml_place(yaml_item(yaml_get(yaml_item(entities, i), SLICE("keys")), k)),
                    "revoked-key", "the key '%.*s' stands in revoked_keys too",
                    SLICE_ARG(c->entities[i].keys[k].key.id));
}

/* ---- entities ---- */

/* On command lines and in the store "charter" names the charter. */
static void check_id(struct loader *l, const struct yaml *map, struct charter_entity *e,
                     struct map *seen)
{
    if (slice_eq(e->id, SLICE("charter")))
        findings_error(l->out, yaml_place(yaml_get(map, SLICE("id"))), "wrong-id",
                       "no entity can be called 'charter'");
    (void)load_unique(l, seen, e->id, map, e);
}

static void load_entity(struct loader *l, const struct yaml *map, struct charter_entity *e,
                        struct map *seen)
{
    static const struct slice keys[] = {
        SLICE_INIT("id"),          SLICE_INIT("name"),
        SLICE_INIT("hosts"),       SLICE_INIT("upstream_networks"),
        SLICE_INIT("fetch_hosts"), SLICE_INIT("fetch_networks"),
        SLICE_INIT("keys"),        SLICE_INIT("approvals"),
        SLICE_INIT("min_serial"),  SLICE_INIT("limits"),
    };
    e->place = yaml_place(map);
    e->approvals = 1;
    if (yaml_kind(map) != YAML_MAP) {
        findings_error(l->out, e->place, "wrong-kind", "an entity must be a map");
        return;
    }
    (void)yaml_check_keys(map, "an entity", keys, COUNT_OF(keys), l->out);
    if (load_id(l, map, "id", &e->id))
        check_id(l, map, e, seen);
    (void)load_text(l, map, "name", LOAD_OPTIONAL, &e->name);
    (void)load_patterns(l, map, "hosts", LOAD_REQUIRED, &e->hosts);
    load_networks(l, map, "upstream_networks", &e->upstream_networks, &e->upstream_network_count);
    (void)load_patterns(l, map, "fetch_hosts", LOAD_OPTIONAL, &e->fetch_hosts);
    load_networks(l, map, "fetch_networks", &e->fetch_networks, &e->fetch_network_count);
    load_keys(l, map, e);
    load_approvals(l, map, e);
    load_limits(l, map, e);
    const struct yaml *n = load_member(l, map, "min_serial", LOAD_OPTIONAL);
    if (n)
        (void)yaml_int(n, "min_serial", 0, SERIAL_MAX, &e->min_serial, l->out);
}

static void load_charter(struct loader *l, const struct yaml *root, struct charter *c)
{
    static const struct slice keys[] = {SLICE_INIT("belfry"),    SLICE_INIT("serial"),
                                        SLICE_INIT("not_after"), SLICE_INIT("grace"),
                                        SLICE_INIT("baseline"),  SLICE_INIT("revoked_keys"),
                                        SLICE_INIT("entities")};
    struct map seen;
    if (yaml_kind(root) != YAML_MAP) {
        findings_error(l->out, yaml_place(root), "wrong-kind", "a charter must be a map");
        return;
    }
    if (!load_head(l, root, "charter/v1", &c->serial, &c->not_after_s))
        return;
    (void)yaml_check_keys(root, "a charter", keys, COUNT_OF(keys), l->out);
    (void)load_duration_s(l, root, "grace", 0, MAX_GRACE_S, &c->grace_s);
    load_revoked(l, root, c);
    load_baseline(l, root, &c->baseline);
    const struct yaml *list = load_list(l, root, "entities", LOAD_REQUIRED);
    const uint32_t count = (uint32_t)yaml_count(list);
    if (!count)
        return;
    if (count > ENTITIES_MAX) {
        findings_error(l->out, yaml_place(list), "too-many", "entities must be at most %d",
                       ENTITIES_MAX);
        return;
    }
    map_init(&seen);
    c->entities = arena_array(l->a, struct charter_entity, count);
    c->entity_count = count;
    for (uint32_t i = 0; i < count; i++)
        load_entity(l, yaml_item(list, i), &c->entities[i], &seen);
    map_fini(&seen);
    check_overlaps(l, c, list);
    check_revoked(l, c, list);
}

struct charter *charter_load(struct slice text, const char *file, struct findings *out)
{
    const size_t errors = out->errors;
    struct yaml_doc *doc = yaml_parse(text, file, out);
    if (!doc)
        return NULL;
    struct charter *c = mem_new(struct charter);
    arena_init(&c->arena, NULL);
    struct loader l = {.a = &c->arena, .out = out, .text = text};
    c->place = yaml_place(yaml_root(doc));
    load_charter(&l, yaml_root(doc), c);
    yaml_free(doc);
    if (out->errors == errors) {
        charter_compile(c);
        return c;
    }
    charter_free(c);
    return NULL;
}

void charter_free(struct charter *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->entity_count; i++)
        for (uint32_t k = 0; k < c->entities[i].key_count; k++)
            public_key_fini(&c->entities[i].keys[k].key.key);
    for (uint32_t i = 0; i < c->revoked_key_count; i++)
        public_key_fini(&c->revoked_keys[i]);
    arena_fini(&c->arena);
    mem_free(c);
}

const struct charter_entity *charter_entity(const struct charter *c, struct slice id)
{
    for (uint32_t i = 0; i < c->entity_count; i++)
        if (slice_eq(c->entities[i].id, id))
            return &c->entities[i];
    return NULL;
}
