// SPDX-License-Identifier: EUPL-1.2
/* Conditions → clauses of atoms. Rules share most of what they ask ("user.acr_level >= 300"): each
 * distinct condition, and each distinct conjunct of them, is there once. Owns: which atoms are
 * worth remembering while a request is judged, and by which of its conjuncts a condition is best
 * found. */
#include "base/map.h"
#include "policy/compile_in.h"

/* A text that a condition can be found by. */
struct name {
    struct slice text;
    enum cel_guard_fact fact;
    uint32_t uses;
    uint32_t number; /* 0: no condition is found by it */
};

/* An atom while it is counted. */
struct part {
    const struct cel *test;
    struct name **names; /* by any of which it is found; all of one fact */
    uint32_t name_count; /* 0: by none */
    uint32_t uses;       /* by rules */
    uint32_t number;     /* in the end */
};

/* A distinct condition. */
struct condition {
    struct part **parts;
    uint32_t count;
    uint32_t uses;
    struct compiled_clause compiled;
};

struct work {
    struct arena *keep;
    struct arena *scratch;
    struct rules *rules;
    struct map conditions; /* text → struct condition */
    struct map parts;      /* key → struct part */
    struct map names;      /* fact and text → struct name */
    struct part **part_list;
    struct condition **condition_list;
    uint32_t part_count;
    uint32_t part_room;
    uint32_t condition_count;
    uint32_t name_count; /* that have a number */
};

uint64_t guard_hash(enum cel_guard_fact fact, struct slice text)
{
    /* FNV-1a: what is in the table is the policy's, so nobody outside can make it long. */
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)fact;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static struct name *name_of(struct work *w, enum cel_guard_fact fact, struct slice text)
{
    char *key = arena_bytes(w->scratch, text.len + 1);
    key[0] = (char)fact;
    if (text.len)
        memcpy(key + 1, text.ptr, text.len);
    void **at = map_at(&w->names, slice_from(key, text.len + 1));
    struct name *name = *at;
    if (name)
        return name;
    *at = name = arena_new(w->scratch, struct name);
    *name = (struct name){.text = text, .fact = fact};
    return name;
}

static void find_names(struct work *w, struct part *p)
{
    struct cel_guard guard;
    if (!cel_guard(p->test, &guard))
        return;
    p->names = arena_array(w->scratch, struct name *, guard.count);
    p->name_count = guard.count;
    for (uint32_t i = 0; i < guard.count; i++)
        p->names[i] = name_of(w, guard.fact, guard.texts[i]);
}

/* `test` lies in the scratch where it is a part of a condition, and is kept if it is a new one. */
static struct part *part_of(struct work *w, const struct cel *test, bool is_kept)
{
    void **at = map_at(&w->parts, cel_key(test, w->scratch));
    struct part *part = *at;
    if (part)
        return part;
    *at = part = arena_new(w->scratch, struct part);
    part->test = is_kept ? test : cel_copy(test, w->keep);
    find_names(w, part);
    if (w->part_count == w->part_room) {
        struct part **more = arena_array(w->scratch, struct part *, w->part_room * 2 + 64);
        if (w->part_count)
            memcpy(more, w->part_list, w->part_count * sizeof(struct part *));
        w->part_list = more;
        w->part_room = w->part_room * 2 + 64;
    }
    w->part_list[w->part_count++] = part;
    return part;
}

static struct condition *make_condition(struct work *w, const struct rule *r)
{
    struct condition *c = arena_new(w->scratch, struct condition);
    const struct cel *const *atoms;
    c->count = cel_atoms(r->when, w->scratch, &atoms);
    c->parts = arena_array(w->scratch, struct part *, c->count);
    for (uint32_t i = 0; i < c->count; i++)
        c->parts[i] = part_of(w, atoms[i], atoms[i] == r->when);
    c->compiled.number = ++w->condition_count;
    c->compiled.reads_device = cel_reads_device(r->when);
    w->condition_list[w->condition_count - 1] = c;
    return c;
}

static void count_names(const struct condition *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        for (uint32_t k = 0; k < c->parts[i]->name_count; k++)
            c->parts[i]->names[k]->uses += c->uses;
}

