// SPDX-License-Identifier: EUPL-1.2
/* Reads belfry.yaml by the table in config.def. All that is wrong is found at once; unknown keys
 * are errors. */
#include "proxy/config.h"

#include <stddef.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/network.h"
#include "base/yaml.h"

#define CONFIG_MAX_BYTES 1048576

enum kind { DURATION, BYTES, COUNT, TEXT, SPECIAL };

struct key {
    struct slice section;
    struct slice name;
    struct slice full; /* "section.name" */
    enum kind kind;
    size_t member;    /* offset in struct config; 0 with SPECIAL */
    const char *text; /* TEXT: the default; NULL: required */
    int64_t number;   /* the default of a number */
    int64_t min;
    int64_t max;
};

static const struct key keys[] = {
#define TEXT(section, name, member, def, help)                                                     \
    {SLICE_INIT(section),                                                                          \
     SLICE_INIT(name),                                                                             \
     SLICE_INIT(section "." name),                                                                 \
     TEXT,                                                                                         \
     offsetof(struct config, member),                                                              \
     def,                                                                                          \
     0,                                                                                            \
     0,                                                                                            \
     0},
#define NUMBER(section, name, kind, member, def, min, max, help)                                   \
    {SLICE_INIT(section),                                                                          \
     SLICE_INIT(name),                                                                             \
     SLICE_INIT(section "." name),                                                                 \
     kind,                                                                                         \
     offsetof(struct config, member),                                                              \
     NULL,                                                                                         \
     def,                                                                                          \
     min,                                                                                          \
     max},
#define SPECIAL(section, name, help)                                                               \
    {SLICE_INIT(section),                                                                          \
     SLICE_INIT(name),                                                                             \
     SLICE_INIT(section "." name),                                                                 \
     SPECIAL,                                                                                      \
     0,                                                                                            \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     0},
#include "proxy/config.def"
#undef TEXT
#undef NUMBER
#undef SPECIAL
};
#define KEY_COUNT (sizeof keys / sizeof *keys)

/* A copy with a NUL behind that is not counted: paths go to the system. */
static struct slice arena_text(struct arena *a, struct slice text)
{
    return arena_printf(a, "%.*s", SLICE_ARG(text));
}

/* The words of one map: a section's keys, or the top level's keys and sections. */
static size_t names_of(struct slice section, struct slice out[KEY_COUNT])
{
    size_t n = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        struct slice name = slice_eq(keys[i].section, section) ? keys[i].name
                            : !section.len                     ? keys[i].section
                                                               : (struct slice){0};
        bool is_there = !name.len;
        for (size_t j = 0; j < n && !is_there; j++)
            is_there = slice_eq(out[j], name);
        if (!is_there)
            out[n++] = name;
    }
    return n;
}

static void what_of(const struct key *k, char out[64])
{
    (void)snprintf(out, 64, "%.*s%s%.*s", SLICE_ARG(k->section), k->section.len ? "." : "",
                   SLICE_ARG(k->name));
}

static const struct yaml *node_of(const struct yaml *root, const struct key *k)
{
    const struct yaml *map = k->section.len ? yaml_get(root, k->section) : root;
    return yaml_get(map, k->name);
}

static void read_key(struct config *c, const struct yaml *root, const struct key *k,
                     struct findings *f)
{
    const struct yaml *n = node_of(root, k);
    char what[64];
    void *member = (char *)c + k->member;
    what_of(k, what);
    switch (k->kind) {
    case TEXT:
        *(struct slice *)member = k->text ? slice_of(k->text) : SLICE("");
        if (yaml_kind(n) == YAML_SCALAR)
            *(struct slice *)member = arena_text(&c->arena, yaml_text(n));
        else if (yaml_kind(n) != YAML_MISSING)
            findings_error(f, yaml_place(n), "wrong-type", "%s is a text", what);
        if (!k->text && yaml_kind(n) == YAML_MISSING)
            findings_error(f, yaml_place(root), "missing-key", "'%s' is missing", what);
        else if (!k->text && yaml_kind(n) == YAML_SCALAR && !((struct slice *)member)->len)
            findings_error(f, yaml_place(n), "missing-key", "'%s' is empty", what);
        return;
    case DURATION:
    case BYTES:
    case COUNT:
        *(int64_t *)member = k->number;
        if (yaml_kind(n) == YAML_MISSING)
            return;
        if (k->kind == DURATION)
            (void)yaml_duration_ms(n, what, k->min, k->max, member, f);
        else if (k->kind == BYTES)
            (void)yaml_bytes(n, what, k->min, k->max, member, f);
        else
            (void)yaml_int(n, what, k->min, k->max, member, f);
        return;
    case SPECIAL:
        return;
    }
}

