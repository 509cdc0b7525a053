// SPDX-License-Identifier: EUPL-1.2
/* `applications`: what is reached, under which host, by which means, behind which rules.
 * Owns: all keys of an application but its rules (load_rule.c) and its upstreams (load_upstream.c).
 * Whether hosts and upstreams are delegated is the charter's question, asked when a snapshot is
 * made. */
#include "base/field_name.h"
#include "policy/host.h"
#include "policy/load_in.h"

#define MAX_PROVIDERS 32 /* of one application: two with one issuer are looked for pair by pair */
#define GIB ((int64_t)1 << 30)
#define MIB ((int64_t)1 << 20)
#define SIGN_IN_MAX_BODY 65536 /* a provider's logout token is a few KiB */
#define MINUTE_S 60
#define HOUR_S (60 * MINUTE_S)
#define DAY_S (24 * HOUR_S)

void load_languages(struct loader *l, const struct yaml *map, const char *key, const char *what,
                    struct slice out[LANGUAGE_COUNT])
{
    static const struct slice languages[LANGUAGE_COUNT] = {
        [LANGUAGE_NL] = SLICE_INIT("nl"),
        [LANGUAGE_FR] = SLICE_INIT("fr"),
        [LANGUAGE_DE] = SLICE_INIT("de"),
        [LANGUAGE_EN] = SLICE_INIT("en"),
    };
    const struct yaml *names = load_map(l, map, key, LOAD_OPTIONAL);
    if (!names)
        return;
    (void)yaml_check_keys(names, what, languages, LANGUAGE_COUNT, l->out);
    for (size_t i = 0; i < LANGUAGE_COUNT; i++)
        (void)load_text(l, names, languages[i].ptr, LOAD_OPTIONAL, &out[i]);
}

static void load_host(struct loader *l, const struct yaml *map, struct application *app,
                      struct map *hosts)
{
    const struct yaml *n = load_member(l, map, "host", LOAD_REQUIRED);
    char room[HOST_MAX];
    struct slice text, host;
    uint16_t port;
    if (!n || !load_word(l, n, "host", &text))
        return;
    if (!host_parse(text, room, &host, &port)) {
        findings_error(
            l->out, yaml_place(n), "wrong-host",
            "'%.*s' is no host; allowed is a name such as tax.finance.example, no address, no '*'",
            SLICE_ARG(text));
    } else if (!slice_eq(host, text)) {
        findings_error(l->out, yaml_place(n), "wrong-host",
                       "a host is written in lower case, without port and last dot: '%.*s'",
                       SLICE_ARG(host));
    } else if (map_get(hosts, text)) {
        findings_error(l->out, yaml_place(n), "duplicate-host",
                       "the host '%.*s' is another application's too", SLICE_ARG(text));
    } else {
        app->host = text;
        (void)map_set(hosts, text, app);
    }
}

static const struct slice *provider_ids(const struct loader *l)
{
    struct slice *ids = arena_array(l->a, struct slice, l->bundle->provider_count + 1);
    for (uint32_t i = 0; i < l->bundle->provider_count; i++)
        ids[i] = l->bundle->providers[i].id;
    return ids;
}

static void add_provider(struct loader *l, const struct yaml *n, struct application *app)
{
    struct slice id;
    if (!load_word(l, n, "an identity provider", &id))
        return;
    const struct provider *p = map_get(&l->providers, id);
    if (!p) {
        load_unknown(l, yaml_place(n), "the identity provider", id, provider_ids(l),
                     l->bundle->provider_count);
        return;
    }
    for (uint32_t i = 0; i < app->provider_count; i++) {
        if (app->providers[i] == p) {
            findings_warn(l->out, yaml_place(n), "repeated", "'%.*s' is repeated", SLICE_ARG(id));
            return;
        }
        /* A token is given to a provider by its issuer or trust domain: with two, whose keys count
         * would be chance.
         */
        if (slice_eq(app->providers[i]->issuer, p->issuer) &&
            slice_eq(app->providers[i]->trust_domain, p->trust_domain))
            findings_error(l->out, yaml_place(n), "duplicate-issuer",
                           "'%.*s' and '%.*s' have one issuer or trust domain; an application may "
                           "use only one of them",
                           SLICE_ARG(app->providers[i]->id), SLICE_ARG(id));
    }
    app->providers[app->provider_count++] = p;
}

