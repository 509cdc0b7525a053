// SPDX-License-Identifier: EUPL-1.2
/* Whether a condition can be true, or false, on any facts at all: for reviews, so that an author
 * hears of `user.acr_level >= 400 && user.acr_level < 300`. What is asked of each term (a fact, the
 * size of a list, the hour of a time) is gathered as a range, or a list of texts, until nothing is
 * left. Every no is certain; what is not understood can be either. */
#include "policy/cel_in.h"

/* Of one condition. Only ternaries inside each other's conditions, whose parts are looked at twice
 * each level, come near. */
#define STEPS_MAX 20000
#define LISTED_MAX 1000 /* lists longer than this (sets) are not compared with each other */
#define WITHOUT_MAX 8   /* texts that a term is known not to be; more are forgotten */

/* What is known of one term; the newest in the list is. */
struct term {
    const struct term *next;
    struct slice key;
    int64_t low; /* of ints, durations (ns), timestamps (whole seconds) */
    int64_t high;
    const union cel_value *among; /* of strings: it is one of these; NULL: any */
    size_t among_count;
    struct slice without[WITHOUT_MAX];
    uint32_t without_count;
};

/* A question that was answered: the same one has the same answer. */
struct answer {
    const struct answer *next;
    struct slice key;
    bool is_true;
};

struct known { /* copied where ways part */
    const struct term *terms;
    const struct answer *answers;
    uint64_t present; /* bits 1 << enum cel_fact */
    uint64_t absent;
};
_Static_assert(CEL_FACT_COUNT <= 64, "facts fit in a set of bits");

struct seeker {
    struct arena *a;
    const struct cel_step *culprit; /* the last step that could not be */
    uint32_t steps;
};

static bool narrow(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true);

/* ---- terms ---- */

static struct slice key_of(struct seeker *k, const struct cel_step *s)
{
    const struct cel one = {.root = s};
    return cel_key(&one, k->a);
}

/* What the language itself says of a step's ints. */
static void set_range(const struct cel_step *s, struct term *out)
{
    static const int64_t ends[][2] = {
        [TIME_DATE] = {1, 31},          [TIME_DAY_OF_MONTH] = {0, 30}, [TIME_DAY_OF_WEEK] = {0, 6},
        [TIME_DAY_OF_YEAR] = {0, 365},  [TIME_FULL_YEAR] = {0, 10000}, [TIME_HOURS] = {0, 23},
        [TIME_MILLISECONDS] = {0, 999}, [TIME_MINUTES] = {0, 59},      [TIME_MONTH] = {0, 11},
        [TIME_SECONDS] = {0, 59},
    };
    if (s->op == OP_TIME) {
        out->low = ends[s->slot][0];
        out->high = ends[s->slot][1];
    } else if (s->op == OP_SIZE_STRING || s->op == OP_SIZE_BYTES || s->op == OP_SIZE_LIST) {
        out->low = 0;
    }
}

/* A new copy of what is known of the term, for more to be said of it. */
static struct term *term_of(struct seeker *k, struct known *known, const struct cel_step *s)
{
    const struct slice key = key_of(k, s);
    struct term *out = arena_new(k->a, struct term);
    *out = (struct term){.key = key, .low = INT64_MIN, .high = INT64_MAX};
    set_range(s, out);
    for (const struct term *t = known->terms; t; t = t->next)
        if (slice_eq(t->key, key)) {
            *out = *t;
            break;
        }
    out->next = known->terms;
    known->terms = out;
    return out;
}

/* Which of the two is so of a fact; false where it was the other before. */
static bool note_fact(struct known *known, uint8_t fact, bool is_present)
{
    *(is_present ? &known->present : &known->absent) |= UINT64_C(1) << fact;
    return !(known->present & known->absent);
}

/* What has a value is there, and so is what it is made of. */
static bool note_value(struct known *known, const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_FACT:
        return note_fact(known, s->fact, true);
    case OP_SIZE_STRING:
    case OP_SIZE_BYTES:
    case OP_SIZE_LIST:
    case OP_TIME:
    case OP_INDEX_LIST:
    case OP_INDEX_MAP:
        return note_value(known, s->args[0]);
    default:
        return true;
    }
}

/* ---- numbers and times ---- */

