// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy replay`: every recorded decision judged again by a bundle that is not live yet,
 * and which would change. What a line does not hold is not known: a decision that hangs on it is
 * counted as one that can't be told, never guessed. Lines are read one by one, so a log of any
 * length will do. */
#include <stdlib.h>

#include "audit/seal.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/reason.h"
#include "cli/audit_line.h"
#include "cli/policy_in.h"
#include "cli/policy_tool.h"
#include "policy/policy_test.h"
#include "policy/query.h"

#define LOGS_MAX 64

/* One bundle, and which facts the rules of each of its applications ask for. */
struct side {
    struct ground ground;
    uint64_t *reads; /* one an application */
};

struct judged {
    enum knowledge verdict;
    struct slice rule; /* that decides, or on which it hangs; empty: none */
    bool is_baseline;
    const char *why;  /* instead of a rule; or NULL */
    uint64_t unknown; /* facts that are asked for and not held */
};

/* Decisions that change in the same way. */
struct change {
    bool gains; /* what was refused would be permitted */
    struct slice was;
    struct slice becomes;
    uint64_t count;
    struct map persons;
    struct map devices;
    struct slice reference; /* of the first */
    struct slice request;
};

struct doubt {
    struct slice why;
    uint64_t count;
};

struct replay {
    const char *path;
    const char *old_path;
    const char *charter;
    const char *logs[LOGS_MAX];
    uint32_t log_count;
    const char *key_path;
    struct unseals *keys; /* NULL: none were given */
    bool is_json;
    struct side new_side;
    struct side old_side; /* with --old */
    struct arena arena;
    struct chunk_store chunks; /* of the lines' arenas */
    struct map changes;        /* by their texts → struct change */
    struct change **change_list;
    struct map doubts;
    struct doubt **doubt_list;
    uint32_t change_count;
    uint32_t doubt_count;
    uint64_t unknown; /* facts, of all doubts */
    uint64_t lines;
    uint64_t unread;    /* that are no line of the audit */
    uint64_t elsewhere; /* ends, refusals before any rule, other entities' applications */
    uint64_t decisions;
    uint64_t changed;
    uint64_t in_doubt;
    uint64_t sealed;      /* whose facts no key opens */
    uint64_t unexplained; /* --old says another thing than the log */
};

/* ---- judging ---- */

static struct judged refused_because(const char *why)
{
    return (struct judged){.verdict = KNOWN_DENY, .why = why};
}

static struct judged judge_facts(const struct side *s, const struct application *app,
                                 struct recorded *r, struct arena *a)
{
    const enum reason before = policy_refused_before(&r->facts, &r->request, a);
    if (before != REASON_PERMITTED)
        return refused_because(before == REASON_DEVICE_REQUIRED
                                   ? "the application asks for a certificate"
                                   : "the application does not let such paths in");
    if (!(r->unknown & CEL_BIT(request_query_parameters)))
        query_read_for_rules(&s->ground.snapshot, &r->facts, a);
    r->unknown &= s->reads[app - s->ground.bundle->applications];
    if (r->unknown) {
        const struct conclusion c = explain_verdict(&s->ground.snapshot, &r->facts, r->unknown);
        return (struct judged){.verdict = c.verdict,
                               .rule = c.rule ? c.rule->id : SLICE(""),
                               .is_baseline = c.is_baseline,
                               .unknown = r->unknown};
    }
    struct decision d;
    decide(&s->ground.snapshot, &r->facts, &d);
    return (struct judged){.verdict = d.verdict == DECISION_PERMIT ? KNOWN_PERMIT : KNOWN_DENY,
                           .rule = d.reason == REASON_DENIED ? SLICE("") : d.rule,
                           .is_baseline = d.is_baseline};
}

static struct judged judge_line(const struct side *s, const struct audit_line *l, struct arena *a)
{
    const struct application *app = policy_application_of(s->ground.bundle, l->host);
    struct recorded r;
    if (!app)
        return refused_because("no application has that host");
    audit_line_facts(l, s->ground.bundle, app, &r, a);
    if (r.no_way)
        return (struct judged){.verdict = NOT_KNOWN, .why = r.no_way};
    return judge_facts(s, app, &r, a);
}

/* ---- counting ---- */

static struct slice words_of(struct arena *a, const struct judged *j)
{
    if (j->why)
        return slice_of(j->why);
    if (!j->rule.len)
        return SLICE("no rule permits");
    return arena_printf(a, "%s%.*s", j->is_baseline ? "baseline/" : "", SLICE_ARG(j->rule));
}