static void use_providers(struct loader *l, const struct yaml *map, struct application *app)
{
    const struct yaml *list = load_list(l, map, "identity_providers", LOAD_OPTIONAL);
    const size_t count = yaml_count(list);
    if (count > MAX_PROVIDERS) {
        findings_error(l->out, yaml_place(list), "too-many",
                       "identity_providers must have at most %d entries", MAX_PROVIDERS);
        return;
    }
    if (!count)
        return;
    app->providers = arena_array(l->a, const struct provider *, count);
    for (size_t i = 0; i < count; i++)
        add_provider(l, yaml_item(list, i), app);
    uint32_t asked = 0;
    for (uint32_t i = 0; i < app->provider_count; i++)
        asked += app->providers[i]->introspection.endpoint.len != 0;
    if (asked > 1)
        findings_error(l->out, yaml_place(list), "conflict",
                       "only one provider of an application can have 'introspection': an opaque "
                       "token does not say whose it is");
}

static void load_path_options(struct loader *l, const struct yaml *map,
                              struct path_options *options)
{
    static const struct slice allow = SLICE_INIT("allow"), fold = SLICE_INIT("fold");
    static const struct slice keys[] = {SLICE_INIT("encoded_slash"), SLICE_INIT("percent"),
                                        SLICE_INIT("parameters"), SLICE_INIT("empty_segments"),
                                        SLICE_INIT("case")};
    const struct yaml *paths = load_map(l, map, "paths", LOAD_OPTIONAL);
    uint32_t choice;
    if (!paths)
        return;
    (void)yaml_check_keys(paths, "paths", keys, COUNT_OF(keys), l->out);
    options->allow_encoded_slash =
        load_choice(l, paths, "encoded_slash", LOAD_OPTIONAL, &allow, 1, &choice);
    options->allow_percent = load_choice(l, paths, "percent", LOAD_OPTIONAL, &allow, 1, &choice);
    options->allow_parameters =
        load_choice(l, paths, "parameters", LOAD_OPTIONAL, &allow, 1, &choice);
    options->allow_empty_segments =
        load_choice(l, paths, "empty_segments", LOAD_OPTIONAL, &allow, 1, &choice);
    options->fold_case = load_choice(l, paths, "case", LOAD_OPTIONAL, &fold, 1, &choice);
}

static void load_limits(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice keys[] = {SLICE_INIT("body")};
    const struct yaml *limits = load_map(l, map, "limits", LOAD_OPTIONAL);
    int64_t body = GIB + MIB; /* a file of 1 GiB and what a form puts around it */
    if (limits) {
        (void)yaml_check_keys(limits, "limits", keys, COUNT_OF(keys), l->out);
        const struct yaml *n = load_member(l, limits, "body", LOAD_OPTIONAL);
        if (n)
            (void)yaml_bytes(n, "limits.body", 1, 1024 * GIB, &body, l->out);
    }
    app->max_body_bytes = (uint64_t)body;
}

/* RFC 6454 §6.2: what a browser says of itself: scheme, host, and a port that is not the scheme's.
 */
static bool is_origin(struct slice text)
{
    static const struct slice schemes[] = {SLICE_INIT("https://"), SLICE_INIT("http://")};
    static const uint16_t ports[] = {443, 80};
    char room[HOST_MAX];
    struct slice host;
    uint16_t port;
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (!slice_starts(text, schemes[i]))
            continue;
        const struct slice rest = slice_skip(text, schemes[i].len);
        return host_parse(rest, room, &host, &port) && slice_starts(rest, host) &&
               port != ports[i] && rest.ptr[rest.len - 1] != '.' && (port || host.len == rest.len);
    }
    return false;
}