static uint8_t flipped(uint8_t order)
{
    const bool is_less = order & ORDER_LESS;
    const bool is_greater = order & ORDER_GREATER;
    return (uint8_t)((order & (ORDER_EQUAL | ORDER_NONE)) | (is_less ? ORDER_GREATER : 0) |
                     (is_greater ? ORDER_LESS : 0));
}

/* The term is within [low, high]; false where nothing is left. */
static bool keep_range(struct term *t, int64_t low, int64_t high)
{
    t->low = low > t->low ? low : t->low;
    t->high = high < t->high ? high : t->high;
    return t->low <= t->high;
}

static bool keep_order(struct term *t, uint8_t order, int64_t value)
{
    switch (order & (ORDER_LESS | ORDER_EQUAL | ORDER_GREATER)) {
    case 0:
        return false;
    case ORDER_LESS:
        return value != INT64_MIN && keep_range(t, INT64_MIN, value - 1);
    case ORDER_LESS | ORDER_EQUAL:
        return keep_range(t, INT64_MIN, value);
    case ORDER_EQUAL:
        return keep_range(t, value, value);
    case ORDER_GREATER:
        return value != INT64_MAX && keep_range(t, value + 1, INT64_MAX);
    case ORDER_GREATER | ORDER_EQUAL:
        return keep_range(t, value, INT64_MAX);
    case ORDER_LESS | ORDER_GREATER: /* a hole counts where it is at an end */
        if (t->low == value && t->high == value)
            return false;
        if (t->low == value)
            t->low++;
        else if (t->high == value)
            t->high--;
        return true;
    default:
        return true;
    }
}

/* In whole seconds, of which the bound's own is left in: less is known, nothing wrong. */
static bool keep_time(struct term *t, uint8_t order, struct cel_time value)
{
    const int64_t before = value.ns ? value.s : value.s - 1;
    switch (order & (ORDER_LESS | ORDER_EQUAL | ORDER_GREATER)) {
    case 0:
        return false;
    case ORDER_LESS:
        return keep_range(t, INT64_MIN, before);
    case ORDER_LESS | ORDER_EQUAL:
        return keep_range(t, INT64_MIN, value.s);
    case ORDER_EQUAL:
        return keep_range(t, value.s, value.s);
    case ORDER_GREATER:
    case ORDER_GREATER | ORDER_EQUAL:
        return keep_range(t, value.s, INT64_MAX);
    default:
        return true;
    }
}

/* ---- texts ---- */

static bool is_without(const struct term *t, struct slice text)
{
    for (uint32_t i = 0; i < t->without_count; i++)
        if (slice_eq(t->without[i], text))
            return true;
    return false;
}

static bool has_text(const union cel_value *at, size_t count, struct slice text)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(at[i].s, text))
            return true;
    return false;
}

/* It is one of the texts; or none of them. */
static bool keep_texts(struct seeker *k, struct term *t, const union cel_value *at, size_t count,
                       bool is_one)
{
    for (size_t i = 0; !is_one && i < count && t->without_count < WITHOUT_MAX; i++)
        t->without[t->without_count++] = at[i].s;
    if (!is_one && !t->among)
        return true;
    if (!t->among && !t->without_count) {
        t->among = at;
        t->among_count = count;
        return true;
    }
    if (count > LISTED_MAX || t->among_count > LISTED_MAX)
        return true;
    const union cel_value *from = t->among ? t->among : at;
    const size_t from_count = t->among ? t->among_count : count;
    union cel_value *left = arena_array(k->a, union cel_value, from_count + 1);
    size_t left_count = 0;
    for (size_t i = 0; i < from_count; i++)
        if (has_text(at, count, from[i].s) == is_one && !is_without(t, from[i].s))
            left[left_count++] = from[i];
    t->among = left;
    t->among_count = left_count;
    return left_count > 0;
}

/* ---- questions ---- */

/* Asked before, by whatever way. */
static bool keep_answer(struct seeker *k, struct known *known, const struct cel_step *s,
                        bool is_true)
{
    const struct slice key = key_of(k, s);
    for (const struct answer *a = known->answers; a; a = a->next)
        if (slice_eq(a->key, key))
            return a->is_true == is_true;
    struct answer *a = arena_new(k->a, struct answer);
    *a = (struct answer){known->answers, key, is_true};
    known->answers = a;
    return true;
}