static void check_keys(const struct yaml *root, struct findings *f)
{
    struct slice names[KEY_COUNT];
    (void)yaml_check_keys(root, "the configuration", names, names_of(SLICE(""), names), f);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct yaml *section = keys[i].section.len ? yaml_get(root, keys[i].section) : NULL;
        bool is_first = !i || !slice_eq(keys[i - 1].section, keys[i].section);
        char what[64];
        if (!section || !is_first)
            continue;
        (void)snprintf(what, sizeof what, "%.*s", SLICE_ARG(keys[i].section));
        (void)yaml_check_keys(section, what, names, names_of(keys[i].section, names), f);
    }
}

static void read_proxies(struct config *c, const struct yaml *list, struct config_listener *l,
                         struct findings *f)
{
    if (yaml_kind(list) != YAML_LIST || !yaml_count(list) ||
        yaml_count(list) > CONFIG_MAX_PROXIES) {
        findings_error(f, yaml_place(list), "wrong-type",
                       "'proxy_protocol_from' is a list of 1 to %d networks such as \"10.0.0.0/8\"",
                       CONFIG_MAX_PROXIES);
        return;
    }
    l->proxies = arena_array(&c->arena, struct network, yaml_count(list));
    for (size_t i = 0; i < yaml_count(list); i++) {
        const struct yaml *n = yaml_item(list, i);
        if (!network_parse(&l->proxies[l->proxy_count++], yaml_text(n)))
            findings_error(f, yaml_place(n), "bad-network",
                           "'%.*s' is no network; \"10.0.0.0/8\" or \"::1/128\" is",
                           SLICE_ARG(yaml_text(n)));
    }
}

/* An address alone, or { address, proxy_protocol_from }. */
static void read_listener(struct config *c, const struct yaml *n, struct findings *f)
{
    static const struct slice names[] = {SLICE_INIT("address"), SLICE_INIT("proxy_protocol_from")};
    struct config_listener *l = &c->listen[c->listen_count++];
    const struct yaml *text = n;
    struct sockaddr_storage address;
    socklen_t len;
    if (yaml_kind(n) == YAML_MAP) {
        const struct yaml *proxies = yaml_get(n, SLICE("proxy_protocol_from"));
        (void)yaml_check_keys(n, "a listener", names, 2, f);
        text = yaml_get(n, SLICE("address"));
        if (proxies)
            read_proxies(c, proxies, l, f);
    }
    l->address = arena_copy(&c->arena, yaml_text(text));
    if (!address_parse(&address, &len, l->address))
        findings_error(f, yaml_place(text ? text : n), "bad-address",
                       "'%.*s' is no address with a port; \"127.0.0.1:8443\" or \"[::1]:8443\" is",
                       SLICE_ARG(l->address));
}

static void read_listen(struct config *c, const struct yaml *root, struct findings *f)
{
    const struct yaml *list = yaml_get(root, SLICE("listen"));
    if (yaml_kind(list) != YAML_LIST || !yaml_count(list) ||
        yaml_count(list) > CONFIG_MAX_LISTENERS) {
        findings_error(f, list ? yaml_place(list) : yaml_place(root), "missing-key",
                       "'listen' is a list of 1 to %d addresses such as \"127.0.0.1:8443\"",
                       CONFIG_MAX_LISTENERS);
        return;
    }
    c->listen = arena_array(&c->arena, struct config_listener, yaml_count(list));
    for (size_t i = 0; i < yaml_count(list); i++)
        read_listener(c, yaml_item(list, i), f);
}

