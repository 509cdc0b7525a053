// SPDX-License-Identifier: EUPL-1.2
/* What an application says of its upstreams: where they are, how they show who they are, whether
 * they are asked how they are, and how much of them is used for how long.
 * Owns: all keys of an application that are about upstreams. Does not own: where names lead, and
 * whether that is allowed: judged by the charter's networks when a connection is made. */
#include "base/hash.h"
#include "policy/host.h"
#include "policy/load_in.h"

#define MAX_UPSTREAMS 64

/* ---- upstreams ---- */

static const struct scheme {
    struct slice text;
    uint16_t port;
} schemes[] = {
    [UPSTREAM_HTTP] = {SLICE_INIT("http://"), 80},
    [UPSTREAM_HTTPS] = {SLICE_INIT("https://"), 443},
    [UPSTREAM_H2C] = {SLICE_INIT("h2c://"), 80},
    [UPSTREAM_H2] = {SLICE_INIT("h2://"), 443},
};

static bool parse_address(struct loader *l, struct slice text, struct upstream *up)
{
    const struct slice with_port =
        arena_printf(l->a, "%.*s:%u", SLICE_ARG(text), (unsigned)schemes[up->scheme].port);
    if (!address_parse(&up->address, &up->address_len, text) &&
        !address_parse(&up->address, &up->address_len, with_port))
        return false;
    up->port = address_port((const struct sockaddr *)&up->address);
    return up->port != 0;
}

static bool parse_name(struct loader *l, struct slice text, struct upstream *up)
{
    char room[HOST_MAX];
    struct slice host, written = text;
    uint16_t port;
    written = slice_cut(&written, ':');
    if (!host_parse(text, room, &host, &port) || !slice_eq(written, host))
        return false;
    up->host = arena_copy(l->a, host);
    up->port = port ? port : schemes[up->scheme].port;
    return true;
}

static bool parse_upstream(struct loader *l, struct upstream *up)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (!slice_starts(up->text, schemes[i].text))
            continue;
        const struct slice rest = slice_skip(up->text, schemes[i].text.len);
        up->scheme = (enum upstream_scheme)i;
        return parse_address(l, rest, up) || parse_name(l, rest, up);
    }
    return false;
}

/* `http://a` and `http://a:80` are one. */
static bool is_same(const struct upstream *a, const struct upstream *b)
{
    return a->scheme == b->scheme && a->port == b->port && slice_eq(a->host, b->host) &&
           a->address_len == b->address_len &&
           memcmp(&a->address, &b->address, a->address_len) == 0;
}

static void load_upstream(struct loader *l, const struct yaml *n, struct application *app)
{
    struct upstream *up = &app->upstreams[app->upstream_count];
    *up = (struct upstream){0};
    if (!load_word(l, n, "an upstream", &up->text))
        return;
    if (!parse_upstream(l, up)) {
        findings_error(
            l->out, yaml_place(n), "wrong-upstream",
            "'%.*s' is no upstream; allowed is http://, https://, h2c:// or h2:// with a "
            "host in lower case or an address, a port if need be, and nothing behind, "
            "such as https://tax.internal.example or http://[::1]:9001",
            SLICE_ARG(up->text));
        return;
    }
    for (uint32_t i = 0; i < app->upstream_count; i++) {
        if (is_same(&app->upstreams[i], up)) {
            findings_warn(l->out, yaml_place(n), "repeated", "'%.*s' is repeated",
                          SLICE_ARG(up->text));
            return;
        }
    }
    /* Which of them has a request would decide whether others on the wire can read it. */
    if (app->upstream_count && upstream_is_tls(&app->upstreams[0]) != upstream_is_tls(up)) {
        findings_error(l->out, yaml_place(n), "mixed-upstreams",
                       "'%.*s' and '%.*s' can't serve one application: one goes over TLS and the "
                       "other does not",
                       SLICE_ARG(app->upstreams[0].text), SLICE_ARG(up->text));
        return;
    }
    app->upstream_count++;
}