static bool compare(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true)
{
    const struct cel_step *left = s->args[0], *right = s->args[1];
    uint8_t order = is_true ? s->order : (uint8_t)(~s->order & 15);
    if (left->op == OP_VALUE && right->op == OP_VALUE)
        return (cel_compare(left->value, right->value, (enum cel_kind)s->kind) & order) != 0;
    if (left->op == OP_VALUE) {
        const struct cel_step *value = left;
        left = right;
        right = value;
        order = flipped(order);
    }
    if (right->op != OP_VALUE)
        return keep_answer(k, known, s, is_true);
    switch ((enum cel_kind)s->kind) {
    case KIND_INT:
    case KIND_DURATION:
        return keep_order(term_of(k, known, left), order, right->value.i);
    case KIND_TIMESTAMP:
        return keep_time(term_of(k, known, left), order, right->value.time);
    case KIND_BOOL:
        if ((order & 7) == ORDER_EQUAL || (order & 7) == (ORDER_LESS | ORDER_GREATER))
            return narrow(k, known, left, right->value.b == ((order & 7) == ORDER_EQUAL));
        return keep_answer(k, known, s, is_true);
    default:
        return keep_answer(k, known, s, is_true);
    }
}

static bool equal_text(struct seeker *k, struct known *known, const struct cel_step *s,
                       bool is_true)
{
    const bool is_same = (s->order == ORDER_EQUAL) == is_true;
    const struct cel_step *left = s->args[0], *right = s->args[1];
    if (left->op == OP_VALUE && right->op == OP_VALUE)
        return slice_eq(left->value.s, right->value.s) == is_same;
    if (left->op != OP_VALUE && right->op != OP_VALUE)
        return keep_answer(k, known, s, is_true);
    const struct cel_step *value = left->op == OP_VALUE ? left : right;
    return keep_texts(k, term_of(k, known, left->op == OP_VALUE ? right : left), &value->value, 1,
                      is_same);
}

static bool is_in(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true)
{
    const struct cel_step *list = s->args[1];
    if (list->op != OP_VALUE)
        return keep_answer(k, known, s, is_true);
    const union cel_value *at = list->value.list.at;
    const size_t count = list->value.list.count;
    if (!count && is_true)
        return false;
    if (s->args[0]->op == OP_VALUE || !count)
        return keep_answer(k, known, s, is_true);
    if (s->kind == KIND_STRING)
        return keep_texts(k, term_of(k, known, s->args[0]), at, count, is_true);
    if (s->kind != KIND_INT || !is_true)
        return keep_answer(k, known, s, is_true);
    int64_t low = at[0].i;
    int64_t high = low;
    for (size_t i = 1; i < count; i++) {
        low = at[i].i < low ? at[i].i : low;
        high = at[i].i > high ? at[i].i : high;
    }
    return keep_answer(k, known, s, is_true) &&
           keep_range(term_of(k, known, s->args[0]), low, high);
}

static bool ask(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true)
{
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
        return s->value.b == is_true;
    case OP_HAS:
        return note_fact(known, s->fact, is_true) && keep_answer(k, known, s, is_true);
    case OP_FACT:
        return note_fact(known, s->fact, true) && keep_answer(k, known, s, is_true);
    case OP_COMPARE:
        return note_value(known, s->args[0]) && note_value(known, s->args[1]) &&
               compare(k, known, s, is_true);
    case OP_EQUAL_STRING:
        if (s->kind != KIND_STRING)
            return keep_answer(k, known, s, is_true);
        return note_value(known, s->args[0]) && note_value(known, s->args[1]) &&
               equal_text(k, known, s, is_true);
    case OP_IN_STRING:
    case OP_IN_SORTED:
    case OP_IN:
        return note_value(known, s->args[0]) && note_value(known, s->args[1]) &&
               is_in(k, known, s, is_true);
    case OP_STARTS:
    case OP_ENDS:
    case OP_CONTAINS:
    case OP_MATCHES:
    case OP_EXISTS:
    case OP_ALL:
    case OP_EXISTS_ONE:
        return note_value(known, s->args[0]) && keep_answer(k, known, s, is_true);
    default:
        return keep_answer(k, known, s, is_true);
    }
}

/* ---- what is put together ---- */

/* Each of them is so. */
static bool every(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (!narrow(k, known, s->args[i], is_true))
            return false;
    return true;
}