static void read_federation_key(struct config *c, const struct yaml *n, struct findings *f)
{
    static const struct slice names[] = {SLICE_INIT("id"), SLICE_INIT("public")};
    struct envelope_key *k = &c->federation_keys[c->federation_key_count];
    struct slice text = yaml_text(yaml_get(n, SLICE("public")));
    struct fault fault;
    uint8_t raw[64];
    size_t len = 0;
    if (!yaml_check_keys(n, "a federation key", names, 2, f))
        return;
    k->id = arena_copy(&c->arena, yaml_text(yaml_get(n, SLICE("id"))));
    if (!k->id.len) {
        findings_error(f, yaml_place(n), "missing-key", "a federation key has an 'id'");
        return;
    }
    if (text.len > 48 || !base64_decode(raw, &len, text) || len != ED25519_KEY_BYTES ||
        !public_key_ed25519(&k->key, slice_from(raw, len), &fault)) {
        findings_error(f, yaml_place(n), "bad-key",
                       "'public' is no Ed25519 key: 32 bytes in base64 are wanted, as 'belfry key "
                       "show' prints them");
        return;
    }
    c->federation_key_count++;
}

static void read_trust(struct config *c, const struct yaml *root, struct findings *f)
{
    const struct yaml *list = yaml_get(yaml_get(root, SLICE("trust")), SLICE("federation_keys"));
    if (yaml_kind(list) != YAML_LIST || !yaml_count(list) ||
        yaml_count(list) > ENVELOPE_SIGNATURES_MAX) {
        findings_error(f, list ? yaml_place(list) : yaml_place(root), "missing-key",
                       "'trust.federation_keys' is a list of 1 to %d keys { id, public }: without "
                       "it nobody's rules "
                       "are trusted",
                       ENVELOPE_SIGNATURES_MAX);
        return;
    }
    c->federation_keys = arena_array(&c->arena, struct envelope_key, yaml_count(list));
    for (size_t i = 0; i < yaml_count(list); i++)
        read_federation_key(c, yaml_item(list, i), f);
}

static void read_store(struct config *c, const struct yaml *root, struct findings *f)
{
    const struct yaml *store = yaml_get(root, SLICE("store"));
    const struct yaml *cleartext = yaml_get(store, SLICE("cleartext"));
    struct sockaddr_storage address;
    socklen_t len;
    struct fault fault;
    char text[300];
    if (!c->store_url.len)
        return;
    if (!redis_address_parse(&c->store, c->store_url, &fault)) {
        findings_error(f, yaml_place(yaml_get(store, SLICE("url"))), "bad-url", "%s", fault.text);
        return;
    }
    if (cleartext && !slice_eq(yaml_text(cleartext), SLICE("accepted"))) {
        findings_error(f, yaml_place(cleartext), "wrong-value",
                       "store.cleartext can only be 'accepted'");
        return;
    }
    /* What is not on this machine goes through TLS, or somebody has said otherwise. */
    (void)snprintf(text, sizeof text, strchr(c->store.host, ':') ? "[%s]:1" : "%s:1",
                   c->store.host);
    bool is_near = !c->store.host[0] || strcmp(c->store.host, "localhost") == 0 ||
                   (address_parse(&address, &len, slice_of(text)) &&
                    address_is_loopback((const struct sockaddr *)&address));
    if (!is_near && !cleartext)
        findings_error(f, yaml_place(yaml_get(store, SLICE("url"))), "cleartext-store",
                       "the store is on another machine and redis:// has no TLS; put stunnel on "
                       "loopback in front "
                       "(docs/operations.md), or say store.cleartext: accepted");
}

static void read_admin(const struct config *c, const struct yaml *root, struct findings *f)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (c->admin_listen.len && !address_parse(&address, &len, c->admin_listen))
        findings_error(f, yaml_place(yaml_get(yaml_get(root, SLICE("admin")), SLICE("listen"))),
                       "bad-address", "'%.*s' is no address with a port",
                       SLICE_ARG(c->admin_listen));
}