static void load_list_of_upstreams(struct loader *l, const struct yaml *map,
                                   struct application *app)
{
    const struct yaml *list = load_list(l, map, "upstreams", LOAD_REQUIRED);
    const size_t count = yaml_count(list);
    if (!list)
        return;
    if (!count || count > MAX_UPSTREAMS) {
        findings_error(l->out, yaml_place(list), count ? "too-many" : "empty-list",
                       "upstreams must have from 1 to %d entries", MAX_UPSTREAMS);
        return;
    }
    app->upstreams = arena_array(l->a, struct upstream, count);
    for (size_t i = 0; i < count; i++)
        load_upstream(l, yaml_item(list, i), app);
}

/* ---- TLS towards them ---- */

static bool is_address(struct loader *l, struct slice text)
{
    struct network one;
    const bool is_v6 = text.len && memchr(text.ptr, ':', text.len);
    return network_parse(&one, arena_printf(l->a, "%.*s/%d", SLICE_ARG(text), is_v6 ? 128 : 32));
}

static bool is_name(struct slice text)
{
    char room[HOST_MAX];
    struct slice host;
    uint16_t port;
    return host_parse(text, room, &host, &port) && slice_eq(host, text);
}

static void load_tls_name(struct loader *l, const struct yaml *tls, struct application *app)
{
    const struct yaml *n = load_member(l, tls, "name", LOAD_OPTIONAL);
    struct slice name;
    if (n) {
        if (!load_word(l, n, "name", &name))
            return;
        if (is_name(name) || is_address(l, name))
            app->tls.name = name;
        else
            findings_error(l->out, yaml_place(n), "wrong-host",
                           "'%.*s' is no host in lower case and no address", SLICE_ARG(name));
        return;
    }
    for (uint32_t i = 0; i < app->upstream_count; i++) {
        if (!app->upstreams[i].host.len) {
            findings_error(l->out, yaml_place(tls), "missing-key",
                           "the key 'name' is missing: '%.*s' is an address, so it must be said "
                           "whose certificate is expected there",
                           SLICE_ARG(app->upstreams[i].text));
            return;
        }
    }
}

static void digest_tls(struct loader *l, struct application *app)
{
    const struct slice parts[] = {
        SLICE("belfry upstream 1"),
        l->bundle->entity,
        app->tls.ca_pem,
        app->tls.name,
        app->tls.shows_certificate ? SLICE("1") : SLICE("0"),
    };
    sha256_parts(app->tls.digest, parts, COUNT_OF(parts));
}

static void load_tls(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice keys[] = {SLICE_INIT("ca_file"), SLICE_INIT("ca_pem"),
                                        SLICE_INIT("name"), SLICE_INIT("client_certificate")};
    const struct yaml *tls = load_map(l, map, "upstream_tls", LOAD_OPTIONAL), *n;
    const bool needs_tls = app->upstream_count && upstream_is_tls(&app->upstreams[0]);
    if (!tls) {
        if (needs_tls && !yaml_get(map, SLICE("upstream_tls")))
            findings_error(l->out, yaml_place(map), "missing-key",
                           "the key 'upstream_tls' is missing: '%.*s' needs to know by which "
                           "authorities it is vouched for",
                           SLICE_ARG(app->upstreams[0].text));
        return;
    }
    if (app->upstream_count && !needs_tls) {
        findings_error(l->out, yaml_place(tls), "conflict",
                       "upstream_tls is for https:// and h2:// only");
        return;
    }
    (void)yaml_check_keys(tls, "upstream_tls", keys, COUNT_OF(keys), l->out);
    load_ca(l, tls, &app->tls.ca_pem);
    load_tls_name(l, tls, app);
    if ((n = load_member(l, tls, "client_certificate", LOAD_OPTIONAL)))
        (void)yaml_bool(n, "client_certificate", &app->tls.shows_certificate, l->out);
    digest_tls(l, app);
}

/* ---- how they are, and how much of them ---- */