static void load_websocket(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice keys[] = {SLICE_INIT("origins")};
    const struct yaml *websocket = load_map(l, map, "websocket", LOAD_OPTIONAL);
    if (!websocket)
        return;
    app->websocket = true;
    (void)yaml_check_keys(websocket, "websocket", keys, COUNT_OF(keys), l->out);
    if (!load_words(l, websocket, "origins", LOAD_OPTIONAL, &app->origins))
        return;
    for (uint32_t i = 0; i < app->origins.count; i++)
        if (!is_origin(app->origins.at[i]))
            findings_error(
                l->out, load_word_place(yaml_get(websocket, SLICE("origins")), app->origins.at[i]),
                "wrong-origin",
                "'%.*s' is no origin; allowed is https:// (or http://) with a host in "
                "lower case, a port only where it is not the usual one, and nothing "
                "behind",
                SLICE_ARG(app->origins.at[i]));
}

static void load_flag(struct loader *l, const struct yaml *map, const char *key, bool *out)
{
    const struct yaml *n = load_member(l, map, key, LOAD_OPTIONAL);
    if (n)
        (void)yaml_bool(n, key, out, l->out);
}

#define YEAR_S (365 * DAY_S)

static void load_hsts(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice keys[] = {SLICE_INIT("max_age"), SLICE_INIT("include_subdomains"),
                                        SLICE_INIT("preload")};
    const struct yaml *hsts = load_member(l, map, "hsts", LOAD_OPTIONAL);
    app->hsts_max_age_s = YEAR_S;
    if (!hsts)
        return;
    if (yaml_kind(hsts) == YAML_SCALAR && slice_eq(yaml_text(hsts), SLICE("off"))) {
        app->hsts_max_age_s = 0;
        return;
    }
    if (yaml_kind(hsts) != YAML_MAP) {
        findings_error(l->out, yaml_place(hsts), "wrong-kind", "hsts must be a map, or 'off'");
        return;
    }
    (void)yaml_check_keys(hsts, "hsts", keys, COUNT_OF(keys), l->out);
    (void)load_duration_s(l, hsts, "max_age", 1, (int64_t)10 * YEAR_S, &app->hsts_max_age_s);
    load_flag(l, hsts, "include_subdomains", &app->hsts_subdomains);
    load_flag(l, hsts, "preload", &app->hsts_preload);
    if (app->hsts_preload && (!app->hsts_subdomains || app->hsts_max_age_s < YEAR_S))
        findings_error(l->out, yaml_place(yaml_get(hsts, SLICE("preload"))), "conflict",
                       "browsers' lists take a host only with 'include_subdomains: true' and a "
                       "max_age of 365d or more");
}

static void load_device(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice modes[] = {
        [DEVICE_REQUIRED_BY_TLS] = SLICE_INIT("required_by_tls"),
        [DEVICE_REQUIRED] = SLICE_INIT("required"),
        [DEVICE_OPTIONAL] = SLICE_INIT("optional"),
        [DEVICE_NONE] = SLICE_INIT("none"),
    };
    uint32_t mode = 0;
    static const struct slice required[] = {SLICE_INIT("required")};
    uint32_t ignored;
    app->needs_inventory =
        load_choice(l, map, "inventory", LOAD_OPTIONAL, required, COUNT_OF(required), &ignored);
    if (!load_choice(l, map, "device", LOAD_REQUIRED, modes, COUNT_OF(modes), &mode))
        return;
    app->device = (enum device_mode)mode;
    if (app->device != DEVICE_NONE && !l->bundle->authority_count)
        findings_warn(
            l->out, yaml_place(yaml_get(map, SLICE("device"))), "no-authority",
            "a device is asked for, but there are no device_authorities, so none is ever known");
}