static void count_one(struct replay *r, struct map *who, struct slice name)
{
    if (name.len && !map_get(who, name))
        (void)map_set(who, arena_copy(&r->arena, name), who);
}

static struct change *change_of(struct replay *r, struct slice key)
{
    struct change *c = map_get(&r->changes, key);
    if (c)
        return c;
    c = arena_new(&r->arena, struct change);
    map_init(&c->persons);
    map_init(&c->devices);
    r->change_list = mem_grow(r->change_list, r->change_count + 1, sizeof(*r->change_list));
    r->change_list[r->change_count++] = c;
    (void)map_set(&r->changes, arena_copy(&r->arena, key), c);
    return c;
}

static void note_change(struct replay *r, const struct audit_line *l, const struct judged *was,
                        const struct judged *is, struct arena *a)
{
    const bool gains = is->verdict == KNOWN_PERMIT;
    const struct slice from = words_of(a, was), to = words_of(a, is);
    const struct slice key = arena_printf(a, "%.*s %d %.*s > %.*s", SLICE_ARG(l->host), gains,
                                          SLICE_ARG(from), SLICE_ARG(to));
    struct change *c = change_of(r, key);
    if (!c->count) {
        c->gains = gains;
        c->was = arena_copy(&r->arena, from);
        c->becomes = arena_copy(&r->arena, to);
        c->reference = arena_copy(&r->arena, l->reference);
        c->request = arena_printf(&r->arena, "%.*s https://%.*s%.*s", SLICE_ARG(l->method),
                                  SLICE_ARG(l->host), SLICE_ARG(l->path));
    }
    c->count += l->count;
    r->changed += l->count;
    count_one(r, &c->persons, l->user_hash);
    count_one(r, &c->devices, l->device_digest);
}

static void note_doubt(struct replay *r, const struct audit_line *l, const struct judged *j,
                       struct arena *a)
{
    const struct slice why =
        j->why ? slice_of(j->why) : arena_printf(a, "rule %.*s", SLICE_ARG(words_of(a, j)));
    struct doubt *d = map_get(&r->doubts, why);
    if (!d) {
        d = arena_new(&r->arena, struct doubt);
        d->why = arena_copy(&r->arena, why);
        r->doubt_list = mem_grow(r->doubt_list, r->doubt_count + 1, sizeof(*r->doubt_list));
        r->doubt_list[r->doubt_count++] = d;
        (void)map_set(&r->doubts, d->why, d);
    }
    d->count += l->count;
    r->in_doubt += l->count;
    r->unknown |= j->unknown;
}

/* Of the bundle's entity, or of a host that it takes over. */
static bool is_concerned(const struct replay *r, const struct audit_line *l)
{
    return slice_eq(l->entity, r->new_side.ground.bundle->entity) ||
           policy_application_of(r->new_side.ground.bundle, l->host);
}

static void compare(struct replay *r, const struct audit_line *l, struct arena *a)
{
    struct judged was = {.verdict = audit_line_is_permit(l) ? KNOWN_PERMIT : KNOWN_DENY,
                         .rule = l->rule,
                         .is_baseline = slice_eq(l->ruleset, SLICE("baseline"))};
    if (slice_eq(l->reason, SLICE("denied")))
        was.rule = SLICE(""); /* the nearest only */
    r->decisions += l->count;
    if (r->old_path) {
        const struct judged old = judge_line(&r->old_side, l, a);
        if (old.verdict != NOT_KNOWN) {
            r->unexplained += old.verdict == was.verdict ? 0 : l->count;
            was = old;
        }
    }
    const struct judged is = judge_line(&r->new_side, l, a);
    if (is.verdict == NOT_KNOWN)
        note_doubt(r, l, &is, a);
    else if (is.verdict != was.verdict)
        note_change(r, l, &was, &is, a);
}

static void take_line(void *owner, struct slice text)
{
    struct replay *r = owner;
    struct audit_line l;
    struct arena a;
    arena_init(&a, &r->chunks);
    r->lines++;
    if (!audit_line_read(&l, text, &a))
        r->unread++;
    else if (!audit_line_is_judged(&l) || !is_concerned(r, &l))
        r->elsewhere++;
    else {
        r->sealed += audit_line_open(&l, r->keys, &a) ? 0 : l.count;
        compare(r, &l, &a);
    }
    arena_fini(&a);
}

/* ---- what is told ---- */

