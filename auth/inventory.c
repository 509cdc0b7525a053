// SPDX-License-Identifier: EUPL-1.2
#include "auth/inventory.h"

#include <jansson.h>

#include "base/fault.h"
#include "base/hash.h"
#include "base/jtree.h"
#include "base/mem.h"

/* ---- one record ---- */

struct inventory_record *inventory_record_new(struct slice id, int64_t version)
{
    struct inventory_record *r = mem_new(struct inventory_record);
    atomic_init(&r->references, 1);
    arena_init(&r->arena, NULL);
    r->id = arena_copy(&r->arena, id);
    r->version = version;
    r->facts.compliant = SAID_NO;
    r->facts.attributes.at =
        arena_array(&r->arena, struct slice, (size_t)2 * INVENTORY_ATTRIBUTES_MAX);
    return r;
}

struct inventory_record *inventory_record_ref(struct inventory_record *r)
{
    if (r)
        atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
    return r;
}

void inventory_record_unref(struct inventory_record *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) != 1)
        return;
    arena_fini(&r->arena);
    mem_free(r);
}

static bool is_name(struct slice name)
{
    if (!name.len || name.len > INVENTORY_NAME_MAX || name.ptr[0] < 'a' || name.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

static int order(struct slice a, struct slice b)
{
    const int c = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

/* Names and values in turn, sorted by name. */
static bool set_own(struct inventory_record *r, struct slice name, struct slice value,
                    struct fault *f)
{
    struct slice *at = (struct slice *)(uintptr_t)r->facts.attributes.at;
    uint32_t i = 0;
    if (!is_name(name))
        return fault_set(f, FAULT_SYNTAX,
                         "'%.*s' is no name of an attribute; write a-z, then a-z, 0-9 and _, at "
                         "most %d",
                         SLICE_ARG(name), INVENTORY_NAME_MAX);
    while (i < r->facts.attributes.count && order(at[2 * i], name) < 0)
        i++;
    const bool is_there = i < r->facts.attributes.count && slice_eq(at[2 * i], name);
    if (!value.len) {
        if (is_there) {
            memmove(at + 2 * i, at + 2 * (i + 1),
                    (r->facts.attributes.count - i - 1) * 2 * sizeof *at);
            r->facts.attributes.count--;
        }
        return true;
    }
    if (!is_there) {
        if (r->facts.attributes.count == INVENTORY_ATTRIBUTES_MAX)
            return fault_set(f, FAULT_LIMIT, "there are more than %d attributes of your own",
                             INVENTORY_ATTRIBUTES_MAX);
        memmove(at + 2 * (i + 1), at + 2 * i, (r->facts.attributes.count - i) * 2 * sizeof *at);
        at[2 * i] = arena_copy(&r->arena, name);
        r->facts.attributes.count++;
    }
    at[2 * i + 1] = arena_copy(&r->arena, value);
    return true;
}

/* RFC 3339 in UTC and whole seconds, which is what the commands print too. */
static bool moment_parse(struct slice text, struct wall *out)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    struct tm t = {0};
    struct tm again;
    int *const parts[] = {&t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec};
    size_t part = 0;
    if (text.len != sizeof form - 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (form[i] != '0') {
            if (text.ptr[i] != form[i])
                return false;
            part++;
        } else if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        } else {
            *parts[part] = *parts[part] * 10 + (text.ptr[i] - '0');
        }
    }
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    again = t;
    out->s = timegm(&again); // which makes the 31st of April the first of May
    return out->s > 0 && again.tm_mon == t.tm_mon && again.tm_mday == t.tm_mday &&
           again.tm_hour == t.tm_hour && again.tm_min == t.tm_min && again.tm_sec == t.tm_sec;
}

static bool set_compliant(struct inventory_record *r, struct slice value, struct fault *f)
{
    if (value.len && !slice_eq(value, SLICE("true")) && !slice_eq(value, SLICE("false")))
        return fault_set(f, FAULT_SYNTAX, "compliant is 'true' or 'false', not '%.*s'",
                         SLICE_ARG(value));
    r->facts.compliant = slice_eq(value, SLICE("true")) ? SAID_YES : SAID_NO;
    return true;
}

bool inventory_record_set(struct inventory_record *r, struct slice name, struct slice value,
                          struct fault *f)
{
    struct wall seen = {0};
    if (value.len > INVENTORY_TEXT_MAX)
        return fault_set(f, FAULT_LIMIT, "the value of '%.*s' is longer than %d bytes",
                         SLICE_ARG(name), INVENTORY_TEXT_MAX);
    if (slice_eq(name, SLICE("compliant")))
        return set_compliant(r, value, f);
    if (slice_eq(name, SLICE("owner")))
        r->facts.owner = arena_copy(&r->arena, value);
    else if (slice_eq(name, SLICE("model")))
        r->facts.model = arena_copy(&r->arena, value);
    else if (slice_eq(name, SLICE("last_seen"))) {
        if (value.len && !moment_parse(value, &seen))
            return fault_set(f, FAULT_SYNTAX,
                             "last_seen is a moment such as 2027-01-31T08:00:00Z, not '%.*s'",
                             SLICE_ARG(value));
        r->facts.last_seen = seen;
    } else
        return set_own(r, name, value, f);
    return true;
}

static json_t *text_of(struct slice text)
{
    return json_stringn(text.len ? text.ptr : "", text.len);
}

struct slice inventory_record_print(const struct inventory_record *r, struct arena *a)
{
    json_t *own = json_object();
    const struct facts_device *facts = &r->facts;
    for (uint32_t i = 0; i < facts->attributes.count; i++) {
        char name[INVENTORY_NAME_MAX + 1] = "";
        memcpy(name, facts->attributes.at[2 * i].ptr, facts->attributes.at[2 * i].len);
        json_object_set_new(own, name, text_of(facts->attributes.at[2 * i + 1]));
    }
    json_t *tree = json_pack("{so sI so so sb sI so}", "id", text_of(r->id), "version",
                             (json_int_t)r->version, "owner", text_of(facts->owner), "model",
                             text_of(facts->model), "compliant", facts->compliant == SAID_YES,
                             "last_seen", (json_int_t)facts->last_seen.s, "attributes", own);
    char *text = tree ? json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    const struct slice out = text ? arena_copy(a, slice_of(text)) : (struct slice){0};
    free(text);
    json_decref(tree);
    return out;
}

struct inventory_record *inventory_record_parse(struct slice text)
{
    struct inventory_record *r = NULL;
    struct slice id, owner, model;
    int64_t seen_s = 0;
    struct fault ignored;
    const char *name;
    json_t *value;
    json_t *tree = text.len <= INVENTORY_RECORD_MAX_BYTES ? jtree_parse(text) : NULL;
    json_t *own = json_object_get(tree, "attributes");
    const json_t *version = json_object_get(tree, "version");
    bool is_good = tree && json_is_object(own) && json_is_integer(version) &&
                   jtree_string(tree, "id", &id) && id.len && id.len <= INVENTORY_ID_MAX &&
                   jtree_string(tree, "owner", &owner) && jtree_string(tree, "model", &model) &&
                   jtree_date(tree, "last_seen", &seen_s);
    if (!is_good)
        goto out;
    r = inventory_record_new(id, json_integer_value(version));
    r->facts.compliant = json_is_true(json_object_get(tree, "compliant")) ? SAID_YES : SAID_NO;
    r->facts.last_seen.s = seen_s;
    is_good = inventory_record_set(r, SLICE("owner"), owner, &ignored) &&
              inventory_record_set(r, SLICE("model"), model, &ignored);
    json_object_foreach(own, name, value)
    {
        is_good =
            is_good && json_is_string(value) &&
            set_own(r, slice_of(name),
                    slice_from(json_string_value(value), json_string_length(value)), &ignored);
    }
    if (!is_good) {
        inventory_record_unref(r);
        r = NULL;
    }
out:
    json_decref(tree);
    return r;
}

bool inventory_hash_name(const struct keyring *k, struct slice entity, char out[VAULT_NAME_ROOM])
{
    return vault_name(k, VAULT_DEVICE, entity, SLICE("inventory"), out);
}

bool inventory_field_name(const struct keyring *k, struct slice entity, struct slice id,
                          char out[VAULT_NAME_ROOM])
{
    char text[sizeof "device:" + INVENTORY_ID_MAX];
    if (id.len > INVENTORY_ID_MAX)
        return false;
    const int len = snprintf(text, sizeof text, "device:%.*s", SLICE_ARG(id));
    return vault_name(k, VAULT_DEVICE, entity, slice_from(text, (size_t)len), out);
}

/* ---- the table ---- */

struct inventory {
    _Atomic uint32_t references;
    uint64_t number;
    struct inventory_entry *entries; /* sorted by key */
    uint32_t count;
};

void inventory_key(uint8_t out[32], struct slice entity, struct slice id)
{
    const struct slice parts[] = {entity, id};
    sha256_parts(out, parts, 2);
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

struct inventory *inventory_new(uint64_t number, const struct inventory_entry *entries,
                                uint32_t count)
{
    struct inventory *t = mem_new(struct inventory);
    atomic_init(&t->references, 1);
    t->number = number;
    t->count = count;
    t->entries = mem_array(struct inventory_entry, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        t->entries[i] = entries[i];
        (void)inventory_record_ref(entries[i].record);
    }
    qsort(t->entries, count, sizeof *t->entries, by_key);
    return t;
}

enum inventory_answer inventory_find(const struct inventory *t, struct slice entity,
                                     struct slice id, const struct inventory_record **out)
{
    uint8_t key[32];
    *out = NULL;
    if (!t || !t->count)
        return INVENTORY_UNKNOWN;
    inventory_key(key, entity, id);
    const struct inventory_entry *e =
        bsearch(key, t->entries, t->count, sizeof *t->entries, by_key);
    if (!e)
        return INVENTORY_UNKNOWN;
    *out = e->record;
    return e->record ? INVENTORY_LISTED : INVENTORY_UNLISTED;
}

void inventory_add_facts(const struct inventory_record *r, struct facts_device *to)
{
    to->owner = r->facts.owner;
    to->model = r->facts.model;
    to->compliant = r->facts.compliant;
    to->last_seen = r->facts.last_seen;
    to->attributes = r->facts.attributes;
}

uint64_t inventory_number(const struct inventory *t)
{
    return t ? t->number : 0;
}

struct inventory *inventory_ref(struct inventory *t)
{
    if (t)
        atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

void inventory_unref(struct inventory *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < t->count; i++)
        inventory_record_unref(t->entries[i].record);
    mem_free(t->entries);
    mem_free(t);
}
