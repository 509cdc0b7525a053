// SPDX-License-Identifier: EUPL-1.2
/* belfry device import, list, show, set, remove: an entity's inventory, in the store that the
 * configuration names, sealed by the gateways' own keys. So it runs where a gateway's keys are.
 * Each command is one script of Redis's: all of it, with the event that tells gateways, or
 * nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include "auth/inventory.h"
#include "base/codec.h"
#include "base/csv.h"
#include "base/entropy.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/redis.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/policy_tool.h"
#include "policy/serials.h"
#include "proxy/config.h"

#define CONFIG_PATH "/etc/belfry/belfry.yaml"
#define PATIENCE_S 10.
#define COMMAND_LIMIT_MS 8000
#define FILE_MAX_BYTES (16u << 20)
#define COLUMNS_MAX (INVENTORY_ATTRIBUTES_MAX + 5)

/* KEYS: the hash, epoch, count, events. ARGV: epoch where there is none, entity, then field and
 * record in turn; an empty record is taken away. */
static const char script[] =
    "for i = 3, #ARGV, 2 do\n"
    "  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i])\n"
    "  else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end\n"
    "end\n"
    "redis.call('SET', KEYS[2], ARGV[1], 'NX')\n"
    "local epoch = redis.call('GET', KEYS[2])\n"
    "local n = redis.call('INCR', KEYS[3])\n"
    "redis.call('XADD', KEYS[4], 'MAXLEN', '1000', '*', 'epoch', epoch, 'n', n,\n"
    "           'kind', 'device', 'entity', ARGV[2], 'serial', '0')\n"
    "return n\n";

struct job {
    struct config *config;
    struct keyring *keys;
    struct slice entity;
    bool is_dry;
    bool is_json;
    struct arena arena;
    struct loop loop;
    struct redis *redis;
    ev_timer patience;
    const struct slice *command;
    size_t command_count;
    bool (*take)(struct job *j, const redisReply *reply);
    bool is_done;
    char hash[VAULT_NAME_ROOM];
    struct inventory_record **records; /* that were read */
    uint32_t count;
    struct fault why;
};

/* ---- one command ---- */

static void on_reply(void *owner, const redisReply *reply)
{
    struct job *j = owner;
    loop_stop(&j->loop);
    if (!reply)
        (void)fault_set(&j->why, FAULT_IO, "the store does not answer");
    else if (reply->type == REDIS_REPLY_ERROR)
        (void)fault_set(&j->why, FAULT_IO, "the store refuses: %.*s", (int)reply->len, reply->str);
    else
        j->is_done = j->take(j, reply);
}

static void on_up(void *owner)
{
    struct job *j = owner;
    if (!redis_send(j->redis, COMMAND_LIMIT_MS, on_reply, j, j->command, j->command_count)) {
        (void)fault_set(&j->why, FAULT_IO, "the store went away");
        loop_stop(&j->loop);
    }
}

static void on_down(void *owner, const struct fault *why)
{
    struct job *j = owner;
    j->why = *why;
    loop_stop(&j->loop);
}

static void on_patience(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct job *j = timer->data;
    (void)ev, (void)events;
    (void)fault_set(&j->why, FAULT_IO, "the store does not answer");
    loop_stop(&j->loop);
}

/* Sends the command and has its answer taken. */
static bool run(struct job *j, const struct slice *command, size_t count,
                bool (*take)(struct job *, const redisReply *))
{
    j->command = command;
    j->command_count = count;
    j->take = take;
    j->is_done = false;
    loop_init(&j->loop);
    ev_timer_init(&j->patience, on_patience, PATIENCE_S, 0.);
    j->patience.data = j;
    ev_timer_start(j->loop.ev, &j->patience);
    j->redis = redis_new(&j->loop, &j->config->store, (struct redis_hooks){on_up, on_down, j});
    loop_run(&j->loop);
    ev_timer_stop(j->loop.ev, &j->patience);
    redis_free(j->redis);
    loop_fini(&j->loop);
    return j->is_done;
}

/* ---- writing ---- */