/* What is not said follows the other of the two: an idle time never outlives the whole. */
static void load_session_limits(struct loader *l, const struct yaml *map, const char *idle,
                                const char *absolute, struct session_limits *out)
{
    (void)load_duration_s(l, map, absolute, 5 * MINUTE_S, 7 * DAY_S, &out->absolute_s);
    if (out->idle_s > out->absolute_s)
        out->idle_s = out->absolute_s;
    /* That somebody was there is written down once a minute: less than five would end sessions in
     * use. */
    if (load_duration_s(l, map, idle, 5 * MINUTE_S, 7 * DAY_S, &out->idle_s) &&
        out->idle_s > out->absolute_s)
        findings_error(l->out, yaml_place(yaml_get(map, slice_of(idle))), "conflict",
                       "'%s' is longer than '%s', which ends the session before", idle, absolute);
}

static void load_sessions(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice allow = SLICE_INIT("allow");
    static const struct slice keys[] = {SLICE_INIT("idle"), SLICE_INIT("absolute"),
                                        SLICE_INIT("unbound"), SLICE_INIT("unbound_idle"),
                                        SLICE_INIT("unbound_absolute")};
    const struct yaml *sessions = load_map(l, map, "sessions", LOAD_OPTIONAL);
    struct session_options *s = &app->sessions;
    uint32_t choice;
    *s = (struct session_options){.bound = {HOUR_S, 10 * HOUR_S},
                                  .unbound = {15 * MINUTE_S, HOUR_S}};
    if (!sessions)
        return;
    (void)yaml_check_keys(sessions, "sessions", keys, COUNT_OF(keys), l->out);
    load_session_limits(l, sessions, "idle", "absolute", &s->bound);
    load_session_limits(l, sessions, "unbound_idle", "unbound_absolute", &s->unbound);
    s->allows_unbound = load_choice(l, sessions, "unbound", LOAD_OPTIONAL, &allow, 1, &choice);
    if (s->allows_unbound && app->device <= DEVICE_REQUIRED)
        findings_error(l->out, yaml_place(yaml_get(sessions, SLICE("unbound"))), "conflict",
                       "the application requires a device: no session of it can be unbound");
}

static void load_dpop(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice words[] = {SLICE_INIT("when_bound"), SLICE_INIT("required")};
    uint32_t choice = 0;
    if (load_choice(l, map, "dpop", LOAD_OPTIONAL, words, COUNT_OF(words), &choice))
        app->wants_proof = choice == 1;
}

/* A name that stays as it is when frameworks have read it, of a field that reaches the application
 * as the client sent it. */
static const char *header_fault(struct slice name)
{
    char room[FIELD_NAME_MAX_FOLDED];
    if (!slice_eq(field_fold(name, room), name))
        return "is no name of a header field; allowed are lower-case letters, digits and '-'";
    if (field_removal(name) != FIELD_STAYS)
        return "never reaches an application from its client, so no rule may rest on it";
    if (slice_eq(name, SLICE("authorization")) || slice_eq(name, SLICE("cookie")))
        return "holds secrets; conditions have the facts of 'user' for it";
    return NULL;
}

static void load_facts(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice keys[] = {SLICE_INIT("headers")};
    const struct yaml *facts = load_map(l, map, "facts", LOAD_OPTIONAL);
    if (!facts)
        return;
    (void)yaml_check_keys(facts, "facts", keys, COUNT_OF(keys), l->out);
    (void)load_words(l, facts, "headers", LOAD_OPTIONAL, &app->headers);
    for (uint32_t i = 0; i < app->headers.count; i++) {
        const char *fault = header_fault(app->headers.at[i]);
        if (fault)
            findings_error(l->out,
                           load_word_place(yaml_get(facts, SLICE("headers")), app->headers.at[i]),
                           "wrong-header", "'%.*s' %s", SLICE_ARG(app->headers.at[i]), fault);
    }
}

struct seen {
    struct map ids;
    struct map hosts;
};

