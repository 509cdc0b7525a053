// SPDX-License-Identifier: EUPL-1.2
/* The condition language against its slow twin: random well-typed expressions are printed in all
 * the ways that the grammar allows, compiled, run, and compared with an evaluator over the tree
 * that they came from, which knows nothing of steps, short cuts or borrowed memory. The seed is
 * fixed. */
#include "policy/cel.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/buf.h"
#include "policy/bundle.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define WANTED_CASES 30000

enum { LACKS_USER = 1, LACKS_DEVICE = 2 };

enum scalar { BOOL, INT, UINT, DOUBLE, STRING, SCALARS };
struct type {
    enum scalar scalar;
    unsigned lists;
};

enum kind {
    LITERAL,
    FACT,
    VARIABLE,
    LIST,
    SIZE,
    HAS,
    NOT,
    AND,
    OR,
    TERNARY,
    RELATION,
    METHOD,
    LOOP
};

struct value {
    const char *missing; /* an error: the first fact that was */
    int lacks;
    bool b;
    int64_t i;
    uint64_t u;
    double d;
    struct slice s;
    const struct value *items;
    size_t count;
};

struct tree {
    enum kind kind;
    struct type type;
    struct type of;   /* of what a relation compares, or a loop's variable */
    const char *word; /* a fact, variable, relation, method or loop */
    struct value value;
    struct tree *args[12];
    size_t count;
};

/* --- chance --- */

struct chance {
    uint64_t state;
};

