// SPDX-License-Identifier: EUPL-1.2
/* A compiled condition as text again: as one line of CEL, by which two conditions of two documents
 * are known to be the same, and in words, for who asks what it takes. Owns: how each step is
 * written. */
#include "policy/cel_in.h"

#include "base/buf.h"
#include "policy/regex.h"
#include "policy/zone.h"

#define TEXT_MAX_BYTES (4u << 20) /* of a text of CEL_MAX_TEXT_BYTES, with its sets written out */

_Static_assert(CEL_FACT_COUNT < CEL_FACT_BITS, "a fact is a bit");

struct text_writer {
    struct buf out;
    struct arena *a;
    bool in_words;
};

static void put(struct text_writer *w, struct slice text)
{
    if (!buf_add(&w->out, text))
        return; /* past the ceiling: no condition that loads comes there */
}

static void put_step(struct text_writer *w, const struct cel_step *s);

/* In brackets, where it is made of several. */
static void put_inner(struct text_writer *w, const struct cel_step *s)
{
    const enum cel_op op = (enum cel_op)s->op;
    const bool is_one = op == OP_VALUE || op == OP_VARIABLE || op == OP_FACT || op == OP_HAS ||
                        op == OP_LOOP_VALUE || op == OP_LIST || op == OP_MAP || op == OP_STARTS ||
                        op == OP_ENDS || op == OP_CONTAINS || op == OP_MATCHES || op == OP_TIME ||
                        op == OP_NOT;
    put(w, is_one ? SLICE("") : SLICE("("));
    put_step(w, s);
    put(w, is_one ? SLICE("") : SLICE(")"));
}

static void put_args(struct text_writer *w, const struct cel_step *s, uint32_t from)
{
    put(w, SLICE("("));
    for (uint32_t i = from; i < s->count; i++) {
        put(w, i > from ? SLICE(", ") : SLICE(""));
        put_step(w, s->args[i]);
    }
    put(w, SLICE(")"));
}

static void put_between(struct text_writer *w, const struct cel_step *s, struct slice word)
{
    for (uint32_t i = 0; i < s->count; i++) {
        put(w, i ? word : SLICE(""));
        put_inner(w, s->args[i]);
    }
}

static void put_method(struct text_writer *w, const struct cel_step *s, struct slice name)
{
    put_inner(w, s->args[0]);
    put(w, SLICE("."));
    put(w, name);
    put_args(w, s, 1);
}

static void put_call(struct text_writer *w, const struct cel_step *s)
{
    const struct slice name = slice_of(s->function->name);
    switch (s->function->form) {
    case CALL_METHOD:
        put_method(w, s, name);
        return;
    case CALL_FUNCTION:
        put(w, name);
        put_args(w, s, 0);
        return;
    case CALL_OPERATOR:
        if (s->count == 1)
            put(w, name);
        put_between(w, s, arena_printf(w->a, " %.*s ", SLICE_ARG(name)));
        return;
    }
}

static struct slice relation(uint8_t order, bool in_words)
{
    switch (order) {
    case ORDER_EQUAL:
        return in_words ? SLICE(" is ") : SLICE(" == ");
    case ORDER_LESS:
        return in_words ? SLICE(" is below ") : SLICE(" < ");
    case ORDER_GREATER:
        return in_words ? SLICE(" is above ") : SLICE(" > ");
    case ORDER_LESS | ORDER_EQUAL:
        return in_words ? SLICE(" is at most ") : SLICE(" <= ");
    case ORDER_GREATER | ORDER_EQUAL:
        return in_words ? SLICE(" is at least ") : SLICE(" >= ");
    default:
        return in_words ? SLICE(" is not ") : SLICE(" != ");
    }
}

static void put_loop(struct text_writer *w, const struct cel_step *s, const char *name)
{
    put_inner(w, s->args[0]);
    put(w, arena_printf(w->a, ".%s(x%u", name, s->slot));
    for (uint32_t i = s->count; i-- > 1;) { /* a condition of `map` comes first */
        put(w, SLICE(", "));
        put_step(w, s->args[i]);
    }
    put(w, SLICE(")"));
}

