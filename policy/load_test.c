// SPDX-License-Identifier: EUPL-1.2
/* `tests` of a bundle: invented facts, one request, what is expected.
 * Owns: how `given` becomes facts: the list of facts is fact.def's. Does not own: the texts of
 * `request` and `expect`, nor judging (policy_test.c). */
#include "policy/load_in.h"
#include "policy/policy_test.h"

enum fact_type { STRING, STRINGS, INT, BOOL, TIMESTAMP, DURATION, MAP };

struct fact {
    struct slice name;
    enum fact_type type;
    size_t offset; /* in the struct of its root */
};

/* fact.def, once a root: each root's list takes its own facts and leaves the others. */
#define FACT_OF(root, name, TYPE) {SLICE_INIT(#name), TYPE, offsetof(struct facts_##root, name)},
#define NO_FACT(name, TYPE)
#define FACT(root, name, TYPE, text) FACT_##root(name, TYPE)
#define FACT_app NO_FACT
#define FACT_request NO_FACT

#define FACT_user(name, TYPE) FACT_OF(user, name, TYPE)
#define FACT_device NO_FACT
#define FACT_service NO_FACT
#define FACT_session NO_FACT
static const struct fact user_facts[] = {
#include "policy/fact.def"
};
#undef FACT_user
#undef FACT_device

#define FACT_user NO_FACT
#define FACT_device(name, TYPE) FACT_OF(device, name, TYPE)
static const struct fact device_facts[] = {
#include "policy/fact.def"
};
#undef FACT_device
#undef FACT_service

#define FACT_device NO_FACT
#define FACT_service(name, TYPE) FACT_OF(service, name, TYPE)
static const struct fact service_facts[] = {
#include "policy/fact.def"
};
#undef FACT_service
#undef FACT_session

#define FACT_service NO_FACT
#define FACT_session(name, TYPE) {SLICE_INIT(#name), TYPE, offsetof(struct given_session, name)},
static const struct fact session_facts[] = {
#include "policy/fact.def"
};

#define MAX_FACTS 32
_Static_assert(COUNT_OF(user_facts) <= MAX_FACTS && COUNT_OF(device_facts) <= MAX_FACTS,
               "room for the names");

static void load_said(struct loader *l, const struct yaml *n, const char *key, enum said *out)
{
    bool is_so = false;
    if (n && yaml_bool(n, key, &is_so, l->out))
        *out = is_so ? SAID_YES : SAID_NO;
}

#define AGE_MAX_S 315360000 /* ten years */

static void load_age(struct loader *l, const struct yaml *map, const char *key,
                     struct given_age *out)
{
    out->is_given = load_duration_s(l, map, key, 0, AGE_MAX_S, &out->s);
}

/* Names and values in turn. */
static void load_map_of_texts(struct loader *l, const struct yaml *map, const char *key,
                              struct slices *out)
{
    const struct yaml *n = load_map(l, map, key, LOAD_OPTIONAL);
    const uint32_t count = (uint32_t)yaml_count(n);
    if (!n)
        return;
    struct slice *at = arena_array(l->a, struct slice, 2 * (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        at[2 * i] = arena_copy(l->a, yaml_text(yaml_key(n, i)));
        (void)load_word(l, yaml_value(n, i), key, &at[2 * i + 1]);
    }
    *out = (struct slices){at, count};
}

static void load_fact(struct loader *l, const struct yaml *map, const struct fact *fact,
                      char *facts)
{
    void *at = facts + fact->offset;
    const char *key = fact->name.ptr;
    const struct yaml *n;
    switch (fact->type) {
    case STRING:
        (void)load_text(l, map, key, LOAD_OPTIONAL, at);
        break;
    case STRINGS: /* `groups: []` is a token without groups */
        if (yaml_kind(yaml_get(map, fact->name)) != YAML_LIST ||
            yaml_count(yaml_get(map, fact->name)))
            (void)load_words(l, map, key, LOAD_OPTIONAL, at);
        break;
    case INT:
        if ((n = load_member(l, map, key, LOAD_OPTIONAL)))
            (void)yaml_int(n, key, 0, INT32_MAX, at, l->out);
        break;
    case BOOL:
        load_said(l, load_member(l, map, key, LOAD_OPTIONAL), key, at);
        break;
    case TIMESTAMP:
        if ((n = load_member(l, map, key, LOAD_OPTIONAL)))
            (void)yaml_time(n, key, &((struct wall *)at)->s, l->out);
        break;
    case DURATION:
        load_age(l, map, key, at);
        break;
    case MAP:
        load_map_of_texts(l, map, key, at);
        break;
    }
}

/* `facts` is the struct of the root. True where the test names the root at all. */
static bool load_root(struct loader *l, const struct yaml *given, const char *root,
                      const struct fact *list, size_t count, void *facts)
{
    const struct yaml *map = load_map(l, given, root, LOAD_OPTIONAL);
    struct slice names[MAX_FACTS];
    if (!map)
        return false;
    for (size_t i = 0; i < count; i++) {
        names[i] = list[i].name;
        load_fact(l, map, &list[i], facts);
    }
    return yaml_check_keys(map, root, names, count, l->out);
}

/* A text, or a list of them for a field that stands there several times. */
static void load_headers(struct loader *l, const struct yaml *request, struct policy_test *t)
{
    const struct yaml *map = load_map(l, request, "headers", LOAD_OPTIONAL);
    const uint32_t count = (uint32_t)yaml_count(map);
    uint32_t room = 0;
    if (!map)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct yaml *n = yaml_value(map, i);
        room += yaml_kind(n) == YAML_LIST ? (uint32_t)yaml_count(n) : 1;
    }
    t->fields = arena_array(l->a, struct field, room);
    for (uint32_t i = 0; i < count; i++) {
        const struct slice name = arena_copy(l->a, yaml_text(yaml_key(map, i)));
        const struct yaml *n = yaml_value(map, i);
        const bool is_list = yaml_kind(n) == YAML_LIST;
        for (size_t k = 0; k < (is_list ? yaml_count(n) : 1); k++) {
            struct field *field = &t->fields[t->field_count];
            field->name = name;
            t->field_count +=
                load_word(l, is_list ? yaml_item(n, k) : n, "a header", &field->value);
        }
    }
}

