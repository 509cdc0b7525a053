// SPDX-License-Identifier: EUPL-1.2
/* See the header. Owns: which field of the audit is which fact. What was redacted or cut there is
 * not known. A device's trust word is that of the bundle's own authority, as at the gateway. */
#include "cli/audit_line.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "audit/seal.h"
#include "auth/keyring.h"
#include "base/fault.h"
#include "base/jtree.h"
#include "base/mem.h"
#include "base/method.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/policy_tool.h"
#include "policy/calendar.h"
#include "policy/cel.h"
#include "policy/compile.h"
#include "policy/fact_notes.h"

#define READ_BYTES (1u << 20)

/* ---- the log ---- */

int audit_log_read(const char *path, void (*take)(void *owner, struct slice line), void *owner)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    FILE *log = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!log) {
        (void)fprintf(stderr, "belfry policy: cannot open '%s': %s\n", path, strerror(errno));
        return EXIT_TROUBLE;
    }
    char *buffer = mem_array(char, READ_BYTES);
    (void)setvbuf(log, buffer, _IOFBF, READ_BYTES);
    while ((len = getline(&text, &room, log)) >= 0)
        take(owner, slice_from(text, (size_t)len));
    const bool is_good = !ferror(log);
    free(text);
    (void)fclose(log);
    mem_free(buffer);
    if (is_good)
        return EXIT_OK;
    (void)fprintf(stderr, "belfry policy: cannot read '%s'\n", path);
    return EXIT_TROUBLE;
}

/* ---- the keys ---- */

static bool add_key(struct unseals *keys, const char *path, struct fault *f)
{
    struct secret key = {0};
    if (!keyring_read_audit_key(&key, path, f))
        return false;
    unseals_add(keys, slice_from(key.bytes, key.len));
    secret_fini(&key);
    return true;
}

static bool add_folder(struct unseals *keys, const char *path, struct fault *f)
{
    char name[PATH_MAX];
    bool is_read = true;
    DIR *folder = opendir(path);
    if (!folder)
        return fault_errno(f, errno, "cannot open '%s'", path);
    for (struct dirent *entry; is_read && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.' || !slice_ends(slice_of(entry->d_name), SLICE(".key")))
            continue;
        const int len = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        is_read = len > 0 && (size_t)len < sizeof name
                      ? add_key(keys, name, f)
                      : fault_set(f, FAULT_LIMIT, "the name of a key in '%s' is too long", path);
    }
    (void)closedir(folder); // was only read
    return is_read;
}

int audit_keys_read(struct unseals *keys, const char *path)
{
    struct fault f;
    struct stat status;
    const bool is_folder = !stat(path, &status) && S_ISDIR(status.st_mode);
    if (is_folder ? add_folder(keys, path, &f) : add_key(keys, path, &f))
        return EXIT_OK;
    screen_print(stderr, "belfry policy: %s\n", f.text);
    return EXIT_TROUBLE;
}

/* ---- the line ---- */

/* Ours have no white space between values; who keeps them may have put some (RFC 8259 §2). */
static void skip_space(struct slice text, size_t *at)
{
    while (*at < text.len && (text.ptr[*at] == ' ' || text.ptr[*at] == '\t'))
        ++*at;
}