static void put_time(struct text_writer *w, const struct cel_step *s)
{
    static const char *const names[] = {
        [TIME_DATE] = "getDate",
        [TIME_DAY_OF_MONTH] = "getDayOfMonth",
        [TIME_DAY_OF_WEEK] = "getDayOfWeek",
        [TIME_DAY_OF_YEAR] = "getDayOfYear",
        [TIME_FULL_YEAR] = "getFullYear",
        [TIME_HOURS] = "getHours",
        [TIME_MILLISECONDS] = "getMilliseconds",
        [TIME_MINUTES] = "getMinutes",
        [TIME_MONTH] = "getMonth",
        [TIME_SECONDS] = "getSeconds",
    };
    put_inner(w, s->args[0]);
    put(w, SLICE("."));
    put(w, slice_of(names[s->slot]));
    put(w, s->zone ? arena_printf(w->a, "(\"%.*s\")", SLICE_ARG(zone_name(s->zone))) : SLICE("()"));
}

static void put_map(struct text_writer *w, const struct cel_step *s)
{
    put(w, SLICE("{"));
    for (uint32_t i = 0; i < s->count; i++) {
        put(w, i % 2 ? SLICE(": ") : i ? SLICE(", ") : SLICE(""));
        put_step(w, s->args[i]);
    }
    put(w, SLICE("}"));
}

/* "x" in user.groups, as a person says it. */
static bool put_membership(struct text_writer *w, const struct cel_step *s)
{
    const struct cel_step *what = s->args[0], *list = s->args[1];
    if (!w->in_words || what->op != OP_VALUE || list->op != OP_FACT)
        return false;
    if (list->fact == CEL_FACT_user_groups)
        put(w, SLICE("in the group "));
    else if (list->fact == CEL_FACT_user_scopes)
        put(w, SLICE("with the scope "));
    else
        return false;
    put_step(w, what);
    return true;
}

static void put_in(struct text_writer *w, const struct cel_step *s)
{
    if (put_membership(w, s))
        return;
    put_inner(w, s->args[0]);
    put(w, w->in_words ? SLICE(" is one of ") : SLICE(" in "));
    put_inner(w, s->args[1]);
}

static void put_step(struct text_writer *w, const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_VARIABLE:
        put(w, cel_value_text(w->a, s->type, s->value));
        return;
    case OP_FACT:
        put(w, cel_fact_name((enum cel_fact)s->fact));
        return;
    case OP_HAS:
        put(w, w->in_words ? SLICE("") : SLICE("has("));
        put(w, cel_fact_name((enum cel_fact)s->fact));
        put(w, w->in_words ? SLICE(" is known") : SLICE(")"));
        return;
    case OP_NAMED:
        put(w, s->value.s);
        return;
    case OP_HAS_NAMED:
        put(w, w->in_words ? SLICE("") : SLICE("has("));
        put(w, s->value.s);
        put(w, w->in_words ? SLICE(" is known") : SLICE(")"));
        return;
    case OP_LOOP_VALUE:
        put(w, arena_printf(w->a, "x%u", s->slot));
        return;
    case OP_LIST:
        put(w, SLICE("["));
        put_between(w, s, SLICE(", "));
        put(w, SLICE("]"));
        return;
    case OP_MAP:
        put_map(w, s);
        return;
    case OP_SIZE_STRING:
    case OP_SIZE_BYTES:
    case OP_SIZE_LIST:
        put(w, SLICE("size"));
        put_args(w, s, 0);
        return;
    case OP_INDEX_LIST:
    case OP_INDEX_MAP:
        put_inner(w, s->args[0]);
        put(w, SLICE("["));
        put_step(w, s->args[1]);
        put(w, SLICE("]"));
        return;
    case OP_JOIN_LISTS:
        put_between(w, s, SLICE(" + "));
        return;
    case OP_TYPE_OF:
        put(w, SLICE("type"));
        put_args(w, s, 0);
        return;
    case OP_CALL:
        put_call(w, s);
        return;
    case OP_TIME:
        put_time(w, s);
        return;
    case OP_NOT:
        put(w, w->in_words ? SLICE("not ") : SLICE("!"));
        put_inner(w, s->args[0]);
        return;
    case OP_AND:
        put_between(w, s, w->in_words ? SLICE(" and ") : SLICE(" && "));
        return;
    case OP_OR:
        put_between(w, s, w->in_words ? SLICE(" or ") : SLICE(" || "));
        return;
    case OP_TERNARY:
        put_inner(w, s->args[0]);
        put(w, SLICE(" ? "));
        put_inner(w, s->args[1]);
        put(w, SLICE(" : "));
        put_inner(w, s->args[2]);
        return;
    case OP_COMPARE:
    case OP_EQUAL_STRING:
    case OP_EQUAL:
        put_between(w, s, relation(s->order, w->in_words));
        return;
    case OP_IN:
    case OP_IN_STRING:
    case OP_IN_SORTED:
        put_in(w, s);
        return;
    case OP_IN_MAP: /* args: the map, the key */
        put_inner(w, s->args[1]);
        put(w, SLICE(" in "));
        put_inner(w, s->args[0]);
        return;
    case OP_STARTS:
        put_method(w, s, SLICE("startsWith"));
        return;
    case OP_ENDS:
        put_method(w, s, SLICE("endsWith"));
        return;
    case OP_CONTAINS:
        put_method(w, s, SLICE("contains"));
        return;
    case OP_MATCHES:
        put_inner(w, s->args[0]);
        put(w, arena_printf(w->a, ".matches(r\"%.*s\")", SLICE_ARG(regex_pattern(s->regex))));
        return;
    case OP_EXISTS:
        put_loop(w, s, "exists");
        return;
    case OP_ALL:
        put_loop(w, s, "all");
        return;
    case OP_EXISTS_ONE:
        put_loop(w, s, "exists_one");
        return;
    case OP_FILTER:
        put_loop(w, s, "filter");
        return;
    case OP_TRANSFORM:
        put_loop(w, s, "map");
        return;
    }
}

