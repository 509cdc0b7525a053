// SPDX-License-Identifier: EUPL-1.2
/* What operators run where a gateway's keys are: `belfry revoke` adds an entry to an entity's
 * revocations, `belfry revocations` lists them. The list is followed by the gateway's own code
 * (auth/revocation_desk.h): what can't be read whole is not added to. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auth/revocation_desk.h"
#include "base/codec.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/policy_tool.h"
#include "policy/serials.h"
#include "proxy/config.h"

#define PATIENCE_S 10.
#define TOKEN_TEXT_MAX 8192
#define DAY_S 86400
#define CONFIG_PATH "/etc/belfry/belfry.yaml"

struct job {
    const char *config;
    struct slice only; /* the entity */
    bool shows_all;    /* also what is over */
    bool is_json;
    bool is_adding;
    struct revoked_entry entry;
    int64_t life_s; /* 0: by its kind */
    bool lifts;
    char digest[7 + 64]; /* "sha256:" and hex: a subject that is ours */

    struct loop loop;
    struct redis *redis;
    struct records *records;
    struct revocation_desk *desk;
    struct metrics metrics;
    ev_timer patience;
    int code;
};

/* ---- arguments ---- */

static bool parse_life(const char *text, int64_t *out)
{
    struct slice s = slice_of(text);
    uint64_t n = 0;
    int64_t unit = 0;
    if (s.len < 2)
        return false;
    switch (s.ptr[s.len - 1]) {
    case 's':
        unit = 1;
        break;
    case 'm':
        unit = 60;
        break;
    case 'h':
        unit = 3600;
        break;
    case 'd':
        unit = DAY_S;
        break;
    default:
        return false;
    }
    s.len--;
    if (!slice_u64(s, (uint64_t)(REVOKED_LIFE_MAX_S / unit), &n) || !n)
        return false;
    *out = (int64_t)n * unit;
    return true;
}

static bool parse_options(struct job *j, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        const struct slice is = slice_of(argv[i]);
        if (slice_eq(is, SLICE("--lift"))) {
            j->lifts = true;
            continue;
        }
        if (slice_eq(is, SLICE("--all"))) {
            j->shows_all = true;
            continue;
        }
        if (slice_eq(is, SLICE("--json"))) {
            j->is_json = true;
            continue;
        }
        if (!next)
            return false;
        if (slice_eq(is, SLICE("-c")))
            j->config = next;
        else if (slice_eq(is, SLICE("--entity")))
            j->only = slice_of(next);
        else if (slice_eq(is, SLICE("--reason")))
            j->entry.reason = slice_of(next);
        else if (slice_eq(is, SLICE("--by")))
            j->entry.by = slice_of(next);
        else if (!slice_eq(is, SLICE("--for")) || !parse_life(next, &j->life_s))
            return false;
        i++;
    }
    return true;
}

/* Who is accountable: the person behind sudo, not root. */
static struct slice operator_name(void)
{
    const char *sudo = getenv("SUDO_USER");
    const struct passwd *self = getpwuid(getuid());
    if (sudo && *sudo)
        return slice_of(sudo);
    return self ? slice_of(self->pw_name) : SLICE("unknown");
}

static void name_by_digest(struct job *j, const uint8_t digest[SHA256_BYTES])
{
    memcpy(j->digest, "sha256:", 7);
    hex_encode(j->digest + 7, digest, SHA256_BYTES);
    j->entry.subject = slice_from(j->digest, sizeof j->digest);
}

static bool read_token(struct job *j)
{
    char text[TOKEN_TEXT_MAX + 2];
    uint8_t digest[SHA256_BYTES];
    struct slice token = slice_from(text, fread(text, 1, sizeof text, stdin));
    while (token.len && (token.ptr[token.len - 1] == '\n' || token.ptr[token.len - 1] == '\r'))
        token.len--;
    if (!token.len || token.len > TOKEN_TEXT_MAX)
        return false;
    sha256(digest, token);
    wipe(text, sizeof text);
    name_by_digest(j, digest);
    return true;
}

/* As gateways write it, in small letters: OpenSSL prints capitals, and those would match nothing.
 */
static bool take_digest(struct job *j, struct slice hex)
{
    uint8_t digest[SHA256_BYTES];
    if (hex.len != 2 * sizeof digest || !hex_decode(digest, hex))
        return false;
    name_by_digest(j, digest);
    return true;
}