static uint64_t chance_next(struct chance *c) /* splitmix64 */
{
    uint64_t z = c->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(struct chance *c, size_t n)
{
    return (size_t)(chance_next(c) % n);
}

static bool once_in(struct chance *c, size_t n)
{
    return below(c, n) == 0;
}

/* --- the world, and its facts by name --- */

static const struct slice texts[] = {
    SLICE_INIT("a"),
    SLICE_INIT("b"),
    SLICE_INIT("ab"),
    SLICE_INIT("abc"),
    SLICE_INIT("bc"),
    SLICE_INIT(""),
    SLICE_INIT("é"),
    SLICE_INIT("aé"),
    SLICE_INIT("漢字"),
    SLICE_INIT("😀"),
    SLICE_INIT("x'y"),
    SLICE_INIT("x\"y"),
    SLICE_INIT("\\n"),
    SLICE_INIT("a\nb"),
    SLICE_INIT("\x01"),
    SLICE_INIT("''\"\"\"'''"),
    SLICE_INIT("tax"),
    SLICE_INIT("staff"),
    SLICE_INIT("\xef\xbf\xbd"),
    SLICE_INIT("`?\t"),
};

struct world {
    struct slice lists[5][6];
    struct facts_user user;
    struct facts_device device;
    struct facts_service service;
    struct facts_session session;
    struct application app;
    struct request request;
    struct facts facts;
};

static struct slice some_text(struct chance *c)
{
    return texts[below(c, COUNT_OF(texts))];
}

static struct slice some_full_text(struct chance *c)
{
    struct slice s = some_text(c);
    return s.len ? s : SLICE("full");
}

static struct slices some_list(struct chance *c, struct slice room[6])
{
    struct slices list = {room, (uint32_t)below(c, 6)};
    for (uint32_t i = 0; i < list.count; i++)
        room[i] = some_text(c);
    return list;
}

static void world_fill(struct world *w, struct chance *c)
{
    *w = (struct world){
        .user = {.id = some_full_text(c),
                 .acr = some_text(c),
                 .acr_level = (int64_t)below(c, 4) - 1},
        .device = {.trust = some_full_text(c), .common_name = some_text(c)},
        .service = {.id = some_full_text(c)},
        .app = {.id = some_full_text(c)},
        .request = {.method_name = some_full_text(c),
                    .decoded_path = some_full_text(c),
                    .query = some_text(c),
                    .has_query = once_in(c, 2),
                    .protocol = once_in(c, 2) ? PROTOCOL_H1 : PROTOCOL_H2},
        .facts = {.client_address = some_text(c)},
    };
    w->user.groups = some_list(c, w->lists[0]);
    w->user.amr = some_list(c, w->lists[1]);
    w->device.uris = some_list(c, w->lists[2]);
    w->session.methods = some_list(c, w->lists[4]);
    w->request.path.segment_count = some_list(c, w->lists[3]).count;
    w->request.path.segments = w->lists[3];
    w->facts.user = once_in(c, 4) ? NULL : &w->user;
    w->facts.device = once_in(c, 4) ? NULL : &w->device;
    w->facts.service = once_in(c, 4) ? NULL : &w->service;
    w->facts.session = !w->facts.user || once_in(c, 4) ? NULL : &w->session;
    w->facts.app = &w->app;
    w->facts.request = &w->request;
}

static const struct {
    const char *name;
    struct type type;
} facts[] = {
    {"user.id", {STRING, 0}},
    {"user.acr", {STRING, 0}},
    {"user.acr_level", {INT, 0}},
    {"user.groups", {STRING, 1}},
    {"user.amr", {STRING, 1}},
    {"device.trust", {STRING, 0}},
    {"device.common_name", {STRING, 0}},
    {"device.uris", {STRING, 1}},
    {"service.id", {STRING, 0}},
    {"session.methods", {STRING, 1}},
    {"app.id", {STRING, 0}},
    {"request.method", {STRING, 0}},
    {"request.path", {STRING, 0}},
    {"request.query", {STRING, 0}},
    {"request.segments", {STRING, 1}},
    {"request.protocol", {STRING, 0}},
    {"request.client_address", {STRING, 0}},
};

static struct value error(const char *missing, int lacks)
{
    return (struct value){.missing = missing, .lacks = lacks};
}

static struct value text_or_missing(const char *name, struct slice text)
{
    return text.len ? (struct value){.s = text} : error(name, 0);
}

static struct value list_value(struct arena *a, const struct slice *at, size_t count)
{
    struct value *items = arena_array(a, struct value, count + 1);
    for (size_t i = 0; i < count; i++)
        items[i].s = at[i];
    return (struct value){.items = items, .count = count};
}

static struct value fact_value(const struct world *w, const char *name, struct arena *a)
{
    const char *field = strchr(name, '.') + 1;
    if (name[0] == 'u') {
        const struct facts_user *u = w->facts.user;
        if (!u)
            return error(name, LACKS_USER);
        if (!strcmp(field, "acr_level"))
            return (struct value){.i = u->acr_level};
        if (!strcmp(field, "groups"))
            return list_value(a, u->groups.at, u->groups.count);
        if (!strcmp(field, "amr"))
            return list_value(a, u->amr.at, u->amr.count);
        return text_or_missing(name, !strcmp(field, "id") ? u->id : u->acr);
    }
    if (name[0] == 'd') {
        const struct facts_device *d = w->facts.device;
        if (!d)
            return error(name, LACKS_DEVICE);
        if (!strcmp(field, "uris"))
            return list_value(a, d->uris.at, d->uris.count);
        return text_or_missing(name, !strcmp(field, "trust") ? d->trust : d->common_name);
    }
    if (!strcmp(field, "methods"))
        return w->facts.session ? list_value(a, w->session.methods.at, w->session.methods.count)
                                : error(name, w->facts.user ? 0 : LACKS_USER);
    if (name[0] == 's')
        return w->facts.service ? (struct value){.s = w->service.id} : error(name, 0);
    if (name[0] == 'a')
        return (struct value){.s = w->app.id};
    if (!strcmp(field, "segments"))
        return list_value(a, w->request.path.segments, w->request.path.segment_count);
    if (!strcmp(field, "query"))
        return w->request.has_query ? (struct value){.s = w->request.query} : error(name, 0);
    if (!strcmp(field, "protocol"))
        return (struct value){.s = w->request.protocol == PROTOCOL_H2 ? SLICE("h2") : SLICE("h1")};
    if (!strcmp(field, "client_address"))
        return text_or_missing(name, w->facts.client_address);
    return (struct value){.s = !strcmp(field, "path") ? w->request.decoded_path
                                                      : w->request.method_name};
}

/* --- expressions --- */

struct maker {
    struct chance *c;
    struct arena *a;
    struct {
        const char *name;
        struct type type;
    } scope[4];
    size_t depth;
};

static struct tree *grow(struct maker *m, struct type type, size_t left, bool may_be_empty);

static struct tree *tree_new(struct maker *m, enum kind kind, struct type type)
{
    struct tree *t = arena_new(m->a, struct tree);
    t->kind = kind;
    t->type = type;
    return t;
}

static void tree_add(struct tree *t, struct tree *arg)
{
    t->args[t->count++] = arg;
}

static struct tree *grow_literal(struct maker *m, struct type type)
{
    static const int64_t ints[] = {0, 1, 2, 3, -1, -7, INT64_MIN, INT64_MAX};
    static const uint64_t uints[] = {0, 1, 2, 255, UINT64_MAX};
    static const double doubles[] = {0.0, -0.0, 1.0, 1.5, -2.25, 1e300, 5e-324, 0.1};
    struct tree *t = tree_new(m, LITERAL, type);
    t->value.b = once_in(m->c, 2);
    t->value.i = ints[below(m->c, COUNT_OF(ints))];
    t->value.u = uints[below(m->c, COUNT_OF(uints))];
    t->value.d = doubles[below(m->c, COUNT_OF(doubles))];
    t->value.s = some_text(m->c);
    return t;
}

static struct tree *grow_list(struct maker *m, struct type type, size_t left, bool may_be_empty)
{
    struct tree *t = tree_new(m, LIST, type);
    const struct type item = {type.scalar, type.lists - 1};
    // Long enough, at times, to be searched by halves.
    const bool is_long = !item.lists && once_in(m->c, 3);
    size_t count = is_long ? 9 + below(m->c, 4) : below(m->c, 4);
    if (!count && !may_be_empty)
        count = 1;
    for (size_t i = 0; i < count; i++)
        tree_add(t, is_long ? grow_literal(m, item) : grow(m, item, left ? left - 1 : 0, false));
    return t;
}

static struct tree *grow_fact(struct maker *m, struct type type)
{
    size_t matching = 0;
    const char *name = NULL;
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        if (facts[i].type.scalar == type.scalar && facts[i].type.lists == type.lists &&
            once_in(m->c, ++matching))
            name = facts[i].name;
    if (!name)
        return NULL;
    struct tree *t = tree_new(m, FACT, type);
    t->word = name;
    return t;
}

static struct tree *grow_variable(struct maker *m, struct type type)
{
    for (size_t tries = 0; m->depth && tries < 3; tries++) {
        const char *name = m->scope[below(m->c, m->depth)].name;
        size_t inner = m->depth;
        while (strcmp(m->scope[--inner].name, name) != 0)
            continue;
        if (m->scope[inner].type.scalar != type.scalar || m->scope[inner].type.lists != type.lists)
            continue;
        struct tree *t = tree_new(m, VARIABLE, type);
        t->word = name;
        return t;
    }
    return NULL;
}

static struct tree *grow_leaf(struct maker *m, struct type type, bool may_be_empty)
{
    struct tree *t = once_in(m->c, 3) ? NULL : grow_variable(m, type);
    if (!t && !once_in(m->c, 3))
        t = grow_fact(m, type);
    if (t)
        return t;
    return type.lists ? grow_list(m, type, 0, may_be_empty) : grow_literal(m, type);
}

static struct tree *grow_loop(struct maker *m, size_t left)
{
    static const char *const names[] = {"x", "y", "g"};
    struct type item = {once_in(m->c, 2) ? STRING : (enum scalar)below(m->c, SCALARS),
                        once_in(m->c, 6)};
    struct tree *t = tree_new(m, LOOP, (struct type){BOOL, 0});
    t->word = once_in(m->c, 2) ? "exists" : "all";
    t->of = item;
    tree_add(t, grow(m, (struct type){item.scalar, item.lists + 1}, left, false));
    const char *name = names[below(m->c, COUNT_OF(names))];
    t->value.s = slice_of(name);
    m->scope[m->depth].name = name;
    m->scope[m->depth++].type = item;
    tree_add(t, grow(m, (struct type){BOOL, 0}, left, false));
    m->depth--;
    return t;
}

static struct tree *grow_relation(struct maker *m, size_t left)
{
    static const char *const relations[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
    struct tree *t = tree_new(m, RELATION, (struct type){BOOL, 0});
    t->word = relations[below(m->c, COUNT_OF(relations))];
    t->of.scalar = once_in(m->c, 2) ? STRING : (enum scalar)below(m->c, SCALARS);
    const bool is_order = t->word[0] == '<' || t->word[0] == '>';
    t->of.lists = is_order || !once_in(m->c, 4) ? 0 : 1 + once_in(m->c, 3);
    struct type right = t->of;
    right.lists += !strcmp(t->word, "in");
    tree_add(t, grow(m, t->of, left, t->of.lists == 1));
    tree_add(t, grow(m, right, left, right.lists == 1));
    return t;
}

static struct tree *grow_bool(struct maker *m, size_t left)
{
    static const char *const methods[] = {"startsWith", "endsWith", "contains"};
    const struct type text = {STRING, 0};
    const struct type boolean = {BOOL, 0};
    struct tree *t;
    switch (below(m->c, 9)) {
    case 0:
        t = tree_new(m, NOT, boolean);
        tree_add(t, grow(m, boolean, left, false));
        return t;
    case 1:
    case 2:
        t = tree_new(m, once_in(m->c, 2) ? AND : OR, boolean);
        for (size_t n = 2 + below(m->c, 3); n; n--)
            tree_add(t, grow(m, boolean, left, false));
        return t;
    case 3:
        t = tree_new(m, HAS, boolean);
        t->word = facts[below(m->c, COUNT_OF(facts))].name;
        return t;
    case 4:
        t = tree_new(m, METHOD, boolean);
        t->word = methods[below(m->c, COUNT_OF(methods))];
        tree_add(t, grow(m, text, left, false));
        tree_add(t, grow(m, text, left, false));
        return t;
    case 5:
    case 6:
        return m->depth < 3 ? grow_loop(m, left) : grow_relation(m, left);
    default:
        return grow_relation(m, left);
    }
}

static struct tree *grow(struct maker *m, struct type type, size_t left, bool may_be_empty)
{
    struct tree *t;
    if (!left)
        return grow_leaf(m, type, may_be_empty);
    left--;
    if (once_in(m->c, 8)) {
        t = tree_new(m, TERNARY, type);
        tree_add(t, grow(m, (struct type){BOOL, 0}, left, false));
        tree_add(t, grow(m, type, left, may_be_empty));
        tree_add(t, grow(m, type, left, may_be_empty));
        return t;
    }
    if (type.lists)
        return once_in(m->c, 2) ? grow_list(m, type, left, may_be_empty)
                                : grow_leaf(m, type, may_be_empty);
    if (type.scalar == BOOL)
        return once_in(m->c, 8) ? grow_leaf(m, type, false) : grow_bool(m, left);
    if (type.scalar != INT || once_in(m->c, 2))
        return grow_leaf(m, type, false);
    t = tree_new(m, SIZE, type);
    tree_add(t, grow(m, (struct type){STRING, (unsigned)below(m->c, 2)}, left, false));
    return t;
}

/* --- the slow twin --- */

struct twin {
    const struct world *w;
    struct arena *a;
    struct {
        struct slice name;
        struct value value;
    } scope[4];
    size_t depth;
};

static struct value truth(bool b)
{
    return (struct value){.b = b};
}

/* Two errors are one: the first by name, both by what they lack. */
static struct value join(struct value a, struct value b)
{
    if (!a.missing)
        return b;
    if (b.missing)
        a.lacks |= b.lacks;
    return a;
}

static bool same(struct value a, struct value b, struct type type)
{
    if (type.lists) {
        bool is_same = a.count == b.count;
        for (size_t i = 0; is_same && i < a.count; i++)
            is_same = same(a.items[i], b.items[i], (struct type){type.scalar, type.lists - 1});
        return is_same;
    }
    switch (type.scalar) {
    case BOOL:
        return a.b == b.b;
    case INT:
        return a.i == b.i;
    case UINT:
        return a.u == b.u;
    case DOUBLE:
        return a.d == b.d;
    default:
        return slice_eq(a.s, b.s);
    }
}

static size_t decode(struct slice s, size_t at, uint32_t *out)
{
    const unsigned char *p = (const unsigned char *)s.ptr + at;
    const size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    *out = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        *out = *out << 6 | (p[i] & 0x3f);
    return len;
}

/* By code points, decoded one by one. */
static bool text_less(struct slice a, struct slice b)
{
    size_t i = 0;
    size_t k = 0;
    while (i < a.len && k < b.len) {
        uint32_t x;
        uint32_t y;
        i += decode(a, i, &x);
        k += decode(b, k, &y);
        if (x != y)
            return x < y;
    }
    return i >= a.len && k < b.len;
}

static bool less(struct value a, struct value b, enum scalar scalar)
{
    switch (scalar) {
    case BOOL:
        return !a.b && b.b;
    case INT:
        return a.i < b.i;
    case UINT:
        return a.u < b.u;
    case DOUBLE:
        return a.d < b.d;
    default:
        return text_less(a.s, b.s);
    }
}

static struct value evaluate(struct twin *w, const struct tree *t);

static struct value relation(const struct tree *t, struct value a, struct value b)
{
    const char *word = t->word;
    if (!strcmp(word, "in")) {
        for (size_t i = 0; i < b.count; i++)
            if (same(a, b.items[i], t->of))
                return truth(true);
        return truth(false);
    }
    if (!strcmp(word, "=="))
        return truth(same(a, b, t->of));
    if (!strcmp(word, "!="))
        return truth(!same(a, b, t->of));
    if (word[0] == '<')
        return truth(less(a, b, t->of.scalar) || (word[1] && same(a, b, t->of)));
    return truth(less(b, a, t->of.scalar) || (word[1] && same(a, b, t->of)));
}

static struct value method(const char *word, struct slice text, struct slice part)
{
    if (word[0] == 's')
        return truth(slice_starts(text, part));
    if (word[0] == 'e')
        return truth(slice_ends(text, part));
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (slice_eq((struct slice){text.ptr + i, part.len}, part))
            return truth(true);
    return truth(false);
}

/* The fold over `count` outcomes: `stop` wins over an error, an error over the rest. */
static struct value fold(const struct value *outcomes, size_t count, bool stop)
{
    struct value result = truth(!stop);
    for (size_t i = 0; i < count; i++)
        if (!outcomes[i].missing && outcomes[i].b == stop)
            return truth(stop);
    for (size_t i = 0; i < count; i++)
        if (outcomes[i].missing)
            result = join(result, outcomes[i]);
    return result;
}

static struct value loop(struct twin *w, const struct tree *t)
{
    struct value range = evaluate(w, t->args[0]);
    if (range.missing)
        return range;
    struct value *outcomes = arena_array(w->a, struct value, range.count + 1);
    for (size_t i = 0; i < range.count; i++) {
        w->scope[w->depth].name = t->value.s;
        w->scope[w->depth++].value = range.items[i];
        outcomes[i] = evaluate(w, t->args[1]);
        w->depth--;
    }
    return fold(outcomes, range.count, t->word[0] == 'e');
}

/* In CEL's words: everything is strict but && || ?: and the macros. */
static struct value evaluate(struct twin *w, const struct tree *t)
{
    struct value args[12];
    struct value failed = truth(false);
    uint32_t code;
    if (t->kind == LOOP)
        return loop(w, t);
    if (t->kind == HAS) {
        struct value v = fact_value(w->w, t->word, w->a);
        const bool is_never_empty = t->word[0] == 's'; // missing only with its root
        const bool has_root = !v.lacks && !(v.missing && is_never_empty);
        return v.missing && !has_root ? v : truth(!v.missing);
    }
    if (t->kind == TERNARY) {
        struct value condition = evaluate(w, t->args[0]);
        return condition.missing ? condition : evaluate(w, t->args[condition.b ? 1 : 2]);
    }
    for (size_t i = 0; i < t->count; i++) {
        args[i] = evaluate(w, t->args[i]);
        failed = join(failed, args[i].missing ? args[i] : failed);
    }
    if (t->kind == AND || t->kind == OR)
        return fold(args, t->count, t->kind == OR);
    if (failed.missing)
        return failed;
    switch (t->kind) {
    case LITERAL:
        return t->value;
    case FACT:
        return fact_value(w->w, t->word, w->a);
    case VARIABLE:
        for (size_t i = w->depth; i-- > 0;)
            if (slice_eq(w->scope[i].name, slice_of(t->word)))
                return w->scope[i].value;
        abort();
    case LIST: {
        struct value *items = arena_array(w->a, struct value, t->count + 1);
        memcpy(items, args, t->count * sizeof(*items));
        return (struct value){.items = items, .count = t->count};
    }
    case SIZE: {
        struct value v = {.i = (int64_t)args[0].count};
        if (!t->args[0]->type.lists)
            for (size_t i = 0; i < args[0].s.len; v.i++)
                i += decode(args[0].s, i, &code);
        return v;
    }
    case NOT:
        return truth(!args[0].b);
    case RELATION:
        return relation(t, args[0], args[1]);
    default:
        return method(t->word, args[0].s, args[1].s);
    }
}

/* --- printing --- */

/* How tight an expression binds: a looser one needs parentheses where a tighter one is wanted. */
enum binding { LOOSEST, IN_OR, IN_AND, IN_RELATION, UNARY, MEMBER };

struct printer {
    struct chance *c;
    struct buf out;
    bool is_full;
};

static void put(struct printer *p, const char *text)
{
    static const char *const blanks[] = {" ", "\n", "\t ", " // a comment\n", "\r\n"};
    if (!buf_add(&p->out, slice_of(text)) ||
        (once_in(p->c, 12) && !buf_add(&p->out, slice_of(blanks[below(p->c, COUNT_OF(blanks))]))))
        p->is_full = true;
}

static void put_raw(struct printer *p, struct slice text)
{
    if (!buf_add(&p->out, text))
        p->is_full = true;
}

static bool holds(struct slice s, const char *bytes)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr(bytes, s.ptr[i]))
            return true;
    return false;
}