static bool is_server(struct slice text)
{
    struct sockaddr_storage address;
    socklen_t len;
    char with_port[80];
    if (text.len > 60)
        return false;
    (void)snprintf(with_port, sizeof with_port, "%.*s:53", SLICE_ARG(text));
    return address_parse(&address, &len, text) ? address_port((const struct sockaddr *)&address)
                                               : address_parse(&address, &len, slice_of(with_port));
}

static void read_dns(struct config *c, const struct yaml *root, struct findings *f)
{
    const struct yaml *list = yaml_get(yaml_get(root, SLICE("dns")), SLICE("servers"));
    struct slice *servers;
    if (!list)
        return;
    if (yaml_kind(list) != YAML_LIST || !yaml_count(list) ||
        yaml_count(list) > CONFIG_MAX_DNS_SERVERS) {
        findings_error(
            f, yaml_place(list), "wrong-type",
            "'dns.servers' is a list of 1 to %d addresses; leave it out for the system's",
            CONFIG_MAX_DNS_SERVERS);
        return;
    }
    servers = arena_array(&c->arena, struct slice, yaml_count(list));
    for (size_t i = 0; i < yaml_count(list); i++) {
        const struct yaml *n = yaml_item(list, i);
        if (!is_server(yaml_text(n)))
            findings_error(f, yaml_place(n), "bad-address",
                           "'%.*s' is no address; 10.0.0.53, \"127.0.0.1:5353\" or \"[::1]\" is",
                           SLICE_ARG(yaml_text(n)));
        servers[i] = arena_copy(&c->arena, yaml_text(n));
    }
    c->dns_servers = (struct slices){servers, (uint32_t)yaml_count(list)};
}

static void read_rest(struct config *c, const struct yaml *root, struct findings *f)
{
    const struct yaml *durability = yaml_get(yaml_get(root, SLICE("audit")), SLICE("durability"));
    const struct yaml *facts = yaml_get(yaml_get(root, SLICE("audit")), SLICE("facts"));
    const struct yaml *sandbox = yaml_get(root, SLICE("sandbox"));
    const struct yaml *unknown =
        yaml_get(yaml_get(root, SLICE("store")), SLICE("revocations_unknown"));
    struct slice word = durability ? yaml_text(durability) : SLICE("written");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    c->audit_synced = slice_eq(word, SLICE("synced"));
    if (!c->audit_synced && !slice_eq(word, SLICE("written")))
        findings_error(f, yaml_place(durability), "wrong-value",
                       "audit.durability is 'written' or 'synced'");
    word = facts ? yaml_text(facts) : SLICE("sealed");
    c->audit_holds_facts = slice_eq(word, SLICE("sealed"));
    if (!c->audit_holds_facts && !slice_eq(word, SLICE("none")))
        findings_error(f, yaml_place(facts), "wrong-value", "audit.facts is 'sealed' or 'none'");
    word = unknown ? yaml_text(unknown) : SLICE("go_on");
    c->refuses_unknown = slice_eq(word, SLICE("refuse"));
    if (!c->refuses_unknown && !slice_eq(word, SLICE("go_on")))
        findings_error(f, yaml_place(unknown), "wrong-value",
                       "store.revocations_unknown is 'go_on' or 'refuse'");
    word = sandbox ? yaml_text(sandbox) : SLICE("on");
    c->is_sandboxed = slice_eq(word, SLICE("on"));
    if (!c->is_sandboxed && !slice_eq(word, SLICE("off")))
        findings_error(f, yaml_place(sandbox), "wrong-value", "sandbox is 'on' or 'off'");
    if (!logger_level_named(c->log_level_name.ptr, &c->log_level))
        findings_error(f, yaml_place(yaml_get(yaml_get(root, SLICE("log")), SLICE("level"))),
                       "wrong-value", "log.level is error, warning, notice, info or debug");
    if (!c->workers)
        c->workers = cores > 0 && cores <= CONFIG_MAX_WORKERS ? cores : 1;
}