static int64_t version_now(void)
{
    struct timeval now;
    (void)gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000000 + now.tv_usec;
}

static bool take_number(struct job *j, const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER ||
           fault_set(&j->why, FAULT_IO, "the store gives an answer that has no meaning");
}

static bool seal(struct job *j, const struct inventory_record *r, struct slice field,
                 struct slice *out)
{
    struct buf sealed;
    const struct slice plain = inventory_record_print(r, &j->arena);
    buf_init(&sealed, INVENTORY_RECORD_MAX_BYTES + VAULT_OVERHEAD);
    const bool is_sealed = plain.len && plain.len <= INVENTORY_RECORD_MAX_BYTES &&
                           vault_seal(j->keys, VAULT_DEVICE, field, plain,
                                      (struct wall){r->version / 1000000}, &sealed);
    if (is_sealed)
        *out = arena_copy(&j->arena, buf_slice(&sealed));
    buf_fini(&sealed);
    return is_sealed ||
           fault_set(&j->why, FAULT_CONFIG, "device '%.*s' can't be sealed", SLICE_ARG(r->id));
}

/* All of them, or none. With `removes` their records are taken away. */
static bool write_all(struct job *j, struct inventory_record *const *records, uint32_t count,
                      bool removes)
{
    uint8_t random[16];
    char epoch[32];
    char field[VAULT_NAME_ROOM];
    struct slice *command = arena_array(&j->arena, struct slice, 9 + 2 * (size_t)count);
    size_t at = 0;
    entropy_bytes(random, sizeof random);
    hex_encode(epoch, random, sizeof random);
    command[at++] = SLICE("EVAL");
    command[at++] = slice_from(script, sizeof script - 1);
    command[at++] = SLICE("4");
    command[at++] = slice_of(j->hash);
    command[at++] = SLICE("belfry:epoch");
    command[at++] = SLICE("belfry:count");
    command[at++] = SLICE("belfry:events");
    command[at++] = slice_from(epoch, sizeof epoch);
    command[at++] = j->entity;
    for (uint32_t i = 0; i < count; i++) {
        if (!inventory_field_name(j->keys, j->entity, records[i]->id, field))
            return fault_set(&j->why, FAULT_LIMIT, "the id of a device is too long");
        command[at++] = arena_copy(&j->arena, slice_of(field));
        command[at] = SLICE("");
        if (!removes && !seal(j, records[i], command[at - 1], &command[at]))
            return false;
        at++;
    }
    return run(j, command, at, take_number);
}

/* ---- reading ---- */

static struct inventory_record *open_record(struct job *j, const redisReply *field,
                                            const redisReply *value)
{
    struct inventory_record *r = NULL;
    char name[VAULT_NAME_ROOM];
    struct buf plain;
    if (field->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
        return NULL;
    const struct slice is = slice_from(field->str, (size_t)field->len);
    buf_init(&plain, INVENTORY_RECORD_MAX_BYTES);
    if (vault_open(j->keys, VAULT_DEVICE, is, slice_from(value->str, (size_t)value->len), &plain))
        r = inventory_record_parse(buf_slice(&plain));
    buf_fini(&plain);
    if (r && inventory_field_name(j->keys, j->entity, r->id, name) && slice_eq(slice_of(name), is))
        return r;
    inventory_record_unref(r);
    return NULL;
}

static int by_id(const void *a, const void *b)
{
    const struct inventory_record *x = *(struct inventory_record *const *)a;
    const struct inventory_record *y = *(struct inventory_record *const *)b;
    const size_t len = x->id.len < y->id.len ? x->id.len : y->id.len;
    const int order = memcmp(x->id.ptr, y->id.ptr, len);
    return order ? order : (x->id.len > y->id.len) - (x->id.len < y->id.len);
}

static bool take_all(struct job *j, const redisReply *reply)
{
    uint32_t lost = 0;
    if (reply->type != REDIS_REPLY_ARRAY)
        return fault_set(&j->why, FAULT_IO, "the store gives an answer that has no meaning");
    j->records = mem_array(struct inventory_record *, reply->elements / 2 + 1);
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        struct inventory_record *r = open_record(j, reply->element[i], reply->element[i + 1]);
        if (r)
            j->records[j->count++] = r;
        else
            lost++;
    }
    qsort(j->records, j->count, sizeof(struct inventory_record *), by_id);
    if (lost)
        fprintf(stderr,
                "belfry device: %u records are not ours, or sealed by keys that are gone: they do "
                "not count\n",
                lost);
    return true;
}