static void print_escaped(struct printer *p, struct slice s, size_t at, size_t len, uint32_t code)
{
    char text[16];
    const bool must = code < ' ' || code == '\\' || code == '\'' || code == '"';
    if (!must && !once_in(p->c, 6)) {
        put_raw(p, (struct slice){s.ptr + at, len});
        return;
    }
    const size_t way = below(p->c, 4);
    if (way == 0 && code < 0x100)
        (void)snprintf(text, sizeof text, "\\x%02x", code);
    else if (way == 1 && code < 0x100)
        (void)snprintf(text, sizeof text, "\\%03o", code);
    else if (way < 3 && code < 0x10000)
        (void)snprintf(text, sizeof text, "\\u%04X", code);
    else
        (void)snprintf(text, sizeof text, "\\U%08x", code);
    put_raw(p, slice_of(text));
}

static void print_text(struct printer *p, struct slice s)
{
    static const char *const quotes[] = {"'", "\"", "'''", "\"\"\""};
    const char *quote = quotes[below(p->c, COUNT_OF(quotes))];
    uint32_t code;
    const bool is_raw = once_in(p->c, 3) && !holds(s, "'\"\n");
    put_raw(p, slice_of(is_raw ? once_in(p->c, 2) ? "r" : "R" : ""));
    put_raw(p, slice_of(quote));
    if (is_raw)
        put_raw(p, s);
    for (size_t i = 0, len; !is_raw && i < s.len; i += len) {
        len = decode(s, i, &code);
        print_escaped(p, s, i, len, code);
    }
    put(p, quote);
}