static void load_application(struct loader *l, const struct yaml *map, struct application *app,
                             struct seen *seen)
{
    static const struct slice keys[] = {
        SLICE_INIT("id"),
        SLICE_INIT("name"),
        SLICE_INIT("host"),
        SLICE_INIT("device"),
        SLICE_INIT("inventory"),
        SLICE_INIT("upstreams"),
        SLICE_INIT("upstream_tls"),
        SLICE_INIT("health"),
        SLICE_INIT("timeouts"),
        SLICE_INIT("queue"),
        SLICE_INIT("max_connections"),
        SLICE_INIT("retries"),
        SLICE_INIT("identity_providers"),
        SLICE_INIT("paths"),
        SLICE_INIT("facts"),
        SLICE_INIT("forward_token"),
        SLICE_INIT("client_cert"),
        SLICE_INIT("limits"),
        SLICE_INIT("websocket"),
        SLICE_INIT("hsts"),
        SLICE_INIT("sessions"),
        SLICE_INIT("dpop"),
        SLICE_INIT("rules"),
    };
    app->entity = l->bundle->entity;
    app->place = yaml_place(map);
    if (yaml_kind(map) != YAML_MAP) {
        findings_error(l->out, app->place, "wrong-kind", "an application must be a map");
        return;
    }
    (void)yaml_check_keys(map, "an application", keys, COUNT_OF(keys), l->out);
    if (load_id(l, map, "id", &app->id))
        (void)load_unique(l, &seen->ids, app->id, map, app);
    load_languages(l, map, "name", "a name", app->name);
    load_host(l, map, app, &seen->hosts);
    load_device(l, map, app);
    load_upstreams(l, map, app);
    use_providers(l, map, app);
    load_path_options(l, map, &app->paths);
    load_flag(l, map, "forward_token", &app->forward_token);
    load_flag(l, map, "client_cert", &app->client_cert);
    load_dpop(l, map, app);
    load_limits(l, map, app);
    load_websocket(l, map, app);
    load_hsts(l, map, app);
    load_sessions(l, map, app);
    load_facts(l, map, app);
    l->names.headers = app->headers;
    load_rules(l, map, app);
}

/* `sign_in`: the host on which all applications of the entity have people sent back by the
 * providers. A door like an application's, but that no certificate is asked for (providers call it,
 * too) and that there is nothing behind it. */
static void load_login_host(struct loader *l, const struct yaml *root, struct application *app,
                            struct seen *seen)
{
    static const struct slice keys[] = {SLICE_INIT("host"), SLICE_INIT("hsts")};
    const struct yaml *map = load_map(l, root, "sign_in", LOAD_REQUIRED);
    if (!map)
        return;
    (void)yaml_check_keys(map, "sign_in", keys, COUNT_OF(keys), l->out);
    app->id = SLICE("sign-in");
    app->entity = l->bundle->entity;
    app->place = yaml_place(map);
    app->is_sign_in = true;
    app->device = DEVICE_NONE;
    app->max_body_bytes = SIGN_IN_MAX_BODY;
    (void)load_unique(l, &seen->ids, app->id, map, app);
    load_host(l, map, app, &seen->hosts);
    load_hsts(l, map, app);
    l->bundle->sign_in = app;
}

void load_applications(struct loader *l, const struct yaml *root)
{
    const struct yaml *list = load_list(l, root, "applications", LOAD_REQUIRED);
    const uint32_t count = (uint32_t)yaml_count(list);
    struct seen seen;
    if (!count)
        return;
    const bool has_sign_in = yaml_get(root, SLICE("sign_in")) != NULL;
    map_init(&seen.ids);
    map_init(&seen.hosts);
    l->bundle->applications = arena_array(l->a, struct application, count + has_sign_in);
    l->bundle->application_count = count + has_sign_in;
    for (uint32_t i = 0; i < count; i++)
        load_application(l, yaml_item(list, i), &l->bundle->applications[i], &seen);
    if (has_sign_in)
        load_login_host(l, root, &l->bundle->applications[count], &seen);
    map_fini(&seen.ids);
    map_fini(&seen.hosts);
}
