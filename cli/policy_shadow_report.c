// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy shadow-report`: what rules and bundles in shadow would have decided otherwise, out
 * of the audit: by each rule how many requests, of how many persons and devices, from when to
 * when, and one to look at. Nothing is judged here: the gateway did that, with all facts. */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "cli/audit_line.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"

#define LOGS_MAX 64
#define TIME_ROOM 32 /* of "2026-11-24T12:00:00.000000Z" */

/* What one rule of one application would have changed, in one direction. */
struct shadowed {
    bool gains;        /* what was refused would be permitted */
    struct slice rule; /* in shadow itself, or of the bundle that is */
    struct slice entity;
    struct slice application;
    uint64_t requests;
    struct map persons;
    struct map devices;
    char first[TIME_ROOM]; /* as in the audit */
    char last[TIME_ROOM];
    struct slice reference; /* of the first */
    struct slice request;
};

struct report {
    const char *logs[LOGS_MAX];
    uint32_t log_count;
    bool is_json;
    struct arena arena;
    struct chunk_store chunks; /* of the lines' arenas */
    struct map by_key;
    struct shadowed **list;
    uint32_t count;
    uint64_t lines;
    uint64_t unread; /* that are no line of the audit */
    uint64_t decisions;
    uint64_t changed;
};

/* ---- counting ---- */

static void count_one(struct report *r, struct map *who, struct slice name)
{
    if (name.len && !map_get(who, name))
        (void)map_set(who, arena_copy(&r->arena, name), who);
}

static struct shadowed *shadowed_of(struct report *r, struct slice key)
{
    struct shadowed *s = map_get(&r->by_key, key);
    if (s)
        return s;
    s = arena_new(&r->arena, struct shadowed);
    map_init(&s->persons);
    map_init(&s->devices);
    r->list = mem_grow(r->list, r->count + 1, sizeof(*r->list));
    r->list[r->count++] = s;
    (void)map_set(&r->by_key, arena_copy(&r->arena, key), s);
    return s;
}

static void note_example(struct report *r, struct shadowed *s, const struct audit_line *l)
{
    s->reference = arena_copy(&r->arena, l->reference);
    s->request = arena_printf(&r->arena, "%.*s https://%.*s%.*s", SLICE_ARG(l->method),
                              SLICE_ARG(l->host), SLICE_ARG(l->path));
}

/* Times are of one form and zone: the earlier text is the earlier time. */
static void note_time(struct shadowed *s, struct slice time)
{
    char text[TIME_ROOM];
    (void)snprintf(text, sizeof text, "%.*s", SLICE_ARG(time));
    if (!s->first[0] || strcmp(text, s->first) < 0)
        memcpy(s->first, text, sizeof text);
    if (strcmp(text, s->last) > 0)
        memcpy(s->last, text, sizeof text);
}

static void note(struct report *r, const struct audit_line *l, struct slice rule, struct arena *a)
{
    const bool gains = !audit_line_is_permit(l);
    const struct slice key = arena_printf(a, "%.*s %.*s %d %.*s", SLICE_ARG(l->entity),
                                          SLICE_ARG(l->application), gains, SLICE_ARG(rule));
    struct shadowed *s = shadowed_of(r, key);
    if (!s->requests) {
        s->gains = gains;
        s->rule = arena_copy(&r->arena, rule);
        s->entity = arena_copy(&r->arena, l->entity);
        s->application = arena_copy(&r->arena, l->application);
        note_example(r, s, l);
    }
    note_time(s, l->time);
    s->requests += l->count;
    count_one(r, &s->persons, l->user_hash);
    count_one(r, &s->devices, l->device_digest);
}

static struct slice trial_words(const struct audit_line *l, struct arena *a)
{
    return l->trial_rule.len ? arena_printf(a, "bundle %.*s in shadow, rule %.*s",
                                            SLICE_ARG(l->trial), SLICE_ARG(l->trial_rule))
                             : arena_printf(a, "bundle %.*s in shadow, where nothing permits it",
                                            SLICE_ARG(l->trial));
}

static void take_line(void *owner, struct slice text)
{
    struct report *r = owner;
    struct audit_line l;
    struct arena a;
    arena_init(&a, &r->chunks);
    r->lines++;
    if (!audit_line_read(&l, text, &a)) {
        r->unread++;
    } else if (audit_line_is_judged(&l)) {
        r->decisions += l.count;
        r->changed += l.shadow_rule.len || l.trial.len ? l.count : 0;
        if (l.shadow_rule.len)
            note(r, &l, arena_printf(&a, "rule %.*s", SLICE_ARG(l.shadow_rule)), &a);
        if (l.trial.len)
            note(r, &l, trial_words(&l, &a), &a);
    }
    arena_fini(&a);
}

/* ---- what is told ---- */