static void print_literal(struct printer *p, const struct tree *t)
{
    char text[64];
    const struct value *v = &t->value;
    switch (t->type.scalar) {
    case BOOL:
        put(p, v->b ? "true" : "false");
        return;
    case INT:
        if (once_in(p->c, 4))
            (void)snprintf(text, sizeof text, "%s0x%llx", v->i < 0 ? "-" : "",
                           v->i < 0 ? 0 - (unsigned long long)v->i : (unsigned long long)v->i);
        else
            (void)snprintf(text, sizeof text, "%lld", (long long)v->i);
        break;
    case UINT:
        (void)snprintf(text, sizeof text, once_in(p->c, 2) ? "%lluu" : "0x%llXU",
                       (unsigned long long)v->u);
        break;
    case DOUBLE:
        (void)snprintf(text, sizeof text, "%.17g", v->d);
        if (!strpbrk(text, ".e"))
            (void)snprintf(text + strlen(text), 8, "%s", once_in(p->c, 2) ? ".0" : "e0");
        break;
    default:
        print_text(p, v->s);
        return;
    }
    put(p, text);
    put(p, " "); // "1 .size" and "1in" are not what is tested here
}

static enum binding binding_of(const struct tree *t)
{
    switch (t->kind) {
    case TERNARY:
        return LOOSEST;
    case OR:
        return IN_OR;
    case AND:
        return IN_AND;
    case RELATION:
        return IN_RELATION;
    case NOT:
        return UNARY;
    case LITERAL:
        return t->type.scalar == INT || t->type.scalar == DOUBLE ? UNARY : MEMBER;
    default:
        return MEMBER;
    }
}