static bool read_all(struct job *j)
{
    const struct slice command[] = {SLICE("HGETALL"), slice_of(j->hash)};
    return run(j, command, 2, take_all);
}

static struct inventory_record *find(const struct job *j, struct slice id)
{
    for (uint32_t i = 0; i < j->count; i++)
        if (slice_eq(j->records[i]->id, id))
            return j->records[i];
    return NULL;
}

#define MOMENT_CHARS 20

static const char *moment(char out[MOMENT_CHARS + 1], struct wall at)
{
    struct tm parts;
    const time_t s = (time_t)at.s;
    if (!at.s || !gmtime_r(&s, &parts) ||
        !strftime(out, MOMENT_CHARS + 1, "%Y-%m-%dT%H:%M:%SZ", &parts))
        return "-";
    return out;
}

/* ---- the commands ---- */

static bool is_id(struct slice id)
{
    struct slice rest = id;
    const struct slice authority = slice_cut(&rest, ':');
    return id.len <= INVENTORY_ID_MAX && authority.len && rest.len && entity_id_is_valid(authority);
}

static int trouble(const struct fault *f)
{
    screen_print(stderr, "belfry device: %s\n", f->text);
    return f->code == FAULT_IO ? EXIT_TROUBLE : EXIT_REFUSED;
}

static json_t *device_json(const struct inventory_record *r)
{
    json_t *out = json_object(), *attributes = json_object();
    char last_seen[MOMENT_CHARS + 1];
    (void)json_object_set_new(out, "id", json_text(r->id));
    (void)json_object_set_new(out, "owner", json_text(r->facts.owner));
    (void)json_object_set_new(out, "model", json_text(r->facts.model));
    (void)json_object_set_new(out, "compliant", json_boolean(r->facts.compliant == SAID_YES));
    if (r->facts.last_seen.s)
        (void)json_object_set_new(out, "last_seen",
                                  json_string(moment(last_seen, r->facts.last_seen)));
    for (uint32_t i = 0; i < r->facts.attributes.count; i++) {
        const struct slice *name = &r->facts.attributes.at[2 * i];
        (void)json_object_setn_new(attributes, name->ptr, name->len, json_text(name[1]));
    }
    (void)json_object_set_new(out, "attributes", attributes);
    return out;
}

static int list_devices(struct job *j)
{
    if (!read_all(j))
        return trouble(&j->why);
    if (j->is_json) {
        json_t *list = json_array();
        for (uint32_t i = 0; i < j->count; i++)
            (void)json_array_append_new(list, device_json(j->records[i]));
        json_print(list);
        return EXIT_OK;
    }
    for (uint32_t i = 0; i < j->count; i++) {
        const struct facts_device *f = &j->records[i]->facts;
        screen_print(stdout, "%.*s", SLICE_ARG(j->records[i]->id));
        printf("\t%s\t", f->compliant == SAID_YES ? "compliant" : "not compliant");
        screen_print(stdout, "%.*s", SLICE_ARG(f->owner));
        putchar('\t');
        screen_print(stdout, "%.*s\n", SLICE_ARG(f->model));
    }
    printf("%u devices\n", j->count);
    return EXIT_OK;
}

