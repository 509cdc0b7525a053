// SPDX-License-Identifier: EUPL-1.2
/* The door of the condition language, and the run. A condition is walked as a tree of typed steps,
 * no deeper than CEL_MAX_DEPTH; nothing is allocated, and facts are read where they lie. Owns:
 * which field of struct facts a fact is, when it is missing, and what is remembered of an error:
 * what was absorbed is forgotten, since an answer to it would change nothing. */
#include "policy/cel_in.h"

#include <stdlib.h>

#include "policy/bundle.h"

/* What went missing so far. */
struct notes {
    struct slice missing;
    bool lacks_user;
    bool lacks_device;
};

struct run {
    const struct facts *facts;
    bool assume_acr_level;
    struct notes notes;
    const union cel_value *loops[CEL_MAX_LOOPS];
    union cel_value *computed;
};

/* --- facts --- */

enum root { ROOT_user, ROOT_device, ROOT_service, ROOT_app, ROOT_request };

static const struct {
    enum root root;
    struct slice name;
} fact_names[] = {
#define FACT(root, name, type, text) {ROOT_##root, SLICE_INIT(#root "." #name)},
#include "policy/fact.def"
#undef FACT
};

static bool has_root(const struct facts *f, enum root root)
{
    switch (root) {
    case ROOT_user:
        return f->user != NULL;
    case ROOT_device:
        return f->device != NULL;
    case ROOT_service:
        return f->service != NULL;
    case ROOT_app:
        return f->app != NULL;
    case ROOT_request:
        return f->request != NULL;
    }
    return false;
}

static struct cel_list list_of(const struct slice *at, uint32_t count)
{
    // A value begins with the slice that it may be, and is no larger (see cel_in.h).
    return (struct cel_list){(const union cel_value *)(const void *)at, count};
}

/* The fact's value; its root is present. False where it is missing: no text but a query is ever
 * empty. */
static bool read_fact(const struct run *r, enum cel_fact fact, union cel_value *out)
{
    const struct facts *f = r->facts;
#define TEXT(root, name)                                                                           \
    case CEL_FACT_##root##_##name:                                                                 \
        out->s = f->root->name;                                                                    \
        return out->s.len > 0;
#define TEXTS(root, name)                                                                          \
    case CEL_FACT_##root##_##name:                                                                 \
        out->list = list_of(f->root->name.at, f->root->name.count);                                \
        return true;
    switch (fact) {
        TEXT(user, id)
        TEXT(user, subject)
        TEXT(user, provider)
        TEXT(user, client_id)
        TEXT(user, acr)
        TEXTS(user, groups)
        TEXTS(user, scopes)
        TEXTS(user, amr)
        TEXT(device, id)
        TEXT(device, certificate)
        TEXT(device, authority)
        TEXT(device, trust)
        TEXT(device, common_name)
        TEXT(device, serial)
        TEXT(device, issuer)
        TEXT(device, key_type)
        TEXTS(device, subject)
        TEXTS(device, organizational_units)
        TEXTS(device, dns_names)
        TEXTS(device, uris)
        TEXTS(device, emails)
        TEXT(service, id)
        TEXT(service, spiffe_id)
        TEXT(service, trust_domain)
        TEXT(app, id)
        TEXT(app, host)
        TEXT(app, entity)
        TEXT(request, host)
    case CEL_FACT_user_acr_level:
        out->i = r->assume_acr_level ? INT64_MAX : f->user->acr_level;
        return true;
    case CEL_FACT_device_key_bits:
        out->i = f->device->key_bits;
        return f->device->key_bits > 0;
    case CEL_FACT_request_method:
        out->s = f->request->method_name;
        return out->s.len > 0;
    case CEL_FACT_request_path:
        out->s = f->request->decoded_path;
        return out->s.len > 0;
    case CEL_FACT_request_segments:
        out->list = list_of(f->request->path.segments, f->request->path.segment_count);
        return true;
    case CEL_FACT_request_query:
        out->s = f->request->query;
        return f->request->has_query;
    case CEL_FACT_request_client_address:
        out->s = f->client_address;
        return out->s.len > 0;
    case CEL_FACT_request_protocol:
        out->s = f->request->protocol == PROTOCOL_H2 ? SLICE("h2") : SLICE("h1");
        return true;
    case CEL_FACT_COUNT:
        break;
    }
#undef TEXT
#undef TEXTS
    return false;
}