static const struct {
    struct slice key;
    size_t at;
} texts[] = {
    {SLICE_INIT("@timestamp"), offsetof(struct audit_line, time)},
    {SLICE_INIT("event.action"), offsetof(struct audit_line, action)},
    {SLICE_INIT("belfry.reason_code"), offsetof(struct audit_line, reason)},
    {SLICE_INIT("event.id"), offsetof(struct audit_line, reference)},
    {SLICE_INIT("rule.id"), offsetof(struct audit_line, rule)},
    {SLICE_INIT("rule.ruleset"), offsetof(struct audit_line, ruleset)},
    {SLICE_INIT("organization.id"), offsetof(struct audit_line, entity)},
    {SLICE_INIT("service.name"), offsetof(struct audit_line, application)},
    {SLICE_INIT("http.request.method"), offsetof(struct audit_line, method)},
    {SLICE_INIT("url.domain"), offsetof(struct audit_line, host)},
    {SLICE_INIT("url.path"), offsetof(struct audit_line, path)},
    {SLICE_INIT("client.ip"), offsetof(struct audit_line, client)},
    {SLICE_INIT("belfry.provider"), offsetof(struct audit_line, provider)},
    {SLICE_INIT("user.hash"), offsetof(struct audit_line, user_hash)},
    {SLICE_INIT("user.roles"), offsetof(struct audit_line, roles)},
    {SLICE_INIT("belfry.service"), offsetof(struct audit_line, service)},
    {SLICE_INIT("device.id"), offsetof(struct audit_line, device)},
    {SLICE_INIT("tls.client.hash.sha256"), offsetof(struct audit_line, device_digest)},
    {SLICE_INIT("belfry.authority"), offsetof(struct audit_line, authority)},
    {SLICE_INIT("tls.client.x509.serial_number"), offsetof(struct audit_line, device_serial)},
    {SLICE_INIT("http.version"), offsetof(struct audit_line, http_version)},
    {SLICE_INIT("belfry.shadow.rule"), offsetof(struct audit_line, shadow_rule)},
    {SLICE_INIT("belfry.shadow.bundle"), offsetof(struct audit_line, trial)},
    {SLICE_INIT("belfry.shadow.bundle_rule"), offsetof(struct audit_line, trial_rule)},
    {SLICE_INIT("belfry.facts"), offsetof(struct audit_line, facts)},
};

/* Behind the quote at *at: what stands up to the closing one, still escaped. */
static bool take_quoted(struct slice text, size_t *at, struct slice *out)
{
    const size_t from = ++*at;
    while (*at < text.len) {
        const char *next = memchr(text.ptr + *at, '"', text.len - *at);
        if (!next)
            return false;
        *at = (size_t)(next - text.ptr) + 1;
        size_t escapes = 0;
        while (next - escapes > text.ptr + from && next[-1 - (ptrdiff_t)escapes] == '\\')
            escapes++;
        if (escapes % 2 == 0) {
            *out = slice_from(text.ptr + from, *at - 1 - from);
            return true;
        }
    }
    return false;
}

/* The list whose '[' is at *at, without its brackets. No text of ours holds a bracket in quotes
 * that would not be found here. */
static bool take_list(struct slice text, size_t *at, struct slice *out)
{
    struct slice ignored;
    const size_t from = ++*at;
    while (*at < text.len && text.ptr[*at] != ']') {
        if (text.ptr[*at] != '"')
            ++*at;
        else if (!take_quoted(text, at, &ignored))
            return false;
    }
    *out = slice_from(text.ptr + from, *at - from);
    return (*at)++ < text.len;
}

static bool take_value(struct slice text, size_t *at, struct slice *out)
{
    if (*at >= text.len)
        return false;
    if (text.ptr[*at] == '"')
        return take_quoted(text, at, out);
    if (text.ptr[*at] == '[')
        return take_list(text, at, out);
    const size_t from = *at;
    while (*at < text.len && text.ptr[*at] != ',' && text.ptr[*at] != '}')
        ++*at;
    *out = slice_trim(slice_from(text.ptr + from, *at - from));
    return *at < text.len && out->len;
}

/* A text as it was before it was escaped; empty where it can't be. */
static struct slice unescape(struct slice text, struct arena *a)
{
    json_error_t why;
    if (!text.len || !memchr(text.ptr, '\\', text.len))
        return text;
    const struct slice quoted = arena_printf(a, "\"%.*s\"", SLICE_ARG(text));
    json_t *json = json_loadb(quoted.ptr, quoted.len, JSON_DECODE_ANY, &why);
    const struct slice plain =
        json ? arena_copy(a, slice_from(json_string_value(json), json_string_length(json)))
             : SLICE("");
    json_decref(json);
    return plain;
}

static void keep(struct audit_line *out, struct slice key, struct slice value, struct arena *a)
{
    uint64_t number;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!slice_eq(texts[i].key, key))
            continue;
        struct slice *to = (struct slice *)(void *)((char *)out + texts[i].at);
        *to = to == &out->roles ? value : unescape(value, a);
        return;
    }
    if (slice_eq(key, SLICE("belfry.acr_level")) && slice_u64(value, INT64_MAX, &number))
        out->acr_level = (int64_t)number;
    else if (slice_eq(key, SLICE("belfry.count")) && slice_u64(value, UINT32_MAX, &number) &&
             number)
        out->count = number;
}