/* The conjunct whose texts are in the fewest rules finds it best. */
static void choose_guard(struct work *w, struct condition *c)
{
    const struct part *best = NULL;
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct part *p = c->parts[i];
        uint32_t most = 0;
        for (uint32_t k = 0; k < p->name_count; k++)
            most = p->names[k]->uses > most ? p->names[k]->uses : most;
        if (p->name_count && most < least) {
            least = most;
            best = p;
        }
    }
    if (!best)
        return;
    uint32_t *texts = arena_array(w->scratch, uint32_t, best->name_count);
    for (uint32_t k = 0; k < best->name_count; k++) {
        if (!best->names[k]->number)
            best->names[k]->number = ++w->name_count;
        texts[k] = best->names[k]->number;
    }
    c->compiled.guard = best->names[0]->fact;
    c->compiled.texts = texts;
    c->compiled.text_count = best->name_count;
}

static void make_names(struct work *w)
{
    uint32_t room = 2;
    size_t at = 0;
    const struct map_entry *entry;
    while (room < w->name_count * 2)
        room *= 2;
    struct guard_name *table = arena_array(w->keep, struct guard_name, room);
    while ((entry = map_next(&w->names, &at))) {
        const struct name *name = entry->value;
        if (!name->number)
            continue;
        uint32_t slot = (uint32_t)guard_hash(name->fact, name->text) & (room - 1);
        while (table[slot].number)
            slot = (slot + 1) & (room - 1);
        table[slot] = (struct guard_name){name->text, name->number, name->fact};
    }
    w->rules->names = (struct guard_names){table, room - 1};
}

/* The shared ones first: those are remembered. */
static void number_parts(struct work *w, bool is_read_twice)
{
    const struct cel **atoms = arena_array(w->keep, const struct cel *, w->part_count);
    uint32_t count = 0;
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < w->part_count; i++) {
            struct part *p = w->part_list[i];
            if ((p->uses > (is_read_twice ? 0 : 1)) != (round == 0))
                continue;
            p->number = count;
            atoms[count++] = p->test;
        }
        const uint32_t room = MEMO_MAX_ATOMS - w->rules->path_memo_count;
        if (round == 0)
            w->rules->memo_count = count < room ? count : room;
    }
    w->rules->atoms = atoms;
    w->rules->atom_count = count;
}

static void make_clauses(struct work *w)
{
    struct clause *clauses = arena_array(w->keep, struct clause, w->condition_count);
    for (uint32_t i = 0; i < w->condition_count; i++) {
        const struct condition *c = w->condition_list[i];
        uint32_t *atoms = arena_array(w->keep, uint32_t, c->count);
        for (uint32_t k = 0; k < c->count; k++)
            atoms[k] = c->parts[k]->number;
        clauses[i] = (struct clause){atoms, c->count};
    }
    w->rules->clauses = clauses;
}

const struct compiled_clause *compile_clauses(struct arena *a, struct arena *scratch,
                                              struct rules *rules, bool is_read_twice)
{
    struct work w = {.keep = a, .scratch = scratch, .rules = rules};
    struct compiled_clause *out = arena_array(scratch, struct compiled_clause, rules->count);
    struct condition **of_rule = arena_array(scratch, struct condition *, rules->count);
    w.condition_list = arena_array(scratch, struct condition *, rules->count);
    map_init(&w.conditions);
    map_init(&w.parts);
    map_init(&w.names);
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct rule *r = &rules->list[i];
        if (!r->when)
            continue;
        void **at = map_at(&w.conditions, r->when_text);
        of_rule[i] = *at = *at ? *at : make_condition(&w, r);
        /* A rule of several patterns may be come to several times. One that names segments of
         * the path is asked as a whole, and nothing of it remembered. */
        const uint32_t uses = r->path_count > 1 ? 2 : 1;
        of_rule[i]->uses += uses;
        for (uint32_t k = 0; k < of_rule[i]->count && !r->reads_path; k++)
            of_rule[i]->parts[k]->uses += uses;
    }
    number_parts(&w, is_read_twice);
    for (uint32_t i = 0; i < w.condition_count; i++)
        count_names(w.condition_list[i]);
    for (uint32_t i = 0; i < w.condition_count; i++)
        choose_guard(&w, w.condition_list[i]);
    for (uint32_t i = 0; i < rules->count; i++)
        if (of_rule[i])
            out[i] = of_rule[i]->compiled;
    make_clauses(&w);
    make_names(&w);
    map_fini(&w.conditions);
    map_fini(&w.parts);
    map_fini(&w.names);
    return out;
}