/* A subject that can never match would be a revocation that nobody notices is none. */
static bool take_subject(struct job *j)
{
    const struct revoked_entry *e = &j->entry;
    struct slice rest = e->subject;
    const struct slice first = slice_cut(&rest, ':');
    const bool has_two = first.len && rest.len;
    if (!e->subject.len || e->subject.len > REVOKED_SUBJECT_MAX)
        return false;
    switch (e->kind) {
    case REVOKED_DEVICE:
        return slice_eq(first, SLICE("sha256")) ? take_digest(j, rest) : has_two;
    case REVOKED_TOKEN:
        if (slice_eq(first, SLICE("sha256")))
            return take_digest(j, rest);
        return slice_eq(first, SLICE("jti")) && slice_cut(&rest, ':').len && rest.len;
    case REVOKED_SESSION:
        return e->subject.len == 43;
    case REVOKED_AUTHORITY:
        return entity_id_is_valid(e->subject);
    case REVOKED_USER:
    case REVOKED_SESSIONS:
    case REVOKED_SIGN_IN:
        return has_two;
    case REVOKED_KIND_COUNT:
        break;
    }
    return false;
}

static int64_t usual_life_s(enum revoked_kind kind)
{
    return (kind == REVOKED_DEVICE || kind == REVOKED_AUTHORITY ? 400 : 8) * (int64_t)DAY_S;
}

/* ---- what happens ---- */

static void end(struct job *j, int code)
{
    j->code = code;
    ev_break(j->loop.ev, EVBREAK_ALL);
}

static void on_patience_over(EV_P_ ev_timer *timer, int events)
{
    struct job *j = timer->data;
    const char *alarm = revocation_desk_alarm(j->desk, j->only);
    (void)loop, (void)events;
    (void)fprintf(stderr, "belfry: %s\n",
                  alarm ? alarm : "the store does not answer; nothing was changed");
    end(j, alarm ? EXIT_REFUSED : EXIT_TROUBLE);
}

static void when(char out[32], struct wall at)
{
    const time_t t = (time_t)at.s;
    struct tm parts;
    if (!gmtime_r(&t, &parts) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts))
        (void)snprintf(out, 32, "%lld", (long long)at.s);
}

/* Control characters of a reason never reach a terminal. */
static void say(struct slice text)
{
    screen_print(stdout, "%.*s", SLICE_ARG(text));
}

static void print_entry(const struct revoked_entry *e, bool is_in_force)
{
    char at[32], until[32];
    when(at, e->at);
    when(until, e->until);
    (void)printf("%llu  %s  until %s  %s ", (unsigned long long)e->n, at,
                 is_in_force ? until : "(over)", revoked_kind_name(e->kind));
    say(e->subject);
    (void)printf("  by ");
    say(e->by);
    if (e->reason.len)
        (void)printf(": ");
    say(e->reason);
    (void)putchar('\n');
}

/* The last that was said of something counts. */
static bool is_in_force(const struct job *j, const struct revoked_entry *e)
{
    const struct revoked_list *l = map_get(&revocation_desk_table(j->desk)->lists, j->only);
    const struct revoked_entry *last =
        l ? revoked_list_find(l, e->kind, e->subject, loop_wall(&j->loop)) : NULL;
    return last && last->n == e->n;
}

static json_t *entry_json(const struct revoked_entry *e, bool is_in_force)
{
    json_t *out = json_object();
    char at[32], until[32];
    when(at, e->at);
    when(until, e->until);
    (void)json_object_set_new(out, "number", json_integer((json_int_t)e->n));
    (void)json_object_set_new(out, "kind", json_string(revoked_kind_name(e->kind)));
    (void)json_object_set_new(out, "subject", json_text(e->subject));
    (void)json_object_set_new(out, "in_force", json_boolean(is_in_force));
    (void)json_object_set_new(out, "at", json_string(at));
    (void)json_object_set_new(out, "until", json_string(until));
    (void)json_object_set_new(out, "by", json_text(e->by));
    (void)json_object_set_new(out, "reason", json_text(e->reason));
    return out;
}

static void print_list(struct job *j)
{
    const struct revoked_entry *e;
    json_t *list = json_array();
    for (uint32_t i = 0; (e = revocation_desk_entry(j->desk, j->only, i)); i++) {
        if (!j->shows_all && !is_in_force(j, e))
            continue;
        if (j->is_json)
            (void)json_array_append_new(list, entry_json(e, is_in_force(j, e)));
        else
            print_entry(e, is_in_force(j, e));
    }
    if (j->is_json)
        json_print(list);
    else
        json_decref(list);
    end(j, EXIT_OK);
}