static void print(struct printer *p, const struct tree *t, enum binding wanted);

static void print_args(struct printer *p, const struct tree *t, size_t from, const char *close)
{
    for (size_t i = from; i < t->count; i++) {
        print(p, t->args[i], LOOSEST);
        if (i + 1 < t->count)
            put(p, ",");
    }
    put(p, close);
}

static void print_plain(struct printer *p, const struct tree *t)
{
    switch (t->kind) {
    case LITERAL:
        print_literal(p, t);
        return;
    case FACT:
    case VARIABLE:
        put(p, t->word);
        return;
    case LIST:
        put(p, "[");
        print_args(p, t, 0, t->count && once_in(p->c, 5) ? ",]" : "]");
        return;
    case SIZE:
        if (once_in(p->c, 2)) {
            print(p, t->args[0], MEMBER);
            put(p, ".");
            put(p, "size()");
            return;
        }
        put(p, "size");
        put(p, "(");
        print_args(p, t, 0, ")");
        return;
    case HAS:
        put(p, "has(");
        put(p, t->word);
        put(p, ")");
        return;
    case NOT:
        put(p, "!");
        print(p, t->args[0], t->args[0]->kind == NOT ? UNARY : MEMBER);
        return;
    case AND:
    case OR:
        for (size_t i = 0; i < t->count; i++) {
            print(p, t->args[i], t->kind == AND ? IN_RELATION : IN_AND);
            if (i + 1 < t->count)
                put(p, t->kind == AND ? "&&" : "||");
        }
        return;
    case TERNARY:
        print(p, t->args[0], IN_OR);
        put(p, "?");
        print(p, t->args[1], IN_OR);
        put(p, ":");
        print(p, t->args[2], LOOSEST);
        return;
    case RELATION:
        print(p, t->args[0], IN_RELATION);
        put(p, " ");
        put(p, t->word);
        put(p, " ");
        print(p, t->args[1], UNARY);
        return;
    case METHOD:
        print(p, t->args[0], MEMBER);
        put(p, ".");
        put(p, t->word);
        put(p, "(");
        print_args(p, t, 1, ")");
        return;
    case LOOP:
        print(p, t->args[0], MEMBER);
        put(p, ".");
        put(p, t->word);
        put(p, "(");
        put_raw(p, t->value.s);
        put(p, ",");
        print_args(p, t, 1, ")");
        return;
    }
}