static int show_device(struct job *j, struct slice id)
{
    if (!read_all(j))
        return trouble(&j->why);
    char last_seen[MOMENT_CHARS + 1];
    const struct inventory_record *r = find(j, id);
    if (!r) {
        screen_print(stderr, "belfry device: '%.*s' is not in the inventory of '%.*s'\n",
                     SLICE_ARG(id), SLICE_ARG(j->entity));
        return EXIT_REFUSED;
    }
    if (j->is_json) {
        json_print(device_json(r));
        return EXIT_OK;
    }
    screen_print(stdout, "id: %.*s\n", SLICE_ARG(r->id));
    screen_print(stdout, "owner: %.*s\n", SLICE_ARG(r->facts.owner));
    screen_print(stdout, "model: %.*s\n", SLICE_ARG(r->facts.model));
    printf("compliant: %s\nlast_seen: %s\n", r->facts.compliant == SAID_YES ? "true" : "false",
           moment(last_seen, r->facts.last_seen));
    for (uint32_t i = 0; i < r->facts.attributes.count; i++)
        screen_print(stdout, "%.*s: %.*s\n", SLICE_ARG(r->facts.attributes.at[2 * i]),
                     SLICE_ARG(r->facts.attributes.at[2 * i + 1]));
    return EXIT_OK;
}

/* What stands there already, with another version; or a new one. */
static struct inventory_record *copy_of(const struct job *j, struct slice id, int64_t version)
{
    const struct inventory_record *old = find(j, id);
    struct inventory_record *r = inventory_record_new(id, version);
    struct fault ignored;
    if (!old)
        return r;
    r->facts.owner = arena_copy(&r->arena, old->facts.owner);
    r->facts.model = arena_copy(&r->arena, old->facts.model);
    r->facts.compliant = old->facts.compliant;
    r->facts.last_seen = old->facts.last_seen;
    for (uint32_t i = 0; i < old->facts.attributes.count; i++)
        (void)!inventory_record_set(r, old->facts.attributes.at[2 * i],
                                    old->facts.attributes.at[2 * i + 1], &ignored);
    if (r->version <= old->version)
        r->version = old->version + 1;
    return r;
}

static int set_device(struct job *j, struct slice id, char **pairs, int count)
{
    int code = EXIT_OK;
    if (!count)
        return help_usage("device", "set");
    if (!is_id(id)) {
        (void)fault_set(&j->why, FAULT_SYNTAX, "'%.*s' is no AUTHORITY:NAME", SLICE_ARG(id));
        return trouble(&j->why);
    }
    if (!read_all(j))
        return trouble(&j->why);
    struct inventory_record *r = copy_of(j, id, version_now());
    for (int i = 0; i < count && code == EXIT_OK; i++) {
        struct slice value = slice_of(pairs[i]);
        const bool has_sign = strchr(pairs[i], '=') != NULL;
        const struct slice name = slice_cut(&value, '=');
        if (!has_sign)
            code = help_usage("device", "set");
        else if (!inventory_record_set(r, name, value, &j->why))
            code = trouble(&j->why);
    }
    if (code == EXIT_OK && !write_all(j, &r, 1, false))
        code = trouble(&j->why);
    if (code == EXIT_OK)
        screen_print(stdout, "%.*s: set\n", SLICE_ARG(id));
    inventory_record_unref(r);
    return code;
}

static int remove_device(struct job *j, struct slice id)
{
    if (!read_all(j))
        return trouble(&j->why);
    struct inventory_record *r = find(j, id);
    if (!r) {
        (void)fault_set(&j->why, FAULT_CONFIG, "'%.*s' is not in the inventory of '%.*s'",
                        SLICE_ARG(id), SLICE_ARG(j->entity));
        return trouble(&j->why);
    }
    if (!write_all(j, &r, 1, true))
        return trouble(&j->why);
    screen_print(stdout, "%.*s: removed\n", SLICE_ARG(id));
    return EXIT_OK;
}

/* ---- import ---- */

struct table {
    struct slice columns[COLUMNS_MAX];
    uint32_t column_count;
    uint32_t id_at;
    struct inventory_record **records;
    uint32_t count;
    struct map lines; /* id → record: each once */
};