static int by_count(const void *a, const void *b)
{
    const struct change *x = *(struct change *const *)a, *y = *(struct change *const *)b;
    return (x->count < y->count) - (x->count > y->count);
}

static void print_change(struct arena *a, const struct screen *s, const struct change *c)
{
    screen_put(s, c->gains ? PAINT_DOUBT : PAINT_BAD, "%s",
               c->gains ? "would be permitted" : "would be refused  ");
    (void)fprintf(s->out, "  %llu decisions, %zu persons, %zu devices\n",
                  (unsigned long long)c->count, c->persons.count, c->devices.count);
    (void)fputs("  ", s->out);
    screen_words(s, 2, 4,
                 arena_printf(a, "%s: %.*s; now: %.*s",
                              c->gains ? "was refused by" : "was permitted by", SLICE_ARG(c->was),
                              SLICE_ARG(c->becomes)));
    (void)fputs("  such as ", s->out);
    screen_words(s, 10, 10, c->request);
    if (c->reference.len)
        screen_put(s, PAINT_DIM, "  reference %.*s\n", SLICE_ARG(c->reference));
}

static void print_facts_not_held(struct replay *r, const struct screen *s)
{
    struct slice list = SLICE("");
    for (uint32_t bit = 0; bit < CEL_FACT_BITS; bit++)
        if (r->unknown >> bit & 1)
            list = arena_printf(&r->arena, "%.*s%s%.*s", SLICE_ARG(list), list.len ? ", " : "",
                                SLICE_ARG(cel_bit_fact(bit)));
    if (list.len)
        screen_words(s, 0, 2,
                     arena_printf(&r->arena, "rules ask for what the log does not hold: %.*s",
                                  SLICE_ARG(list)));
}

static void print_people(struct replay *r)
{
    const struct screen s = screen_of(stdout);
    struct arena *a = &r->arena;
    for (uint32_t i = 0; i < r->change_count; i++)
        print_change(a, &s, r->change_list[i]);
    for (uint32_t i = 0; i < r->doubt_count; i++) {
        screen_put(&s, PAINT_DOUBT, "can't be told     ");
        (void)fputs("  ", s.out);
        screen_words(&s, 20, 20,
                     arena_printf(a, "%llu decisions: %.*s",
                                  (unsigned long long)r->doubt_list[i]->count,
                                  SLICE_ARG(r->doubt_list[i]->why)));
    }
    print_facts_not_held(r, &s);
    screen_words(
        &s, 0, 2,
        arena_printf(a, "%llu lines: %llu decisions of rules, %llu others, %llu not understood",
                     (unsigned long long)r->lines, (unsigned long long)r->decisions,
                     (unsigned long long)r->elsewhere, (unsigned long long)r->unread));
    if (r->sealed)
        screen_words(&s, 0, 2,
                     arena_printf(a, "%llu hold sealed facts that no key opens%s",
                                  (unsigned long long)r->sealed,
                                  r->keys ? "" : "; --keys names the entity's audit keys"));
    if (r->unexplained)
        screen_words(&s, 0, 2,
                     arena_printf(a,
                                  "%llu were decided otherwise than the old bundle says; its word "
                                  "counts",
                                  (unsigned long long)r->unexplained));
    screen_put(&s, PAINT_STRONG, "%llu would change, %llu can't be told, %llu stay\n",
               (unsigned long long)r->changed, (unsigned long long)r->in_doubt,
               (unsigned long long)(r->decisions - r->changed - r->in_doubt));
}