static int by_requests(const void *a, const void *b)
{
    const struct shadowed *x = *(struct shadowed *const *)a, *y = *(struct shadowed *const *)b;
    return (x->requests < y->requests) - (x->requests > y->requests);
}

static void print_one(const struct screen *s, const struct shadowed *c)
{
    struct arena a;
    arena_init(&a, NULL);
    screen_put(s, c->gains ? PAINT_DOUBT : PAINT_BAD, "%s",
               c->gains ? "would be permitted" : "would be refused  ");
    (void)fputs("  ", s->out);
    screen_words(s, 20, 20,
                 arena_printf(&a, "%.*s, application %.*s of %.*s", SLICE_ARG(c->rule),
                              SLICE_ARG(c->application), SLICE_ARG(c->entity)));
    (void)fputs("  ", s->out);
    screen_words(s, 2, 2,
                 arena_printf(&a, "%llu requests, %zu persons, %zu devices, from %.19sZ to %.19sZ",
                              (unsigned long long)c->requests, c->persons.count, c->devices.count,
                              c->first, c->last));
    (void)fputs("  such as ", s->out);
    screen_words(s, 10, 10, c->request);
    if (c->reference.len)
        screen_put(s, PAINT_DIM, "  reference %.*s\n", SLICE_ARG(c->reference));
    arena_fini(&a);
}

static void print_people(const struct report *r)
{
    const struct screen s = screen_of(stdout);
    for (uint32_t i = 0; i < r->count; i++)
        print_one(&s, r->list[i]);
    (void)printf("%llu lines: %llu decisions of rules, %llu not understood\n",
                 (unsigned long long)r->lines, (unsigned long long)r->decisions,
                 (unsigned long long)r->unread);
    screen_put(&s, PAINT_STRONG, "%llu would have been decided otherwise\n",
               (unsigned long long)r->changed);
}

static json_t *number_json(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *one_json(const struct shadowed *c)
{
    json_t *one = json_object();
    (void)json_object_set_new(one, "rule", json_text(c->rule));
    (void)json_object_set_new(one, "entity", json_text(c->entity));
    (void)json_object_set_new(one, "application", json_text(c->application));
    (void)json_object_set_new(one, "becomes", json_string(c->gains ? "permit" : "deny"));
    (void)json_object_set_new(one, "requests", number_json(c->requests));
    (void)json_object_set_new(one, "persons", number_json(c->persons.count));
    (void)json_object_set_new(one, "devices", number_json(c->devices.count));
    (void)json_object_set_new(one, "first", json_text(slice_of(c->first)));
    (void)json_object_set_new(one, "last", json_text(slice_of(c->last)));
    (void)json_object_set_new(one, "reference", json_text(c->reference));
    (void)json_object_set_new(one, "request", json_text(c->request));
    return one;
}

static void print_json(const struct report *r)
{
    json_t *out = json_object(), *list = json_array();
    (void)json_object_set_new(out, "lines", number_json(r->lines));
    (void)json_object_set_new(out, "decisions", number_json(r->decisions));
    (void)json_object_set_new(out, "not_understood", number_json(r->unread));
    (void)json_object_set_new(out, "changed", number_json(r->changed));
    for (uint32_t i = 0; i < r->count; i++)
        (void)json_array_append_new(list, one_json(r->list[i]));
    (void)json_object_set_new(out, "shadows", list);
    json_print(out);
}

/* ---- the verb ---- */

static bool read_options(struct report *r, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            r->is_json = true;
        else if (strcmp(argv[i], "--audit") == 0 && i + 1 < argc && r->log_count < LOGS_MAX)
            r->logs[r->log_count++] = argv[++i];
        else
            return false;
    }
    return r->log_count;
}

static void free_report(struct report *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        map_fini(&r->list[i]->persons);
        map_fini(&r->list[i]->devices);
    }
    mem_free(r->list);
    map_fini(&r->by_key);
    chunk_store_fini(&r->chunks);
    arena_fini(&r->arena);
}

int verb_shadow_report(int argc, char **argv)
{
    struct report r = {.chunks = {.limit = 16}};
    int code = EXIT_OK;
    if (!read_options(&r, argc, argv))
        return policy_usage("shadow-report");
    arena_init(&r.arena, NULL);
    map_init(&r.by_key);
    for (uint32_t i = 0; code == EXIT_OK && i < r.log_count; i++)
        code = audit_log_read(r.logs[i], take_line, &r);
    if (code == EXIT_OK) {
        if (r.count)
            qsort(r.list, r.count, sizeof(*r.list), by_requests);
        if (r.is_json)
            print_json(&r);
        else
            print_people(&r);
        code = r.changed ? EXIT_REFUSED : r.unread ? EXIT_UNSURE : EXIT_OK;
    }
    free_report(&r);
    return code;
}