static void on_added(void *owner, enum record_answer answer, struct slice plain)
{
    struct job *j = owner;
    const char *alarm = revocation_desk_alarm(j->desk, j->only);
    (void)plain;
    switch (answer) {
    case RECORD_DONE:
        (void)printf("%s %s ", j->lifts ? "lifted for" : "revoked",
                     revoked_kind_name(j->entry.kind));
        say(j->entry.subject);
        (void)printf(" of %.*s, by ", SLICE_ARG(j->only));
        say(j->entry.by);
        (void)putchar('\n');
        end(j, EXIT_OK);
        return;
    case RECORD_NONE:
        (void)fputs("belfry revoke: the entity's list is full, or this is no entry for it\n",
                    stderr);
        end(j, EXIT_REFUSED);
        return;
    case RECORD_AWAY:
        (void)fprintf(stderr, "belfry revoke: %s\n",
                      alarm ? alarm : "the store does not answer; try again");
        end(j, alarm ? EXIT_REFUSED : EXIT_TROUBLE);
    }
}

static void on_changed(void *owner, struct revocations *take)
{
    struct job *j = owner;
    revocations_unref(take);
    if (!j->is_adding && revocation_desk_is_whole(j->desk, j->only))
        print_list(j);
}

static void on_up(void *owner)
{
    struct job *j = owner;
    revocation_desk_up(j->desk);
    if (j->is_adding)
        revocation_desk_add(j->desk, j->only, &j->entry, on_added, j);
}

static void on_down(void *owner, const struct fault *why)
{
    (void)owner; /* it comes back, or patience ends */
    screen_print(stderr, "belfry: %s\n", why->text);
}

static int run(struct job *j, const struct config *c)
{
    struct fault f;
    const struct revocation_settings settings = {.max_stale_ms = INT64_MAX};
    struct keyring *k;
    loop_init(&j->loop);
    k = keyring_read(c->keys_dir.ptr, loop_wall(&j->loop), &f);
    if (!k || !vault_is_open(k)) {
        (void)fprintf(stderr, "belfry: %s\n",
                      k ? "keys_dir has no seal and store keys: run this where a gateway's keys are"
                        : f.text);
        keyring_unref(k);
        loop_fini(&j->loop);
        return EXIT_TROUBLE;
    }
    j->redis = redis_new(&j->loop, &c->store, (struct redis_hooks){on_up, on_down, j});
    j->records = records_new(&j->loop, j->redis);
    records_follow(j->records, k);
    j->desk = revocation_desk_new(&j->loop, j->redis, j->records, &settings, &j->metrics,
                                  (struct revocation_hooks){on_changed, j});
    revocation_desk_follow(j->desk, &j->only, 1);
    ev_timer_init(&j->patience, on_patience_over, PATIENCE_S, 0.);
    j->patience.data = j;
    ev_timer_start(j->loop.ev, &j->patience);
    ev_run(j->loop.ev, 0);
    ev_timer_stop(j->loop.ev, &j->patience);
    redis_free(j->redis);
    revocation_desk_free(j->desk);
    records_free(j->records);
    keyring_unref(k);
    loop_fini(&j->loop);
    return j->code;
}

static int with_config(struct job *j)
{
    struct findings found;
    findings_init(&found);
    struct config *c = config_read(j->config, &found);
    findings_print(&found, stderr);
    findings_fini(&found);
    if (!c)
        return EXIT_REFUSED;
    const int code = run(j, c);
    config_free(c);
    return code;
}

int cli_revoke(int argc, char **argv)
{
    struct job j = {.config = CONFIG_PATH, .is_adding = true};
    if (argc < 3 || !revoked_kind_parse(slice_of(argv[1]), &j.entry.kind) ||
        !parse_options(&j, argc - 3, argv + 3) || !entity_id_is_valid(j.only) ||
        (j.lifts && j.life_s))
        return help_usage("revoke", NULL);
    j.entry.subject = slice_of(argv[2]);
    if (j.entry.kind == REVOKED_TOKEN && slice_eq(j.entry.subject, SLICE("-")) && !read_token(&j)) {
        (void)fputs("belfry revoke: no token on standard input\n", stderr);
        return EXIT_REFUSED;
    }
    if (!j.entry.by.len)
        j.entry.by = operator_name();
    if (!take_subject(&j) || j.entry.by.len > REVOKED_BY_MAX ||
        j.entry.reason.len > REVOKED_REASON_MAX)
        return help_usage("revoke", NULL);
    j.entry.at = (struct wall){(int64_t)time(NULL)};
    if (!j.life_s)
        j.life_s = usual_life_s(j.entry.kind);
    j.entry.until = (struct wall){j.entry.at.s + (j.lifts ? 0 : j.life_s)};
    return with_config(&j);
}

int cli_revocations(int argc, char **argv)
{
    struct job j = {.config = CONFIG_PATH};
    if (!parse_options(&j, argc - 1, argv + 1) || !entity_id_is_valid(j.only))
        return help_usage("revocations", NULL);
    return with_config(&j);
}