static void load_request_facts(struct loader *l, const struct yaml *given, struct policy_test *t)
{
    static const struct slice keys[] = {SLICE_INIT("client_address"), SLICE_INIT("protocol"),
                                        SLICE_INIT("headers")};
    static const struct slice protocols[] = {
        [PROTOCOL_H1] = SLICE_INIT("h1"), [PROTOCOL_H2] = SLICE_INIT("h2")};
    const struct yaml *request = load_map(l, given, "request", LOAD_OPTIONAL);
    uint32_t choice;
    if (!request)
        return;
    (void)yaml_check_keys(request, "given.request", keys, COUNT_OF(keys), l->out);
    (void)load_text(l, request, "client_address", LOAD_OPTIONAL, &t->client_address);
    load_headers(l, request, t);
    if (load_choice(l, request, "protocol", LOAD_OPTIONAL, protocols, COUNT_OF(protocols), &choice))
        t->protocol = (enum protocol)choice;
}

static void load_given(struct loader *l, const struct yaml *map, struct policy_test *t)
{
    static const struct slice keys[] = {SLICE_INIT("user"),    SLICE_INIT("device"),
                                        SLICE_INIT("service"), SLICE_INIT("session"),
                                        SLICE_INIT("request"), SLICE_INIT("now")};
    const struct yaml *given = load_map(l, map, "given", LOAD_OPTIONAL), *now;
    if (!given)
        return;
    (void)yaml_check_keys(given, "given", keys, COUNT_OF(keys), l->out);
    t->has_user = load_root(l, given, "user", user_facts, COUNT_OF(user_facts), &t->user);
    t->has_device = load_root(l, given, "device", device_facts, COUNT_OF(device_facts), &t->device);
    t->has_service =
        load_root(l, given, "service", service_facts, COUNT_OF(service_facts), &t->service);
    t->has_session =
        load_root(l, given, "session", session_facts, COUNT_OF(session_facts), &t->given_session);
    if (t->has_session && !t->has_user) /* where it would be nobody's */
        findings_error(l->out, yaml_place(yaml_get(given, SLICE("session"))), "missing-key",
                       "the key 'user' is missing: a session is somebody's");
    load_request_facts(l, given, t);
    if ((now = load_member(l, given, "now", LOAD_OPTIONAL)))
        (void)yaml_time(now, "given.now", &t->now.s, l->out);
}

static void load_test(struct loader *l, const struct yaml *map, struct policy_test *t)
{
    static const struct slice keys[] = {SLICE_INIT("name"), SLICE_INIT("given"),
                                        SLICE_INIT("request"), SLICE_INIT("expect")};
    struct slice text;
    t->place = yaml_place(map);
    if (yaml_kind(map) != YAML_MAP) {
        findings_error(l->out, t->place, "wrong-kind", "a test must be a map");
        return;
    }
    (void)yaml_check_keys(map, "a test", keys, COUNT_OF(keys), l->out);
    (void)load_text(l, map, "name", LOAD_REQUIRED, &t->name);
    load_given(l, map, t);
    /* Both say themselves what is wrong. */
    if (load_text(l, map, "request", LOAD_REQUIRED, &text) &&
        !policy_test_request(t, text, load_text_place(l, yaml_get(map, SLICE("request"))), l->a,
                             l->out))
        return;
    if (load_text(l, map, "expect", LOAD_REQUIRED, &text) &&
        !policy_test_expect(t, text, load_text_place(l, yaml_get(map, SLICE("expect"))), l->out))
        return;
}

bool policy_facts_load(struct policy_test *out, struct slice text, const char *file,
                       struct arena *a, struct findings *findings)
{
    static const struct slice keys[] = {SLICE_INIT("given"), SLICE_INIT("request")};
    struct loader l = {.a = a, .out = findings, .text = text};
    const size_t before = findings->errors;
    struct yaml_doc *doc = yaml_parse(text, file, findings);
    const struct yaml *root = yaml_root(doc);
    struct slice request;
    *out = (struct policy_test){.method_name = SLICE("GET"), .method = METHOD_GET};
    if (doc) {
        (void)yaml_check_keys(root, "a file of facts", keys, COUNT_OF(keys), findings);
        load_given(&l, root, out);
        if (load_text(&l, root, "request", LOAD_OPTIONAL, &request))
            (void)!policy_test_request(out, request, yaml_place(yaml_get(root, keys[1])), a,
                                       findings);
    }
    yaml_free(doc);
    return findings->errors == before;
}

void load_tests(struct loader *l, const struct yaml *root)
{
    const struct yaml *list = load_list(l, root, "tests", LOAD_OPTIONAL);
    const uint32_t count = (uint32_t)yaml_count(list);
    if (!count)
        return;
    l->bundle->tests = arena_array(l->a, struct policy_test, count);
    l->bundle->test_count = count;
    for (uint32_t i = 0; i < count; i++)
        load_test(l, yaml_item(list, i), &l->bundle->tests[i]);
}