static bool read_header(struct table *t, struct csv *c, struct arena *a, struct fault *f)
{
    struct inventory_record *probe = NULL;
    bool has_id = false;
    const enum csv_step step = csv_next(c, a, t->columns, COLUMNS_MAX, &t->column_count, f);
    if (step != CSV_ROW)
        return step == CSV_BAD || fault_set(f, FAULT_SYNTAX, "the file is empty");
    probe = inventory_record_new(SLICE("a:b"), 1);
    bool is_good = true;
    for (uint32_t i = 0; i < t->column_count && is_good; i++) {
        for (uint32_t k = 0; k < i; k++)
            if (slice_eq(t->columns[k], t->columns[i]))
                is_good = fault_set(f, FAULT_SYNTAX, "the column '%.*s' stands twice",
                                    SLICE_ARG(t->columns[i]));
        if (slice_eq(t->columns[i], SLICE("id"))) {
            t->id_at = i;
            has_id = true;
        } else if (is_good) {
            is_good = inventory_record_set(probe, t->columns[i], (struct slice){0}, f);
        }
    }
    inventory_record_unref(probe);
    return is_good && (has_id || fault_set(f, FAULT_SYNTAX,
                                           "the first line must name the columns, one of them id"));
}

static bool read_row(struct job *j, struct table *t, const struct slice *values, uint32_t count,
                     int64_t version, struct fault *f)
{
    if (count != t->column_count)
        return fault_set(f, FAULT_SYNTAX, "there are %u values for %u columns", count,
                         t->column_count);
    const struct slice id = values[t->id_at];
    if (!is_id(id))
        return fault_set(f, FAULT_SYNTAX,
                         "the id '%.*s' is no AUTHORITY:NAME, such as finance-laptops:laptop-0001",
                         SLICE_ARG(id));
    if (t->count == INVENTORY_COMMAND_MAX)
        return fault_set(f, FAULT_LIMIT, "there are more than %d devices; import them in parts",
                         INVENTORY_COMMAND_MAX);
    if (map_get(&t->lines, id))
        return fault_set(f, FAULT_SYNTAX, "the device '%.*s' stands in the file twice",
                         SLICE_ARG(id));
    struct inventory_record *r = copy_of(j, id, version);
    t->records[t->count++] = r;
    (void)map_set(&t->lines, r->id, r);
    for (uint32_t i = 0; i < count; i++)
        if (i != t->id_at && !inventory_record_set(r, t->columns[i], values[i], f))
            return false;
    return true;
}

/* All mistakes are told at once. */
static uint32_t read_rows(struct job *j, struct table *t, const char *path, struct slice text)
{
    struct csv c = {.rest = text};
    struct slice *values = arena_array(&j->arena, struct slice, COLUMNS_MAX);
    const int64_t version = version_now();
    uint32_t mistakes = 0;
    uint32_t count;
    struct fault f;
    enum csv_step step;
    if (!read_header(t, &c, &j->arena, &f)) {
        screen_print(stderr, "%s:%u: %s\n", path, c.line ? c.line : 1, f.text);
        return 1;
    }
    while ((step = csv_next(&c, &j->arena, values, COLUMNS_MAX, &count, &f)) != CSV_END) {
        if (step == CSV_ROW && read_row(j, t, values, count, version, &f))
            continue;
        screen_print(stderr, "%s:%u: %s\n", path, c.line, f.text);
        if (++mistakes == 20) {
            fprintf(stderr, "%s: more mistakes are not looked for\n", path);
            break;
        }
    }
    return mistakes;
}

static uint32_t count_known(const struct job *j, const struct table *t)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < j->count; i++)
        known += map_get(&t->lines, j->records[i]->id) != NULL;
    return known;
}