static void load_number(struct loader *l, const struct yaml *map, const char *key, uint32_t least,
                        uint32_t most, uint32_t *out)
{
    const struct yaml *n = load_member(l, map, key, LOAD_OPTIONAL);
    int64_t number = 0;
    if (n && yaml_int(n, key, least, most, &number, l->out))
        *out = (uint32_t)number;
}

static void load_time(struct loader *l, const struct yaml *map, const char *key, const char *what,
                      int64_t least_ms, int64_t most_ms, int64_t *out)
{
    const struct yaml *n = load_member(l, map, key, LOAD_OPTIONAL);
    if (n)
        (void)yaml_duration_ms(n, what, least_ms, most_ms, out, l->out);
}

/* RFC 9110 §4.1, RFC 3986 §3.3, §3.4: it becomes a request's target as it is. */
static bool is_target(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~' || strchr("\"#<>\\^`{|}", text.ptr[i]))
            return false;
    return slice_starts(text, SLICE("/"));
}

static void load_health(struct loader *l, const struct yaml *map, struct health *health)
{
    static const struct slice keys[] = {SLICE_INIT("path"), SLICE_INIT("interval"),
                                        SLICE_INIT("timeout"), SLICE_INIT("fall"),
                                        SLICE_INIT("rise")};
    const struct yaml *checks = load_map(l, map, "health", LOAD_OPTIONAL);
    struct slice path;
    if (!checks)
        return;
    (void)yaml_check_keys(checks, "health", keys, COUNT_OF(keys), l->out);
    *health = (struct health){.interval_ms = 10000, .timeout_ms = 2000, .fall = 3, .rise = 2};
    load_time(l, checks, "interval", "health.interval", 500, 3600000, &health->interval_ms);
    load_time(l, checks, "timeout", "health.timeout", 50, 60000, &health->timeout_ms);
    load_number(l, checks, "fall", 1, 100, &health->fall);
    load_number(l, checks, "rise", 1, 100, &health->rise);
    if (!load_text(l, checks, "path", LOAD_REQUIRED, &path))
        return;
    if (is_target(path))
        health->path = path;
    else
        findings_error(l->out, yaml_place(yaml_get(checks, SLICE("path"))), "wrong-value",
                       "'%.*s' is no path; it begins with '/' and has only characters that a URL "
                       "has, no '#'",
                       SLICE_ARG(path));
}

static void load_timeouts(struct loader *l, const struct yaml *map, struct application *app)
{
    static const struct slice keys[] = {SLICE_INIT("connect"), SLICE_INIT("first_byte"),
                                        SLICE_INIT("idle"), SLICE_INIT("total"),
                                        SLICE_INIT("queue")};
    const struct yaml *timeouts = load_map(l, map, "timeouts", LOAD_OPTIONAL);
    app->connect_ms = 5000;
    app->first_byte_ms = 60000;
    app->idle_ms = 60000;
    app->queue_ms = 5000;
    if (!timeouts)
        return;
    (void)yaml_check_keys(timeouts, "timeouts", keys, COUNT_OF(keys), l->out);
    load_time(l, timeouts, "connect", "timeouts.connect", 10, 60000, &app->connect_ms);
    load_time(l, timeouts, "first_byte", "timeouts.first_byte", 10, 3600000, &app->first_byte_ms);
    load_time(l, timeouts, "idle", "timeouts.idle", 10, 86400000, &app->idle_ms);
    load_time(l, timeouts, "total", "timeouts.total", 10, 7 * 86400000, &app->total_ms);
    load_time(l, timeouts, "queue", "timeouts.queue", 10, 60000, &app->queue_ms);
}

void load_upstreams(struct loader *l, const struct yaml *map, struct application *app)
{
    load_list_of_upstreams(l, map, app);
    load_tls(l, map, app);
    load_health(l, map, &app->health);
    load_timeouts(l, map, app);
    app->queue_length = 256;
    app->retries = 1;
    load_number(l, map, "queue", 0, 65536, &app->queue_length);
    load_number(l, map, "max_connections", 1, 65536, &app->max_connections);
    load_number(l, map, "retries", 0, 5, &app->retries);
}