/* Remembers the first fact that was missing, and every part that was absent. */
static void note_missing(struct run *r, enum cel_fact fact)
{
    const enum root root = fact_names[fact].root;
    if (!r->notes.missing.len)
        r->notes.missing = fact_names[fact].name;
    r->notes.lacks_user |= root == ROOT_user && !r->facts->user;
    r->notes.lacks_device |= root == ROOT_device && !r->facts->device;
}

/* --- values --- */

static enum cel_outcome judge(const struct cel_step *s, struct run *r);
static bool value_of(const struct cel_step *s, struct run *r, union cel_value *out);

/* Both are asked for, also after an error: what a second one lacks is worth knowing. */
static bool two_values(const struct cel_step *s, struct run *r, union cel_value *a,
                       union cel_value *b)
{
    const bool has_first = value_of(s->args[0], r, a);
    return value_of(s->args[1], r, b) && has_first;
}

static int64_t count_code_points(struct slice s)
{
    int64_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return count;
}

static bool make_list(const struct cel_step *s, struct run *r, union cel_value *out)
{
    union cel_value *at = r->computed + s->slot;
    bool is_good = true;
    for (uint32_t i = 0; i < s->count; i++)
        is_good = value_of(s->args[i], r, &at[i]) && is_good;
    out->list = (struct cel_list){at, s->count};
    return is_good;
}

/* False is an error, noted. */
static bool value_of(const struct cel_step *s, struct run *r, union cel_value *out)
{
    enum cel_outcome outcome;
    union cel_value of;
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
        *out = s->value;
        return true;
    case OP_FACT:
        if (has_root(r->facts, fact_names[s->fact].root) &&
            read_fact(r, (enum cel_fact)s->fact, out))
            return true;
        note_missing(r, (enum cel_fact)s->fact);
        return false;
    case OP_LOOP_VALUE:
        *out = *r->loops[s->slot];
        return true;
    case OP_LIST:
        return make_list(s, r, out);
    case OP_SIZE_STRING:
        if (!value_of(s->args[0], r, &of))
            return false;
        out->i = count_code_points(of.s);
        return true;
    case OP_SIZE_LIST:
        if (!value_of(s->args[0], r, &of))
            return false;
        out->i = (int64_t)of.list.count;
        return true;
    case OP_TERNARY:
        outcome = judge(s->args[0], r);
        return outcome != CEL_IS_ERROR && value_of(s->args[outcome == CEL_IS_TRUE ? 1 : 2], r, out);
    default: // every other step gives a bool
        outcome = judge(s, r);
        out->b = outcome == CEL_IS_TRUE;
        return outcome != CEL_IS_ERROR;
    }
}

/* --- comparisons --- */

