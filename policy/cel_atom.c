// SPDX-License-Identifier: EUPL-1.2
/* What the index of rules may know of a condition: its conjuncts, which of two are the same, and by
 * which texts it can be found. Owns: the reading of steps for that. What it does not recognise it
 * says nothing of. */
#include "policy/cel_in.h"

/* ---- conjuncts ---- */

uint32_t cel_atom_count(const struct cel *c)
{
    return c->root->op == OP_AND ? c->root->count : 1;
}

uint32_t cel_atoms(const struct cel *c, struct arena *a, const struct cel *const **out)
{
    const bool is_and = c->root->op == OP_AND;
    const uint32_t count = cel_atom_count(c);
    const struct cel **atoms = arena_array(a, const struct cel *, count);
    *out = atoms;
    atoms[0] = c;
    for (uint32_t i = 0; is_and && i < count; i++) {
        struct cel *atom = arena_new(a, struct cel);
        *atom = *c;
        atom->root = c->root->args[i];
        atoms[i] = atom;
    }
    return count;
}

const struct cel *cel_copy(const struct cel *atom, struct arena *a)
{
    struct cel *copy = arena_new(a, struct cel);
    *copy = *atom;
    return copy;
}

/* ---- sameness ---- */

static bool has_args(const struct cel_step *s)
{
    switch ((enum cel_op)s->op) {
    case OP_VALUE:
    case OP_VARIABLE:
    case OP_FACT:
    case OP_LOOP_VALUE:
    case OP_HAS:
    case OP_NAMED:
    case OP_HAS_NAMED:
        return false;
    default:
        return true;
    }
}

/* Where a key is written; NULL while its length is counted. */
struct key {
    char *out;
    size_t len;
};

static void add_key(struct key *k, const void *bytes, size_t len)
{
    if (k->out && len)
        memcpy(k->out + k->len, bytes, len);
    k->len += len;
}

/* Types, functions, zones and patterns by their place: two that lie apart are taken for different.
 */
static void write_key(struct key *out, const struct cel_step *s)
{
    const uint8_t head[] = {s->op, s->kind, s->order, s->fact, s->slot, s->is_sorted};
    add_key(out, head, sizeof head);
    add_key(out, &s->count, sizeof s->count);
    add_key(out, &s->type, sizeof(s->type));
    const bool is_value = s->op == OP_VALUE || s->op == OP_VARIABLE;
    const bool is_named = s->op == OP_NAMED || s->op == OP_HAS_NAMED;
    if (is_named || (is_value && (s->type->kind == KIND_STRING || s->type->kind == KIND_BYTES))) {
        add_key(out, &s->value.s.len, sizeof(s->value.s.len));
        add_key(out, s->value.s.ptr, s->value.s.len);
    } else if (is_value) { /* of a list the place too */
        add_key(out, &s->value, sizeof(s->value));
    }
    for (uint32_t i = 0; has_args(s) && i < s->count; i++)
        write_key(out, s->args[i]);
}

struct slice cel_key(const struct cel *c, struct arena *a)
{
    struct key key = {.out = NULL};
    write_key(&key, c->root);
    key = (struct key){.out = arena_bytes(a, key.len)};
    write_key(&key, c->root);
    return slice_from(key.out, key.len);
}

static bool reads_device(const struct cel_step *s)
{
    if (s->op == OP_FACT || s->op == OP_HAS)
        return s->fact >= CEL_FACT_device_id && s->fact < CEL_FACT_service_id;
    for (uint32_t i = 0; has_args(s) && i < s->count; i++)
        if (reads_device(s->args[i]))
            return true;
    return false;
}

bool cel_reads_device(const struct cel *c)
{
    return reads_device(c->root);
}

/* The value of one of these; that a fact is there at all is not changed by time. */
static bool reads_value(const struct cel_step *s, uint64_t facts)
{
    if (s->op == OP_FACT)
        return facts >> s->fact & 1;
    for (uint32_t i = 0; has_args(s) && i < s->count; i++)
        if (reads_value(s->args[i], facts))
            return true;
    return false;
}