static struct slice write_condition(struct arena *a, const struct cel *c, bool in_words)
{
    struct text_writer w = {.a = a, .in_words = in_words};
    buf_init(&w.out, TEXT_MAX_BYTES);
    put_step(&w, c->root);
    const struct slice text = arena_copy(a, buf_slice(&w.out));
    buf_fini(&w.out);
    return text;
}

struct slice cel_text(struct arena *a, const struct cel *c)
{
    return write_condition(a, c, false);
}

struct slice cel_words(struct arena *a, const struct cel *c)
{
    return write_condition(a, c, true);
}

/* ---- which facts ---- */

static uint64_t reads(const struct cel_step *s)
{
    uint64_t bits = 0;
    switch ((enum cel_op)s->op) {
    case OP_FACT:
    case OP_HAS:
        return 1ull << s->fact;
    case OP_NAMED:
    case OP_HAS_NAMED:
        return s->fact == NAMED_HEADER ? CEL_BIT_HEADERS : 0;
    case OP_VALUE:
    case OP_VARIABLE:
    case OP_LOOP_VALUE:
        return 0;
    default:
        for (uint32_t i = 0; i < s->count; i++)
            bits |= reads(s->args[i]);
        return bits;
    }
}

uint64_t cel_reads(const struct cel *c)
{
    return reads(c->root);
}

static bool reads_header(const struct cel_step *s, struct slice name)
{
    if (s->op == OP_NAMED || s->op == OP_HAS_NAMED)
        return s->fact == NAMED_HEADER && slice_eq(cel_given_name(s), name);
    if (s->op == OP_FACT || s->op == OP_HAS || s->op == OP_VALUE || s->op == OP_VARIABLE ||
        s->op == OP_LOOP_VALUE)
        return false;
    for (uint32_t i = 0; i < s->count; i++)
        if (reads_header(s->args[i], name))
            return true;
    return false;
}

bool cel_reads_header(const struct cel *c, struct slice name)
{
    return reads_header(c->root, name);
}

struct slice cel_bit_fact(uint32_t bit)
{
    if (bit == CEL_FACT_COUNT)
        return SLICE("request.headers");
    return bit < CEL_FACT_COUNT ? cel_fact_name((enum cel_fact)bit) : SLICE("");
}