static json_t *number_json(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static void print_json(const struct replay *r)
{
    json_t *out = json_object(), *changes = json_array(), *doubts = json_array();
    json_t *facts = json_array();
    (void)json_object_set_new(out, "lines", number_json(r->lines));
    (void)json_object_set_new(out, "decisions", number_json(r->decisions));
    (void)json_object_set_new(out, "others", number_json(r->elsewhere));
    (void)json_object_set_new(out, "not_understood", number_json(r->unread));
    (void)json_object_set_new(out, "changed", number_json(r->changed));
    (void)json_object_set_new(out, "unknown", number_json(r->in_doubt));
    (void)json_object_set_new(out, "sealed", number_json(r->sealed));
    (void)json_object_set_new(out, "unexplained", number_json(r->unexplained));
    for (uint32_t i = 0; i < r->change_count; i++) {
        const struct change *c = r->change_list[i];
        json_t *one = json_object();
        (void)json_object_set_new(one, "becomes", json_string(c->gains ? "permit" : "deny"));
        (void)json_object_set_new(one, "was_by", json_text(c->was));
        (void)json_object_set_new(one, "now_by", json_text(c->becomes));
        (void)json_object_set_new(one, "decisions", number_json(c->count));
        (void)json_object_set_new(one, "persons", number_json(c->persons.count));
        (void)json_object_set_new(one, "devices", number_json(c->devices.count));
        (void)json_object_set_new(one, "reference", json_text(c->reference));
        (void)json_object_set_new(one, "request", json_text(c->request));
        (void)json_array_append_new(changes, one);
    }
    for (uint32_t i = 0; i < r->doubt_count; i++) {
        json_t *one = json_object();
        (void)json_object_set_new(one, "why", json_text(r->doubt_list[i]->why));
        (void)json_object_set_new(one, "decisions", number_json(r->doubt_list[i]->count));
        (void)json_array_append_new(doubts, one);
    }
    for (uint32_t bit = 0; bit < CEL_FACT_BITS; bit++)
        if (r->unknown >> bit & 1)
            (void)json_array_append_new(facts, json_text(cel_bit_fact(bit)));
    (void)json_object_set_new(out, "changes", changes);
    (void)json_object_set_new(out, "unknowns", doubts);
    (void)json_object_set_new(out, "facts_not_held", facts);
    json_print(out);
}

/* ---- the verb ---- */

static int read_side(struct side *s, const char *path, const char *charter)
{
    const int code = ground_read(&s->ground, path, charter);
    if (code != EXIT_OK)
        return code;
    const struct bundle *b = s->ground.bundle;
    s->reads = mem_array(uint64_t, b->application_count + 1);
    for (uint32_t i = 0; i < b->application_count; i++)
        s->reads[i] = rules_read(s->ground.snapshot.baseline, &b->applications[i]);
    return EXIT_OK;
}

static void free_side(struct side *s)
{
    mem_free(s->reads);
    ground_free(&s->ground);
}

static int replay_all(struct replay *r)
{
    int code = EXIT_OK;
    for (uint32_t i = 0; code == EXIT_OK && i < r->log_count; i++)
        code = audit_log_read(r->logs[i], take_line, r);
    if (code != EXIT_OK)
        return code;
    if (r->change_count)
        qsort(r->change_list, r->change_count, sizeof(struct change *), by_count);
    if (r->is_json)
        print_json(r);
    else
        print_people(r);
    return r->changed ? EXIT_REFUSED : r->in_doubt || r->unread ? EXIT_UNSURE : EXIT_OK;
}

static bool read_options(struct replay *r, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--json") == 0) {
            r->is_json = true;
            continue;
        }
        if (argv[i][0] != '-' && !r->path)
            r->path = argv[i];
        else if (strcmp(argv[i], "--audit") == 0 && value && r->log_count < LOGS_MAX)
            r->logs[r->log_count++] = argv[++i];
        else if (strcmp(argv[i], "--keys") == 0 && value && !r->key_path)
            r->key_path = argv[++i];
        else if (strcmp(argv[i], "--old") == 0 && value && !r->old_path)
            r->old_path = argv[++i];
        else if (strcmp(argv[i], "--charter") == 0 && value && !r->charter)
            r->charter = argv[++i];
        else
            return false;
    }
    return r->path && r->log_count;
}

static void free_replay(struct replay *r)
{
    for (uint32_t i = 0; i < r->change_count; i++) {
        map_fini(&r->change_list[i]->persons);
        map_fini(&r->change_list[i]->devices);
    }
    mem_free(r->change_list);
    mem_free(r->doubt_list);
    map_fini(&r->changes);
    map_fini(&r->doubts);
    chunk_store_fini(&r->chunks);
    arena_fini(&r->arena);
    unseals_free(r->keys);
    free_side(&r->new_side);
    free_side(&r->old_side);
}

int verb_replay(int argc, char **argv)
{
    struct replay r = {.chunks = {.limit = 16}};
    if (!read_options(&r, argc, argv))
        return policy_usage("replay");
    arena_init(&r.arena, NULL);
    map_init(&r.changes);
    map_init(&r.doubts);
    int code = read_side(&r.new_side, r.path, r.charter);
    if (code == EXIT_OK && r.old_path)
        code = read_side(&r.old_side, r.old_path, r.charter);
    if (code == EXIT_OK && r.key_path)
        code = audit_keys_read(r.keys = unseals_new(), r.key_path);
    if (code == EXIT_OK)
        code = replay_all(&r);
    free_replay(&r);
    return code;
}