bool audit_line_read(struct audit_line *out, struct slice text, struct arena *a)
{
    size_t at = 1;
    *out = (struct audit_line){.count = 1};
    while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    if (text.len < 2 || text.ptr[0] != '{')
        return false;
    for (skip_space(text, &at); at < text.len && text.ptr[at] == '"'; skip_space(text, &at)) {
        struct slice key, value;
        if (!take_quoted(text, &at, &key))
            return false;
        skip_space(text, &at);
        if (at >= text.len || text.ptr[at++] != ':')
            return false;
        skip_space(text, &at);
        if (!take_value(text, &at, &value))
            return false;
        skip_space(text, &at);
        if (at >= text.len)
            return false;
        keep(out, key, value, a);
        if (text.ptr[at] == '}')
            return at + 1 == text.len && out->action.len;
        if (text.ptr[at++] != ',')
            return false;
    }
    return false;
}

bool audit_line_open(struct audit_line *l, struct unseals *keys, struct arena *a)
{
    struct slice plain;
    if (!l->facts.len)
        return true;
    if (!keys || !unseals_open(keys, l->entity, l->reference, l->facts, a, &plain) || plain.len < 2)
        return false;
    const size_t path = (size_t)(uint8_t)plain.ptr[0] << 8 | (uint8_t)plain.ptr[1];
    plain = slice_skip(plain, 2);
    if (path > plain.len)
        return false;
    if (path)
        l->path = slice_from(plain.ptr, path);
    l->notes = slice_skip(plain, path);
    return true;
}

bool audit_line_is_judged(const struct audit_line *l)
{
    static const struct slice reasons[] = {
        SLICE_INIT("permitted"),         SLICE_INIT("denied"),
        SLICE_INIT("forbidden"),         SLICE_INIT("assurance_too_low"),
        SLICE_INIT("identity_required"), SLICE_INIT("device_required"),
    };
    if (slice_eq(l->action, SLICE("access-end")) || slice_starts(l->path, SLICE("/.belfry/")))
        return false; // an end, or the gateway's own pages: who signs in or out is asked no rule
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (slice_eq(l->reason, reasons[i]))
            return true;
    return false;
}

/* ---- its facts ---- */

static bool is_whole(struct slice text)
{
    return !text.len || (!memmem(text.ptr, text.len, "[redacted]", 10) &&
                         !memmem(text.ptr, text.len, "[cut]", 5));
}

static void count_unknown(struct recorded *r, uint64_t bits)
{
    r->unknown |= bits;
}

/* "2026-11-24T12:00:00.000000Z" */
static bool read_time(struct slice text, int64_t *out)
{
    static const struct {
        uint8_t at, len;
    } parts[] = {{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}};
    uint64_t n[6];
    if (text.len < 20)
        return false;
    for (size_t i = 0; i < 6; i++)
        if (!slice_u64(slice_from(text.ptr + parts[i].at, parts[i].len), 9999, &n[i]))
            return false;
    if (n[1] < 1 || n[1] > 12)
        return false;
    *out = days_from_civil((int64_t)n[0], (unsigned)n[1], (unsigned)n[2]) * 86400 +
           (int64_t)(n[3] * 3600 + n[4] * 60 + n[5]);
    return true;
}

static struct slices read_roles(struct slice roles, struct arena *a)
{
    uint32_t count = 0;
    size_t at = 0;
    struct slice one;
    for (size_t i = 0; i < roles.len; i++)
        count += roles.ptr[i] == '"';
    struct slice *list = arena_array(a, struct slice, count / 2 + 1);
    count = 0;
    for (skip_space(roles, &at);
         at < roles.len && roles.ptr[at] == '"' && take_quoted(roles, &at, &one);
         skip_space(roles, &at)) {
        list[count++] = unescape(one, a);
        skip_space(roles, &at);
        at += at < roles.len; /* the comma */
    }
    return (struct slices){list, count};
}

static void read_user(const struct audit_line *l, const struct application *app,
                      struct recorded *out, struct arena *a)
{
    bool has_provider = false;
    if (!l->user_hash.len)
        return;
    for (uint32_t i = 0; i < app->provider_count; i++)
        has_provider = has_provider || slice_eq(app->providers[i]->id, l->provider);
    if (!has_provider)
        out->no_way = "the application does not take the identity provider that the person used";
    out->user = (struct facts_user){
        .provider = l->provider, .groups = read_roles(l->roles, a), .acr_level = l->acr_level};
    out->facts.user = &out->user;
    out->has_groups = is_whole(l->roles);
    out->facts.session = &out->session; /* or it was a token: only notes tell */
}