static void print(struct printer *p, const struct tree *t, enum binding wanted)
{
    const bool has_parentheses = binding_of(t) < wanted || once_in(p->c, 10);
    if (has_parentheses)
        put(p, "(");
    print_plain(p, t);
    if (has_parentheses)
        put(p, ")");
}

/* --- the two together --- */

static enum cel_outcome outcome_of(struct value v)
{
    return v.missing ? CEL_IS_ERROR : v.b ? CEL_IS_TRUE : CEL_IS_FALSE;
}

/* One case; false where the text went over a limit, and nothing was compared. */
static bool compare_once(uint64_t seed, size_t outcomes[3])
{
    struct chance c = {seed};
    struct world w;
    struct arena a;
    struct findings found;
    arena_init(&a, NULL);
    findings_init(&found);
    struct maker m = {.c = &c, .a = &a};
    const struct tree *t = grow(&m, (struct type){BOOL, 0}, 1 + below(&c, 4), false);
    struct printer p = {.c = &c};
    buf_init(&p.out, CEL_MAX_TEXT_BYTES);
    print(&p, t, LOOSEST);
    const struct slice text = buf_slice(&p.out);
    const struct cel *cel = cel_compile(&a, text, (struct place){.line = 1, .column = 1}, &found);
    bool was_compared = false;
    for (size_t i = 0; i < found.count; i++)
        cr_assert(
            p.is_full || !found.at[i].is_error || strcmp(found.at[i].code, "condition-limit") == 0,
            "seed %llu: %s\n%.*s", (unsigned long long)seed, found.at[i].text, SLICE_ARG(text));
    for (size_t i = 0; cel && !p.is_full && i < 3; i++) {
        struct cel_run run = {.lacks_user = false};
        world_fill(&w, &c);
        struct twin twin = {.w = &w, .a = &a};
        const struct value v = evaluate(&twin, t);
        const enum cel_outcome got = cel_test(cel, &w.facts, &run);
        cr_assert_eq(got, outcome_of(v), "seed %llu: %d is not %d\n%.*s", (unsigned long long)seed,
                     got, outcome_of(v), SLICE_ARG(text));
        cr_assert(slice_eq(run.missing, slice_of(v.missing)),
                  "seed %llu: missing '%.*s', not '%s'\n%.*s", (unsigned long long)seed,
                  SLICE_ARG(run.missing), v.missing ? v.missing : "", SLICE_ARG(text));
        cr_assert_eq(run.lacks_user, (v.lacks & LACKS_USER) != 0, "seed %llu\n%.*s",
                     (unsigned long long)seed, SLICE_ARG(text));
        cr_assert_eq(run.lacks_device, (v.lacks & LACKS_DEVICE) != 0, "seed %llu\n%.*s",
                     (unsigned long long)seed, SLICE_ARG(text));
        outcomes[got]++;
        was_compared = true;
    }
    buf_fini(&p.out);
    findings_fini(&found);
    arena_fini(&a);
    return was_compared;
}

Test(cel_twin, random_conditions_run_as_the_naive_evaluator_says)
{
    size_t outcomes[3] = {0};
    size_t compared = 0;
    uint64_t seed = 0;
    for (; compared < WANTED_CASES && seed < 2 * WANTED_CASES; seed++)
        compared += compare_once(seed, outcomes);
    cr_assert_eq(compared, WANTED_CASES, "of %llu only %zu", (unsigned long long)seed, compared);
    // A generator that only makes one outcome would show nothing.
    for (size_t i = 0; i < 3; i++)
        cr_expect_gt(outcomes[i], WANTED_CASES / 10, "outcome %zu: %zu", i, outcomes[i]);
}