static int import_devices(struct job *j, const char *path)
{
    struct slice text = {0};
    struct table t = {0};
    int code = EXIT_OK;
    if (!file_read(&text, path, FILE_MAX_BYTES, &j->why))
        return trouble(&j->why);
    if (!read_all(j)) {
        mem_slice_free(&text);
        return trouble(&j->why);
    }
    t.records = mem_array(struct inventory_record *, INVENTORY_COMMAND_MAX);
    map_init(&t.lines);
    const uint32_t mistakes = read_rows(j, &t, path, text);
    const uint32_t known = count_known(j, &t);
    if (mistakes) {
        fprintf(stderr, "belfry device: nothing was imported\n");
        code = EXIT_REFUSED;
    } else if (!j->is_dry && !write_all(j, t.records, t.count, false)) {
        code = trouble(&j->why);
    } else {
        printf("%s%u devices: %u new, %u changed; %u others stay as they are\n",
               j->is_dry ? "would import " : "imported ", t.count, t.count - known, known,
               j->count - known);
    }
    map_fini(&t.lines);
    for (uint32_t i = 0; i < t.count; i++)
        inventory_record_unref(t.records[i]);
    mem_free(t.records);
    mem_slice_free(&text);
    return code;
}

/* ---- arguments ---- */

static int dispatch(struct job *j, int argc, char **argv)
{
    const struct slice what = slice_of(argv[0]);
    if (slice_eq(what, SLICE("list")) && argc == 1)
        return list_devices(j);
    if (argc < 2)
        return help_usage("device", argv[0]);
    if (slice_eq(what, SLICE("show")) && argc == 2)
        return show_device(j, slice_of(argv[1]));
    if (j->is_json) /* what changes something says so in words */
        return help_usage("device", argv[0]);
    if (slice_eq(what, SLICE("import")) && argc == 2)
        return import_devices(j, argv[1]);
    if (slice_eq(what, SLICE("remove")) && argc == 2)
        return remove_device(j, slice_of(argv[1]));
    if (slice_eq(what, SLICE("set")))
        return set_device(j, slice_of(argv[1]), argv + 2, argc - 2);
    return help_usage("device", argv[0]);
}

static int run_with(struct job *j, const char *path, int argc, char **argv)
{
    struct findings found;
    struct wall now = {version_now() / 1000000};
    int code = EXIT_REFUSED;
    findings_init(&found);
    j->config = config_read(path, &found);
    if (!j->config)
        findings_print(&found, stderr);
    findings_fini(&found);
    if (!j->config)
        return EXIT_REFUSED;
    j->keys = keyring_read(j->config->keys_dir.ptr, now, &j->why);
    if (j->keys && (!vault_is_open(j->keys) || !inventory_hash_name(j->keys, j->entity, j->hash)))
        (void)fault_set(&j->why, FAULT_CONFIG,
                        "there are no keys to keep things in the store with; make them with: "
                        "belfry key ring new %s/seal and %s/store",
                        j->config->keys_dir.ptr, j->config->keys_dir.ptr);
    else if (j->keys)
        code = dispatch(j, argc, argv);
    if (!j->hash[0])
        code = trouble(&j->why);
    keyring_unref(j->keys);
    config_free(j->config);
    return code;
}

/* Options may stand anywhere; what is left are the words of the command. */
int cli_device(int argc, char **argv)
{
    struct job j = {0};
    const char *config = CONFIG_PATH;
    int words = 0;
    int code;
    for (int i = 1; i < argc; i++) {
        const struct slice is = slice_of(argv[i]);
        const bool has_value = slice_eq(is, SLICE("-c")) || slice_eq(is, SLICE("--entity"));
        if (slice_eq(is, SLICE("--dry-run")))
            j.is_dry = true;
        else if (slice_eq(is, SLICE("--json")))
            j.is_json = true;
        else if (has_value && i + 1 == argc)
            return help_usage("device", words ? argv[0] : NULL);
        else if (slice_eq(is, SLICE("-c")))
            config = argv[++i];
        else if (slice_eq(is, SLICE("--entity")))
            j.entity = slice_of(argv[++i]);
        else
            argv[words++] = argv[i];
    }
    if (!words || !entity_id_is_valid(j.entity))
        return help_usage("device", words ? argv[0] : NULL);
    arena_init(&j.arena, NULL);
    code = run_with(&j, config, words, argv);
    for (uint32_t i = 0; i < j.count; i++)
        inventory_record_unref(j.records[i]);
    mem_free(j.records);
    arena_fini(&j.arena);
    return code;
}