/* One of them is; where only one can be, that one. */
static bool some(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true)
{
    struct known only = *known;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct known way = *known;
        if (!narrow(k, &way, s->args[i], is_true))
            continue;
        only = way;
        count++;
    }
    if (count == 1)
        *known = only;
    return count > 0;
}

static bool either(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true)
{
    struct known yes = *known, no = *known;
    const bool may_yes = narrow(k, &yes, s->args[0], true) && narrow(k, &yes, s->args[1], is_true);
    const bool may_no = narrow(k, &no, s->args[0], false) && narrow(k, &no, s->args[2], is_true);
    if (may_yes != may_no)
        *known = may_yes ? yes : no;
    return may_yes || may_no;
}

/* Takes into *known what must be so where the step is true (or false); false where it can't be. */
static bool narrow(struct seeker *k, struct known *known, const struct cel_step *s, bool is_true)
{
    if (++k->steps > STEPS_MAX)
        return true;
    switch ((enum cel_op)s->op) {
    case OP_NOT:
        return narrow(k, known, s->args[0], !is_true);
    case OP_AND:
        return is_true ? every(k, known, s, true) : some(k, known, s, false);
    case OP_OR:
        return is_true ? some(k, known, s, true) : every(k, known, s, false);
    case OP_TERNARY:
        return either(k, known, s, is_true);
    default:
        if (ask(k, known, s, is_true))
            return true;
        k->culprit = s;
        return false;
    }
}

/* Twice: what stands behind may be known only when the first part is asked again. `absent`: facts
 * that are not there. */
static bool may_be(struct seeker *k, const struct cel_step *root, bool is_true, uint64_t absent)
{
    struct known known = {.absent = absent};
    k->steps = 0;
    const bool may = narrow(k, &known, root, is_true);
    return may && narrow(k, &known, root, is_true);
}

/* The first fact that the step names. */
static struct slice first_fact(const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_FACT:
    case OP_HAS:
        return cel_fact_name((enum cel_fact)s->fact);
    case OP_VALUE:
    case OP_VARIABLE:
    case OP_LOOP_VALUE:
        return SLICE("");
    default:
        break;
    }
    struct slice found = SLICE("");
    for (uint32_t i = 0; !found.len && i < s->count; i++)
        found = first_fact(s->args[i]);
    return found;
}

enum cel_prospect cel_prospect(const struct cel *c, struct arena *a, struct slice *about)
{
    struct seeker k = {.a = a};
    enum cel_prospect out = CEL_CAN_BE_EITHER;
    if (!may_be(&k, c->root, true, 0))
        out = CEL_IS_NEVER_TRUE;
    else if (!may_be(&k, c->root, false, 0))
        out = CEL_IS_NEVER_FALSE;
    *about = out != CEL_CAN_BE_EITHER && k.culprit ? first_fact(k.culprit) : SLICE("");
    return out;
}

bool cel_needs(const struct cel *c, struct arena *a, struct slice root)
{
    struct seeker k = {.a = a};
    uint64_t absent = 0;
    for (enum cel_fact fact = 0; fact < CEL_FACT_COUNT; fact++)
        if (slice_eq(cel_fact_root(fact), root))
            absent |= UINT64_C(1) << fact;
    return !may_be(&k, c->root, true, absent);
}

/* ---- parts ---- */

static bool is_joint(const struct cel_step *s)
{
    return s->op == OP_NOT || s->op == OP_AND || s->op == OP_OR || s->op == OP_TERNARY;
}

static uint32_t count_parts(const struct cel_step *s)
{
    uint32_t count = is_joint(s) ? 0 : 1;
    for (uint32_t i = 0; is_joint(s) && i < s->count; i++)
        count += count_parts(s->args[i]);
    return count;
}

static const struct cel **add_parts(const struct cel *whole, const struct cel_step *s,
                                    struct arena *a, const struct cel **at)
{
    if (!is_joint(s)) {
        struct cel *part = arena_new(a, struct cel);
        *part = *whole;
        part->root = s;
        *at = part;
        return at + 1;
    }
    for (uint32_t i = 0; i < s->count; i++)
        at = add_parts(whole, s->args[i], a, at);
    return at;
}

uint32_t cel_parts(const struct cel *c, struct arena *a, const struct cel *const **out)
{
    const uint32_t count = count_parts(c->root);
    const struct cel **parts = arena_array(a, const struct cel *, count);
    (void)add_parts(c, c->root, a, parts);
    *out = parts;
    return count;
}