static void read_device(const struct audit_line *l, const struct bundle *b, struct recorded *out)
{
    const struct authority *authority = NULL;
    if (!l->device_digest.len)
        return;
    for (uint32_t i = 0; i < b->authority_count; i++)
        if (slice_eq(b->authorities[i].id, l->authority))
            authority = &b->authorities[i];
    if (!authority)
        out->no_way = "the bundle has not the authority of the device's certificate";
    out->device = (struct facts_device){.id = l->device,
                                        .certificate = l->device_digest,
                                        .authority = l->authority,
                                        .trust = authority ? authority->trust : SLICE(""),
                                        .serial = l->device_serial};
    out->facts.device = &out->device;
    if (!is_whole(l->device))
        count_unknown(out, CEL_BIT(device_id));
}

static void read_service(const struct audit_line *l, struct recorded *out)
{
    const struct slice scheme = SLICE("spiffe://");
    if (!l->service.len)
        return;
    out->service.id = l->service;
    if (slice_starts(l->service, scheme)) {
        struct slice rest = slice_skip(l->service, scheme.len);
        out->service.spiffe_id = l->service;
        out->service.trust_domain = slice_cut(&rest, '/');
    }
    out->facts.service = &out->service;
    if (!is_whole(l->service))
        count_unknown(out, CEL_BIT(service_id) | CEL_BIT(service_spiffe_id) |
                               CEL_BIT(service_trust_domain));
}

static void read_request(const struct audit_line *l, struct recorded *out)
{
    out->request = (struct request){.protocol = slice_eq(l->http_version, SLICE("2")) ? PROTOCOL_H2
                                                                                      : PROTOCOL_H1,
                                    .method = method_of(l->method),
                                    .method_name = l->method,
                                    .host = l->host,
                                    .authority = l->host,
                                    .target = l->path};
    count_unknown(out, (l->http_version.len ? 0 : CEL_BIT(request_protocol)) |
                           (l->client.len ? 0 : CEL_BIT(request_client_address)));
    if (!l->path.len || !l->method.len)
        out->no_way = "the line counts several requests, or was written before the path was known";
    else if (!is_whole(l->path) || !is_whole(l->method))
        out->no_way = "its path was redacted or cut";
}

static bool holds(struct slices names, struct slice name)
{
    for (uint32_t i = 0; i < names.count; i++)
        if (slice_eq(names.at[i], name))
            return true;
    return false;
}

/* What the sealed facts say more. Headers are known where all are that conditions read. */
static void read_notes(const struct audit_line *l, const struct application *app,
                       struct recorded *out, struct arena *a)
{
    bool lacks_session = false;
    const struct fact_parts parts = {.user = out->facts.user ? &out->user : NULL,
                                     .device = out->facts.device ? &out->device : NULL,
                                     .request = &out->request,
                                     .session = out->facts.session ? &out->session : NULL,
                                     .lacks_session = &lacks_session,
                                     .now = out->facts.now};
    struct slices headers;
    bool has_headers = true;
    if (!l->notes.len)
        return;
    out->unknown &= ~fact_notes_read(l->notes, &parts, &headers, a);
    for (uint32_t i = 0; i < app->rules->headers.count; i++)
        has_headers = has_headers && holds(headers, app->rules->headers.at[i]);
    if (lacks_session)
        out->facts.session = NULL;
    if (has_headers)
        out->unknown &= ~CEL_BIT_HEADERS;
    if (out->request.has_query)
        out->request.target =
            arena_printf(a, "%.*s?%.*s", SLICE_ARG(l->path), SLICE_ARG(out->request.query));
}

void audit_line_facts(const struct audit_line *l, const struct bundle *b,
                      const struct application *app, struct recorded *out, struct arena *a)
{
    *out = (struct recorded){.unknown = 0};
    out->facts = (struct facts){.app = app, .request = &out->request, .client_address = l->client};
    if (!read_time(l->time, &out->facts.now.s))
        count_unknown(out, CEL_BIT(request_time));
    read_request(l, out);
    if (out->no_way)
        return;
    read_user(l, app, out, a);
    read_device(l, b, out);
    read_service(l, out);
    count_unknown(out,
                  fact_notes_alone(&out->facts) & ~(out->has_groups ? CEL_BIT(user_groups) : 0));
    read_notes(l, app, out, a);
}