struct config *config_read(const char *path, struct findings *out)
{
    struct config *c = mem_new(struct config);
    struct slice text = {0};
    struct fault fault = {0};
    struct yaml_doc *doc = NULL;
    size_t errors = out->errors;
    arena_init(&c->arena, NULL);
    c->path = arena_text(&c->arena, slice_of(path));
    if (!file_read(&text, path, CONFIG_MAX_BYTES, &fault))
        findings_error(out, fault.place, "cannot-read", "%s", fault.text);
    else
        doc = yaml_parse(text, path, out);
    if (doc) {
        const struct yaml *root = yaml_root(doc);
        check_keys(root, out);
        for (size_t i = 0; i < KEY_COUNT; i++)
            read_key(c, root, &keys[i], out);
        read_listen(c, root, out);
        read_trust(c, root, out);
        read_store(c, root, out);
        read_admin(c, root, out);
        read_dns(c, root, out);
        read_rest(c, root, out);
    }
    yaml_free(doc);
    mem_slice_free(&text);
    if (out->errors == errors)
        return c;
    config_free(c);
    return NULL;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->federation_key_count; i++)
        public_key_fini(&c->federation_keys[i].key);
    arena_fini(&c->arena);
    mem_free(c);
}

bool config_listens_on(const struct config *c, uint16_t port)
{
    for (uint32_t i = 0; i < c->listen_count; i++) {
        struct slice rest = c->listen[i].address;
        struct slice last = rest;
        uint64_t n;
        while (rest.len)
            last = slice_cut(&rest, ':');
        if (slice_u64(last, 65535, &n) && n == port)
            return true;
    }
    return false;
}

/* What the parts of a running gateway look up anew, or are handed by a reload; all else was taken
 * at the start. */
static bool is_reloadable(const struct key *k)
{
    static const struct slice names[] = {
        SLICE_INIT(".certificates_dir"), SLICE_INIT(".keys_dir"), SLICE_INIT(".secrets_dir"),
        SLICE_INIT("trust.min_charter_serial"), SLICE_INIT("log.level")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq(k->full, names[i]))
            return true;
    return false;
}

static bool differs(const struct config *a, const struct config *b, const struct key *k)
{
    const void *x = (const char *)a + k->member;
    const void *y = (const char *)b + k->member;
    switch (k->kind) {
    case TEXT:
        return !slice_eq(*(const struct slice *)x, *(const struct slice *)y);
    case DURATION:
    case BYTES:
    case COUNT:
        return *(const int64_t *)x != *(const int64_t *)y;
    case SPECIAL:
        return false;
    }
    return true;
}

static bool lists_differ(const struct slice *a, uint32_t a_count, const struct slice *b,
                         uint32_t b_count)
{
    if (a_count != b_count)
        return true;
    for (uint32_t i = 0; i < a_count; i++)
        if (!slice_eq(a[i], b[i]))
            return true;
    return false;
}

static bool listener_differs(const struct config_listener *a, const struct config_listener *b)
{
    return !slice_eq(a->address, b->address) || a->proxy_count != b->proxy_count ||
           (a->proxy_count &&
            memcmp(a->proxies, b->proxies, a->proxy_count * sizeof *a->proxies) != 0);
}

static bool listens_differ(const struct config *a, const struct config *b)
{
    if (a->listen_count != b->listen_count)
        return true;
    for (uint32_t i = 0; i < a->listen_count; i++)
        if (listener_differs(&a->listen[i], &b->listen[i]))
            return true;
    return false;
}

struct slice config_fixed_difference(const struct config *a, const struct config *b)
{
    if (listens_differ(a, b))
        return SLICE("listen");
    if (lists_differ(a->dns_servers.at, a->dns_servers.count, b->dns_servers.at,
                     b->dns_servers.count))
        return SLICE("dns.servers");
    if (a->audit_synced != b->audit_synced)
        return SLICE("audit.durability");
    if (a->audit_holds_facts != b->audit_holds_facts)
        return SLICE("audit.facts");
    if (a->refuses_unknown != b->refuses_unknown)
        return SLICE("store.revocations_unknown");
    if (a->is_sandboxed != b->is_sandboxed)
        return SLICE("sandbox");
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (!is_reloadable(&keys[i]) && differs(a, b, &keys[i]))
            return slice_skip(keys[i].full, !keys[i].section.len);
    return (struct slice){0};
}