/* By code points, which is by bytes in UTF-8 (RFC 3629 §1). */
static int compare_text(struct slice a, struct slice b)
{
    const size_t len = a.len < b.len ? a.len : b.len;
    const int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

#define ORDER(a, b)                                                                                \
    ((a) < (b) ? ORDER_LESS : (a) > (b) ? ORDER_GREATER : (a) == (b) ? ORDER_EQUAL : ORDER_NONE)

/* One of ORDER_*. */
static int compare(union cel_value a, union cel_value b, enum cel_type scalar)
{
    switch (scalar) {
    case CEL_BOOL:
        return ORDER(a.b, b.b);
    case CEL_INT:
        return ORDER(a.i, b.i);
    case CEL_UINT:
        return ORDER(a.u, b.u);
    case CEL_DOUBLE:
        return ORDER(a.d, b.d);
    case CEL_STRING:
        return ORDER(compare_text(a.s, b.s), 0);
    }
    return ORDER_NONE;
}

static bool is_equal(union cel_value a, union cel_value b, enum cel_type scalar, uint8_t list_depth)
{
    if (!list_depth)
        return scalar == CEL_STRING ? slice_eq(a.s, b.s) : compare(a, b, scalar) == ORDER_EQUAL;
    if (a.list.count != b.list.count)
        return false;
    for (size_t i = 0; i < a.list.count; i++)
        if (!is_equal(a.list.at[i], b.list.at[i], scalar, (uint8_t)(list_depth - 1)))
            return false;
    return true;
}

/* The order of sorted lists: any that is total will do, so texts go by length first. */
static int compare_sorted(const union cel_value *a, const union cel_value *b, enum cel_type scalar)
{
    if (scalar == CEL_UINT)
        return (a->u > b->u) - (a->u < b->u);
    if (scalar != CEL_STRING)
        return (a->i > b->i) - (a->i < b->i);
    if (a->s.len != b->s.len)
        return a->s.len < b->s.len ? -1 : 1;
    return a->s.len ? memcmp(a->s.ptr, b->s.ptr, a->s.len) : 0;
}

static int compare_void(const void *a, const void *b, void *scalar)
{
    return compare_sorted(a, b, *(const enum cel_type *)scalar);
}

void cel_sort(union cel_value *at, size_t count, enum cel_type scalar)
{
    qsort_r(at, count, sizeof(*at), compare_void, &scalar);
}

static bool in_sorted(struct cel_list list, const union cel_value *value, enum cel_type scalar)
{
    size_t from = 0;
    size_t to = list.count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        const int order = compare_sorted(value, &list.at[middle], scalar);
        if (order == 0)
            return true;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return false;
}

/* "x" in user.groups: what most conditions ask. The length says no most of the time. */
static bool in_texts(struct cel_list list, struct slice text)
{
    for (size_t i = 0; i < list.count; i++)
        if (list.at[i].s.len == text.len && slice_eq(list.at[i].s, text))
            return true;
    return false;
}

static bool in_list(struct cel_list list, union cel_value value, enum cel_type scalar,
                    uint8_t list_depth)
{
    for (size_t i = 0; i < list.count; i++)
        if (is_equal(list.at[i], value, scalar, list_depth))
            return true;
    return false;
}

static bool contains(struct slice text, struct slice part)
{
    return !part.len || (text.len && memmem(text.ptr, text.len, part.ptr, part.len));
}

/* What takes two values and gives a bool. */
static bool judge_two(const struct cel_step *s, union cel_value a, union cel_value b)
{
    const enum cel_type scalar = (enum cel_type)s->scalar;
    switch ((enum cel_op)s->op) {
    case OP_IN_STRING:
        return in_texts(b.list, a.s);
    case OP_IN_SORTED:
        return in_sorted(b.list, &a, scalar);
    case OP_IN:
        return in_list(b.list, a, scalar, s->list_depth);
    case OP_EQUAL_STRING:
        return slice_eq(a.s, b.s) == (s->order == ORDER_EQUAL);
    case OP_EQUAL_LIST:
        return is_equal(a, b, scalar, s->list_depth) == (s->order == ORDER_EQUAL);
    case OP_STARTS:
        return slice_starts(a.s, b.s);
    case OP_ENDS:
        return slice_ends(a.s, b.s);
    case OP_CONTAINS:
        return contains(a.s, b.s);
    default: // OP_COMPARE
        return (compare(a, b, scalar) & s->order) != 0;
    }
}

/* --- logic --- */

/* && where `stop` is false, || where it is true: one that stops decides, whatever the others did or
 * could not; else an error is an error (cel-spec, langdef, "Logical Operators"). */
static enum cel_outcome judge_chain(const struct cel_step *s, struct run *r, enum cel_outcome stop)
{
    const struct notes before = r->notes;
    bool has_error = false;
    for (uint32_t i = 0; i < s->count; i++) {
        const enum cel_outcome outcome = judge(s->args[i], r);
        if (outcome == stop) {
            r->notes = before;
            return stop;
        }
        has_error = has_error || outcome == CEL_IS_ERROR;
    }
    return has_error ? CEL_IS_ERROR : stop == CEL_IS_TRUE ? CEL_IS_FALSE : CEL_IS_TRUE;
}

/* exists is ||, all is &&, over the elements (langdef, "Macros"). */
static enum cel_outcome judge_loop(const struct cel_step *s, struct run *r, enum cel_outcome stop)
{
    union cel_value range;
    bool has_error = false;
    if (!value_of(s->args[0], r, &range))
        return CEL_IS_ERROR;
    const struct notes before = r->notes;
    for (size_t i = 0; i < range.list.count; i++) {
        r->loops[s->slot] = &range.list.at[i];
        const enum cel_outcome outcome = judge(s->args[1], r);
        if (outcome == stop) {
            r->notes = before;
            return stop;
        }
        has_error = has_error || outcome == CEL_IS_ERROR;
    }
    return has_error ? CEL_IS_ERROR : stop == CEL_IS_TRUE ? CEL_IS_FALSE : CEL_IS_TRUE;
}

static enum cel_outcome judge_has(const struct cel_step *s, struct run *r)
{
    union cel_value ignored;
    if (!has_root(r->facts, fact_names[s->fact].root)) {
        note_missing(r, (enum cel_fact)s->fact);
        return CEL_IS_ERROR;
    }
    return read_fact(r, (enum cel_fact)s->fact, &ignored) ? CEL_IS_TRUE : CEL_IS_FALSE;
}

/* A step whose type is bool. */
static enum cel_outcome judge(const struct cel_step *s, struct run *r)
{
    enum cel_outcome outcome;
    union cel_value a;
    union cel_value b;
    switch ((enum cel_op)s->op) {
    case OP_AND:
        return judge_chain(s, r, CEL_IS_FALSE);
    case OP_OR:
        return judge_chain(s, r, CEL_IS_TRUE);
    case OP_NOT:
        outcome = judge(s->args[0], r);
        return outcome == CEL_IS_ERROR  ? CEL_IS_ERROR
               : outcome == CEL_IS_TRUE ? CEL_IS_FALSE
                                        : CEL_IS_TRUE;
    case OP_HAS:
        return judge_has(s, r);
    case OP_EXISTS:
        return judge_loop(s, r, CEL_IS_TRUE);
    case OP_ALL:
        return judge_loop(s, r, CEL_IS_FALSE);
    case OP_TERNARY:
        outcome = judge(s->args[0], r);
        return outcome == CEL_IS_ERROR ? CEL_IS_ERROR
                                       : judge(s->args[outcome == CEL_IS_TRUE ? 1 : 2], r);
    case OP_VALUE:
    case OP_FACT:
    case OP_LOOP_VALUE:
        if (!value_of(s, r, &a))
            return CEL_IS_ERROR;
        return a.b ? CEL_IS_TRUE : CEL_IS_FALSE;
    default:
        if (!two_values(s, r, &a, &b))
            return CEL_IS_ERROR;
        return judge_two(s, a, b) ? CEL_IS_TRUE : CEL_IS_FALSE;
    }
}

/* --- the door --- */

enum cel_outcome cel_test(const struct cel *c, const struct facts *facts, struct cel_run *run)
{
    union cel_value computed[CEL_MAX_COMPUTED]
        __attribute__((uninitialized)); // written before read
    struct run r;
    r.facts = facts;
    r.assume_acr_level = run->assume_acr_level;
    r.notes = (struct notes){.lacks_user = false};
    r.computed = computed;
    const enum cel_outcome outcome = judge(c->root, &r);
    run->missing = r.notes.missing;
    run->lacks_user = r.notes.lacks_user;
    run->lacks_device = r.notes.lacks_device;
    return outcome;
}

static struct cel *compile(struct cel_text *t)
{
    if (t->text.len > CEL_MAX_TEXT_BYTES) {
        cel_error(t, 0, CEL_LIMIT, "the condition is longer than %d bytes", CEL_MAX_TEXT_BYTES);
        return NULL;
    }
    struct cel *c = arena_new(t->keep, struct cel);
    const struct cel_node *node = cel_parse(t);
    c->root = node ? cel_type_check(t, node, c) : NULL;
    if (!c->root || t->has_failed)
        return NULL;
    const uint64_t cost = cel_cost_of(c->root);
    if (cost > CEL_MAX_COST) {
        cel_error(
            t, 0, CEL_LIMIT,
            "the condition may take %llu steps, more than %d; loops over lists of facts inside "
            "each other cost most, 'x in list' is one less",
            (unsigned long long)cost, CEL_MAX_COST);
        return NULL;
    }
    c->cost = (uint32_t)cost;
    return c;
}

struct cel *cel_compile(struct arena *a, struct slice text, struct place at, struct findings *out)
{
    struct arena scratch;
    arena_init(&scratch, NULL);
    struct cel_text t = {.text = text, .at = at, .out = out, .keep = a, .scratch = &scratch};
    struct cel *c = compile(&t);
    arena_fini(&scratch);
    return c;
}

uint32_t cel_cost(const struct cel *c)
{
    return c->cost;
}