bool cel_reads_time(const struct cel *c)
{
    return reads_value(c->root, CEL_BIT(request_time));
}

bool cel_reads_age(const struct cel *c)
{
    return reads_value(c->root, CEL_BIT(session_age) | CEL_BIT(session_authentication_age));
}

static bool reads_query(const struct cel_step *s)
{
    if (s->op == OP_FACT || s->op == OP_HAS)
        return s->fact == CEL_FACT_request_query_parameters;
    for (uint32_t i = 0; has_args(s) && i < s->count; i++)
        if (reads_query(s->args[i]))
            return true;
    return false;
}

bool cel_reads_query(const struct cel *c)
{
    return reads_query(c->root);
}

static bool reads_path(const struct cel_step *s)
{
    if (s->op == OP_NAMED || s->op == OP_HAS_NAMED)
        return s->fact == NAMED_PATH;
    for (uint32_t i = 0; has_args(s) && i < s->count; i++)
        if (reads_path(s->args[i]))
            return true;
    return false;
}

bool cel_reads_path(const struct cel *c)
{
    return reads_path(c->root);
}

/* ---- guards ---- */

static enum cel_guard_fact guard_fact(const struct cel_step *s, bool is_list)
{
    if (s->op != OP_FACT)
        return GUARD_NONE;
    switch ((enum cel_fact)s->fact) {
    case CEL_FACT_user_groups:
        return is_list ? GUARD_USER_GROUPS : GUARD_NONE;
    case CEL_FACT_user_scopes:
        return is_list ? GUARD_USER_SCOPES : GUARD_NONE;
    case CEL_FACT_device_organizational_units:
        return is_list ? GUARD_DEVICE_UNITS : GUARD_NONE;
    case CEL_FACT_user_id:
        return is_list ? GUARD_NONE : GUARD_USER_ID;
    case CEL_FACT_device_trust:
        return is_list ? GUARD_NONE : GUARD_DEVICE_TRUST;
    case CEL_FACT_service_id:
        return is_list ? GUARD_NONE : GUARD_SERVICE_ID;
    default:
        return GUARD_NONE;
    }
}

static bool add_guard(struct cel_guard *out, enum cel_guard_fact fact, struct slice text)
{
    if (fact == GUARD_NONE || (out->fact != GUARD_NONE && out->fact != fact) ||
        out->count == GUARD_MAX_TEXTS)
        return false;
    out->fact = fact;
    out->texts[out->count++] = text;
    return true;
}

/* `fact in ["a", "b"]`. */
static bool add_listed(struct cel_guard *out, const struct cel_step *s)
{
    const struct cel_list list = s->args[1]->value.list;
    for (size_t i = 0; i < list.count; i++)
        if (!add_guard(out, guard_fact(s->args[0], false), list.at[i].s))
            return false;
    return list.count > 0;
}

static bool find_guard(const struct cel_step *s, struct cel_guard *out)
{
    switch ((enum cel_op)s->op) {
    case OP_OR:
        for (uint32_t i = 0; i < s->count; i++)
            if (!find_guard(s->args[i], out))
                return false;
        return true;
    case OP_IN_STRING:
        if (s->args[0]->op == OP_VALUE)
            return add_guard(out, guard_fact(s->args[1], true), s->args[0]->value.s);
        return s->args[1]->op == OP_VALUE && add_listed(out, s);
    case OP_IN_SORTED:
        return s->kind == KIND_STRING && add_listed(out, s);
    case OP_EQUAL_STRING:
        if (s->order != ORDER_EQUAL)
            return false;
        if (s->args[0]->op == OP_VALUE)
            return add_guard(out, guard_fact(s->args[1], false), s->args[0]->value.s);
        return s->args[1]->op == OP_VALUE &&
               add_guard(out, guard_fact(s->args[0], false), s->args[1]->value.s);
    default:
        return false;
    }
}

bool cel_guard(const struct cel *c, struct cel_guard *out)
{
    out->fact = GUARD_NONE;
    out->count = 0;
    return find_guard(c->root, out);
}
